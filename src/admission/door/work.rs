//! The door and what is asked upstream: leave for it, and what it costs whoever asked.

use std::time::Duration;

use super::{Admitted, Door, Slip, Turned};
use crate::admission::decisions::Action;
use crate::admission::ladder::Accounts;
use crate::admission::policy::Mode;
use crate::admission::pressure::Level;
use crate::admission::reason::Reason;
use crate::clock::Moment;

/// Accounts are never charged further ahead than this after the fact: who has been expensive waits so long to be so again.
const CEILING: Duration = Duration::from_secs(8);

/// Nanoseconds of the processor in one unit, as the accounts of questions count them, which is on the safe side: with 20 units
/// a question has five packets and a few signatures, as most have; one with a cold chain of trust comes to some hundreds.
const UNIT: u32 = 10_000;
/// What the dearest question costs, in units: a second of the usual share, half of what may be used at once. The 20 ms that one
/// may take at most would be twice that.
const DEAREST: usize = 1_000;

impl Door {
    /// Whether somebody has nothing left for work upstream, so that asking leave for more comes before anything else that
    /// would count it. With room to spare nobody has.
    pub fn has_spent(&self, now: Moment, admitted: &Admitted) -> bool {
        let (level, _) = self.controller.level();
        if admitted.exempt || self.limits.recursion == Mode::Off || level == Level::Open {
            return false;
        }
        let accounts = self.ladder.accounts(&self.books.0.secret, admitted.address);
        let table = &self.books.0.tables[usize::from(admitted.proven)];
        let (units, weight) = (self.miss(), self.work_weight(now, admitted, &accounts));
        accounts.work().enumerate().any(|(index, (key, _))| {
            let price = accounts.price(index, units, weight, level);
            table.read(key, now).0.saturating_add(price) > self.burst / 2
        })
    }

    /// The shares that somebody has for it: those of the crowd behind his address where one client's would be half used.
    fn work_weight(&self, now: Moment, admitted: &Admitted, accounts: &Accounts<'_>) -> u32 {
        let (inner, proven) = (&self.books.0, admitted.proven);
        let table = &inner.tables[usize::from(proven)];
        let used = || accounts.work().next().is_some_and(|(key, _)| table.read(key, now).0 > self.burst / 4);
        match self.limits.crowds && !admitted.crowd && used() {
            true => admitted.weight.saturating_mul(inner.crowd(admitted.keys.address, proven, now)),
            false => admitted.weight,
        }
    }

    /// What a question costs that goes upstream, beyond its answer.
    fn miss(&self) -> usize {
        self.limits.miss_cost.saturating_sub(1).max(1)
    }

    /// Asks for leave to resolve a question for somebody: it costs more than an answer from the cache. Whoever asks says what
    /// became of one that may not, by [`note_declined`](Self::note_declined).
    pub fn recurse(&mut self, now: Moment, admitted: &Admitted, name: &[u8]) -> Result<(), Turned> {
        if admitted.exempt || self.limits.recursion == Mode::Off {
            return Ok(());
        }
        let (level, _) = self.controller.level();
        let accounts = self.ladder.accounts(&self.books.0.secret, admitted.address);
        let work = &self.work[usize::from(admitted.proven)];
        let (units, weight) = (self.miss(), self.work_weight(now, admitted, &accounts));
        let full = accounts
            .work()
            .enumerate()
            .any(|(index, (key, _))| work.take(key, now, accounts.price(index, units, weight, level)).is_err());
        if !full || level == Level::Open {
            return Ok(());
        }
        if self.limits.recursion == Mode::Observe {
            self.observe(now, admitted, name, Reason::Recursion);
            return Ok(());
        }
        Err(match admitted.proven {
            true => Turned::Refuse(Reason::Recursion),
            // Whoever it really is has an account of its own by TCP.
            false => Turned::Slip(Slip::Truncated, Reason::Recursion),
        })
    }

    /// A question was not [resolved](Self::recurse) for somebody, who was told so, or got a stale answer.
    pub fn note_declined(&mut self, now: Moment, admitted: &Admitted, name: &[u8], turned: Turned, stale: bool) {
        match stale {
            true => self.keep(now, admitted.address, name, Reason::Recursion, Action::Stale),
            false => self.write(now, admitted.address, name, turned),
        }
    }

    /// Charges what a question has cost beyond what was taken when it was begun.
    pub fn settle(&mut self, now: Moment, admitted: &Admitted, units: usize) {
        if admitted.exempt || units == 0 {
            return;
        }
        let (level, _) = self.controller.level();
        let accounts = self.ladder.accounts(&self.books.0.secret, admitted.address);
        self.charge(now, &accounts, admitted, units, level);
    }

    /// Charges a question that has ended for what it was: at least what the settings say of one that fails or does not, and
    /// more where it took more of the processor, in `nanos` as its account counted them.
    pub fn settle_question(&mut self, now: Moment, admitted: &Admitted, nanos: u32, failed: bool) {
        let limits = &self.limits;
        let least = if failed { limits.failure_cost } else { limits.miss_cost };
        // Whoever may be somebody else in truth pays no more than ever.
        let most = if admitted.proven { DEAREST } else { limits.failure_cost };
        let cost = (nanos / UNIT) as usize;
        let cost = cost.min(most).max(least);
        self.settle(now, admitted, cost.saturating_sub(self.limits.miss_cost));
    }

    fn charge(&self, now: Moment, accounts: &Accounts<'_>, admitted: &Admitted, units: usize, level: Level) {
        let table = &self.books.0.tables[usize::from(admitted.proven)];
        let weight = self.work_weight(now, admitted, accounts);
        for (index, (key, _)) in accounts.work().enumerate() {
            let price = Duration::from_nanos(accounts.price(index, units, weight, level));
            table.charge(key, now, price, CEILING);
        }
    }
}
