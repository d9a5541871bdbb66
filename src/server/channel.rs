//! What carries a login to a server, and whether the login is bound to that: libpq's `channel_binding`.

use crate::{
    auth::{
        EndPoint,
        scram::{Binding, MECHANISM, MECHANISM_PLUS},
    },
    tls::ChannelBinding,
    wire::message::{Authentication, Mechanisms},
};

/// What carries the login, and whether it can be bound to that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Channel {
    /// No TLS.
    #[default]
    Plain,
    /// TLS; `None` if the server's certificate leaves open how to bind to it.
    Tls(Option<EndPoint>),
}

impl Channel {
    /// How to log in by SCRAM: by which mechanism, bound to what; or why not, and what to do about it.
    pub(super) fn scram(
        self,
        wanted: ChannelBinding,
        offered: Mechanisms<'_>,
    ) -> Result<(&'static [u8], Binding), String> {
        let has = |mechanism: &[u8]| offered.names().any(|name| name == mechanism);
        let (plus, plain) = (has(MECHANISM_PLUS), has(MECHANISM));
        match (self, wanted) {
            // It sees TLS where we see none: somebody in the middle unwraps it.
            (Self::Plain, _) if plus => {
                Err("the server offered SCRAM-SHA-256-PLUS over a connection without TLS".to_owned())
            }
            (Self::Tls(Some(end_point)), ChannelBinding::Prefer | ChannelBinding::Require) if plus => {
                Ok((MECHANISM_PLUS, Binding::Bound(end_point)))
            }
            (Self::Plain, ChannelBinding::Require) => {
                Err(format!("{REQUIRED}, and there is no TLS to this server"))
            }
            (Self::Tls(None), ChannelBinding::Require) => Err(format!(
                "{REQUIRED}, and the server's certificate is signed in a way (Ed25519 for one) that leaves open \
                 what to bind to: give it one signed by RSA or ECDSA"
            )),
            (Self::Tls(Some(_)), ChannelBinding::Require) => Err(format!(
                "{REQUIRED}, and the server does not offer SCRAM-SHA-256-PLUS: TLS may end before it"
            )),
            (Self::Tls(Some(_)), ChannelBinding::Prefer) if plain => Ok((MECHANISM, Binding::NotOffered)),
            _ if plain => Ok((MECHANISM, Binding::Impossible)),
            _ => {
                let names: Vec<_> = offered.names().map(String::from_utf8_lossy).collect();
                Err(not_ours(&names.join(", ")))
            }
        }
    }
}

const REQUIRED: &str = "channel_binding = \"require\"";

/// Whether the server's first question may be answered: what is not SCRAM binds nothing.
pub(super) fn may_answer(wanted: ChannelBinding, request: &Authentication<'_>) -> Result<(), String> {
    let asks = match request {
        _ if wanted != ChannelBinding::Require => return Ok(()),
        Authentication::Ok => "for nothing (trust, peer or a certificate)",
        Authentication::CleartextPassword => "for the password",
        Authentication::Md5Password(_) => "for md5",
        _ => return Ok(()),
    };
    Err(format!(
        "{REQUIRED}, and the server asks {asks}: let pgsteer in by scram-sha-256 in the server's pg_hba.conf"
    ))
}

/// What a server's operator does about a method that we do not have.
pub(super) fn not_ours(method: &str) -> String {
    format!(
        "the server's pg_hba.conf wants {method} of this user, which pgsteer cannot answer: write scram-sha-256, md5, \
         password, cert or trust there for pgsteer's address"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::{
            scram::NONCE_BYTES,
            secrets::{Credential, Password},
        },
        server::{Approach, LoginStep, ServerLogin, ServerLoginMachine},
        tls::ToServers,
        wire::{message::SaslInitialResponse, startup::Protocol},
    };

    /// The mechanism that is chosen and how the first message begins, or why there is none; `asks` is the server's
    /// first question.
    fn answer(channel: Channel, wanted: ChannelBinding, asks: &[u8]) -> String {
        let login = ServerLogin {
            user: "u".to_owned(),
            database: "d".to_owned(),
            parameters: Vec::new(),
            credential: Credential::Password(Password::new(&b"x"[..])),
            protocol: Protocol::V3_0,
            approach: Approach { tls: ToServers::default().bound(wanted), ..Approach::default() },
        };
        let (machine, _) = ServerLoginMachine::start(&login, channel, [4; NONCE_BYTES]);
        match machine.exchange(b'R', asks) {
            LoginStep::Continue { send, .. } if asks.starts_with(b"\0\0\0\x0a") => {
                let response = SaslInitialResponse::decode(&send[5..]).unwrap();
                let [mechanism, data] =
                    [response.mechanism, response.data.unwrap()].map(String::from_utf8_lossy);
                format!("{mechanism} {data}")
            }
            LoginStep::Continue { .. } => "goes on".to_owned(),
            LoginStep::Failed(error) => error.to_string(),
            step => panic!("{step:?}"),
        }
    }

    #[test]
    fn logins_are_bound_where_both_sides_can_and_must() {
        use ChannelBinding::{Disable, Prefer, Require};
        let offers = |names: &[u8]| [&b"\0\0\0\x0a"[..], names].concat();
        let both = offers(b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
        let (plain, plus) = (offers(b"SCRAM-SHA-256\0\0"), offers(b"SCRAM-SHA-256-PLUS\0\0"));
        let (trust, password, md5) =
            (b"\0\0\0\0".to_vec(), b"\0\0\0\x03".to_vec(), b"\0\0\0\x05salt".to_vec());
        let bound = || Channel::Tls(Some(EndPoint::from_bytes(b"hash")));
        let (unbindable, bare) = (|| Channel::Tls(None), || Channel::Plain);
        for (channel, wanted, asks, expected) in [
            (bound(), Prefer, &both, "SCRAM-SHA-256-PLUS p=tls-server-end-point,,n=,r="),
            (bound(), Prefer, &plus, "SCRAM-SHA-256-PLUS p=tls-server-end-point,,n=,r="),
            (bound(), Prefer, &plain, "SCRAM-SHA-256 y,,n=,r="),
            (unbindable(), Prefer, &both, "SCRAM-SHA-256 n,,n=,r="),
            (unbindable(), Prefer, &plain, "SCRAM-SHA-256 n,,n=,r="),
            (unbindable(), Prefer, &plus, "the server's pg_hba.conf wants SCRAM-SHA-256-PLUS of this user"),
            (bare(), Prefer, &plain, "SCRAM-SHA-256 n,,n=,r="),
            (bare(), Prefer, &both, "the server offered SCRAM-SHA-256-PLUS over a connection without TLS"),
            (bound(), Prefer, &trust, "goes on"),
            (bound(), Prefer, &password, "goes on"),
            (bound(), Prefer, &md5, "goes on"),
            (bound(), Disable, &both, "SCRAM-SHA-256 n,,n=,r="),
            (bound(), Disable, &plus, "the server's pg_hba.conf wants SCRAM-SHA-256-PLUS of this user"),
            (bound(), Disable, &trust, "goes on"),
            (bound(), Require, &both, "SCRAM-SHA-256-PLUS p=tls-server-end-point,,n=,r="),
            (
                bound(),
                Require,
                &plain,
                "channel_binding = \"require\", and the server does not offer SCRAM-SHA-256-PLUS",
            ),
            (
                unbindable(),
                Require,
                &both,
                "channel_binding = \"require\", and the server's certificate is signed",
            ),
            (bare(), Require, &plain, "channel_binding = \"require\", and there is no TLS to this server"),
            (
                bound(),
                Require,
                &trust,
                "channel_binding = \"require\", and the server asks for nothing (trust,",
            ),
            (
                bound(),
                Require,
                &password,
                "channel_binding = \"require\", and the server asks for the password",
            ),
            (bound(), Require, &md5, "channel_binding = \"require\", and the server asks for md5"),
        ] {
            let said = answer(channel, wanted, asks);
            assert!(said.starts_with(expected), "{wanted:?} {asks:?}: {said}");
        }
    }

    #[test]
    fn methods_that_are_not_ours_are_said_to_be_the_servers_choice() {
        for (code, method) in [(2, "Kerberos V5"), (7, "GSSAPI"), (9, "SSPI"), (77, "an unknown method")] {
            let said = answer(Channel::Plain, ChannelBinding::Prefer, &i32::to_be_bytes(code));
            assert!(
                said.starts_with(&format!("the server's pg_hba.conf wants {method} of this user")),
                "{said}"
            );
        }
        let oauth = answer(Channel::Plain, ChannelBinding::Prefer, b"\0\0\0\x0aOAUTHBEARER\0\0");
        assert!(oauth.starts_with("the server's pg_hba.conf wants OAUTHBEARER of this user"), "{oauth}");
    }
}
