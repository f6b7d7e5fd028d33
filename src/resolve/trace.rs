//! What a resolution did, step by step, for `maeslant resolve --trace`.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::clock::Moment;
use crate::wire::{Name, Rtype};

use super::board::AskTransport;

/// A step, when it was taken, and how deep in nested look-ups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    pub at: Moment,
    pub depth: usize,
    pub step: TraceStep,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceStep {
    /// A question is begun.
    Begin { name: Name, rtype: Rtype },
    /// A server is asked.
    Ask { server: SocketAddr, zone: Name, name: Name, rtype: Rtype, transport: AskTransport },
    /// A server has answered.
    Heard { server: SocketAddr, rtt: Duration, summary: String },
    /// A server has not answered in time.
    Timeout { server: SocketAddr, after: Duration },
    /// What was concluded.
    Conclude(String),
}

impl fmt::Display for TraceStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceStep::Begin { name, rtype } => write!(f, "resolve {name} {rtype}"),
            TraceStep::Ask { server, zone, name, rtype, transport } => {
                let transport = if *transport == AskTransport::Udp { "UDP" } else { "TCP" };
                write!(f, "ask   {server} ({transport}, a server of {zone}) for {name} {rtype}")
            }
            TraceStep::Heard { server, rtt, summary } => {
                write!(f, "heard {server} after {:.1} ms: {summary}", rtt.as_secs_f64() * 1e3)
            }
            TraceStep::Timeout { server, after } => {
                write!(f, "no answer from {server} within {:.0} ms", after.as_secs_f64() * 1e3)
            }
            TraceStep::Conclude(what) => write!(f, "  so  {what}"),
        }
    }
}
