//! Names and packets that attacks are made of.

use super::dice::Dice;
use super::packet::{Form, HEADER, write_query};
use super::scenario::{Malformed, Style};

/// Words that people use for hosts.
const WORDS: [&str; 64] = [
    "www", "mail", "smtp", "imap", "pop", "webmail", "ns", "dns", "mx", "ftp", "api", "app", "dev", "test", "stage",
    "prod", "beta", "demo", "admin", "portal", "login", "auth", "sso", "vpn", "remote", "gateway", "proxy", "cdn",
    "static", "img", "images", "media", "video", "files", "download", "upload", "shop", "store", "pay", "billing",
    "blog", "news", "forum", "wiki", "docs", "help", "support", "status", "monitor", "backup", "db", "sql", "cache",
    "search", "mobile", "m", "secure", "internal", "cloud", "host", "server", "web", "node", "edge",
];
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const CONSONANTS: &[u8] = b"bcdfghjklmnprstvwz";
const VOWELS: &[u8] = b"aeiou";
/// The longest name, in octets.
const MAX_NAME: usize = 255;

/// Adds a label of so many letters and digits.
pub fn label(dice: &mut Dice, (from, to): (u8, u8), out: &mut Vec<u8>) {
    let length = usize::from(from) + dice.below(usize::from(to - from) + 1);
    out.push(length as u8);
    out.extend((0..length).map(|_| LETTERS[dice.below(LETTERS.len())]));
}

/// Adds labels in a style.
pub fn labels(dice: &mut Dice, style: Style, length: (u8, u8), count: (u8, u8), out: &mut Vec<u8>) {
    let count = usize::from(count.0) + dice.below(usize::from(count.1 - count.0) + 1);
    for _ in 0..count {
        match style {
            Style::Uniform | Style::Deep => label(dice, length, out),
            Style::Dictionary => {
                let (first, second) = (WORDS[dice.below(WORDS.len())], WORDS[dice.below(WORDS.len())]);
                let text = format!("{first}-{second}{}", dice.below(10_000));
                out.push(text.len() as u8);
                out.extend(text.bytes());
            }
            Style::Dga => {
                let letters = usize::from(length.0) + dice.below(usize::from(length.1 - length.0) + 1);
                out.push(letters as u8);
                for at in 0..letters {
                    let of = if at % 2 == 0 { CONSONANTS } else { VOWELS };
                    out.push(of[dice.below(of.len())]);
                }
            }
        }
    }
}

/// `prefix` in front of `zone`, shortened from the left until it fits.
pub fn join(prefix: &mut Vec<u8>, zone: &[u8]) {
    while prefix.len() + zone.len() > MAX_NAME {
        match prefix.first() {
            Some(first) => drop(prefix.drain(..=usize::from(*first).min(prefix.len() - 1))),
            None => break,
        }
    }
    prefix.extend_from_slice(zone);
}

/// Writes a packet that is no proper query, over `out`.
pub fn malformed(dice: &mut Dice, kind: Malformed, name: &[u8], out: &mut Vec<u8>) {
    write_query(out, name, 1, Form::default());
    let opt = out.len() - 11;
    match kind {
        Malformed::Short => {
            let length = dice.below(out.len());
            out.truncate(length);
        }
        Malformed::Noise => {
            let length = 1 + dice.below(600);
            out.clear();
            out.extend((0..length).map(|_| dice.next() as u8));
        }
        Malformed::PointerLoop => {
            out.truncate(HEADER);
            out.extend_from_slice(&[0xc0, HEADER as u8, 0, 1, 0, 1]);
        }
        Malformed::LongName => {
            out.truncate(HEADER);
            for _ in 0..5 {
                out.push(63);
                out.extend((0..63).map(|_| LETTERS[dice.below(LETTERS.len())]));
            }
            out.extend_from_slice(&[0, 0, 1, 0, 1]);
        }
        Malformed::Counts => {
            for at in [5, 7, 9, 11] {
                out[at] = dice.next() as u8;
            }
        }
        Malformed::Opcode => out[2] = 0x78 | (out[2] & 0x87),
        Malformed::TwoOpts => {
            out[11] = 2;
            let again = out[opt..].to_vec();
            out.extend(again);
        }
        Malformed::Trailing => {
            let length = 1 + dice.below(300);
            out.extend((0..length).map(|_| dice.next() as u8));
        }
    }
}

/// Writes a query whose OPT record has so many empty options, over `out`.
pub fn edns_bomb(name: &[u8], options: u16, out: &mut Vec<u8>) {
    write_query(out, name, 1, Form::default());
    let length = options.min(16_000) * 4;
    let at = out.len() - 2;
    out[at..].copy_from_slice(&length.to_be_bytes());
    for option in 0..options.min(16_000) {
        // Codes for experiments, so that none means anything (RFC 6891 §9).
        out.extend_from_slice(&(65_001 + option % 500).to_be_bytes());
        out.extend_from_slice(&[0, 0]);
    }
}

/// Makes a response of a query, as an error that another server sent back.
pub fn into_response(dice: &mut Dice, out: &mut [u8]) {
    if let [_, _, high, low, ..] = out {
        *high |= 0x80;
        *low = [0, 1, 2, 5][dice.below(4)];
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::question_print;
    use super::*;
    use crate::wire::Name;

    #[test]
    fn names_of_every_style_are_names() {
        let mut dice = Dice::new(1);
        let zone = Name::parse("bank.com.").unwrap();
        for style in [Style::Uniform, Style::Dictionary, Style::Deep, Style::Dga] {
            for _ in 0..200 {
                let mut name = Vec::new();
                labels(&mut dice, style, (6, 63), (1, 30), &mut name);
                join(&mut name, zone.wire());
                let name = Name::from_wire(&name).unwrap_or_else(|| panic!("{style:?}: {name:?}"));
                assert!(name.is_below(&zone), "{name}");
            }
        }
    }

    #[test]
    fn bombs_and_broken_packets_have_the_size_and_fault_they_say() {
        let mut out = Vec::new();
        edns_bomb(b"\x01a\x00", 3000, &mut out);
        assert_eq!(out.len(), 12 + 7 + 11 + 12_000);
        let mut dice = Dice::new(2);
        for (word, kind) in Malformed::ALL {
            malformed(&mut dice, kind, b"\x01a\x00", &mut out);
            let sound =
                matches!(kind, Malformed::Opcode | Malformed::TwoOpts | Malformed::Trailing | Malformed::Counts);
            assert!(!sound || question_print(&out) != 0, "{word}");
        }
    }
}
