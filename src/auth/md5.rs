//! The `md5` method: `md5(md5(password + user) + salt)`, each digest as hexadecimal text.

use std::fmt;

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use super::Failure;

/// `md5(password + user)`: what PostgreSQL stores behind `md5`, and all that is needed to log in by this method.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Md5Hash([u8; 32]);

impl Md5Hash {
    /// Reads a stored secret: `md5` and 32 lower-case hexadecimal digits. Anything else is a password.
    pub fn parse(secret: &str) -> Option<Self> {
        let digits: [u8; 32] = secret.strip_prefix("md5")?.as_bytes().try_into().ok()?;
        digits.iter().all(|d| matches!(d, b'0'..=b'9' | b'a'..=b'f')).then_some(Self(digits))
    }

    /// The hash of a user's password.
    pub fn of(password: &[u8], user: &str) -> Self {
        Self(hex_digest(password, user.as_bytes()))
    }

    /// A hash that no password has, made of these bytes.
    pub(super) fn from_noise(noise: [u8; 16]) -> Self {
        Self(hex(noise))
    }

    /// The answer to a challenge, `md5…`.
    pub fn answer(&self, salt: [u8; 4]) -> [u8; 35] {
        let mut answer = *b"md5--------------------------------";
        answer[3..].copy_from_slice(&hex_digest(&self.0, &salt));
        answer
    }

    /// Whether `password` is this user's, in time that does not depend on where they differ.
    pub fn is_of(&self, password: &[u8], user: &str) -> bool {
        Self::of(password, user).0.ct_eq(&self.0).into()
    }
}

impl fmt::Debug for Md5Hash {
    /// Without the digits: they suffice to log in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Md5Hash(…)")
    }
}

/// Asks a client for its md5 answer.
#[derive(Debug)]
pub struct Md5Server {
    expected: Md5Hash,
    salt: [u8; 4],
}

impl Md5Server {
    /// Expects an answer made of `expected` and `salt`. For a user without a secret give a mock's hash.
    pub const fn new(expected: Md5Hash, salt: [u8; 4]) -> Self {
        Self { expected, salt }
    }

    /// The salt that the client is sent.
    pub const fn salt(&self) -> [u8; 4] {
        self.salt
    }

    /// Judges the client's answer.
    pub fn exchange(self, answer: &[u8]) -> Result<(), Failure> {
        let right = self.expected.answer(self.salt).ct_eq(answer);
        if right.into() { Ok(()) } else { Err(Failure::WrongPassword) }
    }
}

fn hex_digest(first: &[u8], second: &[u8]) -> [u8; 32] {
    hex(Md5::new().chain_update(first).chain_update(second).finalize().into())
}

fn hex(bytes: [u8; 16]) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_postgres_protocol_has_it() {
        for (user, password, salt) in [("md5_user", "password", [0x2a, 0x3d, 0x8f, 0xe0]), ("ü", "", [0; 4])]
        {
            let hash = Md5Hash::of(password.as_bytes(), user);
            let expected =
                postgres_protocol::authentication::md5_hash(user.as_bytes(), password.as_bytes(), salt);
            assert_eq!(hash.answer(salt), expected.as_bytes());
            assert_eq!(Md5Server::new(hash.clone(), salt).exchange(expected.as_bytes()), Ok(()));
            let wrong = Md5Hash::of(b"other", user).answer(salt);
            for answer in [&wrong[..], b"", &expected.as_bytes()[..34]] {
                let server = Md5Server::new(hash.clone(), salt);
                assert_eq!(server.exchange(answer), Err(Failure::WrongPassword));
            }
            assert!(hash.is_of(password.as_bytes(), user) && !hash.is_of(b"other", user));
            let stored = postgres_protocol::password::md5(password.as_bytes(), user);
            assert_eq!(Md5Hash::parse(&stored), Some(hash));
        }
    }

    #[test]
    fn what_is_no_hash_is_a_password() {
        for text in ["", "md5", "md5ABCDEF0123456789ABCDEF0123456789", "0123456789abcdef0123456789abcdef"] {
            assert_eq!(Md5Hash::parse(text), None, "{text}");
        }
    }
}
