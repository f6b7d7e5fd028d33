//! A client-facing UDP socket: queries in batches, replies in batches.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Counters;
use crate::net::batch::{BATCH, Receiver, Sender};
use crate::net::filter::{self, Thinned};
use crate::net::socket::{Queue, WHOLE_ANYWHERE, into_awaitable, keep_whole, queue};

/// One address of one shard.
pub struct Socket {
    socket: AsyncFd<UdpSocket>,
    replies: Sender,
}

impl Socket {
    /// Takes `socket`, non-blocking, into the current runtime.
    pub fn new(socket: UdpSocket) -> io::Result<Socket> {
        Ok(Socket { socket: into_awaitable(socket)?, replies: Sender::new() })
    }

    /// Takes a batch of what waits here; how many, none if there is nothing. `seen`: somebody else than the runtime has seen
    /// that there is something.
    pub fn receive(&mut self, batch: &mut Receiver, seen: bool, counters: &Counters) -> usize {
        let mut count = 0;
        if seen {
            count = batch.receive(self.descriptor()).unwrap_or(0);
            Counters::add(&counters.udp_received, count);
            return count;
        }
        // A batch that is not full has emptied the socket, and what comes later wakes us anew: that
        // is worth as much as an empty one, and saves asking for it.
        let _ = self.socket.try_io(Interest::READABLE, |socket| {
            count = batch.receive(socket.as_fd())?;
            if count < BATCH { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        Counters::add(&counters.udp_received, count);
        count
    }

    /// The buffer of the next reply; [`commit`](Self::commit) sends it on its way.
    pub fn reply(&mut self) -> &mut Vec<u8> {
        self.replies.buffer()
    }

    /// The reply is written: it goes to `to`, from `local` where one is given, with the next flush.
    pub fn commit(&mut self, to: SocketAddr, local: Option<IpAddr>, counters: &Counters) {
        self.replies.commit(to, local);
        if self.replies.is_full() {
            self.flush(counters);
        }
    }

    /// Sends what was committed.
    pub fn flush(&mut self, counters: &Counters) {
        if !self.replies.is_empty() {
            let report = self.replies.flush(self.socket.get_ref().as_fd());
            Counters::add(&counters.udp_sent, report.sent);
            Counters::add(&counters.udp_unsent, report.failed);
        }
    }

    /// How its queue is, as far as the kernel says.
    pub fn queue(&self) -> Queue {
        queue(self.socket.get_ref()).unwrap_or_default()
    }

    /// Has the kernel thin out some sources, and no others any more.
    pub fn thin_out(&self, thinned: &[Thinned]) -> io::Result<()> {
        filter::thin_out(self.socket.get_ref(), thinned)
    }

    /// Answers have so many octets at most: whether they leave with the don't-fragment bit.
    pub fn expect(&self, octets: u16) {
        // Where the kernel will not, they go as all others.
        let _ = keep_whole(self.descriptor(), octets <= WHOLE_ANYWHERE);
    }

    /// To be watched.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().as_fd()
    }

    /// Ready when there may be something to receive.
    pub fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        self.socket.poll_read_ready(context).map(|_| ())
    }
}
