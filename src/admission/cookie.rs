//! Server cookies (RFC 7873) as all servers make them (RFC 9018), so that servers which share a
//! secret know each other's.

use std::net::IpAddr;

use siphasher::sip::SipHasher24;

use crate::clock::UnixTime;

/// Octets of a client cookie.
pub const CLIENT: usize = 8;
/// Octets of a client cookie with the server cookie behind it.
pub const FULL: usize = 24;

/// A cookie is good for this long (RFC 9018 §4.3), in seconds.
const LIFETIME: i32 = 3_600;
/// An older one is replaced by a fresh one (the same section).
const RENEWAL: i32 = 1_800;
/// Clocks of servers that share a secret may differ by this (the same section).
const AHEAD: i32 = 300;

/// A cookie secret. It is never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; 16]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// What a cookie option is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Check {
    /// Made here, for this client and address, not long ago.
    Valid,
    /// The same, but it grows old: send a fresh one.
    Renew,
    /// Only a client cookie: the client has none of ours yet.
    ClientOnly,
    /// Not made here, for somebody else, or too long ago.
    Bad,
    /// Of a length that no cookie has: FORMERR (RFC 7873 §5.2.2).
    Malformed,
}

/// The secrets in use: the first makes cookies, all of them check. A new secret is added behind the
/// others on all servers, then moved to the front on all of them, then the old one is taken away after an
/// hour (RFC 9018 §5): at every moment each server takes what any other makes.
#[derive(Clone, Debug)]
pub struct Secrets(Vec<Secret>);

impl Secrets {
    /// `first` makes cookies; `others` are taken too.
    pub fn new(first: Secret, others: &[Secret]) -> Secrets {
        Secrets(std::iter::once(first).chain(others.iter().copied()).collect())
    }

    /// The whole cookie for a client at an address.
    pub fn make(&self, client: [u8; CLIENT], address: IpAddr, now: UnixTime) -> [u8; FULL] {
        let mut cookie = [0; FULL];
        cookie[..CLIENT].copy_from_slice(&client);
        // Version 1 and three reserved octets.
        cookie[8] = 1;
        cookie[12..16].copy_from_slice(&seconds(now).to_be_bytes());
        if let Some(secret) = self.0.first() {
            let hash = hash(&cookie, address, *secret);
            cookie[16..].copy_from_slice(&hash);
        }
        cookie
    }

    /// What the value of a cookie option is worth.
    pub fn check(&self, option: &[u8], address: IpAddr, now: UnixTime) -> Check {
        let cookie: &[u8; FULL] = match option.len() {
            CLIENT => return Check::ClientOnly,
            FULL => match option.try_into() {
                Ok(cookie) => cookie,
                Err(_) => return Check::Bad,
            },
            16..=40 => return Check::Bad,
            _ => return Check::Malformed,
        };
        let made = u32::from_be_bytes([cookie[12], cookie[13], cookie[14], cookie[15]]);
        // Serial arithmetic (RFC 1982): the count of seconds comes round in 2106.
        let age = seconds(now).wrapping_sub(made) as i32;
        if cookie[8] != 1 || !(-AHEAD..=LIFETIME).contains(&age) {
            return Check::Bad;
        }
        let is_ours = |secret: &&Secret| {
            // Every octet is looked at, so that the time it takes tells nothing.
            hash(cookie, address, **secret).iter().zip(&cookie[16..]).fold(0, |odd, (a, b)| odd | (a ^ b)) == 0
        };
        match self.0.iter().position(|secret| is_ours(&secret)) {
            None => Check::Bad,
            Some(0) if age <= RENEWAL => Check::Valid,
            Some(_) => Check::Renew,
        }
    }
}

fn seconds(now: UnixTime) -> u32 {
    now.0 as u32
}

/// The last eight octets of a cookie: a keyed hash of what stands before them and the address.
fn hash(cookie: &[u8; FULL], address: IpAddr, secret: Secret) -> [u8; 8] {
    let mut octets = [0; 32];
    octets[..16].copy_from_slice(&cookie[..16]);
    let length = match address.to_canonical() {
        IpAddr::V4(v4) => {
            octets[16..20].copy_from_slice(&v4.octets());
            20
        }
        IpAddr::V6(v6) => {
            octets[16..].copy_from_slice(&v6.octets());
            32
        }
    };
    SipHasher24::new_with_key(&secret.0).hash(&octets[..length]).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
    }

    fn secrets(text: &str) -> Secrets {
        Secrets::new(Secret(hex(text).try_into().expect("16 octets")), &[])
    }

    fn client(text: &str) -> [u8; 8] {
        hex(text)[..8].try_into().expect("8 octets")
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// RFC 9018, appendix A.
    #[test]
    fn cookies_are_those_of_the_standard() {
        let shared = secrets("e5e973e5a6b2a43f48e7dc849e37bfcf");
        let address = ip("198.51.100.100");
        let first = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
        let made = shared.make(client("2464c4abcf10c957"), address, UnixTime(0x5cf7_9f11));
        assert_eq!(made.to_vec(), hex(first));
        // A.2: forty minutes later it is renewed.
        let later = UnixTime(0x5cf7_a871);
        assert_eq!(shared.check(&hex(first), address, later), Check::Renew);
        let second = shared.make(client(first), address, later);
        assert_eq!(second.to_vec(), hex("2464c4abcf10c957010000005cf7a871d4a564a1442aca77"));
        // A.3: reserved octets of somebody else's are hashed as they are.
        let other = ip("203.0.113.203");
        let theirs = hex("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5");
        assert_eq!(shared.check(&theirs, other, UnixTime(0x5cf7_8f71 + 60)), Check::Valid);
        let renewed = shared.make(client("fc93fc62807ddb86"), other, UnixTime(0x5cf7_a9ac));
        assert_eq!(renewed.to_vec(), hex("fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e"));
    }

    /// RFC 9018, appendix A.4: the secret changes, over IPv6.
    #[test]
    fn a_secret_can_be_rolled_over() {
        let (old, new) = ("dd3bdf9344b678b185a6f5cb60fca715", "445536bcd2513298075a5d379663c962");
        let address = ip("2001:db8:220:1:59de:d0f4:8769:82b8");
        let theirs = hex("22681ab97d52c298010000005cf7c57926556bd0934c72f8");
        let soon = UnixTime(0x5cf7_c609);
        assert_eq!(secrets(old).check(&theirs, address, soon), Check::Valid);
        assert_eq!(secrets(new).check(&theirs, address, soon), Check::Bad);
        let Secrets(both) = secrets(new);
        let rolling = Secrets::new(both[0], &secrets(old).0);
        assert_eq!(rolling.check(&theirs, address, soon), Check::Renew);
        let fresh = rolling.make(client("22681ab97d52c298"), address, soon);
        assert_eq!(fresh.to_vec(), hex("22681ab97d52c298010000005cf7c609a6bb79d16625507a"));
    }

    #[test]
    fn age_address_length_and_version_are_checked() {
        let shared = secrets("e5e973e5a6b2a43f48e7dc849e37bfcf");
        let (address, now) = (ip("192.0.2.1"), UnixTime(1_750_000_000));
        let cookie = shared.make([7; 8], address, now);
        let after = |seconds: i64| UnixTime(now.0.checked_add_signed(seconds).expect("in range"));
        for (seconds, check) in [
            (0, Check::Valid),
            (1800, Check::Valid),
            (1801, Check::Renew),
            (3600, Check::Renew),
            (3601, Check::Bad),
            (-300, Check::Valid),
            (-301, Check::Bad),
        ] {
            assert_eq!(shared.check(&cookie, address, after(seconds)), check, "after {seconds} s");
        }
        assert_eq!(shared.check(&cookie, ip("::ffff:192.0.2.1"), now), Check::Valid, "the same address");
        assert_eq!(shared.check(&cookie, ip("192.0.2.2"), now), Check::Bad);
        assert_eq!(shared.check(&cookie[..8], address, now), Check::ClientOnly);
        for (length, check) in [
            (0, Check::Malformed),
            (7, Check::Malformed),
            (9, Check::Malformed),
            (15, Check::Malformed),
            (16, Check::Bad),
            (40, Check::Bad),
            (41, Check::Malformed),
        ] {
            assert_eq!(shared.check(&[0; 64][..length], address, now), check, "{length} octets");
        }
        let mut other = cookie;
        other[8] = 2;
        assert_eq!(shared.check(&other, address, now), Check::Bad);
    }

    proptest! {
        #[test]
        fn no_changed_octet_goes_unnoticed(at in 0usize..24, change in 1u8.., address: u32) {
            let shared = secrets("e5e973e5a6b2a43f48e7dc849e37bfcf");
            let address = IpAddr::from(address.to_be_bytes());
            let now = UnixTime(1_750_000_000);
            let mut cookie = shared.make([9; 8], address, now);
            cookie[at] ^= change;
            prop_assert_eq!(shared.check(&cookie, address, now), Check::Bad);
        }
    }
}
