//! Logging in to a server: a pure machine from our StartupMessage to its first ReadyForQuery.

use super::{
    channel::{Channel, may_answer, not_ours},
    connect::{ConnectError, ServerLogin},
};
use crate::{
    auth::{
        md5::Md5Hash,
        scram::{self, ClientStep, NONCE_BYTES, ScramClient, ScramError},
        secrets::Credential,
    },
    tls::ChannelBinding,
    wire::{
        error::ServerError,
        message::{
            Authentication, Malformed, SaslInitialResponse, decode_backend_key, decode_negotiation,
            decode_parameter_status, decode_ready_for_query, encode_password, encode_sasl_response,
        },
        startup::{BackendKey, Protocol, encode_startup},
    },
};

/// A server that reports more than this during login, in bytes, is none.
const TOTAL_MAX: usize = 256 * 1024;

/// A login under way. Each message from the server moves it on.
#[derive(Debug)]
pub struct ServerLoginMachine {
    user: Box<str>,
    state: State,
    /// What came so far, in bytes.
    received: usize,
}

#[derive(Debug)]
enum State {
    /// The server has not said how we shall prove ourselves. It may say first that it knows only older versions than
    /// we asked for.
    Begun { credential: Credential, nonce: [u8; NONCE_BYTES], asked: Protocol, channel: Bond },
    /// SCRAM is under way: the server has yet to prove itself.
    Scram(ScramClient),
    /// We have answered; the server judges.
    Answered,
    /// We are in; the server reports its settings.
    Settings { parameters: Vec<(String, String)>, key: Option<BackendKey> },
}

/// What the login is bound to, if to anything.
#[derive(Debug)]
struct Bond {
    to: Channel,
    wanted: ChannelBinding,
}

/// Where a login stands after a server's message.
#[derive(Debug)]
pub enum LoginStep {
    /// Send this, if anything, and wait for the next message.
    Continue {
        /// The login from here on.
        next: ServerLoginMachine,
        /// What the server is sent.
        send: Vec<u8>,
    },
    /// A password must be stretched first: milliseconds, so not on a worker.
    Derive(Derivation),
    /// The server is ready for a query.
    Ready(Session),
    /// There is no way in.
    Failed(ConnectError),
}

/// What a server told about the session.
#[derive(Debug, PartialEq, Eq)]
pub struct Session {
    /// The settings that the server reported, in its order, each once.
    pub parameters: Vec<(String, String)>,
    /// What cancels its queries.
    pub key: BackendKey,
}

/// A login that waits for its password to be stretched.
#[derive(Debug)]
pub struct Derivation {
    machine: ServerLoginMachine,
    scram: scram::Derivation,
}

impl Derivation {
    /// Stretches the password (milliseconds) and goes on: the login, and what the server is sent.
    pub fn run(self) -> (ServerLoginMachine, Vec<u8>) {
        let (scram, reply) = self.scram.run();
        (ServerLoginMachine { state: State::Scram(scram), ..self.machine }, sasl_response(&reply))
    }
}

impl ServerLoginMachine {
    /// Begins, and gives the StartupMessage to send. `nonce` must be random and used once.
    pub fn start(login: &ServerLogin, channel: Channel, nonce: [u8; NONCE_BYTES]) -> (Self, Vec<u8>) {
        let mut send = Vec::new();
        let fixed = [("user", &*login.user), ("database", &*login.database)];
        let settings = login.parameters.iter().map(|(name, value)| (&**name, &**value));
        encode_startup(&mut send, login.protocol, fixed.into_iter().chain(settings));
        let (credential, asked) = (login.credential.clone(), login.protocol);
        let channel = Bond { to: channel, wanted: login.approach.tls.binding };
        let state = State::Begun { credential, nonce, asked, channel };
        (Self { user: login.user.as_str().into(), state, received: 0 }, send)
    }

    /// Takes the server's next message.
    pub fn exchange(mut self, tag: u8, body: &[u8]) -> LoginStep {
        self.received += body.len();
        if self.received > TOTAL_MAX {
            return protocol("the server says too much during login");
        }
        let step = match tag {
            b'E' => Ok(LoginStep::Failed(ServerError::decode(body).map_or_else(
                || ConnectError::Protocol(Malformed("ErrorResponse").to_string()),
                ConnectError::Refused,
            ))),
            // Notices are for people.
            b'N' => Ok(self.wait()),
            b'v' => self.negotiate(body),
            b'R' => Authentication::decode(body).map(|request| self.authenticate(request)),
            b'S' | b'K' | b'Z' => self.report(tag, body),
            _ => return protocol(&format!("unexpected message {:?} during login", char::from(tag))),
        };
        step.unwrap_or_else(|malformed| protocol(&malformed.to_string()))
    }

    const fn wait(self) -> LoginStep {
        LoginStep::Continue { next: self, send: Vec::new() }
    }

    /// NegotiateProtocolVersion: once, and downwards. We ask for no protocol option that could be refused.
    fn negotiate(self, body: &[u8]) -> Result<LoginStep, Malformed> {
        let (version, refused) = decode_negotiation(body)?;
        let State::Begun { credential, nonce, asked, channel } = self.state else {
            return Ok(protocol("the server negotiates the protocol's version too late"));
        };
        Ok(match Protocol::from_version(version) {
            Some(older) if older <= asked && refused == 0 => {
                Self { state: State::Begun { credential, nonce, asked: older, channel }, ..self }.wait()
            }
            _ => protocol("the server negotiates for what was not asked"),
        })
    }

    fn authenticate(self, request: Authentication<'_>) -> LoginStep {
        match (self.state, request) {
            (State::Begun { channel: Bond { wanted, .. }, .. }, request)
                if let Err(why) = may_answer(wanted, &request) =>
            {
                LoginStep::Failed(ConnectError::Credential(why))
            }
            // Trusted at once, or our answer was right. A server in the midst of SCRAM must prove itself first.
            (State::Begun { .. } | State::Answered, Authentication::Ok) => {
                let state = State::Settings { parameters: Vec::new(), key: None };
                Self { state, ..self }.wait()
            }
            (State::Begun { credential, nonce, channel, .. }, request) => {
                begin(self.user, self.received, credential, (nonce, channel), request)
            }
            (State::Scram(scram), Authentication::SaslContinue(data) | Authentication::SaslFinal(data)) => {
                advance(self.user, self.received, scram.exchange(data))
            }
            (_, request) => protocol(&format!("unexpected authentication message {request:?}")),
        }
    }

    fn report(self, tag: u8, body: &[u8]) -> Result<LoginStep, Malformed> {
        let State::Settings { mut parameters, mut key } = self.state else {
            return Ok(protocol("the server skipped authentication"));
        };
        match (tag, key) {
            (b'S', known) => {
                let (name, value) = decode_parameter_status(body)?;
                set_parameter(&mut parameters, name, value);
                key = known;
            }
            (b'K', _) => key = Some(decode_backend_key(body)?),
            (_, Some(key)) => {
                return Ok(match decode_ready_for_query(body)? {
                    b'I' => LoginStep::Ready(Session { parameters, key }),
                    _ => protocol("the server begins in a transaction"),
                });
            }
            (_, None) => return Ok(protocol("the server gave no key to cancel with")),
        }
        Ok(Self { state: State::Settings { parameters, key }, ..self }.wait())
    }
}

/// Answers the server's first question.
fn begin(
    user: Box<str>,
    received: usize,
    credential: Credential,
    (nonce, channel): ([u8; NONCE_BYTES], Bond),
    request: Authentication<'_>,
) -> LoginStep {
    let mut send = Vec::new();
    let unfit = |method| {
        LoginStep::Failed(ConnectError::Credential(format!(
            "the server asks for {method}, and we have {} for user \"{user}\"",
            credential.describe()
        )))
    };
    let state = match (request, &credential) {
        (Authentication::CleartextPassword, Credential::Password(password)) => {
            encode_password(&mut send, password.expose());
            State::Answered
        }
        (Authentication::CleartextPassword, _) => return unfit("the password"),
        (Authentication::Md5Password(salt), Credential::Password(password)) => {
            encode_password(&mut send, &Md5Hash::of(password.expose(), &user).answer(salt));
            State::Answered
        }
        (Authentication::Md5Password(salt), Credential::Md5Hash(hash)) => {
            encode_password(&mut send, &hash.answer(salt));
            State::Answered
        }
        (Authentication::Md5Password(_), _) => return unfit("md5"),
        (Authentication::Sasl(offered), credential) => {
            let (mechanism, binding) = match channel.to.scram(channel.wanted, offered) {
                Ok(chosen) => chosen,
                Err(why) => return LoginStep::Failed(ConnectError::Credential(why)),
            };
            let (scram, first) = match credential {
                Credential::Password(password) => {
                    ScramClient::with_password(password.clone(), nonce, binding)
                }
                Credential::ScramKeys(keys) => ScramClient::with_keys(keys.clone(), nonce, binding),
                Credential::Md5Hash(_) | Credential::None => return unfit("SCRAM-SHA-256"),
            };
            SaslInitialResponse { mechanism, data: Some(&first) }.encode(&mut send);
            State::Scram(scram)
        }
        (Authentication::Other(code), _) => return unanswerable(method_name(code)),
        (Authentication::Ok | Authentication::SaslContinue(_) | Authentication::SaslFinal(_), _) => {
            return protocol("the server answers a question that was not asked");
        }
    };
    LoginStep::Continue { next: ServerLoginMachine { user, state, received }, send }
}

/// Moves on by a step of SCRAM.
fn advance(user: Box<str>, received: usize, step: ClientStep) -> LoginStep {
    let machine = |state| ServerLoginMachine { user, state, received };
    match step {
        ClientStep::Continue { next, reply } => {
            LoginStep::Continue { next: machine(State::Scram(next)), send: sasl_response(&reply) }
        }
        ClientStep::Derive(scram) => {
            LoginStep::Derive(Derivation { machine: machine(State::Answered), scram })
        }
        ClientStep::Done => machine(State::Answered).wait(),
        ClientStep::Failed(error @ ScramError::OtherVerifier) => {
            LoginStep::Failed(ConnectError::Credential(error.to_string()))
        }
        ClientStep::Failed(error) => protocol(&error.to_string()),
    }
}

/// Sets a reported setting, keeping each name once.
pub(super) fn set_parameter(parameters: &mut Vec<(String, String)>, name: &[u8], value: &[u8]) {
    let name = String::from_utf8_lossy(name);
    let value = String::from_utf8_lossy(value).into_owned();
    match parameters.iter_mut().find(|(known, _)| *known == name) {
        Some((_, known)) => *known = value,
        None => parameters.push((name.into_owned(), value)),
    }
}

fn sasl_response(data: &[u8]) -> Vec<u8> {
    let mut send = Vec::new();
    encode_sasl_response(&mut send, data);
    send
}

const fn method_name(code: i32) -> &'static str {
    match code {
        2 => "Kerberos V5",
        6 => "SCM credentials",
        7 | 8 => "GSSAPI",
        9 => "SSPI",
        _ => "an unknown method",
    }
}

fn unanswerable(method: &str) -> LoginStep {
    LoginStep::Failed(ConnectError::Credential(not_ours(method)))
}

fn protocol(what: &str) -> LoginStep {
    LoginStep::Failed(ConnectError::Protocol(what.to_owned()))
}

#[cfg(test)]
mod tests;
