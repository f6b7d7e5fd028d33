//! Published examples: RFC 4034, 4035, 5155, 5702, 6605, 8080 (with errata 4935).

use data_encoding::BASE64;

use super::{Set, bits, budget, lenient, name};
use crate::clock::UnixTime;
use crate::dnssec::crypto::nsec3_hash;
use crate::dnssec::{Keys, Policy, Trust, Trusted, Verified, Why, establish, key_tag, verify};
use crate::wire::Rtype;

/// DNSKEY data from its text.
pub fn dnskey(text: &str) -> Vec<u8> {
    let mut words = text.split_whitespace();
    let mut number = || words.next().expect("a number").parse::<u16>().expect("a number");
    let (flags, protocol, algorithm) = (number(), number(), number());
    let [high, low] = flags.to_be_bytes();
    let key = BASE64.decode(words.collect::<String>().as_bytes()).expect("base64");
    let small = |number: u16| u8::try_from(number).expect("an octet");
    [vec![high, low, small(protocol), small(algorithm)], key].concat()
}

/// RRSIG data from its text.
pub fn rrsig(text: &str) -> Vec<u8> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |at: usize| words[at].parse::<u32>().expect("a number");
    let octet = |at: usize| u8::try_from(number(at)).expect("an octet");
    let mut rdata = Rtype::parse(words[0]).expect("a type").0.to_be_bytes().to_vec();
    rdata.extend_from_slice(&[octet(1), octet(2)]);
    rdata.extend_from_slice(&number(3).to_be_bytes());
    rdata.extend_from_slice(&seconds(words[4]).to_be_bytes());
    rdata.extend_from_slice(&seconds(words[5]).to_be_bytes());
    rdata.extend_from_slice(&u16::try_from(number(6)).expect("a tag").to_be_bytes());
    rdata.extend_from_slice(name(words[7]).wire());
    rdata.extend_from_slice(&BASE64.decode(words[8..].concat().as_bytes()).expect("base64"));
    rdata
}

/// Seconds since 1970 of YYYYMMDDHHMMSS.
fn seconds(text: &str) -> u32 {
    let part = |from: usize, to: usize| text[from..to].parse::<i64>().expect("digits");
    let (year, month, day) = (part(0, 4), part(4, 6), part(6, 8));
    let (shifted_year, shifted_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * shifted_year + shifted_year / 4 - shifted_year / 100
        + shifted_year / 400
        + (153 * shifted_month + 2) / 5
        + day
        - 1
        - 719_468;
    u32::try_from(days * 86_400 + part(8, 10) * 3_600 + part(10, 12) * 60 + part(12, 14)).expect("before 2106")
}

/// The keys of a zone that trusts all of them.
pub fn keys(zone: &str, dnskeys: &[&str], signature: Option<&str>, now: UnixTime, policy: &Policy) -> Keys {
    let rdatas: Vec<Vec<u8>> = dnskeys.iter().map(|text| dnskey(text)).collect();
    let trusted: Vec<&[u8]> = rdatas.iter().map(Vec::as_slice).collect();
    let mut set = Set::new(zone, Rtype::DNSKEY, rdatas.clone());
    let Some(signature) = signature else { return Keys::trusted(&name(zone), &trusted, policy) };
    set.signatures.push(rrsig(signature));
    let trusted = Trusted { ds: &[], dnskeys: &trusted };
    match set.signed(|set| establish(set, trusted, policy, now, &budget())) {
        Ok(Trust::Secure(keys, _)) => keys,
        other => panic!("{zone}: {other:?}"),
    }
}

fn check(mut set: Set, signature: &str, keys: &Keys, now: UnixTime) -> Result<Verified, Why> {
    set.signatures.push(rrsig(signature));
    set.signed(|set| verify(set, keys, now, &budget())).map_err(|cause| cause.why)
}

/// Holds, and no longer once an octet of the data is another.
fn holds(set: &Set, signature: &str, keys: &Keys, now: UnixTime) {
    let verified = check(set.clone(), signature, keys, now);
    assert!(verified.is_ok(), "{} {}: {verified:?}", set.owner, set.rtype);
    let mut changed = set.clone();
    let octet = changed.rdatas[0].last_mut().expect("not empty");
    *octet ^= 1;
    let refused = check(changed, signature, keys, now);
    assert!(matches!(refused, Err(Why::BadSignature { .. })), "{} {}: {refused:?}", set.owner, set.rtype);
}

struct Vector {
    zone: &'static str,
    key: &'static str,
    tag: u16,
    record: &'static str,
    signature: &'static str,
}

const VECTORS: &[Vector] = &[
    Vector {
        zone: "example.net.",
        key: "256 3 8 AwEAAcFcGsaxxdgiuuGmCkVImy4h99CqT7jwY3pexPGcnUFtR2Fh36BponcwtkZ4cAgtvd4Qs8PkxUdp6p/DlUmObdk=",
        tag: 9033,
        record: "www.example.net. 3600 IN A 192.0.2.91",
        signature: "A 8 3 3600 20300101000000 20000101000000 9033 example.net. kRCOH6u7l0QGy9qpC9l1sLncJcOKFLJ7GhiUOibu4teY\
                    p5VE9RncriShZNz85mwlMgNEacFYK/lPtPiVYP4bwg==",
    },
    Vector {
        zone: "example.net.",
        key: "256 3 10 AwEAAdHoNTOW+et86KuJOWRDp1pndvwb6Y83nSVXXyLA3DLroROUkN6X0O6pnWnjJQujX/AyhqFDxj13tOnD9u/1kTg7cV6rklM\
              rZDtJCQ5PCl/D7QNPsgVsMu1J2Q8gpMpztNFLpPBz1bWXjDtaR7ZQBlZ3PFY12ZTSncorffcGmhOL",
        tag: 3740,
        record: "www.example.net. 3600 IN A 192.0.2.91",
        signature: "A 10 3 3600 20300101000000 20000101000000 3740 example.net. tsb4wnjRUDnB1BUi+t6TMTXThjVnG+eCkWqjvvjhzQL1\
                    d0YRoOe0CbxrVDYd0xDtsuJRaeUw1ep94PzEWzr0iGYgZBWm/zpq+9fOuagYJRfDqfReKBzMweOLDiNa8iP5g9vMhpuv6OPlvpXwm9Sa\
                    9ZXIbNl1MBGk0fthPgxdDLw=",
    },
    Vector {
        zone: "example.net.",
        key: "257 3 13 GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==",
        tag: 55648,
        record: "www.example.net. 3600 IN A 192.0.2.1",
        signature: "A 13 3 3600 20100909100439 20100812100439 55648 example.net. qx6wLYqmh+l9oCKTN6qIc+bw6ya+KJ8oMz0YP107epXA\
                    yGmt+3SNruPFKG7tZoLBLlUzGGus7ZwmwWep666VCw==",
    },
    Vector {
        zone: "example.net.",
        key: "257 3 14 xKYaNhWdGOfJ+nPrL8/arkwf2EY3MDJ+SErKivBVSum1w/egsXvSADtNJhyem5RCOpgQ6K8X1DRSEkrbYQ+OB+v8/uX45NBwY8rp\
              65F6Glur8I/mlVNgF6W/qTI37m40",
        tag: 10771,
        record: "www.example.net. 3600 IN A 192.0.2.1",
        signature: "A 14 3 3600 20100909102025 20100812102025 10771 example.net. /L5hDKIvGDyI1fcARX3z65qrmPsVz73QD1Mr5CEqOiLP\
                    95hxQouuroGCeZOvzFaxsT8Glr74hbavRKayJNuydCuzWTSSPdz7wnqXL5bdcJzusdnI0RSMROxxwGipWcJm",
    },
    Vector {
        zone: "example.com.",
        key: "257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=",
        tag: 3613,
        record: "example.com. 3600 IN MX 10 mail.example.com.",
        signature: "MX 15 2 3600 20150819220000 20150729220000 3613 example.com. oL9krJun7xfBOIWcGHi7mag5/hdZrKWw15jPGrHpjQeR\
                    AvTdszaPD+QLs3fx8A4M3e23mRZ9VrbpMngwcrqNAg==",
    },
    Vector {
        zone: "example.com.",
        key: "257 3 15 zPnZ/QwEe7S8C5SPz2OfS5RR40ATk2/rYnE9xHIEijs=",
        tag: 35217,
        record: "example.com. 3600 IN MX 10 mail.example.com.",
        signature: "MX 15 2 3600 20150819220000 20150729220000 35217 example.com. zXQ0bkYgQTEFyfLyi9QoiY6D8ZdYo4wyUhVioYZXFdT4\
                    10QPRITQSqJSnzQoSm5poJ7gD7AQR0O7KuI5k2pcBg==",
    },
];

#[test]
fn the_signatures_of_rfc_5702_6605_and_8080_hold() {
    for vector in VECTORS {
        assert_eq!(key_tag(&dnskey(vector.key)), vector.tag);
        let now = UnixTime(u64::from(seconds(vector.signature.split_whitespace().nth(5).expect("a time"))) + 1);
        let keys = keys(vector.zone, &[vector.key], None, now, &lenient());
        holds(&Set::of(&[vector.record]), vector.signature, &keys, now);
    }
}

#[test]
fn the_512_bit_key_of_rfc_5702_needs_leave() {
    let vector = &VECTORS[0];
    let now = UnixTime(1_200_000_000);
    let keys = keys(vector.zone, &[vector.key], None, now, &Policy::default());
    let refused = check(Set::of(&[vector.record]), vector.signature, &keys, now);
    assert_eq!(refused, Err(Why::KeySize { tag: 9033, bits: 512 }));
}

#[test]
fn the_ds_records_of_rfc_4034_6605_and_8080_point_at_their_keys() {
    // RFC 4034 §5.4 and RFC 4509 §2.3 have one key.
    let old = "256 3 5 AQOeiiR0GOMYkDshWoSKz9XzfwJr1AYtsmx3TGkJaNXVbfi/2pHm822aJ5iI9BMzNXxeYCmZDRD99WYwYqUSdjMmmAphXdvxegXd\
               /M5+X7OrzKBaMbCVdFLUUh6DhweJBjEVv5f2wwjM9XzcnOf+EPbtG9DMBmADjFDc2w/rljwvFw==";
    for (zone, key, ds) in [
        ("dskey.example.com.", old, "60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118"),
        ("dskey.example.com.", old, "60485 5 2 D4B7D520E7BB5F0F67674A0CCEB1E3E0614B93C4F9E99B8383F6A1E4469DA50A"),
        ("example.net.", VECTORS[2].key, "55648 13 2 B4C8C1FE2E7477127B27115656AD6256F424625BF5C1E2770CE6D6E37DF61D17"),
        (
            "example.net.",
            VECTORS[3].key,
            "10771 14 4 72D7B62976CE06438E9C0BF319013CF801F09ECC84B8D7E9495F27E305C6A9B0563A9B5F4D288405C3008A946DF983D6",
        ),
        ("example.com.", VECTORS[4].key, "3613 15 2 3AA5AB37EFCE57F737FC1627013FEE07BDF241BD10F3B1964AB55C78E79A304B"),
        ("example.com.", VECTORS[5].key, "35217 15 2 401781B934E392DE492EC77AE2E15D70F6575A1C0BC59C5275C04EBE80C6614C"),
    ] {
        let anchors = crate::dnssec::Anchors::parse(&format!("{zone} IN DS {ds}")).expect(ds);
        let anchor = anchors.iter().next().expect("one");
        let set = Set::new(zone, Rtype::DNSKEY, vec![dnskey(key)]);
        // Unsigned, but found: were the DS of another key, there would be no key to sign with.
        let refused = anchor
            .with_trusted(|trusted| set.signed(|set| establish(set, trusted, &lenient(), UnixTime(0), &budget())));
        assert_eq!(refused.expect_err("unsigned").why, Why::NoSignature, "{ds}");
    }
}

const RFC4035_ZSK: &str = "256 3 5 AQOy1bZVvpPqhg4j7EJoM9rI3ZmyEx2OzDBVrZy/lvI5CQePxXHZS4i8dANH4DX3tbHol61ek8EFMcsGXxKciJFH\
     yhl94C+NwILQdzsUlSFovBZsyl/NX6yEbtw/xN9ZNcrbYvgjjZ/UVPZIySFNsgEYvh0z2542lzMKR4Dh8uZffQ==";
const RFC4035_KSK: &str = "257 3 5 AQOeX7+baTmvpVHb2CcLnL1dMRWbuscRvHXlLnXwDzvqp4tZVKp1sZMepFb8MvxhhW3y/0QZsyCjczGJ1qk8vJe5\
     2iOhInKROVLRwxGpMfzPRLMlGybr51bOV/1se0ODacj3DomyB4QB5gKTYot/K9alk5/j8vfd4jWCWD+E1Sze0Q==";
const RFC4035_DNSKEY: &str = "DNSKEY 5 1 3600 20040509183619 20040409183619 9465 example. \
     ZxgauAuIj+k1YoVEOSlZfx41fcmKzTFHoweZxYnz99JVQZJ33wFS0Q0jcP7VXKkaElXk9nYJXevO/7nAbo88iWsMkSpSR6jWzYYKwfrBI/L9hjYmyVO9m6FjQ7\
     uwM4dCP/bIuV/DKqOAK9NYNC3AHfvCV1Tp4VKDqxqG7R5tTVM=";

#[test]
fn the_zone_of_rfc_4035_is_secure() {
    let now = UnixTime(u64::from(seconds("20040420000000")));
    let keys = keys("example.", &[RFC4035_ZSK, RFC4035_KSK], Some(RFC4035_DNSKEY), now, &lenient());
    assert_eq!(keys.len(), 2);
    let sign = "5 1 3600 20040509183619 20040409183619 38519 example.";
    let soa = "example. 3600 IN SOA ns1.example. bugs.x.w.example. 1081539377 3600 300 3600000 3600";
    holds(
        &Set::of(&[soa]),
        &format!(
            "SOA {sign} ONx0k36rcjaxYtcNgq6iQnpNV5+drqYAsC9h7TSJaHCqbhE67Sr6aH2xDUGcqQWu/n0UVzrFvkgO9ebarZ0GWDKcuwlM6eNB5SiX\
             2K74l5LWDA7S/Un/IbtDq4Ay8NMNLQI7Dw7n4p8/rjkBjV7j86HyQgM5e7+miRAz8V01b0I="
        ),
        &keys,
        now,
    );
    // In any order, any case and with a record twice.
    holds(
        &Set::of(&[
            "example. 3600 IN NS NS2.Example.",
            "example. 3600 IN NS ns1.example.",
            "example. 3600 IN NS ns1.example.",
        ]),
        &format!(
            "NS {sign} gl13F00f2U0R+SWiXXLHwsMY+qStYy5k6zfdEuivWc+wd1fmbNCyql0Tk7lHTX6UOxc8AgNf4ISFve8XqF4q+o9qlnqIzmppU3Li\
             NeKT4FZ8RO5urFOvoMRTbQxW3U0hXWuggE4g3ZpsHv480HjMeRaZB/FRPGfJPajngcq6Kwg="
        ),
        &keys,
        now,
    );
    let types = bits(&[Rtype::NS, Rtype::SOA, Rtype::MX, Rtype::RRSIG, Rtype::NSEC, Rtype::DNSKEY]);
    holds(
        &Set::new("example.", Rtype::NSEC, vec![[name("a.example.").wire(), &types].concat()]),
        &format!(
            "NSEC {sign} O0k558jHhyrC97ISHnislm4kLMW48C7U7cBmFTfhke5iVqNRVTB1STLMpgpbDIC9hcryoO0VZ9ME5xPzUEhbvGnHd5sfzgFVeGxr\
             5Nyyq4tWSDBgIBiLQUv1ivy29vhXy7WgR62dPrZ0PWvmjfFJ5arXf4nPxp/kEowGgBRzY/U="
        ),
        &keys,
        now,
    );
    holds(
        &Set::of(&["ai.example. 3600 IN HINFO \"KLH-10\" \"ITS\""]),
        "HINFO 5 2 3600 20040509183619 20040409183619 38519 example. Iq/RGCbBdKzcYzlGE4ovbr5YcB+ezxbZ9W0le/7WqyvhOO9J16HxhhL7VY/I\
         KmTUY0GGdcfhZEOCkf4lEykZF9NPok1/R/fWrtzNp8jobuY7AZEcZadp1WdDF3jc2/ndCa5XZhLKD3JzOsBwFvL8sqlS5QS6FY/ijFEDnI4RkZA=",
        &keys,
        now,
    );
}

#[test]
fn the_wildcard_of_rfc_4035_b_6_is_told_and_proven() {
    let now = UnixTime(u64::from(seconds("20040420000000")));
    let keys = keys("example.", &[RFC4035_ZSK, RFC4035_KSK], Some(RFC4035_DNSKEY), now, &lenient());
    let signature = "MX 5 2 3600 20040509183619 20040409183619 38519 example. OMK8rAZlepfzLWW75Dxd63jy2wswESzxDKG2f9AMN1CytCd10cYI\
         SAxfAdvXSZ7xujKAtPbctvOQ2ofO7AZJ+d01EeeQTVBPq4/6KCWhqe2XTjnkVLNvvhnc0u28aoSsG0+4InvkkOHknKxw4kX18MMR34i8lC36SR5xBni8vHI=";
    let set = Set::of(&["a.z.w.example. 3600 IN MX 1 ai.example."]);
    let verified = check(set, signature, &keys, now).expect("secure");
    assert_eq!(verified.wildcard, Some(name("w.example.")));
    let mut nsec = Set::new(
        "x.y.w.example.",
        Rtype::NSEC,
        vec![[name("xx.example.").wire(), &bits(&[Rtype::MX, Rtype::RRSIG, Rtype::NSEC])].concat()],
    );
    nsec.signatures.push(rrsig(
        "NSEC 5 4 3600 20040509183619 20040409183619 38519 example. OvE6WUzN2ziieJcvKPWbCAyXyP6ef8cr6CspArVSTzKSquNwbezZmkU7E34o\
         5lmb6CWSSSpgxw098kNUFnHcQf/LzY2zqRomubrNQhJTiDTXa0ArunJQCzPjOYq5t0SLjm6qp6McJI1AP5VrQoKqJDCLnoAlcPOPKAm/jJkn3jk=",
    ));
    nsec.signed(|nsec| {
        let zone = name("example.");
        let proof = verify(nsec, &keys, now, &budget()).expect("secure");
        let mut denial = crate::dnssec::Denial::new(&zone, &lenient());
        denial.add(nsec, &proof);
        let proven = denial.wildcard_answer(&name("a.z.w.example."), &name("w.example."), &budget());
        assert_eq!(proven, crate::dnssec::Denied::Proven);
        // For a name below y.w.example, which exists, the wildcard would not stand.
        let closer = denial.wildcard_answer(&name("b.y.w.example."), &name("w.example."), &budget());
        assert!(matches!(closer, crate::dnssec::Denied::NotProven(_)));
    });
}

#[test]
fn the_zone_of_rfc_5155_is_secure_by_its_512_bit_keys() {
    let now = UnixTime(u64::from(seconds("20100101000000")));
    let zsk = "256 3 7 AwEAAaetidLzsKWUt4swWR8yu0wPHPiUi8LUsAD0QPWU+wzt89epO6tHzkMBVDkC7qphQO2hTY4hHn9npWFRw5BYubE=";
    let ksk = "257 3 7 AwEAAcUlFV1vhmqx6NSOUOq2R/dsR7Xm3upJj7IommWSpJABVfW8Q0rOvXdM6kzt+TAu92L9AbsUdblMFin8CVF3n4s=";
    let signature = "DNSKEY 7 1 3600 20150420235959 20051021000000 12708 example. \
         AuU4juU9RaxescSmStrQks3Gh9FblGBlVU31uzMZ/U/FpsUb8aC6QZS+sTsJXnLnz7flGOsmMGQZf3bH+QsCtg==";
    let keys = keys("example.", &[zsk, ksk], Some(signature), now, &lenient());
    let hash = |text: &str| nsec3_hash(name(text).wire(), &[0xaa, 0xbb, 0xcc, 0xdd], 12);
    let types = [Rtype::MX, Rtype::DNSKEY, Rtype::NS, Rtype::SOA, Rtype::NSEC3PARAM, Rtype::RRSIG];
    let mut rdata = vec![1, 1, 0, 12, 4, 0xaa, 0xbb, 0xcc, 0xdd, 20];
    rdata.extend_from_slice(&hash("ns1.example."));
    rdata.extend_from_slice(&bits(&types));
    holds(
        &Set::new("0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example.", Rtype::NSEC3, vec![rdata]),
        "NSEC3 7 2 3600 20150420235959 20051021000000 40430 example. \
         OSgWSm26B+cS+dDL8b5QrWr/dEWhtCsKlwKLIBHYH6blRxK9rC0bMJPwQ4mLIuw85H2EY762BOCXJZMnpuwhpA==",
        &keys,
        now,
    );
    holds(
        &Set::of(&["2t7b4g4vsa5smi47k61mv5bv1a22bojr.example. 3600 IN A 192.0.2.127"]),
        "A 7 2 3600 20150420235959 20051021000000 40430 example. \
         h6c++bzhRuWWt2bykN6mjaTNBcXNq5UuL5EdK+iDP4eY8I0kSiKaCjg3tC1SQkeloMeub2GWk8p6xHMPZumXlw==",
        &keys,
        now,
    );
}
