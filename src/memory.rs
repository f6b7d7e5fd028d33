//! Memory that is in the way of every query: large tables in large pages, and lines asked for before they are needed. The
//! one `unsafe` outside of [`net`](crate::net): the pure modules must be able to ask for both, and neither changes what
//! they compute.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Octets of a large page, on which large slabs begin.
const PAGE: usize = 2 << 20;
/// Octets of a small page, or less.
const SMALL_PAGE: usize = 4096;

/// A number of values that stays the same, whose memory is touched when it is made. Where they are many they lie in large
/// pages, if the system has any to give: looking up one of thousands of small pages costs more than reading what is in it,
/// above all in virtual machines.
pub struct Slab<T> {
    start: NonNull<T>,
    count: usize,
}

// SAFETY: it owns its values, as a box does.
unsafe impl<T: Send> Send for Slab<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Slab<T> {}

impl<T> Slab<T> {
    /// So many values.
    pub fn new(count: usize, mut make: impl FnMut() -> T) -> Slab<T> {
        let layout = layout::<T>(count);
        let start = if layout.size() == 0 {
            NonNull::dangling()
        } else {
            // SAFETY: the size is not zero.
            let memory = unsafe { alloc(layout) };
            if layout.align() >= PAGE && !memory.is_null() {
                ask_for_large_pages(memory, layout.size());
            }
            NonNull::new(memory.cast::<T>()).unwrap_or_else(|| handle_alloc_error(layout))
        };
        for at in 0..count {
            // SAFETY: there is room for `count` values at `start`, in the right alignment. Where `make` panics, the memory is
            // lost, and nothing else.
            unsafe { start.add(at).write(make()) };
        }
        // Whatever became of writing zeros, every page is ours now: under attack is too late to learn that there is none.
        for at in (0..layout.size()).step_by(SMALL_PAGE) {
            // SAFETY: within what was allocated, written back as it was, and nobody else has it yet.
            unsafe {
                let octet = start.cast::<MaybeUninit<u8>>().add(at);
                octet.write_volatile(octet.read_volatile());
            }
        }
        Slab { start, count }
    }
}

fn layout<T>(count: usize) -> Layout {
    let plain = Layout::array::<T>(count).unwrap_or_else(|_| handle_alloc_error(Layout::new::<T>()));
    // What would leave most of a large page empty stays in small ones.
    if plain.size() < PAGE / 2 {
        return plain;
    }
    plain.align_to(PAGE).map_or(plain, |layout| layout.pad_to_align())
}

/// Asks for large pages in memory that has not been touched.
fn ask_for_large_pages(start: *mut u8, octets: usize) {
    #[cfg(target_os = "linux")]
    // SAFETY: the caller owns the whole range, which begins and ends with a page; the advice changes neither what is in it nor
    // how it may be used. Where it is not taken, nothing happens.
    let _ = unsafe { libc::madvise(start.cast(), octets, libc::MADV_HUGEPAGE) };
    #[cfg(not(target_os = "linux"))]
    let _ = (start, octets);
}

impl<T> Deref for Slab<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: all of them were written when it was made.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

impl<T> DerefMut for Slab<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and nobody else has it.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.count) }
    }
}

impl<'a, T> IntoIterator for &'a Slab<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> Drop for Slab<T> {
    fn drop(&mut self) {
        let layout = layout::<T>(self.count);
        // SAFETY: they are dropped once, here; the memory was allocated with this layout.
        unsafe {
            std::ptr::drop_in_place::<[T]>(&mut **self);
            if layout.size() > 0 {
                dealloc(self.start.as_ptr().cast(), layout);
            }
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_slab_has_its_values_and_drops_them_once() {
        let value = Rc::new(());
        for count in [0, 1, 3, PAGE / 16 - 1, PAGE / 16, PAGE / 8 + 1] {
            let mut numbers = 0;
            let mut slab = Slab::new(count, || {
                numbers += 1;
                (Rc::clone(&value), numbers)
            });
            assert_eq!((slab.len(), slab.first().map(|one| one.1)), (count, (count > 0).then_some(1)));
            assert!(slab.iter().zip(1..).all(|((_, number), expected)| *number == expected));
            slab.reverse();
            assert_eq!(slab.first().map_or(0, |one| one.1), count);
            assert_eq!(Rc::strong_count(&value), count + 1);
            drop(slab);
            assert_eq!(Rc::strong_count(&value), 1);
        }
        // What is of no size is made and dropped too; what is large begins with a page.
        struct Counted;
        static MADE: AtomicUsize = AtomicUsize::new(0);
        impl Drop for Counted {
            fn drop(&mut self) {
                MADE.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let made = || {
            MADE.fetch_add(1, Ordering::Relaxed);
            Counted
        };
        let empty = Slab::new(5, made);
        assert_eq!((empty.len(), MADE.load(Ordering::Relaxed)), (5, 5));
        drop(empty);
        assert_eq!(MADE.load(Ordering::Relaxed), 0);
        let large = Slab::new(PAGE, || 7u8);
        assert_eq!((large.as_ptr() as usize % PAGE, large.iter().all(|octet| *octet == 7)), (0, true));
    }
}
