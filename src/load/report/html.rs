//! A run as one HTML file that needs no network: curves, verdicts, surroundings, and the scenario itself.

use std::fmt::Write;

use super::baseline::Change;
use super::chart::{Chart, Line, Scale};
use super::table::{grouped, rcodes};
use super::{date, escape, verdict};
use crate::load::outcome::{Outcome, Row, StreamOutcome};
use crate::load::scenario::{share, time};

const STYLE: &str = include_str!("style.css");
/// Seconds that the tables of numbers show; longer runs have them in the JSON report.
const MOST_ROWS: usize = 1800;

/// The page. `changes` are those from a baseline.
pub fn html(outcome: &Outcome, changes: Option<&[Change]>) -> String {
    let title = escape(&outcome.scenario);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}: {}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        verdict(outcome)
    );
    head(&mut out, outcome);
    verdicts(&mut out, outcome);
    out.push_str("<section>\n<h2>Curves</h2>\n");
    charts(&mut out, outcome);
    out.push_str("</section>\n");
    streams(&mut out, outcome);
    if let Some(changes) = changes {
        compared(&mut out, changes);
    }
    numbers(&mut out, outcome);
    surroundings(&mut out, outcome);
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

/// The share of right answers of the streams of people, in seconds for which something holds.
fn success(outcome: &Outcome, holds: impl Fn(usize) -> bool) -> Option<f64> {
    let (mut success, mut ended) = (0, 0);
    for stream in outcome.streams.iter().filter(|s| s.role == "legit") {
        for (_, row) in stream.seconds.iter().enumerate().filter(|(second, _)| holds(*second)) {
            success += row.success;
            ended += row.ended();
        }
    }
    (ended > 0).then(|| success as f64 / ended as f64)
}

fn head(out: &mut String, outcome: &Outcome) {
    let class = if outcome.passed() { "good" } else { "bad" };
    let _ = writeln!(
        out,
        "<header>\n<h1>{} <span class=\"verdict {class}\">{}</span></h1>",
        escape(&outcome.scenario),
        verdict(outcome)
    );
    if !outcome.about.is_empty() {
        let _ = writeln!(out, "<p>{}</p>", escape(&outcome.about));
    }
    let _ = writeln!(
        out,
        "<p class=\"soft\">{} at {}, asked for {:.0} s from {}</p>",
        escape(&outcome.server),
        escape(&outcome.target),
        outcome.duration,
        date(outcome.started)
    );
    for why in &outcome.invalid {
        let _ = writeln!(out, "<p class=\"bad\"><strong>Not valid:</strong> {}</p>", escape(why));
    }
    out.push_str("<div class=\"big\">\n");
    let attacked = |second: usize| outcome.attacked.iter().any(|(from, to)| (*from..*to).contains(&second));
    let mut tile = |value: Option<String>, what: &str| {
        if let Some(value) = value {
            let _ = writeln!(out, "<div><strong>{value}</strong>{what}</div>");
        }
    };
    if outcome.attacked.is_empty() {
        tile(success(outcome, |_| true).map(share), "of legitimate questions answered rightly");
    } else {
        tile(success(outcome, attacked).map(share), "of legitimate questions answered rightly during the attack");
        tile(success(outcome, |second| !attacked(second)).map(share), "before and after it");
    }
    let sum = |of: fn(&Row) -> u64, role: &str| -> u64 {
        outcome.streams.iter().filter(|s| s.role == role).map(|s| of(&s.total)).sum()
    };
    let attack = sum(|r| r.asked, "attack");
    tile((attack > 0).then(|| grouped(attack)), "attack queries");
    let upstream: u64 = outcome.samples.iter().map(|s| s.upstream).sum();
    tile((upstream > 0).then(|| grouped(upstream)), "queries to authoritative servers");
    out.push_str("</div>\n</header>\n");
}

fn verdicts(out: &mut String, outcome: &Outcome) {
    if outcome.verdicts.is_empty() {
        return;
    }
    out.push_str(
        "<section>\n<h2>What was expected</h2>\n<div class=\"wide\" tabindex=\"0\"><table class=\"text\">\n\
         <caption>The scenario's expectations, and what was measured</caption>\n<thead><tr><th scope=\"col\">Expected</th>\
         <th scope=\"col\">When</th><th scope=\"col\">Measured</th><th scope=\"col\">Verdict</th></tr></thead>\n<tbody>\n",
    );
    for verdict in &outcome.verdicts {
        let (class, word) = if verdict.passed { ("good", "met") } else { ("bad", "not met") };
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td class=\"{class}\"><strong>{word}</strong></td></tr>",
            escape(&verdict.title),
            escape(&verdict.window),
            escape(&verdict.shown)
        );
    }
    out.push_str("</tbody>\n</table></div>\n</section>\n");
}

fn charts(out: &mut String, outcome: &Outcome) {
    let legit: Vec<&StreamOutcome> = outcome.streams.iter().filter(|s| s.role == "legit").collect();
    let shown = if legit.is_empty() { outcome.streams.iter().collect() } else { legit };
    let line = |name: String, stream: &StreamOutcome, of: &dyn Fn(&Row) -> Option<f64>| Line {
        name,
        values: stream.seconds.iter().map(of).collect(),
    };
    let each = |suffix: &str, of: &dyn Fn(&Row) -> Option<f64>| -> Vec<Line> {
        shown.iter().map(|s| line(format!("{}{suffix}", s.name), s, of)).collect()
    };
    let mut draw = |id: &str, title: &str, lines: Vec<Line>, scale: Scale, write: fn(f64) -> String| {
        if lines.iter().all(|line| line.values.iter().all(Option::is_none)) {
            return;
        }
        let summary = lines.iter().map(|line| describe(line, write)).collect::<Vec<_>>().join(" ");
        let (attacked, faulty) = (&outcome.attacked[..], &outcome.faulty[..]);
        out.push_str(&Chart { id, title, summary, lines, scale, write, attacked, faulty }.draw());
    };
    let whole: fn(f64) -> String = |v| grouped(v as u64);
    draw(
        "success",
        "Right answers, share of the questions due in each second",
        each("", &Row::success_share),
        Scale::Linear(1.0),
        |v| format!("{:.0} %", v * 100.0),
    );
    let answered = |of: fn(&Row) -> f64| move |row: &Row| (row.answered > 0).then(|| of(row));
    let mut latencies = each(" p50", &answered(|r| r.p50));
    latencies.extend(each(" p99", &answered(|r| r.p99)));
    draw("latency", "Time to the answer, from the moment the question was due", latencies, Scale::Logarithmic, time);
    let asked = outcome.streams.iter().map(|s| line(s.name.clone(), s, &|row| Some(row.asked as f64))).collect();
    draw("asked", "Questions a second", asked, Scale::Linear(0.0), whole);
    let sample = |name: &str, of: &dyn Fn(&crate::load::outcome::Sample) -> Option<f64>| {
        vec![Line { name: name.to_owned(), values: outcome.samples.iter().map(of).collect() }]
    };
    if outcome.samples.iter().any(|s| s.upstream > 0) {
        let lines = sample("queries to authoritative servers", &|s| Some(s.upstream as f64));
        draw("upstream", "Queries to authoritative servers a second", lines, Scale::Linear(0.0), whole);
    }
    draw("cpu", "Processor cores the resolver kept busy", sample("cores", &|s| s.cpu), Scale::Linear(1.0), |v| {
        format!("{v:.1}")
    });
    let memory = sample("MiB", &|s| s.memory.map(|m| m as f64 / f64::from(1 << 20)));
    draw("memory", "Memory of the resolver's process, MiB", memory, Scale::Linear(0.0), whole);
}

/// A curve in words.
fn describe(line: &Line, write: fn(f64) -> String) -> String {
    let values = || line.values.iter().flatten().copied();
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    if !least.is_finite() {
        return format!("{}: nothing measured.", line.name);
    }
    format!("{}: from {} to {}.", line.name, write(least), write(most))
}

/// Cells of a table's row; `tag` may have attributes.
fn cells<T: std::fmt::Display>(out: &mut String, tag: &str, values: impl IntoIterator<Item = T>) {
    let name = tag.split(' ').next().unwrap_or(tag);
    for value in values {
        let _ = write!(out, "<{tag}>{value}</{name}>");
    }
}

fn streams(out: &mut String, outcome: &Outcome) {
    out.push_str(
        "<section>\n<h2>Streams</h2>\n<div class=\"wide\" tabindex=\"0\"><table>\n\
         <caption>Questions of each stream in the whole run, and times to the answer</caption>\n<thead><tr>",
    );
    let heads =
        ["Stream", "Asked", "Right", "Unanswered", "Wrong", "Stale", "Truncated", "Late", "p50", "p90", "p99", "p99.9"];
    cells(out, "th scope=\"col\"", heads);
    out.push_str("</tr></thead>\n<tbody>\n");
    for stream in &outcome.streams {
        let row = &stream.total;
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{} <span class=\"soft\">{}</span></th>",
            escape(&stream.name),
            stream.role
        );
        let right = row.success_share().map_or_else(|| "–".to_owned(), share);
        let mut values = vec![grouped(row.asked), right];
        values.extend([row.unanswered, row.wrong, row.stale, row.truncated, row.late].map(grouped));
        values.extend(
            [row.p50, row.p90, row.p99, row.p999].map(|v| if row.answered == 0 { "–".to_owned() } else { time(v) }),
        );
        cells(out, "td", values);
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table></div>\n<div class=\"wide\" tabindex=\"0\"><table class=\"text\">\n<caption>Answers by RCODE, and what else came to pass</caption>\n");
    out.push_str("<thead><tr><th scope=\"col\">Stream</th><th scope=\"col\">Answers</th><th scope=\"col\">Besides</th></tr></thead>\n<tbody>\n");
    for stream in &outcome.streams {
        let row = &stream.total;
        let besides = [
            (row.by_tcp, "by TCP"),
            (row.retries, "asked again"),
            (row.unsent, "not sent"),
            (row.open, "still open at the end"),
            (row.opened, "connections opened"),
            (row.unopened, "connections refused"),
            (row.cut, "connections closed by the server"),
        ];
        let besides: Vec<String> =
            besides.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", grouped(*n))).collect();
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td></tr>",
            escape(&stream.name),
            escape(&rcodes(row)),
            besides.join(", ")
        );
    }
    out.push_str("</tbody>\n</table></div>\n</section>\n");
}

fn compared(out: &mut String, changes: &[Change]) {
    out.push_str(
        "<section>\n<h2>Compared with the baseline</h2>\n<div class=\"wide\" tabindex=\"0\"><table class=\"text\">\n\
         <caption>What is different from the earlier run</caption>\n<thead><tr><th scope=\"col\">What</th>\
         <th scope=\"col\">Before</th><th scope=\"col\">Now</th><th scope=\"col\">Change</th></tr></thead>\n<tbody>\n",
    );
    for change in changes {
        let (class, word) = match (change.worse, change.better) {
            (true, _) => ("bad", "worse"),
            (_, true) => ("good", "better"),
            _ => ("soft", "same"),
        };
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td class=\"{class}\">{word}</td></tr>",
            escape(&change.title),
            escape(&change.before),
            escape(&change.now)
        );
    }
    out.push_str("</tbody>\n</table></div>\n</section>\n");
}

/// The curves as numbers.
fn numbers(out: &mut String, outcome: &Outcome) {
    out.push_str("<section>\n<h2>Second by second</h2>\n");
    for stream in &outcome.streams {
        let _ = write!(
            out,
            "<details>\n<summary>{}</summary>\n<div class=\"wide\" tabindex=\"0\"><table>\n<caption>{} ({})</caption>\n<thead><tr>",
            escape(&stream.name),
            escape(&stream.name),
            stream.role
        );
        let heads = ["Second", "Asked", "Answered", "Right", "Unanswered", "Wrong", "Stale", "Truncated", "p50", "p99"];
        cells(out, "th scope=\"col\"", heads);
        out.push_str("</tr></thead>\n<tbody>\n");
        for (second, row) in stream.seconds.iter().enumerate().take(MOST_ROWS) {
            let _ = write!(out, "<tr><th scope=\"row\">{second}</th>");
            let counts = [row.asked, row.answered, row.success, row.unanswered, row.wrong, row.stale, row.truncated]
                .map(grouped);
            cells(out, "td", counts);
            let _ = writeln!(out, "<td>{}</td><td>{}</td></tr>", time(row.p50), time(row.p99));
        }
        out.push_str("</tbody>\n</table></div>\n</details>\n");
    }
    out.push_str("</section>\n");
}

fn surroundings(out: &mut String, outcome: &Outcome) {
    out.push_str(
        "<section>\n<h2>Surroundings</h2>\n<div class=\"wide\" tabindex=\"0\"><table class=\"text\">\n\
         <caption>Who asked whom, and on which machine</caption>\n<tbody>\n",
    );
    let own = [
        ("sent by", outcome.tool.clone()),
        ("asked", format!("{} at {}", outcome.server, outcome.target)),
        ("seed", outcome.seed.to_string()),
        ("began", date(outcome.started)),
    ];
    let own = own.iter().map(|(name, value)| (*name, value.as_str()));
    let machine = outcome.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let notes = outcome.notes.iter().map(|note| ("note", note.as_str()));
    for (name, value) in own.chain(machine).chain(notes) {
        let _ = writeln!(out, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escape(name), escape(value));
    }
    let _ = writeln!(
        out,
        "</tbody>\n</table></div>\n</section>\n<section>\n<h2>The scenario</h2>\n<pre>{}</pre>\n</section>",
        escape(&outcome.text)
    );
}
