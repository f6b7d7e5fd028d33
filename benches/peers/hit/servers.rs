//! The servers that are driven: maeslant, the resolvers and the load balancer of others, and the echo.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::peers::internet::{Host, Internet, Zone};
use super::peers::process::{Running, fresh_dir};
use super::peers::resolver::Resolver;

/// It has this core to itself.
const CORE: [&str; 3] = ["taskset", "-c", "0"];

/// What is driven.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Server {
    Echo,
    Maeslant,
    Unbound,
    Knot,
    PowerDns,
    Bind,
    Dnsdist,
    /// Takes everything and answers nothing.
    Drain,
    /// maeslant where nobody who asks may.
    Refusing,
    /// maeslant where everybody asks far more than his share.
    Limiting,
}

/// One that runs, and where it answers.
pub struct Serving {
    pub running: Running,
    pub address: SocketAddr,
    /// What it asks in its turn, on the other core.
    _behind: Option<Running>,
}

impl Server {
    pub const ALL: [Server; 7] = [
        Server::Echo,
        Server::Maeslant,
        Server::Unbound,
        Server::Knot,
        Server::PowerDns,
        Server::Bind,
        Server::Dnsdist,
    ];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Server::Echo => "echo",
            Server::Maeslant => "maeslant",
            Server::Unbound => "unbound",
            Server::Knot => "knot-resolver",
            Server::PowerDns => "pdns-recursor",
            Server::Bind => "bind9",
            Server::Dnsdist => "dnsdist",
            Server::Drain => "drain",
            Server::Refusing => "refusing",
            Server::Limiting => "limiting",
        }
    }

    /// The name and the version.
    pub fn title(self) -> String {
        let version = match self {
            Server::Echo => return "bare echo".to_owned(),
            Server::Drain => return "bare receive-and-drop".to_owned(),
            Server::Refusing => return format!("maeslant {}, outside `allow`", Resolver::Maeslant.version()),
            Server::Limiting => return format!("maeslant {}, beyond the share", Resolver::Maeslant.version()),
            Server::Maeslant => Resolver::Maeslant.version(),
            Server::Unbound => Resolver::Unbound.version(),
            Server::Knot => Resolver::Knot.version(),
            Server::PowerDns | Server::Bind | Server::Dnsdist => {
                let output = Command::new("dpkg-query").args(["-W", "-f", "${Version}", self.name()]).output();
                let text =
                    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
                let upstream = text.rsplit(':').next().and_then(|text| text.split('-').next());
                upstream.unwrap_or("unknown").to_owned()
            }
        };
        format!("{} {version}", self.name())
    }

    /// Starts it with an empty cache and one worker, and waits until it is there.
    pub fn start(self, internet: &Internet) -> Serving {
        let own = |which: Resolver| {
            let resolving = which.start(internet, &CORE);
            Serving { running: resolving.running, address: resolving.v4, _behind: None }
        };
        match self {
            Server::Maeslant => own(Resolver::Maeslant),
            Server::Unbound => own(Resolver::Unbound),
            Server::Knot => own(Resolver::Knot),
            Server::Echo | Server::Drain => {
                let program = std::env::current_exe().expect("this program").display().to_string();
                let dir = fresh_dir(self.name());
                let port = if self == Server::Echo { 5303 } else { 5310 };
                let words = [program, format!("--{}", self.name()), port.to_string()];
                let mut serving = begin(self, &dir, &CORE, &words, port);
                serving.running.wait_until("ready", |running| running.log().contains("ready"));
                serving
            }
            Server::Refusing => {
                let text =
                    "[server]\nlisten = [\"127.0.0.1:5307\"]\nworkers = 1\n[access]\nallow = [\"192.0.2.0/24\"]\n";
                maeslant(self, text, 5307)
            }
            Server::Limiting => {
                // Silence to all, as the others give it, and pressure that stays.
                let text = format!(
                    "[server]\nlisten = [\"127.0.0.1:5308\"]\nworkers = 1\n[resolver]\nroot_hints = \"{}\"\ndo_not_query = []\n\
                     [local]\nspecial_use = false\n[access]\nallow = [\"127.0.0.0/8\"]\n[limits]\nexempt = []\n\
                     client_rate = \"1/s\"\nclient_burst = 4\nmiss_cost = 2\ntcp_accept_cost = 1\nslip = 0\nkernel_filter = false\ncalm = \"60s\"\n",
                    internet.root_hints.display()
                );
                maeslant(self, &text, 5308)
            }
            Server::PowerDns => answering(begin(self, &fresh_dir("pdns"), &CORE, &powerdns(internet, 5304), 5304)),
            Server::Bind => answering(begin(self, &fresh_dir("named"), &CORE, &bind(internet, 5305), 5305)),
            Server::Dnsdist => {
                // Hits never reach what is behind it.
                let words = powerdns(internet, 5309);
                let behind = answering(begin(Server::PowerDns, &fresh_dir("behind"), &[], &words, 5309));
                let mut serving = answering(begin(self, &fresh_dir("dnsdist"), &CORE, &dnsdist(5306), 5306));
                serving._behind = Some(behind.running);
                serving
            }
        }
    }
}

fn maeslant(server: Server, text: &str, port: u16) -> Serving {
    let dir = fresh_dir(server.name());
    let file = write(&dir, "maeslant.toml", text).display().to_string();
    let words = [env!("CARGO_BIN_EXE_maeslant"), "serve", "--config", &file].map(str::to_owned);
    let mut serving = begin(server, &dir, &CORE, &words, port);
    serving.running.wait_until("ready", |running| running.log().contains("ready"));
    serving
}

fn begin(server: Server, dir: &Path, prefix: &[&str], words: &[String], port: u16) -> Serving {
    let mut all = prefix.iter().copied().chain(words.iter().map(String::as_str));
    let mut command = Command::new(all.next().expect("a command has a first word"));
    let running = Running::start(server.name(), dir, command.args(all));
    Serving { running, address: SocketAddr::from(([127, 0, 0, 1], port)), _behind: None }
}

fn answering(mut serving: Serving) -> Serving {
    use super::peers::wire::{Over, Type, ask};
    let address = serving.address;
    serving.running.wait_until("answering", |_| {
        ask(address, "host0000000.names.example.", Type(1), Over::Udp, std::time::Duration::from_secs(2)).is_ok()
    });
    serving
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let file = dir.join(name);
    fs::write(&file, text).expect("a file can be written");
    file
}

/// A root and one zone in which every name has one address, for a day.
pub fn internet(dir: &Path) -> Internet {
    let soa =
        |origin: &str| format!("$ORIGIN {origin}\n$TTL 86400\n@ SOA a.root. admin.root. 1 7200 3600 1209600 300\n");
    let root = soa(".") + ". NS a.root.\na.root. A 198.18.0.1\nexample. NS ns.example.\nns.example. A 198.18.0.2\n";
    let example = soa("example.") + "@ NS ns\nns A 198.18.0.2\n*.names A 192.0.2.1\n";
    let hints = ". 86400 IN NS a.root.\na.root. 86400 IN A 198.18.0.1\n";
    let host = |last: u8, origin: &str, file: PathBuf| Host {
        addresses: vec![[198, 18, 0, last].into()],
        zones: vec![Zone { origin: origin.to_owned(), file }],
    };
    let hosts =
        vec![host(1, ".", write(dir, "root.zone", &root)), host(2, "example.", write(dir, "example.zone", &example))];
    Internet { hosts, port: 53, root_hints: write(dir, "root.hints", hints) }
}

/// One worker and no distributor, so that one thread does everything, with its packet cache.
fn powerdns(internet: &Internet, port: u16) -> Vec<String> {
    let dir = fresh_dir(&format!("pdns-state-{port}"));
    let settings = [
        format!("local-address=127.0.0.1:{port}"),
        format!("hint-file={}", internet.root_hints.display()),
        format!("socket-dir={}", dir.display()),
        format!("config-dir={}", dir.display()),
        "allow-from=127.0.0.0/8".into(),
        "dont-query=".into(),
        "threads=1".into(),
        "pdns-distributes-queries=no".into(),
        "reuseport=yes".into(),
        "dnssec=off".into(),
        "security-poll-suffix=".into(),
        "daemon=no".into(),
        "disable-syslog=yes".into(),
        "loglevel=3".into(),
        "quiet=yes".into(),
        "max-cache-ttl=86400".into(),
        "packetcache-ttl=86400".into(),
    ];
    let words = settings.into_iter().map(|setting| format!("--{setting}"));
    std::iter::once("pdns_recursor".to_owned()).chain(words).collect()
}

fn bind(internet: &Internet, port: u16) -> Vec<String> {
    let dir = fresh_dir("named-state");
    let text = format!(
        "options {{\n  directory \"{here}\";\n  pid-file none;\n  session-keyfile none;\n  \
         listen-on port {port} {{ 127.0.0.1; }};\n  listen-on-v6 {{ none; }};\n  recursion yes;\n  \
         allow-query {{ any; }};\n  allow-recursion {{ any; }};\n  dnssec-validation no;\n  empty-zones-enable no;\n  \
         minimal-responses yes;\n}};\ncontrols {{ }};\nzone \".\" {{ type hint; file \"{hints}\"; }};\n",
        here = dir.display(),
        hints = internet.root_hints.display(),
    );
    let file = write(&dir, "named.conf", &text);
    ["named", "-g", "-n", "1", "-U", "1", "-c"]
        .map(str::to_owned)
        .into_iter()
        .chain([file.display().to_string()])
        .collect()
}

fn dnsdist(port: u16) -> Vec<String> {
    let dir = fresh_dir("dnsdist-state");
    let text = format!(
        "setLocal('127.0.0.1:{port}')\nsetACL('127.0.0.0/8')\nnewServer({{address='127.0.0.1:5309', \
         checkInterval=60}})\npc = newPacketCache(100000, {{maxTTL=86400}})\ngetPool(''):setCache(pc)\nsetSecurityPollSuffix('')\n"
    );
    let file = write(&dir, "dnsdist.conf", &text);
    let words = ["dnsdist", "--supervised", "--disable-syslog", "--uid", "root", "--gid", "root", "-C"];
    words.map(str::to_owned).into_iter().chain([file.display().to_string()]).collect()
}
