//! How a zone is to be signed, in words, and what its parent says of it.

use std::sync::Arc;

use hickory_proto::rr::{Name, RData, Record};

use super::{Denial, Flaw, Keys, Signed, Signing, opaque};

/// The digest type and the algorithm that nobody knows.
const UNKNOWN: u8 = 200;

/// How a zone is signed, before it has keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    pub algorithm: u8,
    pub denial: Denial,
    pub flaw: Option<Flaw>,
    pub parent: ParentsWord,
    /// It has a trust anchor of its own.
    pub anchor: bool,
}

/// What the parent of a signed zone has at its cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParentsWord {
    /// A DS record of this digest type.
    Ds(u8),
    Nothing,
    UnknownDigest,
    UnknownAlgorithm,
    /// Another digest than the key has.
    WrongDigest,
}

impl Plan {
    /// From `signed[=ALGORITHM] [nsec3[=ITERATIONS]] [salt=HEX] [opt-out] [flaw=FLAW] [ds=WORD] [anchor]`.
    pub fn parse(text: &str) -> Result<Plan, String> {
        let mut words = text.split_whitespace();
        let first = words.next().unwrap_or_default();
        let (key, algorithm) = first.split_once('=').unwrap_or((first, "13"));
        if key != "signed" {
            return Err(format!("a zone is `signed`, not `{first}`"));
        }
        let number = |text: &str| text.parse::<u16>().map_err(|_| format!("`{text}` is no number"));
        let algorithm = algorithm.parse::<u8>().ok().filter(|number| matches!(number, 5 | 7 | 8 | 10 | 13 | 14 | 15));
        let algorithm = algorithm.ok_or_else(|| format!("nobody signs like `{first}` here"))?;
        let parent = ParentsWord::Ds(2);
        let mut plan = Plan { algorithm, denial: Denial::Nsec, flaw: None, parent, anchor: false };
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match (key, &mut plan.denial) {
                ("nsec3", denial) => {
                    let iterations = if value.is_empty() { 0 } else { number(value)? };
                    *denial = Denial::Nsec3 { iterations, salt: Vec::new(), opt_out: false };
                }
                ("salt", Denial::Nsec3 { salt, .. }) => {
                    let octets = data_encoding::HEXLOWER_PERMISSIVE.decode(value.as_bytes());
                    *salt = octets.map_err(|_| format!("`{value}` is not hexadecimal"))?;
                }
                ("opt-out", Denial::Nsec3 { opt_out, .. }) => *opt_out = true,
                ("flaw", _) => plan.flaw = Some(value.parse()?),
                ("ds", _) => plan.parent = ParentsWord::parse(value)?,
                ("anchor", _) => plan.anchor = true,
                _ => return Err(format!("a signed zone has no `{word}`")),
            }
        }
        Ok(plan)
    }

    /// Signs a zone of these records by keys, signatures valid from and until these seconds since 1970.
    pub fn sign(&self, records: &[&Record], keys: Arc<Keys>, from: u32, until: u32) -> Signed {
        Signed::new(records, keys, Signing { denial: self.denial.clone(), from, until, flaw: self.flaw })
    }

    /// New keys for it.
    pub fn keys(&self, zone: &Name) -> Arc<Keys> {
        Arc::new(Keys::new(zone, self.algorithm))
    }

    /// The DS record that the parent has.
    pub fn ds(&self, signed: &Signed, ttl: u32) -> Option<Record> {
        let record = match self.parent {
            ParentsWord::Nothing => return None,
            ParentsWord::Ds(digest_type) => return Some(signed.ds(ttl, digest_type)),
            _ => signed.ds(ttl, 2),
        };
        let RData::Unknown { rdata, .. } = &record.data else { return None };
        let mut data = rdata.anything.clone();
        match self.parent {
            ParentsWord::UnknownAlgorithm => data[2] = UNKNOWN,
            ParentsWord::UnknownDigest => data[3] = UNKNOWN,
            _ => data[10] ^= 0xff,
        }
        Some(opaque(&record.name, ttl, record.record_type(), data))
    }
}

impl ParentsWord {
    fn parse(word: &str) -> Result<ParentsWord, String> {
        Ok(match word {
            "none" => ParentsWord::Nothing,
            "sha1" => ParentsWord::Ds(1),
            "sha384" => ParentsWord::Ds(4),
            "unknown-digest" => ParentsWord::UnknownDigest,
            "unknown-algorithm" => ParentsWord::UnknownAlgorithm,
            "wrong-digest" => ParentsWord::WrongDigest,
            other => return Err(format!("a parent says nothing like `{other}`")),
        })
    }
}
