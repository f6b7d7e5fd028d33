//! Files and folders that belong to a process for as long as it lives.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Claims an open file or folder for this process (flock(2)) until it is closed, which the kernel does however the
/// process ends; false where another open file has it. It holds across namespaces, and children do not inherit it.
pub fn claim(file: &File) -> io::Result<bool> {
    // SAFETY: flock takes an open descriptor and no pointers.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        error => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_lasts_as_long_as_the_file_is_open() {
        let path = std::env::temp_dir().join(format!("maeslant-claim-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let (one, other) = (File::open(&path).unwrap(), File::open(&path).unwrap());
        assert!(claim(&one).unwrap());
        assert!(!claim(&other).unwrap());
        drop(one);
        assert!(claim(&other).unwrap());
        std::fs::remove_dir(&path).unwrap();
    }
}
