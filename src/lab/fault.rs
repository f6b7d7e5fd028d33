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
        honest && self.loss < 1.0 && self.delay < Duration::from_secs(1)
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
