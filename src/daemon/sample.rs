//! What the log says of those who are turned away: of each reason an example now and then, with how many there were.
//!
//! A line for each refusal would be a second flood. What is said comes from the counters and the decisions that are kept
//! anyway, looked at once a second by one shard: refusing costs nothing more for it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::info;

use crate::admission::{Decision, Decisions, Reason, Tally};
use crate::clock::Moment;
use crate::control::Told;
use crate::net::clock;

/// How often is looked.
const LOOK: Duration = Duration::from_secs(1);
/// At most one line for a reason in this time: the first comes at once, and an hour of flood is a page of log.
const REPEAT: Duration = Duration::from_secs(10);
/// Of the decisions kept last so many are looked at for examples.
const LOOKED_AT: usize = 4_096;

/// What has been said of each reason.
#[derive(Debug, Default)]
pub struct Sample([Said; Reason::COUNT]);

#[derive(Clone, Copy, Debug, Default)]
struct Said {
    at: Option<Moment>,
    turned: u64,
    observed: u64,
}

/// A line.
#[derive(Clone, PartialEq, Debug)]
struct Line {
    reason: Reason,
    /// Turned away since the last line, and only counted.
    turned: u64,
    observed: u64,
    /// The last of them, if it is still known.
    last: Option<Decision>,
}

impl Sample {
    /// Writes to the log for as long as the runtime lives.
    pub fn begin(told: Arc<Told>) {
        let mut sample = Sample::default();
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::task::spawn_local(async move {
            loop {
                ticks.tick().await;
                sample.look(clock::mono(), &told.door(), told.decisions()).iter().for_each(Line::write);
            }
        });
    }

    /// What there is to say, in the order of the reasons.
    fn look(&mut self, now: Moment, tally: &Tally, decisions: &Decisions) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut examples = None;
        for reason in Reason::ALL {
            let said = &mut self.0[reason as usize];
            let (turned, observed) = (tally.turned[reason as usize], tally.observed[reason as usize]);
            let news = turned > said.turned || observed > said.observed;
            if !news || said.at.is_some_and(|at| now.since(at) < REPEAT) {
                continue;
            }
            let examples = Rc::clone(examples.get_or_insert_with(|| Rc::new(decisions.latest(LOOKED_AT))));
            lines.push(Line {
                reason,
                turned: turned.saturating_sub(said.turned),
                observed: observed.saturating_sub(said.observed),
                last: examples.iter().find(|decision| decision.reason == reason).cloned(),
            });
            *said = Said { at: Some(now), turned, observed };
        }
        lines
    }
}

impl Line {
    fn write(&self) {
        let last = self.last.as_ref();
        info!(
            reason = self.reason.name(),
            times = self.turned,
            observed = self.observed,
            address = last.map(source),
            name = last.map(|last| last.name.as_str()).filter(|name| !name.is_empty()),
            action = last.map(|last| last.action.name()),
            setting = self.reason.setting(),
            "turned away: {}",
            self.reason.text()
        );
    }
}

/// The address, as far as it is kept.
fn source(decision: &Decision) -> String {
    let length = if decision.address.is_ipv4() { "" } else { "/64" };
    format!("{}{length}", decision.address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::{Asking, Books, Door, Level, Policy, Sizes};
    use crate::clock::{Now, UnixTime};

    #[test]
    fn a_reason_has_a_line_at_once_and_then_one_in_ten_seconds_that_counts_the_others() {
        let policy = Policy { refused_per_second: 1_000, ..Policy::default() };
        let books = Books::new(&Sizes::small(), &[3; 32]);
        let mut door = Door::beside(&policy, &books);
        let mut sample = Sample::default();
        let at = |millis: u64| Moment::from_nanos(3_600_000_000_000 + millis * 1_000_000);
        let outside = |number: u64| std::net::IpAddr::from([198, 51, 100, (number % 200) as u8]);
        let mut lines = Vec::new();
        // Ten a second from outside, for half a minute; one connection too many in the third second.
        for number in 0..300u64 {
            let now = at(number * 100);
            let asking = Asking { address: outside(number), stream: false, cookie: None, name: b"\x03www\x04test\0" };
            door.judge(Now { mono: now, age: now, unix: UnixTime(0) }, &asking);
            if number == 29 {
                door.note_closed(now, outside(7), Level::Open, Reason::ConnectionsClient);
            }
            if number % 10 == 9 {
                let new = sample.look(now, &door.tally(), books.decisions());
                lines.extend(new.into_iter().map(|line| (number, line)));
            }
        }
        let told: Vec<_> = lines.iter().map(|(when, line)| (*when, line.reason, line.turned, line.observed)).collect();
        let acl = |when, times| (when, Reason::NotAllowed, times, 0);
        assert_eq!(told, [acl(9, 10), (29, Reason::ConnectionsClient, 1, 0), acl(109, 100), acl(209, 100)]);
        let last = lines[0].1.last.as_ref().expect("an example");
        assert_eq!((last.address, last.name.as_str(), last.action.name()), (outside(9), "www.test", "refused"));
        assert_eq!(
            lines[1].1.last.as_ref().map(|last| (last.address, last.action.name())),
            Some((outside(7), "closed"))
        );
        assert_eq!(sample.look(at(60_000), &door.tally(), books.decisions()).len(), 1, "what has not been said yet");
        assert_eq!(sample.look(at(90_000), &door.tally(), books.decisions()), [], "nothing new, nothing to say");
    }
}
