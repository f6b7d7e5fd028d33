//! How much memory there is to grow into: what this process has beyond its plan, against what its control group and the
//! machine have left.

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::config::Settings;
use crate::net::priority::give_way;

/// It is looked at so often, by a thread of its own: some files of /proc are read for it, which takes up to half a
/// millisecond, and no query shall wait for that.
const LOOK: Duration = Duration::from_secs(1);
/// Octets that count as taken whatever is: where only some tens of MiB are left, a moment of others' needs or of our own is
/// enough to have the process killed. With the default marks and nothing unplanned, 28 MiB left are watched, 13 MiB are
/// guarded and 5 MiB close; with a GiB unplanned it is 142, 67 and 26 MiB.
const RESERVE: u64 = 256 << 20;
/// Octets of what is planned without a setting: the program, the table of servers, stacks, buffers of the sockets.
const FIXED: u64 = 48 << 20;
/// A limit of so many octets is none: what control groups of the first version say where there is none.
const UNLIMITED: u64 = 1 << 60;

/// The memory of the process, looked at for all shards.
#[derive(Debug)]
pub struct Headroom {
    planned: u64,
    /// What /proc and /sys are below.
    root: PathBuf,
    groups: Vec<Group>,
    /// The bits of the part that was found.
    part: AtomicU32,
}

/// A control group that this process is in, with a limit or without.
#[derive(Debug)]
struct Group {
    folder: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Version {
    One,
    Two,
}

impl Headroom {
    /// For a process that runs with these settings.
    pub fn of(settings: &Settings) -> Headroom {
        let planned = [settings.cache.memory, settings.limits_memory, settings.learned_memory, FIXED];
        Headroom::below(Path::new("/"), planned.into_iter().sum())
    }

    fn below(root: &Path, planned: u64) -> Headroom {
        let found = Headroom { planned, root: root.to_owned(), groups: groups(root), part: AtomicU32::new(0) };
        found.look();
        found
    }

    /// Looks again and again, until whoever holds the other end of `goes_on` is gone.
    pub fn watch(&self, goes_on: &Receiver<Infallible>) {
        give_way();
        while goes_on.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            self.look();
        }
    }

    /// The part of the memory it may have that it has, 0 to 1, when it was looked at last; 0 where the system does not say.
    /// What is planned does not count: a full cache at its cap is as it should be.
    pub fn part(&self) -> f32 {
        f32::from_bits(self.part.load(Ordering::Relaxed))
    }

    fn look(&self) {
        self.part.store(self.taken().unwrap_or(0.0).to_bits(), Ordering::Relaxed);
    }

    fn taken(&self) -> Option<f32> {
        let resident = field(&self.root.join("proc/self/status"), "VmRSS:")? << 10;
        let available = field(&self.root.join("proc/meminfo"), "MemAvailable:").map(|free| free << 10);
        let free = self.groups.iter().filter_map(Group::free).chain(available).min()?;
        let taken = resident.saturating_sub(self.planned) + RESERVE;
        Some(taken as f32 / (taken + free) as f32)
    }
}

impl Group {
    /// What is left in it. What the system would give up at once, files read or written, is not taken.
    fn free(&self) -> Option<u64> {
        let number = |name: &str| fs::read_to_string(self.folder.join(name)).ok()?.trim().parse::<u64>().ok();
        let (limit, used, files) = match self.version {
            // Beyond `high` everything in it is slowed down until it is unusable.
            Version::Two => (
                number("memory.max").into_iter().chain(number("memory.high")).min()?,
                number("memory.current")?,
                ["inactive_file ", "active_file "],
            ),
            Version::One => (
                number("memory.limit_in_bytes").filter(|limit| *limit < UNLIMITED)?,
                number("memory.usage_in_bytes")?,
                ["total_inactive_file ", "total_active_file "],
            ),
        };
        let stat = self.folder.join("memory.stat");
        let files: u64 = files.iter().filter_map(|key| field(&stat, key)).sum();
        Some(limit.saturating_sub(used.saturating_sub(files)))
    }
}

/// The groups that this process is in, up to the root; in a container that may be as far as can be seen.
fn groups(root: &Path) -> Vec<Group> {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut found = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(kinds), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let (version, mounts): (_, &[&str]) = match kinds {
            "" => (Version::Two, &["sys/fs/cgroup", "sys/fs/cgroup/unified"]),
            _ if kinds.split(',').any(|kind| kind == "memory") => (Version::One, &["sys/fs/cgroup/memory"]),
            _ => continue,
        };
        for mount in mounts {
            let path = Path::new(path.trim_start_matches('/'));
            let folders = path.ancestors().map(|part| root.join(mount).join(part));
            found.extend(folders.map(|folder| Group { folder, version }));
        }
    }
    let limits = |group: &Group| match group.version {
        Version::Two => group.folder.join("memory.current").exists(),
        Version::One => group.folder.join("memory.limit_in_bytes").exists(),
    };
    found.retain(limits);
    found
}

/// The number after `key` at the beginning of a line.
fn field(file: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A machine as /proc and /sys show it.
    struct Machine(PathBuf);

    impl Machine {
        fn new(name: &str, resident: u64, available: u64) -> Machine {
            let machine = Machine(std::env::temp_dir().join(format!("maeslant-{name}-{}", std::process::id())));
            machine.write("proc/self/status", &format!("Name:\tx\nVmRSS:\t  {} kB\nThreads:\t1\n", resident >> 10));
            machine.write("proc/meminfo", &format!("MemTotal: 99 kB\nMemAvailable:   {} kB\n", available >> 10));
            machine
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }

        fn part(&self, planned: u64) -> f32 {
            Headroom::below(&self.0, planned).part()
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_full_cache_at_its_cap_is_no_pressure_and_what_grows_beyond_is() {
        let part = |resident: u64, available: u64| {
            Machine::new("room-of-the-machine", resident * MIB, available * MIB).part(8192 * MIB)
        };
        assert!(part(8192, 2048) < 0.2, "all that was planned, on a machine of 10 GiB");
        assert!(part(100, 64) < 0.9, "it has only begun");
        assert!(part(8192, 20) > 0.9, "the machine is full, whoever filled it");
        assert!(part(12_288, 300) > 0.9, "4 GiB more than planned, and hardly any left");
        assert!(part(12_288, 30_000) < 0.5, "the same with room");
        assert!(part(8192, 0) >= 0.98);
    }

    #[test]
    fn the_tightest_group_counts_and_files_in_it_do_not() {
        for (groups, base, names, stat) in [
            ("0::/a/b\n", "sys/fs/cgroup/", ["memory.max", "memory.current"], ""),
            (
                "9:cpu:/x\n4:memory:/a/b\n",
                "sys/fs/cgroup/memory/",
                ["memory.limit_in_bytes", "memory.usage_in_bytes"],
                "total_",
            ),
        ] {
            let machine = Machine::new("room-of-groups", 900 * MIB, 9_000 * MIB);
            machine.write("proc/self/cgroup", groups);
            let group = |path: &str, limit: &str, used: u64, files: u64| {
                machine.write(&format!("{base}{path}{}", names[0]), limit);
                machine.write(&format!("{base}{path}{}", names[1]), &format!("{used}\n"));
                let stat = format!("anon 1\n{stat}inactive_file {files}\n{stat}active_file {files}\n");
                machine.write(&format!("{base}{path}memory.stat"), &stat);
            };
            let none = if stat.is_empty() { "max\n" } else { "9223372036854771712\n" };
            group("a/b/", none, 900 * MIB, 0);
            group("a/", none, 900 * MIB, 0);
            assert!(machine.part(900 * MIB) < 0.1, "no group has a limit: {groups}");
            group("a/", &format!("{}\n", 1000 * MIB), 990 * MIB, 0);
            assert!(machine.part(900 * MIB) > 0.9, "the one around it has: {groups}");
            group("a/", &format!("{}\n", 1000 * MIB), 990 * MIB, 200 * MIB);
            assert!(machine.part(900 * MIB) < 0.9, "most of that are files: {groups}");
        }
    }

    #[test]
    fn it_says_what_it_saw_last_and_nothing_where_the_system_does_not() {
        let machine = Machine::new("room-in-time", 900 * MIB, 9_000 * MIB);
        let room = Headroom::below(&machine.0, 900 * MIB);
        machine.write("proc/meminfo", "MemAvailable: 1 kB\n");
        assert!(room.part() < 0.1, "whoever asks does not wait for the system");
        room.look();
        assert!(room.part() > 0.9);
        machine.write("proc/meminfo", "nothing\n");
        room.look();
        assert_eq!(room.part().to_bits(), 0);
    }
}
