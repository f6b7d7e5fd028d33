//! How far down what is said of a name above counts: DNAMEs, and names that do not exist (RFC 6672, RFC 8020).

use super::Security;
use crate::wire::Name;

/// Which names above a name speak for it. By default all do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reach {
    /// Octets of the zone of the closest trust anchor: what is owned above has to be validated.
    anchor: usize,
    /// Octets of the zone whose servers the operator named: what is owned above is not about it.
    served: usize,
}

impl Reach {
    /// For names at or below a trust anchor: what is not validated and owned above it says nothing of them. An unsigned
    /// zone could deny an island of trust below it, or lead elsewhere.
    #[must_use]
    pub fn below_anchor(mut self, zone: &Name) -> Reach {
        self.anchor = zone.wire().len();
        self
    }

    /// For names in a zone whose servers the operator named: what the public zones above say is not about it.
    #[must_use]
    pub fn within(mut self, zone: &Name) -> Reach {
        self.served = zone.wire().len();
        self
    }

    /// Does what is owned by a suffix of the name count, its own or of a name above?
    pub(super) fn admits(self, owner: &[u8], security: Security) -> bool {
        owner.len() >= self.served && (security == Security::Secure || owner.len() >= self.anchor)
    }
}
