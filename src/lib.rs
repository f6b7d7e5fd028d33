//! maeslant: a caching, recursive DNS resolver that stands in a flood.
//!
//! The modules are declared in groups, lowest first. A module uses only modules of groups above its
//! own line; neighbours within a group do not know each other. `tests/tidy.rs` enforces it.
#![doc = include_str!("ARCHITECTURE.md")]
#![deny(unsafe_code)]

// values
pub mod clock;
pub mod wire;

// where tables lie, and what the processor is told beforehand
#[allow(unsafe_code)]
pub mod memory;

// records of what is kept over a restart
pub mod pack;

// instruments: counting, without policy
pub mod meter;

// judgement: pure rules, each alone
pub mod admission;
pub mod dnssec;
pub mod local;
pub mod servers;

// memory
pub mod cache;

// resolution
pub mod resolve;

// the engine: one shard's whole state, without I/O
pub mod engine;

// texts that people write, and what is wrong with them
pub mod text;

// the shell: system calls
#[allow(unsafe_code)]
pub mod net;

// the shell: what operators ask, packets from clients, packets to servers
pub mod control;
pub mod listener;
pub mod upstream;

// a small Internet on loopback; traffic for a resolver and what came of it
pub mod lab;
pub mod load;

// text to policies
pub mod config;

// the running program
pub mod daemon;
