//! What is left after the server was killed.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use maeslant::control;

use super::client::ask;
use super::program::{Program, free_port};
use super::signed::SignedInternet;

const A: u16 = 1;
const WAIT: Duration = Duration::from_secs(20);

struct Site {
    internet: SignedInternet,
    server: SocketAddr,
    name: &'static str,
}

impl Site {
    fn new(name: &'static str) -> Site {
        let internet = SignedInternet::start(name, 0);
        Site { internet, server: SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())), name }
    }

    /// Starts the server; a question has its outcome within two seconds.
    fn start(&self) -> (Program, Vec<String>) {
        let (dir, internet) = (self.internet.dir(), self.internet.config(&self.internet.anchors()));
        let config = format!(
            "[server]\nlisten = [\"{}\"]\nworkers = 2\ncontrol_socket = {:?}\n[cache]\nmemory = \"16MiB\"\n[snapshot]\nfile = \
             {:?}\nevery = \"1s\"\n{}",
            self.server,
            dir.join("control"),
            dir.join("snapshot"),
            internet.replace("[resolver]\n", "[resolver]\ndeadline = \"2s\"\n"),
        );
        let program = Program::start(self.name, &config);
        let seen = program.log_until("ready");
        (program, seen)
    }

    fn ask(&self, name: &str) -> (u8, u16) {
        let response = ask(self.server, 7, name, A);
        (response.rcode, response.answers)
    }

    /// Waits for a snapshot that has been written after this was called.
    fn wait_for_snapshot(&self) {
        let path = self.internet.dir().join("snapshot");
        let written = |path: &Path| std::fs::metadata(path).and_then(|about| about.modified()).ok();
        let (before, deadline) = (written(&path), Instant::now() + WAIT);
        // The one after the next has certainly begun later than this.
        let mut others = 0;
        let mut last = before;
        while others < 2 {
            assert!(Instant::now() < deadline, "no snapshot is written");
            std::thread::yield_now();
            let now = written(&path);
            if now.is_some() && now != last {
                (last, others) = (now, others + 1);
            }
        }
    }
}

#[test]
fn a_killed_server_serves_what_it_knew_although_nobody_can_be_asked_any_more() {
    let mut site = Site::new("killed");
    let (program, seen) = site.start();
    assert!(seen.iter().any(|line| line.contains("there is no snapshot yet")), "{seen:#?}");
    assert_eq!(site.ask("www.example."), (0, 1));
    assert_eq!(site.ask("nothing.example."), (3, 0));
    assert_eq!(site.ask("www.plain."), (0, 1));
    site.wait_for_snapshot();
    let file = site.internet.dir().join("snapshot");
    assert_eq!(std::fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
    let status = control::ask(&site.internet.dir().join("control"), "status").expect("an answer");
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["last_snapshot"]["successful"], true, "{status}");
    program.signal("KILL");
    drop(program);
    site.internet.silence();

    let (program, seen) = site.start();
    assert!(seen.iter().any(|line| line.contains("is taken in, written ")), "{seen:#?}");
    if !seen.iter().any(|line| line.contains("cached sets are back")) {
        program.log_until("cached sets are back");
    }
    assert_eq!(site.ask("www.example."), (0, 1));
    assert_eq!(site.ask("nothing.example."), (3, 0));
    assert_eq!(site.ask("www.plain."), (0, 1));
    program.signal("TERM");
    program.end();

    // Its words are worth nothing once an octet of them is another.
    let mut octets = std::fs::read(&file).expect("the file");
    let middle = octets.len() / 2;
    octets[middle] ^= 1;
    std::fs::write(&file, &octets).expect("written");
    let (program, seen) = site.start();
    assert!(seen.iter().any(|line| line.contains("is damaged")), "{seen:#?}");
    assert_eq!(site.ask("www.example.").0, 2);
    drop(program);
    octets[middle] ^= 1;
    // One of the form before, whole.
    let (mut older, tail) = (octets.clone(), 5 + 32);
    let form = older.windows(10).position(|window| window == b"snapshot 3").expect("the form of today");
    older[form + 9] = b'2';
    older.truncate(octets.len() - 32);
    let sum = ring::digest::digest(&ring::digest::SHA256, &older[..octets.len() - tail]);
    older.extend_from_slice(sum.as_ref());
    std::fs::write(&file, &older).expect("written");
    let (program, seen) = site.start();
    assert!(seen.iter().any(|line| line.contains("written by another version")), "{seen:#?}");
    assert_eq!(site.ask("www.example.").0, 2);
    drop(program);
    for cut in [0, 1, 100, octets.len() - 1] {
        std::fs::write(&file, &octets[..cut]).expect("written");
        let (_program, seen) = site.start();
        assert!(seen.iter().any(|line| line.contains("is not used")), "cut after {cut}: {seen:#?}");
    }
}

#[test]
fn a_snapshot_is_not_used_where_none_is_wanted_or_others_could_have_written_it() {
    let mut site = Site::new("unwanted");
    let (program, _) = site.start();
    assert_eq!(site.ask("www.example."), (0, 1));
    program.signal("TERM");
    program.end();
    let file = site.internet.dir().join("snapshot");
    assert!(file.exists(), "one is written at an orderly end");
    site.internet.silence();

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).expect("permissions");
    let (program, seen) = site.start();
    assert!(seen.iter().any(|line| line.contains("only its owner can write")), "{seen:#?}");
    assert_eq!(site.ask("www.example.").0, 2);
    drop(program);
}
