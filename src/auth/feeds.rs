//! Which way of logging in to us can feed which way of logging in to servers.

use super::{AuthType, secrets::SecretKind};

/// How a server wants to be logged in to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerMethod {
    /// `scram-sha-256`.
    Scram,
    /// `md5`.
    Md5,
    /// `password`.
    Plain,
    /// `trust`, `peer`, `ident`: asks us for nothing.
    Trust,
}

/// What is left to log in with, once the client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Password,
    ScramKeys,
    Md5Hash,
    Nothing,
}

/// Whether a client that logs in by `client` against a secret of kind `secret` can be served by a server that wants
/// `server`; if not, why, as a whole sentence.
///
/// SCRAM keys come with a condition that only the login itself can show: the server's verifier must be the very
/// same (salt and iterations), as it is when the secret was copied from that server.
pub const fn feeds(client: AuthType, secret: SecretKind, server: ServerMethod) -> Result<(), &'static str> {
    let left = match left_over(client, secret) {
        Ok(left) => left,
        Err(sentence) => return Err(sentence),
    };
    match (left, server) {
        (Left::Password, _)
        | (_, ServerMethod::Trust)
        | (Left::ScramKeys, ServerMethod::Scram)
        | (Left::Md5Hash, ServerMethod::Md5) => Ok(()),
        (Left::ScramKeys, ServerMethod::Md5) => {
            Err("A client's SCRAM keys cannot answer a server that wants md5; the password itself is needed.")
        }
        (Left::ScramKeys, ServerMethod::Plain) => {
            Err("A client's SCRAM keys cannot answer a server that wants the password; it is needed itself.")
        }
        (Left::Md5Hash, ServerMethod::Scram) => {
            Err("An md5 hash cannot log in to a server that wants SCRAM; the password itself is needed, \
                 or a SCRAM secret and auth_type = \"scram-sha-256\".")
        }
        (Left::Md5Hash, ServerMethod::Plain) => {
            Err("An md5 hash cannot answer a server that wants the password; it is needed itself.")
        }
        (Left::Nothing, _) => Err(
            "With auth_type = \"trust\", \"peer\" or \"cert\" a client brings no secret, and the one that is known \
                 (a SCRAM verifier or none) cannot log in; the password itself is needed.",
        ),
    }
}

const fn left_over(client: AuthType, secret: SecretKind) -> Result<Left, &'static str> {
    Ok(match (client, secret) {
        (AuthType::Plain, SecretKind::Scram | SecretKind::Md5 | SecretKind::Password)
        | (_, SecretKind::Password) => Left::Password,
        (AuthType::ScramSha256 | AuthType::Md5, SecretKind::Scram) => Left::ScramKeys,
        (AuthType::Md5 | AuthType::Peer | AuthType::Trust, SecretKind::Md5) => Left::Md5Hash,
        (AuthType::Peer | AuthType::Trust, SecretKind::Scram | SecretKind::Missing) => Left::Nothing,
        (AuthType::ScramSha256, SecretKind::Md5) => {
            return Err(
                "A client cannot log in by SCRAM against an md5 hash; the user's secret must be a SCRAM \
                        verifier or the password.",
            );
        }
        (AuthType::ScramSha256 | AuthType::Md5 | AuthType::Plain, SecretKind::Missing) => {
            return Err("A user without a secret cannot log in by a password.");
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        use {AuthType as C, SecretKind as K};
        // For each client method and secret, whether SCRAM, md5, plain and trust servers can be fed.
        for (client, secret, fed) in [
            (C::ScramSha256, K::Scram, "y--y"),
            (C::ScramSha256, K::Md5, "----"),
            (C::ScramSha256, K::Password, "yyyy"),
            (C::ScramSha256, K::Missing, "----"),
            (C::Md5, K::Scram, "y--y"),
            (C::Md5, K::Md5, "-y-y"),
            (C::Md5, K::Password, "yyyy"),
            (C::Md5, K::Missing, "----"),
            (C::Plain, K::Scram, "yyyy"),
            (C::Plain, K::Md5, "yyyy"),
            (C::Plain, K::Password, "yyyy"),
            (C::Plain, K::Missing, "----"),
            (C::Trust, K::Scram, "---y"),
            (C::Trust, K::Md5, "-y-y"),
            (C::Trust, K::Password, "yyyy"),
            (C::Trust, K::Missing, "---y"),
            (C::Peer, K::Scram, "---y"),
            (C::Peer, K::Md5, "-y-y"),
            (C::Peer, K::Password, "yyyy"),
            (C::Peer, K::Missing, "---y"),
        ] {
            use ServerMethod as S;
            let row: String = [S::Scram, S::Md5, S::Plain, S::Trust]
                .map(|server| if feeds(client, secret, server).is_ok() { 'y' } else { '-' })
                .iter()
                .collect();
            assert_eq!(row, fed, "{client} {secret:?}");
        }
    }
}
