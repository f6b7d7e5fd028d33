//! What one question of a client costs at most, where somebody makes it cost as much as he can.

use std::fmt::Write;

use super::steps;

#[test]
fn a_chain_of_deep_aliases_costs_a_packet_a_link() {
    // A10, CAMP: twenty aliases of ten labels each in one zone, and a delegation without addresses at their end.
    let mut world = "use small\nseeds 5\nextend com\n  zone com.\n    evil.com. 3600 NS ns.evil.com.\n    \
        ns.evil.com. 3600 A 192.0.2.66\nserver evil 192.0.2.66\n  zone evil.com.\n    \
        evil.com. 3600 SOA ns.evil.com. a.evil.com. 1 2 3 4 60\n    evil.com. 3600 NS ns.evil.com.\n    \
        ns.evil.com. 3600 A 192.0.2.66\n"
        .to_string();
    let deep = "a.".repeat(10);
    let mut name = |link: u32| {
        let _ = writeln!(
            world,
            "  when {deep}l{link}.evil.com. A\n    answer {deep}l{link}.evil.com. 300 CNAME {deep}l{}.evil.com.",
            link + 1
        );
    };
    (0..20).for_each(&mut name);
    let _ = writeln!(
        world,
        "at 0s\nask www.shop.com. A\nexpect NOERROR any\nsettle\nreset\nask {deep}l0.evil.com. A\n\
         expect SERVFAIL any\nsent total <= 20\nreset\nask {deep}l0.evil.com. A\nexpect SERVFAIL any within 0ms\n\
         sent total 0"
    );
    steps::play_text(&world);
}
