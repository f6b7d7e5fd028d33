//! What a process uses: CPU time and memory, from /proc.

use std::fs;
use std::time::Duration;

/// Ticks a second in which Linux tells CPU time to programs (USER_HZ).
const TICKS: u64 = 100;
/// Octets of a page as /proc/PID/statm counts them on the machines Linux runs servers on.
const PAGE: u64 = 4096;

/// Whose use is measured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Process {
    /// Other processes and their threads, in all.
    Others(Vec<u32>),
    /// The threads of this process whose names begin so; memory is that of the whole process.
    Threads(Vec<&'static str>),
}

/// Use so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Use {
    pub cpu: Duration,
    /// Resident memory in octets.
    pub memory: u64,
}

impl Process {
    /// What it used so far; none where one is gone.
    pub fn read(&self) -> Option<Use> {
        match self {
            Process::Others(pids) => {
                let mut sum = Use::default();
                for pid in pids {
                    sum.cpu += ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
                    sum.memory += memory(&format!("/proc/{pid}/statm"))?;
                }
                Some(sum)
            }
            Process::Threads(names) => {
                let mut cpu = Duration::ZERO;
                for entry in fs::read_dir("/proc/self/task").ok()?.flatten() {
                    let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
                    let name = stat.split_once('(').and_then(|(_, rest)| Some(rest.rsplit_once(')')?.0));
                    if name.is_some_and(|name| names.iter().any(|start| name.starts_with(start))) {
                        cpu += ticks(&stat).unwrap_or_default();
                    }
                }
                Some(Use { cpu, memory: memory("/proc/self/statm")? })
            }
        }
    }
}

/// User and system time: the 14th and 15th field of a stat file, counted past the name in brackets.
fn ticks(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * (1000 / TICKS)))
}

fn memory(path: &str) -> Option<u64> {
    let resident: u64 = fs::read_to_string(path).ok()?.split_whitespace().nth(1)?.parse().ok()?;
    Some(resident * PAGE)
}

/// What a report says of the machine it was made on.
pub fn machine() -> Vec<(String, String)> {
    let first = |path: &str, key: &str| {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':').map_or(line, |(_, value)| value).trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let found = [
        ("system", fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|v| format!("Linux {}", v.trim()))),
        ("processor", first("/proc/cpuinfo", "model name").map(|name| format!("{name}, {cores} cores"))),
        ("memory", first("/proc/meminfo", "MemTotal")),
        (
            "load before",
            fs::read_to_string("/proc/loadavg").ok().map(|v| v.split(' ').take(3).collect::<Vec<_>>().join(" ")),
        ),
    ];
    found.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_stands_behind_any_name() {
        let stat = "12 (a ) (b) S 1 1 1 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 5 1000 100";
        assert_eq!(ticks(stat), Some(Duration::from_secs(3)));
    }

    #[test]
    fn this_process_uses_memory() {
        let used = Process::Others(vec![std::process::id()]).read().unwrap();
        assert!(used.memory > 1 << 20);
        assert!(Process::Others(vec![u32::MAX]).read().is_none());
        assert!(!machine().is_empty());
    }
}
