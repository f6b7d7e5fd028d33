//! From TOML text to a scenario.

use std::cell::RefCell;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::{DeTable, DeValue};

use super::form::Form;
use super::{
    Action, Event, FaultEntry, FaultPlace, LONGEST, MOST, Role, Scenario, Stream, Traffic, ZoneEntry, expect, traffic,
};
use crate::load::packet;
use crate::load::schedule::{Rate, Step};
use crate::text::nearest;
use crate::text::report::{Code, Problem, Report};
use crate::text::syntax;
use crate::text::units;

/// The greatest rate of a stream, queries a second.
const FASTEST: f64 = 10_000_000.0;

/// Transports that scenarios will have as soon as the server has them.
const ENCRYPTED: [&str; 3] = ["dot", "doh", "doq"];

/// Why nobody is asked by an encrypted transport.
pub fn not_spoken(transport: &str) -> String {
    format!("no traffic by {transport} yet: it comes with this program's server; udp and tcp are spoken")
}

/// Words that the small Internet knows.
#[derive(Clone, Copy, Debug)]
pub struct Vocabulary {
    /// Kinds of `[[zone]]`.
    pub zones: &'static [&'static str],
    /// Behaviours of `[[fault]]`, and what becomes of queries beyond its `rate_limit`.
    pub behaviours: &'static [&'static str],
    pub beyond: &'static [&'static str],
    /// What is wrong with the `signed` of a `[[zone]]`.
    pub signed: fn(&str) -> Result<(), String>,
}

/// Reads a scenario; `origin` is named in the report, and relative paths start at its folder.
///
/// # Errors
/// All that is wrong with it.
pub fn read(text: &str, origin: &Path, vocabulary: &Vocabulary) -> Result<Scenario, Report> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let report = RefCell::new(Report::on(origin.display().to_string(), text));
    let root = Form::new("the scenario", 0..0, document.get_ref(), &report);
    let scenario = whole(&root, text, origin.parent().unwrap_or(Path::new("")), vocabulary);
    root.finish();
    drop(root);
    let mut report = report.into_inner();
    syntax::amend(text, &errors, &mut report);
    report.sort();
    match scenario {
        Some(scenario) if report.errors() == 0 => Ok(scenario),
        _ => Err(report),
    }
}

fn whole(root: &Form<'_>, text: &str, folder: &Path, vocabulary: &Vocabulary) -> Option<Scenario> {
    let mut scenario = Scenario {
        name: String::new(),
        about: String::new(),
        duration: Duration::ZERO,
        seed: 1,
        most: MOST,
        late_after: Duration::from_millis(10),
        target: None,
        sites: 1000,
        resolver: None,
        streams: Vec::new(),
        zones: Vec::new(),
        faults: Vec::new(),
        events: Vec::new(),
        expects: Vec::new(),
        strength: 1.0,
        text: text.to_owned(),
    };
    match root.table("scenario", "[scenario]") {
        Some(form) => head(&form, &mut scenario),
        None if root.is_sound() => root.missing("scenario", "a table [scenario] with name and duration"),
        None => {}
    }
    if let Some(form) = root.table("target", "[target]") {
        match form.get("address").map(|value| (value.span(), value.get_ref())) {
            Some((span, DeValue::String(text))) if text.contains("://") => {
                let scheme = text.split("://").next().unwrap_or_default();
                form.wrong(span, not_spoken(scheme), "expected an address and port such as \"127.0.0.1:5300\"");
            }
            _ => scenario.target = form.address("address"),
        }
        if scenario.target.is_none() && form.is_sound() {
            form.missing("address", "\"127.0.0.1:5300\"");
        }
        form.finish();
    }
    if let Some(form) = root.table("lab", "[lab]") {
        scenario.sites = form.count("sites", 0, 9_999).unwrap_or(1000) as u16;
        form.finish();
    }
    if let Some(form) = root.table("resolver", "[resolver]") {
        scenario.resolver = form.string("config");
        form.finish();
    }
    for form in root.tables("zone", "[[zone]]") {
        scenario.zones.extend(zone(&form, vocabulary));
    }
    for form in root.tables("fault", "[[fault]]") {
        scenario.faults.extend(fault(&form, &scenario, vocabulary));
    }
    for form in root.tables("event", "[[event]]") {
        scenario.events.extend(event(&form, scenario.duration));
    }
    scenario.events.sort_by_key(|event| event.at);
    for form in root.tables("stream", "[[stream]]") {
        let found = stream(&form, folder);
        if let Some(found) = found {
            if scenario.streams.iter().any(|s| s.name == found.name) {
                form.wrong(form.place("name"), format!("two streams are named \"{}\"", found.name), "again here");
            }
            scenario.streams.push(found);
        }
    }
    if scenario.streams.is_empty() && root.is_sound() && root.get("stream").is_none() {
        root.missing("stream", "[[stream]] with a name, names and a rate");
    }
    for form in root.tables("expect", "[[expect]]") {
        let line = 1 + text[..form.span.start.min(text.len())].matches('\n').count();
        let found = expect::read(&form, line, scenario.duration);
        for name in found.iter().filter_map(stream_of) {
            known_stream(&form, name, &scenario.streams);
        }
        scenario.expects.extend(found);
    }
    bounds(root, &scenario);
    Some(scenario)
}

fn stream_of(expect: &super::Expect) -> Option<&str> {
    match &expect.subject {
        super::Subject::Stream(name) => Some(name),
        super::Subject::Upstream { stream, .. } => stream.as_deref(),
        super::Subject::Server => None,
    }
}

fn known_stream(form: &Form<'_>, name: &str, streams: &[Stream]) {
    if streams.iter().any(|s| s.name == name) || streams.is_empty() {
        return;
    }
    let names = || streams.iter().map(|s| s.name.as_str());
    let help = match nearest(name, names()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("the streams are {}", names().collect::<Vec<_>>().join(", ")),
    };
    let problem = Problem::error(Code::BadValue, format!("there is no stream \"{name}\""));
    form.fail(problem.at(form.place("stream"), "not known").help(help));
}

fn bounds(root: &Form<'_>, scenario: &Scenario) {
    let planned = scenario.planned();
    if planned > scenario.most as f64 {
        let message = format!("the streams send {planned:.0} queries, more than the {} this run may", scenario.most);
        let problem = Problem::error(Code::OutOfRange, message).at(root.place("stream"), "too many in all");
        root.fail(problem.help("lower the rates or the duration, or raise `max_queries` in [scenario]"));
    }
}

fn head(form: &Form<'_>, scenario: &mut Scenario) {
    match form.string("name") {
        Some(name) => scenario.name = name,
        None if form.is_sound() => form.missing("name", "\"what-it-shows\""),
        None => {}
    }
    scenario.about = form.string("about").unwrap_or_default();
    match form.duration("duration") {
        Some(duration) if duration > LONGEST || duration.is_zero() => {
            form.wrong(form.place("duration"), "a run lasts from a moment to a day", "expected at most \"24h\"");
        }
        Some(duration) => scenario.duration = duration,
        None if form.get("duration").is_none() => form.missing("duration", "\"60s\""),
        None => {}
    }
    scenario.seed = form.count("seed", 0, u64::MAX).unwrap_or(1);
    scenario.most = form.count("max_queries", 1, 1_000_000_000).unwrap_or(MOST);
    scenario.late_after = form.duration("late_after").unwrap_or(Duration::from_millis(10));
    form.finish();
}

fn stream(form: &Form<'_>, folder: &Path) -> Option<Stream> {
    let name = form.string("name");
    if name.is_none() && form.get("name").is_none() {
        form.missing("name", "\"customers\"");
    }
    let role = match form.word("role", &["legit", "attack", "background"]) {
        Some("attack") => Role::Attack,
        Some("background") => Role::Background,
        _ => Role::Legit,
    };
    let traffic = traffic::read(form, folder);
    let rate = rate(form);
    let default = packet::Form::default();
    let shape = packet::Form {
        edns: match form.count("edns", 0, 65_535) {
            Some(0) => None,
            Some(payload) => Some(payload as u16),
            None => default.edns,
        },
        dnssec: form.flag("dnssec").unwrap_or(false),
        recursion: form.flag("recursion").unwrap_or(true),
    };
    let sources = form.prefixes("sources").unwrap_or_else(|| {
        let second = if role == Role::Attack { 66 } else { 10 };
        IpNet::new(IpAddr::from([127, second, 0, 0]), 16).into_iter().collect()
    });
    only_loopback(form, &sources);
    let clients = form.count("clients", 0, 16_777_216).unwrap_or(if role == Role::Attack { 0 } else { 1000 });
    let stub = role == Role::Legit;
    let retry = form.list("retry", "a duration such as \"5s\"", units::duration);
    let found = Stream {
        name: name.clone().unwrap_or_default(),
        role,
        clients: clients as u32,
        sources,
        rate: rate.clone().unwrap_or_else(|| Rate::steady(0.0)),
        best_effort: form.flag("best_effort").unwrap_or(false),
        poisson: form.word("arrivals", &["even", "poisson"]) == Some("poisson"),
        tcp: transports(form),
        follow_truncation: form.flag("follow_truncation").unwrap_or(stub),
        cookies: form.flag("cookies").unwrap_or(false),
        retry: retry.unwrap_or_default(),
        timeout: form.duration("timeout").unwrap_or(Duration::from_secs(if stub { 5 } else { 2 })),
        shape,
        traffic: traffic.clone()?,
    };
    if found.cookies && found.shape.edns.is_none() {
        form.wrong(form.place("cookies"), "a cookie has its place in an OPT record", "leave out edns = 0, or cookies");
    }
    let by_tcp = found.tcp > 0.0 || found.follow_truncation || matches!(found.traffic, Traffic::Connections { .. });
    if found.best_effort && by_tcp {
        let help = "leave best_effort out, or tcp, with follow_truncation = false";
        form.wrong(form.place("best_effort"), "a stream that sends as fast as it can does so by UDP alone", help);
    }
    form.finish();
    (name.is_some() && rate.is_some()).then_some(found)
}

fn only_loopback(form: &Form<'_>, sources: &[IpNet]) {
    for net in sources {
        let fine = match net {
            IpNet::V4(net) => net.addr().is_loopback() && net.prefix_len() >= 8,
            IpNet::V6(net) => net.addr().is_loopback() || (net.addr().segments()[0] & 0xfe00) == 0xfc00,
        };
        if !fine {
            let message = format!("{net} is not on this machine");
            let problem = Problem::error(Code::BadValue, message).at(form.place("sources"), "no forged addresses");
            form.fail(problem.help("sources lie in 127.0.0.0/8, ::1, or fd00::/8 in a network namespace of its own"));
        }
    }
}

fn rate(form: &Form<'_>) -> Option<Rate> {
    let Some(value) = form.get("rate") else {
        form.missing("rate", "\"1000/s\"");
        return None;
    };
    match value.get_ref() {
        DeValue::Array(array) => {
            let steps: Vec<Step> = array.iter().filter_map(|v| step(&form.as_table("rate", v, "`rate`")?)).collect();
            (!steps.is_empty()).then(|| Rate::of(steps))
        }
        _ => form.parsed("rate", value, "a rate such as \"1000/s\"", units::rate).map(|r| Rate::steady(f64::from(r))),
    }
}

fn step(form: &Form<'_>) -> Option<Step> {
    let at = form.duration("at");
    let qps = form.number("qps", 0.0, FASTEST);
    let ramp = form.flag("ramp").unwrap_or(false);
    if at.is_none() && form.get("at").is_none() {
        form.missing("at", "\"30s\"");
    }
    if qps.is_none() && form.get("qps").is_none() {
        form.missing("qps", "1000");
    }
    form.finish().then_some(Step { at: at?, qps: qps?, ramp })
}

/// The share of TCP.
fn transports(form: &Form<'_>) -> f64 {
    let Some(own) = form.table("transports", "`transports`") else { return 0.0 };
    let udp = own.number("udp", 0.0, 1e9);
    let tcp = own.number("tcp", 0.0, 1e9);
    for key in ENCRYPTED {
        if let Some(value) = own.get(key) {
            let problem = Problem::error(Code::BadValue, not_spoken(key)).at(value.span(), "not possible yet");
            own.fail(problem.help("leave it out, or give its share to tcp, whose costs are the nearest"));
        }
    }
    own.finish();
    let (udp, tcp) = (udp.unwrap_or(0.0), tcp.unwrap_or(0.0));
    if udp + tcp > 0.0 { tcp / (udp + tcp) } else { 0.0 }
}

fn zone(form: &Form<'_>, vocabulary: &Vocabulary) -> Option<ZoneEntry> {
    let name = form.parsed(
        "name",
        form.get("name").or_else(|| {
            form.missing("name", "\"bank.com.\"");
            None
        })?,
        "a zone such as \"bank.com.\"",
        |text| units::zone(&text.replace("{n}", "0")).map(|_| text.to_ascii_lowercase()),
    );
    let kind = match form.get("kind") {
        Some(_) => form.word("kind", vocabulary.zones),
        None => vocabulary.zones.first().copied(),
    };
    let count = form.count("count", 1, 10_000).unwrap_or(1) as u32;
    let size = form.count("size", 1, 10_000).unwrap_or(0) as u32;
    let records = form.string("records").unwrap_or_default();
    let signed = form.get("signed").and_then(|value| {
        let wanted = "how it is signed, such as \"13 nsec3\"";
        form.parsed("signed", value, wanted, |text| {
            (vocabulary.signed)(text).map_err(|what| units::Wrong { what, help: None })?;
            Ok(text.to_owned())
        })
    });
    if name.as_ref().is_some_and(|name| count > 1 && !name.contains("{n}")) {
        form.wrong(form.place("name"), "several zones need several names", "put {n} where the number goes");
    }
    let name = name.map(|name| if name.ends_with('.') { name } else { name + "." });
    form.finish().then_some(ZoneEntry { name: name?, count, kind: kind?, size, records, signed })
}

fn event(form: &Form<'_>, duration: Duration) -> Option<Event> {
    let at = form.duration("at");
    if at.is_none() && form.get("at").is_none() {
        form.missing("at", "\"30s\"");
    }
    if at.is_some_and(|at| at >= duration) {
        form.wrong(form.place("at"), "an event is within the run", "after its end");
    }
    let action = form.word("action", &["restart", "reload"]);
    if action.is_none() && form.get("action").is_none() {
        form.missing("action", "\"restart\"");
    }
    let action = match action? {
        "restart" => Action::Restart,
        _ => Action::Reload { records: form.count("records", 0, 1_000_000).unwrap_or(0) as u32 },
    };
    form.finish().then_some(Event { at: at?, action })
}

fn fault(form: &Form<'_>, scenario: &Scenario, vocabulary: &Vocabulary) -> Option<FaultEntry> {
    let place = match (form.string("zone"), form.string("server"), form.flag("everywhere")) {
        (Some(zone), None, None) => Some(FaultPlace::Zone(if zone.ends_with('.') { zone } else { zone + "." })),
        (None, Some(server), None) => Some(FaultPlace::Server(server)),
        (None, None, Some(true)) => Some(FaultPlace::Everywhere),
        _ => {
            let problem = Problem::error(Code::MissingKey, "a [[fault]] is in one place");
            let help = "add one of zone = \"ZONE\", server = \"NAME\", everywhere = true";
            form.fail(problem.at(form.span.clone(), "where?").help(help));
            None
        }
    };
    let found = FaultEntry {
        place: place.unwrap_or(FaultPlace::Everywhere),
        from: form.duration("from").unwrap_or_default(),
        to: form.duration("to").unwrap_or(scenario.duration),
        drop: form.number("drop", 0.0, 1.0).unwrap_or(0.0),
        delay: form.duration("delay").unwrap_or_default(),
        jitter: form.duration("jitter").unwrap_or_default(),
        behaviour: form.word("behaviour", vocabulary.behaviours),
        rate_limit: form.count("rate_limit", 1, 1_000_000).unwrap_or(0) as u32,
        beyond: form.word("beyond", vocabulary.beyond),
    };
    if found.beyond.is_some() && form.get("rate_limit").is_none() {
        form.missing("rate_limit", "500, the queries a second beyond which that holds");
    }
    if found.from >= found.to && form.is_sound() {
        form.wrong(form.place("to"), "a fault ends after it begins", "not later than `from`");
    }
    form.finish().then_some(found)
}
