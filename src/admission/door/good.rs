//! The door and good cookies of sources that are thinned out before they reach it: whoever shows one is let through.

use std::net::IpAddr;

use crate::admission::cookie;
use crate::meter::source_of;

/// So many different ones are told at once.
const MOST: usize = 256;

/// The good cookies of some sources, by their last octets.
#[derive(Debug, Default)]
pub struct GoodCookies {
    watched: Vec<IpAddr>,
    shown: Vec<(IpAddr, u32)>,
}

impl GoodCookies {
    /// From now on those of these sources are noted, an IPv6 one standing for its /64.
    pub fn watch(&mut self, sources: Vec<IpAddr>) {
        self.watched = sources;
    }

    /// Those noted since the last call.
    pub fn take(&mut self) -> Vec<(IpAddr, u32)> {
        std::mem::take(&mut self.shown)
    }

    /// An address has shown a good cookie, and its next packets have this one.
    #[inline]
    pub(super) fn note(&mut self, address: IpAddr, cookie: &[u8; cookie::FULL]) {
        if !self.watched.is_empty() {
            self.note_watched(source_of(address), cookie);
        }
    }

    #[cold]
    fn note_watched(&mut self, source: IpAddr, cookie: &[u8; cookie::FULL]) {
        let Some(end) = cookie.last_chunk().map(|end| u32::from_be_bytes(*end)) else { return };
        if self.watched.contains(&source) && self.shown.len() < MOST && !self.shown.contains(&(source, end)) {
            self.shown.push((source, end));
        }
    }
}
