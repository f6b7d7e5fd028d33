//! The popular sites: a thousand zones from a rule instead of files.
//!
//! Site *i* lies under com., nl., net. or org., is served by one of eight hosters, and has www, mail and api. Two
//! thirds of the delegations name servers in the hoster's own zone, so without glue; one third has in-domain glue.

use std::fmt::Write;

use super::atlas::{Server, ZoneText};

/// Hosters, each with two servers and a zone `hoster<n>.net.`.
const HOSTERS: usize = 8;

/// The most sites a population can have: as many as there are four-digit numbers.
pub const MAX_SITES: usize = 9_999;

/// The zones and servers of a population, and what its parents must say of it.
pub(super) struct Population {
    pub(super) zones: Vec<ZoneText>,
    pub(super) servers: Vec<Server>,
    /// Top-level domain and the delegations to add to its master file.
    pub(super) delegations: Vec<(&'static str, String)>,
}

/// The name of site `number`, counted from 1: `site0001.com.`.
pub fn site(number: usize) -> String {
    format!("site{number:04}.{}", top_level_domain(number))
}

fn top_level_domain(number: usize) -> &'static str {
    match number % 20 {
        0..=9 => "com.",
        10..=13 => "nl.",
        14..=16 => "net.",
        _ => "org.",
    }
}

/// Whether site `number` has servers under its own name, with glue at its parent.
fn has_glue(number: usize) -> bool {
    number.is_multiple_of(3)
}

fn addresses(hoster: usize) -> [String; 2] {
    [1, 2].map(|n| format!("127.53.10.{}", hoster * 2 + n))
}

fn soa(zone: &mut String, origin: &str, server: &str, ttl: u32) {
    let _ = writeln!(zone, "$ORIGIN {origin}\n$TTL {ttl}");
    let _ = writeln!(zone, "@ IN SOA {server} hostmaster.hosting.net. 2025060101 7200 3600 1209600 300");
}

/// A population of `sites` sites, at most [`MAX_SITES`].
pub(super) fn generate(sites: usize) -> Population {
    let sites = sites.min(MAX_SITES);
    let mut delegations = ["com.", "nl.", "net.", "org."].map(|tld| (tld, String::new()));
    let mut zones = Vec::new();
    let mut delegate = |tld: &str, line: &str| {
        delegations.iter_mut().filter(|(name, _)| *name == tld).for_each(|(_, text)| text.push_str(line));
    };
    let mut servers = Vec::new();
    for hoster in 0..HOSTERS.min(sites) {
        let origin = format!("hoster{hoster}.net.");
        let mut text = String::from("; A hoster of the generated population.\n");
        soa(&mut text, &origin, &format!("ns1.{origin}"), 3600);
        for (n, address) in addresses(hoster).iter().enumerate() {
            let server = format!("ns{}.{origin}", n + 1);
            let _ = writeln!(text, "@ IN NS {server}\n{server} IN A {address}");
            delegate("net.", &format!("{origin} IN NS {server}\n{server} IN A {address}\n"));
            let mine = (1..=sites).filter(|i| i % HOSTERS == hoster).map(site);
            let zones = std::iter::once(origin.clone()).chain(mine).collect();
            servers.push(Server::new(&server, address, zones));
        }
        let _ = writeln!(text, "@ IN A 198.18.255.{hoster}\nwww IN CNAME {origin}");
        zones.push(ZoneText { origin, text });
    }
    for number in 1..=sites {
        let origin = site(number);
        delegate(top_level_domain(number), &delegation(number, &origin));
        zones.push(ZoneText { text: site_text(number, &origin), origin });
    }
    Population { zones, servers, delegations: delegations.to_vec() }
}

fn server_names(number: usize, origin: &str) -> [String; 2] {
    [1, 2].map(|n| match has_glue(number) {
        true => format!("ns{n}.{origin}"),
        false => format!("ns{n}.hoster{}.net.", number % HOSTERS),
    })
}

fn delegation(number: usize, origin: &str) -> String {
    let mut text = String::new();
    for (server, address) in server_names(number, origin).iter().zip(addresses(number % HOSTERS)) {
        let _ = writeln!(text, "{origin} IN NS {server}");
        if has_glue(number) {
            let _ = writeln!(text, "{server} IN A {address}");
        }
    }
    text
}

fn site_text(number: usize, origin: &str) -> String {
    let (high, low) = (number >> 8, number & 255);
    let servers = server_names(number, origin);
    let mut text = String::from("; A site of the generated population.\n");
    soa(&mut text, origin, &servers[0], [60, 300, 300, 3600][number % 4]);
    for (server, address) in servers.iter().zip(addresses(number % HOSTERS)) {
        let _ = writeln!(text, "@ IN NS {server}");
        if has_glue(number) {
            let _ = writeln!(text, "{server} IN A {address}");
        }
    }
    let _ = writeln!(text, "@ IN A 198.18.{high}.{low}\n@ IN AAAA 2001:db8:1::{number:x}");
    let _ = writeln!(text, "@ IN MX 10 mail.{origin}\n@ IN TXT \"v=spf1 mx -all\"");
    match number % 4 {
        0 => drop(writeln!(text, "www IN CNAME {origin}")),
        1 => drop(writeln!(text, "www IN CNAME site{number:04}.edge.cdn.net.")),
        _ => drop(writeln!(text, "www IN A 198.18.{}.{low}\nwww IN AAAA 2001:db8:2::{number:x}", 64 + high)),
    }
    let _ = writeln!(text, "mail IN A 198.18.{}.{low}", 128 + high);
    let _ = writeln!(
        text,
        "api IN A 198.19.{high}.{low}\napi IN A 198.19.{}.{low}\napi IN AAAA 2001:db8:3::{number:x}",
        64 + high
    );
    text
}
