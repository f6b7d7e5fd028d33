//! Packets from clients.

use std::net::SocketAddr;
use std::time::Duration;

/// Where clients are listened to, and what their connections may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// UDP and TCP on each.
    pub listen: Vec<SocketAddr>,
    /// TCP connections in all, over all shards.
    pub tcp_connections: usize,
    /// TCP connections from one prefix (IPv4 /24, IPv6 /56).
    pub tcp_connections_per_prefix: usize,
    /// A connection without a question in flight is closed after this (RFC 7766 §6.2.3).
    pub tcp_idle_timeout: Duration,
    /// Questions in flight on one connection; reading stops until one is answered.
    pub tcp_pipeline: usize,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            listen: vec![
                SocketAddr::from(([127, 0, 0, 1], 5300)),
                SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 5300)),
            ],
            tcp_connections: 10_000,
            tcp_connections_per_prefix: 1_000,
            tcp_idle_timeout: Duration::from_secs(10),
            tcp_pipeline: 100,
        }
    }
}
