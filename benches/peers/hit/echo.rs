//! The limit: sends back every datagram with the QR bit set, by the same system calls as the resolver, and does nothing else.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use maeslant::net::batch::{BATCH, Receiver, Sender};
use maeslant::net::epoll::Epoll;
use maeslant::net::socket::{udp_listener, widen_receive_buffer};

/// Octets that may wait: what comes while other work has the core must not be lost.
const WAITING: usize = 64 << 20;

/// Echoes on 127.0.0.1 and `port` until it is killed.
pub fn run(port: u16) -> ! {
    let socket = udp_listener(SocketAddr::from(([127, 0, 0, 1], port)), false).expect("a port");
    widen_receive_buffer(&socket, WAITING);
    let (mut receiver, mut sender) = (Receiver::new(), Sender::new());
    let mut epoll = Epoll::new().expect("a descriptor");
    epoll.add(socket.as_fd(), 0).expect("watched");
    println!("ready");
    loop {
        let count = receiver.receive(socket.as_fd()).unwrap_or(0);
        for index in 0..count {
            let Some(datagram) = receiver.datagram(index) else { continue };
            let buffer = sender.buffer();
            buffer.clear();
            buffer.extend_from_slice(datagram.data);
            if let Some(flags) = buffer.get_mut(2) {
                *flags |= 0x80;
            }
            sender.commit(datagram.from, None);
        }
        if count > 0 {
            sender.flush(socket.as_fd());
        }
        if count < BATCH {
            let _ = epoll.wait(std::time::Duration::from_secs(1));
        }
    }
}
