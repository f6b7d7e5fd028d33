//! A simulated Internet around the real engine: simulated time, seeded faults, scenarios in text files.

mod aggressive;
mod amplification;
mod bomb;
mod client;
mod dice;
mod events;
mod floods;
mod flush;
mod guesses;
mod outage;
mod scenario;
mod scenarios;
mod script;
mod server;
mod signing;
mod steps;
pub mod text;
pub mod traps;
mod wire;
mod world;
pub mod zone;
