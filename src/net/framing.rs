//! DNS messages in a stream: two octets of length before each (RFC 1035 §4.2.2, RFC 7766 §8).

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// A buffer that grew beyond this is given back once it is empty, in octets.
const KEPT: usize = 4096;

/// Cuts what a stream delivers into messages. Holds no more memory than the message under way.
#[derive(Debug, Default)]
pub struct Deframer {
    buffer: Vec<u8>,
    /// Octets at the front of `buffer` that have been taken.
    taken: usize,
}

impl Deframer {
    /// Nothing read yet.
    pub fn new() -> Deframer {
        Deframer::default()
    }

    /// Reads once from `stream`, at least `chunk` octets if they are there; 0 at its end. Safe to
    /// cancel: what was read is kept, what was not is still in the stream.
    pub async fn read<R: AsyncRead + Unpin>(&mut self, stream: &mut R, chunk: usize) -> io::Result<usize> {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT {
            self.buffer = Vec::new();
        }
        let missing = match self.length() {
            Some(length) => (2 + length).saturating_sub(self.buffer.len()),
            None => 0,
        };
        self.buffer.reserve(missing.max(chunk).max(2));
        stream.read_buf(&mut self.buffer).await
    }

    /// The next whole message, if there is one.
    pub fn message(&mut self) -> Option<&[u8]> {
        let length = self.length()?;
        let start = self.taken + 2;
        let message = self.buffer.get(start..start + length)?;
        self.taken = start + length;
        Some(message)
    }

    /// The length of the message under way, as its first two octets tell.
    pub fn length(&self) -> Option<usize> {
        match self.buffer.get(self.taken..self.taken + 2) {
            Some(&[high, low]) => Some(usize::from(u16::from_be_bytes([high, low]))),
            _ => None,
        }
    }

    /// Whether the stream ended, or stands, in the middle of a message.
    pub fn is_partial(&self) -> bool {
        self.buffer.len() > self.taken
    }
}

/// Appends `message` with its length to `out`. A message is no longer than its length field can
/// tell; a longer one is not written, and false comes back.
pub fn frame(message: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(length) = u16::try_from(message.len()) else { return false };
    out.reserve(2 + message.len());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(message);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn cut(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
        let mut deframer = Deframer::new();
        let mut messages = Vec::new();
        for piece in pieces {
            let mut stream = *piece;
            while deframer.read(&mut stream, 16).await.expect("reading from memory") > 0 {
                while let Some(message) = deframer.message() {
                    messages.push(message.to_vec());
                }
            }
        }
        (messages, deframer.is_partial())
    }

    #[tokio::test]
    async fn messages_come_out_however_the_stream_is_cut() {
        let mut stream = Vec::new();
        let long = vec![7u8; 65_535];
        for message in [&b"first"[..], b"", &long, b"last"] {
            assert!(frame(message, &mut stream));
        }
        let expected = vec![b"first".to_vec(), Vec::new(), long, b"last".to_vec()];
        for size in [1, 2, 3, 7, 1000, stream.len()] {
            let pieces: Vec<&[u8]> = stream.chunks(size).collect();
            assert_eq!(cut(&pieces).await, (expected.clone(), false), "in pieces of {size}");
        }
    }

    #[tokio::test]
    async fn a_message_cut_short_is_seen() {
        assert_eq!(cut(&[&[0, 5, 1, 2]]).await, (vec![], true));
        assert_eq!(cut(&[&[0]]).await, (vec![], true));
    }

    #[tokio::test]
    async fn a_large_message_does_not_leave_its_memory_behind() {
        let mut stream = Vec::new();
        assert!(frame(&[1; 60_000], &mut stream));
        let mut deframer = Deframer::new();
        let mut rest = &stream[..];
        while deframer.read(&mut rest, 512).await.expect("reading from memory") > 0 {}
        assert_eq!(deframer.message().map(<[u8]>::len), Some(60_000));
        let mut next: &[u8] = &[0, 1];
        deframer.read(&mut next, 512).await.expect("reading from memory");
        assert!(deframer.buffer.capacity() <= KEPT, "{} octets are kept", deframer.buffer.capacity());
    }

    #[test]
    fn a_message_too_long_for_its_length_is_not_written() {
        let mut out = Vec::new();
        assert!(!frame(&[0; 65_536], &mut out));
        assert!(out.is_empty());
    }
}
