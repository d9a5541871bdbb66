//! Which replicas may serve somebody's reads (lag bound, tags, synchronous standbys), and which of them come first.

use crate::cluster::{ids::MemberName, topology::Topology};

/// What the clients of a listener want of the replicas that serve them, with their database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The lag bounds they go by: a place in [`crate::cluster::policy::ReadPolicy::bounds`].
    pub bound: usize,
    /// Tags that a replica must have.
    pub tags: Vec<Tag>,
    /// What they think of synchronous standbys.
    pub sync: SyncStandbys,
}

/// A tag of a member, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its name.
    pub name: String,
    /// Its value as text; `None`: any that means yes.
    pub value: Option<String>,
}

/// What is thought of synchronous standbys (`sync_standbys`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncStandbys {
    /// They are like others.
    #[default]
    Any,
    /// They come first.
    Prefer,
    /// They come last.
    Avoid,
    /// Nobody else will do.
    Only,
    /// They will not do.
    Never,
}

/// In which order replicas that qualify are used: those of the lowest rank there is, and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// The leader of a standby cluster serves when nobody else does.
    leads: bool,
    place: Place,
    /// Whether it is synchronous where that is avoided, or is not where it is preferred.
    liking: Liking,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Near,
    Far,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Liking {
    Liked,
    Disliked,
}

impl Selection {
    /// Whether a member serves these, and in which rank; `zone` is where we are.
    pub fn rank(&self, name: &MemberName, topology: &Topology, zone: Option<&str>) -> Option<Rank> {
        let member = topology.members.get(name)?;
        let record = member.record.as_ref();
        let has = |tag: &Tag| {
            record.is_some_and(|record| match &tag.value {
                Some(value) => record.tags.get(&tag.name) == Some(value),
                None => record.tags.is_set(&tag.name),
            })
        };
        if !member.serves_within(self.bound) || !self.tags.iter().all(has) {
            return None;
        }
        let liking = match (self.sync, topology.sync_standbys.contains(name)) {
            (SyncStandbys::Only, false) | (SyncStandbys::Never, true) => return None,
            (SyncStandbys::Prefer, false) | (SyncStandbys::Avoid, true) => Liking::Disliked,
            _ => Liking::Liked,
        };
        let theirs = record.and_then(|record| record.tags.get("zone"));
        let place = if zone.is_none_or(|ours| theirs == Some(ours)) { Place::Near } else { Place::Far };
        let leads = topology.named.as_ref().is_some_and(|named| named.member == *name);
        Some(Rank { leads, place, liking })
    }
}
