//! A network of its own for a run: a loopback interface and nothing else, so that nothing can leave it.

use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::{fs, io};

use maeslant::net::child::end_with_this_thread;

use super::fail;

/// The ranges for benchmarks (RFC 2544, RFC 5180) and for private use (RFC 4193) belong to the network's one host. Servers
/// get addresses there, because some resolvers reject loopback addresses as glue; IPv6 clients, because loopback has one
/// address only. Sending from any of these needs no address on the interface in IPv4, and in IPv6 leave to do so.
const NETWORK: &str = "ip link set lo up && ip route add local 198.18.0.0/15 dev lo && \
                       { ip -6 route add local 2001:2::/48 dev lo; ip -6 route add local fd00::/64 dev lo; \
                       echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind; } 2>/dev/null; exec \"$@\"";

/// Starts this command again inside, with `--inside`, and gives its exit code.
pub fn enter() -> ExitCode {
    let Ok(own) = std::env::current_exe() else { return fail("this program's file is not to be found", 1) };
    let mut command = Command::new("unshare");
    command.args(["--net", "--pid", "--fork", "--mount-proc", "--kill-child", "--", "sh", "-c", NETWORK, "sh"]);
    command.arg(own).args(std::env::args_os().skip(1)).arg("--inside");
    match end_with_this_thread(&mut command).spawn().and_then(attend) {
        Ok(status) => match status.code() {
            Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
            None => ExitCode::FAILURE,
        },
        Err(error) => fail(&format!("cannot make a network of its own (needs root, unshare and ip): {error}"), 1),
    }
}

/// Waits for the end. Signals that end a run are passed on: the run inside has the report to write.
fn attend(mut unshare: Child) -> io::Result<ExitStatus> {
    let pid = unshare.id();
    loop {
        let mut ended = None;
        super::run::wait(|| {
            ended = unshare.try_wait().transpose();
            ended.is_none()
        })?;
        if let Some(ended) = ended {
            return ended;
        }
        // unshare itself must live, or all ends at once: its child is meant. Told twice, by the terminal too, is no harm.
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        Command::new("kill").arg("-INT").args(children.split_whitespace()).stderr(Stdio::null()).status()?;
    }
}
