//! Clients on TCP (RFC 7766): pipelined questions, replies in the order they come.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::caps::{Caps, Full, Place};
use super::desk::{Desk, Query, Replies};
use super::{Counters, Policy};
use crate::admission::{Door, Level, Mode, Reason};
use crate::engine::Route;
use crate::net::batch::QUERY_ROOM;
use crate::net::clock;
use crate::net::framing::Deframer;

/// A DNS header, in octets: what is shorter is no message.
const HEADER: usize = 12;
/// Octets read at once at least: a query is small.
const CHUNK: usize = 512;
/// A buffer of replies that grew beyond this is given back after it is written, in octets.
const KEPT: usize = 2 << 10;
/// Octets a second that a client reads at least while replies wait for it: a modem does. One that sips holds its replies
/// in memory no longer than this allows.
const SLOWEST: u64 = 16 << 10;
/// No connection is closed for idling sooner than this, unless the policy says so: a round trip around the world.
const SHORTEST_IDLE: Duration = Duration::from_millis(500);
/// Connections look this often whether they may still idle as long.
const LOOK: Duration = Duration::from_secs(1);
/// How long accepting rests after the system ran out of something.
const BACK_OFF: Duration = Duration::from_millis(100);

/// What all listeners of a shard share.
pub struct Terms {
    pub policy: Policy,
    pub desk: Rc<Desk>,
    pub caps: Arc<Caps>,
    pub counters: Arc<Counters>,
    /// Charges connections to whoever opens them.
    pub door: Rc<RefCell<Door>>,
    /// How hard the shard is pressed.
    pub level: Rc<Cell<Level>>,
    /// Becomes true when no more questions are taken.
    pub draining: watch::Receiver<bool>,
}

impl Terms {
    /// How long a connection may idle now: the fewer places are left and the harder the shard is pressed, the shorter.
    /// That it would have been closed before its time is noted once: then it is `spared`.
    fn idle(&self, spared: bool) -> Duration {
        if spared || self.connections() == Mode::Off {
            return self.policy.tcp_idle_timeout;
        }
        let usual = self.policy.tcp_idle_timeout;
        let nanos = u64::try_from(usual.as_nanos()).unwrap_or(u64::MAX);
        let pressed = Duration::from_nanos(self.door.borrow().tcp_idle(self.level.get()).of(nanos));
        (usual / self.caps.haste()).min(pressed).max(SHORTEST_IDLE.min(usual))
    }

    /// Whether what connections may take is held to.
    fn connections(&self) -> Mode {
        self.door.borrow().connections()
    }

    /// A connection of `client` would have been closed, or not taken.
    fn note_spared(&self, client: SocketAddr, reason: Reason) {
        self.door.borrow_mut().note_spared(clock::mono(), client.ip(), self.level.get(), reason);
        self.desk.stir();
    }

    /// A connection of `client` was closed, or not taken: this can be asked later.
    fn note_closed(&self, client: SocketAddr, reason: Reason) {
        self.door.borrow_mut().note_closed(clock::mono(), client.ip(), self.level.get(), reason);
        self.desk.stir();
    }

    /// A connection of `client` was `idle` for as long as it may be, with a question begun and not ended if it is
    /// `partial`. `false`: it stays open all the same.
    fn ends_idle(&self, client: SocketAddr, idle: Duration, partial: bool) -> bool {
        let early = idle < self.policy.tcp_idle_timeout;
        if early && self.connections() == Mode::Observe {
            self.note_spared(client, Reason::IdleEarly);
            return false;
        }
        Counters::add(&self.counters.tcp_idle, 1);
        if early {
            self.note_closed(client, Reason::IdleEarly);
        } else if partial {
            self.note_closed(client, Reason::Unfinished);
        }
        true
    }
}

/// Accepts connections until draining begins, in the background. Called inside a runtime whose
/// tasks stay on its thread: each connection is one.
pub fn accept(listener: std::net::TcpListener, terms: Rc<Terms>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    tokio::task::spawn_local(accept_all(listener, terms));
    Ok(())
}

async fn accept_all(listener: TcpListener, terms: Rc<Terms>) {
    let mut draining = terms.draining.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = draining.wait_for(|draining| *draining) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => admit(stream, client, &terms),
            Err(error) => {
                Counters::add(&terms.counters.tcp_accept_failed, 1);
                // What went wrong with one connection says nothing of the next; what this process
                // or the system lacks comes back only with time.
                if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)) {
                    sleep(BACK_OFF).await;
                }
            }
        }
    }
}

fn admit(stream: TcpStream, client: SocketAddr, terms: &Rc<Terms>) {
    Counters::add(&terms.counters.tcp_accepted, 1);
    if !terms.door.borrow_mut().accept(clock::mono(), client.ip(), terms.level.get()) {
        Counters::add(&terms.counters.tcp_over_share, 1);
        terms.desk.stir();
        return;
    }
    let exempt = terms.door.borrow().is_exempt(client.ip());
    let mode = if exempt { Mode::Off } else { terms.connections() };
    let (full, place) = match terms.caps.enter(client.ip(), mode) {
        Ok((place, full)) => (full, Some(place)),
        Err(full) => (Some(full), None),
    };
    if let Some(full) = full {
        let (counter, reason) = match full {
            Full::Total => (&terms.counters.tcp_over_total, Reason::ConnectionsTotal),
            Full::Client => (&terms.counters.tcp_over_client, Reason::ConnectionsClient),
            Full::Wide => (&terms.counters.tcp_over_wide, Reason::ConnectionsWide),
            Full::Prefix => (&terms.counters.tcp_over_prefix, Reason::ConnectionsPrefix),
        };
        if place.is_some() {
            terms.note_spared(client, reason);
        } else {
            Counters::add(counter, 1);
            terms.note_closed(client, reason);
        }
    }
    if let Some(place) = place {
        tokio::task::spawn_local(serve(stream, client, place, Rc::clone(terms)));
    }
}

/// A connection at the desk, until it is dropped.
struct Seat<'a> {
    desk: &'a Desk,
    route: Route,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.desk.leave(self.route);
    }
}

async fn serve(mut stream: TcpStream, client: SocketAddr, _place: Place, terms: Rc<Terms>) {
    let (route, replies) = terms.desk.enter();
    let _seat = Seat { desk: &terms.desk, route };
    // Replies are written as a whole: there is nothing to wait for.
    let _ = stream.set_nodelay(true);
    let (reading, writing) = stream.split();
    tokio::select! {
        biased;
        () = write(writing, client, &replies, &terms) => {}
        () = read(reading, client, route, &replies, &terms) => {}
        () = replies.wait(|replies| replies.hung_up().then_some(())) => {}
    }
}

/// Reads questions until the client ends, idles or misbehaves; then waits for those in flight.
async fn read(mut stream: ReadHalf<'_>, client: SocketAddr, route: Route, replies: &Rc<Replies>, terms: &Terms) {
    let counters = &*terms.counters;
    let mut deframer = Deframer::new();
    let mut draining = terms.draining.clone();
    let pipeline = terms.policy.tcp_pipeline.max(1);
    let (mut active, mut spared) = (Instant::now(), false);
    'connection: loop {
        while let Some(length) = deframer.length() {
            if !(HEADER..=QUERY_ROOM).contains(&length) {
                Counters::add(&counters.tcp_misframed, 1);
                terms.note_closed(client, Reason::Misframed);
                return;
            }
            if replies.is_full() {
                Counters::add(&counters.tcp_unread_full, 1);
                replies.wait(|replies| (!replies.is_full()).then_some(())).await;
            }
            let Some(message) = deframer.message() else { break };
            let packet = message.to_vec();
            Counters::add(&counters.tcp_received, 1);
            replies.begun();
            terms.desk.put(Query { client, route, packet }, replies).await;
            (active, spared) = (Instant::now(), false);
            if replies.in_flight() >= pipeline {
                Counters::add(&counters.tcp_pipeline_full, 1);
                replies.wait(|replies| (replies.in_flight() < pipeline).then_some(())).await;
            }
        }
        // Octets of an unfinished message do not count as activity: a client that sends one a
        // second would never be idle.
        loop {
            tokio::select! {
                biased;
                _ = draining.wait_for(|draining| *draining) => break 'connection,
                read = deframer.read(&mut stream, CHUNK) => match read {
                    Ok(1..) => break,
                    Ok(0) => break 'connection,
                    Err(_) => return,
                },
                () = sleep_until((active + terms.idle(spared)).min(Instant::now() + LOOK)) => {
                    if active + terms.idle(spared) > Instant::now() {
                        continue;
                    }
                    active = match replies.last_written() {
                        _ if replies.in_flight() > 0 => Instant::now(),
                        Some(written) if written > active => written,
                        _ if terms.ends_idle(client, active.elapsed(), deframer.is_partial()) => return,
                        _ => {
                            spared = true;
                            active
                        }
                    };
                }
            }
        }
    }
    replies.wait(|replies| (replies.in_flight() == 0).then_some(())).await;
}

/// Writes replies as they come.
async fn write(mut stream: WriteHalf<'_>, client: SocketAddr, replies: &Rc<Replies>, terms: &Terms) {
    let counters = &*terms.counters;
    let (mut buffer, mut spared) = (Vec::new(), false);
    loop {
        if buffer.capacity() > KEPT {
            buffer = Vec::new();
        }
        replies.wait(|replies| (replies.is_waiting() || replies.overrun()).then_some(())).await;
        let count = replies.take(&mut buffer);
        let written = async {
            if replies.overrun() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            write_all(&mut stream, &buffer, client, &mut spared, replies, terms).await
        };
        match written.await {
            Ok(()) => {
                Counters::add(&counters.tcp_sent, count);
                replies.written(count);
            }
            Err(error) => {
                if error.kind() == io::ErrorKind::TimedOut {
                    let (counter, reason) = match replies.overrun() {
                        true => (&counters.tcp_unread_total, Reason::UnreadTotal),
                        false => (&counters.tcp_slow_reader, Reason::SlowReader),
                    };
                    Counters::add(counter, 1);
                    terms.note_closed(client, reason);
                }
                return;
            }
        }
    }
}

/// Writes the whole of `buffer` to a client that keeps reading it; `TimedOut` if it stops, or hardly reads at all. Where that
/// closes no connection, it is noted once: then it is `spared`.
async fn write_all(
    stream: &mut WriteHalf<'_>,
    buffer: &[u8],
    client: SocketAddr,
    spared: &mut bool,
    replies: &Rc<Replies>,
    terms: &Terms,
) -> io::Result<()> {
    let patience = terms.policy.tcp_write_timeout;
    let sipped = Duration::from_millis(buffer.len() as u64 * 1_000 / SLOWEST);
    let mut end = Instant::now() + patience + sipped;
    let mut rest = buffer;
    while !rest.is_empty() {
        let latest = end.min(Instant::now() + patience);
        let count = tokio::select! {
            biased;
            written = stream.write(rest) => written?,
            () = replies.wait(|replies| replies.overrun().then_some(())) => 0,
            () = sleep_until(latest) => match terms.connections() {
                Mode::Enforce => 0,
                mode => {
                    if mode == Mode::Observe && !std::mem::replace(spared, true) {
                        terms.note_spared(client, Reason::SlowReader);
                    }
                    end = Instant::now() + patience + sipped;
                    continue;
                }
            },
        };
        if count == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        terms.desk.sent(replies, count);
        rest = rest.get(count..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
