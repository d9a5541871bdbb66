//! The client's side: it proves to a server who it is, and has the server prove that it knows the user.

use std::{num::NonZeroU32, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq;

use super::{
    Key, MAX_ITERATIONS, NONCE_BYTES, ScramKeys, Stretch, attribute, decode_key, hmac_sha256, put_base64, xor,
};
use crate::auth::secrets::Password;

/// The channel-binding flag: none, since there is no TLS to bind to.
const GS2_HEADER: &[u8] = b"n,,";

/// An exchange with a server, from its first answer on.
#[derive(Debug)]
pub struct ScramClient(State);

#[derive(Debug)]
enum State {
    Begun { means: Means, bare: Vec<u8> },
    Proved { server_signature: Key },
}

#[derive(Debug)]
enum Means {
    Password(Password),
    Keys(Arc<ScramKeys>),
}

/// Where the exchange stands after a server's message.
#[derive(Debug)]
pub enum ClientStep {
    /// Send this and wait for the next message.
    Continue {
        /// The exchange from here on.
        next: ScramClient,
        /// What the server is told.
        reply: Vec<u8>,
    },
    /// A password must be stretched first: milliseconds, so not on a worker.
    Derive(Derivation),
    /// Both sides have proved themselves.
    Done,
    /// The exchange failed.
    Failed(ScramError),
}

/// Why we cannot log in by SCRAM.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// The server did not keep to the protocol.
    #[error("malformed SCRAM message from the server: {0}")]
    Malformed(&'static str),
    /// The server asks for more rounds than we grant.
    #[error("the server asks for {0} SCRAM iterations, more than {MAX_ITERATIONS}")]
    TooSlow(NonZeroU32),
    /// Keys of another verifier.
    #[error(
        "the user's SCRAM secret on the server has another salt or iteration count than the one the client \
         logged in with"
    )]
    OtherVerifier,
    /// The server's own error word.
    #[error("the server ended the SCRAM exchange: {0}")]
    Server(String),
    /// The server does not know the user's secret: not the server it should be.
    #[error("the server's SCRAM signature is wrong")]
    Impostor,
}

impl ScramClient {
    /// Begins with a password, and the first message to send. `nonce` must be random and used once.
    pub fn with_password(password: Password, nonce: [u8; NONCE_BYTES]) -> (Self, Vec<u8>) {
        Self::begin(Means::Password(password), nonce)
    }

    /// Begins with keys, and the first message to send. `nonce` must be random and used once.
    pub fn with_keys(keys: Arc<ScramKeys>, nonce: [u8; NONCE_BYTES]) -> (Self, Vec<u8>) {
        Self::begin(Means::Keys(keys), nonce)
    }

    fn begin(means: Means, nonce: [u8; NONCE_BYTES]) -> (Self, Vec<u8>) {
        let mut bare = b"n=,r=".to_vec();
        put_base64(&mut bare, &nonce);
        let first = [GS2_HEADER, &bare].concat();
        (Self(State::Begun { means, bare }), first)
    }

    /// Takes the server's next message.
    pub fn exchange(self, message: &[u8]) -> ClientStep {
        match self.0 {
            State::Begun { means, bare } => match answer(means, bare, message) {
                Ok(step) => step,
                Err(error) => ClientStep::Failed(error),
            },
            State::Proved { server_signature } => match confirm(&server_signature, message) {
                Ok(()) => ClientStep::Done,
                Err(error) => ClientStep::Failed(error),
            },
        }
    }
}

/// server-first-message to client-final-message.
fn answer(means: Means, bare: Vec<u8>, message: &[u8]) -> Result<ClientStep, ScramError> {
    let challenge = Challenge::read(bare, message)?;
    let keys = match means {
        Means::Keys(keys) if *keys.stretch() == challenge.stretch => keys,
        Means::Keys(_) => return Err(ScramError::OtherVerifier),
        Means::Password(password) => match password.keys_for(&challenge.stretch) {
            Some(keys) => keys,
            None => return Ok(ClientStep::Derive(Derivation { password, challenge })),
        },
    };
    let (next, reply) = challenge.prove(&keys);
    Ok(ClientStep::Continue { next, reply })
}

/// server-final-message.
fn confirm(expected: &Key, message: &[u8]) -> Result<(), ScramError> {
    let mut rest = message;
    if let Some(error) = attribute(&mut rest, b'e') {
        return Err(ScramError::Server(String::from_utf8_lossy(error).into_owned()));
    }
    let signature =
        attribute(&mut rest, b'v').and_then(decode_key).ok_or(ScramError::Malformed("no signature"))?;
    if signature.ct_eq(expected).into() { Ok(()) } else { Err(ScramError::Impostor) }
}

/// A password waiting to be stretched, and the exchange that waits for it.
#[derive(Debug)]
pub struct Derivation {
    password: Password,
    challenge: Challenge,
}

impl Derivation {
    /// Stretches the password (milliseconds) and goes on: the exchange, and the message to send. The password
    /// remembers its keys, so that the next login to the same server need not do this.
    pub fn run(self) -> (ScramClient, Vec<u8>) {
        let keys = self.password.derive_keys(self.challenge.stretch.clone());
        self.challenge.prove(&keys)
    }
}

#[derive(Debug)]
struct Challenge {
    stretch: Stretch,
    /// Our first message and the server's, each with a comma behind it, as they are signed.
    signed: Vec<u8>,
    /// Our last message up to the proof.
    unproved: Vec<u8>,
}

impl Challenge {
    fn read(bare: Vec<u8>, message: &[u8]) -> Result<Self, ScramError> {
        let our_nonce = &bare[b"n=,r=".len()..];
        let mut rest = message;
        let nonce = attribute(&mut rest, b'r').ok_or(ScramError::Malformed("no nonce"))?;
        if !nonce.starts_with(our_nonce) || nonce.len() == our_nonce.len() {
            return Err(ScramError::Malformed("not our nonce"));
        }
        let salt = attribute(&mut rest, b's').and_then(|salt| STANDARD.decode(salt).ok());
        let salt = salt.filter(|salt| !salt.is_empty()).ok_or(ScramError::Malformed("no salt"))?;
        let iterations = attribute(&mut rest, b'i')
            .and_then(|count| std::str::from_utf8(count).ok())
            .and_then(|count| count.parse::<NonZeroU32>().ok())
            .ok_or(ScramError::Malformed("no iteration count"))?;
        if iterations > MAX_ITERATIONS {
            return Err(ScramError::TooSlow(iterations));
        }
        let mut unproved = b"c=".to_vec();
        put_base64(&mut unproved, GS2_HEADER);
        unproved.extend_from_slice(b",r=");
        unproved.extend_from_slice(nonce);
        let mut signed = bare;
        signed.push(b',');
        signed.extend_from_slice(message);
        signed.push(b',');
        Ok(Self { stretch: Stretch { salt: salt.into(), iterations }, signed, unproved })
    }

    fn prove(self, keys: &ScramKeys) -> (ScramClient, Vec<u8>) {
        let Self { mut signed, unproved: mut reply, .. } = self;
        signed.extend_from_slice(&reply);
        let proof = xor(&keys.client_key, &hmac_sha256(&keys.stored_key(), &signed));
        reply.extend_from_slice(b",p=");
        put_base64(&mut reply, &proof);
        let server_signature = hmac_sha256(&keys.server_key, &signed);
        (ScramClient(State::Proved { server_signature }), reply)
    }
}
