//! Logs: lines on standard error, text or JSON.

use std::io::IsTerminal;
use std::panic;
use std::sync::OnceLock;

use tracing::{error, warn};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use super::Error;
use crate::config::report::Report;
use crate::config::{LogFormat, LogPolicy};

/// The target of the line that says the server answers. It is logged at every level: whoever
/// started the server waits for it.
pub const SERVING: &str = "maeslant::serving";
/// How the filter is changed, once there is one.
static FILTER: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();

/// Logs to standard error from now on. A program that logs elsewhere already keeps doing so.
pub fn init(policy: &LogPolicy) -> Result<(), Error> {
    let filter = filter(&policy.level)?;
    // A log that cannot be written is no reason to stop serving, nor to complain to the same place.
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    // It fails only if there is another subscriber, which then stays, and keeps its level too.
    match policy.format {
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            let handle = builder.reload_handle();
            if builder.finish().try_init().is_ok() {
                let _ = FILTER.set(Box::new(move |filter| drop(handle.reload(filter))));
            }
        }
        LogFormat::Text => {
            let builder = builder.with_ansi(std::io::stderr().is_terminal()).with_filter_reloading();
            let handle = builder.reload_handle();
            if builder.finish().try_init().is_ok() {
                let _ = FILTER.set(Box::new(move |filter| drop(handle.reload(filter))));
            }
        }
    }
    Ok(())
}

/// Says in the log what is hardly meant in a configuration that can be used.
pub fn warn_of(report: &Report) {
    for problem in &report.problems {
        let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        let key = problem.key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default();
        warn!("configuration: {key}{}{help}", problem.message);
    }
}

/// Changes what is logged from now on.
pub fn set_level(level: &str) {
    if let (Some(change), Ok(filter)) = (FILTER.get(), filter(level)) {
        change(filter);
    }
}

/// Our own lines at `level`, those of libraries from warnings upwards.
fn filter(level: &str) -> Result<EnvFilter, Error> {
    let libraries = match level {
        "error" => "error",
        "warn" | "info" | "debug" | "trace" => "warn",
        other => {
            return Err(Error::Config(format!(
                "[log] level \"{other}\" is unknown: expected error, warn, info, debug or trace"
            )));
        }
    };
    EnvFilter::try_new(format!("{libraries},maeslant={level},{SERVING}=info"))
        .map_err(|error| Error::Config(format!("[log] level: {error}")))
}

/// Panics become one line of the log, with the place where they happened.
pub fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("a thread").to_owned();
        error!("{name} panicked at {place}: {}", said(panic.payload()));
    }));
}

/// What a panic says, in one line.
pub fn said(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a word".to_owned());
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_taken_and_no_other_word() {
        for level in ["error", "warn", "info", "debug", "trace"] {
            assert!(filter(level).is_ok(), "{level}");
        }
        let error = filter("loud").expect_err("not a level").to_string();
        assert!(error.contains("\"loud\"") && error.contains("expected error, warn, info"), "{error}");
    }

    #[test]
    fn the_line_that_says_it_answers_is_logged_at_every_level() {
        for level in ["error", "warn", "info"] {
            let text = filter(level).expect("a level").to_string();
            assert!(text.contains("maeslant::serving=info"), "{text}");
        }
    }
}
