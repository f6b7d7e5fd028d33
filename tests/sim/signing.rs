//! Signs the zones of a scenario, from the bottom up: each parent gets the DS records of its signed children.

use std::collections::BTreeSet;

use hickory_proto::rr::{Name, Record};
use maeslant::dnssec::Anchors;

use super::server::Server;
use super::zone::Zone;

/// The wall clock when a simulation begins, and the seconds that signatures hold before and after.
const START: u32 = 1_750_000_000;
const HELD: u32 = 15 * 86_400;

/// Signs all zones that are to be signed. Returns the anchors that make them trusted; none where none is.
pub fn sign(servers: &mut [Server]) -> Result<Anchors, String> {
    let planned = servers.iter().flat_map(|server| &server.zones).filter(|zone| zone.plan.is_some());
    let apexes: BTreeSet<Name> = planned.map(|zone| zone.apex.clone()).collect();
    let mut apexes: Vec<Name> = apexes.into_iter().collect();
    apexes.sort_by_key(|apex| std::cmp::Reverse(apex.iter().count()));
    let mut anchors = String::new();
    for apex in &apexes {
        let (ds, anchor) = sign_zone(servers, apex)?;
        anchors += &anchor;
        let parents = servers.iter_mut().flat_map(|server| &mut server.zones);
        for parent in parents.filter(|zone| zone.plan.is_some() && zone.cut(apex).is_some()) {
            parent.add(ds.clone().into_iter().collect())?;
        }
    }
    if anchors.is_empty() {
        return Ok(Anchors::default());
    }
    Anchors::parse(&anchors).map_err(|errors| format!("the anchors: {errors:?}"))
}

/// Signs one zone on all its servers by the same keys. Returns its parent's DS record and its line among the anchors.
fn sign_zone(servers: &mut [Server], apex: &Name) -> Result<(Option<Record>, String), String> {
    let mut found = (None, String::new());
    let mut keys = None;
    let planned = |zone: &&mut Zone| zone.apex == *apex;
    for zone in servers.iter_mut().flat_map(|server| &mut server.zones).filter(planned) {
        let Some(plan) = zone.plan.clone() else { continue };
        let keys = keys.get_or_insert_with(|| plan.keys(apex));
        let signed = plan.sign(&zone.records().collect::<Vec<_>>(), keys.clone(), START - HELD, START + HELD);
        let anchor = if plan.anchor || apex.is_root() { signed.anchor() } else { String::new() };
        found = (plan.ds(&signed, 3600), anchor);
        zone.sign(signed)?;
    }
    Ok(found)
}
