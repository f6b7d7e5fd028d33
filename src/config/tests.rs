//! What the configuration promises: the keys of the contract, their defaults, and reports that help.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::report::Report;
use super::table::{CLIENT_CLASS, REPEATED, SECTIONS};
use super::*;
use crate::admission::Mode;
use crate::clock::UnixTime;
use crate::dnssec::Sha1;
use crate::resolve::{Minimisation, UpstreamKind};
use crate::wire::Name;

mod dnssec;

fn good(text: &str) -> Settings {
    match read(text, Path::new("test.toml")) {
        Ok(settings) => settings,
        Err(report) => panic!("{}", report.human(false)),
    }
}

fn bad(text: &str) -> Report {
    let report = read(text, Path::new("test.toml")).expect_err("a report");
    assert!(report.errors() > 0);
    for problem in &report.problems {
        assert!(!problem.labels.is_empty(), "a problem without a place: {problem:?}");
    }
    report
}

/// The one problem of `text`, as it is shown.
fn sole(text: &str) -> String {
    let report = bad(text);
    assert_eq!(report.problems.len(), 1, "{}", report.human(false));
    report.human(false)
}

fn warned(text: &str) -> String {
    let (settings, report) = examine(text, Path::new("test.toml"));
    assert!(settings.is_some(), "{}", report.human(false));
    report.human(false)
}

/// The keys that outside tools rely on, with their defaults.
const CONTRACT: &str = r#"
[server]
listen = ["127.0.0.1:5300", "[::1]:5300"]
workers = 0
udp_payload_size = 1232
extended_errors = true
[access]
allow = ["127.0.0.0/8", "::1/128"]
[resolver]
outgoing = ["0.0.0.0", "::"]
server_port = 53
upstream_udp_payload_size = 1232
upstream_cookies = true
deadline = "8s"
qname_minimisation = "relaxed"
case_randomisation = true
prime = true
ipv4 = true
ipv6 = true
[dnssec]
validation = true
negative_trust_anchors = []
sha1 = "insecure"
min_rsa_bits = 1024
aggressive_nsec = true
sentinel = true
[cache]
memory = "256MiB"
prefetch = true
clock = "monotonic"
min_ttl = "0s"
max_ttl = "1d"
max_negative_ttl = "1h"
[local]
special_use = true
records = []
[log]
level = "info"
format = "text"
"#;

#[test]
fn the_contract_is_read_and_states_the_defaults() {
    assert_eq!(good(CONTRACT), Settings::default());
    assert_eq!(good(""), Settings::default());
}

#[test]
fn records_of_any_type_are_taken() {
    let s = good(
        r#"[local]
records = ['x. 60 TYPE65280 \# 4 0a000001', 'x. A \# 4 0a000001', 'x. SPF "v=spf1 -all"', 'x. RP a. b.', 'x. TXT "\027" ""']
"#,
    );
    assert_eq!(s.engine.local.records.len(), 5);
}

/// Every key with something else than its default.
const EVERYTHING: &str = r#"
[server]
listen = ["192.0.2.1:53", "[2001:db8::1]:5353"]
workers = 3
pin = "queues"
udp_payload_size = 1400
extended_errors = false
nsid = "0x6d61"
version = "one"
identity = "two"
tcp_connections = 11
tcp_connections_per_prefix = 7
tcp_connections_per_client = 6
tcp_idle_timeout = "1900ms"
tcp_write_timeout = "2900ms"
tcp_pipeline = 5
[access]
allow = ["192.0.2.0/24", "2001:db8::7"]
refused_rate = "5/s"
[resolver]
outgoing = ["192.0.2.9", "2001:db8::9"]
server_port = 5353
do_not_query = []
upstream_udp_payload_size = 512
upstream_cookies = false
deadline = "1900ms"
qname_minimisation = "strict"
case_randomisation = false
prime = false
ipv4 = true
ipv6 = false
[dnssec]
validation = false
trust_anchor_state = "state"
negative_trust_anchors = [
    { zone = "Broken.Example", until = "2099-12-31" },
    { until = 2099-12-31T08:00:00+01:00, zone = "test." },
]
sha1 = "validate"
min_rsa_bits = 512
aggressive_nsec = false
sentinel = false
[cache]
memory = "16MiB"
prefetch = false
clock = "wall"
min_ttl = "1m"
max_ttl = "2h"
max_negative_ttl = "5m"
[stale]
serve = "observe"
max_age = "2d"
after = "1900ms"
ttl = "7s"
[local]
special_use = false
records = ["printer.home.arpa. 300 IN A 192.168.1.9"]
[[forward]]
zone = "Corp.Example"
servers = ["192.0.2.1", "[2001:db8::1]:5353", "2001:db8::2"]
[[stub]]
zone = "lab.example."
servers = ["127.0.0.1:5301"]
fallback = true
[log]
level = "debug"
format = "json"
"#;

#[test]
fn every_key_changes_what_it_names() {
    let s = good(EVERYTHING);
    assert_eq!(s.listener.listen, ["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:5353".parse().unwrap()]);
    assert_eq!((s.workers, s.listener.tcp_connections, s.listener.tcp_connections_per_prefix), (3, 11, 7));
    assert_eq!((s.pin, s.listener.tcp_connections_per_client), (Pin::Queues, 6));
    assert_eq!((s.listener.tcp_idle_timeout, s.listener.tcp_pipeline), (Duration::from_millis(1900), 5));
    assert_eq!(s.listener.tcp_write_timeout, Duration::from_millis(2900));
    let respond = &s.engine.respond;
    assert_eq!((respond.udp_payload_size, respond.extended_errors), (1400, false));
    assert_eq!(respond.nsid.as_deref(), Some(&b"ma"[..]));
    assert_eq!((respond.version.as_deref(), respond.identity.as_deref()), (Some("one"), Some("two")));
    assert_eq!(s.engine.access.allow, ["192.0.2.0/24".parse().unwrap(), "2001:db8::7/128".parse().unwrap()]);
    assert_eq!(s.engine.access.refused_per_second, 5);
    let policy = &s.engine.resolve;
    assert_eq!(s.upstream.outgoing, ["192.0.2.9".parse::<std::net::IpAddr>().unwrap(), "2001:db8::9".parse().unwrap()]);
    assert_eq!((policy.server_port, policy.udp_payload_size, policy.cookies), (5353, 512, false));
    assert!(policy.do_not_query.is_empty());
    assert_eq!((policy.deadline, policy.minimisation), (Duration::from_millis(1900), Minimisation::Strict));
    assert_eq!((policy.case_randomisation, policy.prime, policy.ipv4, policy.ipv6), (false, false, true, false));
    let dnssec = &policy.dnssec;
    assert_eq!((dnssec.validation, dnssec.aggressive, dnssec.sentinel), (false, false, false));
    assert_eq!((dnssec.policy.sha1, dnssec.policy.min_rsa_bits), (Sha1::Validate, 512));
    assert_eq!(s.trust_anchor_state, Some("state".into()));
    let suspended = [("broken.example.", 4_102_358_400), ("test.", 4_102_358_400 + 7 * 3600)];
    let suspended =
        suspended.map(|(zone, at)| NegativeAnchor { zone: Name::parse(zone).unwrap(), until: UnixTime(at) });
    assert_eq!(s.negative_trust_anchors, suspended);
    assert_eq!(dnssec.anchors, Anchors::built_in().with_negative(suspended.to_vec()));
    assert_eq!((s.cache.memory, s.cache.prefetch, s.engine.cache_prefetch), (16 << 20, false, false));
    assert_eq!(s.cache_clock, CacheClock::Wall);
    let minutes = |n: u64| Duration::from_secs(60 * n);
    assert_eq!((s.cache.min_ttl, s.cache.max_ttl, s.cache.max_negative_ttl), (minutes(1), minutes(120), minutes(5)));
    let stale = &policy.stale;
    assert_eq!((stale.serve, stale.after), (Mode::Observe, Duration::from_millis(1900)));
    assert_eq!((stale.max_age, stale.ttl), (minutes(2 * 24 * 60), Duration::from_secs(7)));
    assert_eq!((s.engine.local.special_use, s.engine.local.records.len()), (false, 1));
    assert_eq!((s.log.level.as_str(), s.log.format), ("debug", LogFormat::Json));
    let [forward, stub] = &policy.upstreams[..] else { panic!("two upstreams") };
    assert_eq!(
        (forward.zone.as_str(), forward.kind, forward.fallback),
        ("corp.example.", UpstreamKind::Forward, false)
    );
    let servers: Vec<String> = forward.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["192.0.2.1:53", "[2001:db8::1]:5353", "[2001:db8::2]:53"]);
    assert_eq!((stub.zone.as_str(), stub.kind, stub.fallback), ("lab.example.", UpstreamKind::Stub, true));

    // What is in effect, printed, says the same when it is read again.
    assert_eq!(good(&print::effective(&s)), s);
}

#[test]
fn what_is_printed_is_read_back() {
    assert_eq!(good(&print::defaults()), Settings::default());
    assert_eq!(good(&print::effective(&Settings::default())), Settings::default());
}

#[test]
fn the_example_of_the_schema_is_a_configuration() {
    let schema = print::schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let mut text = String::new();
    for (table, content) in schema["examples"][0].as_object().unwrap() {
        let (header, content) = match content.as_array() {
            Some(list) => (format!("[[{table}]]"), &list[0]),
            None => (format!("[{table}]"), content),
        };
        text.push_str(&format!("{header}\n"));
        for (key, value) in content.as_object().unwrap() {
            text.push_str(&format!("{key} = {}\n", toml_of(value)));
        }
    }
    let settings = good(&text);
    assert_eq!(settings.engine.resolve.upstreams.len(), 2);
    // Every key of the table is described, and nothing else is allowed.
    for section in &SECTIONS {
        let table = schema.pointer(&format!("/properties/{}", section.name.replace('.', "/properties/"))).unwrap();
        assert_eq!(table["additionalProperties"], false);
        for setting in section.settings {
            assert!(table["properties"][setting.key]["description"].is_string());
        }
    }
}

/// JSON's strings, numbers and booleans are TOML's too.
fn toml_of(value: &serde_json::Value) -> String {
    let joined = |parts: Vec<String>| parts.join(", ");
    match value {
        serde_json::Value::Array(items) => format!("[{}]", joined(items.iter().map(toml_of).collect())),
        serde_json::Value::Object(map) => {
            format!("{{ {} }}", joined(map.iter().map(|(key, value)| format!("{key} = {}", toml_of(value))).collect()))
        }
        other => other.to_string(),
    }
}

#[test]
fn every_setting_is_explained() {
    let names = SECTIONS.iter().flat_map(|s| s.settings.iter().map(|key| format!("{}.{}", s.name, key.key)));
    let repeated = REPEATED.iter().flat_map(|r| r.settings.iter().map(|key| format!("{}.{}", r.name, key.key)));
    let classes = CLIENT_CLASS.settings.iter().map(|key| format!("{}.{}", CLIENT_CLASS.name, key.key));
    for name in names.chain(repeated).chain(classes) {
        let text = print::explain(&name).unwrap();
        for part in ["type  ", "default  ", "reason  ", "example  "] {
            assert!(text.contains(part), "{name} lacks {part}:\n{text}");
        }
    }
    assert!(print::explain("[server] listen").unwrap().starts_with("[server] listen"));
    assert!(print::explain("deadline").unwrap().contains("\"8s\""));
    assert!(print::explain("cache").unwrap().contains("max_negative_ttl"));
    assert!(print::explain("server.lisen").unwrap_err().contains("did you mean `server.listen`?"));
}

#[test]
fn a_report_shows_every_mistake_at_once() {
    let text = "[server]\nlisen = [\"127.0.0.1:53\"]\nworkers = \"4\"\n[resolver]\ndeadline = 8\n\
                [cache]\nmin_ttl = \"1h\"\nprefetch = true\n\tmax_ttl = \"30m\"\n";
    let expected = r#"error[unknown-key]: [server] has no key `lisen`
 --> test.toml:2:1
  |
2 | lisen = ["127.0.0.1:53"]
  | ^^^^^ not known here
  = help: did you mean `listen`?

error[wrong-type]: `server.workers` has the wrong type
 --> test.toml:3:11
  |
3 | workers = "4"
  |           ^^^ expected a whole number, found a string
  = help: write 4, without quotes
  = more: maeslant check --explain server.workers

error[missing-unit]: `resolver.deadline` needs a unit
 --> test.toml:5:12
  |
5 | deadline = 8
  |            ^ the unit is missing
  = help: write "8s" for seconds, or "8ms" for milliseconds
  = more: maeslant check --explain resolver.deadline

error[conflict]: `cache.min_ttl` 1h is more than `cache.max_ttl` 30m
 --> test.toml:7:11
  |
7 | min_ttl = "1h"
  |           ^^^^ at least this long
  :
9 |     max_ttl = "30m"
  |               ----- and at most this long
  = help: min_ttl is at most max_ttl
  = more: maeslant check --explain cache.min_ttl

test.toml: 4 errors
"#;
    let report = bad(text);
    assert_eq!(report.human(false), expected);
    let json = report.json();
    assert_eq!(json["errors"], 4);
    assert_eq!(json["problems"][1]["code"], "wrong-type");
    assert_eq!(json["problems"][1]["places"][0]["line"], 3);
    assert_eq!(json["problems"][1]["places"][0]["column"], 11);
    assert_eq!(json["problems"][1]["places"][0]["end_column"], 14);
}

#[test]
fn a_report_obeys_no_control_characters_and_cuts_long_lines() {
    let long = format!("[log]\nlevel = \"{}\u{1b}[31m\"", "x".repeat(4000));
    let shown = bad(&long).human(false);
    assert!(!shown.contains('\u{1b}'));
    let (underlined, _) = shown.lines().filter(|line| line.starts_with("2 |")).map(|line| (line, ())).next().unwrap();
    assert!(underlined.chars().count() < 200, "{shown}");
    // Columns count characters, not octets.
    assert!(sole("[log]\n\"ü\" = 1").contains(":2:1"));
    assert!(sole("[log] # ünïcödé\nlevel = \"ü\"").contains("2 | level = \"ü\"\n  |         ^^^ expected"));
}

#[test]
fn syntax_errors_do_not_hide_the_rest() {
    let report =
        bad("[server]\nworkers = 3x\nlisen = 1\n[log\nlevel = \"loud\"\n[cache]\nprefetch = yes\nclock = \"sun\"\n");
    let shown = report.human(false);
    for part in ["test.toml:2:", "test.toml:3:1", "test.toml:4:", "test.toml:7:12", "help: write true", "test.toml:8:9"]
    {
        assert!(shown.contains(part), "no {part} in\n{shown}");
    }
}

#[test]
fn duplicates_show_both_places() {
    let shown = sole("[server]\nworkers = 1\n\nworkers = 2\n");
    assert!(shown.contains("`workers` is written twice"), "{shown}");
    assert!(shown.contains("test.toml:4:1") && shown.contains("2 | workers = 1\n  | ------- first here"), "{shown}");
    let shown = sole("[cache]\nprefetch = true\n[log]\n[cache]\nclock = \"wall\"");
    assert!(shown.contains("`cache` is written twice") && shown.contains("1 | [cache]"), "{shown}");
}

#[test]
fn unknown_names_lead_to_the_right_ones() {
    for (text, help) in [
        ("[servr]\nworkers = 1", "did you mean [server]?"),
        ("[weather]\nx = 1", "the tables are [server], [access]"),
        ("listen = []", "it belongs below [server]"),
        ("lsten = []", "did you mean `listen`, below [server]?"),
        ("[server]\nmemory = 1", "`memory` belongs below [cache]"),
        ("[resolver]\nqname-minimization = \"off\"", "did you mean `qname_minimisation`?"),
        ("[server]\nmemry = 1", "did you mean `memory`, below [cache]?"),
        ("[log]\ncolour = 1", "its keys are level, format"),
        ("[forward]\nzone = \"a.\"", "write [[forward]], with two brackets"),
        ("[[server]]\nworkers = 1", "write [server]"),
        ("[dnssec]\nvalidaton = true", "did you mean `validation`?"),
        ("server = 3", "write [server] and its keys below"),
        ("[log]\nlevel = \"warning\"", "did you mean \"warn\"?"),
    ] {
        let shown = sole(text);
        assert!(shown.contains(help), "{text}: no `{help}` in\n{shown}");
    }
}

#[test]
fn wrong_values_say_what_to_write() {
    for (text, part) in [
        ("[server]\nlisten = \"127.0.0.1:53\"", "write [\"127.0.0.1:53\"]"),
        ("[server]\nlisten = []", "nothing would be answered"),
        ("[server]\nlisten = [\"127.0.0.1\"]", "write \"127.0.0.1:53\""),
        ("[server]\nlisten = [\"::1\"]", "write \"[::1]:53\""),
        ("[server]\nlisten = [\"::1:5300\"]", "write \"[::1]:5300\""),
        ("[server]\nlisten = [\"*:53\"]", "write \"0.0.0.0:53\" and \"[::]:53\""),
        ("[server]\nlisten = [\"127.0.0.1:53\", \"127.0.0.1:53\"]", "same entry twice"),
        ("[limits]\nexempt_zones = [\"bl.example.org\", \"BL.example.org.\"]", "same entry twice"),
        ("[limits]\nexempt_zones = [\"*.example.org\"]", "without a wildcard"),
        ("[limits]\nexempt_zones = [\".\"]", "every zone is below the root"),
        ("[server]\nworkers = -1", "allowed: 0 to 1024 shards"),
        ("[server]\nworkers = 1.5", "found a number with a fraction"),
        ("[server]\nudp_payload_size = 511", "allowed: 512 to 4096 octets"),
        ("[server]\nudp_payload_size = \"1232B\"", "expected a whole number, found a string"),
        ("[server]\nextended_errors = \"no\"", "write false, without quotes"),
        ("[server]\nnsid = \"0x123\"", "pairs of hexadecimal digits"),
        ("[server]\nnsid = \"\"", "1 to 128 octets"),
        ("[access]\nallow = [\"10.1.2.3/8\"]", "write \"10.0.0.0/8\" for the network, or \"10.1.2.3\""),
        ("[access]\nallow = [\"10.0.0.0/33\"]", "from 0 to 32"),
        ("[access]\nallow = [\"localnet\"]", "not a prefix"),
        ("[access]\nallow = [7]", "expected a string, found a whole number"),
        ("[access]\nrefused_rate = 50", "write \"50/s\""),
        ("[access]\nrefused_rate = \"50/m\"", "write \"50/s\""),
        ("[resolver]\ndo_not_query = [\"127.0.0.0/8\", \"...\"]", "a list replaces the default"),
        ("[resolver]\ndeadline = \"8 seconds\"", "write \"8s\""),
        ("[resolver]\ndeadline = \"2h\"", "allowed: \"100ms\" to \"1m\""),
        ("[resolver]\ndeadline = \"99999999999999999999s\"", "not a duration"),
        ("[resolver]\nserver_port = 0", "allowed: 1 to 65535"),
        ("[resolver]\noutgoing = [\"0.0.0.0:53\", \"::\", \"0.0.0.0\"]", "a port has no place here"),
        ("[cache]\nmemory = 268435456", "write \"256MiB\""),
        ("[cache]\nmemory = 256", "write \"256MiB\""),
        ("[cache]\nmemory = \"256M\"", "write \"256MiB\""),
        ("[cache]\nmemory = \"1KiB\"", "allowed: \"1MiB\" to \"16TiB\""),
        ("[cache]\nmin_ttl = \"3m\"\nmax_ttl = \"1m\"", "`cache.min_ttl` 3m is more than `cache.max_ttl` 1m"),
        ("[resolver]\nipv4 = false\nipv6 = false", "neither IPv4 nor IPv6"),
        ("[local]\nrecords = [\"a.\"]", "expected name, TTL, type, data"),
        ("[local]\nrecords = [\"a. 4294967295 A 192.0.2.1\"]", "above 2147483647"),
        ("[local]\nrecords = [\"a. 60 A 192.0.2\"]", "invalid IPv4 address syntax"),
        ("[local]\nrecords = [\"a. 60 A 192.0.2.1 192.0.2.2\"]", "A takes one value, here are 2"),
        ("[local]\nrecords = [\"a. 60 NONSENSE x\"]", "NONSENSE"),
        ("[local]\nrecords = [\"$INCLUDE /etc/passwd\"]", "a record begins with its name"),
        ("[local]\nrecords = [\"a. 60 A 192.0.2.1\\n$INCLUDE /etc/passwd\"]", "one line without control characters"),
        ("[local]\nrecords = [\"a. 60 CH TXT x\"]", "only IN is served"),
        ("[local]\nrecords = [\"a. 60 CNAME b.\", \"A 60 TXT x\"]", "is an alias and has other records"),
        (
            "[local]\nrecords = [\"a. SOA b. c. 1 2 3 4 5\", \"a. SOA b. c. 2 2 3 4 5\"]",
            "these records exclude each other",
        ),
    ] {
        let shown = sole(text);
        assert!(shown.contains(part), "{text}: no `{part}` in\n{shown}");
    }
}

#[test]
fn zones_are_checked_and_normalised() {
    let table = |zone: &str| format!("[[forward]]\nzone = {}\nservers = [\"192.0.2.1\"]", shape::quote(zone));
    for (written, meant) in [("Corp.EXAMPLE", "corp.example."), (".", "."), ("a.b.", "a.b."), ("_x.test", "_x.test.")] {
        assert_eq!(good(&table(written)).engine.resolve.upstreams[0].zone, meant);
    }
    let label = "a".repeat(63);
    good(&table(&[label.as_str(); 3].join(".")));
    for (zone, part) in [
        ("", "the root is a dot"),
        ("a..b", "a label is empty"),
        (".a", "a label is empty"),
        ("*.a", "without a wildcard"),
        ("a b", "no blanks"),
        ("bücher.example", "in their xn-- form"),
        (&"a".repeat(64), "64 octets, at most 63"),
        (&[label.as_str(); 4].join("."), "257 octets on the wire, at most 255"),
    ] {
        let shown = sole(&table(zone));
        assert!(shown.contains(part), "{zone}: no `{part}` in\n{shown}");
    }
}

#[test]
fn forwarders_and_stubs_do_not_contradict_each_other() {
    let shown = sole(
        "[[forward]]\nzone = \"corp.example\"\nservers = [\"192.0.2.1\"]\n[[stub]]\nzone = \"CORP.example.\"\nservers = [\"192.0.2.2\"]\n",
    );
    assert!(shown.contains("two tables say whom to ask for `corp.example.`"), "{shown}");
    assert!(shown.contains("2 | zone") && shown.contains("5 | zone"), "{shown}");
    let report = bad("[[forward]]\nzone = \"a.\"\n[[stub]]\nservers = []\n");
    let shown = report.human(false);
    assert!(shown.contains("this [[forward]] has no `servers`"), "{shown}");
    assert!(shown.contains("this [[stub]] has no `zone`") && shown.contains("nobody could be asked"), "{shown}");
    let shown = sole("[resolver]\nipv6 = false\n[[forward]]\nzone = \".\"\nservers = [\"2001:db8::1\"]");
    assert!(shown.contains("none of the servers of `.` can be asked"), "{shown}");
    for (server, part) in [
        ("192.0.2.1:0", "port 0 cannot be asked"),
        ("192.0.2.1@5353", "write \"192.0.2.1:5353\""),
        ("0.0.0.0", "write \"127.0.0.1:53\""),
        ("ns.example", "not an IP address"),
        ("ff02::1", "multicast"),
    ] {
        let shown = sole(&format!("[[stub]]\nzone = \"a.\"\nservers = [\"{server}\"]"));
        assert!(shown.contains(part), "{server}: no `{part}` in\n{shown}");
    }
}

#[test]
fn what_is_hardly_meant_is_a_warning() {
    for (text, part) in [
        ("[server]\nlisten = [\"0.0.0.0:53\"]", "only this machine may ask"),
        ("[server]\nlisten = [\"0.0.0.0:53\"]\n[access]\nallow = [\"0.0.0.0/0\"]", "everybody may ask"),
        ("[server]\nlisten = [\"0.0.0.0:53\"]\n[access]\nallow = []", "nobody may ask"),
        ("[server]\nudp_payload_size = 4096", "fragmented"),
        ("[server]\ntcp_connections = 5\ntcp_connections_per_prefix = 6", "more connections than there are"),
    ] {
        let shown = warned(text);
        assert!(shown.contains(part) && shown.contains("warning[suspicious]"), "{text}: no `{part}` in\n{shown}");
    }
    assert_eq!(
        warned("[server]\nlisten = [\"0.0.0.0:53\"]\n[access]\nallow = [\"192.168.0.0/16\"]"),
        "test.toml: ok\n"
    );
}

#[test]
fn the_compiled_hints_are_thirteen_servers_with_two_addresses_each() {
    let hints = zonefile::hints(crate::resolve::COMPILED_ROOT_HINTS);
    assert_eq!(hints.notes, []);
    assert_eq!(hints.servers.len(), 13);
    assert_eq!(hints.servers.iter().map(|server| server.addresses.len()).sum::<usize>(), 26);
    assert_eq!(hints.servers[0].name, "a.root-servers.net.");
    assert_eq!(Settings::default().engine.resolve.root_hints, hints.servers);
}

#[test]
fn hints_are_read_liberally() {
    let text = "$TTL 1d\r\n; a comment ( not a parenthesis\r\n. IN 3600000 NS A.Root.TEST.\r\n\
                \t\tin ns b.root.test\n.  NS b.root.test.\n$ORIGIN root.test.\na 60 IN A 192.0.2.1\n\
                a.root.test. AAAA (\n  2001:db8::1 ; here\n )\nB 1h A 192.0.2.2\nb A 192.0.2.2\n";
    let hints = zonefile::hints(text);
    assert_eq!(hints.notes, []);
    let [a, b] = &hints.servers[..] else { panic!("{hints:?}") };
    assert_eq!((a.name.as_str(), a.addresses.len()), ("a.root.test.", 2));
    assert_eq!((b.name.as_str(), b.addresses.len()), ("b.root.test.", 1));
}

#[test]
fn hints_of_no_use_are_said() {
    let dir = std::env::temp_dir().join(format!("maeslant-hints-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let config = dir.join("maeslant.toml");
    let report_on = |hints: &str| {
        std::fs::write(dir.join("hints"), hints).unwrap();
        let (settings, report) = examine("[resolver]\nroot_hints = \"hints\"\n", &config);
        (settings, report.human(false))
    };
    let (settings, shown) =
        report_on(". 60 NS a.\na. 60 A 192.0.2.1\n. 60 DNSKEY 257 3 8 AAAA\n. 60 NS b.\norg. 60 NS a.\n");
    let settings = settings.expect(&shown);
    assert_eq!(settings.engine.resolve.root_hints.len(), 1);
    assert_eq!(settings.root_hints_file, Some(dir.join("hints")));
    assert!(shown.contains("hints:3:1") && shown.contains("ignored: DNSKEY is no hint"), "{shown}");
    assert!(shown.contains("ignored: only NS at the root") && shown.contains("b. has no address"), "{shown}");

    let (settings, shown) = report_on(". 60 NS a.\n\na. 60 A 192.0.2\na. 60 NONSENSE x\na. 60 A 192.0.2.1 7\n");
    assert!(settings.is_none());
    assert!(shown.contains("hints:3:1") && shown.contains("invalid IPv4 address syntax"), "{shown}");
    assert!(shown.contains("hints:4:1") && shown.contains("`NONSENSE` is not a record type"), "{shown}");
    assert!(shown.contains("hints:5:1") && shown.contains("no root server with an address"), "{shown}");

    let (_, shown) = report_on("$INCLUDE /etc/passwd\n. 60 NS a.\na. 60 A 0.0.0.0\n");
    assert!(shown.contains("$INCLUDE is not followed") && shown.contains("cannot be the address"), "{shown}");

    std::fs::write(dir.join("six"), ". 60 NS a.\na. 60 AAAA 2001:db8::1\n").unwrap();
    let (settings, report) = examine("[resolver]\nroot_hints = \"six\"\nipv6 = false\n", &config);
    assert!(settings.is_none() && report.human(false).contains("none of the root servers can be asked"));
    let (settings, report) = examine("[resolver]\nroot_hints = \"missing\"\n", &config);
    assert!(settings.is_none() && report.human(false).contains("2 | root_hints = \"missing\""));
    let (settings, report) = load(&dir.join("nothing.toml"));
    assert!(settings.is_none());
    let lines = report.human(false);
    assert!(lines.contains("cannot read") && lines.contains("nothing.toml: No such file"), "{lines}");
    std::fs::write(&config, b"[log]\nlevel = \"\xff\"\n").unwrap();
    let (settings, report) = load(&config);
    assert!(settings.is_none() && report.human(false).contains("maeslant.toml:2:10"), "{}", report.human(false));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn special_purpose_ranges_are_not_asked_and_name_servers_of_as112_are() {
    let ranges = special::do_not_query();
    assert_eq!(ranges.len(), special::DO_NOT_QUERY.len());
    let covered = |address: &str| ranges.iter().any(|net| net.contains(&address.parse::<std::net::IpAddr>().unwrap()));
    for inside in
        ["0.0.0.0", "10.1.2.3", "169.254.169.254", "127.0.0.53", "255.255.255.255", "::1", "::ffff:10.0.0.1", "fe80::1"]
    {
        assert!(covered(inside), "{inside}");
    }
    for outside in ["192.175.48.6", "2001:4:112::1", "64:ff9b::c000:201", "198.41.0.4", "2001:503:ba3e::2:30"] {
        assert!(!covered(outside), "{outside}");
    }
}

#[test]
fn the_shipped_example_is_without_a_flaw() {
    let (settings, report) = examine(include_str!("../../docker/maeslant.toml"), Path::new("docker/maeslant.toml"));
    assert!(settings.is_some() && report.problems.is_empty(), "{}", report.human(false));
}

/// Pieces that look like a configuration, so that chance reaches deeper than the first character.
fn fragments() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "[server]\n",
        "[cache]\n",
        "[[forward]]\n",
        "[[stub]]\n",
        "[resolver]\n",
        "[local]\n",
        "[dnssec]\n",
        "negative_trust_anchors",
        "[{ zone = \"a\", until = \"2050-01-01\" }]",
        "{ zone = \"b\", until = 2050-01-01 }",
        "[",
        "]",
        "\n",
        " = ",
        ".",
        "listen",
        "zone",
        "servers",
        "records",
        "deadline",
        "memory",
        "outgoing",
        "\"",
        "'",
        "\\",
        "\"8s\"",
        "[\"::1\"]",
        "[\"a. 60 A 192.0.2.1\"]",
        "[\"x. 1 TXT \\\"( ; \\\\\\\"\"]",
        "0x",
        "99999999999999999999",
        "-1",
        "1e5",
        "true",
        "#",
        "{",
        "}",
        ",",
        "ü",
        "\u{0}",
        "\t",
        "\r\n",
        "\"\"\"",
        "1979-05-27",
    ]);
    prop::collection::vec(prop_oneof![8 => words.prop_map(str::to_owned), 1 => any::<String>()], 0..40)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn no_text_makes_the_reader_panic(text in prop_oneof![fragments(), any::<String>()]) {
        prop_assume!(!text.contains("root_hints") && !text.contains("\ntrust_anchors") && !text.contains("public_suffixes"));
        let (settings, report) = examine(&text, Path::new("test.toml"));
        report.human(true);
        report.json();
        if let Some(settings) = settings {
            prop_assert_eq!(good(&print::effective(&settings)), settings);
        }
    }

    #[test]
    fn no_text_makes_the_hints_reader_panic(text in "[ \ta-z.0-9:;()\"\\\\$@\n]{0,80}|(\\. NS a\\.\n|a\\. A 192\\.0\\.2\\.1\n|.{0,20}\n){0,6}") {
        zonefile::hints(&text);
    }

    #[test]
    fn no_text_makes_the_record_reader_panic(text in "(a\\. 60 (A|TXT|MX|SRV|CAA|SVCB|HTTPS|NAPTR|TLSA|SOA) )?.{0,40}") {
        let _ = zonefile::record(&text);
    }

    #[test]
    fn durations_and_sizes_are_read_as_they_are_written(number: u32) {
        let span = Duration::from_millis(u64::from(number));
        prop_assert_eq!(units::duration(&units::write_duration(span)), Ok(span));
        prop_assert_eq!(units::size(&units::write_size(u64::from(number))), Ok(u64::from(number)));
    }
}

#[test]
fn a_family_without_a_source_address_stays_unused() {
    let settings = good("[resolver]\noutgoing = [\"192.0.2.1\"]");
    assert!(settings.engine.resolve.ipv4 && !settings.engine.resolve.ipv6);
}
