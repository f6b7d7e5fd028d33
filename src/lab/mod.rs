//! A small Internet on loopback: a root, top-level domains, some dozens of zones with everything that makes
//! resolution hard, and a thousand popular sites; served by authoritative servers with faults on demand, each on an
//! address of its own in 127.53.0.0/16, all on one high port.
//!
//! [`World::start`] brings it up, [`catalogue`] lists what to ask and what must come out, [`Customers`] ask. Who
//! stands between the two is not known here: a resolver is given [`World::root_hints`] and [`World::port`].

mod atlas;
mod catalogue;
mod customers;
mod dice;
mod embedded;
mod fault;
mod hostile;
mod latency;
mod master;
mod popular;
mod population;
mod server;
pub mod sign;
mod signing;
mod verdict;
pub mod view;
mod world;
mod zone;

pub use atlas::{Atlas, Server, ZoneText};
pub use catalogue::{Expected, Question, catalogue, unreachable_zones};
pub use customers::{Customers, Demand, Tally};
pub use fault::{Behaviour, Beyond, Fault};
pub use hostile::{Addition, KINDS, Script};
pub use latency::Latencies;
pub use master::MasterError;
pub use popular::{Wish, popular};
pub use population::{MAX_SITES, site};
pub use server::Counts;
pub use verdict::Checked;
pub use world::{Options, ServerCounts, StartError, World};
pub use zone::{Reply, Zone, ZoneSet};
