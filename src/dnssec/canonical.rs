//! Canonical form and order (RFC 4034 §6, RFC 6840 §5.1).

use std::borrow::Cow;
use std::cmp::Ordering;

use smallvec::SmallVec;

use super::record::Rrsig;
use crate::wire::{CLASS_IN, Name, Rtype, wire_name_len};

/// The canonical order of names (RFC 4034 §6.1): by label from the right, as octets, the shorter first.
pub fn canonical_order(a: &Name, b: &Name) -> Ordering {
    let left: SmallVec<[&[u8]; 16]> = a.labels().collect();
    let right: SmallVec<[&[u8]; 16]> = b.labels().collect();
    left.iter().rev().cmp(right.iter().rev())
}

/// Octets whose plain order is the canonical order of names: for ordered maps and ranges of names.
pub fn order_key(name: &Name) -> Vec<u8> {
    let labels: SmallVec<[&[u8]; 16]> = name.labels().collect();
    let mut key = Vec::with_capacity(name.wire().len() + 8);
    for label in labels.iter().rev() {
        for octet in *label {
            // Zero ends a label, so the octets 0 and 1 stand behind a 1.
            match octet {
                0 | 1 => key.extend_from_slice(&[1, octet + 1]),
                other => key.push(*other),
            }
        }
        key.push(0);
    }
    key
}

/// Where the names stand in record data whose names are lower-cased.
enum Field {
    Name,
    Octets(usize),
    Text,
}

/// RFC 4034 §6.2 with RFC 6840 §5.1: not HINFO, not NSEC, but RRSIG. Empty for all other types.
fn layout(rtype: Rtype) -> &'static [Field] {
    use Field::{Name, Octets, Text};
    match rtype.0 {
        // NS MD MF CNAME MB MG MR PTR NXT DNAME
        2 | 3 | 4 | 5 | 7 | 8 | 9 | 12 | 30 | 39 => &[Name],
        // SOA MINFO RP
        6 | 14 | 17 => &[Name, Name],
        // MX AFSDB RT KX
        15 | 18 | 21 | 36 => &[Octets(2), Name],
        // SIG RRSIG
        24 | 46 => &[Octets(18), Name],
        // PX
        26 => &[Octets(2), Name, Name],
        // SRV
        33 => &[Octets(6), Name],
        // NAPTR
        35 => &[Octets(4), Text, Text, Text, Name],
        _ => &[],
    }
}

/// Record data with the names of the old types lower-cased. Data that is not of its type stays as it is.
pub(super) fn canonical_rdata(rtype: Rtype, rdata: &[u8]) -> Cow<'_, [u8]> {
    let mut octets = Cow::Borrowed(rdata);
    let mut at = 0;
    for field in layout(rtype) {
        let rest = rdata.get(at..).unwrap_or(&[]);
        let length = match field {
            Field::Octets(count) => *count,
            Field::Text => usize::from(rest.first().copied().unwrap_or(0)) + 1,
            Field::Name => {
                let Some(length) = wire_name_len(rest) else { return octets };
                let name = rest.get(..length).unwrap_or(&[]);
                if name.iter().any(u8::is_ascii_uppercase)
                    && let Some(name) = octets.to_mut().get_mut(at..at + length)
                {
                    name.make_ascii_lowercase();
                }
                length
            }
        };
        at += length;
    }
    octets
}

/// The data of a set in canonical form and order, each once (RFC 4034 §6.3).
pub(super) fn canonical_set<'a>(rtype: Rtype, rdatas: &[&'a [u8]]) -> Vec<Cow<'a, [u8]>> {
    let mut set: Vec<Cow<'a, [u8]>> = rdatas.iter().map(|rdata| canonical_rdata(rtype, rdata)).collect();
    set.sort_unstable();
    set.dedup();
    set
}

/// What a signature signs (RFC 4035 §5.3.2): its own data, then every record with the owner name and TTL that it was
/// signed with. `None` if the labels field is larger than the owner name.
pub(super) fn signed_octets(
    signature: &Rrsig<'_>,
    owner: &Name,
    rtype: Rtype,
    set: &[Cow<'_, [u8]>],
) -> Option<Vec<u8>> {
    let labels = usize::from(signature.labels);
    let count = counted_labels(owner);
    let owner = match labels.cmp(&count) {
        Ordering::Greater => return None,
        Ordering::Equal => Cow::Borrowed(owner),
        Ordering::Less => Cow::Owned(owner.suffix(labels).with_prefix(b"\x01*")?),
    };
    let fixed = owner.wire().len() + 10;
    let size = signature.fixed.len() + signature.signer.wire().len();
    let mut octets = Vec::with_capacity(size + set.iter().map(|rdata| rdata.len() + fixed).sum::<usize>());
    octets.extend_from_slice(signature.fixed);
    octets.extend_from_slice(signature.signer.wire());
    for rdata in set {
        octets.extend_from_slice(owner.wire());
        octets.extend_from_slice(&rtype.0.to_be_bytes());
        octets.extend_from_slice(&CLASS_IN.to_be_bytes());
        octets.extend_from_slice(&signature.original_ttl.to_be_bytes());
        octets.extend_from_slice(&u16::try_from(rdata.len()).ok()?.to_be_bytes());
        octets.extend_from_slice(rdata);
    }
    Some(octets)
}

/// The labels of an owner as a signature counts them: neither the root nor a leftmost `*` (RFC 4034 §3.1.3).
pub(super) fn counted_labels(owner: &Name) -> usize {
    owner.label_count() - usize::from(owner.is_wildcard())
}
