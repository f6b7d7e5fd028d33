//! Values that carry their unit in a string: durations, sizes, rates, prefixes, addresses, names.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use crate::admission::{Part, PrefixLevel};
use crate::wire::Name;

/// Why a value cannot be what it should be, and what to write instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    /// In one line, without the value.
    pub what: String,
    pub help: Option<String>,
}

/// What is wrong with a bare number where a unit is needed.
pub const UNIT_MISSING: &str = "the unit is missing";

impl Wrong {
    fn new(what: impl Into<String>) -> Wrong {
        Wrong { what: what.into(), help: None }
    }

    fn instead(what: impl Into<String>, write: impl std::fmt::Display) -> Wrong {
        Wrong { what: what.into(), help: Some(format!("write \"{write}\"")) }
    }
}

/// Units of durations, in milliseconds, largest first.
pub const DURATION_UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of sizes, in octets, largest first, powers of two before powers of ten.
pub const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Splits `"256MiB"` into its number and its unit; one space between them is allowed.
fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text[..digits].parse().ok()?;
    let unit = &text[digits..];
    Some((number, unit.strip_prefix(' ').unwrap_or(unit)))
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = split(text)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

/// `"1900ms"`, `"8s"`, `"30m"`, `"1h"`, `"1d"`, `"2w"`.
pub fn duration(text: &str) -> Result<Duration, Wrong> {
    if let Some(millis) = scaled(text, &DURATION_UNITS) {
        return Ok(Duration::from_millis(millis));
    }
    const WHAT: &str = "not a duration: expected a whole number and one of the units ms, s, m, h, d, w";
    let Some((number, unit)) = split(text) else { return Err(Wrong::instead(WHAT, "8s")) };
    let meant = match unit.to_ascii_lowercase().as_str() {
        "" => return Err(Wrong { what: UNIT_MISSING.into(), help: Some(seconds_or_millis(number)) }),
        "msec" | "msecs" | "millis" | "milliseconds" => "ms",
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        "w" | "week" | "weeks" => "w",
        _ => return Err(Wrong::instead(WHAT, "8s")),
    };
    if scaled(&format!("{number}{meant}"), &DURATION_UNITS).is_none() {
        return Err(Wrong::new("longer than can be counted"));
    }
    Err(Wrong::instead(WHAT, format_args!("{number}{meant}")))
}

fn seconds_or_millis(number: u64) -> String {
    format!("write \"{number}s\" for seconds, or \"{number}ms\" for milliseconds")
}

/// The shortest way to write a duration with one unit.
pub fn write_duration(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".into();
    }
    let (unit, factor) = DURATION_UNITS
        .iter()
        .filter(|(unit, _)| *unit != "w")
        .find(|(_, f)| millis.is_multiple_of(*f))
        .unwrap_or(&("ms", 1));
    format!("{}{unit}", millis / factor)
}

/// `"256MiB"`, `"1GB"`, in octets.
pub fn size(text: &str) -> Result<u64, Wrong> {
    if let Some(octets) = scaled(text, &SIZE_UNITS) {
        return Ok(octets);
    }
    const WHAT: &str = "not a size: expected a whole number and one of the units B, KiB, MiB, GiB, TiB, kB, MB, GB, TB";
    let Some((number, unit)) = split(text) else { return Err(Wrong::instead(WHAT, "256MiB")) };
    let meant = match unit.to_ascii_lowercase().as_str() {
        // A large number was meant in octets, a small one hardly.
        "" if number >= 1 << 16 => return Err(Wrong::instead(UNIT_MISSING, write_size(number))),
        "" => return Err(Wrong::instead(UNIT_MISSING, format_args!("{number}MiB"))),
        "k" | "kb" | "kib" => "KiB",
        "m" | "mb" | "mib" => "MiB",
        "g" | "gb" | "gib" => "GiB",
        "t" | "tb" | "tib" => "TiB",
        _ => return Err(Wrong::instead(WHAT, "256MiB")),
    };
    if scaled(&format!("{number}{meant}"), &SIZE_UNITS).is_none() {
        return Err(Wrong::new("larger than can be counted"));
    }
    Err(Wrong::instead(WHAT, format_args!("{number}{meant}")))
}

/// The shortest exact way to write a size.
pub fn write_size(octets: u64) -> String {
    if octets == 0 {
        return "0B".into();
    }
    let (unit, factor) = SIZE_UNITS.iter().find(|(_, factor)| octets.is_multiple_of(*factor)).unwrap_or(&("B", 1));
    format!("{}{unit}", octets / factor)
}

/// `"75%"`, `"0.01%"`, with up to four places after the point; `"never"` where that may be said.
pub fn part(text: &str) -> Result<Part, Wrong> {
    const WHAT: &str = "not a part: expected a number and %";
    if text == "never" {
        return Ok(Part::NEVER);
    }
    let number = text.strip_suffix('%').map(|number| number.strip_suffix(' ').unwrap_or(number));
    let number = match number {
        Some(number) => number,
        None if text.parse::<u32>().is_ok() => return Err(Wrong::instead(UNIT_MISSING, format_args!("{text}%"))),
        None => return Err(Wrong::instead(WHAT, "50%")),
    };
    let (whole, places) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    if !digits(whole) || !digits(places) || places.len() > 4 {
        return Err(Wrong::instead(WHAT, "50%"));
    }
    let parts = whole.parse::<u32>().ok().and_then(|whole| whole.checked_mul(10_000));
    let parts = parts.and_then(|parts| parts.checked_add(format!("{places:0<4}").parse().ok()?));
    parts.filter(|parts| *parts < u32::MAX).map(Part).ok_or(Wrong::new("larger than can be counted"))
}

/// The shortest way to write a part.
pub fn write_part(part: Part) -> String {
    if part == Part::NEVER {
        return "never".into();
    }
    let (whole, places) = (part.0 / 10_000, part.0 % 10_000);
    let places = format!("{places:04}");
    match places.trim_end_matches('0') {
        "" => format!("{whole}%"),
        places => format!("{whole}.{places}%"),
    }
}

/// `"50/s"`: so many a second.
pub fn rate(text: &str) -> Result<u32, Wrong> {
    const WHAT: &str = "not a rate: expected a whole number a second";
    let Some((number, unit)) = split(text) else { return Err(Wrong::instead(WHAT, "50/s")) };
    match (u32::try_from(number), unit) {
        (Ok(number), "/s") => Ok(number),
        (Err(_), _) => Err(Wrong::new("more than can be counted")),
        (Ok(number), "") => Err(Wrong::instead(UNIT_MISSING, format_args!("{number}/s"))),
        (Ok(number), _) => Err(Wrong::instead(WHAT, format_args!("{number}/s"))),
    }
}

/// `"/24:32"`: the prefixes of a length, and how many shares each has.
pub fn level(text: &str) -> Result<PrefixLevel, Wrong> {
    let wrong = || Wrong::instead("not a prefix length with its shares", "/24:32");
    let (length, shares) = text.strip_prefix('/').and_then(|rest| rest.split_once(':')).ok_or_else(wrong)?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    if !is_number(length) || !is_number(shares) {
        return Err(wrong());
    }
    match (length.parse(), shares.parse()) {
        (Ok(length @ 0..=128), Ok(shares @ 1..=1_000_000)) => Ok(PrefixLevel { length, shares }),
        (Ok(0..=128), _) => Err(Wrong::new("a prefix has 1 to 1000000 shares")),
        _ => Err(Wrong::new("a prefix is at most 128 bits long")),
    }
}

/// A short name.
pub fn word(text: &str) -> Result<String, Wrong> {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    match text.len() {
        1..=32 if text.bytes().all(fits) => Ok(text.to_owned()),
        _ => Err(Wrong::new("a name has 1 to 32 letters, digits, hyphens or underscores")),
    }
}

/// `"192.0.2.0/24"`, or a single address.
pub fn prefix(text: &str) -> Result<IpNet, Wrong> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    if text == "..." {
        return Err(Wrong {
            what: "an ellipsis is not a prefix".into(),
            help: Some("a list replaces the default; copy what you keep from `maeslant check --print default`".into()),
        });
    }
    let Ok(net) = text.parse::<IpNet>() else {
        return Err(match text.split_once('/').map_or(text, |(address, _)| address).parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => Wrong::new("the prefix length is not a number from 0 to 32"),
            Ok(IpAddr::V6(_)) => Wrong::new("the prefix length is not a number from 0 to 128"),
            Err(_) => Wrong::instead("not a prefix: expected an IP address and a length", "192.0.2.0/24"),
        });
    };
    if net.trunc() != net {
        return Err(Wrong {
            what: format!("the address has bits beyond its prefix length {}", net.prefix_len()),
            help: Some(format!("write \"{}\" for the network, or \"{}\" for the one address", net.trunc(), net.addr())),
        });
    }
    Ok(net)
}

/// An address that packets can be sent from: not multicast, no port.
pub fn source_address(text: &str) -> Result<IpAddr, Wrong> {
    match text.parse::<IpAddr>() {
        Ok(address) if address.is_multicast() => Err(Wrong::new("a multicast address cannot be a source")),
        Ok(address) => Ok(address),
        Err(_) => Err(match text.parse::<SocketAddr>() {
            Ok(socket) => {
                Wrong::instead("a port has no place here: each query leaves from a random one (RFC 5452)", socket.ip())
            }
            Err(_) => Wrong::instead("not an IP address", "192.0.2.1"),
        }),
    }
}

/// An address and port to listen on.
pub fn listener(text: &str) -> Result<SocketAddr, Wrong> {
    match text.parse::<SocketAddr>() {
        Ok(socket) if socket.ip().is_multicast() => Err(Wrong::new("a multicast address cannot be listened on")),
        Ok(socket) => Ok(socket),
        Err(_) => Err(match bare_address(text) {
            // An IPv6 address may end in what looks like a port, and mostly it was meant as one.
            Some(_) if let Some(meant) = unbracketed(text) => {
                Wrong::instead("an IPv6 address stands in brackets", meant)
            }
            Some(address) => Wrong::instead("the port is missing", SocketAddr::new(address, 53)),
            None => match text.strip_prefix("*:").and_then(|port| port.parse::<u16>().ok()) {
                Some(port) => Wrong {
                    what: "not an IP address and port".into(),
                    help: Some(format!("write \"0.0.0.0:{port}\" and \"[::]:{port}\" for every address")),
                },
                None => Wrong::instead("not an IP address and port", "127.0.0.1:53"),
            },
        }),
    }
}

/// An IPv6 address without brackets and a port behind it: `::1:5300`.
fn unbracketed(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.rsplit_once(':')?;
    let port: u16 = port.parse().ok().filter(|port| *port == 53 || *port > 99)?;
    Some(SocketAddr::new(address.parse::<std::net::Ipv6Addr>().ok()?.into(), port))
}

/// An address of a server, with a port or on port 53.
pub fn server(text: &str) -> Result<SocketAddr, Wrong> {
    let socket = match (text.parse::<SocketAddr>(), bare_address(text)) {
        (Ok(socket), _) => socket,
        (Err(_), Some(address)) => SocketAddr::new(address, 53),
        (Err(_), None) => {
            return Err(
                match text.split_once('@').and_then(|(host, port)| Some((bare_address(host)?, port.parse().ok()?))) {
                    Some((address, port)) => {
                        Wrong::instead("a colon stands before the port", SocketAddr::new(address, port))
                    }
                    None => Wrong::instead("not an IP address, with or without a port", "192.0.2.1:53"),
                },
            );
        }
    };
    match socket {
        _ if socket.port() == 0 => Err(Wrong::new("port 0 cannot be asked")),
        _ if socket.ip().is_multicast() => Err(Wrong::new("a multicast address is not one server")),
        _ if socket.ip().is_unspecified() => Err(Wrong::instead(
            "the unspecified address is not a server",
            SocketAddr::new(
                if socket.is_ipv4() { [127, 0, 0, 1].into() } else { [0, 0, 0, 0, 0, 0, 0, 1].into() },
                socket.port(),
            ),
        )),
        _ => Ok(socket),
    }
}

/// An address alone, in brackets or not.
fn bare_address(text: &str) -> Option<IpAddr> {
    text.parse()
        .ok()
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::V6))
}

/// A zone's name, in lower case, ending in a dot.
pub fn zone(text: &str) -> Result<String, Wrong> {
    if text == "." {
        return Ok(text.to_owned());
    }
    if text.is_empty() {
        return Err(Wrong::instead("a zone needs a name; the root is a dot", "."));
    }
    if let Some(below) = text.strip_prefix("*.") {
        return Err(Wrong::instead("a zone covers every name below it, without a wildcard", below));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Wrong::new("a zone's name has no blanks in it"));
    }
    if !text.is_ascii() {
        return Err(Wrong {
            what: "names are written in their ASCII form (RFC 5890)".into(),
            help: Some("write the labels that are not ASCII in their xn-- form".into()),
        });
    }
    let name = text.strip_suffix('.').filter(|rest| !rest.ends_with('\\')).unwrap_or(text);
    // A backslash may stand for one octet with three digits, so only names without one are measured here.
    if !name.contains('\\') {
        for label in name.split('.') {
            if label.is_empty() {
                return Err(Wrong::new("two dots follow each other, or one leads: a label is empty"));
            }
            if label.len() > 63 {
                return Err(Wrong::new(format!(
                    "a label has {} octets, at most 63 are allowed (RFC 1035 §2.3.4)",
                    label.len()
                )));
            }
        }
        if name.len() + 2 > 255 {
            return Err(Wrong::new(format!(
                "the name has {} octets on the wire, at most 255 are allowed (RFC 1035 §2.3.4)",
                name.len() + 2
            )));
        }
    }
    match Name::parse(text) {
        Ok(name) => Ok(name.to_string()),
        Err(error) => Err(Wrong::new(error.to_string())),
    }
}

/// A zone below the root, with all names in it.
pub fn zone_below_root(text: &str) -> Result<Name, Wrong> {
    match Name::parse(&zone(text)?) {
        Ok(name) if name.is_root() => Err(Wrong {
            what: "every zone is below the root".into(),
            help: Some("set zones = \"off\" to hold none to a quota".into()),
        }),
        Ok(name) => Ok(name),
        Err(error) => Err(Wrong::new(error.to_string())),
    }
}

/// Octets as text, or as hexadecimal digits after `0x`.
pub fn octets(text: &str) -> Result<Vec<u8>, Wrong> {
    let Some(digits) = text.strip_prefix("0x") else { return Ok(text.as_bytes().to_vec()) };
    let wrong = || Wrong::instead("after 0x, pairs of hexadecimal digits are expected", "0x6d61");
    if digits.is_empty() || digits.len() % 2 != 0 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| wrong())).collect()
}

/// The reverse of [`octets`].
pub fn write_octets(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) if !text.starts_with("0x") && !text.is_empty() => text.to_owned(),
        _ => octets.iter().fold("0x".to_owned(), |out, octet| out + &format!("{octet:02x}")),
    }
}
