//! Memory that is in the way of every query: large tables in large pages, and lines asked for before they are needed. The
//! one `unsafe` outside of [`net`](crate::net): the pure modules must be able to ask for both, and neither changes what
//! they compute.

/// A table smaller than this, which is a large page, stays in small ones.
const LARGE: usize = 2 << 20;

/// A table of `count` values, whose memory is touched now. Where it is large it lies in large pages, if the system has any to
/// give: looking up a place in one of thousands of small pages costs more than the place itself, above all in virtual
/// machines.
pub fn table<T>(count: usize, make: impl FnMut() -> T) -> Box<[T]> {
    let mut table: Vec<T> = Vec::with_capacity(count);
    let room = table.spare_capacity_mut();
    if size_of_val(room) >= LARGE {
        in_large_pages(room.as_mut_ptr().cast(), size_of_val(room));
    }
    table.resize_with(count, make);
    table.into_boxed_slice()
}

/// Asks for large pages in `octets` of memory from `start`, none of which has been touched.
fn in_large_pages(start: *mut u8, octets: usize) {
    #[cfg(target_os = "linux")]
    {
        let skipped = start.align_offset(PAGE);
        let length = octets.saturating_sub(skipped) / PAGE * PAGE;
        // SAFETY: the range lies within memory that the caller has borrowed for writing, and the advice changes neither what
        // is in it nor how it may be used. Where it is not taken, nothing happens.
        let _ = unsafe { libc::madvise(start.wrapping_add(skipped).cast(), length, libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, octets);
}

/// Octets of a small page, or several.
const PAGE: usize = 4096;

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
