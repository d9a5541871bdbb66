//! How a cluster's timelines hang together: which of them contains what was written on another.

use std::collections::BTreeMap;

use crate::cluster::{
    ids::{Lsn, Timeline},
    token::Token,
};

/// Forks that are remembered, the latest ones.
const FORKS_MAX: usize = 64;

/// Where timelines were left for the next one. Only forks from a timeline to the one numbered next are known of: what
/// skips a number does not say from where it comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lineage {
    system_id: Option<u64>,
    /// How each of these timelines goes on as the next one.
    forks: BTreeMap<Timeline, Fork>,
}

/// How a timeline goes on as the one numbered next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fork {
    /// From here.
    At(Lsn),
    /// There is more than one of that number: witnesses have told of different positions. Which of them a token, or what is
    /// written later, belongs to, its number does not say.
    Contradicted,
}

/// Whether a timeline contains what a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It does, or will have from the token's position on.
    Yes,
    /// It does not, and never will: it left the token's timeline here, before the token's position.
    Lost(Lsn),
    /// The token is of another cluster.
    Foreign,
    /// Where it comes from is not known; or the token is of a later timeline.
    Unknown,
}

impl Lineage {
    /// The cluster's identifier; what was known of another is forgotten. Whether that says anything new.
    pub(super) fn identify(&mut self, system_id: Option<u64>) -> bool {
        if system_id.is_none() || self.system_id == system_id {
            return false;
        }
        let forks = if self.system_id.is_none() { std::mem::take(&mut self.forks) } else { BTreeMap::new() };
        *self = Self { system_id, forks };
        true
    }

    pub(super) const fn system_id(&self) -> Option<u64> {
        self.system_id
    }

    /// `timeline` was left here for the one numbered next, a witness says. Whether that is new.
    pub(super) fn note(&mut self, timeline: Timeline, at: Lsn) -> bool {
        let before = self.forks.get(&timeline).copied();
        let now = match before {
            Some(Fork::At(known)) if known != at => Fork::Contradicted,
            Some(known) => known,
            None => Fork::At(at),
        };
        self.forks.insert(timeline, now);
        if self.forks.len() > FORKS_MAX {
            self.forks.pop_first();
        }
        before != Some(now)
    }

    /// Whether `timeline` contains what `token` stands for.
    pub(super) fn holds(&self, token: &Token, timeline: Timeline) -> Held {
        match self.system_id {
            None => return Held::Unknown,
            Some(system_id) if system_id != token.system_id => return Held::Foreign,
            Some(_) if timeline == token.timeline => return Held::Yes,
            Some(_) => {}
        }
        if timeline < token.timeline {
            return Held::Unknown;
        }
        // Of two timelines of the token's number it may be of the other one.
        let origin = token.timeline.checked_sub(1).and_then(|before| self.forks.get(&before));
        if origin == Some(&Fork::Contradicted) {
            return Held::Unknown;
        }
        // Beyond a fork that is not known of, or not for sure, it may be another branch altogether.
        let mut left = Lsn(u64::MAX);
        for number in token.timeline..timeline {
            let Some(Fork::At(at)) = self.forks.get(&number) else { return Held::Unknown };
            left = left.min(*at);
        }
        if left < token.lsn { Held::Lost(left) } else { Held::Yes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_later_timelines_hold() {
        let mut lineage = Lineage::default();
        let token = |timeline, lsn| Token { system_id: 7, timeline, lsn: Lsn(lsn) };
        assert_eq!(lineage.holds(&token(1, 5), 1), Held::Unknown, "which cluster is it?");
        assert!(lineage.note(1, Lsn(100)));
        assert!(lineage.identify(Some(7)) && !lineage.identify(Some(7)) && !lineage.identify(None));
        assert!(lineage.note(2, Lsn(200)) && !lineage.note(2, Lsn(200)));
        assert!(lineage.note(4, Lsn(400)));
        for (of, lsn, on, expected) in [
            (1, 1000, 1, Held::Yes),
            (1, 100, 2, Held::Yes),
            (1, 101, 2, Held::Lost(Lsn(100))),
            (1, 100, 3, Held::Yes),
            (2, 200, 3, Held::Yes),
            (2, 201, 3, Held::Lost(Lsn(200))),
            // How 4 came from 3 nobody has told.
            (1, 1, 4, Held::Unknown),
            (3, 1, 4, Held::Unknown),
            (3, 1, 5, Held::Unknown),
            (4, 400, 5, Held::Yes),
            // Not there yet.
            (3, 1, 2, Held::Unknown),
        ] {
            assert_eq!(lineage.holds(&token(of, lsn), on), expected, "{of} {lsn} on {on}");
        }
        let foreign = Token { system_id: 8, ..token(1, 1) };
        assert_eq!(lineage.holds(&foreign, 1), Held::Foreign);
        assert!(lineage.identify(Some(8)));
        assert_eq!(lineage.holds(&foreign, 1), Held::Yes);
        assert_eq!(lineage.holds(&foreign, 2), Held::Unknown, "that was known of another cluster");
    }

    /// Two servers were promoted to timeline 3, from different positions of 2: a commit between them is on one and not on the
    /// other, and whoever says which guesses.
    #[test]
    fn who_contradicts_is_not_believed_nor_who_was_there_before() {
        let mut lineage = Lineage::default();
        lineage.identify(Some(7));
        let holds = |lineage: &Lineage, timeline, lsn, on| {
            lineage.holds(&Token { system_id: 7, timeline, lsn: Lsn(lsn) }, on)
        };
        for timeline in 1..5 {
            assert!(lineage.note(timeline, Lsn(100 * u64::from(timeline))));
        }
        assert_eq!(holds(&lineage, 2, 150, 3), Held::Yes);
        assert!(lineage.note(2, Lsn(140)), "that is news to those who wait");
        for _ in 0..2 {
            for (of, lsn, on, expected) in [
                (2, 150, 3, Held::Unknown),
                (2, 139, 3, Held::Unknown),
                (2, 201, 4, Held::Unknown),
                (1, 50, 3, Held::Unknown),
                (1, 50, 2, Held::Yes),
                (1, 101, 2, Held::Lost(Lsn(100))),
                (3, 300, 4, Held::Unknown),
                // As the leader itself has it.
                (3, 300, 3, Held::Yes),
                (4, 400, 5, Held::Yes),
            ] {
                assert_eq!(holds(&lineage, of, lsn, on), expected, "{of} {lsn} on {on}");
            }
            assert!(!lineage.note(2, Lsn(200)), "who says it again does not make it truer");
        }
    }

    #[test]
    fn only_the_latest_forks_are_kept() {
        let mut lineage = Lineage::default();
        for timeline in 1..200 {
            lineage.note(timeline, Lsn(timeline.into()));
        }
        assert_eq!(lineage.forks.len(), FORKS_MAX);
        assert_eq!(lineage.forks.last_key_value(), Some((&199, &Fork::At(Lsn(199)))));
    }
}
