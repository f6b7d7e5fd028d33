//! How wide a terminal is.

use std::os::fd::{AsFd, AsRawFd};

/// The columns of the terminal behind `file`; none if it is no terminal, or does not tell.
pub fn columns(file: impl AsFd) -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is borrowed and thus open, and `size` is a valid place for a winsize.
    let asked = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &mut size) };
    (asked == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_terminal() {
        let file = std::fs::File::open("/dev/null").expect("there is one");
        assert_eq!(columns(&file), None);
    }
}
