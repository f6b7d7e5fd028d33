//! The scenarios of `zones/lab/scenarios` that matter here, with their times cut so that all of it can be run at once.

use std::fmt::Write as _;
use std::fs;

use super::peers::internet::package_file;

/// A scenario, and which moments of the file become which in the measurement.
pub struct Case {
    /// The file, without its ending.
    pub file: &'static str,
    /// In the table.
    pub title: &'static str,
    /// Seconds in the file, and here.
    times: &'static [(f64, f64)],
    /// What is measured, in seconds here.
    window: (usize, usize),
}

/// A smoke test takes such a part of the time.
const SMOKE: f64 = 0.2;
/// Streams of legitimate clients, by what they ask.
pub const KNOWN: [&str; 2] = ["account-holders", "short-lived"];
pub const NEW: &str = "new-customers";

/// Two seconds in which caches fill, ten of attack.
const SHORT: &[(f64, f64)] = &[(0.0, 0.0), (8.0, 2.0), (22.0, 12.0), (24.0, 12.5), (30.0, 12.5)];
/// Streams with such a line ask so many questions in the first second instead: caches fill, and nearly every customer has been
/// there before the attack, as with a resolver that has been up for more than two seconds.
const WARM: [(&str, u32); 5] = [
    ("rate = \"500/s\"\narrivals", 8000),
    ("rate = \"300/s\"\narrivals", 6000),
    ("rate = \"150/s\"\narrivals", 3000),
    ("rate = \"50/s\"\nretry", 1000),
    ("rate = \"20/s\"\nretry", 2000),
];

pub const ALL: [Case; 14] = [
    case("a01-direct-flood", "A1, 20 times its share"),
    case("a01-direct-flood-core", "A1, as fast as a core sends"),
    case("a02-spoofed-flood", "A2, forged sources"),
    case("a03-random-subdomain-alive", "A3, random names, servers alive"),
    case("a03-random-subdomain-dead", "A3, random names, servers dead"),
    case("a03-random-subdomain-slow", "A3, random names, servers slow"),
    Case {
        times: &[(0.0, 0.0), (10.0, 2.0), (12.0, 3.0), (36.0, 15.0), (40.0, 15.5)],
        window: (5, 15),
        ..case("a03-random-subdomain-rate-limited", "A3, random names, servers that manage 500 a second")
    },
    case("a04-behind-one-address", "A4, behind one address"),
    case("a05-slow-drip", "A5, slow drip"),
    case("a13-cache-flush", "A13, cache flush"),
    case("a21-reflection", "A21, reflection"),
    case("a22-tcp-slowloris", "A22, TCP held"),
    Case {
        times: &[(0.0, 0.0), (15.0, 4.0), (35.0, 16.0), (50.0, 16.5)],
        window: (6, 16),
        ..case("a24-outage", "A24, every server silent")
    },
    Case {
        times: &[(0.0, 0.0), (12.0, 3.0), (110.0, 37.0), (120.0, 40.0)],
        window: (3, 40),
        ..case("ziggo-2015", "Six attacks in turn")
    },
];

const fn case(file: &'static str, title: &'static str) -> Case {
    Case { file, title, times: SHORT, window: (2, 12) }
}

impl Case {
    /// The scenario for a measurement; for a smoke test, a fifth as long.
    pub fn text(&self, smoke: bool) -> String {
        let file = package_file(&format!("zones/lab/scenarios/{}.toml", self.file));
        let mut text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if let Some(expects) = text.find("\n[[expect]]") {
            text.truncate(expects + 1);
        }
        text = self.moved(&text, if smoke { SMOKE } else { 1.0 });
        for (line, first) in WARM {
            let (rate, rest) = line.split_once("/s\"").expect("a rate");
            let rate = rate.trim_start_matches("rate = \"");
            let warm = format!("rate = [{{ at = \"0s\", qps = {first} }}, {{ at = \"1s\", qps = {rate} }}]{rest}");
            text = text.replace(line, &warm);
        }
        // Stubs that wait for long would make each run longer by that.
        text = text.replace("retry = [\"1s\"]", "retry = [\"1s\"]\ntimeout = \"1s\"");
        for stream in legit(&text) {
            let (from, to) = self.window(smoke);
            let _ = write!(
                text,
                "\n[[expect]]\nstream = \"{stream}\"\nwindow = [\"{from}s\", \"{to}s\"]\nsuccess = \">= 0\"\np99 = \"<= 100s\"\n"
            );
        }
        text
    }

    /// The seconds that are measured.
    pub fn window(&self, smoke: bool) -> (usize, usize) {
        let (from, to) = self.window;
        if smoke { ((from as f64 * SMOKE) as usize, (to as f64 * SMOKE) as usize) } else { (from, to) }
    }

    /// Moves the moments of a scenario to where they are here.
    fn moved(&self, text: &str, scale: f64) -> String {
        let keys = ["at = \"", "from = \"", "to = \"", "duration = \""];
        let mut out = String::new();
        for line in text.split_inclusive('\n') {
            let mut rest = line;
            while let Some(place) = keys.iter().filter_map(|key| Some(rest.find(key)? + key.len())).min() {
                let (before, value) = rest.split_at(place);
                let (value, after) = value.split_once('"').expect("a closed string");
                let seconds = value.strip_suffix('s').and_then(|number| number.parse().ok());
                let moment = self.moment(seconds.expect("whole seconds")) * scale;
                let _ = write!(out, "{before}{:.0}ms\"", moment * 1000.0);
                rest = after;
            }
            out.push_str(rest);
        }
        out
    }

    /// Where a moment of the file is here, between two that are known.
    fn moment(&self, at: f64) -> f64 {
        let pair = self.times.windows(2).find(|pair| at <= pair[1].0).expect("a moment of the scenario");
        let ((from, here), (to, there)) = (pair[0], pair[1]);
        here + (at - from) * (there - here) / (to - from)
    }
}

/// The streams of legitimate clients.
fn legit(text: &str) -> Vec<String> {
    let tables: toml::Table = text.parse().expect("TOML");
    let streams = tables["stream"].as_array().expect("streams");
    let word = |stream: &toml::Value, key: &str| stream.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    let legit = |stream: &&toml::Value| word(stream, "role").is_none_or(|role| role == "legit");
    streams.iter().filter(legit).filter_map(|stream| word(stream, "name")).collect()
}
