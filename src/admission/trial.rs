//! Are those real who were never seen before? A few of them are told to come by TCP, which nobody can do from an address
//! that is not his own, and those who do are counted.
//!
//! On the first day of a resolver all of its customers are new, and so are forged addresses: what they ask tells
//! nothing. Truncating every first answer keeps octets from whoever is forged, but costs a connection for every
//! customer. So a sample is asked, and the others are dealt with as it behaves.

use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;
use crate::meter::{Hash, Seen};

/// How long after the first of a sample was asked it is judged. Who is told to come by TCP does so at once: two round trips,
/// a tenth of a second even on a mobile phone.
const WINDOW: Duration = Duration::from_millis(500);
/// A verdict that no later one has confirmed counts for so long.
const FORGET: Duration = Duration::from_secs(10);
/// Addresses of a sample.
const SAMPLE: u32 = 64;
/// Where they have been found real, fewer are asked.
const SPOT_CHECK: u32 = SAMPLE / 4;
/// Fewer than this tell nothing; spot checks, one after another, come to more.
const LEAST: u32 = SPOT_CHECK + SPOT_CHECK / 2;
/// Octets of memory for who was asked, and for who came: some 8,000 of each.
const MEMORY: usize = 16 << 10;

/// What was sent within the ration in time gone by is owed up to here, in octets: a few seconds' worth.
const RATIONED: i64 = 128 << 10;

/// What is known of those who were never seen before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Strangers {
    /// There are not many of them, or they have only begun to come.
    Unjudged,
    /// At least half of those who were asked came by TCP.
    Real,
    /// Less than a quarter came: the others are forged.
    Forged,
}

impl Strangers {
    /// The word for it in reports.
    pub fn name(self) -> &'static str {
        match self {
            Strangers::Unjudged => "unjudged",
            Strangers::Real => "real",
            Strangers::Forged => "forged",
        }
    }
}

/// What the first answer to an address is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum First {
    /// Whole, and it is known from now on.
    Whole,
    /// Whole, but it stays a stranger.
    Doubted,
    /// Truncated: it belongs to the sample.
    Asked,
    /// Truncated, or none while more went out than came in.
    Turned,
}

/// IPv4 and IPv6 are judged apart: who was given an IPv6 network has more addresses that come by TCP than there are customers,
/// and is not to vouch with them for those that he forges in IPv4.
#[derive(Debug)]
pub struct Families([Trial; 2]);

impl Default for Families {
    fn default() -> Families {
        Families([Trial::new(), Trial::new()])
    }
}

impl Families {
    /// The sample that an address belongs to, which is canonical.
    pub fn of(&self, address: IpAddr) -> &Trial {
        &self.0[usize::from(address.is_ipv6())]
    }

    /// What is known of those of both families: the worse.
    pub fn verdict(&self, now: Moment) -> Strangers {
        let [v4, v6] = self.0.each_ref().map(|trial| trial.verdict(now));
        if v4 as u8 >= v6 as u8 { v4 } else { v6 }
    }
}

/// The sample of all shards.
#[derive(Debug)]
pub struct Trial {
    asked_addresses: Seen,
    come_addresses: Seen,
    /// Of the sample that is being taken.
    asked: AtomicU32,
    come: AtomicU32,
    /// Of those before, each counting half of the one after it.
    asked_before: AtomicU32,
    come_before: AtomicU32,
    /// When the sample is judged, in nanoseconds; 0: none is being taken.
    end: AtomicU64,
    /// When the last one that told anything was.
    judged: AtomicU64,
    verdict: AtomicU8,
    /// When there was no room in the ration the last time, in nanoseconds, while they were found to be forged.
    exceeded: AtomicU64,
    /// Octets beyond what came in that went to strangers before they were found to be forged, less what silence has saved since.
    debt: AtomicI64,
}

impl Trial {
    pub fn new() -> Trial {
        let span = 8 * WINDOW;
        Trial {
            asked_addresses: Seen::rolling(MEMORY, span),
            come_addresses: Seen::rolling(MEMORY, span),
            asked: AtomicU32::new(0),
            come: AtomicU32::new(0),
            asked_before: AtomicU32::new(0),
            come_before: AtomicU32::new(0),
            end: AtomicU64::new(0),
            judged: AtomicU64::new(0),
            verdict: AtomicU8::new(Strangers::Unjudged as u8),
            exceeded: AtomicU64::new(0),
            debt: AtomicI64::new(0),
        }
    }

    /// What is known of strangers.
    pub fn verdict(&self, now: Moment) -> Strangers {
        self.judge(now);
        let stale = now.since(Moment::from_nanos(self.judged.load(Ordering::Relaxed))) > FORGET;
        match self.verdict.load(Ordering::Relaxed) {
            _ if stale => Strangers::Unjudged,
            1 => Strangers::Real,
            2 => Strangers::Forged,
            _ => Strangers::Unjudged,
        }
    }

    /// Whether those who come now are found to be forged, most of them.
    pub fn is_doubted(&self, now: Moment) -> bool {
        self.verdict(now) == Strangers::Forged
    }

    /// Somebody who was never seen before is to get a first answer. `within` says whether there is room in the ration of
    /// all of them for it.
    pub fn first(&self, stranger: Hash, now: Moment, within: impl FnOnce() -> bool) -> First {
        let verdict = self.verdict(now);
        let (most, otherwise) = match (verdict, within()) {
            (Strangers::Forged, within) if self.has_ebbed(now, within) => return First::Whole,
            (Strangers::Forged, _) => (SAMPLE, First::Turned),
            (_, true) => return First::Whole,
            (Strangers::Real, false) => (SPOT_CHECK, First::Whole),
            (Strangers::Unjudged, false) => (SAMPLE, First::Doubted),
        };
        if self.asked.load(Ordering::Relaxed) >= most || self.asked_addresses.has(stranger, now) {
            return otherwise;
        }
        self.asked_addresses.note(stranger, now);
        self.asked.fetch_add(1, Ordering::Relaxed);
        // A shard that was held up may be behind.
        let start = now.as_nanos().max(self.judged.load(Ordering::Relaxed));
        let end = start.saturating_add(WINDOW.as_nanos() as u64);
        // Whoever is first begins the window.
        let _ = self.end.compare_exchange(0, end, Ordering::Relaxed, Ordering::Relaxed);
        First::Asked
    }

    /// Whether those who are found to be forged have long been so few that there was room for all, so that nothing is gained by
    /// putting them to the test any more.
    fn has_ebbed(&self, now: Moment, within: bool) -> bool {
        if !within {
            self.exceeded.store(now.as_nanos(), Ordering::Relaxed);
        }
        within && now.since(Moment::from_nanos(self.exceeded.load(Ordering::Relaxed))) > FORGET
    }

    /// A stranger was sent so many octets more than came from him, whether or not there was room in the ration for it.
    pub fn owe(&self, octets: usize, first: First) {
        if first == First::Whole && self.debt.load(Ordering::Relaxed) > RATIONED {
            return;
        }
        self.debt.fetch_add(octets as i64, Ordering::Relaxed);
    }

    /// Whether more went to those found to be forged than came from them, so that some of them are to hear nothing.
    pub fn owes(&self) -> bool {
        self.debt.load(Ordering::Relaxed) > 0
    }

    /// One of them heard nothing, who had sent so many octets.
    pub fn repay(&self, octets: usize) {
        self.debt.fetch_sub(octets as i64, Ordering::Relaxed);
    }

    /// Somebody came by TCP.
    pub fn came(&self, client: Hash, now: Moment) {
        if self.asked_addresses.has(client, now) && !self.come_addresses.has(client, now) {
            self.come_addresses.note(client, now);
            self.come.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Judges the sample if its time is over; one shard does.
    fn judge(&self, now: Moment) {
        let end = self.end.load(Ordering::Relaxed);
        if end == 0 || now.as_nanos() < end {
            return;
        }
        if self.end.compare_exchange(end, 0, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let sum = |before: &AtomicU32, counted: &AtomicU32| {
            let sum = before.load(Ordering::Relaxed) / 2 + counted.swap(0, Ordering::Relaxed);
            before.store(sum, Ordering::Relaxed);
            sum
        };
        let asked = sum(&self.asked_before, &self.asked);
        let come = sum(&self.come_before, &self.come);
        if asked < LEAST {
            return;
        }
        if come.saturating_mul(4) < asked {
            if self.verdict.load(Ordering::Relaxed) != Strangers::Forged as u8 {
                self.exceeded.fetch_max(end, Ordering::Relaxed);
            }
            self.verdict.store(Strangers::Forged as u8, Ordering::Relaxed);
        } else if come.saturating_mul(2) >= asked {
            self.verdict.store(Strangers::Real as u8, Ordering::Relaxed);
            self.debt.store(0, Ordering::Relaxed);
        }
        self.judged.fetch_max(end, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Secret;

    const START: Moment = Moment::from_nanos(3_600_000_000_000);

    /// Five thousand strangers a second for so many seconds, of whom `real` in a hundred come by TCP a tenth of a second
    /// after they were told to; how many got a whole answer.
    fn flood(trial: &Trial, start: Moment, seconds: u64, real: u64) -> u64 {
        let secret = Secret::new(&[1; 32]);
        let mut whole = 0;
        let mut coming = std::collections::VecDeque::new();
        for number in 0..seconds * 5_000 {
            let now = start + Duration::from_micros(200 * number);
            while coming.front().is_some_and(|(when, _)| *when <= now) {
                coming.pop_front().into_iter().for_each(|(_, client)| trial.came(client, now));
            }
            let client = secret.pair(start.as_nanos(), number);
            match trial.first(client, now, || false) {
                First::Whole | First::Doubted => whole += 1,
                First::Asked if number * 37 % 100 < real => {
                    coming.push_back((now + Duration::from_millis(100), client));
                }
                First::Asked | First::Turned => {}
            }
        }
        whole
    }

    #[test]
    fn forged_addresses_are_turned_away_within_half_a_second() {
        let trial = Trial::new();
        let whole = flood(&trial, START, 30, 0);
        assert!(whole < 2_600, "{whole} of 150000");
        assert_eq!(trial.verdict(START + Duration::from_secs(30)), Strangers::Forged);
    }

    #[test]
    fn customers_of_a_first_day_are_served() {
        let trial = Trial::new();
        let whole = flood(&trial, START, 10, 95);
        assert!(whole > 49_500, "{whole} of 50000");
        assert_eq!(trial.verdict(START + Duration::from_secs(10)), Strangers::Real);
    }

    #[test]
    fn the_verdict_follows_and_is_forgotten() {
        let trial = Trial::new();
        flood(&trial, START, 3, 95);
        let whole = flood(&trial, START + Duration::from_secs(3), 10, 1);
        assert!(whole < 10_000, "{whole} of 50000 after customers came first");
        let whole = flood(&trial, START + Duration::from_secs(13), 10, 90);
        assert!(whole > 40_000, "{whole} of 50000 when the flood is over");
        assert_eq!(trial.verdict(START + Duration::from_secs(60)), Strangers::Unjudged);
    }

    #[test]
    fn a_shard_that_is_behind_spoils_nothing() {
        let trial = Trial::new();
        let secret = Secret::new(&[1; 32]);
        flood(&trial, START, 3, 0);
        for number in 0..50_000u64 {
            let now = START + Duration::from_secs(3) + Duration::from_micros(200 * number);
            // Every second packet is dealt with by a shard whose clock is two seconds behind.
            let now = if number % 2 == 0 { now } else { Moment::from_nanos(now.as_nanos() - 2_000_000_000) };
            let first = trial.first(secret.word(number), now, || true);
            assert!(matches!(first, First::Asked | First::Turned), "{first:?} after {number}");
        }
    }

    #[test]
    fn one_real_client_does_not_stand_for_many() {
        let trial = Trial::new();
        let secret = Secret::new(&[1; 32]);
        for number in 0..20_000u64 {
            let now = START + Duration::from_micros(200 * number);
            trial.first(secret.word(number), now, || false);
            trial.came(secret.word(7), now);
        }
        assert_eq!(trial.verdict(START + Duration::from_secs(4)), Strangers::Forged);
    }
}
