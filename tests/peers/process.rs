//! Programs of others as children of the test: started in the foreground, awaited, stopped by their id.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long a program may take until it serves, and until it is gone after SIGTERM.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running program; it ends with this value.
pub struct Running {
    pub name: String,
    pid: u32,
    /// Its end, once.
    ended: Receiver<io::Result<ExitStatus>>,
    status: Option<ExitStatus>,
    dir: PathBuf,
    log: PathBuf,
}

impl Running {
    /// Starts `command` in the background, its output in `DIR/log`. The program must stay in the foreground.
    pub fn start(name: &str, dir: &Path, command: &mut Command) -> Running {
        let log = dir.join("log");
        let out = File::create(&log).expect("the log can be created");
        let err = out.try_clone().expect("the log can be shared");
        let mut child = command
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        let pid = child.id();
        let (tell, ended) = channel();
        std::thread::spawn(move || tell.send(child.wait()));
        Running { name: name.to_owned(), pid, ended, status: None, dir: dir.to_owned(), log }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The directory with its files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The last lines of what it has written.
    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Waits until `ready` says yes; fails with the program's own words if it ends or takes too long.
    pub fn wait_until(&mut self, what: &str, mut ready: impl FnMut(&Running) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !ready(self) {
            // Between two looks: its end, or a moment.
            match self.ended.recv_timeout(Duration::from_millis(20)) {
                Err(RecvTimeoutError::Timeout) => {}
                end => panic!("{} ended ({end:?}) before it was {what}:\n{}", self.name, self.last_words()),
            }
            assert!(Instant::now() < deadline, "{} was not {what} in {PATIENCE:?}:\n{}", self.name, self.last_words());
        }
    }

    /// Nanoseconds of CPU time of all its threads since its start, as the kernel accounts them.
    ///
    /// Exact where the kernel keeps run times for a thread (`/proc/PID/task/TID/schedstat`).
    pub fn cpu_nanos(&self) -> u64 {
        let tasks = format!("/proc/{}/task", self.pid());
        let Ok(tasks) = fs::read_dir(tasks) else { return 0 };
        tasks
            .flatten()
            .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
            .filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok())
            .sum()
    }

    /// Resident memory in octets.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        kib.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
    }

    /// Asks it to end by SIGTERM and waits; returns its exit code, none if it had to be killed.
    pub fn stop(&mut self) -> Option<i32> {
        for signal in ["-TERM", "-KILL"] {
            if self.status.is_some() {
                break;
            }
            let _ = Command::new("kill").args([signal, &self.pid.to_string()]).stderr(Stdio::null()).status();
            self.status = self.ended.recv_timeout(PATIENCE).ok().and_then(Result::ok);
        }
        self.status.and_then(|status| status.code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A fresh, empty directory for one program's files, under the target directory.
pub fn fresh_dir(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers").join(name);
    match fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("cannot clear {}: {error}", dir.display()),
        _ => {}
    }
    fs::create_dir_all(&dir).expect("a directory under the target directory can be made");
    dir
}

/// Runs a command to its end, with a deadline; returns its standard output.
pub fn output_of(command: &mut Command, patience: Duration) -> Result<String, String> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start {command:?}: {error}"))?;
    let pid = child.id().to_string();
    let (tell, ended) = channel();
    std::thread::spawn(move || tell.send(child.wait_with_output()));
    match ended.recv_timeout(patience) {
        Ok(Ok(output)) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let words = String::from_utf8_lossy(&output.stderr);
            if output.status.success() {
                Ok(text)
            } else {
                Err(format!("{command:?}: {}\n{text}{words}", output.status))
            }
        }
        Ok(Err(error)) => Err(format!("{command:?}: {error}")),
        Err(_) => {
            let _ = Command::new("kill").args(["-KILL", &pid]).status();
            Err(format!("{command:?} took more than {patience:?}"))
        }
    }
}

/// Fails unless this process has a network namespace of its own: a loopback interface that is up, and no other.
///
/// Servers take port 53 on loopback addresses here, and nothing may leave the machine.
pub fn require_own_network() {
    let text = fs::read_to_string("/proc/net/dev").expect("the kernel lists its network interfaces");
    let others: Vec<&str> = text
        .lines()
        .skip(2)
        .filter_map(|line| line.split(':').next())
        .map(str::trim)
        .filter(|name| *name != "lo")
        .collect();
    assert!(
        others.is_empty(),
        "this needs a network namespace of its own, but here are {others:?}: run it by tests/peers/run"
    );
}
