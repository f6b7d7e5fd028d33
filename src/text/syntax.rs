//! What the TOML parser complains of, in words that help.

use std::collections::BTreeSet;
use std::ops::Range;

use super::report::{Code, Problem, Report};

/// Adds what the parser found in `text` to a report on it, and takes back what was said of the same lines and of keys
/// that are missing: where a text is no TOML, that is guesswork.
pub fn amend(text: &str, errors: &[toml::de::Error], report: &mut Report) {
    // Where the text is no TOML, what was made of the same line is guesswork.
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let line_of = |octet: usize| ends.partition_point(|&end| end < octet);
    let spans = || errors.iter().map(|error| (error, error.span().unwrap_or(0..0)));
    let lines: BTreeSet<usize> = spans().map(|(_, span)| line_of(span.start)).collect();
    let broken = errors.iter().any(|error| error.message() != DUPLICATE);
    report.problems.retain(|problem| {
        let guessed = problem.labels.iter().any(|label| lines.contains(&line_of(label.span.start)));
        !(guessed || broken && problem.code == Code::MissingKey)
    });
    let mut told = BTreeSet::new();
    for (error, span) in spans() {
        // One slip often causes several complaints about the same line; the first is the one to mend.
        if told.insert(line_of(span.start)) {
            report.problems.push(syntax(text, span, error.message()));
        }
    }
}

/// The parser's words for a key or table that is there already.
const DUPLICATE: &str = "duplicate key";

fn syntax(text: &str, span: Range<usize>, message: &str) -> Problem {
    if message != DUPLICATE {
        let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
        let label = match expected {
            "" => String::new(),
            "literal string" => "expected a string in quotes, a number, true or false".to_owned(),
            other => format!("expected {other}"),
        };
        let problem = Problem::error(Code::Syntax, format!("this is not TOML: {what}")).at(span.clone(), label);
        return match slip(text, &span) {
            Some(help) => problem.help(help),
            None => problem,
        };
    }
    let name = text.get(span.clone()).unwrap_or("");
    let problem = Problem::error(Code::Duplicate, format!("`{name}` is written twice")).at(span.clone(), "again here");
    match earlier(text, &span) {
        Some(first) => problem.at(first, "first here"),
        None => problem,
    }
}

/// A common slip on the line of a syntax error.
fn slip(text: &str, span: &Range<usize>) -> Option<&'static str> {
    let begin = text.get(..span.start)?.rfind('\n').map_or(0, |at| at + 1);
    let line = text[begin..].lines().next()?.trim();
    let value = line.split_once('=').map(|(_, value)| value.trim());
    match value {
        Some("yes" | "on" | "True" | "TRUE" | "Yes" | "On") => Some("write true"),
        Some("no" | "False" | "FALSE" | "off" | "No" | "Off") => Some("write false"),
        Some(value) if value.starts_with(|c: char| c.is_ascii_alphanumeric()) => {
            Some("durations, sizes, addresses and words stand in quotes: deadline = \"8s\"")
        }
        None if line.contains(':') => Some("TOML writes key = value, with an equals sign"),
        _ => None,
    }
}

/// Where the key or table at `span` was written before.
fn earlier(text: &str, span: &Range<usize>) -> Option<Range<usize>> {
    let name = text.get(span.clone())?;
    let begin = text.get(..span.start)?.rfind('\n').map_or(0, |at| at + 1);
    let header = text[begin..].trim_start().starts_with('[');
    let mut end = begin;
    while end > 0 {
        let start = text[..end - 1].rfind('\n').map_or(0, |at| at + 1);
        let line = &text[start..end - 1];
        let body = line.trim_start();
        let bare = if header { body.trim_start_matches('[').trim_start() } else { body };
        let rest = bare.strip_prefix(name).map(str::trim_start);
        let found = rest.is_some_and(|rest| rest.starts_with(if header { ']' } else { '=' }));
        if found && header == body.starts_with('[') {
            let at = start + (line.len() - bare.len());
            return Some(at..at + name.len());
        }
        if !header && body.starts_with('[') {
            return None;
        }
        end = start;
    }
    None
}
