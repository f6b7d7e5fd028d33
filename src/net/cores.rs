//! Which cores this process may use, and a thread that stays on one of them.

use std::io;
use std::mem;

/// The cores that the calling thread may use, in order; none where the kernel does not say (beyond 1,024 cores).
pub fn allowed() -> Vec<usize> {
    // SAFETY: zeros are a valid, empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `set` has room for as many octets as are told; 0 is the calling thread.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) } != 0 {
        return Vec::new();
    }
    // SAFETY: every core is below CPU_SETSIZE, the number of bits of the set.
    (0..libc::CPU_SETSIZE as usize).filter(|&core| unsafe { libc::CPU_ISSET(core, &set) }).collect()
}

/// Has the calling thread run on `core` only, and memory that it touches first come from there.
pub fn stay_on(core: usize) -> io::Result<()> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: zeros are a valid, empty set; `core` is below CPU_SETSIZE; `set` has as many octets as are told.
    let done = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stays_where_it_is_told() {
        let before = allowed();
        assert!(!before.is_empty());
        for core in before.iter().copied() {
            let there = std::thread::spawn(move || stay_on(core).map(|()| allowed())).join().expect("no panic");
            assert_eq!(there.expect("an allowed core"), [core]);
        }
        assert_eq!(allowed(), before, "others are left alone");
        assert!(stay_on(usize::MAX).is_err());
    }
}
