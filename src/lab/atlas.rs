//! The small Internet on paper: every zone's text and every server with its addresses, zones and fault.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hickory_proto::rr::{Name, RData, Record};
use serde::Deserialize;

use super::fault::Fault;
use super::hostile::Script;
use super::sign::Plan;
use super::{embedded, population, signing};

/// A master file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ZoneText {
    /// Presentation format, fully qualified: `ordinary.com.`
    pub origin: String,
    pub text: String,
}

impl ZoneText {
    /// The file's customary name: `root.zone`, `ordinary.com.zone`.
    pub fn file_name(&self) -> String {
        match self.origin.as_str() {
            "." => "root.zone".to_owned(),
            origin => format!("{origin}zone"),
        }
    }
}

/// An authoritative server.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Presentation format, fully qualified; a server of several names has one of them here.
    pub name: String,
    /// Within 127.53.0.0/16, or ::1.
    pub addresses: Vec<IpAddr>,
    /// Origins of the zones it serves; to questions for others it answers REFUSED.
    pub zones: Vec<String>,
    #[serde(default)]
    pub fault: Fault,
}

impl Server {
    pub(super) fn new(name: &str, address: &str, zones: Vec<String>) -> Server {
        let addresses = address.parse().into_iter().collect();
        Server { name: name.to_owned(), addresses, zones, fault: Fault::default() }
    }
}

/// The zones and servers of a world.
#[derive(Clone, PartialEq, Debug)]
pub struct Atlas {
    pub zones: Vec<ZoneText>,
    pub servers: Vec<Server>,
    /// Size of the generated population.
    pub sites: usize,
    /// What zones say of names they do not have, by origin.
    pub(super) scripts: Vec<(String, Script)>,
    /// How zones are signed, by origin in lower case; those that are not here are not.
    pub plans: BTreeMap<String, Plan>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerMap {
    server: Vec<Server>,
}

impl Atlas {
    /// The zones of `zones/lab` and a population of `sites` (at most [`MAX_SITES`](super::MAX_SITES)) generated ones.
    pub fn new(sites: usize) -> Atlas {
        let sites = sites.min(population::MAX_SITES);
        let mut servers = toml::from_str::<ServerMap>(embedded::SERVERS).map(|map| map.server).unwrap_or_default();
        let own = |&(origin, text): &(&str, &str)| ZoneText { origin: origin.to_owned(), text: text.to_owned() };
        let mut zones: Vec<ZoneText> = embedded::ZONES.iter().map(own).collect();
        let population = population::generate(sites);
        for (tld, lines) in &population.delegations {
            for zone in zones.iter_mut().filter(|z| z.origin == *tld) {
                zone.text.push_str(lines);
            }
        }
        zones.extend(population.zones);
        servers.extend(population.servers);
        let mut atlas = Atlas { zones, servers, sites, scripts: Vec::new(), plans: BTreeMap::new() };
        signing::plan(&mut atlas);
        atlas
    }

    /// The same with every zone signed, by one algorithm and NSEC where nothing else is planned.
    pub fn all_signed(mut self) -> Atlas {
        for origin in self.zones.iter().map(|zone| zone.origin.to_lowercase()) {
            if !self.plans.contains_key(&origin)
                && let Ok(plan) = Plan::parse("signed")
            {
                self.plans.insert(origin, plan);
            }
        }
        self
    }

    /// The same with no zone signed.
    pub fn unsigned(mut self) -> Atlas {
        self.plans.clear();
        self
    }

    /// The server that has an address.
    pub fn server_at(&self, address: IpAddr) -> Option<&Server> {
        self.servers.iter().find(|s| s.addresses.contains(&address))
    }

    /// Names and addresses of the root's servers, for `root_hints`.
    pub fn root_servers(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().filter(|s| s.zones.iter().any(|z| z == "."))
    }

    /// Writes every master file, signed by new keys where that is planned, `root.anchors` with the trust anchor, and
    /// `servers.json` (the server map, generated servers included) into a folder, for other name servers to serve.
    /// Creates the folder.
    pub fn write_to(&self, folder: &std::path::Path) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let (zones, anchors) = signing::signed_zones(self).map_err(std::io::Error::other)?;
        for zone in &self.zones {
            let signed = Name::from_ascii(&zone.origin).ok().and_then(|origin| zones.get(&origin));
            let added: String = signed.into_iter().flat_map(|zone| zone.signing_records()).map(generic).collect();
            std::fs::write(folder.join(zone.file_name()), zone.text.clone() + "\n" + &added)?;
        }
        if !anchors.is_empty() {
            std::fs::write(folder.join("root.anchors"), anchors)?;
        }
        let fault = |f: &Fault| format!("{:?}", f.behaviour);
        let servers = self.servers.iter().map(|s| {
            serde_json::json!({
                "name": s.name, "addresses": s.addresses, "zones": s.zones, "behaviour": fault(&s.fault),
                "delay_ms": s.fault.delay.as_millis() as u64, "jitter_ms": s.fault.jitter.as_millis() as u64,
                "loss": s.fault.loss, "rate_limit": s.fault.rate_limit,
            })
        });
        let text = serde_json::to_string_pretty(&servers.collect::<Vec<_>>())?;
        std::fs::write(folder.join("servers.json"), text)
    }
}

/// A record in the form of RFC 3597 §5, which every name server reads.
fn generic(record: Record) -> String {
    let RData::Unknown { rdata, .. } = &record.data else { return String::new() };
    let digits = data_encoding::HEXLOWER.encode(&rdata.anything);
    let (length, rtype) = (rdata.anything.len(), u16::from(record.record_type()));
    format!("{} {} IN TYPE{rtype} \\# {length} {digits}\n", record.name.to_ascii(), record.ttl)
}
