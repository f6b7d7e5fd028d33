//! How answers leave, seen on the wire: whole, with the don't-fragment bit, or in parts where an interface has no room.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::process::{Running, fresh_dir, output_of, require_own_network};

/// The room of the interface: less than the longest answer.
const ROOM: usize = 1000;
const PORT: u16 = 5310;
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks for TXT records from within the network of a process; the octets that came, and whether the answer was truncated.
fn ask(pid: u32, name: &str) -> (usize, bool) {
    let mut dig = Command::new("nsenter");
    dig.arg(format!("--net=/proc/{pid}/ns/net"));
    dig.args([
        "dig",
        "@127.0.0.1",
        "-p",
        &PORT.to_string(),
        "+bufsize=1232",
        "+ignore",
        "+notcp",
        "+tries=1",
        name,
        "TXT",
    ]);
    let text = output_of(&mut dig, PATIENCE).expect("dig gets an answer");
    let size = text.lines().find_map(|line| line.strip_prefix(";; MSG SIZE  rcvd: ")?.trim().parse().ok());
    let flags = text.lines().find_map(|line| line.strip_prefix(";; flags: ")).expect("a header");
    let truncated = flags.split(';').next().is_some_and(|flags| flags.split(' ').any(|flag| flag == "tc"));
    (size.expect("dig tells the size"), truncated)
}

/// The flags of the packets that tcpdump saw leave with the server's port: those of a first part, or of the whole.
fn flags_of_answers(log: &str) -> Vec<String> {
    let from = format!("127.0.0.1.{PORT} > ");
    let lines: Vec<&str> = log.lines().collect();
    let answers = lines.windows(2).filter(|two| two[1].trim_start().starts_with(&from));
    let flags = |two: &[&str]| {
        let flags = two[0].split("flags [").nth(1).and_then(|rest| rest.split(']').next());
        flags.expect("tcpdump tells the flags").to_owned()
    };
    answers.map(flags).collect()
}

#[test]
#[ignore = "needs Debian's dig, tcpdump and a network of its own: tests/peers/run"]
fn an_answer_leaves_whole_or_in_parts_where_it_must() {
    require_own_network();
    let dir = fresh_dir("fragments");
    let long = vec![format!("\\\"{}\\\"", "x".repeat(250)); 4].join(" ");
    let config = format!(
        "[server]\nlisten = [\"127.0.0.1:{PORT}\"]\nworkers = 1\n\
         [local]\nrecords = [\"short.test. 60 IN TXT x\", \"long.test. 60 IN TXT {long}\"]\n"
    );
    let file = dir.join("maeslant.toml");
    fs::write(&file, config).expect("a configuration can be written");
    // A network within this one, as IPv6 goes where an interface has so little room.
    let script = format!("ip link set lo up mtu {ROOM}; exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--net", "--", "bash", "-ec", &script, "maeslant", env!("CARGO_BIN_EXE_maeslant"), "serve"]);
    let mut maeslant = Running::start("maeslant", &dir, command.arg("--config").arg(&file));
    maeslant.wait_until("ready", |running| running.log().contains("ready"));
    let pid = maeslant.pid();
    let mut tcpdump = Command::new("nsenter");
    tcpdump.arg(format!("--net=/proc/{pid}/ns/net"));
    tcpdump.args(["tcpdump", "-i", "lo", "-n", "-v", "-l", "--immediate-mode", "ip"]);
    let mut tcpdump = Running::start("tcpdump", &fresh_dir("fragments-seen"), &mut tcpdump);
    tcpdump.wait_until("listening", |running| running.log().contains("listening on"));

    let (before, truncated) = ask(pid, "short.test");
    assert!(before < 100 && !truncated, "{before}");
    let (octets, truncated) = ask(pid, "long.test");
    assert!((ROOM + 28..=1232).contains(&octets) && !truncated, "{octets} octets, truncated: {truncated}");
    assert_eq!(ask(pid, "short.test"), (before, false));
    tcpdump.wait_until("shown three answers", |running| flags_of_answers(&running.log()).len() >= 3);
    assert_eq!(flags_of_answers(&tcpdump.log()), ["DF", "+", "none"], "{}", tcpdump.log());
}
