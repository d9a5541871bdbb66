//! A connection before its first word, and what a proxy may say of it.

use std::io;

use crate::net::{
    Inbox, Peer, Stream,
    conveyed::{self, Conveyed, HeaderError},
};

/// A connection of which nothing of PostgreSQL's was read yet.
pub struct Caller {
    /// Its bytes.
    pub stream: Stream,
    /// Where the client is.
    pub peer: Peer,
    /// What was read already.
    pub unread: Vec<u8>,
}

/// Whether a proxy says first which client it forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introduction {
    /// It may.
    Optional,
    /// It must.
    Required,
}

/// Why a connection has no introduction.
#[derive(Debug, thiserror::Error)]
pub enum IntroductionError {
    /// It ended.
    #[error(transparent)]
    Gone(#[from] io::Error),
    /// What came first is none.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

impl Caller {
    /// A connection of which nothing was read yet.
    pub const fn new(stream: Stream, peer: Peer) -> Self {
        Self { stream, peer, unread: Vec::new() }
    }

    /// Reads the header of the PROXY protocol, which comes before anything else: from then on the client is where it
    /// says. The caller bounds the time, and knows that this peer is to be believed; memory is bounded.
    pub async fn introduced(self, wanted: Introduction) -> Result<Self, IntroductionError> {
        let Self { mut stream, peer, unread } = self;
        let mut inbox = Inbox::new(unread);
        loop {
            if let Some(first) = inbox.unread().first()
                && wanted == Introduction::Optional
                && !conveyed::may_begin(*first)
            {
                return Ok(Self { stream, peer, unread: inbox.into_unread() });
            }
            if let Some((conveyed, length)) = conveyed::decode(inbox.unread())? {
                inbox.consume(length);
                let peer = match conveyed {
                    Conveyed::Client(address) => Peer::Tcp(address),
                    Conveyed::Nobody => peer,
                };
                return Ok(Self { stream, peer, unread: inbox.into_unread() });
            }
            inbox.fill(&mut stream).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::scripted::{run, scripted};

    /// Who is there, and what is left, wherever the bytes are cut in two reads.
    fn check(wanted: Introduction, bytes: &[u8], expected: &str) {
        for cut in 0..bytes.len().max(1) {
            let caller = Caller::new(scripted(&[bytes], cut).0, Peer::Unix(None));
            let seen = match run(caller.introduced(wanted)) {
                Ok(mut caller) => {
                    let mut inbox = Inbox::new(std::mem::take(&mut caller.unread));
                    // The rest, which may not have been read yet.
                    while run(inbox.fill(&mut caller.stream)).is_ok() {}
                    format!("{} {}", caller.peer, inbox.unread().escape_ascii())
                }
                Err(error) => error.to_string(),
            };
            assert_eq!(seen, expected, "{wanted:?}, cut at {cut}");
        }
    }

    #[test]
    fn introductions() {
        use Introduction::{Optional, Required};
        let header = b"PROXY TCP4 10.0.0.1 10.0.0.2 12345 5432\r\n\0\0\0\x08";
        let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0\0\0\0\x08";
        const MISSING: &str = "no header of the PROXY protocol came first";
        for (wanted, bytes, expected) in [
            (Required, &header[..], "10.0.0.1:12345 \\x00\\x00\\x00\\x08"),
            (Optional, header, "10.0.0.1:12345 \\x00\\x00\\x00\\x08"),
            (Required, local, "[local] \\x00\\x00\\x00\\x08"),
            (Optional, b"\0\0\0\x08", "[local] \\x00\\x00\\x00\\x08"),
            (Required, b"\0\0\0\x08", MISSING),
            (Optional, b"PORXY", MISSING),
            (Optional, b"PROXY TCP4 x\r\n\r\n", "malformed header of the PROXY protocol"),
            (Required, b"", "unexpected end of file"),
            (Required, b"PROXY TCP4 ", "unexpected end of file"),
        ] {
            check(wanted, bytes, expected);
        }
    }
}
