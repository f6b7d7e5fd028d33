//! Where a zone's servers bear no more just now: others of them are asked, or it is waited a moment, or the question fails.

use std::time::Duration;

use super::Asking;
use crate::admission::Mode;
use crate::clock::Moment;
use crate::servers::{Busy, Claim, State};

/// How often it is looked whether there is room, at least; up to twice as long, so that not all look at once.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// Whoever comes before others waits so long, from the beginning of the question, for a server that bears no more a
/// second, and may go beyond that a little then: it may be a mistake. The others have what is left, and are told at once that it
/// is nothing.
const WORTH_WAITING: Duration = Duration::from_millis(500);

impl Asking<'_> {
    /// Are servers that bear no more left alone? The operator's own forwarders and stub servers bear what they bear.
    pub(super) fn spares(&self) -> bool {
        self.counts() && self.cx.plan.server_quotas == Mode::Enforce
    }

    /// Counts a packet to a server that bears no more.
    pub(super) fn note_busy(&self, busy: bool) {
        if busy && self.counts() && self.cx.plan.server_quotas == Mode::Observe {
            self.work.note_busy();
        }
    }

    /// How this question stands with a server that bears no more.
    pub(super) fn claim(&self) -> Claim {
        let waited = self.cx.now().mono >= self.work.begun + WORTH_WAITING;
        match self.work.claim {
            Claim::First if waited => Claim::Overdue,
            claim => claim,
        }
    }

    /// Is there a server that would be asked if it bore more?
    pub(super) fn is_busy(&self) -> bool {
        self.busy().is_some()
    }

    fn busy(&self) -> Option<Busy> {
        let busy = self.candidates.iter().filter(|candidate| candidate.report.state == State::Busy);
        // Room at once comes with the next answer.
        busy.filter_map(|candidate| candidate.report.busy).max_by_key(|busy| *busy == Busy::InFlight)
    }

    /// When to look again whether a server bears more, where that is worth waiting for.
    pub(super) fn until_there_is_room(&self) -> Option<Moment> {
        let patience = match (self.busy()?, self.work.claim) {
            (Busy::InFlight, _) => self.work.patient_until,
            (Busy::Rate, Claim::Last) => return None,
            (Busy::Rate, _) => (self.work.begun + WORTH_WAITING).min(self.work.patient_until),
        };
        let spread = LOOK_EVERY.mul_f64((self.cx.random() % 1024) as f64 / 1024.0);
        let (now, next) = (self.cx.now().mono, self.cx.now().mono + LOOK_EVERY + spread);
        (now < patience).then(|| next.min(patience))
    }
}
