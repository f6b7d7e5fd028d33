//! How much one server bears, at once and a second, as its answers and silences show. Nothing is asked of it that it loses
//! anyway: that only fills its queue, and ours with those who wait.
//!
//! Four times a second, when it is touched, a pace looks at what was answered and what was lost, so that a few dozen
//! packets are enough to react, however slow they come (BIND's fetches-per-server looks after a hundred answers, and takes
//! one step then). What is lost at any rate does not show that a server bears no more, be it a line that loses packets or a
//! server that is silent upon some types: a quota begins only where more than usual is asked, and is lifted where losses stay
//! the same although less is asked. What is asked for a zone of which a server has said nothing lately does not count
//! at all, or whoever delegates a zone to somebody else's server could have that one left alone.

use crate::clock::Moment;

/// A look, in nanoseconds.
const TICK: u64 = 250_000_000;
/// How long a rate remembers, in seconds: two looks.
const MEMORY: f32 = 0.5;
/// Where so many packets a second are lost, and so many for one that is answered, a server gets a quota: a lossy
/// line loses fewer.
const LOST: f32 = 16.0;
const LOSSY: f32 = 0.4;
/// Within a quota fewer losses show that it is too large: it is to follow what the server answers.
const LOSSY_WITHIN: f32 = 0.1;
/// So many looks in a row must show it: a moment in which this machine or the line stood still is none.
const DWELL: u8 = 3;
/// What is lost of familiar zones stands for so many times as much at most.
const MOST_UNFAMILIAR: f32 = 8.0;
/// What a server has answered at best counts a little less with each look, for what it bears.
const FADE: f32 = 0.95;
/// A quota begins where so many times as many packets a second are sent as is usual, and at least so many.
const UNUSUAL: f32 = 2.0;
const MANY: f32 = 32.0;
/// How long a usual rate remembers, in seconds.
const HABIT: f32 = 300.0;
/// No quota is smaller, in packets a second: how else would it be known that the server is well again?
const LEAST: f32 = 4.0;
/// A server that has not answered for so many looks is silent rather than busy: others care for that.
const SILENT: u64 = 4;
/// Looks after a cut before the next, so that the first one is felt: timeouts come late.
const FELT: u32 = 3;
/// So many looks after the first cut losses must have become fewer than this part of what they were, or they are not a
/// matter of rate: then there is no quota for a while, in looks, twice as long each time, until it is an hour.
const PROVEN_AFTER: u64 = 16;
const FEWER: f32 = 0.7;
const LIFTED_FOR: u64 = 240;
const DOUBLINGS: u8 = 6;
/// A quota ends after so many looks without losses.
const CALM: u32 = 40;
/// What is kept of a quota for names never seen, when those that are known want it all.
const REST: f32 = 0.1;
/// So much more than a quota, as a part of it, is asked for those who have waited: it may be a mistake, and grows by what is
/// answered then.
const SLIP: f32 = 0.2;
/// Seconds of a quota that may be asked at once, by claim.
const AHEAD: [f32; 4] = [0.3, 0.3, 0.2, 0.1];
/// Packets awaited from a server at once, by claim: one that answers has 2,000 at 20 ms a hundred thousand a second; of
/// one that has not answered yet nobody knows what it bears.
const IN_FLIGHT: [u32; 4] = [4_000, 4_000, 3_000, 2_000];
const IN_FLIGHT_UNHEARD: [u32; 4] = [512, 512, 384, 256];

/// Whose packets go first where a server bears few.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Claim {
    /// For those of the next that have waited for room as long as is worth it.
    Overdue,
    /// For names that are known to exist, and for whatever this server itself wants to know.
    #[default]
    First,
    /// For names never seen, asked by somebody whose questions lead to some that exist.
    Second,
    /// For all others.
    Last,
}

/// Of a quota.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// What is there for all.
    Whole,
    /// What is kept for names never seen.
    Rest,
    /// What is beyond it.
    Slip,
}

/// Why a server is not asked although it answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Busy {
    /// It has been asked as much as it bears a second.
    Rate,
    /// It has been asked as much as it bears at once.
    InFlight,
}

/// What is counted of a server.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Pace {
    in_flight: u32,
    /// Since the last look, and its number.
    heard: u32,
    lost: u32,
    late: u32,
    /// Answers that say something of the zone, and those of them for zones of which it had said something before.
    useful: u32,
    familiar: u32,
    tick: u64,
    /// The last look before which it has answered.
    answered: u64,
    /// Packets a second, answered and lost.
    answers: f32,
    losses: f32,
    /// Of those answered: what had seemed lost.
    lates: f32,
    /// Useful answers a second, and those for familiar zones.
    useful_rate: f32,
    familiar_rate: f32,
    /// The most that was answered lately.
    best: f32,
    /// Looks in a row that show that it bears no more.
    warm: u8,
    /// As many are usual.
    habit: f32,
    /// Packets a second that may be asked; 0: there is no limit.
    quota: f32,
    /// The look at which it began, and how many later it was cut last.
    since: u64,
    cut: u16,
    /// What had seemed lost when it began, and what of that came late after all.
    blamed: u16,
    pardoned: u16,
    /// The one at which it has to have proven itself, if that is to come, and the part that was lost when it began.
    proven: u64,
    lossy: f32,
    /// Looks since the last cut.
    good: u32,
    /// Until this look there is no quota, and how often it has been lifted in a row.
    lifted: u64,
    lifts: u8,
    /// When what was taken out of the quota is earned back, of the whole and of the rest, in nanoseconds.
    whole: u64,
    rest: u64,
    /// The same of what is beyond it.
    slip: u64,
}

/// What is told of a server's pace, in packets a second.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Paced {
    pub answers: f32,
    pub losses: f32,
    /// None: as many as anybody wants.
    pub quota: Option<f32>,
    /// Packets that it has not answered yet.
    pub in_flight: u32,
}

impl Pace {
    /// Does it bear no more from this claim now? `heard`: it has answered lately.
    pub fn busy(&mut self, claim: Claim, heard: bool, now: Moment) -> Option<Busy> {
        self.look(now);
        let most = if heard { IN_FLIGHT } else { IN_FLIGHT_UNHEARD }[claim as usize];
        if self.in_flight >= most {
            Some(Busy::InFlight)
        } else if !self.has_room(claim, now) {
            Some(Busy::Rate)
        } else {
            None
        }
    }

    fn has_room(&self, claim: Claim, now: Moment) -> bool {
        self.quota == 0.0 || self.part(claim, now).is_some()
    }

    /// The part of the quota that has room for a claim.
    fn part(&self, claim: Claim, now: Moment) -> Option<Part> {
        let parts = match claim {
            Claim::Overdue => [Part::Whole, Part::Slip],
            Claim::First => [Part::Whole, Part::Whole],
            Claim::Second | Claim::Last => [Part::Whole, Part::Rest],
        };
        parts.into_iter().find(|part| {
            let (account, rate) = self.account(*part);
            room(account, rate, AHEAD[claim as usize], now)
        })
    }

    /// When what was taken out of a part is earned back, and how many a second that has.
    fn account(&self, part: Part) -> (u64, f32) {
        match part {
            Part::Whole => (self.whole, self.quota * (1.0 - REST)),
            Part::Rest => (self.rest, self.quota * REST),
            Part::Slip => (self.slip, self.quota * SLIP),
        }
    }

    /// A packet goes to it.
    pub fn opened(&mut self, claim: Claim, now: Moment) {
        self.look(now);
        self.in_flight = self.in_flight.saturating_add(1);
        if self.quota > 0.0 {
            let part = self.part(claim, now).unwrap_or(Part::Whole);
            let (account, rate) = self.account(part);
            let earned = account.max(now.as_nanos()).saturating_add(price(rate));
            *match part {
                Part::Whole => &mut self.whole,
                Part::Rest => &mut self.rest,
                Part::Slip => &mut self.slip,
            } = earned;
        }
    }

    /// Nothing more is awaited for a packet that went to it.
    pub fn closed(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// It has answered.
    pub fn answered(&mut self, now: Moment) {
        self.look(now);
        self.heard += 1;
    }

    /// It has said something of a zone, of which it had before or not.
    pub fn useful(&mut self, familiar: bool) {
        self.useful += 1;
        self.familiar += u32::from(familiar);
    }

    /// Is most of what it says lately of familiar zones? Then what it does not answer for others is none of its zones.
    pub fn is_familiar(&self) -> bool {
        self.familiar_rate >= 0.5 * self.useful_rate
    }

    /// It has not, so far, what was sent then, for a zone that it is known to serve or not.
    pub fn silent(&mut self, serves: bool, sent: Moment, now: Moment) {
        self.look(now);
        match self.is_before(self.since, sent) {
            true => self.blamed = self.blamed.saturating_add(serves.into()),
            false if self.is_before(self.cut_at(), sent) => {}
            false => self.lost += u32::from(serves),
        }
    }

    /// It has, late: it did not lose the packet. Where most of what led to its quota was late, nothing had been lost: it is
    /// far away, or this machine had no time to read.
    pub fn late(&mut self, sent: Moment) {
        if self.is_before(self.since, sent) {
            self.pardoned = self.pardoned.saturating_add(1);
            if self.pardoned > self.blamed / 2 {
                self.quota = 0.0;
            }
        } else if !self.is_before(self.cut_at(), sent) {
            self.late += 1;
        }
    }

    /// Was something sent before this look, at which its quota began or was cut? What was lost of it was too much for
    /// the quota before, or for none.
    fn is_before(&self, look: u64, sent: Moment) -> bool {
        self.quota > 0.0 && sent.as_nanos() / TICK < look
    }

    /// What was lost so far has led to the quota that is now.
    fn judge_anew(&mut self) {
        let cut = u16::try_from(self.tick - self.since).unwrap_or(u16::MAX);
        (self.cut, self.losses, self.lates, self.good) = (cut, 0.0, 0.0, 0);
    }

    fn cut_at(&self) -> u64 {
        self.since + u64::from(self.cut)
    }

    /// Packets a second that are lost.
    fn lost(&self) -> f32 {
        (self.losses - self.lates).max(0.0)
    }

    /// What was lost until this moment was not its doing: nobody was heard.
    pub fn excuse(&mut self, until: Moment) {
        if self.quota > 0.0 && self.since <= until.as_nanos() / TICK {
            self.quota = 0.0;
        }
    }

    /// Has it a quota, as of the last look?
    pub fn is_limited(&self) -> bool {
        self.quota > 0.0
    }

    /// What is told of it.
    pub fn tell(&mut self, now: Moment) -> Paced {
        self.look(now);
        let quota = Some(self.quota).filter(|quota| *quota > 0.0);
        Paced { answers: self.answers, losses: self.lost(), quota, in_flight: self.in_flight }
    }

    /// Looks at what was counted, if that is due.
    fn look(&mut self, now: Moment) {
        let tick = now.as_nanos() / TICK;
        let ticks = tick.saturating_sub(self.tick);
        if ticks == 0 {
            return;
        }
        self.tick = tick;
        if self.heard > 0 {
            self.answered = tick;
        }
        let seconds = ticks as f32 * (TICK as f32 / 1e9);
        let keep = (-seconds / MEMORY).exp();
        self.answers = self.answers * keep + self.heard as f32 / seconds * (1.0 - keep);
        self.useful_rate = self.useful_rate * keep + self.useful as f32 / seconds * (1.0 - keep);
        self.familiar_rate = self.familiar_rate * keep + self.familiar as f32 / seconds * (1.0 - keep);
        // Of zones that are not familiar yet as many are lost as of the others.
        let all = (self.useful_rate / self.familiar_rate.max(1.0)).clamp(1.0, MOST_UNFAMILIAR);
        self.losses = self.losses * keep + all * self.lost as f32 / seconds * (1.0 - keep);
        self.lates = self.lates * keep + all * self.late as f32 / seconds * (1.0 - keep);
        if self.quota == 0.0 {
            self.blamed = self.blamed.saturating_add(self.lost.saturating_sub(self.late).min(u16::MAX.into()) as u16);
        }
        (self.heard, self.lost, self.late, self.useful, self.familiar) = (0, 0, 0, 0, 0);
        self.good = self.good.saturating_add(ticks.min(u64::from(CALM)) as u32);
        if self.quota > 0.0 {
            self.follow();
            return;
        }
        let sent = self.answers + self.lost();
        let losing = self.lost() >= LOST && self.lost() > LOSSY * self.answers;
        let unusual = sent >= MANY && sent > UNUSUAL * self.habit;
        self.best = self.answers.max(self.best * FADE.powi(ticks.min(1_000) as i32));
        let bears_no_more = losing && unusual && tick < self.answered + SILENT && tick >= self.lifted;
        self.warm = if bears_no_more { self.warm + ticks.min(2) as u8 } else { 0 };
        if !bears_no_more {
            (self.blamed, self.pardoned) = (0, 0);
        }
        if self.warm >= DWELL {
            self.warm = 0;
            self.quota = self.best.max(LEAST);
            (self.since, self.proven, self.lossy) = (tick, tick + PROVEN_AFTER, self.lossy_part());
            self.judge_anew();
        } else if !bears_no_more {
            self.habit = sent + (self.habit - sent) * (-seconds / HABIT).exp();
        }
    }

    /// The part of its packets that is lost.
    fn lossy_part(&self) -> f32 {
        self.lost() / (self.answers + self.lost()).max(1.0)
    }

    /// Less where packets are lost, more where they are not, and the more the longer they are not.
    fn follow(&mut self) {
        let losing = self.lost() >= 1.0 && self.lost() > LOSSY_WITHIN * self.answers;
        // Without a cut in between, or what was lost since then would be too little to tell.
        let judging = self.tick >= self.proven;
        let due = judging && self.good >= 2 * FELT;
        if due {
            self.proven = u64::MAX;
        }
        if due && losing && self.lossy_part() > FEWER * self.lossy {
            (self.quota, self.lifted) = (0.0, self.tick + (LIFTED_FOR << self.lifts));
            self.lifts = (self.lifts + 1).min(DOUBLINGS);
            return;
        }
        if due {
            self.lifts = 0;
        }
        if losing {
            if self.good >= FELT && (due || !judging) {
                self.judge_anew();
                self.quota = (self.quota.min(self.answers.max(LEAST)) * 0.9).max(LEAST);
            }
        } else if self.good >= CALM {
            self.quota = 0.0;
        } else if self.answers > 0.3 * self.quota {
            let growth = [1.05, 1.1, 1.25, 1.5][(self.good as usize / 4).min(3)];
            self.quota *= growth;
        }
    }
}

/// Is there one left of `rate` a second in an account that may be `ahead` seconds ahead, and by one at least?
fn room(account: u64, rate: f32, ahead: f32, now: Moment) -> bool {
    let (now, price) = (now.as_nanos(), price(rate));
    let most = ((ahead * 1e9) as u64).max(price);
    account.max(now).saturating_add(price) <= now.saturating_add(most)
}

fn price(rate: f32) -> u64 {
    (1e9 / rate) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Losses are noticed after this long, in nanoseconds.
    const TIMEOUT: u64 = 400_000_000;

    /// A server that answers so many a second at once and loses the rest, but for `loss` of all anyway.
    struct Server {
        pace: Pace,
        capacity: f64,
        loss: f64,
        tokens: f64,
        chance: f64,
        now: u64,
        late: VecDeque<u64>,
    }

    impl Server {
        fn new(capacity: f64, loss: f64) -> Server {
            let (pace, late) = (Pace::default(), VecDeque::new());
            Server { pace, capacity, loss, tokens: 0.0, chance: 0.0, now: 1_000_000_000_000, late }
        }

        /// Asks so many a second for so many seconds, by claims in turn; how many of each went out, and how many of all
        /// were answered.
        fn ask(&mut self, seconds: u64, rates: &[(Claim, u64)]) -> (Vec<u64>, u64) {
            let (mut sent, mut answered) = (vec![0; rates.len()], 0);
            for ms in 0..seconds * 1_000 {
                self.now += 1_000_000;
                let now = Moment::from_nanos(self.now);
                self.tokens = (self.tokens + self.capacity / 1_000.0).min(self.capacity / 20.0 + 1.0);
                while self.late.front().is_some_and(|at| *at <= self.now) {
                    self.late.pop_front();
                    self.pace.silent(true, Moment::from_nanos(self.now - TIMEOUT), now);
                    self.pace.closed();
                }
                for (number, (claim, rate)) in rates.iter().enumerate() {
                    for _ in ms * rate / 1_000..(ms + 1) * rate / 1_000 {
                        if self.pace.busy(*claim, true, now).is_some() {
                            continue;
                        }
                        self.pace.opened(*claim, now);
                        sent[number] += 1;
                        self.chance = (self.chance + 0.618_034) % 1.0;
                        if self.tokens >= 1.0 && self.chance >= self.loss {
                            self.tokens -= 1.0;
                            self.pace.answered(now);
                            self.pace.closed();
                            answered += 1;
                        } else {
                            self.late.push_back(self.now + TIMEOUT);
                        }
                    }
                }
            }
            (sent, answered)
        }

        fn quota(&mut self) -> Option<f32> {
            self.pace.tell(Moment::from_nanos(self.now)).quota
        }
    }

    #[test]
    fn a_quota_follows_what_a_server_answers_at_any_rate() {
        for capacity in [10.0, 50.0, 250.0, 2_000.0] {
            let mut server = Server::new(capacity, 0.0);
            server.ask(3, &[(Claim::Last, (capacity * 10.0) as u64)]);
            let (sent, answered) = server.ask(20, &[(Claim::Last, (capacity * 10.0) as u64)]);
            let bears = capacity * 20.0;
            assert!((sent[0] as f64) < bears * 1.25, "{capacity}: {sent:?} sent, {bears} borne");
            assert!(answered as f64 > bears * 0.6, "{capacity}: {answered} answered of {bears}");
        }
    }

    #[test]
    fn nobody_is_limited_who_answers_all_or_whose_line_loses_a_quarter() {
        for (capacity, loss) in [(1e9, 0.0), (1e9, 0.25)] {
            let mut server = Server::new(capacity, loss);
            let (sent, _) = server.ask(20, &[(Claim::Last, 2_000)]);
            assert_eq!((sent[0], server.quota()), (40_000, None), "{loss}");
        }
        // Half of everything is lost at every rate: it takes some seconds to see that it is not the rate, and less the
        // more often it is seen.
        let mut server = Server::new(1e9, 0.5);
        server.ask(10, &[(Claim::Last, 1_000)]);
        let (sent, _) = server.ask(20, &[(Claim::Last, 1_000)]);
        assert_eq!((sent[0], server.quota()), (20_000, None));
        // A server that is silent upon some types has been that all the time.
        let mut server = Server::new(1e9, 0.5);
        for _ in 0..80 {
            server.ask(10, &[(Claim::Last, 14)]);
        }
        let (sent, _) = server.ask(100, &[(Claim::Last, 20)]);
        assert_eq!((sent[0], server.quota()), (2_000, None), "{:?}", server.pace);
    }

    /// A server that answers everything `wait` ms later, from which nobody has heard before: the longest quota that it has, in
    /// quarters of a second, and whether it has one after eight seconds.
    fn late(wait: u64, rate: u64) -> (u32, bool) {
        let (mut pace, mut limited, mut open) = (Pace::default(), 0, VecDeque::new());
        let at = |ms: u64| Moment::from_nanos((1_000_000 + ms) * 1_000_000);
        pace.answered(at(0));
        for ms in 0..8_000 {
            for _ in ms * rate / 1_000..(ms + 1) * rate / 1_000 {
                if pace.busy(Claim::Last, true, at(ms)).is_none() {
                    pace.opened(Claim::Last, at(ms));
                    open.push_back(ms);
                }
            }
            open.iter()
                .filter(|sent| **sent + TIMEOUT / 1_000_000 == ms)
                .for_each(|sent| pace.silent(true, at(*sent), at(ms)));
            while open.front().is_some_and(|sent| sent + wait <= ms) {
                let sent = open.pop_front().unwrap_or(ms);
                pace.closed();
                pace.answered(at(ms));
                if wait >= TIMEOUT / 1_000_000 {
                    pace.late(at(sent));
                }
            }
            limited += u32::from(ms % 250 == 0 && pace.is_limited());
        }
        (limited, pace.is_limited())
    }

    #[test]
    fn who_is_only_late_has_no_quota_for_long() {
        for (wait, rate) in [(500, 60), (900, 60), (900, 500), (1_400, 200)] {
            let (quarters, still) = late(wait, rate);
            assert!(quarters <= 6 && !still, "{wait} ms late at {rate}/s: limited for {quarters} quarters of a second");
        }
    }

    #[test]
    fn it_recovers_in_seconds() {
        let mut server = Server::new(10.0, 0.0);
        server.ask(20, &[(Claim::Last, 1_000)]);
        assert!(server.quota().is_some_and(|quota| quota < 20.0), "{:?}", server.quota());
        server.capacity = 1e9;
        server.ask(6, &[(Claim::Last, 1_000)]);
        let (sent, _) = server.ask(1, &[(Claim::Last, 1_000)]);
        assert!(sent[0] >= 950, "{sent:?}");
        server.ask(12, &[(Claim::Last, 1)]);
        assert_eq!(server.quota(), None);
    }

    #[test]
    fn who_has_the_better_claim_comes_first_and_the_last_are_never_shut_out() {
        let mut server = Server::new(100.0, 0.0);
        let rates = [(Claim::Last, 2_000), (Claim::Second, 20), (Claim::First, 20)];
        server.ask(5, &rates);
        let (sent, _) = server.ask(20, &rates);
        assert!(sent[1] >= 390 && sent[2] >= 395, "{sent:?}");
        let rates = [(Claim::Last, 2_000), (Claim::First, 1_000)];
        server.ask(5, &rates);
        let (sent, _) = server.ask(20, &rates);
        assert!(sent[0] >= 100 && sent[1] > 10 * sent[0] / 2, "{sent:?}");
    }

    #[test]
    fn of_a_server_that_was_never_heard_little_is_awaited_at_once() {
        let (mut pace, now) = (Pace::default(), Moment::from_nanos(1_000_000_000_000));
        let mut open = 0;
        while pace.busy(Claim::Last, false, now).is_none() {
            pace.opened(Claim::Last, now);
            open += 1;
        }
        assert_eq!((open, pace.busy(Claim::Last, false, now)), (256, Some(Busy::InFlight)));
        assert_eq!(pace.busy(Claim::First, false, now), None);
        assert_eq!(pace.busy(Claim::Last, true, now), None, "once it has answered");
        (0..256).for_each(|_| pace.closed());
        assert_eq!(pace.busy(Claim::Last, false, now), None);
    }
}
