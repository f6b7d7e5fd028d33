//! What a setting can hold: how each kind of value is read, checked, written and described.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::{dates, units};
use crate::admission::{Part, PrefixLevel};
use crate::dnssec::NegativeAnchor;
use crate::wire::Name;

/// A place in `S`.
pub type Place<S, T> = fn(&mut S) -> &mut T;

/// One setting: all that is said of it anywhere comes from here.
pub struct Setting<S: 'static> {
    /// The name within its table.
    pub key: &'static str,
    pub shape: Shape<S>,
    /// The default as TOML, where it is not simply what the policy holds.
    pub default: Option<&'static str>,
    /// There is no default: it has to be written.
    pub required: bool,
    /// What it does, for somebody who has never seen it.
    pub doc: &'static str,
    /// Why the default is what it is, with the source.
    pub reason: &'static str,
    /// A value as it could stand in a file.
    pub example: &'static str,
}

/// The kinds of values, each with its place in the checked settings.
pub enum Shape<S: 'static> {
    /// `true` or `false`.
    Flag(Place<S, bool>),
    /// A whole number with a known unit, such as octets.
    Small { min: u16, max: u16, unit: &'static str, at: Place<S, u16> },
    /// A count of things.
    Count { min: usize, max: usize, unit: &'static str, at: Place<S, usize> },
    /// `"8s"`.
    Span { min: Duration, max: Duration, at: Place<S, Duration> },
    /// `"256MiB"`.
    Size { min: u64, max: u64, at: Place<S, u64> },
    /// `"100/s"`.
    Rate { max: u32, at: Place<S, u32> },
    /// `"75%"`, and perhaps `"never"`.
    Part { min: Part, max: Part, never: bool, at: Place<S, Part> },
    /// One word of several.
    Choice { of: &'static [&'static str], get: fn(&S) -> &str, set: fn(&mut S, &str) },
    /// A text of 1 to `max` octets, or nothing.
    Text { max: usize, at: Place<S, Option<String>> },
    /// Octets, 1 to `max`, or nothing.
    Octets { max: usize, at: Place<S, Option<Vec<u8>>> },
    /// The path of a file, relative to the configuration file.
    File(Place<S, Option<PathBuf>>),
    /// The name of a zone.
    Zone(Place<S, String>),
    /// A short name: letters, digits, hyphens.
    Word(Place<S, String>),
    /// A list of strings.
    List(Items<S>),
}

/// The kinds of lists.
pub enum Items<S: 'static> {
    /// Addresses and ports to listen on, at least one.
    Listeners(Place<S, Vec<SocketAddr>>),
    /// Addresses of servers, at least one.
    Servers(Place<S, Vec<SocketAddr>>),
    /// Source addresses, at least one.
    Sources(Place<S, Vec<IpAddr>>),
    /// Prefixes.
    Prefixes(Place<S, Vec<IpNet>>),
    /// Records in presentation format.
    Records(Place<S, Arc<Vec<String>>>),
    /// Names of zones, none twice.
    Zones(Place<S, Arc<Vec<Name>>>),
    /// Prefix lengths up to `most`, longest first, with their shares: `"/24:32"`.
    Levels { most: u8, at: Place<S, Vec<PrefixLevel>> },
    /// Zones that are not validated until a time, each as a table.
    Suspended(Place<S, Vec<NegativeAnchor>>),
}

impl<S> Setting<S> {
    /// The default as TOML; nothing where there is none.
    pub fn default_text(&self, defaults: &mut S) -> Option<String> {
        match self.default {
            _ if self.required => None,
            Some(text) => Some(text.to_owned()),
            None => self.shape.write(defaults),
        }
    }
}

impl<S> Shape<S> {
    /// The type in words: "a duration".
    pub fn kind(&self) -> &'static str {
        match self {
            Shape::Flag(_) => "true or false",
            Shape::Small { .. } | Shape::Count { .. } => "a whole number",
            Shape::Span { .. } => "a duration",
            Shape::Size { .. } => "a size",
            Shape::Rate { .. } => "a rate",
            Shape::Part { .. } => "a part in hundredths",
            Shape::Choice { .. } => "one of several words",
            Shape::Text { .. } => "a text",
            Shape::Octets { .. } => "a text, or octets in hexadecimal after 0x",
            Shape::File(_) => "the path of a file",
            Shape::Zone(_) => "a zone's name",
            Shape::Word(_) => "a short name",
            Shape::List(Items::Listeners(_)) => "a list of addresses with ports",
            Shape::List(Items::Servers(_)) => "a list of server addresses",
            Shape::List(Items::Sources(_)) => "a list of addresses",
            Shape::List(Items::Prefixes(_)) => "a list of prefixes",
            Shape::List(Items::Records(_)) => "a list of records",
            Shape::List(Items::Zones(_)) => "a list of zones' names",
            Shape::List(Items::Levels { .. }) => "a list of prefix lengths with their shares",
            Shape::List(Items::Suspended(_)) => "a list of tables, each with zone and until",
        }
    }

    /// What values are allowed, in words.
    pub fn range(&self) -> String {
        match self {
            Shape::Flag(_) => "true or false".into(),
            Shape::Small { min, max, unit, .. } => span_of(*min, *max, unit),
            Shape::Count { min, max, unit, .. } => span_of(*min, *max, unit),
            Shape::Span { min, max, .. } => {
                format!("\"{}\" to \"{}\"", units::write_duration(*min), units::write_duration(*max))
            }
            Shape::Size { min, max, .. } => {
                format!("\"{}\" to \"{}\"", units::write_size(*min), units::write_size(*max))
            }
            Shape::Rate { max, .. } => format!("\"0/s\" to \"{max}/s\""),
            Shape::Part { min, max, never, .. } => {
                let or = if *never { ", or \"never\"" } else { "" };
                format!("\"{}\" to \"{}\"{or}", units::write_part(*min), units::write_part(*max))
            }
            Shape::Choice { of, .. } => of.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", "),
            Shape::Text { max, .. } | Shape::Octets { max, .. } => format!("1 to {max} octets"),
            Shape::File(_) => "relative paths start at the configuration file's directory".into(),
            Shape::Zone(_) => "with or without the dot at its end, in upper or lower case".into(),
            Shape::Word(_) => "1 to 32 letters, digits, hyphens or underscores".into(),
            Shape::List(Items::Levels { most, .. }) => {
                format!("1 to 8 of them, lengths from /{most} falling, shares 1 to 1000000 not falling")
            }
            Shape::List(Items::Listeners(_) | Items::Sources(_)) => "at least one, none twice".into(),
            Shape::List(Items::Servers(_)) => "at least one, none twice; without a port, port 53".into(),
            Shape::List(Items::Prefixes(_)) => "any number; a single address stands for itself".into(),
            Shape::List(Items::Zones(_)) => "any number, none twice, each with all names in it".into(),
            Shape::List(Items::Records(_)) => "any number".into(),
            Shape::List(Items::Suspended(_)) => {
                "any number, no zone twice; until is a date, whose first moment in UTC is meant, or a date and time with \
                 its time zone (RFC 3339)"
                    .into()
            }
        }
    }

    /// The value in `from`, as TOML; nothing where it is not set.
    pub fn write(&self, from: &mut S) -> Option<String> {
        Some(match self {
            Shape::Flag(at) => at(from).to_string(),
            Shape::Small { at, .. } => at(from).to_string(),
            Shape::Count { at, .. } => at(from).to_string(),
            Shape::Span { at, .. } => quote(&units::write_duration(*at(from))),
            Shape::Size { at, .. } => quote(&units::write_size(*at(from))),
            Shape::Part { at, .. } => quote(&units::write_part(*at(from))),
            Shape::Rate { at, .. } => quote(&format!("{}/s", at(from))),
            Shape::Choice { get, .. } => quote(get(from)),
            Shape::Text { at, .. } => quote(at(from).as_ref()?),
            Shape::Octets { at, .. } => quote(&units::write_octets(at(from).as_ref()?)),
            Shape::File(at) => quote(&at(from).as_ref()?.to_string_lossy()),
            Shape::Zone(at) | Shape::Word(at) => quote(at(from)),
            Shape::List(Items::Listeners(at) | Items::Servers(at)) => list(at(from)),
            Shape::List(Items::Sources(at)) => list(at(from)),
            Shape::List(Items::Prefixes(at)) => list(at(from)),
            Shape::List(Items::Zones(at)) => list(at(from)),
            Shape::List(Items::Records(at)) => list(at(from)),
            Shape::List(Items::Levels { at, .. }) => list(at(from)),
            Shape::List(Items::Suspended(at)) => {
                let item = |negative: &NegativeAnchor| {
                    let (zone, until) = (negative.zone.to_string(), dates::write(negative.until));
                    format!("{{ zone = {}, until = {} }}", quote(&zone), quote(&until))
                };
                lines(&at(from).iter().map(item).collect::<Vec<_>>())
            }
        })
    }

    /// JSON schema (draft 2020-12) of the values.
    pub fn schema(&self) -> Value {
        match self {
            Shape::Flag(_) => json!({"type": "boolean"}),
            Shape::Small { min, max, .. } => json!({"type": "integer", "minimum": min, "maximum": max}),
            Shape::Count { min, max, .. } => json!({"type": "integer", "minimum": min, "maximum": max}),
            Shape::Span { .. } => json!({"type": "string", "pattern": "^[0-9]+ ?(ms|s|m|h|d|w)$"}),
            Shape::Size { .. } => json!({"type": "string", "pattern": "^[0-9]+ ?([KMGT]iB|[kMGT]?B)$"}),
            Shape::Rate { .. } => json!({"type": "string", "pattern": "^[0-9]+ ?/s$"}),
            Shape::Part { never, .. } => {
                let or = if *never { "|never" } else { "" };
                json!({"type": "string", "pattern": format!("^([0-9]+([.][0-9]{{1,4}})? ?%{or})$")})
            }
            Shape::Choice { of, .. } => json!({"enum": of}),
            Shape::Text { max, .. } => json!({"type": "string", "minLength": 1, "maxLength": max}),
            Shape::Octets { max, .. } => {
                json!({"type": "string", "minLength": 1, "maxLength": 2 + 2 * max,
                    "pattern": "^(0x([0-9A-Fa-f]{2})+|(?!0x)[\\s\\S]*)$"})
            }
            Shape::File(_) => json!({"type": "string", "minLength": 1}),
            Shape::Word(_) => json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,32}$"}),
            Shape::Zone(_) => json!({"type": "string", "pattern": ZONE}),
            Shape::List(items) => items.schema(),
        }
    }
}

/// What the name of a zone looks like, as a regular expression.
const ZONE: &str = "^(\\.|[^.\\s*][^\\s]*)$";

impl<S> Items<S> {
    fn schema(&self) -> Value {
        const PORT: &str = ":[0-9]{1,5}";
        const V4: &str = "[0-9]{1,3}(\\.[0-9]{1,3}){3}";
        const V6: &str = "[0-9A-Fa-f]*(:[0-9A-Fa-f.]*){2,8}(%[0-9]+)?";
        let strings = |pattern: String, min: u8| json!({"type": "array", "minItems": min, "uniqueItems": min > 0, "items": {"type": "string", "pattern": pattern}});
        match self {
            Items::Listeners(_) => strings(format!("^({V4}|\\[{V6}\\]){PORT}$"), 1),
            Items::Servers(_) => strings(format!("^({V4}({PORT})?|\\[{V6}\\]({PORT})?|{V6})$"), 1),
            Items::Sources(_) => strings(format!("^({V4}|{V6})$"), 1),
            Items::Prefixes(_) => strings(format!("^({V4}|{V6})(/[0-9]{{1,3}})?$"), 0),
            Items::Zones(_) => {
                json!({"type": "array", "uniqueItems": true, "items": {"type": "string", "pattern": ZONE}})
            }
            Items::Records(_) => strings("^\\S+\\s+.*\\S$".to_owned(), 0),
            Items::Levels { .. } => strings("^/[0-9]{1,3}:[0-9]{1,7}$".to_owned(), 1),
            Items::Suspended(_) => json!({"type": "array", "items": {
                "type": "object", "additionalProperties": false, "required": ["zone", "until"], "properties": {
                    "zone": {"type": "string", "pattern": ZONE},
                    "until": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].+([Zz]|[+-][0-9:]+))?$"},
                },
            }}),
        }
    }
}

fn span_of(min: impl ToString, max: impl ToString, unit: &str) -> String {
    format!("{} to {}{}{unit}", min.to_string(), max.to_string(), if unit.is_empty() { "" } else { " " })
}

/// A TOML string.
pub fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            control if control.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// A TOML list of strings: on one line where that stays short.
fn list<T: std::fmt::Display>(items: &[T]) -> String {
    lines(&items.iter().map(|item| quote(&item.to_string())).collect::<Vec<_>>())
}

/// A TOML list of values as they stand there.
fn lines(items: &[String]) -> String {
    let line = format!("[{}]", items.join(", "));
    if line.len() <= 80 { line } else { format!("[\n    {},\n]", items.join(",\n    ")) }
}
