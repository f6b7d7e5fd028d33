//! Other people's programs and maeslant side by side: what the tests and the benchmarks share.

#![allow(dead_code)] // each of the two needs its own part

#[path = "authority.rs"]
pub mod authority;
#[path = "clients.rs"]
pub mod clients;
#[path = "internet.rs"]
pub mod internet;
#[path = "process.rs"]
pub mod process;
#[path = "resolver.rs"]
pub mod resolver;
#[path = "results.rs"]
pub mod results;
#[path = "wire.rs"]
pub mod wire;
