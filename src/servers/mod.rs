//! What is known of authoritative servers, and choosing one: a fixed table, a few dozen octets a server.

mod choose;
mod outage;
mod pace;
mod routes;
mod table;

pub use choose::{Candidate, Choice, choose, choose_lame};
pub use outage::Outage;
pub use pace::{Busy, Claim, Paced};
pub use routes::Routes;
pub use table::{Cookie, Known, Report, Servers, State};
