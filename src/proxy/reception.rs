//! How clients are received: the users who are listed, and the rules by which everybody must prove who he is.

use std::{fs, io, path::Path, sync::Arc};

use super::rule_checks;
use crate::{
    auth::{
        self,
        mock::Mock,
        rules::{Files, LineError, Place, Rules, Unreadable},
        secrets::Users,
        throttle::ThrottlePolicy,
    },
    client::{Authenticator, Outside, Patience},
    config::{AuthOptions, AuthType, Config},
};

/// No file of rules or maps is larger, in bytes.
const FILE_MAX: u64 = 16 << 20;
/// No folder that is included has more files.
const FILES_MAX: usize = 1000;

/// How clients are asked who they are, as the configuration and the files it names say.
///
/// # Errors
/// Every line that cannot be used.
pub(super) fn authenticator(
    config: &Config,
    users: &Arc<Users>,
    mock: &Mock,
    patience: &Arc<Patience>,
    outside: &Arc<Outside>,
) -> Result<Authenticator, WrongRules> {
    let rules = Arc::new(rules(config)?);
    for odd in rule_checks::warnings(config, &rules) {
        tracing::warn!("{odd}");
    }
    let auth = &config.keys.auth;
    let policy = auth.auth_failures_max.0.map(|failures| ThrottlePolicy {
        failures_max: failures.get(),
        delay_max: auth.auth_delay_max,
        delayed_max: auth.auth_delayed_max.get() as usize,
    });
    let patience = policy.map(|policy| (patience.clone(), policy));
    Ok(Authenticator {
        rules,
        secrets: users.clone(),
        lookup: None,
        patience,
        outside: outside.clone(),
        mock: mock.clone(),
    })
}

/// Rules that cannot be used: what is wrong with each line.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct WrongRules(pub Vec<LineError>);

/// The rules by which clients are let in, from the files that the configuration names.
///
/// # Errors
/// Every line that cannot be used.
pub fn rules(config: &Config) -> Result<Rules, WrongRules> {
    let keys = &config.keys.auth;
    let ident = keys.auth_ident_file.as_deref();
    let rules = match (&keys.auth_hba_file, keys.auth_options.as_ref().map(AuthOptions::expose)) {
        (Some(hba), _) => Rules::load(hba, ident, &Disk),
        (None, options) => match (simple_method(config.auth.kind), options) {
            (Some(auth_type), None) => Ok(Rules::simple(auth_type)),
            (_, options) => {
                let place = Place { file: Path::new(&config.name).join("auth_options").into(), line: 1 };
                Rules::only(config.auth.kind.word(), options.unwrap_or_default(), ident, &Disk, &place)
            }
        },
    };
    let rules = rules.map_err(WrongRules)?;
    let errors = rule_checks::errors(config, &rules);
    if errors.is_empty() { Ok(rules) } else { Err(WrongRules(errors)) }
}

/// A method that needs no options.
const fn simple_method(kind: AuthType) -> Option<auth::AuthType> {
    Some(match kind {
        AuthType::ScramSha256 => auth::AuthType::ScramSha256,
        AuthType::Md5 => auth::AuthType::Md5,
        AuthType::Plain => auth::AuthType::Plain,
        AuthType::Trust => auth::AuthType::Trust,
        AuthType::Peer => auth::AuthType::Peer,
        AuthType::Cert
        | AuthType::Hba
        | AuthType::Ldap
        | AuthType::Pam
        | AuthType::Oauth
        | AuthType::Reject => return None,
    })
}

/// The users that the configuration lists. Passwords in the clear are stretched here, so never on a worker.
pub(super) fn users(config: &Config, before: Option<&Users>, mock: &Mock) -> Arc<Users> {
    let mut users = Users::new(config.auth.users.iter().map(|(user, secret)| (user, secret.expose())));
    if let Some(before) = before {
        users.inherit(before);
    }
    users.derive_all(mock);
    Arc::new(users)
}

/// The files of this machine.
struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> Result<String, Unreadable> {
        use io::Read as _;
        let mut text = String::new();
        let file = fs::File::open(path).map_err(unreadable)?;
        file.take(FILE_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > FILE_MAX {
            return Err(Unreadable::Other(format!("it is larger than {} MB", FILE_MAX >> 20)));
        }
        Ok(text)
    }

    fn names(&self, folder: &Path) -> Result<Vec<String>, Unreadable> {
        let entries = fs::read_dir(folder).map_err(unreadable)?;
        let names = entries.take(FILES_MAX).map(|entry| Ok(entry?.file_name().into_string().ok()));
        let names: io::Result<Vec<Option<String>>> = names.collect();
        Ok(names.map_err(unreadable)?.into_iter().flatten().collect())
    }
}

fn unreadable(error: io::Error) -> Unreadable {
    match error.kind() {
        io::ErrorKind::NotFound => Unreadable::Missing,
        io::ErrorKind::InvalidData => Unreadable::Other("it is not UTF-8".to_owned()),
        _ => Unreadable::Other(error.to_string()),
    }
}
