//! Denial by NSEC: every kind, and every way in which a record proves less than it seems to.

use super::signer::Zone;
use super::{NOW, Set, bits, budget, name};
use crate::dnssec::{Denial, Denied, DsAbsence, Nsec, Place, Policy, order_key, verify};
use crate::wire::{Name, Rtype};

use Rtype as R;

/// NSEC records of one zone: owner, next name, types.
struct Records {
    zone: Name,
    records: Vec<(Name, Vec<u8>)>,
}

impl Records {
    fn new(zone: &str, records: &[(&str, &str, &[Rtype])]) -> Records {
        let record =
            |(owner, next, types): &(&str, &str, &[Rtype])| (name(owner), [name(next).wire(), &bits(types)].concat());
        Records { zone: name(zone), records: records.iter().map(record).collect() }
    }

    fn denial(&self) -> Denial<'_> {
        let mut denial = Denial::new(&self.zone, &Policy::default());
        for (owner, rdata) in &self.records {
            denial.add_known(owner, R::NSEC, &[rdata]);
        }
        denial
    }

    fn nxdomain(&self, text: &str) -> bool {
        self.denial().nxdomain(&name(text), &budget()) == Denied::Proven
    }

    fn nodata(&self, text: &str, rtype: Rtype) -> bool {
        self.denial().nodata(&name(text), rtype, &budget()) == Denied::Proven
    }

    fn ds(&self, text: &str) -> Option<DsAbsence> {
        Some(self.denial().ds(&name(text), &budget())).filter(|ds| !matches!(ds, DsAbsence::NotProven(_)))
    }
}

/// A zone with all there is.
fn zone() -> Records {
    Records::new(
        "example.",
        &[
            ("example.", "alias.example.", &[R::SOA, R::NS, R::DNSKEY, R::NSEC, R::RRSIG]),
            ("alias.example.", "cut.example.", &[R::CNAME, R::NSEC, R::RRSIG]),
            ("cut.example.", "deep.ent.example.", &[R::NS, R::NSEC, R::RRSIG]),
            ("deep.ent.example.", "host.example.", &[R::TXT, R::NSEC, R::RRSIG]),
            ("host.example.", "old.example.", &[R::A, R::AAAA, R::NSEC, R::RRSIG]),
            ("old.example.", "signed.example.", &[R::DNAME, R::NSEC, R::RRSIG]),
            ("signed.example.", "*.wild.example.", &[R::NS, R::DS, R::NSEC, R::RRSIG]),
            ("*.wild.example.", "a.wild.example.", &[R::TXT, R::NSEC, R::RRSIG]),
            ("a.wild.example.", "example.", &[R::A, R::NSEC, R::RRSIG]),
        ],
    )
}

#[test]
fn what_does_not_exist_is_denied() {
    let zone = zone();
    for text in ["b.example.", "x.y.z.example.", "zzz.example.", "a.host.example.", "x.ent.example.", "\\000.example."]
    {
        assert!(zone.nxdomain(text), "{text}");
    }
}

#[test]
fn what_exists_is_not_denied() {
    let zone = zone();
    for text in ["example.", "host.example.", "ent.example.", "wild.example.", "b.wild.example.", "test.", "."] {
        assert!(!zone.nxdomain(text), "{text}");
    }
}

#[test]
fn a_record_made_for_one_name_denies_that_name_alone() {
    // RFC 9824: the name itself, the very next name, and no type but these.
    let types = [R::RRSIG, R::NSEC, R::NXNAME];
    let gone = Records::new("example.", &[("gone.example.", "\\000.gone.example.", &types)]);
    assert!(gone.nodata("gone.example.", R::A) && gone.nodata("gone.example.", R::DS));
    assert!(gone.nxdomain("gone.example."), "as a server says it to those who ask for it so");
    assert_eq!(gone.ds("gone.example."), Some(DsAbsence::NotACut));
    for other in ["a.gone.example.", "\\000.gone.example.", "gone2.example.", "example.", "*.example."] {
        assert!(!gone.nxdomain(other) && !gone.nodata(other, R::A), "{other}");
    }
    // A name that is there, without the type asked for.
    let bare = Records::new("example.", &[("bare.example.", "\\000.bare.example.", &[R::A, R::RRSIG, R::NSEC])]);
    assert!(bare.nodata("bare.example.", R::MX) && !bare.nodata("bare.example.", R::A));
    assert!(!bare.nxdomain("bare.example."));
}

#[test]
fn types_are_denied_at_names_that_exist() {
    let zone = zone();
    assert!(zone.nodata("host.example.", R::MX));
    assert!(!zone.nodata("host.example.", R::A));
    assert!(zone.nodata("ent.example.", R::A), "an empty non-terminal");
    assert!(zone.nodata("wild.example.", R::A), "an empty non-terminal above a wildcard");
    assert!(!zone.nodata("alias.example.", R::A), "an alias answers for all types");
    assert!(!zone.nodata("test.", R::A), "another zone");
    assert!(!zone.nodata("none.example.", R::A), "nothing at all exists there");
}

#[test]
fn wildcards_are_denied_their_types_and_their_reach() {
    let zone = zone();
    assert!(zone.nodata("b.wild.example.", R::A));
    assert!(!zone.nodata("b.wild.example.", R::TXT));
    let answer = |text: &str, encloser: &str| {
        zone.denial().wildcard_answer(&name(text), &name(encloser), &budget()) == Denied::Proven
    };
    assert!(answer("b.wild.example.", "wild.example."));
    assert!(answer("x.y.wild.example.", "wild.example."));
    assert!(!answer("a.wild.example.", "wild.example."), "it exists itself");
    assert!(!answer("x.a.wild.example.", "wild.example."), "something closer exists");
    assert!(!answer("deep.ent.example.", "example."), "it exists itself");
    assert!(!answer("x.ent.example.", "example."), "an empty non-terminal is closer");
    assert!(!answer("b.wild.example.", "test."), "not above it");
}

#[test]
fn the_closest_encloser_of_absent_names_only() {
    let zone = zone();
    let encloser = |text: &str| zone.denial().closest_encloser(&name(text), &budget());
    assert_eq!(encloser("x.b.wild.example."), Some(name("wild.example.")));
    assert_eq!(encloser("x.a.wild.example."), Some(name("a.wild.example.")));
    assert_eq!(encloser("none.example."), Some(name("example.")));
    for text in ["host.example.", "ent.example.", "x.cut.example.", "none.test."] {
        assert_eq!(encloser(text), None, "{text}");
    }
}

#[test]
fn the_absence_of_ds_tells_cuts_from_other_names() {
    let zone = zone();
    assert_eq!(zone.ds("cut.example."), Some(DsAbsence::InsecureCut));
    assert_eq!(zone.ds("signed.example."), None);
    for text in ["host.example.", "ent.example.", "none.example."] {
        assert_eq!(zone.ds(text), Some(DsAbsence::NotACut), "{text}");
    }
    assert_eq!(zone.ds("example."), None, "the apex is the parent's to speak of");
    assert_eq!(zone.ds("x.cut.example."), None, "below a cut nothing is said");
    assert!(zone.nodata("cut.example.", R::DS));
    assert!(!zone.nodata("example.", R::DS));
}

#[test]
fn a_delegation_denies_nothing_of_its_child() {
    // RFC 6840 §4.1: the parent's record at a cut, and names below it.
    let zone = zone();
    assert!(!zone.nodata("cut.example.", R::A));
    assert!(!zone.nodata("cut.example.", R::SOA));
    assert!(!zone.nxdomain("www.cut.example."));
    assert!(!zone.nodata("www.cut.example.", R::A));
    assert!(!zone.nxdomain("www.signed.example."));
    // Nor does one above a DNAME.
    assert!(!zone.nxdomain("x.old.example."));
    assert!(!zone.nodata("x.old.example.", R::A));
}

#[test]
fn each_half_of_a_proof_is_needed() {
    let whole: [(&str, &str, &[Rtype]); 2] =
        [("example.", "b.example.", &[R::SOA, R::NS]), ("m.example.", "o.example.", &[R::A])];
    assert!(Records::new("example.", &whole).nxdomain("n.example."));
    assert!(!Records::new("example.", &whole[..1]).nxdomain("n.example."), "the wildcard alone");
    assert!(!Records::new("example.", &whole[1..]).nxdomain("n.example."), "the name alone");
    assert!(!Records::new("example.", &[]).nxdomain("n.example."));
}

#[test]
fn a_range_that_is_not_of_its_zone_proves_nothing() {
    // CVE-2026-13321 and its kin: next names outside, order reversed, owners outside, a wide range of one record.
    let types: &[Rtype] = &[R::A];
    for (owner, next) in [
        ("a.example.", "zzz.test."),
        ("a.example.", "."),
        ("a.example.", "com."),
        ("z.example.", "a.example."),
        ("a.example.", "a.example."),
        ("a.test.", "z.example."),
        ("com.", "example."),
    ] {
        let records = Records::new("example.", &[(owner, next, types)]);
        assert!(records.denial().is_empty(), "{owner} to {next}");
    }
    // The last record, back to the apex, covers what comes after it in the zone and nothing else.
    let last = Records::new("example.", &[("m.example.", "example.", types)]);
    let denial = last.denial();
    let (owner, rdata) = &last.records[0];
    let nsec = Nsec::parse(&last.zone, owner, rdata).expect("well-formed");
    assert!(!denial.is_empty());
    assert_eq!(nsec.place(&name("z.example.")), Place::Absent);
    for text in ["a.example.", "z.test.", "example.", "com.", "z.example.com."] {
        assert_eq!(nsec.place(&name(text)), Place::Elsewhere, "{text}");
    }
}

#[test]
fn an_apex_record_without_soa_is_the_parents() {
    let zone = name("example.");
    let owner = name("example.");
    let rdata = [name("b.example.").wire(), &bits(&[R::NS])].concat();
    assert!(Nsec::parse(&zone, &owner, &rdata).is_none());
}

#[test]
fn two_records_at_one_name_prove_nothing() {
    let zone = name("example.");
    let owner = name("a.example.");
    let one = [name("c.example.").wire(), &bits(&[R::A])].concat();
    let two = [name("z.example.").wire(), &bits(&[R::A])].concat();
    let mut denial = Denial::new(&zone, &Policy::default());
    denial.add_known(&owner, R::NSEC, &[&one, &two]);
    assert!(denial.is_empty());
}

#[test]
fn a_record_made_from_a_wildcard_is_no_proof() {
    let zone = Zone::new("example.", 13);
    let keys = zone.keys(&Policy::default());
    let rdata = [name("z.example.").wire(), &bits(&[R::A])].concat();
    let mut set = Set::new("*.example.", R::NSEC, vec![rdata]);
    zone.zsk.sign(&mut set, "example.");
    set.owner = name("b.example.");
    let origin = zone.origin();
    set.signed(|set| {
        let verified = verify(set, &keys, NOW, &budget()).expect("the signature holds");
        let mut denial = Denial::new(&origin, &Policy::default());
        denial.add(set, &verified);
        assert!(denial.is_empty());
    });
}

#[test]
fn compact_denial_of_rfc_9824_is_no_data() {
    const NXNAME: Rtype = Rtype(128);
    let records = Records::new("example.", &[("no.example.", "\\000.no.example.", &[R::RRSIG, R::NSEC, NXNAME])]);
    assert!(records.nodata("no.example.", R::A));
    let (owner, rdata) = &records.records[0];
    assert!(Nsec::parse(&records.zone, owner, rdata).expect("well-formed").types().has(NXNAME));
}

#[test]
fn the_order_of_rfc_4034_6_1() {
    let ordered = [
        "example.",
        "a.example.",
        "yljkjljk.a.example.",
        "Z.a.example.",
        "zABC.a.EXAMPLE.",
        "z.example.",
        "\\001.z.example.",
        "*.z.example.",
        "\\200.z.example.",
    ];
    for pair in ordered.windows(2) {
        let (a, b) = (name(pair[0]), name(pair[1]));
        assert!(crate::dnssec::canonical_order(&a, &b).is_lt(), "{a} before {b}");
        assert!(order_key(&a) < order_key(&b), "{a} before {b}");
    }
}

#[test]
fn the_root_denies_like_any_zone() {
    let root = Records::new(
        ".",
        &[(".", "aaa.", &[R::SOA, R::NS]), ("nl.", "no.", &[R::NS, R::DS]), ("work.", ".", &[R::NS])],
    );
    assert!(root.nxdomain("nm."));
    assert!(root.nxdomain("www.zzz."));
    assert!(!root.nxdomain("www.nl."));
    assert_eq!(root.ds("work."), Some(DsAbsence::InsecureCut));
    assert!(root.nodata(".", R::DS), "the root has no parent");
}
