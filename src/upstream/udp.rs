//! Questions by UDP: for each a connected socket on a fresh random port.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use chacha20::ChaCha12Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{Arrival, Counters, link_error};
use crate::engine::{AskKey, LinkError};
use crate::net::epoll::Epoll;
use crate::net::socket::udp_connected;

/// The lowest port drawn; those below need a right, and some networks filter them.
const LOWEST_PORT: u32 = 1024;
/// Draws of a port before the kernel is left to choose. With half of all ports taken, one question
/// in 256 comes that far.
const DRAWS: usize = 8;
/// The longest UDP payload, in octets.
const LONGEST: usize = 65_535;

/// All open sockets of a shard, watched through one descriptor.
pub struct Sockets {
    open: HashMap<AskKey, UdpSocket>,
    cap: usize,
    watch: AsyncFd<Epoll>,
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
    random: ChaCha12Rng,
    buffer: Box<[u8]>,
}

impl Sockets {
    pub fn new(outgoing: Vec<IpAddr>, cap: usize, seed: [u8; 32]) -> io::Result<Sockets> {
        let (v4, v6) = outgoing.into_iter().partition(IpAddr::is_ipv4);
        Ok(Sockets {
            open: HashMap::new(),
            cap,
            watch: Epoll::new()?.into_awaitable()?,
            v4,
            v6,
            random: ChaCha12Rng::from_seed(seed),
            buffer: vec![0; LONGEST].into_boxed_slice(),
        })
    }

    /// A random one of our addresses that can reach `server`.
    pub fn source_for(&mut self, server: SocketAddr) -> Option<IpAddr> {
        let sources = if server.is_ipv4() { &self.v4 } else { &self.v6 };
        match sources.len() {
            0 => None,
            1 => sources.first().copied(),
            many => sources.get(below(&mut self.random, u32::try_from(many).unwrap_or(u32::MAX)) as usize).copied(),
        }
    }

    pub fn ask(
        &mut self,
        key: AskKey,
        server: SocketAddr,
        packet: &[u8],
        counters: &mut Counters,
    ) -> Result<(), LinkError> {
        if self.open.len() >= self.cap {
            return Err(LinkError::Exhausted);
        }
        let source = self.source_for(server).ok_or(LinkError::NoRoute)?;
        let socket = self.bind(source, server, counters).map_err(|error| link_error(&error))?;
        socket.send(packet).map_err(|error| link_error(&error))?;
        self.watch.get_ref().add(socket.as_fd(), key.0).map_err(|error| link_error(&error))?;
        self.open.insert(key, socket);
        counters.udp_asked += 1;
        Ok(())
    }

    /// A socket on a random port, from the whole range the kernel's own choice would not use.
    fn bind(&mut self, source: IpAddr, server: SocketAddr, counters: &mut Counters) -> io::Result<UdpSocket> {
        for _ in 0..DRAWS {
            let port = LOWEST_PORT + below(&mut self.random, 65_536 - LOWEST_PORT);
            let port = u16::try_from(port).unwrap_or(0);
            match udp_connected(SocketAddr::new(source, port), server) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => counters.port_collisions += 1,
                bound => return bound,
            }
        }
        udp_connected(SocketAddr::new(source, 0), server)
    }

    /// False if `key` has no socket.
    pub fn close(&mut self, key: AskKey) -> bool {
        self.open.remove(&key).is_some()
    }

    /// `seen`: somebody else than the runtime has seen that there is something.
    pub fn receive(&mut self, seen: bool, limit: usize, take: &mut impl FnMut(AskKey, Arrival<'_>)) -> bool {
        let mut taken = 0;
        let next = |watch: &mut Epoll| match watch.take()? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        };
        while taken < limit {
            // Readiness comes once, when the set stops being empty of events: only an empty set
            // may clear it.
            let found = match seen {
                true => next(self.watch.get_mut()),
                false => self.watch.try_io_mut(Interest::READABLE, next),
            };
            let count = match found {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => return true, // interrupted
            };
            for index in 0..count {
                let Some(token) = self.watch.get_ref().token(index) else { continue };
                self.receive_one(AskKey(token), take);
            }
            taken += count;
        }
        true
    }

    /// Takes one packet from the socket of `key`; more stay for the next round.
    fn receive_one(&mut self, key: AskKey, take: &mut impl FnMut(AskKey, Arrival<'_>)) {
        let Some(socket) = self.open.get(&key) else { return };
        match socket.recv(&mut self.buffer) {
            Ok(length) => take(key, Ok(&self.buffer[..length])),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => {
                self.open.remove(&key);
                // What a router says of the way comes here; that there is none was known before.
                let error = link_error(&error);
                take(key, Err(if error == LinkError::NoRoute { LinkError::Unreachable } else { error }));
            }
        }
    }

    /// To be watched.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.watch.get_ref().as_fd()
    }

    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.watch.poll_read_ready(context).map(|_| ())
    }
}

/// A random number below `bound`. Its bias, below 2^-16, is beneath notice.
fn below(random: &mut ChaCha12Rng, bound: u32) -> u32 {
    let drawn = u64::from(random.next_u32()) * u64::from(bound);
    u32::try_from(drawn >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;
    use tokio::time::timeout;

    const WAIT: Duration = Duration::from_secs(5);

    fn sockets(outgoing: &[&str], cap: usize) -> Sockets {
        let outgoing = outgoing.iter().map(|ip| ip.parse().expect("an address")).collect();
        Sockets::new(outgoing, cap, [7; 32]).expect("sockets")
    }

    fn server() -> (UdpSocket, SocketAddr) {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        server.set_read_timeout(Some(WAIT)).expect("a timeout");
        let addr = server.local_addr().expect("bound");
        (server, addr)
    }

    /// Waits for what comes next.
    async fn arrivals(sockets: &mut Sockets) -> Vec<(AskKey, Result<Vec<u8>, LinkError>)> {
        let mut found = Vec::new();
        while found.is_empty() {
            timeout(WAIT, std::future::poll_fn(|context| sockets.poll_ready(context))).await.expect("in time");
            while sockets.receive(false, 16, &mut |key, arrival| found.push((key, arrival.map(<[u8]>::to_vec)))) {}
        }
        found
    }

    #[tokio::test]
    async fn every_question_leaves_from_another_port_and_hears_only_its_own_answer() {
        let (server, addr) = server();
        let mut sockets = sockets(&["127.0.0.1"], 1000);
        let mut counters = Counters::default();
        for number in 0..100u8 {
            sockets.ask(AskKey(u64::from(number)), addr, &[number], &mut counters).expect("sent");
        }
        let mut ports = HashSet::new();
        let mut buffer = [0; 16];
        for _ in 0..100 {
            let (length, from) = server.recv_from(&mut buffer).expect("a question");
            assert!(ports.insert(from.port()), "port {} used twice", from.port());
            assert!(from.port() >= 1024);
            server.send_to(&buffer[..length], from).expect("answered");
        }
        let spread = ports.iter().max().expect("ports") - ports.iter().min().expect("ports");
        assert!(spread > 30_000, "the ports lie within {spread} of each other");
        let mut answered = HashSet::new();
        while answered.len() < 100 {
            for (key, arrival) in arrivals(&mut sockets).await {
                assert_eq!(arrival, Ok(vec![u8::try_from(key.0).expect("small")]));
                assert!(answered.insert(key));
                assert!(sockets.close(key));
            }
        }
        assert!(sockets.open.is_empty());
        assert_eq!(counters.udp_asked, 100);
    }

    #[tokio::test]
    async fn a_socket_stays_open_for_a_second_packet_until_it_is_closed() {
        let (server, addr) = server();
        let mut sockets = sockets(&["0.0.0.0"], 10);
        sockets.ask(AskKey(1), addr, b"?", &mut Counters::default()).expect("sent");
        let (_, from) = server.recv_from(&mut [0; 16]).expect("a question");
        for text in [b"forged", b"answer"] {
            server.send_to(text, from).expect("sent");
            assert_eq!(arrivals(&mut sockets).await, [(AskKey(1), Ok(text.to_vec()))]);
        }
        assert!(sockets.close(AskKey(1)));
        assert!(!sockets.close(AskKey(1)));
    }

    #[tokio::test]
    async fn packets_from_elsewhere_are_not_heard() {
        let (server, addr) = server();
        let mut sockets = sockets(&["127.0.0.1"], 10);
        sockets.ask(AskKey(1), addr, b"?", &mut Counters::default()).expect("sent");
        let (_, from) = server.recv_from(&mut [0; 16]).expect("a question");
        let (stranger, _) = self::server();
        stranger.send_to(b"forged", from).expect("sent");
        server.send_to(b"answer", from).expect("sent");
        assert_eq!(arrivals(&mut sockets).await, [(AskKey(1), Ok(b"answer".to_vec()))]);
    }

    #[tokio::test]
    async fn a_refusal_ends_the_question() {
        let (gone, addr) = server();
        drop(gone);
        let mut sockets = sockets(&["127.0.0.1"], 10);
        sockets.ask(AskKey(9), addr, b"?", &mut Counters::default()).expect("sent");
        assert_eq!(arrivals(&mut sockets).await, [(AskKey(9), Err(LinkError::Refused))]);
        assert!(!sockets.close(AskKey(9)), "the socket is still open");
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_said_at_once() {
        let (_server, addr) = server();
        let mut counters = Counters::default();
        let mut full = sockets(&["127.0.0.1"], 1);
        full.ask(AskKey(1), addr, b"?", &mut counters).expect("sent");
        assert_eq!(full.ask(AskKey(2), addr, b"?", &mut counters), Err(LinkError::Exhausted));
        assert!(full.close(AskKey(1)));
        assert_eq!(full.ask(AskKey(3), addr, b"?", &mut counters), Ok(()));

        let mut only_v4 = sockets(&["127.0.0.1"], 10);
        let six = SocketAddr::from((Ipv6Addr::LOCALHOST, 53));
        assert_eq!(only_v4.ask(AskKey(1), six, b"?", &mut counters), Err(LinkError::NoRoute));
        // TEST-NET-1 is nobody's: this machine has no such address.
        let mut foreign = sockets(&["192.0.2.1"], 10);
        assert_eq!(foreign.ask(AskKey(1), addr, b"?", &mut counters), Err(LinkError::NoRoute));
    }

    #[tokio::test]
    async fn source_addresses_take_turns() {
        let (server, addr) = server();
        let mut sockets = sockets(&["127.0.0.2", "127.0.0.3", "::1"], 100);
        let mut sources = HashSet::new();
        for number in 0..64 {
            sockets.ask(AskKey(number), addr, b"?", &mut Counters::default()).expect("sent");
            sources.insert(server.recv_from(&mut [0; 16]).expect("a question").1.ip());
        }
        assert_eq!(sources, HashSet::from([IpAddr::from([127, 0, 0, 2]), IpAddr::from([127, 0, 0, 3])]));
    }
}
