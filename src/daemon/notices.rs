//! What engines tell the operator: each thing once, whichever shard says it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::clock::Moment;
use crate::engine::Notice;

/// At most one line about silent root servers in this time, after the first.
const REPEAT: Duration = Duration::from_secs(60);

/// What has been said.
#[derive(Debug, Default)]
pub struct Notices(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    primed: bool,
    unreachable: Option<Moment>,
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
        }
    }

    fn loudness(&self, now: Moment, notice: &Notice) -> Loudness {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let news = match notice {
            Notice::Primed { .. } => {
                let news = !said.primed || said.unreachable.is_some();
                *said = Said { primed: true, unreachable: None };
                news
            }
            Notice::RootUnreachable { .. } => {
                let news = said.unreachable.is_none_or(|last| now.since(last) >= REPEAT);
                if news {
                    said.unreachable = Some(now);
                }
                news
            }
        };
        if news { Loudness::Plain } else { Loudness::Quiet }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
