//! DNS messages out of TCP segments, as a capture has them: in any order, twice, or with some missing.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

/// Directions of connections followed at a time.
const MOST_FLOWS: usize = 65_536;
/// Octets of a direction that wait for what lies before them.
const MOST_WAITING: usize = 256 << 10;

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
    /// The next octet's sequence number.
    next: u32,
    buffer: Vec<u8>,
    /// Segments that came early, by their distance from the first.
    early: BTreeMap<u32, Vec<u8>>,
    waiting: usize,
    /// Counts uses, to give up the one longest without.
    used: u64,
}

/// The directions under way.
#[derive(Default)]
pub(super) struct Flows {
    flows: HashMap<(SocketAddr, SocketAddr), Flow>,
    clock: u64,
    /// Segments of no use, as what lies before them was never seen.
    pub(super) lost: u64,
}

impl Flows {
    /// Takes a segment, and gives the messages it completes.
    pub(super) fn take(&mut self, ends: (SocketAddr, SocketAddr), segment: &Segment<'_>) -> Vec<Vec<u8>> {
        self.clock += 1;
        if segment.opens {
            self.room();
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
        if !flow.add(segment.sequence, segment.data) {
            self.lost += 1;
        }
        let messages = flow.messages();
        if segment.closes {
            self.flows.remove(&ends);
        }
        messages
    }

    fn room(&mut self) {
        if self.flows.len() < MOST_FLOWS {
            return;
        }
        // Half of them at once, so that this is seldom.
        let mut uses: Vec<u64> = self.flows.values().map(|flow| flow.used).collect();
        let middle = uses.len() / 2;
        let (_, median, _) = uses.select_nth_unstable(middle);
        let median = *median;
        self.flows.retain(|_, flow| flow.used > median);
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
    /// Adds data; whether there was room for it.
    fn add(&mut self, sequence: u32, data: &[u8]) -> bool {
        let ahead = sequence.wrapping_sub(self.next) as i32;
        if ahead > 0 {
            if self.waiting + data.len() > MOST_WAITING {
                return false;
            }
            self.waiting += data.len();
            self.early.insert(sequence, data.to_vec());
            return true;
        }
        let known = ahead.unsigned_abs() as usize;
        if let Some(fresh) = data.get(known..) {
            self.buffer.extend_from_slice(fresh);
            self.next = self.next.wrapping_add(fresh.len() as u32);
        }
        while let Some(sequence) =
            self.early.keys().copied().find(|sequence| sequence.wrapping_sub(self.next) as i32 <= 0)
        {
            let Some(data) = self.early.remove(&sequence) else { break };
            self.waiting -= data.len();
            let known = self.next.wrapping_sub(sequence) as usize;
            if let Some(fresh) = data.get(known..) {
                self.buffer.extend_from_slice(fresh);
                self.next = self.next.wrapping_add(fresh.len() as u32);
            }
        }
        true
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
}
