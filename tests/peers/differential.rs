//! maeslant beside Unbound and Knot Resolver on the same small Internet: the same RCODE and the same answer section for
//! every question, or a reason in `differences.toml`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::Deserialize;

use super::lab_zones::{self, Numbering};
use super::programs::authority::Authority;
use super::programs::internet::package_file;
use super::programs::process::{fresh_dir, require_own_network};
use super::programs::resolver::{Resolver, Resolving};
use super::programs::wire::{Answer, Over, Type, Wishes, ask_with};
use super::questions::{self, Question};

/// Questions in flight at each resolver.
const WORKERS: usize = 16;
/// Longer than any of the three takes before it gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// `differences.toml`.
#[derive(Deserialize)]
struct Table {
    #[serde(default)]
    difference: Vec<Known>,
}

/// A difference that is meant, with its reason.
#[derive(Deserialize)]
struct Known {
    /// Which of the others answers differently; none: either.
    resolver: Option<String>,
    /// Patterns for the name; `*` stands for any octets, dots too.
    names: Vec<String>,
    /// The types; none: every type.
    #[serde(default)]
    types: Vec<String>,
    /// The ways of asking: "do", "cd" or "plain"; none: every way.
    #[serde(default)]
    ways: Vec<String>,
    /// A pattern for maeslant's answer as it is shown.
    ours: String,
    /// Nothing but the AD bit differs.
    #[serde(default)]
    only_ad: bool,
    /// It hangs on who asked first, and may be missing.
    #[serde(default)]
    sometimes: bool,
    reason: String,
}

impl Known {
    fn covers(&self, peer: Resolver, way: &str, (name, kind): &Question, ours: &Outcome, theirs: &Outcome) -> bool {
        self.resolver.as_deref().is_none_or(|wanted| wanted == peer.name())
            && (self.ways.is_empty() || self.ways.iter().any(|known| known == way))
            && (self.types.is_empty() || self.types.contains(&kind.to_string()))
            && (!self.only_ad || same_but_for_ad(ours, theirs))
            && matches(&self.ours, &show(ours))
            && self.names.iter().any(|pattern| matches(pattern, name))
    }
}

/// Whether `text` fits `pattern`, in which `*` stands for any octets.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text
            .strip_prefix(head)
            .is_some_and(|rest| (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|rest| matches(tail, rest)))),
    }
}

/// What came back: an answer, or nothing before the asker's patience ended.
pub(super) type Outcome = Result<Answer, String>;

/// Asks all questions of one resolver, by UDP (TCP when truncated).
fn ask_all(server: SocketAddr, questions: &[Question]) -> BTreeMap<Question, Outcome> {
    ask_all_with(server, questions, Wishes::default())
}

/// The same with wishes.
pub(super) fn ask_all_with(server: SocketAddr, questions: &[Question], wishes: Wishes) -> BTreeMap<Question, Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(question) = questions.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = ask_with(server, (&question.0, question.1), wishes, Over::Udp, PATIENCE);
                    let outcome = outcome.map_err(|error| format!("no answer ({error})"));
                    outcomes.lock().expect("no asker panicked").insert(question.clone(), outcome);
                }
            });
        }
    });
    outcomes.into_inner().expect("no asker panicked")
}

/// The same for a client: RCODE, AD, the set of records, the order of the links of a chain.
fn same(ours: &Outcome, theirs: &Outcome) -> bool {
    let ad = |outcome: &Outcome| outcome.as_ref().is_ok_and(|answer| answer.authentic);
    ad(ours) == ad(theirs) && same_but_for_ad(ours, theirs)
}

/// Silence and SERVFAIL come to the same only when it is the other resolver that is silent.
fn same_but_for_ad(ours: &Outcome, theirs: &Outcome) -> bool {
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            ours.rcode == theirs.rcode && ours.set() == theirs.set() && ours.chain() == theirs.chain()
        }
        (Ok(ours), Err(_)) => ours.rcode == 2 && ours.records.is_empty(),
        (Err(_), _) => false,
    }
}

fn show(outcome: &Outcome) -> String {
    match outcome {
        Ok(answer) => answer.to_string(),
        Err(error) => error.clone(),
    }
}

#[test]
#[ignore = "needs Debian's knot, unbound, knot-resolver and a network of its own: tests/peers/run"]
fn answers_as_unbound_and_knot_resolver_do() {
    require_own_network();
    let internet = lab_zones::internet(Numbering::Benchmark, 53);
    let _serving = Authority::Knot.serve(&internet);
    let questions = questions::all(&internet);
    let running: Vec<_> = Resolver::ALL.iter().map(|resolver| resolver.start(&internet, &[])).collect();
    let asked = questions.as_slice();
    let outcomes: Vec<BTreeMap<Question, Outcome>> = std::thread::scope(|scope| {
        let servers = running.iter().map(|resolver| resolver.v4);
        let threads: Vec<_> = servers.map(|server| scope.spawn(move || ask_all(server, asked))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no asker panicked")).collect()
    });
    let again: Vec<Question> = questions.iter().rev().cloned().collect();
    let from_memory = ask_all(running[0].v6, &again);

    let mut report = Report::read_table("differences.toml");
    for question in &questions {
        report.compare_with_itself(question, &outcomes[0][question], &from_memory[question]);
        for (resolver, theirs) in running.iter().zip(&outcomes).skip(1) {
            let plain = ("plain", Wishes::default());
            report.compare(resolver.which, plain, question, &outcomes[0][question], &theirs[question]);
        }
    }
    drop(running);
    report.hear_again(|resolver| resolver.start(&internet, &[]));
    report.close(questions.len());
}

/// The comparison as it goes.
pub(super) struct Report {
    name: &'static str,
    table: Table,
    used: Vec<usize>,
    equal: BTreeMap<Resolver, usize>,
    unlisted: Vec<String>,
    everything: String,
    /// Questions that one of the others failed at, and that are heard again before it counts.
    doubtful: Vec<Doubt>,
    excused: usize,
}

/// A question that one of the others had no answer to, though maeslant had, and not as listed.
struct Doubt {
    peer: Resolver,
    way: &'static str,
    wishes: Wishes,
    question: Question,
    ours: Outcome,
    theirs: Outcome,
}

/// Failures that may be heard again. More are no accident.
const MOST_DOUBTFUL: usize = 8;

impl Report {
    /// With the differences that are meant, from a file in this folder.
    pub(super) fn read_table(name: &'static str) -> Report {
        let file = package_file("tests/peers").join(name);
        let text = fs::read_to_string(file).expect("the table can be read");
        let table: Table = toml::from_str(&text).expect("the table is a list of differences");
        assert!(table.difference.iter().all(|known| known.reason.len() > 10), "every difference has a reason");
        let used = vec![0; table.difference.len()];
        let (equal, doubtful) = (BTreeMap::new(), Vec::new());
        Report { name, table, used, equal, unlisted: Vec::new(), everything: String::new(), doubtful, excused: 0 }
    }

    /// What a resolver answered, asked in a way. Where it failed and that is not listed, [`hear_again`] has the last word.
    ///
    /// [`hear_again`]: Report::hear_again
    pub(super) fn compare(
        &mut self,
        peer: Resolver,
        (way, wishes): (&'static str, Wishes),
        question: &Question,
        ours: &Outcome,
        theirs: &Outcome,
    ) {
        let failed = theirs.as_ref().map_or(true, |answer| answer.rcode == 2);
        let is_listed = || self.table.difference.iter().any(|known| known.covers(peer, way, question, ours, theirs));
        if failed && self.doubtful.len() < MOST_DOUBTFUL && !same(ours, theirs) && !is_listed() {
            let (question, ours, theirs) = (question.clone(), ours.clone(), theirs.clone());
            self.doubtful.push(Doubt { peer, way, wishes, question, ours, theirs });
            return;
        }
        self.judge(peer, way, question, ours, theirs);
    }

    /// Asks the others once more what they failed at, each started afresh: now and then one of them fails under load at
    /// what it can resolve. maeslant's own answers stand.
    pub(super) fn hear_again(&mut self, start: impl Fn(Resolver) -> Resolving) {
        for Doubt { peer, way, wishes, question, ours, theirs } in std::mem::take(&mut self.doubtful) {
            let again = ask_all_with(start(peer).v4, std::slice::from_ref(&question), wishes);
            let text = difference(&question, [("at first", &theirs), ("asked again", &again[&question])]);
            println!("HEARD AGAIN: {} ({way}) {text}", peer.name());
            self.excused += usize::from(same(&ours, &again[&question]));
            self.judge(peer, way, &question, &ours, &again[&question]);
        }
    }

    fn judge(&mut self, peer: Resolver, way: &str, question: &Question, ours: &Outcome, theirs: &Outcome) {
        if same(ours, theirs) {
            *self.equal.entry(peer).or_default() += 1;
            return;
        }
        let text = format!("({way}) {}", difference(question, [("maeslant", ours), (peer.name(), theirs)]));
        match self.table.difference.iter().position(|known| known.covers(peer, way, question, ours, theirs)) {
            Some(index) => {
                self.used[index] += 1;
                let _ = writeln!(self.everything, "listed ({}): {text}", self.table.difference[index].reason);
            }
            None => {
                let _ = writeln!(self.everything, "NOT LISTED: {text}");
                self.unlisted.push(text);
            }
        }
    }

    /// What comes from memory, over IPv6 and in the opposite order, is what came the first time.
    pub(super) fn compare_with_itself(&mut self, question: &Question, first: &Outcome, second: &Outcome) {
        if !same(first, second) {
            let text = difference(question, [("maeslant at first", first), ("maeslant again", second)]);
            let _ = writeln!(self.everything, "NOT LISTED: {text}");
            self.unlisted.push(text);
        }
    }

    pub(super) fn close(self, questions: usize) {
        let file = fresh_dir(&format!("differential-{}", self.name)).join("differences.txt");
        fs::write(&file, &self.everything).expect("the differences can be written");
        println!("{questions} questions; all differences: {}", file.display());
        for (peer, equal) in &self.equal {
            println!("{:<14} {equal} equal, {} different", peer.name(), questions - equal);
        }
        for (known, used) in self.table.difference.iter().zip(&self.used) {
            let peer = known.resolver.as_deref().unwrap_or("either");
            println!("{used:>6} × {peer} {} {}: {}", known.names.join(" "), known.types.join(" "), known.reason);
        }
        println!("{} failures of others that were none when they were asked again", self.excused);
        assert!(self.doubtful.is_empty(), "what the others failed at was never heard again");
        for text in self.unlisted.iter().take(60) {
            println!("NOT LISTED: {text}");
        }
        assert!(self.unlisted.is_empty(), "{} differences without a reason", self.unlisted.len());
        let entries = self.table.difference.iter().zip(&self.used);
        let stale = entries.filter(|(known, used)| **used == 0 && !known.sometimes);
        let stale: Vec<&str> = stale.map(|(known, _)| known.reason.as_str()).collect();
        assert!(stale.is_empty(), "listed, but there is no such difference any more: {stale:?}");
    }
}

fn difference((name, kind): &Question, sides: [(&str, &Outcome); 2]) -> String {
    let [(left, ours), (right, theirs)] = sides;
    let told = |outcome: &Outcome| match outcome {
        Ok(answer) if !answer.errors.is_empty() => format!("{answer} (extended errors {:?})", answer.errors),
        _ => show(outcome),
    };
    format!("{name} {kind}\n    {left:<18} {}\n    {right:<18} {}", told(ours), told(theirs))
}

/// The pattern language is what its description says.
#[test]
fn patterns_match_as_described() {
    assert!(matches("*.example.", "a.b.example."));
    assert!(!matches("*.example.", "example."));
    assert!(matches("a*c*.", "abcd."));
    assert!(!matches("a*c*.", "bcd."));
    assert_eq!(Type::parse("TYPE65280"), Some(Type(65280)));
}
