//! What a client's reads must see: noted with its commits, checked with each server it gets.

use std::time::Duration;

use super::{
    super::{
        exchange::{ClientEnd, ReadOnly, Telling},
        promise::{
            Loss, Office,
            placing::{Open, Outcome, put_question},
        },
        relay::Cut,
        routes::Purpose,
        split::atlas::Origin,
        tenancy::{Sight, Stint, WAIT_FOR},
    },
    Exchange, Finish, Flow, Moment, PgError, PoolMode, Session, SqlState, TaskContext,
};
use crate::{
    cluster::headway::told::Shown,
    pool::lease::Lease,
    route::{consistency::Consistency, leaning::Leaning, table::ReadRoute},
    wire::pipeline::Owed,
};

/// Bytes that are held back from a client, at most, until it is known where what they tell of ends.
const TOLD_HELD_MAX: usize = 256 * 1024;

/// A server that has answered everything else is given no longer to tell where a commit ends.
const POSITION_MAX: Duration = Duration::from_secs(5);

impl Session {
    /// What a client begins with whose reads must see something.
    pub(super) fn begin_to_promise(&mut self) {
        let (context, account) = (&self.context, &self.tenant.account);
        if let Some(promise) = &mut self.promise
            && context.purpose != Purpose::Read
        {
            let place = context.atlas.place(&account.cluster, &account.database, Origin::Leader);
            promise.place = Some(place);
        }
    }

    /// Sets the goal for the next request.
    #[inline]
    pub(super) fn aim(&mut self) -> Result<(), Loss> {
        if self.promise.is_some() { self.aim_at() } else { Ok(()) }
    }

    fn aim_at(&mut self) -> Result<(), Loss> {
        let Some(promise) = &mut self.promise else { return Ok(()) };
        let handed = self.state.get().and_then(|state| state.setting(WAIT_FOR));
        promise.hand(handed.map(|setting| &*setting.value))?;
        let shown = match promise.consistency {
            Consistency::Global => {
                let office = Office::of(&self.context.router);
                self.context.router.headway().told().show(office.map(|office| office.timeline))
            }
            Consistency::Session | Consistency::Eventual => Shown::Anything,
        };
        let unplaced = promise.is_unplaced() || shown == Shown::Unplaced;
        // What its own are not known to end at, a read route's leader tells, if that serves such a read.
        let asks_leader = || matches!(self.context.router.load().fallback, ReadRoute::Leader(_));
        let own = promise.is_unplaced() && self.context.purpose == Purpose::Read && asks_leader();
        let others = match (shown, &self.split) {
            // Of a leader that has yet to say where it ends, no replica is known to show it.
            (Shown::Unplaced, None) => Some(self.context.router.headway().beyond_all()),
            _ if own => Some(self.context.router.headway().beyond_all()),
            (Shown::This(token), _) => Some(token),
            (Shown::Unplaced | Shown::Anything, _) => None,
        };
        promise.aim(others);
        if let Some(split) = self.split.as_mut().filter(|split| unplaced && split.purpose == Purpose::Split) {
            split.purpose = Purpose::Write;
            self.context.worker.counters.consistent_reads.count(["leader"]);
        }
        Ok(())
    }

    /// A server is about to be the client's: is everything there that it must see? A replica was asked before.
    #[inline]
    pub(super) fn admit(&mut self, lease: &Lease) -> Result<(), Loss> {
        if self.promise.is_none() || lease.term() == 0 { Ok(()) } else { self.admit_to(lease.term()) }
    }

    fn admit_to(&mut self, epoch: u64) -> Result<(), Loss> {
        let (Some(promise), router) = (&mut self.promise, &self.context.router) else { return Ok(()) };
        match Office::of(router) {
            // Of another term nothing is sent or passed on.
            Some(office) if office.epoch == epoch => {
                promise.admit(office, &|token| router.headway().holds(token, office.timeline))
            }
            _ => Ok(()),
        }
    }

    /// The client hears that what it must see is not there, instead of what it has asked for.
    #[cold]
    pub(super) fn tell_of_loss(&mut self, loss: Loss, now: Moment) -> Flow {
        self.context.worker.counters.lost_writes.count([loss.word()]);
        let error = loss.error();
        tracing::warn!(
            user = %self.tenant.account.user, database = %self.tenant.account.database, known = loss.word(),
            "{}", error.message
        );
        self.reject(&error, now)
    }

    /// The client hears the same from those who looked for a server.
    pub(super) fn heard_of_loss(&mut self, error: &PgError) {
        if error.code != SqlState::WRITE_LOST {
            return;
        }
        if let Some(office) = Office::of(&self.context.router)
            && let Err(loss) = self.admit_to(office.epoch)
        {
            self.context.worker.counters.lost_writes.count([loss.word()]);
        }
    }

    /// How long a server is its client's that has been given to it.
    pub(super) fn limit_stint(&self, x: &mut Exchange) {
        if self.mode == PoolMode::Session {
            return;
        }
        let is_replica = x.lease.as_ref().is_some_and(|lease| lease.term() == 0);
        x.tenancy.stint = match (is_replica, &self.promise) {
            (true, _) => Stint::Single,
            (false, Some(_)) => Stint::Untouched,
            (false, None) => Stint::Open,
        };
        if self.promise.is_some() {
            x.tenancy.sight = Sight::Settled;
        }
    }

    /// From here on it matters what is committed on the client's server.
    #[inline]
    pub(super) fn begin_placing(&self, x: &mut Exchange) {
        let Some(promise) = &self.promise else { return };
        let leads = x.lease.as_ref().is_some_and(|lease| lease.term() != 0);
        // What only reads there commits nothing; but it tells where all that was committed before ends.
        if leads && (x.read_only == ReadOnly::ByServer || promise.is_unplaced()) {
            if promise.is_unplaced() {
                x.tenancy.placing.begin_unbounded()
            } else {
                x.tenancy.placing.begin()
            }
        }
    }

    /// What was committed on the client's server so far is placed, as far as that is known: until it is, it counts as unplaced,
    /// so that nothing is to be done should the server be lost.
    #[inline]
    pub(in crate::session) fn note_position(&mut self, x: &mut Exchange) {
        if x.tenancy.placing.is_on() {
            self.take_position(x);
        }
    }

    fn take_position(&mut self, x: &mut Exchange) {
        let (Some(promise), Some(lease)) = (&mut self.promise, &x.lease) else { return };
        let router = &self.context.router;
        match (x.tenancy.placing.take(), Office::of(router)) {
            (Outcome::Nothing, _) => {}
            (Outcome::Unplaced(what), _) => promise.unplaced(lease.term(), what),
            (Outcome::Placed(lsn), Some(office)) if office.epoch == lease.term() => {
                promise.placed(router.headway().system_id(), office, lsn);
                self.published(x);
            }
            (Outcome::Placed(_), _) => {
                // Its term is over.
                promise.unplaced(lease.term(), Open::Several);
                self.tell_unplaced(x);
            }
        }
    }

    /// Everybody must see what the client is told of from now on; what it was not told so far goes out.
    fn published(&self, x: &mut Exchange) {
        let Some(promise) = self.promise.as_deref().filter(|it| it.consistency == Consistency::Global) else {
            return;
        };
        let told = self.context.router.headway().told();
        match promise.token() {
            Some(token) => told.place(token, x.tenancy.asked_when),
            None => told.unplace(),
        }
        x.telling = Telling::Freely;
    }

    /// The client is told something although it is not known where that ends: nobody but the leader is sure to show it then.
    pub(in crate::session) fn tell_unplaced(&self, x: &mut Exchange) {
        if x.telling == Telling::HeldBack {
            self.context.router.headway().told().unplace();
            x.telling = Telling::Freely;
        }
    }

    /// Whether bytes that tell the client of the end of a statement wait until it is known where its commit ends, for everybody
    /// to see it. Not for ever, nor without bound, nor where the client must go on for it to be known.
    #[inline]
    pub(in crate::session) fn holds_telling(&self, x: &mut Exchange, completed: bool) -> bool {
        if !x.tenancy.placing.is_open() {
            return false;
        }
        let global = self.promise.as_ref().is_some_and(|promise| promise.consistency == Consistency::Global);
        if !global || !(completed || x.telling == Telling::HeldBack) {
            return false;
        }
        x.telling = Telling::HeldBack;
        if self.outbox.len() > TOLD_HELD_MAX || x.tenancy.placing.is_unanswered() {
            self.tell_unplaced(x);
        }
        x.telling == Telling::HeldBack
    }

    /// Whether the server waits for the client, and the client for what is held back from it.
    #[inline]
    pub(in crate::session) fn is_waited_for(x: &Exchange) -> bool {
        x.telling == Telling::HeldBack && x.pipeline.needs_client()
    }

    /// The client has everything, and its server is lost before it has said where that ends.
    #[cold]
    pub(super) fn forsake_unplaced(&mut self, x: Box<Exchange>, why: String, now: Moment) -> Flow {
        if !self.may_be_forsaken(&x) {
            return self.cut(x, Cut::ServerGone(why), now);
        }
        if let Some(lease) = &x.lease {
            lease.pool().suspect(&format!("a connection that was free broke: {why}"));
        }
        self.give_back(x, Finish::Broken, now);
        self.resume = !self.inbox.is_empty();
        Flow::Again
    }

    /// Whether the client loses nothing with its server.
    pub(super) fn may_be_forsaken(&self, x: &Exchange) -> bool {
        !(x.keeps_server(self.mode) || x.tenancy.is_touched() || x.tenancy.is_pinned())
    }

    /// Whether the client has everything, loses nothing with its server, and only we wait for an answer.
    pub(in crate::session) fn only_places(&self, x: &Exchange) -> bool {
        x.pipeline.only_awaits_position() && self.is_quiet(x) && self.may_be_forsaken(x)
    }

    /// Where that is so, for how long the server may yet take: its client waits for nothing, so no limit of the client's is for that.
    pub(in crate::session) fn left_for_position(&self, x: &Exchange, now: Moment) -> Option<Duration> {
        if !x.tenancy.placing.is_on() || !self.only_places(x) {
            return None;
        }
        let (_, since) = self.entry.activity();
        Some(POSITION_MAX.saturating_sub(now.since(since)))
    }

    /// Sends bytes of the client's to a server on which it matters what is committed: the question where that ends goes along
    /// behind them, if that may be done. `request`: what the client has sent there, where it begins with a request.
    #[inline(never)]
    pub(in crate::session) fn write_placing(
        &self,
        x: &mut Exchange,
        bytes: &[u8],
        request: &[u8],
        now: Moment,
        cx: &mut TaskContext<'_>,
    ) -> Result<(), Cut> {
        let may_have_committed = x.pipeline.may_have_committed();
        // Where something is to be asked about, the question may as well go along with what reads.
        if !may_have_committed || (!x.tenancy.placing.is_due() && self.only_reads(request, now)) {
            return self.write_server(x, bytes, now, cx);
        }
        let one = x.pipeline.commits_one();
        x.tenancy.placing.may_commit(if one { Open::One } else { Open::Several });
        let whole = !self.frontend.is_inside_message() && x.refused.is_none();
        if !whole || x.tenancy.holds_client() || !x.pipeline.ends_outside() {
            return self.write_server(x, bytes, now, cx);
        }
        let mut both = Vec::with_capacity(bytes.len() + 64);
        both.extend_from_slice(bytes);
        put_question(&mut both);
        x.pipeline.sent(Owed::Position);
        x.tenancy.loses_unnamed();
        x.tenancy.placing.asks();
        x.tenancy.asked_when = self.context.router.headway().told().events();
        self.context.worker.counters.positions.count(["along"]);
        self.write_server(x, &both, now, cx)
    }

    /// Whether this is one request that is known to read, so that it commits nothing, and what others were told of is placed.
    fn only_reads(&self, request: &[u8], now: Moment) -> bool {
        let Some(place) = self.promise.as_ref().and_then(|promise| promise.place.as_ref()) else {
            return false;
        };
        self.keep_learning(place, now);
        self.proves_to_read(place, request, now, |verdict| verdict.reason(Leaning::Auto).is_proven())
            && !self.context.router.headway().told().is_unplaced()
    }

    /// Whether everything is over and the client still there, so that it matters where what it has committed ends.
    pub(in crate::session) fn must_place(&self, x: &Exchange) -> bool {
        x.client == ClientEnd::Open && x.pipeline.may_release() && self.is_quiet(x)
    }

    /// Asks once everything is over: what the client has sent did not let it be asked before.
    pub(super) fn place_afterwards(&mut self, x: Box<Exchange>, now: Moment) -> Flow {
        self.context.worker.counters.positions.count(["after"]);
        let mut x = x;
        x.tenancy.asked_when = self.context.router.headway().told().events();
        self.ask_position(x, now)
    }
}
