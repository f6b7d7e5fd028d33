//! Where the clients of a record ask from when it is played: their own addresses, or others, each one of its own.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// How many clients a prefix has addresses for: first and last are left out, and beyond 64 bits nobody counts.
pub(super) fn room(net: &IpNet) -> u64 {
    let bits = match net {
        IpNet::V4(net) => 32 - u32::from(net.prefix_len()),
        IpNet::V6(net) => 128 - u32::from(net.prefix_len()),
    };
    let size = if bits >= 64 { u64::MAX } else { 1 << bits };
    if size > 2 { size - 2 } else { size }
}

/// An address of a prefix, of [`room`], which begin again behind the last.
pub(super) fn nth(net: &IpNet, number: u64) -> IpAddr {
    // Of two or fewer, each counts.
    let offset = number % room(net) + u64::from(net.max_prefix_len() - net.prefix_len() > 1);
    match net {
        IpNet::V4(net) => Ipv4Addr::from(u32::from(net.network()) + offset as u32).into(),
        IpNet::V6(net) => Ipv6Addr::from(u128::from(net.network()) + u128::from(offset)).into(),
    }
}

/// The number of an address in its prefix; none for its first and last.
fn number(net: &IpNet, address: IpAddr) -> Option<u64> {
    let offset = match (net, address) {
        (IpNet::V4(net), IpAddr::V4(v4)) => u128::from(u32::from(v4).checked_sub(u32::from(net.network()))?),
        (IpNet::V6(net), IpAddr::V6(v6)) => u128::from(v6).checked_sub(u128::from(net.network()))?,
        _ => return None,
    };
    let number = u64::try_from(offset).ok()?.checked_sub(u64::from(nth(net, 0) != net.network()))?;
    (number < room(net)).then_some(number)
}

/// Who asks from where. Within the room of a prefix, no two clients or copies of them share an address.
#[derive(Clone, Debug, Default)]
pub struct Moves {
    /// Every client of the record, in the order they came.
    numbers: HashMap<IpAddr, u64>,
    /// Those who keep their addresses.
    stay: HashSet<IpAddr>,
    into: Option<IpNet>,
    copies: u64,
    /// Neighbours in the order lie that far apart, so that they spread over the prefix.
    stride: u64,
    /// Places in the order of who stays within the prefix, each less by those before it.
    taken: Vec<u64>,
    /// What is left of the room.
    left: u64,
}

impl Moves {
    /// The clients of a record, `copies` of each. Who does not stay goes into the prefix, or asks from wherever the system
    /// says where there is none; so do copies.
    pub fn new(
        clients: impl Iterator<Item = IpAddr>,
        stays: impl Fn(IpAddr) -> bool,
        into: Option<IpNet>,
        copies: u32,
    ) -> Moves {
        let mut moves = Moves { into, copies: u64::from(copies.max(1)), ..Moves::default() };
        for client in clients {
            let next = moves.numbers.len() as u64;
            if *moves.numbers.entry(client).or_insert(next) == next && stays(client) {
                moves.stay.insert(client);
            }
        }
        let Some(net) = into else { return moves };
        let room = room(&net);
        moves.stride = stride(room);
        let back = inverse(moves.stride, room);
        let places = moves.stay.iter().filter_map(|client| number(&net, *client));
        moves.taken = places.map(|number| times(number, back, room)).collect();
        moves.taken.sort_unstable();
        moves.taken.iter_mut().enumerate().for_each(|(before, place)| *place -= before as u64);
        moves.left = room - moves.taken.len() as u64;
        if moves.left == 0 {
            (moves.taken, moves.left) = (Vec::new(), room);
        }
        moves
    }

    /// Where a client's packets, or those of its `copy`th copy, come from now.
    pub(super) fn address(&self, client: IpAddr, copy: u32) -> Option<IpAddr> {
        if copy == 0 && self.stay.contains(&client) {
            return Some(client);
        }
        let Some(net) = self.into else { return self.stay.contains(&client).then_some(client) };
        let order = u64::from(copy) * self.numbers.len() as u64 + self.numbers.get(&client)?;
        let order = order % self.left;
        let order = order + self.taken.partition_point(|place| *place <= order) as u64;
        Some(nth(&net, times(order, self.stride, room(&net))))
    }

    /// Every address that is used, again and again where clients share them.
    pub fn all(&self) -> impl Iterator<Item = IpAddr> {
        let copies = u32::try_from(self.copies).unwrap_or(u32::MAX);
        self.numbers.keys().flat_map(move |client| (0..copies).filter_map(move |copy| self.address(*client, copy)))
    }

    /// Who has to share: so many clients and copies, and addresses for them; none where each has one of its own.
    pub fn shared(&self) -> Option<(u64, u64)> {
        let wanted = (self.numbers.len() as u64).saturating_mul(self.copies);
        (self.into.is_some() && wanted > self.left).then_some((wanted, self.left))
    }

    /// Clients whose address is neither kept nor replaced: they ask from wherever the system says.
    pub fn nameless(&self) -> usize {
        if self.into.is_some() { 0 } else { self.numbers.len() - self.stay.len() }
    }
}

fn times(a: u64, b: u64, modulus: u64) -> u64 {
    (u128::from(a) * u128::from(b) % u128::from(modulus)) as u64
}

/// A step that comes to every number below `room` before it comes back: near the golden section, where any number of steps
/// are spread evenly.
fn stride(room: u64) -> u64 {
    let gcd = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let first = ((room as f64 * 0.618_033_988_749_894_8) as u64).max(1);
    (first..).find(|step| gcd(*step, room) == 1).unwrap_or(1)
}

/// The step that undoes another, modulo `room` (Euclid's algorithm, extended).
fn inverse(step: u64, room: u64) -> u64 {
    let (mut a, mut b) = (i128::from(room), i128::from(step % room));
    let (mut x, mut y) = (0i128, 1i128);
    while b > 0 {
        (x, y) = (y, x - a / b * y);
        (a, b) = (b, a % b);
    }
    x.rem_euclid(i128::from(room)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn clients(count: u32) -> impl Iterator<Item = IpAddr> {
        // Each comes twice.
        (0..2 * count).map(move |n| IpAddr::from((0x0a00_0000 + n % count * 77).to_be_bytes()))
    }

    #[test]
    fn every_client_has_an_address_of_its_own_as_long_as_there_is_room() {
        for (prefix, count, copies) in
            [("127.30.0.0/24", 200, 1), ("127.30.0.0/24", 127, 2), ("127.20.0.0/14", 5000, 50), ("fd00::/64", 300, 3)]
        {
            let into = net(prefix);
            let moves = Moves::new(clients(count), |_| false, Some(into), copies);
            let all: HashSet<IpAddr> = moves.all().collect();
            assert_eq!((all.len() as u32, moves.shared()), (count * copies, None), "{prefix}");
            assert!(all.iter().all(|address| into.contains(address)), "{prefix}");
        }
        let moves = Moves::new(clients(200), |_| false, Some(net("127.30.0.0/24")), 2);
        assert_eq!(moves.shared(), Some((400, 254)));
        assert_eq!(moves.all().collect::<HashSet<_>>().len(), 254);
        let few = Moves::new(clients(16), |_| false, Some(net("127.20.0.0/14")), 1);
        let networks: HashSet<u8> = few
            .all()
            .filter_map(|a| match a {
                IpAddr::V4(v4) => Some(v4.octets()[2]),
                IpAddr::V6(_) => None,
            })
            .collect();
        assert!(networks.len() > 8, "they spread: {networks:?}");
        for small in ["127.1.2.3/32", "127.1.2.2/31", "127.1.2.0/30", "::1/128"] {
            let moves = Moves::new(clients(5), |_| false, Some(net(small)), 1);
            assert!(moves.all().all(|address| net(small).contains(&address)), "{small}");
        }
    }

    #[test]
    fn who_is_here_already_stays_and_nobody_takes_the_place() {
        let here: Vec<IpAddr> = (1..=100u8).map(|n| IpAddr::from([127, 30, 0, n])).collect();
        let both = here.iter().copied().chain(clients(150));
        let moves = Moves::new(both, |client| client.is_loopback(), Some(net("127.30.0.0/24")), 1);
        assert!(here.iter().all(|client| moves.address(*client, 0) == Some(*client)));
        assert_eq!(moves.all().collect::<HashSet<_>>().len(), 250);
        let moves = Moves::new(clients(3), |_| false, None, 1);
        assert_eq!((moves.all().count(), moves.nameless()), (0, 3));
    }
}
