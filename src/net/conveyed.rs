//! The PROXY protocol, versions 1 and 2: what a proxy says before anything else of the client that it forwards.
//!
//! The specification is HAProxy's `doc/proxy-protocol.txt`. Pure: bytes in, an address out, and the other way round.

use std::net::{IpAddr, SocketAddr};

use proxy_header::{Error, ParseConfig, Protocol, ProxiedAddress, ProxyHeader};

/// The longest header that is taken, in bytes: an address takes 52, the rest is for extensions, which we skip.
pub const HEADER_MAX: usize = 2048;

/// The first bytes of version 2, and where it has the length of the rest.
const V2_FIXED: usize = 16;

/// The longest line of version 1, in bytes, without its end.
const V1_LINE_MAX: usize = 105;

/// Whom a header is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conveyed {
    /// A client at this address.
    Client(SocketAddr),
    /// Nobody but the proxy itself (version 2, LOCAL: a health check), or one whose address it does not know
    /// (version 1, UNKNOWN; version 2, not TCP over IP): the connection's own addresses hold.
    Nobody,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// They do not begin with one.
    #[error("no header of the PROXY protocol came first")]
    Missing,
    /// It is not laid out as one.
    #[error("malformed header of the PROXY protocol")]
    Malformed,
    /// It is longer than is taken.
    #[error("the header of the PROXY protocol is longer than {HEADER_MAX} bytes")]
    TooLong,
    /// It is about a datagram.
    #[error("the header of the PROXY protocol is not about a stream")]
    Datagram,
}

/// Which version of the header is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// What a server, or a proxy before it, is told first of who connects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preface {
    /// Nothing.
    #[default]
    None,
    /// That we do, for ourselves.
    Own(Version),
    /// That we do for a client at this address.
    Client(Version, SocketAddr),
}

impl Preface {
    /// The same for a client; one without an address is none that could be told of.
    pub const fn of_client(self, client: Option<SocketAddr>) -> Self {
        match (self, client) {
            (Self::Own(version), Some(address)) => Self::Client(version, address),
            (preface, _) => preface,
        }
    }

    /// The header for a connection to `destination`; empty where none is expected.
    pub fn header(self, destination: Option<SocketAddr>) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::None => {}
            Self::Own(version) => encode(version, None, &mut out),
            Self::Client(version, source) => {
                // A Unix socket has no address: the client's own stands for it.
                encode(version, Some((source, destination.unwrap_or(source))), &mut out);
            }
        }
        out
    }
}

/// Whether a connection that begins with this byte may begin with a header. Nothing of PostgreSQL's does: a first
/// packet begins with a zero, TLS with 22.
pub const fn may_begin(first: u8) -> bool {
    matches!(first, b'P' | b'\r')
}

/// Reads the header at the beginning of `bytes`: whom it is about and its length in bytes, or `None` while there is
/// too little.
pub fn decode(bytes: &[u8]) -> Result<Option<(Conveyed, usize)>, HeaderError> {
    match bytes.first() {
        None => return Ok(None),
        Some(first) if !may_begin(*first) => return Err(HeaderError::Missing),
        Some(b'P') => check_v1(bytes)?,
        Some(_) => check_v2(bytes)?,
    }
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    match ProxyHeader::parse(bytes, config) {
        Ok((header, length)) => {
            let conveyed = match header.proxied_address() {
                None => Conveyed::Nobody,
                Some(address) if address.protocol == Protocol::Datagram => return Err(HeaderError::Datagram),
                Some(address) => Conveyed::Client(address.source),
            };
            Ok(Some((conveyed, length)))
        }
        // A line that has ended has all it will have.
        Err(Error::BufferTooShort) if bytes.starts_with(b"P") && bytes.contains(&b'\n') => {
            Err(HeaderError::Malformed)
        }
        Err(Error::BufferTooShort) => Ok(None),
        Err(_) => Err(HeaderError::Malformed),
    }
}

/// What is too little to be parsed may be seen to be wrong already, so that nobody is waited for in vain.
fn check_v1(bytes: &[u8]) -> Result<(), HeaderError> {
    const START: &[u8] = b"PROXY ";
    let length = bytes.len().min(START.len());
    if bytes[..length] != START[..length] {
        return Err(HeaderError::Missing);
    }
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    // A sign is no part of a number, though the parser would take it.
    let odd = |byte: &u8| !(byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'.' | b':'));
    let unknown = line.starts_with(b"PROXY UNKNOWN");
    let wrong = line.len() > V1_LINE_MAX || !unknown && line.iter().any(odd);
    if wrong { Err(HeaderError::Malformed) } else { Ok(()) }
}

fn check_v2(bytes: &[u8]) -> Result<(), HeaderError> {
    const START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    let length = bytes.len().min(START.len());
    if bytes[..length] != START[..length] {
        return Err(HeaderError::Missing);
    }
    match bytes.get(V2_FIXED - 2..V2_FIXED) {
        Some([high, low]) if V2_FIXED + usize::from(u16::from_be_bytes([*high, *low])) > HEADER_MAX => {
            Err(HeaderError::TooLong)
        }
        _ => Ok(()),
    }
}

/// Appends the header for a client at `source` that is forwarded to `destination`; for nobody's connection but our
/// own without them.
pub fn encode(version: Version, addresses: Option<(SocketAddr, SocketAddr)>, out: &mut Vec<u8>) {
    let header = match addresses.map(|(source, destination)| of_one_family(source, destination)) {
        Some((source, destination)) => ProxyHeader::with_address(ProxiedAddress::stream(source, destination)),
        None => ProxyHeader::with_local(),
    };
    let encoded = match version {
        Version::V1 => header.encode_v1(out),
        Version::V2 => header.encode_v2(out),
    };
    // The families are the same and there are no extensions: nothing that could be refused.
    debug_assert!(encoded.is_ok(), "{encoded:?}");
}

/// Both as IPv4, or else both as IPv6.
fn of_one_family(one: SocketAddr, other: SocketAddr) -> (SocketAddr, SocketAddr) {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (one, other) = (canonical(one), canonical(other));
    if one.is_ipv4() == other.is_ipv4() {
        return (one, other);
    }
    let six = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    (six(one), six(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a header says, wherever it is cut; followed by the beginning of something else.
    fn check(header: &[u8]) -> String {
        let bytes = [header, b"\0\0\0\x08\x04\xd2\x16\x2f"].concat();
        match decode(&bytes) {
            Ok(Some((conveyed, length))) => {
                for at in 0..length {
                    assert_eq!(decode(&bytes[..at]), Ok(None), "{} cut at {at}", header.escape_ascii());
                }
                assert_eq!(length, header.len(), "{}", header.escape_ascii());
                match conveyed {
                    Conveyed::Client(address) => address.to_string(),
                    Conveyed::Nobody => "nobody".to_owned(),
                }
            }
            Ok(None) => "more".to_owned(),
            Err(error) => format!("{error:?}"),
        }
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length, rest].concat()
    }

    #[test]
    fn headers() {
        let v4 = [10, 0, 0, 1, 10, 0, 0, 2, 0x30, 0x39, 0x15, 0x38];
        let v6 = [&[0xfd; 16][..], &[0xfe; 16], &[0x30, 0x39, 0x15, 0x38]].concat();
        let extended = [&v4[..], &[4, 0, 3, 0, 0, 0]].concat();
        let long = [&v4[..], &[0; HEADER_MAX]].concat();
        let local = "[fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd]:12345";
        for (header, expected) in [
            (b"PROXY TCP4 10.0.0.1 10.0.0.2 12345 5432\r\n".to_vec(), "10.0.0.1:12345"),
            (b"PROXY TCP6 ::1 ::2 12345 5432\r\n".to_vec(), "[::1]:12345"),
            (b"PROXY UNKNOWN\r\n".to_vec(), "nobody"),
            (b"PROXY UNKNOWN whatever it is\r\n".to_vec(), "nobody"),
            (v2(0x21, 0x11, &v4), "10.0.0.1:12345"),
            (v2(0x21, 0x21, &v6), local),
            (v2(0x21, 0x11, &extended), "10.0.0.1:12345"),
            (v2(0x20, 0x00, &[]), "nobody"),
            (v2(0x20, 0x11, &v4), "nobody"),
            (v2(0x21, 0x00, &[]), "nobody"),
            (v2(0x21, 0x31, &[0; 216]), "nobody"),
            (v2(0x21, 0x12, &v4), "Datagram"),
            (v2(0x21, 0x11, &v4[..11]), "Malformed"),
            (v2(0x31, 0x11, &v4), "Malformed"),
            (v2(0x22, 0x11, &v4), "Malformed"),
            (v2(0x21, 0x41, &v4), "Malformed"),
            (v2(0x21, 0x11, &long), "TooLong"),
            (b"PROXY TCP4 10.0.0.1 10.0.0.2 12345 5432\n".to_vec(), "Malformed"),
            (b"PROXY TCP4 10.0.0.1 10.0.0.2 99999 5432\r\n".to_vec(), "Malformed"),
            (b"PROXY TCP4 10.0.0.1 10.0.0.2 +1 5432\r\n".to_vec(), "Malformed"),
            (b"PROXY TCP4 10.0.0.x 10.0.0.2 1 5432\r\n".to_vec(), "Malformed"),
            (b"PROXY TCP4 ::1 ::2 12345 5432\r\n".to_vec(), "Malformed"),
            (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2 3\r\n".to_vec(), "Malformed"),
            (b"PROXY TCP4 10.0.0.1\r\n".to_vec(), "Malformed"),
            (b"PROXY\r\n".to_vec(), "Missing"),
            (b"PROXY UDP4 10.0.0.1 10.0.0.2 1 5432\r\n".to_vec(), "Malformed"),
            ([b"PROXY UNKNOWN ", &[b'x'; 120][..], b"\r\n"].concat(), "Malformed"),
            (b"PROXZ".to_vec(), "Missing"),
            (b"\r\n\r\n\r\n".to_vec(), "Missing"),
            (b"GET / HTTP/1.1\r\n".to_vec(), "Missing"),
            (b"\0\0\0\x08\x04\xd2\x16\x2f".to_vec(), "Missing"),
            (b"\x16\x03\x01".to_vec(), "Missing"),
        ] {
            assert_eq!(check(&header), expected, "{}", header.escape_ascii());
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let [four, six]: [SocketAddr; 2] = ["10.0.0.1:1".parse().unwrap(), "[fd00::1]:2".parse().unwrap()];
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:1".parse().unwrap();
        for version in [Version::V1, Version::V2] {
            for (addresses, expected) in [
                (None, "nobody"),
                (Some((four, four)), "10.0.0.1:1"),
                (Some((six, six)), "[fd00::1]:2"),
                (Some((four, six)), "[::ffff:10.0.0.1]:1"),
                (Some((mapped, four)), "10.0.0.1:1"),
            ] {
                let mut out = Vec::new();
                encode(version, addresses, &mut out);
                assert_eq!(check(&out), expected, "{version:?}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, start in 0usize..3) {
            let start: &[u8] = [&b"PROXY TCP4 "[..], b"\r\n\r\n\0\r\nQUIT\n\x21\x11", b""][start];
            let bytes = [start, &bytes].concat();
            if let Ok(Some((_, length))) = decode(&bytes) {
                proptest::prop_assert!(length <= bytes.len());
            }
        }
    }
}
