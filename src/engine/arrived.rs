//! Queries as they came in, read before anything is done for them: of a batch all are read first, so that the memory that
//! each needs is on its way while the others are read.

use super::Engine;
use super::hot::{self, Sought};
use super::respond::COOKIE;
use super::types::{Client, Transport};
use crate::admission::{Asking, CookieReply, Origin};
use crate::clock::Now;
use crate::wire::{QueryView, Unreadable};

/// A packet of a client, read in place, with the keys by which everything is found that it needs.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    pub(super) client: Client,
    pub(super) packet: &'a [u8],
    pub(super) view: Result<QueryView<'a>, Unreadable>,
    pub(super) origin: Origin,
    /// Where its answer is if it is hot; `None` where it is not to be looked for.
    pub(super) sought: Option<Sought>,
}

impl Arrived<'_> {
    /// Who asked.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

/// How the door sees a query of a client; `view` is none where it could not be read.
pub(super) fn asking<'a>(client: &Client, view: Option<&QueryView<'a>>) -> Asking<'a> {
    Asking {
        address: client.addr.ip(),
        stream: client.transport == Transport::Tcp,
        cookie: view.and_then(|view| view.edns).and_then(|edns| edns.cookie),
        name: view.map_or(&[], QueryView::name),
    }
}

impl Engine {
    /// Reads a client's packet, and has the memory fetched that it will need first. What is decided about it does not depend
    /// on when it is read.
    pub fn read<'a>(&self, client: Client, packet: &'a [u8]) -> Arrived<'a> {
        let origin = self.door.expect(client.addr.ip());
        Arrived { client, packet, view: QueryView::parse(packet), origin, sought: None }
    }

    /// Finds out who asked and what is to be looked for; to be called when what [`read`](Self::read) asked for has come.
    pub fn find_out(&self, arrived: &mut Arrived<'_>) {
        self.door.find_out(&mut arrived.origin);
        let may_ask = arrived.origin.may_ask() && !arrived.origin.seems_barred();
        let asked = arrived.view.as_ref().ok().filter(|view| may_ask && !view.question.is_empty());
        arrived.sought = asked.and_then(|view| self.hot.seek(view, arrived.client.transport));
        if let Some(sought) = arrived.sought {
            self.hot.fetch_place(sought);
        }
    }

    /// Has the memory fetched that is needed next; to be called when what [`find_out`](Self::find_out) asked for has come.
    pub fn fetch(&self, arrived: &Arrived<'_>) {
        if let Some(sought) = arrived.sought {
            self.hot.fetch(sought);
        }
    }

    /// Answers a query from among the hot answers; `false`: it is not there.
    pub(super) fn answer_hot(
        &self,
        now: Now,
        view: &QueryView<'_>,
        sought: Sought,
        transport: Transport,
        cookie: &CookieReply,
        out: &mut Vec<u8>,
    ) -> bool {
        let cookie: Option<&[u8; COOKIE]> = match cookie {
            CookieReply::Give(cookie) => Some(cookie),
            CookieReply::None | CookieReply::Malformed => None,
        };
        let limit = hot::limit(view, transport, &self.policy.respond);
        self.hot.answer(view, sought, cookie, limit, now.age, out)
    }
}
