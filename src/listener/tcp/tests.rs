//! Connections as a client meets them, with a shard that answers as each test likes.

use super::*;
use crate::admission::{Action, Books, Mode, Sizes};
use std::future::poll_fn;
use std::net::Ipv4Addr;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::timeout;

const WAIT: Duration = Duration::from_secs(5);

struct Bench {
    address: SocketAddr,
    desk: Rc<Desk>,
    counters: Arc<Counters>,
    caps: Arc<Caps>,
    drain: watch::Sender<bool>,
    level: Rc<Cell<Level>>,
    door: Rc<RefCell<Door>>,
    books: Books,
}

impl Bench {
    fn run<F: AsyncFnOnce(Bench)>(policy: Policy, test: F) {
        Bench::run_with(policy, Mode::Enforce, test);
    }

    fn run_with<F: AsyncFnOnce(Bench)>(policy: Policy, connections: Mode, test: F) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        LocalSet::new().block_on(&runtime, async {
            let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            listener.set_nonblocking(true).expect("non-blocking");
            let address = listener.local_addr().expect("bound");
            let (drain, draining) = watch::channel(false);
            let caps =
                Caps::new(policy.tcp_connections, policy.tcp_connections_per_client, policy.tcp_connections_per_prefix);
            let level = Rc::new(Cell::new(Level::Open));
            // Clients here are on this machine, which is exempt by default.
            let mut access = crate::admission::Policy::default();
            access.limits.exempt.clear();
            access.limits.connections = connections;
            // A second of a share each, so that it shows on a slow machine too.
            access.limits.tcp_accept_cost = 1_000;
            let (desk, counters) = (Desk::new(), Arc::new(Counters::default()));
            let books = Books::new(&Sizes::small(), &[0; 32]);
            let door = Rc::new(RefCell::new(Door::beside(&access, &books)));
            let terms = Terms {
                policy,
                desk: Rc::clone(&desk),
                caps: Arc::clone(&caps),
                counters: Arc::clone(&counters),
                door: Rc::clone(&door),
                level: Rc::clone(&level),
                draining,
            };
            accept(listener, Rc::new(terms)).expect("accepting");
            test(Bench { address, desk, counters, caps, drain, level, door, books }).await;
        });
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connected")
    }

    /// The next query at the desk.
    async fn query(&self) -> Query {
        loop {
            timeout(WAIT, poll_fn(|context| self.desk.poll_ready(context))).await.expect("a query in time");
            if let Some(query) = self.desk.take() {
                return query;
            }
            while self.desk.take_gone().is_some() {}
        }
    }

    /// How often connections were closed for a reason; each is explained.
    fn closed_for(&self, reason: Reason) -> u64 {
        let kept = self.books.decisions().of_address(self.address.ip(), 100);
        let explained = kept.iter().any(|decision| decision.reason == reason && decision.action == Action::Closed);
        let count = self.door.borrow().tally().turned[reason as usize];
        assert_eq!(count > 0, explained, "{reason:?}: {kept:?}");
        count
    }

    fn count(&self, name: &str) -> u64 {
        self.counters.snapshot().iter().find(|(counter, _)| *counter == name).expect("a counter").1
    }
}

/// A message of header size that tells its number.
fn message(number: u8) -> Vec<u8> {
    vec![number; HEADER]
}

async fn say(stream: &mut TcpStream, messages: &[Vec<u8>]) {
    let mut framed = Vec::new();
    for message in messages {
        assert!(crate::net::framing::frame(message, &mut framed));
    }
    stream.write_all(&framed).await.expect("written");
}

async fn hear(stream: &mut TcpStream) -> Vec<u8> {
    let heard = timeout(WAIT, async {
        let length = stream.read_u16().await.expect("a length");
        let mut message = vec![0; usize::from(length)];
        stream.read_exact(&mut message).await.expect("a message");
        message
    });
    heard.await.expect("a reply in time")
}

/// Waits until the server closes.
async fn closed(stream: &mut TcpStream) {
    let end = timeout(WAIT, stream.read_u8()).await.expect("closed in time");
    assert!(end.is_err(), "the server says something instead of closing");
}

#[test]
fn questions_are_pipelined_and_answered_in_any_order() {
    Bench::run(Policy::default(), async |bench| {
        let mut client = bench.connect().await;
        say(&mut client, &[message(1), message(2), message(3)]).await;
        let mut queries = Vec::new();
        for number in 1..=3 {
            let query = bench.query().await;
            assert_eq!((&query.packet, query.client), (&message(number), client.local_addr().expect("bound")));
            queries.push(query);
        }
        for query in queries.iter().rev() {
            bench.desk.reply(query.route, &query.packet);
        }
        for number in [3, 2, 1] {
            assert_eq!(hear(&mut client).await, message(number));
        }
        assert_eq!((bench.count("tcp_received"), bench.count("tcp_sent")), (3, 3));
    });
}

#[test]
fn a_client_that_closes_its_side_still_hears_the_answer() {
    Bench::run(Policy::default(), async |bench| {
        let mut client = bench.connect().await;
        say(&mut client, &[message(1)]).await;
        client.shutdown().await.expect("half closed");
        let query = bench.query().await;
        tokio::task::yield_now().await;
        bench.desk.reply(query.route, &message(9));
        assert_eq!(hear(&mut client).await, message(9));
        closed(&mut client).await;
        assert_eq!((bench.desk.connections(), bench.caps.open()), (0, 0));
    });
}

#[test]
fn messages_that_cannot_be_queries_close_the_connection() {
    Bench::run(Policy::default(), async |bench| {
        for length in [0, HEADER - 1, QUERY_ROOM + 1] {
            let mut client = bench.connect().await;
            say(&mut client, &[vec![0; length]]).await;
            closed(&mut client).await;
        }
        assert_eq!((bench.count("tcp_misframed"), bench.closed_for(Reason::Misframed)), (3, 3));
        assert!(bench.desk.take().is_none());
    });
}

#[test]
fn an_idle_connection_is_closed_even_if_it_drips() {
    let policy = Policy { tcp_idle_timeout: Duration::from_millis(100), ..Policy::default() };
    Bench::run(policy, async |bench| {
        let (mut silent, mut dripping) = (bench.connect().await, bench.connect().await);
        dripping.write_all(&[0]).await.expect("written");
        closed(&mut silent).await;
        closed(&mut dripping).await;
        assert_eq!(bench.count("tcp_idle"), 2);
        assert_eq!((bench.closed_for(Reason::Unfinished), bench.closed_for(Reason::IdleEarly)), (1, 0));
    });
}

#[test]
fn a_question_in_flight_keeps_its_connection() {
    let policy = Policy { tcp_idle_timeout: Duration::from_millis(20), ..Policy::default() };
    Bench::run(policy, async |bench| {
        let (mut asking, mut idle) = (bench.connect().await, bench.connect().await);
        say(&mut asking, &[message(1)]).await;
        let query = bench.query().await;
        closed(&mut idle).await;
        bench.desk.reply(query.route, &message(1));
        assert_eq!(hear(&mut asking).await, message(1));
        closed(&mut asking).await;
        assert_eq!(bench.count("tcp_idle"), 2);
    });
}

#[test]
fn one_connection_has_so_many_questions_in_flight_and_no_more() {
    let policy = Policy { tcp_pipeline: 2, ..Policy::default() };
    Bench::run(policy, async |bench| {
        let mut client = bench.connect().await;
        say(&mut client, &(1..=5).map(message).collect::<Vec<_>>()).await;
        let mut waiting = vec![bench.query().await, bench.query().await];
        let mut heard = 0;
        while let Some(query) = waiting.pop() {
            assert!(bench.desk.take().is_none(), "a third question is in flight");
            bench.desk.reply(query.route, &query.packet);
            hear(&mut client).await;
            heard += 1;
            if heard + waiting.len() < 5 {
                waiting.push(bench.query().await);
            }
        }
        assert_eq!(heard, 5);
        assert!(bench.count("tcp_pipeline_full") > 0);
    });
}

#[test]
fn a_prefix_has_its_connections_and_gets_them_back() {
    let policy = Policy { tcp_connections_per_prefix: 1, ..Policy::default() };
    Bench::run(policy, async |bench| {
        let mut first = bench.connect().await;
        say(&mut first, &[message(1)]).await;
        let query = bench.query().await;
        let mut second = bench.connect().await;
        closed(&mut second).await;
        assert_eq!((bench.count("tcp_over_prefix"), bench.closed_for(Reason::ConnectionsPrefix)), (1, 1));
        bench.desk.hang_up(query.route);
        closed(&mut first).await;
        let mut third = bench.connect().await;
        say(&mut third, &[message(3)]).await;
        assert_eq!(bench.query().await.packet, message(3));
    });
}

#[test]
fn there_are_so_many_connections_in_all() {
    let policy = Policy { tcp_connections: 1, ..Policy::default() };
    Bench::run(policy, async |bench| {
        let mut first = bench.connect().await;
        say(&mut first, &[message(1)]).await;
        bench.query().await;
        let mut second = bench.connect().await;
        closed(&mut second).await;
        assert_eq!((bench.count("tcp_over_total"), bench.caps.open()), (1, 1));
        assert_eq!((bench.closed_for(Reason::ConnectionsTotal), bench.closed_for(Reason::ConnectionsClient)), (1, 0));
    });
}

#[test]
fn large_answers_to_pipelined_questions_all_arrive() {
    Bench::run(Policy::default(), async |bench| {
        let mut client = bench.connect().await;
        say(&mut client, &(0..100).map(message).collect::<Vec<_>>()).await;
        let shard = async {
            for _ in 0..100 {
                let query = bench.query().await;
                // From the cache: all that are there are answered before anything can be written.
                bench.desk.reply(query.route, &vec![query.packet[0]; 50_000]);
            }
        };
        let reader = async {
            for number in 0..100 {
                assert_eq!(hear(&mut client).await, vec![number; 50_000]);
            }
        };
        tokio::join!(shard, reader);
        let counts = ["tcp_sent", "tcp_slow_reader"].map(|name| bench.count(name));
        assert_eq!((counts, bench.desk.unread()), ([100, 0], 0));
    });
}

#[test]
fn large_answers_that_come_at_once_all_arrive() {
    Bench::run(Policy::default(), async |bench| {
        let mut client = bench.connect().await;
        say(&mut client, &(0..100).map(message).collect::<Vec<_>>()).await;
        let mut queries = Vec::new();
        for _ in 0..100 {
            queries.push(bench.query().await);
        }
        for query in queries {
            bench.desk.reply(query.route, &vec![query.packet[0]; 50_000]);
        }
        for number in 0..100 {
            assert_eq!(hear(&mut client).await, vec![number; 50_000]);
        }
        assert_eq!((bench.count("tcp_slow_reader"), bench.desk.unread()), (0, 0));
    });
}

#[test]
fn a_client_that_does_not_read_is_asked_no_further_and_closed_in_time() {
    const LARGE: usize = 60_000;
    let policy = Policy { tcp_write_timeout: Duration::from_millis(200), tcp_pipeline: 5_000, ..Policy::default() };
    Bench::run(policy, async |bench| {
        let mut client = bench.connect().await;
        say(&mut client, &vec![message(1); 3_000]).await;
        let (mut answered, mut most) = (0, 0);
        let shard = async {
            while bench.count("tcp_slow_reader") == 0 {
                if let Some(query) = bench.desk.take() {
                    bench.desk.reply(query.route, &vec![0; LARGE]);
                    answered += 1;
                    most = most.max(bench.desk.unread());
                } else {
                    tokio::task::yield_now().await;
                }
            }
        };
        timeout(WAIT, shard).await.expect("closed in time");
        assert!((256 << 10..(256 << 10) + 2 + LARGE).contains(&most), "{most} octets were kept");
        assert!(answered < 3_000, "everything was answered for a client that did not read");
        assert_eq!((bench.count("tcp_unread_full") > 0, bench.desk.unread()), (true, 0));
        assert!(bench.desk.take_gone().is_some(), "the engine is told that nobody waits any more");
        let mut rest = Vec::new();
        let end = timeout(WAIT, client.read_to_end(&mut rest)).await.expect("closed");
        assert!(end.is_err() || rest.len() <= answered * (2 + LARGE));
    });
}

#[test]
fn a_client_that_pauses_for_less_than_the_time_hears_everything() {
    let policy = Policy { tcp_write_timeout: Duration::from_secs(60), ..Policy::default() };
    Bench::run(policy, async |bench| {
        let mut client = bench.connect().await;
        say(&mut client, &vec![message(1); 400]).await;
        let mut answered = 0;
        // Until everything between the two is full.
        while bench.desk.unread() < 256 << 10 {
            match bench.desk.take() {
                Some(query) => {
                    bench.desk.reply(query.route, &vec![0; 60_000]);
                    answered += 1;
                }
                None => tokio::task::yield_now().await,
            }
        }
        let reader = async {
            for _ in 0..400 {
                hear(&mut client).await;
            }
        };
        let shard = async {
            while answered < 400 {
                let query = bench.query().await;
                bench.desk.reply(query.route, &vec![0; 60_000]);
                answered += 1;
            }
        };
        tokio::join!(reader, shard);
        assert_eq!(bench.count("tcp_slow_reader"), 0);
    });
}

#[test]
fn clients_that_leave_more_unread_than_all_may_are_cut_off() {
    Bench::run(Policy::default(), async |bench| {
        let (mut client, mut modest) = (bench.connect().await, bench.connect().await);
        say(&mut client, &[message(1)]).await;
        let query = bench.query().await;
        say(&mut modest, &[message(2)]).await;
        let other = bench.query().await;
        // Without a pause, nothing of it can be written in between.
        for _ in 0..(64 << 20) / 60_000 + 2 {
            bench.desk.reply(query.route, &vec![0; 60_000]);
        }
        bench.desk.reply(other.route, &other.packet);
        let mut rest = Vec::new();
        let end = timeout(WAIT, client.read_to_end(&mut rest)).await.expect("closed in time");
        assert!(end.is_err() || rest.len() < 64 << 20, "everything was kept for a client that did not read");
        assert_eq!((bench.count("tcp_unread_total"), bench.closed_for(Reason::UnreadTotal)), (1, 1));
        assert!(bench.desk.take_gone().is_some(), "the engine is told that nobody waits any more");
        assert_eq!(hear(&mut modest).await, message(2), "whoever reads is not cut off");
    });
}

#[test]
fn draining_finishes_what_is_in_flight_and_closes_the_rest() {
    Bench::run(Policy::default(), async |bench| {
        let (mut asking, mut idle) = (bench.connect().await, bench.connect().await);
        say(&mut asking, &[message(1)]).await;
        let query = bench.query().await;
        while bench.desk.connections() < 2 {
            tokio::task::yield_now().await;
        }
        bench.drain.send_replace(true);
        closed(&mut idle).await;
        bench.desk.reply(query.route, &message(1));
        assert_eq!(hear(&mut asking).await, message(1));
        closed(&mut asking).await;
        assert!(TcpStream::connect(bench.address).await.is_err(), "a connection is accepted while draining");
    });
}

#[test]
fn a_share_used_up_closes_the_door_to_more_connections() {
    Bench::run(Policy::default(), async |bench: Bench| {
        bench.level.set(Level::Guard);
        // A burst of two seconds: two connections at once, and one more each second.
        for _ in 0..20 {
            drop(bench.connect().await);
        }
        let accepted = async {
            while bench.count("tcp_accepted") < 20 {
                tokio::task::yield_now().await;
            }
        };
        timeout(WAIT, accepted).await.expect("all accepted in time");
        let turned = bench.count("tcp_over_share");
        assert!((5..=18).contains(&turned), "{turned}");
        assert_eq!((bench.closed_for(Reason::ConnectionShare), bench.closed_for(Reason::ClientShare)), (turned, 0));
    });
}

#[test]
fn under_pressure_idle_connections_are_closed_sooner() {
    let policy = Policy { tcp_idle_timeout: Duration::from_secs(16), ..Policy::default() };
    Bench::run(policy, async |bench: Bench| {
        bench.level.set(Level::Closed);
        let mut stream = bench.connect().await;
        let end = timeout(WAIT, stream.read_u8()).await.expect("closed in time");
        assert_eq!(end.expect_err("closed").kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!((bench.count("tcp_idle"), bench.closed_for(Reason::IdleEarly)), (1, 1));
    });
}

#[test]
fn what_is_observed_of_connections_is_counted_and_closes_none() {
    let policy =
        Policy { tcp_idle_timeout: Duration::from_millis(1_500), tcp_connections_per_client: 1, ..Policy::default() };
    for (mode, observed) in [(Mode::Observe, [1, 2]), (Mode::Off, [0, 0])] {
        Bench::run_with(policy.clone(), mode, async |bench: Bench| {
            let began = Instant::now();
            let mut held = [bench.connect().await, bench.connect().await];
            while bench.desk.connections() < 2 {
                tokio::task::yield_now().await;
            }
            bench.level.set(Level::Closed);
            for stream in &mut held {
                closed(stream).await;
            }
            let idled = began.elapsed();
            assert!(idled >= Duration::from_millis(1_400), "closed before its time, after {idled:?}");
            let tally = bench.door.borrow().tally();
            let count = |reason: Reason| tally.observed[reason as usize];
            assert_eq!([count(Reason::ConnectionsClient), count(Reason::IdleEarly)], observed, "{mode:?}");
            assert_eq!((tally.closed, bench.count("tcp_idle")), (0, 2));
        });
    }
}

#[test]
fn a_client_that_does_not_read_is_only_counted_where_connections_are_observed() {
    const LARGE: usize = 60_000;
    const COUNT: usize = 100;
    let policy = Policy { tcp_write_timeout: Duration::from_millis(100), ..Policy::default() };
    Bench::run_with(policy, Mode::Observe, async |bench: Bench| {
        let mut client = bench.connect().await;
        say(&mut client, &vec![message(1); COUNT]).await;
        let observed = |bench: &Bench| bench.door.borrow().tally().observed[Reason::SlowReader as usize];
        let noticed = async {
            while observed(&bench) == 0 {
                if let Some(query) = bench.desk.take() {
                    bench.desk.reply(query.route, &vec![0; LARGE]);
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(WAIT, noticed).await.expect("noticed in time");
        // It was not closed, and hears all in the end.
        let shard = async {
            loop {
                let query = bench.query().await;
                bench.desk.reply(query.route, &vec![0; LARGE]);
            }
        };
        let hearing = async {
            for _ in 0..COUNT {
                assert_eq!(hear(&mut client).await.len(), LARGE);
            }
        };
        tokio::select! {
            () = hearing => {}
            () = shard => {}
        }
        assert_eq!((bench.count("tcp_slow_reader"), bench.door.borrow().tally().closed), (0, 0));
    });
}

#[test]
fn what_a_wide_network_has_of_all_connections_is_told_from_what_its_parts_have() {
    let policy = Policy { tcp_connections: 8, tcp_connections_per_prefix: 1, ..Policy::default() };
    Bench::run(policy, async |bench: Bench| {
        let mut held = Vec::new();
        for network in 1..=2u8 {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            socket.bind(SocketAddr::from(([127, 0, network, 1], 0))).expect("bound");
            let mut stream = socket.connect(bench.address).await.expect("connected");
            say(&mut stream, &[message(1)]).await;
            bench.query().await;
            held.push(stream);
        }
        closed(&mut bench.connect().await).await;
        let counts = ["tcp_over_wide", "tcp_over_prefix"].map(|name| bench.count(name));
        assert_eq!((counts, bench.closed_for(Reason::ConnectionsWide)), ([1, 0], 1));
        assert_eq!(Reason::ConnectionsWide.setting(), "server.tcp_connections");
    });
}
