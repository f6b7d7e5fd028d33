//! Questions in volleys: dozens of messages in one system call, in each some questions of one client, which the kernel takes
//! apart (UDP_SEGMENT, Linux 4.18), so that every question is a datagram of its own and costs a generator less than the server.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

use super::socket::{udp_listener, widen_receive_buffer};

/// Messages in a system call.
const MESSAGES: usize = 64;
/// Responses taken in a system call, and octets kept of each.
pub const TAKEN: usize = 128;
const ROOM: usize = 512;
/// Questions in a message at most.
pub const PARTS: usize = 16;
/// Octets of responses that may wait, as far as the system allows.
const RECEIVED: usize = 8 << 20;
/// Room for the address a message leaves from and the length of its parts.
const CONTROL: usize = 64;

/// One client's questions, all of the same length.
struct Message {
    octets: Vec<u8>,
    client: Ipv4Addr,
    part: u16,
}

/// A socket with what is to be sent through it.
pub struct Volley {
    socket: UdpSocket,
    server: libc::sockaddr_in,
    messages: Vec<Message>,
    filled: usize,
    taken: Box<[[u8; ROOM]; TAKEN]>,
    lengths: [usize; TAKEN],
}

impl Volley {
    /// Toward `server`, from any address of this machine.
    pub fn new(server: SocketAddrV4) -> io::Result<Volley> {
        let socket = udp_listener(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), false)?;
        widen_receive_buffer(&socket, RECEIVED);
        let server = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: server.port().to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from(*server.ip()).to_be() },
            sin_zero: [0; 8],
        };
        let message = || Message { octets: Vec::new(), client: Ipv4Addr::UNSPECIFIED, part: 0 };
        Ok(Volley {
            socket,
            server,
            messages: (0..MESSAGES).map(|_| message()).collect(),
            filled: 0,
            taken: Box::new([[0; ROOM]; TAKEN]),
            lengths: [0; TAKEN],
        })
    }

    /// Adds a question of `client` with this ID: to the last message, if that is of the same client, has not [`PARTS`] yet,
    /// and its questions are of the same length; else to a new one.
    pub fn add(&mut self, client: Ipv4Addr, id: u16, question: &[u8]) -> io::Result<()> {
        let goes_with = |last: &Message| {
            let part = usize::from(last.part);
            last.client == client && part == question.len() && last.octets.len() < PARTS * part
        };
        if !self.messages[..self.filled].last().is_some_and(goes_with) {
            if self.filled == MESSAGES {
                self.flush()?;
            }
            let message = &mut self.messages[self.filled];
            message.octets.clear();
            message.client = client;
            message.part = u16::try_from(question.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
            self.filled += 1;
        }
        if let Some(message) = self.messages[..self.filled].last_mut() {
            message.octets.extend_from_slice(&id.to_be_bytes());
            message.octets.extend_from_slice(question.get(2..).unwrap_or(&[]));
        }
        Ok(())
    }

    /// Sends what was added, waiting where there is no room for it.
    pub fn flush(&mut self) -> io::Result<()> {
        let filled = mem::take(&mut self.filled);
        let mut controls = [[0u64; CONTROL / 8]; MESSAGES];
        // SAFETY: zeros are valid for both plain C structures.
        let (mut vectors, mut headers): ([libc::iovec; MESSAGES], [libc::mmsghdr; MESSAGES]) =
            unsafe { (mem::zeroed(), mem::zeroed()) };
        for (index, message) in self.messages[..filled].iter_mut().enumerate() {
            vectors[index] =
                libc::iovec { iov_base: message.octets.as_mut_ptr().cast(), iov_len: message.octets.len() };
            let header = &mut headers[index].msg_hdr;
            header.msg_name = (&raw mut self.server).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            header.msg_iov = &raw mut vectors[index];
            header.msg_iovlen = 1;
            header.msg_control = controls[index].as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
            // SAFETY: the control buffer has room for both messages, and starts with zeros.
            header.msg_controllen = unsafe { control(header, message) } as _;
        }
        let mut sent = 0;
        while sent < filled {
            // SAFETY: the headers point to what lives through the call.
            let count = unsafe {
                let next = headers.as_mut_ptr().add(sent);
                libc::sendmmsg(self.socket.as_raw_fd(), next, (filled - sent) as libc::c_uint, 0)
            };
            match usize::try_from(count) {
                Ok(count) => sent += count,
                Err(_) => match io::Error::last_os_error() {
                    error if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                    error => return Err(error),
                },
            }
        }
        Ok(())
    }

    /// Takes what has come, without waiting; how many. [`response`](Self::response) has them.
    pub fn receive(&mut self) -> usize {
        // SAFETY: zeros are valid for both plain C structures.
        let (mut vectors, mut headers): ([libc::iovec; TAKEN], [libc::mmsghdr; TAKEN]) =
            unsafe { (mem::zeroed(), mem::zeroed()) };
        for (index, room) in self.taken.iter_mut().enumerate() {
            vectors[index] = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: ROOM };
            headers[index].msg_hdr.msg_iov = &raw mut vectors[index];
            headers[index].msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: every header points to one buffer of the length it tells; no names, no control messages, no timeout.
        let count = unsafe {
            let (first, socket) = (headers.as_mut_ptr(), self.socket.as_raw_fd());
            libc::recvmmsg(socket, first, TAKEN as libc::c_uint, libc::MSG_DONTWAIT as _, std::ptr::null_mut())
        };
        let count = usize::try_from(count).unwrap_or(0);
        for (length, header) in self.lengths.iter_mut().zip(&headers[..count]) {
            *length = header.msg_len as usize;
        }
        count
    }

    /// The `index`th response of those just taken, as far as there is room for it.
    pub fn response(&self, index: usize) -> &[u8] {
        &self.taken[index][..self.lengths[index]]
    }
}

/// Writes where `message` leaves from, and into which parts it is taken; how many octets that takes.
///
/// # Safety
/// `header` points to a control buffer of [`CONTROL`] zeroed octets.
unsafe fn control(header: &libc::msghdr, message: &Message) -> usize {
    let word = |size: usize| size as libc::c_uint;
    // SAFETY: both fit, by the contract: 32 octets and 24.
    unsafe {
        let source = libc::CMSG_FIRSTHDR(header);
        (*source).cmsg_level = libc::IPPROTO_IP;
        (*source).cmsg_type = libc::IP_PKTINFO;
        (*source).cmsg_len = libc::CMSG_LEN(word(size_of::<libc::in_pktinfo>())) as _;
        let mut from: libc::in_pktinfo = mem::zeroed();
        from.ipi_spec_dst.s_addr = u32::from(message.client).to_be();
        libc::CMSG_DATA(source).cast::<libc::in_pktinfo>().write_unaligned(from);
        let taken = libc::CMSG_SPACE(word(size_of::<libc::in_pktinfo>())) as usize;
        if message.octets.len() <= usize::from(message.part) {
            return taken;
        }
        let parts = libc::CMSG_NXTHDR(header, source);
        (*parts).cmsg_level = libc::SOL_UDP;
        (*parts).cmsg_type = libc::UDP_SEGMENT;
        (*parts).cmsg_len = libc::CMSG_LEN(word(size_of::<u16>())) as _;
        libc::CMSG_DATA(parts).cast::<u16>().write_unaligned(message.part);
        taken + libc::CMSG_SPACE(word(size_of::<u16>())) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_question_is_a_datagram_of_its_own_from_its_client() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        server.set_read_timeout(Some(Duration::from_secs(5))).expect("a deadline");
        let Ok(SocketAddr::V4(address)) = server.local_addr() else { panic!("IPv4") };
        let mut volley = Volley::new(address).expect("a socket");
        let client = |last| Ipv4Addr::new(127, 9, 0, last);
        let mut expected = Vec::new();
        for number in 0..200u16 {
            let (client, octets) = (client((number / 3) as u8), vec![7u8; 40 + usize::from(number / 50)]);
            volley.add(client, number, &octets).expect("added");
            expected.push((client, number, octets));
        }
        volley.flush().expect("sent");
        let mut room = [0; 512];
        for (client, id, octets) in expected {
            let (length, from) = server.recv_from(&mut room).expect("a datagram");
            assert_eq!((from.ip(), length), (client.into(), octets.len()));
            assert_eq!((&room[..2], &room[2..length]), (&id.to_be_bytes()[..], &octets[2..]));
            server.send_to(&room[..3], from).expect("sent");
        }
        let mut taken = 0;
        while taken < 200 {
            let count = volley.receive();
            assert!((0..count).all(|index| volley.response(index).len() == 3));
            // On loopback they are there when they have been sent.
            assert!(count > 0, "{taken} of 200 responses");
            taken += count;
        }
    }
}
