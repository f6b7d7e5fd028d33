//! Passes: nearly every query comes from somebody who asked a moment ago and is nowhere near a limit, in a flood too, unless it
//! is the flood. What the books say of him is in three lines of memory that all shards share, and more under pressure; his
//! pass is sixteen octets of this shard's own.
//!
//! A pass is good for so many answers and so many octets, after which the books are charged for all of them and looked at
//! anew. Where in its first round a pass begins is left to chance, so that each answer and each octet is charged once on
//! average, however few come before the pass is lost: as in systematic sampling, where the first is drawn at random. Under
//! pressure nobody has one whose accounts are used so much that a round more could matter: what is not charged yet is the
//! fourth part of a burst away from any limit. Where those who were served before are found to be forged, or next to nothing is
//! left, passes do not count.

use std::net::IpAddr;

use super::ration::SAME_ANSWER;
use super::{
    Admitted, Asking, CookieReply, Departing, Door, Origin, Parting, SAMPLED, SAMPLED_LIGHT, ShortCut, Verdict,
};
use crate::admission::access::Standing;
use crate::admission::ladder::{Keys, comer_key};
use crate::admission::policy::Mode;
use crate::admission::pressure::Level;
use crate::clock::{Moment, Now};
use crate::memory::{self, Slab};

/// Passes in a line, which is a cache line.
const WAYS: usize = 4;
/// Answers between two looks at the books.
pub(super) const ANSWERS: u8 = 16;
/// Who was served before is looked at under pressure as often as he is charged.
const _: () = assert!(ANSWERS as u64 == SAMPLED);
/// Questions that many clients ask at once: a page's names, each by its addresses of both families.
const AT_ONCE: u8 = 4;
/// Octets beyond what was received, between two charges.
pub(super) const OCTETS: u16 = 2_048;
/// So many names from the cache a client is vouched for as it comes, and from then on once a round: who asks that much while
/// his pass is good is looked at often enough.
const VOUCHED: u8 = 8;
/// A pass is good for so long, in units of 2³⁰ ns (1.07 s): short beside the half hour for which its client stays known.
const GOOD_FOR: u32 = 60;

/// What one client may have before the books are asked again. An empty one is past, and no key is zero but by a chance of
/// 2⁻⁶⁴.
#[derive(Clone, Copy, Default)]
struct Pass {
    key: u64,
    /// In units of 2³⁰ ns; the first in which it is no good any more.
    until: u32,
    octets: u16,
    answers: u8,
    /// How often he was vouched for, up to [`VOUCHED`].
    vouched: u8,
}

impl Pass {
    /// How often its client was vouched for, which begins anew once it is out of date.
    fn vouched_by(&self, now: Moment) -> u8 {
        if self.until > units(now) { self.vouched } else { 0 }
    }
}

#[derive(Default)]
#[repr(align(64))]
struct Line([Pass; WAYS]);

/// The passes that a shard has given out.
pub(super) struct Passes {
    lines: Slab<Line>,
}

/// Leave for one answer, by a pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leave {
    place: Place,
    /// It is one by which its client may be vouched for.
    vouch: bool,
}

/// Where somebody's pass was a moment ago.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place(u32);

impl Origin {
    /// What it is to whoever does not go the quick way to the end.
    pub fn admitted(&self, leave: Leave) -> Admitted {
        Admitted::plain(self.address, self.keys, Round::Within(leave))
    }
}

/// What an answer is in the round of its client's pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Round {
    /// There is none: what is looked at, is by chance.
    None,
    /// One for which nothing is looked up.
    Within(Leave),
    /// The one with which all are charged.
    Due,
}

/// What comes of octets that go to the holder of a pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Octets {
    /// They are within it.
    Within,
    /// With them [`OCTETS`] are to be charged.
    Due,
    /// There is no pass.
    None,
}

impl Passes {
    /// Room for so many.
    pub fn new(count: usize) -> Passes {
        Passes { lines: Slab::new(count.div_ceil(WAYS).next_power_of_two(), Line::default) }
    }

    /// All addresses of an IPv6 network share one line, so that nobody gathers passes by going through his.
    #[inline(always)]
    fn place(&self, keys: &Keys) -> usize {
        (keys.source.0 >> 32) as usize & (self.lines.len() - 1)
    }

    /// Has the line of somebody fetched.
    #[inline]
    pub fn fetch(&self, keys: &Keys) {
        memory::soon(&self.lines[self.place(keys)]);
    }

    #[inline(always)]
    fn find(&mut self, keys: &Keys) -> Option<&mut Pass> {
        let place = self.place(keys);
        self.lines[place].0.iter_mut().find(|pass| pass.key == keys.address.0)
    }

    /// Where somebody's pass is, and for how many answers more it is good, if it is not out of date; `None`: for none.
    #[inline]
    pub fn seek(&self, keys: &Keys) -> Option<(Place, u8)> {
        let line = self.place(keys);
        let way = self.lines[line].0.iter().position(|pass| pass.key == keys.address.0)?;
        let left = self.lines[line].0[way].answers;
        (left > 0).then_some((Place((line * WAYS + way) as u32), left))
    }

    /// The pass at a place, if it is still that of this key.
    #[inline(always)]
    fn at(&mut self, Place(place): Place, keys: &Keys) -> Option<&mut Pass> {
        let pass = &mut self.lines[place as usize / WAYS].0[place as usize % WAYS];
        (pass.key == keys.address.0).then_some(pass)
    }

    /// Takes an answer from somebody's pass; `None`: it is not there any more, or used up.
    #[inline]
    pub fn take(&mut self, place: Place, keys: &Keys, now: Moment) -> Option<Leave> {
        let pass = self.at(place, keys)?;
        if pass.answers == 0 || pass.until <= units(now) {
            return None;
        }
        pass.answers -= 1;
        let vouch =
            u64::from(pass.answers).is_multiple_of(SAMPLED_LIGHT) && (pass.answers == 0 || pass.vouched < VOUCHED);
        pass.vouched += u8::from(vouch && pass.vouched < VOUCHED);
        Some(Leave { place, vouch })
    }

    /// Whether somebody's pass is used up, so that its answers are to be charged. Says so once.
    pub fn take_due(&mut self, keys: &Keys, now: Moment) -> bool {
        let due = self.find(keys).filter(|pass| pass.answers == 0 && pass.until > 0);
        due.map(|pass| *pass = Pass { until: 0, vouched: pass.vouched_by(now), ..*pass }).is_some()
    }

    /// Takes octets from somebody's pass.
    #[inline]
    pub fn spend(&mut self, place: Place, keys: &Keys, octets: usize) -> Octets {
        let Some(pass) = self.at(place, keys) else { return Octets::None };
        match u16::try_from(octets).ok().and_then(|octets| pass.octets.checked_sub(octets)) {
            Some(left) => {
                pass.octets = left;
                Octets::Within
            }
            None => {
                pass.octets = (u32::from(pass.octets) + u32::from(OCTETS)).saturating_sub(octets as u32) as u16;
                Octets::Due
            }
        }
    }

    /// Gives somebody a pass; `round`: that of a pass that was charged just now goes on. `dice` are bits by chance.
    pub fn give(&mut self, keys: &Keys, now: Moment, round: bool, dice: u64) {
        let until = units(now).saturating_add(GOOD_FOR);
        let (first, octets) = ((dice as u8) % ANSWERS, (dice >> 16) as u16 % OCTETS);
        let answers = if round { ANSWERS - 1 } else { first };
        let (place, key) = (self.place(keys), keys.address);
        let line = &mut self.lines[place].0;
        let found = line.iter_mut().find(|pass| pass.key == key.0);
        if let Some(pass) = found {
            if !round && pass.answers == 0 && pass.until > 0 {
                // The round is not charged yet: this answer was begun before.
                return;
            }
            // Where in its rounds it stood is as much by chance as any other place.
            let answers = if round || pass.answers == 0 { answers } else { pass.answers };
            let vouched = if round { pass.vouched } else { pass.vouched_by(now) };
            *pass = Pass { until, answers, vouched, ..*pass };
        } else if let Some(oldest) = line.iter_mut().min_by_key(|pass| pass.until) {
            *oldest = Pass { key: key.0, until, octets, answers, vouched: 0 };
        }
    }
}

impl Door {
    /// Who an address is, and has the memory fetched that will be needed for it.
    pub(super) fn origin(&self, address: IpAddr) -> Origin {
        let mut origin = self.expect(address);
        self.find_out(&mut origin);
        origin
    }

    /// Who an address may be, and has that fetched which tells.
    #[inline]
    pub fn expect(&self, address: IpAddr) -> Origin {
        let address = address.to_canonical();
        let keys = Keys::of(&self.books.0.secret, address);
        self.passes.fetch(&keys);
        let standing = Standing { allowed: true, class: None };
        Origin { address, standing, keys, short_cut: None }
    }

    /// Who it is, to be called when what [`expect`](Self::expect) asked for has come.
    #[inline]
    pub fn find_out(&self, origin: &mut Origin) {
        let pass = if self.passing { self.passes.seek(&origin.keys) } else { None };
        if let Some((place, left)) = pass {
            origin.short_cut = Some(ShortCut::Pass(place));
            if left < AT_ONCE {
                self.fetch_early(origin.address);
            }
        } else if self.bars.has(origin.keys.address) {
            origin.short_cut = Some(ShortCut::Bar);
        } else {
            *origin = self.whole_origin(origin.address);
        }
    }

    /// The same for a canonical address without either.
    pub(super) fn whole_origin(&self, address: IpAddr) -> Origin {
        let standing = self.ranges.find(address);
        let inner = &self.books.0;
        if !standing.allowed {
            return Origin { address, standing, keys: Keys::default(), short_cut: None };
        }
        let keys = self.ladder.keys(&inner.secret, address);
        self.fetch_books(address, &keys);
        if self.controller.level().0 > Level::Open {
            self.ladder.accounts(&inner.secret, address).fetch_wider(&inner.tables[0]);
        }
        Origin { address, standing, keys, short_cut: None }
    }

    /// With the questions that may have come with one it may use up a pass: has that fetched which is needed then.
    #[cold]
    fn fetch_early(&self, address: IpAddr) {
        self.fetch_books(address, &self.ladder.keys(&self.books.0.secret, address));
    }

    /// Has that fetched which everybody without a pass is looked up in.
    fn fetch_books(&self, address: IpAddr, keys: &Keys) {
        let inner = &self.books.0;
        // Who is proven has other accounts; most are not.
        inner.tables[0].fetch(keys.narrowest);
        inner.tables[0].fetch(keys.ration);
        inner.known.fetch(keys.address);
        if self.controller.level().0 >= Level::Guard {
            inner.octets.fetch(keys.source);
            inner.known.fetch(comer_key(&inner.secret, address));
        }
    }

    /// The same for one whose client seemed to have a pass.
    #[inline]
    pub(super) fn judge_passing(&mut self, now: Now, origin: &Origin, asking: &Asking<'_>) -> (Verdict, CookieReply) {
        match self.take_pass(now.mono, origin, asking) {
            Some(leave) => (Verdict::Admitted(origin.admitted(leave)), CookieReply::None),
            None => self.judge_whole(now, origin.address, asking),
        }
    }

    /// The quick way to an answer, and nearly all can go it: leave by a pass. `None`: there is none, and he is to be judged.
    #[inline]
    pub fn take_pass(&mut self, now: Moment, origin: &Origin, asking: &Asking<'_>) -> Option<Leave> {
        let Some(ShortCut::Pass(place)) = origin.short_cut else { return None };
        let may = self.passing && asking.cookie.is_none() && !asking.stream;
        let leave = if may { self.passes.take(place, &origin.keys, now) } else { None }?;
        self.tally.unproven += 1;
        Some(leave)
    }

    /// The same as [`part`](Door::part) for whoever has [leave](Self::take_pass).
    #[inline]
    pub fn part_with_leave(&mut self, now: Moment, origin: &Origin, leave: Leave, packet: &Departing<'_>) -> Parting {
        self.part_passing(now, origin.address, &origin.keys, leave, packet)
    }

    /// What may become of an answer that goes to somebody within a pass.
    #[inline]
    pub(super) fn part_passing(
        &mut self,
        now: Moment,
        address: IpAddr,
        keys: &Keys,
        leave: Leave,
        packet: &Departing<'_>,
    ) -> Parting {
        if leave.vouch && packet.from_cache && self.controller.level().0 < Level::Guard {
            self.vouch(now, address, packet.name);
        }
        let excess = packet.sent.saturating_sub(packet.received);
        let passes = self.passing
            && (excess == 0
                || self.limits.rations == Mode::Off
                || excess < SAME_ANSWER
                    && match self.passes.spend(leave.place, keys, excess) {
                        Octets::Within => true,
                        Octets::None => false,
                        Octets::Due => self.charge_pass(now, address),
                    });
        if passes {
            return Parting::Send;
        }
        self.part_beyond_pass(now, address, leave, packet)
    }

    #[cold]
    fn part_beyond_pass(&mut self, now: Moment, address: IpAddr, leave: Leave, packet: &Departing<'_>) -> Parting {
        let keys = self.ladder.keys(&self.books.0.secret, address);
        self.part_whole(now, &Admitted::plain(address, keys, Round::Within(leave)), packet)
    }

    /// Charges the octets of a pass; `false`: there is no room to spare for them.
    fn charge_pass(&self, now: Moment, address: IpAddr) -> bool {
        let keys = self.ladder.keys(&self.books.0.secret, address);
        self.charge_octets(now, keys, usize::from(OCTETS));
        self.has_room(now, keys)
    }

    /// Gives a pass to whoever is sent an answer with so many octets in excess, is nowhere near a limit, and cannot be somebody
    /// who was never seen.
    pub(super) fn give_pass(&mut self, now: Moment, admitted: &Admitted, excess: usize) {
        let &Admitted { keys, plain, light, proven, stranger, round, .. } = admitted;
        let quiet = self.passing && plain && light && !proven && !stranger;
        if !quiet || excess >= SAME_ANSWER || matches!(round, Round::Within(_)) {
            return;
        }
        if self.limits.rations == Mode::Off || self.has_room(now, keys) {
            let dice = self.throw();
            self.passes.give(&keys, now, round == Round::Due, dice);
        }
    }
}

impl std::fmt::Debug for Passes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Passes({})", self.lines.len() * WAYS)
    }
}

#[inline]
fn units(now: Moment) -> u32 {
    (now.as_nanos() >> 30) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Hash;

    fn of(key: u64) -> Keys {
        Keys { address: Hash(key), source: Hash(key), ..Keys::default() }
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    fn left(passes: &Passes, keys: &Keys) -> u8 {
        passes.seek(keys).map_or(0, |(_, left)| left)
    }

    fn take(passes: &mut Passes, keys: &Keys, now: Moment) -> Option<Leave> {
        let (place, _) = passes.seek(keys)?;
        passes.take(place, keys, now)
    }

    /// A cheap sequence of bits.
    fn dice(number: u64) -> u64 {
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
    }

    #[test]
    fn of_answers_each_is_charged_once_on_average_however_few_come() {
        for each in [1, 3, 15, 16, 40] {
            let mut passes = Passes::new(64);
            let (mut asked, mut charged) = (0u64, 0u64);
            for client in 0..40_000u64 {
                let key = &of(dice(client + 1) << 20 | client);
                for number in 0..each {
                    asked += 1;
                    if take(&mut passes, key, at(5)).is_some() {
                        continue;
                    }
                    // As the door does it: who has no pass pays for all with the chance of one in so many.
                    let due = passes.take_due(key, at(5));
                    if due || dice(client * 64 + number + 7).is_multiple_of(u64::from(ANSWERS)) {
                        charged += u64::from(ANSWERS);
                    }
                    passes.give(key, at(5), due, dice(client * 1_000 + number + 3));
                }
            }
            let part = charged as f64 / asked as f64;
            assert!((part - 1.0).abs() < 0.05, "{each} answers each: {part:.3} of them charged");
        }
    }

    #[test]
    fn of_octets_each_is_charged_once_on_average() {
        for each in [40, 200, 255] {
            let mut passes = Passes::new(64);
            let (mut sent, mut charged) = (0u64, 0u64);
            for client in 0..20_000u64 {
                let key = &of(dice(client + 1) << 20 | client);
                passes.give(key, at(5), true, dice(client + 3));
                let (place, _) = passes.seek(key).expect("it was given");
                for _ in 0..5 {
                    sent += each;
                    charged += match passes.spend(place, key, each as usize) {
                        Octets::Within => 0,
                        Octets::Due => u64::from(OCTETS),
                        Octets::None => unreachable!("it was given"),
                    };
                }
            }
            let part = charged as f64 / sent as f64;
            assert!((part - 1.0).abs() < 0.05, "{each} octets each: {part:.3} of them charged");
        }
    }

    #[test]
    fn a_pass_ends() {
        let mut passes = Passes::new(64);
        let key = &of(77 << 40 | 5);
        assert!(left(&passes, key) == 0 && take(&mut passes, key, at(5)).is_none());
        passes.give(key, at(5), true, 0);
        assert!(take(&mut passes, key, at(60)).is_some() && left(&passes, key) == ANSWERS - 2);
        assert_eq!(take(&mut passes, key, at(80)), None, "out of date");
        passes.give(key, at(80), false, 0);
        assert_eq!((0..20).filter(|_| take(&mut passes, key, at(80)).is_some()).count(), usize::from(ANSWERS - 2));
        assert!(left(&passes, key) == 0 && passes.take_due(key, at(80)) && !passes.take_due(key, at(80)));
    }

    #[test]
    fn who_asks_much_is_vouched_for_once_a_round() {
        let mut passes = Passes::new(64);
        let key = &of(77 << 40 | 5);
        let mut round = |seconds: u64| {
            let due = passes.take_due(key, at(seconds));
            passes.give(key, at(seconds), due, 0);
            (0..ANSWERS).filter_map(|_| take(&mut passes, key, at(seconds))).filter(|leave| leave.vouch).count()
        };
        // The first one has no answers: where a pass begins is left to chance.
        let rounds: Vec<usize> = [10, 10, 11, 12, 13, 14].map(&mut round).into();
        assert_eq!(rounds, [0, 4, 4, 1, 1, 1]);
        assert_eq!((round(100), round(101)), (4, 4), "he has been away");
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut passes = Passes::new(WAYS);
        for number in 1..=5 {
            passes.give(&of(number), at(number * 10), true, 0);
        }
        assert_eq!(
            (1..=5).map(|number| left(&passes, &of(number)) > 0).collect::<Vec<_>>(),
            [false, true, true, true, true]
        );
    }
}
