//! What logs in to servers for clients that proved who they are by nothing that could.

use super::lookup::listed;
use crate::auth::{
    gate::Admission,
    secrets::{Credential, Password, Secrets},
};

/// For a client that has shown nothing of use elsewhere: what the configuration says of the user.
pub(super) fn by_name(secrets: &dyn Secrets, user: &str) -> Admission {
    let known = listed(secrets, user).and_then(|found| found.secret);
    let credential = known.map_or(Credential::None, |secret| secret.as_credential());
    Admission { reply: Vec::new(), credential }
}

/// For a client whose password somebody else has judged: what the configuration says of the user, else that password,
/// since servers may ask the same judge.
pub(super) fn by_password(secrets: &dyn Secrets, user: &str, password: Vec<u8>) -> Admission {
    let known = by_name(secrets, user);
    match known.credential {
        Credential::None => Admission { credential: Credential::Password(Password::new(password)), ..known },
        _ => known,
    }
}
