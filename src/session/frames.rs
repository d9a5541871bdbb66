//! Where a server stands in what it says on a replication connection: by the headers of its messages alone.

use crate::wire::frame::{HEADER_BYTES, Header};

/// What a server is doing, as far as its messages tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Doing {
    /// It waits for a command.
    #[default]
    Nothing,
    /// A command.
    Command,
    /// It streams, without an end, and is streamed to (CopyBothResponse).
    Stream,
}

/// Follows what a server says.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// A header that has come in part.
    head: [u8; HEADER_BYTES],
    filled: usize,
    /// Bytes left of a message.
    left: usize,
    doing: Doing,
}

impl Frames {
    /// The client has sent something.
    pub(super) fn asked(&mut self) {
        if self.doing == Doing::Nothing {
            self.doing = Doing::Command;
        }
    }

    /// The server has said this, and the client has it.
    pub(super) fn said(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let passed = self.left.min(bytes.len());
                self.left -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            let taken = bytes.len().min(HEADER_BYTES - self.filled);
            self.head[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled < HEADER_BYTES {
                return;
            }
            self.filled = 0;
            // A length that cannot be is the client's to complain of.
            let Ok(Some(Header { tag, total })) = Header::read(&self.head) else { continue };
            self.left = total - HEADER_BYTES;
            self.doing = match tag {
                b'W' => Doing::Stream,
                b'Z' => Doing::Nothing,
                // The stream is over, its command not yet.
                b'c' | b'C' | b'E' => Doing::Command,
                _ => self.doing,
            };
        }
    }

    /// Whether the client has heard whole messages.
    pub(super) const fn is_between(&self) -> bool {
        self.left == 0 && self.filled == 0
    }

    /// Whether nothing is going on that has an end to be waited for.
    pub(super) fn is_at_rest(&self) -> bool {
        self.is_between() && self.doing != Doing::Command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the server stands after this, said in pieces of any size.
    fn check(said: &[u8], expected: &str) {
        for size in 1..=said.len() {
            let mut frames = Frames::default();
            frames.asked();
            for piece in said.chunks(size) {
                frames.said(piece);
            }
            let between = if frames.is_between() { "between" } else { "inside" };
            let rest = if frames.is_at_rest() { "rests" } else { "works" };
            assert_eq!(format!("{between} {rest}"), expected, "{} by {size}", said.escape_ascii());
        }
    }

    #[test]
    fn what_a_server_is_doing() {
        let (ready, both) = (&b"Z\0\0\0\x05I"[..], &b"W\0\0\0\x07\0\0\0"[..]);
        let data = b"d\0\0\0\x08wxyz";
        check(b"T\0\0\0\x06\0\0", "between works");
        check(ready, "between rests");
        check(&ready[..5], "inside works");
        check(&ready[..3], "inside works");
        check(both, "between rests");
        check(&[both, data, data].concat(), "between rests");
        check(&[both, data, &data[..7]].concat(), "inside works");
        check(&[both, data, b"c\0\0\0\x04"].concat(), "between works");
        check(&[both, b"c\0\0\0\x04", b"C\0\0\0\x05\0", ready].concat(), "between rests");
        check(&[both, b"E\0\0\0\x05\0"].concat(), "between works");
        check(&[&b"H\0\0\0\x07\0\0\0"[..], data].concat(), "between works");
    }
}
