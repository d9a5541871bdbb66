//! Replicas that show what a client must see, and waiting for them.

use tokio::{sync::futures::Notified, time::timeout};

use super::{
    Budget, CatchUp, Context, Finish, Granted, MemberName, NoWay, Patience, PgError, Purpose, Request, Start,
    Tenant, Way,
};
use crate::{
    clock::Moment,
    cluster::{
        headway::{Held, Reached},
        token::Token,
    },
    route::table::{NoRoute, NoRouteKind},
    session::promise::{Goal, Loss, not_reached},
};

/// Where a request goes now that must see this. Without word of whether the leader's history holds it, nowhere yet.
pub(super) fn way_to(
    goal: &Goal,
    avoid: Option<&MemberName>,
    (purpose, selection): (Purpose, usize),
    context: &Context,
    tenant: &Tenant,
) -> Result<Way, NoWay> {
    let headway = context.router.headway();
    let timeline = context.router.load().term.as_ref().map(|term| term.timeline);
    let held = |token: &Token| timeline.map(|timeline| headway.holds(token, timeline));
    let is_gone = |token| matches!(held(token), Some(Held::Lost(_) | Held::Foreign));
    if purpose != Purpose::Write && goal.iter().any(is_gone) {
        // No replica will ever show it.
        return Err(behind(Patience::None));
    }
    let reached = |way: &Way| headway.reached(way.pool.member(), Moment::ZERO, goal);
    let way = tenant.way_that(avoid, (purpose, selection), &context.router, &context.pools, &reached)?;
    if way.term != 0 && goal.iter().any(|token| held(token) == Some(Held::Unknown)) {
        return Err(behind(Patience::ToCatchUp));
    }
    Ok(way)
}

fn behind(patience: Patience) -> NoWay {
    let sentence = "no server is known to have what this session must see".to_owned();
    NoWay { why: NoRoute { kind: NoRouteKind::Behind, sentence }, patience }
}

/// Whether a connection opened at `opened_at` shows this.
pub(super) fn shows(goal: &Goal, context: &Context, way: &Way, opened_at: Moment) -> bool {
    way.term != 0 || context.router.headway().reached(way.pool.member(), opened_at, goal) == Reached::Yes
}

impl Request {
    /// Where it goes now, as far as it may still wait for a replica that shows what it must.
    pub(super) fn way(&self, purpose: Purpose, patience: &Budget) -> Result<Way, NoWay> {
        let (router, pools) = (&self.context.router, &self.context.pools);
        let Some(goal) = &self.goal else {
            return match &self.avoid {
                None => self.tenant.way(purpose, self.selection, router, pools),
                Some(avoid) => self.tenant.way_but(avoid, (purpose, self.selection), router, pools),
            };
        };
        let way = way_to(goal, self.avoid.as_ref(), (purpose, self.selection), &self.context, &self.tenant);
        let over = patience.catch_up == CatchUp::Over;
        let hopeless = |no_way: &NoWay| over || no_way.patience == Patience::None;
        match (way, purpose) {
            (Err(why), Purpose::Write) if why.why.kind == NoRouteKind::Behind && over => {
                self.tenant.way(purpose, self.selection, router, pools)
            }
            (Err(why), Purpose::Read) if why.why.kind == NoRouteKind::Behind && hopeless(&why) => {
                self.tenant.fallback(router, pools).map_err(|_| why)
            }
            // It has, but on no connection that it was given.
            (Ok(way), Purpose::Read) if over && way.term == 0 => {
                self.tenant.fallback(router, pools).map_err(|_| behind(Patience::None))
            }
            (Ok(way), Purpose::Split) if over && way.term == 0 => Err(behind(Patience::None)),
            (way, _) => way,
        }
    }

    /// No replica shows what it must: waits until something has changed, or gives up if it has waited long enough.
    pub(super) async fn catch_up(
        &self,
        behind: &NoWay,
        [changed, learnt]: [Notified<'_>; 2],
        patience: &mut Budget,
    ) -> Result<Start, PgError> {
        let goal = self.goal.as_ref().map_or(&[][..], |goal| goal);
        let CatchUp::Left(left) = patience.catch_up else { return Err(self.not_reached(goal)) };
        if behind.patience != Patience::ToCatchUp {
            return Err(self.not_reached(goal));
        }
        let clock = self.context.clock;
        let since = clock.now();
        let _seeking = self.context.router.headway().seek(goal);
        let either = async {
            tokio::select! {
                () = changed => {}
                () = learnt => {}
            }
        };
        let spent = if timeout(left, either).await.is_err() { left } else { clock.now().since(since) };
        patience.spend_on_catching_up(spent);
        Ok(Start::Route)
    }

    /// Whether a replica's connection shows what it must; otherwise how it is given back. One that was opened after the replica was
    /// asked last may lead to a server that has been restarted since: it is asked again, for as long as reads go there.
    pub(super) async fn vouched_for(
        &self,
        way: &Way,
        lease: u64,
        opened_at: Moment,
        patience: &mut Budget,
    ) -> Result<(), Finish> {
        let Some(goal) = self.goal.as_ref().filter(|_| way.term == 0) else { return Ok(()) };
        let (headway, clock) = (self.context.router.headway(), self.context.clock);
        loop {
            let learnt = headway.changed();
            if shows(goal, &self.context, way, opened_at) {
                return Ok(());
            }
            let CatchUp::Left(left) = patience.catch_up else { return Err(Finish::Settled) };
            let since = clock.now();
            let _seeking = headway.seek(goal);
            let waited = self.while_bound_for(way, lease, timeout(left, learnt)).await;
            let spent = if let Some(Err(_)) = waited { left } else { clock.now().since(since) };
            patience.spend_on_catching_up(spent);
            if waited.is_none() {
                return Err(Finish::Broken);
            }
        }
    }

    fn not_reached(&self, goal: &[Token]) -> PgError {
        self.loss(goal).map_or_else(|| not_reached(goal), Loss::error)
    }

    /// Whether the history of the leader in office went on without what must be seen.
    fn loss(&self, goal: &[Token]) -> Option<Loss> {
        let router = &self.context.router;
        let timeline = router.load().term.as_ref()?.timeline;
        goal.iter().find_map(|token| match router.headway().holds(token, timeline) {
            Held::Lost(_) => Some(Loss::Lost),
            Held::Foreign => Some(Loss::Foreign),
            Held::Yes | Held::Unknown => None,
        })
    }

    /// Counts what became of a read that had to see something.
    pub(super) fn count_catching_up(&self, patience: &Budget, outcome: &Result<Granted, PgError>) {
        let waited = patience.catch_up != CatchUp::Left(self.tenant.account.settings.load().consistency.wait);
        let word = match outcome {
            _ if self.purpose == Purpose::Write => return,
            Ok(granted) if granted.lease.term() == 0 && !waited => return,
            Ok(granted) if granted.lease.term() == 0 => "waited",
            Ok(_) => "leader",
            Err(_) => "refused",
        };
        self.context.worker.counters.consistent_reads.count([word]);
    }
}
