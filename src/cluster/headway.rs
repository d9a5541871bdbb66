//! How far each replica has come, for reads that must see a certain commit; and what later timelines hold of it.
//!
//! Nothing is asked while nobody waits. What a replica has answered holds for the server that has answered: one that was
//! restarted at once may have come less far. So it is believed of connections only that were open when it was asked:
//! a restart would have ended them.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    ids::{Lsn, MemberName, Timeline},
    token::Token,
    topology::Topology,
};
use crate::clock::Moment;

mod lineage;
mod promotions;
pub mod told;
pub mod tracker;

use lineage::Lineage;
use promotions::Promotions;
use told::Told;

pub use lineage::Held;
pub use promotions::Promotion;

/// How far the replicas of one cluster have come.
#[derive(Debug, Default)]
pub struct Headway {
    known: Mutex<Known>,
    changed: Notify,
    /// What is waited for, and by how many.
    sought: Mutex<BTreeMap<Lsn, usize>>,
    seek: Notify,
    /// What clients were told to be committed.
    told: Mutex<told::State>,
    /// Waits so far, for tests and the curious.
    seeks: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    lineage: Lineage,
    promotions: Promotions,
    replicas: BTreeMap<MemberName, Replayed>,
}

/// How far a replica has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// When it was asked.
    pub asked_at: Moment,
    /// What it has replayed is part of this timeline's history.
    pub timeline: Timeline,
    /// Up to here.
    pub lsn: Lsn,
}

/// Whether a replica shows what it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// It does.
    Yes,
    /// Not as far as is known; it may in a moment.
    NotYet,
    /// Its history went on without it.
    Never,
}

impl Headway {
    /// The cluster has this identifier.
    pub fn identify(&self, system_id: Option<u64>) {
        if self.known.lock().lineage.identify(system_id) {
            self.changed.notify_waiters();
        }
    }

    /// The cluster's identifier, if it is known.
    pub fn system_id(&self) -> Option<u64> {
        self.known.lock().lineage.system_id()
    }

    /// This member was seen to be promoted. Where a timeline was left that says if it takes office, and not before.
    pub fn promoted(&self, member: &MemberName, promotion: Promotion) {
        self.known.lock().promotions.watched(member, promotion);
    }

    /// This member is in recovery.
    pub fn in_recovery(&self, member: &MemberName) {
        self.known.lock().promotions.undone(member);
    }

    /// This is true of the cluster now: which one it is, who leads and was promoted for that, who its members are. `history` is
    /// the store's.
    pub fn follow(&self, topology: &Topology, history: &[(Timeline, Lsn)]) {
        self.identify(topology.system_id);
        if let Some((timeline, at)) = self.of_leader(topology) {
            self.note_fork(timeline, at);
        }
        self.remember(history, topology.term().map_or(0, |term| term.timeline));
        let mut known = self.known.lock();
        known.replicas.retain(|member, _| topology.members.contains_key(member));
        known.promotions.retain(|member| topology.members.contains_key(member));
    }

    fn of_leader(&self, topology: &Topology) -> Option<(Timeline, Lsn)> {
        self.known.lock().promotions.of_leader(topology)
    }

    fn note_fork(&self, timeline: Timeline, at: Lsn) {
        if self.known.lock().lineage.note(timeline, at) {
            self.changed.notify_waiters();
        }
    }

    /// What the store says of where timelines were left, the oldest first; `newest` is the leader's. What is last in it counts
    /// if that is of the timeline before the newest: otherwise it was written before the last failover.
    pub fn remember(&self, history: &[(Timeline, Lsn)], newest: Timeline) {
        let next = history.iter().skip(1).map(|(timeline, _)| *timeline).chain([newest]);
        for ((timeline, at), next) in history.iter().zip(next) {
            if timeline.checked_add(1) == Some(next) {
                self.note_fork(*timeline, *at);
            }
        }
    }

    /// A replica has answered. An answer to an older question changes nothing.
    pub fn answered(&self, member: &MemberName, replayed: Replayed) {
        let mut known = self.known.lock();
        let before = known.replicas.get(member).copied();
        if before.is_none_or(|before| before.asked_at <= replayed.asked_at) {
            known.replicas.insert(member.clone(), replayed);
            drop(known);
            self.changed.notify_waiters();
        }
    }

    /// Whether `timeline` contains what `token` stands for.
    pub fn holds(&self, token: &Token, timeline: Timeline) -> Held {
        self.known.lock().lineage.holds(token, timeline)
    }

    /// Whether a replica shows all of these, on a connection that was open at `opened_at`.
    pub fn reached(&self, member: &MemberName, opened_at: Moment, tokens: &[Token]) -> Reached {
        let known = self.known.lock();
        let Some(replayed) = known.replicas.get(member) else { return Reached::NotYet };
        let reached = |token: &Token| match known.lineage.holds(token, replayed.timeline) {
            Held::Yes if replayed.lsn >= token.lsn && replayed.asked_at >= opened_at => Reached::Yes,
            Held::Yes | Held::Unknown => Reached::NotYet,
            Held::Lost(_) | Held::Foreign => Reached::Never,
        };
        tokens.iter().map(reached).max().unwrap_or(Reached::Yes)
    }

    /// What clients were told to be committed.
    pub const fn told(&self) -> Told<'_> {
        Told(self)
    }

    /// What no replica is ever known to show.
    pub fn beyond_all(&self) -> Token {
        let system_id = self.system_id().unwrap_or_default();
        Token { system_id, timeline: Timeline::MAX, lsn: Lsn(u64::MAX) }
    }

    /// Has the replicas asked until the guard is dropped.
    pub fn seek(&self, tokens: &[Token]) -> Seeking<'_> {
        let lsn = tokens.iter().map(|token| token.lsn).min().unwrap_or_default();
        *self.sought.lock().entry(lsn).or_default() += 1;
        self.seeks.fetch_add(1, Ordering::Relaxed);
        self.seek.notify_waiters();
        Seeking { headway: self, lsn }
    }

    /// How often somebody had to wait.
    pub fn seeks(&self) -> u64 {
        self.seeks.load(Ordering::Relaxed)
    }

    /// Ends with the next thing that is learnt after this call.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// The lowest position that somebody waits for.
    fn lowest_sought(&self) -> Option<Lsn> {
        self.sought.lock().first_key_value().map(|(lsn, _)| *lsn)
    }

    /// Ends as soon as somebody waits.
    async fn sought(&self) {
        loop {
            let seek = self.seek.notified();
            if self.lowest_sought().is_some() {
                return;
            }
            seek.await;
        }
    }
}

/// Somebody waits for replicas to come further.
#[derive(Debug)]
pub struct Seeking<'h> {
    headway: &'h Headway,
    lsn: Lsn,
}

impl Drop for Seeking<'_> {
    fn drop(&mut self) {
        let mut sought = self.headway.sought.lock();
        if let Some(count) = sought.get_mut(&self.lsn) {
            *count -= 1;
            if *count == 0 {
                sought.remove(&self.lsn);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Moment {
        Moment::from_nanos(nanos)
    }

    fn token(timeline: Timeline, lsn: u64) -> Token {
        Token { system_id: 7, timeline, lsn: Lsn(lsn) }
    }

    #[test]
    fn what_a_replica_shows() {
        let headway = Headway::default();
        let b = MemberName::from("b");
        let reached = |opened, tokens: &[Token]| headway.reached(&b, at(opened), tokens);
        headway.identify(Some(7));
        assert_eq!(reached(0, &[]), Reached::NotYet, "nothing is known of it");
        headway.answered(&b, Replayed { asked_at: at(10), timeline: 2, lsn: Lsn(50) });
        headway.remember(&[(1, Lsn(20))], 2);
        for (opened, tokens, expected) in [
            (10, &[token(2, 50)][..], Reached::Yes),
            (10, &[token(2, 51)], Reached::NotYet),
            // It may have been restarted between the question and the connection.
            (11, &[token(2, 50)], Reached::NotYet),
            (10, &[token(1, 20)], Reached::Yes),
            (10, &[token(1, 21)], Reached::Never),
            (10, &[token(2, 50), token(1, 21)], Reached::Never),
            (10, &[token(2, 50), token(2, 60)], Reached::NotYet),
            (10, &[token(3, 1)], Reached::NotYet),
            (10, &[Token { system_id: 8, ..token(2, 1) }], Reached::Never),
        ] {
            assert_eq!(reached(opened, tokens), expected, "{opened} {tokens:?}");
        }
        assert_eq!(reached(0, &[headway.beyond_all()]), Reached::NotYet);
        // After a restart it begins further back; an answer that was overtaken says nothing.
        headway.answered(&b, Replayed { asked_at: at(20), timeline: 2, lsn: Lsn(40) });
        headway.answered(&b, Replayed { asked_at: at(15), timeline: 2, lsn: Lsn(60) });
        assert_eq!(reached(5, &[token(2, 50)]), Reached::NotYet);
    }

    #[test]
    fn what_the_store_remembers() {
        let headway = Headway::default();
        headway.identify(Some(7));
        headway.remember(&[(1, Lsn(10)), (2, Lsn(20)), (4, Lsn(40))], 6);
        for (of, on, expected) in [
            (1, 2, Held::Yes),
            // 4 came from 2; and what is last is of the failover before the last one.
            (2, 3, Held::Unknown),
            (4, 5, Held::Unknown),
        ] {
            assert_eq!(headway.holds(&token(of, 1), on), expected, "{of} on {on}");
        }
        headway.remember(&[(4, Lsn(40)), (5, Lsn(50))], 6);
        assert_eq!(headway.holds(&token(4, 41), 6), Held::Lost(Lsn(40)));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_asked_for_as_long_as_somebody_waits() {
        let headway = Headway::default();
        let is_sought = async || {
            tokio::time::timeout(std::time::Duration::from_millis(1), headway.sought()).await.is_ok()
        };
        assert!(!is_sought().await);
        let first = headway.seek(&[token(1, 30), token(1, 20)]);
        let second = headway.seek(&[token(1, 20)]);
        let third = headway.seek(&[token(1, 10)]);
        assert_eq!((is_sought().await, headway.lowest_sought()), (true, Some(Lsn(10))));
        drop(third);
        drop(first);
        assert_eq!(headway.lowest_sought(), Some(Lsn(20)));
        drop(second);
        assert_eq!((is_sought().await, headway.lowest_sought(), headway.seeks()), (false, None, 3));
    }
}
