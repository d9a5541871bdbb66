//! SCRAM-SHA-256 (RFC 5802, RFC 7677), as PostgreSQL uses it: keys, verifiers and what both sides share.
//!
//! PostgreSQL ignores the user name inside SCRAM: the startup packet's counts. Over TLS a login can be bound to the
//! connection (SCRAM-SHA-256-PLUS, `tls-server-end-point`), so that nobody in the middle can pass it on.

use std::{fmt, num::NonZeroU32};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{digest, hmac, pbkdf2};
use subtle::ConstantTimeEq;

mod client;
mod server;

pub use client::{Binding, ClientStep, Derivation, ScramClient, ScramError};
pub use server::{ScramDone, ScramServer};

/// The mechanism's name.
pub const MECHANISM: &[u8] = b"SCRAM-SHA-256";
/// Its name where the login is bound to the TLS connection.
pub const MECHANISM_PLUS: &[u8] = b"SCRAM-SHA-256-PLUS";
/// What precedes the first message of a login that is bound (RFC 5802, "gs2-header"; RFC 5929).
const BOUND_HEADER: &[u8] = b"p=tls-server-end-point,,";
/// PostgreSQL's `scram_iterations` where nobody changed it.
pub const DEFAULT_ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();
/// More rounds than this are refused: they would keep a thread busy for the better part of a second.
pub const MAX_ITERATIONS: NonZeroU32 = NonZeroU32::new(1_000_000).unwrap();
/// Random bytes in a nonce, as PostgreSQL has it; 24 characters of base64.
pub const NONCE_BYTES: usize = 18;
/// PostgreSQL's salts have this many bytes.
pub const SALT_BYTES: usize = 16;
/// Bytes in a key, a signature or a proof.
const KEY_BYTES: usize = 32;

type Key = [u8; KEY_BYTES];

/// How a password is stretched: a user's salt and number of rounds. Keys made with others are of no use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stretch {
    /// The salt.
    pub salt: Box<[u8]>,
    /// Rounds of PBKDF2.
    pub iterations: NonZeroU32,
}

/// What a server stores of a user: enough to check a proof, not enough to make one.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    stretch: Stretch,
    stored_key: Key,
    server_key: Key,
}

impl ScramVerifier {
    /// Reads PostgreSQL's form: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, each in base64.
    pub fn parse(secret: &str) -> Option<Self> {
        let (iterations, rest) = secret.strip_prefix("SCRAM-SHA-256$")?.split_once(':')?;
        let (salt, keys) = rest.split_once('$')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let salt: Box<[u8]> = STANDARD.decode(salt).ok()?.into();
        let stretch = Stretch { salt, iterations: iterations.parse().ok()? };
        Some(Self {
            stretch,
            stored_key: decode_key(stored_key.as_bytes())?,
            server_key: decode_key(server_key.as_bytes())?,
        })
    }

    /// Stretches a password; milliseconds, so never on a worker.
    pub fn derive(password: &[u8], stretch: Stretch) -> Self {
        ScramKeys::derive(password, stretch).verifier()
    }

    /// A verifier that no password passes, made of these bytes.
    pub(super) const fn from_noise(stretch: Stretch, noise: Key) -> Self {
        Self { stretch, stored_key: noise, server_key: noise }
    }

    /// Salt and rounds.
    pub const fn stretch(&self) -> &Stretch {
        &self.stretch
    }

    /// Whether this is the user's password. Stretches it: never on a worker.
    pub fn is_of(&self, password: &[u8]) -> bool {
        let keys = ScramKeys::derive(password, self.stretch.clone());
        keys.stored_key().ct_eq(&self.stored_key).into()
    }
}

impl fmt::Debug for ScramVerifier {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramVerifier").field("iterations", &self.stretch.iterations).finish_non_exhaustive()
    }
}

impl fmt::Display for ScramVerifier {
    /// PostgreSQL's form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stretch { salt, iterations } = &self.stretch;
        let [stored, server] = [STANDARD.encode(self.stored_key), STANDARD.encode(self.server_key)];
        write!(f, "SCRAM-SHA-256${iterations}:{}${stored}:{server}", STANDARD.encode(salt))
    }
}

/// What logs a user in wherever the verifier has the same salt and rounds: no password needed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ScramKeys {
    stretch: Stretch,
    client_key: Key,
    server_key: Key,
}

impl ScramKeys {
    /// Stretches a password, prepared as PostgreSQL prepares it; milliseconds, so never on a worker.
    pub fn derive(password: &[u8], stretch: Stretch) -> Self {
        let mut salted = [0; KEY_BYTES];
        let prepared = prepare(password);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, stretch.iterations, &stretch.salt, &prepared, &mut salted);
        Self {
            client_key: hmac_sha256(&salted, b"Client Key"),
            server_key: hmac_sha256(&salted, b"Server Key"),
            stretch,
        }
    }

    /// Salt and rounds.
    pub const fn stretch(&self) -> &Stretch {
        &self.stretch
    }

    /// The verifier that these keys pass.
    pub fn verifier(&self) -> ScramVerifier {
        ScramVerifier {
            stretch: self.stretch.clone(),
            stored_key: self.stored_key(),
            server_key: self.server_key,
        }
    }

    fn stored_key(&self) -> Key {
        sha256(&self.client_key)
    }
}

impl fmt::Debug for ScramKeys {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramKeys").field("iterations", &self.stretch.iterations).finish_non_exhaustive()
    }
}

/// SASLprep (RFC 4013); what it forbids, or what is not UTF-8, is taken as it is, as PostgreSQL does.
fn prepare(password: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    let prepared = std::str::from_utf8(password).ok().and_then(|text| stringprep::saslprep(text).ok());
    match prepared {
        Some(std::borrow::Cow::Owned(text)) if !text.is_empty() => text.into_bytes().into(),
        _ => password.into(),
    }
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> Key {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    let mut out = [0; KEY_BYTES];
    out.copy_from_slice(tag.as_ref());
    out
}

fn sha256(message: &[u8]) -> Key {
    let mut out = [0; KEY_BYTES];
    out.copy_from_slice(digest::digest(&digest::SHA256, message).as_ref());
    out
}

fn xor(a: &Key, b: &Key) -> Key {
    std::array::from_fn(|i| a[i] ^ b[i])
}

fn decode_key(text: &[u8]) -> Option<Key> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// Appends the base64 of `bytes`.
fn put_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    /// The base64 of a key, which is the longest thing sent but for long salts.
    const SHORT: usize = 48;
    let mut text = [0; SHORT];
    match STANDARD.encode_slice(bytes, &mut text) {
        Ok(length) => out.extend_from_slice(&text[..length]),
        Err(_) => out.extend_from_slice(STANDARD.encode(bytes).as_bytes()),
    }
}

/// The value of the attribute `name=…` that must come next in a message; what follows its comma is left.
fn attribute<'a>(message: &mut &'a [u8], name: u8) -> Option<&'a [u8]> {
    let value = message.strip_prefix(&[name, b'='])?;
    let end = memchr::memchr(b',', value).unwrap_or(value.len());
    *message = value.get(end + 1..).unwrap_or_default();
    Some(&value[..end])
}

#[cfg(test)]
mod tests;
