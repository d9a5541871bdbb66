//! Issuers of tokens, asked for their keys: by one question at a time, however many tokens wait for it, and by none that a
//! token waits for whose key is known.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hyper::StatusCode;
use jsonwebtoken::jwk::JwkSet;
use parking_lot::Mutex;
use tokio::{sync::watch, time::timeout};
use url::{Position, Url};

use crate::{
    auth::oauth::{KeyPlace, KeyRing, KeyUrl, KeysFrom, Look, OauthPlan, Wrong, described, key_set},
    clock::{Clock, Moment, wall_time},
    net::{
        KeepAlive, NetDialer,
        http::{HttpClient, HttpEndpoint},
        secured::Unfit,
    },
    tls::{Authorities, Connector, Revocations, SslMode, Start, ToServers, Version},
};

/// An issuer that has not answered by then has not answered.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The longest answer, in bytes.
const BYTES_MAX: usize = 256 * 1024;
/// Issuers that are remembered at most; a configuration has one or two.
const ISSUERS_MAX: usize = 64;

/// What is known of every issuer's keys. Reloads change nothing of it.
#[derive(Debug)]
pub(super) struct Issuers {
    clock: Clock,
    known: Mutex<BTreeMap<Arc<KeyPlace>, Arc<Issuer>>>,
}

#[derive(Debug)]
struct Issuer {
    place: Arc<KeyPlace>,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ring: KeyRing,
    /// Whether it is being asked.
    question: Option<watch::Receiver<()>>,
}

impl Issuers {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, known: Mutex::default() }
    }

    /// Whom a token names, if it is to be taken.
    pub(super) async fn judge(&self, plan: &OauthPlan, token: &str) -> Result<String, String> {
        let judge = |keys: &JwkSet| plan.judge(keys, token, wall_time().as_secs());
        let said = |wrong| match wrong {
            Wrong::Key(why) | Wrong::Token(why) => why,
        };
        let place = match &plan.keys {
            KeysFrom::Here(keys) => return judge(keys).map_err(said),
            KeysFrom::There(place) => place,
        };
        let issuer = self.issuer(place);
        let why = match judge(&*issuer.keys().await?) {
            Err(Wrong::Key(why)) => why,
            judged => return judged.map_err(said),
        };
        match issuer.newer_keys().await {
            Ok(keys) => judge(&keys).map_err(said),
            Err(reason) => Err(format!("{why} ({reason})")),
        }
    }

    fn issuer(&self, place: &Arc<KeyPlace>) -> Arc<Issuer> {
        let mut known = self.known.lock();
        if let Some(issuer) = known.get(place) {
            return issuer.clone();
        }
        if known.len() >= ISSUERS_MAX {
            // Those of configurations that are not in force any more; the others are asked once again.
            known.clear();
        }
        let (place, clock) = (place.clone(), self.clock);
        let issuer = Arc::new(Issuer { place: place.clone(), clock, state: Mutex::default() });
        known.insert(place, issuer.clone());
        issuer
    }
}

impl Issuer {
    /// Its keys, as they are known; asked for where they are not.
    async fn keys(self: &Arc<Self>) -> Result<Arc<JwkSet>, String> {
        let look = self.state.lock().ring.look(self.clock.now());
        match look {
            Look::Use(keys) => Ok(keys),
            Look::UseAndAsk(keys) => {
                // Whoever comes later has the answer.
                drop(self.ask());
                Ok(keys)
            }
            Look::Ask => self.answered(self.ask()).await,
            Look::Refuse(why) => self.under_way(why).await,
        }
    }

    /// Its keys, asked for since a token came that none of the known ones has signed.
    async fn newer_keys(self: &Arc<Self>) -> Result<Arc<JwkSet>, String> {
        let look = self.state.lock().ring.anew(self.clock.now());
        match look {
            Look::Refuse(why) => self.under_way(why).await,
            Look::Use(_) | Look::UseAndAsk(_) | Look::Ask => self.answered(self.ask()).await,
        }
    }

    /// It is too early for another question: the answer to the one that is under way, if there is one.
    async fn under_way(&self, why: String) -> Result<Arc<JwkSet>, String> {
        let question = self.state.lock().question.clone();
        match question {
            Some(question) => self.answered(question).await,
            None => Err(why),
        }
    }

    /// Asks it, unless somebody does already. The question goes on if nobody waits for it.
    fn ask(self: &Arc<Self>) -> watch::Receiver<()> {
        let mut state = self.state.lock();
        if let Some(question) = &state.question {
            return question.clone();
        }
        let (told, question) = watch::channel(());
        let now = self.clock.now();
        state.ring.asks(now);
        state.question = Some(question.clone());
        tokio::spawn(self.clone().question(now, told));
        question
    }

    async fn question(self: Arc<Self>, asked_at: Moment, told: watch::Sender<()>) {
        let answer = timeout(ANSWER_MAX, fetch(&self.place)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {ANSWER_MAX:?}")));
        match &answer {
            Ok(keys) => tracing::debug!(issuer = self.place.name(), keys = keys.keys.len(), "keys learnt"),
            Err(why) => tracing::warn!(issuer = self.place.name(), "its keys cannot be had: {why}"),
        }
        let answer = answer.map_err(|why| format!("the issuer's keys cannot be had: {why}"));
        let mut state = self.state.lock();
        state.ring.learn(answer, asked_at);
        state.question = None;
        // Its end is the news.
        drop(told);
    }

    /// What is known when the question has been answered.
    async fn answered(&self, mut question: watch::Receiver<()>) -> Result<Arc<JwkSet>, String> {
        while question.changed().await.is_ok() {}
        self.state.lock().ring.known(self.clock.now())
    }
}

async fn fetch(place: &KeyPlace) -> Result<JwkSet, String> {
    let connector = connector(place).await?;
    let url = match &place.at {
        KeyUrl::Keys(url) => url.clone(),
        KeyUrl::Discovery { issuer, url } => {
            let told = get(url, &connector).await;
            told.and_then(|told| described(issuer, &told)).map_err(|why| format!("{url}: {why}"))?
        }
    };
    let keys = get(&url, &connector).await;
    keys.and_then(|keys| key_set(&keys)).map_err(|why| format!("{url}: {why}"))
}

/// What stands at `url`. Nothing is followed.
async fn get(url: &Url, connector: &Connector) -> Result<Vec<u8>, String> {
    let dial = Arc::new(NetDialer::new(KeepAlive::default()));
    let endpoint = HttpEndpoint::new(url.as_str(), Some(connector), dial).map_err(|Unfit(why)| why)?;
    let mut client = HttpClient::new(endpoint);
    let mut answer = client.stream(&url[Position::BeforePath..Position::AfterQuery]).await?;
    if answer.status != StatusCode::OK {
        return Err(format!("it answers {}", answer.status));
    }
    let mut body = Vec::new();
    while let Some(bytes) = answer.next().await? {
        if body.len() + bytes.len() > BYTES_MAX {
            return Err(format!("its answer is longer than {BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}

async fn connector(place: &KeyPlace) -> Result<Connector, String> {
    let authorities = match &place.authorities {
        Some(pem) => Authorities::from_pem(pem.as_bytes(), wall_time()),
        None => {
            let system = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
            Authorities::of_system(system.map_err(|error| error.to_string())?.certs)
        }
    };
    let authorities = authorities.map_err(|fault| fault.what)?;
    let trusted = Some((&authorities, Revocations::default()));
    let versions = [Version::Tls12, Version::Tls13];
    let to = ToServers::new(SslMode::VerifyFull, Start::Direct, &versions, trusted, None);
    let to = to.map_err(|fault| fault.what)?;
    to.connector().cloned().ok_or_else(|| "there is no TLS".to_owned())
}
