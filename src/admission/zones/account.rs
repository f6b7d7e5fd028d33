//! One zone's account: what is asked of it, what comes back, whether that is a flood, and how much it may have.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::Marks;
use crate::clock::Moment;
use crate::pack::{Fields, Pack, Passage};

/// Accounts are looked at so often, in nanoseconds: four times a second.
const TICK: u64 = 250_000_000;
/// How long a rate remembers, in seconds.
const MEMORY: f32 = 1.0;
/// How long a zone's ordinary rate remembers, in seconds; where most names do not exist, it takes longer to get used to more
/// of them, so that no flood becomes a habit by growing slowly.
const HABIT: f32 = 600.0;
const BARREN_HABIT: f32 = 6.0 * 3600.0;
/// At most so many names of a flood exist, as a part of all: a few that do must not hide the others.
const BARREN: f32 = 0.3;
/// Something must look like a flood for so many ticks: a page with a hundred new names on it is over by then.
const DWELL: u8 = 3;
/// The same, a minute, where at least `LISTED` of the names exist and the servers answer everything: a list of bad
/// domains that mail servers ask has a few in a hundred of them, and within that minute those clients are known who find them.
/// A flood that has as many of its names exist, or whose bots know one in fifty, has that minute too, or goes on while it keeps
/// within what is below. It may: `is_like_a_list` holds for no more questions than a flooded zone is let have (`most`), and
/// only while its servers answer 99 in 100, so that they bear it and its customers are answered. Upstream that is a fair share;
/// here it takes no more places than others leave (`IN_FLIGHT`) and no more memory than what is asked for once (`cache`).
const LIST_DWELL: u8 = 240;
const LISTED: f32 = 0.02;
/// In one that has long been such a list it is fewer: of two hundred names that are asked for it may happen to have none, just
/// when those come who are not known any more to find some. Long is so many names, of which at most `BARREN` exist.
const LONG_LISTED: f32 = 0.01;
const LISTED_LONG: f32 = 2_000.0;
/// That part is one of so many names, and never more than `MOST_LISTED`, so that what a zone was asked before a flood is
/// soon forgotten in it; of a new zone half of the most is assumed.
const LISTED_AMONG: f32 = 200.0;
const MOST_LISTED: f32 = 0.06;
/// Ticks between two cuts of a quota.
const FELT: u32 = 2;
/// A flood is over after this long without it.
const CALM: Duration = Duration::from_secs(10);
/// A zone has at least so many questions a second while it is flooded: how else would it be known that it is well again?
const LEAST: f32 = 2.0;
/// Of these, so many a second are for names never seen before.
const LEAST_UNSEEN: f32 = 0.5;
/// The part of a zone's quota that is left to names never seen before.
const UNSEEN: f32 = 0.1;
/// Names never seen a second that make an ordinary rate worth keeping over a restart.
const USUAL: f32 = 1.0;
/// Octets of a zone's name that are kept to be shown.
const SHOWN: usize = 64;

/// A number that many threads add to or replace.
#[derive(Default)]
struct Rate(AtomicU32);

impl Rate {
    fn get(&self) -> f32 {
        f32::from_bits(self.0.load(Ordering::Relaxed))
    }

    fn set(&self, value: f32) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }
}

/// What is counted of a zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Count {
    /// Tenths of a question for a name never seen before.
    Asked,
    /// Such questions that were let through.
    Begun,
    /// Of those: names that exist.
    Found,
    /// Of those: names that do not, or have no such records.
    Absent,
    /// Of those: SERVFAIL.
    Failed,
    /// Packets that its servers answered.
    Heard,
    /// Packets that they did not, so far.
    Silent,
    /// Of those: answered after all.
    Late,
    /// Names that exist and were let through while others were refused: they say nothing of those.
    Ahead,
    /// Tenths of a question for a name never seen before, by somebody who keeps finding such names there.
    Vouched,
}

const COUNTS: usize = 10;

/// What the floods evidence is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Why {
    /// The names do not exist.
    Absent = 1,
    /// Nothing comes back.
    Stuck = 2,
    /// The zone's servers lose packets.
    Losing = 3,
}

impl Why {
    fn from_number(number: u8) -> Option<Why> {
        [Why::Absent, Why::Stuck, Why::Losing].into_iter().find(|why| *why as u8 == number)
    }
}

/// How a name stands, those first that are served first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Standing {
    /// It has resolved in the last days.
    #[default]
    Learned,
    /// Never seen, asked by somebody whose questions lead to names that exist.
    Trusted,
    /// Never seen, but for numbers like names that exist, asked by somebody else.
    Likely,
    /// Never seen, asked by somebody of whom that is not known, or who has asked for too many that do not exist.
    Unknown,
}

/// An account. 256 octets.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Account {
    /// Zero while nobody's.
    pub tag: AtomicU64,
    tick: AtomicU32,
    counts: [AtomicU32; COUNTS],
    pub in_flight: AtomicU32,
    rates: [Rate; COUNTS],
    /// The ordinary rate of names never seen.
    habit: Rate,
    /// Different labels in this tick, as bits.
    labels: [AtomicU64; 2],
    /// Different labels a second, as estimated.
    distinct: Rate,
    /// The suffix below it that most questions are for: half a hash, and its majority.
    child: AtomicU64,
    /// The part of the names that exists, of the last few hundred.
    listed: Rate,
    /// Ticks in a row that looked like a flood.
    warm: AtomicU8,
    why: AtomicU8,
    /// The part of the names that exists, of the last two thousand, in 65,535ths; at first none.
    listed_long: AtomicU16,
    /// Since when it is flooded, and when it was last; zero: it is not.
    since: AtomicU64,
    needed: AtomicU64,
    /// Questions a second, while it is flooded; the tick at which it was cut last.
    quota: Rate,
    cut: AtomicU32,
    /// When all that was taken out of the quota is earned back, of the whole and of the rest for names never seen.
    whole: AtomicU64,
    rest: AtomicU64,
    /// The same for names that may be learned.
    learning: AtomicU64,
    refused: AtomicU64,
    name: [AtomicU64; SHOWN / 8],
}

/// What is told of a zone.
#[derive(Clone, PartialEq, Debug)]
pub struct Told {
    /// Its name in wire form, the first 64 octets.
    pub name: Vec<u8>,
    /// Since when it is flooded; none: it is not.
    pub since: Option<Moment>,
    /// What gave it away.
    pub why: Option<Why>,
    /// Questions a second for names never seen before.
    pub asked: f32,
    /// Different ones among them, at least.
    pub distinct: f32,
    /// Of those let through, a second: names that exist, that do not, and failures.
    pub found: f32,
    pub absent: f32,
    pub failed: f32,
    /// Packets a second that its servers answered, and that they did not.
    pub heard: f32,
    pub silent: f32,
    /// Questions for such names that wait for an answer.
    pub in_flight: u32,
    /// Questions a second that it may have while it is flooded.
    pub quota: f32,
    /// Questions refused since it was flooded.
    pub refused: u64,
}

impl Account {
    /// Makes it the account of a zone.
    pub fn begin(&self, tag: u64, name: &[u8], now: Moment) {
        self.tag.store(0, Ordering::Relaxed);
        for count in self.counts.iter().chain([&self.in_flight, &self.cut]) {
            count.store(0, Ordering::Relaxed);
        }
        self.warm.store(0, Ordering::Relaxed);
        self.why.store(0, Ordering::Relaxed);
        self.listed.set(MOST_LISTED / 2.0);
        self.listed_long.store(0, Ordering::Relaxed);
        for rate in self.rates.iter().chain([&self.habit, &self.distinct, &self.quota]) {
            rate.set(0.0);
        }
        let words = [&self.child, &self.since, &self.needed, &self.whole, &self.rest, &self.learning];
        for word in words.into_iter().chain(&self.labels).chain([&self.refused]) {
            word.store(0, Ordering::Relaxed);
        }
        for (word, chunk) in self.name.iter().zip(0..) {
            let mut octets = [0; 8];
            let from = name.get(chunk * 8..).unwrap_or(&[]);
            let length = from.len().min(8);
            octets[..length].copy_from_slice(&from[..length]);
            word.store(u64::from_le_bytes(octets), Ordering::Relaxed);
        }
        self.tick.store(tick(now), Ordering::Relaxed);
        self.tag.store(tag, Ordering::Relaxed);
    }

    /// Writes what a restart must not forget: that it is flooded, its quota, and what is usual. False: there is nothing.
    pub fn save(&self, pack: &mut Pack) -> bool {
        let tag = self.tag.load(Ordering::Relaxed);
        if tag == 0 || !self.is_flooded() && self.habit.get() < USUAL {
            return false;
        }
        pack.u64(tag);
        for word in &self.name {
            pack.u64(word.load(Ordering::Relaxed));
        }
        for rate in [&self.habit, &self.quota, &self.rates[Count::Asked as usize], &self.rates[Count::Heard as usize]] {
            pack.f32(rate.get());
        }
        pack.u32(self.why.load(Ordering::Relaxed).into());
        for time in [&self.since, &self.needed] {
            pack.u64(time.load(Ordering::Relaxed));
        }
        true
    }

    /// Takes in what was written; the tag, which comes first, has been read.
    pub fn load(&self, tag: u64, record: &mut Fields<'_>, now: Moment, passage: &Passage) -> Option<()> {
        let mut name = [0; SHOWN / 8];
        for word in &mut name {
            *word = record.u64()?;
        }
        let mut rate = || record.f32().filter(|rate| *rate >= 0.0);
        let (habit, quota, asked, heard) = (rate()?, rate()?, rate()?, rate()?);
        let why = u8::try_from(record.u32()?).ok()?;
        let (since, needed) = (passage.mono(record.moment()?), passage.mono(record.moment()?));
        self.begin(tag, &[], now);
        for (word, octets) in self.name.iter().zip(name) {
            word.store(octets, Ordering::Relaxed);
        }
        self.habit.set(habit);
        self.quota.set(quota);
        self.rates[Count::Asked as usize].set(asked);
        self.rates[Count::Heard as usize].set(heard);
        self.why.store(why, Ordering::Relaxed);
        // A flood that goes on shows itself within the time after which it would be over.
        self.needed.store(needed.max(now - passage.elapsed.min(CALM)).as_nanos(), Ordering::Relaxed);
        self.since.store(since.as_nanos(), Ordering::Relaxed);
        Some(())
    }

    /// How much would be lost with it: a flooded one most, then busy ones.
    pub fn worth(&self, now: Moment) -> f32 {
        let idle = Duration::from_nanos(now.as_nanos().saturating_sub(self.looked().as_nanos()));
        let fresh = (-idle.as_secs_f32() / 10.0).exp();
        let flooded = if self.since.load(Ordering::Relaxed) > 0 { 1e6 } else { 0.0 };
        (flooded + self.rates[Count::Asked as usize].get() + self.in_flight.load(Ordering::Relaxed) as f32) * fresh
    }

    /// Counts.
    pub fn count(&self, what: Count, times: u32) {
        self.counts[what as usize].fetch_add(times, Ordering::Relaxed);
    }

    /// Counts a packet that was lost, or was late after all. Of those sent before the quota was cut last nothing more is
    /// learned: they were too many for the quota before.
    pub fn lose(&self, what: Count, sent: Moment) {
        if !self.is_flooded() || tick(sent) >= self.cut.load(Ordering::Relaxed) {
            self.count(what, 1);
        }
    }

    /// What was lost so far has led to the quota that is now; the next cut takes what is lost of it.
    fn judge_anew(&self, tick: u32) {
        self.cut.store(tick, Ordering::Relaxed);
        for what in [Count::Silent, Count::Late] {
            self.rates[what as usize].set(0.0);
        }
    }

    /// Counts a question for a name never seen: `tenths` of one, by somebody who is vouched for or not; `label` and `child` are hashes of the name and of
    /// the next suffix on the way to it.
    pub fn ask(&self, tenths: u32, vouched: bool, label: u64, child: u64) {
        self.count(Count::Asked, tenths);
        self.count(Count::Vouched, if vouched { tenths } else { 0 });
        self.labels[(label >> 6 & 1) as usize].fetch_or(1 << (label & 63), Ordering::Relaxed);
        let child = child >> 32;
        let held = self.child.load(Ordering::Relaxed);
        let (key, votes) = (held >> 32, held & 0xffff_ffff);
        let next = match votes {
            _ if key == child => child << 32 | (votes + 1).min(0xffff_ffff),
            0 => child << 32 | 1,
            votes => key << 32 | (votes - 1),
        };
        self.child.store(next, Ordering::Relaxed);
    }

    /// Questions a second for names never seen, as of the last look.
    pub fn asking(&self) -> f32 {
        self.rates[Count::Asked as usize].get()
    }

    /// Is it flooded?
    pub fn is_flooded(&self) -> bool {
        self.since.load(Ordering::Relaxed) > 0
    }

    /// Looks at what was counted, if that is due; whoever is first does.
    pub fn look(&self, marks: &Marks, now: Moment) {
        let (tick, last) = (tick(now), self.tick.load(Ordering::Relaxed));
        if tick > last && self.tick.compare_exchange(last, tick, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.turn(marks, now, tick, tick - last);
        }
    }

    #[cold]
    fn turn(&self, marks: &Marks, now: Moment, tick: u32, ticks: u32) {
        let seconds = ticks as f32 * (TICK as f32 / 1e9);
        let keep = (-seconds / MEMORY).exp();
        let mix = |rate: &Rate, count: f32| rate.set(rate.get() * keep + count / seconds * (1.0 - keep));
        let counted = |what: Count| self.counts[what as usize].swap(0, Ordering::Relaxed) as f32;
        let asked = counted(Count::Asked) / 10.0;
        mix(&self.rates[Count::Asked as usize], asked);
        mix(&self.rates[Count::Vouched as usize], counted(Count::Vouched) / 10.0);
        let (found, absent) = (counted(Count::Found), counted(Count::Absent));
        mix(&self.rates[Count::Found as usize], found);
        mix(&self.rates[Count::Absent as usize], absent);
        if found + absent > 0.0 {
            let after = |part: f32, among: f32| {
                let before = (-(found + absent) / among).exp();
                part * before + found / (found + absent) * (1.0 - before)
            };
            self.listed.set(after(self.listed.get(), LISTED_AMONG).min(MOST_LISTED));
            let long = after(self.long(), LISTED_LONG);
            self.listed_long.store((long * f32::from(u16::MAX)).round() as u16, Ordering::Relaxed);
        }
        let others = [Count::Begun, Count::Failed, Count::Heard, Count::Silent];
        for what in others.into_iter().chain([Count::Late, Count::Ahead]) {
            mix(&self.rates[what as usize], counted(what));
        }
        let empty: u32 = self.labels.iter().map(|word| word.swap(0, Ordering::Relaxed).count_zeros()).sum();
        mix(&self.distinct, 128.0 * (128.0 / empty.max(1) as f32).ln());
        let majority = (self.child.swap(0, Ordering::Relaxed) & 0xffff_ffff) as f32;
        let elsewhere = asked >= 5.0 && majority > 0.6 * asked;
        let floor = marks.watch.max(3.0 * self.habit.get());
        let strange = self.strange(marks);
        let why = self.suspicion(floor, strange).filter(|_| !elsewhere);
        match why {
            Some(why) => {
                let warm = self.warm.load(Ordering::Relaxed).saturating_add(ticks.min(u32::from(DWELL)) as u8);
                self.warm.store(warm, Ordering::Relaxed);
                let dwell = if self.is_like_a_list(marks) { LIST_DWELL } else { DWELL };
                if warm >= dwell && !self.is_flooded() {
                    self.flood(why, marks, now);
                }
            }
            None => self.warm.store(0, Ordering::Relaxed),
        }
        if self.is_flooded() {
            if strange >= marks.watch / 2.0 && self.is_barren(0.5) {
                self.needed.store(now.as_nanos(), Ordering::Relaxed);
            } else if now.since(Moment::from_nanos(self.needed.load(Ordering::Relaxed))) >= CALM {
                self.since.store(0, Ordering::Relaxed);
                self.refused.store(0, Ordering::Relaxed);
            }
            self.adapt(marks, tick);
        } else if why.is_none() {
            let usual = strange.min(floor);
            let more = usual > self.habit.get() && self.is_barren(0.5);
            let memory = if more { BARREN_HABIT } else { HABIT };
            self.habit.set(usual + (self.habit.get() - usual) * (-seconds / memory).exp());
        }
    }

    /// When it was looked at last.
    fn looked(&self) -> Moment {
        Moment::from_nanos(u64::from(self.tick.load(Ordering::Relaxed)) * TICK)
    }

    fn rate(&self, what: Count) -> f32 {
        self.rates[what as usize].get()
    }

    /// Packets a second that are lost.
    fn lost(&self) -> f32 {
        (self.rate(Count::Silent) - self.rate(Count::Late)).max(0.0)
    }

    /// Does at most `part` of the names exist, among those of which is known?
    fn is_barren(&self, part: f32) -> bool {
        let found = self.rate(Count::Found);
        let known = found + self.rate(Count::Absent) + self.rate(Count::Failed);
        found <= part * known.max(0.1)
    }

    /// Questions a second for names never seen by those who do not keep finding some there. What all others ask counts as
    /// well beyond what the zone could have if it were flooded, and where its servers lose packets.
    fn strange(&self, marks: &Marks) -> f32 {
        let vouched = if self.is_lossy() { 0.0 } else { self.rate(Count::Vouched).min(marks.most) };
        (self.asking() - vouched).max(0.0)
    }

    /// May those who keep finding names go before others while it is flooded? Not where they are the flood.
    pub fn bears_vouched(&self) -> bool {
        self.rate(Count::Vouched) <= 0.5 * self.quota.get()
    }

    fn is_lossy(&self) -> bool {
        let silent = self.lost();
        silent >= 1.0 && silent > 0.15 * self.rate(Count::Heard)
    }

    /// The part of its names that exists, of those of a longer time.
    fn long(&self) -> f32 {
        f32::from(self.listed_long.load(Ordering::Relaxed)) / f32::from(u16::MAX)
    }

    /// Do a few of its names exist, and its servers answer everything, which is no more than they would be let have?
    fn is_like_a_list(&self, marks: &Marks) -> bool {
        let losses = self.lost() + self.rate(Count::Failed);
        let least = if (LISTED..=BARREN).contains(&self.long()) { LONG_LISTED } else { LISTED };
        self.listed.get() >= least && self.asking() <= marks.most && losses <= 0.01 * self.rate(Count::Heard)
    }

    /// Has it so much to say that it is known who finds something there?
    pub fn is_busy_and_barren(&self) -> bool {
        self.asking() >= USUAL && self.is_barren(0.5)
    }

    /// Does it look like a flood, with so many `strange` questions a second?
    fn suspicion(&self, floor: f32, strange: f32) -> Option<Why> {
        if strange < floor {
            return None;
        }
        let begun = self.rate(Count::Begun);
        let known = self.rate(Count::Found) + self.rate(Count::Absent) + self.rate(Count::Failed);
        let in_flight = self.in_flight.load(Ordering::Relaxed) as f32;
        let (heard, silent) = (self.rate(Count::Heard), self.lost());
        if known >= 5.0 && known >= 0.2 * begun && self.is_barren(BARREN) {
            Some(Why::Absent)
        } else if silent >= 10.0 && silent > 0.5 * heard {
            Some(Why::Losing)
        } else if in_flight >= 0.4 * floor && known <= 0.5 * in_flight && self.is_barren(BARREN) {
            Some(Why::Stuck)
        } else {
            None
        }
    }

    fn flood(&self, why: Why, marks: &Marks, now: Moment) {
        self.why.store(why as u8, Ordering::Relaxed);
        let heard = self.rate(Count::Heard);
        let lossy = self.lost() > 0.15 * heard;
        self.quota.set(if lossy { (0.85 * heard).clamp(LEAST, marks.most.max(LEAST)) } else { marks.most.max(LEAST) });
        self.judge_anew(tick(now));
        self.needed.store(now.as_nanos(), Ordering::Relaxed);
        self.since.store(now.as_nanos().max(1), Ordering::Relaxed);
    }

    /// Less where packets are lost, more where they are not: what a zone's servers answer is what they can.
    fn adapt(&self, marks: &Marks, tick: u32) {
        let most = marks.most.max(LEAST);
        let quota = self.quota.get();
        let heard = self.rate(Count::Heard);
        let next = if self.is_lossy() {
            // So that the first cut is felt before the next.
            if tick < self.cut.load(Ordering::Relaxed) + FELT {
                return;
            }
            self.judge_anew(tick);
            quota.min(heard.max(LEAST)) * 0.85
        } else if heard > 0.3 * quota {
            quota * 1.15 + 1.0
        } else {
            quota
        };
        self.quota.set(next.clamp(LEAST, most));
    }

    /// May a question be asked of the flooded zone? Those that stand better leave the last of it to themselves, and among equals
    /// those whose client has used less of his own account, of which `used` is the part.
    pub fn take(&self, standing: Standing, used: f32, now: Moment) -> bool {
        let quota = self.quota.get().max(LEAST);
        let unseen = (quota * UNSEEN).max(LEAST_UNSEEN);
        let used = used.clamp(0.0, 1.0);
        let whole = |kept: f32| take(&self.whole, quota * (1.0 - UNSEEN), 1.0 - kept, now);
        match standing {
            Standing::Learned => whole(0.2 * used),
            Standing::Trusted => whole(0.3 + 0.2 * used) || take(&self.rest, unseen, 1.0 - 0.2 * used, now),
            Standing::Likely => whole(0.5 + 0.2 * used) || take(&self.rest, unseen, 0.8 - 0.15 * used, now),
            // Where little is asked for, a tenth of the quota would be all of it: half a tenth of what is asked, then.
            Standing::Unknown => {
                take(&self.rest, unseen.min((UNSEEN * 0.5 * self.asking()).max(LEAST_UNSEEN)), 0.6, now)
            }
        }
    }

    /// May another name of it be learned? `rate` a second on average, `burst` of them at once.
    pub fn learn(&self, rate: f32, burst: f32, now: Moment) -> bool {
        take(&self.learning, rate, burst / rate, now)
    }

    /// Counts a refusal.
    pub fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// What is told of it.
    pub fn tell(&self, now: Moment) -> Told {
        let octets: Vec<u8> = self.name.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        let since = self.since.load(Ordering::Relaxed);
        let looked = self.looked();
        let flooded = since > 0 && now.since(looked) < CALM;
        // What was not looked at for a while has become less.
        let fade = (-now.since(looked).as_secs_f32() / MEMORY).exp();
        let rate = |what: Count| self.rate(what) * fade;
        Told {
            name: octets,
            since: flooded.then(|| Moment::from_nanos(since)),
            why: Why::from_number(self.why.load(Ordering::Relaxed)).filter(|_| flooded),
            asked: rate(Count::Asked),
            distinct: self.distinct.get() * fade,
            found: rate(Count::Found) + rate(Count::Ahead),
            absent: rate(Count::Absent),
            failed: rate(Count::Failed),
            heard: rate(Count::Heard),
            silent: self.lost() * fade,
            in_flight: self.in_flight.load(Ordering::Relaxed),
            quota: self.quota.get(),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

/// The quarter of a second that a moment is in: they are counted for 34 years.
fn tick(now: Moment) -> u32 {
    (now.as_nanos() / TICK) as u32
}

/// Takes one of `rate` a second out of an account that may be `burst` seconds ahead, and by one at least.
fn take(account: &AtomicU64, rate: f32, burst: f32, now: Moment) -> bool {
    let now = now.as_nanos();
    let price = (1e9 / rate) as u64;
    let burst = ((burst * 1e9) as u64).max(price);
    let taken = account.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |until| {
        let next = until.max(now).saturating_add(price);
        (next <= now.saturating_add(burst)).then_some(next)
    });
    taken.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Mode;

    /// The rate at which a zone is found to be flooded that is asked for ever more names of which a `part` exists, doubling
    /// every half an hour; at most a thousand a second.
    fn found_out_at(part: f32) -> f32 {
        let marks = Marks { watch: 50.0, most: 500.0, clients: Mode::Enforce };
        let account = Account::default();
        let start = Moment::from_nanos(1_000_000_000_000);
        account.begin(1, b"\x04bank\x03com\0", start);
        let (mut asked, mut rate) = (0.0, 20.0f32);
        for tick in 0..4 * 3 * 3600u64 {
            rate = 20.0 * 2f32.powf(tick as f32 / (4.0 * 1800.0));
            asked += rate / 4.0;
            while asked >= 1.0 {
                asked -= 1.0;
                let name = (tick * 64 + asked as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                account.ask(10, false, name, name);
                account.count(Count::Begun, 1);
            }
            let (found, absent) = (rate / 4.0 * part, rate / 4.0 * (1.0 - part));
            account.count(Count::Found, found.round() as u32);
            account.count(Count::Absent, absent.round() as u32);
            account.look(&marks, start + Duration::from_millis(250) * (tick as u32 + 1));
            if account.is_flooded() || rate > 1_000.0 {
                break;
            }
        }
        rate
    }

    /// An account that is asked for a hundred names a second for some seconds, of which five in a hundred exist, by whom nobody
    /// knows, so many times with a quarter of an hour in between. True: it was taken for flooded.
    fn waves(account: &Account, count: u32, seconds: u32, dice: &mut u64) -> bool {
        let marks = Marks { watch: 50.0, most: 500.0, clients: Mode::Enforce };
        let start = account.looked();
        let mut flooded = false;
        for (wave, tick) in (0..count).flat_map(|wave| (0..seconds * 4).map(move |tick| (wave, tick))) {
            for _ in 0..25 {
                *dice = dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                account.ask(10, false, *dice >> 20, *dice >> 20);
                account.count(Count::Begun, 1);
                account.count(Count::Heard, 1);
                account.count(if *dice >> 32 < (1 << 32) / 20 { Count::Found } else { Count::Absent }, 1);
            }
            account
                .look(&marks, start + Duration::from_millis(250) * (tick + 1) + Duration::from_secs(900) * (wave + 1));
            flooded |= account.is_flooded();
        }
        flooded
    }

    #[test]
    fn a_list_whose_clients_are_not_known_any_more_is_no_flood() {
        let mut alarms = Vec::new();
        for seed in 0..10 {
            let (account, mut dice) = (Account::default(), seed);
            account.begin(1, b"\x04list\x03org\0", Moment::from_nanos(1_000_000_000_000));
            // At first nobody knows what it is.
            waves(&account, 1, 50, &mut dice);
            if waves(&account, 300, 5, &mut dice) {
                alarms.push(seed);
            }
        }
        assert!(alarms.is_empty(), "taken for flooded with seeds {alarms:?}");
    }

    #[test]
    fn a_flood_does_not_become_a_habit_by_growing_slowly_and_traffic_does() {
        let (flood, traffic) = (found_out_at(0.0), found_out_at(0.6));
        assert!(flood < 200.0, "found out at {flood} a second");
        assert!(traffic > 1_000.0, "taken for a flood at {traffic} a second");
    }
}
