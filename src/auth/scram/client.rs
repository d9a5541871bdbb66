//! The client's side: it proves to a server who it is, and has the server prove that it knows the user.

use std::{num::NonZeroU32, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq;

use super::{
    BOUND_HEADER, Key, MAX_ITERATIONS, NONCE_BYTES, ScramKeys, Stretch, attribute, decode_key, hmac_sha256,
    put_base64, xor,
};
use crate::{auth::secrets::Password, tls::EndPoint};

/// What a login is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    /// Nothing: there is no TLS, or the server's certificate leaves open how it would be bound.
    #[default]
    Impossible,
    /// Nothing, because the server does not offer it. It is told that we could: if somebody has taken its offer
    /// away, it knows.
    NotOffered,
    /// The server's certificate.
    Bound(EndPoint),
}

impl Binding {
    const fn header(&self) -> &'static [u8] {
        match self {
            Self::Impossible => b"n,,",
            Self::NotOffered => b"y,,",
            Self::Bound(_) => BOUND_HEADER,
        }
    }

    /// What is repeated in the last message: the header, and what it announces.
    fn proof(&self) -> Vec<u8> {
        match self {
            Self::Impossible | Self::NotOffered => self.header().to_vec(),
            Self::Bound(end_point) => [self.header(), end_point.bytes()].concat(),
        }
    }
}

/// An exchange with a server, from its first answer on.
#[derive(Debug)]
pub struct ScramClient(State);

#[derive(Debug)]
enum State {
    Begun { means: Means, bare: Vec<u8>, binding: Binding },
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
    pub fn with_password(password: Password, nonce: [u8; NONCE_BYTES], binding: Binding) -> (Self, Vec<u8>) {
        Self::begin(Means::Password(password), nonce, binding)
    }

    /// Begins with keys, and the first message to send. `nonce` must be random and used once.
    pub fn with_keys(keys: Arc<ScramKeys>, nonce: [u8; NONCE_BYTES], binding: Binding) -> (Self, Vec<u8>) {
        Self::begin(Means::Keys(keys), nonce, binding)
    }

    fn begin(means: Means, nonce: [u8; NONCE_BYTES], binding: Binding) -> (Self, Vec<u8>) {
        let mut bare = b"n=,r=".to_vec();
        put_base64(&mut bare, &nonce);
        let first = [binding.header(), &bare].concat();
        (Self(State::Begun { means, bare, binding }), first)
    }

    /// Takes the server's next message.
    pub fn exchange(self, message: &[u8]) -> ClientStep {
        match self.0 {
            State::Begun { means, bare, binding } => match answer(means, bare, &binding, message) {
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
fn answer(means: Means, bare: Vec<u8>, binding: &Binding, message: &[u8]) -> Result<ClientStep, ScramError> {
    let challenge = Challenge::read(bare, binding, message)?;
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
    fn read(bare: Vec<u8>, binding: &Binding, message: &[u8]) -> Result<Self, ScramError> {
        // The last attribute of our first message; base64 has no comma.
        let our_nonce = bare.rsplit(|byte| *byte == b',').next().and_then(|last| last.strip_prefix(b"r="));
        let our_nonce = our_nonce.unwrap_or(&bare);
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
        put_base64(&mut unproved, &binding.proof());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::scram::tests::{AUTHENTICATED, CLIENT_FIRST_BARE, SERVER_FINAL, SERVER_FIRST, rfc7677};

    #[test]
    fn the_example_of_rfc_7677() {
        let challenge =
            Challenge::read(CLIENT_FIRST_BARE.to_vec(), &Binding::Impossible, SERVER_FIRST).unwrap();
        let (client, last) = challenge.prove(&rfc7677());
        assert_eq!(String::from_utf8_lossy(&last), String::from_utf8_lossy(AUTHENTICATED));
        assert!(matches!(client.exchange(SERVER_FINAL), ClientStep::Done));
    }

    #[test]
    fn servers_that_do_not_keep_to_it() {
        let keys = Arc::new(rfc7677());
        let nonce = || ScramClient::with_keys(Arc::clone(&keys), [0; NONCE_BYTES], Binding::Impossible);
        let ours = "A".repeat(24);
        for (first, expected) in [
            (String::new(), "no nonce"),
            ("r=other,s=c2FsdA==,i=4096".to_owned(), "not our nonce"),
            (format!("r={ours},s=c2FsdA==,i=4096"), "not our nonce"),
            (format!("m=x,r={ours}1,s=c2FsdA==,i=4096"), "no nonce"),
            (format!("r={ours}1,i=4096"), "no salt"),
            (format!("r={ours}1,s=,i=4096"), "no salt"),
            (format!("r={ours}1,s=c2FsdA==,i=0"), "no iteration count"),
            (format!("r={ours}1,s=c2FsdA==,i=-1"), "no iteration count"),
            (format!("r={ours}1,s=c2FsdA==,i=1000001"), "1000001 SCRAM iterations"),
            (format!("r={ours}1,s=c2FsdA==,i=4096"), "another salt or iteration count"),
        ] {
            match nonce().0.exchange(first.as_bytes()) {
                ClientStep::Failed(error) => {
                    assert!(error.to_string().contains(expected), "{first}: {error}")
                }
                other => panic!("{first}: {other:?}"),
            }
        }
        let proved = || {
            Challenge::read(CLIENT_FIRST_BARE.to_vec(), &Binding::Impossible, SERVER_FIRST)
                .unwrap()
                .prove(&keys)
                .0
        };
        for (last, expected) in [
            (&b"e=other-error"[..], ScramError::Server("other-error".to_owned())),
            (b"v=", ScramError::Malformed("no signature")),
            (b"v=AAAA", ScramError::Malformed("no signature")),
            (b"", ScramError::Malformed("no signature")),
            (b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", ScramError::Impostor),
        ] {
            let step = proved().exchange(last);
            assert!(matches!(&step, ClientStep::Failed(error) if *error == expected), "{step:?}");
        }
    }
}
