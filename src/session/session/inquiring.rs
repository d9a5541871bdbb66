//! A client whose server was lost in a commit: the leader that goes on is asked what became of that.

use std::{future::Future, pin::Pin, sync::Arc, task::Poll, time::Duration};

use super::{
    Activity, CommitFate, Cut, Ended, Exchange, Flow, Moment, PgError, Phase, Scratch, Session, SqlState,
    TaskContext,
    asking::{Found, find_out},
    ending::{Left, lost},
};
use crate::{
    pool::{commits::Commit, tether::Tether},
    route::consistency::Consistency,
    server::conn::Recovery,
    session::{
        acquire::Needs,
        exchange::{ClientEnd, ReadOnly},
        fate::{Fate, Testimony, telling::OF},
        promise::placing::Open,
        routes::Purpose,
    },
    wire::{
        error::ServerError,
        frame::HEADER_BYTES,
        message::{encode_command_complete, encode_ready_for_query},
        pipeline::{Behind, Commit as Awaited, Unsaid},
        state::Carried,
    },
};

/// A commit whose answer is lost, and what is known about it.
pub(super) struct OpenCommit {
    clue: Clue,
    within: Duration,
    plan: Plan,
    /// What the server has said last, which the client has not heard.
    farewell: Option<Box<[u8]>>,
}

/// What is known of it.
enum Clue {
    /// What the transaction has said.
    Evidence(Commit),
    /// The server has ended it before it came to the commit.
    NotBegun,
    /// It has answered, in this term, and the client has that answer.
    Answered(u64),
}

/// How the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    awaited: Awaited,
    stay: Stay,
    /// What it hears where it is certain that nothing was committed, and it cannot go on.
    otherwise: SqlState,
}

/// Whether the client can go on without its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stay {
    /// With its server it has lost nothing.
    Possible,
    /// What its session held there is gone.
    Impossible,
}

/// The leader is asked.
pub(super) struct Inquiring {
    found: Pin<Box<dyn Future<Output = Found> + Send>>,
    plan: Plan,
    /// What the client hears where nothing is found out.
    unknown: Ended,
    why: String,
    cause: &'static str,
}

impl Session {
    /// From here on transactions are asked about themselves before they are committed.
    #[cold]
    pub(super) fn begin_inquisitive(&self, x: &mut Exchange) {
        use std::sync::atomic::Ordering::Relaxed;
        let Some(lease) = &mut x.lease else { return };
        let leads = lease.term() != 0 && x.read_only == ReadOnly::ByServer;
        let replica = lease.server().is_none_or(|server| server.conn.recovery == Recovery::Standby);
        if leads && !replica && !self.tenant.account.hides_xids.load(Relaxed) {
            x.tenancy.fate = Testimony::Wanted;
        }
    }

    /// A server does not say what number a transaction has: nobody of this user and database asks again.
    #[cold]
    pub(in crate::session) fn is_refused_xids(&self) {
        let account = &self.tenant.account;
        if !account.hides_xids.swap(true, std::sync::atomic::Ordering::Relaxed) {
            tracing::warn!(
                user = %account.user, database = %account.database,
                "a server has refused what commit_fate asks it, and is not asked again (PostgreSQL 13 or newer, and \
                 EXECUTE on pg_logical_emit_message, pg_current_wal_insert_lsn and pg_walfile_name are needed)"
            );
        }
    }

    /// What is known about the commit that a cut leaves open, if that is all that it leaves open.
    pub(super) fn open_commit(&self, x: &mut Exchange, cut: &Cut, left: Left) -> Option<OpenCommit> {
        let CommitFate::AskedFor { within } = self.inquisitive else { return None };
        let otherwise = match cut {
            Cut::ServerGone(_) => SqlState::CONNECTION_FAILURE,
            Cut::Revoked(_) | Cut::NoRight => SqlState::ADMIN_SHUTDOWN,
            Cut::ClientGone | Cut::ClientFault(_) | Cut::Ordered(..) => return None,
        };
        let answered = x.tenancy.fate.has_committed() && matches!(cut, Cut::ServerGone(_));
        let awaited = if answered { x.pipeline.awaits_ready() } else { x.pipeline.awaits_commit() };
        let tellable = awaited.can_be_told() && x.refused.is_none();
        let midway = x.backend.is_inside_message() || self.frontend.is_inside_message();
        if left != Left::Work || !tellable || midway || x.client != ClientEnd::Open {
            return None;
        }
        let clue = match x.tenancy.fate.evidence() {
            _ if answered => Clue::Answered(x.lease.as_ref()?.term()),
            Some(evidence) => Clue::Evidence(Commit {
                evidence,
                writer: Some(x.lease.as_ref()?.pool().member().clone()),
                system_id: self.context.router.headway().system_id()?,
            }),
            // Its answers come in order, and that to the question would have come before anything is done about the commit.
            None if x.tenancy.farewell.is_some() && x.tenancy.fate.is_pending() => Clue::NotBegun,
            None => return None,
        };
        let stays = self.may_be_forsaken(x) && !x.tenancy.awaits_answer() && !x.tenancy.must_equalize();
        let stay = if stays { Stay::Possible } else { Stay::Impossible };
        let farewell = x.tenancy.farewell.take();
        Some(OpenCommit { clue, within, plan: Plan { awaited, stay, otherwise }, farewell })
    }

    /// Asks, while the client waits.
    pub(super) fn inquire(
        &mut self,
        open: OpenCommit,
        unknown: PgError,
        cause: &'static str,
        now: Moment,
    ) -> Flow {
        self.entry.enter(Activity::Waiting, now);
        let OpenCommit { clue, within, plan, farewell } = open;
        let mut why = unknown.detail.as_deref().unwrap_or_default().to_owned();
        let unknown = match farewell {
            Some(words) => {
                if let Some(said) = words.get(HEADER_BYTES..).and_then(ServerError::decode) {
                    why = format!("{why}, having said {}: {}", said.code.as_str(), said.message);
                }
                Ended::WithWords(words)
            }
            None => Ended::WithError(self.hinting(unknown, &clue)),
        };
        let tether = Arc::new(Tether::default());
        let purpose = Purpose::Write;
        let needs = Needs { tether: &tether, state: &Carried::NOTHING, goal: None, purpose, ..self.needs() };
        let found: Pin<Box<dyn Future<Output = Found> + Send>> = match clue {
            Clue::Evidence(commit) => Box::pin(find_out(needs.request(), commit, within)),
            Clue::NotBegun => Box::pin(std::future::ready(Found { fate: Fate::NotCommitted, epoch: 0 })),
            Clue::Answered(epoch) => Box::pin(std::future::ready(Found { fate: Fate::Committed, epoch })),
        };
        self.phase = Phase::Inquiring(Box::new(Inquiring { found, plan, unknown, why, cause }));
        Flow::Again
    }

    /// What the client may still do about it.
    fn hinting(&self, unknown: PgError, clue: &Clue) -> PgError {
        match clue {
            Clue::Evidence(commit) => unknown.hint(format!(
                "Reconnect and find out before repeating it: SET {OF} = '{commit}', then SHOW pgsteer.last_commit."
            )),
            Clue::NotBegun | Clue::Answered(_) => unknown,
        }
    }

    pub(super) fn inquiring(
        &mut self,
        mut inquiring: Box<Inquiring>,
        now: Moment,
        scratch: &mut Scratch,
        cx: &mut TaskContext<'_>,
    ) -> Flow {
        if let Poll::Ready(found) = inquiring.found.as_mut().poll(cx) {
            return self.tell_fate(found, *inquiring, now);
        }
        let flow = self.listen_while_waiting(scratch, cx);
        if let Flow::End(_) = flow {
            self.context.worker.counters.commit_fates.count(["unheard"]);
        }
        self.phase = Phase::Inquiring(inquiring);
        flow
    }

    /// The client hears what became of its commit.
    fn tell_fate(&mut self, found: Found, inquiring: Inquiring, now: Moment) -> Flow {
        let Found { fate, epoch } = found;
        let Inquiring { plan, unknown, why, cause, .. } = inquiring;
        let account = &self.tenant.account;
        self.context.worker.counters.commit_fates.count([fate.word()]);
        tracing::info!(
            user = %account.user, database = %account.database, fate = fate.word(),
            "a commit whose answer was lost: {why}"
        );
        let committed = match fate {
            Fate::Committed => true,
            Fate::NotCommitted => false,
            Fate::Unknown => return self.end_untold(cause, unknown),
        };
        self.follow_decided(committed);
        if !committed && let Some(promise) = &mut self.promise {
            promise.not_committed();
        } else if let Some(promise) = &mut self.promise {
            // Where it ends is not known; but it is there on this leader.
            promise.unplaced(epoch, Open::Several);
            if promise.consistency == Consistency::Global {
                self.context.router.headway().told().unplace();
            }
        }
        let behind = match plan.awaited {
            Awaited::Block(behind) | Awaited::Ready(behind) => behind,
            Awaited::Implicit(_) | Awaited::Other => Behind::Nothing,
        };
        let untellable = committed && plan.awaited == Awaited::Implicit(Unsaid::Results);
        if behind == Behind::Nothing && (plan.stay == Stay::Impossible || untellable) {
            let error =
                if committed { is_committed(&why) } else { lost(Left::Nothing, plan.otherwise, &why) };
            return self.end_told(cause, error);
        }
        self.answer_commit(committed, plan.awaited, &why);
        match behind {
            Behind::Nothing => {}
            Behind::Harmless => return self.end_behind(cause, lost(Left::Nothing, plan.otherwise, &why)),
            Behind::Open => return self.end_behind(cause, lost(Left::Work, plan.otherwise, &why)),
        }
        self.entry.enter(Activity::Idle, now);
        self.resume = !self.inbox.is_empty();
        self.queries += 1;
        Flow::Again
    }

    /// The answer to what was to be committed.
    fn answer_commit(&mut self, committed: bool, awaited: Awaited, why: &str) {
        let mut answer = Vec::new();
        match (committed, awaited) {
            (true, Awaited::Block(_)) => encode_command_complete(&mut answer, "COMMIT"),
            // It has the answers to its statements, or to the COMMIT itself.
            (true, _) => {}
            (false, _) => not_committed(why).encode(&mut answer),
        }
        encode_ready_for_query(&mut answer, b'I');
        self.outbox.push(&answer);
    }

    /// The session is told to end before anything was found out.
    pub(super) fn forsake_inquiry(&self, inquiring: Inquiring, cause: &'static str) -> Flow {
        self.context.worker.counters.commit_fates.count(["unknown"]);
        self.end_untold(cause, inquiring.unknown)
    }

    fn end_untold(&self, cause: &'static str, unknown: Ended) -> Flow {
        match unknown {
            Ended::WithError(error) => self.end_told(cause, error),
            ended => {
                self.context.worker.counters.aborted.count([cause, "relayed"]);
                self.context.worker.counters.cutoffs.count([cause, "relayed"]);
                Flow::End(ended)
            }
        }
    }

    fn end_told(&self, cause: &'static str, error: PgError) -> Flow {
        if self.outbox.is_empty() {
            return self.end_behind(cause, error);
        }
        self.context.worker.counters.aborted.count([cause, error.code.as_str()]);
        self.context.worker.counters.cutoffs.count([cause, error.code.as_str()]);
        Flow::End(Ended::Garbled("it has not taken what came before"))
    }

    /// The client's connection ends behind what it is told before.
    fn end_behind(&self, cause: &'static str, error: PgError) -> Flow {
        self.context.worker.counters.aborted.count([cause, error.code.as_str()]);
        self.end(cause, error)
    }
}

/// The client goes on: as PostgreSQL says it where a transaction is to be run again.
fn not_committed(why: &str) -> PgError {
    PgError::error(
        SqlState::SERIALIZATION_FAILURE,
        "the transaction was not committed: its server was lost before it was",
    )
    .detail(why.to_owned())
    .hint("The transaction may be run again.")
}

fn is_committed(why: &str) -> PgError {
    PgError::fatal(
        SqlState::TRANSACTION_RESOLUTION_UNKNOWN,
        "the connection was lost; the transaction was committed",
    )
    .detail(format!("{why}. The leader that goes on has the transaction."))
    .hint("Reconnect, and do not repeat the transaction.")
}
