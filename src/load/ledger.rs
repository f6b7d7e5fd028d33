//! What was sent and what came of it, by stream and second. A question counts in the second it was due in, whenever it
//! ends: so each second says what became of the people of that second.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest latency told apart, in microseconds.
const LONGEST: u64 = 120_000_000;
/// Significant digits of latencies.
const DIGITS: u8 = 3;
/// Seconds after which a second's latencies are packed: its questions have ended, but for few.
const PACK_AFTER: usize = 12;

/// Latencies counted by size, in little memory once a second is over.
#[derive(Clone, Debug, Default)]
pub enum Latencies {
    #[default]
    None,
    Open(Box<Histogram<u32>>),
    /// Microseconds and how often.
    Packed(Vec<(u64, u32)>),
}

/// A histogram of latencies in microseconds.
pub fn histogram() -> Histogram<u64> {
    // The bounds are constants that the library accepts; a histogram that grows is one all the same.
    Histogram::new_with_bounds(1, LONGEST, DIGITS).unwrap_or_else(|_| {
        let mut growing = Histogram::new(DIGITS).expect("three digits are supported");
        growing.auto(true);
        growing
    })
}

impl Latencies {
    fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).clamp(1, LONGEST);
        if let Latencies::None = self
            && let Ok(open) = Histogram::new_with_bounds(1, LONGEST, DIGITS)
        {
            *self = Latencies::Open(Box::new(open));
        }
        match self {
            Latencies::Open(open) => open.saturating_record(micros),
            Latencies::Packed(packed) => packed.push((micros, 1)),
            Latencies::None => {}
        }
    }

    fn pack(&mut self) {
        if let Latencies::Open(open) = self {
            let values = open.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value()));
            *self = Latencies::Packed(values.collect());
        }
    }

    /// Adds them to a histogram.
    pub fn add_to(&self, sum: &mut Histogram<u64>) {
        match self {
            Latencies::None => {}
            Latencies::Open(open) => {
                for value in open.iter_recorded() {
                    sum.saturating_record_n(value.value_iterated_to(), u64::from(value.count_at_value()));
                }
            }
            Latencies::Packed(packed) => {
                packed.iter().for_each(|(value, count)| sum.saturating_record_n(*value, u64::from(*count)));
            }
        }
    }
}

/// What became of the questions due in one second, or in several.
#[derive(Clone, Debug, Default)]
pub struct Second {
    /// Questions due.
    pub asked: u64,
    /// Packets sent, repetitions included.
    pub packets: u64,
    /// Questions with an answer, whatever it says.
    pub answered: u64,
    /// Questions with the right answer; where that is not known, with NOERROR or NXDOMAIN.
    pub success: u64,
    /// Questions given up without an answer.
    pub unanswered: u64,
    /// Answers that are not what the zones say.
    pub wrong: u64,
    /// Answers from data that is over its time (EDE 3, 19).
    pub stale: u64,
    /// Answers cut short, whether or not they were asked for again by TCP.
    pub truncated: u64,
    /// Packets sent later than the scenario allows.
    pub late: u64,
    /// Questions this machine could not send.
    pub unsent: u64,
    /// Repetitions, and questions by TCP.
    pub retries: u64,
    pub by_tcp: u64,
    /// Octets of DNS sent and received.
    pub octets_out: u64,
    pub octets_in: u64,
    /// Connections held open on purpose: opened, not opened, closed by the server.
    pub opened: u64,
    pub unopened: u64,
    pub cut: u64,
    /// Answers by RCODE.
    pub rcodes: BTreeMap<u16, u64>,
    pub latencies: Latencies,
}

impl Second {
    /// Questions that have neither ended nor failed here.
    pub fn open(&self) -> u64 {
        self.asked.saturating_sub(self.answered + self.unanswered + self.unsent + self.opened + self.unopened)
    }

    /// Questions that have ended.
    pub fn ended(&self) -> u64 {
        self.answered + self.unanswered
    }

    /// Adds another second's counts, latencies left out.
    pub fn add(&mut self, other: &Second) {
        let pairs = [
            (&mut self.asked, other.asked),
            (&mut self.packets, other.packets),
            (&mut self.answered, other.answered),
            (&mut self.success, other.success),
            (&mut self.unanswered, other.unanswered),
            (&mut self.wrong, other.wrong),
            (&mut self.stale, other.stale),
            (&mut self.truncated, other.truncated),
            (&mut self.late, other.late),
            (&mut self.unsent, other.unsent),
            (&mut self.retries, other.retries),
            (&mut self.by_tcp, other.by_tcp),
            (&mut self.octets_out, other.octets_out),
            (&mut self.octets_in, other.octets_in),
            (&mut self.opened, other.opened),
            (&mut self.unopened, other.unopened),
            (&mut self.cut, other.cut),
        ];
        for (mine, theirs) in pairs {
            *mine += theirs;
        }
        for (rcode, count) in &other.rcodes {
            *self.rcodes.entry(*rcode).or_default() += count;
        }
    }
}

/// What an answer was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    pub rcode: u16,
    pub right: bool,
    /// It is known what was right.
    pub known: bool,
    pub stale: bool,
    pub octets: usize,
    pub latency: Duration,
}

/// One stream's seconds.
#[derive(Clone, Debug, Default)]
pub struct Account {
    pub seconds: Vec<Second>,
    packed: usize,
}

impl Account {
    /// The second with this number, counted from 0.
    pub fn second(&mut self, number: usize) -> &mut Second {
        if number >= self.seconds.len() {
            self.seconds.resize_with(number + 1, Second::default);
            let until = number.saturating_sub(PACK_AFTER);
            let from = self.packed.min(until);
            self.seconds[from..until].iter_mut().for_each(|second| second.latencies.pack());
            self.packed = until.max(self.packed);
        }
        &mut self.seconds[number]
    }

    /// Counts an answer to a question that was due in a second.
    pub fn answer(&mut self, number: usize, answer: &Answer) {
        let second = self.second(number);
        second.answered += 1;
        second.success += u64::from(answer.right);
        // SERVFAIL and REFUSED say nothing about the name: they are failures, not wrong answers.
        second.wrong += u64::from(answer.known && !answer.right && ![2, 5].contains(&answer.rcode));
        second.stale += u64::from(answer.stale);
        second.octets_in += answer.octets as u64;
        *second.rcodes.entry(answer.rcode).or_default() += 1;
        second.latencies.record(answer.latency);
    }

    /// The sum of the seconds `from..to`, with a histogram of their latencies.
    pub fn sum(&self, from: usize, to: usize) -> (Second, Histogram<u64>) {
        let (mut sum, mut latencies) = (Second::default(), histogram());
        for second in self.seconds.iter().take(to).skip(from) {
            sum.add(second);
            second.latencies.add_to(&mut latencies);
        }
        (sum, latencies)
    }
}

/// All streams.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub accounts: Vec<Account>,
    /// Packets that answer no open question: too late, twice, or from nowhere.
    pub stray: u64,
    /// Packets that this machine's kernel would not take; their questions end unanswered.
    pub refused_by_kernel: u64,
    /// Packets left out for the bound on the rate.
    pub capped: u64,
    /// The run ended before its time, and why.
    pub cut_short: Option<String>,
}

impl Ledger {
    /// Empty accounts.
    pub fn new(streams: usize) -> Ledger {
        Ledger { accounts: vec![Account::default(); streams], ..Ledger::default() }
    }

    /// Has a stream's account from another ledger, in place of its own.
    pub fn take_in(&mut self, stream: usize, mut other: Ledger) {
        if let (Some(mine), Some(theirs)) = (self.accounts.get_mut(stream), other.accounts.get_mut(stream)) {
            *mine = std::mem::take(theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(millis: u64) -> Answer {
        let latency = Duration::from_millis(millis);
        Answer { rcode: 0, right: true, known: false, stale: false, octets: 50, latency }
    }

    #[test]
    fn old_seconds_are_packed_and_still_count() {
        let mut account = Account::default();
        for second in 0..40 {
            account.second(second).asked += 2;
            account.answer(second, &answer(10));
            account.answer(second, &answer(30));
        }
        assert!(matches!(account.seconds[0].latencies, Latencies::Packed(_)));
        assert!(matches!(account.seconds[39].latencies, Latencies::Open(_)));
        account.answer(0, &answer(100));
        let (sum, latencies) = account.sum(0, 40);
        assert_eq!((sum.asked, sum.answered, sum.open()), (80, 81, 0));
        assert_eq!(latencies.len(), 81);
        let median = latencies.value_at_quantile(0.25);
        assert!((9_990..=10_010).contains(&median), "{median}");
        assert!(latencies.max() >= 100_000);
    }

    #[test]
    fn a_failure_is_no_wrong_answer() {
        let mut account = Account::default();
        account.answer(0, &Answer { rcode: 2, right: false, known: true, ..answer(1) });
        account.answer(0, &Answer { rcode: 3, right: false, known: true, ..answer(1) });
        assert_eq!((account.seconds[0].wrong, account.seconds[0].success), (1, 0));
    }
}
