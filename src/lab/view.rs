//! What a lab shows: a compact screen, a plain line, a summary. Text only; who prints it, and when, is not decided
//! here.

use std::time::Duration;

use super::customers::Tally;

/// One reading of everything a view shows.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Reading {
    /// Time since the customers began.
    pub elapsed: Duration,
    pub tally: Tally,
    /// Queries the world's servers have seen.
    pub upstream: u64,
}

impl Reading {
    /// A share of a count over the time between two readings, per second.
    fn rate(&self, earlier: &Reading, of: impl Fn(&Reading) -> u64) -> f64 {
        let seconds = self.elapsed.saturating_sub(earlier.elapsed).as_secs_f64();
        of(self).saturating_sub(of(earlier)) as f64 / seconds.max(0.001)
    }

    /// Questions that ended with an answer.
    fn answered(&self) -> u64 {
        self.tally.rcodes.iter().sum()
    }

    /// The share of questions since `earlier` that cost no query to a server.
    fn spared(&self, earlier: &Reading) -> f64 {
        let asked = self.tally.asked.saturating_sub(earlier.tally.asked) as f64;
        let upstream = self.upstream.saturating_sub(earlier.upstream) as f64;
        if asked == 0.0 { 0.0 } else { (1.0 - upstream / asked).max(0.0) }
    }
}

const RCODES: [&str; 16] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "RCODE7", "RCODE8", "RCODE9",
    "RCODE10", "RCODE11", "RCODE12", "RCODE13", "RCODE14", "RCODE15",
];

fn time(span: Duration) -> String {
    match span.as_micros() {
        micros @ 0..1_000 => format!("{micros} µs"),
        micros @ 1_000..100_000 => format!("{:.1} ms", micros as f64 / 1e3),
        micros @ 100_000..1_000_000 => format!("{} ms", micros / 1_000),
        micros => format!("{:.1} s", micros as f64 / 1e6),
    }
}

fn percent(share: f64) -> String {
    // Rounded down: 100 % means every one.
    format!("{:.2} %", (share * 10_000.0).floor() / 100.0)
}

fn rcodes(tally: &Tally) -> String {
    let named = RCODES.iter().zip(tally.rcodes).filter(|(_, count)| *count > 0);
    let mut parts: Vec<String> = named.map(|(name, count)| format!("{name} {count}")).collect();
    if tally.timeouts > 0 {
        parts.push(format!("no answer {}", tally.timeouts));
    }
    parts.join("  ")
}

/// The lines of a screen, to be drawn over the ones before. `earlier` is a second or so old.
pub fn screen(now: &Reading, earlier: &Reading, title: &str) -> Vec<String> {
    let recent = now.tally.latencies.since(&earlier.tally.latencies);
    let mark = if now.tally.success() >= PASS { "\x1b[1;32m" } else { "\x1b[1;31m" };
    let (good, sound) = (now.tally.sound.1, now.tally.sound.0);
    vec![
        format!("\x1b[1m{title}\x1b[0m  {} s", now.elapsed.as_secs()),
        String::new(),
        format!(
            "   {mark}{:>9}\x1b[0m  answered as the zones have it  ({good} of {sound})",
            percent(now.tally.success())
        ),
        String::new(),
        format!(
            "   latency   p50 {}   p99 {}   (now: p50 {}   p99 {})",
            time(now.tally.latencies.quantile(0.5)),
            time(now.tally.latencies.quantile(0.99)),
            time(recent.quantile(0.5)),
            time(recent.quantile(0.99)),
        ),
        format!(
            "   customers {:.0} questions/s   {:.0} answers/s   retries {}   by TCP {}   not sent {}",
            now.rate(earlier, |r| r.tally.asked),
            now.rate(earlier, Reading::answered),
            now.tally.retries,
            now.tally.by_tcp,
            now.tally.unsent,
        ),
        format!("   answers   {}", rcodes(&now.tally)),
        format!(
            "   upstream  {:.0} queries/s   {:.2} a question   cache spares {}",
            now.rate(earlier, |r| r.upstream),
            now.rate(earlier, |r| r.upstream) / now.rate(earlier, |r| r.tally.asked).max(0.001),
            percent(now.spared(earlier)),
        ),
        format!("   broken    {} of {} names without a server got SERVFAIL", now.tally.lost.1, now.tally.lost.0),
    ]
}

/// What draws `lines` over the `drawn` lines before them. No line is wider than the terminal's `columns`: it would take
/// two, and not be drawn over the next time.
pub fn redraw(lines: &[String], drawn: usize, columns: Option<usize>) -> String {
    let mut text = rewind(drawn);
    for line in lines {
        text += &columns.map_or_else(|| line.clone(), |columns| cut(line, columns));
        text.push('\n');
    }
    text
}

/// The first `columns` characters of `line`; its colours take no room, and all of them stay.
fn cut(line: &str, columns: usize) -> String {
    let (mut shown, mut colour) = (0, false);
    let keep = |c: &char| {
        colour |= *c == '\x1b';
        let takes = !colour;
        colour &= *c != 'm';
        shown += usize::from(takes);
        !takes || shown <= columns
    };
    line.chars().filter(keep).collect()
}

/// What moves the cursor up over `lines` lines and clears from there.
fn rewind(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A\x1b[J") }
}

/// One line, for a log.
pub fn line(now: &Reading, earlier: &Reading) -> String {
    let recent = now.tally.latencies.since(&earlier.tally.latencies);
    format!(
        "{:>4} s  success {}  p50 {}  p99 {}  {:.0} questions/s  {:.0} upstream/s  {}",
        now.elapsed.as_secs(),
        percent(now.tally.success()),
        time(recent.quantile(0.5)),
        time(recent.quantile(0.99)),
        now.rate(earlier, |r| r.tally.asked),
        now.rate(earlier, |r| r.upstream),
        rcodes(&now.tally),
    )
}

/// The share of success at which a lab counts as passed.
pub const PASS: f64 = 0.99;

/// Whether a lab passed: enough of what should succeed did, and there was something.
pub fn passed(tally: &Tally) -> bool {
    tally.sound.0 > 0 && tally.success() >= PASS
}

/// The table at the end.
pub fn summary(end: &Reading, surprises: &[String]) -> String {
    let tally = &end.tally;
    let mut text = String::new();
    let mut row = |name: &str, value: String| text.push_str(&format!("  {name:<28}{value}\n"));
    row("time", format!("{:.1} s", end.elapsed.as_secs_f64()));
    row("questions", format!("{} ({:.0}/s)", tally.asked, end.rate(&Reading::default(), |r| r.tally.asked)));
    row("success", format!("{} ({} of {})", percent(tally.success()), tally.sound.1, tally.sound.0));
    row("broken names got SERVFAIL", format!("{} of {}", tally.lost.1, tally.lost.0));
    row("answers", rcodes(tally));
    for (name, share) in [("latency p50", 0.5), ("latency p90", 0.9), ("latency p99", 0.99), ("latency p99.9", 0.999)] {
        row(name, time(tally.latencies.quantile(share)));
    }
    row("retries, by TCP, not sent", format!("{}, {}, {}", tally.retries, tally.by_tcp, tally.unsent));
    let each = end.upstream as f64 / (tally.asked as f64).max(1.0);
    row("queries to servers", format!("{} ({each:.3} a question)", end.upstream));
    row("spared by the cache", percent(end.spared(&Reading::default())));
    row("verdict", if passed(tally) { "passed".to_owned() } else { format!("failed: below {}", percent(PASS)) });
    if !surprises.is_empty() {
        text.push_str("\n  not as expected (the first of them):\n");
        surprises.iter().for_each(|line| text.push_str(&format!("    {line}\n")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(seconds: u64, sound: (u64, u64)) -> Reading {
        let mut tally = Tally { asked: 500 * seconds, sound, lost: (4, 4), ..Tally::default() };
        tally.rcodes[0] = sound.1;
        Reading { elapsed: Duration::from_secs(seconds), tally, upstream: 100 * seconds }
    }

    #[test]
    fn success_stands_first_and_is_never_rounded_up() {
        let now = reading(2, (100_000, 99_999));
        let lines = screen(&now, &reading(1, (500, 500)), "lab");
        assert!(lines[2].contains("99.99 %"), "{}", lines[2]);
        assert!(lines.iter().any(|l| l.contains("500 questions/s")));
        assert!(lines.iter().any(|l| l.contains("0.20 a question") && l.contains("80.00 %")));
        assert!(line(&now, &reading(1, (500, 500))).contains("100 upstream/s"));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let lines = screen(&reading(2, (100, 99)), &reading(1, (50, 50)), "maeslant lab: 300 sites, 1000 customers");
        for columns in [10, 50] {
            let drawn = redraw(&lines, 9, Some(columns));
            assert_eq!(drawn.lines().count(), lines.len());
            for line in drawn.trim_start_matches("\x1b[9A\x1b[J").lines() {
                let plain = ["\x1b[1m", "\x1b[0m", "\x1b[1;32m", "\x1b[1;31m"]
                    .iter()
                    .fold(line.to_owned(), |l, c| l.replace(c, ""));
                assert!(plain.chars().count() <= columns && !plain.contains('\x1b'), "{plain:?}");
            }
            assert!(drawn.contains("\x1b[0m"), "colours end");
        }
        assert_eq!(redraw(&lines, 0, None).lines().map(str::to_owned).collect::<Vec<_>>(), lines);
    }

    #[test]
    fn a_lab_passes_at_ninety_nine_percent_of_what_should_succeed() {
        assert!(passed(&reading(1, (1000, 990)).tally));
        assert!(!passed(&reading(1, (1000, 989)).tally));
        assert!(!passed(&reading(1, (0, 0)).tally), "nothing asked is nothing passed");
        let text = summary(&reading(1, (1000, 989)), &["www.x.: expected Records, got no answer".to_owned()]);
        assert!(text.contains("failed") && text.contains("www.x."));
    }
}
