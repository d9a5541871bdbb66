//! Passwords that somebody outside judges: a directory.

mod directory;

use std::{io, time::Duration};

use tokio::{io::AsyncWriteExt as _, sync::Semaphore, time::timeout};

use super::login::Refusal;
use crate::{
    auth::{ldap::LdapPlan, rules::failed},
    net::{FrameError, Inbox, Stream},
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
    places: Semaphore,
}

impl Default for Outside {
    fn default() -> Self {
        Self { places: Semaphore::new(AT_ONCE) }
    }
}

/// What somebody outside says of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Right,
    Wrong,
}

impl Outside {
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
        match said {
            Ok(Verdict::Right) => Ok(()),
            Ok(Verdict::Wrong) => Err(Refusal::Told {
                error: failed("LDAP", user),
                reason: Some("the directory refused the password"),
            }),
            Err(why) => {
                tracing::warn!(user, "the directory cannot be asked: {why}");
                Err(Refusal::Told {
                    error: failed("LDAP", user),
                    reason: Some("the directory cannot be asked"),
                })
            }
        }
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
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text.replace('\n', " ")
}

/// Reads a file away from the worker.
async fn read(path: String) -> io::Result<Vec<u8>> {
    tokio::task::spawn_blocking(move || std::fs::read(path)).await.map_err(io::Error::other)?
}
