//! A scenario says what it says, and all that is wrong with it at once.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::text::report::Report;

const VOCABULARY: Vocabulary = Vocabulary {
    zones: &["plain", "dead", "nxns"],
    behaviours: &["silent", "servfail"],
    beyond: &["drop", "refused"],
    signed: |_| Ok(()),
};

fn good(text: &str) -> Scenario {
    read(text, Path::new("s.toml"), &VOCABULARY).unwrap_or_else(|report| panic!("{}", report.human(false)))
}

fn bad(text: &str) -> Report {
    read(text, Path::new("s.toml"), &VOCABULARY).expect_err("this is not to be accepted")
}

const HEAD: &str = "[scenario]\nname = \"t\"\nduration = \"60s\"\n";

#[test]
fn attacks_are_made_weaker_and_customers_are_not() {
    let mut scenario = good(&format!(
        "{HEAD}[[stream]]\nname = \"people\"\nrole = \"legit\"\nnames = \"popular\"\nrate = \"100/s\"\n\
         [[stream]]\nname = \"bots\"\nrole = \"attack\"\nnames = \"popular\"\n\
         rate = [{{ at = \"5s\", qps = 1000 }}, {{ at = \"9s\", qps = 0 }}]\n\
         [[stream]]\nname = \"hoard\"\nrole = \"attack\"\nrate = \"40/s\"\n\
         generator = {{ kind = \"tcp-hoard\", connections = 200 }}\n"
    ));
    scenario.scale_attacks(0.25);
    let peaks: Vec<f64> = scenario.streams.iter().map(|stream| stream.rate.peak()).collect();
    assert_eq!(peaks, [100.0, 250.0, 10.0]);
    // What they hold at once stays: fewer of them would be turned away by themselves, and not by the server.
    assert!(matches!(scenario.streams[2].traffic, Traffic::Connections { at_once: 200, .. }));
}

#[test]
fn a_whole_scenario_is_read() {
    let scenario = good(&format!(
        "{HEAD}seed = 7\n[target]\naddress = \"127.0.0.1:5300\"\n[lab]\nsites = 50\n\
         [[zone]]\nname = \"bank{{n}}.com\"\ncount = 3\nkind = \"dead\"\n\
         [[fault]]\nzone = \"bank1.com\"\nfrom = \"10s\"\nto = \"20s\"\ndrop = 0.9\nbehaviour = \"silent\"\n\
         [[fault]]\nzone = \"bank2.com\"\nfrom = \"12s\"\nto = \"15s\"\nrate_limit = 500\nbeyond = \"refused\"\n\
         [[stream]]\nname = \"people\"\nrole = \"legit\"\nclients = 100\nsources = [\"127.10.0.0/16\"]\n\
         names = {{ list = [\"www.example.com AAAA\", \"host{{1..3}}.example.org MX\"], zipf = 1.1 }}\ntypes = [\"A+AAAA+HTTPS*3\", \"MX\"]\n\
         rate = [ {{ at = \"0s\", qps = 10 }}, {{ at = \"30s\", qps = 90.5, ramp = true }} ]\n\
         transports = {{ udp = 3, tcp = 1 }}\nretry = [\"1s\", \"5s\"]\n\
         [[stream]]\nname = \"bots\"\nrole = \"attack\"\nrate = \"50/s\"\n\
         generator = {{ kind = \"random-subdomain\", zones = [\"bank{{1..3}}.com\"], style = \"deep\", length = [4, 9] }}\n\
         [[expect]]\nstream = \"people\"\nwindow = [\"10s\", \"50s\"]\nsuccess = \">= 99.5%\"\np99 = \"<= 250ms\"\n\
         [[expect]]\nupstream_zone = \"bank1.com\"\nstream = \"bots\"\nper_query = \"<= 20\"\nqps = \"<= 200/s\"\n"
    ));
    assert_eq!((scenario.seed, scenario.sites, scenario.zones[0].name.as_str()), (7, 50, "bank{n}.com."));
    let people = &scenario.streams[0];
    assert_eq!((people.tcp, people.retry.len(), people.rate.steps().len()), (0.25, 2, 2));
    let Traffic::Names(names) = &people.traffic else { panic!("{:?}", people.traffic) };
    assert_eq!(names.types[0], (vec![1, 28, 65], 3.0));
    let NameSource::List(list) = &names.from else { panic!("{:?}", names.from) };
    assert_eq!((list.len(), list[3].0.to_string().as_str(), list[3].1), (4, "host3.example.org.", Some(15)));
    let Traffic::RandomSubdomain { zones, style: Style::Deep, length: (4, 9), .. } = &scenario.streams[1].traffic
    else {
        panic!("{:?}", scenario.streams[1].traffic)
    };
    assert_eq!(zones.len(), 3);
    let titles: Vec<String> = scenario.expects.iter().map(Expect::title).collect();
    assert_eq!(
        titles,
        [
            "people: success >= 99.50 %",
            "people: p99 <= 250 ms",
            "upstream of bank1.com.: qps <= 200/s",
            "upstream of bank1.com.: per_query of bots <= 20",
        ]
    );
    assert!(scenario.is_attacked(5) && scenario.is_faulty(10) && !scenario.is_faulty(20));
    assert_eq!((scenario.faults[0].to, scenario.faults[0].rate_limit), (Duration::from_secs(20), 0));
    assert_eq!((scenario.faults[1].rate_limit, scenario.faults[1].beyond), (500, Some("refused")));
}

#[test]
fn every_mistake_is_told_with_its_place_and_a_hint() {
    let report = bad(&format!(
        "{HEAD}sead = 7\n\
         [[zone]]\nname = \"bank.com\"\nkind = \"dad\"\n\
         [[stream]]\nname = \"people\"\nrole = \"legitimate\"\nnames = \"popular\"\nrate = \"many\"\n\
         [[stream]]\nname = \"bots\"\nrole = \"attack\"\ngenerator = {{ kind = \"random-subdomian\" }}\nrate = \"5/s\"\nclinets = 5\n\
         [[expect]]\nstream = \"peple\"\nsuccess = \"0.99\"\n"
    ));
    let text = report.human(false);
    for wanted in [
        "s.toml:4:1",
        "did you mean `seed`?",
        "did you mean \"dead\"?",
        "did you mean \"legit\"?",
        "`rate` cannot be \"many\"",
        "did you mean \"random-subdomain\"?",
        "a comparison begins with",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
    assert!(report.errors() >= 6, "{text}");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let stream = |rest: &str| format!("{HEAD}[[stream]]\nname = \"s\"\nnames = \"a.example\"\nrate = \"10/s\"\n{rest}");
    for (text, wanted) in [
        (stream("sources = [\"192.0.2.0/24\"]\n"), "not on this machine"),
        (stream("sources = [\"127.0.0.0/4\"]\n"), "bits beyond"),
        (stream("cache_hits = 0.5\n"), "nobody has asked for"),
        (stream("transports = { udp = 9, dot = 1 }\n"), "no traffic by dot yet"),
        (
            stream("").replace("[[stream]]", "[target]\naddress = \"tls://127.0.0.1:853\"\n[[stream]]"),
            "no traffic by tls",
        ),
        (stream("types = [\"NOPE\"]\n"), "not a record type"),
        (stream("[[stream]]\nname = \"s\"\nnames = \"a.b\"\nrate = \"1/s\"\n"), "two streams"),
        (stream("[[expect]]\nstream = \"s\"\nwindow = [\"50s\", \"70s\"]\nsuccess = \">= 0.5\"\n"), "after the run"),
        (stream("[[expect]]\nstream = \"s\"\nsuccess = \">= 2\"\n"), "from 0 to 1"),
        (stream("[[expect]]\nstream = \"s\"\n"), "expects nothing"),
        (stream("[[fault]]\nzone = \"a.\"\nfrom = \"9s\"\nto = \"3s\"\n"), "after it begins"),
        (stream("[[fault]]\nzone = \"a.\"\nbeyond = \"drop\"\n"), "no `rate_limit`"),
        (stream("[[fault]]\nzone = \"a.\"\nrate_limit = 0\n"), "out of range"),
        (stream("").replace("a.example", "a{5..1}.example"), "not a range"),
        (HEAD.to_owned(), "no `stream`"),
        (stream("").replace("10/s", "9000000/s"), "more than the"),
        (stream("").replace("60s", "25h"), "a moment to a day"),
        ("[scenario".to_owned(), "not TOML"),
        (String::new(), "no `scenario`"),
    ] {
        let told = bad(&text).human(false);
        assert!(told.contains(wanted), "{wanted} is not in\n{told}");
    }
}
