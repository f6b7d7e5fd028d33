//! What is said of `[limits]` and `[[client_class]]`.

use std::time::Duration;

use super::{Items, Setting, Settings, Shape};
use crate::admission::{ClientClass, Mode};

/// Whether a limit limits: the same three words everywhere.
macro_rules! mode {
    ($place:ident) => {
        mode!(at engine.access.limits.$place)
    };
    (at $($place:ident).+) => {
        Shape::Choice {
            of: &["enforce", "observe", "off"],
            get: |s| match s.$($place).+ {
                Mode::Enforce => "enforce",
                Mode::Observe => "observe",
                Mode::Off => "off",
            },
            set: |s, word| {
                s.$($place).+ = match word {
                    "observe" => Mode::Observe,
                    "off" => Mode::Off,
                    _ => Mode::Enforce,
                };
            },
        }
    };
}

pub static LIMITS: [Setting<Settings>; 37] = [
    Setting {
        key: "clients",
        shape: mode!(clients),
        default: None,
        required: false,
        doc: "Whether a client that asks more than its share is turned away when there is too little for all. enforce: it \
              is. observe: it is counted, and answered. off: nothing is counted.",
        reason: "One client that asks as fast as it can must not take the answers of all others; with room to spare \
                 nobody is refused, so that it costs nothing to have it on.",
        example: r#""observe""#,
    },
    Setting {
        key: "client_rate",
        shape: Shape::Rate { max: 100_000_000, at: |s| &mut s.engine.access.limits.client_rate },
        default: None,
        required: false,
        doc: "The share of one client, in answers from the cache a second, and as much again for what has to be asked \
              upstream, where a question costs miss_cost of them: who has used that up is still answered from the cache. Each \
              level of pressure has its part of it: [level.guard] share.",
        reason: "A household peaks at some ten questions a second; operators who limit by hand choose 100 to 400.",
        example: r#""1000/s""#,
    },
    Setting {
        key: "client_burst",
        shape: Shape::Count {
            min: 1,
            max: 400_000_000,
            unit: "answers",
            at: |s| &mut s.engine.access.limits.client_burst,
        },
        default: None,
        required: false,
        doc: "How much of its share a client may use at once, and half of that upstream: one to four seconds of client_rate.",
        reason: "Two seconds: a page with a hundred names on it comes through whole, in the cache or not.",
        example: "2000",
    },
    Setting {
        key: "prefixes_v4",
        shape: Shape::List(Items::Levels { most: 32, at: |s| &mut s.engine.access.limits.prefixes_v4 }),
        default: None,
        required: false,
        doc: "The IPv4 prefixes that have a share together, longest first, and how many clients' shares that is.",
        reason: "Floods come from whole networks at once. A /24 is seldom more than 32 busy clients; the others as Knot \
                 Resolver has them.",
        example: r#"["/32:1", "/24:32", "/20:256", "/18:768"]"#,
    },
    Setting {
        key: "prefixes_v6",
        shape: Shape::List(Items::Levels { most: 128, at: |s| &mut s.engine.access.limits.prefixes_v6 }),
        default: None,
        required: false,
        doc: "The IPv6 prefixes that have a share together, longest first, and how many clients' shares that is.",
        reason: "A customer has a /64 to a /48 and every address in it.",
        example: r#"["/128:1", "/64:2", "/56:3", "/48:4", "/32:64"]"#,
    },
    Setting {
        key: "exempt",
        shape: Shape::List(Items::Prefixes(|s| &mut s.engine.access.limits.exempt)),
        default: None,
        required: false,
        doc: "Clients that no limit holds for, and that count against nobody. A list written here replaces the default.",
        reason: "This machine's own programs, such as a load balancer in front: nobody outside can forge these addresses.",
        example: r#"["127.0.0.1/32", "::1/128"]"#,
    },
    Setting {
        key: "crowds",
        shape: Shape::Flag(|s| &mut s.engine.access.limits.crowds),
        default: None,
        required: false,
        doc: "Give an address with many clients behind it more than one share: up to 64, by how many different names it \
              has from the cache, four of each registrable domain at most, and for questions with a DNS cookie also by how many different clients' \
              cookies came back. It is no limit: it gives more, and never less.",
        reason: "Carriers put thousands of customers behind one address. It is learned in peace, not in a flood. Source ports \
                 say nothing: whoever asks chooses them, and a forwarder may use one for all its clients.",
        example: "true",
    },
    Setting {
        key: "recursion",
        shape: mode!(recursion),
        default: None,
        required: false,
        doc: "Whether a client that has used half of its share is held to answers from the cache: what it asks beyond \
              that is not asked upstream. enforce, observe or off, as with clients.",
        reason: "Questions that go upstream cost most, and a client that loses them still has what everybody asks for.",
        example: r#""enforce""#,
    },
    Setting {
        key: "miss_cost",
        shape: Shape::Count { min: 1, max: 10_000, unit: "answers", at: |s| &mut s.engine.access.limits.miss_cost },
        default: None,
        required: false,
        doc: "What a question costs that has to be asked upstream, in answers from the cache, at least. One that took more of the \
              processor costs more when it has ended: up to 1,000 for who has proven his address, up to failure_cost for \
              others.",
        reason: "It takes some twenty times the processor time.",
        example: "20",
    },
    Setting {
        key: "failure_cost",
        shape: Shape::Count { min: 1, max: 10_000, unit: "answers", at: |s| &mut s.engine.access.limits.failure_cost },
        default: None,
        required: false,
        doc: "What a question costs that fails after all, at least miss_cost.",
        reason: "It has held its place until the deadline and helped nobody.",
        example: "50",
    },
    Setting {
        key: "tcp_accept_cost",
        shape: Shape::Count {
            min: 0,
            max: 10_000,
            unit: "answers",
            at: |s| &mut s.engine.access.limits.tcp_accept_cost,
        },
        default: None,
        required: false,
        doc: "What a TCP connection costs whoever opens it, in answers from the cache.",
        reason: "It takes some five times the processor time of an answer by UDP.",
        example: "5",
    },
    Setting {
        key: "strangers",
        shape: mode!(strangers),
        default: None,
        required: false,
        doc: "Whether addresses that were not served within the last hour are asked to prove themselves when there are \
              too many of them, by a cookie or by TCP. Those that were served and have never proven themselves are asked, \
              a sample of 64 at first, when they come to more than stranger_rate; if less than a quarter of it comes by \
              TCP, all of them are held to be forged like the others. enforce, observe or off, as with clients.",
        reason: "A flood of forged addresses keeps to every share, since each of them is new; who was here before is \
                 not drowned in it.",
        example: r#""enforce""#,
    },
    Setting {
        key: "stranger_rate",
        shape: Shape::Rate { max: 100_000_000, at: |s| &mut s.engine.access.limits.stranger_rate },
        default: None,
        required: false,
        doc: "How many questions of such addresses are answered a second, all together, under pressure \"guard\", and less of \
              it when \"closed\" ([level.closed] strangers). On each shard the same account is used. 0: each of them is told \
              to prove itself.",
        reason: "Far more than new clients come to a large network in a second.",
        example: r#""20000/s""#,
    },
    Setting {
        key: "slip",
        shape: Shape::Count { min: 0, max: 1000, unit: "", at: |s| &mut s.engine.access.limits.slip },
        default: None,
        required: false,
        doc: "Of those that are turned away one in so many gets a short answer: TC=1 or BADCOOKIE, or REFUSED where the \
              address is proven; the others get silence. 0: all do.",
        reason: "One in two: a client whose address somebody else forges comes through by TCP at its first or second try, \
                 and a victim gets half of what the forger sent at most. Where kernel_filter has to thin out all that comes in \
                 his name, his packets are among them, and it takes him more.",
        example: "2",
    },
    Setting {
        key: "rations",
        shape: mode!(rations),
        default: None,
        required: false,
        doc: "Whether answers to unproven addresses are cut to TC=1 when a network gets far more octets than it sent. \
              enforce, observe or off, as with clients; unlike the others it holds without pressure too.",
        reason: "Nobody is to be flooded by this server in answer to forged questions; who is real goes on by TCP.",
        example: r#""enforce""#,
    },
    Setting {
        key: "ration",
        shape: Shape::Size { min: 1 << 10, max: 1 << 40, at: |s| &mut s.engine.access.limits.ration },
        default: None,
        required: false,
        doc: "How many octets a second an unproven IPv4 /24 or IPv6 /56 may get beyond what it sent. Under pressure \
              \"guard\" and \"closed\" strangers have an eighth of it ([level.guard] ration). An address beyond half its share has a quarter of it \
              for itself without pressure, and none of it where it asks for more than that; under pressure it has nothing. An address behind which many clients seem to be, and from which \
              somebody has come by TCP or with a cookie, has as much for each of its shares without pressure.",
        reason: "2 Mbit/s harm nobody, and are more than a busy office gets by UDP.",
        example: r#""256KiB""#,
    },
    Setting {
        key: "address_ration",
        shape: Shape::Size { min: 1, max: 1 << 40, at: |s| &mut s.engine.access.limits.address_ration },
        default: None,
        required: false,
        doc: "How many octets a second one unproven address, or IPv6 /64, may get beyond what it sent under pressure \"guard\" \
              and \"closed\", whoever is behind it, and 16 seconds' worth at once. Above it answers are cut to TC=1, which brings \
              clients back by TCP, where no ration holds; each connection makes room for 4 KiB more by UDP. See `rations`.",
        reason: "Ten questions a second, and 150 at once: households do not notice. Someone may forge an address that was \
                 served before: 8 kbit/s harm nobody, and of a flood in his name hardly more arrives than was sent.",
        example: r#""64B""#,
    },
    Setting {
        key: "same_answer_ration",
        shape: Shape::Size { min: 1 << 10, max: 1 << 40, at: |s| &mut s.engine.access.limits.same_answer_ration },
        default: None,
        required: false,
        doc: "The same as `ration` for answers to one and the same question, where they are 256 octets larger than it or more.",
        reason: "Large answers are remembered by whoever asks for them; only a forger asks for one again and again.",
        example: r#""16KiB""#,
    },
    Setting {
        key: "stranger_ration",
        shape: Shape::Size { min: 1 << 10, max: 1 << 40, at: |s| &mut s.engine.access.limits.stranger_ration },
        default: None,
        required: false,
        doc: "How many octets a second may go to all addresses together that were not served within the last hour, beyond \
              what came from them; each first answer takes 100 at least. Above it a sample of them, 64 at a time, is told to come by TCP. If at least half does, \
              they are new customers, and all are served; if less than a quarter does, the others are forged, and \
              every such address gets a truncated response no larger than its question, one in eight nothing as \
              long as more went out than came in, and one in 256 later on. It holds without pressure too; see `rations`.",
        reason: "Some 600 first answers a second, far more than new clients come to a large network but for its first day. \
                 Forged addresses are new ones each time, and none of them comes back by TCP.",
        example: r#""64KiB""#,
    },
    Setting {
        key: "zones",
        shape: mode!(zones),
        default: None,
        required: false,
        doc: "Whether a zone that is flooded with names that do not exist is held to a quota. Names that resolved in the \
              last days go first; names never seen before have what is left, a tenth at least. enforce, observe or off, \
              as with clients; it holds without pressure too.",
        reason: "Such floods come from thousands of clients with a question a second each, so that only the zone's \
                 account tells of them; its servers fail under them, and its customers with it.",
        example: r#""enforce""#,
    },
    Setting {
        key: "zone_watch",
        shape: Shape::Rate { max: 1_000_000, at: |s| &mut s.engine.access.limits.zone_watch },
        default: None,
        required: false,
        doc: "How many questions a second for names never seen before a zone has before it is suspected at all; three \
              times what it usually has, if that is more. Of names made of numbers, as in reverse zones and lists of \
              addresses, ten count as one.",
        reason: "A flood in a hundred zones at once is still seen in each; ordinary zones with as many new names answer \
                 them, and those are not suspected however many they are.",
        example: r#""50/s""#,
    },
    Setting {
        key: "zone_rate",
        shape: Shape::Rate { max: 1_000_000, at: |s| &mut s.engine.access.limits.zone_rate },
        default: None,
        required: false,
        doc: "How many questions a second a flooded zone may have at most. It is less where its servers lose packets, and \
              follows what they answer.",
        reason: "What small servers answer with ease, and far more than the real names of one zone come to that are not \
                 in the cache; operators who limit zones by hand choose 200 to 400.",
        example: r#""500/s""#,
    },
    Setting {
        key: "exempt_zones",
        shape: Shape::List(Items::Zones(|s| &mut s.engine.access.limits.exempt_zones)),
        default: None,
        required: false,
        doc: "Zones that are never taken for flooded, with all names in them: nothing asked there is counted, neither in \
              their accounts nor in those of the zones around them. Clients' own limits and servers' quotas hold on.",
        reason: "None: what looks like a flood and is none is told by itself, lists of bad domains included. This is for \
                 those that are not.",
        example: r#"["bl.example.org"]"#,
    },
    Setting {
        key: "public_suffixes",
        shape: Shape::File(|s| &mut s.public_suffixes_file),
        default: None,
        required: false,
        doc: "A file with public suffixes that are not on the list at publicsuffix.org, or are and should not be, in the form \
              of that list: `lan`, `*.cdn.net`, `!github.io`. The domains below a suffix have accounts of their own.",
        reason: "Not set: the list of the day this program was built. Rules of your own go before it.",
        example: r#""public-suffixes""#,
    },
    Setting {
        key: "zone_clients",
        shape: mode!(zone_clients),
        default: None,
        required: false,
        doc: "Whether a client that asks for names of flooded zones that do not exist, in all four at once and one a minute \
              after that, comes last there. Its other questions do not notice. enforce, observe or off, as with clients.",
        reason: "Who takes part in the flood pays for it, there and nowhere else; a slip of the pen is forgiven.",
        example: r#""enforce""#,
    },
    Setting {
        key: "servers",
        shape: mode!(at engine.resolve.server_quotas),
        default: None,
        required: false,
        doc: "Whether an authoritative server that loses packets is asked no more than it answers, a second and at once: \
              names known to exist first, then clients whose questions lead to some, then others, who always have a \
              tenth. Another server of the zone is asked, or a stale answer given, or SERVFAIL. enforce, observe or off, \
              as with clients; it holds without pressure too.",
        reason: "What is asked beyond it is lost, fills the server's queue, and makes real names fail with it. A quota begins \
                 within a second and grows again within seconds; forwarders and stub servers have none.",
        example: r#""enforce""#,
    },
    Setting {
        key: "places",
        shape: mode!(places),
        default: None,
        required: false,
        doc: "Whether the last places for questions in flight are kept: three in ten for names known to exist, three more \
              for clients whose questions lead to names that exist. Of the others a client has its even share, once \
              half of them are taken. enforce, observe or off, as with clients; it holds without pressure too.",
        reason: "Questions that nobody answers hold their place for eight seconds: a few thousand of them a second must not \
                 take the places of everybody else.",
        example: r#""enforce""#,
    },
    Setting {
        key: "shares",
        shape: mode!(shares),
        default: None,
        required: false,
        doc: "Whether a cache that is nearly full takes no more of one registrable domain than a sixteenth of it in a quarter of \
              an hour, and of all answers above 4 KiB together a quarter; and, where it would be new within half a minute, \
              only what was asked for before, up to 16 times the more comes (`seldom`). enforce, observe or off, as with \
              clients; `maeslant ctl status` counts what was not kept.",
        reason: "Floods of large sets or of new names, by whomever, would push out what is in use (CacheFlush); few domains \
                 have as much even at a large provider.",
        example: r#""enforce""#,
    },
    Setting {
        key: "waits",
        shape: mode!(waits),
        default: None,
        required: false,
        doc: "Whether waits_for_one, patience and release_rate hold, for clients that have shown neither a cookie nor a TCP \
              connection. enforce, observe or off, as with clients; it holds without pressure too.",
        reason: "A slow zone and a forged address make a bomb of answers that are held back and let go at once (DNSBomb, \
                 CVE-2024-33655). Whoever has proven his address is not its target.",
        example: r#""observe""#,
    },
    Setting {
        key: "waits_for_one",
        shape: Shape::Count {
            min: 1,
            max: 10_000,
            unit: "questions",
            at: |s| &mut s.engine.access.limits.waits_for_one,
        },
        default: None,
        required: false,
        doc: "How many times one address may wait for one and the same question; each of its shares counts. What comes \
              beyond that gets no answer.",
        reason: "A stub resolver asks again two or three times, a forwarder once for each of its clients.",
        example: "32",
    },
    Setting {
        key: "patience",
        shape: Shape::Span {
            min: Duration::from_secs(1),
            max: Duration::from_secs(30),
            at: |s| &mut s.engine.access.limits.patience,
        },
        default: None,
        required: false,
        doc: "An answer that comes later than this after its question is kept in the cache and not sent. `maeslant ctl \
              explain` names it as \"late\".",
        reason: "glibc and dig give up after five seconds and ask again; below two seconds customers of slow zones lose \
                 answers that they still wait for.",
        example: r#""5s""#,
    },
    Setting {
        key: "release_rate",
        shape: Shape::Rate { max: 1_000_000, at: |s| &mut s.engine.access.limits.release_rate },
        default: None,
        required: false,
        doc: "How many answers that were held back for 200 ms and more leave for one address a second, after the first \
              twenty; each of its shares counts.",
        reason: "At most 4 Mbit/s toward an address that may be forged, and no more in the first moment than in the next.",
        example: r#""400/s""#,
    },
    Setting {
        key: "learned_memory",
        shape: Shape::Size { min: 64 << 10, max: 64 << 20, at: |s| &mut s.learned_memory },
        default: None,
        required: false,
        doc: "The memory for names that have resolved in the last four to eight days. It is taken at start and never \
              grows; what is oldest is forgotten where it does not suffice. Changing it takes a restart.",
        reason: "Fourteen million names, more than a million customers use in a week.",
        example: r#""16MiB""#,
    },
    Setting {
        key: "connections",
        shape: mode!(connections),
        default: None,
        required: false,
        doc: "Whether [server] tcp_connections_per_client and tcp_connections_per_prefix hold, clients that do not read are \
              closed after tcp_write_timeout, and idle connections before tcp_idle_timeout where half of all are open or the \
              server is pressed. enforce, observe or off, as with clients. tcp_connections and tcp_idle_timeout hold in any \
              case: there are no more.",
        reason: "Connections are few, and who takes them all closes TCP to those who were told to prove themselves by it.",
        example: r#""observe""#,
    },
    Setting {
        key: "kernel_filter",
        shape: Shape::Flag(|s| &mut s.engine.access.limits.kernel_filter),
        default: None,
        required: false,
        doc: "Have the kernel drop packets of sources that are turned away more than 20,000 times a second, before they are \
              queued: at first most of them, and then no more than keeps the server busy for half of its time. They keep \
              their share, and queries with a DNS cookie that was found good pass. It is no limit of its own but carries out \
              what clients decides: where that is \"observe\" or \"off\", the kernel drops nothing for it. Where the system \
              cannot, nothing is lost but time. `maeslant ctl status` and `explain ADDRESS` tell of whom it drops how much.",
        reason: "A packet that is read to be refused costs almost as much as one that is answered.",
        example: "true",
    },
    Setting {
        key: "calm",
        shape: Shape::Span {
            min: Duration::from_millis(100),
            max: Duration::from_secs(3600),
            at: |s| &mut s.engine.access.limits.calm,
        },
        default: None,
        required: false,
        doc: "A level of pressure (open, watch, guard, closed) is left for the one below after this time without need of \
              it. It is entered at once.",
        reason: "Long enough not to flap around a mark, short enough to be over soon after a flood.",
        example: r#""5s""#,
    },
    Setting {
        key: "table_memory",
        shape: Shape::Size { min: 1 << 20, max: 1 << 30, at: |s| &mut s.limits_memory },
        default: None,
        required: false,
        doc: "The memory of all accounts, and of the refusals that can be explained later. It is taken at start and \
              never grows. Changing it takes a restart.",
        reason: "A million accounts, clients and refusals and eight thousand zones, enough for a flood from every address of \
                 a /8.",
        example: r#""64MiB""#,
    },
];

pub static CLIENT_CLASS: [Setting<ClientClass>; 5] = [
    Setting {
        key: "name",
        shape: Shape::Word(|c| &mut c.name),
        default: None,
        required: true,
        doc: "What the class is called in counters and explanations.",
        reason: "It has to be written.",
        example: r#""offices""#,
    },
    Setting {
        key: "prefixes",
        shape: Shape::List(Items::Prefixes(|c| &mut c.prefixes)),
        default: None,
        required: true,
        doc: "The clients in it. The longest prefix that covers a client decides to which class it belongs.",
        reason: "It has to be written.",
        example: r#"["192.0.2.0/24", "2001:db8::/48"]"#,
    },
    Setting {
        key: "weight",
        shape: Shape::Count { min: 1, max: 10_000, unit: "shares", at: |c| &mut c.weight },
        default: None,
        required: false,
        doc: "How many shares each address has: a forwarder for fifty households needs 50. So many fewer shares are \
              taken from the prefixes around it.",
        reason: "One, as for everybody.",
        example: "50",
    },
    Setting {
        key: "exempt",
        shape: Shape::Flag(|c| &mut c.exempt),
        default: None,
        required: false,
        doc: "No limit holds for these clients, and nothing that they ask counts against the prefixes around them.",
        reason: "Off: limits that hold for nobody protect nobody.",
        example: "false",
    },
    Setting {
        key: "require_cookie",
        shape: mode!(at require_cookie),
        default: None,
        required: false,
        doc: "Whether by UDP only what comes with a valid DNS cookie is answered: others get BADCOOKIE, or TC=1 where they \
              have none or the ration is used up. enforce, observe or off, as with clients; it holds without pressure too.",
        reason: "Off: few stub resolvers send cookies, and those without have to go by TCP. \"observe\" tells how many.",
        example: r#""observe""#,
    },
];
