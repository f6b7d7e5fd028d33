//! Packets to authoritative servers.

use std::net::IpAddr;
use std::time::Duration;

/// How servers are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Source addresses toward servers; one of the server's family is picked at random.
    pub outgoing: Vec<IpAddr>,
    /// An idle TCP connection to a server is kept this long for the next question.
    pub tcp_idle_timeout: Duration,
    /// TCP connections to servers, a shard.
    pub tcp_connections: usize,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            outgoing: vec![IpAddr::from([0, 0, 0, 0]), IpAddr::from([0u16; 8])],
            tcp_idle_timeout: Duration::from_secs(5),
            tcp_connections: 512,
        }
    }
}
