//! Zones made to cost a validator dear: many keys with one tag, many signatures, deep names under hashed proofs, proofs
//! that are too broad. Each ends with SERVFAIL within its budget, and hurts nobody else.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use maeslant::dnssec::key_tag;
use maeslant::engine::Transport;

use super::client::{self, Query};
use super::dice::Dice;
use super::scenario::Scenario;
use super::steps;
use super::text;
use super::world::World;

/// A signed zone trap.net. in the signed Internet, with what `records` and `rules` add.
fn world_with(how: &str, records: &str, rules: &str) -> String {
    format!(
        "use signed\n\
         extend net\n  zone net.\n    trap.net. 172800 NS ns.trap.net.\n    ns.trap.net. 172800 A 192.0.2.66\n\
         server trap 192.0.2.66\n  zone trap.net. {how}\n\
         \x20   trap.net. 3600 SOA ns.trap.net. admin.trap.net. 1 1800 900 604800 300\n\
         \x20   trap.net. 3600 NS ns.trap.net.\n    ns.trap.net. 3600 A 192.0.2.66\n    www.trap.net. 300 A 198.51.100.1\n\
         {records}{rules}"
    )
}

fn generic(owner: &str, rtype: &str, data: &[u8]) -> String {
    let digits: String = data.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("    {owner} 300 {rtype} \\# {} {digits}\n", data.len())
}

/// DNSKEY data of an algorithm, all with the tag `tag`.
fn colliding_key(algorithm: u8, length: usize, tag: u16, dice: &mut Dice) -> Vec<u8> {
    let mut data = vec![1, 0, 3, algorithm];
    if matches!(algorithm, 5 | 7 | 8 | 10) {
        data.extend([3, 1, 0, 1]);
    }
    let key = data.len();
    data.extend((0..length).map(|_| dice.next() as u8));
    data[key] |= 0x80;
    *data.last_mut().expect("octets") |= 1;
    // Two octets in the middle make up for the rest, the carry included.
    let at = data.len() - 8;
    data[at..at + 2].fill(0);
    let missing = tag.wrapping_sub(key_tag(&data));
    for guess in [missing, missing.wrapping_sub(1)] {
        data[at..at + 2].copy_from_slice(&guess.to_be_bytes());
        if key_tag(&data) == tag {
            return data;
        }
    }
    // It happens with the carry that no guess fits: another key.
    colliding_key(algorithm, length, tag, dice)
}

/// RRSIG data over an A set of www.trap.net. that no key has made.
fn false_signature(algorithm: u8, length: usize, tag: u16, dice: &mut Dice) -> Vec<u8> {
    let mut data = vec![0, 1, algorithm, 3];
    for number in [300u32, 1_751_000_000, 1_749_000_000] {
        data.extend(number.to_be_bytes());
    }
    data.extend(tag.to_be_bytes());
    data.extend(b"\x04trap\x03net\x00");
    data.extend((0..length).map(|_| dice.next() as u8 & 0x7f));
    data
}

/// Keys with one tag, and signatures that name it.
fn key_trap(algorithm: u8, sizes: (usize, usize), keys: usize, signatures: usize) -> String {
    let mut dice = Dice::new(keys as u64);
    let tag = 0x4d61;
    let mut records = String::new();
    for _ in 0..keys {
        records += &generic("trap.net.", "DNSKEY", &colliding_key(algorithm, sizes.0, tag, &mut dice));
    }
    let mut rules = "  when www.trap.net. A\n    answer www.trap.net. 300 A 198.51.100.1\n".to_string();
    for _ in 0..signatures {
        let line = generic("www.trap.net.", "RRSIG", &false_signature(algorithm, sizes.1, tag, &mut dice));
        let _ = writeln!(rules, "    answer {}", line.trim());
    }
    world_with("signed=15", &records, &rules)
}

/// The longest a question may take of the processor: 20 ms in a release; tests are compiled with less optimisation and more
/// checks, and run beside others.
fn most() -> Duration {
    Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 20 })
}

/// A trap, and the question that steps into it.
#[derive(Clone)]
pub struct Trap {
    pub what: String,
    scenario: String,
    name: String,
    /// What may come of it.
    rcodes: &'static [u8],
}

impl Trap {
    /// Steps into it: up to three times in worlds of their own, since this machine may have been busy elsewhere.
    fn check(&self) {
        let costs = std::iter::repeat_with(|| self.cost()).take(3);
        let enough = |cost: &Cost| cost.took < most();
        let mut dear = Vec::new();
        for cost in costs {
            dear.push(cost);
            if dear.iter().any(enough) {
                break;
            }
        }
        let cost = dear.into_iter().min_by_key(|cost| cost.took).expect("one");
        cost.check(&self.what, self.rcodes);
    }

    /// Steps into it once.
    pub fn cost(&self) -> Cost {
        let scenario = Scenario::parse(&self.scenario).expect("a scenario");
        let mut world = World::new(scenario.policy, &scenario.cache, scenario.servers, 1).quiet();
        let query = Query::new(text::name(&self.name).expect("a name"), RecordType::A, 1).to_bytes();
        let number = world.ask(SocketAddr::from(([127, 0, 0, 1], 5_000)), Transport::Udp, query);
        world.settle(Duration::from_secs(20)).expect("it ends");
        let (_, reply) = world.asked[number].reply.clone().expect("a reply");
        let message = Message::from_vec(&reply).expect("it parses");
        let errors = client::extended_errors(&message);
        let rests = world.engine.counters().upstream.rests;
        Cost { took: world.took.0, longest: world.took.1, rests, rcode: message.metadata.response_code.low(), errors }
    }
}

/// What a question came to.
pub struct Cost {
    pub took: Duration,
    /// Of this, the longest time in which nothing else was done.
    pub longest: Duration,
    /// Times it let others go on in between.
    pub rests: u64,
    pub rcode: u8,
    errors: Vec<u16>,
}

impl Cost {
    fn check(&self, what: &str, rcodes: &[u8]) {
        println!("{what}: {:?}, at once {:?}, RCODE {}, {:?}", self.took, self.longest, self.rcode, self.errors);
        assert!(rcodes.contains(&self.rcode), "{what}: RCODE {}", self.rcode);
        assert!(self.took < most(), "{what}: {:?}", self.took);
    }
}

/// KeyTrap (CVE-2023-50387): as many keys and signatures as pass in one message of TCP, and fewer.
pub fn key_traps() -> Vec<Trap> {
    // Algorithm, octets of key and signature, keys, signatures.
    let shapes = [
        (15, (32, 64), 250, 250),
        (15, (32, 64), 589, 519),
        (13, (64, 64), 250, 250),
        (14, (96, 96), 200, 200),
        (8, (128, 128), 250, 200),
        (8, (512, 512), 80, 80),
        (15, (32, 64), 2, 250),
        (15, (32, 64), 250, 1),
    ];
    let trap = |(algorithm, sizes, keys, signatures)| Trap {
        what: format!("algorithm {algorithm}, {keys} keys, {signatures} signatures"),
        scenario: key_trap(algorithm, sizes, keys, signatures),
        name: "www.trap.net.".to_owned(),
        rcodes: &[2],
    };
    shapes.into_iter().map(trap).collect()
}

/// As much honest work as one answer can hold: aliases within a zone, each with its signature.
pub fn long_chains() -> Vec<Trap> {
    let chain = |(algorithm, links): (u8, usize)| {
        let mut records = String::new();
        for link in 1..links {
            let _ = writeln!(records, "    c{link}.trap.net. 300 CNAME c{}.trap.net.", link + 1);
        }
        let _ = writeln!(records, "    c{links}.trap.net. 300 A 198.51.100.1");
        Trap {
            what: format!("algorithm {algorithm}, {links} signed sets in one answer"),
            scenario: world_with(&format!("signed={algorithm}"), &records, ""),
            name: "c1.trap.net.".to_owned(),
            rcodes: &[0, 2],
        }
    };
    [(13, 11), (14, 9), (15, 11), (8, 11)].into_iter().map(chain).collect()
}

/// CVE-2023-50868: names with many labels, as many iterations as count and more, long salt.
pub fn encloser_traps() -> Vec<Trap> {
    let salt = "ab".repeat(255);
    let deep = "a.".repeat(100);
    // Names that exist at every level make every level's hash count.
    let records = format!("    {deep}trap.net. 300 A 198.51.100.2\n");
    let ways: [(String, &'static [u8]); 3] = [
        (format!("signed nsec3=50 salt={salt}"), &[2, 3]),
        ("signed nsec3=50".to_owned(), &[2, 3]),
        // Nothing is computed for these.
        (format!("signed nsec3=2500 salt={salt}"), &[3]),
    ];
    let names = [format!("x.{deep}trap.net."), format!("x.y.{}trap.net.", "b.".repeat(100))];
    let trap = |(how, rcodes): &(String, &'static [u8]), name: &String| Trap {
        what: format!("{how:.24}, {name:.8}"),
        scenario: world_with(how, &records, ""),
        name: name.clone(),
        rcodes,
    };
    ways.iter().flat_map(|way| names.iter().map(move |name| trap(way, name))).collect()
}

#[test]
fn many_keys_and_many_signatures_end_within_the_budget() {
    key_traps().iter().for_each(Trap::check);
}

#[test]
fn long_chains_of_signed_aliases_end_within_the_budget() {
    long_chains().iter().for_each(Trap::check);
}

#[test]
fn costly_validation_lets_others_have_their_turn() {
    // Eleven checks, or nine that are dear: no turn holds more than six cheap ones, or one that is dear.
    let rests: Vec<u64> = long_chains().iter().map(|trap| trap.cost().rests).collect();
    assert!(rests[0] >= 1 && rests[1] >= 8, "{rests:?}");
    let deepest = encloser_traps().first().map(|trap| trap.cost().rests);
    assert!(deepest >= Some(6), "8192 blocks of hashes at 1152 a turn: {deepest:?}");
}

#[test]
fn a_trap_hurts_nobody_else_and_is_not_stepped_into_twice() {
    let story = "ask www.trap.net. A do\nexpect SERVFAIL ede 5\nreset\nask www.trap.net. A do\nexpect SERVFAIL ede 5\n\
        sent total 0\nask www.host.net. A do\nexpect NOERROR ad any\n";
    steps::play_text(&(key_trap(15, (32, 64), 100, 100) + story));
}

#[test]
fn many_ds_records_with_one_tag_end_within_the_budget() {
    let mut dice = Dice::new(4);
    let tag = 0x4d61;
    let mut keys = String::new();
    for _ in 0..200 {
        keys += &generic("trap.net.", "DNSKEY", &colliding_key(15, 32, tag, &mut dice));
    }
    let mut parent = "extend net\n  zone net.\n".to_string();
    for _ in 0..200 {
        let digest: Vec<u8> = (0..32).map(|_| dice.next() as u8).collect();
        parent += &generic("trap.net.", "DS", &[&tag.to_be_bytes(), [15, 2].as_slice(), &digest].concat());
    }
    let scenario = world_with("signed=15 ds=none", &keys, "") + &parent;
    let (what, name) = ("200 DS records, 200 keys".to_owned(), "www.trap.net.".to_owned());
    Trap { what, scenario, name, rcodes: &[2] }.check();
}

#[test]
fn deep_names_under_hashed_proofs_end_within_the_budget() {
    encloser_traps().iter().for_each(Trap::check);
}

#[test]
fn a_proof_as_wide_as_other_zones_proves_nothing() {
    // CVE-2026-13321: trap.net. signs that nothing is between itself and the end of net.; and, elsewhere, from itself to
    // a name out of it.
    let next = |name: &[u8]| [name, b"\x00\x06\x40\x00\x00\x00\x00\x03"].concat();
    let wide = generic("a.trap.net.", "NSEC", &next(b"\x03zzz\x03net\x00"));
    let rules = "  when missing.trap.net. A\n    rcode NXDOMAIN\n    of authority trap.net. TXT\n    strip NSEC\n    \
         prove a.trap.net. NSEC\n";
    let story = "ask missing.trap.net. A do\nexpect SERVFAIL ede 12\nask www.trap.net. A do\nexpect NOERROR ad any\n\
         ask www.host.net. A do\nexpect NOERROR ad any\nask missing.host.net. A do\nexpect NXDOMAIN ad any\n";
    steps::play_text(&(world_with("signed", &wide, rules) + story));
}

#[test]
fn nothing_follows_from_a_proof_as_wide_as_other_zones() {
    // The same beside a proof that holds, so that the response is secure and its proofs are kept (RFC 8198).
    let next = |name: &[u8]| [name, b"\x00\x06\x40\x00\x00\x00\x00\x03"].concat();
    let wide = generic("zz.trap.net.", "NSEC", &next(b"\x03zzz\x03net\x00"));
    let rules = "  when missing.trap.net. A\n    from-zone\n    prove zz.trap.net. NSEC\n";
    let story = "ask missing.trap.net. A do\nexpect NXDOMAIN ad\nreset\nask zzz.trap.net. A do\n\
         expect SERVFAIL\nsent trap >= 1\nask www.bare.net. A\nexpect NOERROR any\nsent bare 1\nreset\n\
         ask u.net. A do\nexpect NXDOMAIN ad\nsent net 1\n\
         ask www.host.net. A do\nexpect NOERROR ad any\nask ns.trap.net. A do\nexpect NOERROR ad any\n";
    steps::play_text(&(world_with("signed", &wide, rules) + story));
}

#[test]
fn proofs_of_another_zone_prove_nothing() {
    // The child's own proofs about names of its parent and of its parent's other children, and the other way round.
    let rules = "  when missing.trap.net. A\n    rcode NXDOMAIN\n    of authority zzz.other.net. A\n  \
        zone other.net. signed\n    other.net. 300 SOA ns.other.net. admin.other.net. 1 2 3 4 60\n    \
        other.net. 300 NS ns.trap.net.\n";
    let parent = "extend net\n  zone net.\n    other.net. 300 NS ns.trap.net.\n";
    let story = "ask missing.trap.net. A do\nexpect SERVFAIL\nask missing.other.net. A do\nexpect NXDOMAIN ad\n\
        ask www.trap.net. A do\nexpect NOERROR ad any\n";
    steps::play_text(&(world_with("signed", "", rules) + parent + story));
}
