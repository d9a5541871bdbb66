//! What one Patroni says of its cluster (`/cluster`), and what several say together.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::store::keys::{Entry, Keys};

/// Most members that are looked at.
const MEMBERS_MAX: usize = 256;

/// One Patroni's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// Whom it names.
    pub(super) leader: Option<String>,
    members: Vec<Member>,
    is_paused: bool,
}

/// A member in `/cluster`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Member {
    name: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    state: String,
    host: Option<String>,
    port: Option<u16>,
    api_url: Option<String>,
    /// A number; or a word, where it is not known.
    #[serde(default)]
    timeline: Value,
    #[serde(default)]
    tags: Value,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    members: Vec<Member>,
    #[serde(default)]
    pause: bool,
    /// Since Patroni 3.
    scope: Option<String>,
}

impl View {
    /// Reads an answer, which must be of this scope.
    pub(super) fn read(answer: &Value, scope: &str) -> Result<Self, String> {
        let raw: Raw =
            serde_json::from_value(answer.clone()).map_err(|error| format!("/cluster: {error}"))?;
        if let Some(other) = raw.scope.filter(|other| other != scope) {
            return Err(format!("this is the cluster {other:?}, not {scope:?}"));
        }
        let members: Vec<Member> = raw.members.into_iter().take(MEMBERS_MAX).collect();
        let leads = |member: &&Member| matches!(member.role.as_str(), "leader" | "standby_leader" | "master");
        let leader = members.iter().find(leads).map(|member| member.name.clone());
        Ok(Self { leader, members, is_paused: raw.pause })
    }

    /// The highest timeline that it knows of.
    fn timeline(&self) -> u64 {
        self.members.iter().filter_map(|member| member.timeline.as_u64()).max().unwrap_or_default()
    }

    /// The keys that Patroni made the answer from. `elected_at` is the number of the leader's election.
    pub(super) fn keys(&self, elected_at: u64) -> Keys {
        let entry = |value: String| Entry { value, ..Entry::default() };
        let mut keys: BTreeMap<String, Entry> = BTreeMap::new();
        if let Some(leader) = &self.leader {
            keys.insert("leader".to_owned(), Entry { revision: elected_at, ..entry(leader.clone()) });
        }
        for member in &self.members {
            keys.insert(format!("members/{}", member.name), entry(member.record().to_string()));
        }
        let is_sync = |member: &&Member| matches!(member.role.as_str(), "sync_standby" | "quorum_standby");
        let sync: Vec<&str> = self.members.iter().filter(is_sync).map(|member| &*member.name).collect();
        keys.insert("sync".to_owned(), entry(json!({ "sync_standby": sync.join(",") }).to_string()));
        Keys(keys)
    }

    /// The dynamic configuration, in which `/config` may be older than this answer.
    pub(super) fn with_pause(&self, config: &str) -> String {
        let mut config: Value = serde_json::from_str(config).unwrap_or_default();
        if let Value::Object(config) = &mut config {
            config.insert("pause".to_owned(), self.is_paused.into());
        }
        config.to_string()
    }
}

impl Member {
    /// Its record, as it stands in a store.
    fn record(&self) -> Value {
        let host = self.host.as_deref().unwrap_or_default();
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let role = match self.role.as_str() {
            "leader" | "master" => "primary",
            "standby_leader" => "standby_leader",
            _ => "replica",
        };
        // Of a standby it says how it replicates, where that is known.
        let state = match self.state.as_str() {
            "streaming" | "in archive recovery" => "running",
            other => other,
        };
        json!({
            "conn_url": format!("postgres://{host}{port}/postgres"),
            "api_url": self.api_url,
            "state": state,
            "role": role,
            "timeline": self.timeline.as_u64(),
            "tags": if self.tags.is_object() { self.tags.clone() } else { json!({}) },
        })
    }
}

/// What the answers say together; at least one. Where they differ in who leads, those count that know of the highest
/// timeline, and where those differ too, nobody is named.
pub(super) fn agreed(views: &[&View]) -> View {
    let highest = views.iter().map(|view| view.timeline()).max().unwrap_or_default();
    let newest: Vec<&View> = views.iter().copied().filter(|view| view.timeline() == highest).collect();
    let named = |views: &[&View]| {
        let first = views.first()?.leader.clone();
        views.iter().all(|view| view.leader == first).then_some(first)
    };
    let leader = named(views).or_else(|| named(&newest)).flatten();
    let said = newest.first().map(|view| (*view).clone()).unwrap_or_default();
    View { leader, ..said }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Moment, cluster::store::Failover};

    fn view(members: &[(&str, &str, u64)]) -> View {
        let members: Vec<Value> = members
            .iter()
            .map(|(name, role, timeline)| json!({"name": name, "role": role, "timeline": timeline}))
            .collect();
        View::read(&json!({ "members": members }), "demo").unwrap()
    }

    #[test]
    fn an_answer_becomes_keys() {
        let answer = json!({
            "scope": "demo", "pause": true,
            "members": [
                {"name": "n1", "role": "leader", "state": "running", "host": "db1", "port": 6000, "timeline": 2,
                 "api_url": "http://db1:8008/patroni"},
                {"name": "n2", "role": "sync_standby", "state": "streaming", "host": "fd00::2", "port": 5432,
                 "timeline": 2, "lag": 0, "tags": {"zone": "b", "noloadbalance": true}},
                {"name": "n3", "role": "replica", "state": "stopped", "host": "db3", "timeline": "unknown"},
                {"name": "n4", "role": "replica", "state": "creating replica"},
            ],
        });
        let view = View::read(&answer, "demo").unwrap();
        let mut keys = view.keys(3);
        let config = Entry { value: view.with_pause(r#"{"ttl":20}"#), ..Entry::default() };
        keys.0.insert("config".to_owned(), config);
        let (snapshot, unreadable) = keys.snapshot(Moment::ZERO, 1, None);
        let key = snapshot.leader.unwrap();
        assert_eq!((key.member.as_str(), key.elected_at, key.right_until), ("n1", 3, None));
        let members: Vec<String> = snapshot
            .members
            .iter()
            .map(|m| {
                format!(
                    "{} {} {} {} {:?} {}",
                    m.name, m.address, m.state, m.role, m.timeline, m.noloadbalance
                )
            })
            .collect();
        assert_eq!(
            members,
            [
                "n1 db1:6000 running primary Some(2) false",
                "n2 [fd00::2]:5432 running replica Some(2) true",
                "n3 db3:5432 stopped replica None false",
            ]
        );
        assert_eq!(unreadable.len(), 1, "{unreadable:?}");
        assert_eq!(snapshot.sync_standbys, ["n2".into()]);
        assert_eq!(snapshot.settings.failover, Failover::Paused);
        let other = View::read(&answer, "prod").unwrap_err();
        assert!(other.contains("\"demo\", not \"prod\""), "{other}");
        assert!(View::read(&json!({"members": 7}), "demo").is_err());
    }

    #[test]
    fn who_leads_where_answers_differ() {
        let old = view(&[("a", "leader", 1), ("b", "replica", 1)]);
        let new = view(&[("a", "replica", 1), ("b", "leader", 2)]);
        let none = view(&[("a", "replica", 1), ("b", "replica", 1)]);
        let early = view(&[("a", "replica", 1), ("b", "leader", 1)]);
        let upstream = view(&[("a", "standby_leader", 1)]);
        for (views, expected) in [
            (vec![&old], Some("a")),
            (vec![&old, &old], Some("a")),
            (vec![&none, &none], None),
            // The old leader's end is not known everywhere yet.
            (vec![&old, &none], None),
            (vec![&old, &new], Some("b")),
            (vec![&new, &old, &old], Some("b")),
            (vec![&old, &early], None),
            (vec![&upstream], Some("a")),
        ] {
            assert_eq!(agreed(&views).leader.as_deref(), expected, "{views:?}");
        }
    }
}
