//! Lists of bad domains: names that nobody has asked for yet and that mostly do not exist, all day long, and no attack.

use std::net::Ipv4Addr;
use std::sync::Arc;

use maeslant::wire::Name;

use super::internet::{Internet, Servers};
use super::{FOUND_OUT, Stream, customer, play_by, popular, random_label};
use crate::sim::dice::Dice;

/// Seven domains in a hundred are listed, and nothing that was made up.
pub(super) fn is_listed(domain: &str) -> bool {
    let made_up = domain.starts_with("xx");
    !made_up
        && domain.bytes().fold(7u32, |hash, octet| (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193)) >> 8 & 0xff < 18
}

/// One of twenty mail servers.
pub(super) fn mail(dice: &mut Dice) -> Ipv4Addr {
    Ipv4Addr::new(10, 2, 0, dice.below(20) as u8)
}

/// The domain of somebody who sends mail: one in three is one of those who send most.
pub(super) fn sender(dice: &mut Dice) -> String {
    match dice.below(3) {
        0 => format!("sender{}.com", dice.below(2_000)),
        _ => format!("{}.com", random_label(dice)),
    }
}

/// A day in seconds, 25 of them an hour.
const DAY: usize = 600;
/// Mail comes in waves.
const WAVE: (usize, usize) = (200, 225);
/// After it, the list is attacked.
const END: usize = DAY + 12;

#[test]
fn a_list_of_domains_is_served_all_day_from_the_first_and_an_attack_on_it_is_found_out() {
    let mut net = Internet::new(61, |_| {});
    net.zone("blocklist.org", Servers::alive(1e6), is_listed, 60);
    let mut ask = |dice: &mut Dice| (mail(dice), format!("{}.blocklist.org", sender(dice)));
    let (mut day, mut wave, mut evening) = (ask, ask, ask);
    let mut streams = [
        Stream { rate: 20, span: (0, END), ask: &mut ask },
        Stream { rate: 50, span: (0, 300), ask: &mut day },
        Stream { rate: 130, span: WAVE, ask: &mut wave },
        Stream { rate: 50, span: (500, END), ask: &mut evening },
        Stream { rate: 20, span: (0, END), ask: &mut |dice| (customer(dice), popular(dice)) },
        Stream {
            rate: 700,
            span: (DAY, END),
            ask: &mut |dice| {
                let bot = Ipv4Addr::from(0x0a40_0000 | dice.below(700) as u32);
                (bot, format!("xx{}.net.blocklist.org", random_label(dice)))
            },
        },
    ];
    let mut alarms = Vec::new();
    play_by(5, &mut net, 61, END as u64, &mut streams, |net| {
        alarms.extend((!net.flooded().is_empty()).then(|| net.second()));
    });
    let story = format!("alarms {alarms:?} {:?}", net.engine.counters());
    println!("{story}");
    for stream in 0..4 {
        let refused = net.sum(stream, 0, DAY).refused();
        assert!(refused == 0.0, "of stream {stream} {refused} was refused {story}");
    }
    assert!(alarms.first().is_some_and(|first| (DAY..=DAY + FOUND_OUT).contains(first)), "{story}");
    let (list, flood) = (net.sum(0, DAY + FOUND_OUT, END), net.sum(5, DAY + FOUND_OUT, END));
    assert!(list.refused() <= 0.05, "mail servers go on with {} refused {story}", list.refused());
    assert!(flood.refused() >= 0.9, "{} {story}", flood.refused());
}

#[test]
fn nothing_in_an_exempt_zone_is_counted_as_a_flood_and_all_is_again_when_it_is_none_any_more() {
    let name = |text: &str| Name::parse(text).expect("a name");
    let exempt = Arc::new(vec![name("random.org")]);
    let mut net = Internet::new(62, |policy| policy.access.limits.exempt_zones = Arc::clone(&exempt));
    net.zone("random.org", Servers::alive(1e6), |_| false, 60);
    let mut ask = |dice: &mut Dice| (customer(dice), format!("{}.a.random.org", random_label(dice)));
    let mut streams = [Stream { rate: 300, span: (0, 12), ask: &mut ask }];
    play_by(5, &mut net, 62, 12, &mut streams, |net| {
        let told: Vec<_> = net.flooded().into_iter().map(|zone| (zone.name, zone.asked)).collect();
        assert!(told.is_empty() || net.second() > 7, "{told:?} in second {}", net.second());
        if net.second() == 6 {
            net.change(|policy| policy.access.limits.exempt_zones = Arc::default());
        }
    });
    assert_eq!(net.sum(0, 0, 6).refused(), 0.0);
    assert!(net.sum(0, 10, 12).refused() >= 0.8, "{:?}", net.sum(0, 10, 12));
}
