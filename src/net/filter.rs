//! A filter on a client socket: packets of a few sources that ask far beyond their share are thinned out before
//! they are queued, where that costs least. Classic BPF, which needs no right.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// Sources in one filter at most: jumps in the program reach no further, and each costs every packet a comparison.
pub const MOST: usize = 32;

/// A source, and which part of its packets passes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Thinned {
    /// An IPv4 address, or an IPv6 one that stands for its /64.
    pub source: IpAddr,
    /// 0 to 1.
    pub part: f32,
}

/// Thins out the sources of `socket`'s family among `thinned`, and no others any more.
pub fn thin_out(socket: &UdpSocket, thinned: &[Thinned]) -> io::Result<()> {
    let ipv6 = socket.local_addr()?.is_ipv6();
    let program = program(ipv6, thinned);
    if program.is_empty() {
        return set(socket, libc::SO_DETACH_FILTER, &0i32).or_else(|error| match error.raw_os_error() {
            Some(libc::ENOENT) => Ok(()),
            _ => Err(error),
        });
    }
    let mut program: Vec<libc::sock_filter> = program;
    let attached = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: program.as_mut_ptr(),
    };
    set(socket, libc::SO_ATTACH_FILTER, &attached)
}

fn set<T>(socket: &UdpSocket, option: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the socket is open; `value` lives through the call, and so does the program it may point to, which
    // the kernel copies and verifies.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Where the source address is, counted from the IP header, whatever the socket shows of the packet.
const NETWORK: u32 = (-0x10_0000i32) as u32;
/// A random number in place of packet data.
const RANDOM: u32 = (-0x1000i32 + 56) as u32;
const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
const LENGTH: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_LEN) as u16;
const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const LESS: u16 = (libc::BPF_ALU | libc::BPF_SUB | libc::BPF_K) as u16;
const INTO_X: u16 = (libc::BPF_MISC | libc::BPF_TAX) as u16;
const LOAD_AT_X: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_IND) as u16;
/// Code and length of a DNS cookie with a server's part of 16 octets (RFC 9018), as the last option of a query, and the
/// octets from there to the end.
const COOKIE: u32 = 10 << 16 | 24;
const COOKIE_OCTETS: u32 = 28;

fn step(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// Lets a query pass that ends with a full cookie, whoever sent it: nobody is to lose what he has proven because somebody
/// else asks in his name. Whether the cookie is good is seen later.
fn with_cookie() -> [libc::sock_filter; 7] {
    [
        step(LENGTH, 0, 0, 0),
        step(AT_LEAST, COOKIE_OCTETS, 0, 5),
        step(LESS, COOKIE_OCTETS, 0, 0),
        step(INTO_X, 0, 0, 0),
        step(LOAD_AT_X, 0, 0, 0),
        step(EQUAL, COOKIE, 0, 1),
        step(RETURN, u32::MAX, 0, 0),
    ]
}

/// Compares the source with one after the other; where it is one of them, a random number decides.
fn program(ipv6: bool, thinned: &[Thinned]) -> Vec<libc::sock_filter> {
    let mut steps = Vec::new();
    let ours = thinned.iter().filter(|thinned| thinned.source.is_ipv6() == ipv6).take(MOST);
    for Thinned { source, part } in ours {
        let passes = (f64::from(part.clamp(0.0, 1.0)) * f64::from(u32::MAX)) as u32;
        match source {
            IpAddr::V4(v4) => {
                steps.push(step(LOAD, NETWORK.wrapping_add(12), 0, 0));
                steps.push(step(EQUAL, u32::from(*v4), 0, 4));
            }
            IpAddr::V6(v6) => {
                let network = (u128::from(*v6) >> 64) as u64;
                steps.push(step(LOAD, NETWORK.wrapping_add(8), 0, 0));
                steps.push(step(EQUAL, (network >> 32) as u32, 0, 6));
                steps.push(step(LOAD, NETWORK.wrapping_add(12), 0, 0));
                steps.push(step(EQUAL, network as u32, 0, 4));
            }
        }
        steps.push(step(LOAD, RANDOM, 0, 0));
        steps.push(step(GREATER, passes, 0, 1));
        steps.push(step(RETURN, 0, 0, 0));
        steps.push(step(RETURN, u32::MAX, 0, 0));
    }
    if !steps.is_empty() {
        steps.push(step(RETURN, u32::MAX, 0, 0));
        steps.splice(0..0, with_cookie());
    }
    steps
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;
    use crate::net::socket::udp_listener;

    /// How many of `count` packets from `source` to a socket with such a filter arrive there.
    fn arrive(listener: &UdpSocket, source: IpAddr, count: usize) -> usize {
        let sender = UdpSocket::bind((source, 0)).expect("an address of this machine");
        let target = listener.local_addr().expect("bound");
        let mut arrived = 0;
        for _ in 0..count {
            sender.send_to(b"a packet", target).expect("sent");
            // On loopback it is there, or dropped, when it has been sent.
            arrived += usize::from(listener.recv(&mut [0; 16]).is_ok());
        }
        arrived
    }

    #[test]
    fn sources_are_thinned_out_and_others_pass() {
        let listener = udp_listener(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false).expect("a port");
        let source = |last| IpAddr::from([127, 9, 0, last]);
        let filters: Vec<Thinned> =
            (0..=255u8).map(|last| Thinned { source: source(last), part: if last == 7 { 0.5 } else { 0.0 } }).collect();
        thin_out(&listener, &filters[..8]).expect("attached");
        assert_eq!(arrive(&listener, source(3), 200), 0);
        let half = arrive(&listener, source(7), 1000);
        assert!((380..620).contains(&half), "{half}");
        assert_eq!(arrive(&listener, source(9), 200), 200);
        thin_out(&listener, &filters).expect("more than there is room for");
        assert_eq!(arrive(&listener, source(31), 200), 0);
        assert_eq!(arrive(&listener, source(32), 200), 200);
        thin_out(&listener, &[]).expect("detached");
        thin_out(&listener, &[]).expect("detached twice");
        assert_eq!(arrive(&listener, source(3), 200), 200);
    }

    #[test]
    fn a_query_that_ends_with_a_cookie_passes_and_short_ones_are_treated_like_all() {
        let listener = udp_listener(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false).expect("a port");
        let source = IpAddr::from([127, 9, 0, 3]);
        thin_out(&listener, &[Thinned { source, part: 0.0 }]).expect("attached");
        let target = listener.local_addr().expect("bound");
        let arrives = |from: IpAddr, packet: &[u8]| {
            UdpSocket::bind((from, 0)).expect("an address of this machine").send_to(packet, target).expect("sent");
            listener.recv(&mut [0; 128]).is_ok()
        };
        let query = |option: [u8; 4]| [&[7; 40][..], &option, &[9; 24]].concat();
        assert!(arrives(source, &query([0, 10, 0, 24])));
        assert!(!arrives(source, &query([0, 10, 0, 8])) && !arrives(source, &query([0, 3, 0, 24])));
        for length in 0..24 {
            assert!(!arrives(source, &[7; 24][..length]), "{length} octets");
            assert!(arrives(IpAddr::from([127, 9, 0, 4]), &[7; 24][..length]), "{length} octets of another");
        }
    }

    #[test]
    fn an_ipv6_source_stands_for_its_64() {
        let Ok(listener) = udp_listener("[::1]:0".parse().expect("an address"), false) else {
            return; // no IPv6 on this machine
        };
        let loopback = "::1".parse().expect("an address");
        let other = Thinned { source: "2001:db8::".parse().expect("an address"), part: 0.0 };
        thin_out(&listener, &[other]).expect("attached");
        assert_eq!(arrive(&listener, loopback, 20), 20);
        let same = Thinned { source: "::".parse().expect("an address"), part: 0.0 };
        thin_out(&listener, &[other, same]).expect("attached");
        assert_eq!(arrive(&listener, loopback, 20), 0);
    }
}
