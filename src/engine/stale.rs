//! Answers whose time is over, in place of none: at once where it is known that there is no other, or when the client
//! has waited long enough (RFC 8767 §5). What is asked goes on behind them.

use super::respond;
use super::{Engine, Waiter, Wanted};
use crate::admission::Mode;
use crate::cache::Security;
use crate::clock::{Moment, Now};
use crate::resolve::{self, Outcome, StaleWhy, TaskId};

impl Engine {
    /// What may be given of a question although its time is over.
    pub(super) fn find_stale(&self, wanted: &Wanted, why: StaleWhy) -> Option<Outcome> {
        if self.cx.plan.stale.serve == Mode::Off {
            return None;
        }
        let security = if wanted.checking { Security::Insecure } else { Security::Unchecked };
        let found = resolve::from_stale(&self.cx, &wanted.question, security, why)?;
        Some(self.heed_sentinel(wanted, found))
    }

    /// Counts a stale answer; `false`: it is only observed.
    pub(super) fn may_give_stale(&mut self, why: StaleWhy, clients: usize) -> bool {
        let clients = clients as u64;
        if self.cx.plan.stale.serve == Mode::Enforce {
            self.counters.stale[why as usize] += clients;
            return true;
        }
        self.counters.stale_observed += clients;
        false
    }

    /// The same question's stale answer, where there is one and the failure leaves room for it.
    pub(super) fn rather_stale(&mut self, wanted: &Wanted, outcome: &Outcome, clients: usize) -> Option<Outcome> {
        let failure = outcome.failure.as_ref().filter(|failure| failure.leaves_stale())?;
        let remembered = matches!(failure, resolve::Failure::Remembered { .. });
        let why = if remembered { StaleWhy::Failing } else { StaleWhy::Failed };
        let mut found = self.find_stale(wanted, why)?;
        if !self.may_give_stale(why, clients) {
            return None;
        }
        if let Some(note) = &mut found.stale {
            note.set_because(failure);
        }
        Some(found)
    }

    /// Writes a stale answer into `out`, where the client would get none otherwise. `false`: there is none.
    pub(super) fn give_stale(
        &mut self,
        now: Now,
        waiter: &Waiter,
        wanted: &Wanted,
        why: StaleWhy,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(found) = self.find_stale(wanted, why) else { return false };
        if !self.may_give_stale(why, 1) {
            return false;
        }
        respond::outcome(out, &waiter.asker, &self.policy.respond, &waiter.before, &found, now.age);
        true
    }

    /// The same where it is known that asking fails at the moment: nobody waits for that.
    pub(super) fn give_stale_at_once(&mut self, now: Now, waiter: &Waiter, wanted: &Wanted, out: &mut Vec<u8>) -> bool {
        let Some(found) = self.find_stale(wanted, StaleWhy::Failing) else { return false };
        let since = found.stale.as_ref().map_or(Moment::NEVER, |note| note.stored);
        let failed = self.cx.has_failed_since(&wanted.question, since);
        if !failed && !resolve::is_failing(&self.cx, &wanted.question) || !self.may_give_stale(StaleWhy::Failing, 1) {
            return false;
        }
        respond::outcome(out, &waiter.asker, &self.policy.respond, &waiter.before, &found, now.age);
        true
    }

    /// Whoever waits for a task is given a stale answer when his patience ends, if there is one.
    pub(super) fn set_patience(&mut self, now: Now, task: TaskId) {
        if self.cx.plan.stale.serve != Mode::Off {
            self.patience.push_back((now.mono + self.cx.plan.stale.after, task));
        }
    }

    /// When the next client's patience ends.
    pub(super) fn next_impatient(&self) -> Option<Moment> {
        self.patience.front().map(|&(until, _)| until)
    }

    /// Answers those who have waited long enough, where there is something to answer with.
    pub(super) fn serve_impatient(&mut self, now: Now) {
        while let Some(&(until, task)) = self.patience.front() {
            let wanted = self.running.get(&task);
            if wanted.is_some() && until > now.mono {
                return;
            }
            self.patience.pop_front();
            let Some(wanted) = wanted.cloned() else { continue };
            let Some(pending) = self.pending.get_mut(&wanted) else { continue };
            pending.slow = Some(StaleWhy::Waited);
            let clients = pending.waiters.len();
            if clients == 0 {
                continue;
            }
            let Some(found) = self.find_stale(&wanted, StaleWhy::Waited) else { continue };
            if self.may_give_stale(StaleWhy::Waited, clients) {
                let waiters = self.pending.get_mut(&wanted).map(|pending| std::mem::take(&mut pending.waiters));
                self.answer_waiters(now, task, waiters.unwrap_or_default(), &found);
            }
        }
    }
}
