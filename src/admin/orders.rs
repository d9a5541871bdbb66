//! Orders of an operator: who may give them, what they are, and the log's record of each.

use std::time::Duration;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::view::{ClusterView, View};
use crate::{
    cluster::{
        fact::{Command, ProbeOutcome, ProbedRole},
        ids::MemberName,
        topology::{Mark, Topology},
    },
    config::{Secret, duration},
};

/// What is ordered or, of a change of leader, asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Pin,
    Unpin,
    Mark,
    SwitchOver,
    HowIsIt,
}

/// Why an order was not carried out.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) why: String,
}

/// How long running transactions may take before Patroni is asked, unless the order says otherwise.
const WAIT: Duration = Duration::from_secs(5);

/// Nobody waits longer for them.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// Whether a request is an order.
pub(super) fn kind(method: &Method, path: &str) -> Option<Kind> {
    match (method, path) {
        (&Method::POST, "/pin") => Some(Kind::Pin),
        (&Method::POST, "/unpin") => Some(Kind::Unpin),
        (&Method::POST, "/mark") => Some(Kind::Mark),
        (&Method::POST, "/switchover") => Some(Kind::SwitchOver),
        (&Method::GET, "/switchover") => Some(Kind::HowIsIt),
        _ => None,
    }
}

/// Does as it is told, if the token is right; `from` is who says so, for the log.
pub(super) fn obey(
    view: &View,
    kind: Kind,
    query: &str,
    authorization: Option<&str>,
    from: &str,
) -> Result<Value, Refusal> {
    authorize(view.token.as_ref(), authorization).inspect_err(|refusal| {
        tracing::warn!(from, order = ?kind, "an order was refused: {}", refusal.why);
    })?;
    let given = Given::parse(query).map_err(bad)?;
    let (name, cluster) = the_cluster(view, given.cluster.as_deref())?;
    if kind == Kind::HowIsIt {
        return Ok(cluster.switchover.report());
    }
    let done = carry_out(view, kind, &given, name, cluster);
    match &done {
        Ok(_) => tracing::warn!(from, cluster = name, order = ?kind, query, "an operator's order"),
        Err(refusal) => {
            tracing::warn!(from, cluster = name, order = ?kind, query, "an order was refused: {}", refusal.why);
        }
    }
    done
}

fn authorize(token: Option<&Secret>, authorization: Option<&str>) -> Result<(), Refusal> {
    let Some(token) = token else {
        let why = "orders are not taken: the configuration has no `token` in [http]".to_owned();
        return Err(Refusal { status: StatusCode::FORBIDDEN, why });
    };
    let shown = authorization.and_then(|value| value.strip_prefix("Bearer ")).map(Secret::new);
    if shown.as_ref() != Some(token) {
        let why = "the token is missing or wrong".to_owned();
        return Err(Refusal { status: StatusCode::UNAUTHORIZED, why });
    }
    Ok(())
}

fn carry_out(
    view: &View,
    kind: Kind,
    given: &Given,
    name: &str,
    cluster: &ClusterView,
) -> Result<Value, Refusal> {
    let member = given.member.as_deref();
    let known = || {
        let member = member.ok_or_else(|| bad("say which: member=NAME".to_owned()))?;
        let known = cluster.watcher.topology().members.contains_key(&MemberName::from(member));
        let unknown =
            || Refusal { status: StatusCode::NOT_FOUND, why: format!("{name} has no member {member}") };
        if known { Ok(MemberName::from(member)) } else { Err(unknown()) }
    };
    match kind {
        Kind::Pin => {
            let member = known()?;
            if !given.force {
                may_lead(&cluster.watcher.topology(), &member)?;
            }
            order(cluster, Command::Pin(Some(member.clone())))?;
            Ok(json!({ "cluster": name, "pinned": member.as_str() }))
        }
        Kind::Unpin => {
            order(cluster, Command::Pin(None))?;
            Ok(json!({ "cluster": name, "pinned": null }))
        }
        Kind::Mark => {
            let mark = given.mark.ok_or_else(|| bad("say how: as=up, as=drain or as=down".to_owned()))?;
            // One that is gone must not stay marked for ever.
            let member = if mark.0.is_none() {
                member.map(MemberName::from).ok_or_else(|| bad("say which: member=NAME".to_owned()))?
            } else {
                known()?
            };
            order(cluster, Command::Mark(member.clone(), mark.0))?;
            Ok(json!({ "cluster": name, "member": member.as_str(), "marked": mark.1 }))
        }
        Kind::SwitchOver | Kind::HowIsIt => {
            let candidate = given.candidate.as_deref().map(MemberName::from);
            let wait = given.wait.unwrap_or(WAIT).min(WAIT_MAX);
            let begun = cluster.switchover.begin(view, name, cluster, candidate, wait);
            begun.map_err(|why| Refusal { status: StatusCode::CONFLICT, why })?;
            Ok(cluster.switchover.report())
        }
    }
}

/// To pin a member that takes no writes deposes whoever leads, and puts nobody in office.
fn may_lead(topology: &Topology, member: &MemberName) -> Result<(), Refusal> {
    let Some(leader) = topology.term().map(|term| &term.member).filter(|leader| *leader != member) else {
        return Ok(());
    };
    let newest = topology.members.get(member).and_then(|member| member.probe.as_ref());
    let takes_writes = newest.is_some_and(|newest| match &newest.outcome {
        ProbeOutcome::Answered(reading) => matches!(reading.role, ProbedRole::Writable { .. }),
        ProbeOutcome::Failed(_) => false,
    });
    if takes_writes {
        return Ok(());
    }
    let why = format!(
        "{member} does not answer that it takes writes: pinned, it would end {leader}'s time in office, and nobody would take \
         writes. Change leaders by POST /switchover?candidate={member}, or promote {member} and pin it then; force=true pins it now"
    );
    Err(Refusal { status: StatusCode::CONFLICT, why })
}

fn order(cluster: &ClusterView, command: Command) -> Result<(), Refusal> {
    if cluster.watcher.order(command) {
        return Ok(());
    }
    let why = "busy: the order was not taken in, try again".to_owned();
    Err(Refusal { status: StatusCode::SERVICE_UNAVAILABLE, why })
}

const fn bad(why: String) -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, why }
}

/// The cluster that is meant: the only one, or the one that is named.
fn the_cluster<'v>(view: &'v View, named: Option<&str>) -> Result<(&'v str, &'v ClusterView), Refusal> {
    let mut fitting = view.clusters.iter().filter(|(name, _)| named.is_none_or(|named| named == *name));
    match (fitting.next(), fitting.next()) {
        (Some((name, cluster)), None) => Ok((name, cluster)),
        (Some(_), Some(_)) => Err(bad("there are several clusters: say which, cluster=NAME".to_owned())),
        (None, _) => {
            Err(Refusal { status: StatusCode::NOT_FOUND, why: "there is no such cluster".to_owned() })
        }
    }
}

/// What an order says behind its question mark.
#[derive(Debug, Default, PartialEq, Eq)]
struct Given {
    cluster: Option<String>,
    member: Option<String>,
    candidate: Option<String>,
    mark: Option<(Option<Mark>, &'static str)>,
    wait: Option<Duration>,
    force: bool,
}

impl Given {
    fn parse(query: &str) -> Result<Self, String> {
        let mut given = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let value = value.into_owned();
            match &*name {
                "cluster" => given.cluster = Some(value),
                "member" => given.member = Some(value),
                "candidate" => given.candidate = Some(value),
                "wait" => given.wait = Some(duration(&value)?),
                "force" => given.force = value.parse().map_err(|_| "force is true or false".to_owned())?,
                "as" => {
                    given.mark = Some(match value.as_str() {
                        "up" => (None, "up"),
                        "drain" => (Some(Mark::Drain), "drain"),
                        "down" => (Some(Mark::Down), "down"),
                        _ => return Err("a member is marked up, drain or down".to_owned()),
                    });
                }
                _ => {
                    return Err(format!(
                        "an order says cluster, member, as, candidate, wait or force, not {name}"
                    ));
                }
            }
        }
        Ok(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_opens() {
        let token = Secret::new("0123456789abcdef");
        let open = |authorization| authorize(Some(&token), authorization).map_err(|r| r.status.as_u16());
        assert_eq!(open(Some("Bearer 0123456789abcdef")), Ok(()));
        for wrong in [
            None,
            Some(""),
            Some("Bearer "),
            Some("Bearer 0123456789abcdeF"),
            Some("Bearer 0123456789abcdef "),
            Some("0123456789abcdef"),
            Some("Basic 0123456789abcdef"),
        ] {
            assert_eq!(open(wrong), Err(401), "{wrong:?}");
        }
        let without = authorize(None, Some("Bearer ")).map_err(|r| r.status.as_u16());
        assert_eq!(without, Err(403), "nobody may where there is no token");
    }

    #[test]
    fn orders_are_read_strictly() {
        let given = Given::parse("cluster=a%20b&member=n1&as=drain&wait=1500ms").unwrap();
        assert_eq!((given.cluster.as_deref(), given.member.as_deref()), (Some("a b"), Some("n1")));
        assert_eq!(
            (given.mark, given.wait),
            (Some((Some(Mark::Drain), "drain")), Some(Duration::from_millis(1500)))
        );
        for wrong in ["as=maint", "members=n1", "wait=soon", "force=yes", "x"] {
            assert!(Given::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Given::parse("member=n1&force=true").unwrap().force);
        assert_eq!(kind(&Method::GET, "/pin"), None);
        assert_eq!(kind(&Method::GET, "/switchover"), Some(Kind::HowIsIt));
    }
}
