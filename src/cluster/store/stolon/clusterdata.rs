//! Stolon's record of a cluster (`clusterdata`, format 1), put into the keys in which Patroni would say the same.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::store::keys::{Entry, Keys};

/// The only format there is.
const FORMAT: u64 = 1;
/// Most databases that are looked at.
const DATABASES_MAX: usize = 256;
/// Where the specification names no other.
const FAIL_INTERVAL_SECONDS: u64 = 20;
const SLEEP_INTERVAL_SECONDS: u64 = 5;

/// What of the record matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClusterData {
    format_version: u64,
    cluster: Option<Cluster>,
    #[serde(default)]
    dbs: Option<BTreeMap<String, Database>>,
    proxy: Option<Proxy>,
}

#[derive(Debug, Deserialize)]
struct Cluster {
    #[serde(default)]
    spec: Option<Specification>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Specification {
    role: Option<String>,
}

/// One PostgreSQL under one keeper; a new one where the keeper had to begin anew.
#[derive(Debug, Deserialize)]
struct Database {
    #[serde(default)]
    spec: Option<Assignment>,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Assignment {
    #[serde(rename = "keeperUID", default)]
    keeper: String,
    #[serde(default)]
    role: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    healthy: bool,
    #[serde(default)]
    listen_address: String,
    #[serde(default)]
    port: String,
    /// Its name there is misspelt.
    #[serde(rename = "systemdID", default)]
    system_id: String,
    #[serde(rename = "timelineID")]
    timeline: Option<u64>,
    #[serde(rename = "xLogPos")]
    xlog_location: Option<u64>,
    #[serde(default)]
    synchronous_standbys: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Proxy {
    #[serde(default)]
    spec: Target,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    #[serde(default)]
    master_db_uid: String,
}

/// Who was named last, and how many have been: a name that was only taken away for a while is no new one.
#[derive(Default)]
pub(super) struct Election {
    named: String,
    count: u64,
}

impl ClusterData {
    /// Reads a record.
    ///
    /// # Errors
    /// It is none, or of another format; a sentence for the log.
    pub(super) fn read(record: &[u8]) -> Result<Self, String> {
        let data: Self = serde_json::from_slice(record).map_err(|error| error.to_string())?;
        match data.format_version {
            FORMAT => Ok(data),
            other => Err(format!("its format is {other}; {FORMAT} is the one that can be read here")),
        }
    }

    /// The same as Patroni would write it.
    pub(super) fn keys(&self, election: &mut Election) -> Keys {
        let entry = |value: String| Entry { value, ..Entry::default() };
        let mut keys: BTreeMap<String, Entry> = BTreeMap::new();
        for (keeper, database) in self.assigned() {
            keys.insert(format!("members/{keeper}"), entry(database.record().to_string()));
        }
        if let Some((uid, keeper, leader)) = self.leader() {
            if election.named != uid {
                *election = Election { named: uid.to_owned(), count: election.count + 1 };
            }
            let named = Entry { revision: election.count, ..entry(keeper.to_owned()) };
            keys.insert("leader".to_owned(), named);
            keys.insert("initialize".to_owned(), entry(leader.status.system_id.clone()));
            let standbys = leader.status.synchronous_standbys.iter().flatten();
            let standbys: Vec<&str> = standbys.filter_map(|uid| self.keeper(uid)).collect();
            keys.insert("sync".to_owned(), entry(json!({ "sync_standby": standbys.join(",") }).to_string()));
        }
        keys.insert("config".to_owned(), entry(self.settings().to_string()));
        Keys(keys)
    }

    /// Whom Stolon's proxies are to lead to: the database, its keeper, and what is known of it.
    fn leader(&self) -> Option<(&str, &str, &Database)> {
        let uid = self.proxy.as_ref()?.spec.master_db_uid.as_str();
        let database = self.dbs.as_ref()?.get(uid)?;
        Some((uid, self.keeper(uid)?, database))
    }

    fn keeper(&self, uid: &str) -> Option<&str> {
        let keeper = self.dbs.as_ref()?.get(uid)?.spec.as_ref()?.keeper.as_str();
        (!keeper.is_empty()).then_some(keeper)
    }

    /// Databases that have a keeper and have told where they listen.
    fn assigned(&self) -> impl Iterator<Item = (&str, &Database)> {
        let databases = self.dbs.iter().flatten().take(DATABASES_MAX);
        databases
            .filter(|(_, database)| !database.status.listen_address.is_empty())
            .filter_map(|(uid, database)| Some((self.keeper(uid)?, database)))
    }

    fn settings(&self) -> Value {
        let role = self.cluster.as_ref().and_then(|cluster| cluster.spec.as_ref()?.role.as_deref());
        let upstream =
            if role == Some("standby") { json!({ "host": "another cluster" }) } else { Value::Null };
        json!({
            "ttl": FAIL_INTERVAL_SECONDS,
            "loop_wait": SLEEP_INTERVAL_SECONDS,
            "standby_cluster": upstream,
        })
    }
}

impl Database {
    /// Its record as a member.
    fn record(&self) -> Value {
        let Status { listen_address: host, port, timeline, xlog_location, healthy, .. } = &self.status;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let port = if port.is_empty() { String::new() } else { format!(":{port}") };
        let leads = self.spec.as_ref().is_some_and(|spec| spec.role == "master");
        json!({
            "conn_url": format!("postgres://{host}{port}/postgres"),
            "state": if *healthy { "running" } else { "unhealthy" },
            "role": if leads { "primary" } else { "replica" },
            "timeline": timeline,
            "xlog_location": xlog_location,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Moment,
        cluster::store::{ClusterKind, StoreSnapshot},
    };

    fn database(keeper: &str, role: &str, host: &str, healthy: bool, sync: &[&str]) -> Value {
        json!({
            "uid": "?", "generation": 2, "changeTime": "2026-01-01T00:00:00Z",
            "spec": { "keeperUID": keeper, "role": role, "followers": null, "initMode": "none", "pgHBA": null },
            "status": { "healthy": healthy, "listenAddress": host, "port": "5432", "systemdID": "77",
                "timelineID": 3, "xLogPos": 50331648, "synchronousStandbys": sync },
        })
    }

    fn record(master: &str) -> Value {
        json!({
            "formatVersion": 1,
            "cluster": { "uid": "c", "spec": { "failInterval": "20s", "initMode": "new" },
                "status": { "phase": "normal", "master": "da" } },
            "keepers": { "keeper0": { "uid": "keeper0", "status": { "healthy": true } } },
            "dbs": {
                "da": database("keeper0", "master", "10.0.0.1", true, &["db", "gone"]),
                "db": database("keeper1", "standby", "fd00::2", true, &[]),
                "dc": database("keeper2", "standby", "db3", false, &[]),
                "dd": { "spec": { "keeperUID": "keeper3", "role": "standby" }, "status": {} },
                "de": { "spec": { "keeperUID": "", "role": "standby" }, "status": { "listenAddress": "db5" } },
            },
            "proxy": { "generation": 4, "spec": { "masterDbUid": master, "enabledProxies": ["p"] }, "status": {} },
        })
    }

    fn snapshot(record: &Value, election: &mut Election) -> StoreSnapshot {
        let keys = ClusterData::read(record.to_string().as_bytes()).unwrap().keys(election);
        let (snapshot, unreadable) = keys.snapshot(Moment::ZERO, 1, None);
        assert_eq!(unreadable, []);
        snapshot
    }

    #[test]
    fn a_record_is_understood() {
        let snapshot = snapshot(&record("da"), &mut Election::default());
        assert_eq!(snapshot.leader.unwrap().member.as_str(), "keeper0");
        assert_eq!(snapshot.system_id, Some(77));
        assert_eq!(snapshot.sync_standbys, ["keeper1".into()]);
        assert_eq!(snapshot.settings.kind, ClusterKind::Primary);
        let members: Vec<String> = snapshot
            .members
            .iter()
            .map(|m| format!("{} {} {} {} {:?}", m.name, m.address, m.state, m.role, m.timeline))
            .collect();
        assert_eq!(
            members,
            [
                "keeper0 10.0.0.1:5432 running primary Some(3)",
                "keeper1 [fd00::2]:5432 running replica Some(3)",
                "keeper2 db3:5432 unhealthy replica Some(3)",
            ]
        );
    }

    #[test]
    fn a_new_database_in_office_is_a_new_election() {
        let mut election = Election::default();
        let mut seen = Vec::new();
        for master in ["da", "", "da", "missing", "db", "da", "dd"] {
            let snapshot = snapshot(&record(master), &mut election);
            seen.push(snapshot.leader.map(|key| format!("{} {}", key.member, key.elected_at)));
        }
        let seen: Vec<Option<&str>> = seen.iter().map(Option::as_deref).collect();
        assert_eq!(
            seen,
            [
                Some("keeper0 1"),
                None,
                Some("keeper0 1"),
                None,
                Some("keeper1 2"),
                Some("keeper0 3"),
                Some("keeper3 4"),
            ]
        );
    }

    #[test]
    fn early_and_foreign_records() {
        let standby =
            json!({"formatVersion": 1, "cluster": {"spec": {"role": "standby"}}, "proxy": null, "dbs": null});
        let snapshot = snapshot(&standby, &mut Election::default());
        assert_eq!((snapshot.leader, snapshot.settings.kind.is_standby()), (None, true));
        for (record, why) in [("{}", "formatVersion"), (r#"{"formatVersion":2}"#, "format is 2"), ("", "EOF")]
        {
            let refused = ClusterData::read(record.as_bytes()).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
