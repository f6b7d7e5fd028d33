//! Load tests as a user runs them: scenarios, reports, records, and what is refused.

mod peers;

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn load(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_maeslant")).arg("load").args(arguments).output().expect("it runs")
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A folder of its own for one test, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("maeslant-load-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Scratch(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.join(name), text).expect("a file");
        self.path(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).expect("a file")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Answers every datagram with itself as a response, until dropped.
struct Echo {
    address: String,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Echo {
    fn start() -> Echo {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("bound").to_string();
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    buffer[2] |= 0x80;
                    let _ = socket.send_to(&buffer[..length], from);
                }
            }
        });
        Echo { address, stop, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

const SHORT: &str = "[scenario]\nname = \"short\"\nduration = \"2s\"\nlate_after = \"1s\"\n[lab]\nsites = 20\n\
    [[zone]]\nname = \"bank.com.\"\nkind = \"dead\"\n\
    [[stream]]\nname = \"customers\"\nnames = \"popular\"\nrate = \"100/s\"\nclients = 50\nretry = [\"1s\"]\n\
    [[stream]]\nname = \"bots\"\nrole = \"attack\"\ngenerator = { kind = \"random-subdomain\", zones = [\"bank.com\"] }\n\
    rate = [{ at = \"1s\", qps = 50 }]\n\
    [[expect]]\nstream = \"customers\"\nsuccess = \">= 0.9\"\nwrong = \"== 0\"\n\
    [[expect]]\nupstream_zone = \"bank.com\"\nstream = \"bots\"\nper_query = \"<= 100\"\n";

#[test]
fn every_scenario_of_the_house_can_be_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("zones/lab/scenarios");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            let output = load(&["run", &path.display().to_string(), "--check"]);
            assert_eq!(output.status.code(), Some(0), "{}: {}", path.display(), err(&output));
            count += 1;
        }
    }
    assert!(count >= 20, "{count} scenarios");
}

#[test]
fn a_scenario_brings_its_own_world_and_writes_every_report() {
    let scratch = Scratch::new("run");
    let file = scratch.write("s.toml", SHORT);
    let (html, json, junit) = (scratch.path("r.html"), scratch.path("r.json"), scratch.path("r.xml"));
    let run = ["run", &file, "--listen", "127.0.0.1:0", "--html", &html, "--json", &json, "--junit", &junit];
    let output = load(&run);
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
    assert!(out(&output).contains("verdict: passed"), "{}", out(&output));
    assert!(err(&output).lines().count() >= 2, "a line a second where it is no terminal: {}", err(&output));
    let outcome: serde_json::Value = serde_json::from_str(&scratch.read("r.json")).expect("JSON");
    assert_eq!(outcome["streams"][0]["total"]["asked"], 200);
    assert!(outcome["samples"][1]["upstream"].as_u64().is_some_and(|n| n > 0));
    assert!(outcome["samples"][1]["memory"].as_u64().is_some_and(|n| n > 1 << 20));
    assert!(scratch.read("r.html").contains("<svg") && scratch.read("r.xml").contains("failures=\"0\""));
    // The same with a limit it cannot keep, compared with the first.
    let file = scratch.write("t.toml", &SHORT.replace("<= 100", "<= 0"));
    let output = load(&["run", &file, "--listen", "127.0.0.1:0", "--baseline", &json, "--junit", &junit]);
    assert_eq!(output.status.code(), Some(1), "{}", out(&output));
    assert!(out(&output).contains("compared with the baseline") && out(&output).contains("not the same scenario"));
    assert!(scratch.read("r.xml").contains("failures=\"1\""));
}

#[test]
fn mistakes_are_told_with_their_lines_and_end_in_2() {
    let scratch = Scratch::new("bad");
    let file = scratch.write("s.toml", &SHORT.replace("rate = \"100/s\"", "raet = 5").replace("dead", "daed"));
    let output = load(&["run", &file]);
    assert_eq!(output.status.code(), Some(2));
    let told = err(&output);
    assert!(told.contains("s.toml:9:8") && told.contains("did you mean `rate`?"), "{told}");
    assert!(told.contains("did you mean \"dead\"?"), "{told}");
    assert_eq!(load(&["run", &scratch.path("none.toml")]).status.code(), Some(2));
    let file = scratch.write("u.toml", &SHORT.replace("bank.com.\"\n", "com.\"\n"));
    let output = load(&["run", &file, "--check"]);
    assert!(output.status.code() == Some(2) && err(&output).contains("has a zone com. already"), "{}", err(&output));
}

#[test]
fn others_are_not_asked() {
    let scratch = Scratch::new("others");
    let file = scratch.write("s.toml", SHORT);
    let output = load(&["run", &file, "--target", "192.0.2.1:53"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("--i-own-this-target 192.0.2.1"), "{}", err(&output));
    let output = load(&["run", &file, "--target", "192.0.2.1:53", "--i-own-this-target", "192.0.2.1"]);
    assert!(output.status.code() == Some(2) && err(&output).contains("--rate-cap"), "{}", err(&output));
}

/// The resolver that is started for a run has no way out of this machine either.
#[test]
fn a_scenario_sends_nothing_out_through_its_resolver() {
    let scratch = Scratch::new("out");
    let forward =
        "[resolver]\nconfig = \"\"\"\n[[forward]]\nzone = \"example.net\"\nservers = [\"203.0.113.67\"]\n\"\"\"\n";
    let file = scratch.write("f.toml", &format!("{SHORT}\n{forward}"));
    for arguments in [vec!["run", &file, "--check"], vec!["run", &file, "--listen", "127.0.0.1:0"]] {
        let output = load(&arguments);
        let told = err(&output);
        assert!(output.status.code() == Some(2) && told.contains("example.net. to 203.0.113.67"), "{told}");
        assert!(told.contains("--own-network"), "{told}");
    }
    assert_eq!(load(&["run", &file, "--check", "--own-network"]).status.code(), Some(0));
}

#[test]
fn sources_of_another_family_than_the_target_are_told() {
    let scratch = Scratch::new("family");
    let file = scratch.write("s.toml", &SHORT.replace("clients = 50", "clients = 50\nsources = [\"fd00::/64\"]"));
    let output = load(&["run", &file, "--listen", "127.0.0.1:0"]);
    assert!(output.status.code() == Some(2) && err(&output).contains("not of the family"), "{}", err(&output));
}

#[test]
fn a_resolver_that_is_killed_in_the_middle_serves_again() {
    let scratch = Scratch::new("restart");
    let events =
        "[[event]]\nat = \"1s\"\naction = \"restart\"\n[[event]]\nat = \"2500ms\"\naction = \"reload\"\nrecords = 50\n";
    let text = SHORT
        .replace("\"2s\"", "\"4s\"")
        .replace("[[expect]]\nstream", &format!("{events}[[expect]]\nwindow = [\"3s\", \"4s\"]\nstream"));
    let file = scratch.write("s.toml", &text);
    let output = load(&["run", &file, "--listen", "127.0.0.1:0", "--json", &scratch.path("r.json")]);
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
    assert!(!out(&output).contains("failed:"), "{}", out(&output));
    let outcome: serde_json::Value = serde_json::from_str(&scratch.read("r.json")).expect("JSON");
    assert!(outcome["samples"][3]["memory"].as_u64().is_some_and(|n| n > 1 << 20), "the new process is measured");
    let bad = scratch.write("b.toml", &text.replace("restart", "restrat").replace("2500ms", "9s"));
    let told = err(&load(&["run", &bad, "--check"]));
    assert!(told.contains("did you mean \"restart\"?") && told.contains("within the run"), "{told}");
}

/// A fault on a zone that is not there would never be in force, and its servers never be asked too much.
#[test]
fn zones_and_servers_that_are_not_there_are_told() {
    let scratch = Scratch::new("places");
    let fault = |place: &str| {
        SHORT.replace("[[expect]]\nstream", &format!("[[fault]]\n{place}\ndrop = 0.5\n[[expect]]\nstream"))
    };
    for (text, wanted) in [
        (fault("zone = \"bnak.com.\""), "no zone \"bnak.com.\"; did you mean \"bank.com.\"?"),
        (fault("server = \"ns9.nowhere.com.\""), "no server \"ns9.nowhere.com.\""),
        (SHORT.replace("upstream_zone = \"bank.com\"", "upstream_zone = \"bnak.com\""), "did you mean \"bank.com.\"?"),
    ] {
        let output = load(&["run", &scratch.write("s.toml", &text), "--check"]);
        assert!(output.status.code() == Some(2) && err(&output).contains(wanted), "{wanted}: {}", err(&output));
    }
    assert_eq!(
        load(&["run", &scratch.write("s.toml", &fault("zone = \"bank.com\"")), "--check"]).status.code(),
        Some(0)
    );
}

#[test]
fn what_a_scenario_asks_can_be_written_without_sending_it() {
    let scratch = Scratch::new("record");
    let file = scratch.write("s.toml", SHORT);
    for name in ["a.pcap", "a.txt"] {
        let record = scratch.path(name);
        let output = load(&["run", &file, "--check", "--target", "127.0.0.1:53", "--record", &record]);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        let stats: serde_json::Value = serde_json::from_str(&out(&load(&["stats", &record, "--json"]))).expect("JSON");
        assert_eq!((stats["queries"].as_u64(), stats["clients"].as_u64() > Some(60)), (Some(250), true), "{stats}");
    }
    let again = scratch.path("b.txt");
    let output = load(&["run", &file, "--check", "--target", "127.0.0.1:53", "--record", &again]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(scratch.read("a.txt"), scratch.read("b.txt"), "the same seed asks the same");
    // What was sent is what is written.
    let echo = Echo::start();
    let sent = scratch.path("c.txt");
    load(&["run", &file, "--target", &echo.address, "--record", &sent]);
    let plain =
        |text: String| text.lines().map(|line| line.split(" ; ").next().unwrap_or("").to_owned()).collect::<Vec<_>>();
    assert_eq!(plain(scratch.read("c.txt")), plain(scratch.read("a.txt")));
}

#[test]
fn an_interrupt_ends_in_a_report_of_what_was_seen() {
    let scratch = Scratch::new("interrupt");
    let file = scratch.write("s.toml", &SHORT.replace("\"2s\"", "\"60s\""));
    let echo = Echo::start();
    let mut child = Command::new(env!("CARGO_BIN_EXE_maeslant"))
        .args(["load", "run", &file, "--target", &echo.address, "--json", &scratch.path("r.json")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("a line after a second");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().is_ok_and(|status| status.success()));
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).contains("interrupted"), "{}", out(&output));
    let outcome: serde_json::Value = serde_json::from_str(&scratch.read("r.json")).expect("JSON");
    assert!(outcome["streams"][0]["total"]["asked"].as_u64().is_some_and(|asked| (50..3000).contains(&asked)));
}

/// A resolver in a process of its own: the report says that it died, and it does not outlive who started it.
#[test]
fn a_resolver_of_its_own_dies_with_the_run_and_not_in_silence() {
    let scratch = Scratch::new("orphan");
    let text = SHORT.replace("\"2s\"", "\"3s\"") + "[[expect]]\nserver = true\nmemory = \"<= 4GiB\"\n";
    let file = scratch.write("s.toml", &text);
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maeslant"));
        command.args(["load", "run", &file, "--listen", "127.0.0.1:0"]).env("TMPDIR", &scratch.0);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut run = command.spawn().expect("it runs");
        let mut line = String::new();
        BufReader::new(run.stderr.as_mut().expect("piped")).read_line(&mut line).expect("a line after a second");
        let children = format!("/proc/{0}/task/{0}/children", run.id());
        let resolver = std::fs::read_to_string(children).expect("a process").trim().to_owned();
        assert!(resolver.parse::<u32>().is_ok(), "one child: {resolver:?}");
        (run, resolver)
    };
    let kill = |pid: &str| assert!(Command::new("kill").args(["-KILL", pid]).status().is_ok_and(|s| s.success()));
    let (run, resolver) = start();
    kill(&resolver);
    let output = run.wait_with_output().expect("it ends");
    assert!(
        output.status.code() == Some(1) && out(&output).contains("the resolver ended by itself"),
        "{}",
        out(&output)
    );
    let folders = || {
        let names = std::fs::read_dir(&scratch.0).expect("a folder").flatten().map(|entry| entry.file_name());
        names.filter(|name| name.to_string_lossy().starts_with("maeslant-")).count()
    };
    assert_eq!(folders(), 0, "its files are gone with it");
    let (mut run, resolver) = start();
    kill(&run.id().to_string());
    run.wait().expect("it ends");
    let begun = Instant::now();
    // Gone, or a zombie that whoever inherits it has yet to wait for.
    while std::fs::read_to_string(format!("/proc/{resolver}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{resolver} is still there");
        std::thread::yield_now();
    }
    // Whoever is killed cannot clear up; the next does.
    assert_eq!(folders(), 1);
    let (run, _) = start();
    assert_eq!(folders(), 1, "its own");
    run.wait_with_output().expect("it ends");
    assert_eq!(folders(), 0);
}

#[test]
fn records_are_sent_counted_cut_and_converted() {
    let scratch = Scratch::new("records");
    let mut text = String::new();
    for n in 0..100 {
        text.push_str(&format!("host{n}.sub.example.org A ; @{:.3} 192.0.2.{} udp\n", f64::from(n) * 0.01, n % 7));
    }
    let queries = scratch.write("q.txt", &text);
    let echo = Echo::start();
    let json = scratch.path("r.json");
    let replay = [
        "replay",
        &queries,
        "--late-after",
        "1s",
        "--target",
        &echo.address,
        "--speed",
        "2",
        "--loop",
        "2",
        "--scale-clients",
        "3",
    ];
    let output = load(&[&replay[..], &["--json", &json]].concat());
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
    let outcome: serde_json::Value = serde_json::from_str(&scratch.read("r.json")).expect("JSON");
    assert_eq!(outcome["streams"][0]["total"]["answered"], 600);
    // With customers beside it, who are expected to be served rightly: an echo does not.
    let beside = scratch.write("s.toml", SHORT);
    let output = load(&["replay", &queries, "--target", &echo.address, "--with", &beside, "--json", &json]);
    assert_eq!(output.status.code(), Some(1), "{}", out(&output));
    let outcome: serde_json::Value = serde_json::from_str(&scratch.read("r.json")).expect("JSON");
    assert_eq!(outcome["streams"][2]["total"]["answered"], 100, "the record");
    assert!(out(&output).contains("customers: success") && outcome["attacked"][0][0] == 1, "{}", out(&output));
    let captures = ["c.pcapng", "c.pcap", "c.dnstap"].map(|name| scratch.path(name));
    let mut from = queries.clone();
    for to in &captures {
        let output = load(&["convert", &from, to]);
        assert_eq!(output.status.code(), Some(0), "{to}: {}", err(&output));
        from.clone_from(to);
    }
    let output = load(&["stats", &captures[2], "--json"]);
    let stats: serde_json::Value = serde_json::from_str(&out(&output)).expect("JSON");
    assert_eq!(
        (stats["queries"].as_u64(), stats["clients"].as_u64(), stats["names"].as_u64()),
        (Some(100), Some(7), Some(100))
    );
    assert!(stats["seconds"].as_f64().is_some_and(|s| (s - 0.99).abs() < 1e-6), "{stats}");
    let cut = scratch.path("cut.txt");
    let slice =
        ["slice", &captures[0], &cut, "--after", "0.5", "--client", "192.0.2.3/32", "--anonymise", "--hash-names"];
    assert_eq!(load(&slice).status.code(), Some(0));
    let left = scratch.read("cut.txt");
    assert_eq!(left.lines().count(), 7);
    assert!(left.contains(".example.org.") && !left.contains("host") && !left.contains("192.0.2.3"), "{left}");
    let output = load(&["stats", &captures[1], "--port", "5300"]);
    assert!(err(&output).contains("named with --port"), "{}", err(&output));
    // What is no record at all is said to be none.
    let foreign = scratch.write("foreign.pcap", "\x7fELF\x02\x01\x01 and so on, and on, and on");
    for task in
        [&["stats", &foreign][..], &["replay", &foreign, "--target", &echo.address], &["convert", &foreign, &cut]]
    {
        let output = load(task);
        assert!(output.status.code() == Some(2) && err(&output).contains("foreign.pcap"), "{task:?}: {}", err(&output));
    }
    // Cut short, it is read up to there, said, and no success.
    let whole = std::fs::read(&captures[1]).expect("a file");
    std::fs::write(&captures[1], &whole[..whole.len() - 5]).expect("a file");
    let output = load(&["stats", &captures[1]]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("packet 99: it is cut short") && out(&output).contains("99 queries"),
        "{}",
        err(&output)
    );
}

/// Times of a record are anybody's: they neither stop the program nor have it run for decades.
#[test]
fn a_replay_is_bounded_in_time_and_place() {
    let scratch = Scratch::new("bounded");
    let ages = scratch.write("ages.txt", "a.example A ; @0 192.0.2.1\nb.example A ; @1700000000 192.0.2.2\n");
    let none = scratch.write("none.txt", "a.example A ; @18446744073709550000 192.0.2.1\n");
    let soon = scratch.write("soon.txt", "a.example A ; @0 192.0.2.1\nb.example A ; @0.1 127.9.9.9\n");
    let to = ["--target", "127.0.0.1:9"];
    let output = load(&[&["replay", &ages][..], &to].concat());
    assert!(
        output.status.code() == Some(2) && err(&output).contains("longer than --longest 86400 s"),
        "{}",
        err(&output)
    );
    for more in [["--loop", "100000"], ["--speed", "0.001"]] {
        let output = load(&[&["replay", &none][..], &to, &more].concat());
        assert!(output.status.code() == Some(2) && err(&output).contains("1 broken"), "{}", err(&output));
        let output = load(&[&["replay", &ages][..], &to, &more].concat());
        assert!(output.status.code() == Some(2) && err(&output).contains("--longest"), "{}", err(&output));
    }
    let output = load(&[&["replay", &soon, "--longest", "50ms"][..], &to].concat());
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    // Nothing forged leaves: a target elsewhere is asked from addresses of this machine alone.
    let elsewhere = ["--target", "198.51.100.1:53", "--i-own-this-target", "198.51.100.1", "--rate-cap", "1"];
    let output = load(&[&["replay", &soon, "--map-net", "203.0.113.0/24"][..], &elsewhere].concat());
    assert!(
        output.status.code() == Some(2) && err(&output).contains("is no address of this machine"),
        "{}",
        err(&output)
    );
    // Who is here stays, beside others who are moved; and sharing is said.
    let echo = Echo::start();
    let json = scratch.path("r.json");
    let output = load(&[
        "replay",
        &soon,
        "--late-after",
        "1s",
        "--target",
        &echo.address,
        "--map-net",
        "127.30.0.1/32",
        "--json",
        &json,
    ]);
    assert!(err(&output).contains("2 clients share 1 addresses"), "{}", err(&output));
    assert!(scratch.read("r.json").contains("2 clients share 1 addresses"));
}

/// What cannot be written, or would be written over what is read, is told before anything is sent.
#[test]
fn reports_are_refused_before_the_run_where_they_cannot_be_written() {
    let scratch = Scratch::new("refused");
    let file = scratch.write("s.toml", SHORT);
    let record = scratch.write("q.txt", "a.example A ; @0 192.0.2.1 udp\n");
    let hard = scratch.path("hard.txt");
    std::fs::hard_link(&record, &hard).expect("a link");
    let (nowhere, one) = (scratch.path("none/r.html"), scratch.path("r.out"));
    let other = scratch.write("other.json", "{\"a\": 1}");
    let to = ["--target", "127.0.0.1:9"];
    for (task, wanted) in [
        (&["replay", &record, "--json", &record][..], "written over"),
        (&["replay", &record, "--with", &file, "--html", &file], "written over"),
        (&["run", &file, "--junit", &file], "written over"),
        (&["run", &file, "--html", &one, "--json", &one], "named twice"),
        (&["run", &file, "--json", &one, "--record", &one], "expected .pcap"),
        (&["run", &file, "--html", &nowhere], "cannot write"),
        (&["run", &file, "--baseline", &other], "is no report of a run"),
        (&["run", &file, "--baseline", &nowhere], "cannot read"),
    ] {
        let output = load(&[task, &to].concat());
        assert!(output.status.code() == Some(2) && err(&output).contains(wanted), "{task:?}: {}", err(&output));
        assert!(!err(&output).contains(" of 2 s"), "it has not begun: {}", err(&output));
    }
    for task in [["convert", &record, &hard], ["slice", &record, &record]] {
        let output = load(&task);
        assert!(output.status.code() == Some(2) && err(&output).contains("written over"), "{}", err(&output));
    }
    assert_eq!(scratch.read("q.txt"), "a.example A ; @0 192.0.2.1 udp\n");
    assert_eq!(scratch.read("s.toml"), SHORT);
    let output = load(&["slice", &record, &scratch.path("n.txt"), "--before", "nan"]);
    assert!(output.status.code() == Some(2) && err(&output).contains("seconds"), "{}", err(&output));
}
