//! Bars: whoever is beyond his share mostly asks again at once. Until when he cannot have earned another answer is known, and
//! until then one line of this shard's own is enough to turn him away.

use std::net::IpAddr;
use std::time::Duration;

use super::{Admitted, Asking, CookieReply, Door, Origin, Round, Slip, Verdict};
use crate::admission::ladder::source_key;
use crate::admission::pressure::Level;
use crate::admission::reason::Reason;
use crate::clock::{Moment, Now};
use crate::meter::Hash;

/// Those that a shard keeps at once, in 32 KiB: with the usual share of 1,000 a second, a million questions a second cannot
/// come from more sources that are beyond it. Where shares are small, more are, and each costs what it did without.
const BARS: usize = 1024;
/// None is for longer, whatever is owed: what gives back to an account, and a new count of those behind it, is felt soon.
const LONGEST: Duration = Duration::from_millis(100);

/// An empty one is past.
#[derive(Clone, Copy, Default)]
struct Bar {
    key: u64,
    until: Moment,
    /// What the limit on sources goes by.
    source: Hash,
    /// It was set at this level, whose price it was.
    level: Level,
}

/// Those that a shard has set.
pub(super) struct Bars(Box<[Bar; BARS]>);

impl Default for Bars {
    fn default() -> Bars {
        Bars(Box::new([Bar::default(); BARS]))
    }
}

impl Bars {
    #[inline]
    fn place(key: Hash) -> usize {
        (key.0 >> 40) as usize % BARS
    }

    #[inline]
    fn find(&self, key: Hash) -> Option<&Bar> {
        Some(&self.0[Bars::place(key)]).filter(|bar| bar.key == key.0)
    }

    /// Whether somebody has one, if it is not past.
    #[inline]
    pub fn has(&self, key: Hash) -> bool {
        self.find(key).is_some()
    }
}

impl Door {
    /// Somebody without proof and without a class was turned away who has so much in his account (both in nanoseconds) that it
    /// holds nothing at this price: he is until it does.
    pub(super) fn bar(&mut self, now: Moment, admitted: &Admitted, load: u64, price: u64) {
        let key = admitted.keys.address;
        let wait = Duration::from_nanos(load.saturating_add(price).saturating_sub(self.burst)).min(LONGEST);
        self.bars.0[Bars::place(key)] = Bar {
            key: key.0,
            until: now + wait,
            source: source_key(&self.books.0.secret, admitted.address),
            level: self.controller.level().0,
        };
    }

    /// The same as [`judge_from`](Self::judge_from) for one who was turned away a moment ago.
    #[inline]
    pub(super) fn judge_barred(&mut self, now: Now, origin: &Origin, asking: &Asking<'_>) -> (Verdict, CookieReply) {
        let Origin { address, keys, .. } = *origin;
        let bar = self.bars.find(keys.address).copied();
        let holds = |bar: &Bar| bar.until > now.mono && bar.level == self.controller.level().0;
        if asking.cookie.is_none()
            && !asking.stream
            && let Some(bar) = bar.filter(holds)
        {
            self.loud.note(address, bar.source);
            let admitted = Admitted::plain(address, keys, Round::None);
            let turned = self.turn_away(now.mono, &admitted, asking.name, Slip::Truncated, Reason::ClientShare);
            return (Verdict::Turned(turned), CookieReply::None);
        }
        self.judge_whole(now, address, asking)
    }

    /// The same for one of whom nothing is known yet.
    pub(super) fn judge_whole(&mut self, now: Now, address: IpAddr, asking: &Asking<'_>) -> (Verdict, CookieReply) {
        let whole = self.whole_origin(address);
        self.judge_from(now, &whole, asking)
    }
}

impl std::fmt::Debug for Bars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bars({BARS})")
    }
}
