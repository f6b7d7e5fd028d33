//! One shard's whole state without I/O: questions in, packets out, time as an argument.

mod types;

use std::sync::Arc;

use crate::clock::{Moment, Now};
pub use types::{
    AskKey, AskTransport, Client, Disposition, DropReason, LinkError, Notice, Policy, RespondPolicy, Route, Transmit,
    Transport,
};

/// What all shards have in common: the caches and what is known of servers.
#[derive(Clone)]
pub struct Shared {}

impl Shared {
    /// Empty caches of the size in `policy`. `seed` keys their hashes.
    pub fn new(_policy: &crate::cache::Policy, _seed: [u8; 32]) -> Shared {
        Shared {}
    }
}

/// One shard.
pub struct Engine {}

impl Engine {
    /// A shard with nothing in flight. `seed` is the source of all its randomness.
    pub fn new(_policy: Arc<Policy>, _shared: Shared, _seed: [u8; 32]) -> Engine {
        Engine {}
    }

    /// Begins root priming, where the policy asks for it.
    pub fn start(&mut self, _now: Now) {}

    /// Takes a client's packet. With `Answered`, the response is in `out`, which is cleared first.
    pub fn handle_query(&mut self, _now: Now, _client: Client, _packet: &[u8], _out: &mut Vec<u8>) -> Disposition {
        Disposition::Dropped(DropReason::Malformed)
    }

    /// Takes a packet that came back for `key`.
    pub fn handle_response(&mut self, _now: Now, _key: AskKey, _packet: &[u8]) {}

    /// Takes the transport's word that nothing will come back for `key`.
    pub fn handle_link_error(&mut self, _now: Now, _key: AskKey, _error: LinkError) {}

    /// The client's connection is gone: its questions are not answered any more.
    pub fn handle_gone(&mut self, _route: Route) {}

    /// Lets everything happen that was due by `now`.
    pub fn handle_timeout(&mut self, _now: Now) {}

    /// The next thing to send; call until `None` after every `handle_*`.
    pub fn poll_transmit(&mut self, _now: Now) -> Option<Transmit> {
        None
    }

    /// When `handle_timeout` must be called next, if nothing else happens first.
    pub fn poll_timeout(&self) -> Option<Moment> {
        None
    }

    /// The next thing the operator should be told.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        None
    }

    /// Takes a new policy; questions in flight go on under the old one.
    pub fn set_policy(&mut self, _policy: Arc<Policy>) {}
}
