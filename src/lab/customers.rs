//! Simulated customers: stubs at many addresses that ask for popular names, at a steady rate whether or not they are
//! answered (an open loop), and judge what comes back.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::catalogue::{Expected, Question};
use super::dice::Dice;
use super::latency::{Histogram, Latencies};
use super::population::site;
use super::zone::key;

/// How long a stub waits before it asks again, as glibc does (resolv.conf `timeout`).
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it asks (resolv.conf `attempts`).
const ATTEMPTS: usize = 2;
/// Questions in flight; what the rate asks for beyond that is not sent and counted.
const MAX_IN_FLIGHT: usize = 512;
/// How often the loop looks whether questions are due.
const TICK: Duration = Duration::from_millis(5);
/// The share of questions that go to the zones of `zones/lab` instead of popular sites.
const CURIOUS: f64 = 0.05;
/// The exponent of the popularity; about 1 in measured DNS traffic.
const ZIPF_EXPONENT: f64 = 1.0;
/// The UDP payload size a customer allows.
const UDP_PAYLOAD: u16 = 1232;

/// Who asks, and how much.
#[derive(Clone, PartialEq, Debug)]
pub struct Demand {
    /// The resolver.
    pub resolver: SocketAddr,
    /// Questions a second; at least 1.
    pub rate: u32,
    /// Customers, each at an address of its own in 127.10.0.0/16; 1 to 65,000. By IPv6 all come from ::1.
    pub customers: u32,
    /// Size of the world's population.
    pub sites: usize,
    /// Seed of everything that is left to chance.
    pub seed: u64,
}

/// Counts since the start.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Tally {
    /// Questions asked; repetitions not counted.
    pub asked: u64,
    /// Questions that should succeed (NOERROR or NXDOMAIN, as the zones have it) and have ended, and those among
    /// them that did.
    pub sound: (u64, u64),
    /// Questions that cannot succeed, as no server answers for the name, and have ended; and those among them that
    /// got the SERVFAIL they must get.
    pub lost: (u64, u64),
    /// Answers by RCODE, 0 to 15.
    pub rcodes: [u64; 16],
    /// Questions given up without an answer.
    pub timeouts: u64,
    /// Questions asked again by UDP or, after truncation, by TCP.
    pub retries: u64,
    pub by_tcp: u64,
    /// Questions not sent, as too many were in flight or no socket was to be had.
    pub unsent: u64,
    /// Times from asking to the answer, repetitions included.
    pub latencies: Latencies,
}

impl Tally {
    /// The share of what should succeed that did; 1 before anything ended.
    pub fn success(&self) -> f64 {
        if self.sound.0 == 0 { 1.0 } else { self.sound.1 as f64 / self.sound.0 as f64 }
    }
}

#[derive(Debug)]
struct Counters {
    asked: AtomicU64,
    sound: [AtomicU64; 2],
    lost: [AtomicU64; 2],
    rcodes: [AtomicU64; 16],
    timeouts: AtomicU64,
    retries: AtomicU64,
    by_tcp: AtomicU64,
    unsent: AtomicU64,
    latencies: Histogram,
    /// The first surprises, for the summary.
    surprises: std::sync::Mutex<Vec<String>>,
}

/// Surprises kept for the summary.
const MAX_SURPRISES: usize = 10;

/// A question in wire format, but for the ID.
#[derive(Debug)]
struct Prepared {
    packet: Vec<u8>,
    expected: Expected,
}

/// Customers at work.
#[derive(Debug)]
pub struct Customers {
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Customers {
    /// Begins to ask, on a thread of its own. Of `curiosities` (a catalogue) every one is asked now and then.
    pub fn start(demand: &Demand, curiosities: &[Question]) -> io::Result<Customers> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (latencies, surprises) = (Histogram::new(), Default::default());
        let (asked, sound, lost, rcodes, timeouts, retries, by_tcp, unsent) = Default::default();
        let counters = Counters { asked, sound, lost, rcodes, timeouts, retries, by_tcp, unsent, latencies, surprises };
        let counters = Arc::new(counters);
        let (stop, stopped) = watch::channel(false);
        let wishes = Wishes::new(demand.sites, curiosities);
        let crowd =
            Crowd { demand: demand.clone(), wishes, dice: Dice::new(demand.seed), counters: Arc::clone(&counters) };
        let thread = std::thread::Builder::new()
            .name("lab-customers".to_owned())
            .spawn(move || runtime.block_on(crowd.ask_until(stopped)))?;
        Ok(Customers { counters, stop, thread: Some(thread) })
    }

    /// Where things stand.
    pub fn tally(&self) -> Tally {
        let c = &self.counters;
        let pair = |p: &[AtomicU64; 2]| (p[0].load(Relaxed), p[1].load(Relaxed));
        Tally {
            asked: c.asked.load(Relaxed),
            sound: pair(&c.sound),
            lost: pair(&c.lost),
            rcodes: std::array::from_fn(|i| c.rcodes[i].load(Relaxed)),
            timeouts: c.timeouts.load(Relaxed),
            retries: c.retries.load(Relaxed),
            by_tcp: c.by_tcp.load(Relaxed),
            unsent: c.unsent.load(Relaxed),
            latencies: c.latencies.snapshot(),
        }
    }

    /// The first questions that ended otherwise than expected, one line each.
    pub fn surprises(&self) -> Vec<String> {
        self.counters.surprises.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Asks no more, waits for what is in flight (at most ten seconds), and gives the final count.
    pub fn finish(mut self) -> Tally {
        self.end();
        self.tally()
    }

    fn end(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Customers {
    fn drop(&mut self) {
        self.end();
    }
}

/// What customers want: sites by popularity, curiosities evenly.
#[derive(Debug)]
struct Wishes {
    /// Running sums of the sites' weights, most popular first.
    popularity: Vec<f64>,
    curiosities: Vec<Arc<Prepared>>,
}

impl Wishes {
    fn new(sites: usize, curiosities: &[Question]) -> Wishes {
        let mut sum = 0.0;
        let weight = |rank: usize| (rank as f64).powf(-ZIPF_EXPONENT);
        let popularity = (1..=sites).map(|rank| {
            sum += weight(rank);
            sum
        });
        let popularity = popularity.collect();
        let prepared = |q: &Question| prepare(&q.name, RecordType::from(q.rtype), q.expected);
        Wishes { popularity, curiosities: curiosities.iter().filter_map(prepared).map(Arc::new).collect() }
    }

    /// One question, or nothing where there is nothing to ask for.
    fn draw(&self, dice: &Dice) -> Option<Arc<Prepared>> {
        let Some(total) = self.popularity.last() else { return self.curiosity(dice) };
        if dice.share() < CURIOUS && !self.curiosities.is_empty() {
            return self.curiosity(dice);
        }
        let point = dice.share() * total;
        let rank = self.popularity.partition_point(|sum| *sum <= point).min(self.popularity.len() - 1) + 1;
        let site = site(rank);
        let (label, rtype, expected) = match dice.below(100) {
            0..=44 => ("www.", RecordType::A, Expected::Records),
            45..=59 => ("www.", RecordType::AAAA, Expected::Records),
            60..=69 => ("", RecordType::A, Expected::Records),
            70..=79 => ("api.", RecordType::A, Expected::Records),
            80..=84 => ("api.", RecordType::AAAA, Expected::Records),
            85..=89 => ("", RecordType::MX, Expected::Records),
            90..=92 => ("mail.", RecordType::A, Expected::Records),
            93..=95 => ("mail.", RecordType::AAAA, Expected::NoData),
            96..=97 => ("", RecordType::HTTPS, Expected::NoData),
            _ => ("wpad.", RecordType::A, Expected::NxDomain),
        };
        prepare(&format!("{label}{site}"), rtype, expected).map(Arc::new)
    }

    fn curiosity(&self, dice: &Dice) -> Option<Arc<Prepared>> {
        self.curiosities.get(dice.below(self.curiosities.len())).cloned()
    }
}

/// ID 0, RD set, one question, EDNS.
fn prepare(name: &str, rtype: RecordType, expected: Expected) -> Option<Prepared> {
    let mut packet = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    packet.extend(key(&Name::from_ascii(name).ok()?));
    packet.extend(u16::from(rtype).to_be_bytes());
    packet.extend([0, 1]);
    let [high, low] = UDP_PAYLOAD.to_be_bytes();
    packet.extend([0, 0, 41, high, low, 0, 0, 0, 0, 0, 0]);
    Some(Prepared { packet, expected })
}

/// What a response says, as far as a customer cares.
#[derive(Clone, Copy)]
struct Verdict {
    rcode: u8,
    answers: u16,
    truncated: bool,
}

/// Reads a response to `query`, or gives nothing if it is none. Names are compared as they were asked: lower case.
fn read_response(query: &[u8], packet: &[u8]) -> Option<Verdict> {
    let question = 12..query.len() - 11;
    let echoed = packet.get(question.clone())?;
    if packet[..2] != query[..2] || packet[2] & 0x80 == 0 || !echoed.eq_ignore_ascii_case(&query[question]) {
        return None;
    }
    let answers = u16::from_be_bytes([packet[6], packet[7]]);
    Some(Verdict { rcode: packet[3] & 0x0f, answers, truncated: packet[2] & 0x02 != 0 })
}

/// All customers together.
struct Crowd {
    demand: Demand,
    wishes: Wishes,
    dice: Dice,
    counters: Arc<Counters>,
}

impl Crowd {
    async fn ask_until(self, mut stopped: watch::Receiver<bool>) {
        let mut in_flight = JoinSet::new();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let start = Instant::now();
        let mut asked = 0u64;
        loop {
            tokio::select! {
                _ = stopped.changed() => break,
                _ = ticks.tick() => {}
            }
            while in_flight.try_join_next().is_some() {}
            let due = (start.elapsed().as_secs_f64() * f64::from(self.demand.rate)) as u64;
            for _ in asked..due {
                let Some(question) = self.wishes.draw(&self.dice) else { continue };
                if in_flight.len() >= MAX_IN_FLIGHT {
                    self.counters.unsent.fetch_add(1, Relaxed);
                    continue;
                }
                self.counters.asked.fetch_add(1, Relaxed);
                let id = self.dice.next() as u16;
                let (address, resolver) = (self.address(), self.demand.resolver);
                let counters = Arc::clone(&self.counters);
                in_flight.spawn(async move { ask(&counters, &question, id, address, resolver).await });
            }
            asked = due;
        }
        let rest = async { while in_flight.join_next().await.is_some() {} };
        let _ = timeout(PATIENCE * ATTEMPTS as u32, rest).await;
    }

    /// The address of one customer.
    fn address(&self) -> IpAddr {
        if self.demand.resolver.is_ipv6() {
            return Ipv6Addr::LOCALHOST.into();
        }
        let [_, _, high, low] = (self.dice.below(self.demand.customers as usize) as u32 + 1).to_be_bytes();
        Ipv4Addr::new(127, 10, high, low).into()
    }
}

/// One question from first packet to last, and what is to be counted of it.
async fn ask(counters: &Counters, question: &Prepared, id: u16, address: IpAddr, resolver: SocketAddr) {
    let mut query = question.packet.clone();
    query[..2].copy_from_slice(&id.to_be_bytes());
    let start = Instant::now();
    let verdict = match exchange(counters, &query, address, resolver).await {
        Ok(verdict) => verdict,
        Err(_) => {
            counters.unsent.fetch_add(1, Relaxed);
            counters.asked.fetch_sub(1, Relaxed);
            return;
        }
    };
    let met = verdict.is_some_and(|v| question.expected.is_met(v.rcode, v.answers));
    let tally = if question.expected == Expected::ServFail { &counters.lost } else { &counters.sound };
    tally[0].fetch_add(1, Relaxed);
    tally[1].fetch_add(u64::from(met), Relaxed);
    match verdict {
        Some(verdict) => {
            counters.rcodes[usize::from(verdict.rcode)].fetch_add(1, Relaxed);
            counters.latencies.record(start.elapsed());
        }
        None => drop(counters.timeouts.fetch_add(1, Relaxed)),
    }
    if !met {
        let mut surprises = counters.surprises.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if surprises.len() < MAX_SURPRISES {
            surprises.push(describe(question, verdict));
        }
    }
}

fn describe(question: &Prepared, verdict: Option<Verdict>) -> String {
    use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
    let mut decoder = BinDecoder::new(&question.packet[12..]);
    let query = hickory_proto::op::Query::read(&mut decoder).map(|q| format!("{} {}", q.name(), q.query_type()));
    let came = match verdict {
        Some(v) => format!("RCODE {} with {} records", v.rcode, v.answers),
        None => "no answer".to_owned(),
    };
    format!("{}: expected {:?}, got {came}", query.unwrap_or_default(), question.expected)
}

/// Asks by UDP, again after a while, by TCP after truncation. `Ok(None)` is silence, an error the customer's own.
async fn exchange(
    counters: &Counters,
    query: &[u8],
    address: IpAddr,
    resolver: SocketAddr,
) -> io::Result<Option<Verdict>> {
    let socket = UdpSocket::bind((address, 0)).await?;
    socket.connect(resolver).await?;
    let mut buffer = vec![0; usize::from(UDP_PAYLOAD)];
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            counters.retries.fetch_add(1, Relaxed);
        }
        // An error is an earlier packet's ICMP message, or a full buffer: it counts as loss.
        let _ = socket.send(query).await;
        let response = timeout(PATIENCE, async {
            loop {
                match socket.recv(&mut buffer).await {
                    Ok(length) => {
                        if let Some(verdict) = read_response(query, &buffer[..length]) {
                            return verdict;
                        }
                    }
                    Err(_) => tokio::time::sleep(TICK).await,
                }
            }
        });
        match response.await {
            Ok(verdict) if verdict.truncated => {
                counters.by_tcp.fetch_add(1, Relaxed);
                return Ok(timeout(PATIENCE, by_tcp(query, address, resolver))
                    .await
                    .ok()
                    .and_then(Result::ok)
                    .flatten());
            }
            Ok(verdict) => return Ok(Some(verdict)),
            Err(_) => {}
        }
    }
    Ok(None)
}

async fn by_tcp(query: &[u8], address: IpAddr, resolver: SocketAddr) -> io::Result<Option<Verdict>> {
    let socket = if resolver.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(address, 0))?;
    let mut stream = socket.connect(resolver).await?;
    let mut framed = (query.len() as u16).to_be_bytes().to_vec();
    framed.extend(query);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut packet = vec![0; usize::from(length)];
    stream.read_exact(&mut packet).await?;
    Ok(read_response(query, &packet))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, expected: Expected) -> Question {
        Question {
            name: name.to_owned(),
            rtype: 1,
            expected,
            answer: Vec::new(),
            note: None,
            checked: crate::lab::Checked::Insecure,
        }
    }

    fn demand(resolver: SocketAddr, sites: usize) -> Demand {
        Demand { resolver, rate: 1000, customers: 300, sites, seed: 3 }
    }

    /// Waits for a condition, within a deadline far beyond what it takes.
    fn until(customers: &Customers, met: impl Fn(&Tally) -> bool) -> Tally {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            let tally = customers.tally();
            if met(&tally) {
                return tally;
            }
            std::thread::yield_now();
        }
        panic!("not within the deadline: {:?}", customers.tally());
    }

    /// A resolver that gives every name one record, `broken` SERVFAIL, and `big` only by TCP.
    fn resolver() -> SocketAddr {
        use std::io::{Read, Write};
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = udp.local_addr().unwrap();
        let tcp = std::net::TcpListener::bind(address).unwrap();
        let respond = |query: &[u8], by_tcp: bool| {
            let mut packet = query.to_vec();
            packet[2] |= 0x80;
            match &query[12..16] {
                b"\x06bro" => packet[3] |= 2,
                b"\x03big" if !by_tcp => packet[2] |= 2,
                _ => packet[7] = 1,
            }
            packet
        };
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, client)) = udp.recv_from(&mut buffer) {
                assert!(client.ip().to_string().starts_with("127.10."), "{client}");
                let _ = udp.send_to(&respond(&buffer[..length], false), client);
            }
        });
        std::thread::spawn(move || {
            for mut stream in tcp.incoming().flatten() {
                let mut buffer = [0; 512];
                let length = stream.read(&mut buffer).unwrap_or(0);
                if length > 26 {
                    let packet = respond(&buffer[2..length], true);
                    let _ = stream.write_all(&[&(packet.len() as u16).to_be_bytes()[..], &packet].concat());
                }
            }
        });
        address
    }

    #[test]
    fn answers_are_judged_by_what_the_zones_say() {
        let names = [
            question("good.test-zone.", Expected::Records),
            question("broken.test-zone.", Expected::ServFail),
            question("big.test-zone.", Expected::Records),
            question("not-there.test-zone.", Expected::NxDomain),
        ];
        let customers = Customers::start(&demand(resolver(), 0), &names).unwrap();
        until(&customers, |t| t.lost.1 > 3 && t.by_tcp > 3 && t.sound.1 > 10 && t.sound.0 > t.sound.1);
        assert!(customers.surprises()[0].contains("not-there.test-zone. A: expected NxDomain, got RCODE 0"));
        let tally = customers.finish();
        assert_eq!(tally.lost.0, tally.lost.1);
        assert_eq!(tally.asked, tally.sound.0 + tally.lost.0, "every question ended");
        assert_eq!(tally.latencies.count(), tally.rcodes.iter().sum::<u64>());
    }

    #[test]
    fn popular_names_are_asked_more() {
        let wishes = Wishes::new(100, &[]);
        let dice = Dice::new(11);
        let names: Vec<Vec<u8>> = (0..20_000).filter_map(|_| Some(wishes.draw(&dice)?.packet.clone())).collect();
        let of = |site: &str| names.iter().filter(|n| n.windows(site.len()).any(|w| w == site.as_bytes())).count();
        let (first, tenth) = (of("site0001"), of("site0010"));
        assert!((8..12).contains(&(first / tenth.max(1))), "{first} and {tenth} with seed 11");
    }
}
