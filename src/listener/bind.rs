//! Opening every address for every shard, or saying clearly why not.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::Socket;

use crate::net::socket::{listen, tcp_bound, udp_listener};

/// Ports tried for an address with port 0, which UDP and TCP must share.
const TRIES: usize = 32;

/// One shard's sockets, non-blocking; addresses in the order of the policy.
#[derive(Debug)]
pub struct Doors {
    pub udp: Vec<UdpSocket>,
    pub tcp: Vec<TcpListener>,
}

/// Every address, open for every shard.
#[derive(Debug)]
pub struct Bound {
    /// The addresses with their true ports.
    pub addresses: Vec<SocketAddr>,
    pub shards: Vec<Doors>,
}

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    pub address: SocketAddr,
    /// `UDP` or `TCP`.
    pub transport: &'static str,
    pub source: io::Error,
}

impl BindError {
    fn new(address: SocketAddr, transport: &'static str) -> impl Fn(io::Error) -> BindError {
        move |source| BindError { address, transport, source }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BindError { address, transport, source } = self;
        let port = address.port();
        write!(f, "cannot listen on {address} ({transport}): ")?;
        match source.raw_os_error() {
            Some(libc::EADDRINUSE) => {
                write!(f, "the port is in use by another program; `ss -lunpt sport = :{port}` shows which")
            }
            Some(libc::EACCES | libc::EPERM) if port < 1024 => {
                write!(
                    f,
                    "permission denied: port {port} needs CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities) or root"
                )
            }
            Some(libc::EADDRNOTAVAIL) => {
                write!(f, "this machine has no such address; `ip address` shows those it has")
            }
            Some(libc::EAFNOSUPPORT) => {
                write!(f, "this machine has no such address family; take the address out of [server] listen")
            }
            Some(libc::EMFILE | libc::ENFILE) => {
                write!(f, "no file descriptors left; raise LimitNOFILE (ulimit -n)")
            }
            _ => write!(f, "{source}"),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Opens `addresses` for `shards` shards: UDP everywhere first, so that whoever finds a TCP port
/// open may ask by UDP too. Port 0 takes any port that is free for both.
pub fn bind(addresses: &[SocketAddr], shards: usize) -> Result<Bound, BindError> {
    // Sockets that share a port do so with every other process of this user: whether somebody is
    // there is found out first, with sockets that do not share.
    let mut free: Vec<SocketAddr> = Vec::new();
    for &address in addresses {
        if address.port() == 0 || !free.contains(&address) {
            free.push(find_free(address)?);
        }
    }
    let mut udp = Vec::new();
    let mut tcp = Vec::new();
    for _ in 0..shards.max(1) {
        let open = |&address: &SocketAddr| udp_listener(address, true).map_err(BindError::new(address, "UDP"));
        udp.push(free.iter().map(open).collect::<Result<Vec<UdpSocket>, _>>()?);
    }
    for _ in 0..shards.max(1) {
        let open = |&address: &SocketAddr| tcp_bound(address, true).map_err(BindError::new(address, "TCP"));
        tcp.push(free.iter().map(open).collect::<Result<Vec<Socket>, _>>()?);
    }
    let mut doors = Vec::new();
    for (udp, tcp) in udp.into_iter().zip(tcp) {
        let pairs = tcp.into_iter().zip(&free);
        let tcp = pairs.map(|(socket, &address)| listen(socket).map_err(BindError::new(address, "TCP")));
        doors.push(Doors { udp, tcp: tcp.collect::<Result<Vec<TcpListener>, _>>()? });
    }
    Ok(Bound { addresses: free, shards: doors })
}

/// Checks that nobody listens on `address`; with port 0, finds a port.
fn find_free(address: SocketAddr) -> Result<SocketAddr, BindError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let udp = udp_listener(address, false).map_err(BindError::new(address, "UDP"))?;
        let found = udp.local_addr().map_err(BindError::new(address, "UDP"))?;
        match tcp_bound(found, false) {
            Ok(_) => return Ok(found),
            Err(error) if address.port() == 0 && error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => {}
            Err(error) => return Err(BindError::new(address, "TCP")(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn all_shards_share_one_port_for_udp_and_tcp() {
        let bound = bind(&[loopback(), loopback()], 3).expect("bound");
        assert_eq!((bound.addresses.len(), bound.shards.len()), (2, 3));
        assert_ne!(bound.addresses[0], bound.addresses[1]);
        for doors in &bound.shards {
            for (index, address) in bound.addresses.iter().enumerate() {
                assert_eq!(doors.udp[index].local_addr().ok(), Some(*address));
                assert_eq!(doors.tcp[index].local_addr().ok(), Some(*address));
            }
        }
    }

    #[test]
    fn a_port_in_use_is_an_error_even_if_its_user_shares_it() {
        let bound = bind(&[loopback()], 2).expect("bound");
        let address = bound.addresses[0];
        let error = bind(&[address], 1).expect_err("in use").to_string();
        let expected = format!("cannot listen on {address} (UDP): the port is in use by another program");
        assert!(error.starts_with(&expected), "{error}");

        let tcp = TcpListener::bind(loopback()).expect("a port");
        let address = tcp.local_addr().expect("bound");
        let error = bind(&[address], 1).expect_err("in use").to_string();
        assert!(error.contains("(TCP): the port is in use"), "{error}");
    }

    #[test]
    fn an_address_and_its_wildcard_may_both_be_listed_and_twice() {
        let port = bind(&[loopback()], 1).expect("bound").addresses[0].port();
        let listed = [
            SocketAddr::from(([0, 0, 0, 0], port)),
            SocketAddr::from(([127, 0, 0, 1], port)),
            SocketAddr::from(([127, 0, 0, 1], port)),
        ];
        assert_eq!(bind(&listed, 2).expect("bound").addresses, listed[..2]);
    }

    #[test]
    fn no_word_of_an_error_looks_like_readiness() {
        let address = SocketAddr::from(([192, 0, 2, 1], 53));
        for code in [libc::EADDRINUSE, libc::EACCES, libc::EADDRNOTAVAIL, libc::EAFNOSUPPORT, libc::EMFILE] {
            let error = BindError::new(address, "UDP")(io::Error::from_raw_os_error(code)).to_string();
            assert!(!error.contains("ready"), "{error}");
            assert!(error.contains("192.0.2.1:53") && !error.contains('\n'), "{error}");
        }
    }
}
