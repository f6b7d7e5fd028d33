//! Orders for a shard: to stop, and what rules hold from now on. They come once in a while; a task of their own listens for
//! them, so that a shard that waits for packets spends nothing on it.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};

use crate::engine::Rules;

/// What a shard is told.
#[derive(Debug)]
pub enum Order {
    /// To end.
    Stop,
    /// To follow other rules.
    Follow(Rules),
}

/// Rings when there is an order.
#[derive(Debug, Default)]
struct Bell {
    rung: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Bell {
    fn ring(&self) {
        self.rung.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Where a shard hears its orders.
#[derive(Debug)]
pub struct Orders {
    bell: Rc<Bell>,
    stop: watch::Receiver<bool>,
    rules: watch::Receiver<Rules>,
    listener: JoinHandle<()>,
}

impl Orders {
    /// Listens, on the runtime of this thread.
    pub fn listen(stop: watch::Receiver<bool>, rules: watch::Receiver<Rules>) -> Orders {
        // What was said before is heard as well.
        let bell = Rc::new(Bell { rung: Cell::new(true), ..Bell::default() });
        let listener = spawn_local(listen(stop.clone(), rules.clone(), Rc::clone(&bell)));
        Orders { bell, stop, rules, listener }
    }

    /// The next order; none for nearly all calls.
    pub fn take(&mut self) -> Option<Order> {
        if !self.bell.rung.replace(false) {
            return None;
        }
        if *self.stop.borrow() {
            return Some(Order::Stop);
        }
        // Without a sender nothing changes any more.
        let changed = self.rules.has_changed().unwrap_or(false);
        changed.then(|| Order::Follow(self.rules.borrow_and_update().clone()))
    }

    /// Whether there may be an order; if not, the task is woken when there is.
    pub fn poll_ready(&self, context: &Context<'_>) -> bool {
        if !self.bell.rung.get() {
            let mut waker = self.bell.waker.borrow_mut();
            match waker.as_mut() {
                Some(waker) => waker.clone_from(context.waker()),
                None => *waker = Some(context.waker().clone()),
            }
        }
        self.bell.rung.get()
    }
}

impl Drop for Orders {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn listen(mut stop: watch::Receiver<bool>, mut rules: watch::Receiver<Rules>, bell: Rc<Bell>) {
    let mut stopped = pin!(async move {
        if stop.wait_for(|stop| *stop).await.is_err() {
            pending::<()>().await;
        }
    });
    loop {
        tokio::select! {
            () = &mut stopped => return bell.ring(),
            changed = rules.changed() => {
                bell.ring();
                if changed.is_err() {
                    stopped.await;
                    return bell.ring();
                }
            }
        }
    }
}
