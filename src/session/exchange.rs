//! One lease's worth of talk between a client and a server: what is owed, and what is under way.

use std::{pin::Pin, task::Context};

use tokio::time::Sleep;

use super::{
    backend::Backend,
    outbox::Outbox,
    split::trial::Trial,
    tenancy::{Sequences, Tenancy},
    untried::Untried,
};
use crate::{
    client::registry::Activity,
    clock::Moment,
    pool::{account::PoolMode, lease::Lease, pins::PinGuard},
    wire::pipeline::Pipeline,
};

/// The state of one lease.
#[derive(Default)]
pub struct Exchange {
    pub(super) lease: Option<Lease>,
    pub(super) read_only: ReadOnly,
    pub(super) sequences: Sequences,
    pub(super) pipeline: Pipeline,
    pub(super) backend: Backend,
    pub(super) tenancy: Tenancy,
    /// Its server's place among those that clients keep, once it is kept.
    pub(super) pin: Option<PinGuard>,
    /// The start of a message of the server's that needs more to be understood.
    pub(super) server_in: Vec<u8>,
    /// What the server has not taken yet, or may not be given yet.
    pub(super) to_server: Outbox,
    pub(super) client: ClientEnd,
    /// What the client has sent, as long as the server has said nothing.
    pub(super) untried: Untried,
    /// When the exchange must be looked at again without anything having come. Says nothing by itself.
    pub(super) alarm: Option<Pin<Box<Sleep>>>,
    /// Since when something has waited for the right to write: what is with `to_server`, or what the client has sent
    /// since, which is not read before.
    pub(super) fenced_since: Option<Moment>,
    /// A request that a replica tries instead of the leader.
    pub(super) trial: Trial,
    /// What is left to do about a request that was refused.
    pub(super) refused: Option<Box<Refused>>,
    /// Whether the client is told what its server says as it comes.
    pub(super) telling: Telling,
    pub(super) answers: Answers,
}

/// Whether what the leader says is believed as it comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Answers {
    /// It is.
    #[default]
    Pass,
    /// What it said stands in `server_in` until it is known that it was not deposed meanwhile.
    Wait,
}

/// Whether a client is told what its server says as it comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Telling {
    /// It is.
    #[default]
    Freely,
    /// What it is to be told waits until it is known where what it has committed ends.
    HeldBack,
}

/// A request that was refused while its client had a server, with nothing of it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) rest: Rest,
    pub(super) transaction: Fate,
}

/// What becomes of the rest of a refused request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It is dropped as it comes. Whether it is more than one message.
    Dropped(bool),
    /// There is none, and the client has its ReadyForQuery.
    Done,
}

/// What becomes of the transaction that a refused request was to be part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// There is none, or it has failed already.
    Kept,
    /// It has failed, as far as the client knows, and the server does not know.
    MustFail,
}

/// Whether writing must be kept impossible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ReadOnly {
    /// No: the server itself knows.
    #[default]
    ByServer,
    /// Yes: a read that fell back on the leader.
    Enforced,
}

/// Whether the client is still there to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ClientEnd {
    /// It is.
    #[default]
    Open,
    /// It has said goodbye: what it sent before runs to its end, as it would with PostgreSQL.
    Terminated,
    /// It has ended its side without a word, then: what runs gets a grace.
    HalfClosed(Moment),
}

impl Exchange {
    /// Empty again, with what memory is worth keeping.
    pub(super) fn clear(&mut self) {
        // Piece by piece, because it is done for every lease, and most pieces are empty already.
        let Self {
            lease,
            read_only,
            sequences,
            pipeline,
            backend,
            tenancy,
            pin,
            server_in,
            to_server,
            client,
            untried,
            alarm,
            fenced_since,
            trial,
            refused,
            telling,
            answers,
        } = self;
        (*lease, *pin, *alarm, *refused) = (None, None, None, None);
        (*read_only, *sequences, *client) = Default::default();
        (*backend, *fenced_since) = (Backend::default(), None);
        (*telling, *answers) = Default::default();
        pipeline.reset();
        *tenancy = Tenancy::default();
        *server_in = Vec::new();
        to_server.clear();
        untried.reset();
        trial.end();
    }

    /// For how long the server is the client's: for the session too where its state keeps it there.
    #[inline]
    pub(super) fn mode(&self, mode: PoolMode) -> PoolMode {
        if self.pin.is_some() { PoolMode::Session } else { mode }
    }

    /// Whether the client keeps its server although nothing is open.
    #[inline]
    pub(super) fn keeps_server(&self, mode: PoolMode) -> bool {
        self.client == ClientEnd::Open
            && (mode == PoolMode::Session || (self.pin.is_some() && self.tenancy.stays()))
    }

    /// Whether nothing more of the client's is served in this lease, although its end is held up: the server is in the middle of a
    /// message that answers nothing.
    #[inline]
    pub(super) fn is_over(&self, mode: PoolMode) -> bool {
        self.tenancy.ends_its_stint()
            && self.pipeline.may_release()
            && (!self.server_in.is_empty() || self.backend.is_inside_message())
            && !self.keeps_server(mode)
    }

    /// What a client does that keeps its server and has nothing to do.
    pub(super) fn resting(&self) -> Activity {
        if self.pin.is_some() { Activity::Pinned } else { Activity::Idle }
    }

    /// What a client does: a query runs; or something waits for the right to write; or else `otherwise`.
    pub(super) fn activity(&self, otherwise: Activity) -> Activity {
        match (self.runs(), self.fenced_since) {
            (true, _) => Activity::Running,
            (false, Some(_)) => Activity::Waiting,
            (false, None) => otherwise,
        }
    }

    /// Whether something of the client's runs. Of a question of ours that is all that is owed it knows nothing, and the time that
    /// this takes is not its own.
    pub(super) fn runs(&self) -> bool {
        !self.pipeline.is_empty() && !self.pipeline.only_awaits_position()
    }

    /// Whether the client has sent something that waits for the right to write, and nothing of it was understood so far.
    pub(super) fn holds_back(&self) -> bool {
        let untouched = self.to_server.is_empty() && self.pipeline.is_empty() && !self.pipeline.is_skipping();
        self.fenced_since.is_some() && untouched && !self.drops()
    }

    /// Whether what comes next from the client belongs to a request that was refused.
    pub(super) fn drops(&self) -> bool {
        self.refused.as_ref().is_some_and(|refused| refused.rest != Rest::Done)
    }

    /// Whether everything is answered, by whomever, and no transaction is open.
    pub(super) fn is_at_rest(&self) -> bool {
        self.pipeline.may_release() && self.refused.is_none()
    }

    /// Whether the server is still to learn that its transaction has failed.
    pub(super) fn transaction_must_fail(&self) -> bool {
        self.refused.as_ref().is_some_and(|refused| refused.transaction == Fate::MustFail)
    }

    /// Wakes the session after `pause`.
    pub(super) fn set_alarm(&mut self, pause: std::time::Duration) {
        self.alarm = Some(Box::pin(tokio::time::sleep(pause)));
    }

    /// Whether an alarm has gone off, so that it must be looked again.
    pub(super) fn alarmed(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(alarm) = &mut self.alarm else { return false };
        let gone_off = alarm.as_mut().poll(cx).is_ready();
        if gone_off {
            self.alarm = None;
        }
        gone_off
    }
}
