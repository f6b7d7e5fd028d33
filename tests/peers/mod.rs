//! Real servers and clients around maeslant, and maeslant beside other resolvers: run by `.ci/run`.

mod differential;
mod fragments;
mod lab_zones;
#[path = "programs.rs"]
pub mod programs;
mod questions;
mod real_servers;
mod tool_signed;
mod validating;

use programs::{internet, process, wire};
