//! The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), with the slow part done once.
//!
//! PBKDF2 is the client's to compute and would drown the proxy in any figure of logins per second, so the salted
//! password is remembered for each salt.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac, pbkdf2};

use crate::Result;

type Salted = [u8; digest::SHA256_OUTPUT_LEN];

/// Who logs in, and the salted passwords worked out so far.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// The user's name, also the database's.
    pub(crate) user: String,
    /// The password in clear.
    pub(crate) password: String,
    salted: Arc<Mutex<BTreeMap<(String, u32), Salted>>>,
}

impl Account {
    /// An account that has not logged in yet.
    pub(crate) fn new(user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), password: password.to_owned(), salted: Arc::default() }
    }

    fn salted(&self, salt: &str, iterations: u32) -> Result<Salted> {
        let mut known = self.salted.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (salt.to_owned(), iterations);
        if let Some(salted) = known.get(&key) {
            return Ok(*salted);
        }
        let mut salted = Salted::default();
        let rounds = NonZeroU32::new(iterations).ok_or("SCRAM with no iterations")?;
        let raw = BASE64.decode(salt)?;
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &raw, self.password.as_bytes(), &mut salted);
        known.insert(key, salted);
        Ok(salted)
    }
}

/// An exchange that has sent its first message.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    account: &'a Account,
    nonce: String,
}

impl<'a> Exchange<'a> {
    /// An exchange with a fresh nonce.
    pub(crate) fn begin(account: &'a Account) -> Result<Self> {
        let mut nonce = [0; 18];
        getrandom::fill(&mut nonce).map_err(|error| error.to_string())?;
        Ok(Self { account, nonce: BASE64.encode(nonce) })
    }

    /// client-first-message; PostgreSQL takes the user from the start-up message.
    pub(crate) fn first(&self) -> String {
        format!("n,,n=,r={}", self.nonce)
    }

    /// client-final-message, in answer to the server-first-message.
    pub(crate) fn last(&self, server_first: &str) -> Result<String> {
        let mut parts = server_first.splitn(3, ',');
        let mut part =
            |name: &str| parts.next().and_then(|part| part.strip_prefix(name)).ok_or("bad SCRAM message");
        let (nonce, salt, iterations) = (part("r=")?, part("s=")?, part("i=")?.parse()?);
        let salted = hmac::Key::new(hmac::HMAC_SHA256, &self.account.salted(salt, iterations)?);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());

        let without_proof = format!("c=biws,r={nonce}");
        let message = format!("n=,r={},{server_first},{without_proof}", self.nonce);
        let signature =
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, stored_key.as_ref()), message.as_bytes());
        let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        Ok(format!("{without_proof},p={}", BASE64.encode(proof)))
    }
}
