//! A filter on a client socket: packets of a few sources that ask far beyond their share are thinned out before
//! they are queued, where that costs least. Classic BPF, which needs no right.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// Sources in one filter at most: jumps in the program reach no further, and each costs every packet a comparison.
pub const MOST: usize = 32;

/// Cookies of one source that pass in any case, at most: each is a comparison for what else ends with one.
pub const SPARED: usize = 16;

/// A source, and which part of its packets passes.
#[derive(Clone, PartialEq, Debug)]
pub struct Thinned {
    /// An IPv4 address, or an IPv6 one that stands for its /64.
    pub source: IpAddr,
    /// Of those without a cookie, 0 to 1.
    pub part: f32,
    /// Of those that end with what looks like one.
    pub cookies: f32,
    /// The last octets of cookies that are known to be good: all that end with those pass.
    pub spared: Vec<u32>,
}

/// The last octets of a packet that ends with a full cookie (RFC 9018), by which the filter knows it.
pub fn cookie_end(packet: &[u8]) -> Option<u32> {
    let (option, end) = (packet.last_chunk::<{ COOKIE_OCTETS as usize }>()?, packet.last_chunk()?);
    let head = option.first_chunk().map(|head| u32::from_be_bytes(*head));
    (head == Some(COOKIE)).then(|| u32::from_be_bytes(*end))
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

/// What becomes of a packet of a source: a part passes, of those with a cookie another part, and all whose cookie is known to
/// be good, so that nobody loses what he has proven because somebody else asks in his name.
fn decide(thinned: &Thinned) -> Vec<libc::sock_filter> {
    let passes = |part: f32| (f64::from(part.clamp(0.0, 1.0)) * f64::from(u32::MAX)) as u32;
    let draw = |part: f32| {
        let drawn = [step(LOAD, RANDOM, 0, 0), step(GREATER, passes(part), 0, 1)];
        drawn.into_iter().chain([step(RETURN, 0, 0, 0), step(RETURN, u32::MAX, 0, 0)])
    };
    let spared = &thinned.spared[..thinned.spared.len().min(SPARED)];
    let mut cookie = vec![step(LOAD_AT_X, COOKIE_OCTETS - 4, 0, 0)];
    for end in spared {
        cookie.extend([step(EQUAL, *end, 0, 1), step(RETURN, u32::MAX, 0, 0)]);
    }
    cookie.extend(draw(thinned.cookies));
    // At most 1 + 2 × 16 + 4.
    let over = cookie.len() as u8;
    let mut steps = vec![
        step(LENGTH, 0, 0, 0),
        step(AT_LEAST, COOKIE_OCTETS, 0, over + 4),
        step(LESS, COOKIE_OCTETS, 0, 0),
        step(INTO_X, 0, 0, 0),
        step(LOAD_AT_X, 0, 0, 0),
        step(EQUAL, COOKIE, 0, over),
    ];
    steps.extend(cookie);
    steps.extend(draw(thinned.part));
    steps
}

/// Compares the source with one after the other; where it is one of them, it is decided on there.
fn program(ipv6: bool, thinned: &[Thinned]) -> Vec<libc::sock_filter> {
    let mut steps = Vec::new();
    let ours = thinned.iter().filter(|thinned| thinned.source.is_ipv6() == ipv6).take(MOST);
    for thinned in ours {
        let decided = decide(thinned);
        // At most 6 + 37 + 4, and two more.
        let over = decided.len() as u8;
        match thinned.source {
            IpAddr::V4(v4) => {
                steps.push(step(LOAD, NETWORK.wrapping_add(12), 0, 0));
                steps.push(step(EQUAL, u32::from(v4), 0, over));
            }
            IpAddr::V6(v6) => {
                let network = (u128::from(v6) >> 64) as u64;
                steps.push(step(LOAD, NETWORK.wrapping_add(8), 0, 0));
                steps.push(step(EQUAL, (network >> 32) as u32, 0, over + 2));
                steps.push(step(LOAD, NETWORK.wrapping_add(12), 0, 0));
                steps.push(step(EQUAL, network as u32, 0, over));
            }
        }
        steps.extend(decided);
    }
    if !steps.is_empty() {
        steps.push(step(RETURN, u32::MAX, 0, 0));
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

    fn thinned(source: IpAddr, part: f32) -> Thinned {
        Thinned { source, part, cookies: 1.0, spared: Vec::new() }
    }

    #[test]
    fn sources_are_thinned_out_and_others_pass() {
        let listener = udp_listener(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false).expect("a port");
        let source = |last| IpAddr::from([127, 9, 0, last]);
        let filters: Vec<Thinned> =
            (0..=255u8).map(|last| thinned(source(last), if last == 7 { 0.5 } else { 0.0 })).collect();
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
        thin_out(&listener, &[thinned(source, 0.0)]).expect("attached");
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
    fn what_only_looks_like_a_cookie_is_thinned_out_and_good_cookies_pass() {
        let listener = udp_listener(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false).expect("a port");
        let source = IpAddr::from([127, 9, 0, 5]);
        let target = listener.local_addr().expect("bound");
        let sender = UdpSocket::bind((source, 0)).expect("an address of this machine");
        let arrives = |packet: &[u8]| {
            sender.send_to(packet, target).expect("sent");
            listener.recv(&mut [0; 128]).is_ok()
        };
        let query = |end: u32| [&[7; 40][..], &[0, 10, 0, 24], &[9; 20], &end.to_be_bytes()].concat();
        for count in [0, 1, SPARED, 2 * SPARED] {
            let spared: Vec<u32> = (0..count as u32).map(|end| 0xcafe_0000 | end).collect();
            let ours = Thinned { cookies: 0.0, spared: spared.clone(), ..thinned(source, 0.5) };
            // Sources beyond it are reached, with as many steps before them as there may be.
            let before = (0..20).map(|last| Thinned { source: IpAddr::from([10, 0, 0, last]), ..ours.clone() });
            let all: Vec<Thinned> = before.chain([ours.clone()]).collect();
            thin_out(&listener, &all).expect("attached");
            assert!((0..50).all(|_| !arrives(&query(7))), "{count} are good");
            for (place, end) in spared.iter().enumerate() {
                assert_eq!(cookie_end(&query(*end)), Some(*end));
                assert_eq!(arrives(&query(*end)), place < SPARED, "number {place} of {count}");
            }
            let plain = (0..400).filter(|_| arrives(b"a packet")).count();
            assert!((130..270).contains(&plain), "{plain} of 400 without a cookie");
        }
        assert_eq!(cookie_end(&[0, 10, 0, 24]), None);
        assert_eq!(cookie_end(&[7; 40]), None);
    }

    #[test]
    fn an_ipv6_source_stands_for_its_64() {
        let Ok(listener) = udp_listener("[::1]:0".parse().expect("an address"), false) else {
            return; // no IPv6 on this machine
        };
        let loopback = "::1".parse().expect("an address");
        let other = thinned("2001:db8::".parse().expect("an address"), 0.0);
        thin_out(&listener, std::slice::from_ref(&other)).expect("attached");
        assert_eq!(arrive(&listener, loopback, 20), 20);
        let same = thinned("::".parse().expect("an address"), 0.0);
        thin_out(&listener, &[other, same]).expect("attached");
        assert_eq!(arrive(&listener, loopback, 20), 0);
    }
}
