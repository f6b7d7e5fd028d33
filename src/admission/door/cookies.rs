//! The door and cookies that are to be shown: whoever has none yet is given one, within what may be sent to him.

use super::{CookieReply, Door, RATION_SAMPLE, Shown, Slip};
use crate::admission::door::Admitted;
use crate::admission::ladder::Book;
use crate::admission::policy::Mode;
use crate::admission::pressure::Level;
use crate::admission::reason::Reason;
use crate::clock::Moment;

impl Door {
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
        if stranger {
            // Nobody is known for having been told to show one: forged addresses all come out of the same.
            let price = (excess as u64).saturating_mul(1_000_000_000) / self.limits.stranger_ration.max(1);
            let all = inner.secret.pair(u64::from(Book::Strangers as u8), 1);
            if self.together.take(all, now, price).is_err() {
                return Some(Reason::StrangerRation);
            }
        }
        let sampled = level < Level::Guard && self.throw().is_multiple_of(RATION_SAMPLE);
        self.over_ration(now, &Admitted { stranger, ..*admitted }, name, excess, sampled)
    }
}
