//! The limit of refusing: receives every datagram, by the same system calls as the resolver, and does nothing else.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use maeslant::net::batch::{BATCH, Receiver};
use maeslant::net::epoll::Epoll;
use maeslant::net::socket::udp_listener;

/// Receives on 127.0.0.1 and `port` until it is killed.
pub fn run(port: u16) -> ! {
    let socket = udp_listener(SocketAddr::from(([127, 0, 0, 1], port)), false).expect("a port");
    let mut receiver = Receiver::new();
    let mut epoll = Epoll::new().expect("a descriptor");
    epoll.add(socket.as_fd(), 0).expect("watched");
    println!("ready");
    loop {
        if receiver.receive(socket.as_fd()).unwrap_or(0) < BATCH {
            let _ = epoll.wait(std::time::Duration::from_secs(1));
        }
    }
}
