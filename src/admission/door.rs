//! One shard's door: from who asks to what is done about it, the cheapest question first.

mod acquaintance;
mod bars;
mod cookies;
mod crowds;
mod flood;
mod good;
mod passes;
mod ration;
mod streams;
mod verdict;
mod wait;
mod work;

pub use flood::Places;
pub use good::GoodCookies;
pub use passes::Leave;
pub use verdict::{Got, Parting, Slip, Tally, Turned, Verdict};

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bars::Bars;
use passes::{Passes, Place, Round};

use super::access::{Ranges, Standing};
use super::books::Books;
use super::cookie::{self, Secrets};
use super::decisions::{Action, Note, Pen};
use super::ladder::{Book, Keys, Ladder, NETWORK_V6, address_key, source_key, trial_key};
use super::levels::{Measures, Part};
use super::policy::{Limits, Mode, Policy};
use super::pressure::{Controller, Level, Pressure, Signal};
use super::reason::Reason;
use super::refusals::Meter;
use super::trial::{First, Strangers};
use super::zones::Vouching;
use crate::clock::{Moment, Now};
use crate::meter::{Hash, Loudest, Rate};

/// A first answer to an address costs at least so many octets of what all strangers may be sent, as an ordinary one does: it
/// makes the address known, whatever was asked so as to have next to nothing in excess.
const FIRST_ANSWER: usize = 100;
/// Of the names answered from the cache, and of the cookies that came back, one in so many is looked at to tell how many
/// clients ask.
const SAMPLED: u64 = 16;
/// The same of a client that asks little: a household's history is some dozens of questions.
const SAMPLED_LIGHT: u64 = 4;
/// Without pressure one answer in so many is charged, for all of them: nobody is refused then, and looking up every account of
/// every answer is half of what a cache hit costs.
const OPEN_SAMPLE: usize = 4;
/// The same of a client whose account is hardly used, and who has no pass.
const LIGHT_SAMPLE: usize = passes::ANSWERS as usize;
/// Under pressure everybody pays out of his own account for each answer. Of a wider prefix of which less than a quarter is
/// used, one in so many pays for all of them: it is that of many, and comes to the same long before it is short.
const WIDE_SAMPLE: u64 = 4;
/// As long as less than half of a network's ration is used, one small answer in so many is charged to it, for all of them.
const RATION_SAMPLE: u64 = 4;
/// A ration's burst.
const RATION_BURST: Duration = Duration::from_secs(1);
/// The burst of an address under pressure: 16 KiB, a page with a hundred and fifty names on it.
const ADDRESS_BURST: Duration = Duration::from_secs(16);
/// Where strictly rationed, one answer in so many is not even sent truncated: what saves more than the rest exceeds. Of
/// strangers among forged ones it is one address in so many at a time, see [`SILENCE`].
const SILENT: u64 = 8;
/// Where nothing is owed, one stranger among forged ones in so many still hears nothing: the filter of known addresses takes
/// a few in a hundred thousand for known, whose answers are longer than what they sent. A multiple of [`SILENT`], so that
/// nobody's turn of this kind comes right after one of that.
const SELDOM: u64 = 32 * SILENT;
/// A stranger's turn to hear nothing lasts so long, and then it is that of others. Stub resolvers ask again after one to five
/// seconds, and are then told to come by TCP for certain: a throw for each packet would leave one in sixty-four unheard twice.
const SILENCE: Duration = Duration::from_millis(750);

/// Whom a packet says that it is from, with all that does not depend on when it is asked. It is good for as long as the rules
/// under which it was made.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// Canonical.
    address: IpAddr,
    standing: Standing,
    /// Of no meaning where it may not ask.
    keys: Keys,
    /// With one, no more is known than that it may ask, and the key of its address.
    short_cut: Option<ShortCut>,
}

/// What this shard remembers of somebody that may make looking into the books needless.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ShortCut {
    /// He seems to have a pass, here.
    Pass(Place),
    /// He was turned away a moment ago.
    Bar,
}

impl Origin {
    /// Whether it may ask at all.
    pub fn may_ask(&self) -> bool {
        self.standing.allowed
    }

    /// Whether it was turned away a moment ago, and most likely is again.
    pub fn seems_barred(&self) -> bool {
        self.short_cut == Some(ShortCut::Bar)
    }
}

/// A query at the door.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    pub address: IpAddr,
    /// It came by a connection, so that its address is proven.
    pub stream: bool,
    /// The value of its cookie option.
    pub cookie: Option<&'a [u8]>,
    /// The name it asks for, in wire form; empty if it could not be read.
    pub name: &'a [u8],
}

/// The cookie that goes into the response.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CookieReply {
    /// None was asked for.
    #[default]
    None,
    /// This one.
    Give([u8; cookie::FULL]),
    /// What came is no cookie: FORMERR (RFC 7873 §5.2.2).
    Malformed,
}

/// The proof that a client passed the door: nothing else makes one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Admitted {
    address: IpAddr,
    keys: Keys,
    weight: u32,
    /// In its weight those behind its address are counted.
    crowd: bool,
    proven: bool,
    exempt: bool,
    /// It has used more than half of its burst: octets to it are counted strictly.
    strict: bool,
    /// Its account is well ahead.
    busy: bool,
    /// Its account is hardly used, and nobody under pressure has used much of those around it.
    light: bool,
    /// It was never seen before.
    stranger: bool,
    /// It belongs to a sample, and is told to come by TCP.
    asked: bool,
    /// It has no class.
    plain: bool,
    round: Round,
}

impl Admitted {
    /// A client without a class of whom nothing is known but who he is.
    fn plain(address: IpAddr, keys: Keys, round: Round) -> Admitted {
        Admitted {
            address,
            keys,
            weight: 1,
            crowd: false,
            proven: false,
            exempt: false,
            strict: false,
            busy: false,
            light: true,
            stranger: false,
            asked: false,
            plain: true,
            round,
        }
    }

    /// It came with a valid cookie or by a connection.
    pub fn proven(&self) -> bool {
        self.proven
    }

    /// It gives way to nobody who is not proven.
    pub fn goes_first(&self) -> bool {
        self.proven || self.exempt
    }
}

/// An answer that is ready.
#[derive(Clone, Copy, Debug)]
pub struct Departing<'a> {
    /// What was asked for, in wire form.
    pub name: &'a [u8],
    /// Octets of the question.
    pub received: usize,
    /// Octets of the answer.
    pub sent: usize,
    /// There is something at that name, and it was known.
    pub from_cache: bool,
}

/// The door of one shard.
#[derive(Debug)]
pub struct Door {
    ranges: Ranges,
    ladder: Ladder,
    classes: Vec<Class>,
    limits: Limits,
    measures: Measures,
    cookies: Option<Secrets>,
    books: Books,
    /// By `proven`: what may be answered, and what may be asked upstream.
    answers: [Rate; 2],
    work: [Rate; 2],
    /// Rations, in the accounts of the unproven.
    plain: Rate,
    /// What all strangers share.
    together: Rate,
    refusals: Meter,
    controller: Controller,
    passes: Passes,
    bars: Bars,
    /// Passes count.
    passing: bool,
    /// What a round of them costs is little beside a burst.
    passable: bool,
    pen: Pen,
    loud: Loudest,
    good: GoodCookies,
    vouching: Vouching,
    /// The burst in nanoseconds.
    burst: u64,
    swept: Moment,
    dice: u64,
    tally: Tally,
}

/// What a class amounts to here.
#[derive(Clone, Copy, Debug)]
struct Class {
    weight: u32,
    exempt: bool,
    require_cookie: Mode,
}

impl Door {
    /// A door with books of its own, small ones.
    pub fn new(policy: &Policy) -> Door {
        Door::beside(policy, &Books::new(&super::Sizes::small(), &[0; 32]))
    }

    /// A door that shares its books with all others made from `books`, so that a limit means the same with one
    /// shard or many.
    pub fn beside(policy: &Policy, books: &Books) -> Door {
        let limits = policy.limits.clone();
        books.0.zones.set_rules(&limits.suffix_rules, &limits.exempt_zones);
        let burst = limits.burst();
        let both = |burst| [0, 1].map(|proven: usize| Rate::new(Arc::clone(&books.0.tables[proven]), burst));
        let class = |class: &super::ClientClass| Class {
            weight: u32::try_from(class.weight).unwrap_or(u32::MAX).max(1),
            exempt: class.exempt,
            require_cookie: class.require_cookie,
        };
        let exempt = Class { weight: 1, exempt: true, require_cookie: Mode::Off };
        let cookies = policy.cookies.enabled.then(|| match &policy.cookies.secrets[..] {
            [] => Secrets::new(books.0.cookie_secret, &[]),
            [first, others @ ..] => Secrets::new(*first, others),
        });
        let ladder = Ladder::new(&limits);
        let burst_nanos = u64::try_from(burst.as_nanos()).unwrap_or(u64::MAX);
        let passable = ladder.dearest(LIGHT_SAMPLE, Level::Guard) <= burst_nanos / 4;
        Door {
            ranges: Ranges::new(&policy.allow, policy.class_prefixes()),
            ladder,
            classes: policy.classes.iter().map(class).chain([exempt]).collect(),
            cookies,
            answers: both(burst),
            work: both(burst / 2),
            plain: Rate::new(Arc::clone(&books.0.tables[0]), RATION_BURST),
            together: Rate::new(Arc::clone(&books.0.strangers), Duration::from_secs(1)),
            refusals: Meter::new(policy.refused_per_second, books.0.refusals.clone()),
            controller: Controller::new(limits.calm, &limits.levels),
            passes: Passes::new(books.0.passes),
            bars: Bars::default(),
            passing: passable,
            passable,
            pen: Pen::default(),
            loud: Loudest::default(),
            good: GoodCookies::default(),
            vouching: Vouching::default(),
            burst: burst_nanos,
            swept: Moment::ZERO,
            dice: books.0.seed | 1,
            tally: Tally::default(),
            books: books.clone(),
            measures: Measures::new(&limits),
            limits,
        }
    }

    /// Takes a new policy. Accounts, counters and the level of pressure stay.
    pub fn set_policy(&mut self, policy: &Policy) {
        let fresh = Door::beside(policy, &self.books);
        let old = std::mem::replace(self, fresh);
        self.tally = old.tally;
        self.dice = old.dice;
        self.swept = old.swept;
        self.pen = old.pen;
        self.good = old.good;
        self.passing = old.passing && self.passable;
        self.controller = old.controller;
        self.controller.set_rules(self.limits.calm, &self.limits.levels);
    }

    /// What it has seen.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// How hard this shard is pressed, and since when.
    pub fn level(&self) -> (Level, Moment) {
        self.controller.level()
    }

    /// What called for that level last.
    pub fn cause(&self) -> Option<Signal> {
        self.controller.cause()
    }

    /// How long connections may idle at a level, of the usual time.
    pub fn tcp_idle(&self, level: Level) -> Part {
        self.measures.tcp_idle[level as usize]
    }

    /// Takes what the shard feels; to be called some times a second.
    pub fn feel(&mut self, now: Moment, pressure: &Pressure) -> Level {
        let level = self.controller.feel(now, pressure);
        // In a flood in the names of those who were served before, each of them is looked at.
        let doubted = level >= Level::Guard && self.books.0.acquaintances.verdict(now) == Strangers::Forged;
        self.passing = self.passable && level < Level::Closed && !doubted;
        level
    }

    /// The sources that asked far beyond their share since the last call, and how often they were turned away.
    pub fn take_loud(&mut self) -> Vec<(IpAddr, u32)> {
        self.loud.take()
    }

    /// Those that sources have shown which are thinned out before they are seen here.
    pub fn good_cookies(&mut self) -> &mut GoodCookies {
        &mut self.good
    }

    /// Judges a query, and says with which cookie it is to be answered. `now` must not lie before that of an earlier
    /// call by much: rates are measured with it.
    pub fn judge(&mut self, now: Now, asking: &Asking<'_>) -> (Verdict, CookieReply) {
        let origin = self.origin(asking.address);
        self.judge_from(now, &origin, asking)
    }

    /// The same for a query whose origin is known already.
    pub fn judge_from(&mut self, now: Now, origin: &Origin, asking: &Asking<'_>) -> (Verdict, CookieReply) {
        if now.mono.since(self.swept) > Duration::from_secs(1) {
            self.swept = now.mono;
            self.books.0.sweep(now.mono);
        }
        match origin.short_cut {
            Some(ShortCut::Pass(_)) => return self.judge_passing(now, origin, asking),
            Some(ShortCut::Bar) => return self.judge_barred(now, origin, asking),
            None => {}
        }
        let &Origin { address, standing: Standing { allowed, class }, keys, .. } = origin;
        if !allowed {
            return (self.outside(now.mono, address, asking.name), CookieReply::None);
        }
        let shown = self.shown(now, address, asking.cookie);
        if shown.valid
            && let CookieReply::Give(cookie) = &shown.reply
        {
            self.good.note(address, cookie);
        }
        let class = class.and_then(|number| self.classes.get(usize::from(number)).copied());
        let plain = class.is_none();
        let class = class.unwrap_or(Class { weight: 1, exempt: false, require_cookie: Mode::Off });
        let mut admitted = Admitted {
            weight: class.weight,
            proven: asking.stream || shown.valid,
            exempt: class.exempt,
            plain,
            ..Admitted::plain(address, keys, Round::None)
        };
        if admitted.exempt {
            self.count(&admitted);
            return (Verdict::Admitted(admitted), shown.reply);
        }
        // A cookie that is none is a malformed query, whatever is required (RFC 7873 §5.2.2).
        if class.require_cookie != Mode::Off && !admitted.proven && shown.reply != CookieReply::Malformed {
            if class.require_cookie == Mode::Enforce {
                let slip = self.ask_for_cookie(now.mono, &admitted, asking.name, &shown);
                return (self.prove(now.mono, &admitted, asking.name, slip, Reason::CookieRequired), shown.reply);
            }
            self.observe(now.mono, &admitted, asking.name, Reason::CookieRequired);
        }
        let turned = match self.share(now.mono, &mut admitted, asking.name) {
            Ok(()) => {
                self.count(&admitted);
                if shown.valid {
                    self.note_cookie(now.mono, &admitted, asking.cookie);
                }
                return (Verdict::Admitted(admitted), shown.reply);
            }
            Err(reason) => reason,
        };
        let slip = if shown.full && shown.excess == 0 { Slip::BadCookie } else { Slip::Truncated };
        let turned = match admitted.asked {
            true => self.slip(now.mono, &admitted, asking.name, slip, turned),
            false => self.turn_away(now.mono, &admitted, asking.name, slip, turned),
        };
        (Verdict::Turned(turned), shown.reply)
    }

    fn count(&mut self, admitted: &Admitted) {
        if admitted.proven {
            self.tally.proven += 1;
        } else {
            self.tally.unproven += 1;
        }
    }

    /// Who is outside of every prefix that may ask.
    fn outside(&mut self, now: Moment, address: IpAddr, name: &[u8]) -> Verdict {
        let turned = if self.refusals.take(now) {
            Turned::Refuse(Reason::NotAllowed)
        } else {
            Turned::Drop(Reason::RefusedRate)
        };
        self.write(now, address, name, turned);
        Verdict::Turned(turned)
    }

    /// Takes one answer out of the accounts of an address and its prefixes; `Err` if it has to be turned away.
    fn share(&mut self, now: Moment, admitted: &mut Admitted, name: &[u8]) -> Result<(), Reason> {
        let (level, _) = self.controller.level();
        if !admitted.proven {
            if admitted.plain && self.passes.take_due(&admitted.keys, now) {
                admitted.round = Round::Due;
            }
            self.stranger(now, admitted, name, level)?;
        }
        if self.limits.clients == Mode::Off {
            return Ok(());
        }
        let inner = &self.books.0;
        let load = inner.tables[usize::from(admitted.proven)].read(admitted.keys.narrowest, now).0;
        admitted.busy = load > self.burst / 4;
        admitted.light = load < self.burst / 64;
        if admitted.busy && self.limits.crowds {
            let shares = inner.crowd(admitted.keys.address, admitted.proven, now);
            admitted.weight = admitted.weight.saturating_mul(shares);
            admitted.crowd = true;
            // It fills at the price of one client up to here, and from here on at that of many: so far is nothing for them.
            admitted.busy = shares == 1 || load > self.burst / 2;
        }
        admitted.strict = load > self.burst / 2;
        // As long as nobody is refused, some pay for all: the accounts come to the same.
        let units = match level {
            _ if admitted.round == Round::Due => LIGHT_SAMPLE,
            Level::Open if admitted.light => LIGHT_SAMPLE,
            Level::Open => OPEN_SAMPLE,
            _ => 1,
        };
        if units > 1 && admitted.round != Round::Due && !self.one_in(units) {
            return Ok(());
        }
        let dice = self.throw();
        let (inner, proven) = (&self.books.0, usize::from(admitted.proven));
        let (table, answers) = (&inner.tables[proven], &self.answers[proven]);
        let accounts = self.ladder.accounts(&inner.secret, admitted.address);
        if units > 1 {
            // All lines are on their way before the first is needed.
            accounts.fetch_wider(table);
        }
        let mut most = 0;
        let price = accounts.price(0, units, admitted.weight, level);
        let full = accounts.iter().enumerate().position(|(index, (key, _))| {
            let mut units = units;
            if index > 0 && units == 1 && table.read(key, now).0 < self.burst / 4 {
                if !(dice >> (2 * index)).is_multiple_of(WIDE_SAMPLE) {
                    return false;
                }
                units = WIDE_SAMPLE as usize;
            }
            let taken = answers.take(key, now, accounts.price(index, units, admitted.weight, level));
            most = most.max(taken.map_or(u64::MAX, |load| load.0));
            taken.is_err()
        });
        admitted.light &= level == Level::Open || most < self.burst / 4;
        let Some(index) = full else { return Ok(()) };
        // Who stands wider is charged by nobody who was refused closer in.
        let reason = if index == 0 { Reason::ClientShare } else { Reason::PrefixShare };
        // Whoever has an IPv6 address has a network of them.
        let own = index == 0 || accounts.iter().nth(index).is_some_and(|(_, length)| length >= NETWORK_V6);
        let held = self.hold(now, admitted, name, self.limits.clients, reason);
        if held.is_err() && index == 0 && !admitted.proven && admitted.plain {
            let load = self.books.0.tables[0].read(admitted.keys.narrowest, now).0;
            self.bar(now, admitted, load, price);
        }
        if held.is_err() && own {
            self.loud.note(admitted.address, source_key(&self.books.0.secret, admitted.address));
        }
        held
    }

    /// Where there is a flood of addresses never seen before, few of them are served; nothing is charged to
    /// the prefixes that they are forged in.
    fn stranger(&mut self, now: Moment, admitted: &mut Admitted, name: &[u8], level: Level) -> Result<(), Reason> {
        if self.limits.strangers == Mode::Off {
            return Ok(());
        }
        let key = admitted.keys.address;
        if level < Level::Guard {
            admitted.stranger = !self.books.0.known.renew(key, now) && !self.books.0.has_come(admitted.address, now);
            return Ok(());
        }
        // Whoever is believed is remembered, however long it lasts.
        let known = match self.books.0.acquaintances.of(admitted.address).is_doubted(now) {
            true => self.books.0.known.has(key, now),
            false => self.books.0.known.renew(key, now),
        };
        let first = match known {
            true => self.acquaintance(now, admitted, level),
            false if self.books.0.has_come(admitted.address, now) => First::Whole,
            false => First::Turned,
        };
        match first {
            First::Whole | First::Doubted => return Ok(()),
            First::Asked => {
                admitted.asked = true;
                return self.hold(now, admitted, name, self.limits.strangers, Reason::Stranger);
            }
            First::Turned => admitted.stranger = true,
        }
        let price = self.measures.stranger_price[level as usize];
        let all = self.books.0.secret.pair(u64::from(Book::Strangers as u8), 0);
        match self.together.take(all, now, price) {
            Ok(_) => Ok(()),
            Err(_) => self.hold(now, admitted, name, self.limits.strangers, Reason::Stranger),
        }
    }

    /// A limit is reached: does it limit?
    fn hold(
        &mut self,
        now: Moment,
        admitted: &Admitted,
        name: &[u8],
        mode: Mode,
        reason: Reason,
    ) -> Result<(), Reason> {
        let (level, _) = self.controller.level();
        match mode {
            // With room to spare nobody is refused.
            _ if level == Level::Open => Ok(()),
            Mode::Enforce => Err(reason),
            Mode::Observe => {
                self.observe(now, admitted, name, reason);
                Ok(())
            }
            Mode::Off => Ok(()),
        }
    }

    fn observe(&mut self, now: Moment, admitted: &Admitted, name: &[u8], reason: Reason) {
        self.tally.observed[reason as usize] += 1;
        let (level, _) = self.controller.level();
        let note = Note { address: admitted.address, name, reason, action: Action::Observed, level };
        self.pen.write(&self.books.0.decisions, now, self.key(admitted.address), &note);
    }

    /// One in `slip` gets a sign of life that costs no more than it sent, and the others silence.
    fn turn_away(&mut self, now: Moment, admitted: &Admitted, name: &[u8], slip: Slip, reason: Reason) -> Turned {
        let turned = match self.one_in(self.limits.slip) {
            false => Turned::Drop(reason),
            true if admitted.proven => Turned::Refuse(reason),
            true => Turned::Slip(slip, reason),
        };
        self.write(now, admitted.address, name, turned);
        turned
    }

    /// Who has to prove himself always hears so, except in a flood.
    fn prove(&mut self, now: Moment, admitted: &Admitted, name: &[u8], slip: Slip, reason: Reason) -> Verdict {
        Verdict::Turned(match self.controller.level().0 >= Level::Guard {
            true => self.turn_away(now, admitted, name, slip, reason),
            false => self.slip(now, admitted, name, slip, reason),
        })
    }

    fn slip(&mut self, now: Moment, admitted: &Admitted, name: &[u8], slip: Slip, reason: Reason) -> Turned {
        let turned = Turned::Slip(slip, reason);
        self.write(now, admitted.address, name, turned);
        turned
    }

    /// An answer is ready: may it go?
    pub fn part(&mut self, now: Moment, admitted: &Admitted, packet: &Departing<'_>) -> Parting {
        match admitted.round {
            Round::Within(leave) => self.part_passing(now, admitted.address, &admitted.keys, leave, packet),
            Round::None | Round::Due => self.part_whole(now, admitted, packet),
        }
    }

    /// The same for whoever has no pass.
    fn part_whole(&mut self, now: Moment, admitted: &Admitted, packet: &Departing<'_>) -> Parting {
        let &Departing { name, received, sent, from_cache } = packet;
        let (level, _) = self.controller.level();
        // One throw decides on all that is sampled here.
        let mut dice = self.throw();
        let mut one_in = |count: u64| {
            let chosen = dice.is_multiple_of(count);
            dice /= count;
            chosen
        };
        let (mut sampled, mut light) = (one_in(SAMPLED), one_in(SAMPLED_LIGHT) && admitted.light);
        let sampled_ration = one_in(RATION_SAMPLE);
        if admitted.round != Round::None {
            // In each round one answer is looked at, and of the others one in four that the client was given.
            (sampled, light) = (admitted.round == Round::Due, false);
        }
        let looked_at = from_cache && level < Level::Guard;
        if looked_at && sampled && self.limits.crowds {
            self.note_name(now, admitted, name);
        }
        if looked_at && light && !admitted.exempt {
            self.vouch(now, admitted.address, name);
        }
        let excess = sent.saturating_sub(received);
        let free = admitted.proven || admitted.exempt || excess == 0 || self.limits.rations == Mode::Off;
        let first = if admitted.stranger && !free { self.first(now, admitted, excess) } else { First::Whole };
        let reason = match first {
            First::Asked | First::Turned => Some(Reason::StrangerRation),
            First::Whole | First::Doubted if free => None,
            First::Whole | First::Doubted => self.over_ration(now, admitted, name, excess, sampled_ration),
        };
        let observed = self.limits.rations == Mode::Observe;
        if observed && first == First::Asked {
            // Whoever is not told to come by TCP cannot do so: strangers count as real.
            self.books.0.trial.of(admitted.address).came(trial_key(&self.books.0.secret, admitted.address), now);
        }
        let Some(reason) = reason else {
            if admitted.stranger && first == First::Whole && excess > 0 && level < Level::Guard {
                // Who was only told to come back by TCP has not been served, and what costs nobody an octet makes nobody known.
                self.books.0.known.note_sparing(admitted.keys.address, now);
            }
            if admitted.stranger && !free {
                self.books.0.trial.of(admitted.address).owe(excess, first);
            }
            self.give_pass(now, admitted, excess);
            return Parting::Send;
        };
        if observed {
            self.observe(now, admitted, name, reason);
            if admitted.stranger && level < Level::Guard {
                self.books.0.known.note_sparing(admitted.keys.address, now);
            }
            return Parting::Send;
        }
        let owes = first == First::Turned && self.books.0.trial.of(admitted.address).owes();
        let silent = match first {
            // Who is real among the forged comes by TCP if he hears anything, as he nearly always does.
            First::Turned => self.has_turn_of_silence(now, admitted.address, if owes { SILENT } else { SELDOM }),
            _ if !(admitted.strict && admitted.busy) => false,
            _ => self.one_in(if level >= Level::Guard { self.limits.slip } else { SILENT as usize }),
        };
        // What is saved beyond that makes up for those who are taken for known, of whom nobody keeps a tally.
        if silent && owes {
            self.books.0.trial.of(admitted.address).repay(received);
        }
        let (parting, turned) = if silent {
            (Parting::Drop(reason), Turned::Drop(reason))
        } else {
            (Parting::Truncate(reason), Turned::Slip(Slip::Truncated, reason))
        };
        self.write(now, admitted.address, name, turned);
        parting
    }

    /// Whether a stranger belongs to the one in `count` who hear nothing now, which nobody knows of an address that he forges.
    fn has_turn_of_silence(&self, now: Moment, address: IpAddr, count: u64) -> bool {
        let turn = now.as_nanos() / SILENCE.as_nanos() as u64;
        trial_key(&self.books.0.secret, address).0.wrapping_add(turn).is_multiple_of(count)
    }

    /// What the first answer to an address that was never seen before is to be.
    fn first(&self, now: Moment, admitted: &Admitted, excess: usize) -> First {
        let client = trial_key(&self.books.0.secret, admitted.address);
        let within = || self.within_stranger_ration(now, excess.max(FIRST_ANSWER));
        self.books.0.trial.of(admitted.address).first(client, now, within)
    }

    /// Counts and keeps what was done.
    fn write(&mut self, now: Moment, address: IpAddr, name: &[u8], turned: Turned) {
        let (reason, action) = match turned {
            Turned::Slip(_, reason) => (reason, Action::Slipped),
            Turned::Refuse(reason) => (reason, Action::Refused),
            Turned::Drop(reason) => (reason, Action::Dropped),
        };
        self.keep(now, address, name, reason, action);
    }

    fn keep(&mut self, now: Moment, address: IpAddr, name: &[u8], reason: Reason, action: Action) {
        self.tally.turned[reason as usize] += 1;
        match action {
            Action::Slipped => self.tally.slipped += 1,
            Action::Refused => self.tally.refused += 1,
            Action::Failed => self.tally.failed += 1,
            Action::Closed => self.tally.closed += 1,
            Action::Stale => self.tally.stale += 1,
            Action::Dropped | Action::Observed => self.tally.dropped += 1,
        }
        let (level, _) = self.controller.level();
        let key = self.key(address);
        self.pen.write(&self.books.0.decisions, now, key, &Note { address, name, reason, action, level });
    }

    pub(super) fn key(&self, address: IpAddr) -> Hash {
        address_key(&self.books.0.secret, address)
    }

    /// True once in `count` times (xorshift).
    fn one_in(&mut self, count: usize) -> bool {
        // The upper half of the product is as even as a remainder, and costs no division.
        count > 0 && (self.throw() * (count as u64 & 0xffff_ffff)) >> 32 == 0
    }

    /// Thirty-two bits that nobody foresees.
    fn throw(&mut self) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice >> 32
    }
}
