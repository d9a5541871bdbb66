//! What happened to a client's session during one lease.

use std::sync::Arc;

use super::{
    fate::Testimony,
    inquiry::{INDELIBLE, LASTING},
    promise::placing::Placing,
    touched::Touched,
    way_out::WayOut,
};
use crate::{
    pool::account::OpaquePolicy,
    server::conn::Hygiene,
    sql::{
        alone::Alone,
        touches::{Kinds, Touches},
    },
    wire::{
        named::Serial,
        parameters::Parameters,
        pipeline::{Acting, Block, Conduct, Followed},
        statements::{Statement, UnnamedAt},
    },
};

/// What changes the meaning of statements that are parsed from then on: settings, and temporary tables by their names.
const MEANING: Kinds = Kinds::SETTINGS
    .and(Kinds::EVERY_SETTING)
    .and(Kinds::RESETS)
    .and(Kinds::CALLS)
    .and(Kinds::OPAQUE)
    .and(Kinds::TEMP);

/// What happened to the session during one lease.
#[derive(Clone, Debug, Default)]
pub struct Tenancy {
    pub(super) unnamed: UnnamedAt,
    /// What running the portal bound last may do.
    bound: Conduct,
    /// The client's unnamed statement, by its number, if the unnamed portal is of it and it is not known what it yields.
    pub(super) unlearnt_portal: Option<u32>,
    /// A statement that the server was given by the message before, without being asked what it yields.
    pub(super) unlearnt: Option<(Arc<Statement>, Serial)>,
    portals: NamedPortals,
    /// Whether settings were changed that are not followed, so that what is parsed from now on is the client's own.
    pub settings: Settings,
    /// A statement whose outcome decides how to go on.
    pub awaited: Awaited,
    copy: CopyAwaited,
    check: Check,
    /// The settings that it puts back to what they were at the start, once it has succeeded.
    reset: Option<u8>,
    reports: Reports,
    moved: Moved,
    choice: Choice,
    start: StartValues,
    ran: Ran,
    /// Whose draws from sequences the server may remember, where it was not the client's alone at the start.
    pub(super) draws: Sequences,
    /// What may have been touched of the state that the server must be asked about.
    touched: Option<Box<Touched>>,
    /// What the server was asked about in vain.
    unread: Option<Box<Touched>>,
    /// What keeps the client on this server.
    pub pins: Kinds,
    /// Which statements that may come from.
    pub(super) evidence: Evidence,
    /// Where what is committed ends.
    pub(super) placing: Placing,
    /// What is known about the commit under way.
    pub(super) fate: Testimony,
    /// What the server has said last, which the client is not told as long as the fate of its commit is open.
    pub(super) farewell: Option<Box<[u8]>>,
    /// Whether what runs takes away what the server could not be given.
    pub(super) way_out: WayOut,
    /// A database that what is sent now needs to itself.
    pub(super) needs_alone: Option<Box<Alone>>,
    /// What had happened when that was asked last ([`Told::events`]).
    ///
    /// [`Told::events`]: crate::cluster::headway::told::Told::events
    pub(super) asked_when: u64,
    /// What of the client's this lease serves.
    pub(super) stint: Stint,
    pub(super) sight: Sight,
}

/// Whether a named portal may hold a statement that must be awaited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum NamedPortals {
    #[default]
    Harmless,
    MustBeAwaited,
}

/// Whether followed settings were changed since the transaction began, so that its end may change them back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Moved {
    #[default]
    No,
    Yes,
}

/// Whether a statement was sent that does more than look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ran {
    #[default]
    Nothing,
    Something,
    /// The same, and nobody has asked since.
    Just,
}

/// Whether what the server reports of a reset is kept from the client, which has a start of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reports {
    #[default]
    Passed,
    Held,
}

/// Whether settings were put back to what they were at the server's start, which may not be the client's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum StartValues {
    #[default]
    Unused,
    OfServer,
}

impl Tenancy {
    /// Whether nothing may be read from the client now.
    #[inline]
    pub const fn holds_client(&self) -> bool {
        matches!(self.awaited, Awaited::Answer(_))
            || matches!(self.copy, CopyAwaited::Yes)
            || self.check.is_awaited()
            || self.stint.holds_client()
    }

    /// Whether nothing may be read from the client before a statement is answered.
    #[inline]
    pub const fn awaits_answer(&self) -> bool {
        matches!(self.awaited, Awaited::Answer(_))
    }

    /// A statement that may take data from the client was sent.
    pub(super) fn await_copy(&mut self) {
        self.copy = CopyAwaited::Yes;
    }

    /// The server takes data from the client.
    pub(super) fn copy_begins(&mut self, in_sequence: bool) {
        self.answered(in_sequence);
    }

    /// A query of ours is sent: it drops the statement without a name.
    pub(super) const fn loses_unnamed(&mut self) {
        self.unnamed = UnnamedAt::Unknown;
    }

    /// A portal was bound; what it may do counts when it is run.
    pub(super) fn bind(&mut self, conduct: Conduct, named: bool, unlearnt: Option<u32>) {
        self.bound = conduct;
        if !named {
            self.unlearnt_portal = unlearnt;
        }
        if named && conduct.must_be_told_apart() {
            self.portals = NamedPortals::MustBeAwaited;
        }
    }

    /// What running a portal may do.
    pub(super) fn portal(&self, named: bool) -> Conduct {
        match (named, self.portals) {
            (false, _) => self.bound,
            (true, NamedPortals::Harmless) => Conduct::HARMLESS,
            (true, NamedPortals::MustBeAwaited) => Conduct::UNSEEN,
        }
    }

    /// A statement runs: whether it must be awaited, and what it does to the settings that are followed.
    pub(super) fn must_await(&mut self, conduct: Conduct) -> Option<Followed> {
        if conduct.followed != Followed::Kept {
            self.choice = Choice::Made;
        }
        let may_undo = self.moved == Moved::Yes && !matches!(conduct.block, Block::Stays | Block::Begins);
        match conduct.followed {
            Followed::Kept if may_undo => Some(Followed::Changed),
            followed => conduct.must_be_awaited().then_some(followed),
        }
    }

    /// A statement runs.
    #[inline]
    pub(super) fn runs(&mut self, conduct: Conduct) {
        if conduct.acting != Acting::No {
            self.ran = Ran::Just;
        }
    }

    /// Whether a statement that does more than look was sent since this was asked last.
    pub(super) fn has_acted(&mut self) -> bool {
        let acted = self.ran == Ran::Just;
        if acted {
            self.ran = Ran::Something;
        }
        acted
    }

    /// Whether nothing has run that does more than look.
    #[inline]
    pub(super) fn has_only_looked(&self) -> bool {
        self.ran == Ran::Nothing
    }

    /// What ends a sequence is sent: where a report is awaited, ReadyForQuery brings it.
    pub(super) fn sequence_ends(&mut self) {
        self.check = Check::None;
        self.sight.end();
        self.stint.sequence_ends();
        if self.awaited == Awaited::Report {
            self.awaited = Awaited::Answer(Followed::Changed);
        }
    }

    /// The server has reported a followed setting; whether the client hears of it now. What a reset leads to it hears with
    /// ReadyForQuery.
    pub(super) fn reported(&mut self) -> bool {
        self.moved = Moved::Yes;
        let resets = self.reset.is_some() || matches!(self.awaited, Awaited::Answer(Followed::Reset(_)));
        if resets {
            self.reports = Reports::Held;
        }
        !resets
    }

    /// A statement has succeeded; `last` if it is the last that was sent.
    pub(super) fn completed(&mut self, last: bool) {
        match self.awaited {
            Awaited::Answer(Followed::Reset(places)) if last => {
                self.reset = Some(places);
            }
            // Set again before the reset was reported: the server's report says what it came to.
            Awaited::Answer(Followed::Changed) => self.reset = None,
            Awaited::Answer(_) | Awaited::Nothing | Awaited::Report => {}
        }
    }

    /// A statement has failed, and with it what the same transaction has reset.
    pub(super) fn failed(&mut self) {
        self.reset = None;
        self.way_out.fails();
    }

    /// A statement that is about to run, or may be, touches state of the session.
    pub(super) fn touch(
        &mut self,
        touches: Touches,
        parameters: &Arc<Parameters>,
        policy: Option<&OpaquePolicy>,
    ) {
        const MATTERS: Kinds = super::inquiry::ASKED.and(LASTING);
        let kinds = touches.kinds;
        if policy.is_some_and(OpaquePolicy::pins) && kinds.has_any(Kinds::OPAQUE.and(Kinds::CALLS)) {
            self.pins |= Kinds::OPAQUE;
        }
        if kinds.has(Kinds::EVERY_SETTING) && !kinds.has(Kinds::OPAQUE) {
            // A name with a dot that no module has claimed cannot be asked for without knowing it.
            self.pins |= Kinds::EVERY_SETTING;
        }
        if kinds.has_any(MEANING) {
            self.settings = Settings::Changed;
        }
        let may_unpin = !self.pins.is_empty() && !kinds.is_empty();
        if kinds.has_any(MATTERS) || may_unpin {
            self.touched.get_or_insert_default().add(touches, parameters);
        }
    }

    /// ReadyForQuery, with a server of which all is known that is not noted here.
    pub(super) fn settles(&mut self) {
        if self.touched.is_none() && self.pins.is_empty() {
            self.settings = Settings::Followed;
        }
    }

    /// Whether something was touched that the server was not asked about.
    #[inline]
    pub const fn is_touched(&self) -> bool {
        self.touched.is_some()
    }

    /// Whether something keeps the client on its server.
    #[inline]
    pub(super) const fn is_pinned(&self) -> bool {
        !self.pins.is_empty()
    }

    /// Whether a client that keeps its server goes on doing so without a further question.
    pub(super) fn stays(&self) -> bool {
        !self.pins.is_empty() && (self.pins.has_any(LASTING) || self.touched.is_none())
    }

    /// What was touched, to be asked about now.
    pub(super) fn take_touched(&mut self) -> Option<Box<Touched>> {
        let mut touched = self.touched.take()?;
        if let Some(unread) = self.unread.take() {
            touched.join(*unread);
        }
        Some(touched)
    }

    /// The server was asked: what keeps the client here from now on.
    pub(super) fn inspected(&mut self, pins: Kinds) {
        self.pins = pins;
        self.settings = if pins.has_any(MEANING) { Settings::Changed } else { Settings::Followed };
    }

    /// What was touched could not be cleared up; with the next touch it is asked about again.
    pub(super) fn keep_touched(&mut self, touched: Box<Touched>) {
        self.unread = Some(touched);
    }

    /// `DISCARD ALL` has succeeded.
    pub(super) fn discarded(&mut self) {
        self.unread = None;
        self.pins = self.pins.without(self.pins.without(INDELIBLE));
        if let Some(touched) = &mut self.touched {
            touched.discarded();
            if touched.kinds().is_empty() {
                self.touched = None;
            }
        }
    }

    /// What the client leaves on the server if it is given up now.
    pub(super) fn leaves(&self) -> Option<Hygiene> {
        let touched = || self.touched.iter().chain(&self.unread);
        let kinds = touched().fold(self.pins, |kinds, touched| kinds | touched.kinds());
        let has_copies = touched().any(|touched| touched.copies.names().next().is_some());
        match () {
            () if kinds.has_any(INDELIBLE) => Some(Hygiene::Spoilt),
            () if kinds.is_empty() && !has_copies => None,
            () => Some(Hygiene::Dirty),
        }
    }

    /// ReadyForQuery: which settings must go back to what they were at the client's start; `None`: the client knows all.
    pub(super) fn ready(&mut self, in_transaction: bool) -> Option<u8> {
        self.way_out.succeeds();
        if !in_transaction {
            self.moved = Moved::No;
        }
        if self.reset.is_some() {
            self.start = StartValues::OfServer;
        }
        let held = std::mem::take(&mut self.reports) == Reports::Held;
        self.reset.take().or(held.then_some(0))
    }

    /// Whether the server has settings of its own start where the client must find those of its own.
    #[inline]
    pub(super) fn must_equalize(&self) -> bool {
        self.start == StartValues::OfServer
    }

    /// That was seen to.
    pub(super) fn equalized(&mut self) {
        self.start = StartValues::Unused;
    }
}

mod check;
mod copied;
mod evidence;
mod states;
mod stint;

use check::Check;
use evidence::Evidence;
pub use evidence::Sequences;
pub use states::{Awaited, Settings};
use states::{Choice, CopyAwaited};
pub use stint::{Sight, Stint, WAIT_FOR};
