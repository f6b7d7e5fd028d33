//! Octets a cached answer: how much each resolver grows with names of one address each, the first many left out, so that
//! what it needs once does not count. `benches/peers/run memory` runs it as it must be run.

#[path = "../../../tests/peers/programs.rs"]
mod peers;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use peers::authority::Authority;
use peers::internet::{Host, Internet, Zone, package_file};
use peers::process::{fresh_dir, output_of, require_own_network};
use peers::resolver::{Resolver, Resolving};

/// A root and one zone in which every name has one address.
fn internet(dir: &Path) -> Internet {
    let write = |name: &str, text: String| -> PathBuf {
        let file = dir.join(name);
        fs::write(&file, text).expect("a file can be written");
        file
    };
    let soa =
        |origin: &str| format!("$ORIGIN {origin}\n$TTL 86400\n@ SOA a.root. admin.root. 1 7200 3600 1209600 300\n");
    let root = soa(".") + ". NS a.root.\na.root. A 198.18.0.1\nexample. NS ns.example.\nns.example. A 198.18.0.2\n";
    let example = soa("example.") + "@ NS ns\nns A 198.18.0.2\n*.names A 192.0.2.1\n";
    let hints = ". 86400 IN NS a.root.\na.root. 86400 IN A 198.18.0.1\n".to_owned();
    let host = |last: u8, origin: &str, file: PathBuf| Host {
        addresses: vec![[198, 18, 0, last].into()],
        zones: vec![Zone { origin: origin.to_owned(), file }],
    };
    let hosts = vec![host(1, ".", write("root.zone", root)), host(2, "example.", write("example.zone", example))];
    Internet { hosts, port: 53, root_hints: write("root.hints", hints) }
}

/// A file that asks for the names with these numbers.
fn questions(dir: &Path, name: &str, numbers: std::ops::Range<usize>) -> PathBuf {
    let text = numbers.fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "host{number:07}.names.example. A");
        text
    });
    let file = dir.join(name);
    fs::write(&file, text).expect("questions can be written");
    file
}

/// Asks everything in `file` once; every question must have its answer.
fn ask(resolving: &Resolving, file: &Path, count: usize) {
    let mut generator = Command::new("dnsperf");
    generator.args([
        "-s",
        &resolving.v6.ip().to_string(),
        "-p",
        &resolving.v6.port().to_string(),
        "-n",
        "1",
        "-q",
        "100",
    ]);
    let text =
        output_of(generator.arg("-d").arg(file), Duration::from_secs(600)).unwrap_or_else(|error| panic!("{error}"));
    let load = peers::clients::read_dnsperf(&text);
    assert_eq!(load.count("NOERROR"), count, "{}: {load:?}", resolving.which.name());
}

fn main() {
    let smoke = std::env::args().any(|argument| argument == "--smoke");
    let (first, second) = if smoke { (1_000, 3_000) } else { (100_000, 400_000) };
    let named = |resolver: &Resolver| std::env::args().any(|argument| argument == resolver.name());
    let mut chosen: Vec<Resolver> = Resolver::ALL.into_iter().filter(named).collect();
    let all = chosen.is_empty();
    if all {
        chosen = Resolver::ALL.to_vec();
    }
    require_own_network();
    let dir = fresh_dir("memory");
    let internet = internet(&dir);
    let _serving = Authority::Nsd.serve(&internet);
    let (warm, more) = (questions(&dir, "first", 0..first), questions(&dir, "second", first..second));
    let mut table = String::from(
        "| resolver | resident after the first | resident at the end | octets a name |\n|---|---:|---:|---:|\n",
    );
    for &resolver in &chosen {
        let resolving = resolver.start(&internet, &[]);
        ask(&resolving, &warm, first);
        let before = resolving.running.resident();
        ask(&resolving, &more, second - first);
        let after = resolving.running.resident();
        let _ = writeln!(
            table,
            "| {} {} | {:.1} MiB | {:.1} MiB | {} |",
            resolver.name(),
            resolver.version(),
            before as f64 / 1_048_576.0,
            after as f64 / 1_048_576.0,
            after.saturating_sub(before) / (second - first) as u64,
        );
    }
    let report = format!(
        "{}\n\n{second} names such as `host0123456.names.example.`, one address each, in caches of 512 MiB; resident memory \
         after the first {first} and after all of them.\n\n{table}",
        peers::results::circumstances(),
    );
    println!("\n{report}");
    if all && !smoke {
        peers::results::replace_section(&package_file("benches/peers/RESULTS.md"), "Memory", &report);
        println!("written to benches/peers/RESULTS.md");
    }
}
