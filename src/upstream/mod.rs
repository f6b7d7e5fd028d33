//! Packets to authoritative servers.
//!
//! Every question by UDP has a socket of its own on a fresh random port (RFC 5452 §4.5), which lives
//! from [`Upstream::ask`] to [`Upstream::close`]. Questions by TCP share connections (RFC 7766 §6.2).

mod tcp;
mod udp;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::clock::Moment;
use crate::engine::{AskKey, AskTransport, LinkError};

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

/// What the way to servers has seen; since the start of its shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Questions sent by UDP.
    pub udp_asked: u64,
    /// Questions given to a TCP connection.
    pub tcp_asked: u64,
    /// TCP connections begun.
    pub tcp_connections: u64,
    /// Questions that found the cap of open sockets or connections reached.
    pub exhausted: u64,
    /// Random ports that were taken, so that another was drawn.
    pub port_collisions: u64,
    /// Questions put again because a kept connection had been closed by the server.
    pub tcp_retried: u64,
    /// Messages on a TCP connection that answer nothing asked there.
    pub tcp_unasked: u64,
}

/// What came of a question: a packet, or the transport's word that none will come.
pub type Arrival<'a> = Result<&'a [u8], LinkError>;

/// One shard's ways to servers. Lives inside the shard's runtime.
pub struct Upstream {
    udp: udp::Sockets,
    tcp: tcp::Pool,
    counters: Counters,
}

impl Upstream {
    /// No question under way. At most `udp_sockets` are open at once; `seed` draws ports and source
    /// addresses. Called inside a runtime whose tasks stay on its thread.
    pub fn new(policy: &Policy, udp_sockets: usize, seed: [u8; 32]) -> io::Result<Upstream> {
        Ok(Upstream {
            udp: udp::Sockets::new(policy.outgoing.clone(), udp_sockets, seed)?,
            tcp: tcp::Pool::new(policy.clone()),
            counters: Counters::default(),
        })
    }

    /// Sends a query. On an error nothing is open for `key`.
    pub fn ask(
        &mut self,
        now: Moment,
        key: AskKey,
        server: SocketAddr,
        transport: AskTransport,
        packet: &[u8],
    ) -> Result<(), LinkError> {
        if !is_askable(server) {
            return Err(LinkError::Unreachable);
        }
        let asked = match transport {
            AskTransport::Udp => self.udp.ask(key, server, packet, &mut self.counters),
            AskTransport::Tcp => {
                let source = self.udp.source_for(server);
                source
                    .ok_or(LinkError::NoRoute)
                    .and_then(|source| self.tcp.ask(now, key, server, source, packet, &mut self.counters))
            }
        };
        if asked == Err(LinkError::Exhausted) {
            self.counters.exhausted += 1;
        }
        asked
    }

    /// Nothing more is awaited for `key`.
    pub fn close(&mut self, now: Moment, key: AskKey) {
        if !self.udp.close(key) {
            self.tcp.close(now, key);
        }
    }

    /// Hands what has come, about `limit` packets at most, to `take`; true if there may be more.
    /// After an error `key` is closed here. `seen`: somebody else than the runtime has seen that something came by UDP.
    pub fn receive(
        &mut self,
        now: Moment,
        seen: bool,
        limit: usize,
        mut take: impl FnMut(AskKey, Arrival<'_>),
    ) -> bool {
        let more_udp = self.udp.receive(seen, limit, &mut take);
        let more_tcp = self.tcp.receive(now, limit, &mut self.counters, &mut take);
        more_udp || more_tcp
    }

    /// To be watched for what comes by UDP.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.udp.descriptor()
    }

    /// Ready when [`receive`](Self::receive) has something to do.
    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let udp = self.udp.poll_ready(context);
        let tcp = self.tcp.poll_ready(context);
        if udp.is_ready() || tcp.is_ready() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called next.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.tcp.poll_timeout()
    }

    /// Closes connections that were idle for too long by `now`.
    pub fn handle_timeout(&mut self, now: Moment) {
        self.tcp.handle_timeout(now);
    }

    /// What has been seen so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

/// Whether `server` can be one single host. Records are free to name what the kernel would take for
/// this machine, for many, or for an IPv4 host in disguise.
fn is_askable(server: SocketAddr) -> bool {
    let ip = server.ip();
    let disguised = matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    server.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !disguised
}

/// What an error of the operating system means for a question under way.
fn link_error(error: &io::Error) -> LinkError {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => LinkError::Refused,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EADDRINUSE | libc::EAGAIN) => {
            LinkError::Exhausted
        }
        Some(libc::ECONNRESET | libc::EPIPE | libc::ECONNABORTED) => LinkError::Closed,
        Some(libc::ENETUNREACH | libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT | libc::EPERM) => LinkError::NoRoute,
        _ => LinkError::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_that_are_no_host_are_not_asked() {
        let mut upstream = Upstream::new(&Policy::default(), 10, [1; 32]).expect("ways to servers");
        for server in
            ["0.0.0.0:53", "[::]:53", "224.0.0.251:53", "[ff02::fb]:53", "[::ffff:127.0.0.1]:53", "127.0.0.1:0"]
        {
            let addr = server.parse().expect("an address");
            for transport in [AskTransport::Udp, AskTransport::Tcp] {
                let asked = upstream.ask(Moment::ZERO, AskKey(1), addr, transport, b"question");
                assert_eq!(asked, Err(LinkError::Unreachable), "{server}");
            }
        }
        assert_eq!(upstream.counters(), Counters::default());
    }
}
