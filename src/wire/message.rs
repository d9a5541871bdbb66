//! The few messages that we interpret or build ourselves; the relay uses none of this.
//!
//! Every decoder takes the body of one whole frame, reads it in place and checks every length. (`pgwire`'s decoders
//! copy, replace what is not UTF-8 and panic on short bodies; the tests hold ours against its encoders.)

use super::{
    frame::{put, put_cstr},
    startup::BackendKey,
};

/// A body that is not laid out as its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0} message")]
pub struct Malformed(pub &'static str);

/// Reads fields off the front of a body.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn int16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    fn int32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    /// Up to the next NUL, which is passed over.
    pub(crate) fn cstring(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(0, self.0)?;
        let text = self.bytes(end)?;
        self.byte()?;
        Some(text)
    }

    const fn rest(self) -> &'a [u8] {
        self.0
    }

    /// That nothing is left.
    pub(crate) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// A server's side of authentication (`R`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// Done.
    Ok,
    /// Send the password as it is.
    CleartextPassword,
    /// Send the password hashed with this salt.
    Md5Password([u8; 4]),
    /// Choose one of these SASL mechanisms.
    Sasl(Mechanisms<'a>),
    /// A SASL challenge.
    SaslContinue(&'a [u8]),
    /// The mechanism's last word.
    SaslFinal(&'a [u8]),
    /// A method that we do not speak (Kerberos, GSSAPI, SSPI …), by its code.
    Other(i32),
}

/// Names of SASL mechanisms, in a server's order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mechanisms<'a>(&'a [u8]);

impl<'a> Mechanisms<'a> {
    /// The names.
    pub fn names(self) -> impl Iterator<Item = &'a [u8]> {
        let mut names = Reader::new(self.0);
        std::iter::from_fn(move || names.cstring().filter(|name| !name.is_empty()))
    }
}

impl<'a> Authentication<'a> {
    /// Reads the body of an `R`.
    pub fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        Self::read(Reader::new(body)).ok_or(Malformed("Authentication"))
    }

    fn read(mut fields: Reader<'a>) -> Option<Self> {
        Some(match fields.int32()? {
            0 => fields.end().map(|()| Self::Ok)?,
            3 => fields.end().map(|()| Self::CleartextPassword)?,
            5 => {
                let salt = fields.array()?;
                fields.end().map(|()| Self::Md5Password(salt))?
            }
            // The list must end in an empty name.
            10 if fields.0.ends_with(&[0]) => Self::Sasl(Mechanisms(fields.rest())),
            10 => return None,
            11 => Self::SaslContinue(fields.rest()),
            12 => Self::SaslFinal(fields.rest()),
            other => Self::Other(other),
        })
    }

    /// Appends it. [`Mechanisms`] are written as given.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (code, data): (i32, &[u8]) = match self {
            Self::Ok => (0, &[]),
            Self::CleartextPassword => (3, &[]),
            Self::Md5Password(salt) => (5, salt),
            Self::Sasl(mechanisms) => (10, mechanisms.0),
            Self::SaslContinue(data) => (11, data),
            Self::SaslFinal(data) => (12, data),
            Self::Other(code) => (*code, &[]),
        };
        put(out, b'R', |out| {
            out.extend_from_slice(&code.to_be_bytes());
            out.extend_from_slice(data);
        });
    }

    /// The request that offers SCRAM-SHA-256 alone.
    pub const SCRAM_SHA_256: Authentication<'static> = Authentication::Sasl(Mechanisms(b"SCRAM-SHA-256\0\0"));
    /// The request that offers OAUTHBEARER alone.
    pub const OAUTHBEARER: Authentication<'static> = Authentication::Sasl(Mechanisms(b"OAUTHBEARER\0\0"));
    /// The request that offers it bound to the TLS connection as well, which is preferred.
    pub const SCRAM_SHA_256_PLUS: Authentication<'static> =
        Authentication::Sasl(Mechanisms(b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"));
}

/// A client's first answer to an offer of SASL mechanisms (`p`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaslInitialResponse<'a> {
    /// The mechanism chosen.
    pub mechanism: &'a [u8],
    /// The mechanism's first message, if it came along.
    pub data: Option<&'a [u8]>,
}

impl<'a> SaslInitialResponse<'a> {
    /// Reads the body of a `p`.
    pub fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        Self::read(Reader::new(body)).ok_or(Malformed("SASLInitialResponse"))
    }

    fn read(mut fields: Reader<'a>) -> Option<Self> {
        let mechanism = fields.cstring()?;
        let data = match fields.int32()? {
            -1 => None,
            length => Some(fields.bytes(usize::try_from(length).ok()?)?),
        };
        fields.end()?;
        Some(Self { mechanism, data })
    }

    /// Appends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put(out, b'p', |out| {
            put_cstr(out, self.mechanism);
            put_bytes(out, self.data);
        });
    }
}

/// Appends a SASLResponse (`p`): a mechanism's later messages.
pub fn encode_sasl_response(out: &mut Vec<u8>, data: &[u8]) {
    put(out, b'p', |out| out.extend_from_slice(data));
}

/// Reads a PasswordMessage (`p`).
pub fn decode_password(body: &[u8]) -> Result<&[u8], Malformed> {
    whole_string(body).ok_or(Malformed("PasswordMessage"))
}

/// Appends a PasswordMessage (`p`).
pub fn encode_password(out: &mut Vec<u8>, password: &[u8]) {
    put(out, b'p', |out| put_cstr(out, password));
}

/// Reads a ParameterStatus (`S`): name and value.
pub fn decode_parameter_status(body: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut fields = Reader::new(body);
    let mut read = || Some((fields.cstring()?, fields.cstring()?));
    let pair = read().ok_or(Malformed("ParameterStatus"))?;
    fields.end().map(|()| pair).ok_or(Malformed("ParameterStatus"))
}

/// Appends a ParameterStatus (`S`).
pub fn encode_parameter_status(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    put(out, b'S', |out| {
        put_cstr(out, name);
        put_cstr(out, value);
    });
}

/// Reads a BackendKeyData (`K`), of protocol 3.0 or 3.2.
pub fn decode_backend_key(body: &[u8]) -> Result<BackendKey, Malformed> {
    let key = body.split_first_chunk().and_then(|(pid, key)| BackendKey::new(u32::from_be_bytes(*pid), key));
    key.ok_or(Malformed("BackendKeyData"))
}

/// Appends a BackendKeyData (`K`).
pub fn encode_backend_key(out: &mut Vec<u8>, key: &BackendKey) {
    put(out, b'K', |out| {
        out.extend_from_slice(&key.pid.to_be_bytes());
        out.extend_from_slice(&key.secret);
    });
}

/// Reads a NegotiateProtocolVersion (`v`): the version that the server goes on with, and how many protocol options it
/// refuses.
pub fn decode_negotiation(body: &[u8]) -> Result<(u32, usize), Malformed> {
    let mut fields = Reader::new(body);
    let read = || {
        let version = fields.int32()?.cast_unsigned();
        let refused = usize::try_from(fields.int32()?).ok()?;
        for _ in 0..refused {
            fields.cstring()?;
        }
        fields.end().map(|()| (version, refused))
    };
    read().ok_or(Malformed("NegotiateProtocolVersion"))
}

/// Reads a ReadyForQuery (`Z`): `I` idle, `T` in a transaction, `E` in a failed one.
pub const fn decode_ready_for_query(body: &[u8]) -> Result<u8, Malformed> {
    match body {
        [status @ (b'I' | b'T' | b'E')] => Ok(*status),
        _ => Err(Malformed("ReadyForQuery")),
    }
}

/// Appends a ReadyForQuery (`Z`).
pub fn encode_ready_for_query(out: &mut Vec<u8>, status: u8) {
    put(out, b'Z', |out| out.push(status));
}

/// Appends a Query (`Q`).
pub fn encode_query(out: &mut Vec<u8>, sql: &str) {
    put(out, b'Q', |out| put_cstr(out, sql.as_bytes()));
}

/// Appends Parse, Bind, Execute and Sync for an unnamed statement with these text values; results as text.
pub fn encode_query_with(out: &mut Vec<u8>, sql: &str, values: &[&str]) {
    let count = u16::try_from(values.len()).unwrap_or(u16::MAX);
    put(out, b'P', |out| {
        put_cstr(out, b"");
        put_cstr(out, sql.as_bytes());
        out.extend_from_slice(&0_u16.to_be_bytes());
    });
    put(out, b'B', |out| {
        out.extend_from_slice(&[0, 0, 0, 0]);
        out.extend_from_slice(&count.to_be_bytes());
        for value in values.iter().take(usize::from(count)) {
            out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(0).to_be_bytes());
            out.extend_from_slice(value.as_bytes());
        }
        out.extend_from_slice(&0_u16.to_be_bytes());
    });
    put(out, b'E', |out| out.extend_from_slice(&[0; 5]));
    put(out, b'S', |_| {});
}

/// Appends a CommandComplete (`C`).
pub fn encode_command_complete(out: &mut Vec<u8>, tag: &str) {
    put(out, b'C', |out| put_cstr(out, tag.as_bytes()));
}

/// Reads the tag of a CommandComplete (`C`).
pub fn decode_command_complete(body: &[u8]) -> Result<&[u8], Malformed> {
    whole_string(body).ok_or(Malformed("CommandComplete"))
}

/// Appends a RowDescription (`T`) of columns of type `text`.
pub fn encode_row_description(out: &mut Vec<u8>, columns: &[&str]) {
    /// The OID of `text`.
    const TEXT: i32 = 25;
    put(out, b'T', |out| {
        put_count(out, columns.len());
        for column in columns {
            put_cstr(out, column.as_bytes());
            out.extend_from_slice(&[0; 6]); // no table, no column of one
            out.extend_from_slice(&TEXT.to_be_bytes());
            out.extend_from_slice(&(-1i16).to_be_bytes()); // of any length
            out.extend_from_slice(&(-1i32).to_be_bytes()); // no modifier
            out.extend_from_slice(&[0; 2]); // as text
        }
    });
}

/// Reads the column names of a RowDescription (`T`).
pub fn decode_row_description(body: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    let mut fields = Reader::new(body);
    let mut read = || {
        let count = usize::try_from(fields.int16()?).ok()?;
        let columns: Option<Vec<_>> = (0..count)
            .map(|_| {
                let name = fields.cstring()?;
                fields.bytes(18)?;
                Some(name)
            })
            .collect();
        columns
    };
    let columns = read().ok_or(Malformed("RowDescription"))?;
    fields.end().map(|()| columns).ok_or(Malformed("RowDescription"))
}

/// Appends a DataRow (`D`).
pub fn encode_data_row(out: &mut Vec<u8>, values: &[Option<&[u8]>]) {
    put(out, b'D', |out| {
        put_count(out, values.len());
        for value in values {
            put_bytes(out, *value);
        }
    });
}

/// Reads the values of a DataRow (`D`), `None` for NULL.
pub fn decode_data_row(body: &[u8]) -> Result<Vec<Option<&[u8]>>, Malformed> {
    let mut fields = Reader::new(body);
    let mut read = || {
        let count = usize::try_from(fields.int16()?).ok()?;
        let values: Option<Vec<_>> = (0..count)
            .map(|_| match fields.int32()? {
                -1 => Some(None),
                length => fields.bytes(usize::try_from(length).ok()?).map(Some),
            })
            .collect();
        values
    };
    let values = read().ok_or(Malformed("DataRow"))?;
    fields.end().map(|()| values).ok_or(Malformed("DataRow"))
}

fn whole_string(body: &[u8]) -> Option<&[u8]> {
    let mut fields = Reader::new(body);
    let text = fields.cstring()?;
    fields.end().map(|()| text)
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&i16::try_from(count).unwrap_or(i16::MAX).to_be_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let length = bytes.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes.unwrap_or_default());
}

#[cfg(test)]
mod tests;
