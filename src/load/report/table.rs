//! The table at the end of a run.

use std::fmt::Write;

use super::baseline::Change;
use super::plain;
use crate::load::outcome::{Outcome, Row};
use crate::load::scenario::{share, time};

/// A number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn shares(row: &Row) -> String {
    row.success_share().map_or_else(|| "–".to_owned(), share)
}

fn latency(row: &Row, value: f64) -> String {
    if row.answered == 0 { "–".to_owned() } else { time(value) }
}

/// The answers by RCODE, most frequent first.
pub fn rcodes(row: &Row) -> String {
    let mut codes: Vec<_> = row.rcodes.iter().collect();
    codes.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    codes.iter().map(|(name, count)| format!("{name} {}", grouped(**count))).collect::<Vec<_>>().join(", ")
}

/// Columns under their heads, the first to the left and the others to the right.
fn columns(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    let mut out = String::new();
    for row in rows {
        out.push_str("  ");
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            let _ = if column == 0 { write!(out, "{cell}{pad}") } else { write!(out, "  {pad}{cell}") };
        }
        let trimmed = out.trim_end().len();
        out.truncate(trimmed);
        out.push('\n');
    }
    out
}

/// A run in one screen.
pub fn summary(outcome: &Outcome) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}: {} answers at {}", outcome.scenario, outcome.server, outcome.target);
    let heads = ["stream", "asked", "success", "unanswered", "wrong", "stale", "p50", "p90", "p99", "p99.9"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for stream in &outcome.streams {
        let row = &stream.total;
        rows.push(vec![
            format!("{} ({})", stream.name, stream.role),
            grouped(row.asked),
            shares(row),
            grouped(row.unanswered),
            grouped(row.wrong),
            grouped(row.stale),
            latency(row, row.p50),
            latency(row, row.p90),
            latency(row, row.p99),
            latency(row, row.p999),
        ]);
    }
    out.push_str(&columns(&rows));
    for stream in &outcome.streams {
        let row = &stream.total;
        let mut parts = vec![rcodes(row)];
        let counts = [
            (row.truncated, "truncated"),
            (row.by_tcp, "by TCP"),
            (row.retries, "asked again"),
            (row.late, "late"),
            (row.unsent, "not sent"),
            (row.open, "still open"),
            (row.opened, "connections opened"),
            (row.unopened, "connections refused"),
            (row.cut, "connections closed by the server"),
        ];
        parts.extend(counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", grouped(*n))));
        parts.retain(|part| !part.is_empty());
        if row.rcodes.is_empty() && row.opened + row.unopened == 0 {
            parts.insert(0, "no answer".to_owned());
        }
        let _ = writeln!(out, "  {}: {}", stream.name, parts.join("; "));
    }
    out.push_str(&surroundings(outcome));
    out.push_str(&judgement(outcome));
    plain(&out)
}

fn surroundings(outcome: &Outcome) -> String {
    let mut out = String::new();
    let upstream: u64 = outcome.samples.iter().map(|s| s.upstream).sum();
    if upstream > 0 {
        let asked: u64 = outcome.streams.iter().map(|s| s.total.asked).sum();
        let each = upstream as f64 / asked.max(1) as f64;
        let _ = writeln!(out, "  upstream: {} queries, {each:.3} a question", grouped(upstream));
    }
    let cpu: Vec<f64> = outcome.samples.iter().filter_map(|s| s.cpu).collect();
    if !cpu.is_empty() {
        let most = cpu.iter().copied().fold(0.0, f64::max);
        let mean = cpu.iter().sum::<f64>() / cpu.len() as f64;
        let memory = outcome.samples.iter().filter_map(|s| s.memory).max().unwrap_or(0);
        let memory = memory as f64 / f64::from(1 << 20);
        let _ = writeln!(out, "  server: {mean:.2} cores (at most {most:.2}), {memory:.0} MiB at most");
    }
    for note in &outcome.notes {
        let _ = writeln!(out, "  note: {note}");
    }
    out
}

fn judgement(outcome: &Outcome) -> String {
    let mut out = String::new();
    if !outcome.verdicts.is_empty() {
        out.push('\n');
    }
    for verdict in &outcome.verdicts {
        let word = if verdict.passed { "ok  " } else { "FAIL" };
        let _ = writeln!(out, "  {word}  {}, {}: {}", verdict.title, verdict.window, verdict.shown);
    }
    for why in &outcome.invalid {
        let _ = writeln!(out, "  INVALID  {why}");
    }
    let _ = writeln!(out, "  verdict: {}", super::verdict(outcome));
    out
}

/// What is different from an earlier run.
pub fn changes(changes: &[Change]) -> String {
    let mut rows = vec![["compared with the baseline", "before", "now", ""].map(str::to_owned).to_vec()];
    for change in changes {
        let word = match (change.worse, change.better) {
            (true, _) => "worse",
            (_, true) => "better",
            _ => "",
        };
        rows.push(vec![plain(&change.title), change.before.clone(), change.now.clone(), word.to_owned()]);
    }
    columns(&rows)
}

/// Several servers under the same scenario.
pub fn side_by_side(outcomes: &[Outcome]) -> String {
    let mut rows = vec![std::iter::once(String::new()).chain(outcomes.iter().map(|o| o.server.clone())).collect()];
    let mut add = |title: String, of: &dyn Fn(&Outcome) -> String| {
        rows.push(std::iter::once(title).chain(outcomes.iter().map(of)).collect::<Vec<String>>());
    };
    let names: Vec<String> =
        outcomes.first().map(|o| o.streams.iter().map(|s| s.name.clone()).collect()).unwrap_or_default();
    for name in names {
        let row = |o: &Outcome| o.streams.iter().find(|s| s.name == name).map(|s| s.total.clone()).unwrap_or_default();
        add(format!("{name}: success"), &|o| shares(&row(o)));
        add(format!("{name}: p50"), &|o| latency(&row(o), row(o).p50));
        add(format!("{name}: p99"), &|o| latency(&row(o), row(o).p99));
    }
    add("upstream queries".into(), &|o| grouped(o.samples.iter().map(|s| s.upstream).sum()));
    add("most memory".into(), &|o| {
        let most = o.samples.iter().filter_map(|s| s.memory).max();
        most.map_or_else(|| "–".to_owned(), |m| format!("{:.0} MiB", m as f64 / f64::from(1 << 20)))
    });
    add("CPU time".into(), &|o| format!("{:.1} s", o.samples.iter().filter_map(|s| s.cpu).sum::<f64>()));
    add("expectations met".into(), &|o| {
        format!("{} of {}", o.verdicts.iter().filter(|v| v.passed).count(), o.verdicts.len())
    });
    plain(&columns(&rows))
}
