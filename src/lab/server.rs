//! One address of an authoritative server: sockets, faults, and behind them hickory-server's request handling over
//! the zones in memory.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Header, HeaderCounts, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, Record};
use hickory_proto::serialize::binary::BinEncoder;
use hickory_server::net::runtime::{Time, TokioTime};
use hickory_server::net::{NetError, xfer::Protocol};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{MessageResponse, MessageResponseBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::dice::Dice;
use super::fault::{Behaviour, Beyond, Fault, Spent};
use super::hostile::{guesses, junk, staircase};
use super::zone::{Key, ZoneSet};

/// The largest UDP payload a server sends, whatever the client allows.
const UDP_PAYLOAD: u16 = 4096;
/// UDP answers waiting for their delay, an address; beyond it queries get no answer.
const MAX_DELAYED: usize = 4096;
/// TCP connections an address; beyond it new ones are closed.
const MAX_CONNECTIONS: usize = 256;
/// A TCP connection without a query for so long is closed.
const TCP_IDLE: Duration = Duration::from_secs(10);

/// What an address has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Queries by UDP, unanswered ones included.
    pub udp: u64,
    /// Queries by TCP, unanswered ones included.
    pub tcp: u64,
    /// Queries that a fault left without an answer.
    pub unanswered: u64,
}

/// The faults in force, by address and by zone; a zone's goes before an address's.
#[derive(Default, Debug)]
pub(super) struct Faults {
    pub(super) addresses: RwLock<HashMap<IpAddr, Fault>>,
    pub(super) zones: RwLock<HashMap<Key, Fault>>,
    pub(super) everywhere: RwLock<Option<Fault>>,
}

/// One address.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) address: IpAddr,
    authority: Authority,
    faults: Arc<Faults>,
    dice: Dice,
    udp: AtomicU64,
    tcp: AtomicU64,
    unanswered: AtomicU64,
    /// Queries by the zone they were for.
    by_zone: HashMap<Key, ZoneCount>,
    /// What a limited rate of the whole address has let through.
    spent: Mutex<Spent>,
    started: Instant,
}

/// What an address has seen of one zone.
#[derive(Debug, Default)]
struct ZoneCount {
    queries: AtomicU64,
    spent: Mutex<Spent>,
}

/// An answer and the time to hold it back.
struct Answer {
    packet: Vec<u8>,
    delay: Duration,
    /// Packets that go out in front of it.
    before: Vec<Vec<u8>>,
}

impl Front {
    pub(super) fn new(address: IpAddr, zones: ZoneSet, faults: Arc<Faults>, seed: u64) -> Front {
        let by_zone = zones.iter().map(|zone| (zone.origin_key.clone(), ZoneCount::default())).collect();
        let authority = Authority { zones };
        let (udp, tcp, unanswered, spent) = Default::default();
        let (dice, started) = (Dice::new(seed), Instant::now());
        Front { address, authority, faults, dice, udp, tcp, unanswered, by_zone, spent, started }
    }

    pub(super) fn zone_queries(&self, zone: &[u8]) -> u64 {
        self.by_zone.get(zone).map_or(0, |count| count.queries.load(Relaxed))
    }

    pub(super) fn counts(&self) -> Counts {
        Counts { udp: self.udp.load(Relaxed), tcp: self.tcp.load(Relaxed), unanswered: self.unanswered.load(Relaxed) }
    }

    /// The fault in force for a question, for the address as a whole where there is none, and what its rate limit has
    /// let through.
    fn fault(&self, request: Option<&Request>) -> (Fault, &Mutex<Spent>) {
        let query = request.and_then(|r| r.queries.queries().first());
        let zone = query.and_then(|q| self.authority.zones.find(q.name(), q.query_type()));
        let count = zone.and_then(|zone| self.by_zone.get(&zone.origin_key));
        if let Some(count) = count {
            count.queries.fetch_add(1, Relaxed);
        }
        if let Some(fault) = &*self.faults.everywhere.read().unwrap_or_else(PoisonError::into_inner) {
            return (fault.clone(), &self.spent);
        }
        let zones = self.faults.zones.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(fault) = zone.and_then(|z| zones.get(&z.origin_key)) {
            return (fault.clone(), count.map_or(&self.spent, |count| &count.spent));
        }
        let addresses = self.faults.addresses.read().unwrap_or_else(PoisonError::into_inner);
        (addresses.get(&self.address).cloned().unwrap_or_default(), &self.spent)
    }

    /// Whether a fault's rate has no more for this query.
    fn is_beyond(&self, fault: &Fault, spent: &Mutex<Spent>, by_udp: bool) -> bool {
        if fault.rate_limit == 0 || (fault.beyond == Beyond::Truncate && !by_udp) {
            return false;
        }
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        !spent.lock().unwrap_or_else(PoisonError::into_inner).admits(now, fault.rate_limit)
    }

    /// Takes a query and gives the answer, or nothing where a fault or the packet itself asks for silence.
    async fn exchange(&self, packet: &[u8], source: SocketAddr, protocol: Protocol) -> Option<Answer> {
        let counter = if protocol == Protocol::Udp { &self.udp } else { &self.tcp };
        counter.fetch_add(1, Relaxed);
        let request = Request::from_bytes(packet.to_vec(), source, protocol).ok()?;
        if request.metadata.message_type == MessageType::Response {
            return None;
        }
        let (mut fault, spent) = self.fault(Some(&request));
        let by_udp = protocol == Protocol::Udp;
        if self.is_beyond(&fault, spent, by_udp) {
            fault.behaviour = match fault.beyond {
                Beyond::Drop => Behaviour::Silent,
                Beyond::Truncate => Behaviour::Truncate,
                Beyond::Refused => Behaviour::Refused,
                Beyond::Servfail => Behaviour::Servfail,
            };
        }
        if fault.behaviour == Behaviour::Silent || (by_udp && self.dice.share() < fault.loss) {
            self.unanswered.fetch_add(1, Relaxed);
            return None;
        }
        let packet = match fault.behaviour {
            Behaviour::Servfail => bare(&request, ResponseCode::ServFail, false),
            Behaviour::Refused => bare(&request, ResponseCode::Refused, false),
            Behaviour::FormerrOnEdns if request.edns.is_some() => bare(&request, ResponseCode::FormErr, true),
            Behaviour::Upward => upward(&request),
            Behaviour::Truncate if by_udp => {
                let mut packet = bare(&request, ResponseCode::NoError, false);
                packet[2] |= 0x06; // AA and TC
                packet
            }
            Behaviour::Staircase if by_udp => {
                let mut packet = bare(&request, ResponseCode::NoError, false);
                packet[2] |= 0x06;
                packet
            }
            Behaviour::Staircase => staircase(&bare(&request, ResponseCode::NoError, true)),
            behaviour => {
                let mut packet = self.honest(&request, by_udp).await?;
                match behaviour {
                    Behaviour::WrongId if by_udp => packet[0] ^= 0x5a,
                    Behaviour::WrongCase if by_udp => {
                        let question = 12..(12 + request.queries.as_bytes().len()).min(packet.len());
                        packet[question].make_ascii_lowercase();
                    }
                    Behaviour::NoAa => packet[2] &= !0x04,
                    _ => {}
                }
                packet
            }
        };
        let before = match fault.behaviour {
            Behaviour::Junk if by_udp => junk(&packet),
            Behaviour::Guesses if by_udp => guesses(&bare(&request, ResponseCode::NoError, true), || self.dice.next()),
            _ => Vec::new(),
        };
        Some(Answer { packet, delay: fault.delay + fault.jitter.mul_f64(self.dice.share()), before })
    }

    async fn honest(&self, request: &Request, by_udp: bool) -> Option<Vec<u8>> {
        let limit = if by_udp { request.max_payload().min(UDP_PAYLOAD) } else { u16::MAX };
        let capture = Capture { limit, packet: Arc::default() };
        self.authority.handle_request::<_, TokioTime>(request, capture.clone()).await;
        let packet = std::mem::take(&mut *capture.packet.lock().unwrap_or_else(PoisonError::into_inner));
        (packet.len() >= 12).then_some(packet)
    }
}

/// An answer of nothing but header, question and, unless `plain`, OPT record.
fn bare(request: &Request, rcode: ResponseCode, plain: bool) -> Vec<u8> {
    let mut packet = request.metadata.id.to_be_bytes().to_vec();
    packet.push(0x80 | u8::from(request.metadata.recursion_desired));
    packet.push(rcode.low());
    let questions = request.queries.len().min(1) as u8;
    let options = u8::from(request.edns.is_some() && !plain);
    packet.extend([0, questions, 0, 0, 0, 0, 0, options]);
    packet.extend(request.queries.as_bytes());
    if options == 1 {
        packet.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    }
    packet
}

/// A referral to the root.
fn upward(request: &Request) -> Vec<u8> {
    let mut packet = bare(request, ResponseCode::NoError, true);
    packet[9] = 1; // NSCOUNT
    let server = b"\x01a\x0croot-servers\x03net\x00";
    packet.extend([0, 0, 2, 0, 1, 0, 0, 0x0e, 0x10, 0, server.len() as u8]);
    packet.extend(server);
    packet
}

/// Answers from zones, in hickory-server's terms.
#[derive(Debug)]
struct Authority {
    zones: ZoneSet,
}

#[async_trait::async_trait]
impl RequestHandler for Authority {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut out: R) -> ResponseInfo {
        let dnssec_ok = request.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
        let edns = request.edns.as_ref().map(|_| {
            let mut edns = Edns::new();
            edns.set_max_payload(1232);
            edns.set_dnssec_ok(dnssec_ok);
            edns
        });
        let builder = MessageResponseBuilder::new(&request.queries, edns.as_ref());
        let refusal = match (request.metadata.op_code, request.request_info()) {
            (OpCode::Query, Ok(_)) if request.version() > 0 => Err(ResponseCode::BADVERS),
            (OpCode::Query, Ok(info)) if info.query.query_class() == DNSClass::IN => {
                let (name, qtype) = (info.query.original().name(), info.query.query_type());
                let zone = self.zones.find(name, qtype).ok_or(ResponseCode::Refused);
                zone.map(|zone| zone.answer_signed(name, qtype, dnssec_ok))
            }
            (OpCode::Query, Ok(_)) => Err(ResponseCode::Refused),
            (OpCode::Query, Err(_)) => Err(ResponseCode::FormErr),
            _ => Err(ResponseCode::NotImp),
        };
        let sent = match refusal {
            Ok(reply) => {
                let mut metadata = Metadata::response_from_request(&request.metadata);
                metadata.authoritative = reply.authoritative;
                metadata.response_code = reply.rcode;
                let (answers, authority) = (reply.answers.iter(), reply.authority.iter());
                let additional = reply.additional.iter();
                out.send_response(builder.build(metadata, answers, authority, std::iter::empty(), additional)).await
            }
            Err(rcode) => out.send_response(builder.error_msg(&request.metadata, rcode)).await,
        };
        sent.unwrap_or_else(|_| {
            let metadata = Metadata::response_from_request(&request.metadata);
            Header { metadata, counts: HeaderCounts::default() }.into()
        })
    }
}

/// Keeps the encoded answer.
#[derive(Clone)]
struct Capture {
    limit: u16,
    packet: Arc<Mutex<Vec<u8>>>,
}

#[async_trait::async_trait]
impl ResponseHandler for Capture {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let mut packet = Vec::with_capacity(512);
        let mut encoder = BinEncoder::new(&mut packet);
        encoder.set_max_size(self.limit);
        let written = response.destructive_emit(&mut encoder)?;
        *self.packet.lock().unwrap_or_else(PoisonError::into_inner) = packet;
        Ok(written)
    }
}

/// Answers datagrams until told to stop.
pub(super) async fn serve_udp(front: Arc<Front>, socket: UdpSocket, mut stop: watch::Receiver<bool>) {
    let socket = Arc::new(socket);
    let mut delayed = JoinSet::new();
    let mut buffer = vec![0; 4096];
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            Some(_) = delayed.join_next() => {}
            received = socket.recv_from(&mut buffer) => {
                let Ok((length, source)) = received else {
                    // Nothing to do about it here, but not at full speed.
                    sleep(Duration::from_millis(10)).await;
                    continue;
                };
                let Some(answer) = front.exchange(&buffer[..length], source, Protocol::Udp).await else { continue };
                for junk in &answer.before {
                    let _ = socket.send_to(junk, source).await;
                }
                if answer.delay.is_zero() {
                    // A full socket buffer loses the answer, as networks do.
                    let _ = socket.send_to(&answer.packet, source).await;
                } else if delayed.len() < MAX_DELAYED {
                    let socket = Arc::clone(&socket);
                    delayed.spawn(async move {
                        sleep(answer.delay).await;
                        let _ = socket.send_to(&answer.packet, source).await;
                    });
                }
            }
        }
    }
}

/// Accepts connections and answers queries on them until told to stop.
pub(super) async fn serve_tcp(front: Arc<Front>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, source)) = accepted else {
                    // Descriptors ran out, or the peer is gone already: let others move on first.
                    sleep(Duration::from_millis(10)).await;
                    continue;
                };
                if connections.len() < MAX_CONNECTIONS && front.fault(None).0.behaviour != Behaviour::NoTcp {
                    let front = Arc::clone(&front);
                    connections.spawn(async move {
                        let _ = serve_connection(&front, stream, source).await;
                    });
                }
            }
        }
    }
}

/// Each answer waits for its own delay, not for those before it (RFC 7766 §6.2.1.1).
async fn serve_connection(front: &Front, stream: TcpStream, source: SocketAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, writer) = stream.into_split();
    let writer = Arc::new(tokio::sync::Mutex::new(writer));
    let mut waiting: JoinSet<io::Result<()>> = JoinSet::new();
    loop {
        let length = timeout(TCP_IDLE, reader.read_u16()).await??;
        let mut packet = vec![0; usize::from(length)];
        timeout(TCP_IDLE, reader.read_exact(&mut packet)).await??;
        while let Some(ended) = waiting.try_join_next() {
            ended.unwrap_or(Ok(()))?;
        }
        let Some(answer) = front.exchange(&packet, source, Protocol::Tcp).await else { continue };
        let length = u16::try_from(answer.packet.len()).unwrap_or(u16::MAX);
        let framed = [&length.to_be_bytes(), &answer.packet[..]].concat();
        if answer.delay.is_zero() {
            timeout(TCP_IDLE, writer.lock().await.write_all(&framed)).await??;
        } else if waiting.len() < MAX_DELAYED {
            let writer = Arc::clone(&writer);
            waiting.spawn(async move {
                sleep(answer.delay).await;
                timeout(TCP_IDLE, writer.lock().await.write_all(&framed)).await?
            });
        }
    }
}
