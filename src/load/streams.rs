//! Questions by TCP, and connections that are held: one thread with a task for each.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::cap::Cap;
use super::ledger::{Answer, Ledger};
use super::packet::{HEADER, Known, question_print, read_response};
use super::scenario::Holding;
use super::sender::Manners;
use crate::clock::Moment;
use crate::net::framing::{Deframer, frame};
use crate::net::limits::raise_descriptors;

/// Jobs that wait for a task; beyond, questions count as unsent.
const WAITING: usize = 20_000;
/// Connections at once, where descriptors allow.
const MOST: usize = 20_000;
/// How long the first octet of a held connection may take to be refused.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// Between two octets of a slow writer.
const DRIP: Duration = Duration::from_secs(1);

/// A question to be asked by TCP.
pub struct Job {
    pub stream: usize,
    /// Nanoseconds from the start.
    pub due: u64,
    pub source: Option<IpAddr>,
    pub packet: Box<[u8]>,
    pub known: Option<Known>,
    pub timeout: Duration,
    pub holds: Option<(Holding, Duration, u32)>,
    /// It was asked by UDP before.
    pub follows: bool,
}

impl Job {
    /// A question that was due at `due`.
    pub fn new(
        stream: usize,
        due: u64,
        source: Option<IpAddr>,
        packet: &[u8],
        known: Option<Known>,
        manners: &Manners,
    ) -> Job {
        let (packet, timeout, holds) = (packet.into(), manners.timeout, manners.holds);
        Job { stream, due, source, packet, known, timeout, holds, follows: false }
    }

    fn second(&self) -> usize {
        (self.due / 1_000_000_000) as usize
    }
}

/// The way to the thread.
#[derive(Clone)]
pub struct Jobs(mpsc::Sender<Job>);

impl Jobs {
    /// Hands a question over; whether there was room.
    pub fn give(&self, job: Job) -> bool {
        self.0.try_send(job).is_ok()
    }
}

/// A new way, and its other end.
pub fn channel() -> (Jobs, mpsc::Receiver<Job>) {
    let (giver, taker) = mpsc::channel(WAITING);
    (Jobs(giver), taker)
}

/// Shared by all tasks.
struct Floor {
    target: SocketAddr,
    start: Moment,
    ledger: Arc<Mutex<Ledger>>,
    cap: Option<Arc<Cap>>,
}

/// Works until the other end of the way is gone and all has ended, or until it is stopped.
pub fn work(
    target: SocketAddr,
    start: Moment,
    mut jobs: mpsc::Receiver<Job>,
    ledger: Arc<Mutex<Ledger>>,
    cap: Option<Arc<Cap>>,
    stop: &AtomicBool,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let most = MOST.min(usize::try_from(raise_descriptors() / 2).unwrap_or(MOST));
    let floor = Arc::new(Floor { target, start, ledger, cap });
    runtime.block_on(async move {
        let mut tasks = JoinSet::new();
        // Tasks by stream.
        let mut held: Vec<usize> = Vec::new();
        // Those that are to be answered; connections that are merely held end with the rest.
        let mut asking = 0usize;
        let mut over = false;
        while !(stop.load(Relaxed) || over && asking == 0) {
            tokio::select! {
                job = jobs.recv(), if !over => match job {
                    None => over = true,
                    Some(job) => {
                        let room = job.holds.map_or(most, |(_, _, at_once)| most.min(at_once as usize));
                        if held.len() <= job.stream {
                            held.resize(job.stream + 1, 0);
                        }
                        if tasks.len() >= most || held[job.stream] >= room {
                            floor.count(&job, |second| second.unsent += 1);
                        } else {
                            held[job.stream] += 1;
                            asking += usize::from(job.holds.is_none());
                            tasks.spawn(serve(Arc::clone(&floor), job));
                        }
                    }
                },
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                    let Ok((stream, holds)) = ended else { continue };
                    held[stream] -= 1;
                    asking -= usize::from(!holds);
                }
                () = sleep(Duration::from_millis(20)) => {}
            }
        }
    });
    Ok(())
}

impl Floor {
    fn count(&self, job: &Job, change: impl FnOnce(&mut super::ledger::Second)) {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        change(ledger.accounts[job.stream].second(job.second()));
    }

    async fn connect(&self, source: Option<IpAddr>) -> io::Result<TcpStream> {
        let socket = if self.target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(source) = source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream = socket.connect(self.target).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

async fn serve(floor: Arc<Floor>, job: Job) -> (usize, bool) {
    let stream = job.stream;
    match job.holds {
        Some((kind, time, _)) => hold(&floor, &job, kind, time).await,
        None => ask(&floor, &job).await,
    }
    (stream, job.holds.is_some())
}

async fn ask(floor: &Floor, job: &Job) {
    floor.count(job, |second| second.by_tcp += 1);
    match timeout(job.timeout, exchange(floor, job)).await {
        Ok(Ok(packet)) => answered(floor, job, &packet),
        Ok(Err(_)) | Err(_) => floor.count(job, |second| second.unanswered += 1),
    }
}

fn answered(floor: &Floor, job: &Job, packet: &[u8]) {
    let Some(seen) = read_response(packet) else { return floor.count(job, |second| second.unanswered += 1) };
    let now = crate::net::clock::read(false).mono.as_nanos().saturating_sub(floor.start.as_nanos());
    let answer = Answer {
        rcode: seen.rcode,
        right: job.known.as_ref().map_or([0, 3].contains(&seen.rcode), |known| known.is_met(&seen, packet)),
        known: job.known.is_some(),
        stale: seen.stale,
        octets: packet.len(),
        latency: Duration::from_nanos(now.saturating_sub(job.due)),
    };
    let mut ledger = floor.ledger.lock().unwrap_or_else(PoisonError::into_inner);
    ledger.accounts[job.stream].answer(job.second(), &answer);
}

async fn exchange(floor: &Floor, job: &Job) -> io::Result<Vec<u8>> {
    let mut stream = floor.connect(job.source).await?;
    let mut query = job.packet.to_vec();
    if query.len() >= HEADER && query[..2] == [0, 0] {
        query[..2].copy_from_slice(&((job.due / 1000) as u16 | 1).to_be_bytes());
    }
    let mut framed = Vec::with_capacity(query.len() + 2);
    frame(&query, &mut framed);
    stream.write_all(&framed).await?;
    floor.count(job, |second| {
        second.packets += 1;
        second.octets_out += query.len() as u64;
    });
    let mut deframer = Deframer::new();
    let print = question_print(&query);
    loop {
        while let Some(message) = deframer.message() {
            if message.get(..2) == query.get(..2) && [print, 0].contains(&question_print(message)) {
                return Ok(message.to_vec());
            }
        }
        if deframer.read(&mut stream, 1024).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Opens a connection and holds it.
async fn hold(floor: &Floor, job: &Job, kind: Holding, time: Duration) {
    let mut stream = match timeout(CONNECT_LIMIT, floor.connect(job.source)).await {
        Ok(Ok(stream)) => stream,
        _ => return floor.count(job, |second| second.unopened += 1),
    };
    floor.count(job, |second| second.opened += 1);
    let closed = match kind {
        Holding::Idle => timeout(time, until_closed(&mut stream)).await.is_ok(),
        Holding::SlowWriter => timeout(time, drip(&mut stream, &job.packet)).await.is_ok(),
        Holding::SlowReader => timeout(time, flood(floor, job, &mut stream)).await.is_ok(),
    };
    if closed {
        floor.count(job, |second| second.cut += 1);
    }
}

async fn until_closed(stream: &mut TcpStream) {
    let mut buffer = [0; 512];
    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
}

/// An octet of the same query again and again, never the last one.
async fn drip(stream: &mut TcpStream, packet: &[u8]) {
    let mut framed = Vec::with_capacity(packet.len() + 2);
    frame(packet, &mut framed);
    // A length that is never reached keeps the other side waiting for as long as it likes.
    framed[..2].copy_from_slice(&[0xff, 0xff]);
    for octet in framed.iter().cycle() {
        if stream.write_all(&[*octet]).await.is_err() {
            return;
        }
        let mut buffer = [0; 64];
        if let Ok(Ok(0) | Err(_)) = timeout(DRIP, stream.read(&mut buffer)).await {
            return;
        }
    }
}

/// The same query for ever, and the answers never read.
async fn flood(floor: &Floor, job: &Job, stream: &mut TcpStream) {
    let mut framed = Vec::with_capacity(job.packet.len() + 2);
    frame(&job.packet, &mut framed);
    loop {
        let now = crate::net::clock::read(false).mono.as_nanos().saturating_sub(floor.start.as_nanos());
        if floor.cap.as_ref().is_none_or(|cap| cap.may(now)) {
            if stream.write_all(&framed).await.is_err() {
                return;
            }
            floor.count(job, |second| {
                second.packets += 1;
                second.octets_out += job.packet.len() as u64;
            });
        }
        sleep(Duration::from_millis(1)).await;
    }
}
