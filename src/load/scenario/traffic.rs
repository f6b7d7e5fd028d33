//! What a stream asks, as its `names` and `generator` say.

use std::path::Path;
use std::time::Duration;

use toml::de::DeValue;

use super::form::{Form, Value};
use super::{Holding, Malformed, NameSource, Names, Style, Traffic};
use crate::text::report::{Code, Problem};
use crate::text::units::Wrong;
use crate::wire::{Name, Rtype};

/// Names in one list; more would not be told apart in a report, and take memory.
const MOST_NAMES: usize = 1_000_000;
/// A name file in octets.
const LARGEST_FILE: u64 = 256 << 20;

/// The generators, by the names of the attacks they make.
pub const GENERATORS: [&str; 13] = [
    "direct-flood",
    "spoofed-flood",
    "random-subdomain",
    "nxdomain",
    "unique-zone",
    "reflection",
    "malformed",
    "edns-bomb",
    "qr-loop",
    "cache-flush",
    "tcp-hoard",
    "tcp-slow-writer",
    "tcp-slow-reader",
];

/// Reads what a stream asks. `folder` is where relative paths start.
pub(super) fn read(form: &Form<'_>, folder: &Path) -> Option<Traffic> {
    let names = names(form, folder);
    let Some(value) = form.get("generator") else {
        if names.is_none() && form.is_sound() {
            form.missing("names", "\"popular\"");
        }
        return names.map(Traffic::Names);
    };
    let (kind, own) = match value.get_ref() {
        DeValue::String(_) => (form.word_in("generator", value, &GENERATORS)?, None),
        _ => {
            let own = form.as_table("generator", value, "the generator")?;
            let Some(kind) = own.word("kind", &GENERATORS) else {
                if own.is_sound() {
                    own.missing("kind", "\"random-subdomain\"");
                }
                return None;
            };
            (kind, Some(own))
        }
    };
    let own = own.as_ref();
    let traffic = generator(kind, own, form, names);
    if let Some(own) = own
        && !own.finish()
    {
        return None;
    }
    traffic
}

fn generator(kind: &str, own: Option<&Form<'_>>, form: &Form<'_>, names: Option<Names>) -> Option<Traffic> {
    let common = names.unwrap_or_else(popular);
    let length = || own.and_then(|own| range(own, "length", (1, 63))).unwrap_or((8, 14));
    let zones = || {
        let zones = own.and_then(|own| own.list("zones", "a zone such as \"bank.com.\"", numbered));
        let zones: Option<Vec<Name>> = zones.map(|lists| lists.into_iter().flatten().collect());
        match zones {
            Some(zones) if !zones.is_empty() => Some(zones),
            _ => {
                own.unwrap_or(form).missing("zones", "[\"bank.com.\"]");
                None
            }
        }
    };
    let types = |fallback: &[u16]| {
        own.and_then(|own| own.list("types", "a type such as \"A\"", rtype)).unwrap_or_else(|| fallback.to_vec())
    };
    Some(match kind {
        "random-subdomain" => {
            const STYLES: [&str; 4] = ["uniform", "dictionary", "deep", "dga"];
            let style = match own.and_then(|own| own.word("style", &STYLES)) {
                Some("dictionary") => Style::Dictionary,
                Some("deep") => Style::Deep,
                Some("dga") => Style::Dga,
                _ => Style::Uniform,
            };
            let labels = own.and_then(|own| range(own, "labels", (1, 60)));
            let labels = labels.unwrap_or(if style == Style::Deep { (3, 8) } else { (1, 1) });
            Traffic::RandomSubdomain { zones: zones()?, style, length: length(), labels, types: types(&[1]) }
        }
        "nxdomain" => Traffic::NxDomain { length: length(), types: types(&[1]) },
        "unique-zone" => Traffic::UniqueZone { zones: zones()?, length: length(), types: types(&[1]) },
        "cache-flush" => Traffic::CacheFlush { zones: zones()?, length: length(), types: types(&[1]) },
        "reflection" => {
            let mut names = common;
            names.types = types(&[255, 16]).into_iter().map(|t| (vec![t], 1.0)).collect();
            Traffic::Reflection { names }
        }
        "malformed" => {
            let words = Malformed::ALL.map(|(word, _)| word);
            let kinds = own.and_then(|own| {
                own.list("kinds", "a kind of malformed packets", |text| {
                    let found = Malformed::ALL.iter().find(|(word, _)| *word == text).map(|(_, kind)| *kind);
                    found.ok_or_else(|| wrong("no such kind", format!("expected some of {}", words.join(", "))))
                })
            });
            let kinds = kinds.filter(|kinds| !kinds.is_empty());
            Traffic::Malformed {
                kinds: kinds.unwrap_or_else(|| Malformed::ALL.map(|(_, k)| k).to_vec()),
                names: common,
            }
        }
        "edns-bomb" => {
            let options = own.and_then(|own| own.count("options", 1, 16_000)).unwrap_or(3_000);
            Traffic::EdnsBomb { options: options as u16, names: common }
        }
        "qr-loop" => Traffic::Responses { names: common },
        "tcp-hoard" | "tcp-slow-writer" | "tcp-slow-reader" => connections(kind, own, common),
        // The floods differ in where they come from, which the stream says.
        _ => Traffic::Names(common),
    })
}

fn connections(kind: &str, own: Option<&Form<'_>>, names: Names) -> Traffic {
    let kind = match kind {
        "tcp-hoard" => Holding::Idle,
        "tcp-slow-writer" => Holding::SlowWriter,
        _ => Holding::SlowReader,
    };
    let hold = own.and_then(|own| own.duration("hold")).unwrap_or(Duration::from_secs(60));
    let at_once = own.and_then(|own| own.count("connections", 1, 100_000)).unwrap_or(5_000) as u32;
    Traffic::Connections { kind, hold, at_once, names }
}

fn wrong(what: &str, help: String) -> Wrong {
    Wrong { what: what.to_owned(), help: Some(help) }
}

/// The popular sites, A records only.
fn popular() -> Names {
    Names { from: NameSource::Popular, zipf: 1.0, types: Vec::new(), cache_hits: 1.0, cold: None }
}

fn names(form: &Form<'_>, folder: &Path) -> Option<Names> {
    let types = form.list("types", "types such as \"A\" or \"A+AAAA+HTTPS\"", group);
    let hits = form.number("cache_hits", 0.0, 1.0);
    let cold = form.parsed_zone("cold");
    if hits.is_some_and(|share| share < 1.0) && cold.is_none() && form.is_sound() {
        let help = "add cold = \"ZONE\", a zone in which every name exists (kind = \"wildcard\" makes one)";
        let problem = Problem::error(Code::MissingKey, "`cache_hits` needs names that nobody has asked for");
        form.fail(problem.at(form.place("cache_hits"), "new names from where?").help(help));
    }
    let value = form.get("names")?;
    let (from, zipf) = match value.get_ref() {
        DeValue::Table(_) => {
            let own = form.as_table("names", value, "`names`")?;
            let zipf = own.number("zipf", 0.0, 5.0).unwrap_or(0.0);
            let from = match (own.get("list"), own.string("file"), own.flag("popular")) {
                (Some(list), None, None) => source(&own, list),
                (None, Some(file), None) => from_file(&own, &folder.join(file)),
                (None, None, Some(true)) => Some(NameSource::Popular),
                _ => {
                    let problem = Problem::error(Code::MissingKey, "`names` come from one place");
                    let help = "give one of list = [\"NAME TYPE\"], file = \"PATH\", popular = true";
                    own.fail(problem.at(value.span(), "from where?").help(help));
                    None
                }
            };
            own.finish();
            (from?, zipf)
        }
        _ => (source(form, value)?, if is_popular(value) { 1.0 } else { 0.0 }),
    };
    let types = types.unwrap_or_else(|| vec![(vec![1], 1.0)]);
    Some(Names { from, zipf, types, cache_hits: hits.unwrap_or(1.0), cold })
}

fn is_popular(value: Value<'_>) -> bool {
    matches!(value.get_ref(), DeValue::String(text) if text.as_ref() == "popular")
}

fn source(form: &Form<'_>, value: Value<'_>) -> Option<NameSource> {
    if is_popular(value) {
        return Some(NameSource::Popular);
    }
    let wanted = "a list of names such as [\"www.example.com A\"]";
    let list: Vec<_> = match value.get_ref() {
        DeValue::Array(array) => {
            array.iter().filter_map(|v| form.parsed("names", v, wanted, lines)).flatten().collect()
        }
        _ => form.parsed("names", value, wanted, lines).unwrap_or_default(),
    };
    (!list.is_empty()).then_some(NameSource::List(list))
}

fn from_file(form: &Form<'_>, path: &Path) -> Option<NameSource> {
    let place = form.place("file");
    let fail = |why: String| form.wrong(place.clone(), format!("cannot read {}", path.display()), why);
    match std::fs::metadata(path) {
        Ok(found) if found.len() > LARGEST_FILE => {
            fail("larger than 256 MiB".to_owned());
            return None;
        }
        _ => {}
    }
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            fail(error.to_string());
            return None;
        }
    };
    let mut list = Vec::new();
    for (number, text) in text.lines().enumerate() {
        let text = text.trim();
        if text.is_empty() || text.starts_with([';', '#']) {
            continue;
        }
        match line(text) {
            Ok(found) => list.push(found),
            Err(error) => {
                form.wrong(place.clone(), format!("{}:{}: {}", path.display(), number + 1, error.what), "in this file");
                return None;
            }
        }
        if list.len() > MOST_NAMES {
            fail(format!("more than {MOST_NAMES} names"));
            return None;
        }
    }
    if list.is_empty() {
        fail("no names in it".to_owned());
        return None;
    }
    Some(NameSource::List(list))
}

/// As [`line`]; `host{1..10}.example.com` are ten of them.
fn lines(text: &str) -> Result<Vec<(Name, Option<u16>)>, Wrong> {
    if !text.contains('{') {
        return Ok(vec![line(text)?]);
    }
    let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim();
    let rtype = if rest.is_empty() { None } else { Some(rtype(rest)?) };
    Ok(numbered(name)?.into_iter().map(|name| (name, rtype)).collect())
}

/// `www.example.com` or, as dnsperf has it, `www.example.com AAAA`.
fn line(text: &str) -> Result<(Name, Option<u16>), Wrong> {
    let mut words = text.split_whitespace();
    let name = words.next().ok_or_else(|| wrong("no name", "write \"www.example.com\"".to_owned()))?;
    let name = Name::parse(name).map_err(|error| Wrong { what: error.to_string(), help: None })?;
    let rtype = words.next().map(rtype).transpose()?;
    Ok((name, rtype))
}

/// `A`, `TYPE65`.
pub(super) fn rtype(text: &str) -> Result<u16, Wrong> {
    match Rtype::parse(text) {
        Some(found) => Ok(found.0),
        None if text.eq_ignore_ascii_case("ANY") => Ok(255),
        None => Err(wrong("not a record type", "write \"A\", \"AAAA\", \"TXT\" or \"TYPE65\"".to_owned())),
    }
}

/// `A`, or `A+AAAA+HTTPS` for types that are asked at once; `*3` behind it is a weight.
fn group(text: &str) -> Result<(Vec<u16>, f64), Wrong> {
    let (types, weight) = match text.split_once('*') {
        Some((types, weight)) => {
            let weight = weight.trim().parse::<f64>().ok().filter(|w| *w > 0.0 && *w < 1e6);
            (types, weight.ok_or_else(|| wrong("not a weight", format!("write \"{}*2\"", types.trim())))?)
        }
        None => (text, 1.0),
    };
    let types = types.split('+').map(|one| rtype(one.trim())).collect::<Result<Vec<u16>, Wrong>>()?;
    Ok((types, weight))
}

/// A name; `bank{1..10}.com.` are ten of them.
fn numbered(text: &str) -> Result<Vec<Name>, Wrong> {
    let parse = |text: &str| Name::parse(text).map_err(|e| Wrong { what: e.to_string(), help: None });
    let Some((before, rest)) = text.split_once('{') else { return Ok(vec![parse(text)?]) };
    let numbers = rest.split_once('}').and_then(|(numbers, after)| {
        let (from, to) = numbers.split_once("..")?;
        Some((from.parse::<u32>().ok()?, to.parse::<u32>().ok()?, after))
    });
    match numbers {
        Some((from, to, after)) if from <= to && to - from < 100_000 => {
            (from..=to).map(|n| parse(&format!("{before}{n}{after}"))).collect()
        }
        _ => Err(wrong("not a range of names", "write \"bank{1..10}.com.\"".to_owned())),
    }
}

fn range(form: &Form<'_>, key: &'static str, (min, max): (u8, u8)) -> Option<(u8, u8)> {
    let value = form.get(key)?;
    let numbers: Vec<u8> = match value.get_ref() {
        DeValue::Array(array) => array.iter().filter_map(small).collect(),
        _ => small(value).into_iter().collect(),
    };
    let found = match numbers[..] {
        [one] => Some((one, one)),
        [from, to] => Some((from, to)),
        _ => None,
    };
    let found = found.filter(|(from, to)| from <= to && *from >= min && *to <= max);
    if found.is_none() {
        form.wrong(value.span(), format!("`{key}` is a number or a range"), format!("expected [{min}, {max}] at most"));
    }
    found
}

fn small(value: Value<'_>) -> Option<u8> {
    match value.get_ref() {
        DeValue::Integer(number) => number.as_str().parse().ok(),
        _ => None,
    }
}

impl Form<'_> {
    /// One zone's name.
    fn parsed_zone(&self, key: &'static str) -> Option<Name> {
        let value = self.get(key)?;
        self.parsed(key, value, "a zone such as \"cold.com.\"", |text| {
            Name::parse(text).map_err(|error| Wrong { what: error.to_string(), help: None })
        })
    }
}
