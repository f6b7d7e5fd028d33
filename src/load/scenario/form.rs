//! Tables of a scenario, read key by key; every problem is kept with its place, and nothing is given up at the first.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::text::nearest;
use crate::text::report::{Code, Problem, Report};
use crate::text::units::{self, Wrong};

/// A value with its place.
pub type Value<'a> = &'a Spanned<DeValue<'a>>;

/// One table under reading.
pub struct Form<'a> {
    /// As it is written in the text: `[[stream]]`.
    pub title: String,
    pub span: Range<usize>,
    table: &'a DeTable<'a>,
    asked: RefCell<Vec<&'static str>>,
    report: &'a RefCell<Report>,
    sound: Cell<bool>,
}

impl<'a> Form<'a> {
    /// A table and where its problems go.
    pub fn new(
        title: impl Into<String>,
        span: Range<usize>,
        table: &'a DeTable<'a>,
        report: &'a RefCell<Report>,
    ) -> Self {
        Form { title: title.into(), span, table, asked: RefCell::default(), report, sound: Cell::new(true) }
    }

    /// Adds a problem.
    pub fn fail(&self, problem: Problem) {
        self.sound.set(false);
        self.report.borrow_mut().problems.push(problem);
    }

    /// Adds a problem at a place in the text.
    pub fn wrong(&self, span: Range<usize>, message: impl Into<String>, label: impl Into<String>) {
        self.fail(Problem::error(Code::BadValue, message).at(span, label));
    }

    /// Whether nothing was wrong so far.
    pub fn is_sound(&self) -> bool {
        self.sound.get()
    }

    /// A key's value, if it is there.
    pub fn get(&self, key: &'static str) -> Option<Value<'a>> {
        self.asked.borrow_mut().push(key);
        self.table.iter().find(|(k, _)| k.get_ref() == key).map(|(_, value)| value)
    }

    /// Where a key's value stands; the table if it is not there.
    pub fn place(&self, key: &'static str) -> Range<usize> {
        self.get(key).map_or(self.span.clone(), Spanned::span)
    }

    /// Says that a key is missing.
    pub fn missing(&self, key: &str, example: &str) {
        self.fail(
            Problem::error(Code::MissingKey, format!("this {} has no `{key}`", self.title))
                .at(self.span.clone(), format!("`{key}` is missing"))
                .help(format!("add {key} = {example}")),
        );
    }

    fn wrong_type(&self, key: &str, value: Value<'_>, wanted: &str) {
        let message = format!("`{key}` is {wanted}, not {}", kind_of(value.get_ref()));
        self.fail(Problem::error(Code::WrongType, message).at(value.span(), format!("expected {wanted}")));
    }

    /// Reads a string's value with `parse`.
    pub fn parsed<T>(
        &self,
        key: &'static str,
        value: Value<'_>,
        wanted: &str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            _ => {
                self.wrong_type(key, value, wanted);
                return None;
            }
        };
        match parse(&text) {
            Ok(parsed) => Some(parsed),
            Err(wrong) => {
                let code = if wrong.what == units::UNIT_MISSING { Code::MissingUnit } else { Code::BadValue };
                let problem =
                    Problem::error(code, format!("`{key}` cannot be \"{text}\"")).at(value.span(), wrong.what);
                self.fail(match wrong.help {
                    Some(help) => problem.help(help),
                    None => problem,
                });
                None
            }
        }
    }

    /// A string.
    pub fn string(&self, key: &'static str) -> Option<String> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            _ => {
                self.wrong_type(key, value, "a string in quotes");
                None
            }
        }
    }

    /// `true` or `false`.
    pub fn flag(&self, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            _ => {
                self.wrong_type(key, value, "true or false");
                None
            }
        }
    }

    /// A duration, such as `"30s"`.
    pub fn duration(&self, key: &'static str) -> Option<Duration> {
        self.parsed(key, self.get(key)?, "a duration such as \"30s\"", units::duration)
    }

    /// A whole number within a range.
    pub fn count(&self, key: &'static str, min: u64, max: u64) -> Option<u64> {
        let value = self.get(key)?;
        let DeValue::Integer(number) = value.get_ref() else {
            self.wrong_type(key, value, "a whole number");
            return None;
        };
        match u64::from_str_radix(number.as_str(), number.radix()).ok().filter(|n| (min..=max).contains(n)) {
            Some(number) => Some(number),
            None => {
                let problem = Problem::error(Code::OutOfRange, format!("`{key}` is out of range"));
                self.fail(problem.at(value.span(), format!("expected {min} to {max}")));
                None
            }
        }
    }

    /// A number within a range.
    pub fn number(&self, key: &'static str, min: f64, max: f64) -> Option<f64> {
        let value = self.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) => number.as_str().parse::<f64>().ok(),
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            _ => None,
        };
        let Some(number) = number else {
            self.wrong_type(key, value, "a number");
            return None;
        };
        if !(min..=max).contains(&number) {
            let problem = Problem::error(Code::OutOfRange, format!("`{key}` is out of range"));
            self.fail(problem.at(value.span(), format!("expected {min} to {max}")));
            return None;
        }
        Some(number)
    }

    /// One of some words; anything else gets the nearest suggested.
    pub fn word(&self, key: &'static str, words: &[&'static str]) -> Option<&'static str> {
        self.word_in(key, self.get(key)?, words)
    }

    /// A value that is one of some words.
    pub fn word_in(&self, key: &str, value: Value<'_>, words: &[&'static str]) -> Option<&'static str> {
        let DeValue::String(text) = value.get_ref() else {
            self.wrong_type(key, value, "a word in quotes");
            return None;
        };
        if let Some(word) = words.iter().find(|word| **word == text.as_ref()) {
            return Some(word);
        }
        let help = match nearest(text, words.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("expected one of {}", words.join(", ")),
        };
        let problem = Problem::error(Code::BadValue, format!("`{key}` cannot be \"{text}\""));
        self.fail(problem.at(value.span(), "not known").help(help));
        None
    }

    /// A list of strings read with `parse`; one string alone is a list of one.
    pub fn list<T>(&self, key: &'static str, wanted: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> Option<Vec<T>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Array(array) => {
                Some(array.iter().filter_map(|item| self.parsed(key, item, wanted, &parse)).collect())
            }
            _ => self.parsed(key, value, wanted, parse).map(|one| vec![one]),
        }
    }

    /// A list of prefixes.
    pub fn prefixes(&self, key: &'static str) -> Option<Vec<IpNet>> {
        self.list(key, "a prefix such as \"127.10.0.0/16\"", units::prefix)
    }

    /// An address and port.
    pub fn address(&self, key: &'static str) -> Option<SocketAddr> {
        self.parsed(key, self.get(key)?, "an address and port such as \"127.0.0.1:5300\"", units::listener)
    }

    /// A table within this one.
    pub fn table(&self, key: &'static str, title: &str) -> Option<Form<'a>> {
        let value = self.get(key)?;
        self.as_table(key, value, title)
    }

    /// A value that is a table.
    pub fn as_table(&self, key: &str, value: Value<'a>, title: &str) -> Option<Form<'a>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Form::new(title, value.span(), table, self.report)),
            _ => {
                self.wrong_type(key, value, "a table");
                None
            }
        }
    }

    /// A list of tables.
    pub fn tables(&self, key: &'static str, title: &str) -> Vec<Form<'a>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        match value.get_ref() {
            DeValue::Array(array) => array.iter().filter_map(|item| self.as_table(key, item, title)).collect(),
            DeValue::Table(_) => {
                let problem = Problem::error(Code::WrongType, format!("`{key}` is a list of tables"));
                self.fail(problem.at(value.span(), "only one").help(format!("write {title}, with two brackets")));
                Vec::new()
            }
            _ => {
                self.wrong_type(key, value, "a list of tables");
                Vec::new()
            }
        }
    }

    /// Names the keys that nobody asked for, and gives whether all was well.
    pub fn finish(&self) -> bool {
        let asked = self.asked.borrow().clone();
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if asked.contains(&name) {
                continue;
            }
            let mut known = asked.clone();
            known.sort_unstable();
            known.dedup();
            let help = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its keys are {}", known.join(", ")),
            };
            let problem = Problem::error(Code::UnknownKey, format!("{} has no key `{name}`", self.title));
            self.fail(problem.at(key.span(), "not known here").help(help));
        }
        self.is_sound()
    }
}

/// What a value is, in words.
pub fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
