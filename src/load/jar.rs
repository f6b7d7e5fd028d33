//! DNS cookies as stubs keep them (RFC 7873 §5): a part of their own for each address, and what the server gave them last.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use super::dice::Dice;
use super::packet::{HEADER, cookie};

/// Octets of a client's own part, and of the longest cookie (RFC 7873 §4).
const CLIENT: usize = 8;
const LONGEST: usize = 40;
/// An OPT record without options, where it starts, and the octets of its length at the end.
const OPT: [u8; 3] = [0, 0, 41];
const OPT_LENGTH: usize = 11;
const OPTION_COOKIE: u8 = 10;

/// The cookies of a stream's clients.
#[derive(Debug, Default)]
pub struct Jar(HashMap<IpAddr, Vec<u8>>);

impl Jar {
    /// Puts a client's cookie into a query that ends with an OPT record without options; others stay as they are.
    pub fn stamp(&self, client: Option<IpAddr>, query: &mut Vec<u8>) {
        let client = client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let opt = query.len().checked_sub(OPT_LENGTH).filter(|at| *at >= HEADER);
        let plain =
            opt.and_then(|at| query.get(at..)).is_some_and(|opt| opt.starts_with(&OPT) && opt.ends_with(&[0, 0]));
        if !plain {
            return;
        }
        let own = own(client);
        let value = self.0.get(&client).map_or(&own[..], Vec::as_slice);
        query.truncate(query.len() - 2);
        query.extend_from_slice(&[0, value.len() as u8 + 4, 0, OPTION_COOKIE, 0, value.len() as u8]);
        query.extend_from_slice(value);
    }

    /// Keeps the cookie of a response, if it is an answer to the client's own.
    pub fn keep(&mut self, client: Option<IpAddr>, response: &[u8]) {
        let client = client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let given = cookie(response).filter(|value| (CLIENT + 8..=LONGEST).contains(&value.len()));
        if let Some(value) = given.filter(|value| value.starts_with(&own(client))) {
            let kept = self.0.entry(client).or_default();
            kept.clear();
            kept.extend_from_slice(value);
        }
    }
}

/// A client's own part: always the same for an address.
fn own(client: IpAddr) -> [u8; CLIENT] {
    Dice::of(0, &client.to_string()).next().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::packet::{Form, write_query};
    use super::*;

    #[test]
    fn a_client_sends_its_own_part_first_and_what_it_was_given_then() {
        let (mut jar, client) = (Jar::default(), Some(IpAddr::from([127, 0, 0, 9])));
        let mut plain = Vec::new();
        write_query(&mut plain, b"\x03www\0", 1, Form::default());
        let mut first = plain.clone();
        jar.stamp(client, &mut first);
        let sent = cookie(&first).expect("a cookie").to_vec();
        assert_eq!(sent.len(), CLIENT);
        // A response has the same shape, with a server's part.
        let mut response = plain.clone();
        response[2] |= 0x80;
        response.truncate(response.len() - 2);
        response.extend_from_slice(&[0, 28, 0, 10, 0, 24]);
        response.extend_from_slice(&sent);
        response.extend_from_slice(&[7; 16]);
        jar.keep(client, &response);
        let mut second = plain.clone();
        jar.stamp(client, &mut second);
        assert_eq!(cookie(&second), Some(&[&sent[..], &[7; 16]].concat()[..]));
        // Another client's is another, and is not taken from somebody else's response.
        let other = Some(IpAddr::from([127, 0, 0, 10]));
        jar.keep(other, &response);
        let mut third = plain.clone();
        jar.stamp(other, &mut third);
        assert!(cookie(&third).is_some_and(|value| value.len() == CLIENT && value != sent));
        // Without EDNS there is no place for one.
        let mut without = Vec::new();
        write_query(&mut without, b"\x03www\0", 1, Form { edns: None, ..Form::default() });
        let before = without.clone();
        jar.stamp(client, &mut without);
        assert_eq!(without, before);
    }
}
