//! The chain of trust, followed as part of a resolution (RFC 4035 §5, RFC 6840): which zone signs, whether its keys can
//! be trusted, and what that makes of a response.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::cache::{Rank, RrSet, Security, Trust, TrustVerdict};
use crate::dnssec::{
    self, Cause, Denial, Denied, DsAbsence, Entry, Keys, Rrsig, Signed, Start, Support, Trusted, Verified, Why, entry,
    support,
};
use crate::wire::{Name, Question, Rcode, Rtype, leading_name};

use super::Cx;
use super::board::{Notice, sleep_until};
use super::budget::Work;
use super::classify::{NegativeReading, Reading};
use super::descend::{Raw, descend};
use super::failure::Failure;

/// A zone whose chain is broken is looked at again after this: long enough to make attacks dull, short enough for a
/// mended zone (Unbound: 60 s).
const BOGUS_FOR: u32 = 30;
/// A zone without an anchor, or suspended by a negative one, is not asked about for this long.
const NOWHERE_FOR: u32 = 300;
/// No verdict on a zone is kept longer, so that a change of its keys is noticed within the hour.
const LONGEST: u32 = 3600;
/// What a referral says of DS is gone by for so many seconds at least.
const SHORTEST_WORD: u64 = 5;
/// Who lets others have their turn goes on in the next, so many nanoseconds later at most.
const MAX_REST: u64 = 1000;
/// Zones that are taken for the signer of one RRset.
const MAX_SIGNERS: usize = 2;

/// Whether a zone is signed, as its parent says.
enum DsStatus {
    Signed(RrSet),
    Insecure(Option<Cause>, u32),
    NotACut,
    Bogus(Cause),
}

/// A set as validation sees it.
struct View<'a> {
    set: &'a RrSet,
    rdatas: Vec<&'a [u8]>,
    signatures: Vec<&'a [u8]>,
}

impl<'a> View<'a> {
    fn new(set: &'a RrSet) -> View<'a> {
        View { set, rdatas: set.rdatas().collect(), signatures: set.signatures().collect() }
    }

    fn signed(&self) -> Signed<'_> {
        let RrSet { owner, rtype, ttl, .. } = self.set;
        Signed { owner, rtype: *rtype, ttl: *ttl, rdatas: &self.rdatas, signatures: &self.signatures }
    }
}

/// Lets others have their turn.
async fn rest(cx: &Cx) {
    cx.board.borrow_mut().counters.rests += 1;
    // Any moment but this one: the next turn. A random one, so that nobody is always first.
    let until = cx.now().mono + Duration::from_nanos(1 + cx.random() % MAX_REST);
    sleep_until(&cx.board, until).await;
}

async fn check(cx: &Cx, work: &Work, set: &RrSet, keys: &Keys) -> Result<Verified, Cause> {
    check_view(cx, work, &View::new(set).signed(), keys).await
}

async fn check_view(cx: &Cx, work: &Work, view: &Signed<'_>, keys: &Keys) -> Result<Verified, Cause> {
    let mut check = dnssec::Check::new(view, keys, cx.now().unix, &work.crypto);
    loop {
        if let Poll::Ready(outcome) = check.go_on() {
            return outcome;
        }
        work.crypto.must_rest();
        rest(cx).await;
    }
}

/// Establishes keys by what is trusted of their zone.
async fn established(cx: &Cx, work: &Work, set: &RrSet, trusted: Trusted<'_>) -> Result<dnssec::Trust, Cause> {
    let policy = &cx.plan.dnssec.policy;
    let view = View::new(set);
    match entry(&view.signed(), trusted, policy, &work.crypto)? {
        Entry::Insecure(cause) => Ok(dnssec::Trust::Insecure(cause)),
        Entry::Keys(keys) => {
            let verified = check_view(cx, work, &view.signed(), &keys).await?;
            Ok(dnssec::Trust::of(&view.signed(), verified, policy))
        }
    }
}

/// The zone of the trust anchor that data at `name` is judged by.
pub(super) fn floor(cx: &Cx, name: &Name, rtype: Rtype) -> Name {
    cx.plan.floor(name, rtype, cx.now().unix)
}

/// Is validation of data at `name` suspended by the operator (RFC 7646)?
fn is_suspended(cx: &Cx, name: &Name, rtype: Rtype) -> bool {
    matches!(cx.plan.start(name, rtype, cx.now().unix), Start::Suspended(_))
}

/// The zones at or below `floor` that are said to have signed a set, the deepest first.
fn signers(set: &RrSet, floor: &Name) -> Vec<Name> {
    let mut signers: Vec<Name> = Vec::new();
    for signature in set.signatures().filter_map(Rrsig::parse) {
        let fits = match set.rtype {
            Rtype::DS => set.owner.is_below(&signature.signer),
            _ => set.owner.is_at_or_below(&signature.signer),
        };
        if fits && signature.signer.is_at_or_below(floor) && !signers.contains(&signature.signer) {
            signers.push(signature.signer.clone());
        }
    }
    signers.sort_by_key(|signer| std::cmp::Reverse(signer.label_count()));
    signers.truncate(MAX_SIGNERS);
    signers
}

/// Judges a response: every set in it gets its security, or the whole is bogus.
pub(super) async fn judge(cx: &Cx, work: &Work, raw: &mut Raw) -> Result<(), Failure> {
    let proof = std::mem::take(&mut raw.proof);
    match &mut raw.reading {
        Reading::Answer(sets) | Reading::TooLong(sets) => {
            judge_sets(cx, work, sets, (&raw.name, raw.rtype), &raw.zone, &proof).await
        }
        Reading::Alias { sets, target, negative } => {
            judge_sets(cx, work, sets, (&raw.name, raw.rtype), &raw.zone, &proof).await?;
            if let Some(found) = negative {
                // What cannot be proven here is asked for again at its own place.
                match judge_negative(cx, work, target, raw.rtype, found, &raw.zone, &proof).await {
                    Ok(()) => {}
                    Err(Failure::Bogus(_)) => *negative = None,
                    Err(failure) => return Err(failure),
                }
            }
            Ok(())
        }
        Reading::Negative(negative) => {
            judge_negative(cx, work, &raw.name, raw.rtype, negative, &raw.zone, &proof).await
        }
        Reading::Referral(_) | Reading::Lame | Reading::Recursive(_) | Reading::Error(_) | Reading::Excessive => Ok(()),
    }
}

/// Judges the sets of an answer to a question, in their order along its aliases.
async fn judge_sets(
    cx: &Cx,
    work: &Work,
    sets: &mut [RrSet],
    (name, rtype): (&Name, Rtype),
    zone: &Name,
    proof: &[RrSet],
) -> Result<(), Failure> {
    let mut before = Security::Insecure;
    let mut at = name.clone();
    for set in sets {
        // What a DNAME makes is as good as the DNAME (RFC 6672 §5.3.1).
        set.security = if set.rank == Rank::Local { before } else { judge_set(cx, work, set, zone, proof).await? };
        before = set.security;
        if set.rtype == Rtype::DNAME && before < Security::Secure && floor(cx, &at, rtype).is_below(&set.owner) {
            // It is above a trust anchor, and leads away from below it.
            unsigned(cx, work, &at, rtype, zone).await?;
        }
        if set.rtype == Rtype::CNAME {
            at = set.first().and_then(leading_name).unwrap_or(at);
        }
    }
    Ok(())
}

async fn judge_set(cx: &Cx, work: &Work, set: &mut RrSet, zone: &Name, proof: &[RrSet]) -> Result<Security, Failure> {
    // Signatures are not signed (RFC 4035 §2.2).
    if set.rtype == Rtype::RRSIG || is_suspended(cx, &set.owner, set.rtype) {
        return Ok(Security::Insecure);
    }
    let mut worst = None;
    for signer in signers(set, &floor(cx, &set.owner, set.rtype)) {
        let trust = trust(cx, work, &signer).await?;
        match &trust.verdict {
            TrustVerdict::Insecure(_) => return Ok(Security::Insecure),
            TrustVerdict::Bogus(cause) => worst = Some(cause.clone()),
            TrustVerdict::Secure(keys) => match check(cx, work, set, keys).await {
                Ok(verified) => {
                    set.ttl = set.ttl.min(verified.ttl_cap);
                    return match &verified.wildcard {
                        None => Ok(Security::Secure),
                        Some(encloser) => judge_wildcard(cx, work, set, encloser, keys, proof).await,
                    };
                }
                Err(cause) => worst = Some(cause),
            },
        }
    }
    match worst {
        Some(cause) => Err(Failure::Bogus(cause)),
        None => unsigned(cx, work, &set.owner, set.rtype, zone).await,
    }
}

/// A wildcard answers only for names that are not there themselves (RFC 4035 §5.3.4).
async fn judge_wildcard(
    cx: &Cx,
    work: &Work,
    set: &mut RrSet,
    encloser: &Name,
    keys: &Keys,
    proof: &[RrSet],
) -> Result<Security, Failure> {
    let (denied, found) =
        deny(cx, work, keys, proof, |denial| denial.wildcard_answer(&set.owner, encloser, &work.crypto)).await;
    set.ttl = set.ttl.min(found.ttl);
    let security = conclude(denied, found.worst)?;
    if security == Security::Secure && cx.plan.deduces {
        cx.cache.keep_ranges(keys.zone(), &found.used, None, found.ttl);
        keep_wildcard(cx, set, encloser);
    }
    set.proof = Some(found.used.into());
    Ok(security)
}

/// Keeps the wildcard itself, as the answer to a question for it would be: it may stand for other names.
fn keep_wildcard(cx: &Cx, set: &RrSet, encloser: &Name) {
    if let Some(owner) = encloser.with_prefix(b"\x01*") {
        let wildcard = set.judged(Security::Secure, cx.cache.clamp_ttl(set.ttl)).owned_by(owner);
        cx.cache.keep(wildcard, cx.now().age);
    }
}

/// What became of the proofs in a response.
struct Proofs {
    /// Those that hold, and the seconds they do.
    used: Vec<RrSet>,
    ttl: u32,
    /// A signature that failed says more than that a proof is missing.
    worst: Option<Cause>,
}

/// Verifies proofs by the keys of their zone and asks them.
async fn deny<T>(cx: &Cx, work: &Work, keys: &Keys, proof: &[RrSet], ask: impl Fn(&Denial<'_>) -> T) -> (T, Proofs) {
    let mut denial = Denial::new(keys.zone(), &cx.plan.dnssec.policy);
    let mut found = Proofs { used: Vec::new(), ttl: u32::MAX, worst: None };
    for set in proof {
        let verified = match check(cx, work, set, keys).await {
            Ok(verified) if verified.wildcard.is_none() => verified,
            Ok(_) => continue,
            Err(cause) => {
                found.worst.get_or_insert(cause);
                continue;
            }
        };
        let rdatas: Vec<&[u8]> = set.rdatas().collect();
        denial.add_known(&set.owner, set.rtype, &rdatas);
        found.ttl = found.ttl.min(verified.ttl_cap);
        found.used.push(set.judged(Security::Secure, verified.ttl_cap));
    }
    loop {
        let answer = ask(&denial);
        // The hashes that were computed are remembered, so that each time it comes further.
        if !work.crypto.must_rest() {
            return (answer, found);
        }
        rest(cx).await;
    }
}

fn conclude(denied: Denied, worst: Option<Cause>) -> Result<Security, Failure> {
    match denied {
        Denied::Proven => Ok(Security::Secure),
        Denied::OptOut | Denied::Unjudged(_) => Ok(Security::Insecure),
        Denied::NotProven(cause) => Err(Failure::Bogus(worst.unwrap_or(cause))),
    }
}

async fn judge_negative(
    cx: &Cx,
    work: &Work,
    name: &Name,
    rtype: Rtype,
    negative: &mut NegativeReading,
    zone: &Name,
    proof: &[RrSet],
) -> Result<(), Failure> {
    if is_suspended(cx, name, rtype) {
        negative.security = Security::Insecure;
        return Ok(());
    }
    let floor = floor(cx, name, rtype);
    let signer = proof.iter().chain(&negative.soa).find_map(|set| signers(set, &floor).into_iter().next());
    let Some(signer) = signer.filter(|signer| name.is_at_or_below(signer)) else {
        negative.security = unsigned(cx, work, name, rtype, zone).await?;
        return Ok(());
    };
    let trust = trust(cx, work, &signer).await?;
    let keys = match &trust.verdict {
        TrustVerdict::Insecure(_) => {
            negative.security = Security::Insecure;
            return Ok(());
        }
        TrustVerdict::Bogus(cause) => return Err(Failure::Bogus(cause.clone())),
        TrustVerdict::Secure(keys) => keys,
    };
    let (denied, found) = deny(cx, work, keys, proof, |denial| match (negative.rcode, rtype) {
        (Rcode::NXDOMAIN, _) => denial.nxdomain(name, &work.crypto),
        (_, Rtype::DS) if name.is_below(keys.zone()) => match denial.ds(name, &work.crypto) {
            DsAbsence::InsecureCut | DsAbsence::NotACut => Denied::Proven,
            DsAbsence::OptOut => Denied::OptOut,
            DsAbsence::Unjudged(cause) => Denied::Unjudged(cause),
            DsAbsence::NotProven(cause) => Denied::NotProven(cause),
        },
        _ => denial.nodata(name, rtype, &work.crypto),
    })
    .await;
    negative.security = conclude(denied, found.worst)?;
    negative.ttl = negative.ttl.min(found.ttl);
    negative.proof = found.used;
    // All of the authority section counts (RFC 4035 §3.2.3): what a forger puts beside a true proof is found out.
    if let Some(soa) = &mut negative.soa
        && negative.security == Security::Secure
    {
        let verified = check(cx, work, soa, keys).await.map_err(Failure::Bogus)?;
        soa.security = Security::Secure;
        negative.ttl = negative.ttl.min(verified.ttl_cap);
    }
    if negative.security == Security::Secure && cx.plan.deduces {
        // No longer than the negative answer itself (RFC 9077 §3).
        cx.cache.keep_ranges(keys.zone(), &negative.proof, negative.soa.as_ref(), negative.ttl);
    }
    Ok(())
}

/// Why is there no signature over what a server of `zone` says of `name`? `Ok`: because an unsigned zone begins between
/// them, or above.
async fn unsigned(cx: &Cx, work: &Work, name: &Name, rtype: Rtype, zone: &Name) -> Result<Security, Failure> {
    let floor = floor(cx, name, rtype);
    let mut at = if floor.is_below(zone) { floor } else { zone.clone() };
    let deepest = if rtype == Rtype::DS { name.label_count().saturating_sub(1) } else { name.label_count() };
    loop {
        let trust = trust(cx, work, &at).await?;
        let keys = match &trust.verdict {
            TrustVerdict::Insecure(_) => return Ok(Security::Insecure),
            TrustVerdict::Bogus(cause) => return Err(Failure::Bogus(cause.clone())),
            TrustVerdict::Secure(keys) => keys,
        };
        let mut next = None;
        for count in at.label_count() + 1..=deepest {
            let below = name.suffix(count);
            match ds_status(cx, work, &below, &at, keys).await? {
                DsStatus::Insecure(..) => return Ok(Security::Insecure),
                DsStatus::Bogus(cause) => return Err(Failure::Bogus(cause)),
                DsStatus::NotACut => {}
                DsStatus::Signed(_) => {
                    next = Some(below);
                    break;
                }
            }
        }
        match next {
            Some(next) => at = next,
            None => return Err(Failure::Bogus(Cause::new(&at, name, rtype, Why::NoSignature))),
        }
    }
}

type TrustFuture<'a> = Pin<Box<dyn Future<Output = Result<Arc<Trust>, Failure>> + 'a>>;

/// What the chain of trust comes to at a zone: from the cache, or by asking for its keys and for its parent's word.
pub(super) fn trust<'a>(cx: &'a Cx, work: &'a Work, zone: &'a Name) -> TrustFuture<'a> {
    Box::pin(async move {
        let now = cx.now();
        if let Some(trust) = cx.cache.trust(zone, now.age) {
            return Ok(trust);
        }
        let (before, (looks, _)) = (work.crypto.spent(), work.second_looks());
        let (verdict, ttl) = match cx.plan.dnssec.anchors.closest(zone, now.unix) {
            Start::Nowhere | Start::Suspended(_) => (TrustVerdict::Insecure(None), NOWHERE_FOR),
            Start::Anchor(anchor) if anchor.zone == *zone => {
                let ds: Vec<&[u8]> = anchor.ds.iter().map(Vec::as_slice).collect();
                let dnskeys: Vec<&[u8]> = anchor.dnskeys.iter().map(Vec::as_slice).collect();
                keys_of(cx, work, zone, Trusted { ds: &ds, dnskeys: &dnskeys }, LONGEST).await?
            }
            Start::Anchor(anchor) => from_parent(cx, work, zone, &anchor.zone).await?,
        };
        if let TrustVerdict::Bogus(cause) = &verdict
            && let Some(seconds) = cause.seconds_off()
            && cx.plan.dnssec.anchors.of(zone).is_some()
        {
            let notice = Notice::ClockOff { zone: zone.clone(), seconds, at: cx.now().unix };
            cx.board.borrow_mut().notices.push_back(notice);
        }
        if let TrustVerdict::Bogus(cause) = &verdict {
            let (_, looked_enough) = work.second_looks();
            let elsewhere = match cause.overrun() {
                Some(account) => !work.crypto.is_to_blame(account, &before),
                None => looks > 0 && looked_enough,
            };
            if elsewhere {
                // The question had spent its account before: that says nothing of this zone.
                return Err(Failure::Bogus(cause.clone()));
            }
        }
        let until = cx.now().age + Duration::from_secs(u64::from(ttl.clamp(1, LONGEST)));
        cx.conclude(work, || match &verdict {
            TrustVerdict::Secure(keys) => format!("{zone} is secure, {} key(s)", keys.len()),
            TrustVerdict::Insecure(None) => format!("{zone} is insecure"),
            TrustVerdict::Insecure(Some(cause)) => format!("{zone} is insecure: {cause}"),
            TrustVerdict::Bogus(cause) => format!("{zone} is bogus: {cause}"),
        });
        Ok(cx.cache.keep_trust(zone, Trust { verdict, until }))
    })
}

/// The chain from the closest known zone above, no higher than the anchor's.
async fn from_parent(cx: &Cx, work: &Work, zone: &Name, anchor: &Name) -> Result<(TrustVerdict, u32), Failure> {
    let age = cx.now().age;
    let above = zone.parent().unwrap_or_else(Name::root);
    let known = cx.cache.closest_delegation(&above, age).map_or_else(Name::root, |cut| cut.zone.clone());
    let parent = if known.is_at_or_below(anchor) { known } else { anchor.clone() };
    let trusted = trust(cx, work, &parent).await?;
    let keys = match &trusted.verdict {
        TrustVerdict::Insecure(cause) => return Ok((TrustVerdict::Insecure(cause.clone()), LONGEST)),
        TrustVerdict::Bogus(cause) => return Ok((TrustVerdict::Bogus(cause.clone()), BOGUS_FOR)),
        TrustVerdict::Secure(keys) => keys,
    };
    match ds_status(cx, work, zone, &parent, keys).await? {
        DsStatus::Insecure(cause, ttl) => Ok((TrustVerdict::Insecure(cause), ttl)),
        DsStatus::Bogus(cause) => Ok((TrustVerdict::Bogus(cause), BOGUS_FOR)),
        // Nobody signs as a zone that is none.
        DsStatus::NotACut => {
            let why = Why::WrongSigner { signer: Box::new(zone.clone()) };
            Ok((TrustVerdict::Bogus(Cause::new(&parent, zone, Rtype::DS, why)), BOGUS_FOR))
        }
        DsStatus::Signed(ds) => {
            let rdatas: Vec<&[u8]> = ds.rdatas().collect();
            keys_of(cx, work, zone, Trusted { ds: &rdatas, dnskeys: &[] }, ds.ttl).await
        }
    }
}

/// Asks for a zone's keys and establishes them by what is trusted of it.
async fn keys_of(
    cx: &Cx,
    work: &Work,
    zone: &Name,
    trusted: Trusted<'_>,
    ttl: u32,
) -> Result<(TrustVerdict, u32), Failure> {
    let policy = &cx.plan.dnssec.policy;
    if let Support::Insecure(cause) = support(zone, trusted, policy) {
        return Ok((TrustVerdict::Insecure(Some(cause)), ttl));
    }
    let mut bogus = None;
    loop {
        let raw = match (descend(cx, work, &Question::new(zone.clone(), Rtype::DNSKEY)).await, bogus) {
            (Ok(raw), _) => raw,
            (Err(_), Some(cause)) => return Ok((TrustVerdict::Bogus(cause), BOGUS_FOR)),
            (Err(failure), None) => return Err(failure),
        };
        let set = match &raw.reading {
            Reading::Answer(sets) => sets.iter().find(|set| set.rtype == Rtype::DNSKEY && set.owner == *zone),
            _ => None,
        };
        let established = match set {
            Some(set) => established(cx, work, set, trusted).await,
            None => Err(Cause::new(zone, zone, Rtype::DNSKEY, Why::NoKey { tag: 0, algorithm: 0 })),
        };
        return Ok(match established {
            Ok(dnssec::Trust::Secure(keys, verified)) => (TrustVerdict::Secure(keys), ttl.min(verified.ttl_cap)),
            Ok(dnssec::Trust::Insecure(cause)) => (TrustVerdict::Insecure(Some(cause)), ttl),
            Err(cause) if cause.overrun().is_none() && work.avoid(raw.one_of) => {
                bogus = Some(cause);
                continue;
            }
            Err(cause) => (TrustVerdict::Bogus(cause), BOGUS_FOR),
        });
    }
}

/// Seconds that are left of a referral's word on DS of which there were `ttl`, `since` seconds ago. Whoever was referred a
/// moment ago goes by it whatever its TTL, as by the referral itself.
fn left(ttl: u32, since: u64) -> Option<u32> {
    let left = ttl.saturating_sub(u32::try_from(since).unwrap_or(u32::MAX));
    if left == 0 && since < SHORTEST_WORD { Some(1) } else { Some(left).filter(|&left| left > 0) }
}

/// Is `zone` signed? As its referral said, as long as that lives and holds by the keys of `parent`; else the parent is
/// asked. What the referral said of DS may end before the delegation does (RFC 2181 §5.2, RFC 4035 §5.3.3).
async fn ds_status(cx: &Cx, work: &Work, zone: &Name, parent: &Name, keys: &Keys) -> Result<DsStatus, Failure> {
    let age = cx.now().age;
    let cut = cx.cache.delegation(zone, age);
    if let Some((word, stored)) = cut.and_then(|cut| Some((cut.ds.clone()?, cut.stored))) {
        let since = age.seconds_since(stored);
        if let Some(ds) = &word.ds
            && left(ds.ttl, since).is_some()
            && let Ok(verified) = check(cx, work, ds, keys).await
            && verified.wildcard.is_none()
            && let Some(ttl) = left(verified.ttl_cap, since)
        {
            return Ok(DsStatus::Signed(ds.judged(Security::Secure, ttl)));
        }
        let alive = word.proof.iter().all(|set| left(set.ttl, since).is_some());
        if word.ds.is_none() && !word.proof.is_empty() && alive {
            let (absence, found) = deny(cx, work, keys, &word.proof, |denial| denial.ds(zone, &work.crypto)).await;
            if let Some(ttl) = left(found.ttl, since) {
                match absence {
                    DsAbsence::InsecureCut | DsAbsence::OptOut => return Ok(DsStatus::Insecure(None, ttl)),
                    DsAbsence::Unjudged(cause) => return Ok(DsStatus::Insecure(Some(cause), ttl)),
                    DsAbsence::NotACut | DsAbsence::NotProven(_) => {}
                }
            }
        }
    }
    ask_for_ds(cx, work, zone, parent).await
}

type DsFuture<'a> = Pin<Box<dyn Future<Output = Result<DsStatus, Failure>> + 'a>>;

fn ask_for_ds<'a>(cx: &'a Cx, work: &'a Work, zone: &'a Name, parent: &'a Name) -> DsFuture<'a> {
    Box::pin(async move {
        let mut bogus = None;
        loop {
            let raw = match (descend(cx, work, &Question::new(zone.clone(), Rtype::DS)).await, bogus) {
                (Ok(raw), _) => raw,
                (Err(_), Some(cause)) => return Ok(DsStatus::Bogus(cause)),
                (Err(failure), None) => return Err(failure),
            };
            let one_of = raw.one_of;
            match read_ds(cx, work, zone, parent, raw).await? {
                DsStatus::Bogus(cause) if cause.overrun().is_none() && work.avoid(one_of) => bogus = Some(cause),
                status => return Ok(status),
            }
        }
    })
}

async fn read_ds(cx: &Cx, work: &Work, zone: &Name, parent: &Name, mut raw: Raw) -> Result<DsStatus, Failure> {
    let proof = std::mem::take(&mut raw.proof);
    match raw.reading {
        Reading::Answer(sets) => {
            let Some(mut ds) = sets.into_iter().find(|set| set.rtype == Rtype::DS && set.owner == *zone) else {
                return Ok(DsStatus::Bogus(Cause::new(parent, zone, Rtype::DS, Why::NoProof)));
            };
            match judge_set(cx, work, &mut ds, parent, &proof).await {
                Ok(Security::Secure) => Ok(DsStatus::Signed(ds)),
                Ok(_) => Ok(DsStatus::Insecure(None, ds.ttl)),
                Err(Failure::Bogus(cause)) => Ok(DsStatus::Bogus(cause)),
                Err(failure) => Err(failure),
            }
        }
        Reading::Negative(negative) => ds_absence(cx, work, zone, parent, &negative, &proof).await,
        // A name with an alias is no zone.
        Reading::Alias { mut sets, .. } => {
            match judge_sets(cx, work, &mut sets, (zone, Rtype::DS), parent, &proof).await {
                Ok(()) if sets.iter().all(|set| set.security == Security::Secure) => Ok(DsStatus::NotACut),
                Ok(()) => Ok(DsStatus::Insecure(None, BOGUS_FOR)),
                Err(Failure::Bogus(cause)) => Ok(DsStatus::Bogus(cause)),
                Err(failure) => Err(failure),
            }
        }
        _ => Ok(DsStatus::Bogus(Cause::new(parent, zone, Rtype::DS, Why::NoProof))),
    }
}

/// What an answer without a DS set proves, by the keys of the zone that signed it.
async fn ds_absence(
    cx: &Cx,
    work: &Work,
    zone: &Name,
    parent: &Name,
    negative: &NegativeReading,
    proof: &[RrSet],
) -> Result<DsStatus, Failure> {
    let floor = floor(cx, zone, Rtype::DS);
    let signer = proof.iter().chain(&negative.soa).find_map(|set| signers(set, &floor).into_iter().next());
    let Some(signer) = signer.filter(|signer| zone.is_below(signer)) else {
        // Not signed: so an unsigned zone must begin above.
        let above = zone.parent().unwrap_or_else(Name::root);
        return match unsigned(cx, work, &above, Rtype::NS, parent).await {
            Ok(_) => Ok(DsStatus::Insecure(None, negative.ttl)),
            Err(Failure::Bogus(_)) => Ok(DsStatus::Bogus(Cause::new(parent, zone, Rtype::DS, Why::NoProof))),
            Err(failure) => Err(failure),
        };
    };
    let trust = trust(cx, work, &signer).await?;
    let keys = match &trust.verdict {
        TrustVerdict::Insecure(cause) => return Ok(DsStatus::Insecure(cause.clone(), negative.ttl)),
        TrustVerdict::Bogus(cause) => return Ok(DsStatus::Bogus(cause.clone())),
        TrustVerdict::Secure(keys) => keys,
    };
    let (absence, found) = deny(cx, work, keys, proof, |denial| denial.ds(zone, &work.crypto)).await;
    let ttl = found.ttl.min(negative.ttl);
    Ok(match absence {
        DsAbsence::InsecureCut | DsAbsence::OptOut => DsStatus::Insecure(None, ttl),
        DsAbsence::NotACut => DsStatus::NotACut,
        DsAbsence::Unjudged(cause) => DsStatus::Insecure(Some(cause), ttl),
        DsAbsence::NotProven(cause) => DsStatus::Bogus(found.worst.unwrap_or(cause)),
    })
}
