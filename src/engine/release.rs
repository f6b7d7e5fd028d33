//! Answers on their way to those who have waited: one by one, and not to whoever has gone.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::types::{Disposition, DropReason, Transmit};
use super::{Engine, Waiter};
use crate::clock::{Moment, Now};
use crate::resolve::Keyed;

/// So many answers that were held back leave at once for one client: a page's worth.
const AT_ONCE: u32 = 20;
/// Answers that wait for their turn on one shard, of some hundred octets each.
const MOST: usize = 10_000;
/// Clients of whom it is known when their next answer leaves, before those are forgotten whose turn it is.
const CLIENTS: usize = 4_096;

/// Answers that wait for their turn.
pub(super) struct Releases {
    due: BTreeMap<(Moment, u64), (Waiter, Vec<u8>)>,
    order: u64,
    /// By client, when all its answers so far would have left one by one.
    until: HashMap<u64, Moment, Keyed>,
    /// How many of them were left when they were looked through last.
    left: usize,
}

impl Releases {
    /// None.
    pub fn new(keyed: Keyed) -> Releases {
        Releases { due: BTreeMap::new(), order: 0, until: HashMap::with_hasher(keyed), left: 0 }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Moment> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// When a client's next answer may leave, `spacing` after the one before; as many as make a page leave at once.
    fn turn(&mut self, client: u64, spacing: Duration, now: Moment) -> Moment {
        // Twice as many as were left then, so that looking through them costs each little.
        if self.until.len() >= CLIENTS.max(2 * self.left) {
            self.until.retain(|_, until| *until > now);
            self.left = self.until.len();
        }
        let until = self.until.entry(client).or_default();
        let own = (*until).max(now);
        *until = own + spacing;
        let ahead = own.since(now).saturating_sub(spacing * AT_ONCE);
        now + ahead
    }
}

impl Engine {
    /// Lets a client go who has waited, with its response: now, when its turn comes, or without one if it comes too late.
    pub(super) fn release(&mut self, now: Now, waiter: Waiter, packet: Vec<u8>) {
        let spacing = self.door.spacing(now.mono, &waiter.pass.admitted, waiter.since);
        if spacing > Duration::ZERO {
            let client = self.door.holder(&waiter.pass.admitted);
            let at = self.releases.turn(client, spacing, now.mono);
            if at > now.mono && self.releases.due.len() < MOST {
                self.counters.paced += 1;
                self.releases.order += 1;
                self.releases.due.insert((at, self.releases.order), (waiter, packet));
                return;
            }
        }
        self.send_off(now, &waiter, packet);
    }

    fn send_off(&mut self, now: Now, waiter: &Waiter, mut packet: Vec<u8>) {
        self.counters.waiting -= 1;
        let admitted = &waiter.pass.admitted;
        let name = waiter.asker.name();
        let sent = match self.door.still_waits(now.mono, admitted, name, waiter.since) {
            true => {
                let parting = self.parting(now.mono, &waiter.pass, name, false, &packet);
                self.carry_out(parting, &waiter.asker, &mut packet)
            }
            false => Disposition::Dropped(DropReason::Late),
        };
        if let Disposition::Dropped(reason) = sent {
            self.counters.dropped[reason as usize] += 1;
            return;
        }
        self.counters.answered += 1;
        self.out.push_back(Transmit::Reply { client: waiter.client, packet });
    }

    /// Lets those go whose turn has come; with `all`, the others too.
    pub(super) fn send_due(&mut self, now: Now, all: bool) {
        while let Some(entry) = self.releases.due.first_entry() {
            if entry.key().0 > now.mono && !all {
                return;
            }
            let (waiter, packet) = entry.remove();
            self.send_off(now, &waiter, packet);
        }
    }
}
