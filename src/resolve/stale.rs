//! Answers whose time is over, for where nobody who knows better can be reached in time (RFC 8767).
//!
//! What was said last counts: a name that was found not to exist any more is not brought back by what was there before.
//! What was signed is given as long as one of its signatures holds, so that whoever validates can use it (RFC 8767
//! §10 leaves this open). What does not validate is never covered up by an older answer.

use std::sync::Arc;
use std::time::Duration;

use crate::admission::Mode;
use crate::cache::{Negative, RrSet, Security};
use crate::clock::{Moment, Now, UnixTime};
use crate::dnssec::holds;
use crate::wire::{Name, Question, Rcode, Rtype, ede, leading_name};

use super::Cx;
use super::aggressive::small_budget;
use super::answer::{Known, Outcome, alias_by, look_up, whole};
use super::failure::Failure;

/// Answers whose time is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Whether they are given.
    pub serve: Mode,
    /// How long after their time.
    pub max_age: Duration,
    /// A client waits this long for a fresh one.
    pub after: Duration,
    /// The TTL they are given with.
    pub ttl: Duration,
}

impl Default for Stale {
    fn default() -> Stale {
        Stale {
            serve: Mode::Enforce,
            max_age: Duration::from_secs(86_400),
            after: Duration::from_millis(1_800),
            ttl: Duration::from_secs(30),
        }
    }
}

/// Why an answer is given whose time is over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum StaleWhy {
    /// A fresh one took too long.
    Waited,
    /// The servers are known to fail: they are silent, or the question failed a moment ago.
    Failing,
    /// Asking for a fresh one has failed.
    Failed,
    /// The client has used up its share of work upstream.
    Limited,
    /// The zone is flooded, and the question has to stand back.
    Flooded,
    /// Too many questions are in flight.
    Crowded,
}

impl StaleWhy {
    /// All of them, in the order of their numbers.
    pub const ALL: [StaleWhy; 6] = [
        StaleWhy::Waited,
        StaleWhy::Failing,
        StaleWhy::Failed,
        StaleWhy::Limited,
        StaleWhy::Flooded,
        StaleWhy::Crowded,
    ];
    /// How many there are.
    pub const COUNT: usize = StaleWhy::ALL.len();

    /// As counters name it.
    pub fn name(self) -> &'static str {
        match self {
            StaleWhy::Waited => "waited",
            StaleWhy::Failing => "failing",
            StaleWhy::Failed => "failed",
            StaleWhy::Limited => "limited",
            StaleWhy::Flooded => "flooded",
            StaleWhy::Crowded => "crowded",
        }
    }

    /// As clients are told.
    pub fn text(self) -> &'static str {
        match self {
            StaleWhy::Waited => "its servers are slow to answer",
            StaleWhy::Failing => "its servers are not answering at the moment",
            StaleWhy::Failed => "asking its servers has failed",
            StaleWhy::Limited => "the share of work upstream is used up",
            StaleWhy::Flooded => "its zone is flooded",
            StaleWhy::Crowded => "too many questions are in flight",
        }
    }
}

/// What is said of an outcome whose time is over.
#[derive(Clone, Debug)]
pub struct StaleNote {
    /// When the newest part of it whose time is over came in.
    pub stored: Moment,
    pub why: StaleWhy,
    /// The failure behind it: its extended error and text.
    pub because: Option<(u16, Arc<str>)>,
}

impl StaleNote {
    /// Its extended error (RFC 8914 §4.4, §4.20).
    pub fn error(&self, rcode: Rcode) -> u16 {
        if rcode == Rcode::NXDOMAIN { ede::STALE_NXDOMAIN_ANSWER } else { ede::STALE_ANSWER }
    }

    /// Notes the failure that is behind it.
    pub fn set_because(&mut self, failure: &Failure) {
        self.because = Some((failure.error(), Arc::from(failure.to_string())));
    }
}

/// What can be given of a question, parts of it fresh, whose time is over.
pub fn from_stale(cx: &Cx, question: &Question, wanted: Security, why: StaleWhy) -> Option<Outcome> {
    let (now, crypto) = (cx.now(), small_budget());
    let mut outcome = Outcome::new();
    let mut newest: Option<Moment> = None;
    whole(question, now.age, &mut outcome, |name| {
        if let Some(known) = look_up(cx, name, question.rtype, wanted, &crypto, now.age) {
            return Some(known);
        }
        let (known, stored) = last(cx, name, question.rtype, wanted, now)?;
        newest = newest.max(Some(stored));
        Some(known)
    })?;
    outcome.ripe = false;
    outcome.stale = Some(Box::new(StaleNote { stored: newest?, why, because: None }));
    Some(outcome)
}

/// What was said last of a name, and when, if it may still be given.
fn last(cx: &Cx, name: &Name, rtype: Rtype, wanted: Security, now: Now) -> Option<(Known, Moment)> {
    let (cache, policy, reach) = (&cx.cache, &cx.plan.stale, cx.reach(name, rtype));
    let ttl = u32::try_from(policy.ttl.as_secs()).unwrap_or(u32::MAX).max(1);
    let usable = |end: Moment| end + policy.max_age > now.age;
    let alias = if rtype == Rtype::CNAME { None } else { cache.last_rrset(name, Rtype::CNAME, wanted) };
    let dname = cache.last_dname_above(name, wanted, reach);
    let negative = cache.last_negative(name, rtype, wanted, reach);
    let sets = [cache.last_rrset(name, rtype, wanted), alias, dname];
    let newest = sets.iter().flatten().max_by_key(|set| set.stored());
    if let Some(negative) = negative.filter(|negative| newest.is_none_or(|set| set.stored() < negative.stored)) {
        // What had no time is not given again; it has ended what was before it.
        let usable = negative.ttl > 0 && usable(negative.stored + Duration::from_secs(u64::from(negative.ttl)));
        if !usable || !denies(&negative, now.unix) {
            return None;
        }
        return Some((Known::Negative(Arc::new(revived(&negative, now.age, ttl))), negative.stored));
    }
    let set = newest.filter(|set| usable(set.end()) && signed(set, now.unix))?;
    let fresh = set.revived(now.age, ttl);
    let known = match set.rtype {
        kind if kind == rtype && set.owner == *name => Known::Answer(fresh),
        Rtype::CNAME => {
            let target = fresh.first().and_then(leading_name)?;
            Known::Alias(vec![fresh], target)
        }
        _ => alias_by(fresh, name)?,
    };
    Some((known, set.stored()))
}

fn revived(negative: &Negative, age: Moment, ttl: u32) -> Negative {
    let proof = negative.proof.iter().map(|set| set.revived(age, ttl)).collect();
    let soa = negative.soa.as_ref().map(|soa| soa.revived(age, ttl));
    Negative { stored: age, ttl, proof, soa, ..negative.clone() }
}

/// Does a signature hold over what was validated?
fn signed(set: &RrSet, now: UnixTime) -> bool {
    let own = set.signatures().count() == 0 || set.signatures().any(|signature| holds(signature, now));
    set.security < Security::Secure
        || own && set.proof.as_deref().is_none_or(|sets| sets.iter().all(|set| signed(set, now)))
}

fn denies(negative: &Negative, now: UnixTime) -> bool {
    let sets = || negative.proof.iter().chain(&negative.soa);
    negative.security < Security::Secure
        || sets().all(|set| set.signatures().count() == 0 || set.signatures().any(|signature| holds(signature, now)))
}
