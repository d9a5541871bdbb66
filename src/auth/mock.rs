//! Unknown users: they are asked and refused exactly as users with a wrong password are.

use std::{fmt, sync::Arc};

use ring::hmac;

use super::{
    md5::Md5Hash,
    scram::{SALT_BYTES, ScramVerifier, Stretch},
    secrets::{SecretKind, Typical, UserSecret},
};

/// Makes up what an unknown user would have: the same at every attempt, different for every user and process.
#[derive(Clone)]
pub struct Mock(hmac::Key);

impl Mock {
    /// `secret` must be random; one for the life of the process, or an attacker could tell the unknown users by
    /// their changing salts.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &secret))
    }

    /// Salt and rounds for a user who has none of his own: an unknown one, or one whose password we know.
    pub fn stretch(&self, user: &str, typical: Typical) -> Stretch {
        let salt = self.noise(b"salt", user);
        Stretch { salt: salt[..SALT_BYTES].into(), iterations: typical.iterations }
    }

    /// A verifier that nobody passes.
    pub fn verifier(&self, user: &str, typical: Typical) -> Arc<ScramVerifier> {
        Arc::new(ScramVerifier::from_noise(self.stretch(user, typical), self.noise(b"key", user)))
    }

    /// An md5 hash that nobody knows.
    pub fn md5_hash(&self, user: &str) -> Md5Hash {
        let noise = self.noise(b"md5", user);
        let mut half = [0; 16];
        half.copy_from_slice(&noise[..16]);
        Md5Hash::from_noise(half)
    }

    /// A secret such as most users have, that nobody can prove to know.
    pub fn secret(&self, user: &str, typical: Typical) -> UserSecret {
        match typical.kind {
            SecretKind::Scram => UserSecret::Scram(self.verifier(user, typical)),
            SecretKind::Md5 | SecretKind::Password | SecretKind::Missing => {
                UserSecret::Md5(self.md5_hash(user))
            }
        }
    }

    fn noise(&self, purpose: &[u8], user: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(purpose);
        context.update(user.as_bytes());
        let mut noise = [0; 32];
        noise.copy_from_slice(context.sign().as_ref());
        noise
    }
}

impl fmt::Debug for Mock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mock(…)")
    }
}
