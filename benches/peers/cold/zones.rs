//! Some thousand zones under twenty top-level domains, and the questions to ask of them.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use maeslant::lab::sign::Plan;
use maeslant::lab::{Atlas, ZoneText};

use crate::peers::internet::{Host, Internet, Zone};

const TOP_LEVEL: usize = 20;
const HOSTERS: usize = 40;
/// Servers of leaf zones, and the addresses of each.
const LEAF_SERVERS: usize = 3;
const ADDRESSES: usize = 16;

/// A generated Internet and what is asked of it.
pub struct Generated {
    pub internet: Internet,
    /// The root's trust anchor, where the zones are signed.
    pub anchors: Option<PathBuf>,
    /// A name and a type a line, each name once, in an order without pattern.
    pub questions: PathBuf,
    /// How many questions have an answer or an honest "no data".
    pub noerror: usize,
    /// How many ask for names that do not exist.
    pub nxdomain: usize,
}

/// A sequence without pattern that is the same in every run (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((value ^ (value >> 31)) % bound as u64) as usize
    }
}

/// A leaf zone's place: its origin, the server that has it, two of that server's addresses.
struct Leaf {
    origin: String,
    server: usize,
    addresses: [Ipv4Addr; 2],
}

fn leaf(number: usize) -> Leaf {
    let server = number % LEAF_SERVERS;
    let first = (number / LEAF_SERVERS) % ADDRESSES;
    let address = |index: usize| Ipv4Addr::new(198, 18, 10 + server as u8, 1 + (index % ADDRESSES) as u8);
    let origin = if number < HOSTERS {
        format!("hoster{number}.t{:02}.", number % TOP_LEVEL)
    } else {
        format!("zone{number}.t{:02}.", number % TOP_LEVEL)
    };
    Leaf { origin, server, addresses: [address(first), address(first + 5)] }
}

/// The NS records of a leaf zone: of ten, seven have servers of their own name with glue, three are glueless at a hoster
/// under another top-level domain.
fn name_servers(number: usize) -> [String; 2] {
    let origin = leaf(number).origin;
    if number < HOSTERS || number % 10 < 7 {
        [format!("ns1.{origin}"), format!("ns2.{origin}")]
    } else {
        // The hoster's server holds the zone, so its number has the same remainder.
        let hoster = (number / 10 % (HOSTERS / LEAF_SERVERS)) * LEAF_SERVERS + number % LEAF_SERVERS;
        let origin = leaf(hoster).origin;
        [format!("ns1.{origin}"), format!("ns2.{origin}")]
    }
}

fn soa(origin: &str) -> String {
    format!("$ORIGIN {origin}\n$TTL 3600\n@ SOA ns1 admin 1 7200 3600 1209600 300\n")
}

fn glued(number: usize) -> bool {
    name_servers(number)[0].ends_with(&format!(".{}", leaf(number).origin))
}

fn write_zone(dir: &Path, origin: &str, text: &str) -> Zone {
    let name = if origin == "." { "root.zone".to_owned() } else { format!("{origin}zone") };
    let file = dir.join(name);
    fs::write(&file, text).expect("a zone can be written");
    Zone { origin: origin.to_owned(), file }
}

/// The address of the name server of a delegation, and the records that delegate to it.
fn delegation(text: &mut String, number: usize) {
    let Leaf { origin, addresses, .. } = leaf(number);
    for (server, address) in name_servers(number).iter().zip(addresses) {
        let _ = writeln!(text, "{origin} NS {server}");
        if glued(number) {
            let _ = writeln!(text, "{server} A {address}");
        }
    }
}

fn leaf_zone(number: usize, count: usize) -> String {
    let Leaf { origin, addresses, .. } = leaf(number);
    let mut text = soa(&origin);
    for (server, address) in name_servers(number).iter().zip(addresses) {
        let _ = writeln!(text, "@ NS {server}");
        if glued(number) {
            let _ = writeln!(text, "{server} A {address}");
        }
    }
    let host = |last: usize| format!("192.0.2.{}", 1 + (number + last) % 250);
    for (index, label) in ["www", "api", "mail", "shop", "img", "a.b.deep"].iter().enumerate() {
        let _ = writeln!(text, "{label} A {}\n{label} AAAA 2001:db8::{number:x}:{index}", host(index));
    }
    let elsewhere = leaf((number * 7 + 11) % count).origin;
    let _ = writeln!(text, "cdn CNAME www.{elsewhere}\nalias CNAME www\n@ MX 10 mail\n@ TXT \"zone {number}\"");
    text
}

/// Writes `count` leaf zones and `questions` questions into `dir`; every zone signed, if that is wanted.
pub fn generate(dir: &Path, count: usize, questions: usize, signed: bool) -> Generated {
    let generated = generate_plain(dir, count, questions);
    let anchors = signed.then(|| sign(dir, &generated.internet));
    Generated { anchors, ..generated }
}

/// Signs every zone with ECDSA P-256, as most are: the root and half of the leaf zones with NSEC, the others with NSEC3
/// (RFC 9276: no iterations, no salt), top-level domains with opt-out.
fn sign(dir: &Path, internet: &Internet) -> PathBuf {
    let plan = |text: &str| Plan::parse(text).expect("a plan");
    let (nsec, nsec3, opt_out) = (plan("signed"), plan("signed nsec3"), plan("signed nsec3 opt-out"));
    let mut atlas = Atlas::new(0).unsigned();
    atlas.servers.clear();
    atlas.zones.clear();
    for (index, zone) in internet.zones().into_iter().enumerate() {
        let text = fs::read_to_string(&zone.file).expect("a zone just written");
        let plan = match zone.origin.trim_end_matches('.').split('.').count() {
            _ if zone.origin == "." => &nsec,
            1 => &opt_out,
            _ if index % 2 == 0 => &nsec,
            _ => &nsec3,
        };
        atlas.plans.insert(zone.origin.clone(), plan.clone());
        atlas.zones.push(ZoneText { origin: zone.origin, text });
    }
    atlas.write_to(dir).expect("signed zones can be written");
    dir.join("root.anchors")
}

fn generate_plain(dir: &Path, count: usize, questions: usize) -> Generated {
    let root_address = Ipv4Addr::new(198, 18, 0, 1);
    let tld_address = |index: usize| Ipv4Addr::new(198, 18, 1, 1 + (index % 8) as u8);
    let mut root = soa(".").replace("ns1 admin", "a.root. admin.root.");
    let _ = writeln!(root, ". NS a.root.\na.root. A {root_address}");
    let mut tlds: Vec<String> = (0..TOP_LEVEL).map(|index| soa(&format!("t{index:02}."))).collect();
    for (index, tld) in tlds.iter_mut().enumerate() {
        for half in 0..2 {
            let (server, address) = (format!("ns{}.nic.t{index:02}.", half + 1), tld_address(index + half * 4));
            let _ = writeln!(root, "t{index:02}. NS {server}\n{server} A {address}");
            let _ = writeln!(tld, "@ NS {server}\n{server} A {address}");
        }
    }
    let mut leaves: Vec<Vec<Zone>> = vec![Vec::new(); LEAF_SERVERS];
    for number in 0..count {
        delegation(&mut tlds[number % TOP_LEVEL], number);
        let Leaf { origin, server, .. } = leaf(number);
        leaves[server].push(write_zone(dir, &origin, &leaf_zone(number, count)));
    }
    let mut hosts = vec![Host { addresses: vec![root_address.into()], zones: vec![write_zone(dir, ".", &root)] }];
    let tld_zones = tlds.iter().enumerate().map(|(index, text)| write_zone(dir, &format!("t{index:02}."), text));
    hosts.push(Host { addresses: (0..8).map(|index| tld_address(index).into()).collect(), zones: tld_zones.collect() });
    for (server, zones) in leaves.into_iter().enumerate() {
        let addresses = (1..=ADDRESSES).map(|last| IpAddr::from([198, 18, 10 + server as u8, last as u8])).collect();
        hosts.push(Host { addresses, zones });
    }
    let root_hints = dir.join("root.hints");
    fs::write(&root_hints, format!(". 3600 IN NS a.root.\na.root. 3600 IN A {root_address}\n")).expect("hints");
    let internet = Internet { hosts, port: 53, root_hints };
    write_questions(dir, internet, count, questions)
}

/// Each question once. Of twenty: eleven A, three AAAA, two MX or NODATA, two CNAMEs into other zones, two NXDOMAIN.
fn write_questions(dir: &Path, internet: Internet, count: usize, wanted: usize) -> Generated {
    const KINDS: [(&str, &str); 20] = [
        ("www", "A"),
        ("api", "A"),
        ("mail", "A"),
        ("shop", "A"),
        ("img", "A"),
        ("a.b.deep", "A"),
        ("www", "AAAA"),
        ("alias", "A"),
        ("api", "A"),
        ("mail", "A"),
        ("cdn", "A"),
        ("cdn", "A"),
        ("shop", "AAAA"),
        ("img", "AAAA"),
        ("", "MX"),
        ("www", "MX"),
        ("missing", "A"),
        ("absent", "A"),
        ("img", "A"),
        ("a.b.deep", "A"),
    ];
    let mut dice = Dice(53);
    let mut order: Vec<usize> = (0..count).collect();
    let mut seen = std::collections::HashSet::new();
    let (mut lines, mut noerror, mut nxdomain) = (String::new(), 0, 0);
    while noerror + nxdomain < wanted {
        for index in (1..order.len()).rev() {
            order.swap(index, dice.below(index + 1));
        }
        for &number in &order {
            let (label, kind) = KINDS[dice.below(KINDS.len())];
            let origin = leaf(number).origin;
            let name = if label.is_empty() { origin } else { format!("{label}.{origin}") };
            if noerror + nxdomain == wanted || !seen.insert((name.clone(), kind)) {
                continue;
            }
            let _ = writeln!(lines, "{name} {kind}");
            match label {
                "missing" | "absent" => nxdomain += 1,
                _ => noerror += 1,
            }
        }
    }
    let questions = dir.join("questions");
    fs::write(&questions, lines).expect("questions can be written");
    Generated { internet, anchors: None, questions, noerror, nxdomain }
}
