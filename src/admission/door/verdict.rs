//! What the door says, and what it has said.

use super::Admitted;
use crate::admission::reason::Reason;

/// A response without an answer, no larger than its question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slip {
    /// NOERROR with TC=1: ask again by TCP.
    Truncated,
    /// BADCOOKIE with a fresh cookie: ask again with it (RFC 7873 §5.2.3).
    BadCookie,
}

/// What is done with who is not served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turned {
    /// Let it prove itself.
    Slip(Slip, Reason),
    /// Answer REFUSED with the extended error Prohibited (RFC 8914 §4.19), and nothing more.
    Refuse(Reason),
    /// Be silent.
    Drop(Reason),
}

/// What the door says to a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Admitted(Admitted),
    Turned(Turned),
}

/// What may become of an answer that is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parting {
    /// It is sent.
    Send,
    /// In its place goes TC=1.
    Truncate(Reason),
    /// Nothing goes.
    Drop(Reason),
}

/// What a client got although something was not asked that he, or his answer, needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Got {
    /// His answer: it was asked, as the limit only observes.
    Answer,
    /// An answer whose time is over.
    Stale,
    /// SERVFAIL.
    Failure,
}

impl Got {
    /// Instead of an answer.
    pub fn instead(stale: bool) -> Got {
        if stale { Got::Stale } else { Got::Failure }
    }
}

/// What a door has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Admitted without a proof of the address.
    pub unproven: u64,
    /// Admitted with a valid cookie or by a connection.
    pub proven: u64,
    /// Valid cookies, by UDP.
    pub cookies: u64,
    /// Cookies that are not ours, or were.
    pub bad_cookies: u64,
    /// By [`Reason`]: turned away.
    pub turned: [u64; Reason::COUNT],
    /// By [`Reason`]: would have been turned away.
    pub observed: [u64; Reason::COUNT],
    /// Of those turned away: answered with TC=1 or BADCOOKIE.
    pub slipped: u64,
    /// Of those turned away: answered with REFUSED.
    pub refused: u64,
    /// Of those turned away: not answered.
    pub dropped: u64,
    /// Of those turned away: answered with SERVFAIL.
    pub failed: u64,
    /// Of those turned away: connections that were closed.
    pub closed: u64,
    /// Of those turned away: answered with expired data.
    pub stale: u64,
}
