//! Results of measurements, kept in one Markdown file with the circumstances they were made in.

use std::fs;
use std::path::Path;
use std::process::Command;

/// When and on what a measurement was made, in one line.
pub fn circumstances() -> String {
    let date = Command::new("date").args(["-u", "+%F"]).output();
    let date = date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel: Vec<&str> = kernel.trim().split(['.', '-']).take(2).collect();
    format!("{date}, {cores} cores ({}), Linux {}.", model.unwrap_or("unknown").trim(), kernel.join("."))
}

/// Puts `body` under `## title` in `file`, in place of what stood there.
pub fn replace_section(file: &Path, title: &str, body: &str) {
    let old = fs::read_to_string(file).unwrap_or_default();
    let mut text = String::new();
    let mut sections = old.split("\n## ");
    let head = sections.next().unwrap_or_default().trim_end();
    text.push_str(if head.is_empty() { "# Side by side with other resolvers" } else { head });
    text.push('\n');
    let mut placed = false;
    let add = |text: &mut String, title: &str, body: &str| {
        text.push_str(&format!("\n## {title}\n\n{}\n", body.trim()));
    };
    for section in sections {
        let (name, rest) = section.split_once('\n').unwrap_or((section, ""));
        if name.trim() == title {
            add(&mut text, title, body);
            placed = true;
        } else {
            add(&mut text, name.trim(), rest);
        }
    }
    if !placed {
        add(&mut text, title, body);
    }
    fs::write(file, text).expect("the results can be written");
}
