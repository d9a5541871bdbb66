//! Opening servers, and what becomes of it when that fails.

use std::{sync::Arc, time::Duration};

use super::{
    lease::{CancelTarget, Drawn, Refusal, Server},
    pool::{Pool, PoolKind},
    quota::Permit,
    slots::{Event, Flavour, ServerId},
};
use crate::{
    auth::secrets::Credential,
    clock::Moment,
    server::{
        Approach, ConnectError, Connected, ServerLogin,
        conn::{End, READ_ONLY, Recovery, ServerConn},
        connect,
    },
    wire::{
        error::{PgError, SqlState},
        parameters::Parameters,
    },
};
use smallvec::SmallVec;

/// How soon a pool that found no room under a shared limit looks again, unless room is made before.
const ROOM_RETRY: Duration = Duration::from_millis(250);

impl Pool {
    /// Begins to open a server on its worker, if the shared limits have room.
    pub(super) fn open(self: &Arc<Self>, id: ServerId, worker: usize, flavour: Flavour, now: Moment) {
        let Some(opening) = self.opening.take() else {
            // Those who wait longest are served first when one of the attempts under way has ended.
            self.shared.starves(self);
            self.handle(now, Event::OpenFailed(id, now + ROOM_RETRY));
            return;
        };
        let Some(permits) = self.permits().or_else(|| {
            // An idle server may give way to somebody who waits, or to a new one in its place; to one that is only opened
            // ahead it does not.
            let wanted = self.gauges().waiting > 0 || self.state.lock().slots.is_renewal(id);
            (wanted && self.shared.evict_for(self, now)).then(|| self.permits()).flatten()
        }) else {
            self.shared.starves(self);
            self.handle(now, Event::NoRoom(id, now + ROOM_RETRY));
            return;
        };
        let pool = self.clone();
        let term = self.state.lock().leads;
        self.shared.workers[worker % self.shared.workers.len()].spawn(async move {
            let settings = pool.account.settings.load_full();
            let login = pool.login(flavour);
            let attempt = connect(&*pool.shared.dial, &pool.address, &login);
            let outcome = tokio::select! {
                biased;
                // Not another byte goes there; whoever waits has been sent elsewhere.
                () = pool.is_deposed() => None,
                outcome = tokio::time::timeout(settings.connect_timeout, attempt) => Some(outcome),
            };
            let outcome = match outcome {
                Some(Ok(outcome)) => outcome,
                Some(Err(_)) => Err(ConnectError::Unreachable(std::io::ErrorKind::TimedOut.into())),
                None => {
                    drop((opening, permits));
                    let now = pool.shared.clock.now();
                    pool.handle(now, Event::OpenFailed(id, now));
                    pool.attempts.notify_waiters();
                    return;
                }
            };
            drop(opening);
            match outcome {
                // It was asked after it was known to lead: it does so no longer.
                Ok(connected) if term != 0 && Recovery::of(&connected.parameters) == Recovery::Standby => {
                    drop((connected, permits));
                    pool.open_failed(id, flavour, &ConnectError::Standby);
                }
                Ok(connected) => {
                    pool.opened(id, (worker, flavour, now), (connected, login.approach), permits);
                }
                Err(error) => {
                    drop(permits);
                    pool.open_failed(id, flavour, &error);
                }
            }
            pool.attempts.notify_waiters();
        });
    }

    fn permits(&self) -> Option<SmallVec<[Permit; 3]>> {
        self.quotas.iter().map(super::quota::Quota::take).collect()
    }

    fn login(&self, flavour: Flavour) -> ServerLogin {
        let mut parameters = self.shared.flavours.settings(flavour);
        if self.kind == PoolKind::Fallback {
            parameters.push((READ_ONLY.to_owned(), "on".to_owned()));
        }
        let credential = self.account.credential.load_full();
        let settings = self.account.settings.load();
        ServerLogin {
            user: self.account.user.to_string(),
            database: self.account.database.to_string(),
            parameters,
            credential: credential.map_or(Credential::None, |credential| (*credential).clone()),
            protocol: settings.protocol,
            approach: settings.approach.clone(),
        }
    }

    fn opened(
        self: &Arc<Self>,
        id: ServerId,
        (worker, flavour, begun): (usize, Flavour, Moment),
        (connected, approach): (Connected, Approach),
        permits: SmallVec<[Permit; 3]>,
    ) {
        let now = self.shared.clock.now();
        let reported = connected.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut parameters = Parameters::from_reported(reported);
        if self.kind == PoolKind::Fallback {
            // It is ours to say, not its clients'.
            parameters = parameters.without(READ_ONLY);
        }
        let parameters = Arc::new(parameters);
        self.shared.events.opened.count(self.labels());
        let cancel = CancelTarget::new(self.address.clone(), approach, connected.key, id);
        let mut conn = ServerConn::new(connected.stream, parameters, now);
        conn.recovery = Recovery::of(&connected.parameters);
        let reported = self.shared.learn(self, flavour, connected.parameters.into(), begun);
        let cancel = Arc::new(cancel);
        self.shared.backends.add(&cancel);
        let server = Box::new(Server {
            conn,
            cancel,
            flavour,
            reported,
            drawn: Drawn::Nothing,
            worker,
            end: End::Orderly,
            permits,
        });
        let mut state = self.state.lock();
        state.trouble.ends(flavour);
        // What a session begins with has changed, or a replica has a configuration of its own since it was opened.
        let mut idle = state.servers.iter().flatten().filter(|other| other.flavour == flavour);
        let are_outdated = idle.any(|other| other.reported != server.reported);
        state.put(id, server);
        if are_outdated {
            self.handle_locked(state, now, Event::Retire(Some(id)));
            state = self.state.lock();
        }
        self.handle_locked(state, now, Event::Opened(id));
        self.shared.room_was_made(now);
    }

    fn open_failed(self: &Arc<Self>, id: ServerId, flavour: Flavour, error: &ConnectError) {
        let now = self.shared.clock.now();
        let told = error.to_client(self.member.as_str());
        let [cluster, member] = self.labels();
        self.shared.events.failed.count([cluster, member, error.kind(), told.code.as_str()]);
        tracing::warn!(
            member = %self.member, user = %self.account.user, database = %self.account.database,
            sqlstate = told.code.as_str(), "cannot open a server connection: {}", told.message
        );
        if error.is_suspicious() {
            self.shared.suspect(self, &told.message);
        }
        let settings = self.account.settings.load();
        let passing =
            error.is_suspicious() || error.is_transient() || told.code == SqlState::TOO_MANY_CONNECTIONS;
        let refusal = Refusal::Error(Arc::new(told));
        let mut state = self.state.lock();
        if passing {
            let retry_at = now + state.trouble.fails(refusal);
            self.handle_locked(state, now, Event::OpenFailed(id, retry_at));
            self.retry_at(retry_at, now);
        } else if state.slots.is_vacant(now) {
            // Nobody waits for it, and its database was dropped or renamed while it logged in: the next may be another.
            self.handle_locked(state, now, Event::OpenFailed(id, now));
        } else {
            let retry_at = now + settings.login_retry;
            state.trouble.is_refused(flavour, refusal.clone(), retry_at, now);
            let others = state.slots.has_servers(flavour);
            self.handle_locked(state, now, Event::LoginRefused(id, retry_at));
            if !others {
                self.refuse_waiting(&refusal, Some(flavour), now);
            }
            self.retry_at(retry_at, now);
        }
        self.shared.room_was_made(now);
    }

    /// Looks again when the pause is over.
    fn retry_at(self: &Arc<Self>, at: Moment, now: Moment) {
        let pool = self.clone();
        let pause = at.since(now);
        self.shared.workers[0].spawn(async move {
            tokio::time::sleep(pause).await;
            pool.tick(pool.shared.clock.now());
        });
    }

    /// What kept the last attempt from succeeding to open a server for these start-up settings, for the detail of a time-out.
    /// `None` too where there are as many servers as there may be, so that none is opened.
    pub fn last_trouble(&self, flavour: Flavour) -> Option<Arc<PgError>> {
        let state = self.state.lock();
        if state.slots.is_full() { None } else { state.trouble.last(flavour) }
    }
}
