//! A signed Internet of four zones on loopback, whose signatures hold around a moment of choice.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hickory_proto::op::{Edns, Message, MessageType};
use maeslant::lab::sign::{Denial, Keys, Signed, Signing};

use crate::sim::text;
use crate::sim::zone::{Zone, respond, zone_of};

/// Each zone with its server and its records. `broken.` has signatures that do not fit, `plain.` has none.
const ZONES: [(&str, [u8; 4], &[&str]); 4] = [
    (
        "example.",
        [127, 0, 0, 2],
        &[
            "example. 3600 SOA ns.example. a.example. 1 1800 900 604800 300",
            "example. 3600 NS ns.example.",
            "ns.example. 3600 A 127.0.0.2",
            "www.example. 300 A 192.0.2.1",
        ],
    ),
    (
        "broken.",
        [127, 0, 0, 3],
        &[
            "broken. 3600 SOA ns.broken. a.broken. 1 1800 900 604800 300",
            "broken. 3600 NS ns.broken.",
            "ns.broken. 3600 A 127.0.0.3",
            "www.broken. 300 A 192.0.2.2",
        ],
    ),
    (
        "plain.",
        [127, 0, 0, 4],
        &[
            "plain. 3600 SOA ns.plain. a.plain. 1 1800 900 604800 300",
            "plain. 3600 NS ns.plain.",
            "ns.plain. 3600 A 127.0.0.4",
            "www.plain. 300 A 192.0.2.3",
        ],
    ),
    (
        ".",
        [127, 0, 0, 1],
        &[
            ". 86400 SOA a.root. a.root. 1 1800 900 604800 300",
            ". 86400 NS a.root.",
            "a.root. 86400 A 127.0.0.1",
            "example. 3600 NS ns.example.",
            "ns.example. 3600 A 127.0.0.2",
            "broken. 3600 NS ns.broken.",
            "ns.broken. 3600 A 127.0.0.3",
            "plain. 3600 NS ns.plain.",
            "ns.plain. 3600 A 127.0.0.4",
        ],
    ),
];

/// The servers, and files that tell a resolver of them.
pub struct SignedInternet {
    dir: PathBuf,
    port: u16,
    end: Arc<AtomicBool>,
    servers: Vec<JoinHandle<()>>,
}

impl SignedInternet {
    /// Starts it, its signatures made for a moment `shift` seconds from now, ten days around it.
    pub fn start(name: &str, shift: i64) -> SignedInternet {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let middle = u32::try_from(now.saturating_add_signed(shift)).expect("before 2106");
        let mut zones: Vec<(IpAddr, Zone)> = Vec::new();
        let (mut anchor, mut children) = (String::new(), Vec::new());
        for (apex, address, lines) in ZONES {
            let mut zone = zone_of(apex, lines);
            if apex == "." {
                zone.add(std::mem::take(&mut children)).expect("DS records of the root");
            }
            if apex != "plain." {
                let flaw = (apex == "broken.").then(|| "bad-signature".parse().expect("a flaw"));
                let how = Signing { denial: Denial::Nsec, from: middle - 864_000, until: middle + 864_000, flaw };
                let keys = Arc::new(Keys::new(&text::name(apex).expect("a name"), 13));
                let signed = Signed::new(&zone.records().collect::<Vec<_>>(), keys, how);
                children.push(signed.ds(3600, 2));
                anchor = signed.anchor();
                zone.sign(signed).expect("signed");
            }
            zones.push((address.into(), zone));
        }
        let dir = std::env::temp_dir().join(format!("maeslant-signed-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        std::fs::write(dir.join("hints"), ". NS a.root.\na.root. A 127.0.0.1\n").expect("a file");
        std::fs::write(dir.join("keys"), anchor).expect("a file");
        let (port, sockets) = sockets(&zones);
        let end = Arc::new(AtomicBool::new(false));
        let servers = sockets
            .into_iter()
            .zip(zones)
            .map(|(socket, (_, zone))| {
                let end = Arc::clone(&end);
                std::thread::spawn(move || serve(&socket, zone, &end))
            })
            .collect();
        SignedInternet { dir, port, end, servers }
    }

    /// Writes a configuration for it, with more lines below `[dnssec]`.
    pub fn config(&self, more: &str) -> String {
        format!(
            "[resolver]\nroot_hints = {:?}\nserver_port = {}\ndo_not_query = []\nipv6 = false\n[local]\nspecial_use = false\n\
             [dnssec]\n{more}\n",
            self.dir.join("hints"),
            self.port
        )
    }

    /// The line that names its root's keys.
    pub fn anchors(&self) -> String {
        format!("trust_anchors = {:?}", self.dir.join("keys"))
    }

    /// Ends its servers; their files stay.
    pub fn silence(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        self.servers.drain(..).for_each(|server| server.join().expect("a server ends well"));
    }

    /// Where files may be made that go with it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for SignedInternet {
    fn drop(&mut self) {
        self.silence();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A socket for each zone, all on one port.
fn sockets(zones: &[(IpAddr, Zone)]) -> (u16, Vec<UdpSocket>) {
    for _ in 0..50 {
        let port =
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr()).expect("a port").port();
        let sockets: Result<Vec<UdpSocket>, _> =
            zones.iter().map(|(address, _)| UdpSocket::bind(SocketAddr::new(*address, port))).collect();
        if let Ok(sockets) = sockets {
            return (port, sockets);
        }
    }
    panic!("no port is free on all addresses");
}

fn serve(socket: &UdpSocket, zone: Zone, end: &AtomicBool) {
    socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    let zones = [zone];
    let mut packet = [0; 2048];
    while !end.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
        let Ok(query) = Message::from_vec(&packet[..length]) else { continue };
        let Some(question) = query.queries.first() else { continue };
        let dnssec_ok = query.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
        let sections = respond(&zones, &question.name, question.query_type, dnssec_ok);
        let mut response = Message::new(query.metadata.id, MessageType::Response, query.metadata.op_code);
        response.queries = query.queries.clone();
        response.metadata.response_code = sections.rcode;
        response.metadata.authoritative = sections.authoritative;
        response.answers = sections.answers;
        response.authorities = sections.authorities;
        response.additionals = sections.additionals;
        response.edns = query.edns.as_ref().map(|_| Edns::new());
        let bytes = response.to_vec().expect("a message");
        assert!(bytes.len() <= 1232, "{} {} does not fit", question.name, question.query_type);
        socket.send_to(&bytes, from).expect("sent");
    }
}
