//! rustls' side of a connection, driven from buffers of ours.

use std::io;

use bytes::{Buf as _, BytesMut};
use rustls::{
    CommonState, Error,
    client::UnbufferedClientConnection,
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic},
};

/// What encryption adds to each record of 16 KiB, at most, in bytes.
const OVERHEAD: usize = 64;
/// The longest alert with its record, in bytes.
const ALERT_MAX: usize = 64;

/// One end of a TLS connection.
pub(super) enum Session {
    /// A client is the peer.
    Server(UnbufferedServerConnection),
    /// A server is the peer.
    Client(UnbufferedClientConnection),
}

/// Where a session stands when nothing is left to be dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The handshake goes on when the peer has said more.
    Blocked,
    /// Data goes both ways.
    Open,
    /// The peer sends no more.
    Ended,
}

/// What one step came to.
enum Step {
    Again,
    Peer,
    Rest,
}

/// The buffers and the plaintext of a turn.
struct Desk<'a> {
    plain: &'a mut BytesMut,
    outgoing: &'a mut BytesMut,
    /// What is to be encrypted, and whether it was.
    plaintext: Option<&'a [u8]>,
    goodbye: Goodbye,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Goodbye {
    NotYet,
    Wanted,
}

impl Session {
    fn state(&self) -> &CommonState {
        match self {
            Self::Server(session) => session,
            Self::Client(session) => session,
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.state().is_handshaking()
    }

    /// The protocol inside that both agreed on.
    pub(super) fn alpn(&self) -> Option<&[u8]> {
        self.state().alpn_protocol()
    }

    /// The peer's own certificate.
    pub(super) fn peer_certificate(&self) -> Option<&[u8]> {
        self.state().peer_certificates()?.first().map(|certificate| &**certificate)
    }

    /// Deals with every record in `incoming`: what it says goes to `plain`, what must be answered to `outgoing`, where
    /// the encrypted `plaintext` follows.
    pub(super) fn turn(
        &mut self,
        incoming: &mut BytesMut,
        plain: &mut BytesMut,
        outgoing: &mut BytesMut,
        plaintext: &[u8],
    ) -> io::Result<Turn> {
        let plaintext = (!plaintext.is_empty()).then_some(plaintext);
        let mut desk = Desk { plain, outgoing, plaintext, goodbye: Goodbye::NotYet };
        let turn = self.run(incoming, &mut desk)?;
        // After our own goodbye nothing can be sent.
        if desk.plaintext.is_some() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(turn) }
    }

    /// Appends a close_notify to `outgoing`, once.
    pub(super) fn say_goodbye(
        &mut self,
        incoming: &mut BytesMut,
        plain: &mut BytesMut,
        outgoing: &mut BytesMut,
    ) -> io::Result<()> {
        let mut desk = Desk { plain, outgoing, plaintext: None, goodbye: Goodbye::Wanted };
        self.run(incoming, &mut desk).map(drop)
    }

    fn run(&mut self, incoming: &mut BytesMut, desk: &mut Desk<'_>) -> io::Result<Turn> {
        let mut ended = false;
        loop {
            let (discard, step) = match self {
                Self::Server(session) => desk.step(session.process_tls_records(incoming)),
                Self::Client(session) => desk.step(session.process_tls_records(incoming)),
            };
            incoming.advance(discard.min(incoming.len()));
            match step {
                Ok(Step::Again) => {}
                Ok(Step::Peer) => ended = true,
                Ok(Step::Rest) if ended => return Ok(Turn::Ended),
                Ok(Step::Rest) if self.is_handshaking() => return Ok(Turn::Blocked),
                Ok(Step::Rest) => return Ok(Turn::Open),
                Err(error) => {
                    self.take_alert(desk);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
        }
    }

    /// The alert that an error leaves behind for the peer, if it leaves one, and what was to be sent before it.
    fn take_alert(&mut self, desk: &mut Desk<'_>) {
        // What is to be sent comes before anything is read, so that nothing is read again after the error. Without it rustls
        // would look for the rest of a message in a buffer that is not there, and panic. The alert may have a ServerHello before it.
        while self.state().wants_write() {
            let (_, sent) = match self {
                Self::Server(session) => desk.step(session.process_tls_records(&mut [])),
                Self::Client(session) => desk.step(session.process_tls_records(&mut [])),
            };
            if sent.is_err() {
                return;
            }
        }
    }
}

impl Desk<'_> {
    /// Does what one state asks for: how much of `incoming` is done with, and how to go on.
    fn step<Data>(&mut self, status: UnbufferedStatus<'_, '_, Data>) -> (usize, Result<Step, Error>) {
        let UnbufferedStatus { mut discard, state } = status;
        let step = match state {
            Err(error) => Err(error),
            Ok(ConnectionState::ReadTraffic(mut records)) => loop {
                match records.next_record() {
                    None => break Ok(Step::Again),
                    Some(Err(error)) => break Err(error),
                    Some(Ok(record)) => {
                        discard += record.discard;
                        self.plain.extend_from_slice(record.payload);
                    }
                }
            },
            Ok(ConnectionState::EncodeTlsData(mut message)) => {
                let encoded = append(self.outgoing, ALERT_MAX, |out| {
                    message.encode(out).map_err(|error| match error {
                        EncodeError::InsufficientSize(size) => Some(size.required_size),
                        EncodeError::AlreadyEncoded => None,
                    })
                });
                encoded.map(|()| Step::Again)
            }
            // Sent is what is in `outgoing`: nothing of it is lost but with the connection.
            Ok(ConnectionState::TransmitTlsData(sent)) => {
                sent.done();
                Ok(Step::Again)
            }
            Ok(ConnectionState::WriteTraffic(traffic)) => self.write(traffic),
            Ok(ConnectionState::PeerClosed) => Ok(Step::Peer),
            Ok(ConnectionState::Closed | ConnectionState::BlockedHandshake) => Ok(Step::Rest),
            // Early data is not offered.
            Ok(_) => Err(Error::General("an unexpected state of the handshake".to_owned())),
        };
        (discard, step)
    }

    fn write<Data>(&mut self, mut traffic: WriteTraffic<'_, Data>) -> Result<Step, Error> {
        let needed = |error| match error {
            EncryptError::InsufficientSize(size) => Some(size.required_size),
            EncryptError::EncryptExhausted => None,
        };
        if let Some(plaintext) = self.plaintext.take() {
            let expected = plaintext.len() + (plaintext.len() / (16 * 1024) + 1) * OVERHEAD;
            append(self.outgoing, expected, |out| traffic.encrypt(plaintext, out).map_err(needed))?;
            // Encrypting may have called for a new key, which must go out as well.
            return Ok(Step::Again);
        }
        if self.goodbye == Goodbye::Wanted {
            self.goodbye = Goodbye::NotYet;
            append(self.outgoing, ALERT_MAX, |out| traffic.queue_close_notify(out).map_err(needed))?;
        }
        Ok(Step::Rest)
    }
}

/// Appends what `write` writes into `expected` bytes, or into as many as it says it needs.
fn append(
    out: &mut BytesMut,
    expected: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Result<(), Error> {
    let start = out.len();
    let mut room = expected;
    loop {
        out.resize(start + room, 0);
        match write(&mut out[start..]) {
            Ok(written) => {
                out.truncate(start + written);
                return Ok(());
            }
            Err(Some(needed)) if needed > room => room = needed,
            Err(_) => {
                out.truncate(start);
                return Err(Error::EncryptError);
            }
        }
    }
}
