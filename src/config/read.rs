//! From TOML text to settings, by the settings table; nothing is given up at the first error.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::Settings;
use super::shape::{Items, Setting, Shape};
use super::table::{CLIENT_CLASS, REPEATED, REPEATED_NAMES, Repeated, SECTIONS, Section};
use crate::admission::{ClientClass, Part, PrefixLevel};
use crate::resolve::{Upstream, UpstreamKind};
use crate::text::report::{Code, Problem, Report};
use crate::text::units::{self, Wrong};
use crate::text::{nearest, syntax};

/// Where a setting was written.
#[derive(Clone, Debug)]
pub struct Written {
    pub value: Range<usize>,
    /// The items of a list that could be read, in the order of the list in the settings.
    pub items: Vec<Range<usize>>,
    /// The value could be read.
    pub sound: bool,
}

/// What a file says, as far as it could be read.
pub struct Reading {
    pub settings: Settings,
    /// By path, such as `server.listen` and `forward[0].zone`.
    pub written: BTreeMap<String, Written>,
    pub report: Report,
}

/// Reads `text`; what is wrong with single values is in the report, which is not sorted yet.
pub fn read(text: &str, name: &str) -> Reading {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut settings = Settings::default();
    let mut reader = Reader { written: BTreeMap::new(), report: Report::on(name, text) };
    reader.root(document.get_ref(), &mut settings);
    syntax::amend(text, &errors, &mut reader.report);
    Reading { settings, written: reader.written, report: reader.report }
}

/// A reading under way.
pub(super) struct Reader {
    written: BTreeMap<String, Written>,
    report: Report,
}

impl Reader {
    pub(super) fn fail(&mut self, problem: Problem) {
        self.report.problems.push(problem);
    }

    fn root(&mut self, document: &DeTable<'_>, settings: &mut Settings) {
        for (key, value) in document {
            let name = key.get_ref().as_ref();
            let grouped =
                SECTIONS.iter().any(|section| section.name.split_once('.').is_some_and(|(group, _)| group == name));
            if SECTIONS.iter().any(|section| section.name == name) {
                self.once(name, key.span(), value, settings);
            } else if let (true, DeValue::Table(group)) = (grouped, value.get_ref()) {
                for (key, value) in group {
                    self.once(&format!("{name}.{}", key.get_ref()), key.span(), value, settings);
                }
            } else if let Some(repeated) = REPEATED.iter().find(|repeated| repeated.name == name) {
                let kind = if name == "stub" { UpstreamKind::Stub } else { UpstreamKind::Forward };
                let blank = || Upstream { zone: String::new(), servers: Vec::new(), kind, fallback: false };
                self.repeated(repeated, key.span(), value, blank, &mut settings.engine.resolve.upstreams);
            } else if name == CLIENT_CLASS.name {
                let classes = &mut settings.engine.access.classes;
                self.repeated(&CLIENT_CLASS, key.span(), value, ClientClass::default, classes);
            } else {
                self.unknown_at_root(name, key.span(), value.get_ref());
            }
        }
    }

    /// A table that stands there once.
    fn once(&mut self, name: &str, key: Range<usize>, value: &Spanned<DeValue<'_>>, settings: &mut Settings) {
        let Some(section) = SECTIONS.iter().find(|section| section.name == name) else {
            return self.unknown_at_root(name, key, value.get_ref());
        };
        match value.get_ref() {
            DeValue::Table(table) => self.section(name, section.settings, table, settings),
            DeValue::Array(_) => self.fail(
                Problem::error(Code::WrongType, format!("`{name}` can stand there only once"))
                    .at(key, "a table, not a list of tables")
                    .help(format!("write [{name}]")),
            ),
            other => self.fail(
                Problem::error(Code::WrongType, format!("`{name}` is a table, not {}", kind_of(other)))
                    .at(value.span(), "not a table")
                    .help(format!("write [{name}] and its keys below")),
            ),
        }
    }

    fn unknown_at_root(&mut self, name: &str, span: Range<usize>, value: &DeValue<'_>) {
        let is_table = matches!(value, DeValue::Table(_))
            || matches!(value, DeValue::Array(a) if a.iter().any(|v| v.get_ref().is_table()));
        let problem = if is_table {
            let tables = SECTIONS.iter().map(|s| s.name).chain(REPEATED_NAMES);
            let problem = Problem::error(Code::UnknownKey, format!("there is no table `{name}`")).at(span, "not known");
            match nearest(name, tables) {
                Some(near) => problem.help(format!("did you mean {}?", bracketed(near))),
                None => problem.help(format!("the tables are {}", all_tables())),
            }
        } else {
            let problem = Problem::error(Code::UnknownKey, format!("`{name}` stands outside every table"))
                .at(span, "not known here");
            match home_of(name) {
                Some(table) => problem.help(format!("it belongs below {}", bracketed(table))),
                None => match nearest(name, all_keys()).and_then(|near| Some((near, home_of(near)?))) {
                    Some((near, table)) => problem.help(format!("did you mean `{near}`, below {}?", bracketed(table))),
                    None => problem.help(format!("the tables are {}", all_tables())),
                },
            }
        };
        self.fail(problem);
    }

    fn repeated<S>(
        &mut self,
        kind: &Repeated<S>,
        key: Range<usize>,
        value: &Spanned<DeValue<'_>>,
        blank: impl Fn() -> S,
        entries: &mut Vec<S>,
    ) {
        let name = kind.name;
        let wrong = |help| {
            Problem::error(Code::WrongType, format!("`{name}` is a list of tables"))
                .at(key.clone(), "only one")
                .help(help)
        };
        let array = match value.get_ref() {
            DeValue::Array(array) => array,
            DeValue::Table(_) => {
                self.fail(wrong(format!("write [[{name}]], with two brackets; it may stand there several times")));
                return;
            }
            _ => {
                self.fail(wrong(format!("write [[{name}]] and its keys below")));
                return;
            }
        };
        for (index, item) in array.iter().enumerate() {
            let DeValue::Table(table) = item.get_ref() else {
                self.fail(
                    Problem::error(Code::WrongType, format!("`{name}` is a list of tables"))
                        .at(item.span(), "not a table")
                        .help(format!("write [[{name}]] and its keys below")),
                );
                continue;
            };
            let mut entry = blank();
            let path = format!("{name}[{index}]");
            self.section(&path, kind.settings, table, &mut entry);
            for setting in kind.settings.iter().filter(|setting| setting.required) {
                if !table.keys().any(|key| key.get_ref() == setting.key) {
                    self.fail(
                        Problem::error(Code::MissingKey, format!("this [[{name}]] has no `{}`", setting.key))
                            .at(item.span(), format!("`{}` is missing", setting.key))
                            .help(format!("add {} = {}", setting.key, setting.example))
                            .about(format!("{name}.{}", setting.key)),
                    );
                }
            }
            self.written.insert(path, Written { value: item.span(), items: Vec::new(), sound: true });
            entries.push(entry);
        }
    }

    fn section<S>(&mut self, path: &str, settings: &'static [Setting<S>], table: &DeTable<'_>, into: &mut S) {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let Some(setting) = settings.iter().find(|setting| setting.key == name) else {
                self.unknown_key(path, settings.iter().map(|setting| setting.key), name, key.span());
                continue;
            };
            let full = format!("{path}.{name}");
            let about = format!("{}.{name}", path.split('[').next().unwrap_or(path));
            let before = self.report.problems.len();
            let items = self.value(setting, &about, value, into);
            for problem in &mut self.report.problems[before..] {
                problem.key.get_or_insert_with(|| about.clone());
            }
            let sound = self.report.problems.len() == before;
            self.written.insert(full, Written { value: value.span(), items, sound });
        }
    }

    fn unknown_key(&mut self, path: &str, keys: impl Iterator<Item = &'static str>, name: &str, span: Range<usize>) {
        let table = path.split('[').next().unwrap_or(path);
        let keys: Vec<&'static str> = keys.collect();
        let problem = Problem::error(Code::UnknownKey, format!("{} has no key `{name}`", bracketed(table)))
            .at(span, "not known here");
        self.fail(match (nearest(name, keys.iter().copied()), home_beside(table, name).or_else(|| home_of(name))) {
            (Some(near), _) => problem.help(format!("did you mean `{near}`?")),
            (None, Some(home)) => problem.help(format!("`{name}` belongs below {}", bracketed(home))),
            (None, None) => match nearest(name, all_keys()).and_then(|near| Some((near, home_of(near)?))) {
                Some((near, home)) => problem.help(format!("did you mean `{near}`, below {}?", bracketed(home))),
                None => problem.help(format!("its keys are {}", keys.join(", "))),
            },
        });
    }

    /// Reads one value into its place; returns where the items of a list were.
    fn value<S>(
        &mut self,
        setting: &Setting<S>,
        path: &str,
        value: &Spanned<DeValue<'_>>,
        into: &mut S,
    ) -> Vec<Range<usize>> {
        let shape = &setting.shape;
        match (shape, value.get_ref()) {
            (Shape::Flag(at), DeValue::Boolean(flag)) => *at(into) = *flag,
            (Shape::Small { min, max, at, .. }, DeValue::Integer(number)) => {
                let number = i64::from_str_radix(number.as_str(), number.radix()).ok();
                match number.and_then(|n| u16::try_from(n).ok()).filter(|n| (*min..=*max).contains(n)) {
                    Some(number) => *at(into) = number,
                    None => self.out_of_range(shape, path, value.span()),
                }
            }
            (Shape::Count { min, max, at, .. }, DeValue::Integer(number)) => {
                let number = i64::from_str_radix(number.as_str(), number.radix()).ok();
                match number.and_then(|n| usize::try_from(n).ok()).filter(|n| (*min..=*max).contains(n)) {
                    Some(number) => *at(into) = number,
                    None => self.out_of_range(shape, path, value.span()),
                }
            }
            (
                Shape::Span { .. } | Shape::Size { .. } | Shape::Rate { .. } | Shape::Part { .. },
                DeValue::Integer(number),
            ) => {
                // A bare number goes through the parser of the unit, which knows what to write instead.
                self.scalar(shape, path, &number.to_string(), value.span(), into);
            }
            (Shape::List(items), DeValue::Array(array)) => return self.list(items, path, array, value.span(), into),
            (Shape::Flag(_) | Shape::Small { .. } | Shape::Count { .. } | Shape::List(_), other) => {
                self.wrong_type(shape, path, other, value.span(), setting.example);
            }
            (_, DeValue::String(text)) => self.scalar(shape, path, text, value.span(), into),
            (_, other) => self.wrong_type(shape, path, other, value.span(), setting.example),
        }
        Vec::new()
    }

    /// Reads a value that is written as one string.
    fn scalar<S>(&mut self, shape: &Shape<S>, path: &str, text: &str, span: Range<usize>, into: &mut S) {
        match shape {
            Shape::Span { min, max, at } => match units::duration(text) {
                Ok(read) if read < *min || read > *max => self.out_of_range(shape, path, span),
                Ok(read) => *at(into) = read,
                Err(wrong) => self.bad(path, span, wrong),
            },
            Shape::Size { min, max, at } => match units::size(text) {
                Ok(read) if read < *min || read > *max => self.out_of_range(shape, path, span),
                Ok(read) => *at(into) = read,
                Err(wrong) => self.bad(path, span, wrong),
            },
            Shape::Rate { max, at } => match units::rate(text) {
                Ok(read) if read > *max => self.out_of_range(shape, path, span),
                Ok(read) => *at(into) = read,
                Err(wrong) => self.bad(path, span, wrong),
            },
            Shape::Part { min, max, never, at } => match units::part(text) {
                Ok(read) if (read < *min || read > *max) && !(*never && read == Part::NEVER) => {
                    self.out_of_range(shape, path, span);
                }
                Ok(read) => *at(into) = read,
                Err(wrong) => self.bad(path, span, wrong),
            },
            Shape::Choice { of, set, .. } => match of.iter().find(|word| **word == text) {
                Some(word) => set(into, word),
                None => {
                    let near = nearest(text, of.iter().copied()).map(|near| format!("did you mean \"{near}\"?"));
                    let problem =
                        Problem::error(Code::BadValue, format!("`{path}` cannot be \"{}\"", text.escape_debug()))
                            .at(span, format!("expected {}", shape.range()));
                    self.fail(Problem { help: near, ..problem });
                }
            },
            Shape::Text { max, .. } | Shape::Octets { max, .. } if text.is_empty() || text.len() > 2 + 2 * max => {
                self.out_of_range(shape, path, span);
            }
            Shape::Text { max, at } => match text.len() > *max {
                true => self.out_of_range(shape, path, span),
                false => *at(into) = Some(text.to_owned()),
            },
            Shape::Octets { max, at } => match units::octets(text) {
                Ok(octets) if octets.len() > *max => self.out_of_range(shape, path, span),
                Ok(octets) => *at(into) = Some(octets),
                Err(wrong) => self.bad(path, span, wrong),
            },
            Shape::File(_) if text.is_empty() => {
                self.fail(
                    Problem::error(Code::BadValue, format!("`{path}` names no file"))
                        .at(span, "empty")
                        .help("leave the key out for the default"),
                );
            }
            Shape::File(at) => *at(into) = Some(text.into()),
            Shape::Zone(at) => match units::zone(text) {
                Ok(zone) => *at(into) = zone,
                Err(wrong) => self.bad(path, span, wrong),
            },
            Shape::Word(at) => match units::word(text) {
                Ok(word) => *at(into) = word,
                Err(wrong) => self.bad(path, span, wrong),
            },
            Shape::Flag(_) | Shape::Small { .. } | Shape::Count { .. } | Shape::List(_) => {}
        }
    }

    fn list<S>(
        &mut self,
        items: &Items<S>,
        path: &str,
        array: &DeArray<'_>,
        span: Range<usize>,
        into: &mut S,
    ) -> Vec<Range<usize>> {
        match items {
            Items::Listeners(at) => {
                // Port 0 is a port of the system's choice, another one each time.
                let distinct: fn(&SocketAddr, &SocketAddr) -> bool = |a, b| a != b || a.port() == 0;
                let (read, places) = self.items(path, array, units::listener, Some(distinct));
                self.at_least_one(path, array, span, "nothing would be answered");
                *at(into) = read;
                places
            }
            Items::Servers(at) => {
                let (read, places) = self.items(path, array, units::server, Some(|a, b| a != b));
                self.at_least_one(path, array, span, "nobody could be asked");
                *at(into) = read;
                places
            }
            Items::Sources(at) => {
                let (read, places) = self.items(path, array, units::source_address, Some(|a, b| a != b));
                self.at_least_one(path, array, span, "nobody could be asked");
                *at(into) = read;
                places
            }
            Items::Prefixes(at) => {
                let (read, places) = self.items(path, array, units::prefix, None);
                *at(into) = read;
                places
            }
            Items::Zones(at) => {
                let (read, places) = self.items(path, array, units::zone_below_root, Some(|a, b| a != b));
                *at(into) = Arc::new(read);
                places
            }
            Items::Levels { most, at } => {
                let (read, places) = self.items(path, array, units::level, None);
                if read.len() == array.len() {
                    self.levels(path, *most, &read, &places, span);
                }
                *at(into) = read;
                places
            }
            Items::Records(at) => {
                // What they say is checked with the other records, in `check`.
                let (read, places) = self.items(path, array, |text| Ok(text.to_owned()), None);
                *at(into) = Arc::new(read);
                places
            }
            Items::Suspended(at) => {
                let (read, places) = self.suspended(path, array);
                *at(into) = read;
                places
            }
        }
    }

    /// Prefix lengths fall, and wider prefixes have no fewer shares than those in them.
    fn levels(&mut self, path: &str, most: u8, levels: &[PrefixLevel], places: &[Range<usize>], span: Range<usize>) {
        let wrong = |message: String| Problem::error(Code::Conflict, message);
        if levels.is_empty() || levels.len() > 8 {
            let problem = wrong(format!("`{path}` has {} prefix lengths", levels.len()));
            self.fail(problem.at(span, "expected 1 to 8"));
        }
        for (level, place) in levels.iter().zip(places) {
            if level.length > most {
                let problem = wrong(format!("`{path}` has a prefix that is longer than an address"));
                self.fail(problem.at(place.clone(), format!("at most /{most}")));
            }
        }
        for (pair, place) in levels.windows(2).zip(places.windows(2)) {
            let text = match pair {
                [long, short] if short.length >= long.length => "not shorter than",
                [long, short] if short.shares < long.shares => "fewer shares than",
                _ => continue,
            };
            let problem = wrong(format!("`{path}` is not in order: longest first, shares not falling"));
            self.fail(problem.at(place[1].clone(), text).at(place[0].clone(), "this one"));
        }
    }

    /// Reads every item that can be read; `distinct` says whether two may stand in one list, where not any may.
    fn items<T>(
        &mut self,
        path: &str,
        array: &DeArray<'_>,
        parse: fn(&str) -> Result<T, Wrong>,
        distinct: Option<fn(&T, &T) -> bool>,
    ) -> (Vec<T>, Vec<Range<usize>>) {
        let mut read: Vec<T> = Vec::new();
        let mut places: Vec<Range<usize>> = Vec::new();
        for item in array.iter() {
            let DeValue::String(text) = item.get_ref() else {
                let kind = kind_of(item.get_ref());
                self.fail(
                    Problem::error(Code::WrongType, format!("`{path}` is a list of strings"))
                        .at(item.span(), format!("expected a string, found {kind}"))
                        .help("put it in quotes"),
                );
                continue;
            };
            match parse(text) {
                Err(wrong) => self.bad(path, item.span(), wrong),
                Ok(value) => match distinct.and_then(|distinct| read.iter().position(|other| !distinct(other, &value)))
                {
                    Some(first) => {
                        let problem = Problem::error(Code::Conflict, format!("`{path}` has the same entry twice"))
                            .at(item.span(), "again here")
                            .at(places[first].clone(), "first here");
                        self.fail(problem);
                    }
                    None => {
                        read.push(value);
                        places.push(item.span());
                    }
                },
            }
        }
        (read, places)
    }

    fn at_least_one(&mut self, path: &str, array: &DeArray<'_>, span: Range<usize>, otherwise: &str) {
        if array.is_empty() {
            self.fail(
                Problem::error(Code::BadValue, format!("`{path}` is empty: {otherwise}"))
                    .at(span, "expected at least one address"),
            );
        }
    }

    pub(super) fn bad(&mut self, path: &str, span: Range<usize>, wrong: Wrong) {
        let code = if wrong.what == units::UNIT_MISSING { Code::MissingUnit } else { Code::BadValue };
        let message = match code {
            Code::MissingUnit => format!("`{path}` needs a unit"),
            _ => format!("`{path}` has a value that cannot be used"),
        };
        let problem = Problem::error(code, message).at(span, wrong.what);
        self.fail(Problem { help: wrong.help, ..problem });
    }

    fn out_of_range<S>(&mut self, shape: &Shape<S>, path: &str, span: Range<usize>) {
        self.fail(
            Problem::error(Code::OutOfRange, format!("`{path}` is out of range"))
                .at(span, format!("allowed: {}", shape.range())),
        );
    }

    fn wrong_type<S>(&mut self, shape: &Shape<S>, path: &str, value: &DeValue<'_>, span: Range<usize>, example: &str) {
        let help = match (shape, value) {
            (Shape::Flag(_), DeValue::String(text)) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => "write true, without quotes".to_owned(),
                "false" | "no" | "off" | "0" => "write false, without quotes".to_owned(),
                _ => "write true or false".to_owned(),
            },
            (Shape::Flag(_), _) => "write true or false".to_owned(),
            (Shape::Small { .. } | Shape::Count { .. }, DeValue::String(text)) if text.parse::<u64>().is_ok() => {
                format!("write {text}, without quotes")
            }
            (Shape::List(items), DeValue::String(text)) if !matches!(items, Items::Suspended(_)) => {
                format!("write [{}]", super::shape::quote(text))
            }
            _ => format!("for example: {example}"),
        };
        self.fail(
            Problem::error(Code::WrongType, format!("`{path}` has the wrong type"))
                .at(span, format!("expected {}, found {}", shape.kind(), kind_of(value)))
                .help(help),
        );
    }
}

/// A TOML type in words.
pub(super) fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// `[server]` or `[[forward]]`.
pub fn bracketed(table: &str) -> String {
    if REPEATED_NAMES.contains(&table) { format!("[[{table}]]") } else { format!("[{table}]") }
}

fn all_tables() -> String {
    let names = SECTIONS.iter().map(|section| section.name).chain(REPEATED_NAMES);
    names.map(bracketed).collect::<Vec<_>>().join(", ")
}

fn all_keys() -> impl Iterator<Item = &'static str> {
    SECTIONS
        .iter()
        .flat_map(|section| section.settings.iter().map(|setting| setting.key))
        .chain(CLIENT_CLASS.settings.iter().map(|setting| setting.key))
        .chain(REPEATED[0].settings.iter().map(|setting| setting.key))
}

/// The table beside `table`, in its group, that has a key of this name.
fn home_beside(table: &str, key: &str) -> Option<&'static str> {
    let group = |name: &'static str| name.split_once('.').map(|(group, _)| group);
    let (group_of_table, _) = table.split_once('.')?;
    let beside = SECTIONS.iter().filter(|section| group(section.name) == Some(group_of_table));
    let mut found = beside.filter(|section| section.settings.iter().any(|setting| setting.key == key));
    found.next().map(|section| section.name)
}

/// The table that has a key of this name.
fn home_of(key: &str) -> Option<&'static str> {
    let has = |section: &&Section| section.settings.iter().any(|setting| setting.key == key);
    // What a level has too is rather meant where it stands alone.
    let alone = SECTIONS.iter().filter(|section| !section.name.contains('.')).find(has);
    let once = alone.or_else(|| SECTIONS.iter().find(has));
    let repeated = || REPEATED.iter().find(|repeated| repeated.settings.iter().any(|setting| setting.key == key));
    let class = || CLIENT_CLASS.settings.iter().any(|setting| setting.key == key).then_some(CLIENT_CLASS.name);
    once.map(|section| section.name).or_else(|| repeated().map(|repeated| repeated.name)).or_else(class)
}
