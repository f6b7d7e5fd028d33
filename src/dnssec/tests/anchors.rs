//! Trust anchors in text, where trust begins, and sentinels.

use super::signer::Key;
use super::{NOW, Set, budget, name};
use crate::clock::UnixTime;
use crate::dnssec::{AnchorError, Anchors, NegativeAnchor, Policy, Sentinel, Start, Why, establish};
use crate::wire::Rtype;

/// KSK-2017 and KSK-2024 as the root zone publishes them.
const KSK_2017: &str = "257 3 8 AwEAAaz/tAm8yTn4Mfeh5eyI96WSVexTBAvkMgJzkKTOiW1vkIbzxeF3+/4RgWOq7HrxRixHlFlExOLAJr5emLvN7SWXgnLh4+B5\
    xQlNVz8Og8kvArMtNROxVQuCaSnIDdD5LKyWbRd2n9WGe2R8PzgCmr3EgVLrjyBxWezF0jLHwVN8efS3rCj/EWgvIWgb9tarpVUDK/b58Da+sqqls3eNbuv7pr+e\
    oZG+SrDK6nWeL3c6H5Apxz7LjVc1uTIdsIXxuOLYA4/ilBmSVIzuDWfdRUfhHdY6+cn8HFRm+2hM8AnXGXws9555KrUB5qihylGa8subX2Nn6UwNR1AkUTV74bU=";
const KSK_2024: &str = "257 3 8 AwEAAa96jeuknZlaeSrvyAJj6ZHv28hhOKkx3rLGXVaC6rXTsDc449/cidltpkyGwCJNnOAlFNKF2jBosZBU5eeHspaQWOmOElZs\
    jICMQMC3aeHbGiShvZsx4wMYSjH8e7Vrhbu6irwCzVBApESjbUdpWWmEnhathWu1jo+siFUiRAAxm9qyJNg/wOZqqzL/dL/q8PkcRU5oUKEpUge71M3ej2/7CPqp\
    dVwuMoTvoB+ZOT4YeGyxMvHmbrxlFzGOHOijtzN+u1TQNatX2XBuzZNQ1K+s2CXkPIZo7s6JgZyvaBevYtxPvYLw4z9mR7K2vaF18UYH9Z9GNUUeayffKC73PYc=";

#[test]
fn the_built_in_anchors_are_the_two_keys_of_the_root() {
    let anchors = Anchors::built_in();
    let root = anchors.of(&name(".")).expect("the root");
    assert_eq!(root.tags().collect::<Vec<_>>(), [20326, 38696]);
    assert_eq!(anchors.iter().count(), 1);
    for key in [KSK_2017, KSK_2024] {
        let set = Set::new(".", Rtype::DNSKEY, vec![super::vectors::dnskey(key)]);
        let trust =
            root.with_trusted(|trusted| set.signed(|set| establish(set, trusted, &Policy::default(), NOW, &budget())));
        // Found by its digest; only the signature is missing.
        assert_eq!(trust.expect_err("unsigned").why, Why::NoSignature);
    }
}

#[test]
fn a_file_may_hold_ds_and_dnskey_of_several_zones() {
    let text = format!(
        "; anchors\n. 3600 IN DNSKEY {KSK_2017} ; the old one\n.\tIN\tDS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219\n"
    )
    .replace(
        "683D2D0ACB8C9B712A1948B27F741219\n",
        "( 683D2D0ACB8C9B712A1948B27F741219\n 298D0A450D612C483AF444A4C0FB2B16 )\n",
    ) + "island.example. DS 1 13 2 AA\nisland.example. DS 1 200 77 aabb\n";
    let text = text.replace("2 AA\n", &format!("2 {}\n", "aA".repeat(32)));
    let anchors = Anchors::parse(&text).expect("well-formed");
    let root = anchors.of(&name(".")).expect("the root");
    assert_eq!((root.dnskeys.len(), root.ds.len()), (1, 1));
    assert_eq!(root.tags().collect::<Vec<_>>(), [38696, 20326]);
    // Unknown algorithms and digests are records all the same.
    assert_eq!(anchors.of(&name("ISLAND.example")).expect("the island").ds.len(), 2);
}

#[test]
fn every_error_has_its_line() {
    let digest = "aa".repeat(32);
    let text = format!(
        "; fine\n. IN DS 20326 8 2 {digest}\n. IN DS 20326 8 2 aabb\n. IN A 192.0.2.1\n. IN DS 70000 8 2 {digest}\n\
         a..b. IN DS 1 8 2 {digest}\n. IN DNSKEY 0 3 8 AwEAAQ==\n. IN DNSKEY 257 3 13 AwEAAQ==\n. IN DNSKEY 257 3 8 !!\n\
         . IN DNSKEY 385 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=\n  IN DS 1 8 2 {digest}\n. IN DS 1 8 2 xyz\n. IN\n. IN DS (1 8\n"
    );
    let errors = Anchors::parse(&text).expect_err("full of errors");
    let lines: Vec<usize> = errors.iter().map(|error| error.line).collect();
    assert_eq!(lines, [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    assert_eq!(errors[0].to_string(), "line 3: a digest of type 2 has 32 octets, here are 2");
    assert_eq!(errors[2].message, "`70000` is no key tag");
    assert!(errors[5].message.contains("no key of algorithm 13"), "{}", errors[5]);
    assert!(errors[7].message.contains("revoked"), "{}", errors[7]);
    assert!(errors[11].message.contains("not closed"), "{}", errors[11]);
    for empty in ["", "; nothing\n", "\n\n"] {
        let error = AnchorError { line: 1, message: "no DS and no DNSKEY record in it".to_owned() };
        assert_eq!(Anchors::parse(empty), Err(vec![error]));
    }
}

#[test]
fn trust_begins_at_the_closest_anchor() {
    let digest = "aa".repeat(32);
    let text = format!(". DS 1 13 2 {digest}\nisland.test. DS 2 13 2 {digest}\n");
    let until = UnixTime(NOW.0 + 100);
    let negative = ["broken.", "test.", "x.island.test."].map(|zone| NegativeAnchor { zone: name(zone), until });
    let anchors = Anchors::parse(&text).expect("well-formed").with_negative(negative.to_vec());
    let start = |text: &str, now: UnixTime| match anchors.closest(&name(text), now) {
        Start::Anchor(anchor) => format!("anchor {}", anchor.zone),
        Start::Suspended(negative) => format!("suspended {}", negative.zone),
        Start::Nowhere => "nowhere".to_owned(),
    };
    assert_eq!(start("www.example.", NOW), "anchor .");
    assert_eq!(start("www.broken.", NOW), "suspended broken.");
    assert_eq!(start("www.broken.", until), "anchor .", "expired");
    assert_eq!(start("a.test.", NOW), "suspended test.");
    assert_eq!(start("a.island.test.", NOW), "anchor island.test.", "closer than the negative one");
    assert_eq!(start("x.island.test.", NOW), "suspended x.island.test.");
    assert_eq!(Anchors::default().closest(&name("a."), NOW), Start::Nowhere);
}

#[test]
fn a_learned_anchor_replaces_and_an_empty_one_withdraws() {
    let mut anchors = Anchors::built_in();
    let key = Key::new(13, 257);
    let mut learned = anchors.of(&name(".")).expect("the root").clone();
    learned.ds.clear();
    learned.dnskeys.push(key.rdata.clone());
    anchors.replace(learned.clone());
    assert_eq!(anchors.of(&name(".")).map(|anchor| anchor.tags().collect()), Some(vec![key.tag()]));
    learned.dnskeys.clear();
    anchors.replace(learned);
    assert_eq!(anchors.closest(&name("nl."), NOW), Start::Nowhere);
}

#[test]
fn sentinels_are_five_digits_in_the_leftmost_label() {
    let of = |text: &str, rtype: Rtype| Sentinel::of(&name(text), rtype);
    assert_eq!(of("root-key-sentinel-is-ta-20326.example.", Rtype::A), Some(Sentinel::IsTrusted(20326)));
    assert_eq!(of("Root-Key-Sentinel-Not-TA-00042.example.", Rtype::AAAA), Some(Sentinel::IsNotTrusted(42)));
    for text in [
        "root-key-sentinel-is-ta-2032.example.",
        "root-key-sentinel-is-ta-020326.example.",
        "root-key-sentinel-is-ta-99999.example.",
        "root-key-sentinel-is-ta-+2032.example.",
        "root-key-sentinel-is-ta-.example.",
        "x.root-key-sentinel-is-ta-20326.example.",
        ".",
    ] {
        assert_eq!(of(text, Rtype::A), None, "{text}");
    }
    assert_eq!(of("root-key-sentinel-is-ta-20326.example.", Rtype::TXT), None);
    let trusted = [20326, 38696];
    assert!(!Sentinel::IsTrusted(20326).refuses(trusted));
    assert!(Sentinel::IsTrusted(1).refuses(trusted));
    assert!(Sentinel::IsNotTrusted(20326).refuses(trusted));
    assert!(!Sentinel::IsNotTrusted(1).refuses(trusted));
}

#[test]
fn an_algorithm_may_be_written_by_name() {
    let by = |algorithm: &str| Anchors::parse(&format!("a.example. DS 1 {algorithm} 1 {}", "ab".repeat(20)));
    assert_eq!(by("RSASHA1"), by("5"));
    assert_eq!(by("ecdsap256sha256"), by("13"));
    assert!(by("5").is_ok() && by("NONSENSE").is_err());
}
