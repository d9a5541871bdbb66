//! The first packet of a connection, which has no tag: SSLRequest, GSSENCRequest, CancelRequest or StartupMessage.
//!
//! PostgreSQL's protocol, chapter "Message Formats"; the checks are those of `ProcessStartupPacket`.

use std::fmt;

use smallvec::SmallVec;

use super::{
    error::{PgError, SqlState},
    frame::{put, put_cstr},
    message::Reader,
};

/// PostgreSQL's limit (`MAX_STARTUP_PACKET_LENGTH`) for what follows the length word, in bytes.
pub const MAX_STARTUP_LENGTH: usize = 10_000;

const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
/// Protocol 3.0; the minor version is added to it.
const PROTOCOL_3_0: u32 = 3 << 16;

/// The minor versions of protocol 3 that exist. PostgreSQL skipped 3.1: a client that asks for it is spoken to as by
/// 3.0, and not told so, since it has no newer feature to lose (PostgreSQL 18 does the same).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// Since PostgreSQL 7.4.
    #[default]
    V3_0,
    /// Since PostgreSQL 18: secrets of variable length in BackendKeyData and CancelRequest.
    V3_2,
}

impl Protocol {
    /// The newest that we speak.
    pub const NEWEST: Self = Self::V3_2;

    /// Its minor version.
    pub const fn minor(self) -> u16 {
        match self {
            Self::V3_0 => 0,
            Self::V3_2 => 2,
        }
    }

    /// How long the secrets that we make for it are, in bytes: as PostgreSQL's.
    pub const fn secret_bytes(self) -> usize {
        match self {
            Self::V3_0 => 4,
            Self::V3_2 => BackendKey::OUR_SECRET,
        }
    }

    /// The version that a server names in NegotiateProtocolVersion, if it is one that it may choose.
    pub const fn from_version(version: u32) -> Option<Self> {
        match version.checked_sub(PROTOCOL_3_0) {
            Some(0) => Some(Self::V3_0),
            Some(2) => Some(Self::V3_2),
            _ => None,
        }
    }

    const fn version(self) -> u32 {
        PROTOCOL_3_0 + self.minor() as u32
    }
}

/// What names a server process, and the secret that allows its query to be cancelled (BackendKeyData).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BackendKey {
    /// The process.
    pub pid: u32,
    /// 4 bytes in protocol 3.0, up to 256 in 3.2.
    pub secret: SmallVec<[u8; 32]>,
}

impl BackendKey {
    /// The longest secret of protocol 3.2, in bytes.
    pub const MAX_SECRET: usize = 256;
    /// What we make for clients of protocol 3.2, in bytes: as long as PostgreSQL's own.
    pub const OUR_SECRET: usize = 32;

    /// A key; `None` if no protocol allows a secret of that length.
    pub fn new(pid: u32, secret: &[u8]) -> Option<Self> {
        (4..=Self::MAX_SECRET).contains(&secret.len()).then(|| Self { pid, secret: secret.into() })
    }

    /// Appends the CancelRequest for this key.
    pub fn encode_cancel(&self, out: &mut Vec<u8>) {
        untagged(out, CANCEL_REQUEST, |out| {
            out.extend_from_slice(&self.pid.to_be_bytes());
            out.extend_from_slice(&self.secret);
        });
    }
}

impl fmt::Debug for BackendKey {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendKey").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// A connection's first packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartupPacket {
    /// Asks for TLS; one byte answers.
    SslRequest,
    /// Asks for GSSAPI encryption; one byte answers.
    GssEncRequest,
    /// Asks to cancel the query of another connection.
    Cancel(BackendKey),
    /// Begins a session.
    Startup(StartupMessage),
}

/// Why a first packet is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartupError {
    /// Too short or too long to be one: not PostgreSQL's protocol. PostgreSQL answers nothing.
    #[error("invalid length of startup packet")]
    Length,
    /// Another major version.
    #[error("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2")]
    Version {
        /// The major version asked for.
        major: u16,
        /// The minor version asked for.
        minor: u16,
    },
    /// The parameters are not laid out as such.
    #[error("invalid startup packet layout: expected terminator as last byte")]
    Layout,
}

impl StartupError {
    /// What the client is told, if anything.
    pub fn to_client(self) -> Option<PgError> {
        match self {
            Self::Length => None,
            Self::Version { .. } => Some(PgError::fatal(SqlState::FEATURE_NOT_SUPPORTED, self.to_string())),
            Self::Layout => Some(PgError::fatal(SqlState::PROTOCOL_VIOLATION, self.to_string())),
        }
    }
}

/// Reads the packet at the beginning of `bytes`: it and its length in bytes, or `None` while there is too little.
pub fn decode(bytes: &[u8]) -> Result<Option<(StartupPacket, usize)>, StartupError> {
    let Some((word, rest)) = bytes.split_first_chunk() else { return Ok(None) };
    let length = u32::from_be_bytes(*word) as usize;
    // The length word counts itself; a version or request code follows at least.
    if !(8..=4 + MAX_STARTUP_LENGTH).contains(&length) {
        return Err(StartupError::Length);
    }
    let Some(packet) = rest.get(..length - 4) else { return Ok(None) };
    let (code, body) = packet.split_first_chunk().ok_or(StartupError::Length)?;
    let packet = match u32::from_be_bytes(*code) {
        SSL_REQUEST if body.is_empty() => StartupPacket::SslRequest,
        GSSENC_REQUEST if body.is_empty() => StartupPacket::GssEncRequest,
        SSL_REQUEST | GSSENC_REQUEST => return Err(StartupError::Length),
        CANCEL_REQUEST => {
            let (pid, secret) = body.split_first_chunk().ok_or(StartupError::Length)?;
            let key = BackendKey::new(u32::from_be_bytes(*pid), secret).ok_or(StartupError::Length)?;
            StartupPacket::Cancel(key)
        }
        version => {
            let [major, minor] = [(version >> 16) as u16, (version & 0xFFFF) as u16];
            if major != 3 {
                return Err(StartupError::Version { major, minor });
            }
            StartupPacket::Startup(StartupMessage::new(minor, body)?)
        }
    };
    Ok(Some((packet, length)))
}

/// Appends the one-packet request for TLS.
pub fn encode_ssl_request(out: &mut Vec<u8>) {
    untagged(out, SSL_REQUEST, |_| {});
}

/// Appends a StartupMessage that asks for this version. NULs, which cannot be carried, are left out.
pub fn encode_startup<'a>(
    out: &mut Vec<u8>,
    protocol: Protocol,
    parameters: impl Iterator<Item = (&'a str, &'a str)>,
) {
    untagged(out, protocol.version(), |out| {
        for (name, value) in parameters {
            put_cstr(out, name.as_bytes());
            put_cstr(out, value.as_bytes());
        }
        out.push(0);
    });
}

fn untagged(out: &mut Vec<u8>, code: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&code.to_be_bytes());
    body(out);
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// What a replication connection is for (documentation, "Streaming Replication Protocol").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replication {
    /// The whole cluster's WAL and files: connected to no database (`replication=true`).
    Physical,
    /// Logical decoding: connected to a database, and open to SQL (`replication=database`).
    Logical,
}

/// What a client asks for when it begins a session.
///
/// The bytes are kept as they came, because the encoding of a value is the client's own and not known yet; one
/// allocation, read in place. Where a name comes twice the last one counts, as in PostgreSQL.
#[derive(Clone, PartialEq, Eq)]
pub struct StartupMessage {
    minor: u16,
    /// Checked: pairs of strings that end in NUL, then a NUL.
    body: Box<[u8]>,
}

impl StartupMessage {
    fn new(minor: u16, body: &[u8]) -> Result<Self, StartupError> {
        let mut fields = Reader::new(body);
        loop {
            let name = fields.cstring().ok_or(StartupError::Layout)?;
            if name.is_empty() {
                break;
            }
            fields.cstring().ok_or(StartupError::Layout)?;
        }
        fields.end().ok_or(StartupError::Layout)?;
        Ok(Self { minor, body: body.into() })
    }

    /// A message made of these parameters, as a client of protocol 3.0 would send it. Names must not be empty.
    pub fn from_parameters<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut body = Vec::new();
        for (name, value) in parameters.filter(|(name, _)| !name.is_empty()) {
            put_cstr(&mut body, name.as_bytes());
            put_cstr(&mut body, value.as_bytes());
        }
        body.push(0);
        Self { minor: 0, body: body.into() }
    }

    /// The minor version asked for.
    pub const fn minor(&self) -> u16 {
        self.minor
    }

    /// What is spoken: what was asked for, or the newest that we have.
    pub const fn protocol(&self) -> Protocol {
        if self.minor >= Protocol::V3_2.minor() { Protocol::V3_2 } else { Protocol::V3_0 }
    }

    /// Every parameter in its order, protocol options (`_pq_.…`) excepted.
    pub fn parameters(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pairs().filter(|(name, _)| !is_protocol_option(name))
    }

    /// The last value of a parameter.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.pairs().filter(|(n, _)| *n == name.as_bytes()).last().map(|(_, value)| value)
    }

    /// What kind of replication connection is asked for, if one is (`replication`, read as PostgreSQL reads it).
    pub fn replication(&self) -> Result<Option<Replication>, PgError> {
        let Some(value) = self.get("replication") else { return Ok(None) };
        if value == b"database" {
            return Ok(Some(Replication::Logical));
        }
        match boolean(value) {
            Some(true) => Ok(Some(Replication::Physical)),
            Some(false) => Ok(None),
            None => {
                let value = String::from_utf8_lossy(value);
                let message = format!("invalid value for parameter \"replication\": \"{value}\"");
                Err(PgError::fatal(SqlState::INVALID_PARAMETER_VALUE, message)
                    .hint("Valid values are: \"false\", 0, \"true\", 1, \"database\"."))
            }
        }
    }

    /// Appends the NegotiateProtocolVersion that this message calls for, if any: a newer minor version than ours, or
    /// protocol options, of which we know none.
    pub fn encode_negotiation(&self, out: &mut Vec<u8>) {
        let refused = || self.pairs().map(|(name, _)| name).filter(|name| is_protocol_option(name));
        if self.minor <= Protocol::NEWEST.minor() && refused().next().is_none() {
            return;
        }
        put(out, b'v', |out| {
            // The whole version, not only the minor one as the manual has it: PostgreSQL and libpq do so.
            let minor = self.minor.min(Protocol::NEWEST.minor());
            out.extend_from_slice(&(PROTOCOL_3_0 | u32::from(minor)).to_be_bytes());
            let count = u32::try_from(refused().count()).unwrap_or(u32::MAX);
            out.extend_from_slice(&count.to_be_bytes());
            for name in refused() {
                put_cstr(out, name);
            }
        });
    }

    fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut fields = Reader::new(&self.body);
        std::iter::from_fn(move || {
            let name = fields.cstring().filter(|name| !name.is_empty())?;
            Some((name, fields.cstring()?))
        })
    }
}

impl fmt::Debug for StartupMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let pairs = self.pairs().map(|(name, value)| (text(name), text(value)));
        write!(f, "StartupMessage 3.{} ", self.minor)?;
        f.debug_map().entries(pairs).finish()
    }
}

/// A boolean as PostgreSQL's `parse_bool` reads it: any beginning of a word that only that word has.
fn boolean(text: &[u8]) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    let begins = |word: &[u8], least: usize| text.len() >= least && word.starts_with(&text);
    if begins(b"true", 1) || begins(b"yes", 1) || begins(b"on", 2) || text == b"1" {
        Some(true)
    } else if begins(b"false", 1) || begins(b"no", 1) || begins(b"off", 2) || text == b"0" {
        Some(false)
    } else {
        None
    }
}

fn is_protocol_option(name: &[u8]) -> bool {
    name.starts_with(b"_pq_.")
}

#[cfg(test)]
mod tests;
