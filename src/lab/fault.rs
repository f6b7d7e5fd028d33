//! What can be wrong with a server.

use std::time::Duration;

use serde::Deserialize;

/// How a server behaves, besides being slow or losing packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// As the standards ask.
    #[default]
    Honest,
    /// Never answers.
    Silent,
    /// SERVFAIL to everything.
    Servfail,
    /// REFUSED to everything.
    Refused,
    /// FORMERR to a query with an OPT record, honest to others (RFC 6891 §7).
    FormerrOnEdns,
    /// Every UDP answer is empty with TC set.
    Truncate,
    /// Refers everything to the root, as servers lame for a zone once did.
    Upward,
    /// UDP answers carry another ID.
    WrongId,
    /// UDP answers echo the question in lower case.
    WrongCase,
    /// Closes TCP connections at once.
    NoTcp,
    /// Answers lack the AA bit.
    NoAa,
    /// Eight packets that are no answer come before each by UDP.
    Junk,
    /// Forged answers come before each by UDP, with IDs guessed at random and an address of the forger's.
    Guesses,
    /// By UDP truncated; by TCP a message of 64 KiB whose names are long chains of pointers.
    Staircase,
}

impl Behaviour {
    /// All of them, by the words for them.
    pub const ALL: [(&'static str, Behaviour); 14] = [
        ("honest", Behaviour::Honest),
        ("silent", Behaviour::Silent),
        ("servfail", Behaviour::Servfail),
        ("refused", Behaviour::Refused),
        ("formerr-on-edns", Behaviour::FormerrOnEdns),
        ("truncate", Behaviour::Truncate),
        ("upward", Behaviour::Upward),
        ("wrong-id", Behaviour::WrongId),
        ("wrong-case", Behaviour::WrongCase),
        ("no-tcp", Behaviour::NoTcp),
        ("no-aa", Behaviour::NoAa),
        ("junk", Behaviour::Junk),
        ("guesses", Behaviour::Guesses),
        ("staircase", Behaviour::Staircase),
    ];
}

/// What becomes of queries beyond a server's rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Beyond {
    /// No answer, as from a server whose queue is full.
    #[default]
    Drop,
    /// By UDP an empty answer with TC set, and by TCP the whole one, as of response rate limiting with a slip of 1.
    Truncate,
    /// REFUSED.
    Refused,
    /// SERVFAIL.
    Servfail,
}

impl Beyond {
    /// All of them, by the words for them.
    pub const ALL: [(&'static str, Beyond); 4] = [
        ("drop", Beyond::Drop),
        ("truncate", Beyond::Truncate),
        ("refused", Beyond::Refused),
        ("servfail", Beyond::Servfail),
    ];
}

/// How evenly a limited rate is kept, in nanoseconds: a tenth of a second's queries may come at once.
const BURST: u64 = 100_000_000;

/// What a rate has let through so far (GCRA): the moment from which on it has as much to give as it ever has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent(u64);

impl Spent {
    /// Whether `rate` a second lets one more through, `now` nanoseconds after some start.
    pub(super) fn admits(&mut self, now: u64, rate: u32) -> bool {
        let full = self.0.max(now);
        if full - now > BURST {
            return false;
        }
        self.0 = full + 1_000_000_000 / u64::from(rate.max(1));
        true
    }
}

/// What is wrong with a server, or with a zone on all its servers.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// Time before every answer.
    #[serde(deserialize_with = "duration")]
    pub delay: Duration,
    /// Up to this much more, evenly distributed.
    #[serde(deserialize_with = "duration")]
    pub jitter: Duration,
    /// Share of UDP queries that get no answer, from 0.0 to 1.0.
    pub loss: f64,
    pub behaviour: Behaviour,
    /// Queries a second that each server answers; any number where 0. A zone's fault limits the queries for that zone.
    pub rate_limit: u32,
    /// What becomes of the others.
    pub beyond: Beyond,
}

impl Fault {
    /// Nothing but a behaviour.
    pub fn behaviour(behaviour: Behaviour) -> Fault {
        Fault { behaviour, ..Fault::default() }
    }

    /// Nothing but a delay.
    pub fn delay(delay: Duration) -> Fault {
        Fault { delay, ..Fault::default() }
    }

    /// Nothing but loss.
    pub fn loss(loss: f64) -> Fault {
        Fault { loss, ..Fault::default() }
    }

    /// Whether a patient resolver gets an answer in the end.
    pub fn is_survivable(&self) -> bool {
        use Behaviour::{FormerrOnEdns, Guesses, Honest, Junk, NoAa, NoTcp, Truncate, WrongCase, WrongId};
        let honest =
            [Honest, FormerrOnEdns, Truncate, WrongCase, WrongId, NoTcp, NoAa, Junk, Guesses].contains(&self.behaviour);
        honest && self.rate_limit == 0 && self.loss < 1.0 && self.delay < Duration::from_secs(1)
    }
}

/// `"300ms"`, `"2s"`.
fn duration<'de, D: serde::Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(source)?;
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().map_err(|_| serde::de::Error::custom(format!("not a duration: {text}")))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        _ => Err(serde::de::Error::custom(format!("not a duration: {text}; try \"300ms\" or \"2s\""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_with_little_at_once() {
        let mut spent = Spent::default();
        let at_once = (0..1000).filter(|_| spent.admits(0, 500)).count();
        assert!((50..=52).contains(&at_once), "{at_once}");
        // Ten times as many as it gives, for ten seconds.
        let let_through = (0..50_000u64).filter(|n| spent.admits(1_000_000_000 + n * 200_000, 500)).count();
        assert!((5_000..=5_060).contains(&let_through), "{let_through}");
    }
}
