//! Who hands over to whom.

use crate::{
    cluster::{
        ids::{MemberName, Term},
        topology::{Member, Obstacle, Reads, Standing, Topology, WriteState},
    },
    net::Address,
};

/// Who hands over to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) term: Term,
    pub(super) address: Address,
    pub(super) api_url: String,
    pub(super) candidate: MemberName,
    pub(super) lag_bytes: u64,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoPlan {
    /// What is asked for cannot be.
    Never(String),
    /// Nobody can take over as things are.
    NotYet(String),
}

/// Who hands over to whom, or why nobody can.
pub(super) fn plan(known: &Topology, wanted: Option<&MemberName>) -> Result<Plan, NoPlan> {
    let never = |why: &str| NoPlan::Never(why.to_owned());
    let WriteState::Open(term) = &known.write else {
        return Err(never("there is no leader that takes writes, so there is nothing to hand over"));
    };
    if known.pin.is_some() {
        return Err(never("a leader is pinned: unpin it first"));
    }
    let leader = known.members.get(&term.member).ok_or_else(|| never("the leader is not known"))?;
    let api_url = leader.api_url.clone();
    let api_url =
        api_url.ok_or_else(|| never("the store does not say where the leader's Patroni listens"))?;
    let candidate = match wanted {
        Some(wanted) if *wanted == term.member => {
            return Err(NoPlan::Never(format!("{wanted} leads already")));
        }
        Some(wanted) => wanted.clone(),
        None => best(known, term).map_err(NoPlan::NotYet)?,
    };
    let member = known.members.get(&candidate);
    let member = member.ok_or_else(|| NoPlan::Never(format!("there is no member {candidate}")))?;
    if !may_follow(known, &candidate) {
        return Err(NoPlan::Never(format!(
            "{candidate} is no synchronous standby, and Patroni hands over to one of those only"
        )));
    }
    if is_barred(member) {
        return Err(NoPlan::Never(format!("{candidate} is not to lead, by its tags in Patroni")));
    }
    let lag_bytes =
        fitness(member).map_err(|why| NoPlan::NotYet(format!("{candidate} cannot take over: {why}")))?;
    Ok(Plan { term: term.clone(), address: leader.address.clone(), api_url, candidate, lag_bytes })
}

/// Whether Patroni would have it lead next. Where replication is synchronous it refuses all but synchronous standbys, since
/// others may lack what was acknowledged.
fn may_follow(known: &Topology, name: &MemberName) -> bool {
    known.sync_standbys.is_empty() || known.sync_standbys.contains(name)
}

fn is_barred(member: &Member) -> bool {
    member.record.as_ref().is_some_and(|record| record.is_barred_from_leading())
}

/// The standby that is least behind.
fn best(known: &Topology, term: &Term) -> Result<MemberName, String> {
    let eligible = |name: &MemberName| *name != term.member && may_follow(known, name);
    let mut unfit = Vec::new();
    let others = known.members.iter().filter(|(name, member)| eligible(name) && !is_barred(member));
    let fit = others.filter_map(|(name, member)| match fitness(member) {
        Ok(lag) => Some((lag, name)),
        Err(why) => {
            unfit.push(format!("{name}: {why}"));
            None
        }
    });
    match fit.min() {
        Some((_, name)) => Ok(name.clone()),
        None if unfit.is_empty() => Err("no member can take over".to_owned()),
        None => Err(format!("no member can take over ({})", unfit.join("; "))),
    }
}

/// How many bytes a member is behind that can take over, or why it cannot. That it serves no reads by an order or a tag is
/// no obstacle.
fn fitness(member: &Member) -> Result<u64, String> {
    if member.standing != Standing::Following {
        return Err(format!("it is {}", member.standing));
    }
    match &member.reads {
        Reads::Excluded(why) if !matches!(why.obstacle, Obstacle::Noloadbalance | Obstacle::Marked) => {
            Err(why.sentence.clone())
        }
        _ => member.lag.map(|lag| lag.bytes).ok_or_else(|| "its lag is not known".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Moment;
    use crate::cluster::{
        store::{ClusterSettings, MemberRecord, Tags},
        topology::{Lag, Rise, StoreStatus, Within},
    };

    fn member(standing: Standing, reads: Reads, lag: Option<u64>) -> Member {
        Member {
            address: Address::tcp("n", 5432),
            record: None,
            probe: None,
            suspected: None,
            standing,
            reads,
            within: Within::default(),
            rise: Rise::FULL,
            latency: None,
            lag: lag.map(|bytes| Lag { bytes, time: Duration::ZERO }),
            parameters: None,
            mark: None,
            api_url: Some("http://n:8008/patroni".to_owned()),
        }
    }

    fn known() -> Topology {
        let out = |obstacle: Obstacle| Reads::Excluded(obstacle.because("so it is"));
        let mut known = Topology::unknown(StoreStatus::Absent, Moment::ZERO);
        known.settings = ClusterSettings::default();
        known.write = WriteState::Open(Term { member: "n1".into(), timeline: 1, epoch: 3 });
        known.members = [
            ("n1", member(Standing::Leading, out(Obstacle::Leader), None)),
            ("n2", member(Standing::Following, Reads::Qualifies, Some(10))),
            ("n3", member(Standing::Following, Reads::Qualifies, Some(20))),
            ("n4", member(Standing::Following, out(Obstacle::Lagging), Some(0))),
            ("n5", member(Standing::Following, out(Obstacle::Noloadbalance), Some(30))),
            ("n6", member(Standing::Unusable("gone".to_owned()), out(Obstacle::NoAnswer), Some(0))),
        ]
        .map(|(name, member)| (name.into(), member))
        .into();
        known
    }

    #[test]
    fn who_hands_over_to_whom() {
        let to = |known: &Topology, wanted: Option<&str>| {
            let wanted = wanted.map(MemberName::from);
            plan(known, wanted.as_ref()).map(|plan| plan.candidate.to_string())
        };
        let known = known();
        assert_eq!(to(&known, None).as_deref(), Ok("n2"));
        assert_eq!(to(&known, Some("n5")).as_deref(), Ok("n5"));
        for (wanted, why) in
            [("n1", "leads already"), ("n4", "so it is"), ("n6", "unusable"), ("n7", "no member n7")]
        {
            let (NoPlan::Never(refused) | NoPlan::NotYet(refused)) = to(&known, Some(wanted)).unwrap_err();
            assert!(refused.contains(why), "{wanted}: {refused}");
        }
        let mut barred = known.clone();
        let record = MemberRecord::replica("n2".into(), Address::tcp("n", 5432));
        let tags = Tags([("nofailover".to_owned(), "true".to_owned())].into());
        let least_behind = barred.members.get_mut(&MemberName::from("n2")).unwrap();
        least_behind.record = Some(MemberRecord { tags, ..record });
        assert_eq!(to(&barred, None).as_deref(), Ok("n3"));
        let why = "n2 is not to lead, by its tags in Patroni".to_owned();
        assert_eq!(to(&barred, Some("n2")), Err(NoPlan::Never(why)));
        let synchronous = Topology { sync_standbys: vec!["n3".into()], ..known.clone() };
        assert_eq!(to(&synchronous, None).as_deref(), Ok("n3"));
        assert_eq!(to(&synchronous, Some("n3")).as_deref(), Ok("n3"));
        let why = "n2 is no synchronous standby, and Patroni hands over to one of those only".to_owned();
        assert_eq!(to(&synchronous, Some("n2")), Err(NoPlan::Never(why)));
        // Another may be fit and the synchronous one not yet: that one is waited for.
        let catching_up = Topology { sync_standbys: vec!["n4".into()], ..known.clone() };
        let why = "no member can take over (n4: so it is)".to_owned();
        assert_eq!(to(&catching_up, None), Err(NoPlan::NotYet(why)));
        let term = Term { member: "n1".into(), timeline: 1, epoch: 3 };
        let why = crate::cluster::topology::Hold::KeyAbsent;
        let held = Topology { write: WriteState::Held { term, since: Moment::ZERO, why }, ..known };
        assert!(to(&held, None).is_err());
    }
}
