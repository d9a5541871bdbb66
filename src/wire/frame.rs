//! Finding message boundaries: a tag, a length, and the body left alone.
//!
//! PostgreSQL documentation, chapter "Message Formats": after start-up every message is one tag byte, then its
//! length as a 32-bit integer that counts itself but not the tag.

/// Bytes of a message's tag and length.
pub const HEADER_BYTES: usize = 5;

/// PostgreSQL's own bound on a message (`PQ_LARGE_MESSAGE_LIMIT`, `MaxAllocSize - 1`), in bytes.
pub const MESSAGE_BYTES_MAX: usize = 0x3FFF_FFFF;

/// A message's tag and its whole length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What kind of message.
    pub tag: u8,
    /// Bytes from the tag to the end of the body.
    pub total: usize,
}

/// The length field says something impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message `{tag}` claims a length of {length} bytes", tag = .tag.escape_ascii())]
pub struct Malformed {
    /// The message's tag.
    pub tag: u8,
    /// The length as it stands on the wire.
    pub length: u32,
}

impl Header {
    /// Reads the header at the start of `bytes`; `None` while fewer than [`HEADER_BYTES`] are there.
    #[inline]
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let Some(&[tag, a, b, c, d]) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]);
        let total = length as usize + 1;
        if !(HEADER_BYTES..=MESSAGE_BYTES_MAX).contains(&total) {
            return Err(Malformed { tag, length });
        }
        Ok(Some(Self { tag, total }))
    }
}

/// Splits off a zero-terminated string: what stands before the zero, and what follows it.
#[inline]
pub fn cstr(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    // Unnamed, as most portals are.
    if let Some((0, rest)) = bytes.split_first() {
        return Some((&[], rest));
    }
    let end = memchr::memchr(0, bytes)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// Appends a message: its tag, and the body that `body` writes, with the length filled in.
pub fn put(out: &mut Vec<u8>, tag: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// Appends a string and its terminating zero; zeros within, which would end it early, are left out.
pub fn put_cstr(out: &mut Vec<u8>, text: &[u8]) {
    if memchr::memchr(0, text).is_none() {
        out.extend_from_slice(text);
    } else {
        out.extend(text.iter().filter(|byte| **byte != 0));
    }
    out.push(0);
}

/// A whole message.
#[cfg(test)]
pub(crate) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, tag, |out| out.extend_from_slice(body));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        assert_eq!(Header::read(b"Q\0\0\0"), Ok(None));
        assert_eq!(Header::read(b"Q\0\0\0\x04"), Ok(Some(Header { tag: b'Q', total: 5 })));
        assert_eq!(Header::read(b"Q\0\0\x01\0rest"), Ok(Some(Header { tag: b'Q', total: 257 })));
        assert_eq!(Header::read(b"Q\0\0\0\x03"), Err(Malformed { tag: b'Q', length: 3 }));
        assert_eq!(Header::read(b"Q\xff\xff\xff\xff"), Err(Malformed { tag: b'Q', length: u32::MAX }));
    }

    #[test]
    fn a_message_written_is_a_message_read() {
        let mut out = Vec::new();
        put(&mut out, b'P', |out| {
            put_cstr(out, b"name");
            put_cstr(out, b"select 1");
        });
        assert_eq!(Header::read(&out), Ok(Some(Header { tag: b'P', total: out.len() })));
        assert_eq!(cstr(&out[HEADER_BYTES..]), Some((&b"name"[..], &b"select 1\0"[..])));
        assert_eq!(cstr(b"endless"), None);
    }
}
