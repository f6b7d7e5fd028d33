//! Where a zone's name servers have no known address: looking for it, within the account of the question.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Asking, Silence, Who};
use crate::resolve::descend::addresses_of;
use crate::resolve::failure::{Failure, Limit};
use crate::wire::{Name, Question, Rtype};

/// So many of a zone's name servers looked for without finding one that is of use: they are not looked for again soon.
const BARREN_AFTER: u8 = 6;

impl Asking<'_> {
    /// Looks up the address of a name server that is not known yet. `true`: somebody new can be asked.
    pub(super) async fn look_up_a_server(&mut self) -> Result<bool, Silence> {
        if self.spare.is_some() || !self.may_ask() {
            return Ok(false);
        }
        if self.looked_for == 0 && self.cx.is_barren(&self.cut.zone) {
            return Ok(self.rest_from_looking());
        }
        loop {
            if self.unknown.is_empty() {
                return Ok(self.add_last_resorts());
            }
            let random = self.cx.random() as usize % self.unknown.len();
            let name = self.unknown.swap_remove(random);
            let before = self.candidates.len();
            let types = self.families_to_look_for();
            for (rtype, _) in types.into_iter().filter(|(_, wanted)| *wanted) {
                let question = Question::new(name.clone(), rtype);
                if self.work.is_within(&question) {
                    continue;
                }
                if let Err(failure) = self.work.lookup() {
                    self.note_barren();
                    return Err(Silence::Failed(failure));
                }
                match addresses_of(self.cx, self.work, question).await {
                    Ok(found) => found.into_iter().for_each(|address| self.add_address(address)),
                    // Its own account is spent: so is ours.
                    Err(
                        failure @ Failure::Limit(
                            Limit::Packets | Limit::Octets | Limit::Cpu | Limit::Lookups | Limit::Deadline,
                        ),
                    ) => {
                        self.note_barren();
                        return Err(Silence::Failed(failure));
                    }
                    Err(failure) if failure.is_flood() => {
                        self.hampered = true;
                        self.flooded = Some(failure);
                        continue;
                    }
                    // Neither says anything of the name server.
                    Err(failure) if failure.is_limit() || matches!(failure, Failure::NoRoute { .. }) => {
                        self.hampered = true;
                        continue;
                    }
                    Err(_) => self.unheard = true,
                }
                self.looked_for = self.looked_for.saturating_add(1);
                if self.candidates.len() > before {
                    return Ok(true);
                }
            }
        }
    }

    /// The types of addresses, and whether they are of use: those of a family to which this machine has no way are not, as long
    /// as it has one to the other.
    fn families_to_look_for(&self) -> [(Rtype, bool); 2] {
        let (routes, now) = (self.cx.servers.routes(), self.cx.now().mono);
        let [four, six] =
            [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()].map(|any| routes.is_useless(any, now));
        [(Rtype::A, self.cx.plan.ipv4 && (!four || six)), (Rtype::AAAA, self.cx.plan.ipv6 && (!six || four))]
    }

    /// Does without the name servers whose addresses are not known. `true`: somebody new can be asked.
    fn rest_from_looking(&mut self) -> bool {
        self.cx.board.borrow_mut().counters.barren += 1;
        self.cx.conclude(self.work, || format!("the servers of {} were looked for in vain just now", self.cut.zone));
        let before = self.candidates.len();
        self.add_last_resorts();
        self.unknown.clear();
        self.candidates.len() > before
    }

    /// Remembers that looking for the zone's name servers leads nowhere, so that its next name costs nobody the same
    /// again. Only what was found out about the zone itself counts: what else a question has spent is not its fault.
    pub(super) fn note_barren(&self) {
        let nobody = self.candidates.is_empty() && self.looked_for > 0 && !self.hampered;
        if self.looked_for >= BARREN_AFTER || nobody {
            self.cx.keep_barren(self.work, &self.cut.zone, self.unheard);
        }
    }

    /// Adds what parents say where the zones' own word has led nowhere: their glue, and the name servers that the
    /// zone does not name itself. `true`: somebody new can be asked.
    fn add_last_resorts(&mut self) -> bool {
        let Who::Named(first, then) = &self.cut.who else { return false };
        let before = self.candidates.len();
        let age = self.cx.now().age;
        for server in first.iter().chain(then.iter().flat_map(|then| then.iter())) {
            for &address in &server.glue {
                self.add_address(address);
            }
            // The parents of the zones the name server's own name is in may have glue for it.
            let mut at = Some(server.name.clone());
            while let Some(cut) = at.and_then(|name| self.cx.cache.closest_delegation(&name, age)) {
                for known in cut.parent.iter().filter(|known| known.name == server.name) {
                    for &address in &known.glue {
                        self.add_address(address);
                    }
                }
                at = cut.zone.parent();
            }
        }
        if let Some(then) = then {
            let named = |name: &Name| first.iter().any(|server| server.name == *name);
            let within = |name: &Name| name.is_at_or_below(&self.cut.zone);
            let fresh = then.iter().map(|server| &server.name).filter(|name| !named(name) && !within(name));
            if !std::mem::replace(&mut self.parents_named, true) {
                self.unknown.extend(fresh.cloned());
            }
        }
        self.candidates.len() > before || !self.unknown.is_empty()
    }
}
