//! The door: who may ask, how much, and what is said to the others.
//!
//! A query passes the cheapest question first: may this address ask at all, does it show a cookie, does
//! it have something left in its account and in those of the prefixes around it. What it pays is what it
//! costs: an answer from the cache one unit, a question that goes upstream twenty. Whoever has spent his
//! share is still answered from the cache; beyond that, those who cannot prove their address are asked to.
//! How strictly this is meant follows the [`Level`] of pressure: with room to spare nobody is refused.

mod access;
mod books;
pub mod cookie;
mod decisions;
mod door;
mod ladder;
mod levels;
mod policy;
mod pressure;
mod reason;
mod refusals;
#[cfg(test)]
mod tests;
mod trial;
mod zones;

pub use access::canonical_prefix;
pub use books::{Account, Books, Sizes};
pub use decisions::{Action, Decision, Decisions};
pub use door::{
    Admitted, Asking, CookieReply, Departing, Door, GoodCookies, Got, Leave, Origin, Parting, Places, Slip, Tally,
    Turned, Verdict,
};
pub use levels::{LevelRules, Levels, Part};
pub use policy::{ClientClass, Cookies, Limits, Mode, Policy, PrefixLevel};
pub use pressure::{Controller, Level, Pressure, Signal};
pub use reason::Reason;
pub use trial::Strangers;
pub use zones::{
    Count, End, Marks, Over, Paid, Payer, Refused, Standing, SuffixRules, TRUSTED, Ticket, Told as ToldZone, Why,
    ZoneSizes, Zones, registrable_domain, zone_above,
};
