//! The last transaction of each client that may ask what became of it (`commit_fate`): followed while the client is here,
//! and kept for a while when it is gone.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    str::FromStr,
    time::Duration,
};

use parking_lot::Mutex;

use crate::{
    clock::Moment,
    cluster::{
        ids::{Lsn, MemberName, Timeline},
        token::Token,
    },
};

/// Clients that are gone, whose last transactions are kept for one user and database.
pub const PARTED_MAX: usize = 1024;

/// For how long they are kept.
pub const PARTED_FOR: Duration = Duration::from_secs(3600);

/// What a transaction has said of itself before it was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Its number.
    pub xid: u64,
    /// The timeline it wrote on.
    pub timeline: Timeline,
    /// A record that bears its number, or a later one, ends here at the latest; its commit begins behind.
    pub lsn: Lsn,
    /// Before it was asked.
    pub asked_at: Moment,
}

/// A transaction that has said what its number is.
///
/// As text: `system identifier/timeline/position/number`, `7710131327877806850/3/1A/2B3C4D8/727`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// What it has said.
    pub evidence: Evidence,
    /// The leader it was sent to, if that is known.
    pub writer: Option<MemberName>,
    /// The cluster's identifier.
    pub system_id: u64,
}

impl Commit {
    /// The place in history behind which it was committed, if it was.
    pub const fn token(&self) -> Token {
        let Evidence { timeline, lsn, .. } = self.evidence;
        Token { system_id: self.system_id, timeline, lsn }
    }

    fn is(&self, other: &Self) -> bool {
        self.token() == other.token() && self.evidence.xid == other.evidence.xid
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.token(), self.evidence.xid)
    }
}

/// A text names neither a session nor a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is neither what pgsteer.session was, nor system identifier/timeline/position/number")]
pub struct NoHandle;

/// Whose last transaction, or which, is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handle {
    /// That of this session.
    Session(SessionId),
    /// This one.
    Transaction(Commit),
}

/// A client's session. No other has the same, in whatever process.
///
/// As text: its process id and a random number in hexadecimal digits, `17-00c0ffee00c0ffee`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId {
    /// The process id that the client was told.
    pub pid: u32,
    /// A random number.
    pub nonce: u64,
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.pid, self.nonce)
    }
}

impl FromStr for Handle {
    type Err = NoHandle;

    fn from_str(text: &str) -> Result<Self, NoHandle> {
        if text.contains('+') {
            return Err(NoHandle);
        }
        if let Some((pid, nonce)) = text.split_once('-') {
            let nonce = u64::from_str_radix(nonce, 16).map_err(|_| NoHandle)?;
            return Ok(Self::Session(SessionId { pid: pid.parse().map_err(|_| NoHandle)?, nonce }));
        }
        let (token, xid) = text.rsplit_once('/').ok_or(NoHandle)?;
        let Token { system_id, timeline, lsn } = token.parse().map_err(|_| NoHandle)?;
        let xid = xid.parse().map_err(|_| NoHandle)?;
        let evidence = Evidence { xid, timeline, lsn, asked_at: Moment::ZERO };
        Ok(Self::Transaction(Commit { evidence, writer: None, system_id }))
    }
}

/// How far a client's last transaction has got that does more than look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It runs; nothing that could commit it was sent.
    Begun,
    /// What may commit it was sent, and nothing is known of its number.
    Sent(Company),
    /// The same, and it has said its number.
    Asked(Commit),
    /// It is committed.
    Committed(Commit),
    /// It is not, and never will be.
    NotCommitted(Option<Commit>),
}

/// What was sent beside that which commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// Nothing: what the transaction says of itself is about all that was sent.
    None,
    /// More, which may be another transaction.
    Others,
}

/// A client's last transaction that does more than look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// How far it has got.
    pub stage: Stage,
    /// When the last of what it consists of was sent.
    pub since: Moment,
}

/// What was sent to a server just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Whether some of it does more than look.
    pub acts: bool,
    /// Whether what was sent so far may be committed, or may yet be; in what company.
    pub commits: Option<Company>,
}

/// What is followed of a client's transactions.
#[derive(Debug)]
pub struct Followed {
    nonce: u64,
    last: Option<Last>,
}

impl Followed {
    /// Of a client that has just come.
    pub const fn new(nonce: u64) -> Self {
        Self { nonce, last: None }
    }

    /// The random number of its session.
    pub const fn nonce(&self) -> u64 {
        self.nonce
    }

    /// Its last transaction.
    pub const fn last(&self) -> Option<&Last> {
        self.last.as_ref()
    }

    /// Something was sent.
    pub fn sent(&mut self, sent: Sent, now: Moment) {
        let begun = matches!(self.last, Some(Last { stage: Stage::Begun, .. }));
        let stage = match (sent.acts, sent.commits) {
            (true, None) => Stage::Begun,
            (true, Some(company)) => Stage::Sent(company),
            (false, Some(company)) if begun => Stage::Sent(company),
            (false, Some(company)) => {
                if let Some(Last { stage: Stage::Sent(known), .. }) = &mut self.last {
                    *known = company;
                }
                return;
            }
            (false, None) => return,
        };
        self.last = Some(Last { stage, since: now });
    }

    /// The transaction that was asked says what its number is.
    pub fn asked(&mut self, commit: &Commit, now: Moment) {
        let since = match &self.last {
            // What the client has sent behind it is another.
            Some(Last { stage: Stage::Begun | Stage::Sent(Company::Others), .. }) => return,
            Some(last) if last.is_of(commit) => return,
            Some(Last { stage: Stage::Sent(Company::None), since }) => *since,
            // Its text did not show that it does more than look.
            _ => now,
        };
        self.last = Some(Last { stage: Stage::Asked(commit.clone()), since });
    }

    /// What became of it is known.
    pub fn decided(&mut self, committed: bool) {
        let Some(Last { stage, .. }) = &mut self.last else { return };
        *stage = match (std::mem::replace(stage, Stage::Begun), committed) {
            (Stage::Asked(commit), true) => Stage::Committed(commit),
            (Stage::Asked(commit), false) => Stage::NotCommitted(Some(commit)),
            (Stage::Sent(Company::None), false) => Stage::NotCommitted(None),
            (stage, _) => stage,
        };
    }
}

impl Last {
    /// What is left of it when its client is gone: what was begun is rolled back.
    fn parted(self) -> Self {
        match self.stage {
            Stage::Begun => Self { stage: Stage::NotCommitted(None), ..self },
            _ => self,
        }
    }

    /// Whether it is known to be this transaction.
    pub fn is_of(&self, commit: &Commit) -> bool {
        match &self.stage {
            Stage::Asked(known) | Stage::Committed(known) | Stage::NotCommitted(Some(known)) => {
                known.is(commit)
            }
            Stage::Begun | Stage::Sent(_) | Stage::NotCommitted(None) => false,
        }
    }
}

/// The last transactions of clients that are gone, of one user and database. Those about which something is open stay
/// longest.
#[derive(Debug, Default)]
pub struct Parted(Mutex<Ledger>);

#[derive(Debug, Default)]
struct Ledger {
    all: BTreeMap<SessionId, Last>,
    /// Those of which it is known what became of them, in order.
    settled: VecDeque<SessionId>,
    /// The others, in order.
    open: VecDeque<SessionId>,
}

impl Parted {
    /// A client is gone.
    pub fn keep(&self, session: SessionId, last: Last) {
        self.0.lock().keep(session, last.parted());
    }

    /// The last transaction of this session.
    pub fn of_session(&self, session: SessionId, now: Moment) -> Option<Last> {
        self.0.lock().all.get(&session).filter(|last| !is_over(last, now)).cloned()
    }

    /// This transaction, if it is one of them.
    pub fn of_transaction(&self, commit: &Commit, now: Moment) -> Option<Last> {
        let ledger = self.0.lock();
        ledger.all.values().find(|last| last.is_of(commit) && !is_over(last, now)).cloned()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.0.lock().all.is_empty()
    }
}

fn is_over(last: &Last, now: Moment) -> bool {
    now.since(last.since) > PARTED_FOR
}

impl Ledger {
    fn keep(&mut self, session: SessionId, last: Last) {
        let now = last.since;
        for queue in [&mut self.settled, &mut self.open] {
            while let Some(first) = queue.front()
                && self.all.get(first).is_none_or(|last| is_over(last, now))
            {
                self.all.remove(first);
                queue.pop_front();
            }
        }
        if self.all.len() >= PARTED_MAX
            && let Some(first) = self.settled.pop_front().or_else(|| self.open.pop_front())
        {
            self.all.remove(&first);
        }
        let is_settled = matches!(last.stage, Stage::Committed(_) | Stage::NotCommitted(_));
        let queue = if is_settled { &mut self.settled } else { &mut self.open };
        queue.push_back(session);
        self.all.insert(session, last);
    }
}

#[cfg(test)]
mod tests;
