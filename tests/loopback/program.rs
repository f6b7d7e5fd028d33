//! `maeslant serve` as its users start and stop it.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::client::{ask, connect, hear, query, say, udp};

const WAIT: Duration = Duration::from_secs(20);

/// A running program, killed with its owner.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    config: PathBuf,
}

impl Program {
    pub fn start(name: &str, config: &str) -> Program {
        Program::start_with(name, config, &[])
    }

    /// Where the program of this name may have its control socket: a directory that goes with it.
    pub fn control(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("maeslant-serve-{}-{name}.control", std::process::id()))
    }

    /// With variables in its environment.
    fn start_with(name: &str, config: &str, environment: &[(&str, &str)]) -> Program {
        let path = Program::control(name).with_extension("toml");
        std::fs::write(&path, config).expect("a file");
        let mut child = Command::new(env!("CARGO_BIN_EXE_maeslant"))
            .args(["serve", "--config"])
            .arg(&path)
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("it runs");
        let log = BufReader::new(child.stderr.take().expect("its log"));
        let (sender, lines) = channel();
        std::thread::spawn(move || log.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Program { child, lines, config: path }
    }

    /// The log up to the first line with `word`, that line included.
    pub fn log_until(&self, word: &str) -> Vec<String> {
        let deadline = Instant::now() + WAIT;
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let found = line.contains(word);
                    seen.push(line);
                    if found {
                        return seen;
                    }
                }
                Err(error) => panic!("no line says `{word}` ({error}), only: {seen:#?}"),
            }
        }
    }

    /// What is left of the log once the program has ended.
    fn rest(&self) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(WAIT) {
                Ok(line) => seen.push(line),
                Err(RecvTimeoutError::Disconnected) => return seen,
                Err(RecvTimeoutError::Timeout) => panic!("the log does not end: {seen:#?}"),
            }
        }
    }

    /// Sends `HUP`, `TERM` or `INT`.
    pub fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
    }

    /// Waits for the end of the log, which is that of the program.
    pub fn end(mut self) -> (ExitStatus, Vec<String>) {
        let rest = self.rest();
        (self.child.wait().expect("an end"), rest)
    }
}

impl Program {
    /// Puts something else into its configuration file.
    pub fn rewrite(&self, config: &str) {
        std::fs::write(&self.config, config).expect("a file");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.config);
        let _ = std::fs::remove_dir_all(self.config.with_extension("control"));
    }
}

/// A port that was free a moment ago, for UDP and TCP, and is none of those that the system gives to outgoing sockets of
/// other tests in the meantime.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(97);
    let is_free = |port: &u16| {
        let address = (Ipv4Addr::LOCALHOST, *port);
        UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok()
    };
    let mut tried = (0..1000).map(|_| first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000);
    tried.find_map(|at| u16::try_from(12_000 + at).ok().filter(is_free)).expect("a free port")
}

/// Listens on `ports`, has nobody to ask, and does not prime.
fn config(ports: &[u16], more: &str) -> String {
    let listen: Vec<String> = ports.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
    format!("[server]\nlisten = [{}]\nworkers = 2\n[cache]\nmemory = \"16MiB\"\n{more}", listen.join(", "))
}

const NOBODY: &str = "[resolver]\nprime = false\n";

fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[test]
fn it_says_that_it_is_there_once_and_answers_from_then_on() {
    let ports = [free_port(), free_port()];
    let program = Program::start("once", &config(&ports, NOBODY));
    let seen = program.log_until("ready");
    for port in ports {
        assert!(seen.last().is_some_and(|line| line.contains(&format!("127.0.0.1:{port}"))), "{seen:#?}");
        // localhost is answered without asking anybody.
        assert_eq!(ask(address(port), 7, "localhost.", 1).answers, 1);
        let mut stream = connect(address(port));
        say(&mut stream, &query(8, "localhost.", 1));
        assert_eq!(hear(&mut stream).answers, 1);
    }
    program.signal("HUP");
    program.log_until("SIGHUP");
    assert_eq!(ask(address(ports[0]), 9, "localhost.", 1).answers, 1);
    program.signal("TERM");
    let (status, rest) = program.end();
    assert_eq!(status.code(), Some(0), "{rest:#?}");
    let said = seen.iter().chain(&rest).filter(|line| line.contains("ready")).count();
    assert_eq!(said, 1, "{seen:#?} {rest:#?}");
}

#[test]
fn a_port_in_use_is_one_line_and_exit_code_3() {
    let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let (status, log) = Program::start("taken", &config(&[port], NOBODY)).end();
    assert_eq!(status.code(), Some(3), "{log:#?}");
    let lines: Vec<&String> = log.iter().filter(|line| line.contains(&format!("127.0.0.1:{port}"))).collect();
    assert_eq!(lines.len(), 1, "{log:#?}");
    assert!(lines[0].contains("in use") && !lines[0].contains("ready"), "{log:#?}");
}

#[test]
fn silent_root_servers_are_told_of_within_two_seconds() {
    // A socket that hears and never answers, as a firewall makes them.
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let root = silent.local_addr().expect("bound").port();
    let hints = std::env::temp_dir().join(format!("maeslant-serve-{}.hints", std::process::id()));
    std::fs::write(&hints, ". 3600 IN NS a.root.\na.root. 3600 IN A 127.0.0.1\n").expect("a file");
    let resolver = format!(
        "[resolver]\nroot_hints = {hints:?}\nserver_port = {root}\ndo_not_query = []\n[log]\nformat = \"json\"\n"
    );
    let began = Instant::now();
    let program = Program::start("silent", &config(&[free_port()], &resolver));
    program.log_until("no root server answers");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "it was said after {took:?}");
    program.signal("INT");
    let (status, log) = program.end();
    assert_eq!(status.code(), Some(0), "{log:#?}");
    let _ = std::fs::remove_file(&hints);
}

#[test]
fn a_question_in_flight_does_not_keep_it_beyond_five_seconds() {
    for signal in ["TERM", "INT"] {
        let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        silent.set_read_timeout(Some(WAIT)).expect("a timeout");
        let server = silent.local_addr().expect("bound");
        let forward = format!("{NOBODY}[[forward]]\nzone = \".\"\nservers = [\"{server}\"]\n");
        let port = free_port();
        let program = Program::start(&format!("flight{signal}"), &config(&[port], &forward));
        program.log_until("ready");
        let (client, mut stream) = (udp(Ipv4Addr::LOCALHOST.into(), address(port)), connect(address(port)));
        client.send(&query(1, "nobody.example.", 1)).expect("sent");
        say(&mut stream, &query(2, "nowhere.example.", 1));
        // Both are in flight before the signal is sent; case is random in what is asked.
        let mut on_their_way = [false; 2];
        while on_their_way != [true; 2] {
            let mut packet = [0; 512];
            let (length, _) = silent.recv_from(&mut packet).expect("a question on its way");
            let asked = packet[..length].to_ascii_lowercase();
            for (there, label) in on_their_way.iter_mut().zip([&b"nobody"[..], b"nowhere"]) {
                *there |= asked.windows(label.len()).any(|part| part == label);
            }
        }
        let began = Instant::now();
        program.signal(signal);
        program.signal(signal);
        let (status, log) = program.end();
        assert_eq!(status.code(), Some(0), "{log:#?}");
        assert!(began.elapsed() < Duration::from_secs(5), "signal {signal}: it took {:?}", began.elapsed());
        // Nobody is left without a word.
        let mut reply = [0; 512];
        let length = client.recv(&mut reply).expect("a reply by UDP");
        assert!(length > 12 && reply[3] & 15 == 2, "not SERVFAIL");
        assert_eq!(hear(&mut stream).rcode, 2, "not SERVFAIL");
    }
}

#[test]
fn a_log_of_json_has_warnings_of_the_configuration_as_json_too() {
    let more = format!("{NOBODY}[log]\nformat = \"json\"\n");
    let config = config(&[free_port()], &more).replace("workers = 2", "workers = 2\nudp_payload_size = 4096");
    let program = Program::start("jsonwarn", &config);
    let mut log = program.log_until("ready");
    program.signal("TERM");
    log.extend(program.end().1);
    for line in &log {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "not JSON: {line}");
    }
    assert!(log.iter().any(|line| line.contains("WARN") && line.contains("fragmented")), "{log:#?}");
}

/// How many addresses `printer.example` has, once they are not as many as `old`.
fn printers(port: u16, old: u16) -> u16 {
    let deadline = Instant::now() + WAIT;
    loop {
        // A shard takes new rules in its next turn, which is a moment after the log says so.
        let answers = ask(address(port), 7, "printer.example", 1).answers;
        if answers != old {
            return answers;
        }
        assert!(Instant::now() < deadline, "still {old}");
    }
}

/// Threads of a process by name, each with the cores it may use.
fn affinities(process: u32) -> Vec<(String, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let word = |status: &str, key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.expect("as in proc(5)").trim().to_owned()
    };
    let statuses = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    statuses.map(|status| (word(&status, "Name:"), word(&status, "Cpus_allowed_list:"))).collect()
}

#[test]
fn pinned_shards_stay_each_on_a_core_and_answer() {
    let cores = maeslant::net::cores::allowed();
    for pin in ["off", "cores", "queues"] {
        let port = free_port();
        let more = format!("{NOBODY}[local]\nrecords = [\"printer.example. A 192.0.2.1\"]\n");
        let config = config(&[port], &more).replace("workers = 2", &format!("workers = 2\npin = \"{pin}\""));
        let program = Program::start(pin, &config);
        program.log_until("ready");
        assert_eq!(printers(port, 0), 1);
        let all = affinities(program.child.id());
        let of = |name: &str| all.iter().find(|(thread, _)| thread == name).expect("a thread").1.clone();
        let main = of("maeslant");
        for number in 0..2 {
            let expected = if pin == "off" { main.clone() } else { cores[number % cores.len()].to_string() };
            assert_eq!(of(&format!("shard-{number}")), expected, "pin = {pin}: {all:?}");
        }
        program.signal("TERM");
        let (status, log) = program.end();
        assert!(status.success() && !log.concat().contains("pin"), "{log:?}");
    }
}

#[test]
fn a_changed_configuration_is_taken_while_it_serves_and_a_wrong_one_changes_nothing() {
    let port = free_port();
    let records = |count: u8| {
        let records: Vec<String> = (1..=count).map(|octet| format!("\"printer.example. A 192.0.2.{octet}\"")).collect();
        format!("[local]\nrecords = [{}]\n", records.join(", "))
    };
    let state = std::env::temp_dir().join(format!("maeslant-serve-{}-state", std::process::id()));
    std::fs::create_dir_all(&state).expect("a folder");
    let environment = [("STATE_DIRECTORY", &*state.display().to_string())];
    let program = Program::start_with("reload", &config(&[port], &format!("{NOBODY}{}", records(1))), &environment);
    program.log_until("ready");
    assert_eq!(printers(port, 0), 1);

    program.rewrite(&config(&[port], &format!("{NOBODY}{}colour = 5\n", records(2))));
    program.signal("HUP");
    let log = program.log_until("stays as it is").concat();
    assert!(log.contains("not taken"), "{log}");
    assert_eq!(printers(port, 0), 1);

    let text = config(&[port], &format!("{NOBODY}{}", records(3))).replace("workers = 2", "workers = 3");
    program.rewrite(&text);
    program.signal("HUP");
    let log = program.log_until("until a restart").concat();
    assert!(log.contains("local.records is now") && log.contains("server.workers stays 2 until a restart"), "{log}");
    assert_eq!(printers(port, 1), 3);

    program.signal("TERM");
    let (status, log) = program.end();
    assert!(status.success());
    assert!(!log.concat().contains("snapshot.file"), "where snapshots go by default has not changed: {log:?}");
    std::fs::remove_dir_all(&state).expect("a folder");
}
