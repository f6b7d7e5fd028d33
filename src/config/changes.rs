//! What differs between two configurations, setting by setting.

use super::Settings;
use super::table::SECTIONS;

/// One setting that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// As in `--explain`: `limits.client_rate`.
    pub key: String,
    /// As TOML; "not set" where it was not, "as it was" where only what a file holds has changed.
    pub from: String,
    pub to: String,
}

/// Values longer than this are not shown whole.
const SHOWN: usize = 60;

/// What differs, in the order of the settings table. Files count by what was read from them.
pub fn changes(old: &Settings, new: &Settings) -> Vec<Change> {
    let (mut old, mut new) = (old.clone(), new.clone());
    let mut found = Vec::new();
    for section in &SECTIONS {
        for setting in section.settings {
            let (from, to) = (setting.shape.write(&mut old), setting.shape.write(&mut new));
            if from != to {
                found.push(Change {
                    key: format!("{}.{}", section.name, setting.key),
                    from: shown(from),
                    to: shown(to),
                });
            }
        }
    }
    let mut rest = |key: &str, differs: bool, from: String, to: String| {
        if differs && !found.iter().any(|change| change.key == key) {
            found.push(Change { key: key.to_owned(), from, to });
        }
    };
    let (before, after) = (&old.engine, &new.engine);
    let (was, is) = (&before.access.classes, &after.access.classes);
    rest("client_class", was != is, count(was.len(), "classes"), count(is.len(), "classes"));
    let (was, is) = (&before.resolve.upstreams, &after.resolve.upstreams);
    rest("forward and stub", was != is, count(was.len(), "zones"), count(is.len(), "zones"));
    let mut file = |key, differs| rest(key, differs, "as it was".to_owned(), "what the file holds now".to_owned());
    file("resolver.root_hints", before.resolve.root_hints != after.resolve.root_hints);
    file("access.cookie_secrets", before.access.cookies.secrets != after.access.cookies.secrets);
    file("limits.public_suffixes", before.access.limits.suffix_rules != after.access.limits.suffix_rules);
    file("dnssec.trust_anchors", before.resolve.dnssec.anchors != after.resolve.dnssec.anchors);
    found
}

fn count(number: usize, of: &str) -> String {
    format!("{number} {of}")
}

fn shown(value: Option<String>) -> String {
    let value = value.unwrap_or_else(|| "not set".to_owned()).replace('\n', " ");
    match value.char_indices().nth(SHOWN) {
        None => value,
        Some((at, _)) => format!("{}... ({} octets)", value.get(..at).unwrap_or(""), value.len()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::read;

    fn parse(text: &str) -> Settings {
        read(text, Path::new("test.toml")).unwrap_or_else(|report| panic!("{}", report.human(false)))
    }

    #[test]
    fn each_difference_is_named_once_with_both_values() {
        let old = parse("[limits]\nclient_rate = \"800/s\"\n[local]\nrecords = [\"a.example. A 192.0.2.1\"]\n");
        let new = parse(
            "[limits]\nclient_rate = \"900/s\"\n[local]\nrecords = [\"a.example. A 192.0.2.1\", \"b.example. A \
             192.0.2.1\", \"c.example. A 192.0.2.1\"]\n[[stub]]\nzone = \"corp.example.\"\nservers = [\"192.0.2.1:53\"]\n",
        );
        assert_eq!(changes(&old, &old), []);
        let found = changes(&old, &new);
        let keys: Vec<&str> = found.iter().map(|change| change.key.as_str()).collect();
        assert_eq!(keys, ["limits.client_rate", "local.records", "forward and stub"]);
        assert_eq!((found[0].from.as_str(), found[0].to.as_str()), ("\"800/s\"", "\"900/s\""));
        assert!(found[1].to.contains("octets"), "{found:?}");
        assert_eq!((found[2].from.as_str(), found[2].to.as_str()), ("0 zones", "1 zones"));
    }
}
