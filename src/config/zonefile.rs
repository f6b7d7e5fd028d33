//! Records in presentation format: one in a string, and the few that count in a root hints file.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use super::report::Severity;
use crate::local;
use crate::resolve::Hint;
use crate::wire::{Name, Rtype, TextRecord, parse_record};

/// Reads one record, `"printer.home.arpa. 300 IN A 192.168.1.9"`, as `local` takes it; the reason in words where it is
/// none.
pub fn record(text: &str) -> Result<TextRecord, String> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err("a record is one line without control characters".into());
    }
    if text.is_empty() || text.starts_with([';', '$', '@', '(', '"']) {
        return Err("a record begins with its name".into());
    }
    let fields = Fields::of(text, true).ok_or("expected name, TTL, type, data")?;
    let Some(kind) = Rtype::parse(fields.kind) else {
        return Err(format!("`{}` is not a record type", fields.kind.escape_debug()));
    };
    let single = [Rtype::A, Rtype::AAAA, Rtype::NS, Rtype::CNAME, Rtype::PTR].contains(&kind);
    if single && fields.data.len() != 1 && fields.data.first() != Some(&"\\#") {
        return Err(format!("{kind} takes one value, here are {}", fields.data.len()));
    }
    let alone = local::Policy { special_use: false, records: Arc::new(vec![text.to_owned()]) };
    local::Zones::new(&alone).map_err(|error| {
        let why = error.split_once("\": ").map_or(error.as_str(), |(_, why)| why);
        plain(why)
    })?;
    parse_record(text).map_err(|error| plain(&error))
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
    class: Option<&'a str>,
    kind: &'a str,
    data: Vec<&'a str>,
}

impl<'a> Fields<'a> {
    fn of(entry: &'a str, owned: bool) -> Option<Fields<'a>> {
        let mut words = words(entry).into_iter();
        let owner = if owned { Some(words.next()?) } else { None };
        let (mut ttl, mut class) = (false, None);
        // TTL and class stand in any order, each at most once (RFC 1035 §5.1).
        let kind = loop {
            let word = words.next()?;
            if !ttl
                && word.starts_with(|c: char| c.is_ascii_digit())
                && word.bytes().all(|octet| octet.is_ascii_alphanumeric())
            {
                ttl = true;
            } else if class.is_none() && ["IN", "CH", "HS", "CS"].iter().any(|name| word.eq_ignore_ascii_case(name)) {
                class = Some(word);
            } else {
                break word;
            }
        };
        Some(Fields { owner, class, kind, data: words.collect() })
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

/// The address in the data of an A or AAAA record.
fn address_of(rdata: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(rdata).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(rdata).map(IpAddr::from)).ok()
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
            return match Rtype::parse(&kind).is_some() {
                true => ignored(&format!("{kind} is no hint")),
                false => Err((Severity::Error, format!("`{}` is not a record type", fields.kind.escape_debug()))),
            };
        }
        let [value] = fields.data[..] else {
            return Err((Severity::Error, format!("{kind} takes one value, here are {}", fields.data.len())));
        };
        let value = if kind == "NS" { self.absolute(value) } else { value.to_owned() };
        // TTL and class play no part in a hint, so that the parser sees neither.
        let record = parse_record(&format!("{owner} 0 IN {kind} {value}"));
        let record = record.map_err(|message| (Severity::Error, plain(&message)))?;
        let name = record.owner.to_string();
        if record.rtype != Rtype::NS {
            return match address_of(&record.rdata) {
                Some(address) => self.address(name, address),
                None => error("not an address"),
            };
        }
        if !record.owner.is_root() {
            return ignored("only NS at the root is a hint");
        }
        let Some(server) = Name::from_wire(&record.rdata) else { return error("not a name") };
        let server = server.to_string();
        if !self.servers.contains(&server) {
            self.servers.push(server);
        }
        Ok(())
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
