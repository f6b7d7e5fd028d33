//! Sockets with the options a resolver wants.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The receive buffer asked of the kernel for a client socket, in octets: some thousand queries that
/// arrive while a shard is busy wait here instead of being lost (the kernel counts about a KiB each).
pub const RECEIVE_BUFFER: usize = 4 << 20;
/// The send buffer asked of the kernel for a client socket.
pub const SEND_BUFFER: usize = 1 << 20;
/// Connections that may wait to be accepted; the kernel takes the smaller of this and `somaxconn`.
const BACKLOG: i32 = 1024;

/// A non-blocking UDP socket for clients, bound to `addr`. With `shared`, more sockets of this
/// user may be bound there, and the kernel spreads clients over them.
pub fn udp_listener(addr: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new_raw(Domain::for_address(addr), Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(shared)?;
    // Both are wishes: the kernel gives what its limits allow.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    ignore_path_mtu(&socket, addr.is_ipv6())?;
    if addr.ip().is_unspecified() {
        report_destination(&socket, addr.is_ipv6())?;
    }
    socket.bind(&SockAddr::from(addr))?;
    Ok(UdpSocket::from(OwnedFd::from(socket)))
}

/// `socket` as something a task of the current runtime can wait for.
pub fn into_awaitable(socket: UdpSocket) -> io::Result<AsyncFd<UdpSocket>> {
    // SAFETY: the socket owns its descriptor, which stays open and the same as long as it lives.
    Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?)
}

/// Has the kernel prefer `socket`, of those that share its port, for what it takes in on `core` (for UDP from Linux 6.2 on;
/// older ones spread clients as if this had not been called, as all do for cores that no socket prefers).
pub fn prefer_core(socket: BorrowedFd<'_>, core: usize) -> io::Result<()> {
    let core = libc::c_int::try_from(core).map_err(|_| io::ErrorKind::InvalidInput)?;
    set_int(socket, libc::SOL_SOCKET, libc::SO_INCOMING_CPU, core)
}

/// Lets `octets` wait in `socket`'s receive buffer, beyond what the system allows everyone, where this process may
/// (CAP_NET_ADMIN); else as much as it allows.
pub fn widen_receive_buffer(socket: &UdpSocket, octets: usize) {
    let size = libc::c_int::try_from(octets).unwrap_or(libc::c_int::MAX);
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the socket is open, and `size` is an int of `length` octets for the length of the call.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, (&raw const size).cast(), length)
    };
    if done != 0 {
        // A wish: the kernel gives what its limits allow.
        let _ = socket2::SockRef::from(socket).set_recv_buffer_size(octets);
    }
}

/// Octets the kernel lets wait in `socket`'s receive buffer. It counts its own bookkeeping too, and
/// doubles what is asked for to make room for that; here the doubling is taken back.
pub fn receive_buffer(socket: &UdpSocket) -> io::Result<usize> {
    Ok(socket2::SockRef::from(socket).recv_buffer_size()? / 2)
}

/// What the kernel says of a socket's queue.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Queue {
    /// The part of its room that is taken, 0 to 1.
    pub filled: f32,
    /// Packets dropped since the socket was made: those for which there was no room, and those that a filter refused.
    pub dropped: u32,
}

/// How the queue of `socket` is; none where the kernel does not say.
pub fn queue(socket: &UdpSocket) -> Option<Queue> {
    // The kernel's SK_MEMINFO_RMEM_ALLOC, _RCVBUF, _DROPS and _VARS.
    const TAKEN: usize = 0;
    const ROOM: usize = 1;
    const DROPS: usize = 8;
    let mut words = [0u32; DROPS + 1];
    let mut size = size_of_val(&words) as libc::socklen_t;
    // SAFETY: the socket is open, and `words` has room for `size` octets.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            words.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    (done == 0 && size as usize == size_of_val(&words))
        .then(|| Queue { filled: words[TAKEN] as f32 / words[ROOM].max(1) as f32, dropped: words[DROPS] })
}

/// A TCP socket for clients, bound to `addr`, that does not listen yet. With `shared`, as
/// [`udp_listener`].
pub fn tcp_bound(addr: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new_raw(Domain::for_address(addr), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of an earlier run that are still in TIME_WAIT must not keep the port.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&SockAddr::from(addr))?;
    Ok(socket)
}

/// Lets `socket` accept connections.
pub fn listen(socket: Socket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from(OwnedFd::from(socket)))
}

/// A non-blocking UDP socket for one question: bound to `source`, connected to `server`, so that
/// the kernel lets nothing in but what comes from there.
pub fn udp_connected(source: SocketAddr, server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new_raw(Domain::for_address(server), Type::DGRAM.nonblocking().cloexec(), None)?;
    ignore_path_mtu(&socket, server.is_ipv6())?;
    socket.bind(&SockAddr::from(source))?;
    socket.connect(&SockAddr::from(server))?;
    Ok(UdpSocket::from(OwnedFd::from(socket)))
}

/// Whether this machine can speak to addresses of `addr`'s family at all, and from `addr`.
pub fn can_bind(addr: IpAddr) -> io::Result<()> {
    let addr = SocketAddr::new(addr, 0);
    let socket = Socket::new_raw(Domain::for_address(addr), Type::DGRAM.cloexec(), None)?;
    socket.bind(&SockAddr::from(addr))
}

/// Packets leave without the don't-fragment bit and with the size of the interface, and what ICMP
/// says of smaller sizes on the way is not believed: forged, it would make fragments of our packets
/// that can be replaced one by one (RFC 9715 §3.1).
fn ignore_path_mtu(socket: &Socket, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        set_int(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT)
    } else {
        set_int(socket.as_fd(), libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT)
    }
}

/// Datagrams with so many octets of payload go through any path in one piece (RFC 9715 §3.2 and its Appendix A).
pub const WHOLE_ANYWHERE: u16 = 1232;

/// Has what a client socket sends leave with the don't-fragment bit (RFC 9715 §3.1, R2), or not. The size of the interface
/// counts for it and what ICMP says does not, either way. With the bit the kernel keeps what ICMP says for ten minutes,
/// though, forged or not: what goes to that address by TCP is in smaller segments then, of 552 octets at least
/// (`net.ipv4.route.min_pmtu`). Such packets need no identification (RFC 6864 §4.1), which the kernel
/// draws from counters that all cores share: a twelfth of what an answer costs. IPv6 knows no fragments on the way.
pub fn keep_whole(socket: BorrowedFd<'_>, whole: bool) -> io::Result<()> {
    let way = if whole { libc::IP_PMTUDISC_PROBE } else { libc::IP_PMTUDISC_OMIT };
    let ipv6 = socket2::SockRef::from(&socket).domain()? == Domain::IPV6;
    if ipv6 { Ok(()) } else { set_int(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, way) }
}

/// Each packet comes with the address it was sent to, which the reply must leave from.
fn report_destination(socket: &Socket, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        set_int(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    } else {
        set_int(socket.as_fd(), libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    }
}

fn set_int(socket: BorrowedFd<'_>, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the socket is open, and `value` is an int of `size` octets for the length of the call.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), size) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_shared_port_is_shared_and_an_unshared_one_is_refused() {
        let first = udp_listener(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), true).expect("a port");
        let addr = first.local_addr().expect("bound");
        assert!(udp_listener(addr, true).is_ok());
        assert_eq!(udp_listener(addr, false).expect_err("in use").kind(), io::ErrorKind::AddrInUse);

        let listening = listen(tcp_bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), true).expect("a port"));
        let addr = listening.as_ref().expect("listening").local_addr().expect("bound");
        assert!(tcp_bound(addr, true).is_ok());
        assert_eq!(tcp_bound(addr, false).expect_err("in use").kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn what_is_never_taken_is_dropped_and_counted() {
        let socket = udp_listener(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false).expect("a port");
        let addr = socket.local_addr().expect("bound");
        assert_eq!(queue(&socket), Some(Queue::default()));
        // The smallest buffer there is takes some four of these.
        socket2::SockRef::from(&socket).set_recv_buffer_size(1).expect("a smaller buffer");
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        for _ in 0..100 {
            sender.send_to(&[0; 512], addr).expect("sent");
        }
        assert!(queue(&socket).is_some_and(|queue| queue.dropped > 50 && queue.filled > 0.5));
    }

    #[test]
    fn an_ipv6_wildcard_leaves_the_ipv4_port_free() {
        let Ok(six) = udp_listener(SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0)), false) else {
            return; // no IPv6 on this machine
        };
        let port = six.local_addr().expect("bound").port();
        assert!(udp_listener(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), false).is_ok());
    }
}
