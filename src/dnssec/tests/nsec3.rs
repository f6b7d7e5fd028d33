//! Denial by NSEC3: the zone of RFC 5155 appendix A, and what is wrong with other proofs.

use super::{bits, budget, lenient, name};
use crate::dnssec::crypto::nsec3_hash;
use crate::dnssec::{Denial, Denied, DsAbsence, Nsec3, Policy, Why};
use crate::wire::{Name, Rtype};

const SALT: [u8; 4] = [0xaa, 0xbb, 0xcc, 0xdd];

/// Lower-case base32hex without padding.
pub fn base32(octets: &[u8]) -> String {
    let mut text = data_encoding::BASE32HEX_NOPAD.encode(octets);
    text.make_ascii_lowercase();
    text
}

/// A chain of NSEC3 records over these names.
struct Chain {
    zone: Name,
    records: Vec<(Name, Vec<u8>)>,
}

struct Parameters {
    opt_out: bool,
    iterations: u16,
    salt: &'static [u8],
}

impl Chain {
    fn new(zone: &str, names: &[(&str, &[Rtype])], parameters: &Parameters) -> Chain {
        let hash = |text: &str| nsec3_hash(name(text).wire(), parameters.salt, parameters.iterations);
        let mut hashed: Vec<([u8; 20], &[Rtype])> = names.iter().map(|(text, types)| (hash(text), *types)).collect();
        hashed.sort_unstable_by_key(|(hash, _)| *hash);
        let records = (0..hashed.len()).map(|at| {
            let (hash, types) = hashed[at];
            let (next, _) = hashed[(at + 1) % hashed.len()];
            let mut rdata = vec![1, u8::from(parameters.opt_out)];
            rdata.extend_from_slice(&parameters.iterations.to_be_bytes());
            rdata.push(u8::try_from(parameters.salt.len()).expect("at most 255"));
            rdata.extend_from_slice(parameters.salt);
            rdata.push(20);
            rdata.extend_from_slice(&next);
            rdata.extend_from_slice(&bits(types));
            (name(&format!("{}.{zone}", base32(&hash))), rdata)
        });
        Chain { zone: name(zone), records: records.collect() }
    }

    /// The chain of RFC 5155 appendix A.
    fn example(opt_out: bool) -> Chain {
        use Rtype as R;
        let apex = [R::MX, R::DNSKEY, R::NS, R::SOA, R::NSEC3PARAM, R::RRSIG];
        let hosts = [R::A, R::HINFO, R::AAAA, R::RRSIG];
        let names: [(&str, &[Rtype]); 12] = [
            ("example.", &apex),
            ("a.example.", &[R::NS, R::DS, R::RRSIG]),
            ("ai.example.", &hosts),
            ("ns1.example.", &[R::A, R::RRSIG]),
            ("ns2.example.", &[R::A, R::RRSIG]),
            ("w.example.", &[]),
            ("*.w.example.", &[R::MX, R::RRSIG]),
            ("x.w.example.", &[R::MX, R::RRSIG]),
            ("y.w.example.", &[]),
            ("x.y.w.example.", &[R::MX, R::RRSIG]),
            ("xx.example.", &hosts),
            ("2t7b4g4vsa5smi47k61mv5bv1a22bojr.example.", &[R::A, R::RRSIG]),
        ];
        Chain::new("example.", &names, &Parameters { opt_out, iterations: 12, salt: &SALT })
    }

    fn denial(&self, policy: &Policy) -> Denial<'_> {
        let mut denial = Denial::new(&self.zone, policy);
        for (owner, rdata) in &self.records {
            denial.add_known(owner, Rtype::NSEC3, &[rdata]);
        }
        denial
    }
}

#[test]
fn the_hashes_of_rfc_5155_appendix_a() {
    for (text, hash) in [
        ("example.", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"),
        ("a.example.", "35mthgpgcu1qg68fab165klnsnk3dpvl"),
        ("ai.example.", "gjeqe526plbf1g8mklp59enfd789njgi"),
        ("ns1.example.", "2t7b4g4vsa5smi47k61mv5bv1a22bojr"),
        ("ns2.example.", "q04jkcevqvmu85r014c7dkba38o0ji5r"),
        ("w.example.", "k8udemvp1j2f7eg6jebps17vp3n8i58h"),
        ("*.w.example.", "r53bq7cc2uvmubfu5ocmm6pers9tk9en"),
        ("x.w.example.", "b4um86eghhds6nea196smvmlo4ors995"),
        ("y.w.example.", "ji6neoaepv8b5o6k4ev33abha8ht9fgc"),
        ("x.y.w.example.", "2vptu5timamqttgl4luu9kg21e0aor3s"),
        ("xx.example.", "t644ebqk9bibcna874givr6joj62mlhv"),
    ] {
        assert_eq!(base32(&nsec3_hash(name(text).wire(), &SALT, 12)), hash, "{text}");
    }
    // RFC 5155 §5 counts the first application apart: 20 octets and the salt fit one block, a long name takes more.
    assert_eq!(budget().nsec3_hash(&name("example."), &SALT, 12).map(|hash| hash[0]), Ok(0x06));
}

#[test]
fn the_responses_of_rfc_5155_appendix_b() {
    // Without opt-out all is secure; the RFC's own zone has it set everywhere.
    for (opt_out, absent) in [(false, Denied::Proven), (true, Denied::OptOut)] {
        let chain = Chain::example(opt_out);
        let denial = chain.denial(&lenient());
        let budget = budget();
        // B.1: name error.
        assert_eq!(denial.nxdomain(&name("a.c.x.w.example."), &budget), absent);
        // B.2: no data; B.2.1: an empty non-terminal.
        assert_eq!(denial.nodata(&name("ns1.example."), Rtype::MX, &budget), Denied::Proven);
        assert_eq!(denial.nodata(&name("y.w.example."), Rtype::A, &budget), Denied::Proven);
        // B.3: an unsigned zone that opt-out leaves out.
        let cut = if opt_out { DsAbsence::OptOut } else { DsAbsence::NotACut };
        assert_eq!(denial.ds(&name("c.example."), &budget), cut);
        // B.4: wildcard answer; B.5: wildcard no data.
        assert_eq!(denial.wildcard_answer(&name("a.z.w.example."), &name("w.example."), &budget), absent);
        assert_eq!(denial.nodata(&name("a.z.w.example."), Rtype::AAAA, &budget), absent);
        // B.6: the child's apex says nothing of its own DS set.
        assert!(matches!(denial.nodata(&name("example."), Rtype::DS, &budget), Denied::NotProven(_)));
        assert!(matches!(denial.ds(&name("example."), &budget), DsAbsence::NotProven(_)));
    }
}

#[test]
fn what_exists_is_not_denied() {
    let chain = Chain::example(false);
    let denial = chain.denial(&lenient());
    let budget = budget();
    for text in ["example.", "ai.example.", "x.y.w.example.", "y.w.example.", "*.w.example.", "q.w.example."] {
        let denied = denial.nxdomain(&name(text), &budget);
        assert!(matches!(denied, Denied::NotProven(_)), "{text}: {denied:?}");
    }
    assert!(matches!(denial.nodata(&name("ns1.example."), Rtype::A, &budget), Denied::NotProven(_)));
    assert!(matches!(denial.nodata(&name("q.w.example."), Rtype::MX, &budget), Denied::NotProven(_)));
    // No data is not what a name without anything is told.
    assert!(matches!(denial.nodata(&name("none.example."), Rtype::A, &budget), Denied::NotProven(_)));
    // A delegation has a DS set, and of its other types only the child speaks.
    assert!(matches!(denial.ds(&name("a.example."), &budget), DsAbsence::NotProven(_)));
    assert!(matches!(denial.nodata(&name("a.example."), Rtype::A, &budget), Denied::NotProven(_)));
    // Names below a delegation are the child's.
    assert!(matches!(denial.nxdomain(&name("www.a.example."), &budget), Denied::NotProven(_)));
    assert!(matches!(denial.nodata(&name("www.a.example."), Rtype::A, &budget), Denied::NotProven(_)));
    // A wildcard does not stand where something closer exists.
    let closer = denial.wildcard_answer(&name("b.y.w.example."), &name("w.example."), &budget);
    assert!(matches!(closer, Denied::NotProven(_)));
}

#[test]
fn the_closest_encloser_of_absent_names_only() {
    let (closed, open) = (Chain::example(false), Chain::example(true));
    let encloser = |chain: &Chain, text: &str| chain.denial(&lenient()).closest_encloser(&name(text), &budget());
    assert_eq!(encloser(&closed, "a.z.w.example."), Some(name("w.example.")));
    assert_eq!(encloser(&closed, "b.y.w.example."), Some(name("y.w.example.")));
    for text in ["ai.example.", "example.", "www.a.example.", "test."] {
        assert_eq!(encloser(&closed, text), None, "{text}");
    }
    assert_eq!(encloser(&open, "a.z.w.example."), None, "an unsigned delegation may be there");
}

#[test]
fn insecure_and_secure_delegations() {
    use Rtype as R;
    let names: [(&str, &[Rtype]); 4] = [
        ("example.", &[R::SOA, R::NS]),
        ("unsigned.example.", &[R::NS]),
        ("host.example.", &[R::A]),
        ("old.example.", &[R::DNAME]),
    ];
    let chain = Chain::new("example.", &names, &Parameters { opt_out: false, iterations: 0, salt: &[] });
    let denial = chain.denial(&Policy::default());
    let budget = budget();
    assert_eq!(denial.ds(&name("unsigned.example."), &budget), DsAbsence::InsecureCut);
    assert_eq!(denial.nodata(&name("unsigned.example."), R::DS, &budget), Denied::Proven);
    assert_eq!(denial.ds(&name("host.example."), &budget), DsAbsence::NotACut);
    assert_eq!(denial.ds(&name("none.example."), &budget), DsAbsence::NotACut);
    // Below a DNAME nothing is denied.
    assert!(matches!(denial.nxdomain(&name("x.old.example."), &budget), Denied::NotProven(_)));
}

#[test]
fn too_many_iterations_leave_it_insecure() {
    let names: [(&str, &[Rtype]); 1] = [("example.", &[Rtype::SOA, Rtype::NS])];
    let limit = Policy::default().max_nsec3_iterations;
    for (iterations, judged) in [(limit, true), (limit + 1, false), (2_500, false), (u16::MAX, false)] {
        let chain =
            Chain::new("example.", &names, &Parameters { opt_out: false, iterations: iterations.min(200), salt: &[] });
        let mut chain = chain;
        chain.records[0].1[2..4].copy_from_slice(&iterations.to_be_bytes());
        let denial = chain.denial(&Policy::default());
        let budget = budget();
        match denial.nxdomain(&name("none.example."), &budget) {
            Denied::Proven => assert!(judged, "{iterations} iterations"),
            Denied::Unjudged(cause) => {
                assert!(!judged);
                assert_eq!((cause.why.clone(), cause.ede()), (Why::Iterations { iterations, limit }, 27));
                assert_eq!(budget.hash_blocks_spent(), 0);
                assert!(matches!(denial.ds(&name("sub.example."), &budget), DsAbsence::Unjudged(_)));
            }
            other => panic!("{iterations} iterations: {other:?}"),
        }
    }
}

#[test]
fn records_of_other_kinds_and_zones_are_passed_over() {
    let zone = name("example.");
    let good = Chain::example(false).records[0].clone();
    assert!(Nsec3::parse(&zone, &good.0, &good.1).is_some());
    let changed = |at: usize, value: u8| {
        let mut rdata = good.1.clone();
        rdata[at] = value;
        Nsec3::parse(&zone, &good.0, &rdata).is_some()
    };
    assert!(!changed(0, 2), "hash algorithm 2");
    assert!(!changed(1, 2), "unknown flags");
    assert!(!changed(9, 19), "a hash of 19 octets");
    assert!(!changed(4, 255), "a salt longer than the record");
    for owner in [
        "example.",
        "x.example.",
        "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.sub.example.",
        "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.test.",
    ] {
        assert!(Nsec3::parse(&zone, &name(owner), &good.1).is_none(), "{owner}");
    }
}

#[test]
fn one_salt_counts_in_a_proof() {
    let first = Chain::example(false);
    let names: [(&str, &[Rtype]); 1] = [("example.", &[Rtype::SOA, Rtype::NS])];
    let zone = name("example.");
    let others: Vec<Chain> = [&b"\x01"[..], b"\x02", b"\x03"]
        .into_iter()
        .map(|salt| Chain::new("example.", &names, &Parameters { opt_out: true, iterations: 50, salt }))
        .collect();
    let mut denial = Denial::new(&zone, &lenient());
    for chain in std::iter::once(&first).chain(&others) {
        for (owner, rdata) in &chain.records {
            denial.add_known(owner, Rtype::NSEC3, &[rdata]);
        }
    }
    let budget = budget();
    assert_eq!(denial.nxdomain(&name("none.example."), &budget), Denied::Proven);
    assert!(budget.hash_blocks_spent() <= 3 * 13);
}
