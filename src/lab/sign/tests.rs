//! What is signed here holds by the rules of `dnssec`, and what is signed wrong does not.

use hickory_proto::rr::{Name, Record};

use super::*;
use crate::clock::UnixTime;
use crate::dnssec::{self, Budget, Limits, Trust, Trusted, establish, verify};
use crate::lab::master;
use crate::wire;

const NOW: u32 = 1_750_000_000;

fn zone(algorithm: u8, flaw: Option<&str>) -> (Vec<Record>, Signed) {
    let origin = Name::from_ascii("Z.").expect("a name");
    let text = "$TTL 60\n@ SOA NS Host 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\nns A 192.0.2.2\n*.w MX 5 NS\nd DNAME Ns\n";
    let records = master::read(text, &origin).expect("a zone");
    let flaw = flaw.map(|flaw| flaw.parse().expect("a flaw"));
    let how = Signing { denial: Denial::Nsec, from: NOW - 86_400, until: NOW + 86_400, flaw };
    let signed = Signed::new(&records.iter().collect::<Vec<_>>(), Arc::new(Keys::new(&origin, algorithm)), how);
    (records, signed)
}

/// Checks each set of the zone in turn, the keys first.
fn check(algorithm: u8, flaw: Option<&str>) -> Result<(), dnssec::Cause> {
    let (records, signed) = zone(algorithm, flaw);
    let policy = dnssec::Policy { sha1: dnssec::Sha1::Validate, ..dnssec::Policy::default() };
    let budget = Budget::new(&Limits::default());
    let now = UnixTime(u64::from(NOW));
    let data = |record: &Record| {
        let mut octets = Vec::new();
        let mut encoder = BinEncoder::new(&mut octets);
        encoder.set_name_encoding(NameEncoding::Uncompressed);
        record.data.emit(&mut encoder).expect("data");
        octets
    };
    let with = |set: &[Record], work: &mut dyn FnMut(&dnssec::Signed<'_>) -> Result<(), dnssec::Cause>| {
        let owner = wire::Name::from_wire(&lower_wire(&set[0].name)).expect("a name");
        let (rdatas, signatures): (Vec<_>, Vec<_>) =
            (set.iter().map(data).collect(), signed.signatures(set).iter().map(data).collect());
        let rdatas: Vec<&[u8]> = rdatas.iter().map(Vec::as_slice).collect();
        let signatures: Vec<&[u8]> = signatures.iter().map(Vec::as_slice).collect();
        let rtype = wire::Rtype(set[0].record_type().into());
        work(&dnssec::Signed { owner: &owner, rtype, ttl: set[0].ttl, rdatas: &rdatas, signatures: &signatures })
    };
    let ds = data(&signed.ds(60, 2));
    let trusted = Trusted { ds: &[&ds], dnskeys: &[] };
    let mut keys = None;
    with(signed.apex(), &mut |set| match establish(set, trusted, &policy, now, &budget)? {
        Trust::Secure(found, _) => {
            keys = Some(found);
            Ok(())
        }
        Trust::Insecure(cause) => Err(cause),
    })?;
    let keys = keys.expect("keys");
    let mut sets: Vec<Vec<Record>> = Vec::new();
    for record in records.iter().chain(signed.denials()) {
        let same = |set: &&mut Vec<Record>| set[0].name == record.name && set[0].record_type() == record.record_type();
        match sets.iter_mut().find(same) {
            Some(set) => set.push(record.clone()),
            None => sets.push(vec![record.clone()]),
        }
    }
    sets.iter().try_for_each(|set| with(set, &mut |set| verify(set, &keys, now, &budget).map(|_| ())))
}

#[test]
fn signatures_of_every_algorithm_hold() {
    for algorithm in [5, 7, 8, 10, 13, 14, 15] {
        assert_eq!(check(algorithm, None), Ok(()), "algorithm {algorithm}");
    }
}

#[test]
fn each_flaw_is_found_by_its_name() {
    for (flaw, error) in [
        ("expired", 7),
        ("expired:MX", 7),
        ("not-yet-valid", 8),
        ("not-yet-valid:NSEC", 8),
        ("expires-before-inception", 25),
        ("bad-signature:A", 6),
        ("bad-signature:DNSKEY", 6),
        ("wrong-signer:A", 6),
        ("too-many-labels:A", 6),
        ("wrong-tag:A", 9),
        ("no-signature:SOA", 10),
        ("no-signature:DNSKEY", 10),
        ("other-keys", 9),
        ("no-zone-key", 11),
        ("revoked-key", 6),
    ] {
        let found = check(13, Some(flaw)).err().map(|cause| cause.ede());
        assert_eq!(found, Some(error), "{flaw}");
    }
    assert!("expiered".parse::<Flaw>().is_err() && "expired:NOTYPE".parse::<Flaw>().is_err());
}

#[test]
fn a_key_trap_has_many_keys_of_one_tag_and_no_signature_that_holds() {
    let (records, signed) = zone(8, Some("key-trap"));
    let keys: Vec<&[u8]> = signed.apex().iter().filter_map(|record| anything(record)).collect();
    let tag = signed.keys().signing().tag();
    assert!(keys.len() > 300 && keys[1..].iter().all(|key| dnssec::key_tag(key) == tag), "{} keys", keys.len());
    let different: std::collections::HashSet<&[u8]> = keys.iter().copied().collect();
    assert_eq!(different.len(), keys.len());
    let signatures = signed.signatures(&records[..1]);
    let different: std::collections::HashSet<&[u8]> = signatures.iter().filter_map(anything).collect();
    assert_eq!((signatures.len(), different.len()), (250, 250));
    // The keys themselves are signed well; nothing else is, and the work of finding that out is bounded.
    assert!(check(8, Some("key-trap")).is_err());
}

#[test]
fn a_broad_proof_reaches_over_the_zones_beside_it() {
    let (_, signed) = zone(13, Some("broad-proof"));
    let last = signed.denials().last().and_then(anything).expect("a record").to_vec();
    assert!(last.starts_with(b"\x08zzzzzzzz\x00"), "{last:?}");
    assert_eq!(check(13, Some("broad-proof")), Ok(()), "its signature holds");
}

fn anything(record: &Record) -> Option<&[u8]> {
    match &record.data {
        RData::Unknown { rdata, .. } => Some(&rdata.anything),
        _ => None,
    }
}
