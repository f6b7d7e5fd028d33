//! Packets from clients.
//!
//! [`bind()`] opens every address for every shard. A shard reads its UDP sockets itself, in batches;
//! its TCP connections are tasks beside it, which lay queries on a [`Desk`] and have replies written
//! by it. What connections may cost is counted in [`Caps`], which all shards share.

mod bind;
mod caps;
mod desk;
mod tcp;
mod udp;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use bind::{BindError, Bound, Doors, bind};
pub use caps::Caps;
pub use desk::{Desk, Query};
pub use tcp::{Terms, accept};
pub use udp::Socket;

/// Where clients are listened to, and what their connections may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// UDP and TCP on each.
    pub listen: Vec<SocketAddr>,
    /// TCP connections in all, over all shards.
    pub tcp_connections: usize,
    /// TCP connections from one client (IPv4 address, IPv6 /64).
    pub tcp_connections_per_client: usize,
    /// TCP connections from one prefix (IPv4 /24, IPv6 /56).
    pub tcp_connections_per_prefix: usize,
    /// A connection without a question in flight is closed after this (RFC 7766 §6.2.3).
    pub tcp_idle_timeout: Duration,
    /// A connection whose client takes nothing of its replies for so long is closed.
    pub tcp_write_timeout: Duration,
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
            tcp_connections_per_client: 500,
            tcp_connections_per_prefix: 1_000,
            tcp_idle_timeout: Duration::from_secs(10),
            tcp_write_timeout: Duration::from_secs(5),
            tcp_pipeline: 100,
        }
    }
}

/// What the listeners of all shards have seen since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Datagrams taken from client sockets.
    pub udp_received: AtomicU64,
    /// Datagrams longer than a query may be, passed over.
    pub udp_oversized: AtomicU64,
    /// Datagrams that the kernel dropped: there was no room in the queue.
    pub udp_lost: AtomicU64,
    /// Datagrams that the kernel dropped on our word: sources far beyond their share.
    pub udp_filtered: AtomicU64,
    /// Replies by UDP that the kernel took.
    pub udp_sent: AtomicU64,
    /// Replies by UDP that the kernel turned down.
    pub udp_unsent: AtomicU64,
    /// Connections accepted, whether or not a cap then closed them.
    pub tcp_accepted: AtomicU64,
    /// Connections closed at once: as many as allowed were open.
    pub tcp_over_total: AtomicU64,
    /// Connections closed at once: as many as allowed were open from the client's prefix.
    pub tcp_over_prefix: AtomicU64,
    /// Connections closed at once: as many as allowed were open from the client.
    pub tcp_over_client: AtomicU64,
    /// Connections closed at once: as many as allowed were open from a wide network around the client.
    pub tcp_over_wide: AtomicU64,
    /// Connections closed at once: the client's share was used up.
    pub tcp_over_share: AtomicU64,
    /// Connections that could not be accepted: no descriptors, no memory, gone before.
    pub tcp_accept_failed: AtomicU64,
    /// Messages read from connections.
    pub tcp_received: AtomicU64,
    /// Replies written to connections.
    pub tcp_sent: AtomicU64,
    /// Connections closed after their idle time.
    pub tcp_idle: AtomicU64,
    /// Connections closed for a message too short for a header or longer than a query may be.
    pub tcp_misframed: AtomicU64,
    /// Connections closed because the client did not read its replies.
    pub tcp_slow_reader: AtomicU64,
    /// Connections closed because what clients did not read filled the room for it.
    pub tcp_unread_total: AtomicU64,
    /// Times reading stopped because the client had not read as much as it may leave unread.
    pub tcp_unread_full: AtomicU64,
    /// Times reading stopped because as many questions as allowed were in flight on a connection.
    pub tcp_pipeline_full: AtomicU64,
}

impl Counters {
    fn add(counter: &AtomicU64, count: usize) {
        if count > 0 {
            counter.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    /// A datagram was longer than a query may be.
    pub fn note_oversized(&self) {
        Counters::add(&self.udp_oversized, 1);
    }

    /// The kernel dropped so many datagrams by itself, and so many on our word.
    pub fn note_dropped(&self, lost: u64, filtered: u64) {
        self.udp_lost.fetch_add(lost, Ordering::Relaxed);
        self.udp_filtered.fetch_add(filtered, Ordering::Relaxed);
    }

    /// All of them by name.
    pub fn snapshot(&self) -> [(&'static str, u64); 21] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("udp_received", read(&self.udp_received)),
            ("udp_oversized", read(&self.udp_oversized)),
            ("udp_lost", read(&self.udp_lost)),
            ("udp_filtered", read(&self.udp_filtered)),
            ("udp_sent", read(&self.udp_sent)),
            ("udp_unsent", read(&self.udp_unsent)),
            ("tcp_accepted", read(&self.tcp_accepted)),
            ("tcp_over_total", read(&self.tcp_over_total)),
            ("tcp_over_prefix", read(&self.tcp_over_prefix)),
            ("tcp_over_client", read(&self.tcp_over_client)),
            ("tcp_over_wide", read(&self.tcp_over_wide)),
            ("tcp_over_share", read(&self.tcp_over_share)),
            ("tcp_accept_failed", read(&self.tcp_accept_failed)),
            ("tcp_received", read(&self.tcp_received)),
            ("tcp_sent", read(&self.tcp_sent)),
            ("tcp_idle", read(&self.tcp_idle)),
            ("tcp_misframed", read(&self.tcp_misframed)),
            ("tcp_slow_reader", read(&self.tcp_slow_reader)),
            ("tcp_unread_total", read(&self.tcp_unread_total)),
            ("tcp_unread_full", read(&self.tcp_unread_full)),
            ("tcp_pipeline_full", read(&self.tcp_pipeline_full)),
        ]
    }
}
