//! One descriptor that watches many: short-lived sockets come and go with one system call each.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Events taken in one call.
const EVENTS: usize = 64;

/// A level-triggered set of descriptors watched for input. Each is known by a token, which may
/// outlive the descriptor: whoever takes an event must be ready not to know its token any more.
pub struct Epoll {
    fd: OwnedFd,
    events: [libc::epoll_event; EVENTS],
    filled: usize,
}

impl Epoll {
    /// An empty set.
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: no pointers are passed; the result is checked before it is owned.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Epoll { fd, events: [libc::epoll_event { events: 0, u64: 0 }; EVENTS], filled: 0 })
    }

    /// The set as something a task of the current runtime can wait for.
    pub fn into_awaitable(self) -> io::Result<AsyncFd<Epoll>> {
        // SAFETY: the set owns its descriptor, which stays open and the same as long as the set lives.
        Ok(unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) }?)
    }

    /// Watches `fd` for packets and errors until it is closed.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: both descriptors are open for the length of the call, and `event` is valid.
        let done = unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &mut event) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Takes what is there now, without waiting; how many, at most 64. [`token`](Self::token) tells which.
    pub fn take(&mut self) -> io::Result<usize> {
        self.take_within(0)
    }

    fn take_within(&mut self, milliseconds: libc::c_int) -> io::Result<usize> {
        self.filled = 0;
        let room = EVENTS as libc::c_int;
        // SAFETY: `events` has room for EVENTS entries.
        let count = unsafe { libc::epoll_wait(self.fd.as_raw_fd(), self.events.as_mut_ptr(), room, milliseconds) };
        match usize::try_from(count) {
            Ok(count) => {
                self.filled = count;
                Ok(count)
            }
            Err(_) => Err(io::Error::last_os_error()),
        }
    }

    /// As [`take`](Self::take), after waiting until there is something or `timeout` is over, whichever is first.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<usize> {
        if timeout.subsec_nanos().is_multiple_of(1_000_000) {
            return self.take_within(libc::c_int::try_from(timeout.as_millis()).unwrap_or(libc::c_int::MAX));
        }
        // Only this call knows less than milliseconds on every kernel.
        let mut watched = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let timeout = libc::timespec {
            tv_sec: timeout.as_secs().min(3600) as libc::time_t,
            tv_nsec: timeout.subsec_nanos() as libc::c_long,
        };
        // SAFETY: one descriptor is passed, and both structures are valid for the length of the call.
        let ready = unsafe { libc::ppoll(&mut watched, 1, &timeout, std::ptr::null()) };
        match ready {
            1.. => self.take(),
            0 => {
                self.filled = 0;
                Ok(0)
            }
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The token of the `index`th event of the last [`take`](Self::take).
    pub fn token(&self, index: usize) -> Option<u64> {
        self.events[..self.filled].get(index).map(|event| event.u64)
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
