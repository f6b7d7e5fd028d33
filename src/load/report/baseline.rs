//! A run beside an earlier one.

use crate::load::outcome::{Outcome, Row};
use crate::load::scenario::{share, time};

/// A share that changed less than this is the same, as is a latency by less than this part.
const SAME_SHARE: f64 = 0.002;
const SAME_LATENCY: f64 = 0.15;
/// Latencies below this differ by chance, in seconds.
const NOISE: f64 = 0.001;

/// One number, then and now.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    pub title: String,
    pub before: String,
    pub now: String,
    /// Noticeably, in the wrong or in the right direction.
    pub worse: bool,
    pub better: bool,
}

/// What changed for each stream that both runs have. A run of another scenario can be compared too; that it is another
/// is the first change.
pub fn compare(before: &Outcome, now: &Outcome) -> Vec<Change> {
    let mut changes = Vec::new();
    if before.text != now.text {
        let name = |o: &Outcome| format!("{} (seed {})", o.scenario, o.seed);
        let (title, worse, better) = ("not the same scenario".to_owned(), false, false);
        changes.push(Change { title, before: name(before), now: name(now), worse, better });
    }
    for stream in &now.streams {
        let Some(old) = before.streams.iter().find(|s| s.name == stream.name) else { continue };
        // Of an attack, success is no merit.
        let judged = stream.role != "attack";
        let (then, here) = (&old.total, &stream.total);
        let (a, b) = (then.success_share().unwrap_or(0.0), here.success_share().unwrap_or(0.0));
        changes.push(Change {
            title: format!("{}: success", stream.name),
            before: share(a),
            now: share(b),
            worse: judged && b < a - SAME_SHARE,
            better: judged && b > a + SAME_SHARE,
        });
        for (name, of) in [("p50", (|r| r.p50) as fn(&Row) -> f64), ("p99", |r| r.p99)] {
            // Where nothing was answered there is no latency.
            let (a, b) = (Some(of(then)).filter(|_| then.answered > 0), Some(of(here)).filter(|_| here.answered > 0));
            let written = |latency: Option<f64>| latency.map_or_else(|| "–".to_owned(), time);
            let (worse, better) = match (a, b) {
                (Some(a), Some(b)) if (a - b).abs() > NOISE => {
                    (b > a * (1.0 + SAME_LATENCY), b < a * (1.0 - SAME_LATENCY))
                }
                (a, b) => (a.is_some() && b.is_none(), a.is_none() && b.is_some()),
            };
            changes.push(Change {
                title: format!("{}: {name}", stream.name),
                before: written(a),
                now: written(b),
                worse: judged && worse,
                better: judged && better,
            });
        }
    }
    let upstream = |o: &Outcome| o.samples.iter().map(|s| s.upstream).sum::<u64>();
    let (a, b) = (upstream(before), upstream(now));
    if a + b > 0 {
        let (worse, better) = (b as f64 > a as f64 * 1.1, (b as f64) < a as f64 * 0.9);
        let title = "upstream queries".to_owned();
        changes.push(Change { title, before: a.to_string(), now: b.to_string(), worse, better });
    }
    changes
}
