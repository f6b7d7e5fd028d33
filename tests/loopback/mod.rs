//! The whole server over real sockets on loopback: the program as its users start and stop it, and the
//! small Internet resolved through it.

mod client;
mod door;
mod program;
mod resolution;
mod signed;
mod snapshot;
mod validation;
mod verdicts;
