//! Verdicts as JUnit XML, which CI servers show.

use std::fmt::Write;

use super::escape;
use crate::load::outcome::Outcome;

/// One test suite: a case for each expectation, and one for whether the run is valid.
pub fn junit(outcome: &Outcome) -> String {
    let failures = outcome.verdicts.iter().filter(|v| !v.passed).count() + usize::from(!outcome.invalid.is_empty());
    let name = escape(&outcome.scenario);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuite name=\"{name}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" time=\"{:.3}\">",
        outcome.verdicts.len() + 1,
        outcome.duration
    );
    let mut case = |title: &str, failure: Option<String>| {
        let _ = match failure {
            None => writeln!(out, "  <testcase classname=\"{name}\" name=\"{}\"/>", escape(title)),
            Some(why) => writeln!(
                out,
                "  <testcase classname=\"{name}\" name=\"{}\"><failure message=\"{}\"/></testcase>",
                escape(title),
                escape(&why)
            ),
        };
    };
    case("the run is valid", (!outcome.invalid.is_empty()).then(|| outcome.invalid.join("; ")));
    for verdict in &outcome.verdicts {
        let title = format!("{}, {}", verdict.title, verdict.window);
        case(&title, (!verdict.passed).then(|| format!("it was {} (line {})", verdict.shown, verdict.line)));
    }
    out.push_str("</testsuite>\n");
    out
}
