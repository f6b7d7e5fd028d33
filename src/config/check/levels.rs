//! Levels of pressure that contradict each other: a higher one that begins sooner or allows more.

use super::super::report::{Code, Problem};
use super::super::table::SECTIONS;
use super::{Reading, between};
use crate::config::Settings;
use crate::config::shape::{Setting, Shape};

/// From the lowest.
const LEVELS: [&str; 3] = ["watch", "guard", "closed"];
/// What is allowed at a level; all other settings are marks.
const MEASURES: [&str; 4] = ["share", "strangers", "ration", "tcp_idle"];

/// Checks that the marks of a level are not below those of the level below it, and that it does not allow more.
pub fn check(reading: &mut Reading) {
    let mut settings = reading.settings.clone();
    let mut problems = Vec::new();
    for (lower, higher) in LEVELS.into_iter().zip(LEVELS.into_iter().skip(1)) {
        for setting in of(higher) {
            let Some(other) = of(lower).iter().find(|other| other.key == setting.key) else { continue };
            let paths = [higher, lower].map(|level| format!("level.{level}.{}", setting.key));
            let falls = match (number(setting, &mut settings), number(other, &mut settings)) {
                (Some(high), Some(low)) if MEASURES.contains(&setting.key) => high > low,
                (Some(high), Some(low)) => high < low,
                _ => false,
            };
            if falls && !paths.iter().any(|path| reading.broken(path)) {
                problems.push(contradiction(reading, setting.key, [higher, lower], &paths, &mut settings));
            }
        }
    }
    problems.into_iter().for_each(|problem| reading.say(problem));
}

fn contradiction(
    reading: &Reading,
    key: &str,
    [higher, lower]: [&str; 2],
    paths: &[String; 2],
    settings: &mut Settings,
) -> Problem {
    let mut value = |level: &str, path: &str| {
        let written = of(level).iter().find(|setting| setting.key == key).and_then(|one| one.shape.write(settings));
        let by_default = if reading.sound(path).is_none() { " (the default)" } else { "" };
        format!("{}{by_default}", written.unwrap_or_default().replace('"', ""))
    };
    let values = [value(higher, &paths[0]), value(lower, &paths[1])];
    let (what, help) = if MEASURES.contains(&key) {
        ("allows more than", format!("`{key}` of {higher} is at most that of {lower}"))
    } else {
        ("begins sooner than", format!("`{key}` of {higher} is at least that of {lower}"))
    };
    let message = format!("[level.{higher}] `{key}` {} {what} [level.{lower}], which has {}", values[0], values[1]);
    let problem = Problem::error(Code::Conflict, message).help(help).about(&paths[0]);
    let places = [(&*paths[0], format!("{higher} is the higher level")), (&*paths[1], format!("{lower} is below it"))];
    between(reading, problem, places)
}

fn of(level: &str) -> &'static [Setting<Settings>] {
    let section = SECTIONS.iter().find(|section| section.name.strip_prefix("level.") == Some(level));
    section.map_or(&[], |section| section.settings)
}

/// A value to be compared; never is beyond all.
fn number(setting: &Setting<Settings>, settings: &mut Settings) -> Option<u128> {
    match setting.shape {
        Shape::Part { at, .. } => Some(u128::from(at(settings).0)),
        Shape::Span { at, .. } => Some(at(settings).as_millis()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use crate::admission::{LevelRules, Levels, Part};
    use crate::config::{examine, print};

    fn sole(text: &str) -> String {
        let (_, report) = examine(text, Path::new("test.toml"));
        assert_eq!(report.problems.len(), 1, "{text}\n{}", report.human(false));
        report.human(false)
    }

    #[test]
    fn every_key_of_a_level_changes_what_it_names() {
        let marks = "dropped = \"0.5%\"\nqueue = \"81.25%\"\ndelay = \"60ms\"\nin_flight = \"76%\"\nmemory = \"96%\"\n";
        let text = format!(
            "[level.watch]\nshare = \"800%\"\nbusy = \"60 %\"\n[level.guard]\nbusy = \"96%\"\n{marks}share = \"60%\"\n\
             strangers = \"50%\"\nration = \"5%\"\ntcp_idle = \"10%\"\n\
             [level.closed]\nshare = \"12.5%\"\nqueue = \"99%\"\ndropped = \"never\"\nration = \"0%\"\n"
        );
        let (settings, report) = examine(&text, Path::new("test.toml"));
        let settings = settings.unwrap_or_else(|| panic!("{}", report.human(false)));
        let Levels { watch, guard, closed } = settings.engine.access.limits.levels;
        let default = Levels::default();
        let percent = Part::percent;
        assert_eq!(watch, LevelRules { share: percent(800), busy: percent(60), ..default.watch });
        let wanted = LevelRules {
            busy: percent(96),
            dropped: Part(5_000),
            queue: Part(812_500),
            delay: Duration::from_millis(60),
            in_flight: percent(76),
            memory: percent(96),
            share: percent(60),
            strangers: percent(50),
            ration: percent(5),
            tcp_idle: percent(10),
        };
        assert_eq!(guard, wanted);
        let changed = (closed.share, closed.queue, closed.dropped, closed.ration);
        assert_eq!(changed, (Part(125_000), percent(99), Part::NEVER, Part(0)));
        let again = examine(&print::effective(&settings), Path::new("test.toml")).0;
        assert_eq!(again, Some(settings));
    }

    #[test]
    fn levels_that_contradict_each_other_are_shown_with_both_places() {
        for (text, parts) in [
            (
                "[level.watch]\ndropped = \"2%\"\n[level.guard]\ndropped = \"1%\"",
                &["[level.guard] `dropped` 1% begins sooner than [level.watch], which has 2%", "4 |", "2 |"][..],
            ),
            ("[level.watch]\nbusy = \"never\"", &["95% (the default) begins sooner", "2 | busy"]),
            ("[level.closed]\ndelay = \"10ms\"", &["10ms begins sooner than [level.guard]", "50ms (the default)"]),
            (
                "[level.guard]\nshare = \"200%\"\n[level.closed]\nshare = \"300%\"",
                &["[level.closed] `share` 300% allows more than [level.guard]", "4 | share", "2 | share"],
            ),
            (
                "[level.closed]\nstrangers = \"100%\"\n[level.guard]\nstrangers = \"50%\"",
                &["allows more", "2 | strangers"],
            ),
            ("[level.guard]\ntcp_idle = \"5%\"", &["[level.closed] `tcp_idle` 6.25% (the default) allows more"]),
            (
                "[level.guard]\nmemory = \"0%\"",
                &["`level.guard.memory` is out of range", "\"0.0001%\" to \"100%\", or \"never\""],
            ),
            ("[level.guard]\nbusy = 75", &["needs a unit", "write \"75%\""]),
            ("[level.guard]\nbusy = \"half\"", &["not a part", "write \"50%\""]),
            ("[level.guard]\nshare = \"never\"", &["out of range", "\"1%\" to \"10000%\""]),
            (
                "[level.watch]\nstrangers = \"50%\"",
                &["[level.watch] has no key `strangers`", "belongs below [level.guard]"],
            ),
            ("[level.gaurd]\nbusy = \"50%\"", &["there is no table `level.gaurd`", "did you mean [level.guard]?"]),
            ("[level]\nguard = 3", &["`level.guard` is a table, not a whole number"]),
        ] {
            let shown = sole(text);
            for part in parts {
                assert!(shown.contains(part), "{text}: no `{part}` in\n{shown}");
            }
        }
    }
}
