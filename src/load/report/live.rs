//! A run while it goes on.

use std::time::Duration;

use super::plain;
use super::table::grouped;
use crate::load::ledger::Ledger;
use crate::load::scenario::{Role, share, time};

/// Where things stand: per stream, and in all.
#[derive(Clone, Debug, Default)]
pub struct Glance {
    pub elapsed: Duration,
    pub duration: Duration,
    pub streams: Vec<Standing>,
    /// Queries to authoritative servers in the last second.
    pub upstream: u64,
    pub cpu: Option<f64>,
    pub memory: Option<u64>,
    /// The attack goes on.
    pub attacked: bool,
}

/// One stream in the last whole second, and since the start.
#[derive(Clone, Debug)]
pub struct Standing {
    pub name: String,
    pub role: Role,
    pub asked: u64,
    pub late: u64,
    /// Of the questions that were due in the last few seconds and have ended.
    pub success: Option<f64>,
    pub p99: f64,
    pub success_in_all: Option<f64>,
}

/// Seconds that a glance looks back: fewer say little of a slow stream.
const BACK: usize = 3;

impl Glance {
    /// Reads the counts.
    pub fn new(streams: &[(String, Role)], ledger: &Ledger, elapsed: Duration, duration: Duration) -> Glance {
        let second = elapsed.as_secs() as usize;
        let share = |success: u64, ended: u64| (ended > 0).then(|| success as f64 / ended as f64);
        let standing = |((name, role), account): (&(String, Role), &crate::load::ledger::Account)| {
            let from = second.saturating_sub(BACK);
            let (sum, latencies) = account.sum(from, second);
            let mut all = crate::load::ledger::Second::default();
            account.seconds.iter().for_each(|s| all.add(s));
            let last = account.seconds.get(second.saturating_sub(1));
            Standing {
                name: name.clone(),
                role: *role,
                asked: last.map_or(0, |s| s.asked),
                late: all.late,
                success: share(sum.success, sum.ended()),
                p99: latencies.value_at_quantile(0.99) as f64 / 1e6,
                success_in_all: share(all.success, all.ended()),
            }
        };
        let streams = streams.iter().zip(&ledger.accounts).map(standing).collect();
        Glance { elapsed, duration, streams, ..Glance::default() }
    }

    fn clock(&self) -> String {
        format!(
            "{:>3.0} of {:.0} s",
            self.elapsed.as_secs_f64().min(self.duration.as_secs_f64()),
            self.duration.as_secs_f64()
        )
    }
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), share)
}

/// For a terminal: what legitimate clients feel, first and big.
pub fn screen(glance: &Glance, title: &str) -> Vec<String> {
    let mut lines = vec![format!("{}   {}", plain(title), glance.clock()), String::new()];
    let mut legit: Vec<&Standing> = glance.streams.iter().filter(|s| s.role == Role::Legit).collect();
    legit.sort_by(|a, b| a.success.unwrap_or(1.0).total_cmp(&b.success.unwrap_or(1.0)));
    for standing in &legit {
        let share = standing.success.unwrap_or(0.0);
        let full = (share * 40.0).floor() as usize;
        let bar = "█".repeat(full) + &"░".repeat(40 - full.min(40));
        lines.push(format!("  \x1b[1m{} success  {}  {bar}\x1b[0m", plain(&standing.name), percent(standing.success)));
    }
    lines.push(String::new());
    let state = if glance.attacked { "under attack" } else { "no attack" };
    let of = |n: &str, v: String| format!("{n} {v}");
    let mut server = vec![state.to_owned(), of("upstream", format!("{}/s", grouped(glance.upstream)))];
    server.extend(glance.cpu.map(|cpu| of("CPU", format!("{cpu:.2} cores"))));
    server.extend(glance.memory.map(|m| of("memory", format!("{:.0} MiB", m as f64 / f64::from(1 << 20)))));
    lines.push(format!("  {}", server.join("   ")));
    for s in &glance.streams {
        lines.push(format!(
            "  {:<16} {:<10} {:>9}/s   success {:>9}   p99 {:>8}   in all {:>9}",
            plain(&s.name),
            s.role.name(),
            grouped(s.asked),
            percent(s.success),
            if s.success.is_some() { time(s.p99) } else { "–".to_owned() },
            percent(s.success_in_all)
        ));
    }
    lines
}

/// For a log: one line a second.
pub fn line(glance: &Glance) -> String {
    let stream = |s: &Standing| format!("{} {}/s {} p99 {}", s.name, s.asked, percent(s.success), time(s.p99));
    let streams: Vec<String> = glance.streams.iter().map(stream).collect();
    let attack = if glance.attacked { "; under attack" } else { "" };
    plain(&format!("{}: {}; upstream {}/s{attack}", glance.clock(), streams.join("; "), glance.upstream))
}
