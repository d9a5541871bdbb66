//! The right to use a server connection, which goes back by itself when it is dropped.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
};

use smallvec::SmallVec;
use tokio::sync::Notify;

use super::{
    pool::Pool,
    quota::Permit,
    slots::{Flavour, ServerId},
};
use crate::{
    clock::Moment,
    net::Address,
    server::{
        Approach,
        conn::{End, ServerConn},
    },
    wire::{error::PgError, startup::BackendKey},
};

/// Why a session gets no server.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// The client is to be told this.
    Error(Arc<PgError>),
    /// This pool's member is not where the request belongs any more: route again.
    Rerouted,
}

/// The settings that a server reported at its login, in its order.
pub type Reported = Arc<[(String, String)]>;

/// Which draws from sequences a server remembers, as `currval` and `lastval` would tell them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drawn {
    /// None: it is new, or has forgotten them.
    #[default]
    Nothing,
    /// Those of one client, up to the lease of this number. Only while that was this client's last lease has it drawn nothing
    /// elsewhere since.
    UpTo(u64),
    /// Others, or old ones.
    Anything,
}

impl Drawn {
    /// Whether they are no others than those of a client, and none older than it may know, whose last lease was this one.
    #[inline]
    pub fn is_of(self, last_lease: u64) -> bool {
        match self {
            Self::Nothing => true,
            Self::UpTo(number) => number == last_lease,
            Self::Anything => false,
        }
    }
}

/// A pooled server connection.
pub struct Server {
    /// The connection.
    pub conn: ServerConn,
    /// How it is cancelled; the same for its whole life.
    pub cancel: Arc<CancelTarget>,
    /// The start-up settings it was opened with.
    pub flavour: Flavour,
    /// What it said of itself at its login.
    pub reported: Reported,
    /// What it remembers of sequences.
    pub drawn: Drawn,
    pub(super) worker: usize,
    /// How it is to be closed.
    pub(super) end: End,
    pub(super) permits: SmallVec<[Permit; 3]>,
}

/// Where a cancel request for a server goes, and how many are on their way: until they have ended the server is
/// not handed on.
#[derive(Debug)]
pub struct CancelTarget {
    /// The server's address.
    pub address: Address,
    /// How it is reached there.
    pub approach: Approach,
    /// The key it gave.
    pub key: BackendKey,
    pub(super) server: ServerId,
    /// The process id that the client was told which had it last.
    client: AtomicU32,
    /// And the one before it.
    earlier: AtomicU32,
    on_their_way: AtomicUsize,
    /// A request was given up on: it may still arrive, whoever has the server then.
    astray: AtomicBool,
    ended: Notify,
}

impl CancelTarget {
    pub(super) fn new(address: Address, approach: Approach, key: BackendKey, server: ServerId) -> Self {
        Self {
            address,
            approach,
            key,
            server,
            client: AtomicU32::new(0),
            earlier: AtomicU32::new(0),
            on_their_way: AtomicUsize::new(0),
            astray: AtomicBool::new(false),
            ended: Notify::new(),
        }
    }

    /// Of a server that is in no pool.
    pub fn unpooled(address: Address, approach: Approach, key: BackendKey) -> Self {
        Self::new(address, approach, key, 0)
    }

    /// This client, by the process id that it was told, does more there than look: a notification that comes from now on is its
    /// own, one that came before was of the client before. (It is on its way for a moment: where the next client changes
    /// something within that moment, it counts as that client's.)
    #[inline]
    pub fn used_by(&self, pid: u32) {
        let before = self.client.load(Ordering::Relaxed);
        if before != pid {
            self.earlier.store(before, Ordering::Relaxed);
            self.client.store(pid, Ordering::Relaxed);
        }
    }

    /// The same of the client before that one.
    pub fn earlier_client(&self) -> Option<u32> {
        Some(self.earlier.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    /// The process id that the client was told which did more there than look last, if one has.
    pub fn client(&self) -> Option<u32> {
        Some(self.client.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    /// A cancel request sets out; it has ended when the guard is dropped, and gone astray if that happens before it
    /// was seen to arrive. Must be called while the lease is known to be held.
    pub fn begin(self: &Arc<Self>) -> CancelOnItsWay {
        self.on_their_way.fetch_add(1, Ordering::AcqRel);
        CancelOnItsWay { target: self.clone(), fate: Fate::Unknown }
    }

    /// Whether a cancel request is on its way.
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.on_their_way.load(Ordering::Acquire) != 0
    }

    /// Whether a cancel request may still arrive although nobody waits for it: the server must not be handed on.
    #[inline]
    pub fn is_astray(&self) -> bool {
        self.astray.load(Ordering::Acquire)
    }

    pub(super) async fn settled(&self) {
        loop {
            let ended = self.ended.notified();
            if !self.is_pending() {
                return;
            }
            ended.await;
        }
    }
}

/// A cancel request on its way.
#[derive(Debug)]
pub struct CancelOnItsWay {
    target: Arc<CancelTarget>,
    fate: Fate,
}

/// What became of a cancel request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nobody can say.
    Unknown,
    /// The server has ended the connection that brought it: it was carried out.
    Arrived,
}

impl CancelOnItsWay {
    /// It was carried out.
    pub fn arrived(mut self) {
        self.fate = Fate::Arrived;
    }
}

impl Drop for CancelOnItsWay {
    fn drop(&mut self) {
        if self.fate == Fate::Unknown {
            self.target.astray.store(true, Ordering::Release);
        }
        self.target.on_their_way.fetch_sub(1, Ordering::AcqRel);
        // A permit is kept for one who is about to wait, so the end is never missed.
        self.target.ended.notify_one();
    }
}

/// How a session leaves the server it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Everything is answered and no transaction is open.
    Settled,
    /// Everything is answered, but a transaction is open that nobody will end.
    InTransaction,
    /// Something is still running that nobody waits for.
    Running,
    /// The connection is broken, or must not be used again.
    Broken,
}

/// A server in use. Dropped without a word it is closed.
pub struct Lease {
    server: Option<Box<Server>>,
    pool: Arc<Pool>,
    id: ServerId,
    number: u64,
    term: u64,
}

impl Lease {
    pub(super) const fn new(
        server: Box<Server>,
        pool: Arc<Pool>,
        id: ServerId,
        number: u64,
        term: u64,
    ) -> Self {
        Self { server: Some(server), pool, id, number, term }
    }

    /// The server. `None` never happens while the lease is held.
    #[inline]
    pub fn server(&mut self) -> Option<&mut Server> {
        self.server.as_deref_mut()
    }

    /// The pool it belongs to.
    pub const fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Its number, by which it is revoked.
    #[inline]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The term as whose leader the server is used; 0 for a replica.
    #[inline]
    pub const fn term(&self) -> u64 {
        self.term
    }

    /// The term by whose right something is sent there: its own; or its member's, where a replica was promoted under it; 0: none is
    /// needed.
    #[inline]
    pub fn office(&self) -> u64 {
        if self.term == 0 { self.pool.office() } else { self.term }
    }

    /// Ends it.
    pub fn finish(mut self, how: Finish, now: Moment) {
        if let Some(server) = self.server.take() {
            self.pool.give_back(self.id, server, how, now);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            let now = self.pool.now();
            self.pool.give_back(self.id, server, Finish::Broken, now);
        }
    }
}
