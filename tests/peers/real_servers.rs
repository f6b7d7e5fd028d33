//! The lab's zones on NSD, Knot DNS and BIND, maeslant in front, and dig, kdig, drill and dnsperf as its clients.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::lab_zones::{self, Numbering};
use super::programs::authority::Authority;
use super::programs::clients::{Client, Printed, read_dnsperf};
use super::programs::process::{fresh_dir, output_of, require_own_network};
use super::programs::resolver::{Resolver, Resolving};
use super::programs::wire::Over;

/// The port of the servers: a high one, as in the lab.
const LAB_PORT: u16 = 5453;

/// A name, a type, the status, and the answer section: a chain in its order, the records at its end in any order.
const EXPECTED: &[(&str, &str, &str, &[&str])] = &[
    ("www.ordinary.com.", "A", "NOERROR", &["www.ordinary.com. a 192.0.2.11"]),
    ("www.ordinary.com.", "AAAA", "NOERROR", &["www.ordinary.com. aaaa 2001:db8::11"]),
    ("ordinary.nl.", "MX", "NOERROR", &["ordinary.nl. mx 10 mx1.hosting.net.", "ordinary.nl. mx 20 mx2.hosting.net."]),
    (
        "api.ordinary.org.",
        "A",
        "NOERROR",
        &["api.ordinary.org. a 192.0.2.13", "api.ordinary.org. a 192.0.2.14", "api.ordinary.org. a 192.0.2.15"],
    ),
    (
        "ftp.ordinary.net.",
        "A",
        "NOERROR",
        &["ftp.ordinary.net. cname www.ordinary.net.", "www.ordinary.net. a 192.0.2.11"],
    ),
    ("v4only.ordinary.com.", "AAAA", "NOERROR", &[]),
    ("not-there.ordinary.com.", "A", "NXDOMAIN", &[]),
    ("no-such-tld.", "A", "NXDOMAIN", &[]),
    ("ordinary.com.", "TXT", "NOERROR", &["ordinary.com. txt \"v=spf1 mx -all\""]),
    (
        "x3.chain.com.",
        "A",
        "NOERROR",
        &[
            "x3.chain.com. cname x2.chain.net.",
            "x2.chain.net. cname x1.chain.org.",
            "x1.chain.org. cname end.chain.com.",
            "end.chain.com. a 192.0.2.110",
        ],
    ),
    ("nx.chain.com.", "A", "NXDOMAIN", &["nx.chain.com. cname not-there.chain.net."]),
    ("nodata.chain.com.", "A", "NOERROR", &["nodata.chain.com. cname text.chain.org."]),
    (
        "www.old.dname.com.",
        "AAAA",
        "NOERROR",
        &[
            "old.dname.com. dname new.dname.net.",
            "www.old.dname.com. cname www.new.dname.net.",
            "www.new.dname.net. aaaa 2001:db8::123",
        ],
    ),
    ("anything.wild.com.", "A", "NOERROR", &["anything.wild.com. a 192.0.2.131"]),
    ("anything.exists.wild.com.", "A", "NXDOMAIN", &[]),
    (
        "some.away.wild.com.",
        "A",
        "NOERROR",
        &["some.away.wild.com. cname www.ordinary.org.", "www.ordinary.org. a 192.0.2.11"],
    ),
    ("d.e.f.g.h.i.j.k.ent.org.", "A", "NOERROR", &[]),
    ("a.b.c.d.e.f.g.h.i.j.k.ent.org.", "A", "NOERROR", &["a.b.c.d.e.f.g.h.i.j.k.ent.org. a 192.0.2.140"]),
    ("www.six.", "A", "NOERROR", &["www.six. a 192.0.2.66"]),
    ("www.sub.six.", "AAAA", "NOERROR", &["www.sub.six. aaaa 2001:db8::67"]),
    ("www.v6glueless.com.", "A", "NOERROR", &["www.v6glueless.com. a 192.0.2.201"]),
    ("www.g1.com.", "A", "NOERROR", &["www.g1.com. a 192.0.2.171"]),
    ("www.sib1.com.", "A", "NOERROR", &["www.sib1.com. a 192.0.2.177"]),
    ("shop.co.uk.", "A", "NOERROR", &["shop.co.uk. a 192.0.2.20"]),
    ("www.child.same.nl.", "A", "NOERROR", &["www.child.same.nl. a 192.0.2.81"]),
    ("www.nsdiff.net.", "A", "NOERROR", &["www.nsdiff.net. a 192.0.2.100"]),
    ("_submission._tcp.mail.org.", "SRV", "NOERROR", &["_submission._tcp.mail.org. srv 0 1 587 a.mx.mail.org."]),
    ("unknown.types.org.", "TYPE65280", "NOERROR", &["unknown.types.org. type65280 \\# 4 0a000001"]),
    ("www.lame.com.", "A", "SERVFAIL", &[]),
    ("loop1.chain.com.", "A", "SERVFAIL", &[]),
];

/// What is wrong with what a client printed; nothing is wrong when empty.
fn wrong(printed: &Printed, status: &str, records: &[&str]) -> Option<String> {
    let is_link = |record: &&str| record.contains(" cname ") || record.contains(" dname ");
    let got: Vec<&str> = printed.records.iter().map(String::as_str).collect();
    let links =
        |all: &[&str]| all.iter().filter(|record| is_link(record)).map(|link| (*link).to_owned()).collect::<Vec<_>>();
    let sorted = |all: &[&str]| {
        let mut all = all.to_vec();
        all.sort_unstable();
        all.join("\n")
    };
    // A failure's answer section may hold the links that were found.
    let same = (status == "SERVFAIL") || (sorted(&got) == sorted(records) && links(&got) == links(records));
    (printed.status != status || !same).then(|| format!("wanted {status} {records:?}, got {} {got:?}", printed.status))
}

/// Asks everything expected in every way; returns what was wrong, and how many answers were right.
fn ask_in_every_way(resolving: &Resolving) -> (Vec<String>, usize) {
    let ways: Vec<(Client, SocketAddr, Over)> = Client::ALL
        .iter()
        .flat_map(|client| [resolving.v4, resolving.v6].map(|server| (*client, server)))
        .flat_map(|(client, server)| [Over::Udp, Over::Tcp].map(|over| (client, server, over)))
        .collect();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let right = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    let Some((name, kind, status, records)) = EXPECTED.get(turn / ways.len()) else { break };
                    let (client, server, over) = ways[turn % ways.len()];
                    let problem = match client.ask(server, name, kind, over) {
                        Ok(printed) => wrong(&printed, status, records),
                        Err(error) => Some(error),
                    };
                    match problem {
                        None => drop(right.fetch_add(1, Ordering::Relaxed)),
                        Some(problem) => {
                            let text = format!("{client:?} {server} {over:?} {name} {kind}: {problem}");
                            failures.lock().expect("no asker panicked").push(text);
                        }
                    }
                }
            });
        }
    });
    (failures.into_inner().expect("no asker panicked"), right.into_inner())
}

/// A crowd asks all that is expected, 200 times over; what is wrong with what it got.
fn ask_in_a_crowd(resolving: &Resolving) -> Vec<String> {
    let dir = fresh_dir("crowd");
    let questions = dir.join("questions");
    let lines = EXPECTED.iter().fold(String::new(), |mut text, (name, kind, ..)| {
        let _ = writeln!(text, "{name} {kind}");
        text
    });
    fs::write(&questions, lines).expect("questions can be written");
    let mut failures = Vec::new();
    for server in [resolving.v4, resolving.v6] {
        for mode in ["udp", "tcp"] {
            let mut command = Command::new("dnsperf");
            command.args(["-s", &server.ip().to_string(), "-p", &server.port().to_string(), "-m", mode]);
            command.args(["-n", "200", "-c", "10", "-q", "50", "-t", "15", "-d", &questions.display().to_string()]);
            match output_of(&mut command, Duration::from_secs(120)).map(|text| read_dnsperf(&text)) {
                Err(error) => failures.push(error),
                Ok(load) => {
                    for status in ["NOERROR", "NXDOMAIN", "SERVFAIL"] {
                        let wanted = 200 * EXPECTED.iter().filter(|(_, _, expected, _)| *expected == status).count();
                        let got = load.count(status);
                        if got != wanted {
                            failures.push(format!("dnsperf {server} {mode}: {got} of {wanted} {status}: {load:?}"));
                        }
                    }
                }
            }
        }
    }
    failures
}

/// maeslant in front of one authoritative program: every answer right, in every way of asking, and a clean end.
fn resolves_in_front_of(authority: Authority) {
    require_own_network();
    let internet = lab_zones::internet(Numbering::Loopback, LAB_PORT);
    let _serving = authority.serve(&internet);
    let mut resolving = Resolver::Maeslant.start(&internet, &[]);
    let (mut failures, right) = ask_in_every_way(&resolving);
    failures.extend(ask_in_a_crowd(&resolving));
    println!("{authority:?}: {right} answers right, {} problems", failures.len());
    for failure in failures.iter().take(40) {
        println!("{failure}");
    }
    assert!(failures.is_empty(), "{} answers were wrong in front of {authority:?}", failures.len());
    assert_eq!(resolving.running.stop(), Some(0), "SIGTERM ends it with 0:\n{}", resolving.running.log());
}

/// A thousand names at once from one server that limits its rate: what is dropped is asked again, what is truncated is
/// asked by TCP, and loss is not taken for silence.
#[test]
#[ignore = "needs Debian's nsd, dnsperf and a network of its own: tests/peers/run"]
fn resolves_behind_a_server_that_limits_its_rate() {
    require_own_network();
    let internet = lab_zones::internet(Numbering::Loopback, LAB_PORT);
    let _serving = Authority::LimitingNsd.serve(&internet);
    let resolving = Resolver::Maeslant.start(&internet, &[]);
    let questions = fresh_dir("limited").join("questions");
    let lines = (0..1000).fold(String::new(), |text, number| text + &format!("host{number}.wild.com. A\n"));
    fs::write(&questions, lines).expect("questions can be written");
    let (address, port) = (resolving.v6.ip().to_string(), resolving.v6.port().to_string());
    let mut command = Command::new("dnsperf");
    command.args(["-s", &address, "-p", &port, "-n", "1", "-q", "100", "-t", "15", "-d"]).arg(&questions);
    let load = read_dnsperf(&output_of(&mut command, Duration::from_secs(120)).expect("dnsperf ends well"));
    println!("behind a limit of 200 a second: {load:?}");
    assert!(load.count("NOERROR") >= 950 && load.lost == 0, "{load:?}");
}

#[test]
#[ignore = "needs Debian's nsd, dig, kdig, drill, dnsperf and a network of its own: tests/peers/run"]
fn resolves_in_front_of_nsd() {
    resolves_in_front_of(Authority::Nsd);
}

#[test]
#[ignore = "needs Debian's knot, dig, kdig, drill, dnsperf and a network of its own: tests/peers/run"]
fn resolves_in_front_of_knot_dns() {
    resolves_in_front_of(Authority::Knot);
}

#[test]
#[ignore = "needs Debian's bind9, dig, kdig, drill, dnsperf and a network of its own: tests/peers/run"]
fn resolves_in_front_of_bind() {
    resolves_in_front_of(Authority::Bind);
}
