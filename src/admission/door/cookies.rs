//! The door and cookies: what one is worth, and how whoever has to show one is told so, within what may be sent to him.

use std::net::IpAddr;

use super::{Admitted, CookieReply, Door, RATION_SAMPLE, Slip};
use crate::admission::cookie::{self, Check};
use crate::admission::policy::Mode;
use crate::admission::pressure::Level;
use crate::admission::reason::Reason;
use crate::clock::{Moment, Now};

/// What came of the cookie option.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown {
    pub valid: bool,
    /// A cookie with a server part was there.
    pub full: bool,
    /// Octets by which the cookie that goes back is longer than what was shown.
    pub excess: usize,
    pub reply: CookieReply,
}

impl Door {
    /// What a query's cookie option comes to.
    pub(super) fn shown(&mut self, now: Now, address: IpAddr, option: Option<&[u8]>) -> Shown {
        let none = Shown { valid: false, full: false, excess: 0, reply: CookieReply::None };
        let (Some(option), Some(secrets)) = (option, &self.cookies) else { return none };
        let check = secrets.check(option, address, now.unix);
        if check == Check::Malformed {
            return Shown { reply: CookieReply::Malformed, ..none };
        }
        let Some(client) = option.first_chunk::<{ cookie::CLIENT }>() else { return none };
        let reply = match (check, <[u8; cookie::FULL]>::try_from(option)) {
            (Check::Valid, Ok(theirs)) => CookieReply::Give(theirs),
            _ => CookieReply::Give(secrets.make(*client, address, now.unix)),
        };
        let valid = matches!(check, Check::Valid | Check::Renew);
        self.tally.cookies += u64::from(valid);
        self.tally.bad_cookies += u64::from(check == Check::Bad);
        Shown { valid, full: check != Check::ClientOnly, excess: cookie::FULL.saturating_sub(option.len()), reply }
    }

    /// How whoever has to show a cookie is told so. BADCOOKIE is longer than a question with less than a whole cookie, by the
    /// server's part, 16 octets (RFC 7873 §5.2.3, RFC 9018 §4): those are rationed like all that goes to the unproven. TC=1 is
    /// no longer than its question, and leads to a cookie by TCP.
    pub(super) fn ask_for_cookie(&mut self, now: Moment, admitted: &Admitted, name: &[u8], shown: &Shown) -> Slip {
        if shown.reply == CookieReply::None {
            return Slip::Truncated;
        }
        if shown.excess == 0 || self.limits.rations == Mode::Off {
            return Slip::BadCookie;
        }
        let Some(reason) = self.cookie_over_ration(now, admitted, name, shown.excess) else { return Slip::BadCookie };
        if self.limits.rations == Mode::Observe {
            self.observe(now, admitted, name, reason);
            return Slip::BadCookie;
        }
        Slip::Truncated
    }

    fn cookie_over_ration(&mut self, now: Moment, admitted: &Admitted, name: &[u8], excess: usize) -> Option<Reason> {
        let inner = &self.books.0;
        let (level, _) = self.controller.level();
        let stranger = !inner.known.has(admitted.keys.address, now) && !inner.has_come(admitted.address, now);
        // Nobody is known for having been told to show one: forged addresses all come out of the same.
        if stranger && !self.within_stranger_ration(now, excess) {
            return Some(Reason::StrangerRation);
        }
        let sampled = level < Level::Guard && self.throw().is_multiple_of(RATION_SAMPLE);
        self.over_ration(now, &Admitted { stranger, ..*admitted }, name, excess, sampled)
    }
}
