//! Sockets and system calls; the only `unsafe`, but for [`memory`](crate::memory).
//!
//! Nothing here knows what a resolver is: [`socket`] makes sockets with the options a resolver
//! wants, [`batch`] moves many datagrams in one system call, [`epoll`] watches many short-lived
//! sockets through one descriptor, [`framing`] cuts a stream into messages, [`clock`] reads the
//! clocks, [`cores`] keeps a thread on a core, [`heap`] gives back memory, [`limits`] asks how many descriptors there are,
//! [`priority`] lets a thread give way, [`terminal`] asks how wide a terminal is, [`child`] ties the
//! life of a process to this one's, [`claim`] tells whether whoever made a file lives, [`volley`] asks many questions for little.

#[cfg(not(target_os = "linux"))]
compile_error!("maeslant uses Linux system calls (recvmmsg, epoll, SO_REUSEPORT with load balancing)");

pub mod batch;
pub mod child;
pub mod claim;
pub mod clock;
pub mod cores;
pub mod epoll;
pub mod filter;
pub mod framing;
pub mod heap;
pub mod limits;
pub mod priority;
pub mod socket;
pub mod terminal;
pub mod volley;
