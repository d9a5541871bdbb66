//! A client whose server was lost in a commit: the leader that goes on is asked what became of that.

use std::{future::Future, pin::Pin, sync::Arc, task::Poll, time::Duration};

use tokio::time::{sleep, timeout};

use super::{
    Activity, CommitFate, Cut, Ended, Exchange, Finish, Flow, Moment, PgError, Phase, Scratch, Session,
    SqlState, Start, TaskContext,
    ending::{Left, lost},
};
use crate::{
    cluster::{headway::Held, ids::MemberName, token::Token},
    pool::tether::Tether,
    route::consistency::Consistency,
    server::conn::Recovery,
    session::{
        acquire::{Needs, Request},
        exchange::{ClientEnd, ReadOnly},
        fate::{Evidence, Fate, Ground, Testimony, Witness, question},
        inspection::{Inspected, inspect},
        promise::Office,
        routes::Purpose,
    },
    wire::{
        message::{encode_command_complete, encode_ready_for_query},
        pipeline::Commit,
        state::Carried,
    },
};

/// Between two questions, while there is no answer yet.
const PAUSE: Duration = Duration::from_millis(50);

/// A leader is in office, and it is not known how far its word goes: that is waited for as long as this.
const LEARN_MAX: Duration = Duration::from_secs(5);

/// A commit whose answer is lost, and what is known about it.
pub(super) struct OpenCommit {
    evidence: Evidence,
    /// The leader it was sent to.
    writer: MemberName,
    /// The cluster's identifier, as it was then.
    system_id: u64,
    within: Duration,
    after: After,
    /// What the client hears where it is certain that nothing was committed, and it cannot go on.
    otherwise: SqlState,
}

/// What becomes of the client when the fate of its commit is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// It goes on: with its server it has lost nothing.
    GoesOn,
    /// It hears that its connection is lost, and what became of the commit.
    Ends,
}

/// The leader is asked.
pub(super) struct Inquiring {
    found: Pin<Box<dyn Future<Output = Found> + Send>>,
    after: After,
    otherwise: SqlState,
    /// What the client hears where nothing is found out.
    unknown: PgError,
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
    pub(super) fn open_commit(&self, x: &Exchange, cut: &Cut, left: Left) -> Option<OpenCommit> {
        let CommitFate::AskedFor { within } = self.inquisitive else { return None };
        let evidence = x.tenancy.fate.evidence()?;
        let otherwise = match cut {
            Cut::ServerGone(_) => SqlState::CONNECTION_FAILURE,
            Cut::Revoked(_) | Cut::NoRight => SqlState::ADMIN_SHUTDOWN,
            Cut::ClientGone | Cut::ClientFault(_) | Cut::Ordered(..) => return None,
        };
        let alone = x.pipeline.awaits_commit() == Commit::Alone && x.refused.is_none();
        let midway = x.backend.is_inside_message() || self.frontend.is_inside_message();
        if left != Left::Work || !alone || midway || x.client != ClientEnd::Open {
            return None;
        }
        let stays = self.may_be_forsaken(x) && !x.tenancy.awaits_answer() && !x.tenancy.must_equalize();
        Some(OpenCommit {
            evidence,
            writer: x.lease.as_ref()?.pool().member().clone(),
            system_id: self.context.router.headway().system_id()?,
            within,
            after: if stays { After::GoesOn } else { After::Ends },
            otherwise,
        })
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
        let (after, otherwise) = (open.after, open.otherwise);
        let tether = Arc::new(Tether::default());
        let purpose = Purpose::Write;
        let needs = Needs { tether: &tether, state: &Carried::NOTHING, goal: None, purpose, ..self.needs() };
        let found = Box::pin(find_out(needs.request(), open));
        self.phase = Phase::Inquiring(Box::new(Inquiring { found, after, otherwise, unknown, cause }));
        Flow::Again
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
        let Inquiring { after, otherwise, unknown, cause, .. } = inquiring;
        let account = &self.tenant.account;
        self.context.worker.counters.commit_fates.count([fate.word()]);
        tracing::info!(
            user = %account.user, database = %account.database, fate = fate.word(),
            "a commit whose answer was lost: {}", unknown.detail.as_deref().unwrap_or_default()
        );
        let why = unknown.detail.as_deref().unwrap_or_default().to_owned();
        let mut answer = Vec::new();
        match (fate, after) {
            (Fate::Committed, After::GoesOn) => {
                // Where it ends is not known; but it is there on this leader.
                if let Some(promise) = &mut self.promise {
                    promise.unplaced(epoch);
                    if promise.consistency == Consistency::Global {
                        self.context.router.headway().told().unplace();
                    }
                }
                encode_command_complete(&mut answer, "COMMIT");
                encode_ready_for_query(&mut answer, b'I');
            }
            (Fate::NotCommitted, After::GoesOn) => {
                not_committed(why).encode(&mut answer);
                encode_ready_for_query(&mut answer, b'I');
            }
            (Fate::Committed, After::Ends) => return self.end_told(cause, committed(why)),
            (Fate::NotCommitted, After::Ends) => {
                return self.end_told(cause, lost(Left::Nothing, otherwise, &why));
            }
            (Fate::Unknown, _) => return self.end_told(cause, unknown),
        }
        self.outbox.push(&answer);
        self.entry.enter(Activity::Idle, now);
        self.resume = !self.inbox.is_empty();
        self.queries += 1;
        Flow::Again
    }

    /// The session is told to end before anything was found out.
    pub(super) fn forsake_inquiry(&self, inquiring: Inquiring, cause: &'static str) -> Flow {
        self.context.worker.counters.commit_fates.count(["unknown"]);
        self.end_told(cause, inquiring.unknown)
    }

    fn end_told(&self, cause: &'static str, error: PgError) -> Flow {
        self.context.worker.counters.aborted.count([cause, error.code.as_str()]);
        if self.outbox.is_empty() {
            return self.end(cause, error);
        }
        self.context.worker.counters.cutoffs.count([cause, error.code.as_str()]);
        Flow::End(Ended::Garbled("it has not taken what came before"))
    }
}

/// The client goes on: as PostgreSQL says it where a transaction is to be run again.
fn not_committed(why: String) -> PgError {
    PgError::error(
        SqlState::SERIALIZATION_FAILURE,
        "the transaction was not committed: its server was lost before it was",
    )
    .detail(why)
    .hint("The transaction may be run again.")
}

fn committed(why: String) -> PgError {
    PgError::fatal(
        SqlState::TRANSACTION_RESOLUTION_UNKNOWN,
        "the connection was lost; the transaction was committed",
    )
    .detail(format!("{why}. The leader that goes on has the transaction."))
    .hint("Reconnect, and do not repeat the transaction.")
}

/// What was found out, and in which term.
#[derive(Clone, Copy)]
struct Found {
    fate: Fate,
    epoch: u64,
}

/// What asking a leader has come to.
enum Asked {
    /// This.
    Told(Found),
    /// Its word says nothing, as far as is known of how its timeline came to be.
    Puzzled,
}

/// Waits for a leader that can tell, and asks it.
async fn find_out(request: Request, open: OpenCommit) -> Found {
    const UNKNOWN: Found = Found { fate: Fate::Unknown, epoch: 0 };
    let clock = request.context.clock;
    let asked = timeout(open.within, async {
        let mut puzzled_since = None;
        loop {
            match ask_once(&request, &open).await {
                Some(Asked::Told(found)) => return found,
                Some(Asked::Puzzled) => {
                    let since = *puzzled_since.get_or_insert_with(|| clock.now());
                    if clock.now().since(since) >= LEARN_MAX {
                        return UNKNOWN;
                    }
                }
                None => puzzled_since = None,
            }
            sleep(PAUSE).await;
        }
    });
    asked.await.unwrap_or(UNKNOWN)
}

/// A leader has told this.
#[expect(clippy::unnecessary_wraps, reason = "it is what asking comes to")]
const fn told_by(epoch: u64, fate: Fate) -> Option<Asked> {
    Some(Asked::Told(Found { fate, epoch }))
}

/// `None`: nobody could be asked, or it is still open.
async fn ask_once(request: &Request, open: &OpenCommit) -> Option<Asked> {
    let OpenCommit { evidence, writer, system_id, .. } = open;
    let (router, headway) = (&request.context.router, request.context.router.headway());
    let token = Token { system_id: *system_id, timeline: evidence.timeline, lsn: evidence.lsn };
    let in_office = Office::of(router)?;
    match headway.holds(&token, in_office.timeline) {
        Held::Lost(_) => return told_by(in_office.epoch, Fate::NotCommitted),
        Held::Foreign => return told_by(in_office.epoch, Fate::Unknown),
        // Word of where it has left the other timeline may be under way.
        Held::Unknown => return Some(Asked::Puzzled),
        Held::Yes => {}
    }
    let mut granted = request.clone().acquire(Start::Route, Duration::ZERO).await.ok()?;
    let (epoch, number) = (granted.lease.term(), granted.lease.number());
    let clock = request.context.clock;
    let opened_at = granted.lease.server().map(|server| server.conn.opened_at)?;
    let member = granted.lease.pool().member().clone();
    let in_office = Office::of(router).filter(|office| office.epoch == epoch);
    let ground = in_office.map(|office| {
        let witness = Witness { member: &member, timeline: office.timeline, opened_at };
        evidence.ground(headway.holds(&token, office.timeline), writer, witness)
    });
    let Some(ground) = ground.filter(|ground| *ground != Ground::None) else {
        granted.lease.finish(Finish::Settled, clock.now());
        return Some(Asked::Puzzled);
    };
    let questions = [question::about(evidence)].iter().collect();
    let (mut lease, inspected) =
        inspect(request.context.clone(), granted.lease, questions, Some(open.within)).await;
    let Inspected::Told(told) = inspected else {
        lease.finish(Finish::Broken, clock.now());
        return None;
    };
    if let Some(server) = lease.server() {
        server.conn.note(&told.parameters);
    }
    // What a leader says that is not in office any more is nobody's.
    let revoked = request.tether.is_revoked(number) || !router.may_send(epoch, clock.now());
    lease.finish(if revoked { Finish::Broken } else { Finish::Settled }, clock.now());
    if revoked {
        return None;
    }
    ground.judge(question::status(&told)).and_then(|fate| told_by(epoch, fate))
}
