//! DNSSEC by published vectors, by zones signed here, by attacks, and beside hickory-proto's own functions.

mod anchors;
mod attacks;
mod broken;
mod chain;
mod denial;
mod nsec3;
mod oracle;
mod random;
mod rollover;
pub(crate) mod signer;
mod vectors;

use super::{Budget, Limits, Policy, Sha1, Signed};
use crate::clock::UnixTime;
use crate::wire::{Name, Rtype, TextRecord, parse_record};

/// When all of it happens.
pub(crate) const NOW: UnixTime = UnixTime(1_750_000_000);

fn name(text: &str) -> Name {
    Name::parse(text).expect(text)
}

/// SHA-1 and small keys count.
fn lenient() -> Policy {
    Policy { min_rsa_bits: 512, sha1: Sha1::Validate, ..Policy::default() }
}

fn budget() -> Budget {
    Budget::new(&Limits::default())
}

/// An RRset that owns its data.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub owner: Name,
    pub rtype: Rtype,
    pub ttl: u32,
    pub rdatas: Vec<Vec<u8>>,
    pub signatures: Vec<Vec<u8>>,
}

impl Set {
    pub fn new(owner: &str, rtype: Rtype, rdatas: Vec<Vec<u8>>) -> Set {
        Set { owner: name(owner), rtype, ttl: 3600, rdatas, signatures: Vec::new() }
    }

    /// From records in presentation format, all of one owner and type.
    fn of(texts: &[&str]) -> Set {
        let records: Vec<TextRecord> = texts.iter().map(|text| parse_record(text).expect(text)).collect();
        Set {
            owner: records[0].owner.clone(),
            rtype: records[0].rtype,
            ttl: records[0].ttl,
            rdatas: records.into_iter().map(|record| record.rdata).collect(),
            signatures: Vec::new(),
        }
    }

    pub fn signed<R>(&self, work: impl FnOnce(&Signed<'_>) -> R) -> R {
        let rdatas: Vec<&[u8]> = self.rdatas.iter().map(Vec::as_slice).collect();
        let signatures: Vec<&[u8]> = self.signatures.iter().map(Vec::as_slice).collect();
        let (owner, rtype, ttl) = (&self.owner, self.rtype, self.ttl);
        work(&Signed { owner, rtype, ttl, rdatas: &rdatas, signatures: &signatures })
    }
}

/// Type bit maps of these types.
fn bits(types: &[Rtype]) -> Vec<u8> {
    let mut numbers: Vec<u16> = types.iter().map(|rtype| rtype.0).collect();
    numbers.sort_unstable();
    let mut octets = Vec::new();
    for window in 0..=255u8 {
        let mut map = [0u8; 32];
        for number in numbers.iter().filter(|number| number.to_be_bytes()[0] == window) {
            let low = usize::from(number.to_be_bytes()[1]);
            map[low / 8] |= 0x80 >> (low % 8);
        }
        if let Some(last) = map.iter().rposition(|octet| *octet != 0) {
            octets.extend_from_slice(&[window, u8::try_from(last + 1).expect("at most 32")]);
            octets.extend_from_slice(&map[..=last]);
        }
    }
    octets
}
