//! What the operator is told of clients that are turned away.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::client::{connect, hear, query, say};
use super::program::{Program, free_port};

const WAIT: Duration = Duration::from_secs(20);
const A: u16 = 1;

/// A server that answers `here.test` to clients on this machine, none of which is exempt, and whom it can be asked by.
fn start(name: &str, more: &str) -> (Program, SocketAddr, PathBuf) {
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let control = Program::control(name);
    let config = format!(
        "[server]\nlisten = [\"{server}\"]\nworkers = 1\ncontrol_socket = {control:?}\n{more}\n[cache]\nmemory = \
         \"16MiB\"\n[resolver]\nprime = false\n[local]\nrecords = [\"here.test. A 192.0.2.1\"]\n"
    );
    let program = Program::start(name, &config);
    program.log_until("ready");
    (program, server, control)
}

/// What `maeslant ctl` prints, once `word` is in it.
fn ctl(control: &Path, question: &[&str], word: &str) -> String {
    let deadline = Instant::now() + WAIT;
    loop {
        let output = Command::new(env!("CARGO_BIN_EXE_maeslant"))
            .args(["ctl", "--socket"])
            .arg(control)
            .args(question)
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.contains(word) {
            return text;
        }
        assert!(Instant::now() < deadline, "`{word}` is not said: {text}{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_connection_that_a_cap_closed_is_explained() {
    let more = "tcp_connections_per_client = 2\n[limits]\nexempt = []";
    let (program, server, control) = start("caps", more);
    let mut held = [connect(server), connect(server)];
    for stream in &mut held {
        say(stream, &query(1, "here.test", A));
        assert_eq!(hear(stream).rcode, 0);
    }
    let mut third = connect(server);
    assert!(!matches!(third.read(&mut [0]), Ok(1..)), "a third connection has its place");
    let explained = ctl(&control, &["explain", "127.0.0.1"], "tcp_client");
    for word in ["tcp_client (closed), 1 times", "server.tcp_connections_per_client", "raise this setting"] {
        assert!(explained.contains(word), "`{word}` is not in: {explained}");
    }
    // Nothing else happens that would have the shard say how it is.
    ctl(&control, &["status"], "tcp_client 1");
    let log = program.log_until("tcp_client");
    let line = log.last().expect("a line");
    for word in ["turned away: ", "times=1", "address=\"127.0.0.1\"", "server.tcp_connections_per_client"] {
        assert!(line.contains(word), "`{word}` is not in: {line}");
    }
}

#[test]
fn a_connection_that_was_closed_for_what_came_on_it_is_explained() {
    let (_program, server, control) = start("garbage", "[limits]\nexempt = []");
    let mut response = query(1, "here.test", A);
    response[2] |= 0x80;
    for message in [response, vec![0; 3]] {
        let mut stream = connect(server);
        say(&mut stream, &message);
        assert!(!matches!(stream.read(&mut [0]), Ok(1..)), "{message:?} has an answer");
    }
    for (reason, word) in [("tcp_no_query", "was no query"), ("tcp_misframed", "too short for a header")] {
        let explained = ctl(&control, &["explain", "127.0.0.1"], reason);
        for word in [&format!("{reason} (closed), 1 times"), word, "speaks DNS over TCP"] {
            assert!(explained.contains(word), "`{word}` is not in: {explained}");
        }
        ctl(&control, &["status"], &format!("{reason} 1"));
    }
}
