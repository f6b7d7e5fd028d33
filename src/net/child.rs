//! Children that do not outlive their parent.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Has the kernel kill (SIGKILL) what `command` starts when the thread that starts it ends, however that ends.
pub fn end_with_this_thread(command: &mut Command) -> &mut Command {
    let parent = std::process::id();
    let bind = move || {
        // SAFETY: PR_SET_PDEATHSIG takes a signal's number and no pointers.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // Gone already, before the kernel was told: nobody would end this one.
        if std::os::unix::process::parent_id() == parent {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::ESRCH))
        }
    };
    // SAFETY: between fork and exec `bind` makes two system calls, and neither allocates nor takes a lock.
    unsafe { command.pre_exec(bind) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    #[test]
    fn a_child_ends_with_the_thread_that_started_it() {
        let start = || {
            let mut command = Command::new("sleep");
            end_with_this_thread(command.arg("600").stdin(Stdio::null())).spawn().expect("sleep is everywhere")
        };
        let mut child = std::thread::spawn(start).join().expect("it spawned");
        let status = child.wait().expect("it ended");
        assert!(std::os::unix::process::ExitStatusExt::signal(&status) == Some(libc::SIGKILL), "{status}");
    }
}
