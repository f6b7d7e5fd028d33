//! Whether this machine has a way to any server of a family: many have none by IPv6, and records do not ask.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::clock::Moment;

/// Where there was no way, one server more is tried after this: a way that comes back is found within it.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// So many silences in a row, of whichever servers, with no answer by their family: a tunnel that broke, or a packet filter that says
/// nothing. Each would cost a question 0.4 s; Knot Resolver leaves IPv6 alone after as many.
const SILENCES: u32 = 6;
/// After the last of them the family is as good as the other again, until the next.
const SILENT_FOR: Duration = Duration::from_secs(10);
/// What nobody has tried for so long is not known any more.
const FORGET: Duration = Duration::from_secs(60);

/// What all shards know of the ways to servers, by family. A family without one comes after the other, and is never given up:
/// somebody may have made a server's address up to which there is none.
#[derive(Debug, Default)]
pub struct Routes {
    /// When it was found last that there is none; zero: something has been heard since.
    lost: [AtomicU64; 2],
    /// Silences since something was heard, and when the last of them was.
    silences: [AtomicU32; 2],
    silent: [AtomicU64; 2],
}

fn family(address: IpAddr) -> usize {
    usize::from(address.is_ipv6())
}

impl Routes {
    /// This machine could not send to `address`. Is that news?
    pub fn lost(&self, address: IpAddr, now: Moment) -> bool {
        self.lost[family(address)].swap(now.as_nanos().max(1), Relaxed) == 0
    }

    /// A server at `address` has answered.
    #[inline]
    pub fn heard(&self, address: IpAddr) {
        let (lost, silences) = (&self.lost[family(address)], &self.silences[family(address)]);
        if lost.load(Relaxed) != 0 {
            lost.store(0, Relaxed);
        }
        if silences.load(Relaxed) != 0 {
            silences.store(0, Relaxed);
        }
    }

    /// A server at `address` was silent.
    pub fn silent(&self, address: IpAddr, now: Moment) {
        let family = family(address);
        if self.silences[family].fetch_add(1, Relaxed) + 1 >= SILENCES {
            self.silent[family].store(now.as_nanos(), Relaxed);
        }
    }

    fn lost_for(&self, address: IpAddr, now: Moment) -> Option<Duration> {
        match self.lost[family(address)].load(Relaxed) {
            0 => None,
            at => Some(now.since(Moment::from_nanos(at))),
        }
    }

    /// Do servers of the other family go before one at `address`?
    pub fn is_lost(&self, address: IpAddr, now: Moment) -> bool {
        self.lost_for(address, now).is_some_and(|lost| lost < TRY_AGAIN) || self.is_silent(family(address), now)
    }

    fn is_silent(&self, family: usize, now: Moment) -> bool {
        let since = || now.since(Moment::from_nanos(self.silent[family].load(Relaxed)));
        self.silences[family].load(Relaxed) >= SILENCES && since() < SILENT_FOR
    }

    /// Is it of no use to look for addresses of the family of `address` just now?
    pub fn is_useless(&self, address: IpAddr, now: Moment) -> bool {
        self.lost_for(address, now).is_some_and(|lost| lost < FORGET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_that_is_silent_comes_last_until_somebody_is_heard() {
        let routes = Routes::default();
        let [four, six]: [IpAddr; 2] = [[192, 0, 2, 1].into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()];
        let fall_silent = |from: u64, count: u64| (0..count).for_each(|n| routes.silent(six, at(from + n)));
        fall_silent(1_000, 5);
        assert!(!routes.is_lost(six, at(1_005)), "five may be dead together");
        routes.heard(six);
        fall_silent(2_000, 5);
        assert!(!routes.is_lost(six, at(2_005)));
        fall_silent(2_005, 1);
        assert!(
            routes.is_lost(six, at(2_006)) && !routes.is_lost(four, at(2_006)) && !routes.is_useless(six, at(2_006))
        );
        assert!(routes.is_lost(six, at(12_000)) && !routes.is_lost(six, at(12_005)), "to be tried again");
        fall_silent(12_100, 1);
        assert!(routes.is_lost(six, at(12_101)), "one is enough then");
        routes.heard(six);
        assert!(!routes.is_lost(six, at(12_102)));
    }

    fn at(ms: u64) -> Moment {
        Moment::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_family_comes_last_until_it_is_tried_again_or_heard() {
        let routes = Routes::default();
        let [four, six]: [IpAddr; 2] = [[192, 0, 2, 1].into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()];
        assert!(!routes.is_lost(six, at(0)) && !routes.is_useless(six, at(0)));
        assert!(routes.lost(six, at(5_000)) && !routes.lost(six, at(5_500)), "news once");
        assert!(routes.is_lost(six, at(6_400)) && !routes.is_lost(four, at(6_400)));
        assert!(!routes.is_lost(six, at(6_500)) && routes.is_useless(six, at(6_500)), "to be tried again");
        assert!(!routes.is_useless(six, at(65_500)), "forgotten");
        assert!(!routes.lost(six, at(70_000)));
        routes.heard(four);
        assert!(routes.is_lost(six, at(70_001)), "by the other family");
        routes.heard(six);
        assert!(!routes.is_lost(six, at(70_001)) && !routes.is_useless(six, at(70_001)));
        assert!(routes.lost(six, at(71_000)), "news again");
    }
}
