//! Whether the generator measures what is there: a bare echo, a server with a known delay and loss, and others of known
//! behaviour, on loopback.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::ledger::{Account, Answer, Ledger};
use super::outcome::{Outcome, Sample};
use super::scenario::{self, Scenario, Vocabulary};
use super::{Permit, Run};

/// What a server does with a datagram: the time to hold the answer back, and the answer; nothing for silence.
type Reply = Box<dyn FnMut(&[u8], SocketAddr) -> Option<(Duration, Vec<u8>)> + Send>;

struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(mut reply: Reply) -> Server {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20);
        let address = socket.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut waiting: VecDeque<(Instant, SocketAddr, Vec<u8>)> = VecDeque::new();
            let mut buffer = [0; 4096];
            while !stopped.load(Relaxed) {
                while waiting.front().is_some_and(|(due, ..)| *due <= Instant::now()) {
                    if let Some((_, to, answer)) = waiting.pop_front() {
                        let _ = socket.send_to(&answer, to);
                    }
                }
                let next = waiting.front().map(|(due, ..)| due.saturating_duration_since(Instant::now()));
                let patience = next.unwrap_or(Duration::from_millis(20)).max(Duration::from_micros(100));
                socket.set_read_timeout(Some(patience)).unwrap();
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                match reply(&buffer[..length], from) {
                    Some((delay, answer)) if delay.is_zero() => drop(socket.send_to(&answer, from)),
                    Some((delay, answer)) => waiting.push_back((Instant::now() + delay, from, answer)),
                    None => {}
                }
            }
        });
        Server { address, stop, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn echo(query: &[u8]) -> Vec<u8> {
    let mut answer = query.to_vec();
    answer[2] |= 0x80;
    answer
}

fn scenario(text: &str) -> Scenario {
    let vocabulary = Vocabulary { zones: &["plain"], behaviours: &["honest"], beyond: &[], signed: |_| Ok(()) };
    match scenario::read(text, std::path::Path::new("test.toml"), &vocabulary) {
        Ok(scenario) => scenario,
        Err(report) => panic!("{}", report.human(false)),
    }
}

/// One stream with `rest` in its table, for as long as the first argument says.
fn ledger(duration: &str, rest: &str, target: SocketAddr) -> Ledger {
    let text = format!(
        "[scenario]\nname = \"t\"\nduration = \"{duration}\"\nlate_after = \"1s\"\n[[stream]]\nname = \"s\"\nnames = \"www.example.com\"\n{rest}\n"
    );
    let permit = Permit::new(target, None, None).unwrap();
    Run::start(&scenario(&text), permit, &[]).unwrap().complete()
}

fn only(ledger: &Ledger) -> &Account {
    &ledger.accounts[0]
}

#[test]
fn a_bare_echo_loses_nothing() {
    let server = Server::start(Box::new(|query, _| Some((Duration::ZERO, echo(query)))));
    let ledger = ledger("1s", "rate = \"4000/s\"", server.address);
    let (sum, latencies) = only(&ledger).sum(0, usize::MAX);
    assert_eq!((sum.asked, sum.answered, sum.success, sum.unanswered), (4000, 4000, 4000, 0));
    assert_eq!((sum.packets, sum.open(), ledger.stray, ledger.refused_by_kernel), (4000, 0, 0, 0));
    assert!(latencies.value_at_quantile(0.1) < 20_000, "the floor: {} µs", latencies.value_at_quantile(0.1));
}

#[test]
fn clients_with_cookies_ask_again_with_the_one_they_were_given_and_keep_it() {
    // Wants a whole cookie, and makes one of the client's part and its own.
    let reply = |query: &[u8], _: SocketAddr| {
        let shown = super::packet::cookie(query)?;
        let mut answer = echo(query);
        if shown.len() == 8 {
            let opt = answer.len() - 12 - 11;
            (answer[3], answer[opt + 5]) = (7, 1); // BADCOOKIE is 23
            let length = answer.len() - 14;
            let whole = [shown, &[9; 16]].concat();
            answer.truncate(length);
            answer.extend_from_slice(&[0, 28, 0, 10, 0, 24]);
            answer.extend_from_slice(&whole);
        } else if shown[8..] != [9; 16] {
            return None;
        }
        Some((Duration::ZERO, answer))
    };
    let server = Server::start(Box::new(reply));
    let ledger = ledger("1s", "rate = \"500/s\"\nclients = 20\ncookies = true\ntimeout = \"1s\"", server.address);
    let (sum, _) = only(&ledger).sum(0, usize::MAX);
    assert_eq!((sum.asked, sum.answered, sum.success), (500, 500, 500));
    assert!((20..100).contains(&sum.retries), "a few times for each of twenty clients: {}", sum.retries);
}

#[test]
fn a_known_delay_and_loss_are_measured() {
    let mut count = 0u32;
    let reply = move |query: &[u8], _: SocketAddr| {
        count += 1;
        (!count.is_multiple_of(5)).then(|| (Duration::from_millis(80), echo(query)))
    };
    let server = Server::start(Box::new(reply));
    let ledger = ledger("1s", "rate = \"1000/s\"\ntimeout = \"1s\"", server.address);
    let (sum, latencies) = only(&ledger).sum(0, usize::MAX);
    assert_eq!((sum.asked, sum.answered, sum.unanswered), (1000, 800, 200));
    let (least, median) = (latencies.min(), latencies.value_at_quantile(0.5));
    assert!(least >= 79_900, "nothing is faster than the delay: {least} µs");
    assert!((80_000..120_000).contains(&median), "{median} µs");
}

#[test]
fn stubs_ask_again_and_wait_from_the_first_time_on() {
    let mut seen: HashMap<Vec<u8>, u32> = HashMap::new();
    let reply = move |query: &[u8], from: SocketAddr| {
        let times = seen.entry([&query[..2], from.to_string().as_bytes()].concat()).or_default();
        *times += 1;
        (*times == 2).then(|| (Duration::ZERO, echo(query)))
    };
    let server = Server::start(Box::new(reply));
    let ledger = ledger("1s", "rate = \"200/s\"\nretry = [\"300ms\"]\ntimeout = \"2s\"", server.address);
    let (sum, latencies) = only(&ledger).sum(0, usize::MAX);
    assert_eq!((sum.asked, sum.answered, sum.retries, sum.packets), (200, 200, 200, 400));
    assert!(latencies.min() >= 299_000, "{} µs", latencies.min());
}

#[test]
fn a_target_that_never_answers_ends_in_a_report() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let text = "[scenario]\nname = \"t\"\nduration = \"1s\"\nlate_after = \"1s\"\n[[stream]]\nname = \"s\"\n\
                names = \"a.example\"\nrate = \"100/s\"\ntimeout = \"200ms\"\n[[expect]]\nstream = \"s\"\nsuccess = \">= 0.5\"\n";
    let scenario = scenario(text);
    let permit = Permit::new(silent.local_addr().unwrap(), None, None).unwrap();
    let ledger = Run::start(&scenario, permit, &[]).unwrap().complete();
    let outcome = Outcome::new(&scenario, &ledger, Vec::new());
    assert_eq!((outcome.streams[0].total.unanswered, outcome.passed()), (100, false));
    assert_eq!(outcome.verdicts[0].value, Some(0.0));
    assert!(outcome.notes.iter().any(|note| note.contains("never answered")));
}

#[test]
fn clients_ask_from_addresses_of_their_own() {
    let sources = Arc::new(std::sync::Mutex::new(HashSet::new()));
    let seen = Arc::clone(&sources);
    let reply = move |query: &[u8], from: SocketAddr| {
        seen.lock().unwrap().insert(from.ip());
        Some((Duration::ZERO, echo(query)))
    };
    let server = Server::start(Box::new(reply));
    let ledger = ledger("1s", "rate = \"1000/s\"\nclients = 50\nsources = [\"127.10.0.0/16\"]", server.address);
    assert_eq!(only(&ledger).sum(0, usize::MAX).0.answered, 1000);
    let sources = sources.lock().unwrap();
    assert!((45..=50).contains(&sources.len()), "{} addresses", sources.len());
    assert!(sources.iter().all(|ip| matches!(ip, IpAddr::V4(v4) if v4.octets()[..2] == [127, 10])));
}

#[test]
fn what_was_cut_short_is_asked_for_by_tcp() {
    let truncated = |query: &[u8], _: SocketAddr| {
        let mut answer = echo(query);
        answer[2] |= 0x02;
        Some((Duration::ZERO, answer))
    };
    // The same port by TCP, which somebody else may have just then.
    let (server, listener) = (0..50)
        .find_map(|_| {
            let server = Server::start(Box::new(truncated));
            TcpListener::bind(server.address).ok().map(|listener| (server, listener))
        })
        .unwrap();
    let serving = std::thread::spawn(move || {
        for _ in 0..20 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut query).unwrap();
            stream.write_all(&[&length[..], &echo(&query)].concat()).unwrap();
        }
    });
    let ledger = ledger("1s", "rate = \"20/s\"", server.address);
    let (sum, _) = only(&ledger).sum(0, usize::MAX);
    assert_eq!((sum.truncated, sum.by_tcp, sum.answered, sum.success), (20, 20, 20, 20));
    serving.join().unwrap();
}

/// One that sends what it can leaves out the rest, and takes nothing from the others' schedule.
#[test]
fn a_stream_that_does_what_it_can_has_a_loop_of_its_own() {
    let server = Server::start(Box::new(|query, _| Some((Duration::ZERO, echo(query)))));
    let text = "[scenario]\nname = \"t\"\nduration = \"1s\"\nlate_after = \"1s\"\n[[stream]]\nname = \"flood\"\nrole = \"attack\"\n\
        names = \"www.example.com\"\nrate = [{ at = \"200ms\", qps = 10000000 }]\nbest_effort = true\ntimeout = \"200ms\"\n\
        [[stream]]\nname = \"s\"\nnames = \"www.example.com\"\nrate = \"500/s\"\n";
    let permit = Permit::new(server.address, None, None).unwrap();
    let run = Run::start(&scenario(text), permit, &[]).unwrap();
    let ledger = run.complete();
    let of = |stream: usize| ledger.accounts[stream].sum(0, usize::MAX).0;
    let (flood, other) = (of(0), of(1));
    assert!((1_000..8_000_000).contains(&flood.asked), "{} of eight million", flood.asked);
    assert_eq!((flood.late, flood.open(), other.asked, other.late, other.open()), (0, 0, 500, 0, 0));
    let by_tcp = text.replace("best_effort = true", "best_effort = true\ntransports = { tcp = 1 }");
    let vocabulary = Vocabulary { zones: &["plain"], behaviours: &["honest"], beyond: &[], signed: |_| Ok(()) };
    let report = scenario::read(&by_tcp, std::path::Path::new("test.toml"), &vocabulary).unwrap_err().human(false);
    assert!(report.contains("by UDP alone"), "{report}");
}

#[test]
fn the_same_seed_asks_the_same_and_another_does_not() {
    let asked = |seed: u64| {
        let names = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = Arc::clone(&names);
        let reply = move |query: &[u8], _: SocketAddr| {
            seen.lock().unwrap().push(query[12..].to_vec());
            Some((Duration::ZERO, echo(query)))
        };
        let server = Server::start(Box::new(reply));
        let text = format!(
            "[scenario]\nname = \"t\"\nduration = \"1s\"\nseed = {seed}\nlate_after = \"1s\"\n[[stream]]\nname = \"a\"\nrole = \"attack\"\n\
             generator = {{ kind = \"random-subdomain\", zones = [\"bank.com\"] }}\nrate = \"100/s\"\n"
        );
        let permit = Permit::new(server.address, None, None).unwrap();
        Run::start(&scenario(&text), permit, &[]).unwrap().complete();
        let mut names = names.lock().unwrap().clone();
        names.sort();
        names
    };
    let (one, again, other) = (asked(1), asked(1), asked(2));
    assert_eq!(one, again);
    assert_ne!(one, other);
    assert_eq!(one.len(), 100);
}

#[test]
fn a_bound_on_the_number_ends_the_run() {
    let server = Server::start(Box::new(|query, _| Some((Duration::ZERO, echo(query)))));
    let mut scenario = scenario(
        "[scenario]\nname = \"t\"\nduration = \"1s\"\nlate_after = \"1s\"\n[[stream]]\nname = \"s\"\nnames = \"a.example\"\nrate = \"500/s\"\n",
    );
    scenario.most = 100;
    let permit = Permit::new(server.address, None, None).unwrap();
    let ledger = Run::start(&scenario, permit, &[]).unwrap().complete();
    assert_eq!(only(&ledger).sum(0, usize::MAX).0.asked, 100);
    assert!(Outcome::new(&scenario, &ledger, Vec::new()).invalid[0].contains("bound of 100"));
}

/// Repetitions count as well, and the run ends when its schedule does.
#[test]
fn a_cap_bounds_every_packet() {
    let packets = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let seen = Arc::clone(&packets);
    let server = Server::start(Box::new(move |_, _| {
        seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        None
    }));
    let scenario = scenario(
        "[scenario]\nname = \"t\"\nduration = \"1s\"\nlate_after = \"1s\"\n[[stream]]\nname = \"s\"\nnames = \"a.example\"\n\
         rate = \"200/s\"\ntimeout = \"100ms\"\nretry = [\"50ms\", \"50ms\", \"50ms\", \"50ms\"]\n",
    );
    let permit = Permit::new(server.address, None, Some(20)).unwrap();
    let ledger = Run::start(&scenario, permit, &[]).unwrap().complete();
    let sent = packets.load(std::sync::atomic::Ordering::Relaxed);
    assert!((15..=40).contains(&sent), "{sent} packets at 20 a second for some 1.3 s");
    let outcome = Outcome::new(&scenario, &ledger, Vec::new());
    assert!(ledger.capped > 150 && outcome.streams[0].total.late == 0, "{} {:?}", ledger.capped, outcome.invalid);
    assert!(outcome.invalid.iter().any(|why| why.contains("left out to keep the bound")), "{:?}", outcome.invalid);
}

/// A latency over its limit says nothing where the machine stood still for half of what may be over it.
#[test]
fn a_machine_that_stood_still_cannot_judge_latencies() {
    let scenario = scenario(
        "[scenario]\nname = \"t\"\nduration = \"4s\"\n[[stream]]\nname = \"people\"\nnames = \"a.example\"\nrate = \"1000/s\"\n\
         [[expect]]\nstream = \"people\"\nwindow = [\"1s\", \"3s\"]\nsuccess = \">= 0.99\"\np99 = \"<= 4ms\"\n",
    );
    let outcome = |slow: u64, stalls: [&[f64]; 4]| {
        let mut ledger = Ledger::new(1);
        for second in 0..4 {
            let account = &mut ledger.accounts[0];
            account.second(second).asked = 1_000;
            for question in 0..1_000 {
                let latency = Duration::from_millis(if question < slow { 20 } else { 1 });
                let answer = Answer { rcode: 0, right: true, known: true, stale: false, octets: 50, latency };
                account.answer(second, &answer);
            }
        }
        let samples = stalls.map(|stalls| Sample { stalls: stalls.to_vec(), ..Sample::default() });
        Outcome::new(&scenario, &ledger, samples.to_vec())
    };
    let still: &[f64] = &[0.006, 0.004];
    let explained = outcome(20, [&[], still, &[0.002], &[]]);
    assert!(!explained.verdicts[1].passed && !explained.passed());
    assert_eq!(explained.invalid.len(), 1);
    assert!(
        explained.invalid[0].contains("stood still for 12 ms of 1 s to 3 s, 6.0 ms at most"),
        "{:?}",
        explained.invalid
    );
    // What holds, holds; and times that are too few, too short or outside the window explain nothing.
    assert!(outcome(5, [&[], still, still, &[]]).passed());
    for few in [[&[][..], &[0.009], &[], &[]], [&[], &[0.000_9; 50], &[], &[]], [still, &[], &[], still]] {
        let outcome = outcome(20, few);
        assert!(outcome.invalid.is_empty() && !outcome.passed(), "{few:?}: {:?}", outcome.invalid);
    }
}

/// A small stream that left late says nothing, however many others left in time.
#[test]
fn a_stream_that_left_late_makes_a_run_invalid() {
    let scenario = scenario(
        "[scenario]\nname = \"t\"\nduration = \"2s\"\n[[stream]]\nname = \"people\"\nnames = \"a.example\"\nrate = \"50/s\"\n\
         [[stream]]\nname = \"bots\"\nrole = \"attack\"\nnames = \"a.example\"\nrate = \"5000/s\"\n\
         [[expect]]\nstream = \"bots\"\nwindow = [\"1s\", \"2s\"]\nanswered = \">= 0\"\n",
    );
    let invalid = |change: fn(&mut Ledger)| {
        let mut ledger = Ledger::new(2);
        for second in 0..2 {
            ledger.accounts[0].second(second).asked = 50;
            ledger.accounts[1].second(second).asked = 5_000;
            ledger.accounts[1].second(second).answered = 5_000;
        }
        change(&mut ledger);
        Outcome::new(&scenario, &ledger, Vec::new()).invalid
    };
    assert_eq!(invalid(|_| {}), Vec::<String>::new());
    assert_eq!(invalid(|ledger| ledger.accounts[0].second(1).late = 1), Vec::<String>::new());
    let people = invalid(|ledger| ledger.accounts[0].second(1).late = 25);
    assert!(people.len() == 1 && people[0].contains("25.0 % of the queries of people"), "{people:?}");
    // Few of all, but too many of those that an expectation looks at.
    let bots = invalid(|ledger| ledger.accounts[1].second(1).late = 80);
    assert!(bots.len() == 1 && bots[0].contains("of bots left late, 1 s to 2 s"), "{bots:?}");
}
