//! The door on the way out: clients that wait for an answer. A slow zone and a forged address make a bomb of answers that
//! are held back and let go at once (DNSBomb, CVE-2024-33655). Whoever has proven his address is not its target.

use std::time::Duration;

use super::{Admitted, Door};
use crate::admission::decisions::Action;
use crate::admission::policy::Mode;
use crate::admission::reason::Reason;
use crate::clock::Moment;

/// An answer that took less long was not held back.
const HELD: Duration = Duration::from_millis(200);

impl Door {
    fn limits_waiting(&self, admitted: &Admitted) -> bool {
        self.limits.waits != Mode::Off && !admitted.exempt && !admitted.proven
    }

    /// The shares of whoever waits: what its class says, or how many clients seem to be behind it.
    fn waiting_shares(&self, now: Moment, admitted: &Admitted) -> u32 {
        let crowd = if self.limits.crowds { self.books.0.crowd(admitted.keys.address, false, now) } else { 1 };
        admitted.weight.max(crowd)
    }

    /// May a client wait for a question for which it waits `own` times already?
    pub fn may_wait(&mut self, now: Moment, admitted: &Admitted, name: &[u8], own: usize) -> bool {
        let most = self.limits.waits_for_one;
        if own < most || !self.limits_waiting(admitted) {
            return true;
        }
        let shares = self.waiting_shares(now, admitted) as usize;
        own < most.saturating_mul(shares) || self.holds_back(now, admitted, name, Reason::Waiting)
    }

    /// Does a client still want what it asked for at `since`?
    pub fn still_waits(&mut self, now: Moment, admitted: &Admitted, name: &[u8], since: Moment) -> bool {
        now.since(since) <= self.limits.patience
            || !self.limits_waiting(admitted)
            || self.holds_back(now, admitted, name, Reason::Late)
    }

    /// Notes that a limit on waiting is reached. `true`: it is only observed.
    fn holds_back(&mut self, now: Moment, admitted: &Admitted, name: &[u8], reason: Reason) -> bool {
        if self.limits.waits == Mode::Observe {
            self.observe(now, admitted, name, reason);
            return true;
        }
        self.keep(now, admitted.address, name, reason, Action::Dropped);
        false
    }

    /// How far apart answers go to a client that were held back for it since `since`; zero: as they come.
    pub fn spacing(&self, now: Moment, admitted: &Admitted, since: Moment) -> Duration {
        let rate = self.limits.release_rate;
        if self.limits.waits != Mode::Enforce || now.since(since) < HELD || !self.limits_waiting(admitted) || rate == 0
        {
            return Duration::ZERO;
        }
        Duration::from_secs(1) / rate.saturating_mul(self.waiting_shares(now, admitted))
    }
}
