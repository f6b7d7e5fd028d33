//! What is known of authoritative servers, and choosing one: a fixed table, a few dozen octets a server.

mod choose;
mod table;

pub use choose::{Candidate, Choice, choose, choose_lame};
pub use table::{Cookie, Report, Servers, State};
