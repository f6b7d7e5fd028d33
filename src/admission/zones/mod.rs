//! Zones under fire: what is asked of each, which names of it are known to exist, and who may have the rest.
//!
//! A flood of names that do not exist comes from ten thousand clients with a question a second each, so that no
//! client's account tells of it. The zone's does: names never seen before, and nothing but NXDOMAIN, failures or
//! silence for them. While that lasts, the zone has a quota that follows what its servers answer. Names that have
//! resolved in the last days come first. The rest is for names never seen, a tenth at least, and among those for
//! names like some that exist, and for clients whose questions lead to names that exist and who have not asked for many here that do not.

mod account;
mod pattern;
mod suffix;

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use smallvec::SmallVec;

use super::policy::Mode;
use crate::clock::Moment;
use crate::memory::Slab;
use crate::meter::{Hash, Points, Secret, Seen, Table};
use crate::pack::{Fields, Pack, Passage};
use crate::wire::{Name, Rtype, lowered};
use account::Account;
pub use account::{Count, Standing, Told, Why};
use pattern::{Patterns, pattern};
use suffix::Suffixes;
pub use suffix::{SuffixRules, registrable_domain, zone_above};

/// Accounts among which a zone has its place.
const WAYS: usize = 4;
/// A name counts as learned for one to two of these since it resolved last.
const LEARNED_FOR: Duration = Duration::from_secs(4 * 24 * 3600);
/// Names of one registrable domain that may be learned at once, and a second after that: zones whose every name exists
/// must not fill the memory of all others.
const LEARN_BURST: f32 = 20_000.0;
const LEARN_RATE: f32 = 2.0;
/// A client's points halve after this.
const POINTS_FOR: Duration = Duration::from_secs(6 * 3600);
/// A name earns its client a point once in this time: with one name alone nobody gets to two, however long he asks for it.
const ONCE_IN: Duration = POINTS_FOR;
/// So many points make a client trusted.
pub const TRUSTED: u32 = 2;
/// Names from the cache earn no more than these: with fewer than that a client is trusted for half a day.
const PLENTY: u32 = 4 * TRUSTED;
/// A suffix is looked at below one that is asked so often for names never seen, a second.
const DEEPER: f32 = 20.0;
/// Names never seen that may be waited for in one zone at once, by who is trusted, for names like some that exist, and by others.
/// At a round trip of 100 ms the least is 5,000 a second.
const IN_FLIGHT: [u32; 3] = [1_000, 750, 500];
/// What a name costs that does not exist, of the account that a client has with a flooded zone, and of the one that he has
/// with all of them: one a minute.
const PRICE: Duration = Duration::from_secs(60);
/// What a question costs of both before its answer is known, or where the name exists but has no such records: stubs ask for
/// A, AAAA and HTTPS of a name at once, most of which have only the first.
const HELD: Duration = Duration::from_secs(15);
/// What a question for a learned name costs of an account of its own: more than sixty at once, and one in four seconds after
/// that, go after those of others.
const LEARNED_PRICE: Duration = Duration::from_secs(4);
/// There is room for a pattern of names for so many clients.
const CLIENTS_A_PATTERN: usize = 16;
/// Such an account holds four such names.
const ALLOWANCE: Duration = Duration::from_secs(240);
/// Who has found a name never seen in a zone where most do not exist may ask there for fifty that do not: mail servers
/// that ask a list of bad domains find more. Six such finds are the most that is kept, for a quarter of an hour.
const FIND: Duration = Duration::from_secs(160);
const IN_VAIN: Duration = FIND.checked_div(50).unwrap();
const MOST_FINDS: Duration = FIND.checked_mul(6).unwrap();

/// Names whose domain one shard remembers, 16 octets each.
const DOMAINS: usize = 4096;
/// Clients of whom one shard remembers that they have points in plenty, and of others names that they have had their point
/// for, two octets each, and for how long: points halve in hours.
const CONTENT: usize = 1 << 14;
const CONTENT_FOR: Duration = Duration::from_secs(60);

/// What one shard keeps so that points for names from the cache cost an answer little.
#[derive(Debug)]
pub struct Vouching {
    /// The registrable domains of names that were asked for lately: finding one out takes a lock, and a walk through the
    /// public suffix list.
    domains: Box<[(u64, u64); DOMAINS]>,
    /// The client who comes next, and what for: he waits for the memory in which that is looked up.
    next: Option<Next>,
    /// Clients who lately had points in plenty: nothing has to be found out for them.
    content: Lately,
    /// Of a client and a domain, that he has his point for it: for some, nothing but one domain is of interest.
    earned: Lately,
    /// When those were forgotten last.
    asked_anew: Moment,
}

/// Hashes that were noted lately, by a part of each.
#[derive(Debug)]
struct Lately(Box<[u16; CONTENT]>);

impl Lately {
    #[inline]
    fn has(&self, Hash(key): Hash) -> bool {
        self.0[key as usize % CONTENT] == (key >> 48) as u16 | 1
    }

    fn note(&mut self, Hash(key): Hash) {
        self.0[key as usize % CONTENT] = (key >> 48) as u16 | 1;
    }
}

impl Default for Lately {
    fn default() -> Lately {
        Lately(Box::new([0; CONTENT]))
    }
}

/// A client who has been given a name.
#[derive(Clone, Copy, Debug)]
struct Next {
    client: Hash,
    earned: Hash,
}

impl Default for Vouching {
    fn default() -> Vouching {
        let (content, earned) = (Lately::default(), Lately::default());
        Vouching { domains: Box::new([(0, 0); DOMAINS]), next: None, content, earned, asked_anew: Moment::ZERO }
    }
}

impl Vouching {
    /// Whether a client lately had points in plenty.
    #[inline]
    pub fn is_content(&mut self, client: Hash, now: Moment) -> bool {
        if now.since(self.asked_anew) > CONTENT_FOR {
            self.content.0.fill(0);
            self.earned.0.fill(0);
            self.asked_anew = now;
        }
        self.content.has(client)
    }

    fn domain(&mut self, Hash(name): Hash, find: impl FnOnce() -> Hash) -> Hash {
        let place = &mut self.domains[name as usize % DOMAINS];
        if place.0 != name {
            *place = (name, find().0);
        }
        Hash(place.1)
    }
}

/// How large the books of zones are, for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ZoneSizes {
    /// Zones that have an account, 256 octets each.
    pub accounts: usize,
    /// Octets to remember names by that exist.
    pub learned: usize,
    /// Clients that have points, 4 octets each; a sixteenth as many patterns of names, 8 octets each.
    pub clients: usize,
    /// Accounts of a client with a zone, or with all, 8 octets each.
    pub pairs: usize,
}

impl ZoneSizes {
    /// Octets of memory but for learned names.
    pub fn octets(&self) -> u64 {
        let patterns = self.clients / CLIENTS_A_PATTERN * Patterns::OCTETS;
        (self.accounts * size_of::<Account>() + self.clients * 5 + patterns + self.pairs * 8) as u64
    }
}

/// From where on a zone is flooded, and how much it may have then.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Marks {
    /// Names never seen a second, below which nothing is suspected.
    pub watch: f32,
    /// Questions a second at most.
    pub most: f32,
    /// Whether clients pay for names that do not exist.
    pub clients: Mode,
}

/// The books of zones.
#[derive(Debug)]
pub struct Zones {
    accounts: Accounts,
    learned: Seen,
    /// Clients, and what earned them a point lately.
    points: Points,
    earned: Seen,
    pairs: Table,
    patterns: Patterns,
    secret: Secret,
    rules: RwLock<Arc<SuffixRules>>,
    exempt: RwLock<Arc<Vec<Name>>>,
}

/// Which kind of key is hashed.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Kind {
    Zone = 16,
    Name = 17,
    Earned = 18,
    Pair = 19,
    Pattern = 20,
    Floods = 21,
    Finds = 22,
    List = 23,
    Learned = 24,
}

/// A question on its way to a zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ticket {
    pub standing: Standing,
    /// The accounts that it counts in, and whose they were. The public suffix's is not among them.
    places: SmallVec<[(u32, u64); 3]>,
    /// The public suffix's, if the registrable domain has never been seen.
    public: Option<(u32, u64)>,
    /// The accounts of the client with the flooded zone and with all such, and how many shares he has.
    charged: Option<([u64; 2], u32)>,
    /// The pattern of the name, if it has one.
    pattern: Option<u64>,
    /// The account of what the client has found in the registrable domain, and whether there was something left in it.
    finds: Option<u64>,
    vouched: bool,
    /// The client has asked for too many names that do not exist, and that is not held against it.
    pub observed: bool,
    exempt: bool,
}

impl Ticket {
    /// Of a question that counts nowhere, and whose name is not learned.
    fn exempt() -> Ticket {
        Ticket { standing: Standing::Trusted, exempt: true, ..Ticket::default() }
    }
}

/// Why a question is not asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    /// The zone's quota is used up.
    Zone,
    /// The client has asked for too many names of it that do not exist.
    Client,
    /// Too many are in flight there already.
    InFlight,
}

/// A refusal: why, and how many octets of the name are left of the zone's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    pub over: Over,
    pub standing: Standing,
    pub left: usize,
}

/// Who wants to have something asked.
#[derive(Clone, Copy, Debug)]
pub struct Who {
    /// Whose points count.
    pub client: Hash,
    /// Whose account pays: nobody can forge away what those have who have proven their address.
    pub payer: Hash,
    /// How many shares he has.
    pub weight: u32,
    /// Known to be ordinary by something else than points.
    pub ordinary: bool,
}

/// On whose behalf questions are asked, and what holds for them.
#[derive(Clone, Copy, Debug)]
pub struct Payer {
    pub who: Who,
    pub marks: Marks,
    /// What would be refused is asked all the same.
    pub observe: bool,
}

/// Types that programs ask for: A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, NAPTR, DS, DNSKEY, TLSA, SVCB, HTTPS, CAA.
const USUAL_TYPES: [u16; 16] = [1, 2, 5, 6, 12, 15, 16, 28, 33, 35, 43, 48, 52, 64, 65, 257];

/// What a client has used of his accounts with flooded zones, as parts of what he may use at once.
#[derive(Clone, PartialEq, Debug)]
pub struct Paid {
    /// Of the one with all of them together.
    pub all: f32,
    /// Of those with each, the first 64 octets of whose name in wire form come along.
    pub each: Vec<(Vec<u8>, f32)>,
}

/// What became of a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End<'a> {
    /// It has an answer.
    Found,
    /// There is no such name; the zone that said so, in wire form, if that is known.
    Absent(Option<&'a [u8]>),
    /// The name has no such records (NODATA, RFC 2308 section 2.2); the zone that said so.
    Empty(Option<&'a [u8]>),
    /// The same of a type that stubs ask for along with another: it says nothing.
    Lacking,
    /// Nobody said anything of use; the zone whose fault that was, if that is known.
    Failed(Option<&'a [u8]>),
    /// It was not asked after all.
    Dropped,
}

impl Zones {
    /// Empty books. `secret` keys their hashes.
    pub fn new(sizes: &ZoneSizes, secret: Secret) -> Zones {
        Zones {
            accounts: Accounts::new(sizes.accounts),
            learned: Seen::rolling(sizes.learned, LEARNED_FOR),
            points: Points::new(sizes.clients, POINTS_FOR),
            earned: Seen::rolling(sizes.clients, ONCE_IN),
            pairs: Table::new(sizes.pairs),
            patterns: Patterns::new(sizes.clients / CLIENTS_A_PATTERN),
            secret,
            rules: RwLock::default(),
            exempt: RwLock::default(),
        }
    }

    /// Takes what the operator says of public suffixes, and the zones that are never taken for flooded.
    pub fn set_rules(&self, rules: &Arc<SuffixRules>, exempt: &Arc<Vec<Name>>) {
        replace(&self.rules, rules);
        replace(&self.exempt, exempt);
    }

    fn suffixes(&self, name: &[u8]) -> Suffixes {
        Suffixes::of(name, &self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn name(&self, name: &[u8]) -> Hash {
        self.secret.name(Kind::Name as u64, name)
    }

    fn zone(&self, zone: &[u8]) -> Hash {
        self.secret.name(Kind::Zone as u64, zone)
    }

    /// A number for a zone that nobody outside can foretell.
    pub fn number(&self, zone: &[u8]) -> u64 {
        self.zone(zone).0
    }

    /// Has a name, in lower-case wire form, resolved in the last days?
    pub fn is_learned(&self, name: &[u8], now: Moment) -> bool {
        self.learned.has(self.name(name), now)
    }

    /// How many names and domains are learned, at least and at most, and the octets that there are for them.
    pub fn learned(&self) -> (u64, u64, usize) {
        let (least, most) = self.learned.keys();
        (least, most, self.learned.octets())
    }

    /// The points of a client.
    pub fn points(&self, client: Hash, now: Moment) -> u32 {
        self.points.of(client, now)
    }

    /// Judges a question that has to be asked upstream for somebody. `Err`: it would better not be.
    pub fn judge_for(&self, now: Moment, payer: &Payer, name: &[u8], rtype: Rtype) -> (Ticket, Result<(), Refused>) {
        self.judge(now, &payer.marks, name, USUAL_TYPES.contains(&rtype.0), &payer.who)
    }

    /// The ticket of a question that counts in no zone's account, by a client who is trusted for something else than his points
    /// or not.
    pub fn uncounted(&self, client: Hash, trusted: bool, name: &[u8], rtype: Rtype, now: Moment) -> Ticket {
        let usual = USUAL_TYPES.contains(&rtype.0);
        let standing = match usual && self.is_learned(name, now) {
            true => Standing::Learned,
            false if trusted || usual && self.points.of(client, now) >= TRUSTED => Standing::Trusted,
            false => Standing::Unknown,
        };
        Ticket { standing, ..Ticket::default() }
    }

    fn judge(&self, now: Moment, marks: &Marks, name: &[u8], usual: bool, who: &Who) -> (Ticket, Result<(), Refused>) {
        self.pairs.sweep(now);
        if zone_above(&self.exempt.read().unwrap_or_else(PoisonError::into_inner), name).is_some() {
            return (Ticket::exempt(), Ok(()));
        }
        let hash = self.name(name);
        let suffixes = self.suffixes(name);
        let mut ticket = Ticket::default();
        // There are more types than random names are long: those that nobody asks for are as good as names never seen.
        if usual && self.learned.has(hash, now) {
            let flooded = self.flooded(&suffixes, name, marks, now);
            let over = flooded.filter(|(account, zone)| {
                let pays = marks.clients == Mode::Enforce;
                let used = if pays { self.charge_learned(who, zone, now) } else { 0.0 };
                !account.take(Standing::Learned, used, now)
            });
            return (
                ticket,
                over.map_or(Ok(()), |(account, zone)| Err(refusal(account, zone, name, Over::Zone, Standing::Learned))),
            );
        }
        let domain = suffixes.within(name).nth(1).map(<[u8]>::len);
        let pattern = domain.and_then(|zone| pattern(&self.secret, Kind::Pattern as u64, name, zone));
        ticket.pattern = pattern.map(|Hash(pattern)| pattern);
        let likely = pattern.is_some_and(|pattern| self.patterns.has(pattern, now));
        let likely = likely && usual;
        let finds =
            domain.filter(|_| usual).map(|zone| self.finds_key(who.payer, self.zone(&name[name.len() - zone..])));
        ticket.finds = finds.map(|Hash(finds)| finds);
        ticket.vouched = finds.is_some_and(|finds| self.pairs.read(finds, now).0 >= IN_VAIN.as_nanos() as u64);
        let known = usual && (who.ordinary || self.points.of(who.client, now) >= TRUSTED);
        let by_name = if likely { Standing::Likely } else { Standing::Unknown };
        ticket.standing = if known { Standing::Trusted } else { by_name };
        self.count(&mut ticket, &suffixes, name, hash, marks, now);
        if let Some((account, zone)) = self.flooded(&suffixes, name, marks, now) {
            let vouched = ticket.vouched && account.bears_vouched();
            if vouched {
                ticket.standing = Standing::Trusted;
            }
            let pays = marks.clients != Mode::Off && !vouched;
            let used = if pays { self.charge(&mut ticket, who.payer, who.weight, zone, now) } else { 0.0 };
            let ahead = used + PRICE.div_duration_f32(ALLOWANCE) / who.weight.max(1) as f32 > 1.0 + f32::EPSILON;
            // Whoever lives behind the same address as a bot has the names that are likely to exist all the same.
            let held = ahead && !likely && marks.clients == Mode::Enforce;
            ticket.observed = ahead && marks.clients != Mode::Enforce;
            if ahead && marks.clients == Mode::Enforce {
                ticket.standing = by_name;
            }
            let over = if held { Over::Client } else { Over::Zone };
            let used = if marks.clients == Mode::Enforce { used } else { 0.0 };
            if !account.take(ticket.standing, used, now) {
                let standing = ticket.standing;
                return (ticket, Err(refusal(account, zone, name, over, standing)));
            }
        }
        let most = match ticket.standing {
            Standing::Learned | Standing::Trusted => IN_FLIGHT[0],
            Standing::Likely => IN_FLIGHT[1],
            Standing::Unknown => IN_FLIGHT[2],
        };
        for (zone, place) in suffixes.within(name).skip(1).zip(&ticket.places) {
            if let Some(account) = self.accounts.at(*place)
                && account.in_flight.load(Ordering::Relaxed) >= most
            {
                let standing = ticket.standing;
                return (ticket, Err(refusal(account, zone, name, Over::InFlight, standing)));
            }
        }
        (ticket, Ok(()))
    }

    /// Takes a question out of the accounts that a client has with a flooded zone and with all of them. The part of them that was
    /// used before.
    fn charge(&self, ticket: &mut Ticket, Hash(client): Hash, weight: u32, zone: &[u8], now: Moment) -> f32 {
        let pair = self.pair_key(Hash(client), self.zone(zone));
        let floods = self.floods_key(Hash(client));
        let weight = weight.max(1);
        ticket.charged = Some(([pair.0, floods.0], weight));
        [pair, floods].into_iter().fold(0.0f32, |most, account| {
            let spent = Duration::from_nanos(self.pairs.read(account, now).0);
            self.pairs.charge(account, now, HELD / weight, ALLOWANCE);
            most.max(spent.div_duration_f32(ALLOWANCE))
        })
    }

    /// Takes a question for a learned name out of the account that a client has of those with a flooded zone. The part of it that
    /// is used.
    fn charge_learned(&self, who: &Who, zone: &[u8], now: Moment) -> f32 {
        let account = self.secret.triple(Kind::Learned as u64, who.payer.0, self.zone(zone).0);
        let spent = Duration::from_nanos(self.pairs.read(account, now).0);
        self.pairs.charge(account, now, LEARNED_PRICE / who.weight.max(1), ALLOWANCE);
        spent.div_duration_f32(ALLOWANCE)
    }

    /// The account of a client with a flooded zone.
    fn pair_key(&self, Hash(client): Hash, Hash(zone): Hash) -> Hash {
        self.secret.triple(Kind::Pair as u64, client, zone)
    }

    /// The account of a client with all flooded zones.
    fn floods_key(&self, Hash(client): Hash) -> Hash {
        self.secret.triple(Kind::Floods as u64, client, 0)
    }

    fn finds_key(&self, Hash(client): Hash, Hash(domain): Hash) -> Hash {
        self.secret.triple(Kind::Finds as u64, client, domain)
    }

    /// What a question costs is known by its end.
    fn settle(&self, ticket: &Ticket, end: End<'_>, now: Moment) {
        self.settle_finds(ticket, end, now);
        let Some((accounts, weight)) = ticket.charged else { return };
        for account in accounts.map(Hash) {
            match end {
                End::Found => self.pairs.refund(account, now, HELD / weight),
                End::Absent(_) | End::Failed(_) => {
                    self.pairs.charge(account, now, (PRICE - HELD) / weight, ALLOWANCE);
                }
                End::Empty(_) | End::Lacking | End::Dropped => {}
            }
        }
    }

    /// Whoever finds names never seen where most do not exist asks for more of them as an ordinary client. Names that have
    /// been seen earn nothing: they could be asked for again and again.
    fn settle_finds(&self, ticket: &Ticket, end: End<'_>, now: Moment) {
        let Some(finds) = ticket.finds.map(Hash) else { return };
        match end {
            End::Found => {
                let account = ticket.places.first().and_then(|place| self.accounts.at(*place));
                if account.is_some_and(Account::is_busy_and_barren) {
                    self.pairs.charge(finds, now, FIND, MOST_FINDS);
                }
            }
            End::Absent(_) | End::Empty(_) | End::Failed(_) if ticket.vouched => {
                self.pairs.refund(finds, now, IN_VAIN);
            }
            _ => {}
        }
    }

    /// Counts a question for a name never seen in the accounts on the way to it.
    fn count(&self, ticket: &mut Ticket, suffixes: &Suffixes, name: &[u8], hash: Hash, marks: &Marks, now: Moment) {
        let tenths = if self.is_on_a_list(suffixes, name, now) { 1 } else { 10 };
        let mut all: SmallVec<[(&[u8], Hash); 6]> = SmallVec::new();
        all.extend(suffixes.within(name).map(|zone| (zone, self.zone(zone))));
        for (depth, (zone, key)) in all.iter().enumerate() {
            let child = all.get(depth + 1);
            let public = depth == 0;
            if public && child.is_some_and(|(domain, _)| self.learned.has(self.name(domain), now)) {
                continue;
            }
            let place = self.accounts.claim(*key, zone, now);
            let Some(account) = self.accounts.at(place) else { break };
            account.look(marks, now);
            let room = ticket.places.len() + 1 < ticket.places.inline_size();
            let deeper = public || room && account.asking() >= DEEPER;
            // What is asked of a flooded zone is its own affair, and hides no flood of the zone around it.
            if !self.is_flooded_itself(child) {
                // Only where somebody looks at the zone below is what is asked of it that one's affair.
                let below = child.filter(|_| deeper).map_or(hash, |(_, key)| *key);
                account.ask(tenths, ticket.vouched, hash.0, below.0);
            }
            if public {
                ticket.public = Some(place);
                continue;
            }
            ticket.places.push(place);
            if !deeper {
                break;
            }
        }
    }

    /// Is a name one of the numbers without end, most of which are not there, that reverse zones and lists of addresses are asked
    /// for? A list is what has had such a name lately: numbers in front of something else that is made up are no excuse.
    fn is_on_a_list(&self, suffixes: &Suffixes, name: &[u8], now: Moment) -> bool {
        suffixes.list.is_some_and(|start| {
            let list = name.get(usize::from(start)..).unwrap_or(&[]);
            list.ends_with(b"\x04arpa\0") || self.learned.has(self.list_key(list), now)
        })
    }

    fn list_key(&self, list: &[u8]) -> Hash {
        self.secret.name(Kind::List as u64, list)
    }

    fn is_flooded_itself(&self, zone: Option<&(&[u8], Hash)>) -> bool {
        zone.and_then(|(_, key)| self.accounts.find(*key)).is_some_and(Account::is_flooded)
    }

    /// Is the zone next to the one in a place, on the way to the name, flooded itself?
    fn next_is_flooded(&self, ticket: &Ticket, place: usize) -> bool {
        ticket.places.get(place).and_then(|place| self.accounts.at(*place)).is_some_and(Account::is_flooded)
    }

    /// The flooded zone that a name is in, the closest to it.
    fn flooded<'a>(
        &self,
        suffixes: &Suffixes,
        name: &'a [u8],
        marks: &Marks,
        now: Moment,
    ) -> Option<(&Account, &'a [u8])> {
        let mut found = None;
        for (depth, start) in suffixes.offsets().enumerate() {
            let zone = name.get(start..).unwrap_or(&[]);
            let Some(account) = self.accounts.find(self.zone(zone)) else { continue };
            account.look(marks, now);
            // What is learned of a public suffix is its domains.
            let concerned =
                depth > 0 || !suffixes.offsets().nth(1).is_some_and(|domain| self.is_learned(&name[domain..], now));
            if account.is_flooded() && concerned {
                found = Some((account, zone));
            }
        }
        found
    }

    /// Is one of the zones flooded that a question counts in?
    pub fn is_flooded(&self, ticket: &Ticket) -> bool {
        ticket
            .places
            .iter()
            .chain(&ticket.public)
            .any(|place| self.accounts.at(*place).is_some_and(Account::is_flooded))
    }

    /// A question is asked.
    pub fn begin(&self, ticket: &Ticket) {
        for (next, place) in ticket.public.iter().map(|place| (0, place)).chain((1..).zip(&ticket.places)) {
            if let Some(account) = self.accounts.at(*place) {
                account.count(Count::Begun, u32::from(!self.next_is_flooded(ticket, next)));
                account.in_flight.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// A question that was begun has ended. `name` in lower-case wire form.
    pub fn end(&self, ticket: &Ticket, name: &[u8], end: End<'_>, now: Moment) {
        let blame = |zone: &[u8], fault: Option<&[u8]>| {
            fault.is_none_or(|fault| fault.len() <= zone.len() || fault.ends_with(zone))
        };
        let suffixes = self.suffixes(name);
        let zones = suffixes.within(name).skip(1).zip(&ticket.places).zip(1..);
        let zones = zones.map(|((zone, place), next)| (zone, place, next, false));
        let public = suffixes.within(name).next().zip(ticket.public.as_ref());
        let public = public.map(|(zone, place)| (zone, place, 0, true));
        for (zone, place, next, public) in zones.chain(public) {
            let Some(account) = self.accounts.at(*place) else { continue };
            let _ = account.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
            // A public suffix has done its part where it leads to somebody else.
            let own = |fault: Option<&[u8]>| !public || fault.is_some_and(|fault| fault.len() <= zone.len());
            let what = match end {
                End::Found if ticket.standing != Standing::Unknown && account.is_flooded() => Count::Ahead,
                End::Found => Count::Found,
                End::Absent(fault) | End::Empty(fault) if own(fault) && blame(zone, fault) => Count::Absent,
                End::Failed(fault) if own(fault) && blame(zone, fault) => Count::Failed,
                End::Absent(_) | End::Empty(_) | End::Failed(_) => Count::Found,
                End::Lacking | End::Dropped => continue,
            };
            if !self.next_is_flooded(ticket, next) {
                account.count(what, 1);
            }
        }
        // That a name has no records of one type says nothing of the names like it.
        if let Some(pattern) = ticket.pattern.filter(|_| !matches!(end, End::Dropped | End::Empty(_) | End::Lacking)) {
            self.patterns.note(Hash(pattern), end == End::Found, now);
        }
        self.settle(ticket, end, now);
        if end == End::Found && !ticket.exempt {
            self.learn(ticket, &suffixes, name, now);
        }
    }

    fn learn(&self, ticket: &Ticket, suffixes: &Suffixes, name: &[u8], now: Moment) {
        // Names right below a public suffix are that one's.
        let owner = suffixes.owner(name).or_else(|| suffixes.within(name).next());
        let may = ticket.standing == Standing::Learned
            || owner.is_none_or(|owner| {
                let place = self.accounts.claim(self.zone(owner), owner, now);
                self.accounts.at(place).is_none_or(|account| account.learn(LEARN_RATE, LEARN_BURST, now))
            });
        if may {
            self.learned.note(self.name(name), now);
            if let Some(domain) = suffixes.within(name).nth(1) {
                self.learned.note(self.name(domain), now);
            }
            if let Some(list) = suffixes.list.and_then(|start| name.get(usize::from(start)..)) {
                self.learned.note(self.list_key(list), now);
            }
        }
    }

    /// A question of a client has led to a name that exists: that earns it a point, once for each registrable domain.
    pub fn earn(&self, client: Hash, name: &[u8], now: Moment) {
        self.earn_once(client, self.earned_key(client, self.domain(name)), now);
    }

    /// The registrable domain of a name in lower-case wire form, by the operator's rules and the list.
    fn domain(&self, name: &[u8]) -> Hash {
        self.zone(self.suffixes(name).within(name).nth(1).unwrap_or(name))
    }

    /// Who has a name, in wire form as it came, and could make up more like it at no cost: its registrable domain, or the company
    /// whose public suffix it is below.
    pub fn owner(&self, name: &[u8], vouching: &mut Vouching) -> Hash {
        let Hash(hash) = self.name(name);
        vouching.domain(self.secret.pair(hash, Kind::Zone as u64), || {
            let name = lowered(name);
            let suffixes = self.suffixes(&name);
            self.zone(suffixes.owner(&name).unwrap_or(&name))
        })
    }

    fn earned_key(&self, Hash(client): Hash, Hash(domain): Hash) -> Hash {
        self.secret.triple(Kind::Earned as u64, client, domain)
    }

    fn earn_once(&self, client: Hash, key: Hash, now: Moment) {
        if !self.earned.has(key, now) {
            self.earned.note(key, now);
            self.points.add(client, now);
        }
    }

    /// A client was given a name, in wire form as it came, from the cache. That earns it a point as well: where everybody
    /// asks for the same popular names, only few of the questions for them are asked upstream. This is on the way of an
    /// answer from the cache, so that nothing here waits for memory: the client gets his point when the next one comes.
    pub fn vouch(&self, client: Hash, name: &[u8], vouching: &mut Vouching, now: Moment) {
        let key = self.earned_key(client, vouching.domain(self.name(name), || self.domain(&lowered(name))));
        if vouching.earned.has(key) {
            return;
        }
        self.points.fetch(client);
        self.earned.fetch_all(key);
        let Some(Next { client, earned }) = vouching.next.replace(Next { client, earned: key }) else { return };
        match self.points.of(client, now) < PLENTY {
            true => {
                self.earn_once(client, earned, now);
                vouching.earned.note(earned);
            }
            false => vouching.content.note(client),
        }
    }

    /// A packet about `name`, sent when it says, was answered by a server of `cut`, or was not.
    pub fn packet(&self, name: &[u8], cut: &[u8], what: Count, sent: Moment) {
        let suffixes = self.suffixes(name);
        for (depth, zone) in suffixes.within(name).enumerate() {
            if (depth > 0 || cut.len() <= zone.len())
                && let Some(account) = self.accounts.find(self.zone(zone))
            {
                match what {
                    Count::Silent | Count::Late => account.lose(what, sent),
                    _ => account.count(what, 1),
                }
            }
        }
    }

    /// How the zones around a name stand, the shortest first.
    pub fn around(&self, name: &[u8], now: Moment) -> Vec<Told> {
        let suffixes = self.suffixes(name);
        let all = suffixes.within(name).chain([name]);
        all.filter_map(|zone| self.accounts.find(self.zone(zone))).map(|account| account.tell(now)).collect()
    }

    /// What somebody has used of his account with all flooded zones, and with each that he has used anything of, at most
    /// `most`, as parts of what may be used at once.
    pub fn paid(&self, payer: Hash, most: usize, now: Moment) -> Paid {
        let used = |key: Hash| self.pairs.read(key, now).0 as f32 / ALLOWANCE.as_nanos() as f32;
        let flooded = self.accounts.all().filter(|account| account.is_flooded());
        let one = |account: &Account| {
            let part = used(self.pair_key(payer, Hash(account.tag.load(Ordering::Relaxed))));
            (part > 0.0).then(|| (account.tell(now).name, part))
        };
        Paid { all: used(self.floods_key(payer)), each: flooded.filter_map(one).take(most).collect() }
    }

    /// The zones that are flooded, those asked most first, at most `most`.
    pub fn list(&self, most: usize, now: Moment) -> Vec<Told> {
        let mut all: Vec<Told> = self.accounts.all().map(|account| account.tell(now)).collect();
        all.retain(|told| told.since.is_some());
        all.sort_by(|a, b| b.asked.total_cmp(&a.asked));
        all.truncate(most);
        all
    }
}

impl Zones {
    /// Writes what was learned of zones, names and clients, each record with the number of its part.
    pub fn save(&self, now: Moment, least: Duration, put: &mut dyn FnMut(u8, &Pack)) {
        let mut pack = Pack::new();
        for account in self.accounts.all() {
            pack.clear();
            if account.save(&mut pack) {
                put(0, &pack);
            }
        }
        self.learned.save(&mut |pack| put(1, pack));
        self.points.save(now, &mut |pack| put(2, pack));
        self.earned.save(&mut |pack| put(3, pack));
        self.pairs.save(now, least, &mut |pack| put(4, pack));
        self.patterns.save(now, &mut |part, pack| put(5 + part, pack));
    }

    /// How many kinds of records there are: accounts, learned names, points, what earned them, accounts of clients with
    /// flooded zones, patterns of names.
    pub const PARTS: u8 = 5 + Patterns::PARTS;

    /// Takes in a record, before anything is asked. `None`: it does not fit books like these.
    pub fn load(&self, part: u8, mut record: Fields<'_>, now: Moment, passage: &Passage) -> Option<()> {
        match part {
            0 => {
                let tag = record.u64().filter(|tag| *tag != 0)?;
                let (place, _) = self.accounts.claim(Hash(tag), &[], now);
                self.accounts.0.get(place as usize)?.load(tag, &mut record, now, passage)
            }
            1 => self.learned.load(record, passage),
            2 => self.points.load(record, now, passage),
            3 => self.earned.load(record, passage),
            4 => self.pairs.load(record, now, passage),
            _ => self.patterns.load(part - 5, record, now, passage),
        }
    }
}

fn replace<T>(held: &RwLock<Arc<T>>, fresh: &Arc<T>) {
    let mut held = held.write().unwrap_or_else(PoisonError::into_inner);
    if !Arc::ptr_eq(&held, fresh) {
        held.clone_from(fresh);
    }
}

fn refusal(account: &Account, zone: &[u8], name: &[u8], over: Over, standing: Standing) -> Refused {
    account.refuse();
    Refused { over, standing, left: name.len() - zone.len() }
}

/// The accounts of zones.
struct Accounts(Slab<Account>);

impl Accounts {
    fn new(count: usize) -> Accounts {
        Accounts(Slab::new(count.next_power_of_two().max(WAYS), Account::default))
    }

    fn all(&self) -> impl Iterator<Item = &Account> {
        self.0.iter().filter(|account| account.tag.load(Ordering::Relaxed) != 0)
    }

    fn line(&self, key: Hash) -> (usize, &[Account]) {
        let place = key.0 as usize & (self.0.len() - WAYS);
        (place, self.0.get(place..place + WAYS).unwrap_or(&[]))
    }

    fn find(&self, key: Hash) -> Option<&Account> {
        let (_, line) = self.line(key);
        line.iter().find(|account| account.tag.load(Ordering::Relaxed) == key.0.max(1))
    }

    /// The account in a place, if it is still whose it was.
    fn at(&self, (place, tag): (u32, u64)) -> Option<&Account> {
        self.0.get(place as usize).filter(|account| account.tag.load(Ordering::Relaxed) == tag)
    }

    /// The account of a zone; it takes the place of the one of least worth where there is none yet.
    fn claim(&self, key: Hash, zone: &[u8], now: Moment) -> (u32, u64) {
        let (start, line) = self.line(key);
        let tag = key.0.max(1);
        let mut least = (0, f32::INFINITY);
        for (way, account) in line.iter().enumerate() {
            let held = account.tag.load(Ordering::Relaxed);
            if held == tag {
                return ((start + way) as u32, tag);
            }
            let worth = if held == 0 { -1.0 } else { account.worth(now) };
            if worth < least.1 {
                least = (way, worth);
            }
        }
        if let Some(account) = line.get(least.0) {
            account.begin(tag, zone, now);
        }
        ((start + least.0) as u32, tag)
    }
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Accounts({})", self.0.len())
    }
}
