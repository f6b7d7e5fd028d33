//! How many descriptors this process may open, and which of its threads go first.

/// Raises the soft limit of open descriptors to the hard one, and returns what holds then.
/// 1,024, the traditional soft limit, where the kernel does not say.
pub fn raise_descriptors() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for an rlimit.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return 1024;
    }
    if limit.rlim_cur < limit.rlim_max {
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
        // SAFETY: `raised` is a valid rlimit.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } == 0 {
            return raised.rlim_cur;
        }
    }
    limit.rlim_cur
}

/// Puts the calling thread before others where this process may (CAP_SYS_NICE): for one that measures, and must not wait
/// for what it measures.
pub fn prefer_this_thread() {
    // SAFETY: no pointers are passed; 0 is the calling thread. Without the right it stays as it was.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -10) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_once_and_then_stays() {
        let first = raise_descriptors();
        assert!(first > 0);
        assert_eq!(raise_descriptors(), first);
    }
}
