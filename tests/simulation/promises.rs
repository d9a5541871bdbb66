//! What clients were told to be committed, and whether they are shown it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{ledger::Row, world::Ms};

/// Pure books: who was told what, and what a read did not show.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    /// What each client was told on the connection that it has now, but for what it was told to be lost.
    own: BTreeMap<u32, BTreeSet<Row>>,
    /// What anybody was told, and when, in that order.
    all: Vec<(Row, Ms)>,
    /// How much of that there was when a read was asked for.
    before: BTreeMap<Row, usize>,
    /// What a server did not show to a read of its own client's.
    hidden: BTreeMap<Row, Row>,
    /// What it did not show of others'; whether that is wrong shows at the end, if it has survived.
    others: BTreeMap<Row, Row>,
    /// What was shown too little to whoever was answered.
    shown_without: Vec<(Row, Row)>,
    /// Whatever was told before is another cluster's.
    anew_at: Option<Ms>,
}

/// To whom commits are promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promised {
    Nobody,
    Their,
    Everybody,
}

impl Promises {
    /// A client has a new connection, to which nothing is promised yet.
    pub(crate) fn begin(&mut self, client: u32) {
        self.own.remove(&client);
    }

    /// A client was told that this is committed.
    pub(crate) fn told(&mut self, row: Row, now: Ms) {
        self.own.entry(row.0).or_default().insert(row);
        self.all.push((row, now));
    }

    /// A client asks for something.
    pub(crate) fn asks(&mut self, read: Row) {
        self.before.insert(read, self.all.len());
    }

    /// A client asks within a transaction, which stays on the server that it began on and was chosen for that.
    pub(crate) fn asks_within(&mut self, read: Row, begin: Row) {
        let before = self.before.get(&begin).copied().unwrap_or(0);
        self.before.insert(read, before);
    }

    /// A server answers a read, and shows what is `visible`.
    pub(crate) fn shows(&mut self, read: Row, to: Promised, visible: impl Fn(&Row) -> bool) {
        if to == Promised::Nobody {
            return;
        }
        let own = self.own.get(&read.0).into_iter().flatten();
        if let Some(row) = own.into_iter().find(|row| !visible(row)) {
            self.hidden.insert(read, *row);
        }
        if to == Promised::Everybody {
            let asked = self.before.get(&read).copied().unwrap_or(0);
            let known = self.all[..asked].iter().filter(|(_, at)| self.anew_at.is_none_or(|anew| *at > anew));
            if let Some((row, _)) = known.into_iter().find(|(row, _)| !visible(row)) {
                self.others.insert(read, *row);
            }
        }
    }

    /// A read was answered: what of the client's own it was not shown.
    pub(crate) fn answered(&mut self, read: Row) -> Option<Row> {
        self.shown_without.extend(self.others.remove(&read).map(|row| (read, row)));
        self.hidden.remove(&read)
    }

    /// A client was told that something of what it was to see is lost: it need not be shown what has not survived.
    pub(crate) fn lost(&mut self, client: u32, survives: impl Fn(&Row) -> bool) {
        if let Some(own) = self.own.get_mut(&client) {
            own.retain(survives);
        }
    }

    /// The cluster is another one from now on.
    pub(crate) const fn anew(&mut self, now: Ms) {
        self.anew_at = Some(now);
    }

    /// Reads that were answered without what somebody had been told of, though it is there to the end.
    pub(crate) fn stale(&self, survives: impl Fn(&Row) -> bool) -> Vec<(Row, Row)> {
        self.shown_without.iter().filter(|(_, row)| survives(row)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Row = (1, 1);
    const OTHERS: Row = (2, 1);
    const READ: Row = (1, 9);

    /// A client has been told of one insert, and another client of another; then it reads, and sees this much.
    fn check(to: Promised, seen: &[Row], own: Option<Row>, others: &[(Row, Row)]) {
        let mut promises = Promises::default();
        promises.told(OWN, 1);
        promises.told(OTHERS, 2);
        promises.asks(READ);
        promises.told((3, 1), 3);
        promises.shows(READ, to, |row| seen.contains(row));
        assert_eq!((promises.answered(READ), &*promises.stale(|_| true)), (own, others), "{to:?} {seen:?}");
        assert_eq!(promises.stale(|_| false), [], "what was lost nobody can show");
    }

    #[test]
    fn what_a_read_must_show() {
        check(Promised::Nobody, &[], None, &[]);
        check(Promised::Their, &[OWN], None, &[]);
        check(Promised::Their, &[OTHERS], Some(OWN), &[]);
        check(Promised::Everybody, &[OWN, OTHERS], None, &[]);
        check(Promised::Everybody, &[OWN], None, &[(READ, OTHERS)]);
        check(Promised::Everybody, &[OTHERS], Some(OWN), &[(READ, OWN)]);
    }

    #[test]
    fn what_it_need_not_show_any_more() {
        let hidden = |change: fn(&mut Promises)| {
            let mut promises = Promises::default();
            promises.told(OWN, 1);
            change(&mut promises);
            promises.asks(READ);
            promises.shows(READ, Promised::Everybody, |_| false);
            (promises.answered(READ), promises.stale(|_| true).len())
        };
        assert_eq!(hidden(|_| {}), (Some(OWN), 1));
        assert_eq!(hidden(|promises| promises.begin(1)), (None, 1));
        assert_eq!(hidden(|promises| promises.lost(1, |_| false)), (None, 1));
        assert_eq!(hidden(|promises| promises.lost(1, |_| true)), (Some(OWN), 1));
        assert_eq!(hidden(|promises| promises.anew(2)), (Some(OWN), 0));
    }
}
