//! The door and those behind one address: how many they seem to be.

use super::{Admitted, Door, SAMPLED};
use crate::admission::cookie;
use crate::admission::pressure::Level;
use crate::clock::Moment;

impl Door {
    /// A client had a name from the cache.
    pub(super) fn note_name(&mut self, now: Moment, admitted: &Admitted, name: &[u8]) {
        let inner = &self.books.0;
        let owner = inner.zones.owner(name, &mut self.vouching);
        inner.note_name(admitted.keys.address, owner, name, now);
    }

    /// A client has come back with the cookie that it was given: each behind an address has its own (RFC 7873 §4.1).
    pub(super) fn note_cookie(&mut self, now: Moment, admitted: &Admitted, option: Option<&[u8]>) {
        let (level, _) = self.controller.level();
        if let Some(client) = option.and_then(|option| option.get(..cookie::CLIENT))
            && self.limits.crowds
            && level < Level::Guard
            && self.throw().is_multiple_of(SAMPLED)
        {
            self.books.0.note_cookie(admitted.keys.address, client, now);
            self.books.0.come(admitted.address, now);
        }
    }
}
