//! What was measured, as text.

use std::fmt::Write as _;

use serde_json::Value;

use super::peers;
use super::scenarios::{Case, KNOWN, NEW};

/// The server's name, without the versions.
pub fn server(outcome: &Value) -> String {
    let words = outcome["server"].as_str().unwrap_or_default().split(" + ");
    let names: Vec<&str> = words.filter_map(|part| part.split(' ').next()).collect();
    names.join("+")
}

/// What an outcome says of the seconds that are measured.
struct Row {
    customers: Option<f64>,
    known: Option<f64>,
    new: Option<f64>,
    /// Seconds.
    p99: Option<f64>,
    /// Questions of the attack a second.
    attack: f64,
    /// Queries upstream for a question of anybody.
    upstream: f64,
    reflection: f64,
    /// MiB.
    memory: f64,
    valid: bool,
}

fn row(case: &Case, outcome: &Value, smoke: bool) -> Row {
    let (from, to) = case.window(smoke);
    let verdict = |stream: &str, measure: &str| {
        let verdicts = outcome["verdicts"].as_array()?;
        let start = format!("{stream}: {measure} ");
        verdicts.iter().find(|verdict| verdict["title"].as_str().is_some_and(|t| t.starts_with(&start)))?["value"]
            .as_f64()
    };
    let streams = || outcome["streams"].as_array().into_iter().flatten();
    let attack = || streams().filter(|stream| stream["role"] == "attack");
    let sum = |stream: &Value, key: &str| -> f64 {
        let seconds = stream["seconds"].as_array().into_iter().flatten().take(to).skip(from);
        seconds.filter_map(|second| second[key].as_f64()).sum()
    };
    let total = |key: &str| attack().filter_map(|stream| stream["total"][key].as_f64()).sum::<f64>();
    let samples = || outcome["samples"].as_array().into_iter().flatten();
    let upstream: f64 = samples().take(to).skip(from).filter_map(|sample| sample["upstream"].as_f64()).sum();
    let asked: f64 = streams().map(|stream| sum(stream, "asked")).sum();
    let memory = samples().filter_map(|sample| sample["memory"].as_f64()).fold(0.0, f64::max);
    Row {
        customers: verdict("customers", "success"),
        known: KNOWN.iter().find_map(|name| verdict(name, "success")),
        new: verdict(NEW, "success"),
        p99: verdict("customers", "p99"),
        attack: attack().map(|stream| sum(stream, "asked")).sum::<f64>() / (to - from).max(1) as f64,
        upstream: upstream / asked.max(1.0),
        reflection: total("octets_in") / total("octets_out").max(1.0),
        memory: memory / f64::from(1 << 20),
        valid: outcome["invalid"].as_array().is_some_and(Vec::is_empty),
    }
}

fn share(value: Option<f64>) -> String {
    match value {
        // Never more than it was: 99.96 % is not all.
        Some(value) => format!("{:.1} %", (value * 1000.0).floor() / 10.0),
        None => "–".to_owned(),
    }
}

fn time(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |seconds| format!("{:.1} ms", seconds * 1000.0))
}

fn cells(row: &Row) -> [String; 8] {
    [
        share(row.customers) + if row.valid { "" } else { " †" },
        share(row.known),
        share(row.new),
        time(row.p99),
        // The sum of nothing is -0.
        format!("{:.0}", row.attack + 0.0),
        format!("{:.3}", row.upstream),
        format!("{:.2}", row.reflection + 0.0),
        format!("{:.0} MiB", row.memory),
    ]
}

/// An outcome in a line.
pub fn line(case: &Case, outcome: &Value, smoke: bool) -> String {
    let [customers, known, new, p99, attack, upstream, reflection, memory] = cells(&row(case, outcome, smoke));
    format!(
        "{:<34} {:<26} customers {customers}, known {known}, new {new}, p99 {p99}; attack {attack}/s, upstream \
         {upstream}, reflection {reflection}, {memory}",
        case.file,
        server(outcome),
    )
}

/// The whole table, and who was measured.
pub fn report(all: &[(&Case, Vec<Value>)]) -> String {
    let mut text = format!(
        "{}\n\nThe scenarios of `zones/lab/scenarios`, their times cut to two seconds before an attack, in which \
         nearly every customer asks something, and ten of it (six attacks in turn: 37 seconds), each run once for each server from an empty cache by `maeslant load run --against`: the \
         small Internet, the generator and the server share the cores, and nobody validates. As they come: Debian 12's \
         packages, a thread (Knot Resolver: a process) for each core; tuned: with the settings in `benches/peers/floods`, \
         written from their documentation. Counted are the seconds of the attack: the share of the customers' questions \
         answered rightly (a stub asks again after 1 s and waits 1 s more), of names of the attacked zones that were asked \
         before (A24: names whose time is over), and of names there that nobody asked before; the customers' 99th percentile \
         from the moment a question was due; questions of the attack a second; queries upstream for each question of anybody; \
         octets that attackers got for each of theirs; the most memory. † This machine could not keep the schedule: more than \
         1 % of the questions left late.\n\n",
        peers::results::circumstances(),
    );
    let mut versions: Vec<&str> = all.iter().flat_map(|(_, o)| o).filter_map(|o| o["server"].as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    let _ = writeln!(text, "{}.\n", versions.join("; "));
    text.push_str(
        "| attack | server | customers | known names | new names | p99 | attack/s | upstream a question | reflection | memory |\n\
         |---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for (case, outcomes) in all {
        for (number, outcome) in outcomes.iter().enumerate() {
            let title = if number == 0 { case.title } else { "" };
            let cells = cells(&row(case, outcome, false)).join(" | ");
            let _ = writeln!(text, "| {title} | {} | {cells} |", server(outcome));
        }
    }
    text
}
