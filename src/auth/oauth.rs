//! Bearer tokens: SASL OAUTHBEARER (RFC 7628, as PostgreSQL 18 has it), and signed JWTs (RFC 7519, RFC 9068) as the
//! tokens that are taken.

use std::fmt;

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header, errors::ErrorKind, jwk::JwkSet,
};
use serde_json::{Map, Value};

use super::rules::options::Options;

mod keys;

pub use keys::{KeyPlace, KeyRing, KeyUrl, KeysFrom, Look, described, key_set};

/// The mechanism's name.
pub const MECHANISM: &[u8] = b"OAUTHBEARER";
/// What separates the parts of a client's message.
const SEPARATOR: char = '\u{1}';
/// How far the clocks of whoever issues tokens may be off, in seconds.
const LEEWAY_S: u64 = 30;
/// Algorithms whose keys are public. With the others, who can check a token can also make one.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Which tokens are taken.
#[derive(Clone, PartialEq, Eq)]
pub struct OauthPlan {
    /// Who must have issued them.
    pub issuer: String,
    /// For whom they must be meant.
    pub audience: String,
    /// What they must allow.
    pub scopes: Vec<String>,
    /// The claim that names the user.
    pub claim: String,
    /// How clients show them.
    pub shown: Shown,
    /// Where the issuer's keys come from.
    pub keys: KeysFrom,
}

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// None of the keys has signed it; newer ones might have.
    Key(String),
    /// Whoever has signed it.
    Token(String),
}

/// How a client shows its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// By the mechanism that is made for it.
    Bearer,
    /// As a password, since the client does not know the mechanism.
    AsPassword,
}

/// What a client's first message says.
#[derive(Debug, PartialEq, Eq)]
pub enum Hello<'a> {
    /// It has a token.
    Token(&'a str),
    /// It wants to know where to get one.
    Discovery,
}

impl OauthPlan {
    /// What the options say; `read` reads a file.
    pub(super) fn of(
        options: &mut Options,
        read: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Self, String> {
        let mut needed =
            |name: &str| options.take(name).ok_or(format!("the method oauth needs the option \"{name}\""));
        let (issuer, audience, scope) = (needed("issuer")?, needed("audience")?, needed("scope")?);
        let keys = KeysFrom::of(&issuer, options, read)?;
        let shown = match options.take("token").as_deref() {
            None | Some("bearer") => Shown::Bearer,
            Some("password") => Shown::AsPassword,
            Some(other) => {
                return Err(format!("invalid value for token: \"{other}\"; bearer or password is expected"));
            }
        };
        Ok(Self {
            issuer,
            audience,
            scopes: scope.split_ascii_whitespace().map(str::to_owned).collect(),
            claim: options.take("claim").unwrap_or_else(|| "sub".to_owned()),
            shown,
            keys,
        })
    }

    /// Whom a token names, if it is to be taken at `now` (seconds since 1970) and one of these keys has signed it.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn judge(&self, keys: &JwkSet, token: &str, now: u64) -> Result<String, Wrong> {
        let header =
            decode_header(token).map_err(|error| Wrong::Token(format!("no signed token: {error}")))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(Wrong::Token(format!("a token signed by {:?} is not taken", header.alg)));
        }
        let claims = self.claims(keys, token, header.alg, header.kid.as_deref())?;
        self.named(&claims, now).map_err(Wrong::Token)
    }

    /// Whom the claims of a token name, if it allows what it must, now.
    fn named(&self, claims: &Map<String, Value>, now: u64) -> Result<String, String> {
        let moment = |claim: &str| claims.get(claim).and_then(Value::as_f64);
        let seconds = now as f64;
        match moment("exp") {
            Some(expires) if expires + LEEWAY_S as f64 > seconds => {}
            _ => return Err("the token has expired".to_owned()),
        }
        if claims.contains_key("nbf") && moment("nbf").is_none_or(|from| from > seconds + LEEWAY_S as f64) {
            return Err("the token is not valid yet".to_owned());
        }
        let allowed = scopes(claims);
        if let Some(missing) = self.scopes.iter().find(|scope| !allowed.contains(&scope.as_str())) {
            return Err(format!("the token does not allow \"{missing}\""));
        }
        let named = claims.get(&self.claim).and_then(Value::as_str).filter(|name| !name.is_empty());
        named.map(str::to_owned).ok_or_else(|| format!("the token has no claim \"{}\"", self.claim))
    }

    /// The claims of a token, if one of the keys has signed it, for us, by the issuer.
    fn claims(
        &self,
        keys: &JwkSet,
        token: &str,
        algorithm: Algorithm,
        kid: Option<&str>,
    ) -> Result<Map<String, Value>, Wrong> {
        let mut validation = Validation::new(algorithm);
        // By our own clock, above.
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        let wrong = |why: &dyn fmt::Display| format!("the token cannot be verified: {why}");
        let mut last = Wrong::Key(wrong(&"no key has its identifier"));
        let keys = keys.keys.iter().filter(|key| kid.is_none() || key.common.key_id.as_deref() == kid);
        for key in keys {
            let decoded = DecodingKey::from_jwk(key).and_then(|key| decode(token, &key, &validation));
            match decoded {
                Ok(token) => return Ok(token.claims),
                // It was signed by this key.
                Err(error) if is_about_claims(error.kind()) => return Err(Wrong::Token(wrong(&error))),
                Err(error) => last = Wrong::Key(wrong(&error)),
            }
        }
        Err(last)
    }

    /// Where a client without a token may get one.
    pub fn discovery(&self) -> Vec<u8> {
        let place = keys::discovery(&self.issuer);
        let told = serde_json::json!({
            "status": "invalid_token",
            "openid-configuration": place,
            "scope": self.scopes.join(" "),
        });
        told.to_string().into_bytes()
    }
}

impl fmt::Debug for OauthPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OauthPlan")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// Whether a token's signature was right and something else is not.
const fn is_about_claims(error: &ErrorKind) -> bool {
    matches!(
        error,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience
    )
}

/// What a token allows: `scope` as text (RFC 9068), or a list in `scp`, as some issuers have it.
fn scopes(claims: &Map<String, Value>) -> Vec<&str> {
    ["scope", "scp"]
        .into_iter()
        .filter_map(|name| claims.get(name))
        .flat_map(|value| match value {
            Value::String(text) => text.split_ascii_whitespace().collect(),
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        })
        .collect()
}

/// Reads a client's first message: `n,,` and key-value pairs, among them `auth=Bearer TOKEN` (RFC 7628, section 3.1).
///
/// # Errors
/// In PostgreSQL's words, what is wrong with it.
pub fn hello(message: &[u8]) -> Result<Hello<'_>, &'static str> {
    let text = std::str::from_utf8(message).map_err(|_| "malformed OAUTHBEARER message")?;
    let rest = match text.as_bytes().first() {
        Some(b'n' | b'y') => &text[1..],
        Some(b'p') => {
            return Err(
                "The server does not support channel binding for OAuth, but the client message includes \
                        channel binding data.",
            );
        }
        _ => return Err("malformed OAUTHBEARER message"),
    };
    let rest = rest.strip_prefix(',').ok_or("malformed OAUTHBEARER message")?;
    if rest.starts_with("a=") {
        return Err("client uses authorization identity, but it is not supported");
    }
    let pairs = rest.strip_prefix(',').and_then(|rest| rest.strip_prefix(SEPARATOR));
    let pairs =
        pairs.and_then(|pairs| pairs.strip_suffix(SEPARATOR)).ok_or("malformed OAUTHBEARER message")?;
    let mut auth = None;
    for pair in pairs.split_terminator(SEPARATOR) {
        let (key, value) = pair.split_once('=').ok_or("malformed OAUTHBEARER message")?;
        let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphabetic());
        if !is_key || (key == "auth" && auth.replace(value).is_some()) {
            return Err("malformed OAUTHBEARER message");
        }
    }
    match auth {
        None => Err("malformed OAUTHBEARER message"),
        Some("") => Ok(Hello::Discovery),
        Some(value) => bearer(value).map(Hello::Token).ok_or("malformed OAUTHBEARER message"),
    }
}

/// The token behind `Bearer` (RFC 6750, section 2.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    let body = token.trim_end_matches('=');
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    (scheme.eq_ignore_ascii_case("bearer") && !body.is_empty() && body.bytes().all(is_token)).then_some(token)
}

#[cfg(test)]
mod tests;
