//! Whether this machine has a way to any server of a family: many have none by IPv6, and records do not ask.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::clock::Moment;

/// Where there was no way, one server more is tried after this: a way that comes back is found within it.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// What nobody has tried for so long is not known any more.
const FORGET: Duration = Duration::from_secs(60);

/// What all shards know of the ways to servers, by family. A family without one comes after the other, and is never given up:
/// somebody may have made a server's address up to which there is none.
#[derive(Debug, Default)]
pub struct Routes {
    /// When it was found last that there is none; zero: something has been heard since.
    lost: [AtomicU64; 2],
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
        let lost = &self.lost[family(address)];
        if lost.load(Relaxed) != 0 {
            lost.store(0, Relaxed);
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
        self.lost_for(address, now).is_some_and(|lost| lost < TRY_AGAIN)
    }

    /// Is it of no use to look for addresses of the family of `address` just now?
    pub fn is_useless(&self, address: IpAddr, now: Moment) -> bool {
        self.lost_for(address, now).is_some_and(|lost| lost < FORGET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
