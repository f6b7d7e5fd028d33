//! What of the caches is kept over a restart: zone cuts, answers and negative answers, in records; and how they are
//! taken in again. Failures, keys and ranges are found out anew.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Cache, Compact, Delegation, DsWord, NameServer, Negative, Rank, RrSet, Security};
use crate::clock::Moment;
use crate::pack::{Fields, Pack, Passage};
use crate::wire::{Name, Rcode, Rtype};

impl Cache {
    /// How many kinds of records there are: zone cuts, answers, negative answers.
    pub const PARTS: u8 = 3;

    /// Writes everything that is fresh, or has not been over for longer than `stale`, each record with the number of its
    /// part. Ends early when `put` says false: there is no more room. Of answers those come first that are most in use, if
    /// there may be too little for all in `room` octets.
    pub fn save(&self, age: Moment, stale: Duration, room: u64, put: &mut dyn FnMut(u8, &Pack) -> bool) {
        let mut pack = Pack::new();
        let mut left = room;
        for (_, cut) in self.delegations.iter().filter(|(_, cut)| cut.expires > age) {
            pack.clear();
            write_cut(&mut pack, &cut);
            left = left.saturating_sub(pack.octets().len() as u64);
            if !put(0, &pack) {
                return;
            }
        }
        let least = self.least_heat(left);
        let hot = |key: u64| self.heat.of(key) >= least;
        let whole = self.save_sets(hot, age, stale, &mut pack, put)
            && (least == 0 || self.save_sets(|key| !hot(key), age, stale, &mut pack, put));
        self.heat.cool();
        if !whole {
            return;
        }
        for (key, negative) in &self.negatives {
            let end = negative.stored + Duration::from_secs(u64::from(negative.ttl));
            if end + stale <= age {
                continue;
            }
            pack.clear();
            let stands = self.stands(negative.security, negative.stored);
            let judged = if stands { negative.security } else { Security::Unchecked };
            pack.u128(*key).u16(negative.rcode.0).u8(security(judged)).u32(negative.ttl);
            pack.moment(negative.stored).list(negative.soa.iter(), write_bare);
            pack.list(negative.proof.iter(), write_bare);
            if !put(2, &pack) {
                return;
            }
        }
    }

    /// The heat from which on all RRsets have room in so many octets.
    fn least_heat(&self, room: u64) -> u8 {
        let mut by_heat = [0u64; 256];
        for (key, kept) in &self.rrsets {
            // In the file they take no more than in memory.
            by_heat[usize::from(self.heat.of(*key))] += kept.octets() as u64;
        }
        let mut sum = 0;
        let full = (0..=u8::MAX).rev().find(|heat| {
            sum += by_heat[usize::from(*heat)];
            sum > room
        });
        full.map_or(0, |heat| heat.saturating_add(1))
    }

    /// Writes the RRsets that are wanted by their keys. False: there is no more room.
    fn save_sets(
        &self,
        wanted: impl Fn(u64) -> bool,
        age: Moment,
        stale: Duration,
        pack: &mut Pack,
        put: &mut dyn FnMut(u8, &Pack) -> bool,
    ) -> bool {
        for (_, kept) in self.rrsets.iter().filter(|(key, _)| wanted(**key)) {
            let Some(mut set) = kept.set() else { continue };
            if set.rank == Rank::Local || set.end() + stale <= age {
                continue;
            }
            if !self.stands(set.security, set.stored()) {
                set.security = Security::Unchecked;
            }
            pack.clear();
            write_set(pack, &set);
            if !put(1, pack) {
                return false;
            }
        }
        true
    }

    /// Takes in a record, unless something has been learned since; the caches have the seed of those that it is from.
    /// What was validated counts as that only where it is `trusted`: the anchors are the same. `None`: it makes no sense.
    pub fn load(&self, part: u8, mut record: Fields<'_>, passage: &Passage, trusted: bool) -> Option<()> {
        let reader = Reader { passage, trusted, max_ttl: self.max_ttl };
        match part {
            0 => {
                let cut = reader.cut(&mut record)?;
                let key = self.key(3, &cut.zone, Rtype::NS);
                if !self.delegations.contains_key(&key) {
                    self.delegations.insert(key, Arc::new(cut));
                }
            }
            1 => {
                let set = reader.set(&mut record)?;
                let hash = self.key(0, &set.owner, set.rtype);
                if !self.rrsets.contains_key(&(hash as u64)) {
                    self.put(hash, &set, Compact::new(&set));
                }
            }
            2 => {
                let key = record.u128()?;
                let rcode = Rcode(record.u16()?);
                let security = reader.security(record.u8()?)?;
                let ttl = record.u32()?.min(self.max_negative_ttl);
                let stored = passage.age(record.moment()?);
                let soa = record.list(|record| reader.bare(record))?.pop();
                let proof = record.list(|record| reader.bare(record))?.into();
                if !self.negatives.contains_key(&key) {
                    if rcode == Rcode::NXDOMAIN {
                        self.traces.leave(key);
                    }
                    self.negatives.insert(key, Arc::new(Negative { rcode, soa, proof, security, ttl, stored }));
                }
            }
            _ => return None,
        }
        record.is_empty().then_some(())
    }
}

fn security(of: Security) -> u8 {
    match of {
        Security::Unchecked => 0,
        Security::Insecure => 1,
        Security::Secure => 2,
    }
}

fn write_bare(pack: &mut Pack, set: &RrSet) {
    let rank = match set.rank {
        Rank::Authority => 0,
        Rank::Answer => 1,
        Rank::AuthoritativeAnswer | Rank::Local => 2,
    };
    pack.bytes(set.owner.wire()).u16(set.rtype.0).u32(set.ttl).u8(rank).u8(security(set.security));
    pack.moment(set.stored());
    for data in [set.rdatas().collect::<Vec<_>>(), set.signatures().collect()] {
        pack.list(data.into_iter(), |pack, octets| {
            pack.bytes(octets);
        });
    }
}

fn write_set(pack: &mut Pack, set: &RrSet) {
    write_bare(pack, set);
    pack.list(set.proof.as_deref().unwrap_or(&[]).iter(), write_bare);
}

fn write_servers(pack: &mut Pack, servers: &[NameServer]) {
    pack.list(servers.iter(), |pack, server| {
        pack.bytes(server.name.wire()).list(server.glue.iter(), |pack, address| {
            match address {
                IpAddr::V4(ip) => pack.bytes(&ip.octets()),
                IpAddr::V6(ip) => pack.bytes(&ip.octets()),
            };
        });
    });
}

fn write_cut(pack: &mut Pack, cut: &Delegation) {
    pack.bytes(cut.zone.wire()).moment(cut.stored).moment(cut.expires).moment(cut.child_expires);
    write_servers(pack, &cut.parent);
    pack.list(cut.child.iter(), |pack, child| write_servers(pack, child));
    pack.list(cut.ds.iter(), |pack, word| {
        pack.list(word.ds.iter(), write_bare).list(word.proof.iter(), write_bare);
    });
}

/// How records are understood.
struct Reader<'a> {
    passage: &'a Passage,
    trusted: bool,
    max_ttl: u32,
}

impl Reader<'_> {
    fn security(&self, number: u8) -> Option<Security> {
        match number {
            0..=2 if !self.trusted => Some(Security::Unchecked),
            0 => Some(Security::Unchecked),
            1 => Some(Security::Insecure),
            2 => Some(Security::Secure),
            _ => None,
        }
    }

    /// A set without the proof that may come with it.
    fn bare(&self, record: &mut Fields<'_>) -> Option<RrSet> {
        let owner = Name::from_wire(record.bytes()?)?;
        let (rtype, ttl) = (Rtype(record.u16()?), record.u32()?.min(self.max_ttl));
        let rank = match record.u8()? {
            0 => Rank::Authority,
            1 => Rank::Answer,
            2 => Rank::AuthoritativeAnswer,
            _ => return None,
        };
        let security = self.security(record.u8()?)?;
        let stored = self.passage.age(record.moment()?);
        let mut set = RrSet::new(owner, rtype, ttl, rank, stored, record.list(Fields::bytes)?)
            .with_signatures(record.list(Fields::bytes)?);
        set.security = security;
        Some(set)
    }

    fn set(&self, record: &mut Fields<'_>) -> Option<RrSet> {
        let mut set = self.bare(record)?;
        let proof = record.list(|record| self.bare(record))?;
        set.proof = Some(proof).filter(|proof| !proof.is_empty()).map(Arc::from);
        Some(set)
    }

    fn servers(record: &mut Fields<'_>) -> Option<Arc<[NameServer]>> {
        let address = |record: &mut Fields<'_>| match record.bytes()? {
            octets if octets.len() == 4 => Some(<[u8; 4]>::try_from(octets).ok()?.into()),
            octets => Some(<[u8; 16]>::try_from(octets).ok()?.into()),
        };
        let server = |record: &mut Fields<'_>| {
            let name = Name::from_wire(record.bytes()?)?;
            Some(NameServer { name, glue: record.list(address)?.into() })
        };
        Some(record.list(server)?.into())
    }

    fn cut(&self, record: &mut Fields<'_>) -> Option<Delegation> {
        let zone = Name::from_wire(record.bytes()?)?;
        let mut time = || record.moment().map(|time| self.passage.age(time));
        let (stored, expires, child_expires) = (time()?, time()?, time()?);
        let parent = Reader::servers(record)?;
        let child = record.list(Reader::servers)?.pop();
        let word = |record: &mut Fields<'_>| {
            let ds = record.list(|record| self.bare(record))?.pop();
            let proof = record.list(|record| self.bare(record))?;
            Some(Arc::new(DsWord { ds, proof }))
        };
        let ds = record.list(word)?.pop();
        Some(Delegation { zone, parent, child, ds, stored, expires, child_expires })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Reach;
    use crate::cache::tests::{at, cache, name};
    use crate::clock::{Now, UnixTime};

    fn set(owner: &str, ttl: u32, security: Security) -> RrSet {
        let set = RrSet::new(name(owner), Rtype::A, ttl, Rank::AuthoritativeAnswer, at(1000), [&[192, 0, 2, 1][..]]);
        let mut set = set.with_signatures([&[1; 40][..]]);
        set.security = security;
        set
    }

    /// A cache with one of everything.
    fn full() -> Cache {
        let cache = cache();
        let soa = RrSet::new(name("example"), Rtype::SOA, 60, Rank::Authority, at(1000), [&[0; 22][..]]);
        cache.keep(set("www.example", 3600, Security::Secure), at(1000));
        cache.keep(set("short.example", 5, Security::Insecure), at(1000));
        let proof: Arc<[RrSet]> = [set("proof.example", 60, Security::Secure)].into();
        let mut wild = set("wild.example", 3600, Security::Secure);
        wild.proof = Some(Arc::clone(&proof));
        cache.keep(wild, at(1000));
        let gone = Negative {
            rcode: Rcode::NXDOMAIN,
            soa: Some(soa),
            proof,
            security: Security::Secure,
            ttl: 600,
            stored: at(1000),
        };
        cache.keep_negative(&name("gone.example"), Rtype::A, gone);
        let glue = [IpAddr::from([192, 0, 2, 53]), "2001:db8::53".parse().expect("an address")].into();
        let servers = vec![NameServer { name: name("ns.example"), glue }];
        let word = DsWord { ds: Some(set("example", 60, Security::Unchecked)), proof: Vec::new() };
        let cut = cache.keep_delegation(name("example"), servers.clone(), Some(word), 7200, at(1000));
        cache.keep_child_servers(&cut, servers, 3600, at(1000));
        cache
    }

    /// `full` is written at 1100 s, and taken in at 160 s of another clock, ten seconds later.
    fn restarted(trusted: bool) -> (Cache, usize) {
        let clocks = |age| Now { mono: age, age, unix: UnixTime(0) };
        let passage = Passage::new(clocks(at(1100)), clocks(at(160)), Duration::from_secs(10));
        let (cache, mut records) = (cache(), 0);
        full().save(at(1100), Duration::from_secs(86_400), u64::MAX, &mut |part, pack| {
            records += 1;
            cache.load(part, Fields::of(pack.octets()), &passage, trusted).expect("a record");
            true
        });
        (cache, records)
    }

    #[test]
    fn everything_is_there_after_a_restart_and_as_old_as_it_is() {
        let (cache, records) = restarted(true);
        assert_eq!(records, 5);
        let now = at(160);
        let www = cache.rrset_of(&name("www.example"), Rtype::A, Security::Secure, now).expect("there");
        assert_eq!((www.ttl_left(now), www.signatures().count()), (3600 - 110, 1));
        assert_eq!(cache.rrset(&name("short.example"), Rtype::A, now), None, "its time is over");
        assert!(cache.last_rrset(&name("short.example"), Rtype::A, Security::Insecure).is_some(), "but it is there");
        let wild = cache.rrset(&name("wild.example"), Rtype::A, now).expect("there");
        assert_eq!(wild.proof.as_ref().map(|proof| proof.len()), Some(1));
        let gone = cache
            .negative(&name("below.gone.example"), Rtype::MX, Security::Secure, Reach::default(), now)
            .expect("there");
        assert_eq!((gone.ttl_at(now), gone.soa.is_some(), gone.proof.len()), (Some(490), true, 1));
        let (cut, before) = (cache.delegation(&name("example"), now).expect("there"), full());
        let before = before.delegation(&name("example"), at(1100)).expect("there");
        assert_eq!((&cut.parent, &cut.child), (&before.parent, &before.child));
        assert_eq!(cut.ds.as_ref().and_then(|word| word.ds.as_ref()).map(|ds| ds.rtype), Some(Rtype::A));
        assert_eq!(cut.expires, at(160 + 7200 - 110));
    }

    #[test]
    fn where_there_is_no_room_for_all_the_hottest_are_kept() {
        let cache = cache();
        let name_of = |number: u32| name(&format!("www.site{number}.example"));
        for number in 0..1_000 {
            cache.keep(set(&format!("www.site{number}.example"), 3600, Security::Insecure), at(1000));
        }
        // Every tenth is in use.
        for number in (0..1_000).step_by(10) {
            (0..3).for_each(|_| drop(cache.rrset(&name_of(number), Rtype::A, at(1001))));
        }
        let (mut left, mut kept, room) = (30_000, Vec::new(), 30_000);
        cache.save(at(1100), Duration::ZERO, room, &mut |_, pack| {
            left -= pack.octets().len() as i64;
            if left < 0 {
                return false;
            }
            let (octets, mut fields) = (pack.octets().to_vec(), Fields::of(pack.octets()));
            kept.push(fields.bytes().map_or(octets, <[u8]>::to_vec));
            true
        });
        let hot = (0..1_000).step_by(10).filter(|number| kept.contains(&name_of(*number).wire().to_vec())).count();
        assert!((98..=100).contains(&hot) && kept.len() > 150, "{hot} of 100 among {}", kept.len());
    }

    #[test]
    fn under_other_anchors_nothing_counts_as_validated() {
        let (cache, _) = restarted(false);
        let now = at(160);
        assert_eq!(cache.rrset_of(&name("www.example"), Rtype::A, Security::Insecure, now), None);
        assert!(cache.negative(&name("gone.example"), Rtype::A, Security::Insecure, Reach::default(), now).is_none());
        assert!(cache.rrset(&name("www.example"), Rtype::A, now).is_some());
    }

    #[test]
    fn what_was_learned_since_stays_and_a_cut_record_is_nothing() {
        let clocks = |age| Now { mono: age, age, unix: UnixTime(0) };
        let passage = Passage::new(clocks(at(1100)), clocks(at(1100)), Duration::ZERO);
        let cache = cache();
        cache.keep(set("www.example", 77, Security::Insecure), at(1000));
        full().save(at(1100), Duration::ZERO, u64::MAX, &mut |part, pack| {
            for cut in 0..pack.octets().len() {
                let record = Fields::of(&pack.octets()[..cut]);
                assert_eq!(
                    crate::cache::tests::cache().load(part, record, &passage, true),
                    None,
                    "part {part} cut after {cut}"
                );
            }
            cache.load(part, Fields::of(pack.octets()), &passage, true).expect("a record");
            true
        });
        let www = cache.last_rrset(&name("www.example"), Rtype::A, Security::Insecure).expect("there");
        assert_eq!(www.ttl, 77);
    }
}
