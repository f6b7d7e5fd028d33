//! Validation as its users see it: what `maeslant resolve` says, what `serve` logs and keeps.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use super::client::ask;
use super::program::{Program, free_port};
use super::signed::SignedInternet;

const DAY: i64 = 86_400;

/// Exit code and output of `maeslant resolve`.
fn resolve(internet: &SignedInternet, more: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let config = internet.dir().join("maeslant.toml");
    std::fs::write(&config, internet.config(more)).expect("a file");
    let output =
        Command::new(env!("CARGO_BIN_EXE_maeslant")).arg("resolve").arg("-c").arg(&config).args(arguments).output();
    let output = output.expect("it runs");
    (output.status.code(), String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn resolve_tells_what_validation_came_to_zone_by_zone() {
    let internet = SignedInternet::start("verdicts", 0);
    let anchors = internet.anchors();
    let (code, shown) = resolve(&internet, &anchors, &["www.example", "--trace"]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("\nNOERROR, secure  ("), "{shown}");
    let (root, zone) = (shown.find("so  . is secure"), shown.find("so  example. is secure"));
    assert!(root.is_some() && root < zone, "the chain from the root down:\n{shown}");

    let (code, shown) = resolve(&internet, &anchors, &["nothing.example", "--trace"]);
    assert!(code == Some(0) && shown.contains("\nNXDOMAIN, secure  ("), "{shown}");
    let (code, shown) = resolve(&internet, &anchors, &["www.plain", "--trace"]);
    assert!(code == Some(0) && shown.contains("\nNOERROR, insecure  ("), "{shown}");
    assert!(shown.contains("so  plain. is insecure"), "{shown}");

    let (code, shown) = resolve(&internet, &anchors, &["www.broken"]);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.starts_with("SERVFAIL, bogus  ("), "{shown}");
    assert!(shown.contains("because: zone broken., ") && shown.contains("does not fit (extended error 6)"), "{shown}");

    for (more, expected) in [
        ("validation = false".to_owned(), "NOERROR, not validated  ("),
        (String::new(), "NOERROR, not validated  ("),
        (
            format!("{anchors}\nnegative_trust_anchors = [{{ zone = \"broken\", until = 2100-01-01 }}]"),
            "NOERROR, insecure  (",
        ),
        (
            format!("{anchors}\nnegative_trust_anchors = [{{ zone = \"broken\", until = 2001-01-01 }}]"),
            "SERVFAIL, bogus  (",
        ),
    ] {
        let (_, shown) = resolve(&internet, &more, &["www.broken"]);
        assert!(shown.starts_with(expected), "{more}: {shown}");
    }
}

#[test]
fn a_wrong_clock_is_named_in_the_log_and_in_the_reason() {
    for (shift, reason, log) in [
        (-30 * DAY, "expired 20 days ago (extended error 7)", "ended 20 days ago by this machine's clock"),
        (12 * DAY + 60, "is valid only in 2 days (extended error 8)", "begins 2 days from now by this machine's clock"),
    ] {
        let internet = SignedInternet::start(&format!("clock{shift}"), shift);
        let (code, shown) = resolve(&internet, &internet.anchors(), &["www.example"]);
        assert_eq!(code, Some(1), "{shown}");
        assert!(shown.contains("because: zone ., . DNSKEY: signature by key ") && shown.contains(reason), "{shown}");

        let port = free_port();
        let listen = format!("[server]\nlisten = [\"127.0.0.1:{port}\"]\nworkers = 2\n");
        let program = Program::start(&format!("clock{shift}"), &(listen + &internet.config(&internet.anchors())));
        program.log_until("ready");
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        assert_eq!(ask(server, 1, "www.example.", 1).rcode, 2);
        let said = program.log_until("the keys of . cannot be trusted");
        let line = said.last().expect("a line");
        assert!(line.contains(log) && line.contains("The clock says 20"), "{line}");
    }
}

#[test]
fn the_state_of_anchors_is_made_at_start_and_used_by_resolve() {
    let internet = SignedInternet::start("state", 0);
    let state = internet.dir().join("state");
    let more = format!("{}\ntrust_anchor_state = {state:?}", internet.anchors());
    let (code, shown) = resolve(&internet, &more, &["www.example"]);
    assert!(code == Some(0) && shown.starts_with("NOERROR, secure"), "{shown}");
    assert!(!state.exists(), "to resolve one name changes nothing");

    let port = free_port();
    let listen = format!("[server]\nlisten = [\"127.0.0.1:{port}\"]\nworkers = 2\n");
    let program = Program::start("state", &(listen.clone() + &internet.config(&more)));
    program.log_until("in use, as the configuration trusts it");
    program.signal("TERM");
    let (status, log) = program.end();
    assert_eq!(status.code(), Some(0), "{log:#?}");
    let text = std::fs::read_to_string(&state).expect("the state");
    assert!(text.contains("zone .\n") && text.contains("\nkey valid "), "{text}");
    let (_, shown) = resolve(&internet, &more, &["www.example"]);
    assert!(shown.starts_with("NOERROR, secure"), "{shown}");

    std::fs::write(&state, text.replace("key valid", "key revoked")).expect("written");
    let (status, log) = Program::start("damaged", &(listen + &internet.config(&more))).end();
    assert_eq!(status.code(), Some(2), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("trust_anchor_state): line 5: the sum does not fit")), "{log:#?}");
}
