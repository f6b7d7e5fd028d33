//! Limits of which one is a part of the other.

use super::super::report::{Code, Problem};
use super::super::units;
use super::{Reading, between};

/// A limit, its value, and how that is written.
type Limit = (&'static str, u64, fn(u64) -> String);

/// Checks that no part is more than the whole. Where only the whole was written, the part is as much as that if its default is
/// more.
pub fn check(reading: &mut Reading) {
    lower_defaults(reading);
    let (listener, limits) = (&reading.settings.listener, &reading.settings.engine.access.limits);
    let count: fn(u64) -> String = |count| count.to_string();
    let rate: fn(u64) -> String = |rate| format!("{rate}/s");
    let connections = |key, connections: usize| (key, connections as u64, count);
    let pairs: [(Limit, Limit, &str); 3] = [
        (
            connections("server.tcp_connections_per_client", listener.tcp_connections_per_client),
            connections("server.tcp_connections_per_prefix", listener.tcp_connections_per_prefix),
            "one client may have more connections than all of its prefix",
        ),
        (
            ("limits.same_answer_ration", limits.same_answer_ration, units::write_size),
            ("limits.ration", limits.ration, units::write_size),
            "one answer may take more octets than all together",
        ),
        (
            ("limits.zone_watch", u64::from(limits.zone_watch), rate),
            ("limits.zone_rate", u64::from(limits.zone_rate), rate),
            "a zone is held to fewer questions than make it suspicious",
        ),
    ];
    let mut problems = Vec::new();
    for ((part, less, write), (whole, more, _), what) in pairs {
        if less <= more || reading.sound(part).is_none() || reading.broken(whole) {
            continue;
        }
        let by_default = if reading.sound(whole).is_none() { " (the default)" } else { "" };
        let (less, more) = (write(less), write(more));
        let problem = Problem::error(
            Code::Conflict,
            format!("{what}: `{part}` {less} is more than `{whole}` {more}{by_default}"),
        )
        .help("raise the latter, or lower the former")
        .about(part);
        problems.push(between(reading, problem, [(part, less), (whole, more)]));
    }
    reading.report.problems.append(&mut problems);
}

/// Lowers parts that were not written to what was written of the whole.
fn lower_defaults(reading: &mut Reading) {
    let written = |key| reading.sound(key).is_some();
    let parts = ["server.tcp_connections_per_client", "limits.same_answer_ration", "limits.zone_watch"];
    let [one_client, same_answer, zone_watch] = parts.map(|part| !written(part));
    let (listener, limits) = (&mut reading.settings.listener, &mut reading.settings.engine.access.limits);
    if one_client {
        listener.tcp_connections_per_client =
            listener.tcp_connections_per_client.min(listener.tcp_connections_per_prefix);
    }
    if same_answer {
        limits.same_answer_ration = limits.same_answer_ration.min(limits.ration);
    }
    if zone_watch {
        limits.zone_watch = limits.zone_watch.min(limits.zone_rate);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{examine, print};

    #[test]
    fn a_part_that_was_not_written_is_no_more_than_the_whole_and_what_is_printed_can_be_read() {
        for (text, printed) in [
            ("[server]\ntcp_connections_per_prefix = 2", "tcp_connections_per_client = 2 "),
            ("[limits]\nration = \"2KiB\"", "same_answer_ration = \"2KiB\" "),
            ("[limits]\nzone_rate = \"9/s\"", "zone_watch = \"9/s\" "),
        ] {
            let (settings, _) = examine(text, Path::new("test.toml"));
            let settings = settings.expect(text);
            let effective = print::effective(&settings);
            assert!(effective.contains(printed), "no `{printed}` in\n{effective}");
            let (again, report) = examine(&effective, Path::new("test.toml"));
            assert_eq!(again.as_ref(), Some(&settings), "{}", report.human(false));
        }
    }

    #[test]
    fn no_part_is_more_than_the_whole() {
        for (text, parts) in [
            (
                "[server]\ntcp_connections_per_prefix = 6\ntcp_connections_per_client = 7",
                &[
                    "more connections than all of its prefix",
                    "3 | tcp_connections_per_client",
                    "2 | tcp_connections_per",
                ][..],
            ),
            (
                "[limits]\nration = \"2KiB\"\nsame_answer_ration = \"3KiB\"",
                &["more octets than all together", "3KiB is more than", "3 | same_answer_ration", "2 | ration"],
            ),
            ("[limits]\nsame_answer_ration = \"1MiB\"", &["256KiB (the default)", "2 | same_answer_ration"]),
            (
                "[limits]\nzone_watch = \"60/s\"\nzone_rate = \"50/s\"",
                &["than make it suspicious", "60/s is more than", "2 | zone_watch", "3 | zone_rate"],
            ),
        ] {
            let (settings, report) = examine(text, Path::new("test.toml"));
            let shown = report.human(false);
            assert!(settings.is_none() && report.problems.len() == 1, "{text}\n{shown}");
            for part in parts {
                assert!(shown.contains(part), "{text}: no `{part}` in\n{shown}");
            }
        }
        for text in
            ["[server]\ntcp_connections_per_prefix = 2", "[limits]\nration = \"2KiB\"", "[limits]\nzone_rate = \"9/s\""]
        {
            let (_, report) = examine(text, Path::new("test.toml"));
            assert!(report.problems.is_empty(), "{text}\n{}", report.human(false));
        }
    }
}
