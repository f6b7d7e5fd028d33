//! Root priming (RFC 9609): asking a root server who the root servers are.

use std::time::Duration;

use crate::cache::NameServer;
use crate::wire::{Name, Rtype};

use super::Cx;
use super::ask::{Heard, ask_zone};
use super::board::{Notice, sleep_until};
use super::budget::Work;
use super::classify::{Asked, own_servers};
use super::descend::hints;

/// The root's NS set lives for days; one that lives shorter is asked for again no sooner than this.
const SHORTEST: u32 = 3600;
/// An attempt at priming ends after this, so that silence is reported within two seconds of start.
const ATTEMPT: Duration = Duration::from_millis(1400);
/// The longest pause between failed attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Keeps the root's name servers known, for ever: an attempt at once, after failures after longer and
/// longer pauses, and again before what was learned ends.
pub async fn keep_primed(cx: Cx) {
    let mut tries = 0;
    loop {
        let work = Work::new(cx.now().mono + ATTEMPT, &cx.plan.dnssec.policy.limits, cx.turn(), false);
        let pause = match prime(&cx, &work).await {
            Ok((servers, ttl)) => {
                cx.board.borrow_mut().notices.push_back(Notice::Primed { servers });
                tries = 0;
                Duration::from_secs(u64::from(ttl) / 10 * 9)
            }
            Err(()) => {
                tries += 1;
                cx.board.borrow_mut().notices.push_back(Notice::RootUnreachable { tries });
                (Duration::from_secs(1) * (1 << (tries - 1).min(6))).min(LONGEST_PAUSE)
            }
        };
        let until = cx.now().mono + pause;
        sleep_until(&cx.board, until).await;
    }
}

/// Asks the hints for the root's name servers. `Ok`: how many there are, and for how many seconds.
async fn prime(cx: &Cx, work: &Work) -> Result<(usize, u32), ()> {
    let root = Name::root();
    let cut = hints(cx);
    let heard: Heard = ask_zone(cx, work, &cut, &root, Rtype::NS, false).await.map_err(|_| ())?;
    let age = cx.now().age;
    let asked = Asked { zone: &root, name: &root, rtype: Rtype::NS, forwarded: false, age };
    let Some(mut own) = own_servers(&heard.message, asked) else { return Err(()) };
    for server in &mut own.servers {
        if server.glue.is_empty() {
            // A response of 1232 octets has not room for all addresses: the hints have them.
            server.glue = known(&cx.plan.hints, &server.name);
        }
    }
    let count = own.servers.len();
    let ttl = own.ttl.max(SHORTEST);
    cx.cache.keep_delegation(root, own.servers, None, ttl, age);
    Ok((count, ttl))
}

fn known(hints: &[NameServer], name: &Name) -> smallvec::SmallVec<[std::net::IpAddr; 2]> {
    hints.iter().find(|hint| hint.name == *name).map(|hint| hint.glue.clone()).unwrap_or_default()
}
