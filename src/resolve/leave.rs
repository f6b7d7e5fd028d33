//! Leave for what a question leads to: the targets of aliases and the names of name servers are asked of their zones'
//! accounts as what the client asked for was, and it is he who pays. Otherwise a zone's quota would hold for those only
//! who name it.

use super::Cx;
use super::budget::Work;
use super::descend::Found;
use super::failure::Failure;
use crate::admission::{End, Ticket};
use crate::wire::{Name, Question, Rcode, Rtype};

/// A question within a question that is being asked. Whatever becomes of it, its zones' accounts hear of it.
pub(super) struct Step<'a> {
    cx: &'a Cx,
    question: &'a Question,
    /// None: it counts nowhere, or has ended.
    ticket: Option<Ticket>,
}

impl Cx {
    /// Asks leave for a question that the client's own has led to. `Err`: it is not asked.
    pub(super) fn ask_leave<'a>(&'a self, work: &Work, question: &'a Question) -> Result<Step<'a>, Failure> {
        let mut step = Step { cx: self, question, ticket: None };
        let Some(payer) = &work.payer else { return Ok(step) };
        let (zones, name) = (self.books.zones(), question.name.wire());
        let (ticket, verdict) = zones.judge_for(self.now().mono, payer, name, question.rtype);
        if let Err(refused) = verdict {
            work.note_flooded(refused.over, payer.observe);
            if !payer.observe {
                let zone = name.get(refused.left..).and_then(Name::from_wire).unwrap_or_else(Name::root);
                let failure = Failure::Flooded { zone, over: refused.over };
                self.conclude(work, || format!("{question} is not asked: {failure}"));
                return Err(failure);
            }
        }
        zones.begin(&ticket);
        step.ticket = Some(ticket);
        Ok(step)
    }
}

impl Step<'_> {
    /// It has ended thus.
    pub(super) fn end(mut self, found: Result<&Found, &Failure>) {
        let end = match found {
            Ok(Found::Answer(_)) => End::Found,
            // Where an alias leads is asked for next.
            Ok(Found::Alias { .. } | Found::TooLong(_)) => End::Lacking,
            Ok(Found::Negative(negative)) => {
                let fault = negative.soa.as_ref().map(|soa| soa.owner.wire());
                match self.question.rtype {
                    _ if negative.rcode == Rcode::NXDOMAIN => End::Absent(fault),
                    Rtype::AAAA | Rtype::HTTPS | Rtype::SVCB => End::Lacking,
                    _ => End::Empty(fault),
                }
            }
            Err(failure) => failure.end(),
        };
        self.tell(end);
    }

    fn tell(&mut self, end: End<'_>) {
        if let Some(ticket) = self.ticket.take() {
            self.cx.books.zones().end(&ticket, self.question.name.wire(), end, self.cx.now().mono);
        }
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.tell(End::Dropped);
    }
}
