//! The open loop: one thread sends what is due by UDP, takes what comes back, and gives up what does not.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::cap::Cap;
use super::feed::{Due, Feed};
use super::jar::Jar;
use super::ledger::{Answer, Ledger};
use super::own::Own;
use super::packet::{BADCOOKIE, HEADER, question_print, read_response};
use super::streams::{Job, Jobs};
use super::wheel::Wheel;
use crate::clock::Moment;
use crate::net::batch::{BATCH, Receiver, Sender};
use crate::net::epoll::Epoll;
use crate::net::limits::prefer_this_thread;
use crate::net::socket::{udp_listener, widen_receive_buffer};

/// Ports that queries leave from. Each holds 65,536 open questions.
const SOCKETS: usize = 16;
/// Batches sent before what came back is looked at.
const SEND_TURN: usize = 4;
/// Batches taken from a socket before the next one's turn.
const RECEIVE_TURN: usize = 8;
/// Answers that wait while this thread is kept from running must not be lost, in octets.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Where queries follow each other closer than this, they are sent and received in batches, once a [`BREATH`]: latencies
/// are then exact to about two of them.
const DENSE: Duration = Duration::from_micros(30);
const BREATH: Duration = Duration::from_micros(100);
/// A stream that does what it can leaves out what it has not sent so long after its moment.
const BEHIND: Duration = Duration::from_millis(1);
/// The longest wait, so that a stop is seen.
const LONGEST_WAIT: Duration = Duration::from_millis(20);
/// IDs tried for a free one.
const TRIES: u16 = 64;

/// How a stream treats its questions.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Manners {
    /// Waits before the question is asked again.
    pub retry: Vec<Duration>,
    /// The wait after the last time.
    pub timeout: Duration,
    /// A truncated answer is asked for again by TCP.
    pub follow_truncation: bool,
    /// Clients send cookies by UDP.
    pub cookies: bool,
    /// What cannot be sent when it is due is left out.
    pub best_effort: bool,
    /// Connections are opened and held; nothing is asked.
    pub holds: Option<(super::scenario::Holding, Duration, u32)>,
}

/// What the loop is given.
pub struct Work {
    pub target: SocketAddr,
    pub feeds: Vec<(Feed, Manners)>,
    pub late_after: Duration,
    /// Questions the run may ask in all, and how many it has asked, in all loops.
    pub most: u64,
    pub asked: Arc<AtomicU64>,
    /// This loop goes before other threads.
    pub preferred: bool,
    /// What bounds the packets of a second, of all loops; the schedule alone where none.
    pub cap: Option<Arc<Cap>>,
    /// Addresses that questions may come from; any where what is sent does not leave this machine.
    pub own: Option<Arc<Own>>,
    pub ledger: Arc<Mutex<Ledger>>,
    pub stop: Arc<AtomicBool>,
    pub jobs: Jobs,
}

/// An open question.
struct Question {
    due: u64,
    stream: u16,
    socket: u16,
    id: u16,
    attempt: u8,
    open: bool,
    /// It was asked again with a cookie that the server wanted.
    renewed: bool,
    generation: u32,
    known: u32,
    print: u32,
    source: Option<IpAddr>,
    /// Kept where it may have to be sent again, else empty. Its room is used again.
    packet: Vec<u8>,
}

const UNKNOWN: u32 = u32::MAX;

/// What the bounds of the run say to one more question.
enum May {
    Ask,
    Skip,
    End,
}

struct Port {
    socket: UdpSocket,
    sender: Sender,
    /// Index of the open question by ID, plus one.
    by_id: Vec<u32>,
    next_id: u16,
}

impl Port {
    fn new(any: IpAddr) -> io::Result<Port> {
        let socket = udp_listener(SocketAddr::new(any, 0), false)?;
        widen_receive_buffer(&socket, RECEIVE_BUFFER);
        Ok(Port { socket, sender: Sender::new(), by_id: vec![0; 1 << 16], next_id: 0 })
    }

    /// A free ID, `wish` if that is. In turn, not by chance: neighbours in the table are in the processor's cache.
    fn free_id(&mut self, wish: Option<u16>) -> Option<u16> {
        if let Some(wish) = wish.filter(|wish| self.by_id[usize::from(*wish)] == 0) {
            return Some(wish);
        }
        for _ in 0..TRIES {
            self.next_id = self.next_id.wrapping_add(1);
            if self.by_id[usize::from(self.next_id)] == 0 {
                return Some(self.next_id);
            }
        }
        None
    }
}

/// The loop's state.
pub struct Loop {
    work: Work,
    epoll: Epoll,
    ports: Vec<Port>,
    receiver: Receiver,
    current: usize,
    questions: Vec<Question>,
    free: Vec<u32>,
    /// Questions that are open.
    open: usize,
    wheel: Wheel,
    expired: Vec<u64>,
    /// The next packet of each stream, written already.
    heads: Vec<(Option<Due>, Vec<u8>)>,
    /// The cookies of each stream's clients.
    jars: Vec<Jar>,
    start: Moment,
}

fn now() -> Moment {
    crate::net::clock::read(false).mono
}

impl Loop {
    /// Opens the sockets and draws the first packets.
    pub fn new(mut work: Work) -> io::Result<Loop> {
        let any: IpAddr = match work.target {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let epoll = Epoll::new()?;
        let mut ports = Vec::with_capacity(SOCKETS);
        for token in 0..SOCKETS {
            let port = Port::new(any)?;
            epoll.add(port.socket.as_fd(), token as u64)?;
            ports.push(port);
        }
        let heads = work.feeds.iter_mut().map(|(feed, _)| {
            let mut packet = Vec::with_capacity(128);
            (feed.next(&mut packet), packet)
        });
        let heads = heads.collect();
        let jars = work.feeds.iter().map(|_| Jar::default()).collect();
        Ok(Loop {
            work,
            epoll,
            ports,
            receiver: Receiver::new(),
            current: 0,
            questions: Vec::new(),
            free: Vec::new(),
            open: 0,
            wheel: Wheel::default(),
            expired: Vec::new(),
            heads,
            jars,
            start: now(),
        })
    }

    /// Runs until all is asked and ended, or until it is stopped.
    pub fn run(mut self, start: Moment) {
        self.start = start;
        if self.work.preferred {
            prefer_this_thread();
        }
        let early = start.since(now());
        if !early.is_zero() {
            // Nothing comes in before anything is sent.
            let _ = self.epoll.wait(early + Duration::from_micros(1));
        }
        while !self.work.stop.load(Relaxed) {
            let sent_all = self.send_due();
            self.receive();
            self.expire();
            if sent_all && self.heads.iter().all(|head| head.0.is_none()) && self.open == 0 {
                break;
            }
            self.wait(sent_all);
        }
    }

    fn elapsed(&self) -> u64 {
        now().as_nanos().saturating_sub(self.start.as_nanos())
    }

    /// Waits until something is due or comes in.
    fn wait(&mut self, sent_all: bool) {
        if !sent_all {
            return;
        }
        let next = self.heads.iter().filter_map(|head| head.0.map(|due| due.at)).min();
        let elapsed = Duration::from_nanos(self.elapsed());
        if next.is_some_and(|at| at.saturating_sub(elapsed) < DENSE) {
            // Woken for every packet, this thread would take from the server the time that is to be measured.
            std::thread::sleep(BREATH);
            return;
        }
        let mut wait = next.map_or(LONGEST_WAIT, |at| at.saturating_sub(elapsed)).min(LONGEST_WAIT);
        if self.open > 0 {
            wait = wait.min(Duration::from_millis(2));
        }
        if wait > Duration::from_micros(5) {
            // Woken early is no harm; an error here would come again where it matters.
            let _ = self.epoll.wait(wait);
        }
    }

    /// Sends what is due, at most a few batches; whether that was all.
    fn send_due(&mut self) -> bool {
        let ledger = Arc::clone(&self.work.ledger);
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.elapsed();
        let mut left = SEND_TURN * BATCH;
        for stream in 0..self.heads.len() {
            self.leave_out(stream, now);
            while let Some(due) = self.heads[stream].0.filter(|due| due.at.as_nanos() as u64 <= now) {
                if left == 0 {
                    self.flush(&mut ledger);
                    return false;
                }
                left -= 1;
                match self.may_ask(now, &mut ledger) {
                    May::Ask => self.ask(stream, due, now, &mut ledger),
                    // Nothing catches up with a cap: what it has no room for is left out.
                    May::Skip => ledger.capped += 1,
                    May::End => {
                        self.flush(&mut ledger);
                        return true;
                    }
                }
                let (head, packet) = &mut self.heads[stream];
                *head = self.work.feeds[stream].0.next(packet);
            }
        }
        self.flush(&mut ledger);
        true
    }

    /// Leaves out what a stream that does what it can has not managed to send in time.
    fn leave_out(&mut self, stream: usize, now: u64) {
        let (feed, manners) = &mut self.work.feeds[stream];
        let over = Duration::from_nanos(now).saturating_sub(BEHIND);
        let (head, packet) = &mut self.heads[stream];
        if manners.best_effort && head.is_some_and(|due| due.at < over) {
            feed.skip_to(over);
            *head = feed.next(packet);
        }
    }

    /// Whether the bounds of the run allow one more question.
    fn may_ask(&mut self, now: u64, ledger: &mut Ledger) -> May {
        if self.work.cap.as_ref().is_some_and(|cap| !cap.may(now)) {
            return May::Skip;
        }
        if self.work.asked.fetch_add(1, Relaxed) >= self.work.most {
            ledger.cut_short = Some(format!("the bound of {} questions was reached", self.work.most));
            self.heads.iter_mut().for_each(|head| head.0 = None);
            return May::End;
        }
        May::Ask
    }

    fn ask(&mut self, stream: usize, due: Due, now: u64, ledger: &mut Ledger) {
        let at = due.at.as_nanos() as u64;
        let second = (at / 1_000_000_000) as usize;
        let late = now.saturating_sub(at) > self.work.late_after.as_nanos() as u64;
        let entry = ledger.accounts[stream].second(second);
        entry.asked += 1;
        entry.late += u64::from(late);
        // Not left to the kernel, which lets any source leave where it is told so.
        if due.source.is_some_and(|source| self.work.own.as_ref().is_some_and(|own| !own.has(source))) {
            entry.unsent += 1;
            return;
        }
        if due.tcp {
            let (packet, manners) = (&self.heads[stream].1, &self.work.feeds[stream].1);
            let known = due.known.and_then(|index| self.work.feeds[stream].0.known(index)).cloned();
            let job = Job::new(stream, at, due.source, packet, known, manners);
            if !self.work.jobs.give(job) {
                entry.unsent += 1;
            }
            return;
        }
        if self.ports[self.current].sender.is_full() {
            self.flush_one(ledger);
        }
        let (packet, manners) = (&self.heads[stream].1, &self.work.feeds[stream].1);
        // Recorded packets keep theirs.
        let wish = packet.get(..2).map(|id| u16::from_be_bytes([id[0], id[1]])).filter(|id| *id != 0);
        let entry = ledger.accounts[stream].second(second);
        let Some(id) = self.ports[self.current].free_id(wish) else {
            entry.unsent += 1;
            return;
        };
        let first_wait = *manners.retry.first().unwrap_or(&manners.timeout);
        let keep = !manners.retry.is_empty() || manners.follow_truncation || manners.cookies;
        let question = Question {
            due: at,
            stream: stream as u16,
            socket: self.current as u16,
            id,
            attempt: 0,
            open: true,
            renewed: false,
            generation: 0,
            known: due.known.unwrap_or(UNKNOWN),
            print: question_print(packet),
            source: due.source,
            packet: Vec::new(),
        };
        let port = &mut self.ports[self.current];
        let buffer = port.sender.buffer();
        buffer.clear();
        buffer.extend_from_slice(packet);
        if let [high, low, ..] = &mut buffer[..] {
            [*high, *low] = id.to_be_bytes();
        }
        if manners.cookies {
            self.jars[stream].stamp(due.source, buffer);
        }
        let sends = buffer.len();
        port.sender.commit(self.work.target, due.source);
        entry.packets += 1;
        entry.octets_out += sends as u64;
        let key = self.keep(question);
        if keep {
            let index = (key & u64::from(u32::MAX)) as usize;
            self.questions[index].packet.extend_from_slice(&self.heads[stream].1);
        }
        self.ports[self.current].by_id[usize::from(id)] = (key as u32) + 1;
        self.wheel.add(now + first_wait.as_nanos() as u64, key);
    }

    /// Files an open question; its key is its place and, above, its generation.
    fn keep(&mut self, mut question: Question) -> u64 {
        self.open += 1;
        let index = match self.free.pop() {
            Some(index) => {
                let old = &mut self.questions[index as usize];
                question.generation = old.generation.wrapping_add(1);
                question.packet = std::mem::take(&mut old.packet);
                question.packet.clear();
                *old = question;
                index
            }
            None => {
                self.questions.push(question);
                (self.questions.len() - 1) as u32
            }
        };
        u64::from(index) | u64::from(self.questions[index as usize].generation) << 32
    }

    fn close(&mut self, index: usize) {
        self.open -= 1;
        let question = &mut self.questions[index];
        question.open = false;
        self.ports[usize::from(question.socket)].by_id[usize::from(question.id)] = 0;
        self.free.push(index as u32);
    }

    /// Sends what the current port has, and goes on to the next.
    fn flush_one(&mut self, ledger: &mut Ledger) {
        let port = &mut self.ports[self.current];
        if !port.sender.is_empty() {
            let sent = port.sender.flush(port.socket.as_fd());
            // They stay open and end unanswered, as packets lost on the way do; which they are is not told.
            ledger.refused_by_kernel += sent.failed as u64;
        }
        self.current = (self.current + 1) % self.ports.len();
    }

    fn flush(&mut self, ledger: &mut Ledger) {
        if !self.ports[self.current].sender.is_empty() {
            self.flush_one(ledger);
        }
    }

    fn receive(&mut self) {
        let ready = self.epoll.take().unwrap_or(0);
        let tokens: Vec<usize> = (0..ready).filter_map(|i| self.epoll.token(i)).map(|t| t as usize).collect();
        if tokens.is_empty() {
            return;
        }
        let ledger = Arc::clone(&self.work.ledger);
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        for token in tokens {
            for _ in 0..RECEIVE_TURN {
                let Ok(count) = self.receiver.receive(self.ports[token].socket.as_fd()) else { break };
                let now = self.elapsed();
                for index in 0..count {
                    self.take(token, index, now, &mut ledger);
                }
                if count < BATCH {
                    break;
                }
            }
        }
    }

    /// Takes the `index`th datagram of the batch.
    fn take(&mut self, port: usize, index: usize, now: u64, ledger: &mut Ledger) {
        let Some(datagram) = self.receiver.datagram(index) else {
            ledger.stray += 1;
            return;
        };
        let packet = datagram.data;
        let found = packet.get(..2).map(|id| u16::from_be_bytes([id[0], id[1]]));
        let place = found.map_or(0, |id| self.ports[port].by_id[usize::from(id)]);
        let (Some(place), Some(seen)) = (place.checked_sub(1), read_response(packet)) else {
            ledger.stray += 1;
            return;
        };
        let place = place as usize;
        let question = &self.questions[place];
        // A response without a question answers a packet that could not be read.
        let mine = seen.question == question.print || seen.question == 0 || question.print == 0;
        if !mine || datagram.from != self.work.target || question.source.is_some_and(|s| datagram.local != Some(s)) {
            ledger.stray += 1;
            return;
        }
        let (stream, due) = (usize::from(question.stream), question.due);
        let second = (due / 1_000_000_000) as usize;
        let (feed, manners) = &self.work.feeds[stream];
        let account = &mut ledger.accounts[stream];
        if seen.truncated {
            account.second(second).truncated += 1;
        }
        if manners.cookies {
            self.jars[stream].keep(question.source, packet);
        }
        if manners.cookies && seen.rcode == BADCOOKIE && !question.renewed {
            // With the cookie it has now, at once (RFC 7873 §5.3); it is waited for as long as before.
            account.second(second).octets_in += packet.len() as u64;
            self.questions[place].renewed = true;
            self.send_again(place, now, ledger);
            return;
        }
        let known = feed.known(question.known);
        if seen.truncated && manners.follow_truncation {
            let mut job = Job::new(stream, due, question.source, &question.packet, known.cloned(), manners);
            job.follows = true;
            account.second(second).octets_in += packet.len() as u64;
            let may = self.work.cap.as_ref().is_none_or(|cap| cap.may(now));
            ledger.capped += u64::from(!may);
            if !may || !self.work.jobs.give(job) {
                account.second(second).unanswered += 1;
            }
        } else {
            let right = known.map_or([0, 3].contains(&seen.rcode), |known| known.is_met(&seen, packet));
            let answer = Answer {
                rcode: seen.rcode,
                right: right && !seen.truncated,
                known: known.is_some() && !seen.truncated,
                stale: seen.stale,
                octets: packet.len(),
                latency: Duration::from_nanos(now.saturating_sub(due)),
            };
            account.answer(second, &answer);
        }
        self.close(place);
    }

    /// Asks again, or gives up, where the time is over.
    fn expire(&mut self) {
        let now = self.elapsed();
        let mut expired = std::mem::take(&mut self.expired);
        self.wheel.expire(now, &mut expired);
        if !expired.is_empty() {
            let ledger = Arc::clone(&self.work.ledger);
            let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
            for key in expired.drain(..) {
                let (index, generation) = ((key & u64::from(u32::MAX)) as usize, (key >> 32) as u32);
                let question = &self.questions[index];
                if question.open && question.generation == generation {
                    self.again(index, key, now, &mut ledger);
                }
            }
            self.flush(&mut ledger);
        }
        self.expired = expired;
    }

    fn again(&mut self, index: usize, key: u64, now: u64, ledger: &mut Ledger) {
        let question = &mut self.questions[index];
        let stream = usize::from(question.stream);
        let manners = &self.work.feeds[stream].1;
        let entry = ledger.accounts[stream].second((question.due / 1_000_000_000) as usize);
        let attempt = usize::from(question.attempt) + 1;
        if question.packet.is_empty() || attempt > manners.retry.len() {
            entry.unanswered += 1;
            self.close(index);
            return;
        }
        question.attempt += 1;
        let wait = manners.retry.get(attempt).unwrap_or(&manners.timeout);
        self.wheel.add(now + wait.as_nanos() as u64, key);
        self.send_again(index, now, ledger);
    }

    /// Sends an open question once more, from the port it was first sent from, as stubs do.
    fn send_again(&mut self, index: usize, now: u64, ledger: &mut Ledger) {
        if self.work.cap.as_ref().is_some_and(|cap| !cap.may(now)) {
            ledger.capped += 1;
            return;
        }
        let question = &self.questions[index];
        let stream = usize::from(question.stream);
        let port = &mut self.ports[usize::from(question.socket)];
        if port.sender.is_full() {
            let sent = port.sender.flush(port.socket.as_fd());
            ledger.refused_by_kernel += sent.failed as u64;
        }
        let buffer = port.sender.buffer();
        buffer.clear();
        buffer.extend_from_slice(&question.packet);
        if buffer.len() >= HEADER {
            buffer[..2].copy_from_slice(&question.id.to_be_bytes());
        }
        if self.work.feeds[stream].1.cookies {
            self.jars[stream].stamp(question.source, buffer);
        }
        let entry = ledger.accounts[stream].second((question.due / 1_000_000_000) as usize);
        entry.retries += 1;
        entry.packets += 1;
        entry.octets_out += buffer.len() as u64;
        port.sender.commit(self.work.target, question.source);
        let sent = port.sender.flush(port.socket.as_fd());
        ledger.refused_by_kernel += sent.failed as u64;
    }
}
