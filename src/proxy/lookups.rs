//! Users' secrets, asked of the servers (`auth_query`): remembered, asked for once by however many log in at the same
//! time, and good for an outage.

mod asking;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::watch;

use self::asking::{Asked, Asking, Unanswered};
use super::{
    app::App,
    settings::{approach, protocol},
};
use crate::{
    auth::{
        cache::{CachePolicy, Recall, SecretCache},
        secrets::{Secrets as _, UserSecret},
    },
    client::{Age, Finding, Found, Lookup, Need},
    clock::Moment,
    config::{AuthQuery, Config, Listener},
    wire::error::{PgError, SqlState},
};

/// After nobody could be asked, those who are remembered are let in without another attempt for as long.
const UNREACHABLE_FOR: Duration = Duration::from_secs(1);
/// How often a login without a remembered secret looks for somebody to ask, unless the routes change before.
const RETRY: Duration = Duration::from_millis(250);

/// Who is asked, on every cluster.
#[derive(Default)]
pub(super) struct Lookups {
    sources: Mutex<BTreeMap<String, Vec<Arc<Source>>>>,
}

/// One cluster, asked in one way.
struct Source {
    how: AuthQuery,
    asking: Arc<Asking>,
    state: Arc<Mutex<State>>,
}

struct State {
    cache: SecretCache,
    /// Questions under way, by user; as many at most as clients are logging in.
    under_way: BTreeMap<String, watch::Receiver<Option<Asked>>>,
    unreachable_until: Moment,
}

impl Lookups {
    fn source(&self, app: &App, cluster: &str, how: AuthQuery) -> Option<Arc<Source>> {
        let mut sources = self.sources.lock();
        let of_cluster = sources.entry(cluster.to_owned()).or_default();
        if let Some(known) = of_cluster.iter().find(|known| known.how == how) {
            return Some(known.clone());
        }
        let router = app.clusters.get(cluster)?.router.clone();
        let config = app.config.load();
        let newest = protocol(config.clusters.get(cluster)?.protocol);
        let login = asking::login(&how, newest, approach(&config, cluster, None));
        let asking = Asking::new(login, &how.query, router, app.pools.dial(), app.clock, app.events.clone());
        let asking = Arc::new(asking);
        let state = State {
            cache: SecretCache::new(policy(&config)),
            under_way: BTreeMap::new(),
            unreachable_until: Moment::ZERO,
        };
        let source = Arc::new(Source { how, asking, state: Arc::new(Mutex::new(state)) });
        of_cluster.push(source.clone());
        Some(source)
    }

    /// The configuration is another: ways of asking that are not in it any more are forgotten, with what they told.
    pub(super) fn reconfigure(&self, config: &Config) {
        let databases = config.keys.databases.keys().map(String::as_str);
        // No declared database has an empty name: this stands for those that are not declared.
        let still: Vec<_> =
            databases.chain([""]).filter_map(|database| config.auth_query(database)).collect();
        for (cluster, of_cluster) in self.sources.lock().iter_mut() {
            of_cluster.retain(|source| still.contains(&source.how));
            for source in of_cluster {
                source.state.lock().cache.set_policy(policy(config));
                source.asking.set_approach(&approach(config, cluster, None));
            }
        }
    }

    /// Closes connections that were not used for a while, or lead to a member that is deposed.
    pub(super) fn sweep(&self, now: Moment) {
        for source in self.sources.lock().values().flatten() {
            source.asking.sweep(now);
        }
    }
}

fn policy(config: &Config) -> CachePolicy {
    CachePolicy {
        age_max: config.keys.auth.auth_cache_age.0,
        users_max: config.keys.auth.auth_cache_users_max.get() as usize,
    }
}

/// Looks users up for the clients of one listener.
pub(super) struct ListenerLookup {
    app: Arc<App>,
    listener: Listener,
}

impl ListenerLookup {
    /// `None` where no user is looked up.
    pub(super) fn of(app: &Arc<App>, listener: &Listener) -> Option<Arc<dyn Lookup>> {
        let config = app.config.load();
        let any = config.keys.auth.auth_user.is_some()
            || config.keys.databases.values().any(|database| database.auth_user.is_some());
        any.then(|| Arc::new(Self { app: app.clone(), listener: listener.clone() }) as Arc<dyn Lookup>)
    }

    async fn ask(&self, user: &str, database: &str, need: Need) -> Result<Found, PgError> {
        let app = &self.app;
        let config = app.config.load_full();
        let cluster = config.cluster_of(&self.listener, database);
        let source = config.auth_query(database).and_then(|how| app.lookups.source(app, cluster, how));
        let Some(source) = source else {
            let typical = app.users.load().typical();
            return Ok(Found { secret: None, typical, age: Age::Newest });
        };
        let limit = config.keys.auth.auth_query_timeout;
        // As long as a request of this client would wait for a leader; client_login_timeout bounds it anyway.
        let patience = config.pool_settings(database, user).leader_wait_timeout;
        source.find(app, user, need, limit, patience).await
    }
}

impl Lookup for ListenerLookup {
    fn find<'a>(&'a self, user: &'a str, database: &'a str, need: Need) -> Finding<'a> {
        Box::pin(self.ask(user, database, need))
    }
}

impl Source {
    async fn find(
        &self,
        app: &App,
        user: &str,
        need: Need,
        limit: Duration,
        patience: Option<Duration>,
    ) -> Result<Found, PgError> {
        let began = app.clock.now();
        loop {
            let now = app.clock.now();
            let (remembered, unreachable) = {
                let state = self.state.lock();
                (state.cache.recall(user, now), now < state.unreachable_until)
            };
            let old = match (remembered, need) {
                (Recall::Current(secret), Need::Recent) => return Ok(self.found(secret, Age::Remembered)),
                (Recall::Current(secret) | Recall::Old(secret), _) => Some(secret),
                (Recall::Nothing, _) => None,
            };
            let asked = match &old {
                Some(_) if unreachable => {
                    Err(Unanswered::Unreachable("nobody could be asked just now".into()))
                }
                _ => self.ask_once(user, limit).await,
            };
            match (asked, old) {
                (Ok(secret), _) => return Ok(self.found(secret, Age::Newest)),
                (Err(_), Some(secret)) => {
                    app.events.lookups.count(["remembered"]);
                    return Ok(self.found(secret, Age::Remembered));
                }
                (Err(Unanswered::Unreachable(why)), None) => {
                    if patience.is_some_and(|patience| app.clock.now().since(began) >= patience) {
                        let message = "no server can be asked who this user is";
                        return Err(
                            PgError::fatal(SqlState::UNABLE_TO_CONNECT, message).detail(why.to_string())
                        );
                    }
                    self.asking.routes_change(RETRY).await;
                }
                (Err(Unanswered::Refused), None) => {
                    let message = "users cannot be looked up on the servers";
                    let hint = "The log of pgsteer says why (auth_query).";
                    return Err(PgError::fatal(SqlState::SYSTEM_ERROR, message).hint(hint));
                }
            }
        }
    }

    fn found(&self, secret: Option<Arc<UserSecret>>, age: Age) -> Found {
        Found { secret, typical: self.state.lock().cache.typical(), age }
    }

    /// Asks the servers; those who want to know the same at the same time share one question, which goes on when the
    /// one who asked first leaves.
    async fn ask_once(&self, user: &str, limit: Duration) -> Asked {
        let mut answer = {
            let mut state = self.state.lock();
            match state.under_way.get(user) {
                Some(answer) => answer.clone(),
                None => {
                    let (told, answer) = watch::channel(None);
                    state.under_way.insert(user.to_owned(), answer.clone());
                    tokio::spawn(question(
                        self.asking.clone(),
                        self.state.clone(),
                        user.to_owned(),
                        limit,
                        told,
                    ));
                    answer
                }
            }
        };
        match answer.wait_for(Option::is_some).await.map(|answer| answer.clone()) {
            Ok(Some(asked)) => asked,
            // The program ends.
            _ => Err(Unanswered::Unreachable("the question was given up".into())),
        }
    }
}

async fn question(
    asking: Arc<Asking>,
    state: Arc<Mutex<State>>,
    user: String,
    limit: Duration,
    told: watch::Sender<Option<Asked>>,
) {
    let asked_at = asking.now();
    let answer = asking.ask(&user, limit).await;
    let asked = {
        let mut state = state.lock();
        state.under_way.remove(&user);
        match answer {
            Ok(secret) => Ok(state.cache.learn(&user, secret, asked_at)),
            Err(unanswered) => {
                state.unreachable_until = asking.now() + UNREACHABLE_FOR;
                Err(unanswered)
            }
        }
    };
    // Those who asked may all have left.
    let _ = told.send(Some(asked));
}
