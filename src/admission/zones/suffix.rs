//! The suffixes of a name at which accounts are kept: the public suffix, the registrable domain, and what is below.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use psl::{List, Psl};
use smallvec::SmallVec;

use crate::wire::Name;

/// Suffixes below the registrable domain that are looked at.
const DEEPER: usize = 3;
/// In the reverse tree of IPv6 (RFC 3596 §2.5) an account each of what a registry gives, /32, of a site, /48, and of a network,
/// /64, as labels above which such a name is: `ip6.arpa` has two.
const NIBBLES: [usize; 3] = [2 + 8, 2 + 12, 2 + 16];

/// Where in the wire form of a name its suffixes begin, the shortest first: the public suffix (`com`, `co.uk`, a
/// top-level domain that nobody knows), the registrable domain, and up to three below it. The name itself is not
/// among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suffixes {
    starts: SmallVec<[u8; 8]>,
    /// Where the rest of a name begins that consists of numbers but for that, as reverse look-ups and names on DNS lists do.
    pub list: Option<u8>,
    /// The public suffix is that of a company, below which everybody has names for the asking, and some have all of them.
    pub private: bool,
}

/// What the operator says of public suffixes, which goes before the list that is compiled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SuffixRules(BTreeMap<Box<[u8]>, Rule>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// It is a public suffix.
    Public,
    /// Every name one label longer is one.
    Wildcard,
    /// It is none, but a domain that somebody has registered.
    Registered,
}

impl SuffixRules {
    /// Rules in the form of the public suffix list: a name a line, `*.` before one whose children are all suffixes, `!`
    /// before one that is none; comments begin with `//`. Names are in ASCII.
    ///
    /// # Errors
    /// Each line that is no rule, counted from 1, and why.
    pub fn parse(text: &str) -> Result<SuffixRules, Vec<(usize, String)>> {
        let (mut rules, mut errors) = (SuffixRules::default(), Vec::new());
        for (number, line) in (1..).zip(text.lines()) {
            let Some(word) = line.split_whitespace().next().filter(|word| !word.starts_with("//")) else { continue };
            let (rule, name) = match (word.strip_prefix("*."), word.strip_prefix('!')) {
                (Some(name), _) => (Rule::Wildcard, name),
                (_, Some(name)) => (Rule::Registered, name),
                _ => (Rule::Public, word),
            };
            let parsed = if name.is_ascii() { Name::parse(name).ok() } else { None };
            match parsed.filter(|name| name.wire().len() > 1) {
                None => {
                    errors.push((number, format!("`{word}` is no name in ASCII, with `*.` or `!` before it or not")))
                }
                Some(name) if rules.0.contains_key(name.wire()) => {
                    errors.push((number, format!("a second rule for `{name}`")));
                }
                Some(name) => drop(rules.0.insert(name.wire().into(), rule)),
            }
        }
        if errors.is_empty() { Ok(rules) } else { Err(errors) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many of a name's `labels`, whose places are in `starts`, are its public suffix, if a rule says so; `listed`
    /// of them are by the list.
    fn labels(&self, name: &[u8], starts: &[u8], listed: usize) -> Option<usize> {
        if self.0.is_empty() {
            return None;
        }
        starts.iter().enumerate().find_map(|(at, start)| {
            let count = starts.len() - at;
            match self.0.get(name.get(usize::from(*start)..)?)? {
                Rule::Public => Some(count.max(listed)),
                Rule::Wildcard => Some((count + 1).max(listed)),
                Rule::Registered => Some(count - 1),
            }
        })
    }
}

impl Suffixes {
    /// Of a name in lower-case wire form.
    pub fn of(name: &[u8], rules: &SuffixRules) -> Suffixes {
        let mut labels: SmallVec<[u8; 32]> = SmallVec::new();
        let mut at = 0;
        while let Some(length) = name.get(at).copied().map(usize::from).filter(|length| *length > 0) {
            // A name has at most 255 octets.
            labels.push(at as u8);
            at += length + 1;
        }
        let text = |start: &u8| {
            let start = usize::from(*start);
            let length = name.get(start).copied().map_or(0, usize::from);
            name.get(start + 1..start + 1 + length).unwrap_or(&[])
        };
        let found = List.find(labels.iter().rev().map(text));
        let octets = found.len;
        let mut length = 0;
        let listed = labels.iter().rev().position(|start| {
            length += text(start).len() + 1;
            length > octets
        });
        let listed = listed.map_or(labels.len(), |at| at + 1);
        let public = rules.labels(name, &labels, listed).unwrap_or(listed).max(1);
        let mut suffixes = Suffixes::default();
        let above: SmallVec<[u8; 32]> = labels.iter().skip(1).rev().copied().collect();
        if public == 2 && name.ends_with(b"\x03ip6\x04arpa\0") {
            let lengths = [public].into_iter().chain(NIBBLES);
            suffixes.starts.extend(lengths.filter_map(|length| above.get(length - 1).copied()));
        } else {
            suffixes.starts.extend(above.into_iter().skip(public - 1).take(2 + DEEPER));
        }
        suffixes.private = match public.cmp(&listed) {
            Ordering::Equal => found.typ == Some(psl::Type::Private),
            above_or_below => above_or_below == Ordering::Greater,
        };
        suffixes.list = numbers(labels.iter().map(text)).and_then(|count| labels.get(count).copied());
        suffixes
    }

    /// The suffixes of `name`, which these are of, the shortest first.
    pub fn within<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.offsets().filter_map(|start| name.get(start..))
    }

    /// What whoever has `name` could make up more names in at no cost: its registrable domain, or the public suffix of a company
    /// that has them all.
    pub fn owner<'a>(&'a self, name: &'a [u8]) -> Option<&'a [u8]> {
        self.within(name).nth(usize::from(!self.private))
    }

    /// Where they begin, the shortest first.
    pub fn offsets(&self) -> impl Iterator<Item = usize> {
        self.starts.iter().map(|start| usize::from(*start))
    }
}

/// The one of `zones` that a name in lower-case wire form is in.
pub fn zone_above<'a>(zones: &'a [Name], name: &[u8]) -> Option<&'a Name> {
    zones.iter().find(|zone| {
        let above = name.len().checked_sub(zone.wire().len());
        above.is_some_and(|above| name.ends_with(zone.wire()) && begins_a_label(name, above))
    })
}

fn begins_a_label(name: &[u8], place: usize) -> bool {
    let mut at = 0;
    while at < place {
        at += name.get(at).map_or(place, |length| usize::from(*length)) + 1;
    }
    at == place
}

/// The registrable domain of a name in lower-case wire form, by the compiled-in list; the name itself where there is none
/// above it.
pub fn registrable_domain(name: &[u8]) -> &[u8] {
    let start = Suffixes::of(name, &SuffixRules::default()).offsets().nth(1);
    start.and_then(|start| name.get(start..)).unwrap_or(name)
}

/// How many labels at the beginning are numbers: at least two of up to three digits, or eight hexadecimal digits.
fn numbers<'a>(labels: impl Iterator<Item = &'a [u8]> + Clone) -> Option<usize> {
    let decimal = |label: &&[u8]| label.len() <= 3 && label.iter().all(u8::is_ascii_digit);
    let nibble = |label: &&[u8]| label.len() == 1 && label.iter().all(u8::is_ascii_hexdigit);
    let (decimals, nibbles) = (labels.clone().take_while(decimal).count(), labels.take_while(nibble).count());
    if nibbles >= 8 { Some(nibbles.max(decimals)) } else { Some(decimals).filter(|count| *count >= 2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suffixes(text: &str) -> (Vec<String>, Option<String>) {
        let name = Name::parse(text).expect("a name");
        let suffixes = Suffixes::of(name.wire(), &SuffixRules::default());
        let text = |suffix: &[u8]| Name::from_wire(suffix).expect("a name").to_string();
        let list = suffixes.list.map(|start| text(&name.wire()[usize::from(start)..]));
        (suffixes.within(name.wire()).map(text).collect(), list)
    }

    #[test]
    fn suffixes_run_from_the_public_one_down_to_the_parent() {
        for (name, expected, list) in [
            ("www.example.com", &["com.", "example.com."][..], None),
            ("a.b.example.co.uk", &["co.uk.", "example.co.uk.", "b.example.co.uk."], None),
            ("example.com", &["com."], None),
            ("com", &[], None),
            (".", &[], None),
            ("host.corp", &["corp."], None),
            ("x.y.someone.github.io", &["github.io.", "someone.github.io.", "y.someone.github.io."], None),
            (
                "a.b.c.d.e.f.example.com",
                &["com.", "example.com.", "f.example.com.", "e.f.example.com.", "d.e.f.example.com."],
                None,
            ),
            (
                "4.3.2.1.list.example.org",
                &["org.", "example.org.", "list.example.org.", "1.list.example.org.", "2.1.list.example.org."],
                Some("list.example.org."),
            ),
            (
                "9.2.0.192.in-addr.arpa",
                &["in-addr.arpa.", "192.in-addr.arpa.", "0.192.in-addr.arpa.", "2.0.192.in-addr.arpa."],
                Some("in-addr.arpa."),
            ),
            (
                "1.2.random.example.org",
                &["org.", "example.org.", "random.example.org.", "2.random.example.org."],
                Some("random.example.org."),
            ),
            (
                "1.2.3.4.5.6.7.8.9.a.b.c.d.e.f.0.1.1.1.1.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
                &[
                    "ip6.arpa.",
                    "8.b.d.0.1.0.0.2.ip6.arpa.",
                    "1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.",
                    "1.1.1.1.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.",
                ],
                Some("ip6.arpa."),
            ),
            ("0.1.0.0.2.ip6.arpa", &["ip6.arpa."], Some("ip6.arpa.")),
        ] {
            let (expected, list) = (expected.iter().map(|s| (*s).to_owned()).collect(), list.map(str::to_owned));
            assert_eq!(suffixes(name), (expected, list), "{name}");
        }
    }

    #[test]
    fn a_zone_has_the_names_in_it_and_no_others() {
        let name = |text: &str| Name::parse(text).expect("a name");
        let zones = ["bl.example.org", "list.example"].map(name);
        let above = |text: &str| zone_above(&zones, name(text).wire()).map(Name::to_string);
        for inside in ["bl.example.org", "1.2.3.4.BL.example.org"] {
            assert_eq!(above(inside).as_deref(), Some("bl.example.org."), "{inside}");
        }
        // The octet before `list` is a label's length in one and a letter in the other.
        for outside in ["example.org", "xbl.example.org", "bl.example.org.net", "a\\004list.example", "."] {
            assert_eq!(above(outside), None, "{outside}");
        }
    }

    #[test]
    fn what_is_below_a_public_suffix_is_a_domain() {
        let of = |text: &str| {
            let name = Name::parse(text).expect(text);
            Name::from_wire(registrable_domain(name.wire())).expect("a name").to_string()
        };
        assert_eq!(of("a.b.example.com"), "example.com.");
        assert_eq!(of("www.example.co.uk"), "example.co.uk.");
        assert_eq!(of("example.com"), "example.com.");
        assert_eq!(of("com"), "com.");
        assert_eq!(of("."), ".");
    }

    #[test]
    fn rules_of_the_operator_go_before_the_list() {
        let text = "// ours\nlan\n\nhosting.example.com  and a remark\n*.cdn.net\n!github.io\n!www.cdn.net\n";
        let rules = SuffixRules::parse(text).expect("rules");
        assert_eq!(rules.len(), 5);
        for (name, expected) in [
            ("a.b.customer.hosting.example.com", &["hosting.example.com.", "customer.hosting.example.com."][..]),
            ("a.b.example.com", &["com.", "example.com.", "b.example.com."]),
            ("a.b.c.d.cdn.net", &["d.cdn.net.", "c.d.cdn.net.", "b.c.d.cdn.net."]),
            ("a.www.cdn.net", &["cdn.net.", "www.cdn.net."]),
            ("x.someone.github.io", &["io.", "github.io.", "someone.github.io."]),
            ("host.home.lan", &["lan.", "home.lan."]),
        ] {
            let name = Name::parse(name).expect("a name");
            let suffixes = Suffixes::of(name.wire(), &rules);
            let found: Vec<String> =
                suffixes.within(name.wire()).map(|s| Name::from_wire(s).expect("a name").to_string()).collect();
            assert_eq!(found[..expected.len().min(found.len())], *expected, "{name}");
        }
        let errors = SuffixRules::parse("ok.example\nb\u{fc}cher.example\nok.example\n!.\n").expect_err("errors");
        assert_eq!(errors.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3, 4]);
    }
}
