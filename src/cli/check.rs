//! `maeslant check`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use maeslant::config::report::Report;
use maeslant::config::{self, Settings, print};

/// Find the mistakes in a configuration file, all at once.
///
/// Each is shown with its file, line and column, the text underlined, what was expected, and what was probably meant.
/// Nothing is started and no network is touched. Without FILE the built-in defaults are checked.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  maeslant check my.toml
  maeslant check my.toml --format json | jq '.problems[].message'
  maeslant check --print default > my.toml
  maeslant check --print schema > maeslant.schema.json
  maeslant check --explain cache.memory

Exit codes:
  0  the configuration can be used; there may be warnings
  2  it cannot be used, or there is no such setting to explain")]
pub struct Args {
    /// The configuration file; - is the standard input.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Print a configuration to the standard output instead of "ok".
    #[arg(long, value_name = "WHAT")]
    pub print: Option<Print>,
    /// Say all that is known of a setting, such as server.listen, or of a table, such as server.
    #[arg(long, value_name = "KEY", conflicts_with_all = ["file", "print", "format"])]
    pub explain: Option<String>,
    /// How to report: underlined text on the standard error, or JSON on the standard output.
    #[arg(long, value_name = "FORMAT", default_value = "human", conflicts_with = "print")]
    pub format: Format,
}

/// What `--print` prints.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Print {
    /// What FILE amounts to, with every default filled in
    Effective,
    /// Every setting with its default and what it means
    Default,
    /// The JSON schema of the configuration file, for editors
    Schema,
}

/// What `--format` chooses.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Human,
    /// For programs: {"errors": 0, "warnings": 0, "problems": [...]}
    Json,
}

/// Checks, prints or explains.
pub fn run(args: &Args) -> ExitCode {
    if let Some(key) = &args.explain {
        return match print::explain(key) {
            Ok(text) => super::print(&text),
            Err(message) => {
                eprintln!("error: {message}");
                ExitCode::from(super::UNUSABLE)
            }
        };
    }
    let (settings, report) = match &args.file {
        Some(path) => config::load(path),
        None => (Some(Settings::default()), Report::on("the defaults", "")),
    };
    let printed = match (args.print, args.format, &settings) {
        (Some(Print::Default), ..) => super::print(&print::defaults()),
        (Some(Print::Schema), ..) => super::print(&format!("{:#}\n", print::schema())),
        (Some(Print::Effective), _, Some(settings)) => super::print(&print::effective(settings)),
        (Some(Print::Effective), _, None) => ExitCode::SUCCESS,
        (None, Format::Json, _) => super::print(&format!("{:#}\n", report.json())),
        (None, Format::Human, _) if report.problems.is_empty() => super::print(&format!("{}\n", report.summary())),
        (None, Format::Human, _) => ExitCode::SUCCESS,
    };
    if !report.problems.is_empty() && args.format == Format::Human {
        super::show(&report);
    }
    if settings.is_some() { printed } else { ExitCode::from(super::UNUSABLE) }
}
