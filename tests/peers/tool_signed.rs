//! The lab's signed zones, signed by other people's tools and served by other people's servers: maeslant must make of
//! them what the catalogue says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use maeslant::lab::sign::{Denial, ParentsWord, Plan};
use maeslant::lab::{Atlas, Checked, catalogue};

use super::differential::ask_all_with;
use super::lab_zones::{self, Numbering};
use super::programs::authority::Authority;
use super::programs::internet::Internet;
use super::programs::process::{fresh_dir, output_of, require_own_network};
use super::programs::resolver::Resolver;
use super::programs::wire::{Type, Wishes};
use super::questions::Question;

/// The way down to the zones that are signed in every way.
const WAY: [&str; 3] = ["dnssec.nl.", "nl.", "."];
/// Names of the algorithms that all three tools know.
const ALGORITHMS: [(u8, &str); 7] = [
    (5, "RSASHA1"),
    (7, "RSASHA1-NSEC3-SHA1"),
    (8, "RSASHA256"),
    (10, "RSASHA512"),
    (13, "ECDSAP256SHA256"),
    (14, "ECDSAP384SHA384"),
    (15, "ED25519"),
];

/// dnssec-signzone makes no more.
const MOST_ITERATIONS: u16 = 150;

/// A program that signs zones.
#[derive(Clone, Copy, Debug)]
enum Signer {
    Ldns,
    Bind,
    Knot,
}

/// A zone to be signed.
struct Unsigned<'a> {
    origin: &'a str,
    file: &'a Path,
    plan: &'a Plan,
    /// Keys and what else the tool leaves.
    dir: PathBuf,
}

#[test]
#[ignore = "needs Debian's ldnsutils, nsd and a network of its own: tests/peers/run"]
fn zones_of_ldns_signzone_on_nsd_are_validated() {
    validates(Signer::Ldns, Authority::Nsd);
}

#[test]
#[ignore = "needs Debian's bind9 and a network of its own: tests/peers/run"]
fn zones_of_dnssec_signzone_on_bind_are_validated() {
    validates(Signer::Bind, Authority::Bind);
}

#[test]
#[ignore = "needs Debian's knot, knot-dnssecutils and a network of its own: tests/peers/run"]
fn zones_of_kzonesign_on_knot_are_validated() {
    validates(Signer::Knot, Authority::Knot);
}

/// Is a zone one that a tool can sign as the lab does: rightly?
fn is_signed_right(origin: &str, plan: &Plan) -> bool {
    let on_the_way = WAY.contains(&origin) || origin.ends_with(".dnssec.nl.");
    let few = !matches!(plan.denial, Denial::Nsec3 { iterations, .. } if iterations > MOST_ITERATIONS);
    on_the_way && few && plan.flaw.is_none() && plan.parent == ParentsWord::Ds(2)
}

fn validates(signer: Signer, authority: Authority) {
    require_own_network();
    let atlas = Atlas::new(0);
    let name = format!("{signer:?}-signed").to_lowercase();
    let mut internet = lab_zones::unsigned_internet(&name, Numbering::Benchmark, 53);
    let children = atlas.plans.iter().filter(|(origin, plan)| is_signed_right(origin, plan));
    let mut wanted: Vec<(&str, &Plan)> = children.map(|(origin, plan)| (origin.as_str(), plan)).collect();
    // Parents last: they sign what points at their children.
    wanted.sort_by_key(|(origin, _)| {
        std::cmp::Reverse(origin.trim_end_matches('.').split('.').count() - usize::from(*origin == "."))
    });
    internet.hosts.iter_mut().for_each(|host| host.zones.retain(|zone| wanted.iter().any(|(o, _)| *o == zone.origin)));
    internet.hosts.retain(|host| !host.zones.is_empty());
    let anchors = sign_all(signer, &internet, &wanted, &fresh_dir(&format!("{name}-keys")));
    let _serving = authority.serve(&internet);
    let resolver = Resolver::Maeslant.start_with(&internet, Some(&anchors), &[]);
    let mut asked = catalogue().expect("a catalogue");
    asked.retain(|question| {
        let zone = wanted.iter().any(|(origin, _)| {
            *origin != "."
                && *origin != "nl."
                && *origin != "dnssec.nl."
                && question.name.to_lowercase().ends_with(&format!(".{origin}"))
        });
        // The aliases that lead to a zone that is not here; what each start of the lab makes anew.
        let leads_away = question.name.contains("away.") || question.name.contains(".moved.");
        zone && !leads_away && question.rtype != 51
    });
    let questions: Vec<Question> = asked.iter().map(|q| (q.name.to_lowercase(), Type(q.rtype))).collect();
    let outcomes = ask_all_with(resolver.v4, &questions, Wishes { dnssec_ok: true, checking_disabled: false });
    let mut wrong = Vec::new();
    for (question, asked) in questions.iter().zip(&asked) {
        // Here SHA-1 counts.
        let sha1 = question.0.contains("rsasha1");
        let secure = asked.checked == Checked::Secure || sha1;
        match &outcomes[question] {
            Ok(answer)
                if answer.rcode == asked.expected.rcode()
                    && answer.authentic == secure
                    && (answer.records.is_empty() == asked.answer.is_empty() || question.1 == Type(48)) => {}
            other => wrong.push(format!("{} {}: {:?}, not {other:?}", question.0, question.1, asked.checked)),
        }
    }
    println!("{signer:?} on {authority:?}: {} zones, {} questions", wanted.len(), questions.len());
    assert!(questions.len() > 500 && wrong.is_empty(), "{}: {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
}

/// Signs every zone in place. Returns the file with the root's DS record.
fn sign_all(signer: Signer, internet: &Internet, wanted: &[(&str, &Plan)], dir: &Path) -> PathBuf {
    let zones = internet.zones();
    let mut pending: Vec<(String, String)> = Vec::new();
    let anchors = dir.join("root.anchors");
    for (number, (origin, plan)) in wanted.iter().enumerate() {
        let zone = zones.iter().find(|zone| zone.origin == *origin).unwrap_or_else(|| panic!("nobody serves {origin}"));
        let below: String =
            pending.iter().filter(|(child, _)| parent_of(child) == *origin).map(|(_, ds)| ds.clone()).collect();
        let text = fs::read_to_string(&zone.file).expect("a zone");
        fs::write(&zone.file, text + "\n" + &below).expect("a zone can be written");
        let dir = dir.join(number.to_string());
        fs::create_dir_all(&dir).expect("a directory");
        let ds = signer.sign(&Unsigned { origin, file: &zone.file, plan, dir });
        assert!(!ds.is_empty(), "{signer:?} gave no DS for {origin}");
        if *origin == "." {
            fs::write(&anchors, &ds).expect("anchors can be written");
        }
        pending.push(((*origin).to_owned(), ds));
    }
    anchors
}

fn parent_of(origin: &str) -> &str {
    match origin.split_once('.') {
        Some((_, "")) => ".",
        Some((_, parent)) => parent,
        None => ".",
    }
}

fn run(command: &mut Command, dir: &Path) -> String {
    output_of(command.current_dir(dir), Duration::from_secs(60)).unwrap_or_else(|error| panic!("{error}"))
}

/// The DS records of SHA-256 among these lines, one a line and with class IN.
fn ds_lines(text: &str, origin: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(at) = words.iter().position(|word| *word == "DS") else { continue };
        if words.get(at + 3) == Some(&"2") {
            let digest: String = words[at + 4..].iter().take_while(|word| !word.starts_with(';')).copied().collect();
            lines += &format!("{origin} 3600 IN DS {} {} 2 {digest}\n", words[at + 1], words[at + 2]);
        }
    }
    lines
}

impl Signer {
    /// Signs a zone in its file. Returns the DS record that its parent needs.
    fn sign(self, zone: &Unsigned) -> String {
        match self {
            Signer::Ldns => ldns(zone),
            Signer::Bind => bind(zone),
            Signer::Knot => knot(zone),
        }
    }
}

fn algorithm(plan: &Plan) -> &'static str {
    ALGORITHMS.iter().find(|(number, _)| *number == plan.algorithm).map(|(_, name)| *name).expect("a known algorithm")
}

/// Salt in hexadecimal.
fn hex(salt: &[u8]) -> String {
    salt.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn ldns(zone: &Unsigned) -> String {
    let keygen = |flags: &[&str]| {
        let mut command = Command::new("ldns-keygen");
        run(command.args(["-a", algorithm(zone.plan), "-b", "2048"]).args(flags).arg(zone.origin), &zone.dir)
            .trim()
            .to_owned()
    };
    let (entry, signing) = (keygen(&["-k"]), keygen(&[]));
    let mut command = Command::new("ldns-signzone");
    if let Denial::Nsec3 { iterations, salt, opt_out } = &zone.plan.denial {
        command.args(["-n", "-t", &iterations.to_string()]);
        if !salt.is_empty() {
            command.args(["-s", &hex(salt)]);
        }
        if *opt_out {
            command.arg("-p");
        }
    }
    command.args(["-o", zone.origin, "-f"]).arg(zone.file).arg(zone.file).args([&entry, &signing]);
    run(&mut command, &zone.dir);
    let key = format!("{entry}.key");
    let text = run(Command::new("ldns-key2ds").args(["-n", "-2", &key]), &zone.dir);
    ds_lines(&text, zone.origin)
}

fn bind(zone: &Unsigned) -> String {
    let keygen = |flags: &[&str]| {
        let mut command = Command::new("dnssec-keygen");
        // It has a name of its own for one.
        let name = algorithm(zone.plan).replace("RSASHA1-NSEC3-SHA1", "NSEC3RSASHA1");
        command.args(["-q", "-a", &name]).args(flags);
        if matches!(zone.plan.algorithm, 5 | 7 | 8 | 10) {
            command.args(["-b", "2048"]);
        }
        run(command.arg(zone.origin), &zone.dir).trim().to_owned()
    };
    let entry = keygen(&["-f", "KSK"]);
    keygen(&[]);
    let mut command = Command::new("dnssec-signzone");
    command.args(["-q", "-S", "-P"]);
    if let Denial::Nsec3 { iterations, salt, opt_out } = &zone.plan.denial {
        let salt = if salt.is_empty() { "-".to_owned() } else { hex(salt) };
        command.args(["-3", &salt, "-H", &iterations.to_string()]);
        if *opt_out {
            command.arg("-A");
        }
    }
    let signed = zone.dir.join("signed");
    command.args(["-o", zone.origin, "-f"]).arg(&signed).arg(zone.file);
    run(&mut command, &zone.dir);
    fs::copy(&signed, zone.file).expect("the signed zone can be copied");
    let text = run(Command::new("dnssec-dsfromkey").args(["-2", &format!("{entry}.key")]), &zone.dir);
    ds_lines(&text, zone.origin)
}

fn knot(zone: &Unsigned) -> String {
    let here = zone.dir.display();
    let denial = match &zone.plan.denial {
        Denial::Nsec => "    nsec3: off\n".to_owned(),
        Denial::Nsec3 { iterations, salt, opt_out } => format!(
            "    nsec3: on\n    nsec3-iterations: {iterations}\n    nsec3-salt-length: {}\n    nsec3-opt-out: {}\n",
            salt.len(),
            if *opt_out { "on" } else { "off" }
        ),
    };
    let size =
        if matches!(zone.plan.algorithm, 5 | 7 | 8 | 10) { "    ksk-size: 2048\n    zsk-size: 2048\n" } else { "" };
    let text = format!(
        "server:\n  rundir: {here}\ndatabase:\n  storage: {here}\npolicy:\n  - id: lab\n    algorithm: {}\n{size}{denial}\
         zone:\n  - domain: \"{}\"\n    file: \"{}\"\n    dnssec-signing: on\n    dnssec-policy: lab\n    semantic-checks: off\n",
        algorithm(zone.plan).to_lowercase(),
        zone.origin,
        zone.file.display()
    );
    fs::write(zone.dir.join("knot.conf"), text).expect("a configuration can be written");
    let out = zone.dir.join("out");
    fs::create_dir_all(&out).expect("a directory");
    run(Command::new("kzonesign").args(["-c", "knot.conf", "-o"]).arg(&out).arg(zone.origin), &zone.dir);
    let signed = fs::read_dir(&out).expect("a directory").filter_map(Result::ok).next().expect("a signed zone");
    fs::copy(signed.path(), zone.file).expect("the signed zone can be copied");
    let text = run(Command::new("keymgr").args(["-c", "knot.conf", zone.origin, "ds"]), &zone.dir);
    ds_lines(&text, zone.origin)
}
