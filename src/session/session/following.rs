//! A client's last transaction, followed for those who ask what became of it.

//! A client's last transaction, followed for those who ask what became of it.

use std::sync::{Arc, atomic::Ordering};

use super::{Account, CommitFate, Context, Exchange, Moment, Promise, Session};
use crate::{
    client::registry::ClientEntry,
    cluster::{headway::Held, ids::MemberName},
    pool::commits::{Commit, Company, Handle, Last, NoHandle, Sent, SessionId, Stage},
    session::{
        fate::{
            Evidence, Ground, Witness,
            telling::{NO_HANDLE, NOT_HERE, OF, Saying, age, sql},
        },
        frontend::Told,
        promise::{Office, telling::token_sql},
    },
    wire::state::Carried,
};

/// What a client may be told by a setting, and the server that is about to tell it.
pub(in crate::session) struct Teller<'s> {
    pub(in crate::session) context: &'s Context,
    pub(in crate::session) account: &'s Arc<Account>,
    pub(in crate::session) entry: &'s ClientEntry,
    pub(in crate::session) promise: Option<&'s Promise>,
    pub(in crate::session) state: &'s Carried,
    pub(in crate::session) inquisitive: CommitFate,
    /// The number of the term the server leads in; 0: it is a replica.
    pub(in crate::session) term: u64,
    pub(in crate::session) member: MemberName,
    /// When the connection was opened.
    pub(in crate::session) opened_at: Moment,
    pub(in crate::session) now: Moment,
}

impl Session {
    /// Whether the client's transactions are followed.
    #[inline]
    pub(in crate::session) fn is_inquisitive(&self) -> bool {
        self.inquisitive != CommitFate::Unknown
    }

    /// Something of the client's has gone to a server.
    #[cold]
    pub(in crate::session) fn follow_sent(&self, x: &mut Exchange, now: Moment) {
        let alone = x.tenancy.fate.is_pending() && x.pipeline.commits_one();
        let company = if alone { Company::None } else { Company::Others };
        let sent =
            Sent { acts: x.tenancy.has_acted(), commits: x.pipeline.may_be_committing().then_some(company) };
        self.entry.with_followed(|followed| followed.sent(sent, now));
    }

    /// A server has said something.
    #[inline]
    pub(in crate::session) fn follow_heard(&self, x: &mut Exchange, now: Moment) {
        if x.tenancy.fate.is_on() {
            self.follow_told(x, now);
        }
    }

    #[cold]
    fn follow_told(&self, x: &mut Exchange, now: Moment) {
        if let Some(evidence) = x.tenancy.fate.evidence() {
            self.follow_asked(x, evidence, now);
        } else if let Some((evidence, committed)) = x.tenancy.fate.take_over() {
            if let Some(evidence) = evidence {
                self.follow_asked(x, evidence, now);
            }
            self.entry.with_followed(|followed| followed.decided(committed));
        }
    }

    fn follow_asked(&self, x: &Exchange, evidence: Evidence, now: Moment) {
        let Some(system_id) = self.context.router.headway().system_id() else { return };
        let writer = x.lease.as_ref().map(|lease| lease.pool().member().clone());
        let commit = Commit { evidence, writer, system_id };
        self.entry.with_followed(|followed| followed.asked(&commit, now));
    }

    /// What became of it was found out.
    pub(super) fn follow_decided(&self, committed: bool) {
        self.entry.with_followed(|followed| followed.decided(committed));
    }
}

impl Teller<'_> {
    /// What gives the server what the client is told by a setting. Who is told nothing must not find what another client was told.
    pub(in crate::session) fn sql(&self, told: Told) -> Option<String> {
        let sql = self.own(told);
        if sql.is_some() {
            self.account.tells.store(true, Ordering::Relaxed);
        } else if self.account.tells.load(Ordering::Relaxed) {
            return Some(format!("SET {} = ''", told.setting()));
        }
        sql
    }

    fn own(&self, told: Told) -> Option<String> {
        let is_inquisitive = self.inquisitive != CommitFate::Unknown;
        match told {
            Told::Token => {
                self.promise?;
                token_sql(self.promise, &self.context.router, self.term)
            }
            Told::Session => {
                let nonce = self.entry.with_followed(|followed| followed.nonce())?;
                let session = SessionId { pid: self.entry.key.pid, nonce };
                Some(format!("SET pgsteer.session = '{session}'"))
            }
            Told::LastCommit => is_inquisitive.then(|| self.last_commit_sql()),
        }
    }

    fn last_commit_sql(&self) -> String {
        let of = self.state.get().and_then(|state| state.setting(OF.as_bytes()));
        let of = of.map(|setting| String::from_utf8_lossy(&setting.value).into_owned()).unwrap_or_default();
        let known = |last: &Last| (Saying::of(&last.stage), age(last, self.now));
        let fixed = |text: &str| (Saying::Known(text.to_owned()), String::new());
        let (of, (saying, age)) = match of.parse() {
            _ if of.is_empty() => {
                self.count("own");
                let last = self.entry.with_followed(|followed| followed.last().cloned()).flatten();
                (of, last.as_ref().map_or_else(|| fixed(""), known))
            }
            Ok(Handle::Session(session)) => {
                self.count("session");
                let last = self.context.registry.last_of(session, self.account, self.now);
                (of, last.as_ref().map_or_else(|| fixed(NOT_HERE), known))
            }
            Ok(Handle::Transaction(commit)) => {
                self.count("transaction");
                let last = self.context.registry.known(&commit, self.account, self.now);
                (of, last.as_ref().map_or_else(|| (Saying::Ask(commit), String::new()), known))
            }
            // Whatever it is, it makes no difference; but no part of it may become one of the statement.
            Err(NoHandle) => return sql(None, &Saying::Known(NO_HANDLE.to_owned()), "", Ground::None),
        };
        let (saying, ground) = match saying {
            Saying::Ask(commit) => self.ground(commit),
            known @ Saying::Known(_) => (known, Ground::None),
        };
        sql(Some(&of), &saying, &age, ground)
    }

    fn count(&self, whose: &'static str) {
        self.context.worker.counters.last_commits.count([whose]);
    }

    /// How far the word of this server goes about a transaction; or what is known of that without it.
    fn ground(&self, commit: Commit) -> (Saying, Ground) {
        let router = &self.context.router;
        let Some(office) = Office::of(router).filter(|office| office.epoch == self.term) else {
            return (Saying::Ask(commit), Ground::None);
        };
        let held = router.headway().holds(&commit.token(), office.timeline);
        if let Held::Lost(_) = held {
            return (Saying::of(&Stage::NotCommitted(Some(commit))), Ground::None);
        }
        let witness = Witness { member: &self.member, timeline: office.timeline, opened_at: self.opened_at };
        let ground = commit.ground(held, witness);
        (Saying::Ask(commit), ground)
    }
}
