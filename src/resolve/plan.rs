//! The policy, lowered into what a resolution looks up: hints as a delegation, forwarders by zone.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use smallvec::SmallVec;

use crate::cache::{NameServer, Reach};
use crate::clock::UnixTime;
use crate::dnssec::Start;
use crate::wire::{Name, Rtype};

use super::exchange::Manner;
use super::{Minimisation, Policy, UpstreamKind};

/// Forwarders or stub servers of one zone.
#[derive(Clone, Debug)]
pub struct Fixed {
    pub zone: Name,
    pub servers: Arc<[SocketAddr]>,
    pub kind: UpstreamKind,
    pub fallback: bool,
}

/// The policy as it is used.
#[derive(Clone, Debug)]
pub struct Plan {
    pub hints: Arc<[NameServer]>,
    pub prime: bool,
    pub server_port: u16,
    pub do_not_query: Vec<IpNet>,
    pub manner: Manner,
    pub cookies: bool,
    pub deadline: Duration,
    pub minimisation: Minimisation,
    pub ipv4: bool,
    pub ipv6: bool,
    pub dnssec: super::Dnssec,
    pub stale: super::Stale,
    pub server_quotas: crate::admission::Mode,
    /// Is there anything to validate by?
    pub validates: bool,
    /// Are questions answered from proofs of what does not exist (RFC 8198)?
    pub deduces: bool,
    /// Is there an anchor below the root?
    has_islands: bool,
    fixed: BTreeMap<Name, Fixed>,
}

impl Plan {
    /// Lowers a policy. Names that are not names were refused by whoever made it; they are left out.
    pub fn new(policy: &Policy) -> Plan {
        let hints = policy
            .root_hints
            .iter()
            .filter_map(|hint| {
                Some(NameServer { name: Name::parse(&hint.name).ok()?, glue: SmallVec::from_slice(&hint.addresses) })
            })
            .collect();
        let fixed = policy
            .upstreams
            .iter()
            .filter_map(|upstream| {
                let zone = Name::parse(&upstream.zone).ok()?;
                let servers = upstream.servers.clone().into();
                let fixed = Fixed { zone: zone.clone(), servers, kind: upstream.kind, fallback: upstream.fallback };
                Some((zone, fixed))
            })
            .collect();
        Plan {
            hints,
            prime: policy.prime,
            server_port: policy.server_port,
            do_not_query: policy.do_not_query.clone(),
            manner: Manner {
                udp_payload_size: policy.udp_payload_size,
                case_randomisation: policy.case_randomisation,
                dnssec_ok: validates(policy),
            },
            cookies: policy.cookies,
            deadline: policy.deadline,
            minimisation: policy.minimisation,
            ipv4: policy.ipv4,
            ipv6: policy.ipv6,
            dnssec: policy.dnssec.clone(),
            stale: policy.stale.clone(),
            server_quotas: policy.server_quotas,
            validates: validates(policy),
            deduces: validates(policy) && policy.dnssec.aggressive,
            has_islands: validates(policy) && policy.dnssec.anchors.iter().any(|anchor| !anchor.zone.is_root()),
            fixed,
        }
    }

    /// The deepest forward or stub zone at or above `name`.
    pub fn fixed(&self, name: &Name) -> Option<&Fixed> {
        if self.fixed.is_empty() {
            return None;
        }
        let mut at = Some(name.clone());
        while let Some(zone) = at {
            if let Some(fixed) = self.fixed.get(&zone) {
                return Some(fixed);
            }
            at = zone.parent();
        }
        None
    }

    /// What of the names above speaks for a name.
    pub fn reach(&self, name: &Name, rtype: Rtype, now: UnixTime) -> Reach {
        let mut reach = Reach::default();
        if self.has_islands {
            reach = reach.below_anchor(&self.floor(name, rtype, now));
        }
        if !self.fixed.is_empty() {
            let above = if rtype == Rtype::DS { name.parent() } else { None };
            let fixed = self.fixed(above.as_ref().unwrap_or(name));
            reach = fixed.map_or(reach, |fixed| reach.within(&fixed.zone));
        }
        reach
    }

    /// The zone of the trust anchor that data at `name` is judged by, the root where there is none: what zones above it
    /// say of it does not count, or an unsigned one could take an island of trust for its own.
    pub fn floor(&self, name: &Name, rtype: Rtype, now: UnixTime) -> Name {
        match self.start(name, rtype, now) {
            Start::Anchor(anchor) => anchor.zone.clone(),
            Start::Nowhere | Start::Suspended(_) => Name::root(),
        }
    }

    /// Where the chain of trust of data at `name` begins.
    pub fn start(&self, name: &Name, rtype: Rtype, now: UnixTime) -> Start<'_> {
        // A DS set is the parent's.
        let above = if rtype == Rtype::DS { name.parent() } else { None };
        self.dnssec.anchors.closest(above.as_ref().unwrap_or(name), now)
    }

    /// May a server at `address` be asked, as far as its family is concerned?
    pub fn speaks(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(_) => self.ipv4,
            IpAddr::V6(_) => self.ipv6,
        }
    }

    /// Is `address` one that is never asked, however it was learned? Those of the hints are the operator's own word.
    pub fn is_forbidden(&self, address: IpAddr) -> bool {
        let hinted = || self.hints.iter().any(|hint| hint.glue.contains(&address));
        self.do_not_query.iter().any(|prefix| prefix.contains(&address)) && !hinted()
    }
}

fn validates(policy: &Policy) -> bool {
    policy.dnssec.validation && policy.dnssec.anchors.iter().next().is_some()
}
