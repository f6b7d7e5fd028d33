//! The door in the way of a query: before anything is looked up, before anything is asked, before anything is sent.

use std::net::IpAddr;

use super::respond::{self, Asker, Extended};
use super::types::{Client, Disposition, DropReason, Transport};
use super::{Engine, MAX_QUESTIONS};
use crate::admission::{Admitted, Asking, CookieReply, Level, Parting, Pressure, Slip, Turned, Verdict};
use crate::clock::{Moment, Now};
use crate::wire::{QueryView, Question, Rcode, ede};

/// What is kept of an admission until the response is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    pub admitted: Admitted,
    /// Octets of the query.
    pub received: usize,
}

impl Engine {
    /// What the door says to a query; `view` is none where it could not be read.
    pub(super) fn judge(&mut self, now: Now, client: &Client, view: Option<&QueryView<'_>>) -> (Verdict, CookieReply) {
        let asking = Asking {
            address: client.addr.ip(),
            stream: client.transport == Transport::Tcp,
            cookie: view.and_then(|view| view.edns).and_then(|edns| edns.cookie),
            name: view.map_or(&[], QueryView::name),
        };
        self.door.judge(now, &asking)
    }

    /// Carries out what the door wants done with a client that is not served.
    pub(super) fn turn(&self, turned: Turned, client: &Client, asker: &Asker, out: &mut Vec<u8>) -> Disposition {
        let policy = &self.policy.respond;
        match turned {
            Turned::Drop(reason) => return Disposition::Dropped(reason.into()),
            Turned::Slip(slip, _) => respond::slip(out, asker, policy, slip),
            Turned::Refuse(crate::admission::Reason::NotAllowed) => {
                let text = format!("{} may not ask here", client.addr.ip().to_canonical());
                respond::bare(out, asker, policy, Rcode::REFUSED, &Extended::new(ede::PROHIBITED, text));
            }
            Turned::Refuse(reason) => {
                respond::bare(out, asker, policy, Rcode::REFUSED, &Extended::new(ede::PROHIBITED, reason.text()));
            }
        }
        Disposition::Answered
    }

    /// Lets a response go that is in `out`, or something smaller, or nothing.
    pub(super) fn part(
        &mut self,
        now: Moment,
        pass: &Pass,
        asker: &Asker,
        from_cache: bool,
        out: &mut Vec<u8>,
    ) -> Option<DropReason> {
        let name = asker.question.get(..asker.question.len().saturating_sub(4)).unwrap_or(&[]);
        match self.door.part(now, &pass.admitted, name, pass.received, out.len(), from_cache) {
            Parting::Send => None,
            Parting::Truncate(_) => {
                respond::slip(out, asker, &self.policy.respond, Slip::Truncated);
                None
            }
            Parting::Drop(reason) => Some(reason.into()),
        }
    }

    /// Asks leave to resolve a question on behalf of a client.
    pub(super) fn may_recurse(&mut self, now: Now, pass: &Pass, question: &Question) -> Result<(), Turned> {
        self.door.recurse(now.mono, &pass.admitted, question.name.wire())
    }

    /// Takes what the shell feels of the load on this shard; the level of pressure that follows.
    pub fn feel(&mut self, now: Now, pressure: Pressure) -> Level {
        let in_flight = self.pending.len() as f32 / MAX_QUESTIONS as f32;
        self.door.feel(now.mono, &Pressure { in_flight, ..pressure })
    }

    /// The sources that asked far beyond their share since the last call, and how often they were turned away.
    pub fn take_loud(&mut self) -> Vec<(IpAddr, u32)> {
        self.door.take_loud()
    }

    /// Whether the policy lets the kernel thin out such sources.
    pub fn may_filter(&self) -> bool {
        self.policy.access.limits.kernel_filter
    }

    /// How hard this shard is pressed, and since when.
    pub fn level(&self) -> (Level, Moment) {
        self.door.level()
    }
}
