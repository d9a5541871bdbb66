//! What any client of this process was told to be committed (`consistency = "global"`): one position for each cluster, which
//! only moves on, and which is moved before the client is told.

use super::{Headway, Held, Timeline, Token};

/// What clients were told.
#[derive(Clone, Copy, Debug)]
pub struct Told<'h>(pub(super) &'h Headway);

/// What is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    token: Option<Token>,
    /// Times that somebody was told something without a position.
    events: u64,
    /// How many of these no position bounds so far, as a count of all.
    unbounded_since: Option<u64>,
}

/// What a read must show because somebody was told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Nothing in particular.
    Anything,
    /// This.
    This(Token),
    /// Something of which it is not known where it ends: only the leader is sure to show it.
    Unplaced,
}

impl Told<'_> {
    /// Somebody is about to be told of commits that end here at the latest. The position was asked for when this many events
    /// had been: it bounds what they were about, too.
    pub fn place(self, token: Token, events: u64) {
        let is_ours = self.0.system_id() == Some(token.system_id);
        let mut told = self.0.told.lock();
        let key = |token: &Token| (token.timeline, token.lsn);
        let newer =
            told.token.is_none_or(|before| before.system_id != token.system_id || key(&before) < key(&token));
        if newer && is_ours {
            told.token = Some(token);
        }
        if told.unbounded_since.is_some_and(|since| since <= events) {
            told.unbounded_since = None;
        }
    }

    /// Somebody is about to be told of commits, and it is not known where they end.
    pub fn unplace(self) {
        let mut told = self.0.told.lock();
        told.events += 1;
        told.unbounded_since = Some(told.events);
    }

    /// How often that has been.
    pub fn events(self) -> u64 {
        self.0.told.lock().events
    }

    /// Whether there is something of which it is not known where it ends.
    pub fn is_unplaced(self) -> bool {
        self.0.told.lock().unbounded_since.is_some()
    }

    /// What a read must show now, under a leader on this timeline. What a failover has lost nobody can show; what came before
    /// that is still to be seen.
    pub fn show(self, timeline: Option<Timeline>) -> Shown {
        let State { token, unbounded_since, .. } = *self.0.told.lock();
        if unbounded_since.is_some() {
            return Shown::Unplaced;
        }
        let Some(token) = token else { return Shown::Anything };
        match timeline.map(|timeline| self.0.holds(&token, timeline)) {
            Some(Held::Lost(left)) => Shown::This(Token { lsn: left, ..token }),
            Some(Held::Foreign) => Shown::Anything,
            Some(Held::Yes | Held::Unknown) | None => Shown::This(token),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ids::Lsn;

    fn token(timeline: Timeline, lsn: u64) -> Token {
        Token { system_id: 7, timeline, lsn: Lsn(lsn) }
    }

    #[test]
    fn it_only_moves_on() {
        let headway = Headway::default();
        headway.identify(Some(7));
        let told = headway.told();
        assert_eq!(told.show(Some(1)), Shown::Anything);
        for (placed, expected) in [
            (token(1, 10), token(1, 10)),
            (token(1, 5), token(1, 10)),
            (token(2, 3), token(2, 3)),
            (token(1, 99), token(2, 3)),
        ] {
            told.place(placed, told.events());
            assert_eq!(told.show(Some(2)), Shown::This(expected));
        }
        assert_eq!(told.show(None), Shown::This(token(2, 3)));
    }

    #[test]
    fn what_was_told_without_a_position() {
        let headway = Headway::default();
        headway.identify(Some(7));
        let told = headway.told();
        told.place(token(1, 10), told.events());
        let asked_before = told.events();
        told.unplace();
        let asked_between = told.events();
        told.unplace();
        assert_eq!((told.show(Some(1)), told.is_unplaced()), (Shown::Unplaced, true));
        // These were asked for before.
        told.place(token(1, 20), asked_before);
        told.place(token(1, 30), asked_between);
        assert_eq!(told.show(Some(1)), Shown::Unplaced);
        told.place(token(1, 25), told.events());
        assert_eq!((told.show(Some(1)), told.is_unplaced()), (Shown::This(token(1, 30)), false));
    }

    #[test]
    fn what_a_failover_has_lost_nobody_can_show() {
        let headway = Headway::default();
        headway.identify(Some(7));
        headway.told().place(token(1, 10), 0);
        assert_eq!(headway.told().show(Some(2)), Shown::This(token(1, 10)), "who knows?");
        headway.remember(&[(1, Lsn(8))], 2);
        assert_eq!(headway.told().show(Some(2)), Shown::This(token(1, 8)));
        headway.identify(Some(9));
        assert_eq!(headway.told().show(Some(2)), Shown::Anything);
    }
}
