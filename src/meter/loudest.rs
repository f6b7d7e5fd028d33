//! Who is loudest, of those noted since somebody last asked: no table that grows, no clock.

use std::net::IpAddr;

use super::Hash;

/// A source has its place in one of so many sets of so many: thirty of the same loudness hardly ever meet in one set that
/// has not room for all of them.
const SETS: usize = 16;
const WAYS: usize = 8;

/// The sources that are noted most often: in each set the quietest gives way to whoever is not there, after as many notes of
/// others as it has itself (Misra and Gries 1982, for the last place only). So a source keeps its place unless as many others
/// as there are ways are louder, however many more there are.
#[derive(Debug)]
pub struct Loudest([[Place; WAYS]; SETS]);

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    source: Option<IpAddr>,
    times: u32,
}

impl Default for Loudest {
    fn default() -> Loudest {
        Loudest([[Place::default(); WAYS]; SETS])
    }
}

impl Loudest {
    /// Notes a source, whose hash is `key`: an IPv6 source is its /64, and so is its hash.
    pub fn note(&mut self, address: IpAddr, key: Hash) {
        let source = source_of(address);
        // Hashes of neighbours are evenly far apart, which may be next to nothing in any bits of them: all decide.
        let mixed = (key.0 ^ key.0 >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let set = &mut self.0[(mixed >> 56) as usize % SETS];
        if let Some(place) = set.iter_mut().find(|place| place.source == Some(source)) {
            place.times = place.times.saturating_add(1);
        } else if let Some(quietest) = set.iter_mut().min_by_key(|place| place.times) {
            match quietest.times {
                0 => *quietest = Place { source: Some(source), times: 1 },
                _ => quietest.times -= 1,
            }
        }
    }

    /// Those noted since the last call, and how often.
    pub fn take(&mut self) -> Vec<(IpAddr, u32)> {
        let places = std::mem::take(self).0.into_iter().flatten();
        places.filter_map(|place| Some((place.source?, place.times))).filter(|(_, times)| *times > 0).collect()
    }
}

/// Whom an address stands for: an IPv6 customer has a /64 at least.
pub fn source_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::from((u128::from(v6) >> 64 << 64).to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Secret;

    #[test]
    fn who_is_loud_keeps_his_place_beside_others_and_among_forged_ones() {
        let mut lost = 0;
        for seed in 0..32 {
            let secret = Secret::new(&[seed; 32]);
            let mut loudest = Loudest::default();
            for round in 0..1_000u32 {
                // Twenty loud ones, and as many packets from addresses that are new each time.
                for one in 0..20u8 {
                    loudest.note(IpAddr::from([192, 0, 2, one]), secret.word(u64::from(one)));
                    let forged = round << 8 | u32::from(one) | 1 << 31;
                    loudest.note(IpAddr::from(forged.to_be_bytes()), secret.word(u64::from(forged)));
                }
            }
            let taken = loudest.take();
            let kept = taken.iter().filter(|(source, times)| source < &IpAddr::from([192, 0, 3, 0]) && *times > 990);
            lost += 20 - kept.filter(|(source, _)| source >= &IpAddr::from([192, 0, 2, 0])).count();
            assert!(loudest.take().is_empty());
        }
        assert!(lost < 2, "{lost} of 640");
    }
}
