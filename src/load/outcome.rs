//! A run as it is kept: counts, verdicts, surroundings. JSON reports are exactly this.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::ledger::{Ledger, Second};
use super::scenario::{Expect, Measure, Scenario, Subject, time};

/// The version of the form; raised when a field changes its meaning.
pub const FORMAT: u32 = 1;
/// The share of late packets beyond which a run says nothing.
pub const MOST_LATE: f64 = 0.01;
/// A time in which the machine stood still counts against a limit on latency when it is longer than this part of it: a
/// query may meet several, at the resolver, at a server, and on its way back.
const STALL_PART: f64 = 0.25;
/// A latency says nothing where the machine stood still for more than this part of what may be beyond the limit.
const STALL_SHARE: f64 = 0.5;

/// A run.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    pub format: u32,
    /// Program and version that sent the traffic.
    pub tool: String,
    pub scenario: String,
    pub about: String,
    pub seed: u64,
    /// Seconds that traffic was due in.
    pub duration: f64,
    /// Unix time.
    pub started: u64,
    pub target: String,
    /// What answered there, with its version.
    pub server: String,
    pub environment: Vec<(String, String)>,
    /// Why the numbers say nothing; empty for a valid run.
    pub invalid: Vec<String>,
    /// What a reader should know.
    pub notes: Vec<String>,
    pub streams: Vec<StreamOutcome>,
    /// Seconds in which an attack went on, and in which something was wrong on purpose: from, to.
    pub attacked: Vec<(usize, usize)>,
    pub faulty: Vec<(usize, usize)>,
    pub samples: Vec<Sample>,
    pub verdicts: Vec<Verdict>,
    /// The scenario as it was written.
    pub text: String,
}

/// One stream.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct StreamOutcome {
    pub name: String,
    /// `legit`, `attack` or `background`.
    pub role: String,
    pub total: Row,
    pub seconds: Vec<Row>,
}

/// A second, or several.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Row {
    pub asked: u64,
    pub packets: u64,
    pub answered: u64,
    pub success: u64,
    pub unanswered: u64,
    /// Neither answered nor given up when the run ended.
    pub open: u64,
    pub wrong: u64,
    pub stale: u64,
    pub truncated: u64,
    pub late: u64,
    pub unsent: u64,
    pub retries: u64,
    pub by_tcp: u64,
    pub octets_out: u64,
    pub octets_in: u64,
    pub opened: u64,
    pub unopened: u64,
    pub cut: u64,
    pub rcodes: BTreeMap<String, u64>,
    /// Seconds from the intended moment; 0 where nothing was answered.
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// What was measured beside the streams in one second.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Queries to all authoritative servers.
    pub upstream: u64,
    /// Those to the zones that expectations name.
    pub zones: BTreeMap<String, u64>,
    /// Cores the resolver kept busy.
    pub cpu: Option<f64>,
    /// Its memory at the end of the second, in octets.
    pub memory: Option<u64>,
    /// Times in which a core of the machine that asks stood still, in seconds; see [`super::stalls`].
    #[serde(default)]
    pub stalls: Vec<f64>,
}

/// Whether one expectation was met.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// `customers: success >= 99.00 %`.
    pub title: String,
    /// When, in words.
    pub window: String,
    pub line: usize,
    /// The value, where there was anything to measure.
    pub value: Option<f64>,
    pub shown: String,
    pub passed: bool,
}

/// The usual name of an RCODE.
pub fn rcode_name(rcode: u16) -> String {
    let known = match rcode {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        16 => "BADVERS",
        23 => "BADCOOKIE",
        other => return format!("RCODE{other}"),
    };
    known.to_owned()
}

impl Row {
    fn new(second: &Second, latencies: &Histogram<u64>) -> Row {
        let at = |share: f64| {
            if latencies.is_empty() { 0.0 } else { latencies.value_at_quantile(share) as f64 / 1e6 }
        };
        Row {
            asked: second.asked,
            packets: second.packets,
            answered: second.answered,
            success: second.success,
            unanswered: second.unanswered,
            open: second.open(),
            wrong: second.wrong,
            stale: second.stale,
            truncated: second.truncated,
            late: second.late,
            unsent: second.unsent,
            retries: second.retries,
            by_tcp: second.by_tcp,
            octets_out: second.octets_out,
            octets_in: second.octets_in,
            opened: second.opened,
            unopened: second.unopened,
            cut: second.cut,
            rcodes: second.rcodes.iter().map(|(rcode, count)| (rcode_name(*rcode), *count)).collect(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
        }
    }

    /// Whether more left late than a result can bear; one alone is chance.
    pub fn is_late(&self) -> bool {
        self.late > 1 && self.late as f64 > MOST_LATE * self.asked as f64
    }

    /// Questions that have ended.
    pub fn ended(&self) -> u64 {
        self.answered + self.unanswered
    }

    /// The share of questions with the right answer; none where none has ended.
    pub fn success_share(&self) -> Option<f64> {
        (self.ended() > 0).then(|| self.success as f64 / self.ended() as f64)
    }

    /// A measure of a stream; none where there was nothing to measure.
    pub fn measure(&self, measure: Measure) -> Option<f64> {
        let share = |count: u64| (self.ended() > 0).then(|| count as f64 / self.ended() as f64);
        let latency = |value: f64| (self.answered > 0).then_some(value);
        let rcode = |name: &str| self.rcodes.get(name).copied().unwrap_or(0);
        match measure {
            Measure::Success => share(self.success),
            Measure::Answered => share(self.answered),
            Measure::Stale => share(self.stale),
            Measure::Unanswered => share(self.unanswered),
            Measure::Wrong => share(self.wrong),
            Measure::Servfail => share(rcode("SERVFAIL")),
            Measure::Refused => share(rcode("REFUSED")),
            Measure::Truncated => share(self.truncated),
            Measure::P50 => latency(self.p50),
            Measure::P90 => latency(self.p90),
            Measure::P99 => latency(self.p99),
            Measure::P999 => latency(self.p999),
            Measure::Max => latency(self.max),
            Measure::Reflection => (self.octets_out > 0).then(|| self.octets_in as f64 / self.octets_out as f64),
            _ => None,
        }
    }
}

impl Outcome {
    /// The counts and verdicts of a run; what surrounds it is left for the caller.
    pub fn new(scenario: &Scenario, ledger: &Ledger, samples: Vec<Sample>) -> Outcome {
        Outcome::beside(scenario, &[], ledger, samples)
    }

    /// As [`new`](Self::new), where the ledger has accounts behind those of the scenario's streams: their names and roles.
    pub fn beside(
        scenario: &Scenario,
        others: &[(String, &'static str)],
        ledger: &Ledger,
        samples: Vec<Sample>,
    ) -> Outcome {
        let mut outcome = Outcome {
            format: FORMAT,
            tool: format!("maeslant {}", env!("CARGO_PKG_VERSION")),
            scenario: scenario.name.clone(),
            about: scenario.about.clone(),
            seed: scenario.seed,
            duration: scenario.duration.as_secs_f64(),
            text: scenario.text.clone(),
            samples,
            ..Outcome::default()
        };
        let seconds = scenario.duration.as_secs_f64().ceil() as usize;
        outcome.attacked = spans(seconds, |second| scenario.is_attacked(second));
        outcome.faulty = spans(seconds, |second| scenario.is_faulty(second));
        let names = scenario.streams.iter().map(|s| (s.name.clone(), s.role.name()));
        outcome.count(names.chain(others.iter().cloned()), ledger);
        if scenario.strength.to_bits() != 1f64.to_bits() {
            outcome
                .notes
                .push(format!("the attacks were {} times as strong as the scenario has them", scenario.strength));
        }
        let rows = |name: &str, from: usize, to: usize| {
            let index = scenario.streams.iter().position(|s| s.name == name)?;
            let (sum, latencies) = ledger.accounts.get(index)?.sum(from, to);
            Some(Row::new(&sum, &latencies))
        };
        outcome.verdicts = scenario.expects.iter().map(|e| judge(e, seconds, &outcome.samples, &rows)).collect();
        for expect in &scenario.expects {
            let (Subject::Stream(name), Some(_)) = (&expect.subject, expect.window) else { continue };
            let (from, to) = seconds_of(expect, seconds);
            let said = outcome.invalid.iter().any(|why| why.contains(&format!("of {name} left late")));
            if !said && let Some(row) = rows(name, from, to).filter(Row::is_late) {
                let late = 100.0 * row.late as f64 / row.asked as f64;
                outcome.invalid.push(format!("{late:.1} % of the queries of {name} left late, {from} s to {to} s"));
            }
        }
        outcome.note_stalls(scenario, seconds);
        if outcome.verdicts.is_empty() && outcome.streams.iter().all(|stream| stream.total.answered == 0) {
            outcome.invalid.push("nothing was answered".to_owned());
        }
        outcome
    }

    /// Says how long this machine stood still. A latency over its limit that this alone explains is nobody's fault, and the
    /// run says nothing.
    fn note_stalls(&mut self, scenario: &Scenario, seconds: usize) {
        let of = |(from, to): (usize, usize), over: f64| {
            let seen = &self.samples[from.min(self.samples.len())..to.min(self.samples.len())];
            let stalls = seen.iter().flat_map(|sample| &sample.stalls).filter(move |stall| **stall > over);
            stalls.fold((0.0, 0.0), |(sum, most): (f64, f64), stall| (sum + stall, most.max(*stall)))
        };
        let mut unjudged = Vec::new();
        for (expect, verdict) in scenario.expects.iter().zip(&self.verdicts).filter(|(_, verdict)| !verdict.passed) {
            let Some(quantile) = expect.measure.quantile().filter(|_| verdict.value.is_some()) else { continue };
            let (from, to) = seconds_of(expect, seconds);
            let (sum, most) = of((from, to), STALL_PART * expect.limit);
            if sum > STALL_SHARE * (1.0 - quantile) * (to - from) as f64 {
                unjudged.push(format!(
                    "this machine stood still for {} of {from} s to {to} s, {} at most: nothing to be said of {}",
                    time(sum),
                    time(most),
                    verdict.title
                ));
            }
        }
        let (sum, most) = of((0, seconds), 0.0);
        if sum > 0.0 {
            let (sum, most) = (time(sum), time(most));
            self.notes.push(format!("this machine stood still for {sum} in all, {most} at most"));
        }
        self.invalid.append(&mut unjudged);
    }

    /// Fills in the streams, and what makes the run invalid.
    fn count<'a>(&mut self, names: impl Iterator<Item = (String, &'a str)>, ledger: &Ledger) {
        for ((name, role), account) in names.zip(&ledger.accounts) {
            let (sum, latencies) = account.sum(0, usize::MAX);
            let row = |index: usize| {
                let (sum, latencies) = account.sum(index, index + 1);
                Row::new(&sum, &latencies)
            };
            let seconds = (0..account.seconds.len()).map(row).collect();
            let total = Row::new(&sum, &latencies);
            self.streams.push(StreamOutcome { name, role: role.to_owned(), total, seconds });
        }
        let sum = |of: fn(&Row) -> u64| self.streams.iter().map(|s| of(&s.total)).sum::<u64>();
        let (asked, unsent) = (sum(|r| r.asked), sum(|r| r.unsent));
        let share = |count: u64| count as f64 / asked.max(1) as f64;
        for stream in self.streams.iter().filter(|stream| stream.total.is_late()) {
            self.invalid.push(format!(
                "{:.1} % of the queries of {} left late: this machine could not keep the schedule, lower the rates",
                100.0 * stream.total.late as f64 / stream.total.asked as f64,
                stream.name
            ));
        }
        if share(unsent) > MOST_LATE {
            self.invalid.push(format!("{:.1} % of the queries could not be sent from here", 100.0 * share(unsent)));
        }
        if ledger.refused_by_kernel as f64 > MOST_LATE * asked as f64 {
            self.invalid.push(format!(
                "the kernel took {} packets less than it was given: no room, or sources that are not this machine's (IPv6 \
                 clients need --own-network)",
                ledger.refused_by_kernel
            ));
        }
        if ledger.capped > 0 {
            self.invalid.push(format!("{} packets were left out to keep the bound on the rate", ledger.capped));
        }
        if let Some(why) = &ledger.cut_short {
            self.invalid.push(format!("the run was cut short: {why}"));
        }
        if sum(|r| r.answered) == 0 && asked > 0 {
            self.notes.push("the target never answered".to_owned());
        }
        if ledger.stray > 0 {
            self.notes.push(format!("{} packets came that answered no open question", ledger.stray));
        }
    }

    /// Whether the run is valid and everything expected came out.
    pub fn passed(&self) -> bool {
        self.invalid.is_empty() && self.verdicts.iter().all(|verdict| verdict.passed)
    }
}

/// Stretches of seconds for which something holds.
fn spans(seconds: usize, holds: impl Fn(usize) -> bool) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for second in (0..seconds).filter(|second| holds(*second)) {
        match found.last_mut() {
            Some((_, end)) if *end == second => *end += 1,
            _ => found.push((second, second + 1)),
        }
    }
    found
}

/// The whole seconds that a line of a verdict looks at, of a run of so many.
fn seconds_of(expect: &Expect, seconds: usize) -> (usize, usize) {
    let whole = |span: Duration, up: bool| {
        let seconds = span.as_secs_f64();
        (if up { seconds.ceil() } else { seconds.floor() }) as usize
    };
    expect.window.map_or((0, seconds), |(from, to)| (whole(from, false), whole(to, true)))
}

fn judge(
    expect: &Expect,
    seconds: usize,
    samples: &[Sample],
    rows: &impl Fn(&str, usize, usize) -> Option<Row>,
) -> Verdict {
    let (from, to) = seconds_of(expect, seconds);
    let seen = &samples[from.min(samples.len())..to.min(samples.len())];
    let value = match &expect.subject {
        Subject::Stream(name) => rows(name, from, to).and_then(|row| row.measure(expect.measure)),
        Subject::Upstream { zone, stream } => {
            let of = |sample: &Sample| match zone {
                Some(zone) => sample.zones.get(zone).copied().unwrap_or(0),
                None => sample.upstream,
            };
            let sum = seen.iter().map(of).sum::<u64>() as f64;
            (!seen.is_empty()).then_some(()).and_then(|()| match expect.measure {
                Measure::Qps => Some(sum / seen.len() as f64),
                Measure::PeakQps => seen.iter().map(of).max().map(|n| n as f64),
                Measure::Queries => Some(sum),
                Measure::PerQuery => {
                    let asked = rows(stream.as_deref()?, from, to)?.asked;
                    (asked > 0).then(|| sum / asked as f64)
                }
                _ => None,
            })
        }
        Subject::Server => {
            let memory = || seen.iter().filter_map(|sample| sample.memory);
            let cpu: Vec<f64> = seen.iter().filter_map(|sample| sample.cpu).collect();
            match expect.measure {
                Measure::Cpu => (!cpu.is_empty()).then(|| cpu.iter().sum::<f64>() / cpu.len() as f64),
                Measure::Memory => memory().max().map(|octets| octets as f64),
                Measure::MemoryGrowth => {
                    let first = memory().next();
                    first.and_then(|first| memory().max().map(|most| most.saturating_sub(first) as f64))
                }
                _ => None,
            }
        }
    };
    Verdict {
        title: expect.title(),
        window: expect.window.map_or_else(|| "whole run".to_owned(), |_| format!("{from} s to {to} s")),
        line: expect.line,
        value,
        shown: value.map_or_else(|| "nothing to measure".to_owned(), |value| expect.measure.write(value)),
        passed: value.is_some_and(|value| expect.order.holds(value, expect.limit)),
    }
}
