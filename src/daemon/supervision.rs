//! Who is running and who has ended: one shard's failure ends them all.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::{Error, logging};

#[derive(Debug, Default)]
struct State {
    begun: usize,
    ended: usize,
    /// The first failure.
    failure: Option<(usize, String)>,
}

/// The shards' book, written by their threads, read by whoever supervises them.
#[derive(Debug, Default)]
pub struct Ledger {
    state: Mutex<State>,
    changed: Condvar,
    changed_async: Notify,
}

/// Runs a shard's `body`, and writes down how it ended: well, with an error, or with a panic.
pub fn watch(ledger: &Ledger, number: usize, body: impl FnOnce() -> Result<(), Error>) {
    let failure = match panic::catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(payload) => Some(format!("panicked: {}", logging::said(&*payload))),
    };
    let mut state = ledger.state();
    state.ended += 1;
    if let (None, Some(cause)) = (&state.failure, failure) {
        state.failure = Some((number, cause));
    }
    drop(state);
    ledger.changed.notify_all();
    ledger.changed_async.notify_waiters();
}

impl Ledger {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A shard answers.
    pub fn began(&self) {
        self.state().begun += 1;
        self.changed.notify_all();
    }

    /// The first failure of a shard.
    pub fn failure(&self) -> Option<Error> {
        self.state().failure.clone().map(|(number, cause)| Error::Shard { number, cause })
    }

    /// Blocks until `count` shards have begun, or one has failed.
    pub fn wait_begun(&self, count: usize, limit: Duration) -> Result<(), Error> {
        self.wait(limit, "begin", |state| state.begun >= count)
    }

    /// Blocks until `count` shards have ended.
    pub fn wait_ended(&self, count: usize, limit: Duration) -> Result<(), Error> {
        self.wait(limit, "end", |state| state.ended >= count)
    }

    fn wait(&self, limit: Duration, what: &'static str, done: impl Fn(&State) -> bool) -> Result<(), Error> {
        let waiting = |state: &mut State| state.failure.is_none() && !done(state);
        let waited = self.changed.wait_timeout_while(self.state(), limit, waiting);
        let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(state);
        match self.failure() {
            Some(failure) => Err(failure),
            None if waited.timed_out() => Err(Error::Slow(what)),
            None => Ok(()),
        }
    }

    /// Waits for the first failure.
    pub async fn failed(&self) -> Error {
        loop {
            let changed = self.changed_async.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if let Some(failure) = self.failure() {
                return failure;
            }
            changed.await;
        }
    }

    /// Waits until `count` shards have ended.
    pub async fn all_ended(&self, count: usize) {
        loop {
            let changed = self.changed_async.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if self.state().ended >= count {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(5);

    #[test]
    fn a_panic_is_a_failure_and_says_what_it_said() {
        let ledger = Ledger::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                watch(&ledger, 3, || {
                    ledger.began();
                    panic!("on purpose, in\ntwo lines")
                });
            });
            let failure = ledger.wait_ended(1, WAIT).expect_err("it failed");
            assert_eq!(failure.to_string(), "shard 3 failed, so the server ends: panicked: on purpose, in two lines");
            assert_eq!(failure.exit(), super::super::Exit::Other);
        });
    }

    #[test]
    fn a_shard_that_cannot_begin_is_not_waited_for() {
        let ledger = Ledger::default();
        watch(&ledger, 0, || Err(Error::Slow("begin")));
        assert!(matches!(ledger.wait_begun(2, WAIT), Err(Error::Shard { number: 0, .. })));
    }

    #[tokio::test]
    async fn whoever_waits_hears_of_an_end() {
        let ledger = Ledger::default();
        std::thread::scope(|scope| {
            scope.spawn(|| watch(&ledger, 0, || Ok(())));
            scope.spawn(|| watch(&ledger, 1, || Err(Error::Slow("end"))));
        });
        tokio::time::timeout(WAIT, ledger.all_ended(2)).await.expect("in time");
        let failure = tokio::time::timeout(WAIT, ledger.failed()).await.expect("in time");
        assert!(matches!(failure, Error::Shard { number: 1, .. }));
    }
}
