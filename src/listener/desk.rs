//! Where connections lay their queries and the shard takes them, and where replies go back.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::engine::Route;
use crate::net::framing::frame;

/// Queries that may wait for the shard; connections stop reading beyond.
const QUEUE: usize = 1024;
/// Octets of replies that wait for one client before its next question waits too: two hundred answers of the largest size
/// usual by UDP, four of the largest there are.
const UNREAD: usize = 256 << 10;
/// Octets of replies that may wait for all clients of a shard together. Questions already at work when a client fell
/// behind (a pipeline of them at most) are answered all the same; only when this is used up, such a client is cut off.
const UNREAD_TOTAL: usize = 64 << 20;
/// The first connection's number: no connection has that of a UDP socket.
const FIRST: u64 = 1 << 32;

/// A query from a connection.
#[derive(Debug)]
pub struct Query {
    pub client: SocketAddr,
    pub route: Route,
    pub packet: Vec<u8>,
}

/// One connection's replies, on their way from the shard to the connection's task.
#[derive(Debug, Default)]
pub(super) struct Replies {
    /// Framed messages, one after the other, and how many they are.
    waiting: RefCell<Vec<u8>>,
    count: Cell<usize>,
    /// Octets laid here that the kernel has not taken yet, and those of all connections.
    unread: Cell<usize>,
    unread_total: Rc<Cell<usize>>,
    /// Questions that wait until the client has read more.
    held: RefCell<VecDeque<Query>>,
    /// Questions read whose reply has not been written yet.
    in_flight: Cell<usize>,
    last_written: Cell<Option<Instant>>,
    overrun: Cell<bool>,
    hung_up: Cell<bool>,
    /// Something was laid here, or something was written from here.
    pub changed: Notify,
}

impl Replies {
    pub fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    pub fn begun(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    /// The replies to `count` questions have been written.
    pub fn written(&self, count: usize) {
        self.in_flight.set(self.in_flight.get().saturating_sub(count));
        self.last_written.set(Some(Instant::now()));
        self.changed.notify_waiters();
    }

    /// When a reply was last written.
    pub fn last_written(&self) -> Option<Instant> {
        self.last_written.get()
    }

    /// Whether so much waits for the client to read it that its questions wait.
    pub fn is_full(&self) -> bool {
        self.unread.get() >= UNREAD
    }

    /// The kernel took `count` octets of the replies.
    fn sent(&self, count: usize) {
        let count = count.min(self.unread.get());
        self.unread.set(self.unread.get() - count);
        self.unread_total.set(self.unread_total.get().saturating_sub(count));
    }

    /// Replies to be written, into `out`; how many.
    pub fn take(&self, out: &mut Vec<u8>) -> usize {
        out.clear();
        std::mem::swap(&mut *self.waiting.borrow_mut(), out);
        self.count.take()
    }

    /// More replies wait here, and for all, than clients may leave unread.
    pub fn overrun(&self) -> bool {
        self.overrun.get()
    }

    /// The connection must be closed.
    pub fn hung_up(&self) -> bool {
        self.hung_up.get()
    }

    /// Waits until `done` says so; it is asked again whenever something changes here.
    pub async fn wait<T>(&self, mut done: impl FnMut(&Replies) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if let Some(value) = done(self) {
                return value;
            }
            poll_fn(|context| changed.as_mut().poll(context)).await;
        }
    }

    /// Whether there is something to write.
    pub fn is_waiting(&self) -> bool {
        self.count.get() > 0
    }
}

#[derive(Default)]
struct Inner {
    queries: VecDeque<(Query, Rc<Replies>)>,
    gone: Vec<Route>,
    connections: HashMap<u64, Rc<Replies>>,
    opened: u64,
    waker: Option<Waker>,
    broken: bool,
    /// There is something to tell, and nothing else.
    stirred: bool,
}

/// A shard's desk.
#[derive(Default)]
pub struct Desk {
    inner: RefCell<Inner>,
    room: Notify,
    unread_total: Rc<Cell<usize>>,
}

impl Desk {
    /// An empty desk.
    pub fn new() -> Rc<Desk> {
        Rc::new(Desk::default())
    }

    /// The next query of a client that reads its replies, if there is one. Those of others are kept for later.
    pub fn take(&self) -> Option<Query> {
        loop {
            let mut inner = self.inner.borrow_mut();
            inner.stirred = false;
            let (query, replies) = inner.queries.pop_front()?;
            drop(inner);
            self.room.notify_one();
            if !replies.is_full() {
                return Some(query);
            }
            replies.held.borrow_mut().push_back(query);
        }
    }

    /// The kernel took `count` octets of the replies of a connection: its questions may go on.
    pub(super) fn sent(&self, replies: &Rc<Replies>, count: usize) {
        replies.sent(count);
        if replies.is_full() {
            return;
        }
        let mut held = replies.held.borrow_mut();
        if !held.is_empty() {
            let mut inner = self.inner.borrow_mut();
            inner.queries.extend(held.drain(..).map(|query| (query, Rc::clone(replies))));
            if let Some(waker) = inner.waker.take() {
                waker.wake();
            }
        }
        replies.changed.notify_waiters();
    }

    /// The next connection that has ended with questions in flight.
    pub fn take_gone(&self) -> Option<Route> {
        self.inner.borrow_mut().gone.pop()
    }

    /// Lays `packet` on its way to the client of `route`; nothing if that is gone.
    pub fn reply(&self, route: Route, packet: &[u8]) {
        let inner = self.inner.borrow();
        let Some(replies) = inner.connections.get(&route.socket) else { return };
        let mut waiting = replies.waiting.borrow_mut();
        let before = waiting.len();
        if replies.is_full() && self.unread_total.get() >= UNREAD_TOTAL {
            replies.overrun.set(true);
        } else if frame(packet, &mut waiting) {
            replies.count.set(replies.count.get() + 1);
            let laid = waiting.len() - before;
            replies.unread.set(replies.unread.get() + laid);
            self.unread_total.set(self.unread_total.get() + laid);
        }
        replies.changed.notify_waiters();
    }

    /// Closes the connection of `route`: what it sent deserves no reply.
    pub fn hang_up(&self, route: Route) {
        if let Some(replies) = self.inner.borrow().connections.get(&route.socket) {
            replies.hung_up.set(true);
            replies.changed.notify_waiters();
        }
    }

    /// Ready when there is something to take.
    pub fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.inner.borrow_mut();
        if inner.queries.is_empty() && inner.gone.is_empty() && !inner.broken && !inner.stirred {
            match inner.waker.as_mut() {
                Some(waker) => waker.clone_from(context.waker()),
                None => inner.waker = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Connections open.
    pub fn connections(&self) -> usize {
        self.inner.borrow().connections.len()
    }

    /// Octets of replies that wait for all clients together.
    pub fn unread(&self) -> usize {
        self.unread_total.get()
    }

    /// The part of the room for those that is taken; somewhat more than 1 with the last one of a client.
    pub fn fullness(&self) -> f32 {
        self.unread() as f32 / UNREAD_TOTAL as f32
    }

    /// Whether a connection's task has panicked.
    pub fn is_broken(&self) -> bool {
        self.inner.borrow().broken
    }

    /// Something was counted: the shard has a turn, in which it says so to whoever asks.
    pub(super) fn stir(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.stirred = true;
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
    }

    pub(super) fn enter(&self) -> (Route, Rc<Replies>) {
        let mut inner = self.inner.borrow_mut();
        let route = Route { socket: FIRST + inner.opened, local: None };
        inner.opened += 1;
        let replies = Rc::new(Replies { unread_total: Rc::clone(&self.unread_total), ..Replies::default() });
        inner.connections.insert(route.socket, Rc::clone(&replies));
        (route, replies)
    }

    pub(super) fn leave(&self, route: Route) {
        let mut inner = self.inner.borrow_mut();
        if let Some(replies) = inner.connections.remove(&route.socket) {
            replies.sent(replies.unread.get());
            if replies.in_flight() > 0 {
                inner.gone.push(route);
            }
        }
        inner.broken |= std::thread::panicking();
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
    }

    /// Lays a query down, as soon as there is room.
    pub(super) async fn put(&self, query: Query, replies: &Rc<Replies>) {
        while self.inner.borrow().queries.len() >= QUEUE {
            self.room.notified().await;
        }
        let mut inner = self.inner.borrow_mut();
        inner.queries.push_back((query, Rc::clone(replies)));
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
    }
}
