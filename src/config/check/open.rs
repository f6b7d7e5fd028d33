//! A resolver that is open to the world with nothing that limits it, whichever settings amount to that.

use std::ops::Range;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::super::report::{Code, Problem};
use super::Reading;
use crate::admission::{Mode, canonical_prefix};

/// Whoever has a quarter of a family's addresses has no network of his own any more: those of the largest country are a
/// third of IPv4.
const PART: f64 = 0.25;
/// What IPv6 addresses are given out of (RFC 4291 §2.4).
const GLOBAL_V6: Ipv6Net = Ipv6Net::new_assert(std::net::Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// Places that are shown of one list, the largest prefixes first.
const SHOWN: usize = 2;

/// What is said of them.
pub const WORLD: &str = "the whole Internet, or much of it";

const ALLOW: &str = "access.allow";
const EXEMPT: &str = "limits.exempt";

/// A prefix as it counts, and where it was written.
pub type Listed = (IpNet, Option<Range<usize>>);

pub fn listed(reading: &Reading, key: &str, prefixes: &[IpNet]) -> Vec<Listed> {
    let items = reading.sound(key).map_or(&[][..], |written| &written.items);
    let places = items.iter().cloned().map(Some).chain(std::iter::repeat(None));
    prefixes.iter().copied().map(canonical_prefix).zip(places).collect()
}

/// Whether prefixes, whatever they are divided into, amount to the world, in one family at least.
pub fn is_world(prefixes: impl Iterator<Item = IpNet>) -> bool {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for prefix in prefixes.map(canonical_prefix) {
        match prefix {
            IpNet::V4(net) => v4.push(net),
            IpNet::V6(net) => v6.extend(both(&net, &GLOBAL_V6, Ipv6Net::contains)),
        }
    }
    let size = |length: u8| 0.5f64.powi(i32::from(length));
    let v4: f64 = Ipv4Net::aggregate(&v4).iter().map(|net| size(net.prefix_len())).sum();
    let v6: f64 = Ipv6Net::aggregate(&v6).iter().map(|net| size(net.prefix_len() - GLOBAL_V6.prefix_len())).sum();
    v4 >= PART || v6 >= PART
}

/// The prefix that two have in common: one of them, if any.
fn both<'a, T: Copy>(one: &'a T, other: &'a T, contains: impl Fn(&'a T, &'a T) -> bool) -> Option<T> {
    if contains(one, other) {
        return Some(*other);
    }
    contains(other, one).then_some(*one)
}

/// Shows the largest of some prefixes.
pub fn show(problem: Problem, mut prefixes: Vec<Listed>, what: &str) -> Problem {
    prefixes.sort_by_key(|(prefix, _)| prefix.prefix_len());
    let places = prefixes.into_iter().filter_map(|(_, place)| place).take(SHOWN);
    places.fold(problem, |problem, place| problem.at(place, what))
}

/// Checks who may ask against what limits him.
pub fn check(reading: &mut Reading) {
    if reading.broken(ALLOW) {
        return;
    }
    let allow = listed(reading, ALLOW, &reading.settings.engine.access.allow);
    let mut problems = Vec::new();
    problems.extend(exempt(reading, &allow));
    if problems.is_empty() && is_world(allow.iter().map(|(prefix, _)| *prefix)) {
        problems.extend(modes(reading, &allow));
    }
    reading.report.problems.append(&mut problems);
}

/// Everybody is exempt, by whatever list.
fn exempt(reading: &Reading, allow: &[Listed]) -> Option<Problem> {
    let access = &reading.settings.engine.access;
    if reading.broken(EXEMPT) {
        return None;
    }
    let mut exempt = listed(reading, EXEMPT, &access.limits.exempt);
    for (index, class) in access.classes.iter().enumerate().filter(|(_, class)| class.exempt) {
        exempt.extend(listed(reading, &format!("client_class[{index}].prefixes"), &class.prefixes));
    }
    let nets = || exempt.iter().map(|(prefix, _)| *prefix);
    if !is_world(nets()) {
        return None;
    }
    let free = nets().flat_map(|exempt| allow.iter().filter_map(move |(allow, _)| common(&exempt, allow)));
    let problem = if is_world(free) {
        let problem = Problem::error(Code::Conflict, "everybody may ask, and nothing limits them")
            .help("leave the limits on, or name the prefixes of your own clients");
        show(show(problem, exempt, "no limit holds for these"), allow.to_vec(), WORLD)
    } else {
        let problem = Problem::warning("everybody is exempt: of those who may ask, no limit holds for anybody there")
            .help("name those for whom no limit is to hold, or set limits to \"observe\" to see what they would do");
        show(problem, exempt, WORLD)
    };
    Some(problem.about(EXEMPT))
}

fn common(one: &IpNet, other: &IpNet) -> Option<IpNet> {
    both(one, other, |one: &IpNet, other: &IpNet| one.contains(other))
}

/// Nobody is exempt, and nothing refuses.
fn modes(reading: &Reading, allow: &[Listed]) -> Option<Problem> {
    let limits = &reading.settings.engine.access.limits;
    let written = [("limits.clients", limits.clients), ("limits.rations", limits.rations)];
    let lax: Vec<_> = written.into_iter().filter(|(_, mode)| *mode != Mode::Enforce).collect();
    let (key, mode) = *lax.first()?;
    let mut problem = if lax.len() > 1 || mode == Mode::Off {
        Problem::error(Code::Conflict, "everybody may ask, and nothing limits them")
            .help("leave the limit on, or name the prefixes of your own clients")
    } else {
        Problem::warning("everybody may ask, and what limits them only observes")
            .help("set it to \"enforce\" when you have seen enough, or name the prefixes of your own clients")
    };
    for (key, mode) in &lax {
        let what = if *mode == Mode::Off { "switched off here" } else { "only observes" };
        if let Some(written) = reading.sound(key) {
            problem = problem.at(written.value.clone(), what);
        }
    }
    Some(show(problem, allow.to_vec(), WORLD).about(key))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::examine;
    use crate::config::report::Severity;

    #[test]
    fn a_world_in_parts_is_the_world() {
        let world = |texts: &[&str]| is_world(texts.iter().map(|text| text.parse().expect("a prefix")));
        for all in [
            &["0.0.0.0/0"][..],
            &["0.0.0.0/1", "128.0.0.0/1"],
            &["::ffff:0:0/96"],
            &["::ffff:0.0.0.0/97", "10.0.0.0/8"],
            &["64.0.0.0/2"],
            &["64.0.0.0/3", "96.0.0.0/4", "112.0.0.0/4"],
            &["::/0"],
            &["2000::/3"],
            &["2000::/4", "10.0.0.0/8"],
        ] {
            assert!(world(all), "{all:?}");
        }
        for some in [
            &[][..],
            &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fe80::/10"],
            &["64.0.0.0/3", "64.0.0.0/3", "64.0.0.0/4"],
            &["2001:db8::/32", "4000::/2"],
            &["::ffff:10.0.0.0/104"],
        ] {
            assert!(!world(some), "{some:?}");
        }
    }

    #[test]
    fn a_resolver_without_limits_for_the_world_is_found_however_it_is_written() {
        let halves = "[\"0.0.0.0/1\", \"128.0.0.0/1\"]";
        let unlimited = "everybody may ask, and nothing limits them";
        let class = "[[client_class]]\nname = \"all\"\nexempt = true\nprefixes = [\"::/1\", \"8000::/1\"]";
        for (text, severity, parts) in [
            (
                format!("[access]\nallow = {halves}\n[limits]\nexempt = {halves}"),
                Severity::Error,
                &[unlimited, "4 | exempt", "2 | allow"][..],
            ),
            (
                format!("[access]\nallow = [\"::/0\"]\n{class}"),
                Severity::Error,
                &[unlimited, "6 | prefixes", "2 | allow"],
            ),
            (
                format!("[access]\nallow = [\"10.0.0.0/8\"]\n[limits]\nexempt = {halves}"),
                Severity::Warning,
                &["everybody is exempt", "4 | exempt"],
            ),
            (
                format!("[access]\nallow = {halves}\n[limits]\nclients = \"off\""),
                Severity::Error,
                &[unlimited, "4 | clients", "2 | allow"],
            ),
            (
                "[access]\nallow = [\"::ffff:0:0/96\"]\n[limits]\nrations = \"off\"".into(),
                Severity::Error,
                &[unlimited, "4 | rations", "2 | allow"],
            ),
            (
                format!("[access]\nallow = {halves}\n[limits]\nclients = \"observe\"\nrations = \"observe\""),
                Severity::Error,
                &[unlimited, "4 | clients", "5 | rations", "2 | allow"],
            ),
            (
                "[access]\nallow = [\"2000::/3\"]\n[limits]\nclients = \"observe\"".into(),
                Severity::Warning,
                &["only observes", "4 | clients", "2 | allow"],
            ),
            (
                format!("[server]\nlisten = [\"192.0.2.1:53\"]\n[access]\nallow = {halves}"),
                Severity::Warning,
                &["an open resolver", "4 | allow"],
            ),
            (
                "[server]\nlisten = [\"192.0.2.1:53\"]\n[access]\nallow = [\"::ffff:0:0/96\"]".into(),
                Severity::Warning,
                &["an open resolver", "4 | allow"],
            ),
        ] {
            let (_, report) = examine(&text, Path::new("test.toml"));
            let shown = report.human(false);
            assert_eq!(report.problems.len(), 1, "{text}\n{shown}");
            assert_eq!(report.problems[0].severity, severity, "{text}\n{shown}");
            for part in parts {
                assert!(shown.contains(part), "{text}: no `{part}` in\n{shown}");
            }
        }
    }
}
