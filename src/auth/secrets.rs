//! What we know of users (to check clients) and what logs in to servers.

use std::{
    collections::HashMap,
    fmt,
    hash::{Hash, Hasher},
    num::NonZeroU32,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;

use super::{
    md5::Md5Hash,
    mock::Mock,
    scram::{DEFAULT_ITERATIONS, ScramKeys, ScramVerifier, Stretch},
};

/// A password, which remembers what was derived from it. Cheap to clone; never shown.
#[derive(Clone)]
pub struct Password(Arc<PasswordAndDerived>);

struct PasswordAndDerived {
    text: Box<[u8]>,
    /// For checking clients.
    verifier: OnceLock<Arc<ScramVerifier>>,
    /// For logging in to servers: the latest, since a cluster's members have one salt for a user.
    keys: Mutex<Option<Arc<ScramKeys>>>,
}

impl Password {
    /// A password, in whatever encoding.
    pub fn new(text: impl Into<Box<[u8]>>) -> Self {
        Self(Arc::new(PasswordAndDerived {
            text: text.into(),
            verifier: OnceLock::new(),
            keys: Mutex::new(None),
        }))
    }

    /// The password itself.
    pub fn expose(&self) -> &[u8] {
        &self.0.text
    }

    /// The verifier to check clients against, if it was derived before.
    pub fn verifier(&self) -> Option<Arc<ScramVerifier>> {
        self.0.verifier.get().cloned()
    }

    /// The verifier to check clients against. The first call stretches the password: milliseconds, so never on a
    /// worker; later ones ignore `stretch`.
    pub fn derive_verifier(&self, stretch: Stretch) -> Arc<ScramVerifier> {
        let derive = || Arc::new(ScramVerifier::derive(self.expose(), stretch));
        Arc::clone(self.0.verifier.get_or_init(derive))
    }

    /// The keys for a server with this salt and rounds, if they were derived before.
    pub fn keys_for(&self, stretch: &Stretch) -> Option<Arc<ScramKeys>> {
        self.0.keys.lock().as_ref().filter(|keys| keys.stretch() == stretch).cloned()
    }

    /// Derives the keys for a server with this salt and rounds, and remembers them: milliseconds, so never on a
    /// worker.
    pub fn derive_keys(&self, stretch: Stretch) -> Arc<ScramKeys> {
        let keys = Arc::new(ScramKeys::derive(self.expose(), stretch));
        *self.0.keys.lock() = Some(Arc::clone(&keys));
        keys
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        subtle::ConstantTimeEq::ct_eq(self.expose(), other.expose()).into()
    }
}

impl Eq for Password {}

impl Hash for Password {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expose().hash(state);
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What we know of a user, to check that a client is that user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserSecret {
    /// A SCRAM verifier.
    Scram(Arc<ScramVerifier>),
    /// An md5 hash.
    Md5(Md5Hash),
    /// The password.
    Password(Password),
    /// The user exists, but no password lets him in (`""` in the file).
    NoPassword,
}

impl UserSecret {
    /// Reads a secret as PostgreSQL and PgBouncer tell them apart: by its form.
    pub fn parse(text: &str) -> Self {
        if let Some(verifier) = ScramVerifier::parse(text) {
            Self::Scram(Arc::new(verifier))
        } else if let Some(hash) = Md5Hash::parse(text) {
            Self::Md5(hash)
        } else if text.is_empty() {
            Self::NoPassword
        } else {
            Self::Password(Password::new(text.as_bytes()))
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> SecretKind {
        match self {
            Self::Scram(_) => SecretKind::Scram,
            Self::Md5(_) => SecretKind::Md5,
            Self::Password(_) => SecretKind::Password,
            Self::NoPassword => SecretKind::Missing,
        }
    }

    /// What this secret by itself can log in with, when the client adds nothing.
    pub fn as_credential(&self) -> Credential {
        match self {
            Self::Md5(hash) => Credential::Md5Hash(hash.clone()),
            Self::Password(password) => Credential::Password(password.clone()),
            Self::Scram(_) | Self::NoPassword => Credential::None,
        }
    }
}

/// Kinds of [`UserSecret`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SecretKind {
    /// A SCRAM verifier.
    Scram,
    /// An md5 hash.
    Md5,
    /// The password.
    Password,
    /// None.
    Missing,
}

/// What can log in to a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// A password: fits every method.
    Password(Password),
    /// A client's SCRAM keys: fit SCRAM where the server has the same verifier.
    ScramKeys(Arc<ScramKeys>),
    /// An md5 hash: fits md5.
    Md5Hash(Md5Hash),
    /// Nothing: fits trust (and what the server finds out by itself, such as `peer`).
    None,
}

impl Credential {
    /// What it is, for errors and logs.
    pub const fn describe(&self) -> &'static str {
        match self {
            Self::Password(_) => "a password",
            Self::ScramKeys(_) => "SCRAM keys",
            Self::Md5Hash(_) => "an md5 hash",
            Self::None => "no secret",
        }
    }
}

/// Where users' secrets come from.
pub trait Secrets: Send + Sync {
    /// A user's secret.
    fn lookup(&self, user: &str) -> Option<Arc<UserSecret>>;

    /// What most users have: what an unknown user must seem to have.
    fn typical(&self) -> Typical {
        Typical::default()
    }
}

/// The secret that most users have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Typical {
    /// Its kind.
    pub kind: SecretKind,
    /// The rounds of SCRAM verifiers.
    pub iterations: NonZeroU32,
}

impl Typical {
    /// What users like this one have; `None` if he has nothing.
    pub fn of(secret: &UserSecret) -> Option<Self> {
        let iterations = match secret {
            UserSecret::Scram(verifier) => verifier.stretch().iterations,
            UserSecret::Md5(_) | UserSecret::Password(_) => DEFAULT_ITERATIONS,
            UserSecret::NoPassword => return None,
        };
        Some(Self { kind: secret.kind(), iterations })
    }
}

impl Default for Typical {
    /// PostgreSQL's own default.
    fn default() -> Self {
        Self { kind: SecretKind::Scram, iterations: DEFAULT_ITERATIONS }
    }
}

/// The users of an `auth_file`.
#[derive(Clone, Debug, Default)]
pub struct Users {
    secrets: HashMap<Box<str>, Arc<UserSecret>, foldhash::fast::RandomState>,
    typical: Typical,
}

/// A line of an `auth_file` that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct AuthFileError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong; never the secret.
    pub what: &'static str,
}

impl Users {
    /// These users and their secrets.
    pub fn new<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let entry = |(user, secret): (&str, &str)| (user.into(), Arc::new(UserSecret::parse(secret)));
        let mut users =
            Self { secrets: entries.into_iter().map(entry).collect(), typical: Typical::default() };
        users.typical = users.most_common();
        users
    }

    /// Reads PgBouncer's format: a line `"user" "secret"` for each user, a quote within quotes doubled, what
    /// follows ignored; lines that begin with `;` and empty lines are comments. The last line of a user counts.
    pub fn parse(text: &str) -> Result<Self, AuthFileError> {
        let mut users = Self::default();
        for (index, line) in text.lines().enumerate() {
            let wrong = |what| AuthFileError { line: index + 1, what };
            let line = line.trim_start();
            if line.is_empty() || line.starts_with(';') {
                continue;
            }
            let (user, rest) = quoted(line).ok_or_else(|| wrong("expected a user name in double quotes"))?;
            let (secret, _) = quoted(rest.trim_start())
                .ok_or_else(|| wrong("expected a secret in double quotes behind the user name"))?;
            if user.is_empty() {
                return Err(wrong("the user name is empty"));
            }
            users.secrets.insert(user.into(), Arc::new(UserSecret::parse(&secret)));
        }
        users.typical = users.most_common();
        Ok(users)
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.secrets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// Every user and the kind of his secret, by name.
    pub fn kinds(&self) -> Vec<(&str, SecretKind)> {
        let mut kinds: Vec<_> = self.secrets.iter().map(|(user, secret)| (&**user, secret.kind())).collect();
        kinds.sort_unstable_by_key(|(user, _)| *user);
        kinds
    }

    /// Takes over what `before` has derived from passwords that are still the same, so that a re-read file costs
    /// nobody a stretching.
    pub fn inherit(&mut self, before: &Self) {
        for (user, secret) in &mut self.secrets {
            if let Some(known) = before.secrets.get(user)
                && matches!(**known, UserSecret::Password(_))
                && known == secret
            {
                *secret = Arc::clone(known);
            }
        }
    }

    /// Stretches every password now, so that no first login has to wait for it: a millisecond for each, so never on
    /// a worker.
    pub fn derive_all(&self, mock: &Mock) {
        for (user, secret) in &self.secrets {
            if let UserSecret::Password(password) = &**secret {
                password.derive_verifier(mock.stretch(user, self.typical));
            }
        }
    }

    fn most_common(&self) -> Typical {
        let count = |kind| self.secrets.values().filter(|secret| secret.kind() == kind).count();
        let kind =
            [SecretKind::Password, SecretKind::Md5, SecretKind::Scram].into_iter().max_by_key(|k| count(*k));
        let mut rounds = std::collections::BTreeMap::new();
        for secret in self.secrets.values() {
            if let UserSecret::Scram(verifier) = &**secret {
                *rounds.entry(verifier.stretch().iterations).or_insert(0) += 1;
            }
        }
        let iterations = rounds.into_iter().max_by_key(|(_, users)| *users);
        Typical {
            kind: kind.unwrap_or(SecretKind::Scram),
            iterations: iterations.map_or(DEFAULT_ITERATIONS, |(iterations, _)| iterations),
        }
    }
}

impl Secrets for Users {
    fn lookup(&self, user: &str) -> Option<Arc<UserSecret>> {
        self.secrets.get(user).cloned()
    }

    fn typical(&self) -> Typical {
        self.typical
    }
}

/// The quoted text that `text` begins with, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut content = String::new();
    loop {
        let (part, behind) = rest.split_once('"')?;
        content.push_str(part);
        match behind.strip_prefix('"') {
            Some(behind) => {
                content.push('"');
                rest = behind;
            }
            None => return Some((content, behind)),
        }
    }
}

#[cfg(test)]
mod tests;
