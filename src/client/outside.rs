//! What somebody outside judges: passwords, a directory or the operating system; tokens, their issuer's keys.

mod directory;
mod issuer;
#[cfg(feature = "pam")]
mod modules;

use std::{io, sync::Arc, time::Duration};

use tokio::{io::AsyncWriteExt as _, sync::Semaphore, time::timeout};

use self::issuer::Issuers;
use super::login::Refusal;
use crate::{
    auth::{ldap::LdapPlan, oauth::OauthPlan, rules::failed},
    clock::Clock,
    net::{FrameError, Inbox, Stream, with_causes},
    wire::{
        error::{PgError, SqlState},
        message::{Authentication, decode_password},
    },
};

/// PostgreSQL's limit for a password message (`PG_MAX_AUTH_TOKEN_LENGTH`), in bytes.
const PASSWORD_MAX: usize = 65_535;
/// Logins that wait for somebody outside at once; more wait for those.
const AT_ONCE: usize = 64;
/// Nobody outside may take longer.
const JUDGING_MAX: Duration = Duration::from_secs(20);

/// The way to those who judge.
#[derive(Debug)]
pub struct Outside {
    places: Arc<Semaphore>,
    issuers: Issuers,
}

/// What somebody outside says of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Right,
    Wrong,
}

impl Outside {
    /// Nobody was asked anything yet.
    pub fn new(clock: Clock) -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)), issuers: Issuers::new(clock) }
    }

    /// Whom a token names, by its issuer's keys; else why it is not taken.
    pub(super) async fn token(&self, plan: &OauthPlan, token: &str) -> Result<String, String> {
        self.issuers.judge(plan, token).await
    }

    /// Whether a directory takes this password for this user.
    pub(super) async fn directory(
        &self,
        plan: &LdapPlan,
        user: &str,
        password: &[u8],
    ) -> Result<(), Refusal> {
        let judging = async {
            let _place = self.places.acquire().await.map_err(|error| error.to_string())?;
            directory::judge(plan, user, password).await
        };
        let said =
            timeout(JUDGING_MAX, judging).await.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        let refusal = |reason| Refusal::Told { error: failed("LDAP", user), reason: Some(reason) };
        match said {
            Ok(Verdict::Right) => Ok(()),
            Ok(Verdict::Wrong) => Err(refusal("the directory refused the password")),
            Err(why) => {
                tracing::warn!(user, "the directory cannot be asked: {why}");
                Err(refusal("the directory cannot be asked"))
            }
        }
    }

    /// Whether the modules of this service take this password for this user.
    #[cfg(feature = "pam")]
    pub(super) async fn modules(&self, service: &str, user: &str, password: Vec<u8>) -> Result<(), Refusal> {
        let refusal = |reason| Refusal::Told { error: failed("PAM", user), reason: Some(reason) };
        let place =
            self.places.clone().acquire_owned().await.map_err(|_| refusal("pgsteer is about to end"))?;
        let (service, name) = (service.to_owned(), user.to_owned());
        // Whoever cannot wait leaves; the module goes on, and keeps the place until it has ended.
        let judging = tokio::task::spawn_blocking(move || {
            let verdict = modules::judge(&service, &name, &password);
            drop(place);
            verdict
        });
        match timeout(JUDGING_MAX, judging).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(why))) => {
                tracing::info!(user, "PAM refused the password: {why}");
                Err(refusal("PAM refused the password"))
            }
            Ok(Err(_)) | Err(_) => Err(refusal("PAM did not answer in time")),
        }
    }

    /// Without PAM there is no rule that asks it.
    #[cfg(not(feature = "pam"))]
    pub(super) async fn modules(&self, _: &str, user: &str, _: Vec<u8>) -> Result<(), Refusal> {
        Err(Refusal::Told { error: failed("PAM", user), reason: Some("this pgsteer was built without PAM") })
    }
}

/// Asks the client for its password, as it is. What is in `told` goes out before.
pub(super) async fn ask_password(
    stream: &mut Stream,
    inbox: &mut Inbox,
    told: &mut Vec<u8>,
) -> Result<Vec<u8>, Refusal> {
    let mut send = std::mem::take(told);
    Authentication::CleartextPassword.encode(&mut send);
    stream.write_all(&send).await?;
    let (tag, body) = inbox.frame(stream, PASSWORD_MAX).await.map_err(|error| match error {
        FrameError::Io(error) => Refusal::Gone(error),
        length => violation(SqlState::PROTOCOL_VIOLATION, &length.to_string()),
    })?;
    if tag != b'p' {
        let message = format!("expected password response, got message type {tag}");
        return Err(violation(SqlState::PROTOCOL_VIOLATION, &message));
    }
    let password = decode_password(body)
        .map_err(|malformed| violation(SqlState::PROTOCOL_VIOLATION, &malformed.to_string()))?;
    if password.is_empty() {
        // A directory would take no password for a wish to remain nobody, and grant it.
        return Err(violation(SqlState::INVALID_PASSWORD, "empty password returned by client"));
    }
    Ok(password.to_vec())
}

pub(super) fn violation(code: SqlState, message: &str) -> Refusal {
    Refusal::Told { error: PgError::fatal(code, message.to_owned()), reason: None }
}

/// An error of a library in one line.
fn one_line(error: &dyn std::error::Error) -> String {
    with_causes(error.to_string(), error.source()).replace('\n', " ")
}

/// Reads a file away from the worker.
async fn read(path: String) -> io::Result<Vec<u8>> {
    tokio::task::spawn_blocking(move || std::fs::read(path)).await.map_err(io::Error::other)?
}
