//! Memory that will be needed soon, asked for early: it comes while other things are done. The one `unsafe` outside of
//! [`net`](crate::net): the pure modules must be able to ask, and asking changes nothing.

/// Octets that the processor fetches at once.
const LINE: usize = 64;

/// Has all lines of a value fetched, without waiting for them. Large values are better asked for in parts.
#[inline(always)]
pub fn soon<T>(value: &T) {
    let start: *const T = value;
    for offset in (0..size_of::<T>()).step_by(LINE) {
        line(start.cast::<i8>().wrapping_add(offset));
    }
}

#[inline(always)]
fn line(place: *const i8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch neither reads nor writes as far as the program can tell, and never faults, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(place);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
