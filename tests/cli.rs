//! The command line as a user meets it: what is printed where, and the exit codes.

use std::path::PathBuf;
use std::process::{Command, Output};

fn maeslant(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_maeslant")).args(arguments).env_remove("NO_COLOR").output().expect("it runs")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// A file of its own for one test, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn file(name: &str, text: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("maeslant-cli-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("a file");
        Scratch(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_good_file_is_ok() {
    let file = Scratch::file("good.toml", "[cache]\nmemory = \"1GiB\"\n");
    let output = maeslant(&["check", file.path()]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(out(&output), format!("{}: ok\n", file.path()));
    assert_eq!(err(&output), "");
    let output = maeslant(&["check", file.path(), "--print", "effective"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(out(&output).contains("memory = \"1GiB\"    # default: \"256MiB\""));
}

#[test]
fn a_bad_file_is_reported_on_stderr_without_colours_and_ends_in_2() {
    let file = Scratch::file("bad.toml", "[server]\nlisen = []\nworkers = \"x\"\n");
    for arguments in [vec!["check", file.path()], vec!["serve", "--config", file.path()]] {
        let output = maeslant(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(out(&output), "");
        let report = err(&output);
        assert!(report.contains("did you mean `listen`?") && report.contains("bad.toml:3:11"), "{report}");
        assert!(report.ends_with("bad.toml: 2 errors\n") && !report.contains('\u{1b}'), "{report}");
    }
    let output = maeslant(&["check", file.path(), "--format", "json"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(err(&output), "");
    let report: serde_json::Value = serde_json::from_str(&out(&output)).expect("JSON");
    assert_eq!(report["errors"], 2);
    assert_eq!(report["problems"][0]["code"], "unknown-key");
}

#[test]
fn a_missing_file_is_one_clear_line() {
    for arguments in [["check", "/nowhere/at.toml"], ["serve", "--config=/nowhere/at.toml"]] {
        let output = maeslant(&arguments);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(err(&output), "error[unreadable]: cannot read /nowhere/at.toml: No such file or directory\n");
    }
}

#[test]
fn what_is_printed_can_be_checked_and_explained() {
    let defaults = out(&maeslant(&["check", "--print", "default"]));
    let file = Scratch::file("defaults.toml", &defaults);
    assert_eq!(maeslant(&["check", file.path()]).status.code(), Some(0));
    let schema: serde_json::Value =
        serde_json::from_str(&out(&maeslant(&["check", "--print", "schema"]))).expect("JSON");
    assert_eq!(schema["properties"]["resolver"]["properties"]["deadline"]["default"], "8s");
    assert!(out(&maeslant(&["check", "--explain", "resolver.deadline"])).contains("\"100ms\" to \"1m\""));
    let output = maeslant(&["check", "--explain", "deadlin"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("did you mean `deadline`?"));
}

#[test]
fn completions_and_manual_pages_are_written() {
    for shell in ["bash", "fish", "zsh"] {
        assert!(out(&maeslant(&["completions", shell])).contains("maeslant"), "{shell}");
    }
    let dir = std::env::temp_dir().join(format!("maeslant-man-{}", std::process::id()));
    let output = maeslant(&["man", dir.to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    for page in ["maeslant.1", "maeslant-serve.1", "maeslant-check.1", "maeslant-completions.1", "maeslant-man.1"] {
        let text = std::fs::read_to_string(dir.join(page)).expect(page);
        assert!(text.contains(".SH SYNOPSIS") && text.contains("Exit codes"), "{page}:\n{text}");
    }
    std::fs::remove_dir_all(&dir).expect("removed");
}

#[test]
fn help_has_examples_and_exit_codes() {
    for arguments in [&["--help"][..], &["serve", "--help"], &["check", "--help"]] {
        let text = out(&maeslant(arguments));
        assert!(text.contains("Example") && text.contains("Exit codes:"), "{arguments:?}:\n{text}");
    }
    assert_eq!(maeslant(&[]).status.code(), Some(2));
    assert_eq!(maeslant(&["srve"]).status.code(), Some(2));
}

#[test]
fn asking_where_nobody_answers_says_how_to_be_answered() {
    let output = maeslant(&["ctl", "--socket", "/nonexistent/control", "status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("cannot ask /nonexistent/control") && err(&output).contains("control_socket"));
    assert_eq!(out(&output), "");
    assert_eq!(maeslant(&["ctl", "explain"]).status.code(), Some(2));
}
