//! The hottest answers of one shard, as they were written: copied, patched, sent. A hit costs neither an allocation nor
//! a look into the shared caches.
//!
//! An answer comes in here when it has been composed from the cache, and stays until one of its records ends or comes
//! near its end: from then on the slow path sees it again.

use std::hash::Hasher;
use std::time::Duration;

use siphasher::sip::SipHasher13;
use smallvec::SmallVec;

use crate::cache::RrSet;
use crate::clock::Moment;
use crate::resolve::{Keyed, Life, Outcome};
use crate::wire::{Flags, HEADER, QueryView, Rtype};

use super::respond::{Asker, OPT};
use super::types::{RespondPolicy, Transport};

/// Places a shard has; with answers of the usual size some 8 MiB. The hottest names of an ISP are some thousands.
const PLACES: usize = 1 << 14;
/// Answers larger than this are rare, and not kept here.
const LARGEST: usize = 1024;
/// Records whose TTL is patched in one answer.
const MOST_RECORDS: usize = 32;

/// What a response depends on beside the question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Form(u8);

impl Form {
    /// `None`: the response has parts that are written anew each time.
    fn of(view: &QueryView<'_>, transport: Transport) -> Option<Form> {
        let bit = |on: bool, bit: u8| if on { 1 << bit } else { 0 };
        let mut form = bit(view.flags.has(Flags::CD), 0) | bit(view.flags.has(Flags::AD), 1);
        if let Some(edns) = view.edns {
            if edns.version > 0 || edns.nsid || edns.cookie.is_some() || edns.keepalive && transport == Transport::Tcp {
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
    packet: Box<[u8]>,
    /// The octets of the question: name, type, class.
    question: u16,
    ages: SmallVec<[Age; 2]>,
    until: Moment,
}

/// The table.
pub(super) struct Hot {
    keyed: Keyed,
    places: Box<[Option<Box<Encoded>>]>,
}

impl Hot {
    /// An empty table whose hashes are keyed.
    pub fn new(keyed: Keyed) -> Hot {
        Hot { keyed, places: (0..PLACES).map(|_| None).collect() }
    }

    /// Forgets everything: the policy or the caches have changed.
    pub fn clear(&mut self) {
        self.places.iter_mut().for_each(|place| *place = None);
    }

    fn hash(&self, question: &[u8], form: Form) -> u64 {
        let mut lower = [0u8; 260];
        let mut hasher: SipHasher13 = std::hash::BuildHasher::build_hasher(&self.keyed);
        let end = question.len().min(lower.len());
        for (to, from) in lower.iter_mut().zip(question) {
            *to = from.to_ascii_lowercase();
        }
        hasher.write(lower.get(..end).unwrap_or(&[]));
        hasher.write_u8(form.0);
        hasher.finish()
    }

    /// Writes the response to `view` into `out`, if it is here. `false`: it is not.
    pub fn answer(
        &self,
        view: &QueryView<'_>,
        transport: Transport,
        policy: &RespondPolicy,
        age: Moment,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(form) = Form::of(view, transport) else { return false };
        let hash = self.hash(view.question, form);
        let Some(known) = self.places.get(hash as usize % PLACES).and_then(Option::as_ref) else { return false };
        if known.hash != hash || known.form != form || age >= known.until {
            return false;
        }
        let end = HEADER + usize::from(known.question);
        let same = known.packet.get(HEADER..end).is_some_and(|question| question.eq_ignore_ascii_case(view.question));
        if !same || known.packet.len() > limit(view, transport, policy) {
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
        true
    }

    /// Keeps a response that has just been composed for `view` from `outcome`.
    pub fn keep(&mut self, view: &QueryView<'_>, asker: &Asker, outcome: &Outcome, age: Moment, packet: &[u8]) {
        let Some(form) = Form::of(view, asker.transport) else { return };
        let truncated = packet.get(2).is_none_or(|flags| flags & (Flags::TC >> 8) as u8 != 0);
        if packet.len() > LARGEST || truncated || outcome.failure.is_some() || outcome.ripe {
            return;
        }
        let dnssec_ok = asker.edns.is_some_and(|edns| edns.dnssec_ok);
        let Some((ages, until)) = ages(outcome, dnssec_ok, age, packet, view.question.len()) else { return };
        let hash = self.hash(view.question, form);
        let question = u16::try_from(view.question.len()).unwrap_or(0);
        let encoded = Encoded { hash, form, packet: packet.into(), question, ages, until };
        if let Some(place) = self.places.get_mut(hash as usize % PLACES) {
            *place = Some(Box::new(encoded));
        }
    }
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
    outcome.answer.iter().for_each(|set| add(set, Life::from(&**set)));
    if let Some(soa) = &outcome.soa {
        add(&soa.set, soa.life);
    }
    // Proofs are written with the smaller of two TTLs: left to the slow path.
    if dnssec_ok && !outcome.proof.is_empty() || lives.len() > MOST_RECORDS || until <= age {
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
