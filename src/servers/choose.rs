//! Which server of a zone to ask: the quick ones mostly, the others now and then.

use std::net::SocketAddr;
use std::time::Duration;

use super::table::{Report, State};

/// One choice in this many goes to any usable server, so that a server that became quick is found.
const EXPLORE_ONE_IN: u64 = 20;
/// What a server not yet met is assumed to take: worse than a near server, better than a far one.
const ASSUMED: Duration = Duration::from_millis(80);
/// Servers this close to the quickest share the load.
const BAND: Duration = Duration::from_millis(10);

/// A server that could be asked.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub server: SocketAddr,
    pub report: Report,
    /// How often it has been asked for this question already.
    pub asked: u8,
}

/// Which candidate, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub index: usize,
    /// It is known to be silent: this is its probe.
    pub probe: bool,
}

/// Picks among `candidates`; `random` is a fresh random number. `None`: nobody may be asked.
pub fn choose(candidates: &[Candidate], random: u64) -> Option<Choice> {
    let usable = |state: State| {
        let fewest = candidates.iter().filter(|c| c.report.state == state).map(|c| c.asked).min();
        candidates
            .iter()
            .enumerate()
            .filter(move |(_, c)| c.report.state == state && Some(c.asked) == fewest)
            .map(|(index, c)| (index, c.report.rtt.unwrap_or(ASSUMED)))
    };
    let pick = |count: usize| (random / EXPLORE_ONE_IN) as usize % count.max(1);
    let count = usable(State::Usable).count();
    if count > 0 {
        if random.is_multiple_of(EXPLORE_ONE_IN) {
            let index = usable(State::Usable).nth(pick(count)).map(|(index, _)| index)?;
            return Some(Choice { index, probe: false });
        }
        let best = usable(State::Usable).map(|(_, rtt)| rtt).min()?;
        let near = || usable(State::Usable).filter(|&(_, rtt)| rtt <= best + BAND);
        let (index, _) = near().nth(pick(near().count()))?;
        return Some(Choice { index, probe: false });
    }
    let count = usable(State::Probe).count();
    let (index, _) = usable(State::Probe).nth(pick(count))?;
    Some(Choice { index, probe: true })
}

/// Picks among those that seemed not to serve the zone, when nobody else is left: refusing one name is not refusing
/// the zone.
pub fn choose_lame(candidates: &[Candidate], random: u64) -> Option<usize> {
    let lame = || candidates.iter().enumerate().filter(|(_, c)| c.report.state == State::Lame);
    lame().nth(random as usize % lame().count().max(1)).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(rtt: Option<u64>, state: State) -> Candidate {
        let report = Report {
            state,
            doubtful: false,
            rtt: rtt.map(Duration::from_millis),
            timeout: Duration::from_millis(400),
            plain: false,
            alive: false,
            busy: None,
        };
        Candidate { server: SocketAddr::from(([192, 0, 2, 1], 53)), report, asked: 0 }
    }

    #[test]
    fn the_quick_one_is_preferred_and_the_slow_one_explored() {
        let candidates = [candidate(Some(200), State::Usable), candidate(Some(5), State::Usable)];
        let mut counts = [0; 2];
        for random in 0..10_000 {
            counts[choose(&candidates, random).expect("usable").index] += 1;
        }
        assert!(counts[0] > 100 && counts[0] < 500, "{counts:?}");
    }

    #[test]
    fn one_asked_before_comes_after_one_not_asked() {
        let mut candidates = [candidate(Some(200), State::Usable), candidate(Some(5), State::Usable)];
        candidates[1].asked = 1;
        assert!((0..100).all(|random| choose(&candidates, random).map(|c| c.index) == Some(0)));
    }

    #[test]
    fn the_silent_are_probed_only_without_a_better_one() {
        let probe = [candidate(Some(5), State::Probe), candidate(None, State::Usable)];
        assert!((0..100).all(|random| choose(&probe, random) == Some(Choice { index: 1, probe: false })));
        let alone = [candidate(Some(5), State::Probe), candidate(Some(5), State::BackOff)];
        assert_eq!(choose(&alone, 1), Some(Choice { index: 0, probe: true }));
        assert_eq!(choose(&[candidate(None, State::Lame)], 1), None);
    }
}
