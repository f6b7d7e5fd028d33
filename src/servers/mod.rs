//! What is known of authoritative servers, and choosing one: a fixed table, a few dozen octets a server.

mod choose;
mod outage;
mod table;

pub use choose::{Candidate, Choice, choose, choose_lame};
pub use outage::Outage;
pub use table::{Cookie, Report, Servers, State};
