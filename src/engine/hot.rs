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
use crate::resolve::{Keyed, Life, Outcome};
use crate::wire::{Flags, HEADER, QueryView, Rtype, option};

use super::respond::{Asker, COOKIE, OPT};
use super::types::{RespondPolicy, Transport};

/// Places a shard has at most. The hottest names of an ISP are some thousands.
const PLACES: usize = 1 << 14;
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
    hash: u64,
    form: Form,
    /// Answers of the usual size lie right here: one place less to fetch.
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

/// Words of the longest question: a name of 255 octets, type and class, and what is left of the last word.
const WORDS: usize = 33;

/// A keyed hash of questions: the sum of their words, each times a secret factor of its own, of which the upper half
/// counts. Two questions have the same with a probability of 2⁻⁶⁴ for whoever does not know the factors (multilinear
/// hashing, Lemire and Kaser 2014), and it costs a fifth of SipHash, whose keys the factors are drawn with.
struct Factors(Box<[u128; WORDS]>);

impl Factors {
    fn new(keyed: Keyed) -> Factors {
        let half = |number: usize| u128::from(std::hash::BuildHasher::hash_one(&keyed, number));
        Factors(Box::new(std::array::from_fn(|at| half(2 * at) << 64 | half(2 * at + 1))))
    }

    /// Of the question in lower case, eight octets at a time.
    fn hash(&self, question: &[u8], form: Form) -> u64 {
        let (words, rest) = question.as_chunks::<8>();
        let mut sum = 0u128;
        let mut factors = self.0.iter();
        for (word, factor) in words.iter().zip(&mut factors) {
            sum = sum.wrapping_add(factor.wrapping_mul(u128::from(lower(u64::from_le_bytes(*word)))));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        // Its length stands in the octet that the rest leaves free, so that no two questions look the same.
        let end = u64::from(form.0) << 3 | rest.len() as u64;
        let last = lower(u64::from_le_bytes(last)) | end << 56;
        let factor = factors.next().copied().unwrap_or(1);
        (sum.wrapping_add(factor.wrapping_mul(u128::from(last))) >> 64) as u64
    }
}

/// The table.
pub(super) struct Hot {
    factors: Factors,
    places: Box<[Option<Box<Encoded>>]>,
    /// Octets that answers may take, and take.
    most: usize,
    used: usize,
    /// Where room was made last.
    hand: usize,
}

impl Hot {
    /// An empty table of so many octets, whose hashes are keyed.
    pub fn new(keyed: Keyed, octets: usize) -> Hot {
        let places = (octets / ROOM).clamp(1, PLACES);
        let most = octets.min(PLACES * ROOM).saturating_sub(places * size_of::<Option<Box<Encoded>>>());
        Hot { factors: Factors::new(keyed), places: (0..places).map(|_| None).collect(), most, used: 0, hand: 0 }
    }

    /// Octets its answers take.
    #[cfg(test)]
    pub fn octets(&self) -> usize {
        self.places.iter().flatten().map(|encoded| encoded.octets()).sum()
    }

    /// Room for so many octets, where there is or can be made some.
    fn make_room(&mut self, octets: usize) -> bool {
        for _ in 0..GIVEN_UP {
            if self.used + octets <= self.most {
                break;
            }
            self.hand = (self.hand + 1) % self.places.len();
            if let Some(gone) = self.places.get_mut(self.hand).and_then(Option::take) {
                self.used -= gone.octets();
            }
        }
        self.used + octets <= self.most
    }

    /// Where an answer belongs: by the upper bits of its hash, without a division.
    fn place(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.places.len() as u128) >> 64) as usize
    }

    /// Forgets everything: the policy or the caches have changed.
    pub fn clear(&mut self) {
        self.places.iter_mut().for_each(|place| *place = None);
        self.used = 0;
    }

    /// Writes the response to `view` into `out`, if it is here. `false`: it is not. `asker` has the cookie that goes with it.
    pub fn answer(
        &self,
        view: &QueryView<'_>,
        asker: &Asker,
        policy: &RespondPolicy,
        age: Moment,
        out: &mut Vec<u8>,
    ) -> bool {
        let transport = asker.transport;
        let Some(form) = Form::of(view, transport) else { return false };
        let hash = self.factors.hash(view.question, form);
        let Some(known) = self.places.get(self.place(hash)).and_then(Option::as_ref) else {
            return false;
        };
        if known.hash != hash || known.form != form || age >= known.until {
            return false;
        }
        let end = HEADER + usize::from(known.question);
        let same = known.packet.get(HEADER..end).is_some_and(|question| question.eq_ignore_ascii_case(view.question));
        let cookie = asker.edns.and_then(|edns| edns.cookie);
        let length = known.packet.len() + if cookie.is_some() { COOKIE_OPTION } else { 0 };
        if !same || length > limit(view, transport, policy) {
            return false;
        }
        out.clear();
        out.extend_from_slice(&known.packet);
        let [id_high, id_low] = view.id.to_be_bytes();
        if let Some([a, b, flags, ..]) = out.get_mut(..4) {
            (*a, *b) = (id_high, id_low);
            *flags = *flags & !1 | u8::from(view.flags.has(Flags::RD));
        }
        if let Some(question) = out.get_mut(HEADER..end) {
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
            out.extend_from_slice(&cookie);
        }
        true
    }

    /// Keeps a response that has just been composed for `view` from `outcome`.
    pub fn keep(&mut self, view: &QueryView<'_>, asker: &Asker, outcome: &Outcome, age: Moment, packet: &[u8]) {
        let Some(form) = Form::of(view, asker.transport) else { return };
        let truncated = packet.get(2).is_none_or(|flags| flags & (Flags::TC >> 8) as u8 != 0);
        if packet.len() > LARGEST || truncated || outcome.failure.is_some() || outcome.stale.is_some() || outcome.ripe {
            return;
        }
        let dnssec_ok = asker.edns.is_some_and(|edns| edns.dnssec_ok);
        let Some(packet) = without_cookie(packet, asker) else { return };
        let Some((ages, until)) = ages(outcome, dnssec_ok, age, &packet, view.question.len()) else { return };
        let hash = self.factors.hash(view.question, form);
        let question = u16::try_from(view.question.len()).unwrap_or(0);
        let encoded = Encoded { hash, form, packet: SmallVec::from_slice(&packet), question, ages, until };
        let at = self.place(hash);
        let octets = encoded.octets();
        if let Some(before) = self.places.get_mut(at).and_then(Option::take) {
            self.used -= before.octets();
        }
        if self.make_room(octets)
            && let Some(place) = self.places.get_mut(at)
        {
            self.used += octets;
            *place = Some(Box::new(encoded));
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

/// ASCII letters of a word in lower case: each octet by itself, without a branch.
fn lower(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let low = word & (0x7f * ONES);
    let from_a = low + (0x80 - b'A' as u64) * ONES;
    let beyond_z = low + (0x7f - b'Z' as u64) * ONES;
    let upper = (from_a ^ beyond_z) & !word & (0x80 * ONES);
    word | upper >> 2
}

fn limit(view: &QueryView<'_>, transport: Transport, policy: &RespondPolicy) -> usize {
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
    fn questions_that_differ_have_other_hashes_and_case_makes_no_difference() {
        let factors = Factors::new(Keyed::new(1, 2));
        let mut seen = std::collections::HashSet::new();
        for length in 0..=WORDS * 8 - 5 {
            let question = vec![b'a'; length];
            for form in 0..16 {
                assert!(seen.insert(factors.hash(&question, Form(form))), "{length} octets, {form}");
            }
            let mut other = question.clone();
            for at in 0..length {
                other[at] = b'A';
                assert_eq!(factors.hash(&other, Form(0)), factors.hash(&question, Form(0)));
                other[at] = b'b';
                assert!(seen.insert(factors.hash(&other, Form(0))), "{length} octets, another at {at}");
                other[at] = b'a';
            }
        }
        let others = Factors::new(Keyed::new(1, 3));
        assert_ne!(others.hash(b"a", Form(0)), factors.hash(b"a", Form(0)));
    }

    #[test]
    fn words_are_lowered_octet_by_octet() {
        for octet in 0..=255u8 {
            for at in 0..8 {
                let mut octets = *b"aZ[@{\xc1\x7f\0";
                octets[at] = octet;
                let expected = u64::from_le_bytes(octets.map(|octet| octet.to_ascii_lowercase()));
                assert_eq!(lower(u64::from_le_bytes(octets)), expected, "{octet} at {at}");
            }
        }
    }
}
