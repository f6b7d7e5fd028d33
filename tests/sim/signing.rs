//! Signs the zones of a scenario, from the bottom up: each parent gets the DS records of its signed children.

use std::collections::BTreeSet;
use std::sync::Arc;

use hickory_proto::rr::{Name, Record};
use maeslant::dnssec::Anchors;
use maeslant::lab::sign::{Denial, Flaw, Keys, Signed, Signing};

use super::server::Server;
use super::text;
use super::zone::Zone;

/// The wall clock when a simulation begins, and the days that signatures hold before and after.
const START: u32 = 1_750_000_000;
const DAYS: u32 = 15 * 86_400;

/// How a zone is to be signed, and what its parent says of it.
#[derive(Clone, Debug)]
pub struct SigningPlan {
    algorithm: u8,
    denial: Denial,
    flaw: Option<Flaw>,
    parent: ParentsWord,
    /// It has a trust anchor of its own.
    anchor: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ParentsWord {
    Ds(u8),
    Nothing,
    /// Digest type 200.
    UnknownDigest,
    /// Algorithm 200.
    UnknownAlgorithm,
    /// Another digest than the key has.
    WrongDigest,
}

impl SigningPlan {
    /// From the words after `zone APEX`: `signed[=ALGORITHM] [nsec3[=ITERATIONS]] [salt=HEX] [opt-out] [flaw=FLAW] [ds=WORD]
    /// [anchor]`. None where there are none.
    pub fn parse(words: &[&str]) -> Result<Option<SigningPlan>, String> {
        let Some((first, rest)) = words.split_first() else { return Ok(None) };
        let (key, algorithm) = first.split_once('=').unwrap_or((first, "13"));
        if key != "signed" {
            return Err(format!("a zone is `signed`, not `{first}`"));
        }
        let number = |text: &str| text.parse::<u16>().map_err(|_| format!("`{text}` is no number"));
        let mut plan = SigningPlan {
            algorithm: number(algorithm)? as u8,
            denial: Denial::Nsec,
            flaw: None,
            parent: ParentsWord::Ds(2),
            anchor: false,
        };
        for word in rest {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match (key, &mut plan.denial) {
                ("nsec3", denial) => {
                    let iterations = if value.is_empty() { 0 } else { number(value)? };
                    *denial = Denial::Nsec3 { iterations, salt: Vec::new(), opt_out: false };
                }
                ("salt", Denial::Nsec3 { salt, .. }) => *salt = text::hex(value)?,
                ("opt-out", Denial::Nsec3 { opt_out, .. }) => *opt_out = true,
                ("flaw", _) => plan.flaw = Some(value.parse()?),
                ("ds", _) => plan.parent = parents_word(value)?,
                ("anchor", _) => plan.anchor = true,
                _ => return Err(format!("a signed zone has no `{word}`")),
            }
        }
        Ok(Some(plan))
    }
}

fn parents_word(word: &str) -> Result<ParentsWord, String> {
    Ok(match word {
        "none" => ParentsWord::Nothing,
        "sha1" => ParentsWord::Ds(1),
        "sha384" => ParentsWord::Ds(4),
        "unknown-digest" => ParentsWord::UnknownDigest,
        "unknown-algorithm" => ParentsWord::UnknownAlgorithm,
        "wrong-digest" => ParentsWord::WrongDigest,
        other => return Err(format!("a parent says nothing like `{other}`")),
    })
}

/// The DS record a parent has.
fn ds(signed: &Signed, word: ParentsWord) -> Option<Record> {
    let (digest_type, change): (u8, Option<(usize, u8)>) = match word {
        ParentsWord::Ds(kind) => (kind, None),
        ParentsWord::Nothing => return None,
        ParentsWord::UnknownDigest => (2, Some((3, 200))),
        ParentsWord::UnknownAlgorithm => (2, Some((2, 200))),
        ParentsWord::WrongDigest => (2, Some((10, 0))),
    };
    let record = signed.ds(3600, digest_type);
    let Some((at, octet)) = change else { return Some(record) };
    let mut data = match &record.data {
        hickory_proto::rr::RData::Unknown { rdata, .. } => rdata.anything.clone(),
        _ => return None,
    };
    data[at] = if word == ParentsWord::WrongDigest { !data[at] } else { octet };
    Some(maeslant::lab::sign::opaque(&record.name, record.ttl, record.record_type(), data))
}

/// Signs all zones that are to be signed. Returns the anchors that make them trusted; none where none is.
pub fn sign(servers: &mut [Server]) -> Result<Anchors, String> {
    let planned = servers.iter().flat_map(|server| &server.zones).filter(|zone| zone.plan.is_some());
    let apexes: BTreeSet<Name> = planned.map(|zone| zone.apex.clone()).collect();
    let mut apexes: Vec<Name> = apexes.into_iter().collect();
    apexes.sort_by_key(|apex| std::cmp::Reverse(apex.iter().count()));
    let mut anchors = String::new();
    for apex in &apexes {
        let Some(signed) = sign_zone(servers, apex)? else { continue };
        let (plan, record, anchor) = signed;
        if plan.anchor || apex.is_root() {
            anchors += &anchor;
        }
        let Some(record) = record else { continue };
        let parents = servers.iter_mut().flat_map(|server| &mut server.zones);
        for parent in parents.filter(|zone| zone.plan.is_some() && zone.cut(apex).is_some()) {
            parent.add(vec![record.clone()])?;
        }
    }
    if anchors.is_empty() {
        return Ok(Anchors::default());
    }
    Anchors::parse(&anchors).map_err(|errors| format!("the anchors: {errors:?}"))
}

type Outcome = (SigningPlan, Option<Record>, String);

/// Signs one zone on all its servers by the same keys.
fn sign_zone(servers: &mut [Server], apex: &Name) -> Result<Option<Outcome>, String> {
    let zones = || servers.iter().flat_map(|server| &server.zones);
    let Some(plan) = zones().filter(|zone| zone.apex == *apex).find_map(|zone| zone.plan.clone()) else {
        return Ok(None);
    };
    let keys = Arc::new(Keys::new(apex, plan.algorithm));
    let mut outcome = None;
    let planned = |zone: &&mut Zone| zone.apex == *apex && zone.plan.is_some();
    for zone in servers.iter_mut().flat_map(|server| &mut server.zones).filter(planned) {
        let how = Signing { denial: plan.denial.clone(), from: START - DAYS, until: START + DAYS, flaw: plan.flaw };
        let signed = Signed::new(&zone.records().collect::<Vec<_>>(), Arc::clone(&keys), how);
        outcome = Some((plan.clone(), ds(&signed, plan.parent), signed.anchor()));
        zone.sign(signed)?;
    }
    Ok(outcome)
}
