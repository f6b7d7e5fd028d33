//! Following the keys of trust anchors as their zones change them (RFC 5011): asking for them when it is time.

use std::time::Duration;

use crate::cache::RrSet;
use crate::clock::Now;
use crate::dnssec::{Budget, Observation, Rollover, Signed};
use crate::wire::{Question, Rtype};

use super::Cx;
use super::board::{Notice, sleep_until};
use super::budget::Work;
use super::classify::Reading;
use super::descend::descend;
use super::failure::Failure;

/// The wall clock may be set while nothing happens: it is looked at this often.
const LOOK: Duration = Duration::from_secs(10);
/// No zone is asked more rarely (RFC 5011 §2.3). A longer wait comes from a clock that was wrong when it was written.
const LONGEST: u64 = 15 * 86_400;

/// The keys of one zone after they were asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Followed {
    pub rollover: Rollover,
    /// What was seen, or why nothing was.
    pub seen: Result<Observation, Failure>,
}

/// Asks for the keys of an anchor's zone, at once or when it is time, and then again and again, for ever.
pub async fn keep_followed(cx: Cx, mut rollover: Rollover) {
    loop {
        while let Some(pause) = pause(&rollover, cx.now()) {
            let until = cx.now().mono + pause;
            sleep_until(&cx.board, until).await;
        }
        let seen = look(&cx, &mut rollover).await;
        let now = cx.now();
        if seen.is_err() {
            rollover.failed(now.unix);
        }
        let mut board = cx.board.borrow_mut();
        if let Ok(Observation { outcome: Err(cause), .. }) = &seen
            && let Some(seconds) = cause.seconds_off()
        {
            board.notices.push_back(Notice::ClockOff { zone: rollover.zone().clone(), seconds, at: now.unix });
        }
        board.followed.push_back(Followed { rollover: rollover.clone(), seen });
    }
}

/// How long to wait before looking at the clock again; `None`: it is time.
fn pause(rollover: &Rollover, now: Now) -> Option<Duration> {
    let wait = rollover.next_query().0.saturating_sub(now.unix.0);
    (1..=LONGEST).contains(&wait).then(|| Duration::from_secs(wait).min(LOOK))
}

/// Asks the zone itself: what is cached may be older than a change of its keys.
async fn look(cx: &Cx, rollover: &mut Rollover) -> Result<Observation, Failure> {
    let policy = &cx.plan.dnssec.policy;
    let work = Work::new(cx.now().mono + cx.plan.deadline, &policy.limits, cx.turn(), false);
    let raw = descend(cx, &work, &Question::new(rollover.zone().clone(), Rtype::DNSKEY)).await?;
    let set = match &raw.reading {
        Reading::Answer(sets) => sets.iter().find(|set| set.rtype == Rtype::DNSKEY && set.owner == *rollover.zone()),
        _ => None,
    };
    let (owner, ttl) = (rollover.zone().clone(), set.map_or(0, |set| set.ttl));
    let rdatas: Vec<&[u8]> = set.into_iter().flat_map(RrSet::rdatas).collect();
    let signatures: Vec<&[u8]> = set.into_iter().flat_map(RrSet::signatures).collect();
    let view = Signed { owner: &owner, rtype: Rtype::DNSKEY, ttl, rdatas: &rdatas, signatures: &signatures };
    // Hours apart, and to its end: with an account that knows of no turns.
    Ok(rollover.observe(&view, policy, cx.now().unix, &Budget::new(&policy.limits)))
}
