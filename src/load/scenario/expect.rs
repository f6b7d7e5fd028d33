//! What must come out of a run: the `[[expect]]` tables.

use std::time::Duration;

use toml::de::DeValue;

use super::form::Form;
use crate::text::report::{Code, Problem};
use crate::text::units::{self, Wrong};

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measure {
    /// Shares of the questions asked.
    Success,
    Answered,
    Stale,
    Unanswered,
    Wrong,
    Servfail,
    Refused,
    Truncated,
    /// Latencies, from the intended moment.
    P50,
    P90,
    P99,
    P999,
    Max,
    /// Octets received for an octet sent.
    Reflection,
    /// Queries to authoritative servers: a second in the mean, in the worst second, for each query of a stream, in all.
    Qps,
    PeakQps,
    PerQuery,
    Queries,
    /// Cores in the mean, and memory.
    Cpu,
    Memory,
    MemoryGrowth,
}

/// In what a limit is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unit {
    Share,
    Time,
    Rate,
    Number,
    Size,
}

const STREAM: [(&str, Measure, Unit); 14] = [
    ("success", Measure::Success, Unit::Share),
    ("answered", Measure::Answered, Unit::Share),
    ("stale", Measure::Stale, Unit::Share),
    ("unanswered", Measure::Unanswered, Unit::Share),
    ("wrong", Measure::Wrong, Unit::Share),
    ("servfail", Measure::Servfail, Unit::Share),
    ("refused", Measure::Refused, Unit::Share),
    ("truncated", Measure::Truncated, Unit::Share),
    ("p50", Measure::P50, Unit::Time),
    ("p90", Measure::P90, Unit::Time),
    ("p99", Measure::P99, Unit::Time),
    ("p999", Measure::P999, Unit::Time),
    ("max", Measure::Max, Unit::Time),
    ("reflection", Measure::Reflection, Unit::Number),
];

const UPSTREAM: [(&str, Measure, Unit); 4] = [
    ("qps", Measure::Qps, Unit::Rate),
    ("peak_qps", Measure::PeakQps, Unit::Rate),
    ("per_query", Measure::PerQuery, Unit::Number),
    ("queries", Measure::Queries, Unit::Number),
];

const SERVER: [(&str, Measure, Unit); 3] = [
    ("cpu", Measure::Cpu, Unit::Number),
    ("memory", Measure::Memory, Unit::Size),
    ("memory_growth", Measure::MemoryGrowth, Unit::Size),
];

impl Measure {
    fn entry(self) -> Option<&'static (&'static str, Measure, Unit)> {
        STREAM.iter().chain(&UPSTREAM).chain(&SERVER).find(|entry| entry.1 == self)
    }

    /// As scenarios write it.
    pub fn name(self) -> &'static str {
        self.entry().map_or("", |entry| entry.0)
    }

    /// The share of questions that a latency is not below, for measures that are one.
    pub fn quantile(self) -> Option<f64> {
        match self {
            Measure::P50 => Some(0.5),
            Measure::P90 => Some(0.9),
            Measure::P99 => Some(0.99),
            Measure::P999 => Some(0.999),
            Measure::Max => Some(1.0),
            _ => None,
        }
    }

    /// A value for people, in the measure's unit.
    pub fn write(self, value: f64) -> String {
        match self.entry().map(|entry| entry.2) {
            Some(Unit::Share) => share(value),
            Some(Unit::Time) => time(value),
            Some(Unit::Rate) => format!("{value:.0}/s"),
            Some(Unit::Size) => format!("{:.1} MiB", value / f64::from(1 << 20)),
            _ if value.fract() == 0.0 => format!("{value}"),
            _ => format!("{value:.3}"),
        }
    }
}

/// A share in per cent; never rounded up to the whole.
pub fn share(value: f64) -> String {
    let percent = (value * 10_000.0 + 1e-6).floor() / 100.0;
    format!("{percent:.2} %")
}

/// Seconds, as people read them.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 0.01 => format!("{:.0} ms", s * 1e3),
        s if s >= 0.001 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.0} µs", s * 1e6),
    }
}

/// How a value stands to its limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    AtLeast,
    AtMost,
    Less,
    More,
    Equal,
}

impl Order {
    const ALL: [(&'static str, Order); 5] =
        [(">=", Order::AtLeast), ("<=", Order::AtMost), ("==", Order::Equal), ("<", Order::Less), (">", Order::More)];

    /// As scenarios write it.
    pub fn name(self) -> &'static str {
        Order::ALL.iter().find(|entry| entry.1 == self).map_or("", |entry| entry.0)
    }

    /// Whether a value keeps its limit.
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Order::AtLeast => value >= limit,
            Order::AtMost => value <= limit,
            Order::Less => value < limit,
            Order::More => value > limit,
            Order::Equal => (value - limit).abs() < 1e-9,
        }
    }
}

/// What is looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A stream.
    Stream(String),
    /// Queries to the servers of a zone, or to all; compared with a stream's queries for `per_query`.
    Upstream { zone: Option<String>, stream: Option<String> },
    /// The resolver's process.
    Server,
}

/// One line of a verdict.
#[derive(Clone, PartialEq, Debug)]
pub struct Expect {
    pub subject: Subject,
    /// From, to; the whole run where none.
    pub window: Option<(Duration, Duration)>,
    pub measure: Measure,
    pub order: Order,
    pub limit: f64,
    /// The line of the scenario.
    pub line: usize,
}

impl Expect {
    /// `customers success >= 99.00 %`.
    pub fn title(&self) -> String {
        let subject = match &self.subject {
            Subject::Stream(name) => name.clone(),
            Subject::Upstream { zone: Some(zone), .. } => format!("upstream of {zone}"),
            Subject::Upstream { zone: None, .. } if self.measure == Measure::PerQuery => {
                "upstream of everybody".to_owned()
            }
            Subject::Upstream { zone: None, .. } => "upstream".to_owned(),
            Subject::Server => "server".to_owned(),
        };
        let of = match &self.subject {
            Subject::Upstream { stream: Some(stream), .. } if self.measure == Measure::PerQuery => {
                format!(" of {stream}")
            }
            _ => String::new(),
        };
        let limit = self.measure.write(self.limit);
        format!("{subject}: {}{of} {} {limit}", self.measure.name(), self.order.name())
    }
}

/// Reads one `[[expect]]`, which may have several lines of a verdict.
pub(super) fn read(form: &Form<'_>, line: usize, duration: Duration) -> Vec<Expect> {
    let window = window(form, duration);
    let subject =
        match (form.string("stream"), form.string("upstream_zone"), form.flag("upstream"), form.flag("server")) {
            (Some(stream), None, None | Some(false), None | Some(false)) => Some(Subject::Stream(stream)),
            (stream, zone @ Some(_), _, None | Some(false)) => {
                Some(Subject::Upstream { zone: zone.map(dotted), stream })
            }
            (stream, None, Some(true), None | Some(false)) => Some(Subject::Upstream { zone: None, stream }),
            (None, None, None | Some(false), Some(true)) => Some(Subject::Server),
            _ => {
                form.fail(
                    Problem::error(Code::MissingKey, "an [[expect]] looks at one thing")
                        .at(form.span.clone(), "at what?")
                        .help("add one of stream = \"NAME\", upstream_zone = \"ZONE\", upstream = true, server = true"),
                );
                None
            }
        };
    let table: &[(&'static str, Measure, Unit)] = match &subject {
        Some(Subject::Stream(_)) => &STREAM,
        Some(Subject::Upstream { .. }) => &UPSTREAM,
        Some(Subject::Server) => &SERVER,
        None => return Vec::new(),
    };
    let mut found = Vec::new();
    for &(key, measure, unit) in table {
        let Some(value) = form.get(key) else { continue };
        let read = form.parsed(key, value, "a comparison such as \">= 0.99\"", |text| comparison(text, unit));
        let (Some((order, limit)), Some(subject)) = (read, subject.clone()) else { continue };
        if measure == Measure::PerQuery && matches!(&subject, Subject::Upstream { stream: None, .. }) {
            form.missing("stream", "\"the stream whose queries are counted\"");
        }
        found.push(Expect { subject, window, measure, order, limit, line });
    }
    if form.finish() && found.is_empty() {
        let keys: Vec<&str> = table.iter().map(|entry| entry.0).collect();
        form.fail(
            Problem::error(Code::MissingKey, "this [[expect]] expects nothing")
                .at(form.span.clone(), "a comparison is missing")
                .help(format!("add one of {}", keys.join(", "))),
        );
    }
    found
}

fn dotted(zone: String) -> String {
    if zone.ends_with('.') { zone } else { zone + "." }
}

fn window(form: &Form<'_>, duration: Duration) -> Option<(Duration, Duration)> {
    let value = form.get("window")?;
    let wanted = "two durations such as [\"30s\", \"90s\"]";
    let DeValue::Array(array) = value.get_ref() else {
        form.wrong(value.span(), "`window` is a list of two durations", format!("expected {wanted}"));
        return None;
    };
    let ends: Vec<Duration> =
        array.iter().filter_map(|item| form.parsed("window", item, wanted, units::duration)).collect();
    match ends[..] {
        [from, to] if from < to && to <= duration => Some((from, to)),
        [_, to] if to > duration => {
            form.wrong(value.span(), "the window ends after the run", "later than `duration`");
            None
        }
        _ => {
            form.wrong(value.span(), "`window` is from when to when", format!("expected {wanted}"));
            None
        }
    }
}

fn comparison(text: &str, unit: Unit) -> Result<(Order, f64), Wrong> {
    let wrong = |what: &str, example: &str| Wrong { what: what.to_owned(), help: Some(format!("write \"{example}\"")) };
    let found = Order::ALL.iter().find_map(|(sign, order)| Some((*order, text.strip_prefix(sign)?.trim())));
    let Some((order, rest)) = found else {
        return Err(wrong("a comparison begins with >=, <=, <, > or ==", ">= 0.99"));
    };
    let number = |text: &str| text.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
    let limit = match unit {
        Unit::Share => match rest.strip_suffix('%') {
            Some(percent) => number(percent.trim()).map(|n| n / 100.0),
            None => number(rest),
        }
        .filter(|share| *share <= 1.0)
        .ok_or_else(|| wrong("a share is a number from 0 to 1, or a percentage", ">= 0.99")),
        Unit::Time => units::duration(rest).map(|d| d.as_secs_f64()),
        Unit::Rate => number(rest.strip_suffix("/s").unwrap_or(rest)).ok_or_else(|| wrong("not a rate", "<= 200/s")),
        Unit::Size => units::size(rest).map(|octets| octets as f64),
        Unit::Number => number(rest).ok_or_else(|| wrong("not a number", "<= 20")),
    }?;
    Ok((order, limit))
}
