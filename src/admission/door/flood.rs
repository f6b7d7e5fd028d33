//! The door toward zones: may a question be asked that nobody here has an answer to?

use std::net::IpAddr;
use std::time::Duration;

use super::{Admitted, Door, Got};
use crate::admission::books::{ORDINARY, proven_payer};
use crate::admission::decisions::Action;
use crate::admission::policy::Mode;
use crate::admission::pressure::Level;
use crate::admission::reason::Reason;
use crate::admission::zones::{End, Marks, Over, Payer, Refused, Standing, Ticket, Who};
use crate::clock::Moment;
use crate::meter::Hash;
use crate::wire::Rtype;

/// A client has at least so many places, whoever else wants them.
const FEWEST: usize = 8;

/// The places for questions in flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Places {
    pub all: usize,
    /// How many are taken, and by how many clients.
    pub taken: usize,
    pub clients: usize,
    /// How many of those the client has itself.
    pub own: usize,
}

fn reason_of(over: Over) -> Reason {
    match over {
        Over::Zone => Reason::ZoneFlood,
        Over::Client => Reason::ZoneClient,
        Over::InFlight => Reason::ZoneInFlight,
    }
}

impl Door {
    fn marks(&self) -> Marks {
        Marks {
            watch: self.limits.zone_watch as f32,
            most: self.limits.zone_rate as f32,
            clients: self.limits.zone_clients,
        }
    }

    fn client(&self, address: IpAddr) -> Hash {
        self.books.customer(address)
    }

    /// Asks leave to ask a zone, on behalf of a client, for records of a name in lower-case wire form. Whoever asks says what
    /// became of a question that may not be asked, by [`note_not_asked`](Self::note_not_asked).
    pub fn ask_zone(&mut self, now: Moment, admitted: &Admitted, name: &[u8], rtype: Rtype) -> Result<Ticket, Refused> {
        let Some(payer) = self.payer(now, admitted) else { return Ok(self.uncounted(now, admitted, name, rtype)) };
        let (ticket, verdict) = self.books.0.zones.judge_for(now, &payer, name, rtype);
        if ticket.observed {
            self.observe(now, admitted, name, Reason::ZoneClient);
        }
        let Err(refused) = verdict else { return Ok(ticket) };
        if payer.observe {
            self.observe(now, admitted, name, reason_of(refused.over));
            return Ok(ticket);
        }
        self.forgive(now, admitted);
        Err(refused)
    }

    /// The ticket of a question for which [nobody pays](Self::payer): servers and places for questions in flight still go to
    /// names that exist first.
    pub fn uncounted(&self, now: Moment, admitted: &Admitted, name: &[u8], rtype: Rtype) -> Ticket {
        let trusted = admitted.exempt || self.is_ordinary(now, admitted);
        self.books.0.zones.uncounted(self.client(admitted.address), trusted, name, rtype, now)
    }

    fn is_ordinary(&self, now: Moment, admitted: &Admitted) -> bool {
        self.books.0.names(admitted.keys.address, now) >= ORDINARY
    }

    /// Who pays for what is asked on behalf of a client, and for what that leads to. None: nobody, no zone's quota holds
    /// for it.
    pub fn payer(&self, now: Moment, admitted: &Admitted) -> Option<Payer> {
        if admitted.exempt || self.limits.zones == Mode::Off {
            return None;
        }
        let inner = &self.books.0;
        let ordinary = self.is_ordinary(now, admitted);
        let client = self.client(admitted.address);
        let payer = if admitted.proven { proven_payer(&inner.secret, client) } else { client };
        let who = Who { client, payer, weight: admitted.weight, ordinary };
        Some(Payer { who, marks: self.marks(), observe: self.limits.zones == Mode::Observe })
    }

    /// A question of a client was not [asked](Self::ask_zone), since its zone is flooded.
    pub fn note_not_asked(&mut self, now: Moment, admitted: &Admitted, name: &[u8], over: Over, got: Got) {
        self.note(now, admitted, name, reason_of(over), got);
    }

    /// Something was not asked that a client's question leads to, since its zone is flooded.
    pub fn note_flooded(&mut self, now: Moment, admitted: &Admitted, name: &[u8], over: Over, got: Got) {
        if got != Got::Answer {
            self.forgive(now, admitted);
        }
        self.note(now, admitted, name, reason_of(over), got);
    }

    fn note(&mut self, now: Moment, admitted: &Admitted, name: &[u8], reason: Reason, got: Got) {
        match got {
            Got::Answer => self.observe(now, admitted, name, reason),
            Got::Stale => self.keep(now, admitted.address, name, reason, Action::Stale),
            Got::Failure => self.keep(now, admitted.address, name, reason, Action::Failed),
        }
    }

    /// Who takes part in the flood of a zone pays for it there: with room to spare, the answer that says so is free.
    fn forgive(&self, now: Moment, admitted: &Admitted) {
        let (level, _) = self.controller.level();
        if level != Level::Open || self.limits.clients == Mode::Off {
            return;
        }
        let accounts = self.ladder.accounts(&self.books.0.secret, admitted.address);
        let table = &self.books.0.tables[usize::from(admitted.proven)];
        for (index, (key, _)) in accounts.iter().enumerate() {
            let price = accounts.price(index, 1, admitted.weight, level);
            table.refund(key, now, Duration::from_nanos(price));
        }
    }

    /// Asks leave for a question that nobody has asked for yet to take one of the places for questions in flight, of which
    /// its client has so many already, `taken` are taken in all, by `clients` different ones. Some are kept for names
    /// that are known to exist, others for clients whose questions lead somewhere; the rest is shared evenly.
    pub fn take_place(
        &mut self,
        now: Moment,
        admitted: &Admitted,
        name: &[u8],
        standing: Standing,
        places: &Places,
    ) -> bool {
        if admitted.exempt || self.limits.places == Mode::Off {
            return places.taken < places.all;
        }
        let most = match standing {
            Standing::Learned => places.all,
            Standing::Trusted => places.all / 10 * 7,
            Standing::Likely => places.all / 10 * 6,
            // Who cannot be forged has some to which no forged address comes.
            Standing::Unknown if admitted.proven => places.all / 10 * 6,
            Standing::Unknown => places.all / 10 * 4,
        };
        // As if one more came: whoever is alone leaves half of the room.
        let share = (most / (places.clients + 1)).max(FEWEST).saturating_mul(admitted.weight as usize);
        let scarce = places.taken >= most / 2 && places.own >= share;
        if places.taken < most && !scarce {
            return true;
        }
        if self.limits.places == Mode::Observe && places.taken < places.all {
            self.observe(now, admitted, name, Reason::Places);
            return true;
        }
        false
    }

    /// There was no [place](Self::take_place) for a question.
    pub fn note_full(&mut self, now: Moment, admitted: &Admitted, name: &[u8], got: Got) {
        self.note(now, admitted, name, Reason::Places, got);
    }

    /// A client may not wait with others: all places for that are taken.
    pub fn note_crowded(&mut self, now: Moment, admitted: &Admitted, name: &[u8]) {
        self.keep(now, admitted.address, name, Reason::Places, Action::Dropped);
    }

    /// A client had a name, as it came, from the cache: what exists and others ask for as well is part of an ordinary
    /// history.
    #[inline]
    pub(super) fn vouch(&mut self, now: Moment, address: IpAddr, name: &[u8]) {
        let client = self.client(address);
        if !self.vouching.is_content(client, now) && self.limits.zones != Mode::Off {
            self.vouch_for(now, client, name);
        }
    }

    #[cold]
    fn vouch_for(&mut self, now: Moment, client: Hash, name: &[u8]) {
        self.books.0.zones.vouch(client, name, &mut self.vouching, now);
    }

    /// A question of a client could not be asked, since the zone's servers bear no more.
    pub fn note_busy(&mut self, now: Moment, admitted: &Admitted, name: &[u8], got: Got) {
        self.note(now, admitted, name, Reason::ServerQuota, got);
    }

    /// By whom a place is taken.
    pub fn holder(&self, admitted: &Admitted) -> u64 {
        self.client(admitted.address).0
    }

    /// A question with a ticket has ended. `waited` are those who wanted it.
    pub fn end<'a>(
        &self,
        now: Moment,
        ticket: &Ticket,
        name: &[u8],
        end: End<'_>,
        waited: impl Iterator<Item = &'a Admitted>,
    ) {
        let zones = &self.books.0.zones;
        // What was begun ends, whatever holds by now.
        zones.end(ticket, name, end, now);
        if end == End::Found {
            waited.filter(|one| !one.exempt).for_each(|one| zones.earn(self.client(one.address), name, now));
        }
    }
}
