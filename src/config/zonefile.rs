//! Records in presentation format: one in a string, and the few that count in a root hints file.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::txt::{Parser, parse_ttl};

use super::report::Severity;
use crate::resolve::Hint;

/// Reads one record, `"printer.home.arpa. 300 IN A 192.168.1.9"`; the reason in words where it is none.
pub fn record(text: &str) -> Result<Record, String> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err("a record is one line without control characters".into());
    }
    if text.is_empty() || text.starts_with([';', '$', '@', '(', '"']) {
        return Err("a record begins with its name".into());
    }
    let fields = Fields::of(text, true).ok_or("expected name, TTL, type, data")?;
    if fields.ttl.is_none() {
        return Err("the TTL is missing".into());
    }
    let record = parse(text)?;
    if record.dns_class != DNSClass::IN {
        return Err("only class IN is answered".into());
    }
    // RFC 2181 §8.
    if record.ttl > i32::MAX.unsigned_abs() {
        return Err("the TTL is larger than 2147483647 (RFC 2181 §8)".into());
    }
    let single = matches!(
        record.record_type(),
        RecordType::A | RecordType::AAAA | RecordType::NS | RecordType::CNAME | RecordType::PTR
    );
    if single && fields.data.len() != 1 {
        return Err(format!("{} takes one value, here are {}", record.record_type(), fields.data.len()));
    }
    Ok(record)
}

/// Hands one entry to the zone-file parser, which must never see a directive: `$INCLUDE` opens files.
fn parse(entry: &str) -> Result<Record, String> {
    let (_, sets) = Parser::new(entry, None, Some(Name::root())).parse().map_err(|error| plain(&error.to_string()))?;
    let mut records = sets.values().flat_map(|set| set.records_without_rrsigs());
    match (records.next(), records.next()) {
        (Some(record), None) => Ok(record.clone()),
        _ => Err("expected name, TTL, type, data".into()),
    }
}

/// The parser's words without its own layers.
fn plain(message: &str) -> String {
    let mut message = message;
    for layer in ["proto error: ", "lexer error: ", "network address parse error: "] {
        message = message.strip_prefix(layer).unwrap_or(message);
    }
    message.to_owned()
}

/// An entry of a zone file, cut into its parts.
struct Fields<'a> {
    /// `None` where the entry begins with a blank: the owner of the entry before.
    owner: Option<&'a str>,
    ttl: Option<&'a str>,
    class: Option<&'a str>,
    kind: &'a str,
    data: Vec<&'a str>,
}

impl<'a> Fields<'a> {
    fn of(entry: &'a str, owned: bool) -> Option<Fields<'a>> {
        let mut words = words(entry).into_iter();
        let owner = if owned { Some(words.next()?) } else { None };
        let (mut ttl, mut class) = (None, None);
        // TTL and class stand in any order, each at most once (RFC 1035 §5.1).
        let kind = loop {
            let word = words.next()?;
            if ttl.is_none() && word.starts_with(|c: char| c.is_ascii_digit()) && parse_ttl(word).is_ok() {
                ttl = Some(word);
            } else if class.is_none() && ["IN", "CH", "HS", "CS"].iter().any(|name| word.eq_ignore_ascii_case(name)) {
                class = Some(word);
            } else {
                break word;
            }
        };
        Some(Fields { owner, ttl, class, kind, data: words.collect() })
    }
}

/// The words of an entry, without comments and parentheses. Quoted strings stay whole.
fn words(entry: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = None;
    let (mut quoted, mut escaped, mut comment) = (false, false, false);
    for (at, c) in entry.char_indices() {
        let breaks = comment || !quoted && !escaped && (c.is_whitespace() || matches!(c, '(' | ')' | ';'));
        if breaks {
            if let Some(from) = start.take() {
                words.push(&entry[from..at]);
            }
            comment = c != '\n' && (comment || c == ';');
        } else {
            start.get_or_insert(at);
            quoted ^= c == '"' && !escaped;
        }
        escaped = c == '\\' && !escaped;
    }
    words.extend(start.map(|from| &entry[from..]));
    words
}

/// Something to be said of a hints file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    pub severity: Severity,
    /// Octets of the file.
    pub span: Range<usize>,
    pub message: String,
}

/// What a root hints file says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hints {
    /// Root servers with at least one address, in the order of the file.
    pub servers: Vec<Hint>,
    pub notes: Vec<Note>,
}

/// Reads a root hints file. Only NS at the root, and A and AAAA of the names found there, count.
pub fn hints(text: &str) -> Hints {
    let mut reader = HintsReader::default();
    for span in entries(text) {
        if let Err((severity, message)) = reader.entry(&text[span.clone()]) {
            reader.notes.push(Note { severity, span: trimmed(text, span), message });
        }
    }
    reader.finish(text)
}

/// `span` without the blanks at its ends.
fn trimmed(text: &str, span: Range<usize>) -> Range<usize> {
    let body = &text[span.clone()];
    let start = span.start + (body.len() - body.trim_start().len());
    start..start + body.trim().len()
}

/// The entries of a zone file: lines, joined within parentheses and quotes.
fn entries(text: &str) -> Vec<Range<usize>> {
    let mut entries = Vec::new();
    let (mut start, mut depth) = (0, 0u32);
    let (mut quoted, mut escaped, mut comment) = (false, false, false);
    for (at, c) in text.char_indices() {
        match c {
            '\n' => {
                comment = false;
                if depth == 0 {
                    quoted = false;
                    entries.push(start..at);
                    start = at + 1;
                }
            }
            _ if comment || escaped => {}
            '"' => quoted = !quoted,
            _ if quoted => {}
            ';' => comment = true,
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        escaped = c == '\\' && !escaped && !comment;
    }
    entries.push(start..text.len());
    entries
}

#[derive(Default)]
struct HintsReader {
    origin: Option<String>,
    owner: Option<String>,
    /// Names of root servers, as they came.
    servers: Vec<String>,
    /// By name; the flag says that a root server is called so.
    addresses: BTreeMap<String, Vec<IpAddr>>,
    notes: Vec<Note>,
}

/// Why an entry is not used.
type Passed = (Severity, String);

impl HintsReader {
    fn entry(&mut self, entry: &str) -> Result<(), Passed> {
        let error = |message: &str| Err((Severity::Error, message.to_owned()));
        let ignored = |message: &str| Err((Severity::Warning, format!("ignored: {message}")));
        let all = words(entry);
        let Some(first) = all.first().copied() else { return Ok(()) };
        if first.starts_with('$') {
            return match (first.to_ascii_uppercase().as_str(), all.get(1)) {
                ("$TTL", Some(_)) => Ok(()),
                ("$ORIGIN", Some(origin)) if origin.ends_with('.') => {
                    self.origin = Some((*origin).to_owned());
                    Ok(())
                }
                ("$ORIGIN", _) => error("$ORIGIN takes a name that ends in a dot"),
                ("$INCLUDE", _) => error("$INCLUDE is not followed in a hints file"),
                _ => error("not a directive of zone files"),
            };
        }
        let owned = !entry.starts_with(char::is_whitespace);
        let Some(fields) = Fields::of(entry, owned) else { return error("expected name, type, data") };
        if let Some(owner) = fields.owner {
            self.owner = Some(self.absolute(owner));
        }
        let Some(owner) = self.owner.clone() else { return error("the first record has no name") };
        let kind = fields.kind.to_ascii_uppercase();
        if fields.class.is_some_and(|class| !class.eq_ignore_ascii_case("IN")) {
            return ignored("not of class IN");
        }
        if !matches!(kind.as_str(), "NS" | "A" | "AAAA") {
            let generic = kind.strip_prefix("TYPE").is_some_and(|number| number.parse::<u16>().is_ok());
            return match generic || kind.parse::<RecordType>().is_ok() {
                true => ignored(&format!("{kind} is no hint")),
                false => Err((Severity::Error, format!("`{}` is not a record type", fields.kind.escape_debug()))),
            };
        }
        let [value] = fields.data[..] else {
            return Err((Severity::Error, format!("{kind} takes one value, here are {}", fields.data.len())));
        };
        let value = if kind == "NS" { self.absolute(value) } else { value.to_owned() };
        // TTL and class play no part in a hint, so that the parser sees neither.
        let record = parse(&format!("{owner} 0 IN {kind} {value}")).map_err(|message| (Severity::Error, message))?;
        let name = record.name.to_lowercase().to_ascii();
        match &record.data {
            RData::NS(server) if record.name.is_root() => {
                let server = server.0.to_lowercase().to_ascii();
                if !self.servers.contains(&server) {
                    self.servers.push(server);
                }
                Ok(())
            }
            RData::NS(_) => ignored("only NS at the root is a hint"),
            RData::A(address) => self.address(name, IpAddr::V4(address.0)),
            RData::AAAA(address) => self.address(name, IpAddr::V6(address.0)),
            _ => ignored("no hint"),
        }
    }

    fn address(&mut self, name: String, address: IpAddr) -> Result<(), Passed> {
        if address.is_unspecified() || address.is_multicast() {
            return Err((Severity::Error, format!("{address} cannot be the address of a server")));
        }
        let addresses = self.addresses.entry(name).or_default();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
        Ok(())
    }

    /// A name as the parser takes it, completed with the origin.
    fn absolute(&self, name: &str) -> String {
        let origin = self.origin.as_deref().unwrap_or(".");
        match name {
            "@" => origin.to_owned(),
            _ if name.ends_with('.') => name.to_owned(),
            _ if origin == "." => format!("{name}."),
            _ => format!("{name}.{origin}"),
        }
    }

    fn finish(mut self, text: &str) -> Hints {
        let mut servers = Vec::new();
        let mut note = |severity, message| {
            let end = text.trim_end().len();
            self.notes.push(Note { severity, span: end.saturating_sub(1)..end, message });
        };
        for name in self.servers {
            match self.addresses.remove(&name) {
                Some(addresses) => servers.push(Hint { name, addresses }),
                None => note(Severity::Warning, format!("ignored: {name} has no address in this file")),
            }
        }
        for name in self.addresses.keys() {
            note(Severity::Warning, format!("ignored: {name} is not the name of a root server in this file"));
        }
        if servers.is_empty() {
            note(
                Severity::Error,
                "no root server with an address: expected NS records at \".\" and A or AAAA of their names".into(),
            );
        }
        Hints { servers, notes: self.notes }
    }
}
