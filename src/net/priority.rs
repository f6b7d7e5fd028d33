//! How much of a processor a thread may have beside others.

/// How much a thread in the background gives way: a tenth of what others get, where they want all.
const NICE: libc::c_int = 10;

/// Lets the calling thread give way to all others of this machine that have work to do.
pub fn give_way() {
    // SAFETY: takes numbers only. Linux applies it to the calling thread; where it is refused, nothing changes.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}
