//! What has been learned, in a fixed memory: RRsets, negative answers, failures and zone cuts, each
//! kind in an instance of its own, so that no flood of one evicts another.
//!
//! moka bounds the octets and chooses what stays; whether an entry is fresh is decided here, by `now`.

mod compact;
mod delegation;
mod heat;
mod kept;
mod last;
mod ranges;
mod reach;
mod rrset;
mod shares;
mod turnover;

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::sync::Cache as Moka;
use siphasher::sip128::{Hasher128, SipHasher13};
use smallvec::SmallVec;

use compact::Compact;
pub use delegation::{Delegation, DsWord, NameServer};
use heat::Heat;
pub use ranges::{Hashing, MAX_RANGE_ITERATIONS, Proof, Ranges};
pub use reach::Reach;
pub use rrset::{Rank, RrSet, Security};
use shares::{New, Shares};

use crate::admission::Mode;
use crate::clock::{Moment, Now};
use crate::dnssec::{Cause, Keys};
use crate::wire::{Name, Question, Rcode, Rtype};

/// Octets moka spends on an entry beside key and value, with the `Arc`'s and the allocator's share
/// (`benches/memory` measures it).
const ENTRY_OVERHEAD: usize = 320;
/// The same of an RRset, whose key is smaller: 313 were measured (`benches/peers/run memory`).
const SET_OVERHEAD: usize = 320;
/// A resolution failure is kept this long at first, twice as long each time it is met again
/// (RFC 9520 §3.2: at least 1 s, at most 5 min): not longer than a household waits for a site that is back.
const FIRST_HOLD: Duration = Duration::from_secs(2);
const LONGEST_HOLD: Duration = Duration::from_secs(30);
/// The longest where nobody was heard: a zone is asked for again soon after its servers are back.
const LONGEST_SILENT_HOLD: Duration = Duration::from_secs(6);
/// A failure met again within this time after its end counts as the same.
const HOLD_MEMORY: Duration = Duration::from_secs(60);
/// A referral whose TTL is smaller is kept this long: a zone cut is not looked up twice for one page.
const SHORTEST_DELEGATION: u32 = 5;

/// A zone's share of the memory for denial ranges is one part in this many, so that zones that are flooded, or made for
/// it, do not crowd out others.
const ZONES_WITH_RANGES: usize = 8;
/// A zone needs no more octets for its ranges than this: some 8,000 of them.
const MOST_OF_A_ZONE: usize = 4 << 20;

/// Types that hosts have: what is kept of them ends where their name does.
const COMMON_TYPES: [Rtype; 5] = [Rtype::A, Rtype::AAAA, Rtype::HTTPS, Rtype::MX, Rtype::TXT];

/// How much is kept, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Bytes for all caches together.
    pub memory: u64,
    /// Records with a smaller TTL are kept this long.
    pub min_ttl: Duration,
    /// Records with a larger TTL are kept this long.
    pub max_ttl: Duration,
    /// Negative answers are kept no longer (RFC 2308 §5).
    pub max_negative_ttl: Duration,
    /// Popular answers are refreshed ahead of their expiry.
    pub prefetch: bool,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            memory: 256 << 20,
            min_ttl: Duration::ZERO,
            max_ttl: Duration::from_secs(86_400),
            max_negative_ttl: Duration::from_secs(3_600),
            prefetch: true,
        }
    }
}

/// A negative answer (RFC 2308).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negative {
    /// NXDOMAIN, or NOERROR for NODATA.
    pub rcode: Rcode,
    /// The zone's SOA, where the server sent it.
    pub soa: Option<RrSet>,
    /// The NSEC or NSEC3 records that prove it.
    pub proof: Arc<[RrSet]>,
    pub security: Security,
    pub ttl: u32,
    pub stored: Moment,
}

impl Negative {
    /// Seconds left; `None` once it has expired.
    pub fn ttl_at(&self, age: Moment) -> Option<u32> {
        let gone = u32::try_from(age.seconds_since(self.stored)).unwrap_or(u32::MAX);
        self.ttl.checked_sub(gone).filter(|&left| left > 0)
    }
}

/// What a question failed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// The data was heard, but not validated, because it is bogus or the chain of trust could not be followed: clients
    /// that validate themselves may have it (RFC 4035 §3.2.2).
    pub unproven: bool,
    /// Nobody was heard.
    pub silent: bool,
    /// When the question was begun that failed, by the clock of timers.
    pub begun: Moment,
    /// The zone whose servers were not heard.
    pub zone: Option<Name>,
    /// The extended error of the failure (RFC 8914).
    pub error: u16,
    pub text: Arc<str>,
}

/// A question that could not be resolved lately (RFC 9520).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// When it failed, by the clock of timers.
    pub at: Moment,
    /// Until when it is not tried again, by the clock of ages.
    pub until: Moment,
    pub hold: Duration,
    pub what: Failing,
}

/// Whether the data of a zone can be validated, and by which keys.
#[derive(Clone, Debug)]
pub struct Trust {
    pub verdict: TrustVerdict,
    pub until: Moment,
}

/// What the chain of trust comes to at one zone.
#[derive(Clone, Debug)]
pub enum TrustVerdict {
    Secure(Keys),
    /// Proven to be unsigned, signed in a way that does not count, or without an anchor; why, where there is more to say.
    Insecure(Option<Cause>),
    Bogus(Cause),
}

/// Takes the low half of a key that is a keyed hash already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }
    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

type Store<V> = Moka<u128, Arc<V>, BuildHasherDefault<AsIs>>;
/// There are many more of these than of all others together.
type Sets = Moka<u64, Compact, BuildHasherDefault<AsIs>>;

/// Marks a key of the negative cache that stands for all types: NXDOMAIN.
const EVERY_TYPE: Rtype = Rtype(0);

/// Bits of a [`Traces`].
const TRACES: usize = 1 << 23;

/// Which keys have ever been kept, roughly: spares looking for what was never there. A bit that is set says nothing.
struct Traces(Box<[AtomicU64]>);

impl Traces {
    fn new(bits: usize) -> Traces {
        Traces((0..bits / 64).map(|_| AtomicU64::new(0)).collect())
    }

    fn place(&self, key: u128) -> (&AtomicU64, u64) {
        let bit = (key >> 64) as usize % (self.0.len() * 64);
        (&self.0[bit / 64], 1 << (bit % 64))
    }

    fn leave(&self, key: u128) {
        let (word, bit) = self.place(key);
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    fn may_have(&self, key: u128) -> bool {
        let (word, bit) = self.place(key);
        word.load(Ordering::Relaxed) & bit != 0
    }
}

/// The caches of all shards.
pub struct Cache {
    keys: (u64, u64),
    /// Of DNAMEs, wildcards, names that do not exist and zones with ranges, which are looked for at every name above a name.
    traces: Traces,
    rrsets: Sets,
    negatives: Store<Negative>,
    failures: Store<Failed>,
    delegations: Store<Delegation>,
    trusts: Store<Trust>,
    ranges: Store<Ranges>,
    /// Octets of ranges that one zone may have.
    ranges_of_a_zone: usize,
    shares: Shares,
    /// Of RRsets.
    heat: Heat,
    /// What was stored before this, in nanoseconds, was judged by rules that hold no more.
    judged_since: AtomicU64,
    /// Octets for RRsets, negative answers and zone cuts.
    capacity: [u64; 3],
    min_ttl: u32,
    max_ttl: u32,
    max_negative_ttl: u32,
}

fn seconds(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}

fn sets(octets: u64) -> Sets {
    Moka::builder()
        .max_capacity(octets)
        .weigher(|_, kept: &Compact| u32::try_from(kept.octets() + SET_OVERHEAD).unwrap_or(u32::MAX))
        .build_with_hasher(BuildHasherDefault::default())
}

fn store<V: Send + Sync + 'static>(octets: u64, weigh: fn(&V) -> usize) -> Store<V> {
    Moka::builder()
        .max_capacity(octets)
        .weigher(move |_, value: &Arc<V>| u32::try_from(weigh(value) + ENTRY_OVERHEAD).unwrap_or(u32::MAX))
        .build_with_hasher(BuildHasherDefault::default())
}

fn weigh_negative(negative: &Negative) -> usize {
    let proof: usize = negative.proof.iter().map(RrSet::weight).sum();
    size_of::<Negative>() + proof + negative.soa.as_ref().map_or(0, RrSet::weight)
}

impl Cache {
    /// Empty caches; `seed` keys their hashes.
    pub fn new(policy: &Policy, seed: &[u8; 32]) -> Cache {
        let word = |at: usize| seed.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
        let share = |percent: u64| policy.memory / 100 * percent;
        Cache {
            keys: (word(16), word(24)),
            traces: Traces::new(TRACES),
            // Answers are what people ask for; the other kinds are small and few.
            rrsets: sets(share(58)),
            negatives: store(share(13), weigh_negative),
            failures: store(share(3), |failed: &Failed| size_of::<Failed>() + failed.what.text.len()),
            delegations: store(share(14), Delegation::weight),
            trusts: store(share(6), |trust: &Trust| {
                size_of::<Trust>() + if let TrustVerdict::Secure(keys) = &trust.verdict { keys.weight() } else { 0 }
            }),
            ranges: store(share(6), Ranges::weight),
            shares: Shares::new(policy.memory, seed),
            heat: Heat::new(share(58)),
            judged_since: AtomicU64::new(0),
            capacity: [share(58), share(13), share(14)],
            ranges_of_a_zone: (share(6) as usize / ZONES_WITH_RANGES).min(MOST_OF_A_ZONE),
            min_ttl: seconds(policy.min_ttl),
            max_ttl: seconds(policy.max_ttl),
            max_negative_ttl: seconds(policy.max_negative_ttl),
        }
    }

    fn key(&self, kind: u8, name: &Name, rtype: Rtype) -> u128 {
        self.key_of(kind, name.wire(), rtype)
    }

    fn key_of(&self, kind: u8, name: &[u8], rtype: Rtype) -> u128 {
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        hasher.write(name);
        hasher.write_u32(u32::from(rtype.0) << 8 | u32::from(kind));
        hasher.finish128().as_u128()
    }

    /// The TTL a record is kept with.
    pub fn clamp_ttl(&self, ttl: u32) -> u32 {
        ttl.max(self.min_ttl).min(self.max_ttl)
    }

    /// The TTL a negative answer is kept with.
    pub fn clamp_negative_ttl(&self, ttl: u32) -> u32 {
        ttl.max(self.min_ttl).min(self.max_negative_ttl)
    }

    /// What is kept of an owner and type by this hash of theirs, its time over or not.
    fn kept(&self, hash: u128, owner: &[u8], rtype: Rtype) -> Option<Compact> {
        let kept = self.rrsets.get(&(hash as u64)).filter(|kept| kept.is_of(owner, rtype))?;
        self.heat.warm(hash as u64);
        Some(kept)
    }

    /// What validation made of data still counts?
    fn stands(&self, security: Security, stored: Moment) -> bool {
        security == Security::Unchecked || stored.as_nanos() >= self.judged_since.load(Ordering::Relaxed)
    }

    /// A fresh RRset, validated or not.
    pub fn rrset(&self, name: &Name, rtype: Rtype, age: Moment) -> Option<RrSet> {
        self.rrset_of(name, rtype, Security::Unchecked, age)
    }

    /// A fresh RRset of which validation has made at least `security`.
    pub fn rrset_of(&self, name: &Name, rtype: Rtype, security: Security, age: Moment) -> Option<RrSet> {
        let kept = self.kept(self.key(0, name, rtype), name.wire(), rtype)?;
        (kept.serves(security, age) && self.stands(security, kept.stored())).then(|| kept.set_of(name.clone()))?
    }

    /// Keeps an RRset, unless a fresh one of a higher rank is there. Returns the one to use.
    pub fn keep(&self, set: RrSet, age: Moment) -> RrSet {
        let hash = self.key(0, &set.owner, set.rtype);
        let old = self.kept(hash, set.owner.wire(), set.rtype);
        if set.ttl == 0 {
            // It is not kept, and what it replaces is not given any more either.
            if old.is_some_and(|old| !old.is_fresh(age)) {
                self.rrsets.invalidate(&(hash as u64));
            }
            return set;
        }
        let compact = Compact::new(&set);
        let new = New { kind: 0, key: hash, owner: &set.owner, weight: compact.octets() + SET_OVERHEAD };
        if old.is_none() && !self.shares.may_keep(&self.rrsets, self.capacity[0], &new, age) {
            return set;
        }
        if let Some(old) = old.filter(|old| old.is_fresh(age)) {
            // What was validated gives way only to what was validated.
            let stands = self.stands(old.security(), old.stored());
            if stands && set.security == Security::Unchecked && old.security() > Security::Unchecked {
                return set;
            }
            if stands
                && old.rank() > set.rank
                && old.security() >= set.security
                && let Some(old) = old.set_of(set.owner.clone())
            {
                return old;
            }
        }
        self.put(hash, &set, compact);
        set
    }

    /// Puts a set where its hash says.
    fn put(&self, hash: u128, set: &RrSet, compact: Compact) {
        if set.rtype == Rtype::DNAME || set.owner.is_wildcard() {
            self.traces.leave(hash);
        }
        self.rrsets.insert(hash as u64, compact);
    }

    /// The fresh DNAME closest above `name` (RFC 6672).
    pub fn dname_above(&self, name: &Name, security: Security, reach: Reach, age: Moment) -> Option<RrSet> {
        let mut wire = name.wire();
        loop {
            let length = usize::from(*wire.first()?);
            wire = wire.get(length + 1..)?;
            let hash = self.key_of(0, wire, Rtype::DNAME);
            if self.traces.may_have(hash)
                && let Some(kept) = self.kept(hash, wire, Rtype::DNAME)
                && kept.serves(security, age)
                && self.stands(security, kept.stored())
                && reach.admits(wire, kept.security())
            {
                return kept.set();
            }
        }
    }

    /// The validated wildcard closest above `name`, within `zone`: of this type, or an alias.
    pub fn wildcard_above(&self, name: &Name, zone: &Name, rtype: Rtype, age: Moment) -> Option<RrSet> {
        let mut wire = name.wire();
        while wire.len() > zone.wire().len() {
            wire = wire.get(usize::from(*wire.first()?) + 1..)?;
            let mut owner: SmallVec<[u8; 64]> = SmallVec::from_slice(b"\x01*");
            owner.extend_from_slice(wire);
            for rtype in [rtype, Rtype::CNAME] {
                let hash = self.key_of(0, &owner, rtype);
                if self.traces.may_have(hash)
                    && let Some(kept) = self.kept(hash, &owner, rtype)
                    && kept.serves(Security::Secure, age)
                    && self.stands(Security::Secure, kept.stored())
                {
                    return kept.set();
                }
            }
        }
        None
    }

    /// Is NODATA known of exactly this name and type?
    pub fn has_no_data(&self, name: &Name, rtype: Rtype, age: Moment) -> bool {
        self.negatives.get(&self.key(1, name, rtype)).is_some_and(|negative| negative.ttl_at(age).is_some())
    }

    /// A fresh NODATA or NXDOMAIN for exactly this name, or an NXDOMAIN of a name above (RFC 8020).
    pub fn negative(
        &self,
        name: &Name,
        rtype: Rtype,
        security: Security,
        reach: Reach,
        age: Moment,
    ) -> Option<Arc<Negative>> {
        let fresh = |negative: &Arc<Negative>| {
            negative.security >= security && negative.ttl_at(age).is_some() && self.stands(security, negative.stored)
        };
        if let Some(negative) = self.negatives.get(&self.key(1, name, rtype)).filter(fresh) {
            return Some(negative);
        }
        let mut wire = name.wire();
        while let Some(&length) = wire.first() {
            if length == 0 {
                break;
            }
            let key = self.key_of(1, wire, EVERY_TYPE);
            if self.traces.may_have(key)
                && let Some(negative) = self.negatives.get(&key).filter(fresh)
                && reach.admits(wire, negative.security)
            {
                return Some(negative);
            }
            wire = wire.get(usize::from(length) + 1..).unwrap_or(&[]);
        }
        None
    }

    /// Keeps a negative answer for `name`: of one type, or of all for NXDOMAIN. What was there before is ended by it even where
    /// it has no time itself, or no share is left for it: otherwise that would be given where nobody can be asked (RFC 8767).
    pub fn keep_negative(&self, name: &Name, rtype: Rtype, negative: Negative) -> Arc<Negative> {
        let (asked, every) = (rtype, negative.rcode == Rcode::NXDOMAIN);
        let rtype = if every { EVERY_TYPE } else { rtype };
        let negative = Arc::new(negative);
        let ends = || self.has_any(name, asked, every);
        if negative.ttl == 0 && !ends() {
            return negative;
        }
        let key = self.key(1, name, rtype);
        if every {
            self.traces.leave(key);
        }
        let old = self.negatives.get(&key);
        let new = New { kind: 1, key, owner: name, weight: weigh_negative(&negative) };
        if old.is_none() && !self.shares.may_keep(&self.negatives, self.capacity[1], &new, negative.stored) && !ends() {
            return negative;
        }
        if negative.security == Security::Unchecked
            && let Some(old) = old
            && old.security > Security::Unchecked
            && self.stands(old.security, old.stored)
            && old.ttl_at(negative.stored).is_some()
        {
            return negative;
        }
        self.negatives.insert(key, Arc::clone(&negative));
        negative
    }

    /// Is anything kept of a name, its time over or not, by the asked type, as an alias, or, for `every` one, by those that are
    /// common?
    fn has_any(&self, name: &Name, rtype: Rtype, every: bool) -> bool {
        let common: &[Rtype] = if every { &COMMON_TYPES } else { &[] };
        let mut types = [rtype, Rtype::CNAME].into_iter().chain(common.iter().copied());
        types.any(|rtype| self.kept(self.key(0, name, rtype), name.wire(), rtype).is_some())
    }

    /// The failure that still holds for a question.
    pub fn failed(&self, question: &Question, age: Moment) -> Option<Arc<Failed>> {
        self.failures.get(&self.key(2, &question.name, question.rtype)).filter(|failed| failed.until > age)
    }

    /// Has a question failed lately, and after `since`, when something was heard of it last?
    pub fn failed_since(&self, question: &Question, since: Moment, age: Moment) -> Option<Arc<Failed>> {
        let failed = self.failures.get(&self.key(2, &question.name, question.rtype));
        failed.filter(|failed| failed.until - failed.hold > since && failed.until + HOLD_MEMORY > age)
    }

    /// Keeps a failure; met again soon after, it holds twice as long.
    pub fn keep_failed(&self, question: &Question, what: Failing, now: Now) {
        self.hold(self.key(2, &question.name, question.rtype), what, now);
    }

    /// Were the name servers of a zone looked for in vain a moment ago?
    pub fn barren(&self, zone: &Name, age: Moment) -> Option<Arc<Failed>> {
        self.failures.get(&self.key(6, zone, Rtype::NS)).filter(|failed| failed.until > age)
    }

    /// Keeps that the name servers of a zone were looked for in vain.
    pub fn keep_barren(&self, zone: &Name, what: Failing, now: Now) {
        self.hold(self.key(6, zone, Rtype::NS), what, now);
    }

    fn hold(&self, key: u128, what: Failing, now: Now) {
        // Servers that are silent are left alone anyway, so that asking them again is cheap.
        let longest = if what.silent { LONGEST_SILENT_HOLD } else { LONGEST_HOLD };
        let hold = match self.failures.get(&key) {
            Some(before) if before.until + HOLD_MEMORY > now.age => (before.hold * 2).min(longest),
            _ => FIRST_HOLD,
        };
        self.failures.insert(key, Arc::new(Failed { at: now.mono, until: now.age + hold, hold, what }));
    }

    /// The zone cut exactly at `zone`.
    pub fn delegation(&self, zone: &Name, age: Moment) -> Option<Arc<Delegation>> {
        self.delegations.get(&self.key(3, zone, Rtype::NS)).filter(|cut| cut.expires > age)
    }

    /// The deepest known zone cut at or above `name`.
    pub fn closest_delegation(&self, name: &Name, age: Moment) -> Option<Arc<Delegation>> {
        let mut wire = name.wire();
        loop {
            let found = self.delegations.get(&self.key_of(3, wire, Rtype::NS));
            if let Some(cut) = found.filter(|cut| cut.expires > age) {
                return Some(cut);
            }
            let length = usize::from(*wire.first()?);
            if length == 0 {
                return None;
            }
            wire = wire.get(length + 1..)?;
        }
    }

    /// Keeps what a parent says of a zone cut for `ttl` seconds.
    pub fn keep_delegation(
        &self,
        zone: Name,
        servers: Vec<NameServer>,
        ds: Option<DsWord>,
        ttl: u32,
        age: Moment,
    ) -> Arc<Delegation> {
        let ttl = self.clamp_ttl(ttl).max(SHORTEST_DELEGATION);
        let cut = Arc::new(Delegation {
            parent: servers.into(),
            child: None,
            ds: ds.map(Arc::new),
            stored: age,
            expires: age + Duration::from_secs(u64::from(ttl)),
            child_expires: Moment::ZERO,
            zone,
        });
        let key = self.key(3, &cut.zone, Rtype::NS);
        let new = New { kind: 3, key, owner: &cut.zone, weight: cut.weight() };
        if self.delegations.contains_key(&key) || self.shares.may_keep(&self.delegations, self.capacity[2], &new, age) {
            self.delegations.insert(key, Arc::clone(&cut));
        }
        cut
    }

    /// Keeps what a zone says of its own servers, within the life of its parent's word.
    pub fn keep_child_servers(&self, cut: &Delegation, servers: Vec<NameServer>, ttl: u32, age: Moment) {
        let ttl = self.clamp_ttl(ttl).max(SHORTEST_DELEGATION);
        let cut = Delegation {
            child: Some(servers.into()),
            child_expires: (age + Duration::from_secs(u64::from(ttl))).min(cut.expires),
            ..cut.clone()
        };
        self.delegations.insert(self.key(3, &cut.zone, Rtype::NS), Arc::new(cut));
    }

    /// What is known of a zone's keys.
    pub fn trust(&self, zone: &Name, age: Moment) -> Option<Arc<Trust>> {
        self.trusts.get(&self.key(4, zone, Rtype::DNSKEY)).filter(|trust| trust.until > age)
    }

    /// Keeps what the chain of trust came to at a zone.
    pub fn keep_trust(&self, zone: &Name, trust: Trust) -> Arc<Trust> {
        let trust = Arc::new(trust);
        self.trusts.insert(self.key(4, zone, Rtype::DNSKEY), Arc::clone(&trust));
        trust
    }

    /// Forgets what is known of all zones' keys, and what follows from it: the anchors have changed. Data stays, and is
    /// validated anew where that matters.
    pub fn forget_trusts(&self, age: Moment) {
        self.judged_since.fetch_max(age.as_nanos(), Ordering::Relaxed);
        self.trusts.invalidate_all();
        self.ranges.invalidate_all();
    }

    /// Keeps validated NSEC and NSEC3 sets of `zone` for at most `ttl` seconds, and the SOA that came with them.
    pub fn keep_ranges(&self, zone: &Name, sets: &[RrSet], soa: Option<&RrSet>, ttl: u32) {
        let key = self.key(5, zone, Rtype::NSEC);
        let ranges = self.ranges.get(&key).unwrap_or_else(|| Arc::new(Ranges::new(zone)));
        ranges.take(sets.iter(), soa, ttl.min(self.max_negative_ttl), self.ranges_of_a_zone);
        if !ranges.is_empty() {
            self.traces.leave(key);
            // Once more, also if it was there: it is weighed when it is put in.
            self.ranges.insert(key, ranges);
        }
    }

    /// The ranges of the closest known zone at or above `name`; `None` if it has none.
    pub fn ranges_above(&self, name: &Name, age: Moment) -> Option<Arc<Ranges>> {
        let mut wire = name.wire();
        let mut cuts: SmallVec<[&[u8]; 8]> = SmallVec::new();
        loop {
            let key = self.key_of(5, wire, Rtype::NSEC);
            if self.traces.may_have(key)
                && let Some(ranges) = self.ranges.get(&key)
            {
                // A zone cut between them: what is said above it says nothing of names below.
                let cut = cuts.iter().any(|wire| {
                    let cut = self.delegations.get(&self.key_of(3, wire, Rtype::NS));
                    cut.is_some_and(|cut| cut.expires > age)
                });
                return Some(ranges).filter(|_| !cut);
            }
            cuts.push(wire);
            let length = usize::from(*wire.first()?);
            if length == 0 {
                return None;
            }
            wire = wire.get(length + 1..)?;
        }
    }

    /// How often something new was not kept, since its domain or its kind had more than its share of a cache that was full.
    pub fn turned_away(&self) -> u64 {
        self.shares.turned_away()
    }

    /// How often something was not kept, since it had not been asked for often enough where a full cache had to take in too
    /// much that was new.
    pub fn seldom(&self) -> u64 {
        self.shares.seldom()
    }

    /// How often something new would not have been kept for one of these reasons, had they been enforced.
    pub fn observed(&self) -> u64 {
        self.shares.observed()
    }

    /// Whether the shares of domains and large sets hold from now on.
    pub fn set_shares(&self, mode: Mode) {
        self.shares.set_mode(mode);
    }

    /// Entries and octets of each kind, as moka counts them: for reports and tests.
    pub fn sizes(&self) -> [(&'static str, u64, u64); 6] {
        self.rrsets.run_pending_tasks();
        self.negatives.run_pending_tasks();
        self.failures.run_pending_tasks();
        self.delegations.run_pending_tasks();
        self.trusts.run_pending_tasks();
        self.ranges.run_pending_tasks();
        [
            ("rrset", self.rrsets.entry_count(), self.rrsets.weighted_size()),
            ("negative", self.negatives.entry_count(), self.negatives.weighted_size()),
            ("failure", self.failures.entry_count(), self.failures.weighted_size()),
            ("delegation", self.delegations.entry_count(), self.delegations.weighted_size()),
            ("trust", self.trusts.entry_count(), self.trusts.weighted_size()),
            ("ranges", self.ranges.entry_count(), self.ranges.weighted_size()),
        ]
    }
}

#[cfg(test)]
mod tests;
