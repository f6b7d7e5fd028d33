//! The root key trust anchor sentinel (RFC 8509): a client asks by name which keys this resolver trusts.

use crate::wire::{Name, Rtype};

/// What the leftmost label of a question asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sentinel {
    /// `root-key-sentinel-is-ta-NNNNN`: is the key with this tag a trust anchor of the root?
    IsTrusted(u16),
    /// `root-key-sentinel-not-ta-NNNNN`: is it none?
    IsNotTrusted(u16),
}

impl Sentinel {
    /// Of a question for A or AAAA whose leftmost label is a sentinel with five decimal digits (RFC 8509 §2.1).
    pub fn of(name: &Name, rtype: Rtype) -> Option<Sentinel> {
        if rtype != Rtype::A && rtype != Rtype::AAAA {
            return None;
        }
        let label = name.labels().next()?;
        if let Some(digits) = label.strip_prefix(b"root-key-sentinel-is-ta-") {
            return tag(digits).map(Sentinel::IsTrusted);
        }
        label.strip_prefix(b"root-key-sentinel-not-ta-").and_then(tag).map(Sentinel::IsNotTrusted)
    }

    /// Is the answer, found to be secure, to be replaced by SERVFAIL, when these are the root's trust anchors (RFC 8509
    /// §2.2)? Answers that are not secure, and questions with CD, pass unchanged.
    pub fn refuses(self, tags: impl IntoIterator<Item = u16>) -> bool {
        let mut tags = tags.into_iter();
        match self {
            Sentinel::IsTrusted(tag) => !tags.any(|known| known == tag),
            Sentinel::IsNotTrusted(tag) => tags.any(|known| known == tag),
        }
    }
}

fn tag(digits: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()))?;
    if text.len() == 5 { text.parse().ok() } else { None }
}
