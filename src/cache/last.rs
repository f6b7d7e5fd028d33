//! What is still there of a name, its time over or not: for answers where nobody can be asked (RFC 8767).

use std::sync::Arc;

use super::{Cache, Compact, EVERY_TYPE, Negative, Reach, RrSet, Security};
use crate::wire::{Name, Rtype};

impl Cache {
    /// The RRset that was kept last, of which validation has made at least `security`.
    pub fn last_rrset(&self, name: &Name, rtype: Rtype, security: Security) -> Option<RrSet> {
        let kept = self.kept(self.key(0, name, rtype), name.wire(), rtype);
        kept.filter(|kept| kept.security() >= security && self.stands(security, kept.stored()))?.set_of(name.clone())
    }

    /// What was said last of exactly this name and type not being there, or of a name above not being there at all.
    pub fn last_negative(&self, name: &Name, rtype: Rtype, security: Security, reach: Reach) -> Option<Arc<Negative>> {
        let exact = self.negatives.get(&self.key(1, name, rtype));
        let counts = |negative: &Arc<Negative>| negative.security >= security && self.stands(security, negative.stored);
        let mut last = exact.filter(counts);
        let mut wire = name.wire();
        while let Some(&length) = wire.first()
            && length > 0
        {
            let key = self.key_of(1, wire, EVERY_TYPE);
            if self.traces.may_have(key)
                && let Some(found) = self.negatives.get(&key).filter(counts)
                && reach.admits(wire, found.security)
                && last.as_ref().is_none_or(|last| last.stored < found.stored)
            {
                last = Some(found);
            }
            wire = wire.get(usize::from(length) + 1..).unwrap_or(&[]);
        }
        last
    }

    /// The DNAME that was kept last of those above `name`.
    pub fn last_dname_above(&self, name: &Name, security: Security, reach: Reach) -> Option<RrSet> {
        let mut last: Option<Compact> = None;
        let mut wire = name.wire();
        while let Some(&length) = wire.first() {
            wire = wire.get(usize::from(length) + 1..).unwrap_or(&[]);
            if wire.is_empty() {
                break;
            }
            let hash = self.key_of(0, wire, Rtype::DNAME);
            if self.traces.may_have(hash)
                && let Some(found) = self
                    .kept(hash, wire, Rtype::DNAME)
                    .filter(|kept| kept.security() >= security && self.stands(security, kept.stored()))
                && reach.admits(wire, found.security())
                && last.as_ref().is_none_or(|last| last.stored() < found.stored())
            {
                last = Some(found);
            }
        }
        last?.set()
    }
}
