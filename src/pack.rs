//! Octets written one field after the other, and read back as far as they make sense: what is kept over a restart.
//!
//! Numbers are big-endian; octets and lists stand behind their length. Times are those of the process that wrote
//! them; a [`Passage`] takes them to the clocks of the one that reads.

use std::time::Duration;

use crate::clock::{Moment, Now};

/// A record being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pack(Vec<u8>);

impl Pack {
    /// An empty record.
    pub fn new() -> Pack {
        Pack::default()
    }

    /// What has been written.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn u8(&mut self, value: u8) -> &mut Pack {
        self.0.push(value);
        self
    }

    pub fn u16(&mut self, value: u16) -> &mut Pack {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub fn u32(&mut self, value: u32) -> &mut Pack {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub fn u64(&mut self, value: u64) -> &mut Pack {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub fn u128(&mut self, value: u128) -> &mut Pack {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub fn f32(&mut self, value: f32) -> &mut Pack {
        self.u32(value.to_bits())
    }

    pub fn moment(&mut self, value: Moment) -> &mut Pack {
        self.u64(value.as_nanos())
    }

    /// Octets behind their length. More than 65,535 of them are cut: nothing of DNS is longer.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Pack {
        let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
        self.u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
        self.0.extend_from_slice(value);
        self
    }

    /// A list behind its length, of which `one` writes each. What comes after the 65,535th is left out.
    pub fn list<T>(&mut self, items: impl ExactSizeIterator<Item = T>, mut one: impl FnMut(&mut Pack, T)) -> &mut Pack {
        self.u16(u16::try_from(items.len()).unwrap_or(u16::MAX));
        for item in items.take(usize::from(u16::MAX)) {
            one(self, item);
        }
        self
    }
}

/// A record being read. Every read is `None` where there is not enough of it left.
#[derive(Clone, Debug)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The fields of a record.
    pub fn of(octets: &'a [u8]) -> Fields<'a> {
        Fields(octets)
    }

    /// Nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[octet]| octet)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    pub fn u128(&mut self) -> Option<u128> {
        self.take().map(u128::from_be_bytes)
    }

    /// `None` for what is no finite number, too.
    pub fn f32(&mut self) -> Option<f32> {
        self.u32().map(f32::from_bits).filter(|value| value.is_finite())
    }

    pub fn moment(&mut self) -> Option<Moment> {
        self.u64().map(Moment::from_nanos)
    }

    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.u16()?);
        let (first, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(first)
    }

    /// A list of which `one` reads each; `None` as soon as one of them is.
    pub fn list<T>(&mut self, mut one: impl FnMut(&mut Fields<'a>) -> Option<T>) -> Option<Vec<T>> {
        let count = self.u16()?;
        // Not reserved: the length may be anything.
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(one(self)?);
        }
        Some(items)
    }
}

/// From the clocks of one process to those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    mono: i128,
    age: i128,
    /// How long it is since the record was written.
    pub elapsed: Duration,
}

impl Passage {
    /// What the clocks showed when it was written, what they show now, and how long that took by the wall clock.
    pub fn new(written: Now, now: Now, elapsed: Duration) -> Passage {
        let shift = |from: Moment, to: Moment| {
            i128::from(to.as_nanos()) - i128::from(from.as_nanos()) - elapsed.as_nanos() as i128
        };
        Passage { mono: shift(written.mono, now.mono), age: shift(written.age, now.age), elapsed }
    }

    /// A time by the clock of timers. Zero stays zero, which stands for never.
    pub fn mono(&self, at: Moment) -> Moment {
        moved(at, self.mono)
    }

    /// A time by the clock of ages.
    pub fn age(&self, at: Moment) -> Moment {
        moved(at, self.age)
    }
}

fn moved(at: Moment, by: i128) -> Moment {
    if at == Moment::ZERO || at == Moment::NEVER {
        return at;
    }
    let nanos = (i128::from(at.as_nanos()) + by).clamp(1, i128::from(u64::MAX));
    Moment::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixTime;

    #[test]
    fn what_was_written_is_read_and_nothing_more() {
        let mut pack = Pack::new();
        pack.u8(1).u16(2).u32(3).u64(4).u128(5).f32(0.5).moment(Moment::from_nanos(6)).bytes(b"seven");
        pack.list([8u8, 9].iter(), |pack, one| {
            pack.u8(*one);
        });
        let mut fields = Fields::of(pack.octets());
        assert_eq!((fields.u8(), fields.u16(), fields.u32(), fields.u64()), (Some(1), Some(2), Some(3), Some(4)));
        assert_eq!((fields.u128(), fields.f32()), (Some(5), Some(0.5)));
        assert_eq!((fields.moment(), fields.bytes()), (Some(Moment::from_nanos(6)), Some(&b"seven"[..])));
        assert_eq!(fields.list(Fields::u8), Some(vec![8, 9]));
        assert!(fields.is_empty());
        assert_eq!(fields.u8(), None);
        for cut in 0..pack.octets().len() {
            let mut fields = Fields::of(&pack.octets()[..cut]);
            let whole = fields.u8().and(fields.u16()).and(fields.u32()).and(fields.u64()).and(fields.u128());
            let whole = whole.and(fields.f32()).and(fields.moment()).and(fields.bytes());
            assert_eq!(whole.and(fields.list(Fields::u8)), None, "cut after {cut}");
        }
    }

    #[test]
    fn times_keep_their_distance_from_now_over_a_restart_of_the_machine() {
        let clocks = |seconds: u64| {
            let at = Moment::from_nanos(seconds * 1_000_000_000);
            Now { mono: at, age: at, unix: UnixTime(0) }
        };
        let passage = Passage::new(clocks(10_000), clocks(5_000), Duration::from_secs(60));
        assert_eq!(passage.mono(clocks(9_990).mono), clocks(4_930).mono, "ten seconds before, seventy now");
        assert_eq!(passage.age(clocks(10_100).age), clocks(5_040).age);
        assert_eq!(passage.mono(Moment::ZERO), Moment::ZERO);
        assert_eq!(passage.mono(clocks(1).mono), Moment::from_nanos(1), "before the clock began");
    }
}
