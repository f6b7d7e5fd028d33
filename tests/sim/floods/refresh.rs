//! Answers refreshed ahead of their end: who pays for what a flood of one popular name causes.

use std::net::Ipv4Addr;
use std::time::Duration;

use maeslant::admission::Pressure;

use super::hostile;
use super::internet::{Internet, SECOND, Servers};
use super::{Stream, exists, play_by};
use crate::sim::dice::Dice;

/// Seconds for which a name is kept; in the last tenth it is refreshed.
const TTL: u32 = 100;
/// Who asked for the name first.
const REGULAR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// A zone of which one name was asked for, and has come into its last tenth.
fn ripen(net: &mut Internet) {
    net.zone("bank.com", Servers::alive(1e6), exists, TTL);
    net.ask(0, REGULAR, "www.bank.com");
    net.advance(net.now + 91 * SECOND);
}

fn loud(_: &mut Dice) -> (Ipv4Addr, String) {
    (Ipv4Addr::new(10, 66, 0, 1), "www.bank.com".to_owned())
}

#[test]
fn what_cannot_be_refreshed_is_not_tried_again_with_every_question() {
    let mut net = Internet::new(71, |policy| policy.cache_prefetch = true);
    ripen(&mut net);
    net.hostile("bank.com", hostile::failing, Duration::from_millis(20));
    let before = net.about["bank.com"];
    play_by(5, &mut net, 71, 8, &mut [Stream { rate: 500, span: (0, 8), ask: &mut loud }], |_| {});
    let (packets, counters) = (net.about["bank.com"] - before, net.engine.counters());
    let asked = net.sum(0, 91, 99);
    let story = format!("{packets} packets, {asked:?} {counters:?}");
    assert_eq!(asked.success(), 1.0, "it is in the cache all the time: {story}");
    assert!((1..=20).contains(&packets), "{story}");
    assert!((1..=4).contains(&counters.refreshed) && counters.left_to_end > 3_000, "{story}");
}

#[test]
fn who_is_beyond_his_share_upstream_has_nothing_refreshed_and_others_have() {
    let mut net = Internet::new(72, |policy| {
        policy.cache_prefetch = true;
        let limits = &mut policy.access.limits;
        (limits.client_rate, limits.client_burst, limits.miss_cost) = (20, 40, 5);
    });
    net.zone("failing.com", Servers::alive(1e6), exists, TTL);
    ripen(&mut net);
    net.hostile("failing.com", hostile::failing, Duration::from_millis(20));
    net.pressure = Pressure { busy: 0.97, ..Pressure::default() };
    net.feel();
    let before = net.about["bank.com"];
    let mut first = true;
    let mut loud = |dice: &mut Dice| match std::mem::take(&mut first) {
        true => (loud(dice).0, "www.failing.com".to_owned()), // dear enough for both seconds
        false => loud(dice),
    };
    let mut regular = |_: &mut Dice| (REGULAR, "www.bank.com".to_owned());
    let mut streams =
        [Stream { rate: 500, span: (0, 2), ask: &mut loud }, Stream { rate: 1, span: (1, 2), ask: &mut regular }];
    play_by(5, &mut net, 72, 2, &mut streams, |net| {
        let (packets, counters) = (net.about["bank.com"] - before, net.engine.counters());
        let story = format!("second {}: {packets} packets, {counters:?}", net.second());
        // Whoever has used up what he may ask upstream has nothing refreshed; one who is not has.
        let most = u64::from(net.second() > 92);
        assert_eq!((u64::from(packets), counters.refreshed), (most, most), "{story}");
        assert!(counters.left_to_end > 0, "{story}");
    });
}
