//! Reports say what was measured, whatever is in the names.

use super::*;
use crate::load::outcome::{Row, Sample, StreamOutcome, Verdict};

fn outcome() -> Outcome {
    let row = |asked: u64, success: u64| Row {
        asked,
        success,
        answered: success,
        unanswered: asked - success,
        p50: 0.001,
        p99: 0.25,
        rcodes: [("NOERROR".to_owned(), success)].into(),
        ..Row::default()
    };
    let stream = |name: &str, role: &str, seconds: Vec<Row>| StreamOutcome {
        name: name.into(),
        role: role.into(),
        total: row(seconds.iter().map(|s| s.asked).sum(), seconds.iter().map(|s| s.success).sum()),
        seconds,
    };
    Outcome {
        scenario: "<b>bad & \"name\"".into(),
        streams: vec![
            stream("customers", "legit", vec![row(100, 100), row(100, 50)]),
            stream("bots", "attack", vec![row(0, 0), row(12_345, 0)]),
        ],
        attacked: vec![(1, 2)],
        samples: vec![Sample { upstream: 7, cpu: Some(0.5), memory: Some(1 << 25), ..Sample::default() }; 2],
        verdicts: vec![Verdict { title: "customers: success >= 99.00 %".into(), line: 9, ..Verdict::default() }],
        text: "# <script>".into(),
        ..Outcome::default()
    }
}

#[test]
fn the_page_stands_alone_and_escapes_what_it_shows() {
    let page = html(&outcome(), Some(&compare(&outcome(), &outcome())));
    assert!(!page.contains("<script") && !page.contains("<b>bad"));
    assert!(!page.contains("http") && !page.contains("url("), "it asks nobody for anything");
    assert!(page.contains("50.00 %") && page.contains("100.00 %") && page.contains("12,345"));
    assert_eq!(page.matches("<table").count(), page.matches("<caption>").count(), "every table says what it is");
    assert!(page.contains("role=\"img\"") && page.contains("scope=\"row\"") && page.contains("lang=\"en\""));
    assert!(page.contains("prefers-color-scheme:dark") && page.contains("@media print"));
    for tag in ["table", "section", "figure", "details", "tbody", "tr", "svg", "div"] {
        let (opened, closed) = (page.matches(&format!("<{tag}")).count(), page.matches(&format!("</{tag}>")).count());
        let same_start = if tag == "tr" { page.matches("<track").count() } else { 0 };
        assert_eq!(opened - same_start, closed, "{tag}");
    }
}

#[test]
fn a_failed_expectation_is_a_failed_test_case() {
    let text = junit(&outcome());
    assert!(text.contains("tests=\"2\" failures=\"1\"") && text.contains("line 9"));
    assert!(text.contains("&lt;b&gt;bad &amp; &quot;name&quot;"));
}

#[test]
fn the_table_shows_shares_that_are_not_rounded_up() {
    let mut almost = outcome();
    almost.streams[0].total.success = 199;
    almost.streams[0].total.answered = 200;
    almost.streams[0].total.unanswered = 0;
    almost.streams[0].total.asked = 200;
    let text = summary(&almost);
    assert!(text.contains("99.50 %") && text.contains("FAIL") && text.contains("verdict: failed"), "{text}");
    assert!(side_by_side(&[almost, outcome()]).contains("customers: success"));
}

#[test]
fn a_baseline_tells_better_from_worse() {
    let mut slow = outcome();
    slow.streams[0].total.p99 = 0.5;
    slow.streams[1].total.p99 = 0.5;
    let worse: Vec<String> = compare(&outcome(), &slow).into_iter().filter(|c| c.worse).map(|c| c.title).collect();
    assert_eq!(worse, ["customers: p99"], "of an attack nothing is better or worse");
    assert!(compare(&slow, &outcome()).iter().any(|c| c.better));
}

#[test]
fn a_server_that_is_silent_now_is_not_faster() {
    let mut dead = outcome();
    let total = &mut dead.streams[0].total;
    (total.success, total.answered, total.unanswered) = (0, 0, total.asked);
    (total.p50, total.p99) = (0.0, 0.0);
    let changes = compare(&outcome(), &dead);
    assert!(changes.iter().all(|c| !c.better), "{changes:?}");
    assert_eq!(changes.iter().filter(|c| c.worse).count(), 3, "{changes:?}");
    assert!(changes.iter().any(|c| c.title == "customers: p99" && c.now == "–"));
}

/// A scenario is somebody's file: its names neither break XML nor command a terminal.
#[test]
fn names_break_no_report_and_command_no_terminal() {
    let mut odd = outcome();
    odd.scenario = "a\u{fffe}\u{ffff}\u{1b}]0;b\u{7}\u{9b}2J".into();
    odd.streams[0].name = "\u{1b}[2Jcustomers".into();
    for text in [junit(&odd), summary(&odd), side_by_side(&[odd.clone()]), html(&odd, None)] {
        assert!(!text.contains(['\u{fffe}', '\u{ffff}', '\u{1b}', '\u{7}', '\u{9b}']), "{text}");
    }
    let streams = [(odd.streams[0].name.clone(), crate::load::scenario::Role::Legit)];
    let ledger = crate::load::Ledger::new(1);
    let second = std::time::Duration::from_secs(1);
    let glance = Glance::new(&streams, &ledger, second, second);
    assert!(!line(&glance).contains('\u{1b}'));
    let screen = screen(&glance, &odd.scenario).join("\n");
    assert!(!screen.contains("[2J") || !screen.contains("\u{1b}[2J"), "{screen:?}");
    assert!(!screen.contains("\u{1b}]0"), "{screen:?}");
}

#[test]
fn dates_are_those_of_the_calendar() {
    assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
    assert_eq!(date(951_827_696), "2000-02-29 12:34:56 UTC");
    assert_eq!(date(1_767_225_599), "2025-12-31 23:59:59 UTC");
}
