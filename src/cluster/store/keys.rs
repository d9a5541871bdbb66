//! Patroni's keys, as every key-value store holds them, and what they mean.
//!
//! Lenient on purpose: members of different Patroni versions write to one cluster, fields come and go with a member's
//! state, and one unreadable record must not hide the others.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::Value;

use super::{
    ClusterKind, ClusterSettings, Due, Failover, Feed, LeaderKey, MemberRecord, StoreSnapshot, Switchover,
    Tags, timestamp::since_1970,
};
use crate::{
    clock::Moment,
    cluster::ids::{Lsn, MemberName, Timeline},
    net::Address,
};

/// PostgreSQL's port where a `conn_url` names none.
const DEFAULT_PORT: u16 = 5432;

/// One key's value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The value, invalid UTF-8 replaced.
    pub value: String,
    /// The revision that wrote it.
    pub revision: u64,
    /// The lease it hangs on; 0 if none.
    pub lease: i64,
}

/// All keys of one cluster, without the prefix: `leader`, `members/node1` …
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(pub BTreeMap<String, Entry>);

/// A record that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its key.
    pub key: String,
    /// Why.
    pub why: String,
}

impl Keys {
    /// The leader key.
    pub fn leader(&self) -> Option<&Entry> {
        self.0.get("leader").filter(|entry| !entry.value.trim().is_empty())
    }

    /// What the keys say, and which of them could not be read. `right_until` belongs to the leader key.
    pub fn snapshot(
        &self,
        asked_at: Moment,
        revision: u64,
        right_until: Option<Moment>,
    ) -> (StoreSnapshot, Vec<Unreadable>) {
        let mut unreadable = Vec::new();
        let members = self.0.iter().filter_map(|(key, entry)| {
            let name = key.strip_prefix("members/")?;
            match member(name, &entry.value) {
                Ok(record) => Some(record),
                Err(why) => {
                    unreadable.push(Unreadable { key: key.clone(), why });
                    None
                }
            }
        });
        let members = members.collect();
        let leader = self.leader().map(|entry| LeaderKey {
            member: entry.value.trim().into(),
            elected_at: entry.revision,
            right_until,
        });
        let snapshot = StoreSnapshot {
            asked_at,
            revision,
            // Empty while the first member bootstraps the cluster.
            system_id: self.0.get("initialize").and_then(|entry| entry.value.trim().parse().ok()),
            leader,
            members,
            settings: self.json("config").map(|config| settings(&config)).unwrap_or_default(),
            sync_standbys: self.json("sync").map(|sync| sync_standbys(&sync)).unwrap_or_default(),
            switchover: self.switchover(),
            history: self.json("history").map(|history| forks(&history)).unwrap_or_default(),
        };
        (snapshot, unreadable)
    }

    /// The key stays after a switchover, as `{}`. A schedule that cannot be read is none: the leader's end will show.
    fn switchover(&self) -> Option<Switchover> {
        let failover = self.json("failover")?;
        let text = |key: &str| failover.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let from = text("leader");
        from.or(text("member"))?;
        let due = match failover.get("scheduled_at").filter(|value| !value.is_null()) {
            None => Due::Now,
            Some(at) => Due::Scheduled(since_1970(at.as_str()?)?),
        };
        let revision = self.0.get("failover")?.revision;
        Some(Switchover { revision, from: from.map(MemberName::from), due })
    }

    fn json(&self, key: &str) -> Option<Value> {
        serde_json::from_str(&self.0.get(key)?.value).ok()
    }
}

/// The fields of a member's record that matter. Patroni 3 and 4 differ in the words they write into them, not in
/// the fields.
#[derive(Deserialize)]
struct RawMember {
    conn_url: String,
    api_url: Option<String>,
    #[serde(default)]
    state: String,
    #[serde(default)]
    role: String,
    timeline: Option<u32>,
    xlog_location: Option<u64>,
    #[serde(default)]
    tags: BTreeMap<String, Value>,
}

fn member(name: &str, text: &str) -> Result<MemberRecord, String> {
    let raw: RawMember = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let tags = tags(&raw.tags);
    Ok(MemberRecord {
        name: name.into(),
        address: address(&raw.conn_url)?,
        state: raw.state,
        // Patroni up to 3 says master.
        role: if raw.role == "master" { "primary".to_owned() } else { raw.role },
        timeline: raw.timeline,
        xlog_location: raw.xlog_location.map(Lsn),
        noloadbalance: tags.is_set("noloadbalance"),
        tags,
        api_url: raw.api_url,
    })
}

/// Tags are YAML scalars: words, numbers, truth values.
fn tags(raw: &BTreeMap<String, Value>) -> Tags {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(set) => Some(set.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let tags = raw.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?)));
    Tags(tags.take(Tags::MAX).collect())
}

/// The server's address in a `conn_url`: `postgres://[user@]host[:port]/database`. Of several hosts (as libpq allows)
/// the first.
fn address(conn_url: &str) -> Result<Address, String> {
    let wrong = |why: &str| format!("conn_url: {why}");
    let first = first_host(conn_url);
    let url = url::Url::parse(&first).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(wrong("it does not begin with postgres://"));
    }
    let host = match url.host() {
        Some(url::Host::Domain(name)) if !name.is_empty() => name.to_owned(),
        Some(url::Host::Ipv4(ip)) => ip.to_string(),
        Some(url::Host::Ipv6(ip)) => ip.to_string(),
        _ => return Err(wrong("it names no host")),
    };
    Ok(Address::tcp(&host, url.port().unwrap_or(DEFAULT_PORT)))
}

/// The URL with only the first of several hosts.
fn first_host(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let first = authority.split(',').next().unwrap_or(authority);
    format!("{scheme}://{first}{path}")
}

fn settings(config: &Value) -> ClusterSettings {
    let seconds =
        |key: &str| Duration::from_secs(config.get(key).and_then(Value::as_u64).unwrap_or_default());
    let set = |key: &str| config.get(key).and_then(Value::as_bool).unwrap_or_default();
    ClusterSettings {
        ttl: seconds("ttl"),
        loop_wait: seconds("loop_wait"),
        failover: if set("pause") { Failover::Paused } else { Failover::Automatic },
        failsafe_mode: set("failsafe_mode"),
        kind: match config.get("standby_cluster") {
            Some(Value::Object(upstream)) if !upstream.is_empty() => {
                let streams = upstream.contains_key("host") || upstream.contains_key("port");
                ClusterKind::Standby(if streams { Feed::Streaming } else { Feed::Archive })
            }
            _ => ClusterKind::Primary,
        },
    }
}

/// Where timelines were left, from `[[timeline, position, reason, …], …]`. What cannot be read ends it.
fn forks(history: &Value) -> Vec<(Timeline, Lsn)> {
    let fork = |entry: &Value| {
        let timeline = entry.get(0)?.as_u64()?.try_into().ok()?;
        Some((timeline, Lsn(entry.get(1)?.as_u64()?)))
    };
    history.as_array().into_iter().flatten().map_while(fork).collect()
}

fn sync_standbys(sync: &Value) -> Vec<MemberName> {
    let names = sync.get("sync_standby").and_then(Value::as_str).unwrap_or_default();
    names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(MemberName::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(entries: &[(&str, &str)]) -> Keys {
        let entry = |value: &str| Entry { value: value.to_owned(), revision: 9, lease: 4 };
        Keys(entries.iter().map(|(key, value)| ((*key).to_owned(), entry(value))).collect())
    }

    #[test]
    fn a_cluster_as_patroni_writes_it() {
        let (snapshot, unreadable) = keys(&[
            ("config", r#"{"ttl":30,"loop_wait":10,"retry_timeout":10,"synchronous_mode":true,"pause":true}"#),
            ("failover", r#"{"leader":"node1","member":"node3"}"#),
            ("history", r#"[[1,89079616,"no recovery target specified"]]"#),
            ("initialize", "7710131327877806850"),
            ("leader", "node1"),
            (
                "members/node1",
                r#"{"conn_url":"postgres://10.77.0.11:56001/postgres","api_url":"http://10.77.0.11:58001/patroni",
                    "state":"running","role":"master","version":"3.3.0","xlog_location":86375432,"timeline":1}"#,
            ),
            (
                "members/node2",
                r#"{"conn_url":"postgres://[fd00::2]/postgres","proxy_url":"postgres://proxy:6432/","state":"starting",
                    "role":"replica","tags":{"noloadbalance":true,"zone":"b"}}"#,
            ),
            ("members/node3", "garbage"),
            ("members/node4", r#"{"state":"stopped"}"#),
            ("status", r#"{"optime":86375432}"#),
            ("sync", r#"{"leader":"node1","quorum":0,"sync_standby":"node2, node3"}"#),
        ])
        .snapshot(Moment::from_nanos(5), 12, Some(Moment::from_nanos(7)));
        assert_eq!(snapshot.system_id, Some(7_710_131_327_877_806_850));
        let key =
            LeaderKey { member: "node1".into(), elected_at: 9, right_until: Some(Moment::from_nanos(7)) };
        assert_eq!(snapshot.leader, Some(key));
        assert_eq!(snapshot.settings.ttl, Duration::from_secs(30));
        assert_eq!(snapshot.settings.failover, Failover::Paused);
        assert_eq!(snapshot.sync_standbys, ["node2".into(), "node3".into()]);
        assert_eq!(snapshot.history, [(1, Lsn(89_079_616))]);
        let switchover = Switchover { revision: 9, from: Some("node1".into()), due: Due::Now };
        assert_eq!(snapshot.switchover, Some(switchover));
        let members: Vec<String> = snapshot
            .members
            .iter()
            .map(|m| format!("{} {} {} {} {}", m.name, m.address, m.state, m.role, m.noloadbalance))
            .collect();
        assert_eq!(
            members,
            ["node1 10.77.0.11:56001 running primary false", "node2 [fd00::2]:5432 starting replica true"]
        );
        let unreadable: Vec<&str> = unreadable.iter().map(|u| u.key.as_str()).collect();
        assert_eq!(unreadable, ["members/node3", "members/node4"]);
    }

    #[test]
    fn a_cluster_that_is_about_to_be() {
        let (snapshot, _) = keys(&[("initialize", ""), ("sync", "null"), ("failover", "{}"), ("leader", "")])
            .snapshot(Moment::ZERO, 1, None);
        assert_eq!((snapshot.system_id, snapshot.leader), (None, None));
        assert!(snapshot.sync_standbys.is_empty() && snapshot.switchover.is_none());
    }

    #[test]
    fn planned_changes_of_leader() {
        let at = Due::Scheduled(Duration::from_secs(1_767_225_600));
        for (text, expected) in [
            (r#"{"leader":"a","member":"b"}"#, Some((Some("a"), Due::Now))),
            // `patronictl failover` names the candidate alone.
            (r#"{"member":"b"}"#, Some((None, Due::Now))),
            (r#"{"leader":"a"}"#, Some((Some("a"), Due::Now))),
            (r#"{"leader":"a","member":"b","scheduled_at":null}"#, Some((Some("a"), Due::Now))),
            (r#"{"leader":"a","scheduled_at":"2026-01-01T00:00:00+00:00"}"#, Some((Some("a"), at))),
            (r#"{"leader":"a","scheduled_at":"soon"}"#, None),
            (r#"{"leader":"","member":""}"#, None),
            ("{}", None),
            ("garbage", None),
        ] {
            let (snapshot, _) = keys(&[("failover", text)]).snapshot(Moment::ZERO, 1, None);
            let found = snapshot.switchover.map(|s| (s.from, s.due));
            let expected = expected.map(|(from, due)| (from.map(MemberName::from), due));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_schedule_is_due_by_our_clock() {
        let switchover =
            Switchover { revision: 1, from: None, due: Due::Scheduled(Duration::from_secs(100)) };
        let now = Moment::from_nanos(7);
        assert!(!switchover.is_due(now), "by the wall clock nothing is due");
        let dated = switchover.clone().dated(now, Duration::from_secs(40));
        assert!(!dated.is_due(now + Duration::from_secs(59)) && dated.is_due(now + Duration::from_secs(60)));
        assert!(switchover.dated(now, Duration::from_secs(101)).is_due(now));
    }

    #[test]
    fn tags_of_every_kind() {
        let record = r#"{"conn_url":"postgres://db1/x","tags":{"noloadbalance":"Yes","nofailover":1,"nosync":false,
            "zone":"b","failover_priority":0,"list":[1],"none":null}}"#;
        let record = member("n", record).unwrap();
        let tags: Vec<String> = record.tags.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            tags,
            ["failover_priority=0", "nofailover=1", "noloadbalance=Yes", "nosync=false", "zone=b"]
        );
        let set: Vec<&str> =
            record.tags.0.keys().map(String::as_str).filter(|t| record.tags.is_set(t)).collect();
        assert_eq!((set, record.noloadbalance), (vec!["nofailover", "noloadbalance"], true));
    }

    #[test]
    fn a_standby_cluster_is_one_until_it_is_promoted() {
        for (config, kind) in [
            (r#"{"standby_cluster":{"host":"primary","port":5432}}"#, ClusterKind::Standby(Feed::Streaming)),
            (r#"{"standby_cluster":{"restore_command":"cp"}}"#, ClusterKind::Standby(Feed::Archive)),
            (r#"{"standby_cluster":null}"#, ClusterKind::Primary),
            (r#"{"standby_cluster":{}}"#, ClusterKind::Primary),
            (r#"{"ttl":30}"#, ClusterKind::Primary),
        ] {
            let (snapshot, _) = keys(&[("config", config)]).snapshot(Moment::ZERO, 1, None);
            assert_eq!(snapshot.settings.kind, kind, "{config}");
        }
    }

    #[test]
    fn addresses_in_urls() {
        for (url, expected) in [
            ("postgres://db1:6000/postgres", Some("db1:6000")),
            ("postgresql://user:secret@db1/postgres?sslmode=require", Some("db1:5432")),
            ("postgres://[::1]:7/x", Some("[::1]:7")),
            ("postgres://a:1,b:2/x", Some("a:1")),
            ("postgres://10.0.0.1:5432", Some("10.0.0.1:5432")),
            ("http://db1/", None),
            ("postgres:///x", None),
            ("db1:5432", None),
        ] {
            let found = address(url).ok().map(|address| address.to_string());
            assert_eq!(found.as_deref(), expected, "{url}");
        }
    }
}
