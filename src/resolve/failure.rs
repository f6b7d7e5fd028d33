//! Why a question could not be answered: whose fault it was, and what the client is told.

use std::fmt;
use std::net::SocketAddr;

use crate::admission::{End, Over};
use crate::dnssec::{Cause, Sentinel};
use crate::wire::{Name, Rcode, Rtype, ede};

/// A limit on the work for one question.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Limit {
    Packets,
    Octets,
    /// Time of the processor, as counted.
    Cpu,
    /// Toward one network.
    Network,
    /// To the servers of one zone.
    Zone,
    Lookups,
    Aliases,
    Depth,
    Referrals,
    Deadline,
    Sockets,
}

impl Limit {
    /// All of them, in the order of their numbers.
    pub const ALL: [Limit; 11] = [
        Limit::Packets,
        Limit::Octets,
        Limit::Cpu,
        Limit::Network,
        Limit::Zone,
        Limit::Lookups,
        Limit::Aliases,
        Limit::Depth,
        Limit::Referrals,
        Limit::Deadline,
        Limit::Sockets,
    ];
    /// How many there are.
    pub const COUNT: usize = Limit::ALL.len();

    /// As counters name it.
    pub fn name(self) -> &'static str {
        match self {
            Limit::Packets => "packets",
            Limit::Octets => "octets",
            Limit::Cpu => "cpu",
            Limit::Network => "network",
            Limit::Zone => "zone",
            Limit::Lookups => "lookups",
            Limit::Aliases => "aliases",
            Limit::Depth => "depth",
            Limit::Referrals => "referrals",
            Limit::Deadline => "deadline",
            Limit::Sockets => "sockets",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::Packets => "packets to servers",
            Limit::Octets => "octets from servers",
            Limit::Cpu => "time of the processor",
            Limit::Network => "packets toward one network",
            Limit::Zone => "packets to the servers of one zone",
            Limit::Lookups => "name-server look-ups",
            Limit::Aliases => "aliases in a chain",
            Limit::Depth => "nested look-ups",
            Limit::Referrals => "referrals",
            Limit::Deadline => "time",
            Limit::Sockets => "sockets, of which none is free",
        })
    }
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The question used up its account.
    Limit(Limit),
    /// No server of the zone has answered.
    Unreachable { zone: Name },
    /// This machine has no way to any server of the zone.
    NoRoute { zone: Name },
    /// The zone's servers bear no more questions just now.
    Busy { zone: Name },
    /// The zone is flooded, and this was not asked of it.
    Flooded { zone: Name, over: Over },
    /// Servers answered, none of them usefully; the last one thus.
    Useless { zone: Name, server: SocketAddr, what: Useless },
    /// The zone's name servers have no address that can be found.
    NoAddress { zone: Name },
    /// The zone's name servers have addresses of the family only that is switched off.
    NoFamily { zone: Name },
    /// Aliases lead back to themselves.
    AliasLoop { name: Name },
    /// Validation failed.
    Bogus(Cause),
    /// The question is whether a key of the root is trusted, and this is how no, or yes to its reverse, is said (RFC
    /// 8509 §2.2).
    Sentinel(Sentinel),
    /// It failed a moment ago, and is not tried again yet (RFC 9520).
    Remembered { error: u16, text: std::sync::Arc<str> },
}

/// What a server did instead of answering.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Useless {
    Rcode(Rcode),
    Lame,
    Malformed,
    /// Datagrams that come in fragments, and nothing by TCP.
    Fragments,
    /// More records than are kept of one answer.
    Excessive,
    Mismatch,
}

impl fmt::Display for Useless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Useless::Rcode(rcode) => write!(f, "answered {rcode}"),
            Useless::Lame => f.write_str("is lame: it does not serve the zone"),
            Useless::Malformed => f.write_str("sent what cannot be read"),
            Useless::Fragments => f.write_str("answers in fragments, and not by TCP"),
            Useless::Excessive => f.write_str("sent more records than an answer may have here"),
            Useless::Mismatch => f.write_str("answered another question"),
        }
    }
}

impl Failure {
    pub(super) fn limit(limit: Limit) -> Failure {
        Failure::Limit(limit)
    }

    /// It failed a moment ago.
    pub(super) fn remembered(failed: &crate::cache::Failed) -> Failure {
        Failure::Remembered { error: failed.what.error, text: std::sync::Arc::clone(&failed.what.text) }
    }

    /// The INFO-CODE of the extended error (RFC 8914 §4).
    pub fn error(&self) -> u16 {
        match self {
            Failure::Limit(Limit::Deadline)
            | Failure::Unreachable { .. }
            | Failure::NoRoute { .. }
            | Failure::NoAddress { .. }
            | Failure::NoFamily { .. } => ede::NO_REACHABLE_AUTHORITY,
            Failure::Limit(_)
            | Failure::Busy { .. }
            | Failure::Flooded { .. }
            | Failure::AliasLoop { .. }
            | Failure::Sentinel(_) => ede::OTHER,
            Failure::Useless {
                what: Useless::Malformed | Useless::Mismatch | Useless::Fragments | Useless::Excessive,
                ..
            } => ede::INVALID_DATA,
            Failure::Useless { .. } => ede::NETWORK_ERROR,
            Failure::Bogus(cause) => cause.ede(),
            // A failure of validation goes on to say which (RFC 8914 §4.14 names the cache only).
            Failure::Remembered { error, .. } if is_of_validation(*error) => *error,
            Failure::Remembered { .. } => ede::CACHED_ERROR,
        }
    }

    /// Did the last server seem not to serve its zone?
    pub(super) fn is_lameness(&self) -> bool {
        matches!(self, Failure::Useless { what: Useless::Lame, .. })
    }

    /// Does asking again soon make no sense? A question that ran out of its own account or time may
    /// have been unlucky; it is remembered all the same, or asking again would be cheap for an attacker.
    pub fn is_remembered(&self) -> bool {
        match self {
            Failure::Remembered { .. } | Failure::Busy { .. } | Failure::Flooded { .. } => false,
            // Nobody was asked, and the way may be back at any moment.
            Failure::NoRoute { .. } => false,
            failure => *failure != Failure::Limit(Limit::Sockets),
        }
    }

    /// What it says of the name that was asked for, to the accounts of its zones.
    pub fn end(&self) -> End<'_> {
        match self {
            Failure::Unreachable { zone }
            | Failure::Useless { zone, .. }
            | Failure::NoAddress { zone }
            | Failure::NoFamily { zone } => End::Failed(Some(zone.wire())),
            Failure::Limit(Limit::Sockets)
            | Failure::NoRoute { .. }
            | Failure::Busy { .. }
            | Failure::Flooded { .. } => End::Dropped,
            _ => End::Failed(None),
        }
    }

    /// Does it leave room for an answer whose time is over? Not where the new one was heard, and is wrong.
    pub fn leaves_stale(&self) -> bool {
        match self {
            Failure::Limit(_) | Failure::Unreachable { .. } | Failure::Busy { .. } | Failure::Useless { .. } => true,
            Failure::NoAddress { .. } | Failure::NoFamily { .. } | Failure::NoRoute { .. } => true,
            Failure::Flooded { .. } => true,
            Failure::Remembered { error, .. } => !is_of_validation(*error),
            Failure::AliasLoop { .. } | Failure::Bogus(_) | Failure::Sentinel(_) => false,
        }
    }

    /// Is something bogus that another server may have right? Keys and DS records are asked for elsewhere on their own.
    pub(super) fn may_be_one_servers(&self) -> bool {
        matches!(self, Failure::Bogus(cause) if cause.overrun().is_none() && !matches!(cause.rtype(), Rtype::DNSKEY | Rtype::DS))
    }

    /// Is it only that a zone is flooded that it leads to?
    pub(super) fn is_flood(&self) -> bool {
        matches!(self, Failure::Flooded { .. })
    }

    /// Was it the account of the question rather than the answer to it?
    pub fn is_limit(&self) -> bool {
        matches!(self, Failure::Limit(_))
    }
}

/// Is it an extended error that validation gives?
fn is_of_validation(error: u16) -> bool {
    matches!(error, 1 | 2 | 5..=12 | 25 | 27)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Limit(limit) => write!(f, "the question used up its budget of {limit}"),
            Failure::Unreachable { zone } => write!(f, "no server of {zone} answers"),
            Failure::NoRoute { zone } => write!(f, "this machine has no route to any server of {zone}"),
            Failure::Busy { zone } => write!(f, "the servers of {zone} bear no more questions just now"),
            Failure::Flooded { zone, over: Over::Zone } => {
                write!(f, "{zone} is flooded, and this leads there: names known to exist come first")
            }
            Failure::Flooded { zone, over: Over::Client } => {
                write!(f, "{zone} is flooded, and names were asked for here that such zones do not have")
            }
            Failure::Flooded { zone, over: Over::InFlight } => {
                write!(f, "too many questions wait for the servers of {zone}")
            }
            Failure::Useless { zone, server, what } => {
                write!(f, "no server of {zone} is of use; {} {what}", server.ip())
            }
            Failure::NoAddress { zone } => write!(f, "the name servers of {zone} have no known address"),
            Failure::NoFamily { zone } => {
                write!(f, "the name servers of {zone} have only addresses of a family that is switched off here")
            }
            Failure::AliasLoop { name } => write!(f, "the aliases at {name} lead back to themselves"),
            Failure::Bogus(cause) => write!(f, "{cause}"),
            Failure::Sentinel(Sentinel::IsTrusted(tag)) => write!(f, "no root key with the tag {tag} is trusted here"),
            Failure::Sentinel(Sentinel::IsNotTrusted(tag)) => {
                write!(f, "a root key with the tag {tag} is trusted here")
            }
            Failure::Remembered { text, .. } => write!(f, "failed a moment ago: {text}"),
        }
    }
}

impl std::error::Error for Failure {}
