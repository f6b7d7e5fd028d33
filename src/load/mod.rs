//! Traffic for a resolver, and what its customers felt.
//!
//! A [`Scenario`] says who asks what, when and from where; [`Run`] sends it on schedule whether or not anything is
//! answered (an open loop), and counts what came back in a [`Ledger`], by stream and second. An [`Outcome`] is the
//! run as it is kept: the counts, the verdicts of the scenario's `[[expect]]` lines, and the surroundings;
//! [`report`] writes it for people and programs. [`capture`] reads and writes recorded traffic.
//!
//! Nothing here knows who answers. Whoever starts a run also measures what the scenario wants to know of the servers
//! behind the resolver ([`outcome::Sample`]).

mod cap;
pub mod capture;
mod craft;
mod dice;
pub mod feed;
mod jar;
pub mod ledger;
pub mod moved;
pub mod outcome;
pub mod own;
pub mod packet;
pub mod process;
pub mod report;
pub mod run;
pub mod scenario;
pub mod schedule;
pub mod sender;
pub mod stalls;
mod streams;
#[cfg(test)]
mod validation;
mod wheel;

pub use feed::Popular;
pub use ledger::Ledger;
pub use outcome::Outcome;
pub use run::{Permit, Refusal, Run};
pub use scenario::Scenario;
