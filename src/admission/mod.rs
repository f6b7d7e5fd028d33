//! The door: who may ask.

use std::net::IpAddr;

use ipnet::IpNet;

/// Who may ask, and how loudly others are told that they may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Clients inside these prefixes are served; others get REFUSED.
    pub allow: Vec<IpNet>,
    /// At most so many REFUSED a second in all: beyond it silence, so that forged sources gain
    /// nothing. 100 a second tell a misconfigured network what is wrong and reflect next to nothing.
    pub refused_per_second: u32,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            allow: vec![
                IpNet::new(IpAddr::from([127, 0, 0, 0]), 8).expect("a prefix"),
                IpNet::new(IpAddr::from(std::net::Ipv6Addr::LOCALHOST), 128).expect("a prefix"),
            ],
            refused_per_second: 100,
        }
    }
}
