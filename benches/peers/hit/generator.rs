//! A generator faster than any server: one socket, volleys, many client addresses, no allocation a packet.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use maeslant::load::stalls::{Stall, Stalls};
use maeslant::net::volley::{TAKEN, Volley};

/// Questions in flight when a server is driven as fast as it goes: few enough that every server's socket holds them.
pub const WINDOW: usize = 128;
/// Client addresses, spread over all of 127.0.0.0/8, as an ISP's customers are over its networks.
pub const CLIENTS: u32 = 10_000;
const STRIDE: u32 = 1_667;
/// Questions that a client asks at once where servers are driven as fast as they go, as for the addresses of a page. At a
/// steady pace each comes alone.
pub const AT_ONCE: usize = 4;
/// Questions that are due are sent in groups of so many at most: answers have to be read meanwhile.
const DUE: u64 = 64;
/// A question without an answer for so long is lost, and its place is used for the next.
const LOST: Duration = Duration::from_millis(200);
/// How fast, and how long, everybody asks before anything is measured.
const WARM_RATE: f64 = 20_000.0;
const WARM_SPAN: Duration = Duration::from_secs(2);
/// A question that was due so long before a core stood still may have met it.
const SPOILT: Duration = Duration::from_millis(1);
/// The generator looks for answers all the time: where it did not for so long, its core stood still.
const GAP: Duration = Duration::from_micros(500);
/// The core of the servers, and the generator's.
pub const CORES: [usize; 2] = [0, 1];
/// After so long everyone who watches a core has seen that it stood still.
const SEEN: Duration = Duration::from_millis(5);
/// Octets of a header.
const HEADER: usize = 12;

/// Keeps the generator on its core; servers are started on the other.
pub fn pin() {
    let me = std::process::id().to_string();
    let pinned = Command::new("taskset").args(["-cp", "1", &me]).output().expect("taskset");
    assert!(pinned.status.success(), "this bench needs two cores: {}", String::from_utf8_lossy(&pinned.stderr));
}

/// What was answered, as fast as it went.
pub struct Volume {
    pub asked: u64,
    pub answered: u64,
    /// Without an answer, or turned away by a limit.
    pub lost: u64,
    /// Responses that are no answer to what was asked.
    pub wrong: u64,
    pub span: Duration,
    /// The generator's own CPU time.
    pub own: Duration,
}

impl Volume {
    /// Both together.
    pub fn and(&self, other: &Volume) -> Volume {
        Volume {
            asked: self.asked + other.asked,
            answered: self.answered + other.answered,
            lost: self.lost + other.lost,
            wrong: self.wrong + other.wrong,
            span: self.span + other.span,
            own: self.own + other.own,
        }
    }

    /// The generator's own CPU time, of the span.
    pub fn busy(&self) -> f64 {
        self.own.as_secs_f64() / self.span.as_secs_f64()
    }

    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.span.as_secs_f64()
    }

    /// The share of questions without an answer.
    pub fn loss(&self) -> f64 {
        self.lost as f64 / self.asked.max(1) as f64
    }
}

/// How long answers took at a steady pace.
pub struct Latency {
    /// Nanoseconds of those due while neither core stood still.
    taken: Vec<u32>,
    /// Questions without an answer, of those.
    missing: u64,
    /// Questions without an answer, at any time.
    pub lost: u64,
    /// How long the cores stood still, together.
    pub still: Duration,
}

impl Latency {
    /// In a line.
    pub fn line(&self) -> String {
        let [half, most, nearly_all] = [0.5, 0.99, 0.999].map(|part| self.micros(part));
        format!(
            "at the pace of all p50 {half:.0}, p99 {most:.0}, p99.9 {nearly_all:.0} µs, lost {}; stood still for {:?}",
            self.lost, self.still
        )
    }

    /// Microseconds at this part of the questions that were due while neither core stood still; one without an answer took
    /// forever.
    pub fn micros(&self, part: f64) -> f64 {
        let last = (self.taken.len() + self.missing as usize).saturating_sub(1);
        let place = (part * last as f64).round() as usize;
        self.taken.get(place).map_or(f64::INFINITY, |nanos| f64::from(*nanos) / 1000.0)
    }
}

/// Whether a question that was due then is left out: a core stood still, or had to make up for it, for which the slowest
/// server at six tenths of its load takes one and a half times as long.
fn spoilt(due: Instant, stalls: &[Stall]) -> bool {
    stalls.iter().any(|stall| due + SPOILT >= stall.from && due <= stall.to + 2 * (stall.to - stall.from))
}

/// The address of a client.
fn address(client: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x7f01_0001 + client * STRIDE)
}

/// Asks one server.
pub struct Drive {
    server: SocketAddr,
    volley: Volley,
    /// So many of them ask.
    pub clients: u32,
    questions: Vec<Vec<u8>>,
    /// An echo answers with the question.
    echo: bool,
    dice: u64,
    /// The name asked with each ID, and when it should have left; `None` where nothing is open.
    open: Vec<Option<(u32, Instant)>>,
    asked: u64,
    limited: u64,
    wrong: u64,
}

impl Drive {
    /// Asks `server` for the first `names` names.
    pub fn new(server: SocketAddr, names: usize, echo: bool) -> Drive {
        let SocketAddr::V4(v4) = server else { panic!("{server}: servers are driven over IPv4") };
        let question = |number: usize| {
            let mut packet = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            for label in [format!("host{number:07}").as_str(), "names", "example"] {
                packet.push(label.len() as u8);
                packet.extend_from_slice(label.as_bytes());
            }
            packet.extend_from_slice(&[0, 0, 1, 0, 1]);
            packet
        };
        Drive {
            server,
            volley: Volley::new(v4).expect("a socket"),
            clients: CLIENTS,
            questions: (0..names).map(question).collect(),
            echo,
            dice: 0x9e37_79b9_7f4a_7c15,
            open: vec![None; 1 << 16],
            asked: 0,
            limited: 0,
            wrong: 0,
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        // The upper half of the product is as even as the remainder, and cheaper.
        ((u128::from(self.dice) * u128::from(below)) >> 64) as u64
    }

    /// A client that asks.
    fn client(&mut self) -> Ipv4Addr {
        address(self.random(u64::from(self.clients)) as u32)
    }

    /// Opens a connection to the server and closes it.
    fn connect(&self, client: Ipv4Addr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((client, 0)).into()).expect("an address of loopback");
        socket.connect_timeout(&self.server.into(), Duration::from_secs(3)).expect("a connection");
    }

    fn put(&mut self, client: Ipv4Addr, id: u16, name: usize, due: Instant) {
        self.volley.add(client, id, &self.questions[name]).expect("questions can be sent");
        self.open[usize::from(id)] = Some((name as u32, due));
        self.asked += 1;
    }

    /// Questions for any names, in the places of others, some of each client.
    fn put_all(&mut self, ids: &[u16], due: Instant) {
        for ids in ids.chunks(AT_ONCE) {
            let client = self.client();
            for id in ids {
                let name = self.random(self.questions.len() as u64) as usize;
                self.put(client, *id, name, due);
            }
        }
    }

    fn flush(&mut self) {
        self.volley.flush().expect("questions can be sent");
    }

    /// Takes what has come, and tells of each answer its ID, and when its question should have left.
    fn take(&mut self, answers: &mut Vec<(u16, Instant)>) -> usize {
        answers.clear();
        let count = self.volley.receive();
        for index in 0..count {
            let packet = self.volley.response(index);
            let Some(&[high, low]) = packet.first_chunk::<2>() else { continue };
            let id = u16::from_be_bytes([high, low]);
            let Some((name, due)) = self.open[usize::from(id)] else { continue };
            let question = &self.questions[name as usize];
            let about = packet.get(HEADER..question.len()) == Some(&question[HEADER..]);
            // A response, NOERROR, one answer.
            let good = packet.len() >= question.len()
                && packet[2] & 0x80 != 0
                && (self.echo || (packet[3] & 0x0f == 0 && packet[7] == 1 && packet.len() > question.len()));
            // Truncated or REFUSED: turned away by a limit, which is no answer and no wrong one.
            let limited = packet.len() >= HEADER && (packet[2] & 2 != 0 || packet[3] & 0x0f == 5);
            self.limited += u64::from(limited);
            self.wrong += u64::from(!limited && (!about || !good));
            self.open[usize::from(id)] = None;
            answers.push((id, due));
        }
        count
    }

    /// Every name once, so that the cache has it; asked again until there is an answer. Then everybody asks some, after
    /// having come by TCP where that is how a server tells real addresses.
    pub fn warm(&mut self, by_tcp: bool) {
        if self.echo {
            return;
        }
        let mut answers = Vec::new();
        for name in 0..self.questions.len() {
            let begin = Instant::now();
            let id = (name % (1 << 16)) as u16;
            loop {
                let sent = Instant::now();
                let client = self.client();
                self.put(client, id, name, sent);
                self.flush();
                while self.open[usize::from(id)].is_some() && sent.elapsed() < Duration::from_secs(1) {
                    self.take(&mut answers);
                }
                if self.open[usize::from(id)].is_none() {
                    break;
                }
                assert!(begin.elapsed() < Duration::from_secs(20), "no answer for name {name} from {}", self.server);
            }
        }
        // Customers are no strangers: a flood of addresses never seen before is held back, and is not what is measured here.
        for client in (0..CLIENTS).filter(|_| by_tcp) {
            self.connect(address(client));
            if client % 32 == 31 {
                // No more at once than are accepted.
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        self.paced(WARM_RATE, WARM_SPAN);
    }

    /// As fast as it goes for `span`: a fixed number of questions in flight.
    pub fn full(&mut self, span: Duration) -> Volume {
        self.clear();
        let begin = Instant::now();
        let mut ids: Vec<u16> = (0..WINDOW as u16).collect();
        let mut free = ids.clone();
        self.put_all(&free, begin);
        let mut answers = Vec::with_capacity(TAKEN);
        let (mut answered, mut lost) = (0, 0);
        let mut checked = begin;
        let cpu = cpu_nanos();
        loop {
            self.flush();
            self.take(&mut answers);
            let now = Instant::now();
            answered += answers.len() as u64;
            let ended = now - begin >= span;
            if ended {
                break;
            }
            free.clear();
            free.extend(answers.iter().map(|(id, _)| *id));
            if now - checked > LOST {
                checked = now;
                for id in &mut ids {
                    let open = &mut self.open[usize::from(*id)];
                    if open.is_some_and(|(_, due)| now - due > LOST) {
                        // What comes after all is no answer to the question in its place, which has another ID.
                        *open = None;
                        *id = id.wrapping_add(WINDOW as u16);
                        free.push(*id);
                        lost += 1;
                    }
                }
            }
            self.put_all(&free, now);
        }
        let span = begin.elapsed();
        let own = Duration::from_nanos(cpu_nanos() - cpu);
        self.settle();
        Volume {
            asked: self.asked,
            answered: answered - self.limited.min(answered),
            lost: lost + self.limited,
            wrong: self.wrong,
            span,
            own,
        }
    }

    /// So many questions a second for `span`, each at its own moment, whatever becomes of those before.
    pub fn paced(&mut self, rate: f64, span: Duration) -> Latency {
        self.clear();
        let names = self.questions.len() as u64;
        let total = (rate * span.as_secs_f64()) as u64;
        let mut taken: Vec<(Instant, u32)> = Vec::with_capacity(total as usize);
        let mut answers = Vec::with_capacity(TAKEN);
        let watch = Stalls::of(&CORES[..1]);
        let mut stalls = Vec::new();
        let begin = Instant::now();
        let mut last = begin;
        let mut next = 0u64;
        let end = span + LOST;
        while begin.elapsed() < end && (next < total || (taken.len() as u64) < total) {
            let due = ((begin.elapsed().as_secs_f64() * rate) as u64).min(total);
            let until = due.min(next + DUE);
            while next < until {
                let name = self.random(names) as usize;
                let at = begin + Duration::from_secs_f64(next as f64 / rate);
                let client = self.client();
                self.put(client, next as u16, name, at);
                next += 1;
            }
            self.flush();
            self.take(&mut answers);
            let now = Instant::now();
            if now - last > GAP {
                stalls.push(Stall { from: last, to: now });
            }
            last = now;
            let nanos = |due: Instant| (now - due).as_nanos().min(u128::from(u32::MAX)) as u32;
            taken.extend(answers.iter().map(|(_, due)| (*due, nanos(*due))));
        }
        let lost = next - taken.len() as u64;
        std::thread::sleep(SEEN);
        stalls.extend(watch.take());
        let still = stalls.iter().map(|stall| stall.to - stall.from).sum();
        taken.retain(|(due, _)| !spoilt(*due, &stalls));
        let missing = self.open.iter().flatten().filter(|(_, due)| !spoilt(*due, &stalls)).count() as u64;
        let mut taken: Vec<u32> = taken.into_iter().map(|(_, nanos)| nanos).collect();
        taken.sort_unstable();
        Latency { taken, missing, lost, still }
    }

    /// So many questions a second for `span`, whatever becomes of them; how many, and how many responses there were.
    pub fn blast(&mut self, rate: f64, span: Duration) -> (u64, u64) {
        self.clear();
        let mut came = 0;
        let begin = Instant::now();
        let mut ids: Vec<u16> = Vec::new();
        while begin.elapsed() < span {
            let due = (begin.elapsed().as_secs_f64() * rate) as u64;
            ids.clear();
            ids.extend((self.asked..due.min(self.asked + DUE)).map(|id| id as u16));
            self.put_all(&ids, begin);
            self.flush();
            came += self.volley.receive() as u64;
        }
        let asked = self.asked;
        self.settle();
        (asked, came)
    }

    fn clear(&mut self) {
        self.settle();
        self.open.iter_mut().for_each(|open| *open = None);
        self.asked = 0;
        self.limited = 0;
        self.wrong = 0;
    }

    /// Lets what is on its way arrive.
    fn settle(&mut self) {
        let mut answers = Vec::new();
        let begin = Instant::now();
        let mut last = begin;
        while last.elapsed() < Duration::from_millis(30) && begin.elapsed() < LOST {
            if self.take(&mut answers) > 0 {
                last = Instant::now();
            }
        }
    }
}

/// CPU time of this process so far.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0)
}
