//! Beside hickory-proto's own functions: what one signs the other accepts, and what one refuses so does the other.

use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData};
use hickory_proto::dnssec::{DigestType, Verifier};
use hickory_proto::rr::{DNSClass, Name as HickoryName, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, Restrict};

use super::signer::{Key, Spec, Zone};
use super::{NOW, Set, budget, lenient, name};
use crate::dnssec::{Ds, key_tag, verify};
use crate::wire::{Name, Rtype};

fn rdata(rtype: Rtype, octets: &[u8]) -> RData {
    let length = Restrict::new(u16::try_from(octets.len()).expect("short"));
    RData::read(&mut BinDecoder::new(octets), RecordType::from(rtype.0), length).expect("record data")
}

fn hickory(name: &Name) -> HickoryName {
    HickoryName::from_bytes(name.wire()).expect("a name")
}

fn dnskey(octets: &[u8]) -> DNSKEY {
    match rdata(Rtype::DNSKEY, octets) {
        RData::DNSSEC(DNSSECRData::DNSKEY(key)) => key,
        other => panic!("{other} is no key"),
    }
}

/// Does the oracle accept this signature over the set by this key?
fn accepts(set: &Set, signature: &[u8], key: &Key) -> bool {
    let RData::DNSSEC(DNSSECRData::RRSIG(rrsig)) = rdata(Rtype::RRSIG, signature) else {
        panic!("an RRSIG");
    };
    let owner = hickory(&set.owner);
    let record = |octets: &Vec<u8>| Record::from_rdata(owner.clone(), set.ttl, rdata(set.rtype, octets));
    let records: Vec<Record> = set.rdatas.iter().map(record).collect();
    dnskey(&key.rdata).verify_rrsig(&owner, DNSClass::IN, &rrsig, records.iter()).is_ok()
}

#[test]
fn signatures_and_damage_are_judged_alike() {
    let sets = [
        Set::of(&["www.example. 300 IN A 192.0.2.200", "www.example. 300 IN A 192.0.2.1"]),
        Set::of(&["example. 300 IN MX 10 Mail.Example.", "example. 300 IN MX 5 b.example."]),
        Set::of(&["example. 300 IN SOA NS.Example. Host.Example. 1 2 3 4 5"]),
        Set::of(&["example. 300 IN NS B.ns.Example.", "example. 300 IN NS a.NS.example."]),
        Set::of(&["_s._tcp.example. 300 IN SRV 1 2 80 Host.Example."]),
        Set::of(&["www.example. 300 IN TXT \"a\" \"B\"", "www.example. 300 IN TXT \"\""]),
        Set::of(&["*.example. 300 IN CNAME Target.Example."]),
        Set::of(&["a.example. 300 IN NAPTR 1 2 \"U\" \"E2U\" \"!x!Y!\" Next.Example."]),
        Set::of(&["www.example. 300 IN HTTPS 1 Svc.Example. alpn=h2"]),
    ];
    for algorithm in [5, 7, 8, 10, 13, 14, 15] {
        let zone = Zone::new("example.", algorithm);
        let keys = zone.keys(&lenient());
        for set in &sets {
            let signature = zone.zsk.signature(set, "example.", &Spec::default());
            for damage in [None, Some(0), Some(1)] {
                let (mut set, mut signature) = (set.clone(), signature.clone());
                match damage {
                    Some(0) => *signature.last_mut().expect("not empty") ^= 1,
                    Some(_) => set.rdatas.truncate(1),
                    None => {}
                }
                let theirs = accepts(&set, &signature, &zone.zsk);
                set.signatures = vec![signature];
                let ours = set.signed(|set| verify(set, &keys, NOW, &budget()));
                let text = format!("algorithm {algorithm}, {} {}, damage {damage:?}", set.owner, set.rtype);
                assert_eq!(ours.is_ok(), theirs, "{text}: {ours:?}");
                if damage.is_none() {
                    assert!(theirs, "{text}");
                }
            }
        }
    }
}

#[test]
fn key_tags_and_digests_are_the_same() {
    for algorithm in [5, 8, 13, 14, 15] {
        let key = Key::new(algorithm, 257);
        let theirs = dnskey(&key.rdata);
        assert_eq!(theirs.calculate_key_tag().expect("a tag"), key_tag(&key.rdata));
        for (kind, digest_type) in [(1, DigestType::SHA1), (2, DigestType::SHA256), (4, DigestType::SHA384)] {
            let ours = key.ds("Sub.Example.", kind);
            let digest = theirs.to_digest(&hickory(&name("sub.example.")), digest_type).expect("a digest");
            assert_eq!(Ds::parse(&ours).expect("a DS").digest, digest.as_ref());
            let RData::DNSSEC(DNSSECRData::DS(ds)) = rdata(Rtype::DS, &ours) else { panic!("a DS") };
            assert!(ds.covers(&hickory(&name("sub.example.")), &theirs).expect("a verdict"));
        }
    }
}
