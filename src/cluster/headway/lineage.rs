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
    /// This timeline goes on as the next one from here.
    left_at: BTreeMap<Timeline, (Lsn, Witness)>,
}

/// Who says where a timeline was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Witness {
    /// The store, which may speak of a cluster that stood there before.
    Store,
    /// The server that was promoted there, to whoever watched it.
    Server,
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
        let forks =
            if self.system_id.is_none() { std::mem::take(&mut self.left_at) } else { BTreeMap::new() };
        *self = Self { system_id, left_at: forks };
        true
    }

    pub(super) const fn system_id(&self) -> Option<u64> {
        self.system_id
    }

    /// `timeline` was left here for the one numbered next. Whether that is new.
    pub(super) fn note(&mut self, timeline: Timeline, at: Lsn, witness: Witness) -> bool {
        let before = self.left_at.get(&timeline).copied();
        if before.is_some_and(|(_, known)| known > witness) {
            return false;
        }
        self.left_at.insert(timeline, (at, witness));
        let news = before.is_none_or(|(known, _)| known != at);
        if self.left_at.len() > FORKS_MAX {
            self.left_at.pop_first();
        }
        news
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
        // Beyond a fork that is not known of it may be another branch altogether.
        let way = self.left_at.range(token.timeline..timeline);
        let known = way.clone().count();
        if u32::try_from(known) != Ok(timeline - token.timeline) {
            return Held::Unknown;
        }
        match way.map(|(_, (at, _))| *at).min() {
            Some(left) if left < token.lsn => Held::Lost(left),
            _ => Held::Yes,
        }
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
        assert!(lineage.note(1, Lsn(100), Witness::Store));
        assert!(lineage.identify(Some(7)) && !lineage.identify(Some(7)) && !lineage.identify(None));
        assert!(lineage.note(2, Lsn(200), Witness::Server) && !lineage.note(2, Lsn(200), Witness::Server));
        assert!(lineage.note(4, Lsn(400), Witness::Server));
        assert!(!lineage.note(4, Lsn(500), Witness::Store), "who was there knows better");
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

    #[test]
    fn only_the_latest_forks_are_kept() {
        let mut lineage = Lineage::default();
        for timeline in 1..200 {
            lineage.note(timeline, Lsn(timeline.into()), Witness::Store);
        }
        assert_eq!(lineage.left_at.len(), FORKS_MAX);
        assert_eq!(lineage.left_at.last_key_value(), Some((&199, &(Lsn(199), Witness::Store))));
    }
}
