//! Authoritative servers that answer so that it costs somebody dear, for the simulated Internet of [`internet`](super::internet).

use super::internet::{address, head, record, wire};

/// The zone of whoever is hostile.
pub const EVIL: &str = "evil.com";
/// What a poisoned answer says.
pub const POISON: [u8; 4] = [203, 0, 113, 66];
/// Name servers in a referral: as many as a datagram has room for.
const SERVERS: usize = 60;

/// The last labels of a name.
fn last(labels: &[String], count: usize) -> String {
    labels[labels.len().saturating_sub(count)..].join(".")
}

/// A referral for the zone of the last three labels to these servers, with an address for each where there is one.
fn referral(packet: &[u8], zone: &str, servers: impl Iterator<Item = String>, glue: Option<[u8; 4]>) -> Vec<u8> {
    let servers: Vec<String> = servers.collect();
    let count = servers.len() as u8;
    let mut response = head(packet, [0x80, 0], [0, count, if glue.is_some() { count } else { 0 }]);
    for server in &servers {
        record(&mut response, zone, 2, 300, &wire(server));
    }
    for server in servers.iter().filter(|_| glue.is_some()) {
        record(&mut response, server, 1, 300, &glue.unwrap_or_default());
    }
    response
}

/// The zone itself has no other data.
fn nothing(packet: &[u8]) -> Vec<Vec<u8>> {
    vec![head(packet, [0x84, 0], [0, 0, 0])]
}

/// A6: name servers without addresses, in three zones of a victim, where there are no such names.
pub fn glueless(packet: &[u8], labels: &[String]) -> Vec<Vec<u8>> {
    if labels.len() < 3 {
        return nothing(packet);
    }
    let servers = (0..SERVERS).map(|number| format!("n{number}.victim{}.net", number % 3));
    vec![referral(packet, &last(labels, 3), servers, None)]
}

/// A7: name servers with names in a zone of a victim, all at an address where nobody is.
pub fn to_the_dead(packet: &[u8], labels: &[String]) -> Vec<Vec<u8>> {
    if labels.len() < 3 {
        return nothing(packet);
    }
    let servers = (0..SERVERS).map(|number| format!("real{number}.victim0.net"));
    vec![referral(packet, &last(labels, 3), servers, None)]
}

/// A8: whatever is asked for is another zone, with a server of its own.
pub fn ever_deeper(packet: &[u8], labels: &[String]) -> Vec<Vec<u8>> {
    if labels.len() < 3 {
        return nothing(packet);
    }
    let zone = labels.join(".");
    vec![referral(packet, &zone, std::iter::once(format!("ns.{zone}")), Some(address(EVIL).octets()))]
}

/// A10: an alias of ten labels leads to the next, twenty times over, and the last one to name servers of a victim.
pub fn aliases(packet: &[u8], labels: &[String]) -> Vec<Vec<u8>> {
    // `a.….a.l7-32.evil.com`: the seventh link of the thirty-second chain.
    let link = labels.get(labels.len().saturating_sub(3)).and_then(|label| {
        let (link, chain) = label.strip_prefix('l')?.split_once('-')?;
        Some((link.parse::<u32>().ok()?, chain.to_owned()))
    });
    let Some((link, chain)) = link else { return nothing(packet) };
    if link >= 20 {
        return glueless(packet, labels);
    }
    if labels.len() < 13 {
        return nothing(packet);
    }
    let next = format!("{}l{}-{chain}.{EVIL}", "a.".repeat(10), link + 1);
    let mut response = head(packet, [0x84, 0], [1, 0, 0]);
    record(&mut response, &labels.join("."), 5, 300, &wire(&next));
    vec![response]
}

/// A13: two hundred addresses for every name.
pub fn large(packet: &[u8], labels: &[String]) -> Vec<Vec<u8>> {
    let mut response = head(packet, [0x84, 0], [200, 0, 0]);
    for number in 0..200u8 {
        record(&mut response, &labels.join("."), 1, 3_600, &[198, 51, 100, number]);
    }
    vec![response]
}

/// Nothing but SERVFAIL, at once.
pub fn failing(packet: &[u8], _: &[String]) -> Vec<Vec<u8>> {
    vec![head(packet, [0x84, 2], [0, 0, 0])]
}

/// A15: four kinds of junk, then a forged answer under a wrong ID, and then the true one.
pub fn junk_first(packet: &[u8], labels: &[String]) -> Vec<Vec<u8>> {
    let answer = |address: [u8; 4]| {
        let mut response = head(packet, [0x84, 0], [1, 0, 0]);
        record(&mut response, &labels.join("."), 1, 30, &address);
        response
    };
    let changed = |change: fn(&mut Vec<u8>)| {
        let mut response = answer(POISON);
        change(&mut response);
        response
    };
    vec![
        vec![0; 5],
        changed(|response| response.truncate(20)),
        changed(|response| response[2] &= 0x7f),
        changed(|response| response[13] ^= 1),
        changed(|response| response[0] ^= 0x55),
        answer([198, 51, 100, 1]),
    ]
}

/// A18: a staircase of compression pointers, and hundreds of names that begin at its top.
pub fn staircase(packet: &[u8], _: &[String]) -> Vec<Vec<u8>> {
    let mut response = head(packet, [0x84, 0], [0, 0, 0]);
    // A record whose data is the stairs, each step a pointer to the one before.
    let mut stairs = Vec::new();
    let start = response.len() + 12;
    for step in 0..2_000usize {
        let to = if step == 0 { 12 } else { start + 2 * (step - 1) };
        stairs.extend((0xc000 | to as u16).to_be_bytes());
    }
    let top = (0xc000 | (start + 2 * 1_999) as u16).to_be_bytes();
    response.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60]);
    response.extend((stairs.len() as u16).to_be_bytes());
    response.extend(stairs);
    for _ in 0..600 {
        response.extend(top);
        response.extend([0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 51, 100, 1]);
    }
    response[6..8].copy_from_slice(&601u16.to_be_bytes());
    vec![response]
}

/// A17: name servers below the cut, all at the address that the referral came from.
pub fn to_itself(packet: &[u8], labels: &[String]) -> Vec<Vec<u8>> {
    if labels.len() < 3 {
        return nothing(packet);
    }
    let zone = last(labels, 3);
    let servers = (0..13).map(|number| format!("n{number}.{zone}"));
    vec![referral(packet, &zone, servers, Some(address(EVIL).octets()))]
}
