//! The settings table: every key of the configuration file, once.

mod levels;
mod limits;
mod snapshot;
mod stale;

use std::time::Duration;

use super::shape::{Items, Setting, Shape};
use super::{CacheClock, LogFormat, Pin, Settings};
use crate::admission::ClientClass;
use crate::dnssec::Sha1;
use crate::resolve::{Minimisation, Upstream};

/// A table of the file that stands there at most once.
pub struct Section {
    /// `[server]` is "server".
    pub name: &'static str,
    /// What its settings are about.
    pub doc: &'static str,
    pub settings: &'static [Setting<Settings>],
}

/// A table that can stand there many times.
pub struct Repeated<S: 'static> {
    /// `[[forward]]` is "forward".
    pub name: &'static str,
    pub doc: &'static str,
    pub settings: &'static [Setting<S>],
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Every table that stands there at most once, in the order of the printed configuration.
pub static SECTIONS: [Section; 13] = [
    Section { name: "server", doc: "Where clients are listened to, and how they are answered.", settings: &SERVER },
    Section { name: "access", doc: "Who may ask.", settings: &ACCESS },
    Section {
        name: "limits",
        doc: "How much clients may use when there is too little for all. With room to spare nobody is refused.",
        settings: &limits::LIMITS,
    },
    Section {
        name: "level.watch",
        doc: "The first level of pressure: from where on limits are held to, and how strictly. Nobody has to change it, nor \
              the next two.",
        settings: &levels::WATCH,
    },
    Section {
        name: "level.guard",
        doc: "The second level of pressure: everybody has his share, and addresses not served lately are few.",
        settings: &levels::GUARD,
    },
    Section {
        name: "level.closed",
        doc: "The last level of pressure: what is there goes to those who have proven who they are, or were served lately.",
        settings: &levels::CLOSED,
    },
    Section { name: "resolver", doc: "How names are resolved, from the root down.", settings: &RESOLVER },
    Section { name: "dnssec", doc: "What is validated, and by whose keys.", settings: &DNSSEC },
    Section { name: "cache", doc: "What is remembered, for how long, in how much memory.", settings: &CACHE },
    Section { name: "stale", doc: "Answers whose time is over, where there is no other.", settings: &stale::STALE },
    Section { name: "snapshot", doc: "What a restart does not forget.", settings: &snapshot::SNAPSHOT },
    Section { name: "local", doc: "Names answered here, without asking anybody.", settings: &LOCAL },
    Section { name: "log", doc: "What is logged, to the standard error.", settings: &LOG },
];

/// The tables of clients that are not like the others.
pub static CLIENT_CLASS: Repeated<ClientClass> = Repeated {
    name: "client_class",
    doc: "Clients with rules of their own. Being in a class lets nobody in: that is for [access] allow.",
    settings: &limits::CLIENT_CLASS,
};

/// The names of all tables that can be repeated.
pub static REPEATED_NAMES: [&str; 3] = ["client_class", "forward", "stub"];

/// The tables of zones that are asked elsewhere, with the same keys.
pub static REPEATED: [Repeated<Upstream>; 2] = [
    Repeated {
        name: "forward",
        doc: "A zone whose names are asked of other resolvers, which do the work (RD is set).",
        settings: &UPSTREAM,
    },
    Repeated {
        name: "stub",
        doc: "A zone whose authoritative servers are given here instead of found from the root.",
        settings: &UPSTREAM,
    },
];

static SERVER: [Setting<Settings>; 15] = [
    Setting {
        key: "listen",
        shape: Shape::List(Items::Listeners(|s| &mut s.listener.listen)),
        default: None,
        required: false,
        doc: "Addresses and ports on which clients are answered, by UDP and TCP alike. Use \"0.0.0.0:53\" and \"[::]:53\" \
              for every address of the machine; ports below 1024 need the right to bind them (CAP_NET_BIND_SERVICE).",
        reason: "Loopback on a high port: nothing is exposed and no right is needed until the operator decides so.",
        example: r#"["192.0.2.53:53", "[2001:db8::53]:53"]"#,
    },
    Setting {
        key: "workers",
        shape: Shape::Count { min: 0, max: 1024, unit: "shards", at: |s| &mut s.workers },
        default: Some("0"),
        required: false,
        doc: "How many shards answer, each a thread with its own sockets; 0 means one for every core.",
        reason: "A shard never waits for another, so one per core uses the machine and more would only take turns.",
        example: "4",
    },
    Setting {
        key: "pin",
        shape: Shape::Choice {
            of: &["off", "cores", "queues"],
            get: |s| match s.pin {
                Pin::Off => "off",
                Pin::Cores => "cores",
                Pin::Queues => "queues",
            },
            set: |s, word| {
                s.pin = match word {
                    "cores" => Pin::Cores,
                    "queues" => Pin::Queues,
                    _ => Pin::Off,
                };
            },
        },
        default: None,
        required: false,
        doc: "Keep each shard on one core, and its own memory on that core's node: \"cores\". The cores are those this \
              process may use (taskset, CPUAffinity= of systemd), in order. \"queues\" also hands a shard the packets that \
              the kernel takes in on its core, for network cards with a receive queue for each (Linux 6.2 and later).",
        reason: "The scheduler does well where others use the machine too, and a card with one queue would give everything \
                 to one shard.",
        example: r#""cores""#,
    },
    Setting {
        key: "udp_payload_size",
        shape: Shape::Small { min: 512, max: 4096, unit: "octets", at: |s| &mut s.engine.respond.udp_payload_size },
        default: None,
        required: false,
        doc: "The largest UDP response that is sent, in octets. A longer one is truncated, and the client asks again by \
              TCP. The client's own limit counts too. Up to 1232 octets IPv4 packets leave with the don't-fragment bit \
              (RFC 9715 §3.1), unless the interface has no room for them.",
        reason: "1232 octets fit the smallest IPv6 packet (1280), so nothing is fragmented on any path (RFC 9715); \
                 512 is the least a client must accept (RFC 1035 §4.2.1).",
        example: "1232",
    },
    Setting {
        key: "extended_errors",
        shape: Shape::Flag(|s| &mut s.engine.respond.extended_errors),
        default: None,
        required: false,
        doc: "Tell clients in an EDNS option why a name could not be resolved.",
        reason: "It helps whoever has to find the cause, and costs nothing where nothing fails (RFC 8914).",
        example: "true",
    },
    Setting {
        key: "nsid",
        shape: Shape::Octets { max: 128, at: |s| &mut s.engine.respond.nsid },
        default: None,
        required: false,
        doc: "The name of this server, sent to clients that ask for the NSID option; as text, or as octets in \
              hexadecimal after 0x.",
        reason: "Not set: which machine answers is nobody's business unless the operator wants it known (RFC 5001).",
        example: r#""ams-1""#,
    },
    Setting {
        key: "version",
        shape: Shape::Text { max: 255, at: |s| &mut s.engine.respond.version },
        default: None,
        required: false,
        doc: "The answer to the CHAOS TXT questions version.bind and version.server; REFUSED where not set.",
        reason: "Not set: a version tells an attacker what to try. At most one character-string (RFC 1035 §3.3).",
        example: r#""maeslant""#,
    },
    Setting {
        key: "identity",
        shape: Shape::Text { max: 255, at: |s| &mut s.engine.respond.identity },
        default: None,
        required: false,
        doc: "The answer to the CHAOS TXT questions id.server and hostname.bind; REFUSED where not set.",
        reason: "Not set, as with nsid (RFC 4892 leaves it to the operator).",
        example: r#""ams-1.example.net""#,
    },
    Setting {
        key: "tcp_connections",
        shape: Shape::Count { min: 1, max: 1_000_000, unit: "connections", at: |s| &mut s.listener.tcp_connections },
        default: None,
        required: false,
        doc: "How many TCP connections clients may have open, all together. Each takes a file descriptor; where fewer are \
              allowed (LimitNOFILE), it is as many as there are, and the log says so. It has no mode: without it the process \
              would run out of descriptors, and nobody had one.",
        reason: "Enough for a large network's truncated answers, and a bound on memory in a connection flood \
                 (RFC 7766 §6.2.2).",
        example: "10000",
    },
    Setting {
        key: "tcp_connections_per_client",
        shape: Shape::Count {
            min: 1,
            max: 1_000_000,
            unit: "connections",
            at: |s| &mut s.listener.tcp_connections_per_client,
        },
        default: None,
        required: false,
        doc: "How many of them one client may have: an IPv4 address or an IPv6 /64. Where three quarters of all places are taken it is a fourth of that, where nine tenths are, a sixteenth, but 8.",
        reason: "Half of what its prefix may have: enough for a carrier's address with thousands of customers behind it, \
                 and not all that its neighbours have.",
        example: "500",
    },
    Setting {
        key: "tcp_connections_per_prefix",
        shape: Shape::Count {
            min: 1,
            max: 1_000_000,
            unit: "connections",
            at: |s| &mut s.listener.tcp_connections_per_prefix,
        },
        default: None,
        required: false,
        doc: "How many of them one prefix may have: an IPv4 /24 or an IPv6 /56. An IPv4 /20 or IPv6 /48 may have a quarter of \
              tcp_connections, an IPv4 /16 or IPv6 /32 three quarters, if that is more. It shrinks with the places that are left as tcp_connections_per_client does.",
        reason: "A tenth of all, so that no single network can close TCP to the others (RFC 7766 §6.2.2).",
        example: "1000",
    },
    Setting {
        key: "tcp_idle_timeout",
        shape: Shape::Span {
            min: Duration::from_millis(100),
            max: secs(3600),
            at: |s| &mut s.listener.tcp_idle_timeout,
        },
        default: None,
        required: false,
        doc: "A connection on which no question is open is closed after this time, also where a question was begun and not \
              ended. Clients that ask for it are told (EDNS keepalive). It has no mode: nothing is refused by it, and without it \
              all places would be taken by who is gone. That it is shorter under pressure is a matter of [limits] \
              connections.",
        reason: "A few seconds, as RFC 7766 §6.2.3 advises: long enough to be reused, short enough not to pile up.",
        example: r#""10s""#,
    },
    Setting {
        key: "tcp_write_timeout",
        shape: Shape::Span {
            min: Duration::from_millis(100),
            max: secs(3600),
            at: |s| &mut s.listener.tcp_write_timeout,
        },
        default: None,
        required: false,
        doc: "A connection whose client takes nothing of its replies for so long is closed, unless [limits] connections is \
              \"observe\" or \"off\". While replies wait, the client's further questions do too. Where the replies that all clients \
              leave unread come to 64 MiB a shard, those who do not read are closed in any mode: memory ends there.",
        reason: "Longer than any path is interrupted without the connection being lost, and a client that does not read \
                 soon gives its memory back.",
        example: r#""5s""#,
    },
    Setting {
        key: "tcp_pipeline",
        shape: Shape::Count { min: 1, max: 65_535, unit: "questions", at: |s| &mut s.listener.tcp_pipeline },
        default: None,
        required: false,
        doc: "How many questions may be open on one connection; no more is read from it until one is answered. It has no mode: \
              it refuses nothing, and what waits is the client's own.",
        reason: "Enough to keep a stub resolver busy, and one connection cannot hold the work of thousands \
                 (RFC 7766 §6.2.1.1).",
        example: "100",
    },
    Setting {
        key: "control_socket",
        shape: Shape::File(|s| &mut s.control_socket),
        default: None,
        required: false,
        doc: "A Unix socket that `maeslant ctl` asks: who was refused, why, since when. Only this user and root can open \
              it. Changing it takes a restart.",
        reason: "Not set: nothing listens that was not asked for.",
        example: r#""/run/maeslant/control""#,
    },
];

static ACCESS: [Setting<Settings>; 4] = [
    Setting {
        key: "allow",
        shape: Shape::List(Items::Prefixes(|s| &mut s.engine.access.allow)),
        default: None,
        required: false,
        doc: "Prefixes of the clients that are answered. Others get REFUSED, at a limited rate.",
        reason: "This machine alone: a resolver that is open to everybody is used to flood others (RFC 5358).",
        example: r#"["127.0.0.0/8", "::1/128", "192.168.0.0/16"]"#,
    },
    Setting {
        key: "refused_rate",
        shape: Shape::Rate { max: 1_000_000, at: |s| &mut s.engine.access.refused_per_second },
        default: None,
        required: false,
        doc: "How many REFUSED are sent, to everybody together; beyond that, silence.",
        reason: "Enough to show a misconfigured network what is wrong; next to nothing for somebody who forges sources.",
        example: r#""100/s""#,
    },
    Setting {
        key: "cookies",
        shape: Shape::Flag(|s| &mut s.engine.access.cookies.enabled),
        default: None,
        required: false,
        doc: "Give DNS cookies to clients that send theirs. Who comes with a valid one has proved its address, and what \
              others forge does not count against it.",
        reason: "It costs 20 octets and nothing else, and no forger can guess one (RFC 7873).",
        example: "true",
    },
    Setting {
        key: "cookie_secrets",
        shape: Shape::File(|s| &mut s.cookie_secrets_file),
        default: None,
        required: false,
        doc: "A file with the secrets of the cookies, one of 32 hexadecimal digits a line: the first makes cookies, all \
              are taken. Servers behind one address share it. To change it, add the new one at the end on all of them, then \
              move it to the front on all, then take the old one away after an hour.",
        reason: "Not set: a random secret of this process, forgotten when it ends (RFC 9018 §5).",
        example: r#""cookie-secrets""#,
    },
];

static RESOLVER: [Setting<Settings>; 12] = [
    Setting {
        key: "root_hints",
        shape: Shape::File(|s| &mut s.root_hints_file),
        default: None,
        required: false,
        doc: "A zone file with the names and addresses of the root servers, to begin with. Only NS at the root and \
              A and AAAA records count.",
        reason: "Not set: the Internet's root servers are compiled in, and priming brings the list up to date (RFC 9609).",
        example: r#""root.hints""#,
    },
    Setting {
        key: "outgoing",
        shape: Shape::List(Items::Sources(|s| &mut s.upstream.outgoing)),
        default: None,
        required: false,
        doc: "Source addresses of the queries to authoritative servers; one of the server's family is picked at random. \
              \"0.0.0.0\" and \"::\" leave the choice to the system.",
        reason: "The system knows its routes. More than one address makes forged responses harder (RFC 5452 §9.2).",
        example: r#"["192.0.2.10", "192.0.2.11", "2001:db8::10"]"#,
    },
    Setting {
        key: "server_port",
        shape: Shape::Small { min: 1, max: 65_535, unit: "", at: |s| &mut s.engine.resolve.server_port },
        default: None,
        required: false,
        doc: "The port on which authoritative servers are asked. Something else than 53 is for laboratories, whose \
              servers have no right to low ports.",
        reason: "RFC 1035 §4.2.",
        example: "53",
    },
    Setting {
        key: "do_not_query",
        shape: Shape::List(Items::Prefixes(|s| &mut s.engine.resolve.do_not_query)),
        default: None,
        required: false,
        doc: "Prefixes in which no server is asked, however its address was learned. Root hints, forwarders and stub \
              servers are excepted. A list written here replaces the default; a laboratory on loopback writes [].",
        reason: "Special-purpose ranges (RFC 6890 and its registries): an attacker's delegation must not lead this \
                 server into the operator's own network.",
        example: r#"["127.0.0.0/8", "::1/128"]"#,
    },
    Setting {
        key: "upstream_udp_payload_size",
        shape: Shape::Small { min: 512, max: 4096, unit: "octets", at: |s| &mut s.engine.resolve.udp_payload_size },
        default: None,
        required: false,
        doc: "The UDP size told to authoritative servers, in octets; longer responses are fetched by TCP.",
        reason: "1232 octets are never fragmented, and fragments can be forged (RFC 9715).",
        example: "1232",
    },
    Setting {
        key: "upstream_cookies",
        shape: Shape::Flag(|s| &mut s.engine.resolve.cookies),
        default: None,
        required: false,
        doc: "Send DNS cookies to authoritative servers and expect them back.",
        reason: "A forger who does not see the traffic cannot guess 64 bits (RFC 7873).",
        example: "true",
    },
    Setting {
        key: "deadline",
        shape: Shape::Span { min: Duration::from_millis(100), max: secs(60), at: |s| &mut s.engine.resolve.deadline },
        default: None,
        required: false,
        doc: "A client has its answer before this time is over, if need be SERVFAIL.",
        reason: "Stub resolvers give up after 5 to 10 seconds (2 tries of 5 s in most libraries): an answer after that \
                 is work for nobody, and this leaves a slow zone two retries.",
        example: r#""8s""#,
    },
    Setting {
        key: "qname_minimisation",
        shape: Shape::Choice {
            of: &["relaxed", "strict", "off"],
            get: |s| match s.engine.resolve.minimisation {
                Minimisation::Relaxed => "relaxed",
                Minimisation::Strict => "strict",
                Minimisation::Off => "off",
            },
            set: |s, word| {
                s.engine.resolve.minimisation = match word {
                    "strict" => Minimisation::Strict,
                    "off" => Minimisation::Off,
                    _ => Minimisation::Relaxed,
                };
            },
        },
        default: None,
        required: false,
        doc: "How much of a name each server is shown. relaxed: one label more than its zone, and the full name where a \
              server stumbles over that, and within an organisation's own zone once one name there is no zone cut. strict: what a server says of a shortened name is believed. off: the full name \
              to every server.",
        reason: "Servers learn no more than they need (RFC 9156), and names behind broken servers still resolve.",
        example: r#""relaxed""#,
    },
    Setting {
        key: "case_randomisation",
        shape: Shape::Flag(|s| &mut s.engine.resolve.case_randomisation),
        default: None,
        required: false,
        doc: "Ask in randomly mixed upper and lower case, and expect the same in the response.",
        reason: "One more bit a letter that a forger has to guess (draft-vixie-dnsext-dns0x20).",
        example: "true",
    },
    Setting {
        key: "prime",
        shape: Shape::Flag(|s| &mut s.engine.resolve.prime),
        default: None,
        required: false,
        doc: "Ask a root server for the current list of root servers at start, and again when it expires.",
        reason: "Hints grow old; RFC 9609 asks for it.",
        example: "true",
    },
    Setting {
        key: "ipv4",
        shape: Shape::Flag(|s| &mut s.engine.resolve.ipv4),
        default: None,
        required: false,
        doc: "Ask servers over IPv4.",
        reason: "Most zones still have servers that IPv6 alone does not reach (RFC 3901).",
        example: "true",
    },
    Setting {
        key: "ipv6",
        shape: Shape::Flag(|s| &mut s.engine.resolve.ipv6),
        default: None,
        required: false,
        doc: "Ask servers over IPv6. Where the machine has no IPv6 route, that is noticed by itself.",
        reason: "Some zones have servers on IPv6 only (RFC 3901).",
        example: "true",
    },
];

static DNSSEC: [Setting<Settings>; 8] = [
    Setting {
        key: "validation",
        shape: Shape::Flag(|s| &mut s.engine.resolve.dnssec.validation),
        default: None,
        required: false,
        doc: "Check the signatures of signed zones. What is bogus is SERVFAIL, with the reason; what is secure is marked \
              so (AD) for clients that ask for it. A client that checks for itself sets CD and gets everything.",
        reason: "An answer that was forged on the way is worse than none (RFC 4035, RFC 9364).",
        example: "true",
    },
    Setting {
        key: "trust_anchors",
        shape: Shape::File(|s| &mut s.trust_anchors_file),
        default: None,
        required: false,
        doc: "A file with DS and DNSKEY records, in the form of a zone file, of the keys where trust begins: the root's, \
              or those of zones below an unsigned one. The compiled-in ones do not count then.",
        reason: "Not set: the keys of the Internet's root are compiled in. They count if the root is the Internet's: if \
                 root_hints is not set, or its file has at least half of the compiled-in addresses. Another root \
                 has other keys, which only its operator knows; nothing is validated until they stand here.",
        example: r#""root.anchors""#,
    },
    Setting {
        key: "trust_anchor_state",
        shape: Shape::File(|s| &mut s.trust_anchor_state),
        default: None,
        required: false,
        doc: "A file where the keys that replace the trust anchors in the course of time are kept. It is made and written \
              by the server, which needs the right to write in its directory.",
        reason: "Not set: the anchors stay as they are, and a server that is kept up to date gets new ones with its \
                 program. Set it where it may run for years as it is (RFC 5011).",
        example: r#""/var/lib/maeslant/anchors""#,
    },
    Setting {
        key: "negative_trust_anchors",
        shape: Shape::List(Items::Suspended(|s| &mut s.negative_trust_anchors)),
        default: None,
        required: false,
        doc: "Zones that are not validated for a while, with everything below them, because their owners have broken \
              their signatures and mend them. Each needs an end, after which it is validated again by itself.",
        reason: "None: a zone that does not validate is more often attacked or broken than worth the risk. The end is \
                 required because exceptions that nobody remembers stay for ever (RFC 7646 §2).",
        example: r#"[{ zone = "example.", until = "2026-12-31" }]"#,
    },
    Setting {
        key: "sha1",
        shape: Shape::Choice {
            of: &["insecure", "validate"],
            get: |s| match s.engine.resolve.dnssec.policy.sha1 {
                Sha1::Insecure => "insecure",
                Sha1::Validate => "validate",
            },
            set: |s, word| {
                s.engine.resolve.dnssec.policy.sha1 = if word == "validate" { Sha1::Validate } else { Sha1::Insecure };
            },
        },
        default: None,
        required: false,
        doc: "What signatures (algorithms 5 and 7) and DS records with SHA-1 are worth. insecure: nothing, so that a zone \
              that has only those is as if unsigned. validate: as much as others.",
        reason: "Two texts with the same SHA-1 can be made to order, and RFC 9905 says to stop; answering for such zones \
                 as for unsigned ones breaks none of them.",
        example: r#""insecure""#,
    },
    Setting {
        key: "min_rsa_bits",
        shape: Shape::Small {
            min: 512,
            max: 4096,
            unit: "bits",
            at: |s| &mut s.engine.resolve.dnssec.policy.min_rsa_bits,
        },
        default: None,
        required: false,
        doc: "RSA keys that are shorter are worth nothing: a zone that has only those is as if unsigned.",
        reason: "1024 bits are what many zones still sign with; 512 bits are factored in hours on rented machines. \
                 RFC 3110 §2 and RFC 5702 §2 bound the sizes.",
        example: "1024",
    },
    Setting {
        key: "aggressive_nsec",
        shape: Shape::Flag(|s| &mut s.engine.resolve.dnssec.aggressive),
        default: None,
        required: false,
        doc: "Answer from validated proofs of what does not exist, and from validated wildcards, without asking again for \
              every name that they cover. Accepted, but without effect in this version: such answers are not made yet.",
        reason: "A flood of random names below a signed zone then ends here, and the zone's servers see nothing of it \
                 (RFC 8198).",
        example: "true",
    },
    Setting {
        key: "sentinel",
        shape: Shape::Flag(|s| &mut s.engine.resolve.dnssec.sentinel),
        default: None,
        required: false,
        doc: "Answer names that begin with root-key-sentinel-is-ta- or root-key-sentinel-not-ta- and a key tag by whether \
              that key of the root is trusted here.",
        reason: "Before the root changes its key, it can be measured who would be left behind; it tells nothing else \
                 (RFC 8509).",
        example: "true",
    },
];

static CACHE: [Setting<Settings>; 6] = [
    Setting {
        key: "memory",
        shape: Shape::Size { min: 1 << 20, max: 1 << 44, at: |s| &mut s.cache.memory },
        default: None,
        required: false,
        doc: "The memory of all caches together, the shards' tables of the hottest answers among them. It is never exceeded; \
              the least useful answers give way. What is known of servers (some 8 MiB) and [limits] table_memory come on top.",
        reason: "Some hundred thousand answers: enough for a network of some thousand clients, and small beside the \
                 memory of any server.",
        example: r#""256MiB""#,
    },
    Setting {
        key: "prefetch",
        shape: Shape::Flag(|s| &mut s.cache.prefetch),
        default: None,
        required: false,
        doc: "Refresh an answer that is asked for often shortly before it expires.",
        reason: "Nobody waits for a popular name, at the cost of a few more queries to its servers.",
        example: "true",
    },
    Setting {
        key: "clock",
        shape: Shape::Choice {
            of: &["monotonic", "wall"],
            get: |s| match s.cache_clock {
                CacheClock::Monotonic => "monotonic",
                CacheClock::Wall => "wall",
            },
            set: |s, word| {
                s.cache_clock = if word == "wall" { CacheClock::Wall } else { CacheClock::Monotonic };
            },
        },
        default: None,
        required: false,
        doc: "The clock by which cached answers age. \"wall\" follows the wall clock, for laboratories that fake it.",
        reason: "A wall clock that is set must neither keep answers alive nor drop them all.",
        example: r#""monotonic""#,
    },
    Setting {
        key: "min_ttl",
        shape: Shape::Span { min: Duration::ZERO, max: secs(86_400), at: |s| &mut s.cache.min_ttl },
        default: None,
        required: false,
        doc: "Answers with a smaller TTL are kept this long nevertheless.",
        reason: "None: the zone's owner says how long an answer is good (RFC 1035 §3.2.1), and a floor serves what is \
                 no longer true.",
        example: r#""0s""#,
    },
    Setting {
        key: "max_ttl",
        shape: Shape::Span { min: Duration::ZERO, max: secs(365 * 86_400), at: |s| &mut s.cache.max_ttl },
        default: None,
        required: false,
        doc: "Answers with a larger TTL are kept this long only.",
        reason: "A day: mistakes in a zone heal overnight, and asking once a day costs nothing (RFC 8767 §4 allows up \
                 to seven).",
        example: r#""1d""#,
    },
    Setting {
        key: "max_negative_ttl",
        shape: Shape::Span { min: Duration::ZERO, max: secs(86_400), at: |s| &mut s.cache.max_negative_ttl },
        default: None,
        required: false,
        doc: "That a name or type does not exist is remembered this long at most.",
        reason: "One to three hours have worked well; more than a day is trouble (RFC 2308 §5).",
        example: r#""1h""#,
    },
];

static LOCAL: [Setting<Settings>; 2] = [
    Setting {
        key: "special_use",
        shape: Shape::Flag(|s| &mut s.engine.local.special_use),
        default: None,
        required: false,
        doc: "Answer special-use names (localhost, onion, home.arpa, …) and the reverse names of private addresses here. \
              false asks the Internet for everything: for laboratories and tests.",
        reason: "These names mean nothing to the Internet, and asking tells it what goes on inside (RFC 6761, 6303, \
                 7686, 8375, 9476).",
        example: "true",
    },
    Setting {
        key: "records",
        shape: Shape::List(Items::Records(|s| &mut s.engine.local.records)),
        default: None,
        required: false,
        doc: "The operator's own records, each as one line of a zone file: name, TTL, type, data. Without a TTL it is \
              one hour. Names are taken as complete, with or without the dot at their end.",
        reason: "None.",
        example: r#"["printer.home.arpa. 300 IN A 192.168.1.9"]"#,
    },
];

static LOG: [Setting<Settings>; 2] = [
    Setting {
        key: "level",
        shape: Shape::Choice {
            of: &["error", "warn", "info", "debug", "trace"],
            get: |s| &s.log.level,
            set: |s, word| s.log.level = word.to_owned(),
        },
        default: None,
        required: false,
        doc: "How much is logged: errors only, also warnings, also what happens in the life of the server, also what \
              helps to find a fault. Queries of clients are never logged one by one: of those turned away there is an \
              example for each reason, at most every ten seconds, with how many there were.",
        reason: "An operator sees start, stop, reload and trouble, and the log does not grow with traffic.",
        example: r#""info""#,
    },
    Setting {
        key: "format",
        shape: Shape::Choice {
            of: &["text", "json"],
            get: |s| match s.log.format {
                LogFormat::Text => "text",
                LogFormat::Json => "json",
            },
            set: |s, word| {
                s.log.format = if word == "json" { LogFormat::Json } else { LogFormat::Text };
            },
        },
        default: None,
        required: false,
        doc: "Lines for people, or one JSON object a line for programs.",
        reason: "People read the log first.",
        example: r#""text""#,
    },
];

static UPSTREAM: [Setting<Upstream>; 3] = [
    Setting {
        key: "zone",
        shape: Shape::Zone(|u| &mut u.zone),
        default: None,
        required: true,
        doc: "The zone whose names are asked there, with everything below it; \".\" is everything. The longest matching \
              zone wins.",
        reason: "It has to be written.",
        example: r#""corp.example.""#,
    },
    Setting {
        key: "servers",
        shape: Shape::List(Items::Servers(|u| &mut u.servers)),
        default: None,
        required: true,
        doc: "The servers to ask, by address. They may be in ranges of do_not_query.",
        reason: "It has to be written.",
        example: r#"["192.0.2.1:53", "2001:db8::1"]"#,
    },
    Setting {
        key: "fallback",
        shape: Shape::Flag(|u| &mut u.fallback),
        default: None,
        required: false,
        doc: "Where none of the servers answers, resolve from the root instead.",
        reason: "Off: a name of an inner network must not leak to the Internet because a server is down.",
        example: "false",
    },
];
