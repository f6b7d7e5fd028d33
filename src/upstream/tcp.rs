//! Questions by TCP: connections that are reused and pipelined (RFC 7766 §6.2.1, §7).

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::{Arrival, Counters, Policy, link_error};
use crate::clock::Moment;
use crate::engine::{AskKey, LinkError};
use crate::net::framing::{Deframer, frame};

/// Questions in flight on one connection; a further one opens another. Servers that work them off
/// one by one would let a longer queue wait for its first.
const PIPELINE: usize = 64;
/// Messages from all connections that wait for the shard; a full queue stops the reading.
const QUEUE: usize = 256;
/// Octets read at once at least.
const CHUNK: usize = 2048;

/// A connection, numbered; numbers are not reused.
type Number = u64;

/// What a connection's task tells.
enum Event {
    Message { connection: Number, packet: Vec<u8> },
    Ended { connection: Number, error: LinkError, connected: bool, partial: bool },
}

/// A question on a connection.
struct Ask {
    connection: Number,
    /// The message ID by which its response is known.
    id: u16,
    /// A response has been handed on.
    answered: bool,
    /// The packet in its frame, kept to be sent again: only where a kept connection may turn out closed.
    again: Option<Vec<u8>>,
}

struct Connection {
    server: SocketAddr,
    source: IpAddr,
    /// Questions in flight, by message ID.
    asks: HashMap<u16, AskKey>,
    queue: mpsc::UnboundedSender<Vec<u8>>,
    task: AbortHandle,
    /// A question on it stayed without an answer: no further one is risked on it.
    suspect: bool,
    /// When its last question was closed.
    idle_since: Moment,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All connections of a shard.
pub struct Pool {
    policy: Policy,
    connections: HashMap<Number, Connection>,
    by_server: HashMap<SocketAddr, Vec<Number>>,
    asks: HashMap<AskKey, Ask>,
    /// Idle connections, longest idle first; with entries that are so no longer.
    idle: VecDeque<(Moment, Number)>,
    next: Number,
    events: mpsc::Receiver<Event>,
    events_in: mpsc::Sender<Event>,
    /// An event taken while waiting for one.
    held: Option<Event>,
}

impl Pool {
    pub fn new(policy: Policy) -> Pool {
        let (events_in, events) = mpsc::channel(QUEUE);
        Pool {
            policy,
            connections: HashMap::new(),
            by_server: HashMap::new(),
            asks: HashMap::new(),
            idle: VecDeque::new(),
            next: 0,
            events,
            events_in,
            held: None,
        }
    }

    pub fn ask(
        &mut self,
        now: Moment,
        key: AskKey,
        server: SocketAddr,
        source: IpAddr,
        packet: &[u8],
        counters: &mut Counters,
    ) -> Result<(), LinkError> {
        let Some(&[high, low]) = packet.get(..2) else { return Err(LinkError::Closed) };
        let id = u16::from_be_bytes([high, low]);
        let mut framed = Vec::new();
        if !frame(packet, &mut framed) {
            return Err(LinkError::Closed);
        }
        counters.tcp_asked += 1;
        if let Some(connection) = self.usable(server, id) {
            self.put(connection, key, id, framed.clone(), Some(framed));
            return Ok(());
        }
        let connection = self.open(now, server, source, counters)?;
        self.put(connection, key, id, framed, None);
        Ok(())
    }

    /// A connection to `server` on which `id` is free.
    fn usable(&self, server: SocketAddr, id: u16) -> Option<Number> {
        self.by_server.get(&server)?.iter().copied().find(|number| {
            self.connections.get(number).is_some_and(|connection| {
                !connection.suspect
                    && connection.asks.len() < PIPELINE
                    && !connection.asks.contains_key(&id)
                    && !connection.queue.is_closed()
            })
        })
    }

    fn put(&mut self, number: Number, key: AskKey, id: u16, framed: Vec<u8>, again: Option<Vec<u8>>) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.asks.insert(id, key);
            // A task that has just ended says so in an event, which then finds this question.
            let _ = connection.queue.send(framed);
            self.asks.insert(key, Ask { connection: number, id, answered: false, again });
        }
    }

    fn open(
        &mut self,
        now: Moment,
        server: SocketAddr,
        source: IpAddr,
        counters: &mut Counters,
    ) -> Result<Number, LinkError> {
        if self.connections.len() >= self.policy.tcp_connections {
            let longest = self.longest_idle().ok_or(LinkError::Exhausted)?;
            self.remove(longest);
        }
        let number = self.next;
        self.next += 1;
        let (queue, queued) = mpsc::unbounded_channel();
        let task = tokio::task::spawn_local(run(number, source, server, queued, self.events_in.clone()));
        self.connections.insert(
            number,
            Connection {
                server,
                source,
                asks: HashMap::new(),
                queue,
                task: task.abort_handle(),
                suspect: false,
                idle_since: now,
            },
        );
        self.by_server.entry(server).or_default().push(number);
        counters.tcp_connections += 1;
        Ok(number)
    }

    fn remove(&mut self, number: Number) -> Option<Connection> {
        let connection = self.connections.remove(&number)?;
        if let Some(numbers) = self.by_server.get_mut(&connection.server) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.by_server.remove(&connection.server);
            }
        }
        Some(connection)
    }

    pub fn close(&mut self, now: Moment, key: AskKey) {
        let Some(ask) = self.asks.remove(&key) else { return };
        let Some(connection) = self.connections.get_mut(&ask.connection) else { return };
        connection.asks.remove(&ask.id);
        connection.suspect |= !ask.answered;
        if !connection.asks.is_empty() {
            return;
        }
        if connection.suspect || self.policy.tcp_idle_timeout.is_zero() {
            self.remove(ask.connection);
        } else {
            connection.idle_since = now;
            self.idle.push_back((now, ask.connection));
        }
    }

    pub fn receive(
        &mut self,
        now: Moment,
        limit: usize,
        counters: &mut Counters,
        take: &mut impl FnMut(AskKey, Arrival<'_>),
    ) -> bool {
        for _ in 0..limit {
            let Some(event) = self.held.take().or_else(|| self.events.try_recv().ok()) else { return false };
            match event {
                Event::Message { connection, packet } => self.message(connection, &packet, counters, take),
                Event::Ended { connection, error, connected, partial } => {
                    let retry = connected && !partial;
                    self.ended(now, connection, error, retry, counters, take);
                }
            }
        }
        true
    }

    fn message(
        &mut self,
        number: Number,
        packet: &[u8],
        counters: &mut Counters,
        take: &mut impl FnMut(AskKey, Arrival<'_>),
    ) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let id = packet.get(..2).map(|id| u16::from_be_bytes([id[0], id[1]]));
        match id.and_then(|id| connection.asks.get(&id).copied()) {
            Some(key) => {
                if let Some(ask) = self.asks.get_mut(&key) {
                    ask.answered = true;
                    ask.again = None;
                }
                take(key, Ok(packet));
            }
            None => {
                // A late answer comes only on a connection that is suspect; anything else is noise,
                // and nothing is owed to a server that makes it.
                counters.tcp_unasked += 1;
                connection.suspect = true;
                if connection.asks.is_empty() {
                    self.remove(number);
                }
            }
        }
    }

    /// The connection is gone. Servers close idle connections when they like: a question that was
    /// put on a kept one, and lost that way, is put once more on a fresh one (RFC 7766 §6.2.4).
    fn ended(
        &mut self,
        now: Moment,
        number: Number,
        error: LinkError,
        retry: bool,
        counters: &mut Counters,
        take: &mut impl FnMut(AskKey, Arrival<'_>),
    ) {
        let Some(mut connection) = self.remove(number) else { return };
        let (server, source) = (connection.server, connection.source);
        // Questions of one lost connection share the fresh one.
        let mut fresh = None;
        for (id, key) in std::mem::take(&mut connection.asks) {
            let Some(ask) = self.asks.remove(&key) else { continue };
            let framed = ask.again.filter(|_| retry);
            let failed = match framed {
                None => Some(error),
                Some(framed) => match fresh.map_or_else(|| self.open(now, server, source, counters), Ok) {
                    Err(error) => Some(error),
                    Ok(number) => {
                        fresh = Some(number);
                        counters.tcp_retried += 1;
                        self.put(number, key, id, framed, None);
                        None
                    }
                },
            };
            if let Some(error) = failed {
                take(key, Err(error));
            }
        }
    }

    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.held.is_some() {
            return Poll::Ready(());
        }
        self.events.poll_recv(context).map(|event| self.held = event)
    }

    pub fn poll_timeout(&self) -> Option<Moment> {
        self.idle.front().map(|(since, _)| *since + self.policy.tcp_idle_timeout)
    }

    pub fn handle_timeout(&mut self, now: Moment) {
        while let Some(&(since, number)) = self.idle.front() {
            if since + self.policy.tcp_idle_timeout > now {
                return;
            }
            self.idle.pop_front();
            if self.is_idle_since(number, since) {
                self.remove(number);
            }
        }
    }

    fn is_idle_since(&self, number: Number, since: Moment) -> bool {
        self.connections
            .get(&number)
            .is_some_and(|connection| connection.asks.is_empty() && connection.idle_since == since)
    }

    fn longest_idle(&mut self) -> Option<Number> {
        while let Some((since, number)) = self.idle.pop_front() {
            if self.is_idle_since(number, since) {
                return Some(number);
            }
        }
        None
    }
}

/// A connection's whole life.
async fn run(
    number: Number,
    source: IpAddr,
    server: SocketAddr,
    queue: mpsc::UnboundedReceiver<Vec<u8>>,
    events: mpsc::Sender<Event>,
) {
    let (error, connected, partial) = match connect(source, server).await {
        Err(error) => (link_error(&error), false, false),
        Ok(mut stream) => {
            let mut deframer = Deframer::new();
            let (reading, writing) = stream.split();
            // Whichever ends first ends the connection.
            tokio::select! {
                biased;
                () = read(number, reading, &mut deframer, &events) => {}
                () = write(writing, queue) => {}
            }
            (LinkError::Closed, true, deframer.is_partial())
        }
    };
    // The shard is gone if this fails.
    let _ = events.send(Event::Ended { connection: number, error, connected, partial }).await;
}

async fn connect(source: IpAddr, server: SocketAddr) -> io::Result<TcpStream> {
    let socket = if server.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if !source.is_unspecified() {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn read(number: Number, mut stream: ReadHalf<'_>, deframer: &mut Deframer, events: &mpsc::Sender<Event>) {
    loop {
        while let Some(message) = deframer.message() {
            let event = Event::Message { connection: number, packet: message.to_vec() };
            if events.send(event).await.is_err() {
                return;
            }
        }
        if !matches!(deframer.read(&mut stream, CHUNK).await, Ok(1..)) {
            return;
        }
    }
}

async fn write(mut stream: WriteHalf<'_>, mut queue: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(framed) = queue.recv().await {
        if stream.write_all(&framed).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener as StdListener, TcpStream as StdStream};
    use std::time::Duration;
    use tokio::task::LocalSet;
    use tokio::time::timeout;

    const WAIT: Duration = Duration::from_secs(5);
    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    struct Bench {
        pool: Pool,
        counters: Counters,
        server: SocketAddr,
        now: Moment,
    }

    type Heard = Vec<(AskKey, Result<Vec<u8>, LinkError>)>;

    impl Bench {
        /// A pool, and a server on a thread of its own, in a runtime.
        fn run<F: AsyncFnOnce(Bench)>(serve: impl FnOnce(StdListener) + Send + 'static, test: F) {
            let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            let server = listener.local_addr().expect("bound");
            let thread = std::thread::spawn(move || serve(listener));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let policy = Policy { tcp_connections: 2, ..Policy::default() };
            let bench =
                Bench { pool: Pool::new(policy), counters: Counters::default(), server, now: Moment::from_nanos(1) };
            LocalSet::new().block_on(&runtime, test(bench));
            drop(runtime);
            thread.join().expect("the server's thread");
        }

        fn ask(&mut self, key: u64, id: u16, text: &[u8]) -> Result<(), LinkError> {
            let packet = [&id.to_be_bytes(), text].concat();
            self.pool.ask(self.now, AskKey(key), self.server, LOOPBACK, &packet, &mut self.counters)
        }

        async fn hear(&mut self, count: usize) -> Heard {
            let mut heard = Heard::new();
            while heard.len() < count {
                timeout(WAIT, std::future::poll_fn(|context| self.pool.poll_ready(context))).await.expect("in time");
                let mut take = |key, arrival: Arrival<'_>| heard.push((key, arrival.map(<[u8]>::to_vec)));
                while self.pool.receive(self.now, 16, &mut self.counters, &mut take) {}
            }
            heard
        }
    }

    fn accept(listener: &StdListener) -> StdStream {
        let (stream, _) = listener.accept().expect("a connection");
        stream.set_read_timeout(Some(WAIT)).expect("a timeout");
        stream
    }

    /// The next message, none at the end of the stream.
    fn next(stream: &mut StdStream) -> Option<Vec<u8>> {
        let mut length = [0; 2];
        stream.read_exact(&mut length).ok()?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut message).ok()?;
        Some(message)
    }

    fn say(stream: &mut StdStream, message: &[u8]) {
        let mut framed = Vec::new();
        assert!(frame(message, &mut framed));
        stream.write_all(&framed).expect("written");
    }

    fn answer(key: u64, id: u16, text: &[u8]) -> (AskKey, Result<Vec<u8>, LinkError>) {
        (AskKey(key), Ok([&id.to_be_bytes(), text].concat()))
    }

    #[test]
    fn questions_share_a_connection_and_answers_come_in_any_order() {
        let serve = |listener: StdListener| {
            let mut stream = accept(&listener);
            let first = next(&mut stream).expect("a question");
            let second = next(&mut stream).expect("a question");
            say(&mut stream, &second);
            say(&mut stream, &first);
            let third = next(&mut stream).expect("a question");
            say(&mut stream, &third);
            assert_eq!(next(&mut stream), None, "the idle connection is closed");
        };
        Bench::run(serve, async |mut bench| {
            bench.ask(1, 100, b"one").expect("asked");
            bench.ask(2, 200, b"two").expect("asked");
            assert_eq!(bench.hear(2).await, [answer(2, 200, b"two"), answer(1, 100, b"one")]);
            bench.pool.close(bench.now, AskKey(1));
            bench.pool.close(bench.now, AskKey(2));
            bench.ask(3, 100, b"three").expect("asked");
            assert_eq!(bench.hear(1).await, [answer(3, 100, b"three")]);
            bench.pool.close(bench.now, AskKey(3));
            assert_eq!(bench.counters.tcp_connections, 1);
            let due = bench.pool.poll_timeout().expect("an idle connection");
            assert_eq!(due.since(bench.now), bench.pool.policy.tcp_idle_timeout);
            bench.pool.handle_timeout(due);
            assert!(bench.pool.connections.is_empty() && bench.pool.by_server.is_empty());
        });
    }

    #[test]
    fn an_id_in_use_opens_another_connection() {
        let serve = |listener: StdListener| {
            let (mut first, mut second) = (accept(&listener), accept(&listener));
            for stream in [&mut second, &mut first] {
                let question = next(stream).expect("a question");
                say(stream, &question);
            }
            assert_eq!((next(&mut first), next(&mut second)), (None, None), "both stay until the end");
        };
        Bench::run(serve, async |mut bench| {
            bench.ask(1, 7, b"one").expect("asked");
            bench.ask(2, 7, b"two").expect("asked");
            let mut heard = bench.hear(2).await;
            heard.sort_by_key(|(key, _)| *key);
            assert_eq!(heard, [answer(1, 7, b"one"), answer(2, 7, b"two")]);
            // Two is the cap here, and both are busy with this ID.
            assert_eq!(bench.ask(3, 7, b"three"), Err(LinkError::Exhausted));
        });
    }

    #[test]
    fn a_kept_connection_that_was_closed_is_replaced_in_silence_once() {
        let serve = |listener: StdListener| {
            let mut stream = accept(&listener);
            let question = next(&mut stream).expect("a question");
            say(&mut stream, &question);
            let _lost = next(&mut stream).expect("a question");
            drop(stream);
            let mut stream = accept(&listener);
            let question = next(&mut stream).expect("the same question");
            say(&mut stream, &question);
            let _lost = next(&mut stream).expect("a question");
            drop(stream);
            let mut stream = accept(&listener);
            let _lost = next(&mut stream).expect("the same question");
        };
        Bench::run(serve, async |mut bench| {
            bench.ask(1, 1, b"one").expect("asked");
            assert_eq!(bench.hear(1).await, [answer(1, 1, b"one")]);
            bench.pool.close(bench.now, AskKey(1));
            bench.ask(2, 2, b"two").expect("asked");
            assert_eq!(bench.hear(1).await, [answer(2, 2, b"two")]);
            bench.pool.close(bench.now, AskKey(2));
            // This one loses the kept connection, and then the fresh one too.
            bench.ask(3, 3, b"three").expect("asked");
            assert_eq!(bench.hear(1).await, [(AskKey(3), Err(LinkError::Closed))]);
            assert_eq!(bench.counters.tcp_retried, 2);
            assert!(bench.pool.asks.is_empty() && bench.pool.connections.is_empty());
        });
    }

    #[test]
    fn a_response_cut_short_is_not_asked_for_again() {
        let serve = |listener: StdListener| {
            let mut stream = accept(&listener);
            let question = next(&mut stream).expect("a question");
            say(&mut stream, &question);
            let _question = next(&mut stream).expect("a question");
            stream.write_all(&[0, 50, 1, 2, 3]).expect("written");
        };
        Bench::run(serve, async |mut bench| {
            bench.ask(1, 1, b"one").expect("asked");
            bench.hear(1).await;
            bench.pool.close(bench.now, AskKey(1));
            bench.ask(2, 2, b"two").expect("asked");
            assert_eq!(bench.hear(1).await, [(AskKey(2), Err(LinkError::Closed))]);
        });
    }

    #[test]
    fn a_refused_connection_is_said() {
        Bench::run(drop, async |mut bench| {
            // The server's thread has closed its port, or will have, before it is joined: wait for it.
            while std::net::TcpStream::connect(bench.server).is_ok() {
                tokio::task::yield_now().await;
            }
            bench.ask(1, 1, b"one").expect("begun");
            assert_eq!(bench.hear(1).await, [(AskKey(1), Err(LinkError::Refused))]);
        });
    }

    #[test]
    fn a_connection_that_left_a_question_unanswered_is_not_used_again() {
        let (arrived, arrival) = tokio::sync::oneshot::channel();
        let serve = |listener: StdListener| {
            let mut silent = accept(&listener);
            arrived.send(next(&mut silent)).expect("the test waits");
            let mut stream = accept(&listener);
            assert_eq!(next(&mut silent), None, "it was closed");
            let question = next(&mut stream).expect("a question");
            say(&mut stream, &question);
            assert_eq!(next(&mut stream), None, "the good connection stays until the end");
        };
        Bench::run(serve, async |mut bench| {
            bench.ask(1, 1, b"one").expect("asked");
            let question = timeout(WAIT, arrival).await.expect("in time");
            assert!(question.expect("the server lives").is_some());
            bench.pool.close(bench.now, AskKey(1));
            bench.ask(2, 2, b"two").expect("asked");
            assert_eq!(bench.hear(1).await, [answer(2, 2, b"two")]);
        });
    }
}
