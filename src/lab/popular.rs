//! What customers want of the popular sites, how often, and what must come out.

use std::net::IpAddr;

use hickory_proto::rr::{Name, RecordType};

use super::atlas::Atlas;
use super::catalogue::{Expected, Walk};
use super::population::site;
use super::world::{StartError, read_zones};

/// Names below a site, types, and how often in a hundred questions about it.
const WISHES: [(&str, RecordType, f64); 10] = [
    ("www.", RecordType::A, 45.0),
    ("www.", RecordType::AAAA, 15.0),
    ("", RecordType::A, 10.0),
    ("api.", RecordType::A, 10.0),
    ("api.", RecordType::AAAA, 5.0),
    ("", RecordType::MX, 5.0),
    ("mail.", RecordType::A, 3.0),
    ("mail.", RecordType::AAAA, 3.0),
    ("", RecordType::HTTPS, 2.0),
    ("wpad.", RecordType::A, 2.0),
];

/// A question about a popular site.
#[derive(Clone, PartialEq, Debug)]
pub struct Wish {
    /// Presentation format, fully qualified.
    pub name: String,
    /// The type's number.
    pub rtype: u16,
    /// How often it is asked beside the others; sites follow Zipf's law.
    pub weight: f64,
    pub expected: Expected,
    /// The addresses in the answer, sorted.
    pub addresses: Vec<IpAddr>,
}

/// All questions about the sites of a world with so many.
pub fn popular(sites: usize) -> Result<Vec<Wish>, StartError> {
    let atlas = Atlas::new(sites);
    let zones = read_zones(&atlas)?;
    let walk = Walk::new(&atlas, &zones);
    let mut wishes = Vec::with_capacity(sites * WISHES.len());
    for rank in 1..=atlas.sites {
        let site = site(rank);
        for (label, rtype, share) in WISHES {
            let text = format!("{label}{site}");
            let Ok(name) = Name::from_ascii(&text) else { continue };
            let (expected, records) = walk.resolve(&name, rtype);
            let mut addresses: Vec<IpAddr> = records.iter().filter_map(|r| r.data.ip_addr()).collect();
            addresses.sort_unstable();
            let weight = share / 100.0 / rank as f64;
            wishes.push(Wish { name: text, rtype: rtype.into(), weight, expected, addresses });
        }
    }
    Ok(wishes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_fulfilled_as_the_zones_say() {
        let wishes = popular(8).unwrap();
        assert_eq!(wishes.len(), 80);
        let of = |label: &str, rtype: RecordType| {
            let name = format!("{label}{}", site(2));
            wishes.iter().find(|w| w.name == name && w.rtype == u16::from(rtype)).unwrap()
        };
        assert_eq!(of("www.", RecordType::A).expected, Expected::Records);
        assert_eq!(of("api.", RecordType::A).addresses.len(), 2);
        assert_eq!(of("wpad.", RecordType::A).expected, Expected::NxDomain);
        assert_eq!(of("mail.", RecordType::AAAA).expected, Expected::NoData);
        assert!(of("", RecordType::A).weight < wishes[2].weight);
    }
}
