//! What a client sees of each family of local names.

use super::*;
use crate::wire::show_rdata;

fn name(text: &str) -> Name {
    Name::parse(text).expect(text)
}

fn rtype(text: &str) -> Rtype {
    Rtype::parse(text).expect(text)
}

fn with(records: &[&str]) -> Zones {
    let records = Arc::new(records.iter().map(|text| (*text).to_owned()).collect());
    Zones::new(&Policy { special_use: true, records }).expect("good records")
}

fn only(records: &[&str]) -> Zones {
    let records = Arc::new(records.iter().map(|text| (*text).to_owned()).collect());
    Zones::new(&Policy { special_use: false, records }).expect("good records")
}

/// The response in a line: the RCODE, what is answered, whose SOA comes with it.
fn ask(zones: &Zones, owner: &str, kind: &str) -> String {
    let Some(answer) = zones.lookup(&name(owner), rtype(kind)) else {
        return "asked outside".to_owned();
    };
    let mut text = answer.rcode.to_string();
    for record in &answer.answer {
        assert_eq!(record.owner, name(owner), "the owner is the name that was asked for");
        text += &format!(" {} {}", record.rtype, show_rdata(record.rtype, &record.rdata));
    }
    for record in &answer.authority {
        assert_eq!(record.rtype, Rtype::SOA);
        assert!(name(owner).is_at_or_below(&record.owner), "a negative response's SOA is of a zone above");
        assert_eq!(crate::wire::soa_minimum(&record.rdata).map(|minimum| minimum >= record.ttl), Some(true));
        text += &format!(" / {}", record.owner);
    }
    assert_eq!(answer.answer.is_empty(), !answer.authority.is_empty(), "an answer, or an SOA that says no");
    assert!(answer.authoritative);
    text
}

#[test]
fn ordinary_names_are_asked_outside() {
    let zones = with(&[]);
    for owner in [
        ".",
        "com.",
        "www.example.com.",
        "example.",
        "example.org.",
        "arpa.",
        "in-addr.arpa.",
        "ip6.arpa.",
        "1.2.0.192.example.",
        "8.8.8.8.in-addr.arpa.",
        "172.in-addr.arpa.",
        "15.172.in-addr.arpa.",
        "32.172.in-addr.arpa.",
        "63.100.in-addr.arpa.",
        "128.100.in-addr.arpa.",
        "ipv4only.arpa.",
        "170.0.0.192.in-addr.arpa.",
        "0.ip6.arpa.",
        "8.b.d.1.1.0.0.2.ip6.arpa.",
        "c.f.ip6.arpa.",
        "notlocalhost.",
        "localhost.example.com.",
        "xtest.",
    ] {
        for kind in ["A", "PTR", "DS", "ANY"] {
            assert_eq!(ask(&zones, owner, kind), "asked outside", "{owner} {kind}");
        }
    }
}

#[test]
fn localhost_and_all_below_are_the_loopback() {
    let zones = with(&[]);
    for owner in ["localhost.", "LocalHost", "a.b.localhost."] {
        assert_eq!(ask(&zones, owner, "A"), "NOERROR A 127.0.0.1");
        assert_eq!(ask(&zones, owner, "AAAA"), "NOERROR AAAA ::1");
        assert_eq!(ask(&zones, owner, "ANY"), "NOERROR A 127.0.0.1", "one RRset (RFC 8482)");
        for kind in ["MX", "NS", "SOA", "DS", "TXT", "HTTPS"] {
            assert_eq!(ask(&zones, owner, kind), "NOERROR / localhost.");
        }
    }
}

#[test]
fn names_outside_the_public_dns_do_not_exist() {
    let zones = with(&[]);
    for top in ["invalid", "test", "local", "onion", "alt"] {
        for owner in [format!("{top}."), format!("x.{top}."), format!("_a._b.x.{top}.")] {
            for kind in ["A", "AAAA", "NS", "SOA", "DS", "ANY"] {
                assert_eq!(ask(&zones, &owner, kind), format!("NXDOMAIN / {top}."), "{owner} {kind}");
            }
        }
    }
}

#[test]
fn empty_zones_have_an_apex_and_nothing_else() {
    let zones = with(&[]);
    for apex in [
        "home.arpa.",
        "service.arpa.",
        "10.in-addr.arpa.",
        "16.172.in-addr.arpa.",
        "31.172.in-addr.arpa.",
        "168.192.in-addr.arpa.",
        "0.in-addr.arpa.",
        "127.in-addr.arpa.",
        "254.169.in-addr.arpa.",
        "2.0.192.in-addr.arpa.",
        "100.51.198.in-addr.arpa.",
        "113.0.203.in-addr.arpa.",
        "255.255.255.255.in-addr.arpa.",
        "64.100.in-addr.arpa.",
        "127.100.in-addr.arpa.",
        "d.f.ip6.arpa.",
        "8.e.f.ip6.arpa.",
        "b.e.f.ip6.arpa.",
        "8.b.d.0.1.0.0.2.ip6.arpa.",
    ] {
        let soa = format!("NOERROR SOA {apex} nobody.invalid. 1 3600 1200 604800 10800");
        assert_eq!(ask(&zones, apex, "SOA"), soa);
        assert_eq!(ask(&zones, apex, "NS"), format!("NOERROR NS {apex}"));
        assert_eq!(ask(&zones, apex, "ANY"), soa);
        assert_eq!(ask(&zones, apex, "A"), format!("NOERROR / {apex}"));
        assert_eq!(ask(&zones, apex, "DNSKEY"), format!("NOERROR / {apex}"));
        for below in [format!("5.{apex}"), format!("5.5.5.{apex}")] {
            for kind in ["PTR", "NS", "DS", "ANY"] {
                assert_eq!(ask(&zones, &below, kind), format!("NXDOMAIN / {apex}"), "{below} {kind}");
            }
        }
    }
}

#[test]
fn the_ds_of_an_empty_zone_is_asked_of_its_public_parent() {
    let zones = with(&["home.arpa. TXT here"]);
    for apex in ["home.arpa.", "resolver.arpa.", "service.arpa.", "10.in-addr.arpa.", "d.f.ip6.arpa."] {
        assert_eq!(ask(&zones, apex, "DS"), "asked outside");
        assert_ne!(ask(&zones, &format!("x.{apex}"), "DS"), "asked outside");
    }
}

#[test]
fn resolver_arpa_says_nodata_everywhere() {
    let zones = with(&[]);
    for owner in ["resolver.arpa.", "_dns.resolver.arpa.", "a.b.resolver.arpa."] {
        for kind in ["A", "SVCB", "TXT"] {
            assert_eq!(ask(&zones, owner, kind), "NOERROR / resolver.arpa.");
        }
    }
    assert_eq!(ask(&zones, "resolver.arpa.", "NS"), "NOERROR NS resolver.arpa.");
    let zones = with(&["_dns.resolver.arpa. 60 A 192.0.2.1"]);
    assert_eq!(ask(&zones, "_dns.resolver.arpa.", "A"), "NOERROR A 192.0.2.1");
    assert_eq!(ask(&zones, "_dns.resolver.arpa.", "AAAA"), "NOERROR / resolver.arpa.");
}

#[test]
fn loopback_addresses_have_their_name() {
    let zones = with(&[]);
    let one = format!("1.{}.ip6.arpa.", ["0"; 31].join("."));
    for owner in ["1.0.0.127.in-addr.arpa.", &one] {
        assert_eq!(ask(&zones, owner, "PTR"), "NOERROR PTR localhost.");
    }
    assert_eq!(ask(&zones, "1.0.0.127.in-addr.arpa.", "A"), "NOERROR / 127.in-addr.arpa.");
    assert_eq!(ask(&zones, "2.0.0.127.in-addr.arpa.", "PTR"), "NXDOMAIN / 127.in-addr.arpa.");
    assert_eq!(ask(&zones, &one, "TXT"), format!("NOERROR / {one}"));
    let unspecified = format!("{}.ip6.arpa.", ["0"; 32].join("."));
    assert_eq!(ask(&zones, &unspecified, "PTR"), format!("NOERROR / {unspecified}"));
    // What lies between a zone's apex and a name in it exists.
    for between in ["0.127.in-addr.arpa.", "0.0.127.in-addr.arpa."] {
        assert_eq!(ask(&zones, between, "PTR"), "NOERROR / 127.in-addr.arpa.");
    }
}

#[test]
fn special_use_can_be_switched_off() {
    let zones = only(&[]);
    for owner in ["localhost.", "x.test.", "home.arpa.", "1.0.0.127.in-addr.arpa.", "d.f.ip6.arpa.", "."] {
        assert_eq!(ask(&zones, owner, "A"), "asked outside");
    }
}

#[test]
fn an_operators_name_answers_every_type_and_leaves_its_neighbours_alone() {
    let zones = only(&["www.Example.com. 60 IN A 192.0.2.1", "www.example.com. 60 IN A 192.0.2.2"]);
    assert_eq!(ask(&zones, "WWW.example.com.", "A"), "NOERROR A 192.0.2.1 A 192.0.2.2");
    assert_eq!(ask(&zones, "www.example.com.", "ANY"), "NOERROR A 192.0.2.1 A 192.0.2.2");
    assert_eq!(ask(&zones, "www.example.com.", "AAAA"), "NOERROR / www.example.com.");
    for neighbour in ["example.com.", "a.example.com.", "a.www.example.com.", "com."] {
        assert_eq!(ask(&zones, neighbour, "A"), "asked outside");
    }
    // A name soon to have another record is not long without it.
    let nodata = zones.lookup(&name("www.example.com"), Rtype::AAAA).expect("local");
    assert_eq!(nodata.authority[0].ttl, OPERATOR_NEGATIVE_TTL);
}

#[test]
fn keys_of_a_public_zone_are_not_hidden_by_a_record_at_its_apex() {
    let zones = only(&["example.com. A 192.0.2.1"]);
    assert_eq!(ask(&zones, "example.com.", "DS"), "asked outside");
    assert_eq!(ask(&zones, "example.com.", "DNSKEY"), "asked outside");
    assert_eq!(ask(&zones, "example.com.", "NS"), "NOERROR / example.com.");
}

#[test]
fn an_operators_record_stands_above_special_use_zones() {
    let zones = with(&[
        "printer.floor2.home.arpa. 300 IN A 192.168.1.9",
        "9.1.168.192.in-addr.arpa. PTR printer.floor2.home.arpa.",
        "my.localhost. A 127.0.0.9",
        "deep.name.test. TXT hello",
        "home.arpa. NS ns.home.arpa.",
        "10.in-addr.arpa. SOA ns.home.arpa. me.home.arpa. 7 1 1 1 60",
    ]);
    assert_eq!(ask(&zones, "printer.floor2.home.arpa.", "A"), "NOERROR A 192.168.1.9");
    assert_eq!(ask(&zones, "printer.floor2.home.arpa.", "AAAA"), "NOERROR / home.arpa.");
    assert_eq!(ask(&zones, "floor2.home.arpa.", "A"), "NOERROR / home.arpa.");
    assert_eq!(ask(&zones, "floor3.home.arpa.", "A"), "NXDOMAIN / home.arpa.");
    assert_eq!(ask(&zones, "home.arpa.", "NS"), "NOERROR NS ns.home.arpa.");
    assert!(ask(&zones, "home.arpa.", "SOA").starts_with("NOERROR SOA home.arpa."));
    assert_eq!(ask(&zones, "9.1.168.192.in-addr.arpa.", "PTR"), "NOERROR PTR printer.floor2.home.arpa.");
    assert_eq!(ask(&zones, "8.1.168.192.in-addr.arpa.", "PTR"), "NXDOMAIN / 168.192.in-addr.arpa.");
    assert_eq!(ask(&zones, "my.localhost.", "A"), "NOERROR A 127.0.0.9");
    assert_eq!(ask(&zones, "my.localhost.", "AAAA"), "NOERROR / localhost.");
    assert_eq!(ask(&zones, "other.localhost.", "A"), "NOERROR A 127.0.0.1");
    assert_eq!(ask(&zones, "name.test.", "A"), "NOERROR / test.");
    assert_eq!(ask(&zones, "test.", "A"), "NOERROR / test.");
    assert_eq!(ask(&zones, "x.test.", "A"), "NXDOMAIN / test.");
    let denied = zones.lookup(&name("1.10.in-addr.arpa"), Rtype::PTR).expect("local");
    assert_eq!(denied.authority[0].ttl, 60);
    assert!(show_rdata(Rtype::SOA, &denied.authority[0].rdata).contains(" 7 "));
}

#[test]
fn wildcards_answer_below_and_not_at_their_parent() {
    let zones = with(&["*.ads.example. A 0.0.0.0", "good.ads.example. A 192.0.2.7", "*.dev.test. A 127.0.0.1"]);
    for owner in ["x.ads.example.", "a.b.c.ads.example.", "*.ads.example."] {
        assert_eq!(ask(&zones, owner, "A"), "NOERROR A 0.0.0.0");
        assert_eq!(ask(&zones, owner, "MX"), format!("NOERROR / {owner}"));
    }
    assert_eq!(ask(&zones, "ads.example.", "A"), "asked outside");
    assert_eq!(ask(&zones, "good.ads.example.", "A"), "NOERROR A 192.0.2.7");
    assert_eq!(ask(&zones, "x.good.ads.example.", "A"), "asked outside");
    assert_eq!(ask(&zones, "web.dev.test.", "A"), "NOERROR A 127.0.0.1");
    assert_eq!(ask(&zones, "web.dev.test.", "AAAA"), "NOERROR / test.");
    assert_eq!(ask(&zones, "dev.test.", "A"), "NOERROR / test.");
    assert_eq!(ask(&zones, "web.prod.test.", "A"), "NXDOMAIN / test.");
}

#[test]
fn an_alias_answers_every_type_with_itself() {
    let zones = with(&["www.test. CNAME www.example.com.", "home.arpa. CNAME x.example."]);
    for kind in ["A", "MX", "CNAME", "ANY"] {
        assert_eq!(ask(&zones, "www.test.", kind), "NOERROR CNAME www.example.com.");
    }
    assert_eq!(ask(&zones, "home.arpa.", "SOA"), "NOERROR CNAME x.example.");
    assert_eq!(ask(&zones, "y.home.arpa.", "SOA"), "NXDOMAIN / home.arpa.");
}

#[test]
fn opened_names_are_resolved_normally_and_operators_records_stay() {
    let mut zones = with(&["router.corp.home.arpa. A 192.168.1.1", "*.lan. A 192.0.2.1"]);
    for zone in ["corp.home.arpa.", "10.in-addr.arpa.", "127.in-addr.arpa.", "in-addr.arpa.", ".", "dmz.lan."] {
        zones.open(&name(zone));
    }
    for owner in [
        "corp.home.arpa.",
        "a.corp.home.arpa.",
        "10.in-addr.arpa.",
        "1.2.3.10.in-addr.arpa.",
        "in-addr.arpa.",
        ".",
        "1.0.0.127.in-addr.arpa.",
        "dmz.lan.",
        "x.dmz.lan.",
    ] {
        for kind in ["A", "SOA", "DS", "PTR"] {
            assert_eq!(ask(&zones, owner, kind), "asked outside", "{owner} {kind}");
        }
    }
    assert_eq!(ask(&zones, "router.corp.home.arpa.", "A"), "NOERROR A 192.168.1.1");
    // What is more specific than the opened name stays closed.
    assert_eq!(ask(&zones, "tv.home.arpa.", "A"), "NXDOMAIN / home.arpa.");
    assert_eq!(ask(&zones, "1.1.168.192.in-addr.arpa.", "PTR"), "NXDOMAIN / 168.192.in-addr.arpa.");
    assert_eq!(ask(&zones, "x.onion.", "A"), "NXDOMAIN / onion.");
    assert_eq!(ask(&zones, "x.lan.", "A"), "NOERROR A 192.0.2.1");
}

#[test]
fn a_record_set_has_one_ttl_and_no_duplicates() {
    let zones = only(&["x.example. 300 A 192.0.2.1", "x.example. 60 A 192.0.2.2", "x.example. 200 A 192.0.2.1"]);
    let answer = zones.lookup(&name("x.example"), Rtype::A).expect("local");
    assert_eq!(answer.answer.iter().map(|record| record.ttl).collect::<Vec<_>>(), [60, 60]);
}

#[test]
fn every_bad_record_is_named_with_its_reason() {
    for (record, reason) in [
        ("", "no record"),
        ("x.example. 300 IN A 192.0.2.999", ""),
        ("x.example. 300 IN NOSUCHTYPE 1", ""),
        ("a..b. A 192.0.2.1", ""),
        ("x.example. 300 IN A", ""),
        ("x.example. 3000000000 A 192.0.2.1", "2147483647"),
        ("x.example. DNAME y.example.", "DNAME"),
        ("a.example. A 192.0.2.1\nb.example. A 192.0.2.2", "more than one"),
        ("$INCLUDE /etc/hosts", "directive"),
        ("x.example. A 192.0.2.1\n $ORIGIN org.", "directive"),
        ("x.example. CH TXT hello", "class CH"),
        ("x.example. 5m hs A 192.0.2.1", "class hs"),
        ("good.example. CNAME other.example.", "stands alone"),
    ] {
        let records = vec!["good.example. A 192.0.2.1".to_owned(), record.to_owned()];
        let error = Zones::new(&Policy { special_use: true, records: Arc::new(records) })
            .err()
            .unwrap_or_else(|| panic!("accepted: {record}"));
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(&record.escape_debug().to_string()) && error.contains(reason), "{error}");
    }
    let two = Policy { special_use: false, records: Arc::new(vec!["nonsense".to_owned(), "more nonsense".to_owned()]) };
    assert_eq!(Zones::new(&two).err().map_or(0, |error| error.lines().count()), 2);
}

#[test]
fn names_of_every_length_can_be_asked_for() {
    let zones = with(&[]);
    let longest = name(&"a.".repeat(127));
    assert_eq!(longest.wire().len(), 255);
    assert_eq!(zones.lookup(&longest, Rtype::A), None);
    let labels = format!("{}test.", "a.".repeat(124));
    assert!(zones.lookup(&name(&labels), Rtype::A).is_some_and(|answer| answer.rcode == Rcode::NXDOMAIN));
    let wide = format!("{}{}.localhost.", format!("{}.", "x".repeat(63)).repeat(3), "y".repeat(51));
    assert_eq!(ask(&zones, &wide, "A"), "NOERROR A 127.0.0.1");
}
