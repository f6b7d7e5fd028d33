//! A run for people and programs: a table for terminals, one HTML file, JUnit; JSON is the [`Outcome`] itself.

mod baseline;
mod chart;
mod html;
mod junit;
mod live;
mod table;

pub use baseline::{Change, compare};
pub use html::html;
pub use junit::junit;
pub use live::{Glance, line, screen};
pub use table::{changes, side_by_side, summary};

use super::outcome::Outcome;

/// Escapes text for HTML and XML.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML has no place for other control characters.
            c if c.is_control() && !matches!(c, '\n' | '\t' | '\r') => out.push('\u{fffd}'),
            // Nor for these (XML 1.0 §2.2).
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Text for terminals, where names must not give orders.
pub fn plain(text: &str) -> String {
    let orders = |c: char| c.is_control() && c != '\n' || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars().map(|c| if orders(c) { '\u{fffd}' } else { c }).collect()
}

/// A Unix time as people write it: `2026-11-21 21:37:05 UTC`.
fn date(unix: u64) -> String {
    let (days, seconds) = (unix / 86_400, unix % 86_400);
    // Civil date from days since 1970 (Gregorian calendar; years begin in March so that leap days come last).
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// The verdict in a word.
fn verdict(outcome: &Outcome) -> &'static str {
    match (outcome.invalid.is_empty(), outcome.passed(), outcome.verdicts.is_empty()) {
        (false, ..) => "not valid",
        (true, _, true) => "nothing was expected",
        (true, true, _) => "passed",
        (true, false, _) => "failed",
    }
}

#[cfg(test)]
mod tests;
