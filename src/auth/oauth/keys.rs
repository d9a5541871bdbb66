//! An issuer's keys: where they come from, and how long they are relied upon.
//!
//! Issuers change their keys, a new one beside the old one or for it. What is known of them is therefore asked for again
//! from time to time, and when a token comes that no known key has signed; the latter no oftener than an issuer can be
//! expected to bear, whoever makes up tokens.

use std::{sync::Arc, time::Duration};

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use serde_json::Value;
use url::Url;

use crate::{auth::rules::options::Options, clock::Moment, tls::Authorities};

/// Keys of one issuer at most.
const KEYS_MAX: usize = 100;
/// Keys that were asked for so long ago are asked for again, while they go on to serve.
const REFRESH_AFTER: Duration = Duration::from_secs(5 * 60);
/// Keys that were asked for so long ago serve no more, whoever cannot be reached.
const AGE_MAX: Duration = Duration::from_secs(60 * 60);
/// No issuer is asked more often than this.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Where the keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysFrom {
    /// They are known, and change with a reload.
    Here(Arc<JwkSet>),
    /// They are asked for.
    There(Arc<KeyPlace>),
}

/// Where keys are asked for, by HTTPS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyPlace {
    /// Where.
    pub at: KeyUrl,
    /// The authorities (PEM) that vouch for whoever answers there; `None`: the system's.
    pub authorities: Option<String>,
}

/// What is known of the place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyUrl {
    /// The keys are there (`jwks_uri`).
    Keys(Url),
    /// The issuer says there where they are (OpenID Connect Discovery 1.0, section 4).
    Discovery {
        /// Its name, which it must give itself.
        issuer: String,
        /// Where it is described.
        url: Url,
    },
}

impl KeysFrom {
    /// What the options say; `read` reads a file.
    pub(super) fn of(
        issuer: &str,
        options: &mut Options,
        read: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Self, String> {
        let authorities = options.take("cafile");
        let at = match (options.take("jwksfile"), options.take("jwksurl")) {
            (Some(_), Some(_)) => {
                return Err("the keys come by \"jwksfile\" or by \"jwksurl\": keep one of them".to_owned());
            }
            (Some(_), None) if authorities.is_some() => {
                return Err(
                    "\"cafile\" has no meaning with \"jwksfile\": nobody is asked for the keys".to_owned()
                );
            }
            (Some(file), None) => {
                let keys = key_set(read(&file)?.as_bytes()).map_err(|why| format!("{file}: {why}"))?;
                return Ok(Self::Here(Arc::new(keys)));
            }
            (None, Some(url)) => KeyUrl::Keys(https(&url)?),
            (None, None) => {
                let place = discovery(issuer);
                let url = https(&place).map_err(|why| {
                    format!("{why}: without \"jwksfile\" or \"jwksurl\" the issuer is asked for its keys")
                })?;
                KeyUrl::Discovery { issuer: issuer.to_owned(), url }
            }
        };
        let authorities = match authorities {
            None => None,
            Some(file) => {
                let pem = read(&file)?;
                Authorities::from_pem(pem.as_bytes(), Duration::ZERO)
                    .map_err(|fault| format!("{file}: {}", fault.what))?;
                Some(pem)
            }
        };
        Ok(Self::There(Arc::new(KeyPlace { at, authorities })))
    }
}

impl KeyPlace {
    /// What it is called in the log.
    pub fn name(&self) -> &str {
        match &self.at {
            KeyUrl::Keys(url) => url.as_str(),
            KeyUrl::Discovery { issuer, .. } => issuer,
        }
    }
}

/// Where an issuer describes itself.
pub(super) fn discovery(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

fn https(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("\"{text}\" is no URL: {error}"))?;
    if url.scheme() == "https" { Ok(url) } else { Err(format!("\"{text}\" does not begin with https://")) }
}

/// Where the keys are, by what an issuer says of itself.
///
/// # Errors
/// It is another issuer, or does not say.
pub fn described(issuer: &str, text: &[u8]) -> Result<Url, String> {
    let said: Value = serde_json::from_slice(text).map_err(|error| format!("it is no JSON: {error}"))?;
    match said.get("issuer").and_then(Value::as_str) {
        Some(name) if name == issuer => {}
        Some(name) => return Err(format!("it calls itself \"{name}\"")),
        None => return Err("it does not say who it is (issuer)".to_owned()),
    }
    https(
        said.get("jwks_uri")
            .and_then(Value::as_str)
            .ok_or("it does not say where its keys are (jwks_uri)")?,
    )
}

/// A set of keys (RFC 7517). What is not understood in it, or not for signatures, is left out, as its section 5 has it.
///
/// # Errors
/// It is none, or nothing is left.
pub fn key_set(text: &[u8]) -> Result<JwkSet, String> {
    #[derive(serde::Deserialize)]
    struct Raw {
        keys: Vec<Value>,
    }
    let raw: Raw =
        serde_json::from_slice(text).map_err(|error| format!("it is no set of keys (RFC 7517): {error}"))?;
    if raw.keys.len() > KEYS_MAX {
        return Err(format!("it has more than {KEYS_MAX} keys"));
    }
    let known = raw.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    let keys: Vec<_> =
        known.filter(|key| key.common.public_key_use != Some(PublicKeyUse::Encryption)).collect();
    if keys.is_empty() { Err("there is no key in it".to_owned()) } else { Ok(JwkSet { keys }) }
}

/// What is known of one issuer's keys.
#[derive(Debug, Default)]
pub struct KeyRing {
    known: Option<(Arc<JwkSet>, Moment)>,
    asked_at: Option<Moment>,
    /// What came of the last question, if no keys.
    why: Option<String>,
}

/// What is to be done about keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// These serve.
    Use(Arc<JwkSet>),
    /// These serve, and newer ones are to be asked for.
    UseAndAsk(Arc<JwkSet>),
    /// The issuer must be asked.
    Ask,
    /// There are none, and it is too early to ask again.
    Refuse(String),
}

impl KeyRing {
    /// The keys, for a token that has not been looked at yet.
    pub fn look(&self, now: Moment) -> Look {
        match &self.known {
            Some((keys, at)) if now.since(*at) < REFRESH_AFTER => Look::Use(keys.clone()),
            Some((keys, at)) if now.since(*at) < AGE_MAX => match self.may_ask(now) {
                true => Look::UseAndAsk(keys.clone()),
                false => Look::Use(keys.clone()),
            },
            _ => self.anew(now),
        }
    }

    /// The keys were no use for a token: whether there may be others.
    pub fn anew(&self, now: Moment) -> Look {
        match self.may_ask(now) {
            true => Look::Ask,
            false => Look::Refuse(
                self.why.clone().unwrap_or_else(|| "the issuer was asked for its keys just now".to_owned()),
            ),
        }
    }

    /// The keys, however it came to them.
    pub fn known(&self, now: Moment) -> Result<Arc<JwkSet>, String> {
        match self.look(now) {
            Look::Use(keys) | Look::UseAndAsk(keys) => Ok(keys),
            Look::Ask => Err(self.why.clone().unwrap_or_default()),
            Look::Refuse(why) => Err(why),
        }
    }

    /// The issuer is asked.
    pub const fn asks(&mut self, now: Moment) {
        self.asked_at = Some(now);
    }

    /// It has answered what it was asked at `asked_at`, or it has not. Keys that are known go on to serve then.
    pub fn learn(&mut self, answer: Result<JwkSet, String>, asked_at: Moment) {
        match answer {
            Ok(keys) => (self.known, self.why) = (Some((Arc::new(keys), asked_at)), None),
            Err(why) => self.why = Some(why),
        }
    }

    fn may_ask(&self, now: Moment) -> bool {
        self.asked_at.is_none_or(|at| now.since(at) >= ASK_EVERY)
    }
}
