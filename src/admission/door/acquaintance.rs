//! The door and those who were served before but never came by TCP or with a cookie: in peace that makes a customer, but a
//! slow forger gets as far.

use super::{Admitted, Door, Round, SAMPLED};
use crate::admission::ladder::{Book, trial_key};
use crate::admission::policy::Mode;
use crate::admission::pressure::Level;
use crate::admission::trial::First;
use crate::clock::Moment;

impl Door {
    /// What somebody is to have under pressure who was served before. As long as all of those together ask no more than all
    /// strangers may, and beyond that as long as those of a sample come by TCP, they are who they seem to be.
    pub(super) fn acquaintance(&mut self, now: Moment, admitted: &Admitted, level: Level) -> First {
        let doubted = self.books.0.acquaintances.of(admitted.address).is_doubted(now);
        // Of those who have a pass it is one in as many that is charged.
        if !doubted && admitted.round != Round::Due && !self.one_in(SAMPLED as usize) {
            return First::Whole;
        }
        let inner = &self.books.0;
        if inner.has_come(admitted.address, now) {
            return First::Whole;
        }
        let price = self.measures.stranger_price[level as usize].saturating_mul(SAMPLED);
        let all = inner.secret.pair(u64::from(Book::Strangers as u8), 2);
        let client = trial_key(&inner.secret, admitted.address);
        let first =
            inner.acquaintances.of(admitted.address).first(client, now, || self.together.take(all, now, price).is_ok());
        if first == First::Asked && self.limits.strangers == Mode::Observe {
            // Whoever is not told to come by TCP cannot do so.
            inner.acquaintances.of(admitted.address).came(client, now);
        }
        first
    }
}
