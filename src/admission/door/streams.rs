//! The door for connections: who opens one pays for it, and who loses one can be told why.

use std::net::IpAddr;

use super::{Door, Tally};
use crate::admission::decisions::{Action, Note};
use crate::admission::ladder::{source_key, trial_key};
use crate::admission::policy::Mode;
use crate::admission::pressure::Level;
use crate::admission::reason::Reason;
use crate::clock::Moment;

impl Door {
    /// Takes the price of a connection out of the accounts of who opens it, whose address it proves; `false`: close it.
    pub fn accept(&mut self, now: Moment, address: IpAddr, level: Level) -> bool {
        let address = address.to_canonical();
        let standing = self.ranges.find(address);
        if !standing.allowed {
            self.note_closed(now, address, level, Reason::NotAllowed);
            return false;
        }
        // No forger opens a connection.
        let (inner, key) = (&self.books.0, self.key(address));
        let client = trial_key(&inner.secret, address);
        inner.trial.of(address).came(client, now);
        inner.acquaintances.of(address).came(client, now);
        inner.come(address, now);
        let class = standing.class.and_then(|number| self.classes.get(usize::from(number)));
        if class.is_some_and(|class| class.exempt) || self.limits.clients == Mode::Off {
            self.earn(now, address, level);
            return true;
        }
        // Under pressure a crowd is told to come by TCP, all of it.
        let shares = if self.limits.crowds { inner.crowd(key, true, now) } else { 1 };
        let weight = class.map_or(1, |class| class.weight).saturating_mul(shares);
        let accounts = self.ladder.accounts(&self.books.0.secret, address);
        let full = accounts.iter().enumerate().position(|(index, (key, _))| {
            let price = accounts.price(index, self.limits.tcp_accept_cost, weight, level);
            self.answers[1].take(key, now, price).is_err()
        });
        let Some(index) = full.filter(|_| level > Level::Open) else {
            self.earn(now, address, level);
            return true;
        };
        let reason = if index == 0 { Reason::ConnectionShare } else { Reason::ConnectionPrefixShare };
        if self.limits.clients == Mode::Observe {
            self.note_spared(now, address, level, reason);
            self.earn(now, address, level);
            return true;
        }
        self.note_closed(now, address, level, reason);
        false
    }

    fn earn(&self, now: Moment, address: IpAddr, level: Level) {
        if level >= Level::Guard {
            self.has_come_for_octets(now, source_key(&self.books.0.secret, address));
        }
    }

    /// Whether nothing limits an address.
    pub fn is_exempt(&self, address: IpAddr) -> bool {
        let class = self.ranges.find(address.to_canonical()).class;
        class.and_then(|number| self.classes.get(usize::from(number))).is_some_and(|class| class.exempt)
    }

    /// Whether what connections may take is held to.
    pub fn connections(&self) -> Mode {
        self.limits.connections
    }

    /// A connection of `address` was closed, or not taken, at a level of pressure.
    pub fn note_closed(&mut self, now: Moment, address: IpAddr, level: Level, reason: Reason) {
        self.tally.turned[reason as usize] += 1;
        self.tally.closed += 1;
        self.write_closed(now, address, level, reason, Action::Closed);
    }

    /// It would have been, if that limit did not only observe.
    pub fn note_spared(&mut self, now: Moment, address: IpAddr, level: Level, reason: Reason) {
        self.tally.observed[reason as usize] += 1;
        self.write_closed(now, address, level, reason, Action::Observed);
    }

    fn write_closed(&mut self, now: Moment, address: IpAddr, level: Level, reason: Reason, action: Action) {
        let address = address.to_canonical();
        let note = Note { address, name: &[], reason, action, level };
        self.pen.write(&self.books.0.decisions, now, self.key(address), &note);
    }
}

impl Tally {
    /// What this and another door have seen, of the same shard.
    #[must_use]
    pub fn with(&self, other: &Tally) -> Tally {
        let sum = |ours: &[u64; Reason::COUNT], theirs: &[u64; Reason::COUNT]| {
            std::array::from_fn(|reason| ours[reason] + theirs[reason])
        };
        Tally {
            unproven: self.unproven + other.unproven,
            proven: self.proven + other.proven,
            cookies: self.cookies + other.cookies,
            bad_cookies: self.bad_cookies + other.bad_cookies,
            turned: sum(&self.turned, &other.turned),
            observed: sum(&self.observed, &other.observed),
            slipped: self.slipped + other.slipped,
            refused: self.refused + other.refused,
            dropped: self.dropped + other.dropped,
            failed: self.failed + other.failed,
            closed: self.closed + other.closed,
            stale: self.stale + other.stale,
        }
    }
}
