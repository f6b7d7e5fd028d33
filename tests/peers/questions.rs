//! What there is to ask of the lab's zones: every name with many types, and names that do not exist at every level.

use std::collections::{BTreeMap, BTreeSet};

use super::internet::Internet;
use super::lab_zones::lines;
use super::wire::Type;

/// Types asked of every name, beside those that it has.
const ORDINARY: [&str; 15] = [
    "A",
    "NS",
    "CNAME",
    "SOA",
    "PTR",
    "MX",
    "TXT",
    "AAAA",
    "SRV",
    "DNAME",
    "DS",
    "DNSKEY",
    "HTTPS",
    "CAA",
    "TYPE65280",
];

/// Types with a meaning of their own or none at all, asked of a few names.
const ODD: [u16; 22] = [0, 3, 10, 11, 24, 25, 30, 38, 41, 46, 47, 50, 62, 99, 128, 249, 250, 251, 252, 253, 254, 65535];

/// A name in lower case and a type.
pub type Question = (String, Type);

/// All questions, in an order that mixes the zones as little as possible: a zone's names come together.
pub fn all(internet: &Internet) -> Vec<Question> {
    let mut asked = BTreeSet::new();
    let mut questions = Vec::new();
    let mut add = |name: String, kind: Type| {
        if asked.insert((name.clone(), kind)) {
            questions.push((name, kind));
        }
    };
    let ordinary = || ORDINARY.iter().filter_map(|text| Type::parse(text));
    for zone in internet.zones() {
        let mut names: BTreeMap<String, BTreeSet<Type>> = BTreeMap::new();
        for line in lines(&zone) {
            let kind = Type::parse(&line.kind).unwrap_or_else(|| panic!("no number for type {}", line.kind));
            for name in within(&line.owner, &zone.origin) {
                names.entry(name).or_default();
            }
            names.entry(line.owner).or_default().insert(kind);
        }
        for (name, kinds) in &names {
            ordinary().chain(kinds.iter().copied()).for_each(|kind| add(name.clone(), kind));
            add(name.clone(), Type(255));
            add(below("nx-53", name), Type(1));
            add(below("nx-53", name), Type(16));
            add(below("nx-53", name), Type(255));
            add(below("deeper.nx-54", name), Type(28));
            if let Some(parent) = name.strip_prefix("*.") {
                ordinary().for_each(|kind| add(below("anything", parent), kind));
                add(below("two.levels", parent), Type(1));
                add(below("two.levels", parent), Type(15));
            }
        }
        for kind in ODD {
            add(zone.origin.clone(), Type(kind));
        }
    }
    for kind in ODD {
        add("all.types.org.".into(), Type(kind));
        add("nx-55.types.org.".into(), Type(kind));
    }
    questions
}

fn below(label: &str, name: &str) -> String {
    if name == "." { format!("{label}.") } else { format!("{label}.{name}") }
}

/// The names between `owner` and `origin`, both without: some are empty non-terminals.
fn within(owner: &str, origin: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = owner;
    while let Some((_, parent)) = rest.split_once('.') {
        if parent.is_empty() || parent == origin || !(origin == "." || parent.ends_with(&format!(".{origin}"))) {
            break;
        }
        names.push(parent.to_owned());
        rest = parent;
    }
    names
}
