//! What an operator asks of a running server, over a Unix socket: one line in, one JSON object out.
//!
//! The questions are `status`, `explain ADDRESS`, `explain NAME`, `reload` and `try reload`. Whoever can open the socket may ask everything, so
//! that only the server's own user and root can.

mod answers;
mod socket;

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

pub use socket::{Socket, ask};

use crate::admission::{Decisions, Level, Policy, Signal, Tally};
use crate::clock::Moment;
use crate::engine::{Counters, Shared};

/// What one shard last said of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Word {
    pub counters: Counters,
    pub level: Level,
    /// Since when that level holds.
    pub since: Moment,
    /// What called for it.
    pub cause: Option<Signal>,
}

/// A source of whose packets the kernel drops a part before a shard sees them, on that shard's word.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sifted {
    /// An IPv4 address, or an IPv6 one that stands for its /64.
    pub source: IpAddr,
    /// The part that passes of packets without a cookie, 0 to 1, and of those with one.
    pub passes: f32,
    pub cookies_pass: f32,
    /// So many good cookies pass in any case.
    pub spared: usize,
    /// How many packets a second it sends this shard.
    pub rate: f64,
    pub since: Moment,
}

/// Reads the configuration again, or only tries to.
type Reload = Box<dyn Fn(bool) -> Result<serde_json::Value, String> + Send + Sync>;

/// Counts at the sockets, by name.
type Sockets = Box<dyn Fn() -> Vec<(&'static str, u64)> + Send + Sync>;

/// What a snapshot came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub records: u64,
    pub octets: u64,
}

/// What can be told: what all shards write into together, and the last word of each shard.
pub struct Told {
    shared: Shared,
    policy: Mutex<Policy>,
    shards: Vec<Mutex<Word>>,
    /// By shard.
    sifted: Vec<Mutex<Vec<Sifted>>>,
    start: Moment,
    reload: Option<Reload>,
    /// What is counted at the sockets.
    sockets: Option<Sockets>,
    /// How the last reload ended, and when.
    reloaded: Mutex<Option<(bool, Moment)>>,
    /// What the last snapshot came to, if it could be written, and when.
    kept: Mutex<Option<(Option<Kept>, Moment)>>,
}

impl Told {
    /// Nothing has been said yet by any of so many shards. `start` is when the server began.
    pub fn new(shared: Shared, policy: Policy, shards: usize, start: Moment) -> Told {
        Told {
            shared,
            policy: Mutex::new(policy),
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            sifted: (0..shards).map(|_| Mutex::default()).collect(),
            start,
            reload: None,
            sockets: None,
            reloaded: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// Lets operators have the configuration read again.
    pub fn with_reload(
        mut self,
        reload: impl Fn(bool) -> Result<serde_json::Value, String> + Send + Sync + 'static,
    ) -> Told {
        self.reload = Some(Box::new(reload));
        self
    }

    /// Lets operators see what is counted at the sockets.
    pub fn with_sockets(mut self, count: impl Fn() -> Vec<(&'static str, u64)> + Send + Sync + 'static) -> Told {
        self.sockets = Some(Box::new(count));
        self
    }

    /// Takes a shard's word.
    pub fn say(&self, shard: usize, word: Word) {
        if let Some(place) = self.shards.get(shard) {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = word;
        }
    }

    /// Whose packets the kernel thins out for a shard.
    pub fn sifts(&self, shard: usize, sifted: Vec<Sifted>) {
        if let Some(place) = self.sifted.get(shard) {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = sifted;
        }
    }

    /// A snapshot has been written, or could not be.
    pub fn kept(&self, kept: Option<Kept>, when: Moment) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((kept, when));
    }

    /// Takes the policy that is in force now.
    pub fn set_policy(&self, policy: &Policy) {
        policy.clone_into(&mut self.policy.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What the doors of all shards have seen.
    pub fn door(&self) -> Tally {
        self.words().iter().fold(Tally::default(), |sum, word| sum.with(&word.counters.door))
    }

    /// What was turned away lately.
    pub fn decisions(&self) -> &Decisions {
        self.shared.books.decisions()
    }

    fn words(&self) -> Vec<Word> {
        self.shards.iter().map(|word| *word.lock().unwrap_or_else(PoisonError::into_inner)).collect()
    }

    /// The same of all shards together, most packets first; what passes is what passes of them all.
    fn sifted(&self) -> Vec<Sifted> {
        let mut all: Vec<Sifted> = Vec::new();
        for place in &self.sifted {
            for one in place.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                let Some(sum) = all.iter_mut().find(|sum| sum.source == one.source) else {
                    all.push(*one);
                    continue;
                };
                let weight = (one.rate / (sum.rate + one.rate).max(1.0)) as f32;
                sum.passes += (one.passes - sum.passes) * weight;
                sum.cookies_pass += (one.cookies_pass - sum.cookies_pass) * weight;
                sum.spared += one.spared;
                sum.rate += one.rate;
                sum.since = sum.since.min(one.since);
            }
        }
        all.sort_by(|a, b| b.rate.total_cmp(&a.rate));
        all
    }

    fn policy(&self) -> Policy {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
