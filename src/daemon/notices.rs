//! What engines tell the operator: each thing once, whichever shard says it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::clock::{Moment, UnixTime};
use crate::config::dates;
use crate::engine::Notice;
use crate::wire::Name;

/// At most one line about silent root servers in this time, after the first.
const REPEAT: Duration = Duration::from_secs(60);
/// At most one line about a clock or a signature that is off in this time: nothing changes until somebody acts.
const REPEAT_CLOCK: Duration = Duration::from_secs(600);

/// At most one line about a family without a route in this time: what is usual on many machines need not fill a log.
const REPEAT_ROUTE: Duration = Duration::from_secs(3_600);

/// What has been said.
#[derive(Debug, Default)]
pub struct Notices(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    primed: bool,
    unreachable: Option<Moment>,
    /// IPv4 and IPv6.
    no_route: [Option<Moment>; 2],
    clock_off: Option<Moment>,
}

/// How loudly something is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Loudness {
    /// For the operator.
    Plain,
    /// For whoever looks closely: said before.
    Quiet,
}

impl Notices {
    /// Logs `notice`, if it is news.
    pub fn log(&self, now: Moment, notice: &Notice) {
        let loudness = self.loudness(now, notice);
        match (notice, loudness) {
            (Notice::Primed { servers }, Loudness::Plain) => info!("root servers answer: {servers} are known"),
            (Notice::Primed { servers }, Loudness::Quiet) => debug!("primed: {servers} root servers"),
            (Notice::RootUnreachable { tries }, Loudness::Plain) => {
                warn!(
                    "no root server answers (tries: {tries}): check the network, a firewall on port 53, and \
                     [resolver] root_hints and outgoing; trying on"
                );
            }
            (Notice::RootUnreachable { tries }, Loudness::Quiet) => debug!("no root server answers (tries: {tries})"),
            (Notice::NoRoute { ipv6: false }, Loudness::Plain) => {
                warn!(
                    "this machine has no route to servers by IPv4: check the network, its packet filter, and [resolver] outgoing; trying on"
                );
            }
            (Notice::NoRoute { ipv6: true }, Loudness::Plain) => {
                info!("this machine has no route to servers by IPv6: they are asked by IPv4 while that is so");
            }
            (Notice::NoRoute { ipv6 }, Loudness::Quiet) => debug!("no route to a server (IPv6: {ipv6})"),
            (Notice::ClockOff { zone, seconds, at }, Loudness::Plain) => warn!("{}", clock_off(zone, *seconds, *at)),
            (Notice::ClockOff { zone, seconds, at }, Loudness::Quiet) => debug!("{}", clock_off(zone, *seconds, *at)),
        }
    }

    fn loudness(&self, now: Moment, notice: &Notice) -> Loudness {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let news = match notice {
            Notice::Primed { .. } => {
                let news = !said.primed || said.unreachable.is_some();
                (said.primed, said.unreachable) = (true, None);
                news
            }
            Notice::RootUnreachable { .. } => {
                let news = said.unreachable.is_none_or(|last| now.since(last) >= REPEAT);
                if news {
                    said.unreachable = Some(now);
                }
                news
            }
            Notice::NoRoute { ipv6 } => {
                let last = &mut said.no_route[usize::from(*ipv6)];
                let news = last.is_none_or(|last| now.since(last) >= REPEAT_ROUTE);
                if news {
                    *last = Some(now);
                }
                news
            }
            Notice::ClockOff { .. } => {
                let news = said.clock_off.is_none_or(|last| now.since(last) >= REPEAT_CLOCK);
                if news {
                    said.clock_off = Some(now);
                }
                news
            }
        };
        if news { Loudness::Plain } else { Loudness::Quiet }
    }
}

/// What is off, by how much, and what to do.
fn clock_off(zone: &Name, seconds: i64, at: UnixTime) -> String {
    let by = span(seconds.unsigned_abs());
    let what = match seconds {
        0.. => {
            format!("their signature ended {by} ago by this machine's clock: either it is {by} fast or more, or the")
        }
        _ => format!(
            "their signature begins {by} from now by this machine's clock: either it is {by} slow or more, or the"
        ),
    };
    format!(
        "the keys of {zone} cannot be trusted: {what} zone's signature is wrong. The clock says {}; names below {zone} \
         are SERVFAIL until that is right",
        dates::write(at)
    )
}

/// Seconds in the unit that people use.
fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_told_with_by_how_much_and_seldom() {
        let notices = Notices::default();
        let at = |seconds: u64| Moment::from_nanos(seconds * 1_000_000_000);
        let root = Name::root();
        let notice = Notice::ClockOff { zone: root.clone(), seconds: 864_000, at: UnixTime(1_798_675_200) };
        for (seconds, loudness) in [(1, Loudness::Plain), (31, Loudness::Quiet), (601, Loudness::Plain)] {
            assert_eq!(notices.loudness(at(seconds), &notice), loudness, "at {seconds} s");
        }
        let late = clock_off(&root, 864_000, UnixTime(1_798_675_200));
        assert!(late.contains("ended 10 days ago") && late.contains("10 days fast or more"), "{late}");
        assert!(late.contains("The clock says 2026-12-31"), "{late}");
        let early = clock_off(&root, -7_200, UnixTime(3_600));
        assert!(early.contains("begins 2 h from now") && early.contains("2 h slow or more"), "{early}");
        assert!(early.contains("1970-01-01T01:00:00Z"), "{early}");
    }

    #[test]
    fn each_turn_of_events_is_said_once() {
        let notices = Notices::default();
        let at = |seconds: u64| Moment::from_nanos(seconds * 1_000_000_000);
        let silent = Notice::RootUnreachable { tries: 3 };
        let primed = Notice::Primed { servers: 13 };
        let script = [
            (1, &silent, Loudness::Plain),
            (1, &silent, Loudness::Quiet),
            (30, &silent, Loudness::Quiet),
            (61, &silent, Loudness::Plain),
            (70, &primed, Loudness::Plain),
            (71, &primed, Loudness::Quiet),
            (80, &silent, Loudness::Plain),
            (81, &primed, Loudness::Plain),
        ];
        for (seconds, notice, loudness) in script {
            assert_eq!(notices.loudness(at(seconds), notice), loudness, "{notice:?} at {seconds} s");
        }
    }
}
