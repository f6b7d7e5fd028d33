//! The hottest answers of one shard, as they were written: copied, patched, sent. A hit costs neither an allocation nor
//! a look into the shared caches.
//!
//! An answer comes in here when it has been composed from the cache, and stays until one of its records ends or comes
//! near its end: from then on the slow path sees it again.

use std::borrow::Cow;
use std::time::Duration;

use smallvec::SmallVec;

use crate::cache::RrSet;
use crate::clock::Moment;
use crate::memory::{self, Slab};
use crate::meter::Secret;
use crate::resolve::{Life, Outcome};
use crate::wire::{Flags, HEADER, QueryView, Rtype, last_word, lowered_word, option};

use super::respond::{Asker, COOKIE, OPT};
use super::types::{RespondPolicy, Transport};

/// Places a shard has at most. The hottest names of an ISP are some thousands.
const PLACES: usize = 1 << 14;
/// Places in which an answer may be: with one alone, of a thousand names in sixteen thousand places sixty would drive each
/// other out for ever. What says which it is stands beside, and all of it is one cache line.
const WAYS: usize = 4;
/// Octets there are for a place and what is in it, on average: an answer of the usual size takes half of that.
const ROOM: usize = 512;
/// Octets an answer takes beside itself and its record of ages: what the allocator keeps of it.
const OVERHEAD: usize = 32;
/// Answers given up at most to make room for one.
const GIVEN_UP: usize = 8;
/// Answers larger than this are rare, and not kept here.
const LARGEST: usize = 1024;
/// Octets of the usual answer.
const INLINE: usize = 104;
/// Records whose TTL is patched in one answer.
const MOST_RECORDS: usize = 32;
/// Octets of type and class at the end of a question.
const KIND: usize = 4;
/// A cookie in its option.
const COOKIE_OPTION: usize = 4 + COOKIE;

/// What a response depends on beside the question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Form(u8);

impl Form {
    /// `None`: the response has parts that are written anew each time.
    fn of(view: &QueryView<'_>, transport: Transport) -> Option<Form> {
        let bit = |on: bool, bit: u8| if on { 1 << bit } else { 0 };
        let mut form = bit(view.flags.has(Flags::CD), 0) | bit(view.flags.has(Flags::AD), 1);
        if let Some(edns) = view.edns {
            if edns.version > 0 || edns.nsid || edns.keepalive && transport == Transport::Tcp {
                return None;
            }
            form |= bit(true, 2) | bit(edns.dnssec_ok, 3);
        }
        Some(Form(form))
    }
}

/// Where a TTL stands, and what it is.
#[derive(Clone, Copy, Debug)]
struct Age {
    at: u16,
    life: Life,
}

struct Encoded {
    form: Form,
    /// Answers of the usual size lie right here: one place less to fetch. The name of its question is in lower case.
    packet: SmallVec<[u8; INLINE]>,
    /// The octets of the question: name, type, class.
    question: u16,
    ages: SmallVec<[Age; 2]>,
    until: Moment,
}

impl Encoded {
    /// Memory it takes.
    fn octets(&self) -> usize {
        let ages = if self.ages.spilled() { self.ages.capacity() * size_of::<Age>() + OVERHEAD } else { 0 };
        let packet = if self.packet.spilled() { self.packet.capacity() + OVERHEAD } else { 0 };
        size_of::<Encoded>() + packet + ages + OVERHEAD
    }
}

/// Where the answer to a question is looked for: its hash, and what else its response depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sought {
    hash: u64,
    form: Form,
}

/// Whether a name in any case is one that is in lower case.
fn is_name(known: &[u8], name: &[u8]) -> bool {
    let words = name.as_chunks::<8>().0.iter().zip(known.as_chunks::<8>().0);
    known.len() == name.len()
        && last_word(known) == lowered_word(last_word(name))
        && words.into_iter().all(|(word, known)| lowered_word(u64::from_le_bytes(*word)) == u64::from_le_bytes(*known))
}

/// Whether two questions are the same to the octet.
fn is_exactly(known: &[u8], question: &[u8]) -> bool {
    let words = question.as_chunks::<8>().0.iter().zip(known.as_chunks::<8>().0);
    let word = |octets: &[u8; 8]| u64::from_le_bytes(*octets);
    known.len() == question.len()
        && words.fold(last_word(known) ^ last_word(question), |all, (one, other)| all | word(one) ^ word(other)) == 0
}

/// An answer, and the hash of its question.
#[derive(Default)]
struct Place {
    hash: u64,
    known: Option<Box<Encoded>>,
}

/// Those where an answer may be.
#[derive(Default)]
#[repr(align(64))]
struct Set([Place; WAYS]);

impl Set {
    /// What is kept under a hash.
    fn find(&self, hash: u64) -> Option<&Encoded> {
        let place = self.0.iter().find(|place| place.hash == hash)?;
        place.known.as_deref()
    }
}

/// The table.
pub(super) struct Hot {
    secret: Secret,
    sets: Slab<Set>,
    /// Octets that answers may take, and take.
    most: usize,
    used: usize,
    /// Where room was made last.
    hand: usize,
}

impl Hot {
    /// An empty table of so many octets, whose hashes are keyed.
    pub fn new(secret: Secret, octets: usize) -> Hot {
        let sets = (octets / ROOM / WAYS).clamp(1, PLACES / WAYS);
        let most = octets.min(PLACES * ROOM).saturating_sub(sets * size_of::<Set>());
        Hot { secret, sets: Slab::new(sets, Set::default), most, used: 0, hand: 0 }
    }

    /// Octets its answers take.
    #[cfg(test)]
    pub fn octets(&self) -> usize {
        self.known().map(Encoded::octets).sum()
    }

    /// How many answers it has.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.known().count()
    }

    #[cfg(test)]
    fn known(&self) -> impl Iterator<Item = &Encoded> {
        self.sets.iter().flat_map(|set| &set.0).filter_map(|place| place.known.as_deref())
    }

    /// Room for so many octets, where there is or can be made some.
    fn make_room(&mut self, octets: usize) -> bool {
        for _ in 0..GIVEN_UP {
            if self.used + octets <= self.most {
                break;
            }
            self.hand = (self.hand + 1) % (self.sets.len() * WAYS);
            let gone = self.sets.get_mut(self.hand / WAYS).and_then(|set| set.0[self.hand % WAYS].known.take());
            self.used -= gone.map_or(0, |gone| gone.octets());
        }
        self.used + octets <= self.most
    }

    /// Where an answer belongs: by the upper bits of its hash, without a division.
    fn place(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.sets.len() as u128) >> 64) as usize
    }

    fn set(&self, hash: u64) -> Option<&Set> {
        self.sets.get(self.place(hash))
    }

    /// Forgets everything: the policy or the caches have changed.
    pub fn clear(&mut self) {
        self.sets.iter_mut().for_each(|set| *set = Set::default());
        self.used = 0;
    }

    /// Where an answer to a question would be; `None`: nowhere here.
    pub fn seek(&self, view: &QueryView<'_>, transport: Transport) -> Option<Sought> {
        let form = Form::of(view, transport)?;
        let kind = u64::from(view.rtype.0) | u64::from(view.class) << 16 | u64::from(form.0) << 32;
        Some(Sought { hash: self.secret.name(kind, view.name()).0, form })
    }

    /// Has that fetched which says where an answer is.
    pub fn fetch_place(&self, sought: Sought) {
        if let Some(set) = self.set(sought.hash) {
            memory::soon(set);
        }
    }

    /// Has an answer fetched, if it is here; reads what [`fetch_place`](Self::fetch_place) has asked for.
    pub fn fetch(&self, sought: Sought) {
        if let Some(known) = self.set(sought.hash).and_then(|set| set.find(sought.hash)) {
            memory::soon(known);
        }
    }

    /// Writes the response to `view`, which was `sought`, into `out`, with the cookie that goes with it, if it is here.
    /// `false`: it is not.
    pub fn answer(
        &self,
        view: &QueryView<'_>,
        sought: Sought,
        cookie: Option<&[u8; COOKIE]>,
        limit: usize,
        age: Moment,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(known) = self.set(sought.hash).and_then(|set| set.find(sought.hash)) else { return false };
        if known.form != sought.form || age >= known.until {
            return false;
        }
        let end = HEADER + usize::from(known.question);
        let Some(question) = known.packet.get(HEADER..end) else { return false };
        let exactly = is_exactly(question, view.question);
        let same = exactly
            || question
                .split_last_chunk::<KIND>()
                .is_some_and(|(name, kind)| view.question.ends_with(kind) && is_name(name, view.name()));
        let length = known.packet.len() + if cookie.is_some() { COOKIE_OPTION } else { 0 };
        if !same || length > limit {
            return false;
        }
        out.clear();
        out.extend_from_slice(&known.packet);
        let [id_high, id_low] = view.id.to_be_bytes();
        if let Some([a, b, flags, ..]) = out.get_mut(..4) {
            (*a, *b) = (id_high, id_low);
            *flags = *flags & !1 | u8::from(view.flags.has(Flags::RD));
        }
        if !exactly && let Some(question) = out.get_mut(HEADER..end) {
            question.copy_from_slice(view.question);
        }
        for field in &known.ages {
            let at = usize::from(field.at);
            if let Some(ttl) = out.get_mut(at..at + 4) {
                ttl.copy_from_slice(&field.life.left(age).to_be_bytes());
            }
        }
        if let Some(cookie) = cookie {
            // The OPT record is the last one, and has no other option.
            out.truncate(out.len() - 2);
            out.extend_from_slice(&[0, COOKIE_OPTION as u8, 0, option::COOKIE as u8, 0, COOKIE as u8]);
            out.extend_from_slice(cookie);
        }
        true
    }

    /// Keeps a response that has just been composed for `view` from `outcome`.
    pub fn keep(&mut self, view: &QueryView<'_>, asker: &Asker, outcome: &Outcome, age: Moment, packet: &[u8]) {
        let Some(Sought { hash, form }) = self.seek(view, asker.transport) else { return };
        let truncated = packet.get(2).is_none_or(|flags| flags & (Flags::TC >> 8) as u8 != 0);
        if packet.len() > LARGEST || truncated || outcome.failure.is_some() || outcome.stale.is_some() || outcome.ripe {
            return;
        }
        let dnssec_ok = asker.edns.is_some_and(|edns| edns.dnssec_ok);
        let Some(packet) = without_cookie(packet, asker) else { return };
        let Some((ages, until)) = ages(outcome, dnssec_ok, age, &packet, view.question.len()) else { return };
        let question = u16::try_from(view.question.len()).unwrap_or(0);
        let mut packet = SmallVec::from_slice(&packet);
        if let Some(name) = packet.get_mut(HEADER..HEADER + view.name().len()) {
            name.make_ascii_lowercase();
        }
        let encoded = Encoded { form, packet, question, ages, until };
        let octets = encoded.octets();
        // In the place of its predecessor, or in one that is empty or over, or in any.
        let at = self.place(hash);
        let Some(set) = self.sets.get_mut(at) else { return };
        let place = set.0.iter().position(|place| place.hash == hash && place.known.is_some());
        let free = |place: &Place| place.known.as_ref().is_none_or(|known| age >= known.until);
        let place = place.or_else(|| set.0.iter().position(free));
        let way = place.unwrap_or((hash % WAYS as u64) as usize);
        self.used -= set.0[way].known.take().map_or(0, |before| before.octets());
        if self.make_room(octets)
            && let Some(set) = self.sets.get_mut(at)
        {
            self.used += octets;
            set.0[way] = Place { hash, known: Some(Box::new(encoded)) };
        }
    }
}

/// A response that was written with a cookie, without it.
fn without_cookie<'a>(packet: &'a [u8], asker: &Asker) -> Option<Cow<'a, [u8]>> {
    if asker.edns.is_none_or(|edns| edns.cookie.is_none()) {
        return Some(Cow::Borrowed(packet));
    }
    let (rest, option) = packet.split_at_checked(packet.len().checked_sub(COOKIE_OPTION)?)?;
    let (rest, length) = rest.split_at_checked(rest.len().checked_sub(2)?)?;
    if length != [0, COOKIE_OPTION as u8] || option.get(..4)? != [0, option::COOKIE as u8, 0, COOKIE as u8] {
        return None;
    }
    Some(Cow::Owned([rest, &[0, 0]].concat()))
}

/// Octets that the response to `view` may have.
pub(super) fn limit(view: &QueryView<'_>, transport: Transport, policy: &RespondPolicy) -> usize {
    match (transport, view.edns) {
        (Transport::Tcp, _) => usize::from(u16::MAX),
        (Transport::Udp, None) => 512,
        (Transport::Udp, Some(edns)) => usize::from(edns.udp_payload_size.min(policy.udp_payload_size)).max(512),
    }
}

/// When a set leaves this table: at its end, or when it becomes worth refreshing.
fn ends(life: Life) -> Moment {
    let early = if life.ttl >= 10 { life.ttl / 10 } else { 0 };
    life.stored + Duration::from_secs(u64::from(life.ttl.saturating_sub(early)))
}

/// Where the TTLs stand in `packet`, in the order in which `outcome` was written; and until when it holds.
fn ages(
    outcome: &Outcome,
    dnssec_ok: bool,
    age: Moment,
    packet: &[u8],
    question: usize,
) -> Option<(SmallVec<[Age; 2]>, Moment)> {
    let mut lives: SmallVec<[Life; 8]> = SmallVec::new();
    let mut until = Moment::NEVER;
    let mut add = |set: &RrSet, life: Life| {
        let signatures = if dnssec_ok && set.rtype != Rtype::RRSIG { set.signatures().count() } else { 0 };
        lives.extend(std::iter::repeat_n(life, set.rdatas().count() + signatures));
        until = until.min(ends(life));
    };
    outcome.answer.iter().for_each(|set| add(set, Life::from(set)));
    if let Some(soa) = &outcome.soa {
        add(&soa.set, soa.life);
    }
    // Proofs are written with the smaller of two TTLs: left to the slow path.
    // A negative answer without an SOA has nothing that tells when it ends.
    let endless = lives.is_empty();
    if dnssec_ok && !outcome.proof.is_empty() || lives.len() > MOST_RECORDS || endless || until <= age {
        return None;
    }
    let mut at = HEADER + question;
    let mut ages = SmallVec::new();
    for life in lives {
        at = skip_name(packet, at)?;
        let length = packet.get(at + 8..at + 10)?;
        ages.push(Age { at: u16::try_from(at + 4).ok()?, life });
        at += 10 + usize::from(u16::from_be_bytes([length[0], length[1]]));
    }
    // Nothing but an OPT record may follow.
    let rest = packet.len().checked_sub(at)?;
    (rest == 0 || rest == OPT).then_some((ages, until))
}

fn skip_name(packet: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *packet.get(at)? {
            0 => return Some(at + 1),
            0xc0..=0xff => return Some(at + 2),
            length => at += usize::from(length) + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_whatever_their_case() {
        for length in 0..=255 {
            let name = vec![b'a'; length];
            let mut other = name.clone();
            assert!(is_name(&name, &other) && is_exactly(&name, &other));
            for at in 0..length {
                other[at] = b'A';
                assert!(is_name(&name, &other) && !is_name(&name, &other[1..]));
                assert!(!is_exactly(&name, &other) && !is_exactly(&name, &name[1..]));
                other[at] = b'b';
                assert!(!is_name(&name, &other) && !is_exactly(&name, &other), "{length} octets, another at {at}");
                other[at] = b'a';
            }
        }
    }
}
