//! Writing messages: compression in bounded work, and a size that is never exceeded.

use super::message::HEADER;
use super::name::wire_name_len;
use super::types::Rtype;

/// Names remembered for compression; beyond them names are written whole, so that output costs
/// no more than linear work (RUSTSEC-2026-0119, CVE-2024-8508).
const REMEMBERED: usize = 48;
/// Offsets beyond this cannot be pointed at.
const FARTHEST: usize = 0x3fff;

/// The message would be larger than its limit: what was begun has been taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// Writes an OPT record at the end of a message (RFC 6891 §6.1.2); `options` is a sequence of whole options.
pub fn write_opt(out: &mut Vec<u8>, udp_payload_size: u16, extended_rcode: u8, dnssec_ok: bool, options: &[u8]) {
    let [size_high, size_low] = udp_payload_size.to_be_bytes();
    let length = u16::try_from(options.len()).unwrap_or(0);
    let [high, low] = length.to_be_bytes();
    let dnssec_ok = if dnssec_ok { 0x80 } else { 0 };
    out.extend_from_slice(&[0, 0, 41, size_high, size_low, extended_rcode, 0, dnssec_ok, 0, high, low]);
    out.extend_from_slice(options.get(..usize::from(length)).unwrap_or(&[]));
}

/// Where a record stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    Answer = 0,
    Authority = 1,
    Additional = 2,
}

/// Writes one message into a buffer.
pub struct Composer<'a> {
    out: &'a mut Vec<u8>,
    limit: usize,
    counts: [u16; 3],
    known: [(u32, u16); REMEMBERED],
    known_len: usize,
    compress: bool,
}

impl<'a> Composer<'a> {
    /// Begins a message of at most `limit` octets; `out` is cleared.
    pub fn new(out: &'a mut Vec<u8>, id: u16, flags: u16, limit: usize) -> Composer<'a> {
        out.clear();
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&flags.to_be_bytes());
        out.extend_from_slice(&[0; 8]);
        Composer { out, limit, counts: [0; 3], known: [(0, 0); REMEMBERED], known_len: 0, compress: true }
    }

    /// Leaves room for `octets` at the end, an OPT record's.
    pub fn reserve(&mut self, octets: usize) {
        self.limit = self.limit.saturating_sub(octets);
    }

    /// Gives back what was reserved.
    pub fn release(&mut self, octets: usize) {
        self.limit += octets;
    }

    /// Writes the question: name in its own case, type, class, as a client sent it.
    pub fn question(&mut self, question: &[u8]) {
        let at = self.out.len();
        self.out.extend_from_slice(question);
        if let Some(count) = self.out.get_mut(4..6) {
            count.copy_from_slice(&[0, 1]);
        }
        self.remember(at, question.get(..question.len().saturating_sub(4)).unwrap_or(&[]));
    }

    /// Writes one record, or nothing if it does not fit.
    pub fn record(
        &mut self,
        section: Section,
        owner: &[u8],
        rtype: Rtype,
        class: u16,
        ttl: u32,
        rdata: &[u8],
    ) -> Result<(), Full> {
        let start = self.out.len();
        let known = self.known_len;
        self.name(owner);
        self.out.extend_from_slice(&rtype.0.to_be_bytes());
        self.out.extend_from_slice(&class.to_be_bytes());
        self.out.extend_from_slice(&ttl.to_be_bytes());
        let length_at = self.out.len();
        self.out.extend_from_slice(&[0, 0]);
        self.rdata(rtype, rdata);
        let length = u16::try_from(self.out.len() - length_at - 2);
        let (Ok(length), true) = (length, self.out.len() <= self.limit) else {
            self.out.truncate(start);
            self.known_len = known;
            return Err(Full);
        };
        if let Some(field) = self.out.get_mut(length_at..length_at + 2) {
            field.copy_from_slice(&length.to_be_bytes());
        }
        self.counts[section as usize] = self.counts[section as usize].saturating_add(1);
        Ok(())
    }

    /// Where the message stands, to come back to with [`Composer::rewind`].
    pub fn mark(&self) -> Mark {
        Mark { length: self.out.len(), counts: self.counts, known: self.known_len }
    }

    /// Takes back everything since `mark`.
    pub fn rewind(&mut self, mark: Mark) {
        self.out.truncate(mark.length);
        self.counts = mark.counts;
        self.known_len = mark.known;
    }

    /// Sets bits of the flags.
    pub fn set_flags(&mut self, bits: u16) {
        let [high, low] = bits.to_be_bytes();
        if let Some([a, b]) = self.out.get_mut(2..4) {
            *a |= high;
            *b |= low;
        }
    }

    /// Writes the OPT record; `options` is a sequence of whole options.
    pub fn edns(&mut self, udp_payload_size: u16, extended_rcode: u8, dnssec_ok: bool, options: &[u8]) {
        write_opt(self.out, udp_payload_size, extended_rcode, dnssec_ok, options);
        self.counts[2] = self.counts[2].saturating_add(1);
    }

    /// Writes the counts.
    pub fn finish(self) {
        for (count, at) in self.counts.iter().zip([6, 8, 10]) {
            if let Some(field) = self.out.get_mut(at..at + 2) {
                field.copy_from_slice(&count.to_be_bytes());
            }
        }
    }

    /// Only the types of RFC 1035 may have compressed names in their data (RFC 3597 §4).
    fn rdata(&mut self, rtype: Rtype, rdata: &[u8]) {
        let (before, names) = match rtype.0 {
            2 | 5 | 12 => (0, 1),
            6 => (0, 2),
            15 => (2, 1),
            _ => (rdata.len(), 0),
        };
        let (head, mut rest) = rdata.split_at(before.min(rdata.len()));
        self.out.extend_from_slice(head);
        for _ in 0..names {
            let Some(length) = wire_name_len(rest) else { break };
            let (name, after) = rest.split_at(length);
            self.name(name);
            rest = after;
        }
        self.out.extend_from_slice(rest);
    }

    /// Writes a name, compressed where an end of it was written before.
    fn name(&mut self, name: &[u8]) {
        let mut suffixes = [0u8; 128];
        let (count, hashes) = hash_suffixes(name, &mut suffixes);
        if self.compress {
            for index in 0..count {
                let start = usize::from(suffixes[index]);
                let suffix = name.get(start..).unwrap_or(&[0]);
                if let Some(target) = self.find(hashes[index.min(hashes.len() - 1)], index, suffix) {
                    let at = self.out.len();
                    self.out.extend_from_slice(name.get(..start).unwrap_or(&[]));
                    self.out.extend_from_slice(&(0xc000 | target).to_be_bytes());
                    self.remember_suffixes(at, &suffixes[..index], &hashes);
                    return;
                }
            }
        }
        let at = self.out.len();
        self.out.extend_from_slice(name);
        self.remember_suffixes(at, &suffixes[..count], &hashes);
    }

    fn remember(&mut self, at: usize, name: &[u8]) {
        let mut suffixes = [0u8; 128];
        let (count, hashes) = hash_suffixes(name, &mut suffixes);
        self.remember_suffixes(at, &suffixes[..count], &hashes);
    }

    fn remember_suffixes(&mut self, at: usize, suffixes: &[u8], hashes: &[u32; HASHED]) {
        for (index, &start) in suffixes.iter().enumerate().take(HASHED) {
            let place = at + usize::from(start);
            if self.known_len == REMEMBERED || place > FARTHEST {
                return;
            }
            self.known[self.known_len] = (hashes[index], u16::try_from(place).unwrap_or(0));
            self.known_len += 1;
        }
    }

    fn find(&self, hash: u32, index: usize, suffix: &[u8]) -> Option<u16> {
        if index >= HASHED {
            return None;
        }
        let known = self.known.get(..self.known_len)?;
        known.iter().find(|&&(h, at)| h == hash && self.same_name(usize::from(at), suffix)).map(|&(_, at)| at)
    }

    /// Is the name written at `at` this one, in any case?
    fn same_name(&self, mut at: usize, mut name: &[u8]) -> bool {
        for _ in 0..256 {
            let Some(&length) = self.out.get(at) else { return false };
            if length >= 0xc0 {
                let low = self.out.get(at + 1).copied().unwrap_or(0);
                at = usize::from(length & 0x3f) << 8 | usize::from(low);
                continue;
            }
            let end = usize::from(length) + 1;
            let (Some(here), Some(there)) = (self.out.get(at..at + end), name.get(..end)) else { return false };
            if !here.eq_ignore_ascii_case(there) {
                return false;
            }
            if length == 0 {
                return true;
            }
            at += end;
            name = name.get(end..).unwrap_or(&[]);
        }
        false
    }
}

/// A place in a message under construction.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    length: usize,
    counts: [u16; 3],
    known: usize,
}

/// Suffixes of a name that take part in compression; deeper names are written whole beyond.
const HASHED: usize = 16;

/// The start of every suffix of a name (the root not counted) and the hash of each.
fn hash_suffixes(name: &[u8], starts: &mut [u8; 128]) -> (usize, [u32; HASHED]) {
    let mut count = 0;
    let mut at = 0usize;
    while let Some(&length) = name.get(at) {
        if length == 0 || count == starts.len() {
            break;
        }
        starts[count] = u8::try_from(at).unwrap_or(0);
        count += 1;
        at += usize::from(length) + 1;
    }
    let mut hashes = [0u32; HASHED];
    let mut hash = 0x811c_9dc5u32;
    let mut end = at.min(name.len());
    for index in (0..count).rev() {
        let start = usize::from(starts[index]);
        for octet in name.get(start..end).unwrap_or(&[]) {
            hash = (hash ^ u32::from(octet.to_ascii_lowercase())).wrapping_mul(0x0100_0193);
        }
        end = start;
        if let Some(slot) = hashes.get_mut(index) {
            *slot = hash;
        }
    }
    (count, hashes)
}

/// Patches the ID into a message.
pub fn set_id(packet: &mut [u8], id: u16) {
    if let Some(field) = packet.get_mut(..2) {
        field.copy_from_slice(&id.to_be_bytes());
    }
}

/// A header alone, with `flags`, echoing the ID: the answer to what cannot be read.
pub fn header_only(out: &mut Vec<u8>, id: u16, flags: u16) {
    out.clear();
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&flags.to_be_bytes());
    out.resize(HEADER, 0);
}

#[cfg(test)]
mod tests {
    use super::super::message::Message;
    use super::super::name::Name;
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).expect(text)
    }

    #[test]
    fn owners_and_targets_are_compressed_against_the_question() {
        let mut out = Vec::new();
        let mut composer = Composer::new(&mut out, 7, 0x8180, 1232);
        composer.question(b"\x03WwW\x07example\x03com\0\0\x01\0\x01");
        let www = name("www.example.com");
        composer
            .record(Section::Answer, www.wire(), Rtype::CNAME, 1, 60, b"\x03CDN\x07EXAMPLE\x03com\0")
            .expect("room");
        composer.record(Section::Answer, name("cdn.example.com").wire(), Rtype::A, 1, 60, &[1, 2, 3, 4]).expect("room");
        composer.finish();
        // 12 header, 21 question, 12 + "cdn" and a pointer, 12 + 4 address.
        assert_eq!(out.len(), 12 + 21 + (12 + 6) + (12 + 4));
        let message = Message::parse(&out).expect("readable");
        assert_eq!(message.answers()[1].owner, name("cdn.example.com"));
        assert_eq!(message.rdata(&message.answers()[0]), b"\x03CDN\x07example\x03com\0");
    }

    #[test]
    fn what_does_not_fit_is_taken_back_whole() {
        let mut out = Vec::new();
        let mut composer = Composer::new(&mut out, 7, 0x8180, 40);
        composer.question(b"\x01a\0\0\x01\0\x01");
        assert_eq!(composer.record(Section::Answer, b"\x01a\0", Rtype::A, 1, 0, &[1, 2, 3, 4]), Ok(()));
        assert_eq!(composer.record(Section::Answer, b"\x01a\0", Rtype::A, 1, 0, &[1, 2, 3, 5]), Err(Full));
        composer.finish();
        assert_eq!(Message::parse(&out).map(|m| m.answers().len()), Ok(1));
    }
}
