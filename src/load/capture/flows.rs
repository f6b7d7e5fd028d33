//! DNS messages out of TCP segments, as a capture has them: in any order, twice, or with some missing.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

/// Directions of connections followed at a time.
const MOST_FLOWS: usize = 65_536;
/// Octets of a direction that wait for what lies before them, and the segments they may come in.
const MOST_WAITING: usize = 256 << 10;
const MOST_EARLY: usize = 4096;
/// Octets that all directions hold together; beyond it, those longest without a segment are given up.
const MOST_HELD: usize = 256 << 20;

/// A segment, as far as it matters here.
pub(super) struct Segment<'a> {
    pub(super) sequence: u32,
    /// SYN.
    pub(super) opens: bool,
    /// FIN or RST.
    pub(super) closes: bool,
    pub(super) data: &'a [u8],
}

/// One direction of a connection.
#[derive(Default)]
struct Flow {
    /// The next octet's sequence number, and how many octets came before it.
    next: u32,
    taken: u64,
    buffer: Vec<u8>,
    /// Segments that came early, by how many octets come before them.
    early: BTreeMap<u64, Vec<u8>>,
    waiting: usize,
    /// Counts uses, to give up the one longest without.
    used: u64,
}

/// The directions under way.
#[derive(Default)]
pub(super) struct Flows {
    flows: HashMap<(SocketAddr, SocketAddr), Flow>,
    clock: u64,
    /// Octets that all of them hold.
    held: usize,
    /// Segments of no use, as what lies before them was never seen or there was no room to wait for it.
    pub(super) lost: u64,
}

impl Flows {
    /// Takes a segment, and gives the messages it completes.
    pub(super) fn take(&mut self, ends: (SocketAddr, SocketAddr), segment: &Segment<'_>) -> Vec<Vec<u8>> {
        self.clock += 1;
        if segment.opens {
            self.room();
            self.forget(&ends);
            let next = segment.sequence.wrapping_add(1);
            self.flows.insert(ends, Flow { next, used: self.clock, ..Flow::default() });
            return Vec::new();
        }
        if !self.flows.contains_key(&ends) && !segment.data.is_empty() {
            // Seen from the middle: it is followed if a message seems to begin here.
            if !is_beginning(segment.data) {
                self.lost += 1;
                return Vec::new();
            }
            self.room();
            self.flows.insert(ends, Flow { next: segment.sequence, ..Flow::default() });
        }
        let Some(flow) = self.flows.get_mut(&ends) else { return Vec::new() };
        flow.used = self.clock;
        self.held -= flow.held();
        if !flow.add(segment.sequence, segment.data) {
            self.lost += 1;
        }
        let messages = flow.messages();
        self.held += flow.held();
        if segment.closes {
            self.forget(&ends);
        }
        if self.held > MOST_HELD {
            self.shed();
        }
        messages
    }

    fn forget(&mut self, ends: &(SocketAddr, SocketAddr)) {
        self.held -= self.flows.remove(ends).map_or(0, |flow| flow.held());
    }

    fn room(&mut self) {
        if self.flows.len() >= MOST_FLOWS {
            self.shed();
        }
    }

    fn shed(&mut self) {
        // Half of them at once, so that this is seldom.
        let mut uses: Vec<u64> = self.flows.values().map(|flow| flow.used).collect();
        let middle = uses.len() / 2;
        let (_, median, _) = uses.select_nth_unstable(middle);
        let median = *median;
        let mut lost = 0;
        self.flows.retain(|_, flow| {
            let kept = flow.used > median;
            lost += if kept { 0 } else { flow.early.len() as u64 + u64::from(!flow.buffer.is_empty()) };
            kept
        });
        self.lost += lost;
        self.held = self.flows.values().map(Flow::held).sum();
    }
}

/// Whether a message with its length may begin here.
fn is_beginning(data: &[u8]) -> bool {
    match data {
        [high, low, ..] => (12..=data.len().max(1500)).contains(&(usize::from(*high) << 8 | usize::from(*low))),
        _ => false,
    }
}

impl Flow {
    fn held(&self) -> usize {
        self.buffer.len() + self.waiting
    }

    /// Adds data; whether there was room for it.
    fn add(&mut self, sequence: u32, data: &[u8]) -> bool {
        let ahead = sequence.wrapping_sub(self.next) as i32;
        if ahead > 0 && !data.is_empty() {
            let place = self.taken + u64::from(ahead.unsigned_abs());
            let known = self.early.get(&place).map(Vec::len);
            if known.is_some_and(|known| known >= data.len()) {
                return true;
            }
            if self.waiting + data.len() > MOST_WAITING || (known.is_none() && self.early.len() >= MOST_EARLY) {
                return false;
            }
            self.waiting += data.len() - known.unwrap_or(0);
            self.early.insert(place, data.to_vec());
            return true;
        }
        if ahead <= 0 {
            self.append(ahead.unsigned_abs() as usize, data);
        }
        while let Some(entry) = self.early.first_entry().filter(|entry| *entry.key() <= self.taken) {
            let (place, data) = entry.remove_entry();
            self.waiting -= data.len();
            self.append((self.taken - place) as usize, &data);
        }
        true
    }

    /// Takes data of which the first `known` octets were there already.
    fn append(&mut self, known: usize, data: &[u8]) {
        if let Some(fresh) = data.get(known..) {
            self.buffer.extend_from_slice(fresh);
            self.next = self.next.wrapping_add(fresh.len() as u32);
            self.taken += fresh.len() as u64;
        }
    }

    fn messages(&mut self) -> Vec<Vec<u8>> {
        let (mut found, mut at) = (Vec::new(), 0);
        while let Some(&[high, low]) = self.buffer.get(at..at + 2) {
            let end = at + 2 + (usize::from(high) << 8 | usize::from(low));
            let Some(message) = self.buffer.get(at + 2..end) else { break };
            found.push(message.to_vec());
            at = end;
        }
        self.buffer.drain(..at);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> (SocketAddr, SocketAddr) {
        ("192.0.2.1:4000".parse().unwrap(), "192.0.2.2:53".parse().unwrap())
    }

    fn segment(sequence: u32, data: &[u8]) -> Segment<'_> {
        Segment { sequence, opens: false, closes: false, data }
    }

    #[test]
    fn messages_come_out_whole_whatever_the_order() {
        let stream: Vec<u8> = [&[0u8, 13][..], &[1; 13], &[0, 20], &[2; 20]].concat();
        for cut in [1, 2, 5, 16, 30] {
            let mut flows = Flows::default();
            let start = u32::MAX - 10; // sequence numbers wrap
            flows.take(ends(), &Segment { sequence: start.wrapping_sub(1), opens: true, closes: false, data: &[] });
            let pieces: Vec<(u32, &[u8])> = stream
                .chunks(cut)
                .enumerate()
                .map(|(n, piece)| (start.wrapping_add((n * cut) as u32), piece))
                .collect();
            let mut found = Vec::new();
            for (sequence, piece) in pieces.iter().rev().chain(pieces.iter()) {
                found.extend(flows.take(ends(), &segment(*sequence, piece)));
            }
            assert_eq!(found, [vec![1; 13], vec![2; 20]], "in pieces of {cut}");
        }
    }

    #[test]
    fn a_connection_seen_from_the_middle_is_followed_where_a_message_begins() {
        let mut flows = Flows::default();
        assert!(flows.take(ends(), &segment(77, &[0xff; 40])).is_empty());
        assert_eq!(flows.lost, 1);
        let message: Vec<u8> = [&[0u8, 12][..], &[7; 12]].concat();
        assert_eq!(flows.take(ends(), &segment(200, &message)), [vec![7; 12]]);
    }

    /// Each early segment was once compared with all the others.
    #[test]
    fn segments_that_wait_are_bounded_and_counted() {
        let mut flows = Flows::default();
        flows.take(ends(), &Segment { sequence: 0, opens: true, closes: false, data: &[] });
        let many = 200_000u32;
        for n in (2..many).rev() {
            flows.take(ends(), &segment(n, &[7]));
        }
        assert_eq!((flows.lost, flows.held), (u64::from(many) - 2 - MOST_EARLY as u64, MOST_EARLY));
        // Over and over, what waits does not grow.
        let mut flows = Flows::default();
        flows.take(ends(), &Segment { sequence: 0, opens: true, closes: false, data: &[] });
        for _ in 0..10 {
            flows.take(ends(), &segment(3, &[1; 12]));
        }
        assert_eq!((flows.lost, flows.held), (0, 12));
        assert_eq!(flows.take(ends(), &segment(1, &[0, 12])), [vec![1; 12]]);
        assert_eq!(flows.held, 0);
    }
}
