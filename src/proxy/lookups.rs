//! Users' secrets (`auth_query`) and their memberships in roles, asked of the servers: remembered, asked for once by however many log in at the same
//! time, and good for an outage.

mod asking;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::watch;

use self::asking::{Asked, Asking, Member, Question, Unanswered, membership};
use super::{
    app::App,
    settings::{approach, protocol},
};
use crate::{
    auth::{
        cache::{Cache, CachePolicy, Recall},
        secrets::{Secrets as _, UserSecret},
    },
    client::{Age, Belonging, Finding, Found, Lookup, Need},
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
    secrets: Topic<UserSecret>,
    members: Topic<Member>,
}

/// One kind of thing that is asked, and what is remembered of it.
struct Topic<T>(Arc<Mutex<State<T>>>);

struct State<T> {
    cache: Cache<T>,
    /// Questions under way, by whom they are about; as many at most as clients are logging in.
    under_way: BTreeMap<String, watch::Receiver<Option<Asked<T>>>>,
    unreachable_until: Moment,
}

/// How long it may take to find something out: one question, and all of it.
#[derive(Clone, Copy)]
struct Limits {
    question: Duration,
    all: Option<Duration>,
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
        let policy = policy(&config);
        let (secrets, members) = (Topic::new(policy), Topic::new(policy));
        let source = Arc::new(Source { how, asking, secrets, members });
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
                source.secrets.0.lock().cache.set_policy(policy(config));
                source.members.0.lock().cache.set_policy(policy(config));
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

    /// Who is asked about users of this database, if anybody is, and how long that may take.
    fn source(&self, user: &str, database: &str) -> Option<(Arc<Source>, Limits)> {
        let app = &self.app;
        let config = app.config.load_full();
        let cluster = config.cluster_of(&self.listener, database);
        let source = config.auth_query(database).and_then(|how| app.lookups.source(app, cluster, how))?;
        let question = config.keys.auth.auth_query_timeout;
        // As long as a request of this client would wait for a leader; client_login_timeout bounds it anyway.
        let all = config.pool_settings(database, user).leader_wait_timeout;
        Some((source, Limits { question, all }))
    }

    async fn secret(&self, user: &str, database: &str, need: Need) -> Result<Found, PgError> {
        let app = &self.app;
        let Some((source, limits)) = self.source(user, database) else {
            let typical = app.users.load().typical();
            return Ok(Found { secret: None, typical, age: Age::Newest });
        };
        let (secret, age) = source.secrets.find(app, &source.asking, user, need, limits).await?;
        let typical = source.secrets.0.lock().cache.typical();
        Ok(Found { secret, typical, age })
    }

    async fn belongs(&self, user: &str, role: &str, database: &str) -> Result<bool, PgError> {
        let app = &self.app;
        let Some((source, limits)) = self.source(user, database) else { return Ok(false) };
        let subject = membership(user, role);
        let (member, _) = source.members.find(app, &source.asking, &subject, Need::Recent, limits).await?;
        Ok(member.is_some())
    }
}

impl Lookup for ListenerLookup {
    fn find<'a>(&'a self, user: &'a str, database: &'a str, need: Need) -> Finding<'a> {
        Box::pin(self.secret(user, database, need))
    }

    fn is_member<'a>(&'a self, user: &'a str, role: &'a str, database: &'a str) -> Belonging<'a> {
        Box::pin(self.belongs(user, role, database))
    }
}

impl<T: Question> Topic<T> {
    fn new(policy: CachePolicy) -> Self {
        let (cache, under_way) = (Cache::new(policy), BTreeMap::new());
        Self(Arc::new(Mutex::new(State { cache, under_way, unreachable_until: Moment::ZERO })))
    }

    async fn find(
        &self,
        app: &App,
        asking: &Arc<Asking>,
        subject: &str,
        need: Need,
        limits: Limits,
    ) -> Result<(Option<Arc<T>>, Age), PgError> {
        let began = app.clock.now();
        loop {
            let now = app.clock.now();
            let (remembered, unreachable) = {
                let state = self.0.lock();
                (state.cache.recall(subject, now), now < state.unreachable_until)
            };
            let old = match (remembered, need) {
                (Recall::Current(told), Need::Recent) => return Ok((told, Age::Remembered)),
                (Recall::Current(told) | Recall::Old(told), _) => Some(told),
                (Recall::Nothing, _) => None,
            };
            let asked = match &old {
                Some(_) if unreachable => {
                    Err(Unanswered::Unreachable("nobody could be asked just now".into()))
                }
                _ => self.ask_once(asking, subject, limits.question).await,
            };
            match (asked, old) {
                (Ok(told), _) => return Ok((told, Age::Newest)),
                (Err(_), Some(told)) => {
                    app.events.lookups.count(["remembered"]);
                    return Ok((told, Age::Remembered));
                }
                (Err(Unanswered::Unreachable(why)), None) => {
                    if limits.all.is_some_and(|all| app.clock.now().since(began) >= all) {
                        let message = "no server can be asked who this user is";
                        return Err(
                            PgError::fatal(SqlState::UNABLE_TO_CONNECT, message).detail(why.to_string())
                        );
                    }
                    asking.routes_change(RETRY).await;
                }
                (Err(Unanswered::Refused), None) => {
                    let message = "users cannot be looked up on the servers";
                    let hint = "The log of pgsteer says why (auth_query).";
                    return Err(PgError::fatal(SqlState::SYSTEM_ERROR, message).hint(hint));
                }
            }
        }
    }

    /// Asks the servers; those who want to know the same at the same time share one question, which goes on when the
    /// one who asked first leaves.
    async fn ask_once(&self, asking: &Arc<Asking>, subject: &str, limit: Duration) -> Asked<T> {
        let mut answer = {
            let mut state = self.0.lock();
            match state.under_way.get(subject) {
                Some(answer) => answer.clone(),
                None => {
                    let (told, answer) = watch::channel(None);
                    state.under_way.insert(subject.to_owned(), answer.clone());
                    let (asking, state) = (asking.clone(), self.0.clone());
                    tokio::spawn(question(asking, state, subject.to_owned(), limit, told));
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

async fn question<T: Question>(
    asking: Arc<Asking>,
    state: Arc<Mutex<State<T>>>,
    subject: String,
    limit: Duration,
    told: watch::Sender<Option<Asked<T>>>,
) {
    let asked_at = asking.now();
    let answer = asking.ask(&subject, limit).await;
    let asked = {
        let mut state = state.lock();
        state.under_way.remove(&subject);
        match answer {
            Ok(told) => Ok(state.cache.learn(&subject, told, asked_at)),
            Err(unanswered) => {
                state.unreachable_until = asking.now() + UNREACHABLE_FOR;
                Err(unanswered)
            }
        }
    };
    // Those who asked may all have left.
    let _ = told.send(Some(asked));
}
