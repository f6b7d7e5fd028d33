//! What the doors of all shards write into together: it outlives policies and never grows.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::access::Ranges;
use super::cookie;
use super::decisions::{Decision, Decisions};
use super::ladder::{Book, Ladder, address_key, comer_key, prefix_key};
use super::policy::Policy;
use super::refusals::Refusals;
use super::trial::{Families, Strangers};
use super::zones::{Paid, TRUSTED, ZoneSizes, Zones};
use crate::clock::Moment;
use crate::meter::{Distinct, Hash, Load, Secret, Seen, Table};
use crate::pack::{Fields, Pack, Passage};

/// An address that was served counts as known for one to two of these.
const KNOWN_FOR: Duration = Duration::from_secs(3_600);
/// Names are counted for one to two of these to tell how many clients are behind an address.
pub(super) const CROWD_SPAN: Duration = Duration::from_secs(60);

/// So many IPv6 customers of one network become known in a second for having come, by its length: whoever was given one has as
/// many as he likes, and is not to fill what is remembered of all. A provider's, a /29 at most, comes to half a million in an
/// hour, a quarter of the room there is by default.
const NEW_COMERS: [(u8, u32); 2] = [(48, 8), (28, 128)];
const SECOND: Duration = Duration::from_secs(1);

/// Accounts in the table of all strangers together.
const STRANGERS: usize = 64;
/// Of so many accounts there is one for octets, as few addresses are sent many under pressure.
const OCTETS_PART: usize = 8;

/// Accounts that there are for each pass of a shard: a large page of passes, for 131,072 clients, beside 8 MiB of accounts. Of
/// ten thousand clients nobody takes the place of another then; with a fourth of them one query in thirty found its pass lost.
const ACCOUNTS_TO_A_PASS: usize = 8;

/// How large the books are, for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// Accounts for addresses and prefixes that anybody can forge, 8 octets each.
    pub accounts: usize,
    /// Accounts for those that cannot be forged.
    pub proven: usize,
    /// Octets to remember addresses by that were served before.
    pub known: usize,
    /// Busy addresses whose clients are counted, 64 octets each.
    pub crowds: usize,
    /// Refusals that are remembered, 32 octets each.
    pub decisions: usize,
    pub zones: ZoneSizes,
}

impl Default for Sizes {
    /// 63 MiB: a million accounts, clients, refusals and pairs of client and zone, four million addresses, eight thousand
    /// zones; and 16 MiB for names.
    fn default() -> Sizes {
        Sizes {
            accounts: 1 << 20,
            proven: 1 << 17,
            known: 4 << 20,
            crowds: 1 << 14,
            decisions: 1 << 20,
            zones: ZoneSizes { accounts: 1 << 13, learned: 16 << 20, clients: 1 << 20, pairs: 1 << 20 },
        }
    }
}

impl Sizes {
    /// As large as `octets` allow, in steps of two; half of it for refusals to be explained.
    pub fn within(octets: u64) -> Sizes {
        let whole = Sizes::default();
        let mut shift = 0;
        while whole.octets() >> shift > octets && shift < 8 {
            shift += 1;
        }
        Sizes {
            accounts: whole.accounts >> shift,
            proven: whole.proven >> shift,
            known: whole.known >> shift,
            crowds: whole.crowds >> shift,
            decisions: whole.decisions >> shift,
            zones: ZoneSizes {
                accounts: whole.zones.accounts >> shift,
                clients: whole.zones.clients >> shift,
                pairs: whole.zones.pairs >> shift,
                learned: whole.zones.learned,
            },
        }
    }

    /// The same with so many octets for learned names.
    pub fn learning(self, octets: u64) -> Sizes {
        let learned = usize::try_from(octets).unwrap_or(usize::MAX);
        Sizes { zones: ZoneSizes { learned, ..self.zones }, ..self }
    }

    /// Octets of memory that the books take, to the day they are closed, but for learned names.
    pub fn octets(&self) -> u64 {
        ((self.accounts + self.accounts / OCTETS_PART + self.proven) * 8
            + self.known
            + self.crowds * 64
            + self.decisions * 32) as u64
            + self.zones.octets()
    }

    /// 1 MiB, for a laboratory with a few thousand clients.
    pub fn small() -> Sizes {
        Sizes {
            accounts: 1 << 14,
            proven: 1 << 12,
            known: 1 << 16,
            crowds: 1 << 8,
            decisions: 1 << 11,
            zones: ZoneSizes { accounts: 1 << 10, learned: 1 << 18, clients: 1 << 14, pairs: 1 << 14 },
        }
    }
}

/// The books. Clones are the same books.
#[derive(Clone, Debug)]
pub struct Books(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub secret: Secret,
    /// Accounts of the unproven, and of the proven: what somebody forges never counts against those
    /// who cannot be forged.
    pub tables: [Arc<Table>; 2],
    pub known: Seen,
    /// Octets beyond what came from it that went to an address under pressure: accounts that are ahead for a minute, in a table
    /// where they take the place of no share.
    pub octets: Arc<Table>,
    /// Accounts of all strangers together, in a table where no forged address has one.
    pub strangers: Arc<Table>,
    pub trial: Families,
    /// The same of those who were served before and have not proven themselves.
    pub acquaintances: Families,
    pub crowds: Distinct,
    pub decisions: Decisions,
    pub refusals: Refusals,
    pub zones: Zones,
    pub cookie_secret: cookie::Secret,
    pub seed: u64,
    /// How many passes each shard has.
    pub passes: usize,
}

impl Inner {
    /// Clears accounts before their time comes round; to be called every second or so.
    pub fn sweep(&self, now: Moment) {
        let [unproven, proven] = &self.tables;
        [unproven, proven, &self.octets, &self.strangers].into_iter().for_each(|table| table.sweep(now));
    }
}

impl Books {
    /// Empty books. `seed` keys their hashes and, where the operator gives no secret, cookies.
    pub fn new(sizes: &Sizes, seed: &[u8; 32]) -> Books {
        let secret = Secret::new(seed);
        let half = |number| secret.pair(u64::MAX, number).0.to_le_bytes();
        let mut cookie_secret = [0; 16];
        cookie_secret[..8].copy_from_slice(&half(1));
        cookie_secret[8..].copy_from_slice(&half(2));
        Books(Arc::new(Inner {
            tables: [Arc::new(Table::new(sizes.accounts)), Arc::new(Table::new(sizes.proven))],
            known: Seen::new(sizes.known, KNOWN_FOR),
            octets: Arc::new(Table::new(sizes.accounts / OCTETS_PART)),
            strangers: Arc::new(Table::new(STRANGERS)),
            trial: Families::default(),
            acquaintances: Families::default(),
            crowds: Distinct::new(sizes.crowds, CROWD_SPAN),
            decisions: Decisions::new(sizes.decisions, secret.clone()),
            refusals: Refusals::default(),
            zones: Zones::new(&sizes.zones, secret.clone()),
            cookie_secret: cookie::Secret(cookie_secret),
            seed: secret.pair(u64::MAX, 3).0,
            passes: sizes.accounts / ACCOUNTS_TO_A_PASS,
            secret,
        }))
    }

    /// What has been turned away lately.
    pub fn decisions(&self) -> &Decisions {
        &self.0.decisions
    }

    /// What is known of those who were never seen before.
    pub fn strangers(&self, now: Moment) -> Strangers {
        self.0.trial.verdict(now)
    }

    /// What is known, under pressure, of those who were served before and have not proven themselves.
    pub fn acquaintances(&self, now: Moment) -> Strangers {
        self.0.acquaintances.verdict(now)
    }

    /// Zones, their names, and who asks for them.
    pub fn zones(&self) -> &Zones {
        &self.0.zones
    }

    /// Writes what a restart must not forget, each record with the number of its part: who was served before, what is owed
    /// by more than `least`, how many seem to be behind an address, and the books of zones. Refusals are not kept.
    pub fn save(&self, now: Moment, least: Duration, put: &mut dyn FnMut(u8, &Pack)) {
        self.0.known.save(&mut |pack| put(0, pack));
        for (part, table) in (1..).zip(&self.0.tables) {
            table.save(now, least, &mut |pack| put(part, pack));
        }
        self.0.crowds.save(now, &mut |pack| put(3, pack));
        self.0.zones.save(now, least, &mut |part, pack| put(4 + part, pack));
    }

    /// How many kinds of records there are.
    pub const PARTS: u8 = 4 + Zones::PARTS;

    /// Takes in a record, before anybody is served. `None`: it does not fit books like these.
    pub fn load(&self, part: u8, record: Fields<'_>, now: Moment, passage: &Passage) -> Option<()> {
        match part {
            0 => self.0.known.load(record, passage),
            1 => self.0.tables[0].load(record, now, passage),
            2 => self.0.tables[1].load(record, now, passage),
            3 => self.0.crowds.load(record, now, passage),
            _ => self.0.zones.load(part - 4, record, now, passage),
        }
    }

    /// Whose history is that of an address: its own, or its customer's.
    pub(super) fn customer(&self, address: IpAddr) -> Hash {
        let length = if address.is_ipv4() { 32 } else { CUSTOMER_V6 };
        prefix_key(&self.0.secret, Book::Client, address, length)
    }

    /// How an address stands now under a policy.
    pub fn account_of(&self, policy: &Policy, address: IpAddr, now: Moment) -> Account {
        let address = address.to_canonical();
        let ranges = Ranges::new(&policy.allow, policy.class_prefixes());
        let standing = ranges.find(address);
        let ladder = Ladder::new(&policy.limits);
        let accounts = ladder.accounts(&self.0.secret, address);
        let read = |proven: usize| move |(key, length)| (length, self.0.tables[proven].read(key, now));
        let loads = |proven: usize| accounts.iter().map(read(proven)).collect();
        let work = |proven: usize| accounts.work().map(read(proven)).collect();
        let key = address_key(&self.0.secret, address);
        let client = self.customer(address);
        let points = self.0.zones.points(client, now);
        Account {
            points,
            ordinary: points >= TRUSTED || self.0.names(key, now) >= ORDINARY,
            paid: [client, proven_payer(&self.0.secret, client)].map(|payer| self.0.zones.paid(payer, 20, now)),
            allowed: standing.allowed,
            class: standing.class.map(|number| match policy.classes.get(usize::from(number)) {
                Some(class) => class.name.clone(),
                None => "exempt".into(),
            }),
            known: self.0.known.has(key, now) || self.0.has_come(address, now),
            crowd: self.0.crowd(key, false, now),
            crowd_proven: self.0.crowd(key, true, now),
            unproven: loads(0),
            proven: loads(1),
            work: [work(0), work(1)],
            decisions: self.0.decisions.of_address(address, 20),
        }
    }
}

/// How an address stands.
#[derive(Clone, PartialEq, Debug)]
pub struct Account {
    /// It may ask.
    pub allowed: bool,
    /// The name of its class.
    pub class: Option<String>,
    /// It was served before.
    pub known: bool,
    /// How many shares it has for the clients behind it.
    pub crowd: u32,
    /// The same for those of them that show a cookie or come by TCP.
    pub crowd_proven: u32,
    /// How many points it has for domains in which it found a name, and whether those or the variety of what it asks for
    /// make it an ordinary client, whose new names go before others in flooded zones.
    pub points: u32,
    pub ordinary: bool,
    /// What it has used of its accounts with flooded zones, for what could be forged and for what came with a cookie or by
    /// TCP.
    pub paid: [Paid; 2],
    /// By prefix length: how far the account is ahead, for what could be forged.
    pub unproven: Vec<(u8, Load)>,
    /// The same for what came with a cookie or by TCP.
    pub proven: Vec<(u8, Load)>,
    /// The same of what was asked upstream, by `proven`.
    pub work: [Vec<(u8, Load)>; 2],
    /// What was refused to it, the latest first.
    pub decisions: Vec<Decision>,
}

/// Different names among a sample of one in sixteen that make a share, and as many different clients' cookies. A household at
/// its ten queries a second comes to some forty names in a minute; two thousand users with one a second each come to
/// thousands. A bot that invents cookies has to come for each and to come back with it, so that it pays twice what the
/// same share costs it in names.
const OF_A_SHARE: u32 = 96;
/// So many names of one registrable domain count at most, and of all below one company's public suffix: whoever has a wildcard
/// somewhere has any number of names that exist.
const OF_AN_OWNER: u8 = 4;
/// More shares than this come from the configuration only.
const MOST: u32 = 64;

/// A customer's IPv6 prefix, in bits.
const CUSTOMER_V6: u8 = 56;
/// So many different names answered from the cache, of those looked at, are those of an ordinary client: more than one domain
/// makes, or whoever has a wildcard, or knows of one, would be that for the asking.
pub(super) const ORDINARY: u32 = OF_AN_OWNER as u32 + 1;

/// Who pays for a client that has proven its address: nobody can forge away what it has there.
pub(super) fn proven_payer(secret: &Secret, client: Hash) -> Hash {
    secret.pair(client.0, 1)
}

impl Inner {
    /// Whether a canonical address has come by TCP or come back with its cookie lately, or somebody of its IPv6 network has:
    /// that is a customer, who may have other addresses there by now. What is only said to come from there proves nothing,
    /// and does not prolong it.
    pub fn has_come(&self, address: IpAddr, now: Moment) -> bool {
        self.known.has(comer_key(&self.secret, address), now)
    }

    /// Nobody forges what a canonical address has shown: it has come.
    pub fn come(&self, address: IpAddr, now: Moment) {
        let key = comer_key(&self.secret, address);
        if self.known.has(key, now) || self.may_be_new(address, now) {
            self.known.note(key, now);
        }
    }

    /// Whether there is room to know one more of an address's network, by what came from it in the last second.
    fn may_be_new(&self, address: IpAddr, now: Moment) -> bool {
        if address.is_ipv4() {
            return true;
        }
        let accounts = NEW_COMERS.map(|(length, rate)| (prefix_key(&self.secret, Book::Comer, address, length), rate));
        let table = &self.tables[1];
        if accounts.iter().any(|(network, _)| table.read(*network, now) >= Load(SECOND.as_nanos() as u64)) {
            return false;
        }
        for (network, rate) in accounts {
            table.charge(network, now, SECOND / rate, 2 * SECOND);
        }
        true
    }

    /// How many different names of the sample an address had from the cache.
    pub fn names(&self, address: Hash, now: Moment) -> u32 {
        self.crowds.count(address, now)
    }

    /// How many shares an address has for the clients that seem to be behind it; what is proven also by their cookies.
    /// Ports tell nothing of them: whoever asks chooses his own, and a forwarder may have one for all its clients.
    pub fn crowd(&self, address: Hash, proven: bool, now: Moment) -> u32 {
        let cookies = if proven { self.crowds.count_lately(self.cookies_of(address), now) } else { 0 };
        (self.crowds.count_lately(address, now).max(cookies) / OF_A_SHARE).clamp(1, MOST)
    }

    /// Notes a name that an address had from the cache. Of one owner's names, which cost him nothing, a few count.
    pub fn note_name(&self, address: Hash, owner: Hash, name: &[u8], now: Moment) {
        let [number, ..] = self.secret.name(address.0, name).0.to_be_bytes();
        let [a, b, c, d, e, f, g, h] = owner.0.to_le_bytes();
        let item = self.secret.octets(address.0, &[a, b, c, d, e, f, g, h, number % OF_AN_OWNER]);
        self.crowds.note(address, item, now);
    }

    /// Notes a cookie that is ours and came back from an address, by the client's part.
    #[cold]
    pub fn note_cookie(&self, address: Hash, client: &[u8], now: Moment) {
        let key = self.cookies_of(address);
        self.crowds.note(key, self.secret.octets(key.0, client), now);
    }

    fn cookies_of(&self, address: Hash) -> Hash {
        self.secret.pair(address.0, u64::from(Book::Client as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Now, UnixTime};

    #[test]
    fn an_address_with_many_clients_behind_it_has_its_shares_after_a_restart() {
        let at = Moment::from_nanos(1_000_000_000_000);
        let now = Now { mono: at, age: at, unix: UnixTime(0) };
        let books = || Books::new(&Sizes::small(), &[5; 32]);
        let (before, after) = (books(), books());
        let (policy, address) = (Policy::default(), IpAddr::from([10, 0, 0, 1]));
        let key = address_key(&before.0.secret, address);
        for name in 0..2_000u32 {
            before.0.crowds.note(key, before.0.secret.octets(key.0, &name.to_be_bytes()), at);
        }
        let passage = Passage::new(now, now, Duration::from_secs(300));
        before.save(at, Duration::ZERO, &mut |part, pack| {
            after.load(part, Fields::of(pack.octets()), at, &passage).expect("the same sizes");
        });
        let shares = |books: &Books| books.account_of(&policy, address, at).crowd;
        assert!(shares(&before) > 10 && shares(&after) == shares(&before), "{} {}", shares(&before), shares(&after));
    }
}
