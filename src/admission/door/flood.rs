//! The door toward zones: may a question be asked that nobody here has an answer to?

use std::net::IpAddr;

use super::{Admitted, Door};
use crate::admission::books::crowd_count;
use crate::admission::decisions::Action;
use crate::admission::ladder::{Book, prefix_key};
use crate::admission::policy::Mode;
use crate::admission::reason::Reason;
use crate::admission::zones::{End, Marks, Over, Refused, Ticket};
use crate::clock::Moment;
use crate::meter::Hash;

/// A customer's IPv6 prefix, in bits.
const CUSTOMER_V6: u8 = 56;
/// So many different names answered from the cache, of those looked at, are those of an ordinary client.
const ORDINARY: u32 = 2;

impl Door {
    fn marks(&self) -> Marks {
        Marks {
            watch: self.limits.zone_watch as f32,
            most: self.limits.zone_rate as f32,
            clients: self.limits.zone_clients,
        }
    }

    fn client(&self, address: IpAddr) -> Hash {
        let length = if address.is_ipv4() { 32 } else { CUSTOMER_V6 };
        prefix_key(&self.books.0.secret, Book::Client, address, length)
    }

    /// Asks leave to ask a zone, on behalf of a client, for a name in lower-case wire form.
    pub fn ask_zone(&mut self, now: Moment, admitted: &Admitted, name: &[u8]) -> Result<Ticket, Refused> {
        if admitted.exempt || self.limits.zones == Mode::Off {
            return Ok(Ticket::default());
        }
        let inner = &self.books.0;
        let address = prefix_key(&inner.secret, Book::Address, admitted.address, 128);
        let ordinary = crowd_count(&inner.crowds, address, now) >= ORDINARY;
        let client = (self.client(admitted.address), admitted.weight, ordinary);
        let (ticket, verdict) = inner.zones.judge(now, &self.marks(), name, client);
        if ticket.observed {
            self.observe(now, admitted, name, Reason::ZoneClient);
        }
        let Err(refused) = verdict else { return Ok(ticket) };
        let reason = match refused.over {
            Over::Zone => Reason::ZoneFlood,
            Over::Client => Reason::ZoneClient,
            Over::InFlight => Reason::ZoneInFlight,
        };
        if self.limits.zones == Mode::Observe {
            self.observe(now, admitted, name, reason);
            return Ok(ticket);
        }
        self.keep(now, admitted.address, name, reason, Action::Failed);
        Err(refused)
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
        if self.limits.zones == Mode::Off {
            return;
        }
        let zones = &self.books.0.zones;
        zones.end(ticket, name, end, now);
        if end == End::Found {
            waited.filter(|one| !one.exempt).for_each(|one| zones.earn(self.client(one.address), name, now));
        }
    }
}
