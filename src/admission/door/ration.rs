//! The door and octets: how many more may go to an address than came from it, as long as anybody may have forged it.

use std::time::Duration;

use super::{ADDRESS_BURST, Admitted, Door, RATION_BURST, RATION_SAMPLE};
use crate::admission::ladder::{Book, Keys, ration_key};
use crate::admission::policy::Mode;
use crate::admission::pressure::Level;
use crate::admission::reason::Reason;
use crate::clock::Moment;
use crate::meter::Hash;

/// Answers of this many octets more than their question count as the same answer (see [`Reason::SameAnswer`]).
pub(super) const SAME_ANSWER: usize = 256;
/// Whoever asks far too much has one in so many parts of a network's ration for himself: what is asked in a victim's name at
/// twelve thousand questions a second, with half as many octets more in each answer, is several times that (A21).
const OWN_PART: u64 = 4;
/// Octets that an address may be sent again under pressure for each connection that comes from it: some forty answers.
const EARNED: usize = 4_096;
/// A ration's burst, and half of it, in nanoseconds of an account.
const BURST: u64 = RATION_BURST.as_nanos() as u64;
const HALF: u64 = BURST / 2;

/// What so many octets cost where so many a second are free, in nanoseconds of an account.
pub(super) fn price(octets: usize, per_second: u64) -> u64 {
    (octets as u64).saturating_mul(1_000_000_000) / per_second.max(1)
}

impl Door {
    /// The ration that `excess` octets more would exceed.
    pub(super) fn over_ration(
        &mut self,
        now: Moment,
        admitted: &Admitted,
        name: &[u8],
        excess: usize,
        sampled: bool,
    ) -> Option<Reason> {
        let (level, _) = self.controller.level();
        let flooding = admitted.strict && admitted.busy;
        if flooding && level > Level::Open {
            // Who asks far too much has nothing in excess.
            match self.limits.clients {
                Mode::Enforce => return Some(Reason::HalfShare),
                Mode::Observe => self.observe(now, admitted, name, Reason::HalfShare),
                Mode::Off => {}
            }
        }
        if level >= Level::Guard && self.over_address(now, admitted, excess) {
            return Some(Reason::AddressRation);
        }
        let over = match flooding && level == Level::Open {
            true => self.over_own(now, admitted, excess),
            false => self.over_network(now, admitted, excess, sampled),
        };
        if over {
            return Some(Reason::Ration);
        }
        if excess >= SAME_ANSWER {
            let secret = &self.books.0.secret;
            let Hash(network) = ration_key(secret, Book::SameAnswer, admitted.address);
            let price = price(excess, self.limits.same_answer_ration);
            if self.plain.take(secret.name(network, name), now, price).is_err() {
                return Some(Reason::SameAnswer);
            }
        }
        None
    }

    /// Whether so many octets more may go to those who were never seen before, all of them together.
    pub(super) fn within_stranger_ration(&self, now: Moment, octets: usize) -> bool {
        let all = self.books.0.secret.pair(u64::from(Book::Strangers as u8), 1);
        self.together.take(all, now, price(octets, self.limits.stranger_ration)).is_ok()
    }

    /// With room to spare, whoever asks far more than any client does has a part of a network's ration for himself. Where he asks
    /// for more than that he has none of it, for the account is charged with what was not sent as well: what is asked that
    /// much in a victim's name does not reach it. What it had of its network's before counts, too.
    fn over_own(&self, now: Moment, admitted: &Admitted, excess: usize) -> bool {
        let inner = &self.books.0;
        let own = inner.secret.pair(admitted.keys.address.0, u64::from(Book::Ration as u8));
        let price = Duration::from_nanos(price(excess, self.limits.ration / OWN_PART));
        let table = &inner.tables[0];
        table.charge(own, now, price, RATION_BURST).0 >= BURST || table.read(admitted.keys.ration, now).0 >= HALF
    }

    /// In a flood no address is sent more than came from it, but for a few answers: whoever was served before may be forged now.
    /// All of an IPv6 customer's are one, as all are known once he has come.
    /// That many may be behind it changes nothing; who is real comes by TCP.
    fn over_address(&self, now: Moment, admitted: &Admitted, excess: usize) -> bool {
        let (octets, key) = (&self.books.0.octets, admitted.keys.source);
        let price = Duration::from_nanos(price(excess, self.limits.address_ration));
        // More at once than governor's accounts hold.
        let over = Duration::from_nanos(octets.read(key, now).0).saturating_add(price) > ADDRESS_BURST;
        if !over {
            octets.charge(key, now, price, ADDRESS_BURST);
        }
        over
    }

    /// Whether an address and its network have room for more octets than they have had.
    pub(super) fn has_room(&self, now: Moment, Keys { source, ration, .. }: Keys) -> bool {
        let inner = &self.books.0;
        let level = self.controller.level().0;
        inner.tables[0].read(ration, now).0 < HALF
            && (level < Level::Guard || inner.octets.read(source, now).0 < ADDRESS_BURST.as_nanos() as u64 / 2)
    }

    /// Charges so many octets to an address and its network, whether or not they have room for them.
    pub(super) fn charge_octets(&self, now: Moment, Keys { source, ration, .. }: Keys, octets: usize) {
        let inner = &self.books.0;
        let cost = |per_second| Duration::from_nanos(price(octets, per_second));
        inner.tables[0].charge(ration, now, cost(self.limits.ration), RATION_BURST);
        if self.controller.level().0 >= Level::Guard {
            inner.octets.charge(source, now, cost(self.limits.address_ration), ADDRESS_BURST);
        }
    }

    /// Somebody at an address has come by TCP, as he was told: some more may go there by UDP. So where thousands are behind one
    /// address, a few of them come, and not each of them for each question. Whoever asks in its name gains no more than those
    /// earn who are there.
    pub(super) fn has_come_for_octets(&self, now: Moment, source: Hash) {
        let earned = Duration::from_nanos(price(EARNED, self.limits.address_ration));
        self.books.0.octets.refund(source, now, earned);
    }

    /// In a flood the strangers of a network have a part of its ration, and in an account of their own: who was served in
    /// peace does not pay for what is forged beside him.
    fn over_network(&self, now: Moment, admitted: &Admitted, excess: usize, sampled: bool) -> bool {
        let (level, _) = self.controller.level();
        let inner = &self.books.0;
        let Keys { address, ration: network, .. } = admitted.keys;
        let known = level < Level::Guard || !admitted.stranger;
        let (network, ration) = match known {
            true => (network, self.limits.ration),
            false => (inner.secret.pair(network.0, 1), self.measures.stranger_ration[level as usize]),
        };
        if known && excess < SAME_ANSWER && inner.tables[0].read(network, now).0 < HALF {
            if sampled {
                let price = Duration::from_nanos(price(excess, ration).saturating_mul(RATION_SAMPLE));
                inner.tables[0].charge(network, now, price, RATION_BURST);
            }
            return false;
        }
        if self.plain.take(network, now, price(excess, ration)).is_ok() {
            return false;
        }
        // Carriers put thousands of customers behind one address: small answers to those are what they asked for. How many
        // they seem to be, whoever forges their address can make up: that somebody comes from there by TCP, he cannot.
        // In a flood nobody is sent more for that.
        let crowd = self.limits.crowds && excess < SAME_ANSWER && level < Level::Guard;
        let shares = match crowd && inner.has_come(admitted.address, now) {
            true => u64::from(inner.crowd(address, false, now)),
            false => 1,
        };
        shares == 1 || self.plain.take(network, now, price(excess, ration.saturating_mul(shares))).is_err()
    }
}
