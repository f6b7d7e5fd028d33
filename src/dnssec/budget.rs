//! What one client question may cost in cryptography, all its sub-lookups together, and in time of the processor with all
//! else that is done for it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use super::crypto;
use crate::wire::Name;

/// Ceilings of one question; all the cryptography spent is less than 20 ms. A unit of signature work is one check by a P-256 key, at most
/// 0.1 ms (RSA 2048 takes a third of it, Ed25519 two thirds); larger keys and very long messages count several.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Units of signature work. A cold question through three signed zones needs about ten, each further alias into
    /// another zone as many; one whose keys are P-384 some forty. PowerDNS allows 30 validations a question; BIND 16 a
    /// fetch, and a question is many.
    pub signatures: u32,
    /// Units of signature work that failed: an honest zone has none, and KeyTrap (CVE-2023-50387) nothing else.
    /// BIND stops after 1 a fetch, Unbound after 8 a set.
    pub failures: u32,
    /// Signatures looked at over one RRset. Unbound and hickory 8; a roll-over of two algorithms and keys needs 4.
    pub per_set: u32,
    /// Keys of a zone tried for one signature. Two keys share a tag by chance in one roll-over out of 65,536.
    /// PowerDNS and hickory 2, Unbound 4.
    pub keys_per_tag: u32,
    /// Further keys of the same tag tried in the whole question.
    pub collisions: u32,
    /// Digests of DNSKEYs compared with DS records. A zone needs one or two, with roll-overs four.
    pub digests: u32,
    /// SHA-1 blocks of NSEC3 hashes, some 0.3 µs each: 80 hashes at 50 iterations, or 1,000 at 3. CVE-2023-50868 is a
    /// response that asks for thousands of hashes. PowerDNS allows 600 hashes a question, Unbound 8 at a time.
    pub hash_blocks: u32,
    /// Time of the processor for the whole question, in microseconds, as counted: cryptography by the units above, all
    /// else by what its callers say ([`Budget::burden`]). No clock is read, so that the same question always ends the same.
    pub whole: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            signatures: 160,
            failures: 16,
            per_set: 8,
            keys_per_tag: 4,
            collisions: 8,
            digests: 128,
            hash_blocks: 8192,
            whole: 20_000,
        }
    }
}

/// What a question can run out of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Account {
    Signatures,
    Failures,
    SignaturesOfOneSet,
    KeyTagCollisions,
    Digests,
    Nsec3Hashes,
    /// Work of all kinds.
    Whole,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Account::Signatures => "signature checks",
            Account::Failures => "failed signature checks",
            Account::SignaturesOfOneSet => "signatures over one RRset",
            Account::KeyTagCollisions => "keys with the same tag",
            Account::Digests => "DS digests",
            Account::Nsec3Hashes => "NSEC3 hashes",
            Account::Whole => "work of all kinds",
        })
    }
}

/// The question has spent all it may on one account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overrun(pub Account);

/// Work of all questions together before others have their turn, in units of signature work: some half a millisecond,
/// unless a single check takes longer (P-384: 0.8 ms). An answer in the cache waits behind no more. Much less, and a busy
/// shard would spend itself on turns.
const TURN: u32 = 6;
/// SHA-1 blocks that take as long as one unit of signature work.
const BLOCKS_A_UNIT: u32 = 192;
/// What a unit of signature work, a digest and a SHA-1 block take, in nanoseconds.
const SIGNATURE: u32 = 100_000;
const DIGEST: u32 = 1_000;
const BLOCK: u32 = 300;

/// What one turn of a shard may spend on cryptography: shared by all its questions. Whoever finds it spent rests until
/// the next.
#[derive(Clone, Debug, Default)]
pub struct Turn(Rc<InTurn>);

#[derive(Debug, Default)]
struct InTurn {
    /// In SHA-1 blocks.
    blocks: Cell<u32>,
}

impl Turn {
    /// A new turn begins.
    pub fn begin(&self) {
        self.0.blocks.set(0);
    }

    /// Pays, if that still fits into this turn. What would not fit into any has one of its own.
    fn pay(&self, blocks: u32) -> bool {
        let spent = self.0.blocks.get();
        let fits = spent == 0 || spent.saturating_add(blocks) <= TURN * BLOCKS_A_UNIT;
        if fits {
            self.0.blocks.set(spent.saturating_add(blocks));
        }
        fits
    }
}

/// What a question has spent at some moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spent {
    signatures: u32,
    failures: u32,
    collisions: u32,
    digests: u32,
    hash_blocks: u32,
    others: u32,
}

impl Spent {
    /// Time of the processor, as counted.
    fn nanos(&self) -> u32 {
        let of = |count: u32, each: u32| count.saturating_mul(each);
        of(self.signatures, SIGNATURE)
            .saturating_add(of(self.digests, DIGEST))
            .saturating_add(of(self.hash_blocks, BLOCK))
            .saturating_add(self.others)
    }
}

/// The cryptography account of one client question: shared by reference among all its sub-lookups.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    turn: Option<Turn>,
    resting: Cell<bool>,
    signatures: Cell<u32>,
    failures: Cell<u32>,
    collisions: Cell<u32>,
    digests: Cell<u32>,
    hash_blocks: Cell<u32>,
    /// All else, in nanoseconds.
    others: Cell<u32>,
    hashes: RefCell<Vec<Known>>,
}

/// A hash that was computed before in this question.
#[derive(Debug)]
struct Known {
    name: Name,
    iterations: u16,
    salt: Box<[u8]>,
    hash: [u8; 20],
}

impl Budget {
    /// Nothing spent yet.
    pub fn new(limits: &Limits) -> Budget {
        Budget {
            limits: *limits,
            turn: None,
            resting: Cell::new(false),
            signatures: Cell::new(0),
            failures: Cell::new(0),
            collisions: Cell::new(0),
            digests: Cell::new(0),
            hash_blocks: Cell::new(0),
            others: Cell::new(0),
            hashes: RefCell::default(),
        }
    }

    /// The same, for work that is done in turns with that of others.
    pub fn in_turns(limits: &Limits, turn: Turn) -> Budget {
        Budget { turn: Some(turn), ..Budget::new(limits) }
    }

    /// Did something end only because the turn was spent? It goes on where it stopped, or from what is known by now, in
    /// the next.
    pub fn must_rest(&self) -> bool {
        self.resting.replace(false)
    }

    /// Does this still fit into the turn?
    fn fits_turn(&self, blocks: u32) -> bool {
        let fits = self.turn.as_ref().is_none_or(|turn| turn.pay(blocks));
        if !fits {
            self.resting.set(true);
        }
        fits
    }

    /// Is there room in this turn for a signature check of so many units?
    pub(super) fn has_turn(&self, units: u32) -> bool {
        self.fits_turn(units.saturating_mul(BLOCKS_A_UNIT))
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Units of signature work spent.
    pub fn signatures_spent(&self) -> u32 {
        self.signatures.get()
    }

    /// Units of signature work spent on signatures that did not hold.
    pub fn failures_spent(&self) -> u32 {
        self.failures.get()
    }

    /// Digests of keys computed.
    pub fn digests_spent(&self) -> u32 {
        self.digests.get()
    }

    /// SHA-1 blocks computed for NSEC3 hashes.
    pub fn hash_blocks_spent(&self) -> u32 {
        self.hash_blocks.get()
    }

    /// What has been spent so far.
    pub fn spent(&self) -> Spent {
        Spent {
            signatures: self.signatures.get(),
            failures: self.failures.get(),
            collisions: self.collisions.get(),
            digests: self.digests.get(),
            hash_blocks: self.hash_blocks.get(),
            others: self.others.get(),
        }
    }

    /// All of it as time of the processor, as counted, in nanoseconds.
    pub fn nanos(&self) -> u32 {
        self.spent().nanos()
    }

    /// Pays for work that is no cryptography, in nanoseconds. An error: the question has cost more than it may.
    pub fn burden(&self, nanos: u32) -> Result<(), Overrun> {
        self.afford(nanos)?;
        self.others.set(self.others.get().saturating_add(nanos));
        Ok(())
    }

    /// Is there so much left for the whole question, in nanoseconds?
    fn afford(&self, nanos: u32) -> Result<(), Overrun> {
        let spent = self.spent().nanos().saturating_add(nanos);
        if spent > self.limits.whole.saturating_mul(1_000) { Err(Overrun(Account::Whole)) } else { Ok(()) }
    }

    /// Has most of an account that has run out been spent since `before`, or all that one set may cost? Then what was
    /// done since is to blame, and would run out of it the next time too.
    pub fn is_to_blame(&self, account: Account, before: &Spent) -> bool {
        let (now, limits) = (self.spent(), &self.limits);
        let half = |before: u32, now: u32, limit: u32| now - before >= limit.div_ceil(2);
        match account {
            Account::SignaturesOfOneSet => true,
            Account::Signatures => half(before.signatures, now.signatures, limits.signatures),
            Account::Failures => half(before.failures, now.failures, limits.failures),
            // One is chance, two are design.
            Account::KeyTagCollisions => now.collisions - before.collisions > 1,
            Account::Digests => half(before.digests, now.digests, limits.digests),
            Account::Nsec3Hashes => half(before.hash_blocks, now.hash_blocks, limits.hash_blocks),
            Account::Whole => half(before.nanos(), now.nanos(), limits.whole.saturating_mul(1_000)),
        }
    }

    /// Begins a turn, for who has the thread to himself.
    pub(super) fn take_turn(&self) {
        self.must_rest();
        self.turn.iter().for_each(Turn::begin);
    }

    pub(super) fn pay_signature(&self, units: u32) -> Result<(), Overrun> {
        // A failure is paid when it is known; the next check must still be affordable.
        if self.failures.get() >= self.limits.failures {
            return Err(Overrun(Account::Failures));
        }
        self.afford(units.saturating_mul(SIGNATURE))?;
        pay(&self.signatures, self.limits.signatures, units).ok_or(Overrun(Account::Signatures))
    }

    pub(super) fn note_failure(&self, units: u32) {
        self.failures.set(self.failures.get().saturating_add(units));
    }

    pub(super) fn pay_collision(&self) -> Result<(), Overrun> {
        pay(&self.collisions, self.limits.collisions, 1).ok_or(Overrun(Account::KeyTagCollisions))
    }

    pub(super) fn pay_digest(&self) -> Result<(), Overrun> {
        pay(&self.digests, self.limits.digests, 1).ok_or(Overrun(Account::Digests))
    }

    /// The NSEC3 hash of a name, paid once a question. Where the turn is spent, the error is for now only
    /// ([`Budget::must_rest`]).
    pub fn nsec3_hash(&self, name: &Name, salt: &[u8], iterations: u16) -> Result<[u8; 20], Overrun> {
        let known = |k: &&Known| k.name == *name && k.iterations == iterations && *k.salt == *salt;
        if let Some(known) = self.hashes.borrow().iter().find(known) {
            return Ok(known.hash);
        }
        let blocks = crypto::nsec3_blocks(name.wire().len(), salt.len(), iterations);
        if !self.fits_turn(blocks) {
            return Err(Overrun(Account::Nsec3Hashes));
        }
        self.afford(blocks.saturating_mul(BLOCK))?;
        pay(&self.hash_blocks, self.limits.hash_blocks, blocks).ok_or(Overrun(Account::Nsec3Hashes))?;
        let hash = crypto::nsec3_hash(name.wire(), salt, iterations);
        self.hashes.borrow_mut().push(Known { name: name.clone(), iterations, salt: salt.into(), hash });
        Ok(hash)
    }
}

fn pay(spent: &Cell<u32>, limit: u32, units: u32) -> Option<()> {
    let after = spent.get().checked_add(units).filter(|after| *after <= limit)?;
    spent.set(after);
    Some(())
}
