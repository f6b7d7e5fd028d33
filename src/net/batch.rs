//! Many datagrams in one system call, without an allocation a packet.

use std::alloc::{self, Layout};
use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use super::socket::keep_whole;

/// Datagrams in a batch. Larger batches win little on system calls and delay the first reply.
pub const BATCH: usize = 64;
/// Room for one query, in octets. Queries have one question and an OPT record; 4,096 leaves room for
/// padding and cookies. Longer ones are passed over.
pub const QUERY_ROOM: usize = 4096;
/// From one query's room to the next: a line more than a page, or the starts of all would share a few places of the
/// processor's first cache.
const STRIDE: usize = QUERY_ROOM + 64;

/// Room for one packet-info control message of either family.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; 64]);

const EMPTY: Control = Control([0; 64]);

/// A datagram that came in.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    pub from: SocketAddr,
    /// The address it was sent to, where the socket reports it (wildcard sockets do).
    pub local: Option<IpAddr>,
    pub data: &'a [u8],
}

/// Buffers for receiving up to [`BATCH`] datagrams at once.
pub struct Receiver {
    /// Made once, and freed with it: the headers point into it for good.
    slots: NonNull<Slots>,
    filled: usize,
}

/// Where datagrams arrive.
#[repr(C)]
struct Slots {
    headers: [libc::mmsghdr; BATCH],
    vectors: [libc::iovec; BATCH],
    names: [libc::sockaddr_storage; BATCH],
    controls: [Control; BATCH],
    data: [[u8; STRIDE]; BATCH],
}

impl Default for Receiver {
    fn default() -> Receiver {
        Receiver::new()
    }
}

impl Receiver {
    /// Empty buffers, 286 KiB in all.
    pub fn new() -> Receiver {
        // SAFETY: all of it are plain C structures and octets, for which zeros are a valid value; where there is no memory,
        // the process ends as it does for every other allocation.
        let slots = unsafe {
            let layout = Layout::new::<Slots>();
            NonNull::new(alloc::alloc_zeroed(layout).cast::<Slots>())
                .unwrap_or_else(|| alloc::handle_alloc_error(layout))
        };
        let mut receiver = Receiver { slots, filled: BATCH };
        let all = receiver.slots.as_ptr();
        for index in 0..BATCH {
            // SAFETY: `index` is below BATCH, the number of entries in each array, and the octets of each have room for
            // QUERY_ROOM. Nothing else refers to any of it yet.
            unsafe {
                let data = (&raw mut (*all).data[index]).cast();
                (*all).vectors[index] = libc::iovec { iov_base: data, iov_len: QUERY_ROOM };
                let header = &mut (*all).headers[index].msg_hdr;
                header.msg_name = (&raw mut (*all).names[index]).cast();
                header.msg_iov = &raw mut (*all).vectors[index];
                header.msg_iovlen = 1;
                header.msg_control = (&raw mut (*all).controls[index]).cast();
            }
        }
        receiver.renew();
        receiver
    }

    /// Says anew how much room there is where datagrams came last: the kernel has written there how much it used.
    fn renew(&mut self) {
        let filled = mem::take(&mut self.filled);
        // SAFETY: the slots live as long as this, and while it is borrowed like this nothing else refers to their headers.
        let headers = unsafe { &mut (*self.slots.as_ptr()).headers };
        // One more, which may have failed half-way.
        for header in headers.iter_mut().take(filled + 1) {
            header.msg_len = 0;
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_controllen = size_of::<Control>() as _;
            header.msg_hdr.msg_flags = 0;
        }
    }

    /// Takes what waits in `socket`, without waiting for more; how many, at most [`BATCH`].
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.renew();
        // SAFETY: every header points to live buffers of the lengths it tells, see `new` and `renew`; no timeout.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                (&raw mut (*self.slots.as_ptr()).headers).cast(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        match usize::try_from(count) {
            Ok(count) => {
                self.filled = count;
                Ok(count)
            }
            Err(_) => Err(io::Error::last_os_error()),
        }
    }

    /// The `index`th datagram of the last batch; none if it was longer than [`QUERY_ROOM`].
    pub fn datagram(&self, index: usize) -> Option<Datagram<'_>> {
        // SAFETY: the slots live as long as this, and the kernel writes to them only while it is borrowed mutably.
        let slots = unsafe { self.slots.as_ref() };
        let header = slots.headers[..self.filled].get(index)?;
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            return None;
        }
        let from = read_address(&slots.names[index])?;
        let data = slots.data[index].get(..header.msg_len as usize)?;
        Some(Datagram { from, local: read_destination(&header.msg_hdr), data })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // SAFETY: made with this layout in `new`, freed once, and nothing in it has to be dropped.
        unsafe { alloc::dealloc(self.slots.as_ptr().cast(), Layout::new::<Slots>()) };
    }
}

/// A datagram on its way out. Its buffer is kept for the next one.
#[derive(Debug)]
struct Outgoing {
    data: Vec<u8>,
    to: SocketAddr,
    local: Option<IpAddr>,
}

/// Replies collected for one system call.
pub struct Sender {
    outgoing: Vec<Outgoing>,
    filled: usize,
    names: Box<[libc::sockaddr_storage]>,
    controls: Box<[Control]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

/// What became of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sent {
    /// Taken by the kernel.
    pub sent: usize,
    /// Turned down by the kernel: no buffer space, no route, forbidden by a filter.
    pub failed: usize,
}

impl Default for Sender {
    fn default() -> Sender {
        Sender::new()
    }
}

impl Sender {
    /// An empty batch.
    pub fn new() -> Sender {
        // SAFETY: all three are plain C structures for which zeros are a valid value.
        let (name, vector, header) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Sender {
            outgoing: (0..BATCH).map(|_| Outgoing { data: Vec::new(), to: nowhere, local: None }).collect(),
            filled: 0,
            names: vec![name; BATCH].into_boxed_slice(),
            controls: vec![EMPTY; BATCH].into_boxed_slice(),
            vectors: vec![vector; BATCH].into_boxed_slice(),
            headers: vec![header; BATCH].into_boxed_slice(),
        }
    }

    /// The buffer of the next reply, to be written and then committed. It may hold an old one.
    /// Call only when the batch [is not full](Self::is_full); a full one lends its last buffer.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        let next = self.filled.min(BATCH - 1);
        &mut self.outgoing[next].data
    }

    /// Adds what was written to [`buffer`](Self::buffer), for `to`, leaving from `local` where one is given.
    pub fn commit(&mut self, to: SocketAddr, local: Option<IpAddr>) {
        if let Some(outgoing) = self.outgoing.get_mut(self.filled) {
            outgoing.to = to;
            outgoing.local = local;
            self.filled += 1;
        }
    }

    /// Whether it must be sent before anything is added.
    pub fn is_full(&self) -> bool {
        self.filled == BATCH
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Sends the batch and empties it. What the kernel turns down is given up: a reply is worth
    /// no waiting, its client asks again.
    pub fn flush(&mut self, socket: BorrowedFd<'_>) -> Sent {
        let filled = mem::take(&mut self.filled);
        self.fill_headers(filled);
        let mut report = Sent::default();
        let (mut next, mut parted) = (0, false);
        while next < filled {
            // SAFETY: the headers from `next` to `filled` point to live buffers of the lengths
            // they tell, see `fill_headers`.
            let count = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    self.headers.as_mut_ptr().add(next),
                    (filled - next) as libc::c_uint,
                    libc::MSG_DONTWAIT as _,
                )
            };
            if let Ok(count @ 1..) = usize::try_from(count) {
                report.sent += count;
                next += count;
                continue;
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                // Longer than the interface has room for: fragments are better than nothing, from now on.
                Some(libc::EMSGSIZE) if !mem::replace(&mut parted, true) => {
                    let _ = keep_whole(socket, false);
                }
                Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => {
                    report.failed += filled - next;
                    next = filled;
                }
                _ => {
                    report.failed += 1;
                    next += 1;
                }
            }
        }
        report
    }

    fn fill_headers(&mut self, filled: usize) {
        let names = self.names.as_mut_ptr();
        let controls = self.controls.as_mut_ptr();
        let vectors = self.vectors.as_mut_ptr();
        for (index, (outgoing, header)) in self.outgoing[..filled].iter_mut().zip(&mut self.headers).enumerate() {
            // SAFETY: `index` is below BATCH, the number of entries in each buffer; the pointers
            // are used before anything moves, in `flush`.
            unsafe {
                let length = write_address(outgoing.to, &mut *names.add(index));
                *vectors.add(index) =
                    libc::iovec { iov_base: outgoing.data.as_mut_ptr().cast(), iov_len: outgoing.data.len() };
                header.msg_len = 0;
                header.msg_hdr.msg_name = names.add(index).cast();
                header.msg_hdr.msg_namelen = length;
                header.msg_hdr.msg_iov = vectors.add(index);
                header.msg_hdr.msg_iovlen = 1;
                header.msg_hdr.msg_flags = 0;
                header.msg_hdr.msg_control = controls.add(index).cast();
                header.msg_hdr.msg_controllen = size_of::<Control>() as _;
                write_source(outgoing.local, &mut header.msg_hdr);
            }
        }
    }
}

fn read_address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let pointer: *const libc::sockaddr_storage = storage;
    match libc::c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says what the storage holds, and it is large enough for both.
            let v4 = unsafe { &*pointer.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*pointer.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddr::V6(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id)))
        }
        _ => None,
    }
}

fn write_address(address: SocketAddr, storage: &mut libc::sockaddr_storage) -> libc::socklen_t {
    let pointer: *mut libc::sockaddr_storage = storage;
    match address {
        SocketAddr::V4(v4) => {
            // SAFETY: the storage is large enough and aligned for every address; zeros are valid.
            let raw = unsafe { &mut *pointer.cast::<libc::sockaddr_in>() };
            raw.sin_family = libc::AF_INET as libc::sa_family_t;
            raw.sin_port = v4.port().to_be();
            raw.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
            size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(v6) => {
            // SAFETY: as above.
            let raw = unsafe { &mut *pointer.cast::<libc::sockaddr_in6>() };
            raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            raw.sin6_port = v6.port().to_be();
            raw.sin6_flowinfo = v6.flowinfo();
            raw.sin6_addr.s6_addr = v6.ip().octets();
            raw.sin6_scope_id = v6.scope_id();
            size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

/// The address a datagram was sent to, from its control messages.
fn read_destination(header: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: the kernel filled the control buffer this header points to, and wrote its length.
    // Control messages are read unaligned.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            let (level, kind) = ((*message).cmsg_level, (*message).cmsg_type);
            let data = libc::CMSG_DATA(message);
            if level == libc::IPPROTO_IP && kind == libc::IP_PKTINFO {
                let found = data.cast::<libc::in_pktinfo>().read_unaligned();
                // Ours, even where the packet itself was sent to a broadcast address.
                return Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(found.ipi_spec_dst.s_addr))));
            }
            if level == libc::IPPROTO_IPV6 && kind == libc::IPV6_PKTINFO {
                let found = data.cast::<libc::in6_pktinfo>().read_unaligned();
                return Some(IpAddr::V6(Ipv6Addr::from(found.ipi6_addr.s6_addr)));
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    None
}

/// Writes the address a datagram must leave from as its only control message, or none.
///
/// # Safety
/// `header` points to a control buffer of its stated length, at least that of [`Control`].
unsafe fn write_source(local: Option<IpAddr>, header: &mut libc::msghdr) {
    // SAFETY: the buffer has room for either message, by the contract above and the assertion below.
    unsafe {
        match local {
            None => {
                header.msg_control = std::ptr::null_mut();
                header.msg_controllen = 0;
            }
            Some(IpAddr::V4(ip)) => {
                let mut source: libc::in_pktinfo = MaybeUninit::zeroed().assume_init();
                source.ipi_spec_dst.s_addr = u32::from(ip).to_be();
                write_control(header, libc::IPPROTO_IP, libc::IP_PKTINFO, source);
            }
            Some(IpAddr::V6(ip)) => {
                let mut source: libc::in6_pktinfo = MaybeUninit::zeroed().assume_init();
                source.ipi6_addr.s6_addr = ip.octets();
                write_control(header, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, source);
            }
        }
    }
}

// SAFETY: computes a size, touches no memory.
const _: () =
    assert!(unsafe { libc::CMSG_SPACE(size_of::<libc::in6_pktinfo>() as u32) } as usize <= size_of::<Control>());

/// # Safety
/// As [`write_source`], and `T` is no larger than `in6_pktinfo`.
unsafe fn write_control<T>(header: &mut libc::msghdr, level: libc::c_int, kind: libc::c_int, value: T) {
    let size = size_of::<T>() as u32;
    // SAFETY: the first control message lies at the start of a buffer with room for it.
    unsafe {
        header.msg_controllen = libc::CMSG_SPACE(size) as _;
        let message = libc::CMSG_FIRSTHDR(header);
        (*message).cmsg_level = level;
        (*message).cmsg_type = kind;
        (*message).cmsg_len = libc::CMSG_LEN(size) as _;
        libc::CMSG_DATA(message).cast::<T>().write_unaligned(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::socket::udp_listener;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::time::{Duration, Instant};

    fn client(ip: [u8; 4]) -> UdpSocket {
        let socket = UdpSocket::bind((Ipv4Addr::from(ip), 0)).expect("a port");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        socket
    }

    /// Receives until `wanted` datagrams came, echoing each back, or five seconds have passed.
    fn echo(socket: &UdpSocket, wanted: usize) -> Vec<(SocketAddr, Option<IpAddr>)> {
        let (mut receiver, mut sender) = (Receiver::new(), Sender::new());
        let mut seen = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(5);
        while seen.len() < wanted && Instant::now() < deadline {
            let count = match receiver.receive(socket.as_fd()) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::yield_now();
                    continue;
                }
                Err(error) => panic!("receiving: {error}"),
            };
            for index in 0..count {
                let Some(datagram) = receiver.datagram(index) else { continue };
                seen.push((datagram.from, datagram.local));
                sender.buffer().clear();
                sender.buffer().extend_from_slice(datagram.data);
                sender.commit(datagram.from, datagram.local);
            }
            assert_eq!(sender.flush(socket.as_fd()).failed, 0);
            assert!(sender.is_empty());
        }
        seen
    }

    #[test]
    fn a_batch_goes_in_and_out_unharmed() {
        let server = udp_listener(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false).expect("a port");
        let to = server.local_addr().expect("bound");
        let client = client([127, 0, 0, 1]);
        for number in 0..100u8 {
            client.send_to(&vec![number; 1 + usize::from(number) * 10], to).expect("sent");
        }
        let seen = echo(&server, 100);
        assert_eq!(seen.len(), 100);
        assert!(seen.iter().all(|(from, local)| *from == client.local_addr().expect("bound") && local.is_none()));
        let mut buffer = [0; 2048];
        for number in 0..100u8 {
            let (length, from) = client.recv_from(&mut buffer).expect("an echo");
            assert_eq!((from, &buffer[..length]), (to, &vec![number; 1 + usize::from(number) * 10][..]));
        }
    }

    #[test]
    fn the_reply_leaves_from_the_address_that_was_asked() {
        let server = udp_listener(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), false).expect("a port");
        let port = server.local_addr().expect("bound").port();
        let client = client([127, 0, 0, 9]);
        for last in [1, 2, 3] {
            client.send_to(&[last], (Ipv4Addr::new(127, 0, 0, last), port)).expect("sent");
        }
        let seen = echo(&server, 3);
        let locals: Vec<_> = seen.iter().map(|(_, local)| *local).collect();
        assert_eq!(locals, [1, 2, 3].map(|last| Some(IpAddr::from([127, 0, 0, last]))));
        let mut buffer = [0; 16];
        for last in [1, 2, 3] {
            let (length, from) = client.recv_from(&mut buffer).expect("an echo");
            assert_eq!((&buffer[..length], from), (&[last][..], SocketAddr::from(([127, 0, 0, last], port))));
        }
    }

    #[test]
    fn ipv6_wildcards_answer_too() {
        let Ok(server) = udp_listener(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), false) else { return };
        let Ok(client) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) else { return };
        client.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let to = SocketAddr::from((Ipv6Addr::LOCALHOST, server.local_addr().expect("bound").port()));
        client.send_to(b"six", to).expect("sent");
        assert_eq!(echo(&server, 1)[0].1, Some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        let mut buffer = [0; 16];
        assert_eq!(client.recv_from(&mut buffer).expect("an echo"), (3, to));
    }

    #[test]
    fn a_query_longer_than_its_room_is_passed_over() {
        let server = udp_listener(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false).expect("a port");
        let to = server.local_addr().expect("bound");
        let client = client([127, 0, 0, 1]);
        client.send_to(&[1; QUERY_ROOM + 1], to).expect("sent");
        client.send_to(&[2; QUERY_ROOM], to).expect("sent");
        assert_eq!(echo(&server, 1).len(), 1);
        let mut buffer = [0; QUERY_ROOM];
        assert_eq!(client.recv_from(&mut buffer).expect("an echo").0, QUERY_ROOM);
        assert_eq!(buffer, [2; QUERY_ROOM]);
    }

    #[test]
    fn one_reply_that_cannot_be_sent_does_not_hold_up_the_others() {
        let server = udp_listener(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false).expect("a port");
        let client = client([127, 0, 0, 1]);
        let mut sender = Sender::new();
        let there = client.local_addr().expect("bound");
        // Port 0 cannot be sent to.
        for to in [there, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), there] {
            sender.buffer().clear();
            sender.buffer().push(7);
            sender.commit(to, None);
        }
        assert_eq!(sender.flush(server.as_fd()), Sent { sent: 2, failed: 1 });
        let mut buffer = [0; 16];
        for _ in 0..2 {
            assert_eq!(client.recv_from(&mut buffer).expect("a reply").0, 1);
        }
    }
}
