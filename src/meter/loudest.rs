//! Who is loudest, of those noted since somebody last asked: no table that grows, no clock.

use std::net::IpAddr;

use super::Hash;

/// Places for the sources that are noted most often.
const PLACES: usize = 64;

/// The sources that are noted most often, by majority in each place (Boyer and Moore 1981).
#[derive(Debug)]
pub struct Loudest([(Option<IpAddr>, u32); PLACES]);

impl Default for Loudest {
    fn default() -> Loudest {
        Loudest([(None, 0); PLACES])
    }
}

impl Loudest {
    /// Notes a source, whose hash is `key`; an IPv6 source is its /64.
    pub fn note(&mut self, address: IpAddr, key: Hash) {
        let source = match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => IpAddr::from((u128::from(v6) >> 64 << 64).to_be_bytes()),
        };
        let place = &mut self.0[(key.0 >> 58) as usize % PLACES];
        match place {
            (Some(held), times) if *held == source => *times += 1,
            (_, times @ 1..) => *times -= 1,
            _ => *place = (Some(source), 1),
        }
    }

    /// Those noted since the last call, and how often.
    pub fn take(&mut self) -> Vec<(IpAddr, u32)> {
        std::mem::take(self).0.into_iter().filter_map(|(source, times)| Some((source?, times))).collect()
    }
}
