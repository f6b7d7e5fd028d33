//! Which connections wait for which questions, so that the end of one is not looked for in all that are in flight.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use smallvec::SmallVec;

use super::Engine;
use super::types::{Client, Route, Transport};
use crate::resolve::{Keyed, TaskId};

/// The questions that each connection waits for, as tasks; none is kept for one that waits for nothing.
pub(super) struct Streams(HashMap<Route, SmallVec<[TaskId; 2]>, Keyed>);

impl Streams {
    /// None.
    pub fn new(keyed: Keyed) -> Streams {
        Streams(HashMap::with_hasher(keyed))
    }

    /// A connection waits for a task.
    fn note(&mut self, route: Route, task: TaskId) {
        self.0.entry(route).or_default().push(task);
    }

    /// It does so no more.
    fn forget(&mut self, route: Route, task: TaskId) {
        if let Entry::Occupied(mut tasks) = self.0.entry(route) {
            if let Some(place) = tasks.get().iter().position(|one| *one == task) {
                tasks.get_mut().swap_remove(place);
            }
            if tasks.get().is_empty() {
                tasks.remove();
            }
        }
    }
}

impl Engine {
    /// Notes that a client waits for a task, if he came by a connection, or that he does so no more.
    pub(super) fn note_stream(&mut self, client: &Client, task: TaskId, waits: bool) {
        match (client.transport, waits) {
            (Transport::Udp, _) => {}
            (Transport::Tcp, true) => self.streams.note(client.route, task),
            (Transport::Tcp, false) => self.streams.forget(client.route, task),
        }
    }

    /// The client's connection is gone: its questions are not answered any more.
    pub fn handle_gone(&mut self, route: Route) {
        for task in self.streams.0.remove(&route).unwrap_or_default() {
            let wanted = self.running.get(&task);
            let Some(pending) = wanted.and_then(|wanted| self.pending.get_mut(wanted)) else { continue };
            let before = pending.waiters.len();
            let own = |client: &Client| client.transport == Transport::Tcp && client.route == route;
            pending.waiters.retain(|waiter| !own(&waiter.client));
            let left = (before - pending.waiters.len()) as u64;
            self.counters.gone += left;
            self.counters.waiting -= left;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_waits_for_nothing_is_not_remembered() {
        let mut streams = Streams::new(Keyed::new(1, 2));
        let route = Route { socket: 7, local: None };
        for number in [1, 2, 2] {
            streams.note(route, TaskId(number));
        }
        for number in [2, 1] {
            streams.forget(route, TaskId(number));
        }
        assert_eq!(streams.0.get(&route).map(|tasks| tasks.to_vec()), Some(vec![TaskId(2)]));
        streams.forget(route, TaskId(2));
        assert!(streams.0.is_empty());
    }
}
