//! Zones that do harm: what an attacker's own servers say, and where they stand in the world.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::atlas::{Atlas, Server, ZoneText};
use super::fault::{Behaviour, Fault};
use super::zone::{Reply, Zone};

/// The time to live of what scripts say, in seconds.
const TTL: u32 = 300;
/// Labels in front of each alias of a composed attack, for QNAME minimisation to walk down.
const CAMP_LABELS: usize = 10;
/// Name servers at the end of a composed attack.
const CAMP_SERVERS: usize = 10;
/// Servers of zones added to a world stand from here on.
const FIRST_ADDRESS: u32 = u32::from_be_bytes([127, 53, 64, 1]);
/// Addresses at which nobody listens.
const NOBODY: u32 = u32::from_be_bytes([127, 54, 0, 1]);

/// What a zone says of names below it that it does not have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Script {
    /// Every name exists, with an address of each family and a text.
    Wildcard,
    /// Each name is delegated to so many servers without glue, in a victim's zone (NXNSAttack).
    Nxns { servers: u32, victim: Name },
    /// Each name is delegated to so many servers with glue, at addresses where nobody is (NRDelegationAttack).
    Unresponsive { servers: u32 },
    /// Each name is delegated to a server below the next such name, without end.
    Endless,
    /// Each name is delegated to these addresses.
    Children { glue: Vec<IpAddr> },
    /// Each name is delegated to itself, with the parent's own servers as glue.
    SelfGlue { glue: Vec<IpAddr> },
    /// Each name is an alias of another, so many times, each in a response of its own.
    Chain { links: u32 },
    /// As `Chain`, with many labels in front of each, and a delegation without glue at its end (CAMP).
    Camp { links: u32 },
    /// Each name has so many addresses.
    Stuffed { records: u32 },
}

impl Script {
    /// What to say of a name below `zone` that is not in it.
    pub(super) fn answer(&self, qname: &Name, qtype: RecordType, zone: &Zone) -> Option<Reply> {
        let below = usize::from(qname.num_labels()).checked_sub(usize::from(zone.origin().num_labels()))?;
        if below == 0 || zone.has(qname) {
            return None;
        }
        let child = qname.trim_to(usize::from(zone.origin().num_labels()) + 1);
        let label = String::from_utf8_lossy(child.iter().next()?).into_owned();
        let at = |text: &str| Name::from_str(text).ok()?.append_domain(zone.origin()).ok();
        match self {
            Script::Wildcard => Some(found(qname, qtype, 1)),
            Script::Stuffed { records } => Some(found(qname, qtype, *records)),
            Script::Nxns { servers, victim } => {
                let names = (0..*servers).filter_map(|n| in_zone(&format!("{label}-{n}"), victim));
                Some(referral(&child, names.collect(), &[]))
            }
            Script::Unresponsive { servers } => {
                let names: Vec<Name> = (0..*servers).filter_map(|n| in_zone(&format!("ns{n}"), &child)).collect();
                let glue: Vec<IpAddr> = (0..*servers).map(|n| Ipv4Addr::from(NOBODY + n).into()).collect();
                Some(referral(&child, names, &glue))
            }
            Script::Endless => {
                let next = at(&format!("ns.{:x}", mix(&label)))?;
                Some(referral(&child, vec![next], &[]))
            }
            Script::Children { glue } | Script::SelfGlue { glue } => {
                let names = (0..glue.len()).filter_map(|n| in_zone(&format!("ns{n}"), &child)).collect();
                Some(referral(&child, names, glue))
            }
            Script::Chain { links } => Some(chain(qname, qtype, &child, &label, *links, zone)),
            Script::Camp { links } => Some(camp(qname, qtype, below, &child, &label, *links, zone)),
        }
    }
}

fn in_zone(label: &str, zone: &Name) -> Option<Name> {
    Name::from_str(label).ok()?.append_domain(zone).ok()
}

fn mix(label: &str) -> u64 {
    label.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3))
}

fn empty() -> Reply {
    let (answers, authority, additional) = Default::default();
    Reply { rcode: ResponseCode::NoError, authoritative: true, answers, authority, additional }
}

fn found(qname: &Name, qtype: RecordType, records: u32) -> Reply {
    let data = |n: u32| match qtype {
        RecordType::A => Some(RData::A(A(Ipv4Addr::from(0xc612_0000 + n)))),
        RecordType::AAAA => Some(RData::AAAA(AAAA((0x2001_0db8_0000_0000_0000_0000_0000_0000 + u128::from(n)).into()))),
        RecordType::TXT => Some(RData::TXT(TXT::new(vec![format!("{n:064}")]))),
        _ => None,
    };
    let answers = (1..=records).filter_map(data).map(|data| Record::from_rdata(qname.clone(), TTL, data)).collect();
    Reply { answers, ..empty() }
}

fn referral(owner: &Name, servers: Vec<Name>, glue: &[IpAddr]) -> Reply {
    let address = |(name, address): (&Name, &IpAddr)| {
        let data = match address {
            IpAddr::V4(v4) => RData::A(A(*v4)),
            IpAddr::V6(v6) => RData::AAAA(AAAA(*v6)),
        };
        Record::from_rdata(name.clone(), TTL, data)
    };
    let additional = servers.iter().zip(glue).map(address).collect();
    let authority =
        servers.into_iter().map(|name| Record::from_rdata(owner.clone(), TTL, RData::NS(NS(name)))).collect();
    Reply { authoritative: false, authority, additional, ..empty() }
}

/// `name-9` leads to `name-8`, and `name-0` has an address.
fn step(label: &str, links: u32) -> Option<(String, u32)> {
    match label.rsplit_once("-l").and_then(|(stem, n)| Some((stem, n.parse::<u32>().ok()?))) {
        Some((_, 0)) => None,
        Some((stem, n)) => Some((stem.to_owned(), n.min(links) - 1)),
        None => Some((label.to_owned(), links.saturating_sub(1))),
    }
}

fn alias(qname: &Name, target: Option<Name>) -> Reply {
    let Some(target) = target else { return empty() };
    Reply { answers: vec![Record::from_rdata(qname.clone(), TTL, RData::CNAME(CNAME(target)))], ..empty() }
}

fn chain(qname: &Name, qtype: RecordType, child: &Name, label: &str, links: u32, zone: &Zone) -> Reply {
    match step(label, links) {
        _ if qname != child => Reply { rcode: ResponseCode::NXDomain, ..empty() },
        Some((stem, n)) => alias(qname, in_zone(&format!("{stem}-l{n}"), zone.origin())),
        None => found(qname, qtype, 1),
    }
}

fn camp(qname: &Name, qtype: RecordType, below: usize, child: &Name, label: &str, links: u32, zone: &Zone) -> Reply {
    let deep = label.contains("-l");
    match step(label, links) {
        // The end of the chain: servers that have no addresses.
        None => {
            let names = (0..CAMP_SERVERS).filter_map(|n| in_zone(&format!("{label}-{n}.void"), zone.origin()));
            referral(child, names.collect(), &[])
        }
        // On the way down there is nothing to see.
        Some(_) if deep && below <= CAMP_LABELS => empty(),
        Some(_) if qtype == RecordType::NS => empty(),
        Some((stem, n)) => {
            let labels = "a.".repeat(CAMP_LABELS);
            alias(qname, in_zone(&format!("{labels}{stem}-l{n}"), zone.origin()))
        }
    }
}

/// The kinds of zones a world can be given, the harmless first.
pub const KINDS: [&str; 14] = [
    "plain",
    "wildcard",
    "dead",
    "dead-children",
    "nxns",
    "nrdelegation",
    "endless",
    "chain",
    "camp",
    "tsuname",
    "self-glue",
    "stuffed",
    "junk",
    "staircase",
];

/// A zone to be added to a world.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Addition {
    /// Fully qualified, below a zone that the world has.
    pub origin: String,
    /// One of [`KINDS`].
    pub kind: String,
    /// How many servers, links or records; the kind's own measure where 0. A plain zone has `host1` to `host<size>`.
    pub size: u32,
    /// Records to add, as in a master file.
    pub records: String,
}

impl Atlas {
    /// Adds a zone with two servers of its own and its delegation.
    ///
    /// # Errors
    /// There is no zone above it, or it is there already, in one line.
    pub fn add(&mut self, addition: &Addition) -> Result<(), String> {
        let origin = addition.origin.as_str();
        if self.zones.iter().any(|zone| zone.origin == origin) {
            return Err(format!("the lab has a zone {origin} already"));
        }
        let above = |zone: &&mut ZoneText| zone.origin == "." || origin.ends_with(&format!(".{}", zone.origin));
        let parent = self.zones.iter_mut().filter(above).max_by_key(|zone| zone.origin.len());
        let parent = parent.ok_or_else(|| format!("the lab has no zone above {origin}"))?;
        if addition.kind == "tsuname" {
            let partner = format!("partner-{origin}");
            parent.text.push_str(&format!("\n{origin} IN NS ns.{partner}\n{partner} IN NS ns.{origin}\n"));
            return Ok(());
        }
        let count = self.servers.iter().filter(|s| s.addresses.iter().any(is_added)).count() as u32;
        let addresses = [1, 2].map(|n| IpAddr::V4(Ipv4Addr::from(FIRST_ADDRESS + count + n)));
        for (n, address) in addresses.iter().enumerate() {
            parent.text.push_str(&format!("\n{origin} IN NS ns{n}.{origin}\nns{n}.{origin} IN A {address}\n"));
        }
        let mut text = format!(
            "; Added by a scenario: {}.\n$ORIGIN {origin}\n$TTL 300\n\
             @ IN SOA ns0.{origin} hostmaster.hosting.net. 2025060101 7200 3600 1209600 300\n\
             @ IN A 198.18.0.1\nwww IN A 198.18.0.1\n",
            addition.kind
        );
        for (n, address) in addresses.iter().enumerate() {
            text.push_str(&format!("@ IN NS ns{n}.{origin}\nns{n} IN A {address}\n"));
        }
        if addition.kind == "plain" {
            (1..=addition.size).for_each(|n| text.push_str(&format!("host{n} IN A 198.18.0.1\n")));
        }
        text.push_str(&addition.records);
        text.push('\n');
        self.zones.push(ZoneText { origin: origin.to_owned(), text });
        let fault = Fault::behaviour(match addition.kind.as_str() {
            "dead" => Behaviour::Silent,
            "junk" => Behaviour::Junk,
            "staircase" => Behaviour::Staircase,
            _ => Behaviour::Honest,
        });
        for (n, address) in addresses.iter().enumerate() {
            let server = Server::new(&format!("ns{n}.{origin}"), &address.to_string(), vec![origin.to_owned()]);
            self.servers.push(Server { fault: fault.clone(), ..server });
        }
        if let Some(script) = self.script(addition, &addresses)? {
            self.scripts.push((origin.to_owned(), script));
        }
        Ok(())
    }

    /// Moves every server to 198.18.0.0/15 and 2001:2::/48, the ranges for benchmarks (RFC 2544, RFC 5180): some
    /// resolvers reject loopback addresses as glue. For a network of its own in which these are local.
    pub fn renumber(&mut self) {
        for zone in &mut self.zones {
            zone.text = zone.text.replace("127.53.", "198.18.").replace("AAAA ::1\n", "AAAA 2001:2::1\n");
        }
        let servers = self.servers.iter_mut().flat_map(|server| server.addresses.iter_mut());
        let glue = self.scripts.iter_mut().flat_map(|(_, script)| match script {
            Script::Children { glue } | Script::SelfGlue { glue } => &mut glue[..],
            _ => &mut [],
        });
        servers.chain(glue).for_each(|address| *address = renumbered(*address));
    }

    fn script(&mut self, addition: &Addition, own: &[IpAddr]) -> Result<Option<Script>, String> {
        let size = |usual: u32| if addition.size == 0 { usual } else { addition.size };
        let origin = Name::from_ascii(&addition.origin).map_err(|e| format!("{}: {e}", addition.origin))?;
        Ok(Some(match addition.kind.as_str() {
            "wildcard" | "junk" => Script::Wildcard,
            "nxns" => {
                // The victim is whoever has the site most people ask for.
                let victim = super::site(1);
                let victim = Name::from_ascii(&victim).map_err(|e| format!("{victim}: {e}"))?;
                Script::Nxns { servers: size(1500), victim }
            }
            "nrdelegation" => Script::Unresponsive { servers: size(1500) },
            "endless" => Script::Endless,
            "chain" => Script::Chain { links: size(20) },
            "camp" => Script::Camp { links: size(20) },
            "self-glue" => Script::SelfGlue { glue: own.to_vec() },
            "stuffed" => Script::Stuffed { records: size(200) },
            "dead-children" => {
                let count = self.servers.iter().filter(|s| s.addresses.iter().any(is_added)).count() as u32;
                let silent = IpAddr::V4(Ipv4Addr::from(FIRST_ADDRESS + count + 1));
                let server = Server::new(&format!("silent.{origin}"), &silent.to_string(), Vec::new());
                self.servers.push(Server { fault: Fault::behaviour(Behaviour::Silent), ..server });
                Script::Children { glue: vec![silent] }
            }
            _ => return Ok(None),
        }))
    }
}

fn renumbered(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => match v4.octets() {
            [127, 53, c, d] => Ipv4Addr::new(198, 18, c, d).into(),
            _ => address,
        },
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 1).into(),
        IpAddr::V6(_) => address,
    }
}

fn is_added(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if u32::from(*v4) >= FIRST_ADDRESS && v4.octets()[..2] == [127, 53])
}

/// Kinds of junk in front of an answer.
const JUNK: usize = 8;

/// What comes in front of the real answer: packets that are no answer to this question.
pub(super) fn junk(answer: &[u8]) -> Vec<Vec<u8>> {
    (0..JUNK).map(|kind| spoil(answer.to_vec(), kind)).collect()
}

/// Forged answers in front of the real one.
const GUESSES: usize = 32;
/// The address that a forger wants believed.
pub(super) const FORGED: [u8; 4] = [203, 0, 113, 66];

/// What a forger sends who knows the server, the question and the port, but neither the ID nor the case of the letters.
pub(super) fn guesses(head: &[u8], mut draw: impl FnMut() -> u64) -> Vec<Vec<u8>> {
    let guess = |id: u16| {
        let mut packet = head.to_vec();
        let name = 12..packet.len().saturating_sub(4).max(12);
        packet[name].make_ascii_lowercase();
        packet[..2].copy_from_slice(&id.to_be_bytes());
        // Authoritative, one answer: the name asked for has the forger's address, for a day.
        packet[2..4].copy_from_slice(&[0x84, 0]);
        packet[7] = 1;
        packet.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 1, 0x51, 0x80, 0, 4]);
        packet.extend_from_slice(&FORGED);
        packet
    };
    (0..GUESSES).map(|_| guess(draw() as u16)).collect()
}

fn spoil(mut packet: Vec<u8>, kind: usize) -> Vec<u8> {
    match kind {
        0 => packet.truncate(11),
        1 => packet.truncate(packet.len() - 1),
        2 => packet[2] &= 0x7f,
        3 => packet[0] ^= 0xff,
        4 => packet[12..].iter_mut().for_each(|octet| *octet = 0xff),
        5 => packet[5] = 0,
        6 => packet[7] = 0xff,
        _ => packet = vec![0; 12],
    }
    packet
}

/// A message of the greatest length whose names are chains of pointers, each to the one before: reading every owner
/// name costs the square of their number where nothing bounds it.
pub(super) fn staircase(head: &[u8]) -> Vec<u8> {
    const STEPS: usize = 4000;
    let mut packet = head.to_vec();
    packet[2] |= 0x84;
    // One record carries the staircase in its data.
    packet.extend_from_slice(&[0xc0, 12, 0xff, 0x00, 0, 1, 0, 0, 0, 60]);
    packet.extend_from_slice(&((2 * STEPS) as u16).to_be_bytes());
    let first = packet.len();
    for step in 0..STEPS {
        let to = if step == 0 { 12 } else { first + 2 * (step - 1) };
        packet.extend_from_slice(&(0xc000 | to as u16).to_be_bytes());
    }
    let top = ((first + 2 * (STEPS - 1)) as u16) | 0xc000;
    let mut records = 1u16;
    while packet.len() + 16 <= usize::from(u16::MAX) {
        packet.extend_from_slice(&top.to_be_bytes());
        packet.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 18, 0, 1]);
        records += 1;
    }
    packet[6..8].copy_from_slice(&records.to_be_bytes());
    packet[8..12].fill(0);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(kind: &str, size: u32) -> Zone {
        let mut atlas = Atlas::new(1);
        let records = "extra IN A 198.18.9.9".to_owned();
        atlas.add(&Addition { origin: "evil.com.".into(), kind: kind.into(), size, records }).unwrap();
        let origin = Name::from_ascii("evil.com.").unwrap();
        let zones = super::super::world::read_zones(&atlas).unwrap();
        Zone::clone(zones.get(&origin).unwrap())
    }

    fn ask(zone: &Zone, name: &str) -> Reply {
        zone.answer(&Name::from_ascii(name).unwrap(), RecordType::A)
    }

    #[test]
    fn a_forger_knows_neither_the_id_nor_the_case() {
        // HTTPS is type 65, which is no letter.
        let head = b"\x12\x34\x80\0\0\x01\0\0\0\0\0\0\x03wWw\x04EVIL\x03com\0\0\x41\0\x01";
        let dice = super::super::dice::Dice::new(7);
        let forged = guesses(head, || dice.next());
        let ids: std::collections::HashSet<&[u8]> = forged.iter().map(|packet| &packet[..2]).collect();
        assert!(ids.len() > 30);
        for packet in &forged {
            assert_eq!(&packet[12..30], b"\x03www\x04evil\x03com\0\0\x41\0\x01");
            assert!(packet.ends_with(&FORGED) && packet[7] == 1, "{packet:?}");
        }
    }

    #[test]
    fn every_kind_has_its_zone_and_says_its_own_records() {
        for kind in KINDS.iter().filter(|kind| **kind != "tsuname") {
            let zone = world(kind, 3);
            assert_eq!(ask(&zone, "extra.evil.com.").answers.len(), 1, "{kind}");
            assert_eq!(zone.answer(zone.origin(), RecordType::NS).answers.len(), 2, "{kind}");
        }
        let twice = Addition { origin: "com.".into(), kind: "plain".into(), size: 0, records: String::new() };
        assert!(Atlas::new(0).add(&twice).unwrap_err().contains("already"));
    }

    #[test]
    fn delegations_fan_out_chain_and_turn_back() {
        let nxns = ask(&world("nxns", 50), "q.evil.com.");
        assert_eq!((nxns.authority.len(), nxns.additional.len(), nxns.authoritative), (50, 0, false));
        assert!(nxns.authority.iter().all(|r| r.data.to_string().ends_with(&super::super::site(1))));
        assert_eq!(ask(&world("nrdelegation", 9), "q.evil.com.").additional.len(), 9);
        let own = ask(&world("self-glue", 0), "a.b.evil.com.");
        assert_eq!((own.authority[0].name.to_string().as_str(), own.additional.len()), ("b.evil.com.", 2));
        let endless = world("endless", 0);
        let next = |name: &str| ask(&endless, name).authority[0].data.to_string();
        let second = next("q.evil.com.");
        assert!(second.starts_with("ns.") && next(&second) != second);
    }

    #[test]
    fn a_renumbered_world_has_no_loopback_address_left() {
        let mut atlas = Atlas::new(20);
        let addition =
            Addition { origin: "evil.com.".into(), kind: "self-glue".into(), size: 0, records: String::new() };
        atlas.add(&addition).unwrap();
        atlas.renumber();
        assert!(atlas.zones.iter().all(|zone| !zone.text.contains("127.53.") && !zone.text.contains(" ::1\n")));
        assert!(atlas.servers.iter().flat_map(|s| &s.addresses).all(|address| !address.is_loopback()));
        assert!(atlas.scripts.iter().all(|(_, s)| !format!("{s:?}").contains("127.53")));
    }

    #[test]
    fn chains_have_the_length_they_say() {
        for (kind, links) in [("chain", 7), ("camp", 5)] {
            let zone = world(kind, links);
            let (mut name, mut seen) = ("q.evil.com.".to_owned(), 0);
            while let [Record { data: RData::CNAME(target), .. }] = &ask(&zone, &name).answers[..] {
                (name, seen) = (target.0.to_string(), seen + 1);
            }
            assert_eq!(seen, links, "{kind} ended at {name}");
        }
        assert_eq!(ask(&world("stuffed", 300), "q.evil.com.").answers.len(), 300);
    }
}
