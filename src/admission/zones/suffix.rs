//! The suffixes of a name at which accounts are kept: the public suffix, the registrable domain, and what is below.

use psl::{List, Psl};
use smallvec::SmallVec;

/// Suffixes below the registrable domain that are looked at.
const DEEPER: usize = 3;

/// Where in the wire form of a name its suffixes begin, the shortest first: the public suffix (`com`, `co.uk`, a
/// top-level domain that nobody knows), the registrable domain, and up to three below it. The name itself is not
/// among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suffixes {
    starts: SmallVec<[u8; 8]>,
    /// The name consists of numbers, as reverse look-ups and DNS lists have them.
    pub numbers: bool,
}

impl Suffixes {
    /// Of a name in lower-case wire form.
    pub fn of(name: &[u8]) -> Suffixes {
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
        let public = List.find(labels.iter().rev().map(text)).len;
        let (mut suffixes, mut length) = (Suffixes::default(), 0);
        for start in labels.iter().skip(1).rev() {
            length += text(start).len() + 1;
            if length > public && suffixes.starts.len() < 2 + DEEPER {
                suffixes.starts.push(*start);
            }
        }
        suffixes.numbers = is_numbers(labels.iter().map(text));
        suffixes
    }

    /// The suffixes of `name`, which these are of, the shortest first.
    pub fn within<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.offsets().filter_map(|start| name.get(start..))
    }

    /// Where they begin, the shortest first.
    pub fn offsets(&self) -> impl Iterator<Item = usize> {
        self.starts.iter().map(|start| usize::from(*start))
    }
}

/// Two numbers of up to three digits, or eight single hexadecimal digits, at the beginning.
fn is_numbers<'a>(labels: impl Iterator<Item = &'a [u8]> + Clone) -> bool {
    let decimal = |label: &&[u8]| label.len() <= 3 && label.iter().all(u8::is_ascii_digit);
    let nibble = |label: &&[u8]| label.len() == 1 && label.iter().all(u8::is_ascii_hexdigit);
    labels.clone().take_while(decimal).count() >= 2 || labels.take_while(nibble).count() >= 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Name;

    fn suffixes(text: &str) -> (Vec<String>, bool) {
        let name = Name::parse(text).expect("a name");
        let suffixes = Suffixes::of(name.wire());
        let text = |suffix: &[u8]| Name::from_wire(suffix).expect("a name").to_string();
        (suffixes.within(name.wire()).map(text).collect(), suffixes.numbers)
    }

    #[test]
    fn suffixes_run_from_the_public_one_down_to_the_parent() {
        for (name, expected, numbers) in [
            ("www.example.com", &["com.", "example.com."][..], false),
            ("a.b.example.co.uk", &["co.uk.", "example.co.uk.", "b.example.co.uk."], false),
            ("example.com", &["com."], false),
            ("com", &[], false),
            (".", &[], false),
            ("host.corp", &["corp."], false),
            ("x.y.someone.github.io", &["github.io.", "someone.github.io.", "y.someone.github.io."], false),
            (
                "a.b.c.d.e.f.example.com",
                &["com.", "example.com.", "f.example.com.", "e.f.example.com.", "d.e.f.example.com."],
                false,
            ),
            (
                "4.3.2.1.list.example.org",
                &["org.", "example.org.", "list.example.org.", "1.list.example.org.", "2.1.list.example.org."],
                true,
            ),
            (
                "9.2.0.192.in-addr.arpa",
                &["in-addr.arpa.", "192.in-addr.arpa.", "0.192.in-addr.arpa.", "2.0.192.in-addr.arpa."],
                true,
            ),
        ] {
            assert_eq!(suffixes(name), (expected.iter().map(|s| (*s).to_owned()).collect(), numbers), "{name}");
        }
    }
}
