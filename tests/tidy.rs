//! The law of the house, as `src/lib.rs` and `src/ARCHITECTURE.md` state it: the order of the modules, which of them are
//! pure, where `unsafe` may stand, how files begin. Sizes are printed, not judged.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Where the system is told how memory is to lie.
const MEMORY: &str = "src/memory.rs";
/// The last pure group: it and all above it.
const LAST_PURE: &str = "engine";

/// What pure modules do not name (design: pure below, I/O above). Address types are fine.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::thread",
    "std::process",
    "std::env",
    "std::io::stdin",
    "Instant",
    "SystemTime",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "ToSocketAddrs",
    "tokio",
    "getrandom",
    "libc",
    "socket2",
];

/// Stops at which a file becomes a folder, and a function two.
const LONG_FILE: usize = 800;
const LONG_FUNCTION: usize = 70;

/// One source file, its tests and comments still inside.
struct Source {
    /// Relative to the package: `src/wire/name.rs`.
    path: String,
    text: String,
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every `.rs` file below these folders.
fn sources(folders: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    for folder in folders {
        walk(&package().join(folder), &mut found);
    }
    found.sort();
    let read = |path: PathBuf| Source {
        text: std::fs::read_to_string(&path).expect("a source file is readable"),
        path: path.strip_prefix(package()).expect("inside the package").to_string_lossy().into_owned(),
    };
    found.into_iter().map(read).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            walk(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The text with comments, strings and character literals blanked, lines and columns kept.
fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = skip(bytes, at);
        for byte in &mut out[at..end.max(at)] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = if end > at { end } else { at + 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the comment, string or character that begins at `at` ends; `at` if none begins here.
fn skip(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let find = |needle: &[u8], from: usize| {
        rest[from..].windows(needle.len()).position(|window| window == needle).map_or(bytes.len(), |p| at + from + p)
    };
    let word_before = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest.starts_with(b"//") {
        return find(b"\n", 0);
    }
    if rest.starts_with(b"/*") {
        return (find(b"*/", 2) + 2).min(bytes.len());
    }
    if rest[0] == b'r' && !word_before {
        let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
        if rest.get(1 + hashes) == Some(&b'"') {
            let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
            return (find(&close, 2 + hashes) + close.len()).min(bytes.len());
        }
    }
    match rest[0] {
        b'"' => quoted(bytes, at, b'"'),
        // A lifetime has no closing quote where a character would.
        b'\'' if rest.get(1) == Some(&b'\\') || rest.get(2) == Some(&b'\'') => quoted(bytes, at, b'\''),
        _ => at,
    }
}

fn quoted(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// True where `word` stands in `line` as a whole word.
fn names(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

/// The groups of `pub mod` in lib.rs, lowest first, or what is wrong with their form.
fn groups(lib: &str) -> Result<Vec<Vec<String>>, String> {
    let mut groups: Vec<Vec<String>> = Vec::new();
    let (mut commented, mut open) = (false, false);
    for line in lib.lines().map(str::trim) {
        if line.starts_with("//!") || line.starts_with("#!") {
            continue;
        }
        if line.is_empty() {
            (commented, open) = (false, false);
        } else if line.starts_with("//") {
            commented = true;
        } else if let Some(module) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) {
            if !open && !commented {
                return Err(format!("the group of `{module}` has no comment that names it"));
            }
            if !open {
                groups.push(Vec::new());
            }
            open = true;
            if let Some(group) = groups.last_mut() {
                group.push(module.to_string());
            }
        } else if line.contains("mod ") {
            return Err(format!("`{line}` is no `pub mod NAME;`"));
        }
    }
    Ok(groups)
}

/// The module a file belongs to; none for lib.rs, and for main.rs and its `cli`, which stand above all modules.
fn module_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let module = inside.split('/').next()?;
    let module = module.strip_suffix(".rs").unwrap_or(module);
    (!["lib", "main", "cli"].contains(&module)).then_some(module)
}

/// Every use of a module that is not above the user's own group.
fn order_offences(groups: &[Vec<String>], files: &[Source]) -> Vec<String> {
    let level: HashMap<&str, usize> = groups
        .iter()
        .enumerate()
        .flat_map(|(at, group)| group.iter().map(move |module| (module.as_str(), at)))
        .collect();
    let mut offences = Vec::new();
    for file in files {
        let Some(module) = module_of(&file.path) else { continue };
        let Some(own) = level.get(module) else {
            offences.push(format!("{}: `{module}` is not declared in src/lib.rs", file.path));
            continue;
        };
        for (number, used) in crate_paths(&code_only(&file.text)) {
            let allowed = used == module || level.get(used.as_str()).is_some_and(|theirs| theirs < own);
            if !allowed {
                offences.push(format!("{}:{number}: `{module}` must not know `crate::{used}`", file.path));
            }
        }
    }
    offences
}

/// The first segment of every `crate::…` path, `crate::{a, b}` included, with its line.
fn crate_paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let number = code[..at].lines().count().max(1);
        let rest = &code[at + "crate::".len()..];
        let identifier = |text: &str| -> String {
            text.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
        };
        match rest.strip_prefix('{') {
            None => found.push((number, identifier(rest))),
            Some(list) => found.extend(list_heads(list).map(|head| (number, identifier(head)))),
        }
    }
    found
}

/// The entries of a `{a::b, c::{d, e}}` list, at its own depth.
fn list_heads(list: &str) -> impl Iterator<Item = &str> {
    let (mut depth, mut end) = (0, list.len());
    let mut cuts = vec![0];
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                end = at;
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => cuts.push(at + 1),
            _ => {}
        }
    }
    cuts.into_iter().map(move |at| &list[at..end]).filter(|head| !head.trim().is_empty())
}

/// Everything impure in a pure module, outside its unit tests.
fn pure_offences(groups: &[Vec<String>], files: &[Source]) -> Vec<String> {
    let pure: Vec<&String> = match groups.iter().position(|group| group.iter().any(|module| module == LAST_PURE)) {
        Some(last) => groups[..=last].iter().flatten().collect(),
        None => return vec![format!("src/lib.rs declares no `{LAST_PURE}`")],
    };
    let mut offences = Vec::new();
    for file in files {
        if !module_of(&file.path).is_some_and(|module| pure.iter().any(|name| *name == module)) {
            continue;
        }
        for (number, line) in before_tests(&code_only(&file.text)).lines().enumerate() {
            // A type of that name is no clock.
            if line.contains("type Instant") {
                continue;
            }
            // How memory lies changes nothing that is computed in it.
            let lets = |word: &str| file.path == MEMORY && word == "libc";
            for word in IMPURE.iter().filter(|word| names(line, word) && !lets(word)) {
                offences.push(format!("{}:{}: a pure module names `{word}`", file.path, number + 1));
            }
        }
    }
    offences
}

/// The file up to its unit tests, which stand last.
fn before_tests(code: &str) -> &str {
    code.find("#[cfg(test)]\nmod ").map_or(code, |at| &code[..at])
}

fn first_line_offences(files: &[Source]) -> Vec<String> {
    let wrong = files.iter().filter(|file| !file.text.starts_with("//! "));
    wrong.map(|file| format!("{}: does not begin with `//! `", file.path)).collect()
}

fn unsafe_offences(files: &[Source]) -> Vec<String> {
    let mut offences = Vec::new();
    let may = |file: &&Source| file.path.starts_with("src/net/") || file.path == MEMORY;
    for file in files.iter().filter(|file| !may(file)) {
        for (number, line) in code_only(&file.text).lines().enumerate() {
            if names(line, "unsafe") {
                offences.push(format!("{}:{}: `unsafe` outside src/net and src/memory.rs", file.path, number + 1));
            }
        }
    }
    offences
}

/// Tests that are switched off without a word, and tests that wait for the clock on the wall.
fn test_offences(files: &[Source]) -> Vec<String> {
    let mut offences = Vec::new();
    for file in files {
        let code = code_only(&file.text);
        let tests = if file.path.starts_with("tests/") { 0 } else { before_tests(&code).lines().count() };
        for (number, line) in code.lines().enumerate() {
            let place = format!("{}:{}", file.path, number + 1);
            if line.replace(' ', "").contains("#[ignore]") {
                offences.push(format!("{place}: `ignore` without a reason"));
            }
            let sleeps = names(line, "sleep") || names(line, "sleep_ms") || names(line, "park_timeout");
            if number >= tests && sleeps {
                offences.push(format!("{place}: a test sleeps; wait for an event with a deadline"));
            }
        }
    }
    offences
}

/// Files and functions that have grown, for the eye.
fn sizes(files: &[Source]) -> Vec<String> {
    let mut long = Vec::new();
    for file in files {
        let lines = file.text.lines().count();
        if lines > LONG_FILE {
            long.push(format!("{}: {lines} lines", file.path));
        }
        for (number, name, length) in functions(&code_only(&file.text)) {
            if length > LONG_FUNCTION {
                long.push(format!("{}:{number}: fn {name} has {length} lines", file.path));
            }
        }
    }
    long
}

/// Line, name and length of every function, by its indentation as rustfmt sets it.
fn functions(code: &str) -> Vec<(usize, String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(position) = line.find("fn ").filter(|_| names(line, "fn")) else { continue };
        let indent = line.len() - line.trim_start().len();
        let closes = |end: &&str| end.len() - end.trim_start().len() == indent && end.trim_start().starts_with('}');
        if let Some(length) = lines[at..].iter().take(1_000).position(closes) {
            let name = line[position + 3..].split(['(', '<']).next().unwrap_or_default();
            found.push((at + 1, name.to_string(), length + 1));
        }
    }
    found
}

fn none(offences: &[String]) {
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

fn declared() -> Vec<Vec<String>> {
    let lib = std::fs::read_to_string(package().join("src/lib.rs")).expect("src/lib.rs is readable");
    groups(&lib).expect("src/lib.rs has groups")
}

#[test]
fn modules_use_only_groups_above_their_own() {
    // The command line is the binary's, above the whole library.
    let library: Vec<_> = sources(&["src"]).into_iter().filter(|source| !source.path.starts_with("src/cli/")).collect();
    none(&order_offences(&declared(), &library));
}

#[test]
fn the_engine_and_all_below_it_are_pure() {
    none(&pure_offences(&declared(), &sources(&["src"])));
}

#[test]
fn every_file_says_first_what_it_is() {
    none(&first_line_offences(&sources(&["src", "tests", "benches", "fuzz"])));
}

#[test]
fn unsafe_stands_where_the_machine_is_spoken_to() {
    none(&unsafe_offences(&sources(&["src", "tests", "benches"])));
}

#[test]
fn tests_do_not_sleep_and_are_not_switched_off_silently() {
    none(&test_offences(&sources(&["src", "tests"])));
}

#[test]
fn what_has_grown_is_printed() {
    for line in sizes(&sources(&["src", "tests"])) {
        println!("{line}");
    }
}

mod the_checks_can_fail {
    use super::*;

    const LIB: &str = "//! A house.\n\n// values\npub mod clock;\npub mod wire;\n\n// memory\npub mod cache;\n\n\
                       // the engine\npub mod engine;\n\n// the shell\npub mod net;\n";

    fn file(path: &str, text: &str) -> Vec<Source> {
        vec![Source { path: path.to_string(), text: text.to_string() }]
    }

    fn order(path: &str, text: &str) -> usize {
        order_offences(&groups(LIB).expect("groups"), &file(path, text)).len()
    }

    fn pure(path: &str, text: &str) -> usize {
        pure_offences(&groups(LIB).expect("groups"), &file(path, text)).len()
    }

    #[test]
    fn order_down_is_allowed_up_and_sideways_are_not() {
        assert_eq!(groups(LIB).expect("groups").len(), 4);
        assert_eq!(order("src/cache/mod.rs", "use crate::wire::Name;\nuse crate::cache::x;\n"), 0);
        assert_eq!(order("src/cache/mod.rs", "use crate::engine::Engine;\n"), 1);
        assert_eq!(order("src/clock.rs", "use crate::wire::Name;\n"), 1);
        assert_eq!(order("src/cache/deep/er.rs", "fn f() { crate::net::send() }\n"), 1);
        assert_eq!(order("src/cache/mod.rs", "use crate::{\n    clock::{Now, Moment},\n    engine,\n};\n"), 1);
        assert_eq!(order("src/nowhere.rs", ""), 1);
    }

    #[test]
    fn comments_and_strings_are_not_code() {
        assert_eq!(order("src/wire/mod.rs", "// crate::engine\n/* crate::net */ const A: &str = \"crate::net\";\n"), 0);
        assert_eq!(order("src/wire/mod.rs", "const A: &str = r#\"crate::net \" \"#; use crate::net;\n"), 1);
        assert_eq!(order("src/wire/mod.rs", "fn f<'a>(c: char) -> bool { c == '\"' }\nuse crate::net;\n"), 1);
    }

    #[test]
    fn groups_need_a_comment_each() {
        assert!(groups("// values\npub mod clock;\n\npub mod wire;\n").is_err());
        assert!(groups("// values\npub mod clock;\nmod hidden;\n").is_err());
    }

    #[test]
    fn purity_is_broken_by_clocks_sockets_and_tasks() {
        for line in [
            "use std::time::Instant;",
            "use std::time::{Duration, SystemTime};",
            "use std::net::UdpSocket;",
            "let x = std::fs::read(p);",
            "tokio::spawn(x);",
            "getrandom::fill(&mut seed);",
        ] {
            assert_eq!(pure("src/cache/mod.rs", line), 1, "{line}");
            assert_eq!(pure("src/net/mod.rs", line), 0, "{line}");
        }
        assert_eq!(pure("src/cache/mod.rs", "use std::net::{IpAddr, SocketAddr};\nuse std::time::Duration;"), 0);
        assert_eq!(pure("src/cache/mod.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n use std::fs;\n}"), 0);
    }

    #[test]
    fn first_lines_unsafe_and_sleep_are_seen() {
        assert_eq!(first_line_offences(&file("src/a.rs", "use std::fs;\n")).len(), 1);
        assert_eq!(first_line_offences(&file("src/a.rs", "//! What.\n")).len(), 0);
        let block = "fn f() { unsafe { g() } }";
        assert_eq!(unsafe_offences(&file("src/wire/a.rs", block)).len(), 1);
        assert_eq!(unsafe_offences(&file("src/net/a.rs", block)).len(), 0);
        assert_eq!(unsafe_offences(&file("src/memory.rs", block)).len(), 0);
        assert_eq!(unsafe_offences(&file("src/wire/a.rs", "#![forbid(unsafe_code)] // unsafe")).len(), 0);
        assert_eq!(test_offences(&file("tests/a.rs", "std::thread::sleep(x);")).len(), 1);
        assert_eq!(test_offences(&file("src/a.rs", "tokio::time::sleep(x);\n")).len(), 0);
        assert_eq!(test_offences(&file("src/a.rs", "#[cfg(test)]\nmod t {\n sleep(x);\n}")).len(), 1);
        assert_eq!(test_offences(&file("tests/a.rs", "#[ignore]\nfn t() {}")).len(), 1);
        assert_eq!(test_offences(&file("tests/a.rs", "#[ignore = \"needs root\"]\nfn t() {}")).len(), 0);
    }

    #[test]
    fn long_files_and_functions_are_printed() {
        let body = "    x();\n".repeat(LONG_FUNCTION);
        assert_eq!(sizes(&file("src/a.rs", &format!("fn f() {{\n{body}}}\n"))).len(), 1);
        assert_eq!(sizes(&file("src/a.rs", "fn f() {\n    x();\n}\n")).len(), 0);
        assert_eq!(sizes(&file("src/a.rs", &"\n".repeat(LONG_FILE + 1))).len(), 1);
    }
}
