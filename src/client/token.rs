//! Clients that show a token (RFC 7628).

use tokio::io::AsyncWriteExt as _;

use super::{
    login::Refusal,
    outside::{Outside, ask_password, violation},
};
use crate::{
    auth::{
        oauth::{Hello, MECHANISM, OauthPlan, Shown, hello},
        rules::failed,
    },
    net::{FrameError, Inbox, Stream},
    wire::{
        error::SqlState,
        message::{Authentication, SaslInitialResponse},
    },
};

/// PostgreSQL's limit for a message of SASL where tokens are shown (18: `PG_MAX_SASL_MESSAGE_LENGTH`), in bytes.
const MESSAGE_MAX: usize = 65_535;
/// What a client answers when it was told why its token is not taken: nothing, but in form.
const UNDERSTOOD: &[u8] = b"\x01";

/// Asks for a token, and lets in whom it names if `may_be` says so.
pub(super) async fn token(
    stream: &mut Stream,
    inbox: &mut Inbox,
    told: &mut Vec<u8>,
    (plan, user, outside): (&OauthPlan, &str, &Outside),
    may_be: impl Fn(&str) -> bool + Send + Sync,
) -> Result<(), Refusal> {
    let judge = async |token: &str| match outside.token(plan, token).await {
        Ok(name) if may_be(&name) => Ok(()),
        Ok(_) => Err("the token is another user's".to_owned()),
        Err(why) => Err(why),
    };
    let judged = match plan.shown {
        Shown::AsPassword => {
            let password = ask_password(stream, inbox, told).await?;
            judge(&String::from_utf8_lossy(&password)).await
        }
        Shown::Bearer => {
            let message = first_message(stream, inbox, told).await?;
            let judged = match hello(&message).map_err(protocol)? {
                Hello::Token(token) => judge(token).await,
                Hello::Discovery => Err("it has no token and asks where to get one".to_owned()),
            };
            if judged.is_err() {
                tell_where(stream, inbox, plan).await?;
            }
            judged
        }
    };
    judged.map_err(|why| {
        tracing::info!(user, "a token is not taken: {why}");
        Refusal::Told { error: failed("OAuth bearer", user), reason: Some("the token is not taken") }
    })
}

/// The client's first message of the mechanism.
async fn first_message(
    stream: &mut Stream,
    inbox: &mut Inbox,
    told: &mut Vec<u8>,
) -> Result<Vec<u8>, Refusal> {
    let mut send = std::mem::take(told);
    Authentication::OAUTHBEARER.encode(&mut send);
    stream.write_all(&send).await?;
    let body = response(stream, inbox).await?;
    let chosen = SaslInitialResponse::decode(&body).map_err(|malformed| protocol(&malformed.to_string()))?;
    if chosen.mechanism != MECHANISM {
        return Err(protocol("client selected an invalid SASL authentication mechanism"));
    }
    if let Some(data) = chosen.data {
        return Ok(data.to_vec());
    }
    // It was held back: an empty challenge asks for it.
    let mut send = Vec::new();
    Authentication::SaslContinue(b"").encode(&mut send);
    stream.write_all(&send).await?;
    response(stream, inbox).await
}

/// Says where a token is to be had that would be taken, which the client must answer before it hears the error.
async fn tell_where(stream: &mut Stream, inbox: &mut Inbox, plan: &OauthPlan) -> Result<(), Refusal> {
    let mut send = Vec::new();
    Authentication::SaslContinue(&plan.discovery()).encode(&mut send);
    stream.write_all(&send).await?;
    match &*response(stream, inbox).await? {
        UNDERSTOOD => Ok(()),
        _ => Err(protocol("malformed OAUTHBEARER message")),
    }
}

async fn response(stream: &mut Stream, inbox: &mut Inbox) -> Result<Vec<u8>, Refusal> {
    let (tag, body) = inbox.frame(stream, MESSAGE_MAX).await.map_err(|error| match error {
        FrameError::Io(error) => Refusal::Gone(error),
        length => protocol(&length.to_string()),
    })?;
    if tag == b'p' {
        Ok(body.to_vec())
    } else {
        Err(protocol(&format!("expected SASL response, got message type {tag}")))
    }
}

fn protocol(message: &str) -> Refusal {
    violation(SqlState::PROTOCOL_VIOLATION, message)
}
