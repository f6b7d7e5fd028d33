//! Memory that is free goes back to the system.

/// Gives back what this process has freed. glibc keeps most of it for later use where threads with heaps of their own freed
/// it; elsewhere nothing happens.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number only, and may be called by any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
