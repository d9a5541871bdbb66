//! The server's side: it asks a client for proof.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq;

use super::{
    BOUND_HEADER, Key, MECHANISM, MECHANISM_PLUS, NONCE_BYTES, ScramKeys, ScramVerifier, attribute,
    decode_key, hmac_sha256, put_base64, sha256, xor,
};
use crate::{
    auth::{Failure, Step},
    tls::EndPoint,
    wire::error::{PgError, SqlState},
};

/// An exchange with a client, from its first message on.
#[derive(Debug)]
pub struct ScramServer {
    verifier: Arc<ScramVerifier>,
    channel: Channel,
    state: State,
}

/// What the client's proof is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Channel {
    /// There is nothing to bind it to.
    Unbindable,
    /// Nothing, although it was offered.
    Offered(EndPoint),
    /// The TLS connection.
    Bound(EndPoint),
}

/// What a successful exchange yields.
#[derive(Debug, PartialEq, Eq)]
pub struct ScramDone {
    /// The last message, which proves to the client that we know the user.
    pub reply: Vec<u8>,
    /// The client's keys: they log in to every server with the same verifier.
    pub keys: ScramKeys,
}

#[derive(Debug)]
enum State {
    /// Nothing came yet; our part of the nonce, in base64.
    Begun([u8; 24]),
    Challenged(Box<Challenged>),
}

#[derive(Debug)]
struct Challenged {
    /// The two messages so far, each with a comma behind it, as they are signed.
    signed: Vec<u8>,
    /// Where in `signed` the whole nonce stands.
    nonce: std::ops::Range<usize>,
    /// What the client must repeat as its channel binding.
    binding: Vec<u8>,
}

impl ScramServer {
    /// Asks for proof of the password behind `verifier`; for a user without one give a mock's, which nobody
    /// passes. `nonce` must be random and used once. `end_point` is what the proof can be bound to, if anything.
    pub fn new(verifier: Arc<ScramVerifier>, nonce: [u8; NONCE_BYTES], end_point: Option<EndPoint>) -> Self {
        let mut text = [b'A'; 24];
        // 18 bytes make exactly 24 characters.
        let _ = STANDARD.encode_slice(nonce, &mut text);
        let channel = end_point.map_or(Channel::Unbindable, Channel::Offered);
        Self { verifier, channel, state: State::Begun(text) }
    }

    /// Whether the client is offered to bind its proof to the connection.
    pub fn offers_binding(&self) -> bool {
        self.channel != Channel::Unbindable
    }

    /// The client's choice of a mechanism; `None` for one that was not offered.
    pub fn choose(self, mechanism: &[u8]) -> Option<Self> {
        let channel = match (mechanism, self.channel) {
            (MECHANISM, channel) => channel,
            (MECHANISM_PLUS, Channel::Offered(end_point)) => Channel::Bound(end_point),
            _ => return None,
        };
        Some(Self { channel, ..self })
    }

    /// Takes the client's next message.
    pub fn exchange(self, message: &[u8]) -> Step<Self, ScramDone> {
        let step = match self.state {
            _ if message.is_empty() => Err(malformed("The message is empty.")),
            _ if message.contains(&0) => Err(malformed("Message length does not match input length.")),
            State::Begun(nonce) => {
                challenge(&self.verifier, &self.channel, &nonce, message).map(|(challenged, reply)| {
                    let state = State::Challenged(Box::new(challenged));
                    Step::Continue { next: Self { state, ..self }, reply }
                })
            }
            State::Challenged(challenged) => {
                judge(&self.verifier, &self.channel, *challenged, message).map(Step::Done)
            }
        };
        step.unwrap_or_else(Step::Failed)
    }
}

/// client-first-message to server-first-message.
fn challenge(
    verifier: &ScramVerifier,
    channel: &Channel,
    our_nonce: &[u8; 24],
    message: &[u8],
) -> Result<(Challenged, Vec<u8>), Failure> {
    let (header, bare) = gs2_header(channel, message)?;
    let mut binding = Vec::new();
    match channel {
        Channel::Bound(end_point) => put_base64(&mut binding, &[header, end_point.bytes()].concat()),
        Channel::Unbindable | Channel::Offered(_) => put_base64(&mut binding, header),
    }
    let mut rest = bare;
    if rest.starts_with(b"m=") {
        let text = "client requires an unsupported SCRAM extension";
        return Err(refused(SqlState::FEATURE_NOT_SUPPORTED, text));
    }
    attribute(&mut rest, b'n').ok_or_else(|| malformed("Expected the attribute \"n\"."))?;
    let their_nonce = attribute(&mut rest, b'r').ok_or_else(|| malformed("Expected the attribute \"r\"."))?;
    if their_nonce.is_empty() || !their_nonce.iter().all(u8::is_ascii_graphic) {
        return Err(refused(SqlState::PROTOCOL_VIOLATION, "non-printable characters in SCRAM nonce"));
    }

    let mut signed = Vec::with_capacity(2 * bare.len() + 256);
    signed.extend_from_slice(bare);
    signed.extend_from_slice(b",r=");
    let nonce = signed.len()..signed.len() + their_nonce.len() + our_nonce.len();
    signed.extend_from_slice(their_nonce);
    signed.extend_from_slice(our_nonce);
    signed.extend_from_slice(b",s=");
    put_base64(&mut signed, &verifier.stretch.salt);
    signed.extend_from_slice(format!(",i={}", verifier.stretch.iterations).as_bytes());
    let reply = signed[bare.len() + 1..].to_vec();
    signed.push(b',');
    Ok((Challenged { signed, nonce, binding }, reply))
}

/// The gs2 header: itself, which the last message must repeat, and what follows it.
fn gs2_header<'m>(channel: &Channel, message: &'m [u8]) -> Result<(&'m [u8], &'m [u8]), Failure> {
    let flag_length = match (message, channel) {
        ([b'n' | b'y', ..], Channel::Bound(_)) => {
            return Err(malformed(
                "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding \
                 data.",
            ));
        }
        // It could bind, and has not seen our offer: somebody has taken it away.
        ([b'y', ..], Channel::Offered(_)) => {
            let error =
                PgError::fatal(SqlState::INVALID_AUTHORIZATION, "SCRAM channel binding negotiation error");
            return Err(Failure::Violation(Box::new(error.detail(
                "The client supports SCRAM channel binding but thinks the server does not.  However, this server \
                 does support channel binding.",
            ))));
        }
        ([b'n' | b'y', b',', ..], _) => 1,
        ([b'n' | b'y', ..], _) => return Err(malformed("Comma expected, but found another character.")),
        ([b'p', ..], Channel::Bound(_)) => {
            if !message.starts_with(BOUND_HEADER.strip_suffix(b",").unwrap_or(BOUND_HEADER)) {
                return Err(refused(SqlState::PROTOCOL_VIOLATION, "unsupported SCRAM channel-binding type"));
            }
            BOUND_HEADER.len() - 2
        }
        ([b'p', ..], _) => {
            return Err(malformed(
                "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes \
                 channel binding data.",
            ));
        }
        _ => return Err(malformed("Unexpected channel-binding flag.")),
    };
    match message.get(flag_length + 1..) {
        Some([b',', bare @ ..]) => Ok((&message[..flag_length + 2], bare)),
        Some([b'a', ..]) => {
            let text = "client uses authorization identity, but it is not supported";
            Err(refused(SqlState::FEATURE_NOT_SUPPORTED, text))
        }
        _ => Err(malformed("Unexpected attribute in client-first-message.")),
    }
}

/// client-final-message to server-final-message.
fn judge(
    verifier: &ScramVerifier,
    channel: &Channel,
    challenged: Challenged,
    message: &[u8],
) -> Result<ScramDone, Failure> {
    let Challenged { mut signed, nonce, binding } = challenged;
    let mut rest = message;
    let their_binding =
        attribute(&mut rest, b'c').ok_or_else(|| malformed("Expected the attribute \"c\"."))?;
    if their_binding != binding {
        if let Channel::Bound(_) = channel {
            let text = "SCRAM channel binding check failed";
            return Err(refused(SqlState::INVALID_AUTHORIZATION, text));
        }
        let text = "unexpected SCRAM channel-binding attribute in client-final-message";
        return Err(refused(SqlState::PROTOCOL_VIOLATION, text));
    }
    let their_nonce = attribute(&mut rest, b'r').ok_or_else(|| malformed("Expected the attribute \"r\"."))?;
    if their_nonce != &signed[nonce] {
        let error = PgError::fatal(SqlState::PROTOCOL_VIOLATION, "invalid SCRAM response");
        return Err(Failure::Violation(Box::new(error.detail("Nonce does not match."))));
    }
    // The proof is the last attribute; extensions before it are signed and otherwise ignored. Base64 has no comma.
    let at =
        memchr::memmem::rfind(message, b",p=").ok_or_else(|| malformed("Expected the attribute \"p\"."))?;
    let proof = decode_key(&message[at + 3..])
        .ok_or_else(|| malformed("Malformed proof in client-final-message."))?;
    signed.extend_from_slice(&message[..at]);

    let client_key = xor(&proof, &hmac_sha256(&verifier.stored_key, &signed));
    if !bool::from(sha256(&client_key).ct_eq(&verifier.stored_key)) {
        return Err(Failure::WrongPassword);
    }
    let signature: Key = hmac_sha256(&verifier.server_key, &signed);
    let mut reply = b"v=".to_vec();
    put_base64(&mut reply, &signature);
    let keys = ScramKeys { stretch: verifier.stretch.clone(), client_key, server_key: verifier.server_key };
    Ok(ScramDone { reply, keys })
}

fn malformed(detail: &'static str) -> Failure {
    let error = PgError::fatal(SqlState::PROTOCOL_VIOLATION, "malformed SCRAM message");
    Failure::Violation(Box::new(error.detail(detail)))
}

fn refused(code: SqlState, text: &'static str) -> Failure {
    Failure::Violation(Box::new(PgError::fatal(code, text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::scram::tests::{AUTHENTICATED, CLIENT_FIRST_BARE, SERVER_FINAL, SERVER_FIRST, rfc7677};

    /// The state behind the example's second message.
    fn challenged() -> Challenged {
        let signed = [CLIENT_FIRST_BARE, b",", SERVER_FIRST, b","].concat();
        let start = CLIENT_FIRST_BARE.len() + b",r=".len();
        let end = start + SERVER_FIRST.iter().position(|b| *b == b',').unwrap() - b"r=".len();
        Challenged { signed, nonce: start..end, binding: b"biws".to_vec() }
    }

    #[test]
    fn the_example_of_rfc_7677() {
        let keys = rfc7677();
        let done = judge(&keys.verifier(), &Channel::Unbindable, challenged(), AUTHENTICATED).unwrap();
        assert_eq!(done, ScramDone { reply: SERVER_FINAL.to_vec(), keys });
    }

    #[test]
    fn a_proof_that_is_cut_or_bent_anywhere_proves_nothing() {
        let verifier = rfc7677().verifier();
        for at in 0..AUTHENTICATED.len() {
            assert!(
                judge(&verifier, &Channel::Unbindable, challenged(), &AUTHENTICATED[..at]).is_err(),
                "cut at {at}"
            );
            let mut bent = AUTHENTICATED.to_vec();
            bent[at] ^= 1;
            assert!(judge(&verifier, &Channel::Unbindable, challenged(), &bent).is_err(), "bent at {at}");
        }
    }
}
