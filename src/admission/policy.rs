//! What the operator decides at the door, with the reason for every default.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::cookie::Secret;
use super::levels::Levels;
use super::zones::SuffixRules;
use crate::wire::Name;

/// Whether a limit limits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Mode {
    /// It refuses.
    #[default]
    Enforce,
    /// It counts what it would have refused, and lets it pass.
    Observe,
    /// It is not looked at.
    Off,
}

/// Who may ask, how much, and how loudly others are told that they may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Clients inside these prefixes are served; others get REFUSED. A client with an IPv4-mapped IPv6
    /// address (RFC 4291 §2.5.5.2) counts as its IPv4 address, and so does a mapped prefix.
    pub allow: Vec<IpNet>,
    /// At most so many REFUSED a second in all: beyond it silence, so that forged sources gain
    /// nothing. 100 a second tell a misconfigured network what is wrong and reflect next to nothing.
    /// 0: always silence. A second's worth may come at once.
    pub refused_per_second: u32,
    /// Clients that are not like the others. Being in a class does not let anybody in.
    pub classes: Vec<ClientClass>,
    pub limits: Limits,
    pub cookies: Cookies,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            allow: vec![
                IpNet::new(IpAddr::from([127, 0, 0, 0]), 8).expect("a prefix"),
                IpNet::new(IpAddr::from(std::net::Ipv6Addr::LOCALHOST), 128).expect("a prefix"),
            ],
            refused_per_second: 100,
            classes: Vec::new(),
            limits: Limits::default(),
            cookies: Cookies::default(),
        }
    }
}

impl Policy {
    /// The prefixes of each class, those without limits last.
    pub(super) fn class_prefixes(&self) -> impl Iterator<Item = &[IpNet]> {
        self.classes.iter().map(|class| &class.prefixes[..]).chain([&self.limits.exempt[..]])
    }
}

/// Clients with rules of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientClass {
    /// As it is shown.
    pub name: String,
    /// The longest prefix that covers a client decides its class.
    pub prefixes: Vec<IpNet>,
    /// So many shares it has, 1 to 10,000: a forwarder for fifty households gets 50.
    pub weight: usize,
    /// No limit holds for it, and nothing that it asks counts against the prefixes around it.
    pub exempt: bool,
    /// By UDP it is answered only with a valid cookie (RFC 7873 §5.2.3); without one it gets BADCOOKIE or TC=1. Off by
    /// default.
    pub require_cookie: Mode,
}

impl Default for ClientClass {
    fn default() -> ClientClass {
        ClientClass { name: String::new(), prefixes: Vec::new(), weight: 1, exempt: false, require_cookie: Mode::Off }
    }
}

/// DNS cookies for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookies {
    /// Give cookies to clients that send theirs, and believe addresses that come with a valid one.
    pub enabled: bool,
    /// The first makes cookies, all are taken. None: a secret of this process alone.
    pub secrets: Vec<Secret>,
}

impl Default for Cookies {
    fn default() -> Cookies {
        Cookies { enabled: true, secrets: Vec::new() }
    }
}

/// A prefix length on which accounts are kept, and how many shares of one client it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PrefixLevel {
    pub length: u8,
    /// 1 to 1,000,000.
    pub shares: u32,
}

impl std::fmt::Display for PrefixLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "/{}:{}", self.length, self.shares)
    }
}

/// What clients may use. Costs and rates are in units of one answer from the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// No limit holds for these, unless a class says otherwise: this machine's own programs, whose addresses nobody
    /// outside can forge.
    pub exempt: Vec<IpNet>,
    /// The share of a client and of the prefixes around it.
    pub clients: Mode,
    /// Units a second for one address. Households peak at some ten queries a second and operators
    /// who set a limit by hand choose 100 to 400; under guard this is thrice the latter.
    pub client_rate: u32,
    /// Units at once, client_rate to 4 × client_rate: two seconds' worth, a page with a hundred names on it included.
    pub client_burst: usize,
    /// What a question costs that has to be asked upstream: some twenty times a cache hit in CPU time.
    pub miss_cost: usize,
    /// What one costs that fails: it holds its place until the deadline, and nobody was helped.
    pub failure_cost: usize,
    /// What a TCP connection costs: some system calls and a few packets.
    pub tcp_accept_cost: usize,
    /// Longest first, as Knot Resolver has them: a /24 full of clients has 32 shares.
    pub prefixes_v4: Vec<PrefixLevel>,
    /// Longest first: one customer has a /64 to a /48.
    pub prefixes_v6: Vec<PrefixLevel>,
    /// Limit what goes upstream: cached names are answered beyond it.
    pub recursion: Mode,
    /// Ask addresses never seen before to prove themselves when there are too many of them.
    pub strangers: Mode,
    /// So many of their queries are answered a second, all together, under guard; a part of it when closed.
    pub stranger_rate: u32,
    /// Of the unproven beyond their share one in so many is answered with TC=1 or BADCOOKIE, which is no
    /// larger than what it asked; the others get silence. 2: a client whose address somebody forges
    /// comes through by TCP at its first or second try.
    pub slip: usize,
    /// Ration octets to the unproven: answers beyond it are cut to TC=1.
    pub rations: Mode,
    /// Octets a second that may go to an unproven IPv4 /24 or IPv6 /56 beyond what came from there. As a weapon
    /// 2 Mbit/s are nothing; a network that asks that much by itself goes on by TCP.
    pub ration: u64,
    /// Under guard, octets a second that may go to one unproven address beyond what came from it, whoever is behind it: ten
    /// questions a second, more or less. What it has not had for 16 seconds it may have at once.
    pub address_ration: u64,
    /// The same as `ration` for one and the same question; only answers of 256 octets more than the question count.
    pub same_answer_ration: u64,
    /// All addresses never seen before may be sent so many octets a second, all together, beyond what came from them.
    pub stranger_ration: u64,
    /// No limit, since it gives more and never less: addresses behind which many clients stand have up to 64 shares, by how many different cached names they
    /// asked for in the last minutes, and of what is proven also by how many clients' cookies came back.
    pub crowds: bool,
    /// Hold zones that are flooded with names that do not exist to a quota.
    pub zones: Mode,
    /// A zone is not suspected below so many questions a second for names never seen before. At an ISP few zones have
    /// as many, and those answer them.
    pub zone_watch: u32,
    /// A flooded zone has at most so many questions a second, fewer where its servers lose packets.
    pub zone_rate: u32,
    /// Zones that are never taken for flooded, with all names in them.
    pub exempt_zones: Arc<Vec<Name>>,
    /// Public suffixes that are not on the list, and domains that it takes for some.
    pub suffix_rules: Arc<SuffixRules>,
    /// In a flooded zone, let those who ask for names that do not exist go last.
    pub zone_clients: Mode,
    /// Keep the last places for questions in flight to those that deserve them, and share the others evenly.
    pub places: Mode,
    /// Where a cache is nearly full, let one domain, and all large sets together, have their share of it and no more.
    pub shares: Mode,
    /// Limit what clients with unproven addresses wait for.
    pub waits: Mode,
    /// So many times one address may wait for the same question, 1 to 10,000; stub resolvers ask again twice or thrice,
    /// and forwarders for each of their clients.
    pub waits_for_one: usize,
    /// An answer is not sent so long after its question: glibc and dig give up after five seconds.
    pub patience: Duration,
    /// So many answers a second that were held back leave for one address; 0: as they come. At 1,232 octets each 4
    /// Mbit/s, and no more in the first moment than in the next.
    pub release_rate: u32,
    /// Hold clients and the prefixes around them to a number of TCP connections, and close idle ones sooner where places
    /// or time run short. The number of all connections is what the system has, and holds whatever this says.
    pub connections: Mode,
    /// Thin out the loudest sources before they reach a socket's queue, where the system can: those that `clients` turns
    /// away, and only while that is enforced.
    pub kernel_filter: bool,
    /// A level of pressure is left after this long without need of it.
    pub calm: Duration,
    /// What the levels of pressure are.
    pub levels: Levels,
}

impl Limits {
    /// The burst as time of an account, which is so much ahead of now at most.
    pub fn burst(&self) -> Duration {
        let burst = Duration::from_secs(1).mul_f64(self.client_burst as f64 / f64::from(self.client_rate.max(1)));
        burst.clamp(Duration::from_millis(100), Duration::from_secs(4))
    }
}

impl Default for Limits {
    fn default() -> Limits {
        let level = |(length, shares)| PrefixLevel { length, shares };
        Limits {
            exempt: vec![
                IpNet::new(IpAddr::from([127, 0, 0, 1]), 32).expect("a prefix"),
                IpNet::new(IpAddr::from(std::net::Ipv6Addr::LOCALHOST), 128).expect("a prefix"),
            ],
            clients: Mode::Enforce,
            client_rate: 1_000,
            client_burst: 2_000,
            miss_cost: 20,
            failure_cost: 50,
            tcp_accept_cost: 5,
            prefixes_v4: [(32, 1), (24, 32), (20, 256), (18, 768)].map(level).to_vec(),
            prefixes_v6: [(128, 1), (64, 2), (56, 3), (48, 4), (32, 64)].map(level).to_vec(),
            recursion: Mode::Enforce,
            strangers: Mode::Enforce,
            stranger_rate: 20_000,
            slip: 2,
            rations: Mode::Enforce,
            ration: 256 << 10,
            address_ration: 1_024,
            same_answer_ration: 16 << 10,
            stranger_ration: 64 << 10,
            crowds: true,
            zones: Mode::Enforce,
            zone_watch: 50,
            zone_rate: 500,
            exempt_zones: Arc::default(),
            suffix_rules: Arc::default(),
            zone_clients: Mode::Enforce,
            places: Mode::Enforce,
            shares: Mode::Enforce,
            waits: Mode::Enforce,
            waits_for_one: 32,
            patience: Duration::from_secs(5),
            release_rate: 400,
            connections: Mode::Enforce,
            kernel_filter: true,
            calm: Duration::from_secs(5),
            levels: Levels::default(),
        }
    }
}
