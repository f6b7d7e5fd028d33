//! Which sources are thinned out before they reach a socket's queue: those that the door turns away far more often than
//! it could ever serve them. They keep their share, and enough passes to tell when they are done.
//!
//! Where somebody asks in the name of a customer, of the customer's own packets as many are held back as of those, since
//! nothing tells one from the other. So no more is held back than the load calls for: at first hardly anything passes, and
//! then more and more as long as there is time to spare.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::clock::Moment;
use crate::control::Sifted;
use crate::meter::source_of;
use crate::net::filter::{MOST, SPARED, Thinned, cookie_end};

/// Turned away so often a second, a source is thinned out.
const LOUD: f64 = 20_000.0;
/// Thinned out, it is to be turned away so often a second: it has its share, and enough more to prove itself.
const THROUGH: f64 = 8_000.0;
/// Above this it is thinned out further.
const MORE: f64 = 16_000.0;
/// Below this its share may be more than what is let through.
const QUIET: f64 = 500.0;
/// No source has less than this part of its packets let through: of one that is loud a hundred a second are.
const LEAST: f32 = 0.005;
/// What passes of a source is counted for so long before it is judged by how many it sends: twenty of the smallest part.
const LOOK: Duration = Duration::from_millis(200);
/// One window counts for so much of it at most: whoever was held up himself has not looked in the meantime.
const LONGEST: Duration = Duration::from_millis(100);
/// Of whoever sends fewer a second, as what passes shows, nothing is held back any more: his flood is over.
const DONE: f64 = 5_000.0;
/// With time to spare so much more is let through after each look.
const EASE: f32 = 1.25;
/// That long after the load has called for less.
const RELIEF: Duration = Duration::from_secs(2);
/// Where the load called for less, so much of what passed then is let through, and so much more of it with each look: a
/// tenth in ten seconds.
const CAREFUL: f32 = 0.7;
const DARING: f32 = 1.002;
/// He has to be done for so long; whoever comes back is believed half as soon each time, down to the other.
const PATIENCE: Duration = LOOK;
const LONGEST_PATIENCE: Duration = Duration::from_secs(5);
/// A cookie that was not shown for so long gives its place to another one.
const UNUSED: Duration = Duration::from_secs(10);
/// For so long it is known that he was there before.
const MEMORY: Duration = Duration::from_secs(20);

/// The sources being thinned out, and those that were.
#[derive(Debug, Default)]
pub struct Sieve {
    kept: HashMap<IpAddr, Kept>,
    thinned: usize,
    /// For how long the load has not called for less.
    relieved: Duration,
}

/// A time that is over, and how it was.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub now: Moment,
    pub span: Duration,
    /// There was time to spare.
    pub ease: bool,
}

/// What packets end with, as the filter sees them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// No cookie.
    Plain,
    /// What looks like one.
    Cookie,
    /// One that is known to be good.
    Spared,
}

/// What is kept of a source.
#[derive(Debug)]
struct Kept {
    /// The parts of its packets that are let through, of those without a cookie and of those with one; none is held back: 1.
    parts: [f32; 2],
    /// More of them has been too much before.
    ceilings: [f32; 2],
    /// How many a second it sends, at the last look, and since when it is thinned out.
    sends: f64,
    since: Moment,
    /// The last octets of its good cookies, and for how long each was not shown.
    spared: Vec<(u32, Duration)>,
    /// Who has them asks too much as well: none is spared.
    spares_nobody: bool,
    /// How many of its packets were let through by what they end with, in this window and before it, and how many of those
    /// turned away, in how long.
    seen: [u32; 3],
    seen_before: [u32; 3],
    turned: u32,
    looked: Duration,
    /// For how long it has been done, or free.
    quiet: Duration,
    patience: Duration,
}

impl Kept {
    /// Turned away so many times a second, although it had these parts before.
    fn new(now: Moment, rate: f64, ceilings: [f32; 2], patience: Duration) -> Kept {
        Kept {
            // What its packets end with nobody has looked at yet: those with a cookie pass until then.
            parts: [(THROUGH / rate) as f32, 1.0],
            ceilings,
            sends: rate,
            since: now,
            spared: Vec::new(),
            spares_nobody: false,
            seen: [0; 3],
            seen_before: [0; 3],
            turned: 0,
            looked: Duration::ZERO,
            quiet: Duration::ZERO,
            patience,
        }
    }

    fn is_free(&self) -> bool {
        self.parts == [1.0; 2]
    }

    fn saw(&mut self, packet: &[u8]) {
        let end = match cookie_end(packet) {
            None => End::Plain,
            Some(end) if self.spared.iter().any(|(spared, _)| *spared == end) => End::Spared,
            Some(_) => End::Cookie,
        };
        let seen = &mut self.seen[end as usize];
        *seen = seen.saturating_add(1);
    }

    /// It has shown a good cookie that ends so; whether that changes anything.
    fn spare(&mut self, end: u32) -> bool {
        if self.spares_nobody {
            return false;
        }
        if let Some((_, unused)) = self.spared.iter_mut().find(|(spared, _)| *spared == end) {
            *unused = Duration::ZERO;
            return false;
        }
        self.spared.sort_by_key(|(_, unused)| *unused);
        if self.spared.len() >= SPARED && self.spared.pop_if(|(_, unused)| *unused >= UNUSED).is_none() {
            return false;
        }
        self.spared.push((end, Duration::ZERO));
        true
    }

    /// Lets less through of that of which most comes.
    fn thin(&mut self, rate: f64) {
        let [plain, cookies, spared] = self.seen;
        let end = match plain >= cookies.max(spared) {
            true => End::Plain,
            false if cookies >= spared => End::Cookie,
            false => End::Spared,
        };
        match end {
            End::Spared => {
                self.spares_nobody = true;
                self.spared.clear();
            }
            End::Plain | End::Cookie => {
                let part = &mut self.parts[end as usize];
                self.ceilings[end as usize] = *part * CAREFUL;
                *part = (*part * (THROUGH / rate) as f32).max(LEAST);
            }
        }
    }

    /// A window of `span` in which it was turned away `turned` times is over; whether that changes anything, and whether it was
    /// too much.
    fn look(&mut self, turned: u32, span: Duration, ease: bool) -> (bool, bool) {
        let before = (self.parts, self.spares_nobody);
        let rate = f64::from(turned) / span.as_secs_f64().max(1e-3);
        let pressed = rate > MORE;
        if pressed {
            self.thin(rate);
        }
        self.spared.iter_mut().for_each(|(_, unused)| *unused += span);
        let seen = std::mem::take(&mut self.seen);
        self.seen_before.iter_mut().zip(seen).for_each(|(all, seen)| *all = all.saturating_add(seen));
        self.turned = self.turned.saturating_add(turned);
        self.looked += span.min(LONGEST);
        if self.looked >= LOOK {
            self.judge(before.0, ease);
        }
        ((self.parts, self.spares_nobody) != before, pressed)
    }

    /// Whether it goes on, and has its share, by what passed with these parts let through.
    fn judge(&mut self, parts: [f32; 2], ease: bool) {
        let seconds = self.looked.as_secs_f64();
        let [plain, cookies, spared] = self.seen_before.map(|seen| f64::from(seen) / seconds);
        let sent = plain / f64::from(parts[0]) + cookies / f64::from(parts[1]) + spared;
        self.sends = sent;
        if sent < DONE {
            self.quiet += self.looked;
            if self.quiet >= self.patience {
                (self.parts, self.quiet, self.spares_nobody) = ([1.0; 2], Duration::ZERO, false);
                self.spared.clear();
            }
        } else {
            self.quiet = Duration::ZERO;
            let has_room = f64::from(self.turned) / seconds < QUIET && (plain + cookies + spared) * 2.0 <= THROUGH;
            if has_room {
                // It goes on, and what is let through does not come to its share.
                self.parts = self.parts.map(|part| (part * 2.0).min(1.0));
            } else if ease {
                for (part, ceiling) in self.parts.iter_mut().zip(&mut self.ceilings) {
                    *ceiling = (*ceiling * DARING).min(1.0);
                    *part = (*part * EASE).min(ceiling.max(*part));
                }
            }
        }
        (self.seen_before, self.turned, self.looked) = ([0; 3], 0, Duration::ZERO);
    }
}

impl Sieve {
    /// A packet of a source was let through. Costs little as long as nobody is thinned out.
    pub fn saw(&mut self, address: IpAddr, packet: &[u8]) {
        if self.thinned > 0
            && let Some(kept) = self.kept.get_mut(&source_of(address))
        {
            kept.saw(packet);
        }
    }

    /// Those that are thinned out, of whom good cookies are to be told.
    pub fn sources(&self) -> Vec<IpAddr> {
        self.kept.iter().filter(|(_, kept)| !kept.is_free()).map(|(source, _)| *source).collect()
    }

    /// What is held back of whom, to be told.
    pub fn sifted(&self) -> Vec<Sifted> {
        let thinned = self.kept.iter().filter(|(_, kept)| !kept.is_free());
        let one = |(source, kept): (&IpAddr, &Kept)| Sifted {
            source: *source,
            passes: kept.parts[0],
            cookies_pass: kept.parts[1],
            spared: kept.spared.len(),
            rate: kept.sends,
            since: kept.since,
        };
        thinned.map(one).collect()
    }

    /// Takes how often each source was turned away within a window, and what good cookies ended with; the filters that follow,
    /// if they changed.
    pub fn sift(&mut self, turned: &[(IpAddr, u32)], good: &[(IpAddr, u32)], window: Window) -> Option<Vec<Thinned>> {
        let Window { now, span, ease } = window;
        self.relieved = self.relieved.saturating_add(span);
        let ease = ease && self.relieved >= RELIEF;
        let mut pressed = false;
        let seconds = span.as_secs_f64().max(1e-3);
        let mut times: HashMap<IpAddr, u32> = HashMap::new();
        for (source, turned) in turned {
            *times.entry(*source).or_default() += turned;
        }
        let mut changed = false;
        for (source, end) in good {
            changed |= self.kept.get_mut(source).is_some_and(|kept| !kept.is_free() && kept.spare(*end));
        }
        self.kept.retain(|source, kept| {
            if kept.is_free() {
                kept.quiet += span;
                return kept.quiet < MEMORY;
            }
            let (changes, too_much) = kept.look(times.remove(source).unwrap_or(0), span, ease);
            changed |= changes;
            pressed |= too_much;
            true
        });
        self.thinned = self.kept.values().filter(|kept| !kept.is_free()).count();
        let rates = times.into_iter().map(|(source, times)| (source, f64::from(times) / seconds));
        let mut loud: Vec<(IpAddr, f64)> = rates.filter(|(_, rate)| *rate > LOUD).collect();
        loud.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (source, rate) in loud.into_iter().take(MOST.saturating_sub(self.thinned)) {
            (changed, pressed) = (true, true);
            self.thinned += 1;
            let (patience, ceilings) = match self.kept.get(&source) {
                Some(kept) => ((kept.patience * 2).min(LONGEST_PATIENCE), [CAREFUL, 1.0]),
                None => (PATIENCE, [1.0; 2]),
            };
            self.kept.insert(source, Kept::new(now, rate, ceilings, patience));
        }
        if pressed {
            self.relieved = Duration::ZERO;
        }
        let thinned = |(source, kept): (&IpAddr, &Kept)| Thinned {
            source: *source,
            part: kept.parts[0],
            cookies: kept.parts[1],
            spared: kept.spared.iter().map(|(end, _)| *end).collect(),
        };
        changed.then(|| self.kept.iter().filter(|(_, kept)| !kept.is_free()).map(thinned).collect())
    }

    /// Thins out nobody any more; the filters that follow, if there was anybody.
    pub fn clear(&mut self) -> Option<Vec<Thinned>> {
        let anybody = !self.is_empty();
        *self = Sieve::default();
        anybody.then(Vec::new)
    }

    /// Whether nobody is thinned out.
    pub fn is_empty(&self) -> bool {
        self.thinned == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_millis(50);
    const PRESSED: Window = Window { now: Moment::ZERO, span: SPAN, ease: false };
    const CALM: Window = Window { ease: true, ..PRESSED };
    const PLAIN: &[u8] = &[7; 40];

    fn with_cookie(end: u32) -> Vec<u8> {
        [PLAIN, &[0, 10, 0, 24], &[9; 20], &end.to_be_bytes()].concat()
    }

    fn source(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// One window, in which so many packets of a source came, of which `share` are served.
    fn window(sieve: &mut Sieve, source: IpAddr, count: u32, share: u32) -> Option<Vec<Thinned>> {
        let part = sieve.kept.get(&source).map_or(1.0, |kept| kept.parts[0]);
        let passed = (count as f32 * part) as u32;
        (0..passed).for_each(|_| sieve.saw(source, PLAIN));
        sieve.sift(&[(source, passed.saturating_sub(share))], &[], PRESSED)
    }

    #[test]
    fn who_is_loud_is_thinned_out() {
        let mut sieve = Sieve::default();
        assert_eq!(sieve.sift(&[(source(1), 900)], &[], PRESSED), None, "18,000 a second are the door's business");
        // 400,000 a second: one in fifty passes.
        let thinned = sieve.sift(&[(source(1), 900), (source(2), 20_000)], &[], PRESSED).expect("a filter");
        assert_eq!(thinned, [Thinned { source: source(2), part: 0.02, cookies: 1.0, spared: Vec::new() }]);
        for _ in 0..20 {
            assert_eq!(window(&mut sieve, source(2), 20_000, 50), None, "still the same");
        }
        let thinned = window(&mut sieve, source(2), 80_000, 0).expect("a filter");
        assert!((thinned[0].part - 0.005).abs() < 1e-4, "four times as many: {thinned:?}");
    }

    #[test]
    fn who_stopped_comes_back_at_once_whatever_others_do() {
        let mut sieve = Sieve::default();
        sieve.sift(&[(source(1), 20_000), (source(2), 100_000)], &[], PRESSED).expect("a filter");
        let back = (1..200).find(|_| {
            // The other goes on, and the kernel drops some two million packets a second of it.
            (0..500).for_each(|_| sieve.saw(source(2), PLAIN));
            let thinned = sieve.sift(&[(source(2), 400)], &[], PRESSED);
            thinned.is_some_and(|thinned| thinned.iter().all(|thinned| thinned.source == source(2)))
        });
        assert!(back.is_some_and(|windows| SPAN * windows <= Duration::from_millis(300)), "{back:?} windows");
        assert!(!sieve.is_empty());
    }

    #[test]
    fn who_asks_like_others_again_comes_back_too() {
        let mut sieve = Sieve::default();
        sieve.sift(&[(source(1), 20_000)], &[], PRESSED).expect("a filter");
        let back = (1..200).find(|_| window(&mut sieve, source(1), 50, 50).is_some());
        assert!(back.is_some_and(|windows| SPAN * windows <= Duration::from_millis(300)), "{back:?} windows");
        assert!(sieve.is_empty());
    }

    #[test]
    fn who_only_pauses_is_believed_less_each_time() {
        let mut sieve = Sieve::default();
        let pauses: Vec<Duration> = (0..8)
            .map(|_| {
                sieve.sift(&[(source(1), 20_000)], &[], PRESSED).expect("a filter");
                let back = (1..200).find(|_| sieve.sift(&[], &[], PRESSED).is_some());
                SPAN * back.expect("it comes back")
            })
            .collect();
        assert!(pauses[0] <= Duration::from_millis(200) && pauses[7] >= Duration::from_secs(5), "{pauses:?}");
        (0..500).for_each(|_| assert_eq!(sieve.sift(&[], &[], PRESSED), None));
        assert!(sieve.kept.is_empty(), "and then it is forgotten");
    }

    #[test]
    fn a_flood_that_the_kernel_holds_back_is_not_let_in_to_see_whether_it_goes_on() {
        let mut sieve = Sieve::default();
        sieve.sift(&[(source(1), 20_000)], &[], PRESSED).expect("a filter");
        for _ in 0..20 * 60 {
            // 300,000 a second, of which 4,000 are its share.
            window(&mut sieve, source(1), 15_000, 200);
            let part = sieve.kept[&source(1)].parts[0];
            assert!((0.0134..0.04).contains(&part), "{part}: it has its share, and hardly more");
        }
    }

    /// A flood of so many a second, on a machine that has time to spare for so many; the part that passes after each second.
    fn weather(sieve: &mut Sieve, rate: u32, spare: u32, seconds: usize) -> Vec<f32> {
        let part = |sieve: &Sieve| sieve.kept.get(&source(1)).map_or(1.0, |kept| kept.parts[0]);
        let mut parts = Vec::new();
        for window in 0..seconds * 20 {
            let passed = (rate as f32 * part(sieve)) as u32 / 20;
            (0..passed).for_each(|_| sieve.saw(source(1), PLAIN));
            // With less than two thirds of the time spent it is calm, and with three quarters of it everybody is held to a share.
            match passed * 20 {
                passing if passing * 3 < spare * 2 => sieve.sift(&[], &[], CALM),
                passing if passing * 4 < spare * 3 => sieve.sift(&[], &[], PRESSED),
                _ => sieve.sift(&[(source(1), passed.saturating_sub(20))], &[], PRESSED),
            };
            if window % 20 == 19 {
                parts.push(part(sieve));
            }
        }
        parts
    }

    #[test]
    fn no_more_is_held_back_than_the_load_calls_for() {
        // Of 100,000 a second in a customer's name half can be looked at: so much of what he sends is heard as well.
        let mut sieve = Sieve::default();
        let parts = weather(&mut sieve, 100_000, 60_000, 30);
        assert!(parts[0] < 0.1 && parts[6..].iter().all(|part| (0.3..0.45).contains(part)), "{parts:?}");
        let turns = parts.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert!(turns <= 1, "it does not go up and down all the time: {parts:?}");
        // The same with far more of them, and then with fewer again: it follows.
        let parts = weather(&mut sieve, 1_000_000, 60_000, 30);
        assert!(parts[20..].iter().all(|part| (0.01..0.05).contains(part)), "{parts:?}");
        let parts = weather(&mut sieve, 40_000, 120_000, 60);
        assert!(parts[59] > 0.06, "{parts:?}");
        // Where there is time for all of them nobody is held back for long.
        let mut sieve = Sieve::default();
        let parts = weather(&mut sieve, 100_000, 300_000, 20);
        assert!(parts[19] == 1.0 && sieve.is_empty(), "{parts:?}");
    }

    #[test]
    fn what_is_held_back_can_be_told() {
        let mut sieve = Sieve::default();
        assert!(sieve.sifted().is_empty());
        let began = Window { now: Moment::from_nanos(7), ..PRESSED };
        sieve.sift(&[(source(1), 20_000)], &[], began).expect("a filter");
        (0..8).for_each(|_| drop(window(&mut sieve, source(1), 20_000, 50)));
        let [told] = &sieve.sifted()[..] else { panic!("one") };
        assert_eq!((told.source, told.since, told.cookies_pass), (source(1), Moment::from_nanos(7), 1.0));
        assert!((told.passes - 0.02).abs() < 1e-4 && (told.rate / 400_000.0 - 1.0).abs() < 0.01, "{told:?}");
    }

    #[test]
    fn who_invents_cookies_is_thinned_out_and_who_has_good_ones_is_not() {
        let mut sieve = Sieve::default();
        sieve.sift(&[(source(1), 20_000)], &[], PRESSED).expect("a filter");
        // All of them end with what looks like a cookie; a customer at the same address has a good one.
        let pass = |sieve: &mut Sieve, turned: u32| {
            (0..20_000).for_each(|number| sieve.saw(source(1), &with_cookie(number)));
            sieve.saw(source(1), &with_cookie(0xcafe_cafe));
            sieve.sift(&[(source(1), turned)], &[(source(1), 0xcafe_cafe)], PRESSED).expect("a filter").remove(0)
        };
        let first = pass(&mut sieve, 20_000);
        assert!((first.cookies - 0.02).abs() < 1e-4, "{first:?}");
        assert_eq!(first.spared, [0xcafe_cafe]);
        // Now he asks too much as well, with that one.
        (0..20_000).for_each(|_| sieve.saw(source(1), &with_cookie(0xcafe_cafe)));
        let then =
            sieve.sift(&[(source(1), 19_000)], &[(source(1), 0xcafe_cafe)], PRESSED).expect("a filter").remove(0);
        assert!(then.spared.is_empty(), "{then:?}");
        assert!(pass(&mut sieve, 2_000).spared.is_empty());
    }

    #[test]
    fn so_many_cookies_are_spared_and_those_that_are_used_stay() {
        let mut sieve = Sieve::default();
        sieve.sift(&[(source(1), 20_000)], &[], PRESSED).expect("a filter");
        let good = |ends: std::ops::Range<u32>| ends.map(|end| (source(1), end)).collect::<Vec<_>>();
        let spared = |sieve: &mut Sieve, ends| {
            (0..500).for_each(|_| sieve.saw(source(1), PLAIN));
            sieve.sift(&[(source(1), 500)], &good(ends), PRESSED);
            let mut spared: Vec<u32> = sieve.kept[&source(1)].spared.iter().map(|(end, _)| *end).collect();
            spared.sort_unstable();
            spared
        };
        assert_eq!(spared(&mut sieve, 0..40), (0..16).collect::<Vec<_>>());
        (0..300).for_each(|_| drop(spared(&mut sieve, 4..16)));
        assert_eq!(spared(&mut sieve, 100..110), (4..16).chain(100..104).collect::<Vec<_>>());
    }

    #[test]
    fn there_is_room_for_so_many_and_the_loudest_have_it() {
        let mut sieve = Sieve::default();
        let turned: Vec<_> = (0..200).map(|last| (source(last), 2_000 + u32::from(last))).collect();
        let thinned = sieve.sift(&turned, &[], PRESSED).expect("a filter");
        assert_eq!(thinned.len(), MOST);
        assert!(thinned.iter().all(|thinned| thinned.source >= source(200 - 32)));
    }
}
