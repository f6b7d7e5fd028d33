//! Records without people in them: addresses and names are replaced so that the same stay the same, and what lies
//! together stays together.

use std::hash::Hasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use siphasher::sip::SipHasher24;

use super::Message;
use crate::load::packet::HEADER;
use crate::wire::wire_name_len;

/// Labels from the right that stay readable: the top-level domain and the one below it.
const KEPT_LABELS: usize = 2;

/// Replaces addresses, and names if wanted, by a secret key. Without the key it cannot be undone; with the same key two
/// records fit together.
#[derive(Clone, Copy)]
pub struct Mask {
    key: [u8; 16],
    names: bool,
}

impl Mask {
    /// With a key. `names` replaces the labels of names too, but for the last two.
    pub fn new(key: [u8; 16], names: bool) -> Mask {
        Mask { key, names }
    }

    /// Replaces what is in a message. Where names are replaced, responses keep header and question alone, as names
    /// stand in their records too; options of queries, which may tell of clients, are emptied either way.
    pub fn apply(&self, message: &mut Message) {
        let ends = [&mut message.client, &mut message.server];
        for end in ends.into_iter().flatten() {
            *end = SocketAddr::new(self.address(end.ip()), end.port());
        }
        strip_options(&mut message.packet);
        if self.names {
            self.rename(&mut message.packet);
        }
    }

    /// An address in place of another: those that shared a prefix share one of the same length (as Crypto-PAn does, J.
    /// Xu et al., 2002).
    pub fn address(&self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(v4) => {
                let masked = self.prefix_preserving(u128::from(u32::from(v4)) << 96, 32, 4);
                IpAddr::V4(Ipv4Addr::from((masked >> 96) as u32))
            }
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(self.prefix_preserving(u128::from(v6), 128, 6))),
        }
    }

    /// Each bit is turned, or not, by a secret function of the bits before it.
    fn prefix_preserving(&self, address: u128, bits: u32, family: u8) -> u128 {
        let mut out = address;
        for bit in 0..bits {
            let before = if bit == 0 { 0 } else { address >> (128 - bit) << (128 - bit) };
            let mut hasher = SipHasher24::new_with_key(&self.key);
            hasher.write(&before.to_be_bytes());
            hasher.write(&[family, bit as u8]);
            out ^= u128::from(hasher.finish() & 1) << (127 - bit);
        }
        out
    }

    /// Replaces the labels of the question, keeping their lengths; what follows it goes, but for an OPT record.
    fn rename(&self, packet: &mut Vec<u8>) {
        let Some(rest) = packet.get(HEADER..) else { return };
        let Some(length) = wire_name_len(rest).filter(|length| rest.len() >= length + 4) else {
            packet.truncate(HEADER);
            return;
        };
        let starts = label_starts(&rest[..length]);
        let masked = starts.len().saturating_sub(KEPT_LABELS);
        for at in &starts[..masked] {
            let begin = HEADER + at + 1;
            let end = begin + usize::from(packet[begin - 1]);
            let lower = packet[begin..end].to_ascii_lowercase();
            let mut hasher = SipHasher24::new_with_key(&self.key);
            hasher.write(&lower);
            let mut state = hasher.finish() | 1;
            for octet in &mut packet[begin..end] {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *octet = b'a' + ((state >> 33) % 26) as u8;
            }
        }
        let question = HEADER + length + 4;
        let opt = packet.get(question..question + 11).filter(|record| record[..3] == [0, 0, 41]).map(<[u8]>::to_vec);
        packet.truncate(question);
        packet[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(opt.is_some())]);
        if let Some(mut opt) = opt {
            opt[9..11].fill(0);
            packet.extend(opt);
        }
    }
}

fn label_starts(name: &[u8]) -> Vec<usize> {
    let (mut starts, mut at) = (Vec::new(), 0);
    while let Some(&length) = name.get(at).filter(|length| **length > 0) {
        starts.push(at);
        at += usize::from(length) + 1;
    }
    starts
}

/// Empties the OPT record of a query, where it follows the question as it nearly always does.
fn strip_options(packet: &mut Vec<u8>) {
    let Some([0, 1, 0, 0, 0, 0, 0, 1]) = packet.get(4..12) else { return };
    let Some(rest) = packet.get(HEADER..) else { return };
    let Some(length) = wire_name_len(rest) else { return };
    let opt = HEADER + length + 4;
    if packet.get(opt..opt + 3) == Some(&[0, 0, 41]) && packet.len() >= opt + 11 {
        packet.truncate(opt + 11);
        packet[opt + 9..].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::packet::{Form, write_query};
    use crate::wire::Name;

    fn common(a: IpAddr, b: IpAddr) -> u32 {
        match (a, b) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (u32::from(a) ^ u32::from(b)).leading_zeros(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a) ^ u128::from(b)).leading_zeros(),
            _ => 0,
        }
    }

    #[test]
    fn prefixes_shared_before_are_shared_after_and_no_others() {
        let mask = Mask::new([7; 16], false);
        let addresses: Vec<IpAddr> =
            ["192.0.2.1", "192.0.2.2", "192.0.3.1", "10.0.0.1", "2001:db8::1", "2001:db8::2", "2001:db8:1::1"]
                .map(|text| text.parse().unwrap())
                .to_vec();
        for a in &addresses {
            assert_eq!(mask.address(*a), mask.address(*a));
            assert_ne!(Mask::new([8; 16], false).address(*a), mask.address(*a));
            for b in addresses.iter().filter(|b| b.is_ipv4() == a.is_ipv4()) {
                assert_eq!(common(*a, *b), common(mask.address(*a), mask.address(*b)), "{a} {b}");
            }
        }
    }

    #[test]
    fn names_keep_their_shape_and_their_last_two_labels() {
        let mask = Mask::new([7; 16], true);
        let masked = |name: &str| {
            let mut packet = Vec::new();
            write_query(&mut packet, Name::parse(name).unwrap().wire(), 1, Form::default());
            packet.truncate(packet.len() - 1);
            packet.push(4);
            packet.extend_from_slice(&[0, 8, 0, 0]);
            let mut message = Message { at: Default::default(), client: None, server: None, tcp: false, packet };
            mask.apply(&mut message);
            assert_eq!(message.packet.len(), 12 + name.len() + 1 + 4 + 11, "no options are left");
            super::super::lines::question(&message.packet).unwrap().0.to_string()
        };
        let (one, two) = (masked("alice.mail.example.com."), masked("bob.mail.example.com."));
        assert!(one.ends_with(".example.com.") && !one.contains("alice"));
        assert_eq!(one.len(), "alice.mail.example.com.".len());
        assert_eq!(one.split('.').nth(1), two.split('.').nth(1), "the same label stays the same");
    }
}
