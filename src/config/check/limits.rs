//! Limits that contradict each other, classes that overlap, the secrets of cookies, and public suffixes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;

use super::super::report::{Code, Problem, Source};
use super::super::{reason, units};
use super::{Reading, between, read_file};
use crate::admission::{Mode, SuffixRules, canonical_prefix, cookie};

/// A secrets file has a handful of lines; more is something else.
const SECRETS_LIMIT: u64 = 1 << 16;

/// Checks `[limits]`, `[[client_class]]` and the file of `cookie_secrets`.
pub fn check(reading: &mut Reading, base: &Path) {
    bursts(reading);
    costs(reading);
    affordable(reading);
    cookies(reading);
    classes(reading);
    secrets(reading, base);
    suffixes(reading, base);
    if let Some(path) = &mut reading.settings.control_socket {
        *path = base.join(&*path);
    }
    if let Some(path) = &mut reading.settings.snapshot.file {
        *path = base.join(&*path);
    }
}

fn bursts(reading: &mut Reading) {
    const KEYS: [&str; 2] = ["limits.client_burst", "limits.client_rate"];
    let limits = &reading.settings.engine.access.limits;
    let (rate, burst) = (u64::from(limits.client_rate), limits.client_burst as u64);
    if KEYS.iter().any(|key| reading.broken(key)) {
        return;
    }
    let by_default = |key: &str| if reading.sound(key).is_none() { " (the default)" } else { "" };
    let what = |relation: &str| {
        let [burst_by, rate_by] = KEYS.map(by_default);
        format!("`{}` {burst}{burst_by} is {relation} `{}` {rate}/s{rate_by}", KEYS[0], KEYS[1])
    };
    let problem = if rate == 0 {
        Problem::error(Code::Conflict, "a share of nothing is no share").help("to limit nobody write clients = \"off\"")
    } else if burst < rate {
        Problem::error(Code::Conflict, what("less than one second of"))
            .help(format!("set client_burst = {rate} or more, or client_rate = \"{burst}/s\""))
    } else if burst > 4 * rate {
        Problem::error(Code::Conflict, what("more than four seconds of")).help(format!(
            "set client_burst = {} or less, or client_rate = \"{}/s\"",
            4 * rate,
            burst.div_ceil(4)
        ))
    } else {
        return;
    };
    let places = [(KEYS[0], format!("{burst} at once")), (KEYS[1], format!("{rate} a second"))];
    let problem = between(reading, problem.about(KEYS[0]), places);
    reading.say(problem);
}

fn costs(reading: &mut Reading) {
    const KEYS: [&str; 2] = ["limits.failure_cost", "limits.miss_cost"];
    let limits = &reading.settings.engine.access.limits;
    if limits.failure_cost >= limits.miss_cost || KEYS.iter().any(|key| reading.broken(key)) {
        return;
    }
    let problem = Problem::error(Code::Conflict, "a question that fails costs less than one that succeeds")
        .help("failure_cost is at least miss_cost");
    let places = [(KEYS[0], "this".to_owned()), (KEYS[1], "is less than this".to_owned())];
    let problem = between(reading, problem.about(KEYS[0]), places);
    reading.say(problem);
}

/// What one question or one connection costs has to fit into what a client may have at once, also with the smallest share.
fn affordable(reading: &mut Reading) {
    const BURST: &str = "limits.client_burst";
    let limits = &reading.settings.engine.access.limits;
    let burst = limits.client_burst;
    let share = usize::try_from(limits.levels.closed.share.0).unwrap_or(usize::MAX).max(1);
    let whole = |cost: usize| cost.saturating_mul(1_000_000).div_ceil(share);
    // Half of the burst is for work upstream; one unit of a miss was paid as an answer.
    // What nothing decides on nobody has to afford.
    let costs = [
        (
            "limits.miss_cost",
            limits.recursion,
            "a name that is not in the cache",
            whole(2 * limits.miss_cost.saturating_sub(1)),
        ),
        ("limits.tcp_accept_cost", limits.clients, "a connection", whole(limits.tcp_accept_cost)),
    ];
    let costs = costs.into_iter().filter(|(_, mode, ..)| *mode != Mode::Off);
    let mut problems = Vec::new();
    for (key, _, what, least) in costs {
        // A burst below its rate has been spoken of.
        let spoken_of = burst < limits.client_rate as usize;
        if burst >= least || spoken_of || [key, BURST].iter().any(|key| reading.broken(key)) {
            continue;
        }
        let text = format!("under pressure nobody could have {what}: it costs more than a client may have at once");
        let problem =
            Problem::error(Code::Conflict, text).help(format!("set client_burst = {least} or more")).about(key);
        let places = [(key, "so much".to_owned()), (BURST, format!("{burst} at once"))];
        let mut problem = between(reading, problem, places);
        if let Some(written) = reading.sound("level.closed.share") {
            problem = problem.at(written.value.clone(), "so little of it when closed");
        }
        problems.push(problem);
    }
    problems.into_iter().for_each(|problem| reading.say(problem));
}

/// Who must show a cookie must be able to get one.
fn cookies(reading: &mut Reading) {
    const KEY: &str = "access.cookies";
    let access = &reading.settings.engine.access;
    let Some(index) = access.classes.iter().position(|class| class.require_cookie == Mode::Enforce) else { return };
    if access.cookies.enabled || reading.broken(KEY) {
        return;
    }
    let key = format!("client_class[{index}].require_cookie");
    let problem = Problem::error(Code::Conflict, "a class has to show DNS cookies, and there are none")
        .help("leave cookies on, or set require_cookie = \"off\" in the class: by UDP it would never be served")
        .about("client_class.require_cookie");
    let problem = between(reading, problem, [(&key, "must show one".to_owned()), (KEY, "switched off".to_owned())]);
    reading.say(problem);
}

fn classes(reading: &mut Reading) {
    let mut problems = Vec::new();
    let mut names: BTreeMap<String, Range<usize>> = BTreeMap::new();
    let mut prefixes: BTreeMap<IpNet, Range<usize>> = BTreeMap::new();
    let allow: Vec<IpNet> = reading.settings.engine.access.allow.iter().copied().map(canonical_prefix).collect();
    for (index, class) in reading.settings.engine.access.classes.iter().enumerate() {
        if let Some(name) = reading.sound(&format!("client_class[{index}].name")) {
            match names.get(&class.name) {
                Some(first) => problems.push(
                    Problem::error(Code::Conflict, format!("two classes are called `{}`", class.name))
                        .at(name.value.clone(), "again here")
                        .at(first.clone(), "first here")
                        .about("client_class.name"),
                ),
                None => {
                    names.insert(class.name.clone(), name.value.clone());
                }
            }
        }
        let Some(written) = reading.sound(&format!("client_class[{index}].prefixes")) else { continue };
        for (prefix, place) in class.prefixes.iter().copied().map(canonical_prefix).zip(&written.items) {
            if let Some(first) = prefixes.get(&prefix) {
                problems.push(
                    Problem::error(Code::Conflict, format!("`{prefix}` is in two classes, or twice in one"))
                        .at(place.clone(), "again here")
                        .at(first.clone(), "first here")
                        .help("the longest prefix decides, so that a part of it may be in another class, not the same")
                        .about("client_class.prefixes"),
                );
                continue;
            }
            prefixes.insert(prefix, place.clone());
            let meets = |other: &IpNet| other.contains(&prefix) || prefix.contains(other);
            if !reading.broken("access.allow") && !allow.iter().any(meets) {
                problems.push(
                    Problem::warning(format!("nobody in `{prefix}` may ask, so that its class means nothing"))
                        .at(place.clone(), "outside of [access] allow")
                        .help("add it to [access] allow")
                        .about("client_class.prefixes"),
                );
            }
        }
    }
    problems.extend(exempt_twice(reading, &prefixes));
    reading.report.problems.append(&mut problems);
}

/// What is exempt and in a class as well is what the class says.
fn exempt_twice(reading: &Reading, classes: &BTreeMap<IpNet, Range<usize>>) -> Vec<Problem> {
    const KEY: &str = "limits.exempt";
    let Some(written) = reading.sound(KEY) else { return Vec::new() };
    let exempt = reading.settings.engine.access.limits.exempt.iter().copied().map(canonical_prefix);
    let twice = exempt.zip(&written.items).filter_map(|(prefix, place)| Some((prefix, place, classes.get(&prefix)?)));
    let problem = |(prefix, place, class): (IpNet, &Range<usize>, &Range<usize>)| {
        Problem::error(Code::Conflict, format!("`{prefix}` is exempt, and in a class, which decides"))
            .at(place.clone(), "means nothing")
            .at(class.clone(), "because of this")
            .help("leave it in one of them; a class may have exempt = true")
            .about(KEY)
    };
    twice.map(problem).collect()
}

fn secrets(reading: &mut Reading, base: &Path) {
    const KEY: &str = "access.cookie_secrets";
    let (Some(file), Some(place)) =
        (reading.settings.cookie_secrets_file.clone(), reading.sound(KEY).map(|written| written.value.clone()))
    else {
        return;
    };
    let path = base.join(file);
    let problem = match read_secrets(&path) {
        Ok(secrets) => {
            reading.settings.engine.access.cookies.secrets = secrets;
            None
        }
        Err(why) => {
            let message = format!("cannot take the secrets of {}", path.display());
            Some(Problem::error(Code::Unreadable, message).at(place, why).about(KEY))
        }
    };
    reading.settings.cookie_secrets_file = Some(path);
    problem.into_iter().for_each(|problem| reading.say(problem));
}

/// One secret a line; what is wrong is told without what stands there.
fn suffixes(reading: &mut Reading, base: &Path) {
    const KEY: &str = "limits.public_suffixes";
    let (Some(file), Some(place)) =
        (reading.settings.public_suffixes_file.clone(), reading.sound(KEY).map(|written| written.value.clone()))
    else {
        return;
    };
    let path = base.join(file);
    match read_file(&path).map(|text| (SuffixRules::parse(&text), text)) {
        Err(why) => {
            let problem = Problem::error(Code::Unreadable, format!("cannot read {}", path.display()));
            reading.say(problem.at(place, why).about(KEY));
        }
        Ok((Ok(rules), _)) => reading.settings.engine.access.limits.suffix_rules = Arc::new(rules),
        Ok((Err(errors), text)) => {
            let number = reading.report.sources.len();
            let source = Source::new(path.display().to_string(), text);
            for (line, message) in errors {
                let problem = Problem::error(Code::PublicSuffixes, "the public suffixes cannot be used");
                reading.report.problems.push(problem.within(number, source.span(line), message).about(KEY));
            }
            reading.report.sources.push(source);
        }
    }
    reading.settings.public_suffixes_file = Some(path);
}

fn read_secrets(path: &Path) -> Result<Vec<cookie::Secret>, String> {
    let about = std::fs::metadata(path).map_err(|error| reason(&error))?;
    if !about.is_file() {
        return Err("not a regular file".into());
    }
    if about.len() > SECRETS_LIMIT {
        return Err(format!("larger than {}", units::write_size(SECRETS_LIMIT)));
    }
    let text = std::fs::read_to_string(path).map_err(|error| reason(&error))?;
    let mut secrets = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let digits = line.split('#').next().unwrap_or("").trim();
        if digits.is_empty() {
            continue;
        }
        let octets = units::octets(&format!("0x{digits}")).ok().and_then(|octets| <[u8; 16]>::try_from(octets).ok());
        secrets.push(cookie::Secret(octets.ok_or(format!("line {number}: expected 32 hexadecimal digits"))?));
    }
    match secrets.len() {
        0 => Err("no secret in it".into()),
        1..=8 => Ok(secrets),
        _ => Err("more than 8 secrets".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use crate::admission::{ClientClass, Mode};
    use crate::config::{Settings, examine, print};

    fn good(text: &str) -> Settings {
        let (settings, report) = examine(text, Path::new("test.toml"));
        settings.unwrap_or_else(|| panic!("{}", report.human(false)))
    }

    /// The one problem of `text`, an error or a warning, as it is shown.
    fn sole(text: &str) -> String {
        let (_, report) = examine(text, Path::new("test.toml"));
        assert_eq!(report.problems.len(), 1, "{text}\n{}", report.human(false));
        report.human(false)
    }

    const EVERYTHING: &str = r#"
[server]
control_socket = "/run/maeslant/control"
[access]
allow = ["10.0.0.0/8"]
[limits]
clients = "observe"
client_rate = "50/s"
client_burst = 150
prefixes_v4 = ["/32:1", "/16:9"]
prefixes_v6 = ["/64:1"]
exempt = []
crowds = false
recursion = "off"
miss_cost = 3
failure_cost = 4
tcp_accept_cost = 2
strangers = "observe"
stranger_rate = "70/s"
slip = 0
rations = "off"
ration = "2KiB"
same_answer_ration = "1KiB"
zones = "observe"
zone_watch = "60/s"
zone_rate = "300/s"
zone_clients = "off"
places = "observe"
learned_memory = "1MiB"
kernel_filter = false
connections = "off"
calm = "1900ms"
table_memory = "6MiB"
[[client_class]]
name = "offices"
prefixes = ["10.1.0.0/16", "10.2.0.1"]
weight = 50
require_cookie = "enforce"
[[client_class]]
name = "probes"
prefixes = ["10.1.2.0/24"]
exempt = true
"#;

    #[test]
    fn every_key_changes_what_it_names() {
        let s = good(EVERYTHING);
        let (access, limits) = (&s.engine.access, &s.engine.access.limits);
        assert!(access.cookies.enabled && !good("[access]\ncookies = false").engine.access.cookies.enabled);
        assert_eq!(s.control_socket.as_deref(), Some(Path::new("/run/maeslant/control")));
        assert_eq!((limits.clients, limits.recursion), (Mode::Observe, Mode::Off));
        assert_eq!((limits.strangers, limits.rations), (Mode::Observe, Mode::Off));
        assert_eq!((limits.client_rate, limits.client_burst, limits.stranger_rate), (50, 150, 70));
        assert_eq!((limits.miss_cost, limits.failure_cost, limits.tcp_accept_cost, limits.slip), (3, 4, 2, 0));
        assert_eq!(
            (limits.ration, limits.same_answer_ration, limits.crowds, limits.kernel_filter),
            (2048, 1024, false, false)
        );
        assert_eq!(
            (limits.calm, limits.connections, s.limits_memory),
            (Duration::from_millis(1900), Mode::Off, 6 << 20)
        );
        assert_eq!((limits.zones, limits.zone_clients, limits.places), (Mode::Observe, Mode::Off, Mode::Observe));
        assert_eq!((limits.zone_watch, limits.zone_rate, s.learned_memory), (60, 300, 1 << 20));
        let levels: Vec<_> = limits.prefixes_v4.iter().chain(&limits.prefixes_v6).map(ToString::to_string).collect();
        assert_eq!(levels, ["/32:1", "/16:9", "/64:1"]);
        assert!(limits.exempt.is_empty());
        let prefixes = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a prefix")).collect();
        let offices = ClientClass {
            name: "offices".into(),
            prefixes: prefixes(&["10.1.0.0/16", "10.2.0.1/32"]),
            weight: 50,
            exempt: false,
            require_cookie: Mode::Enforce,
        };
        let probes = ClientClass {
            name: "probes".into(),
            prefixes: prefixes(&["10.1.2.0/24"]),
            exempt: true,
            ..ClientClass::default()
        };
        assert_eq!(access.classes, [offices, probes]);
        assert_eq!(good(&print::effective(&s)), s);
    }

    #[test]
    fn what_is_switched_off_needs_no_burst() {
        let small = "client_rate = \"10/s\"\nclient_burst = 40\n";
        assert!(sole(&format!("[limits]\n{small}")).contains("nobody could have a name"));
        good(&format!("[limits]\n{small}recursion = \"off\""));
        let dear = "[limits]\ntcp_accept_cost = 1001\n";
        assert!(sole(dear).contains("nobody could have a connection"));
        good(&format!("{dear}clients = \"off\""));
    }

    #[test]
    fn contradictions_show_both_places() {
        let class =
            |name: &str, prefix: &str| format!("[[client_class]]\nname = \"{name}\"\nprefixes = [\"{prefix}\"]\n");
        let twice = class("a", "127.1.0.0/16") + &class("b", "127.1.0.0/16");
        let mapped = class("a", "127.1.0.0/16") + &class("b", "::ffff:127.1.0.0/112");
        let exempt = format!("[limits]\nexempt = [\"127.1.0.0/16\"]\n{}", class("a", "127.1.0.0/16"));
        let called = class("a", "127.1.0.0/16") + &class("a", "127.2.0.0/16");
        for (text, parts) in [
            (
                "[limits]\nclient_rate = \"50/s\"\nclient_burst = 20",
                &["20 is less than one second of", "3 | client_burst", "2 | client_rate", "client_burst = 50"][..],
            ),
            ("[limits]\nclient_rate = \"5000/s\"", &["2000 (the default)", "2 | client_rate"]),
            ("[limits]\nclient_burst = 4001", &["more than four seconds of", "1000/s (the default)"]),
            ("[limits]\nclient_rate = \"0/s\"", &["no share", "clients = \"off\""]),
            ("[limits]\nmiss_cost = 60", &["costs less than", "2 | miss_cost"]),
            (
                "[limits]\nclient_rate = \"20/s\"\nclient_burst = 40",
                &["nobody could have a name", "3 | client_burst", "client_burst = 76"],
            ),
            ("[limits]\ntcp_accept_cost = 1001", &["nobody could have a connection", "2 | tcp_accept_cost", "2002"]),
            (
                "[level.closed]\nshare = \"1%\"\n[limits]\ntcp_accept_cost = 0",
                &["nobody could have a name", "3800", "so little of it when closed", "2 | share"],
            ),
            (
                "[access]\nallow = [\"0.0.0.0/0\"]\n[limits]\nexempt = [\"0.0.0.0/0\"]",
                &["nothing limits them", "4 | exempt", "2 | allow"],
            ),
            (
                "[access]\nallow = [\"10.0.0.0/8\"]\ncookies = false\n[[client_class]]\nname = \"office\"\n\
                 prefixes = [\"10.1.0.0/16\"]\nrequire_cookie = \"enforce\"",
                &["there are none", "3 | cookies", "7 | require_cookie"],
            ),
            ("[limits]\nprefixes_v4 = [\"/24:1\", \"/32:2\"]", &["not in order", "not shorter than"]),
            ("[limits]\nprefixes_v4 = [\"/32:2\", \"/24:1\"]", &["not in order", "fewer shares than"]),
            ("[limits]\nprefixes_v4 = [\"/64:2\"]", &["longer than an address", "at most /32"]),
            ("[limits]\nprefixes_v4 = [\"24:2\"]", &["write \"/24:32\""]),
            ("[limits]\nprefixes_v6 = []", &["expected 1 to 8"]),
            ("[limits]\nclients = \"maybe\"", &["expected \"enforce\", \"observe\", \"off\""]),
            (&twice, &["in two classes", "6 | prefixes", "3 | prefixes"]),
            (&mapped, &["`127.1.0.0/16` is in two classes", "6 | prefixes", "3 | prefixes"]),
            (&exempt, &["`127.1.0.0/16` is exempt, and in a class", "2 | exempt", "5 | prefixes"]),
            (&called, &["two classes are called `a`", "5 | name", "2 | name"]),
            (&class("a b", "127.1.0.0/16"), &["letters, digits, hyphens"]),
            (&class("a", "192.0.2.0/24"), &["nobody in `192.0.2.0/24` may ask"]),
            (&(class("a", "127.1.0.0/16") + "weight = 0"), &["1 to 10000 shares"]),
            (
                "[access]\nallow = [\"0.0.0.0/0\"]\n[limits]\nclients = \"off\"",
                &["nothing limits them", "4 | clients", "2 | allow"],
            ),
            ("[access]\ncookie_secrets = \"missing\"", &["cannot take the secrets of missing", "No such file"]),
        ] {
            let shown = sole(text);
            for part in parts {
                assert!(shown.contains(part), "{text}: no `{part}` in\n{shown}");
            }
        }
    }

    #[test]
    fn public_suffixes_come_from_a_file_and_each_mistake_is_shown() {
        let dir = std::env::temp_dir().join(format!("maeslant-suffixes-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let read = |text: &str| {
            std::fs::write(dir.join("suffixes"), text).expect("a file");
            examine("[limits]\npublic_suffixes = \"suffixes\"\n", &dir.join("maeslant.toml"))
        };
        let (settings, report) = read("// ours\nlan\n!github.io\n");
        assert_eq!(report.errors(), 0, "{}", report.human(false));
        assert_eq!(settings.expect("good rules").engine.access.limits.suffix_rules.len(), 2);
        let (settings, report) = read("lan\nno..name\n\nlan\n");
        assert!(settings.is_none());
        let shown = report.human(false);
        for expected in ["suffixes:2", "`no..name` is no name", "suffixes:4", "a second rule for `lan.`"] {
            assert!(shown.contains(expected), "no `{expected}` in\n{shown}");
        }
        std::fs::remove_dir_all(&dir).expect("removed");
    }

    #[test]
    fn secrets_come_from_a_file_and_are_never_shown() {
        let dir = std::env::temp_dir().join(format!("maeslant-secrets-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        let read = |secrets: &str| {
            std::fs::write(dir.join("secrets"), secrets).expect("a file");
            examine("[access]\ncookie_secrets = \"secrets\"\n", &dir.join("maeslant.toml"))
        };
        let (first, second) = ("e5e973e5a6b2a43f48e7dc849e37bfcf", "445536BCD2513298075A5D379663C962");
        let (settings, _) = read(&format!("# ours\n{first}\n\n {second} # the next\n"));
        let settings = settings.expect("good secrets");
        let secrets = &settings.engine.access.cookies.secrets;
        assert_eq!((secrets.len(), secrets[0].0[0], secrets[1].0[15]), (2, 0xe5, 0x62));
        assert!(!format!("{settings:?}").to_lowercase().contains("229, 233"));
        for (text, part) in [("", "no secret in it"), ("#", "no secret in it"), ("\nabcd12", "line 2: expected 32")] {
            let (settings, report) = read(text);
            let shown = report.human(false);
            assert!(settings.is_none() && shown.contains(part) && !shown.contains("abcd12"), "{shown}");
        }
        std::fs::remove_dir_all(&dir).expect("removed");
    }
}
