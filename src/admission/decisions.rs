//! The last million refusals, to say later why somebody was not served.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::pressure::Level;
use super::reason::Reason;
use crate::clock::Moment;
use crate::memory::Slab;
use crate::meter::{Hash, Secret};

/// Octets of a name that are kept to be shown.
const SHOWN: usize = 8;
const WORDS: usize = 4;
/// Times are kept in units of 2²⁴ ns (17 ms), and come round after two years.
const TICK: u32 = 24;
/// So many places a shard takes at once.
const BLOCK: usize = 64;
/// Repetitions that a shard keeps back, and for how long.
const HELD: usize = 256;
const HOLD: u64 = 100_000_000;
/// Other names that are kept of one sender within that time: a page's worth.
const NAMES: u8 = 8;

/// What was done instead of answering.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Action {
    /// Nothing: the limit only observes, or there was room.
    Observed = 0,
    /// TC=1 or BADCOOKIE.
    Slipped = 1,
    /// REFUSED.
    Refused = 2,
    /// Silence.
    Dropped = 3,
    /// SERVFAIL.
    Failed = 4,
    /// The connection was closed.
    Closed = 5,
    /// An answer whose time is over (RFC 8767).
    Stale = 6,
}

impl Action {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Action::Observed => "observed",
            Action::Slipped => "asked for proof",
            Action::Refused => "refused",
            Action::Dropped => "silence",
            Action::Failed => "SERVFAIL",
            Action::Closed => "closed",
            Action::Stale => "answered with expired data",
        }
    }

    fn from_number(number: u8) -> Action {
        match number {
            0 => Action::Observed,
            1 => Action::Slipped,
            2 => Action::Refused,
            3 => Action::Dropped,
            4 => Action::Failed,
            6 => Action::Stale,
            _ => Action::Closed,
        }
    }
}

/// One refusal, or several that were alike within a tenth of a second.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The address; of an IPv6 address the /64 it is in.
    pub address: IpAddr,
    /// The first octets of the name that was asked, as labels with dots.
    pub name: String,
    pub reason: Reason,
    pub action: Action,
    /// How hard it was pressed.
    pub level: Level,
    /// When, to 17 ms.
    pub when: Moment,
    /// How often within this tenth of a second.
    pub times: u32,
    /// Where the ring had it: larger is later.
    pub number: usize,
}

/// The ring. 32 octets each, taken at birth.
pub struct Decisions {
    entries: Slab<[AtomicU64; WORDS]>,
    next: AtomicUsize,
    secret: Secret,
}

impl Decisions {
    /// Room for `count`, rounded up to a power of two.
    pub fn new(count: usize, secret: Secret) -> Decisions {
        let count = count.next_power_of_two().max(BLOCK);
        let entries = Slab::new(count, || [const { AtomicU64::new(0) }; WORDS]);
        Decisions { entries, next: AtomicUsize::new(0), secret }
    }

    /// Octets of memory.
    pub fn octets(&self) -> usize {
        self.entries.len() * WORDS * 8
    }

    /// How many have been kept since the start, those that were overwritten included.
    pub fn kept(&self) -> usize {
        self.next.load(Ordering::Relaxed)
    }

    /// What is kept of an address (any in the same /64 for IPv6), the latest first, at most `most`.
    pub fn of_address(&self, address: IpAddr, most: usize) -> Vec<Decision> {
        let wanted = pack(address.to_canonical());
        self.search(self.entries.len(), most, |words, v4| (words[0], v4) == wanted)
    }

    /// What is kept of a name (in wire form, any case), the latest first, at most `most`.
    pub fn of_name(&self, name: &[u8], most: usize) -> Vec<Decision> {
        let wanted = name_hash(&self.secret, name);
        self.search(self.entries.len(), most, |words, _| words[1] & 0xffff_ffff == wanted)
    }

    /// Of the `looked_at` places taken last the latest decision for each reason, the latest first.
    pub fn latest(&self, looked_at: usize) -> Vec<Decision> {
        let seen = [const { Cell::new(false) }; Reason::COUNT];
        self.search(looked_at, Reason::COUNT, |words, _| {
            seen.get(usize::from(words[3] as u8)).is_some_and(|seen| !seen.replace(true))
        })
    }

    /// What was kept last for one who repeats himself has happened once more.
    fn again(&self, held: &mut Repeated) {
        held.times = held.times.saturating_add(1);
        // Unless somebody else has the place by now.
        if self.next.load(Ordering::Relaxed).saturating_sub(held.number) < self.entries.len() {
            let word = &self.entries[held.number & (self.entries.len() - 1)][3];
            word.store(word.load(Ordering::Relaxed) & 0xffff_ffff | u64::from(held.times) << 32, Ordering::Release);
        }
    }

    fn search(&self, looked_at: usize, most: usize, wanted: impl Fn(&[u64; WORDS], bool) -> bool) -> Vec<Decision> {
        let end = self.next.load(Ordering::Acquire);
        let mut found = Vec::new();
        for number in (end.saturating_sub(looked_at.min(self.entries.len()))..end).rev() {
            let entry = &self.entries[number & (self.entries.len() - 1)];
            let meta = entry[3].load(Ordering::Acquire);
            let words = [0, 1, 2].map(|at: usize| entry[at].load(Ordering::Relaxed));
            let words = [words[0], words[1], words[2], meta];
            if meta != 0
                && wanted(&words, meta >> 8 & 0x80 != 0)
                // How often may be more by now.
                && entry[3].load(Ordering::Acquire) as u32 == meta as u32
                && let Some(decision) = unpack(&words, number)
            {
                found.push(decision);
                if found.len() == most {
                    break;
                }
            }
        }
        found
    }
}

impl std::fmt::Debug for Decisions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Decisions({} kept)", self.kept())
    }
}

/// What is to be kept.
#[derive(Clone, Copy, Debug)]
pub struct Note<'a> {
    /// Canonical.
    pub address: IpAddr,
    /// In wire form, as it came; empty where nothing could be read.
    pub name: &'a [u8],
    pub reason: Reason,
    pub action: Action,
    pub level: Level,
}

#[derive(Clone, Copy, Default)]
struct Repeated {
    key: u64,
    /// When it was kept last, and where.
    at: u64,
    number: usize,
    times: u32,
    /// The [`mark`] of the name it was about, and how many more are looked at within that time.
    name: u64,
    names: u8,
}

/// One shard's pen. Who repeats himself is written down ten times a second at most, with how often, and with a few names
/// each time, so that one sender does not wash everybody else out of the ring.
pub struct Pen {
    held: Box<[Repeated; HELD]>,
    next: usize,
    end: usize,
}

impl Default for Pen {
    fn default() -> Pen {
        Pen { held: Box::new([Repeated::default(); HELD]), next: 0, end: 0 }
    }
}

impl Pen {
    /// Keeps a decision. `key` is a keyed hash of the address. What comes after the last name of which there is one is kept
    /// without a name.
    pub fn write(&mut self, ring: &Decisions, now: Moment, key: Hash, note: &Note<'_>) {
        // What is done to one sender varies from packet to packet: each has a place of its own.
        let kind = (note.reason as u64) << 3 ^ note.action as u64;
        let key = key.0 ^ kind;
        let held = &mut self.held[(key >> 20 ^ kind) as usize % HELD];
        let same = held.key == key;
        let soon = same && now.as_nanos().saturating_sub(held.at) < HOLD;
        if soon && held.names == 0 {
            return ring.again(held);
        }
        let mark = mark(note.name);
        if soon && held.name == mark {
            return ring.again(held);
        }
        let (at, names) = if soon { (held.at, held.names - 1) } else { (now.as_nanos(), NAMES) };
        let asked = if names == 0 { &[] } else { note.name };
        let name = name_hash(&ring.secret, asked);
        if self.next == self.end {
            self.next = ring.next.fetch_add(BLOCK, Ordering::AcqRel);
            self.end = self.next + BLOCK;
            // What stands in the places taken is no longer said to be the latest.
            for place in self.next..self.end {
                ring.entries[place & (ring.entries.len() - 1)][3].store(0, Ordering::Relaxed);
            }
        }
        let number = self.next;
        let entry = &ring.entries[number & (ring.entries.len() - 1)];
        self.next += 1;
        *held = Repeated { key, at, number, times: 1, name: mark, names };
        let (address, v4) = pack(note.address);
        let mut shown = [0; SHOWN];
        let begin = asked.get(1..).unwrap_or(&[]);
        let length = begin.len().min(SHOWN);
        shown[..length].copy_from_slice(&begin[..length]);
        let flags = u64::from(v4) << 7 | (note.level as u64) << 4 | note.action as u64;
        let meta = 1 << 32 | flags << 8 | note.reason as u64;
        entry[3].store(0, Ordering::Release);
        entry[0].store(address, Ordering::Relaxed);
        entry[1].store((now.as_nanos() >> TICK) << 32 | name, Ordering::Relaxed);
        entry[2].store(u64::from_le_bytes(shown), Ordering::Relaxed);
        entry[3].store(meta, Ordering::Release);
    }
}

impl std::fmt::Debug for Pen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pen")
    }
}

/// The address in one word, and whether it is an IPv4 one.
fn pack(address: IpAddr) -> (u64, bool) {
    match address {
        IpAddr::V4(v4) => (u64::from(u32::from(v4)), true),
        IpAddr::V6(v6) => ((u128::from(v6) >> 64) as u64, false),
    }
}

fn unpack(words: &[u64; WORDS], number: usize) -> Option<Decision> {
    let flags = words[3] >> 8 & 0xff;
    let address = if flags & 0x80 != 0 {
        IpAddr::V4(Ipv4Addr::from(words[0] as u32))
    } else {
        IpAddr::V6(Ipv6Addr::from(u128::from(words[0]) << 64))
    };
    let shown = words[2].to_le_bytes();
    let shown = shown.iter().take_while(|octet| **octet != 0);
    // Lengths of labels stand where dots would.
    let name = shown.map(|octet| if octet.is_ascii_graphic() { char::from(*octet) } else { '.' }).collect();
    Some(Decision {
        address,
        name,
        reason: Reason::from_number(words[3] as u8)?,
        action: Action::from_number((flags & 0xf) as u8),
        level: Level::ALL[(flags >> 4 & 3) as usize],
        when: Moment::from_nanos(words[1] >> 32 << TICK),
        times: (words[3] >> 32) as u32,
        number,
    })
}

/// Tells names of one sender apart, in any case: whoever looks for two that have the same hides one of his own behind another.
fn mark(name: &[u8]) -> u64 {
    let (words, rest) = name.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    words.iter().chain([&last]).fold(name.len() as u64, |mark, word| {
        let lower = u64::from_le_bytes(*word) | 0x2020_2020_2020_2020;
        (mark.rotate_left(23) ^ lower).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

/// 32 bits of a hash of the name in lower case.
fn name_hash(secret: &Secret, name: &[u8]) -> u64 {
    secret.name(0, name).0 >> 32
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn note(address: &str, name: &'static [u8]) -> Note<'static> {
        let address = address.parse().expect("an address");
        Note { address, name, reason: Reason::ClientShare, action: Action::Dropped, level: Level::Guard }
    }

    fn key(address: &str) -> Hash {
        Secret::new(&[4; 32]).octets(0, address.as_bytes())
    }

    #[test]
    fn what_was_kept_is_found_by_address_and_by_name() {
        let ring = Decisions::new(128, Secret::new(&[4; 32]));
        let mut pen = Pen::default();
        let now = Moment::from_nanos(5_000_000_000);
        pen.write(&ring, now, key("a"), &note("192.0.2.1", b"\x03WWW\x07example\x03com\0"));
        pen.write(&ring, now, key("b"), &note("2001:db8::7", b"\x01x\0"));
        pen.write(&ring, now, key("c"), &note("192.0.2.3", b""));
        let found = ring.of_address("::ffff:192.0.2.1".parse().expect("an address"), 10);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].reason, found[0].times), ("WWW.exam", Reason::ClientShare, 1));
        assert_eq!((found[0].action, found[0].level), (Action::Dropped, Level::Guard));
        assert!(now.since(found[0].when) < Duration::from_millis(17));
        assert_eq!(ring.of_address("2001:db8::ffff".parse().expect("an address"), 10).len(), 1);
        assert_eq!(ring.of_name(b"\x03www\x07EXAMPLE\x03com\0", 10).len(), 1);
        assert_eq!(ring.of_name(b"\x03www\0", 10).len(), 0);
    }

    #[test]
    fn who_repeats_himself_takes_little_room_and_is_counted() {
        let ring = Decisions::new(1024, Secret::new(&[4; 32]));
        let mut pen = Pen::default();
        let start = Moment::from_nanos(5_000_000_000);
        for turn in 0..1_000u64 {
            pen.write(&ring, start + Duration::from_millis(turn), key("a"), &note("192.0.2.1", b"\x01x\0"));
        }
        let found = ring.of_address("192.0.2.1".parse().expect("an address"), 100);
        assert_eq!(found.len(), 10);
        assert_eq!(found.iter().map(|decision| decision.times).collect::<Vec<_>>(), [100; 10]);
        assert!(found[0].when > found[9].when, "the latest comes first");
        let late = start + Duration::from_secs(5);
        for turn in 0..1_000 {
            let action = if turn % 2 == 0 { Action::Dropped } else { Action::Slipped };
            pen.write(&ring, late, key("b"), &Note { action, ..note("192.0.2.2", b"\x01x\0") });
        }
        let found = ring.of_address("192.0.2.2".parse().expect("an address"), 100);
        assert_eq!(
            found.iter().map(|decision| decision.times).collect::<Vec<_>>(),
            [500; 2],
            "each thing done by itself"
        );
    }

    #[test]
    fn each_name_has_its_own_count_and_what_is_beyond_the_last_has_none() {
        let ring = Decisions::new(1024, Secret::new(&[4; 32]));
        let mut pen = Pen::default();
        let now = Moment::from_nanos(5_000_000_000);
        (0..200).for_each(|_| pen.write(&ring, now, key("a"), &note("192.0.2.1", b"\x01x\0")));
        pen.write(&ring, now, key("a"), &note("192.0.2.1", b"\x01y\0"));
        let times = |name: &[u8]| ring.of_name(name, 100).iter().map(|decision| decision.times).sum::<u32>();
        assert_eq!((times(b"\x01x\0"), times(b"\x01y\0")), (200, 1));
        (0..10).for_each(|_| pen.write(&ring, now, key("b"), &note("192.0.2.2", b"\x08Host0001\0")));
        (0..10).for_each(|_| pen.write(&ring, now, key("b"), &note("192.0.2.2", b"\x08hOST0001\0")));
        pen.write(&ring, now, key("b"), &note("192.0.2.2", b"\x08host0002\0"));
        assert_eq!((times(b"\x08host0001\0"), times(b"\x08host0002\0")), (20, 1));
        assert_eq!(ring.of_name(b"\x08host0001\0", 100).len(), 1, "case makes no other name");
        for name in [b"\x01a\0", b"\x01b\0", b"\x01c\0", b"\x01d\0", b"\x01e\0", b"\x01f\0", b"\x01g\0", b"\x01h\0"] {
            (0..10).for_each(|_| pen.write(&ring, now, key("a"), &note("192.0.2.1", name)));
        }
        assert_eq!((times(b"\x01a\0"), times(b"\x01h\0")), (10, 0), "there is no room for all of them");
        let all = ring.of_address("192.0.2.1".parse().expect("an address"), 100);
        assert_eq!(all.iter().map(|decision| decision.times).sum::<u32>(), 281, "{all:?}");
    }

    #[test]
    fn the_ring_keeps_the_last_and_does_not_grow() {
        let ring = Decisions::new(128, Secret::new(&[4; 32]));
        let octets = ring.octets();
        let mut pen = Pen::default();
        for sender in 0..10_000u32 {
            let address = IpAddr::from(sender.to_be_bytes());
            let hash = Secret::new(&[4; 32]).word(u64::from(sender));
            let note = Note { address, ..note("0.0.0.0", b"\x01x\0") };
            pen.write(&ring, Moment::from_nanos(u64::from(sender)), hash, &note);
        }
        assert_eq!(ring.octets(), octets);
        assert_eq!(ring.of_name(b"\x01x\0", 1000).len(), 128 - 48);
        assert_eq!(ring.of_address(IpAddr::from(9_999u32.to_be_bytes()), 9).len(), 1);
        assert_eq!(ring.of_address(IpAddr::from(1u32.to_be_bytes()), 9).len(), 0);
    }
}
