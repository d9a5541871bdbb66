//! Asking one cluster's servers, over connections of our own that are kept while they are used.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::{
    auth::{
        cache::Told,
        secrets::{Credential, Password, UserSecret},
    },
    clock::{Clock, Moment},
    config::{AuthQuery, Secret},
    metrics::Events,
    net::{Address, Dial, Stream},
    route::{
        router::Router,
        table::{MemberStanding, Target, WriteRoute},
    },
    server::{Approach, ConnectError, QueryError, ServerLogin, connect, query_with},
    wire::{error::SqlState, startup::Protocol},
};

/// Questions that one cluster is asked at once, each over its own connection.
const AT_ONCE: usize = 4;
/// A connection that nobody asked anything over for as long is closed.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// What a question came to; `None`: there is no such user, or what was asked is not true of him.
pub(super) type Asked<T> = Result<Option<Arc<T>>, Unanswered>;

/// Something that servers are asked of users.
pub(super) trait Question: Told + Sized + Send + Sync + 'static {
    /// The statement, where `auth_query` is this one.
    fn sql(auth_query: &str) -> &str;
    /// Its parameters.
    fn parameters(subject: &str) -> Vec<&str>;
    /// What its answer says; or what is wrong with that.
    fn answered(subject: &str, rows: Rows) -> Result<Option<Self>, &'static str>;
}

impl Question for UserSecret {
    fn sql(auth_query: &str) -> &str {
        auth_query
    }

    fn parameters(user: &str) -> Vec<&str> {
        vec![user]
    }

    fn answered(user: &str, rows: Rows) -> Result<Option<Self>, &'static str> {
        secret_of(user, rows)
    }
}

/// That somebody is a member of a role. Its subject is both names, with a zero between them, which no name has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member;

/// The subject for a user and a role.
pub(super) fn membership(user: &str, role: &str) -> String {
    format!("{user}\0{role}")
}

impl Told for Member {}

impl Question for Member {
    /// As `is_member_of_role_nosuper` has it: whoever is a member of a member is one, whoever is a superuser need not be. Anybody may
    /// ask that.
    fn sql(_: &str) -> &str {
        "WITH RECURSIVE mine(oid) AS (\
         SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname OPERATOR(pg_catalog.=) $1 \
         UNION SELECT m.roleid FROM pg_catalog.pg_auth_members AS m \
         JOIN mine ON m.member OPERATOR(pg_catalog.=) mine.oid) \
         SELECT r.rolname FROM mine JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) mine.oid \
         WHERE r.rolname OPERATOR(pg_catalog.=) $2"
    }

    fn parameters(subject: &str) -> Vec<&str> {
        subject.split('\0').collect()
    }

    fn answered(_: &str, rows: Rows) -> Result<Option<Self>, &'static str> {
        Ok((!rows.is_empty()).then_some(Self))
    }
}

/// Why a question was not answered. The log has been told.
#[derive(Clone, Debug)]
pub(super) enum Unanswered {
    /// Nobody could be asked: it may be answered later.
    Unreachable(Arc<str>),
    /// The role, its password or the query are wrong.
    Refused,
}

/// Asks the servers of one cluster.
pub(super) struct Asking {
    login: ArcSwap<ServerLogin>,
    query: String,
    router: Arc<Router>,
    dial: Arc<dyn Dial>,
    clock: Clock,
    events: Arc<Events>,
    places: Semaphore,
    idle: Mutex<Vec<Link>>,
}

/// A connection that is kept.
struct Link {
    target: Target,
    stream: Stream,
    used_at: Moment,
}

/// As whom the servers are asked.
pub(super) fn login(how: &AuthQuery, protocol: Protocol, approach: Approach) -> ServerLogin {
    ServerLogin {
        user: how.user.clone(),
        database: how.database.clone(),
        parameters: vec![("application_name".to_owned(), "pgsteer".to_owned())],
        credential: how.secret.as_ref().map_or(Credential::None, credential),
        protocol,
        approach,
    }
}

impl Asking {
    pub(super) fn new(
        login: ServerLogin,
        query: &str,
        router: Arc<Router>,
        dial: Arc<dyn Dial>,
        clock: Clock,
        events: Arc<Events>,
    ) -> Self {
        let (places, idle) = (Semaphore::new(AT_ONCE), Mutex::default());
        let login = ArcSwap::from_pointee(login);
        Self { login, query: query.to_owned(), router, dial, clock, events, places, idle }
    }

    /// Servers are reached in this way from now on.
    pub(super) fn set_approach(&self, approach: &Approach) {
        self.login.rcu(|login| ServerLogin { approach: approach.clone(), ..(**login).clone() });
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Waits until the routes are others, or for this long.
    pub(super) async fn routes_change(&self, at_most: Duration) {
        // Either is reason enough to look again.
        let _ = tokio::time::timeout(at_most, self.router.changed()).await;
    }

    /// Asks the leader, since a changed password has reached it for certain; else a replica. Each has as long as
    /// `limit`.
    pub(super) async fn ask<T: Question>(
        &self,
        subject: &str,
        limit: Duration,
    ) -> Result<Option<T>, Unanswered> {
        let Ok(_place) = self.places.acquire().await else {
            return Err(Unanswered::Unreachable("pgsteer is about to end".into()));
        };
        let mut last =
            Unanswered::Unreachable("there is neither a leader nor a replica that serves reads".into());
        for target in self.targets() {
            let member = &target.member;
            let question = (T::sql(&self.query), &*T::parameters(subject));
            let failed = match tokio::time::timeout(limit, self.ask_member(&target, question)).await {
                Ok(Ok(rows)) => match T::answered(subject, rows) {
                    Ok(told) => {
                        self.events.lookups.count([if told.is_some() { "found" } else { "unknown" }]);
                        return Ok(told);
                    }
                    Err(what) => Failed::Refused(what.to_owned()),
                },
                Ok(Err(failed)) => failed,
                Err(_) => Failed::Unreachable(format!("no answer within {limit:?} (auth_query_timeout)")),
            };
            match failed {
                Failed::Refused(why) => {
                    self.events.lookups.count(["refused"]);
                    tracing::error!(%member, user = self.login.load().user, "auth_query failed: {why}");
                    return Err(Unanswered::Refused);
                }
                Failed::Unreachable(why) => {
                    tracing::warn!(%member, user = self.login.load().user, "auth_query could not be asked: {why}");
                    last = Unanswered::Unreachable(format!("{member}: {why}").into());
                }
            }
        }
        self.events.lookups.count(["unreachable"]);
        Err(last)
    }

    fn targets(&self) -> Vec<Target> {
        let table = self.router.load();
        let leader = match &table.write {
            WriteRoute::Open(target) => Some(target.clone()),
            WriteRoute::Wait(_) => None,
        };
        leader.into_iter().chain(table.read.iter().cloned()).collect()
    }

    async fn ask_member(&self, target: &Target, (sql, values): (&str, &[&str])) -> Result<Rows, Failed> {
        if let Some(mut kept) = self.take_idle(&target.address) {
            match query_with(&mut kept.stream, sql, values).await {
                // It broke while nobody looked: that says nothing of the server as it is now.
                Err(QueryError::Broken(_)) => {}
                answered => return self.answered(kept, answered.map(|answer| answer.rows)),
            }
        }
        let connected =
            connect(&*self.dial, &target.address, &self.login.load_full()).await.map_err(|error| {
                let why = error.to_client(target.member.as_str()).message.into_owned();
                if error.is_transient() || matches!(error, ConnectError::Unreachable(_)) {
                    Failed::Unreachable(why)
                } else {
                    Failed::Refused(why)
                }
            })?;
        let mut link = Link { target: target.clone(), stream: connected.stream, used_at: self.now() };
        let answered = query_with(&mut link.stream, sql, values).await.map(|answer| answer.rows);
        self.answered(link, answered)
    }

    fn take_idle(&self, address: &Address) -> Option<Link> {
        let mut idle = self.idle.lock();
        let place = idle.iter().rposition(|link| link.target.address == *address)?;
        Some(idle.swap_remove(place))
    }

    /// Keeps the connection, if it is still of use.
    fn answered(&self, link: Link, answered: Result<Rows, QueryError>) -> Result<Rows, Failed> {
        let failed = match answered {
            Err(QueryError::Broken(error)) => return Err(Failed::Unreachable(error.to_string())),
            Err(QueryError::Server(error)) => Some(match error.code {
                SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::QUERY_CANCELED => {
                    return Err(Failed::Unreachable(error.to_string()));
                }
                _ => Failed::Refused(error.to_string()),
            }),
            Ok(rows) => {
                self.keep(link);
                return Ok(rows);
            }
        };
        self.keep(link);
        Err(failed.unwrap_or_else(|| Failed::Refused(String::new())))
    }

    fn keep(&self, link: Link) {
        let mut idle = self.idle.lock();
        if idle.len() < AT_ONCE {
            idle.push(Link { used_at: self.now(), ..link });
        }
    }

    /// Closes what was not used for a while, or leads to a deposed member.
    pub(super) fn sweep(&self, now: Moment) {
        let mut idle = self.idle.lock();
        if idle.is_empty() {
            return;
        }
        let table = self.router.load();
        idle.retain(|link| {
            let standing = table.members.get(&link.target.member).map(|member| member.standing);
            now.since(link.used_at) < IDLE_MAX && standing != Some(MemberStanding::Deposed)
        });
    }
}

pub(super) type Rows = Vec<Vec<Option<String>>>;

enum Failed {
    Unreachable(String),
    Refused(String),
}

/// What the query's answer says of this user.
fn secret_of(user: &str, rows: Rows) -> Result<Option<UserSecret>, &'static str> {
    let mut rows = rows.into_iter();
    let Some(row) = rows.next() else { return Ok(None) };
    if rows.next().is_some() {
        return Err("it yields more than one row");
    }
    match &*row {
        [Some(name), ..] if name != user => Err("it yields the row of another user"),
        [Some(_), None, ..] => Ok(Some(UserSecret::NoPassword)),
        [Some(_), Some(secret), ..] => Ok(Some(UserSecret::parse(secret))),
        _ => Err("it must yield two columns, the user's name and secret"),
    }
}

fn credential(secret: &Secret) -> Credential {
    match UserSecret::parse(secret.expose()) {
        UserSecret::Md5(hash) => Credential::Md5Hash(hash),
        _ => Credential::Password(Password::new(secret.expose().as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_says() {
        let row = |values: &[Option<&str>]| values.iter().map(|v| v.map(str::to_owned)).collect::<Vec<_>>();
        for (rows, expected) in [
            (vec![], Ok(None)),
            (vec![row(&[Some("u"), None])], Ok(Some(UserSecret::NoPassword))),
            (vec![row(&[Some("u"), Some("")])], Ok(Some(UserSecret::NoPassword))),
            (vec![row(&[Some("u"), Some("pw"), Some("more")])], Ok(Some(UserSecret::parse("pw")))),
            (vec![row(&[Some("v"), Some("pw")])], Err("it yields the row of another user")),
            (vec![row(&[Some("u"), None]), row(&[Some("u"), None])], Err("it yields more than one row")),
            (vec![row(&[Some("u")])], Err("it must yield two columns, the user's name and secret")),
            (vec![row(&[None, Some("pw")])], Err("it must yield two columns, the user's name and secret")),
        ] {
            assert_eq!(secret_of("u", rows.clone()), expected, "{rows:?}");
        }
    }
}
