//! Who may fill a cache that is nearly full; what that is worth under a flood is shown in `tests/sim`.

use super::*;
use crate::admission::Mode;

#[test]
fn shares_that_are_observed_or_off_keep_everything() {
    for (mode, observed) in [(Mode::Observe, true), (Mode::Off, false)] {
        let cache = Cache::new(&Policy { memory: 1 << 20, ..Policy::default() }, &[9; 32]);
        cache.set_shares(mode);
        for number in 0..4_000 {
            let owner = name(&format!("x{number}.large.com"));
            let set = RrSet::new(owner, Rtype::A, 3600, Rank::Authority, at(0), [[1u8; 4].as_slice()]);
            cache.keep(set, at(0));
            cache.rrsets.run_pending_tasks();
        }
        assert_eq!((cache.turned_away(), cache.observed() > 0), (0, observed), "{mode:?}");
    }
}

#[test]
fn a_domain_may_have_all_that_nobody_else_needs() {
    let cache = Cache::new(&Policy { memory: 4 << 20, ..Policy::default() }, &[9; 32]);
    // A hundred a second: in a full cache fewer have room of those that are asked for once.
    let keep = |number: u32, zone: &str| {
        let owner = name(&format!("x{number}.{zone}"));
        let now = at(u64::from(number / 100));
        cache.keep(RrSet::new(owner.clone(), Rtype::A, 3600, Rank::Authority, now, [[1u8; 4].as_slice()]), now);
        cache.rrsets.run_pending_tasks();
        cache.rrset(&owner, Rtype::A, now).is_some()
    };
    let half = (0..4_000).filter(|number| keep(*number, "large.com")).count();
    assert_eq!((half, cache.turned_away()), (4_000, 0));
    let filled = (4_000..7_000).filter(|number| keep(*number, &format!("domain{number}.com"))).count();
    assert!(filled > 2_000, "{filled}");
    let more = (7_000..7_100).filter(|number| keep(*number, "large.com")).count();
    assert!(more < 20 && cache.turned_away() > 80, "there is no room for more of it: {more}");
}
