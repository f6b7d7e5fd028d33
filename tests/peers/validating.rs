//! maeslant beside Unbound and Knot Resolver, all three validating by the lab's own root key: the same RCODE, AD bit and
//! answer section for signed, unsigned and broken zones, with DO, with CD and with neither, or a reason in
//! `differences_validating.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use super::differential::{Outcome, Report, ask_all_with};
use super::internet::Internet;
use super::lab_zones::{self, Numbering};
use super::programs::authority::Authority;
use super::programs::process::require_own_network;
use super::programs::resolver::Resolver;
use super::programs::wire::{Type, Wishes};
use super::questions::Question;

/// The ways of asking. Who checks himself wants the signatures too.
const WAYS: [(&str, Wishes); 3] = [
    ("plain", Wishes { dnssec_ok: false, checking_disabled: false }),
    ("do", Wishes { dnssec_ok: true, checking_disabled: false }),
    ("cd", Wishes { dnssec_ok: true, checking_disabled: true }),
];

/// The zone whose children are signed in every way, right and wrong; all have the same names.
const PROVING_GROUND: &str = "dnssec.nl.";

/// What is asked of each of those.
const OF_EACH: [(&str, &str); 13] = [
    ("", "SOA"),
    ("", "NS"),
    ("", "DNSKEY"),
    ("", "DS"),
    ("www.", "A"),
    ("any.wild.", "TXT"),
    ("any.wild.", "A"),
    ("no-such-name.", "A"),
    ("www.", "TXT"),
    ("b.c.", "A"),
    ("alias.", "A"),
    ("away.", "A"),
    ("www.moved.", "A"),
];

/// Zones beside them, and what is asked of these: aliases between signed and unsigned zones, wildcards, names without
/// records, delegations without signatures.
const BESIDE: [(&str, &[(&str, &str)]); 12] = [
    (".", &[("", "SOA"), ("", "NS"), ("", "DNSKEY"), ("", "DS"), ("no-such-tld.", "A")]),
    ("nl.", &[("", "SOA"), ("", "DNSKEY"), ("", "DS"), ("no-such-name.", "A"), ("dnssec.", "DS")]),
    ("com.", &[("", "DNSKEY"), ("", "DS"), ("no-such-name.", "A"), ("lame.", "DS"), ("ordinary.", "DS")]),
    ("net.", &[("", "DS"), ("chain.", "DS"), ("hosting.", "DS")]),
    ("org.", &[("", "DS"), ("no-such-name.", "A"), ("ent.", "DS")]),
    ("ordinary.com.", &[("", "SOA"), ("ftp.", "A"), ("app.", "A"), ("no-such-name.", "A"), ("www.", "AAAA")]),
    ("hosting.net.", &[("", "SOA"), ("ns1.", "A"), ("no-such-name.", "A")]),
    ("chain.com.", &[("dname.", "A"), ("nx.", "A"), ("nodata.", "A"), ("c12.", "A"), ("no-such-name.", "A")]),
    ("chain.net.", &[("", "SOA"), ("", "DS"), ("no-such-name.", "A")]),
    ("dname.com.", &[("www.oldest.", "A"), ("oldest.", "DNAME"), ("no-such-name.", "A")]),
    ("wild.com.", &[("any.thing.", "TXT"), ("any.", "A"), ("no-such-name.ent.", "A"), ("a.*.", "TXT"), ("cut.", "DS")]),
    ("ent.org.", &[("c.d.e.f.g.h.i.j.k.", "A"), ("no-such-name.c.d.e.f.g.h.i.j.k.", "A"), ("no-such-name.", "TXT")]),
];

/// Zones that are on the way to those.
const ON_THE_WAY: [&str; 6] =
    ["chain.org.", "dname.net.", "moved.org.", "cut.wild.com.", "gtld-servers.net.", "root-servers.net."];

fn is_served(origin: &str) -> bool {
    origin == PROVING_GROUND
        || is_proven(origin)
        || ON_THE_WAY.contains(&origin)
        || BESIDE.iter().any(|(zone, _)| *zone == origin)
}

/// Is it a child of the proving ground?
fn is_proven(origin: &str) -> bool {
    origin.strip_suffix(PROVING_GROUND).is_some_and(|label| label.ends_with('.'))
}

fn questions(internet: &Internet) -> Vec<Question> {
    let mut all = Vec::new();
    let mut add = |prefix: &str, zone: &str, kind: &str| {
        let name = if zone == "." && !prefix.is_empty() { prefix.to_owned() } else { format!("{prefix}{zone}") };
        all.push((name, Type::parse(kind).expect("a type")));
    };
    for (zone, asked) in BESIDE {
        asked.iter().for_each(|(prefix, kind)| add(prefix, zone, kind));
    }
    for zone in internet.zones().iter().filter(|zone| is_proven(&zone.origin)) {
        OF_EACH.iter().for_each(|(prefix, kind)| add(prefix, &zone.origin, kind));
    }
    all
}

/// One run: the resolvers begin with empty caches and are asked in these ways, one after another.
fn compare(report: &mut Report, internet: &Internet, anchors: &Path, ways: &[(&'static str, Wishes)]) {
    let asked = &*questions(internet);
    let start = |resolver: &Resolver| resolver.start_with(internet, Some(anchors), &[]);
    let running: Vec<_> = Resolver::ALL.iter().map(start).collect();
    for (way, wishes) in ways {
        let outcomes: Vec<BTreeMap<Question, Outcome>> = std::thread::scope(|scope| {
            let servers = running.iter().map(|resolver| resolver.v4);
            let threads: Vec<_> =
                servers.map(|server| scope.spawn(move || ask_all_with(server, asked, *wishes))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no asker panicked")).collect()
        });
        let again: Vec<Question> = asked.iter().rev().cloned().collect();
        let from_memory = ask_all_with(running[0].v6, &again, *wishes);
        for question in asked {
            report.compare_with_itself(question, &outcomes[0][question], &from_memory[question]);
            for (resolver, theirs) in running.iter().zip(&outcomes).skip(1) {
                report.compare(resolver.which, (way, *wishes), question, &outcomes[0][question], &theirs[question]);
            }
        }
    }
    drop(running);
    report.hear_again(|resolver| start(&resolver));
}

#[test]
#[ignore = "needs Debian's nsd, unbound, knot-resolver and a network of its own: tests/peers/run"]
fn validates_as_unbound_and_knot_resolver_do() {
    require_own_network();
    let (internet, anchors) = lab_zones::signed_internet(Numbering::Benchmark, 53, is_served);
    // Knot DNS 3.2 does not survive zones whose proofs are missing.
    let _serving = Authority::Nsd.serve(&internet);
    let mut report = Report::read_table("differences_validating.toml");
    compare(&mut report, &internet, &anchors, &WAYS);
    // What was kept for those who check themselves must not reach the others.
    let backwards: Vec<_> = WAYS.into_iter().rev().collect();
    compare(&mut report, &internet, &anchors, &backwards);
    report.close(2 * WAYS.len() * questions(&internet).len());
}
