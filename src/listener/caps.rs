//! How many connections are open, in all and from one prefix: one account for all shards.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why a connection has no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    Total,
    Prefix,
}

/// The account. Its table is as large as connections are allowed, no larger.
#[derive(Debug)]
pub struct Caps {
    total: usize,
    per_prefix: usize,
    open: AtomicUsize,
    prefixes: Mutex<HashMap<IpAddr, usize>>,
}

impl Caps {
    /// At most `total` connections, and at most `per_prefix` from one IPv4 /24 or IPv6 /56.
    pub fn new(total: usize, per_prefix: usize) -> Arc<Caps> {
        Arc::new(Caps { total, per_prefix, open: AtomicUsize::new(0), prefixes: Mutex::default() })
    }

    /// A place for a connection from `client`, taken until it is dropped.
    pub fn enter(self: &Arc<Caps>, client: IpAddr) -> Result<Place, Full> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.total {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::Total);
        }
        let prefix = prefix(client);
        let mut prefixes = self.prefixes();
        let open = prefixes.entry(prefix).or_insert(0);
        if *open >= self.per_prefix {
            if *open == 0 {
                prefixes.remove(&prefix);
            }
            drop(prefixes);
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::Prefix);
        }
        *open += 1;
        drop(prefixes);
        Ok(Place { caps: Arc::clone(self), prefix })
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    fn prefixes(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing panics while holding it, and a count is whole at every moment.
        self.prefixes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place in the account.
#[derive(Debug)]
pub struct Place {
    caps: Arc<Caps>,
    prefix: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut prefixes = self.caps.prefixes();
        if let Some(open) = prefixes.get_mut(&self.prefix) {
            *open -= 1;
            if *open == 0 {
                prefixes.remove(&self.prefix);
            }
        }
        drop(prefixes);
        self.caps.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is taken for one client: the /24 of an IPv4 address, the /56 of an IPv6 one.
fn prefix(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            IpAddr::from([a, b, c, 0])
        }
        IpAddr::V6(v6) => IpAddr::from((u128::from(v6) & !(u128::MAX >> 56)).to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_prefix_has_its_share_and_all_together_theirs() {
        let caps = Caps::new(4, 2);
        let first = caps.enter(ip("192.0.2.1")).expect("a place");
        let _second = caps.enter(ip("192.0.2.200")).expect("a place");
        assert_eq!(caps.enter(ip("192.0.2.7")).map(drop), Err(Full::Prefix));
        let _third = caps.enter(ip("192.0.3.1")).expect("a place");
        let _fourth = caps.enter(ip("2001:db8::1")).expect("a place");
        assert_eq!(caps.enter(ip("198.51.100.1")).map(drop), Err(Full::Total));
        drop(first);
        assert_eq!(caps.open(), 3);
        assert!(caps.enter(ip("192.0.2.7")).is_ok());
    }

    #[test]
    fn ipv6_clients_are_counted_by_56() {
        let caps = Caps::new(10, 1);
        let _one = caps.enter(ip("2001:db8:0:1200::1")).expect("a place");
        assert!(caps.enter(ip("2001:db8:0:12ff:ffff::1")).is_err());
        assert!(caps.enter(ip("2001:db8:0:1300::1")).is_ok());
    }

    #[test]
    fn nothing_stays_behind() {
        let caps = Caps::new(10, 1);
        drop((caps.enter(ip("192.0.2.1")), caps.enter(ip("192.0.2.2"))));
        assert_eq!((caps.open(), caps.prefixes().len()), (0, 0));
        let none = Caps::new(10, 0);
        assert!(none.enter(ip("192.0.2.1")).is_err());
        assert_eq!((none.open(), none.prefixes().len()), (0, 0));
    }
}
