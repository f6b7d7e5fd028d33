//! What single values cannot show: settings that exclude each other, records, root hints, and what is hardly meant.

mod levels;
mod limits;
mod open;
mod order;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::path::Path;

use super::read::{Reading, Written};
use super::report::{Code, Problem, Report, Severity, Source};
use super::{Settings, anchors, units, zonefile};
use crate::admission::canonical_prefix;
use crate::local;
use crate::wire::{Name, Rtype};

/// Root hints and trust anchors are a few kilobytes; more is something else.
const FILE_LIMIT: u64 = 1 << 20;
/// UDP messages beyond this are fragmented on common paths (RFC 9715 §3.2).
const UDP_WITHOUT_FRAGMENTS: u16 = 1400;

/// Checks the whole and completes it. Relative paths start at `base`.
pub fn finish(mut reading: Reading, base: &Path) -> (Settings, Report) {
    families(&mut reading);
    times(&mut reading);
    upstreams(&mut reading);
    records(&mut reading);
    access(&mut reading);
    limits::check(&mut reading, base);
    open::check(&mut reading);
    order::check(&mut reading);
    levels::check(&mut reading);
    sizes(&mut reading);
    root_hints(&mut reading, base);
    anchors::complete(&mut reading, base);
    let Reading { mut settings, mut report, .. } = reading;
    if settings.workers == 0 {
        settings.workers = super::cores();
    }
    settings.engine.cache_prefetch = settings.cache.prefetch;
    report.sort();
    (settings, report)
}

impl Reading {
    /// Where a setting was written, if it was and could be read.
    pub(super) fn sound(&self, path: &str) -> Option<&Written> {
        self.written.get(path).filter(|written| written.sound)
    }

    /// The setting was written, and could not be read: there is nothing to compare it with.
    pub(super) fn broken(&self, path: &str) -> bool {
        self.written.get(path).is_some_and(|written| !written.sound)
    }

    pub(super) fn say(&mut self, problem: Problem) {
        self.report.problems.push(problem);
    }
}

/// A problem that two settings make together: where both are written, both are shown.
fn between(reading: &Reading, problem: Problem, places: [(&str, String); 2]) -> Problem {
    places.into_iter().fold(problem, |problem, (path, text)| match reading.sound(path) {
        Some(written) => problem.at(written.value.clone(), text),
        None => problem,
    })
}

fn families(reading: &mut Reading) {
    let (ipv4, ipv6) = (reading.settings.engine.resolve.ipv4, reading.settings.engine.resolve.ipv6);
    if !ipv4 && !ipv6 {
        let problem = Problem::error(Code::Conflict, "neither IPv4 nor IPv6: no server could be asked")
            .help("leave at least one of them true")
            .about("resolver.ipv4");
        let places = [("resolver.ipv4", "switched off".into()), ("resolver.ipv6", "switched off too".into())];
        let problem = between(reading, problem, places);
        reading.say(problem);
        return;
    }
    let Some(outgoing) = reading.sound("resolver.outgoing").map(|written| written.value.clone()) else { return };
    let missing = [
        (ipv4, "resolver.ipv4", "IPv4", "0.0.0.0", reading.settings.upstream.outgoing.iter().any(IpAddr::is_ipv4)),
        (ipv6, "resolver.ipv6", "IPv6", "::", reading.settings.upstream.outgoing.iter().any(IpAddr::is_ipv6)),
    ];
    for (enabled, key, family, any, present) in missing {
        if !enabled || present {
            continue;
        }
        // Servers of that family could not be reached; those of the other one are asked instead.
        match family {
            "IPv4" => reading.settings.engine.resolve.ipv4 = false,
            _ => reading.settings.engine.resolve.ipv6 = false,
        }
        let Some(written) = reading.sound(key).map(|written| written.value.clone()) else { continue };
        let problem = Problem::warning(format!("{family} is enabled and has no source address: it stays unused"))
            .at(outgoing.clone(), format!("no {family} address"))
            .at(written, "enabled here")
            .help(format!("add \"{any}\", or switch it off with {} = false", &key["resolver.".len()..]))
            .about("resolver.outgoing");
        reading.say(problem);
    }
}

fn times(reading: &mut Reading) {
    let (min, max) = (reading.settings.cache.min_ttl, reading.settings.cache.max_ttl);
    if min > max && !reading.broken("cache.min_ttl") && !reading.broken("cache.max_ttl") {
        let (min, max) = (units::write_duration(min), units::write_duration(max));
        let by_default = |path| if reading.sound(path).is_none() { " (the default)" } else { "" };
        let message = format!(
            "`cache.min_ttl` {min}{} is more than `cache.max_ttl` {max}{}",
            by_default("cache.min_ttl"),
            by_default("cache.max_ttl")
        );
        let problem = Problem::error(Code::Conflict, message).help("min_ttl is at most max_ttl").about("cache.min_ttl");
        let problem = between(
            reading,
            problem,
            [("cache.min_ttl", "at least this long".into()), ("cache.max_ttl", "and at most this long".into())],
        );
        reading.say(problem);
    }
}

fn upstreams(reading: &mut Reading) {
    let mut zones: BTreeMap<String, Range<usize>> = BTreeMap::new();
    let policy = &reading.settings.engine.resolve;
    let families = (policy.ipv4, policy.ipv6);
    let mut problems = Vec::new();
    let mut counts = BTreeMap::new();
    for upstream in &policy.upstreams {
        let table = match upstream.kind {
            crate::resolve::UpstreamKind::Forward => "forward",
            crate::resolve::UpstreamKind::Stub => "stub",
        };
        let index = counts.entry(table).and_modify(|n| *n += 1).or_insert(0usize);
        let path = format!("{table}[{index}]");
        if let Some(servers) = reading.sound(&format!("{path}.servers")) {
            let reachable = upstream.servers.iter().any(|s| if s.is_ipv4() { families.0 } else { families.1 });
            if !reachable && (families.0 || families.1) {
                let (only, key) = if families.0 { ("IPv6", "ipv6") } else { ("IPv4", "ipv4") };
                let mut problem =
                    Problem::error(Code::Conflict, format!("none of the servers of `{}` can be asked", upstream.zone))
                        .at(servers.value.clone(), format!("{only} only"))
                        .about(format!("{table}.servers"));
                if let Some(written) = reading.sound(&format!("resolver.{key}")) {
                    problem = problem.at(written.value.clone(), "switched off here");
                }
                problems.push(problem);
            }
        }
        let Some(zone) = reading.sound(&format!("{path}.zone")) else { continue };
        match zones.get(&upstream.zone) {
            Some(first) => problems.push(
                Problem::error(Code::Conflict, format!("two tables say whom to ask for `{}`", upstream.zone))
                    .at(zone.value.clone(), "again here")
                    .at(first.clone(), "first here")
                    .help("put all servers into one of them")
                    .about(format!("{table}.zone")),
            ),
            None => {
                zones.insert(upstream.zone.clone(), zone.value.clone());
            }
        }
    }
    reading.report.problems.append(&mut problems);
}

fn records(reading: &mut Reading) {
    const KEY: &str = "local.records";
    const EXAMPLE: &str = "printer.home.arpa. 300 IN A 192.168.1.9";
    let Some(written) = reading.written.get(KEY) else { return };
    let mut problems = Vec::new();
    let mut aliases: BTreeMap<Name, Range<usize>> = BTreeMap::new();
    let mut others: BTreeMap<Name, Range<usize>> = BTreeMap::new();
    for (text, place) in reading.settings.engine.local.records.iter().zip(&written.items) {
        let place = place.clone();
        let record = match zonefile::record(text) {
            Ok(record) => record,
            Err(why) => {
                problems.push(
                    Problem::error(Code::BadValue, "this is not a record")
                        .at(place, why)
                        .help(format!("a record reads like \"{EXAMPLE}\""))
                        .about(KEY),
                );
                continue;
            }
        };
        let owner = record.owner;
        let alias = record.rtype == Rtype::CNAME;
        let (same, other) = if alias { (&mut aliases, &mut others) } else { (&mut others, &mut aliases) };
        let clash = other.get(&owner).or(if alias { same.get(&owner) } else { None });
        if let Some(first) = clash {
            problems.push(
                Problem::error(
                    Code::Conflict,
                    format!("`{owner}` is an alias and has other records (RFC 1034 §3.6.2)"),
                )
                .at(place.clone(), "together with")
                .at(first.clone(), "this one")
                .help("a name with CNAME has nothing else, not even a second CNAME")
                .about(KEY),
            );
        }
        same.entry(owner).or_insert(place);
    }
    // What is left for the zones to say of the records together, such as two SOA records of one zone.
    if problems.is_empty()
        && written.sound
        && let Err(why) = local::Zones::new(&reading.settings.engine.local)
    {
        let why = why.lines().next().unwrap_or("").to_owned();
        problems.push(
            Problem::error(Code::Conflict, "these records exclude each other")
                .at(written.value.clone(), why)
                .about(KEY),
        );
    }
    reading.report.problems.append(&mut problems);
}

fn access(reading: &mut Reading) {
    let listen = &reading.settings.listener.listen;
    let Some(outside) = listen.iter().position(|address| !address.ip().is_loopback()) else { return };
    let allow = &reading.settings.engine.access.allow;
    if reading.broken("access.allow") || reading.broken("server.listen") {
        return;
    }
    let place = reading.sound("access.allow").map(|written| (written.value.clone(), written.items.clone()));
    let problem = if open::is_world(allow.iter().copied()) {
        let problem = Problem::warning("everybody may ask: an open resolver is used to flood others (RFC 5358)")
            .help("name the prefixes of your own clients");
        open::show(problem, open::listed(reading, "access.allow", allow), open::WORLD)
    } else if allow.is_empty() {
        let problem = Problem::warning("nobody may ask: every client gets REFUSED");
        match place {
            Some((value, _)) => problem.at(value, "no prefix"),
            None => problem,
        }
    } else if allow.iter().all(|net| canonical_prefix(*net).addr().is_loopback()) {
        let problem =
            Problem::warning(format!("only this machine may ask, although {} is listened on", listen[outside]))
                .help("add the prefixes of your clients to [access] allow");
        let item = reading.sound("server.listen").and_then(|written| written.items.get(outside).cloned());
        item.into_iter().fold(problem, |problem, item| problem.at(item, "clients here get REFUSED"))
    } else {
        return;
    };
    reading.say(problem.about("access.allow"));
}

fn sizes(reading: &mut Reading) {
    let written = [
        ("server.udp_payload_size", reading.settings.engine.respond.udp_payload_size),
        ("resolver.upstream_udp_payload_size", reading.settings.engine.resolve.udp_payload_size),
    ];
    for (path, size) in written {
        if let Some(place) = reading.sound(path).map(|written| written.value.clone())
            && size > UDP_WITHOUT_FRAGMENTS
        {
            reading.say(
                Problem::warning("packets of this size are fragmented on many paths, and lost or forged (RFC 9715)")
                    .at(place, format!("more than {UDP_WITHOUT_FRAGMENTS} octets"))
                    .about(path),
            );
        }
    }
    let (all, one) = (reading.settings.listener.tcp_connections, reading.settings.listener.tcp_connections_per_prefix);
    if let (Some(total), Some(prefix)) =
        (reading.sound("server.tcp_connections"), reading.sound("server.tcp_connections_per_prefix"))
        && one > all
    {
        let problem = Problem::warning("one prefix may have more connections than there are")
            .at(prefix.value.clone(), "more than")
            .at(total.value.clone(), "all together")
            .about("server.tcp_connections_per_prefix");
        reading.say(problem);
    }
}

fn root_hints(reading: &mut Reading, base: &Path) {
    const KEY: &str = "resolver.root_hints";
    if let (Some(file), Some(place)) =
        (reading.settings.root_hints_file.clone(), reading.sound(KEY).map(|written| written.value.clone()))
    {
        let path = base.join(file);
        match read_file(&path) {
            Ok(text) => {
                let hints = zonefile::hints(&text);
                let source = reading.report.sources.len();
                reading.report.sources.push(Source::new(path.display().to_string(), text));
                for note in hints.notes {
                    let message = match note.severity {
                        Severity::Error => "the root hints cannot be used",
                        Severity::Warning => "the root hints have something that is no hint",
                    };
                    let problem = Problem::error(Code::RootHints, message).within(source, note.span, note.message);
                    reading.say(Problem { severity: note.severity, ..problem.about(KEY) });
                }
                reading.settings.engine.resolve.root_hints = hints.servers;
            }
            Err(why) => {
                let problem = Problem::error(Code::Unreadable, format!("cannot read {}", path.display()));
                reading.say(problem.at(place, why).about(KEY));
            }
        }
        reading.settings.root_hints_file = Some(path);
    }
    let policy = &reading.settings.engine.resolve;
    let mut addresses = policy.root_hints.iter().flat_map(|hint| &hint.addresses).peekable();
    let reachable = |address: &IpAddr| if address.is_ipv4() { policy.ipv4 } else { policy.ipv6 };
    if (policy.ipv4 || policy.ipv6) && addresses.peek().is_some() && !addresses.any(reachable) {
        let (only, key) = if policy.ipv4 { ("IPv6", "resolver.ipv6") } else { ("IPv4", "resolver.ipv4") };
        let problem = Problem::error(Code::Conflict, "none of the root servers can be asked").about(KEY);
        let places = [(KEY, format!("{only} addresses only")), (key, "switched off here".into())];
        let problem = between(reading, problem, places);
        reading.say(problem);
    }
}

/// Regular files only: a pipe or a device may never end.
pub(super) fn read_file(path: &Path) -> Result<String, String> {
    let about = std::fs::metadata(path).map_err(|error| super::reason(&error))?;
    if !about.is_file() {
        return Err("not a regular file".into());
    }
    if about.len() > FILE_LIMIT {
        return Err(format!("larger than {}", units::write_size(FILE_LIMIT)));
    }
    std::fs::read_to_string(path).map_err(|error| super::reason(&error))
}
