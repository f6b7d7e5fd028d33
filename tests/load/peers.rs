//! Records that other people's programs made, and the report in a browser. Needs root, and what
//! `tests/load/install` installs.

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Echo, SHORT, Scratch, err, load, out};

/// How long another program may take until it does what it is for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program that ends with this value.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Running {
        let name = format!("{command:?}");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        Running(child.unwrap_or_else(|error| panic!("cannot start {name}: {error}")))
    }

    /// Asks it to end, and waits.
    fn stop(mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }

    /// Waits for words in what it says.
    fn says(&mut self, words: &str) {
        let mut lines = std::io::BufReader::new(self.0.stderr.take().expect("piped"));
        let (mut line, mut all) = (String::new(), String::new());
        while std::io::BufRead::read_line(&mut lines, &mut line).is_ok_and(|length| length > 0) {
            if line.contains(words) {
                self.0.stderr = Some(lines.into_inner());
                return;
            }
            all.push_str(&std::mem::take(&mut line));
        }
        panic!("it never said {words}: {all}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn done(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Names for dnsperf.
fn names(scratch: &Scratch) -> String {
    let lines: String = (0..200).map(|n| format!("www.host{n}.example A\n")).collect();
    scratch.write("names.txt", &lines)
}

fn counts(file: &str, ports: &[&str]) -> (u64, u64, f64) {
    let output = load(&[&["stats", file, "--json"], ports].concat());
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let shown: serde_json::Value = serde_json::from_str(&out(&output)).expect("JSON");
    let count = |key: &str| shown[key].as_u64().expect("a number");
    (count("queries"), count("responses"), shown["seconds"].as_f64().expect("a number"))
}

#[test]
#[ignore = "needs root, tcpdump, tshark, dnsperf"]
fn a_capture_of_dnsperf_is_counted_as_tshark_counts_it_and_replayed_whole() {
    let scratch = Scratch::new("tcpdump");
    let echo = Echo::start();
    let port = echo.address.rsplit(':').next().expect("a port");
    let capture = scratch.path("c.pcap");
    let mut tcpdump =
        Running::start(Command::new("tcpdump").args(["-i", "lo", "-U", "-w", &capture, "udp", "port", port]));
    tcpdump.says("listening on");
    let names = names(&scratch);
    done(Command::new("dnsperf").args(["-s", "127.0.0.1", "-p", port, "-d", &names, "-n", "3", "-Q", "600"]));
    // What the kernel has not handed over yet comes within a moment.
    let deadline = Instant::now() + PATIENCE;
    while counts(&capture, &["--port", port]).1 < 600 {
        assert!(Instant::now() < deadline, "{:?}", counts(&capture, &["--port", port]));
    }
    tcpdump.stop();
    let (queries, responses, seconds) = counts(&capture, &["--port", port]);
    let tshark = |filter: &str| {
        let decode = format!("udp.port=={port},dns");
        let lines = done(Command::new("tshark").args(["-r", &capture, "-d", &decode, "-Y", filter]));
        lines.lines().count() as u64
    };
    assert_eq!((queries, responses), (tshark("dns.flags.response==0"), tshark("dns.flags.response==1")));
    assert_eq!(queries, 600);
    let json = scratch.path("r.json");
    let output =
        load(&["replay", &capture, "--late-after", "1s", "--port", port, "--target", &echo.address, "--json", &json]);
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
    let outcome: serde_json::Value = serde_json::from_str(&scratch.read("r.json")).expect("JSON");
    assert_eq!(outcome["streams"][0]["total"]["answered"].as_u64(), Some(queries));
    let played = outcome["duration"].as_f64().expect("a number");
    assert!((played - seconds).abs() < 0.1, "{played} s for {seconds} s");
    // As tshark reads what we write.
    for name in ["w.pcap", "w.pcapng"] {
        let written = scratch.path(name);
        assert_eq!(load(&["convert", &capture, &written, "--port", port]).status.code(), Some(0));
        let decode = format!("udp.port=={port},dns");
        let filter = "dns && !_ws.malformed";
        let lines = done(Command::new("tshark").args(["-r", &written, "-d", &decode, "-Y", filter]));
        assert_eq!(lines.lines().count() as u64, queries + responses, "{name}");
    }
}

/// In a network of its own, IPv6 clients have addresses of their own, and any address there may be asked.
#[test]
#[ignore = "needs root"]
fn clients_of_ipv6_have_addresses_of_their_own_in_a_network_of_its_own() {
    let scratch = Scratch::new("own-network");
    let text = SHORT.replace("retry = ", "sources = [\"fd00::/64\"]\nretry = ");
    let text = text.replace("role = \"attack\"\n", "role = \"attack\"\nsources = [\"fd00::/64\"]\n");
    let file = scratch.write("s.toml", &text);
    let (json, record) = (scratch.path("r.json"), scratch.path("r.txt"));
    let run = ["run", &file, "--own-network", "--listen", "[fd00::53]:5397", "--json", &json, "--record", &record];
    let output = load(&run);
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
    let outcome: serde_json::Value = serde_json::from_str(&scratch.read("r.json")).expect("JSON");
    assert_eq!(
        (&outcome["streams"][0]["total"]["answered"], &outcome["target"]),
        (&200.into(), &"[fd00::53]:5397".into())
    );
    let record = scratch.read("r.txt");
    assert!(record.lines().all(|line| line.contains(" fd00::")), "{record}");
    // An interrupt outside reaches the run inside, which writes its report.
    let file = scratch.write("t.toml", &text.replace("\"2s\"", "\"60s\""));
    let mut long = Command::new(env!("CARGO_BIN_EXE_maeslant"));
    long.args(["load", "run", &file, "--own-network", "--listen", "[fd00::53]:5397", "--json", &json])
        .stdout(Stdio::null());
    let mut long = Running::start(&mut long);
    long.says("of 60 s");
    assert!(Command::new("kill").args(["-INT", &long.0.id().to_string()]).status().is_ok_and(|done| done.success()));
    assert_eq!(long.0.wait().expect("it ends").code(), Some(1));
    let outcome: serde_json::Value = serde_json::from_str(&scratch.read("r.json")).expect("JSON");
    assert!(outcome["invalid"].to_string().contains("interrupted"), "{}", outcome["invalid"]);
    // Outside such a network, nothing of the kind.
    let output = load(&["run", &file, "--own-network", "--inside", "--target", "192.0.2.1:53"]);
    let enclosed = std::fs::read_to_string("/proc/self/net/dev").is_ok_and(|text| text.lines().count() == 3);
    assert!(enclosed || err(&output).contains("no network of its own"), "{}", err(&output));
}

/// BIND gives up frames when more wait for its writer than its queue holds, so the queue here has room for all of them.
#[test]
#[ignore = "needs root, named with dnstap, dnstap-read, dnsperf"]
fn a_dnstap_file_of_bind_is_counted_as_dnstap_read_counts_it() {
    let scratch = Scratch::new("dnstap");
    let port = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let folder = scratch.0.display();
    let zone = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n*.host A 192.0.2.2\n";
    let zone_file = scratch.write("example.zone", zone);
    let config = scratch.write(
        "named.conf",
        &format!(
            "options {{ directory \"{folder}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; \
             recursion no; pid-file none; session-keyfile none; dnstap {{ auth; client; }}; \
             fstrm-set-input-queue-size 16384; \
             dnstap-output file \"{folder}/out.dnstap\"; }};\ncontrols {{ }};\n\
             zone \"example\" {{ type primary; file \"{zone_file}\"; }};\n"
        ),
    );
    let mut named = Running::start(Command::new("named").args(["-g", "-c", &config]));
    named.says("running");
    let port = port.to_string();
    let names = names(&scratch);
    let perf =
        done(Command::new("dnsperf").args(["-s", "127.0.0.1", "-p", &port, "-d", &names, "-n", "2", "-Q", "500"]));
    named.stop();
    let tap = scratch.path("out.dnstap");
    let theirs = done(Command::new("dnstap-read").arg(&tap));
    let of = |kind: &str| theirs.lines().filter(|line| line.contains(kind)).count() as u64;
    let (queries, responses, _) = counts(&tap, &[]);
    assert_eq!((queries, responses), (of(" CQ ") + of(" AQ "), of(" CR ") + of(" AR ")), "{theirs}");
    // On a busy machine a packet may be lost before BIND sees it: dnsperf says what was answered, and all of that is there.
    let completed = perf.lines().find_map(|line| line.trim().strip_prefix("Queries completed:"));
    let completed: u64 = completed.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).expect("a number");
    assert!(queries >= completed && responses >= completed && completed > 200, "{queries} and {responses}: {perf}");
    let echo = Echo::start();
    let output = load(&["replay", &tap, "--late-after", "1s", "--target", &echo.address, "--speed", "5"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
    // And theirs reads ours.
    let ours = scratch.path("ours.dnstap");
    assert_eq!(load(&["convert", &tap, &ours]).status.code(), Some(0));
    assert_eq!(done(Command::new("dnstap-read").arg(&ours)).lines().count() as u64, queries + responses);
}

/// What came of opening a file in a browser.
#[derive(Debug)]
struct Browsed {
    page: String,
    /// Lines on its console.
    console: Vec<String>,
    /// What it asked for beyond the file.
    requests: Vec<String>,
}

impl Browsed {
    fn open(scratch: &Scratch, file: &str, what: &[&str]) -> Browsed {
        let (profile, log) = (scratch.path("profile"), scratch.path("net.json"));
        let mut command = Command::new("chromium");
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        command.args(["--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr"]);
        command.args([format!("--user-data-dir={profile}"), format!("--log-net-log={log}")]);
        let output = command.args(what).arg(format!("file://{file}")).output().expect("chromium is installed");
        assert!(output.status.success(), "{}", err(&output));
        // Pages of the browser's own, which it may open beside ours, speak of their fonts when the machine is busy.
        let of_the_file = |line: &&str| line.contains("CONSOLE") && !line.contains("source: chrome://");
        let console = err(&output).lines().filter(of_the_file).map(str::to_owned).collect();
        // The browser asks for the time, for updates of itself and for its user's accounts, whatever it is told; none of
        // it gets out.
        let own = [
            "http://clients2.google.com/",
            "http://update.googleapis.com/",
            "https://update.googleapis.com/",
            "https://accounts.google.com/",
        ];
        let log = std::fs::read_to_string(log).expect("a log");
        let asked = log.split("\"url\":\"").skip(1).filter_map(|rest| rest.split('"').next());
        let asked = asked.filter(|url| url.starts_with("http") || url.starts_with("ws"));
        let mut requests: Vec<String> =
            asked.filter(|url| !own.iter().any(|own| url.starts_with(own))).map(str::to_owned).collect();
        requests.sort();
        requests.dedup();
        // An empty profile each time.
        let _ = std::fs::remove_dir_all(profile);
        Browsed { page: out(&output), console, requests }
    }
}

#[test]
#[ignore = "needs chromium, pdftotext"]
fn the_report_opens_in_a_browser_without_a_word_on_its_console() {
    let scratch = Scratch::new("browser");
    let file = scratch.write("s.toml", SHORT);
    let report = scratch.path("report.html");
    let output = load(&["run", &file, "--listen", "127.0.0.1:0", "--html", &report]);
    assert!(output.status.code().is_some_and(|code| code < 2), "{}", err(&output));
    let picture = std::env::var("LOAD_SCREENSHOT").unwrap_or_else(|_| scratch.path("report.png"));
    // What this looks for would be found.
    let page = "<script>console.error('bad')</script><img src='http://192.0.2.1/x.png'>";
    let bad = Browsed::open(&scratch, &scratch.write("bad.html", page), &["--dump-dom"]);
    assert!(bad.console.len() == 1 && bad.requests == ["http://192.0.2.1/x.png"], "{bad:?}");
    let seen = Browsed::open(&scratch, &report, &["--dump-dom"]);
    assert!(seen.console.is_empty() && seen.requests.is_empty(), "{:?} {:?}", seen.console, seen.requests);
    assert!(seen.page.contains("What was expected") && seen.page.matches("<svg").count() > 5, "{}", seen.page);
    let shot = format!("--screenshot={picture}");
    let seen = Browsed::open(&scratch, &report, &["--window-size=1000,3400", "--hide-scrollbars", &shot]);
    assert!(seen.console.is_empty() && seen.requests.is_empty(), "{:?} {:?}", seen.console, seen.requests);
    assert!(Path::new(&picture).metadata().is_ok_and(|file| file.len() > 20_000), "{picture}");
    // On paper: from the verdict to the last line of the scenario, every table's head on the page of its first row.
    let pdf = scratch.path("report.pdf");
    Browsed::open(&scratch, &report, &["--no-pdf-header-footer", &format!("--print-to-pdf={pdf}")]);
    let text = done(Command::new("pdftotext").args(["-layout", &pdf, "-"]));
    let pages: Vec<&str> = text.split('\u{c}').collect();
    let page = |words: &str| pages.iter().position(|page| page.contains(words));
    assert_eq!(page("What was expected"), Some(0), "{text}");
    assert!(page("Unanswered").is_some() && page("Unanswered") == page("bots attack"), "{text}");
    assert!(page("per_query = ").is_some() && pages.len() <= 8, "{text}");
}
