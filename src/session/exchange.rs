//! One lease's worth of talk between a client and a server: what is owed, and what is under way.

use std::{pin::Pin, task::Context};

use tokio::time::Sleep;

use super::{
    backend::Backend,
    outbox::Outbox,
    tenancy::{Sequences, Tenancy},
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
    /// When the exchange must be looked at again without anything having come. Says nothing by itself.
    pub(super) alarm: Option<Pin<Box<Sleep>>>,
    /// Since when bytes have waited for the right to write.
    pub(super) fenced_since: Option<Moment>,
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
        let mut pipeline = std::mem::take(&mut self.pipeline);
        pipeline.reset();
        *self = Self { pipeline, ..Self::default() };
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

    /// What a client does that keeps its server and has nothing to do.
    pub(super) fn resting(&self) -> Activity {
        if self.pin.is_some() { Activity::Pinned } else { Activity::Idle }
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
