//! Which zones of the small Internet are signed and how, and the zones that are signed wrong, one for each way.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hickory_proto::rr::Name;
use serde::Deserialize;

use super::atlas::{Atlas, ZoneText};
use super::sign::Plan;
use super::world::{StartError, read_zones};
use super::zone::{Zone, ZoneSet};
use super::{embedded, population};

/// Signatures hold so long before and after the start, in seconds.
const HELD: u32 = 15 * 86_400;
/// The time to live of DS records, in seconds.
const DS_TTL: u32 = 3600;

/// The zone whose children are signed in every way, right and wrong.
pub(super) const PROVING_GROUND: &str = "dnssec.nl.";

/// Its children: a label, and how it is signed; empty: not at all.
const CHILDREN: &[(&str, &str)] = &[
    ("unsigned", ""),
    ("rsasha1", "signed=5"),
    ("rsasha1-nsec3", "signed=7 nsec3"),
    ("rsasha256", "signed=8"),
    ("rsasha512", "signed=10 nsec3"),
    ("ecdsap256", "signed=13"),
    ("ecdsap384", "signed=14 nsec3"),
    ("ed25519", "signed=15"),
    ("nsec3", "signed nsec3"),
    ("nsec3-salt", "signed nsec3=10 salt=aabbccdd"),
    ("nsec3-opt-out", "signed nsec3 opt-out"),
    ("nsec3-50", "signed nsec3=50 salt=aabbccdd"),
    ("nsec3-51", "signed nsec3=51 salt=aabbccdd"),
    ("nsec3-2500", "signed nsec3=2500 salt=aabbccdd"),
    ("ds-none", "signed ds=none"),
    ("ds-sha1", "signed ds=sha1"),
    ("ds-sha384", "signed ds=sha384"),
    ("ds-unknown-digest", "signed ds=unknown-digest"),
    ("ds-unknown-algorithm", "signed ds=unknown-algorithm"),
    ("ds-wrong-digest", "signed ds=wrong-digest"),
    ("expired", "signed flaw=expired"),
    ("expired-a", "signed flaw=expired:A"),
    ("expired-keys", "signed flaw=expired:DNSKEY"),
    ("expired-nsec", "signed flaw=expired:NSEC"),
    ("expired-nsec3", "signed nsec3 flaw=expired:NSEC3"),
    ("not-yet-valid", "signed flaw=not-yet-valid"),
    ("not-yet-valid-a", "signed flaw=not-yet-valid:A"),
    ("expires-before-inception", "signed flaw=expires-before-inception:A"),
    ("bad-signature", "signed flaw=bad-signature:A"),
    ("bad-signature-rsa", "signed=8 flaw=bad-signature:A"),
    ("bad-signature-ed25519", "signed=15 flaw=bad-signature:A"),
    ("bad-signature-keys", "signed flaw=bad-signature:DNSKEY"),
    ("bad-signature-nsec", "signed flaw=bad-signature:NSEC"),
    ("bad-signature-nsec3", "signed nsec3 flaw=bad-signature:NSEC3"),
    ("wrong-signer", "signed flaw=wrong-signer:A"),
    ("too-many-labels", "signed flaw=too-many-labels:A"),
    ("too-few-labels", "signed flaw=too-few-labels:A"),
    ("wrong-tag", "signed flaw=wrong-tag:A"),
    ("no-signature", "signed flaw=no-signature:A"),
    ("no-signature-keys", "signed flaw=no-signature:DNSKEY"),
    ("no-signature-nsec", "signed flaw=no-signature:NSEC"),
    ("no-signature-nsec3", "signed nsec3 flaw=no-signature:NSEC3"),
    ("no-proof", "signed flaw=no-proof"),
    ("no-proof-nsec3", "signed nsec3 flaw=no-proof"),
    ("other-keys", "signed flaw=other-keys"),
    ("no-keys", "signed flaw=no-keys"),
    ("no-zone-key", "signed flaw=no-zone-key"),
    ("revoked-key", "signed flaw=revoked-key"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    zone: Vec<ListedZone>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListedZone {
    origin: String,
    how: String,
}

/// Adds the children of the proving ground, and how every zone is signed. What is wrong with the lists is found by a
/// test; here it is passed over.
pub(super) fn plan(atlas: &mut Atlas) {
    let listed = toml::from_str::<Listed>(embedded::SIGNING).map(|listed| listed.zone).unwrap_or_default();
    let mut plans: Vec<(String, String)> = listed.into_iter().map(|zone| (zone.origin, zone.how)).collect();
    let mut delegations = String::new();
    let mut origins = Vec::new();
    for (label, how) in CHILDREN {
        let origin = format!("{label}.{PROVING_GROUND}");
        let _ = writeln!(delegations, "{origin} IN NS ns1.{PROVING_GROUND}");
        atlas.zones.push(ZoneText { text: child(&origin), origin: origin.clone() });
        if !how.is_empty() {
            plans.push((origin.clone(), (*how).to_owned()));
        }
        origins.push(origin);
    }
    for zone in atlas.zones.iter_mut().filter(|zone| zone.origin == PROVING_GROUND) {
        zone.text.push_str(&delegations);
    }
    for server in atlas.servers.iter_mut().filter(|server| server.zones.iter().any(|zone| zone == PROVING_GROUND)) {
        server.zones.extend(origins.iter().cloned());
    }
    plans.extend((1..=atlas.sites).filter_map(|number| Some((population::site(number), site(number)?.to_owned()))));
    let parsed = plans.into_iter().filter_map(|(origin, how)| Some((origin, Plan::parse(&how).ok()?)));
    atlas.plans = parsed.collect();
}

/// How a popular site is signed: of nl. three in four, elsewhere one in eight, much as in the Internet.
fn site(number: usize) -> Option<&'static str> {
    let dutch = population::site(number).ends_with(".nl.");
    let signed = if dutch { number % 20 != 12 } else { matches!(number % 20, 5 | 15) };
    signed.then_some(if number.is_multiple_of(2) { "signed" } else { "signed nsec3" })
}

/// What each child has: a name, an alias, one that leads away, a subtree that does, a wildcard, names that are empty.
fn child(origin: &str) -> String {
    format!(
        "; Signed in a way of its own (src/lab/signing.rs).\n$ORIGIN {origin}\n$TTL 300\n\
         @ IN SOA ns1.{PROVING_GROUND} hostmaster.hosting.net. 2025060101 7200 3600 1209600 300\n\
         @ IN NS ns1.{PROVING_GROUND}\n@ IN A 192.0.2.150\n@ IN MX 10 mail\nwww IN A 192.0.2.151\n\
         mail IN AAAA 2001:db8::152\nalias IN CNAME www\naway IN CNAME www.ordinary.com.\n\
         moved IN DNAME ordinary.com.\n*.wild IN TXT \"any\"\n\
         a.b.c IN A 192.0.2.153\n"
    )
}

/// The zones of an atlas, signed as it plans by new keys, and the anchors that make them trusted.
pub(super) fn signed_zones(atlas: &Atlas) -> Result<(ZoneSet, String), StartError> {
    let plain = read_zones(atlas)?;
    let mut zones: Vec<Zone> = plain.iter().map(|zone| Zone::clone(zone)).collect();
    // Children first: their parents sign what points at them.
    zones.sort_by_key(|zone| (std::cmp::Reverse(zone.origin().iter().count()), zone.origin_key.clone()));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = u32::try_from(now).unwrap_or(u32::MAX / 2).max(2 * HELD);
    let mut anchors = String::new();
    for index in 0..zones.len() {
        let (done, rest) = zones.split_at_mut(index + 1);
        let Some(zone) = done.last_mut() else { continue };
        let Some(plan) = plan_of(atlas, zone.origin()) else { continue };
        let signed = plan.sign(&zone.records().collect::<Vec<_>>(), plan.keys(zone.origin()), now - HELD, now + HELD);
        if plan.anchor || zone.origin().is_root() {
            anchors += &signed.anchor();
        }
        let parent = rest.iter_mut().find(|parent| parent.has_cut(zone.origin()));
        if let (Some(parent), Some(ds)) = (parent, plan.ds(&signed, DS_TTL)) {
            parent.add(ds);
        }
        zone.sign(signed);
    }
    let mut set = ZoneSet::default();
    zones.into_iter().for_each(|zone| set.insert(Arc::new(zone)));
    Ok((set, anchors))
}

/// How a zone is signed, if it is.
pub(super) fn plan_of<'a>(atlas: &'a Atlas, origin: &Name) -> Option<&'a Plan> {
    let origin = origin.to_lowercase().to_ascii();
    atlas.plans.get(&origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_can_be_read_and_every_planned_zone_is_there() {
        let listed = toml::from_str::<Listed>(embedded::SIGNING).unwrap().zone;
        let children = CHILDREN.iter().map(|(label, how)| (format!("{label}.{PROVING_GROUND}"), (*how).to_owned()));
        let all = listed.into_iter().map(|zone| (zone.origin, zone.how)).chain(children);
        let atlas = Atlas::new(20);
        for (origin, how) in all.filter(|(_, how)| !how.is_empty()) {
            assert!(Plan::parse(&how).is_ok(), "{origin}: {how}");
            assert!(atlas.zones.iter().any(|zone| zone.origin == origin), "{origin}");
        }
    }

    #[test]
    fn the_chain_of_ds_records_leads_from_the_root_to_signed_zones() {
        let atlas = Atlas::new(20);
        let (zones, anchors) = signed_zones(&atlas).unwrap();
        assert!(anchors.starts_with(". IN DS ") && anchors.lines().count() == 1, "{anchors}");
        for (origin, plan) in &atlas.plans {
            let origin = Name::from_ascii(origin).unwrap();
            let zone = zones.get(&origin).unwrap();
            assert!(zone.signed.is_some());
            if origin.is_root() {
                continue;
            }
            let reply = zones.find(&origin, hickory_proto::rr::RecordType::DS).unwrap();
            let reply = reply.answer(&origin, hickory_proto::rr::RecordType::DS);
            let wanted = usize::from(plan.parent != super::super::sign::ParentsWord::Nothing);
            assert_eq!(reply.answers.len(), wanted, "{origin}");
        }
    }
}
