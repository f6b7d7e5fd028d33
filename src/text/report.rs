//! What is wrong with a configuration: every problem with its place, underlined, with what was expected.

use std::fmt::Write as _;
use std::ops::Range;

use serde_json::{Value, json};

/// How much a problem matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, and probably does something else than was meant.
    Warning,
}

/// The kinds of problems, by names that scripts may rely on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    /// The file, or one it names, cannot be read.
    Unreadable,
    /// Not TOML.
    Syntax,
    /// The same key or table twice.
    Duplicate,
    /// A key or table that does not exist.
    UnknownKey,
    /// A key that has to be there is not.
    MissingKey,
    /// A string where a number belongs, and the like.
    WrongType,
    /// A bare number where a unit is needed.
    MissingUnit,
    /// The right type, and not a value that makes sense.
    BadValue,
    /// Too small or too large.
    OutOfRange,
    /// Two settings that exclude each other.
    Conflict,
    /// Something in a root hints file.
    RootHints,
    /// Something in a file of trust anchors.
    TrustAnchors,
    /// Something in a file of public suffixes.
    PublicSuffixes,
    /// Legal and most likely not wanted.
    Suspicious,
}

impl Code {
    /// The name in reports: `error[unknown-key]`.
    pub fn name(self) -> &'static str {
        match self {
            Code::Unreadable => "unreadable",
            Code::Syntax => "syntax",
            Code::Duplicate => "duplicate",
            Code::UnknownKey => "unknown-key",
            Code::MissingKey => "missing-key",
            Code::WrongType => "wrong-type",
            Code::MissingUnit => "missing-unit",
            Code::BadValue => "bad-value",
            Code::OutOfRange => "out-of-range",
            Code::Conflict => "conflict",
            Code::RootHints => "root-hints",
            Code::TrustAnchors => "trust-anchors",
            Code::PublicSuffixes => "public-suffixes",
            Code::Suspicious => "suspicious",
        }
    }
}

/// A place in one of the report's texts, and what is to be said of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label {
    /// Which of [`Report::sources`].
    pub source: usize,
    /// Octets of that text.
    pub span: Range<usize>,
    /// A few words to stand behind the underline.
    pub text: String,
}

/// One thing to be mended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    pub severity: Severity,
    pub code: Code,
    /// What is wrong, in one line.
    pub message: String,
    /// Where: the first is the place to go to, the others say why.
    pub labels: Vec<Label>,
    /// How to mend it.
    pub help: Option<String>,
    /// The setting concerned, as `check --explain` takes it: `server.listen`.
    pub key: Option<String>,
}

impl Problem {
    /// An error without a place yet.
    pub fn error(code: Code, message: impl Into<String>) -> Problem {
        Problem { severity: Severity::Error, code, message: message.into(), labels: Vec::new(), help: None, key: None }
    }

    /// A warning without a place yet.
    pub fn warning(message: impl Into<String>) -> Problem {
        Problem { severity: Severity::Warning, ..Problem::error(Code::Suspicious, message) }
    }

    /// Adds a place in the configuration file.
    pub fn at(self, span: Range<usize>, text: impl Into<String>) -> Problem {
        self.within(0, span, text)
    }

    /// Adds a place in the `source`th text.
    pub fn within(mut self, source: usize, span: Range<usize>, text: impl Into<String>) -> Problem {
        self.labels.push(Label { source, span, text: text.into() });
        self
    }

    /// Says how to mend it.
    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    /// Names the setting concerned.
    pub fn about(mut self, key: impl Into<String>) -> Problem {
        self.key = Some(key.into());
        self
    }
}

/// A text that problems point into.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// As the user named it.
    pub name: String,
    pub text: String,
    /// Where each line begins.
    starts: Vec<usize>,
}

/// A place as people count: from 1, in characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl Source {
    /// A text by its name.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Source {
        let text = text.into();
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Source { name: name.into(), text, starts }
    }

    /// Line and column of an octet; the end of the text for one beyond it.
    pub fn position(&self, octet: usize) -> Position {
        let octet = self.floor(octet);
        let line = self.starts.partition_point(|&start| start <= octet);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        Position { line, column: self.text[start..octet].chars().count() + 1 }
    }

    /// The octets of a line by its number from 1, without the blanks at its ends; the end of the text beyond the last.
    pub fn span(&self, number: usize) -> Range<usize> {
        let start = self.starts.get(number.saturating_sub(1)).copied().unwrap_or(self.text.len());
        let line = self.text[start..].split('\n').next().unwrap_or("");
        let begin = start + (line.len() - line.trim_start().len());
        begin..begin + line.trim().len()
    }

    /// The start of the character that `octet` is in.
    fn floor(&self, octet: usize) -> usize {
        let mut at = octet.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    /// A line by its number from 1, without its end.
    fn line(&self, number: usize) -> &str {
        let start = self.starts.get(number - 1).copied().unwrap_or(self.text.len());
        self.text[start..].split('\n').next().unwrap_or("").trim_end_matches('\r')
    }
}

/// All that was found in one reading.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// The configuration file first, then files it names.
    pub sources: Vec<Source>,
    pub problems: Vec<Problem>,
}

impl Report {
    /// An empty report on `text`.
    pub fn on(name: impl Into<String>, text: impl Into<String>) -> Report {
        Report { sources: vec![Source::new(name, text)], problems: Vec::new() }
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    /// How many warnings there are.
    pub fn warnings(&self) -> usize {
        self.problems.len() - self.errors()
    }

    /// Where a label begins.
    pub fn position(&self, label: &Label) -> Option<Position> {
        self.sources.get(label.source).map(|source| source.position(label.span.start))
    }

    /// Puts the problems in the order of the text, and keeps one of each where it is said twice.
    pub fn sort(&mut self) {
        self.problems.sort_by_key(|problem| problem.labels.first().map(|label| (label.source, label.span.start)));
        self.problems.dedup();
    }

    /// For people.
    pub fn human(&self, colours: bool) -> String {
        let ink = if colours { Ink::COLOURED } else { Ink::PLAIN };
        let mut out = String::new();
        for problem in &self.problems {
            self.draw(&mut out, problem, &ink);
            // What concerns the file as a whole is said in its one line.
            if let [alone] = &self.problems[..]
                && alone.labels.is_empty()
            {
                return out;
            }
            out.push('\n');
        }
        out.push_str(&self.summary());
        out.push('\n');
        out
    }

    /// `maeslant.toml: 2 errors, 1 warning`.
    pub fn summary(&self) -> String {
        let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        let name = self.sources.first().map_or("", |source| source.name.as_str());
        match (self.errors(), self.warnings()) {
            (0, 0) => format!("{name}: ok"),
            (0, warnings) => format!("{name}: ok, {}", count(warnings, "warning")),
            (errors, 0) => format!("{name}: {}", count(errors, "error")),
            (errors, warnings) => format!("{name}: {}, {}", count(errors, "error"), count(warnings, "warning")),
        }
    }

    /// For programs; lines and columns count from 1, columns in characters.
    pub fn json(&self) -> Value {
        let place = |label: &Label| {
            let source = self.sources.get(label.source)?;
            let (start, end) = (source.position(label.span.start), source.position(label.span.end));
            Some(json!({
                "file": source.name, "line": start.line, "column": start.column,
                "end_line": end.line, "end_column": end.column, "text": label.text,
            }))
        };
        let problems: Vec<Value> = self
            .problems
            .iter()
            .map(|problem| {
                json!({
                    "severity": match problem.severity { Severity::Error => "error", Severity::Warning => "warning" },
                    "code": problem.code.name(),
                    "message": problem.message,
                    "key": problem.key,
                    "help": problem.help,
                    "places": problem.labels.iter().filter_map(place).collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({
            "file": self.sources.first().map(|source| source.name.as_str()),
            "errors": self.errors(), "warnings": self.warnings(), "problems": problems,
        })
    }

    fn draw(&self, out: &mut String, problem: &Problem, ink: &Ink) {
        let (word, tint) = match problem.severity {
            Severity::Error => ("error", ink.error),
            Severity::Warning => ("warning", ink.warning),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{tint}{word}[{}]{}{}: {}{}",
            problem.code.name(),
            ink.end,
            ink.bold,
            problem.message,
            ink.end
        );
        let gutter = problem
            .labels
            .iter()
            .filter_map(|label| self.position(label))
            .map(|at| at.line.to_string().len())
            .max()
            .unwrap_or(1);
        let mut drawn: Option<(usize, usize)> = None;
        let mut labels: Vec<(bool, &Label)> =
            problem.labels.iter().enumerate().map(|(rank, label)| (rank == 0, label)).collect();
        // The head names the first label's place; the lines below stand in the order of the text.
        if let Some((label, at)) = problem.labels.first().and_then(|label| Some((label, self.position(label)?))) {
            let name = &self.sources[label.source].name;
            let _ = writeln!(out, "{:gutter$}{}-->{} {name}:{}:{}", "", ink.frame, ink.end, at.line, at.column);
            let _ = writeln!(out, "{:gutter$} {}|{}", "", ink.frame, ink.end);
        }
        labels.sort_by_key(|(_, label)| (label.source, label.span.start));
        for (primary, label) in labels {
            self.draw_label(out, label, gutter, &mut drawn, if primary { ('^', tint) } else { ('-', ink.frame) }, ink);
        }
        if let Some(help) = &problem.help {
            let _ = writeln!(out, "{:gutter$} {}={} help: {help}", "", ink.frame, ink.end);
        }
        if let Some(key) = &problem.key {
            let _ = writeln!(out, "{:gutter$} {}={} more: maeslant check --explain {key}", "", ink.frame, ink.end);
        }
    }

    fn draw_label(
        &self,
        out: &mut String,
        label: &Label,
        gutter: usize,
        drawn: &mut Option<(usize, usize)>,
        (mark, tint): (char, &str),
        ink: &Ink,
    ) {
        let Some(source) = self.sources.get(label.source) else { return };
        let at = source.position(label.span.start);
        let end = source.position(label.span.end.max(label.span.start));
        let strip = Strip::cut(source.line(at.line), at.column - 1);
        if *drawn != Some((label.source, at.line)) {
            if drawn.is_some_and(|(_, line)| line + 1 != at.line) {
                let _ = writeln!(out, "{:gutter$} {}:{}", "", ink.frame, ink.end);
            }
            let _ = writeln!(out, "{}{:>gutter$} |{} {}", ink.frame, at.line, ink.end, strip.shown);
            *drawn = Some((label.source, at.line));
        }
        let stop = if end.line == at.line { end.column - 1 } else { usize::MAX };
        let (from, width) = strip.underline(at.column - 1, stop);
        let marks: String = std::iter::repeat_n(mark, width).collect();
        let _ = writeln!(
            out,
            "{:gutter$} {}|{} {:from$}{tint}{marks}{}{}{}",
            "",
            ink.frame,
            ink.end,
            "",
            if label.text.is_empty() { "" } else { " " },
            label.text,
            if tint.is_empty() { "" } else { ink.end },
        );
    }
}

/// A line made fit to be shown: tabs widened, control characters replaced, long lines cut around the place meant.
struct Strip {
    shown: String,
    /// For each character of the line from `first` on, where it stands in `shown`; one more for the end.
    stops: Vec<usize>,
    first: usize,
}

/// Characters of a line that are shown at most.
const STRIP_WIDTH: usize = 160;
/// Characters shown before the place meant, where the line is too long.
const STRIP_LEAD: usize = 60;

impl Strip {
    fn cut(line: &str, column: usize) -> Strip {
        let length = line.chars().count();
        let first = if length > STRIP_WIDTH { column.saturating_sub(STRIP_LEAD) } else { 0 };
        let mut shown = String::new();
        let mut width = 0;
        let mut stops = Vec::new();
        if first > 0 {
            shown.push('…');
            width = 1;
        }
        for character in line.chars().skip(first).take(STRIP_WIDTH) {
            stops.push(width);
            match character {
                '\t' => {
                    shown.push_str("    ");
                    width += 4;
                }
                // A terminal must not obey a configuration file.
                control if control.is_control() => {
                    shown.push('\u{fffd}');
                    width += 1;
                }
                other => {
                    shown.push(other);
                    width += 1;
                }
            }
        }
        stops.push(width);
        if first + STRIP_WIDTH < length {
            shown.push('…');
        }
        Strip { shown, stops, first }
    }

    /// Start and width of the underline for the characters `from..to` of the line; at least one wide.
    fn underline(&self, from: usize, to: usize) -> (usize, usize) {
        let last = self.stops.len() - 1;
        let stop = |at: usize| self.stops[at.saturating_sub(self.first).min(last)];
        let start = stop(from);
        (start, stop(to).saturating_sub(start).max(1))
    }
}

/// Terminal colours, or none.
struct Ink {
    error: &'static str,
    warning: &'static str,
    frame: &'static str,
    bold: &'static str,
    end: &'static str,
}

impl Ink {
    const PLAIN: Ink = Ink { error: "", warning: "", frame: "", bold: "", end: "" };
    const COLOURED: Ink =
        Ink { error: "\x1b[1;31m", warning: "\x1b[1;33m", frame: "\x1b[1;34m", bold: "\x1b[1m", end: "\x1b[0m" };
}
