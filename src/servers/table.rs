//! Round-trip times, back-off, EDNS, lameness and cookies by server address, in a table that never grows.

use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use siphasher::sip::SipHasher13;
use smallvec::SmallVec;

use super::outage::Outage;
use super::pace::{Busy, Claim, Pace, Paced};
use super::routes::Routes;
use crate::clock::Moment;
use crate::memory::Slab;
use crate::meter::{Hash, Seen};
use crate::pack::{Fields, Pack, Passage};

/// Sets of [`WAYS`] servers: 32,768 in all, several times what an ISP's resolver meets in an hour.
const SETS: usize = 4096;
const WAYS: usize = 8;
/// Zones a server is remembered to be lame for.
const LAME_ZONES: usize = 4;
/// A lame server comes after all others for so long: operators mend delegations within the hour.
const LAME_FOR: Duration = Duration::from_secs(900);
/// A server that stumbled over EDNS is tried with it again after this.
const PLAIN_FOR: Duration = Duration::from_secs(3600);
/// The first timeout toward a server not yet met (Unbound waits 376 ms, BIND 800 ms).
const FIRST_TIMEOUT: Duration = Duration::from_millis(400);
/// No timeout is shorter: a busy server's scheduling jitter is not loss.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);
/// No timeout is longer, so that several servers can be tried before a client gives up.
const LONGEST_TIMEOUT: Duration = Duration::from_millis(1500);
/// Timeouts in a row before a server is left alone: one that loses a third of its packets reaches it once in 250 times.
const STRIKES: u8 = 5;
/// How long a silent server is left alone at first: longer than anyone still waits for it.
const FIRST_BACKOFF: Duration = Duration::from_secs(2);
/// The longest a silent server is left alone.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// A server left alone is probed at most this often, where a zone has no better one.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// A server is known to serve a zone for one to two of these since it answered for it. Longer than a flood needs to make most
/// of its answers fail, and shorter than somebody needs to move a zone away and leave it delegated.
const SERVES_FOR: Duration = Duration::from_secs(15 * 60);
/// Octets to remember that by, one a server and zone: an ISP's resolver meets fewer in that time.
const SERVED: usize = 1 << 20;
/// Who has answered within this time is there.
const ALIVE_FOR: Duration = Duration::from_secs(10);

/// A server cookie with our client cookie in front (RFC 7873 §4).
pub type Cookie = SmallVec<[u8; 40]>;

/// What is known of one server for one zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub state: State,
    /// It has been left alone for its silence, and nobody knows whether that has ended.
    pub doubtful: bool,
    /// Smoothed round-trip time; `None` for a server not yet heard of.
    pub rtt: Option<Duration>,
    /// How long to wait for a response before another server is tried.
    pub timeout: Duration,
    /// Speak without EDNS to it.
    pub plain: bool,
    /// It has answered something lately, so that silence is loss, or a limit on its rate.
    pub alive: bool,
    /// It would be more than it bears.
    pub busy: Option<Busy>,
}

/// May a server be asked?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Usable,
    /// Silent lately, but due for a probe.
    Probe,
    /// Silent lately: left alone.
    BackOff,
    /// Asked as much as it bears.
    Busy,
    /// Seemed not to serve the zone: asked when nobody else is left.
    Lame,
    /// Asked enough for this question.
    Done,
}

#[derive(Clone)]
struct Entry {
    server: SocketAddr,
    used: Moment,
    /// Smoothed round-trip time and its variation, in microseconds (RFC 6298).
    srtt: f32,
    var: f32,
    heard: bool,
    strikes: u8,
    /// When it last answered, and when its silence was last counted.
    answered_at: Moment,
    struck_at: Moment,
    alone_until: Moment,
    probe_at: Moment,
    plain_until: Moment,
    lame: [(u64, Moment); LAME_ZONES],
    server_cookie: SmallVec<[u8; 32]>,
    pace: Pace,
}

/// What is told of a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    pub server: SocketAddr,
    pub rtt: Duration,
    /// Silences in a row.
    pub silences: u8,
    /// It is left alone for them.
    pub left_alone: bool,
    pub pace: Paced,
}

/// The table, shared by all shards.
pub struct Servers {
    outage: Outage,
    routes: Routes,
    /// Which zones servers have answered for.
    served: Seen,
    sets: Slab<Mutex<[Option<Entry>; WAYS]>>,
    keys: (u64, u64),
}

impl Servers {
    /// An empty table; `seed` keys its hashes and the client cookies.
    pub fn new(seed: &[u8; 32]) -> Servers {
        let word = |at: usize| seed.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
        Servers {
            outage: Outage::default(),
            routes: Routes::default(),
            served: Seen::rolling(SERVED, SERVES_FOR),
            sets: Slab::new(SETS, Default::default),
            keys: (word(0), word(8)),
        }
    }

    /// Octets the table takes.
    pub const fn memory() -> usize {
        SETS * size_of::<Mutex<[Option<Entry>; WAYS]>>() + SERVED
    }

    fn hash(&self, domain: u8, server: SocketAddr) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        hasher.write_u8(domain);
        match server.ip() {
            IpAddr::V4(ip) => hasher.write(&ip.octets()),
            IpAddr::V6(ip) => hasher.write(&ip.octets()),
        }
        hasher.write_u16(server.port());
        hasher.finish()
    }

    fn with<T>(&self, server: SocketAddr, now: Moment, act: impl FnOnce(&mut Entry) -> T) -> T {
        let set = (self.hash(0, server) % SETS as u64) as usize;
        let mut ways = self.sets[set].lock().unwrap_or_else(PoisonError::into_inner);
        let way = ways.iter().position(|way| way.as_ref().is_some_and(|entry| entry.server == server));
        let way = way.unwrap_or_else(|| {
            let oldest = (0..WAYS).min_by_key(|&way| ways[way].as_ref().map(|entry| entry.used)).unwrap_or(0);
            ways[oldest] = Some(Entry::new(server, now));
            oldest
        });
        let entry = ways[way].get_or_insert_with(|| Entry::new(server, now));
        entry.used = now;
        act(entry)
    }

    fn there<T>(&self, server: SocketAddr, act: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let set = (self.hash(0, server) % SETS as u64) as usize;
        let mut ways = self.sets.get(set)?.lock().unwrap_or_else(PoisonError::into_inner);
        ways.iter_mut().flatten().find(|entry| entry.server == server).map(act)
    }

    /// What is known of `server`, of which `zone` (a hash of its name) is to be asked.
    pub fn report(&self, server: SocketAddr, zone: u64, claim: Claim, now: Moment) -> Report {
        self.with(server, now, |entry| {
            let alive = entry.is_alive(now);
            let mut doubtful = false;
            entry.pace.excuse(self.outage.restored());
            let lame = entry.lame.iter().any(|&(z, until)| z == zone && until > now);
            let state = if lame {
                State::Lame
            } else if entry.strikes < STRIKES || entry.struck_at < self.outage.restored() {
                State::Usable
            } else if entry.alone_until <= now {
                // As good as any once more, but one packet at a time until it answers.
                doubtful = entry.probe_at <= now;
                if doubtful { State::Usable } else { State::BackOff }
            } else if entry.probe_at <= now && self.outage.may_probe(now) {
                State::Probe
            } else {
                State::BackOff
            };
            Report {
                state,
                doubtful,
                rtt: entry.heard.then(|| Duration::from_micros(entry.srtt as u64)),
                timeout: entry.timeout(),
                plain: entry.plain_until > now,
                alive,
                busy: entry.pace.busy(claim, alive, now),
            }
        })
    }

    /// The cookie to send to `server`: ours, and the server's where known.
    pub fn cookie_for(&self, server: SocketAddr, now: Moment) -> Cookie {
        let mut cookie = Cookie::from_slice(&self.hash(1, server).to_be_bytes());
        self.with(server, now, |entry| cookie.extend_from_slice(&entry.server_cookie));
        cookie
    }

    /// `server` has answered after `rtt`, whatever it said.
    pub fn answered(&self, server: SocketAddr, rtt: Duration, now: Moment) {
        self.outage.answered(now);
        self.routes.heard(server.ip());
        self.with(server, now, |entry| {
            let sample = rtt.as_micros() as f32;
            if entry.heard && entry.strikes == 0 {
                entry.var += ((entry.srtt - sample).abs() - entry.var) / 4.0;
                entry.srtt += (sample - entry.srtt) / 8.0;
            } else {
                entry.srtt = sample;
                entry.var = sample / 2.0;
            }
            entry.heard = true;
            entry.strikes = 0;
            entry.pace.answered(now);
            entry.answered_at = now;
            entry.alone_until = Moment::ZERO;
            entry.probe_at = Moment::ZERO;
        });
    }

    /// `server` has not answered for `zone` within its timeout what was sent at `sent`, or cannot be reached.
    ///
    /// Loss is not silence: a server that has answered something since is there, and of all that was lost together (a busy
    /// server, or one that limits its rate) only one counts.
    ///
    /// `true`: the server is there, and has said nothing of that zone lately, so that it has dropped it rather than that it is at
    /// work on it.
    pub fn timed_out(&self, server: SocketAddr, zone: u64, sent: Moment, now: Moment) -> bool {
        self.routes.silent(server.ip(), now);
        let serves = self.served.has(self.service(server, zone), now);
        self.with(server, now, |entry| {
            entry.pace.silent(serves, sent, now);
            let dropped = !serves && entry.is_alive(now) && entry.pace.is_familiar();
            if entry.answered_at > sent {
                return dropped;
            }
            if entry.struck_at > sent {
                // Still silent: no reason to count, nor to probe soon.
                entry.probe_at = now + PROBE_EVERY;
                return dropped;
            }
            entry.struck_at = now;
            entry.strikes = entry.strikes.saturating_add(1);
            // A silent server's time grows, so that its siblings are preferred before it is left alone.
            let grown = entry.timeout().as_micros() as f32 * 2.0;
            entry.srtt = if entry.heard { entry.srtt.max(grown / 2.0) } else { grown / 2.0 };
            entry.heard = true;
            if entry.strikes == STRIKES {
                self.outage.given_up();
            }
            if entry.strikes >= STRIKES {
                let doublings = u32::from(entry.strikes - STRIKES).min(8);
                let alone = (FIRST_BACKOFF * (1 << doublings)).min(LONGEST_BACKOFF);
                entry.alone_until = now + alone;
                entry.probe_at = now + PROBE_EVERY;
            }
            dropped
        })
    }

    /// What was sent to `server` then and seemed lost was late.
    pub fn late(&self, server: SocketAddr, sent: Moment, now: Moment) {
        self.with(server, now, |entry| entry.pace.late(sent));
    }

    /// A packet goes to `server`.
    pub fn opened(&self, server: SocketAddr, claim: Claim, now: Moment) {
        self.with(server, now, |entry| entry.pace.opened(claim, now));
    }

    /// Nothing more is awaited for a packet that went to `server`.
    pub fn closed(&self, server: SocketAddr) {
        self.there(server, |entry| entry.pace.closed());
    }

    /// What is known of the servers at an address.
    pub fn at(&self, address: IpAddr, now: Moment) -> Vec<Known> {
        self.all(|entry| entry.server.ip() == address, now)
    }

    fn all(&self, which: impl Fn(&Entry) -> bool, now: Moment) -> Vec<Known> {
        let mut all = Vec::new();
        for set in &self.sets {
            let mut ways = set.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(ways.iter_mut().flatten().filter(|entry| which(entry)).map(|entry| entry.tell(now)));
        }
        all
    }

    /// The servers that have a quota, those that are asked most first, at most `most`.
    pub fn limited(&self, most: usize, now: Moment) -> Vec<Known> {
        let mut all = self.all(|entry| entry.pace.is_limited(), now);
        all.retain(|known| known.pace.quota.is_some());
        let asked = |known: &Known| known.pace.answers + known.pace.losses;
        all.sort_by(|a, b| asked(b).total_cmp(&asked(a)));
        all.truncate(most);
        all
    }

    /// A probe goes to `server`: no other for a while.
    pub fn probing(&self, server: SocketAddr, now: Moment) {
        self.outage.probing(now);
        self.with(server, now, |entry| entry.probe_at = now + PROBE_EVERY);
    }

    /// Has `server` answered after `since`?
    pub fn heard_since(&self, server: SocketAddr, since: Moment) -> bool {
        self.there(server, |entry| entry.answered_at > since).unwrap_or(false)
    }

    /// Whether this machine has a way to servers at all.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Whether any server answers at all.
    pub fn outage(&self) -> &Outage {
        &self.outage
    }

    /// `server` does not serve `zone`.
    pub fn lame(&self, server: SocketAddr, zone: u64, now: Moment) {
        self.with(server, now, |entry| {
            let slot = entry.lame.iter_mut().min_by_key(|(z, until)| if *z == zone { Moment::ZERO } else { *until });
            if let Some(slot) = slot {
                *slot = (zone, now + LAME_FOR);
            }
        });
    }

    fn service(&self, server: SocketAddr, zone: u64) -> Hash {
        Hash(zone.rotate_left(32) ^ self.hash(2, server))
    }

    /// `server` has said something of `zone`: what it loses of it from now on counts. Of a zone that somebody has delegated to
    /// another's server, which says nothing of it, nothing does.
    pub fn serves(&self, server: SocketAddr, zone: u64, now: Moment) {
        let service = self.service(server, zone);
        let familiar = self.served.has(service, now);
        self.served.note(service, now);
        self.with(server, now, |entry| entry.pace.useful(familiar));
    }

    /// `server` has answered for `zone`, although it seemed lame.
    pub fn lame_no_more(&self, server: SocketAddr, zone: u64, now: Moment) {
        self.with(server, now, |entry| {
            entry.lame.iter_mut().filter(|(z, _)| *z == zone).for_each(|slot| *slot = (0, Moment::ZERO));
        });
    }

    /// `server` stumbles over EDNS.
    pub fn speaks_plain(&self, server: SocketAddr, now: Moment) {
        self.with(server, now, |entry| entry.plain_until = now + PLAIN_FOR);
    }

    /// `cookie` came from `server`, our own eight octets in front. `false`: it is not an answer to ours.
    pub fn cookie(&self, server: SocketAddr, cookie: &[u8], now: Moment) -> bool {
        let Some((ours, theirs)) = cookie.split_at_checked(8) else { return false };
        if ours != self.hash(1, server).to_be_bytes() || !(theirs.is_empty() || (8..=32).contains(&theirs.len())) {
            return false;
        }
        self.with(server, now, |entry| {
            if entry.server_cookie.as_slice() != theirs {
                entry.server_cookie = SmallVec::from_slice(theirs);
            }
        });
        true
    }

    /// Writes what is known of every server that has been asked, a record each; not what it is lame for.
    pub fn save(&self, put: &mut dyn FnMut(&Pack)) {
        let mut pack = Pack::new();
        for set in &self.sets {
            // Copied, so that nobody waits for what `put` does.
            let entries = set.lock().unwrap_or_else(PoisonError::into_inner).clone();
            for entry in entries.iter().flatten().filter(|entry| entry.heard) {
                pack.clear();
                entry.save(&mut pack);
                put(&pack);
            }
        }
    }

    /// Takes in a record, if nothing is known of its server yet. `None`: it makes no sense.
    pub fn load(&self, mut record: Fields<'_>, passage: &Passage) -> Option<()> {
        let entry = Entry::load(&mut record, passage)?;
        self.with(entry.server, entry.used, |held| {
            if !held.heard {
                *held = entry;
            }
        });
        Some(())
    }

    /// Forgets the cookie of `server`.
    pub fn forget_cookie(&self, server: SocketAddr, now: Moment) {
        self.with(server, now, |entry| entry.server_cookie.clear());
    }
}

impl Entry {
    fn new(server: SocketAddr, now: Moment) -> Entry {
        Entry {
            server,
            used: now,
            srtt: 0.0,
            var: 0.0,
            heard: false,
            strikes: 0,
            answered_at: Moment::ZERO,
            struck_at: Moment::ZERO,
            alone_until: Moment::ZERO,
            probe_at: Moment::ZERO,
            plain_until: Moment::ZERO,
            lame: [(0, Moment::ZERO); LAME_ZONES],
            server_cookie: SmallVec::new(),
            pace: Pace::default(),
        }
    }

    fn is_alive(&self, now: Moment) -> bool {
        self.answered_at != Moment::ZERO && now.since(self.answered_at) < ALIVE_FOR
    }

    fn tell(&mut self, now: Moment) -> Known {
        Known {
            server: self.server,
            rtt: Duration::from_micros(self.srtt as u64),
            silences: self.strikes,
            left_alone: self.alone_until > now,
            pace: self.pace.tell(now),
        }
    }

    fn save(&self, pack: &mut Pack) {
        match self.server.ip() {
            IpAddr::V4(ip) => pack.bytes(&ip.octets()),
            IpAddr::V6(ip) => pack.bytes(&ip.octets()),
        };
        pack.u16(self.server.port()).f32(self.srtt).f32(self.var).u8(self.strikes).bytes(&self.server_cookie);
        for time in [self.used, self.answered_at, self.struck_at, self.alone_until, self.probe_at, self.plain_until] {
            pack.moment(time);
        }
    }

    fn load(record: &mut Fields<'_>, passage: &Passage) -> Option<Entry> {
        let ip = match record.bytes()? {
            octets if octets.len() == 4 => IpAddr::from(<[u8; 4]>::try_from(octets).ok()?),
            octets => IpAddr::from(<[u8; 16]>::try_from(octets).ok()?),
        };
        let server = SocketAddr::new(ip, record.u16()?);
        let (srtt, var) = (record.f32()?.max(0.0), record.f32()?.max(0.0));
        let (strikes, cookie) = (record.u8()?, record.bytes()?);
        let mut time = || record.moment().map(|time| passage.mono(time));
        let entry = Entry {
            used: time()?,
            answered_at: time()?,
            struck_at: time()?,
            alone_until: time()?,
            probe_at: time()?,
            plain_until: time()?,
            ..Entry::new(server, Moment::ZERO)
        };
        let server_cookie = SmallVec::from_slice(cookie.get(..32).unwrap_or(cookie));
        Some(Entry { srtt, var, strikes, heard: true, server_cookie, ..entry })
    }

    fn timeout(&self) -> Duration {
        if !self.heard {
            return FIRST_TIMEOUT;
        }
        Duration::from_micros((self.srtt + 4.0 * self.var) as u64).clamp(SHORTEST_TIMEOUT, LONGEST_TIMEOUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Now, UnixTime};

    const MS: u64 = 1_000_000;

    fn server(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 53))
    }

    fn at(ms: u64) -> Moment {
        Moment::from_nanos(ms * MS)
    }

    #[test]
    fn silence_leads_to_back_off_and_an_answer_ends_it() {
        let servers = Servers::new(&[1; 32]);
        for n in 0..5 {
            assert_eq!(servers.report(server(1), 7, Claim::First, at(n)).state, State::Usable);
            servers.timed_out(server(1), 7, at(n), at(n));
        }
        assert_eq!(servers.report(server(1), 7, Claim::First, at(10)).state, State::BackOff);
        servers.answered(server(1), Duration::from_millis(20), at(20));
        let report = servers.report(server(1), 7, Claim::First, at(20));
        assert_eq!((report.state, report.rtt), (State::Usable, Some(Duration::from_millis(20))));
    }

    #[test]
    fn what_is_lost_together_counts_once_and_not_at_all_after_an_answer() {
        let servers = Servers::new(&[1; 32]);
        for _ in 0..50 {
            servers.timed_out(server(1), 7, at(0), at(100));
        }
        assert_eq!(servers.report(server(1), 7, Claim::First, at(101)).state, State::Usable);
        for n in 1..50 {
            servers.answered(server(1), Duration::from_millis(1), at(1000 * n + 1));
            servers.timed_out(server(1), 7, at(1000 * n), at(1000 * n + 100));
        }
        let report = servers.report(server(1), 7, Claim::First, at(50_000));
        assert_eq!((report.state, report.rtt), (State::Usable, Some(Duration::from_millis(1))));
    }

    #[test]
    fn a_dead_server_is_probed_once_a_second() {
        let servers = Servers::new(&[1; 32]);
        for n in 0..11 {
            servers.timed_out(server(1), 7, at(n), at(n));
        }
        assert_eq!(servers.report(server(1), 7, Claim::First, at(1500)).state, State::Probe);
        servers.probing(server(1), at(1500));
        assert_eq!(servers.report(server(1), 7, Claim::First, at(1600)).state, State::BackOff);
        assert_eq!(servers.report(server(1), 7, Claim::First, at(2600)).state, State::Probe);
        assert_eq!(servers.report(server(1), 7, Claim::First, at(60_000)).state, State::Usable);
    }

    #[test]
    fn after_its_time_a_silent_server_has_one_packet_at_a_time_until_it_answers() {
        let servers = Servers::new(&[1; 32]);
        for n in 0..5 {
            servers.timed_out(server(1), 7, at(n), at(n));
        }
        let report = servers.report(server(1), 7, Claim::First, at(30_000));
        assert_eq!((report.state, report.doubtful), (State::Usable, true));
        servers.probing(server(1), at(30_000));
        assert_eq!(servers.report(server(1), 7, Claim::First, at(30_001)).state, State::BackOff);
        servers.answered(server(1), Duration::from_millis(20), at(30_020));
        let report = servers.report(server(1), 7, Claim::First, at(30_021));
        assert_eq!((report.state, report.doubtful), (State::Usable, false));
    }

    #[test]
    fn lameness_concerns_one_zone_and_passes() {
        let servers = Servers::new(&[1; 32]);
        servers.lame(server(1), 7, at(0));
        assert_eq!(servers.report(server(1), 7, Claim::First, at(1)).state, State::Lame);
        assert_eq!(servers.report(server(1), 8, Claim::First, at(1)).state, State::Usable);
        assert_eq!(servers.report(server(1), 7, Claim::First, at(901_000)).state, State::Usable);
    }

    #[test]
    fn cookies_answer_ours() {
        let servers = Servers::new(&[1; 32]);
        let mut cookie = servers.cookie_for(server(1), at(0));
        assert_eq!(cookie.len(), 8);
        assert!(!servers.cookie(server(1), &[0; 16], at(0)));
        cookie.extend_from_slice(&[9; 8]);
        assert!(servers.cookie(server(1), &cookie, at(0)));
        assert_eq!(servers.cookie_for(server(1), at(0)), cookie);
    }

    #[test]
    fn what_is_known_of_a_server_is_known_after_a_restart() {
        let (before, after) = (Servers::new(&[1; 32]), Servers::new(&[1; 32]));
        before.answered(server(1), Duration::from_millis(80), at(1000));
        for n in 0..11 {
            before.timed_out(server(2), 7, at(1000 + n), at(1000 + n));
        }
        let mut cookie = before.cookie_for(server(1), at(1000));
        cookie.extend_from_slice(&[9; 8]);
        assert!(before.cookie(server(1), &cookie, at(1000)));
        let clocks = |mono| Now { mono, age: mono, unix: UnixTime(0) };
        // The machine has started anew, and it took three seconds.
        let passage = Passage::new(clocks(at(2000)), clocks(at(10_000)), Duration::from_secs(3));
        before.save(&mut |pack| after.load(Fields::of(pack.octets()), &passage).expect("a record"));
        let report = after.report(server(1), 7, Claim::First, at(10_000));
        assert_eq!((report.state, report.rtt, report.alive), (State::Usable, Some(Duration::from_millis(80)), true));
        assert_eq!(after.cookie_for(server(1), at(10_000)), cookie);
        assert_eq!(after.report(server(2), 7, Claim::First, at(10_000)).state, State::Probe, "silent still");
        assert_eq!(after.report(server(3), 7, Claim::First, at(10_000)).rtt, None);
    }

    /// A provider's server answers everybody, 200 a second for a hundred zones, and says nothing of zones that it does not
    /// serve; a thousand of those are delegated to it, and asked for ten times as often in all.
    #[test]
    fn zones_that_others_delegate_to_a_server_in_vain_take_nothing_from_those_it_serves() {
        let servers = Servers::new(&[7; 32]);
        let zone = |number: u64| (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        let (mut open, mut busy) = (std::collections::VecDeque::new(), 0);
        for ms in 0..60_000u64 {
            let now = at(1_000_000 + ms);
            while let Some((zone, sent)) = open.pop_front_if(|(_, sent)| *sent + 400 <= ms) {
                servers.timed_out(server(1), zone, at(1_000_000 + sent), now);
                servers.closed(server(1));
            }
            if ms % 5 == 0 {
                let claim = if ms % 10 == 0 { Claim::First } else { Claim::Last };
                let zone = zone(ms / 5 % 100);
                if servers.report(server(1), zone, claim, now).busy.is_none() {
                    servers.opened(server(1), claim, now);
                    servers.answered(server(1), Duration::from_millis(5), now);
                    servers.serves(server(1), zone, now);
                    servers.closed(server(1));
                } else {
                    busy += 1;
                }
            }
            for number in 0..if ms < 20_000 { 0 } else { 2 } {
                let zone = zone(1_000 + (ms * 2 + number) % 1_000);
                if servers.report(server(1), zone, Claim::Last, now).busy.is_none() {
                    servers.opened(server(1), Claim::Last, now);
                    open.push_back((zone, ms));
                }
            }
        }
        assert_eq!((busy, servers.limited(1, at(1_060_000))), (0, vec![]));
    }

    #[test]
    fn the_table_does_not_grow() {
        let servers = Servers::new(&[1; 32]);
        for n in 0..200_000u32 {
            servers.answered(SocketAddr::from((n.to_be_bytes(), 53)), Duration::from_millis(1), at(u64::from(n)));
        }
        assert!(Servers::memory() < 12 << 20, "{}", Servers::memory());
    }
}
