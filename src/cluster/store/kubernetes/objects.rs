//! Patroni's objects and pods, and the keys they stand for.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ObjectKind, Record};
use crate::cluster::store::keys::Entry;

/// Most objects of a list that are looked at.
const OBJECTS_MAX: usize = 512;

/// A list, as the API server answers it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct List {
    pub(super) metadata: Metadata,
    #[serde(default)]
    pub(super) items: Vec<Object>,
}

/// An object; only what is common to all kinds.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Object {
    #[serde(default)]
    pub(super) metadata: Metadata,
}

/// What every object and list has.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) resource_version: String,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl Metadata {
    fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl List {
    fn named(&self, name: &str) -> Option<&Metadata> {
        self.items.iter().map(|object| &object.metadata).find(|metadata| metadata.name == name)
    }
}

/// The leader's object has the bare name among Endpoints, because a Service of that name uses it.
fn leader_object<'o>(objects: &'o List, base: &str, kind: ObjectKind) -> Option<&'o Metadata> {
    match kind {
        ObjectKind::Endpoints => objects.named(base),
        ObjectKind::ConfigMaps => objects.named(&format!("{base}-leader")),
    }
}

/// What the leader wrote of itself; `None`: nobody leads.
pub(super) fn leader(objects: &List, base: &str, kind: ObjectKind) -> Option<Record> {
    let metadata = leader_object(objects, base, kind)?;
    let text = |name: &str| metadata.annotation(name).unwrap_or_default().to_owned();
    Some(Record {
        leader: metadata.annotation("leader")?.to_owned(),
        acquired: format!("{} {}", text("acquireTime"), text("transitions")),
        renewed: text("renewTime"),
        ttl: metadata.annotation("ttl").and_then(|ttl| ttl.parse().ok()),
    })
}

/// The same as keys, as other stores have them.
pub(super) fn keys(objects: &List, pods: &List, base: &str, kind: ObjectKind) -> BTreeMap<String, Entry> {
    let mut keys = BTreeMap::new();
    let mut put = |name: &str, value: String, revision: u64| {
        keys.insert(name.to_owned(), Entry { value, revision, lease: 0 });
    };
    if let Some(record) = leader(objects, base, kind) {
        put("leader", record.leader.clone(), record.election());
    }
    let config = objects.named(&format!("{base}-config"));
    for name in ["initialize", "config", "history"] {
        if let Some(value) = config.and_then(|metadata| metadata.annotation(name)) {
            put(name, value.to_owned(), 0);
        }
    }
    if let Some(value) =
        leader_object(objects, base, kind).and_then(|metadata| metadata.annotation("failsafe"))
    {
        put("failsafe", value.to_owned(), 0);
    }
    // The fields of these are annotations themselves.
    for (name, fields) in [("sync", ["leader", "sync_standby"]), ("failover", ["leader", "member"])] {
        if let Some(metadata) = objects.named(&format!("{base}-{name}")) {
            let mut record: BTreeMap<&str, Value> = BTreeMap::new();
            let all = fields.into_iter().chain(["scheduled_at"]);
            record.extend(all.filter_map(|field| Some((field, json!(metadata.annotation(field)?)))));
            put(name, json!(record).to_string(), metadata.resource_version.parse().unwrap_or_default());
        }
    }
    for Object { metadata } in pods.items.iter().take(OBJECTS_MAX) {
        // A pod that Patroni has not begun in has none.
        if let Some(status) = metadata.annotation("status") {
            put(&format!("members/{}", metadata.name), status.to_owned(), 0);
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Moment, cluster::store::keys::Keys};

    fn list(items: &Value) -> List {
        serde_json::from_value(json!({"metadata": {"resourceVersion": "9"}, "items": items})).unwrap()
    }

    fn object(name: &str, annotations: &Value) -> Value {
        json!({"metadata": {"name": name, "resourceVersion": "7", "annotations": annotations}})
    }

    fn check(kind: ObjectKind, base: &str, leader_name: &str) {
        let objects = list(&json!([
            object(
                leader_name,
                &json!({"leader": "demo-0", "acquireTime": "a", "renewTime": "b", "ttl": "30"})
            ),
            object(&format!("{base}-config"), &json!({"config": "{\"ttl\":20}", "initialize": "7"})),
            object(&format!("{base}-sync"), &json!({"leader": "demo-0", "sync_standby": "demo-1"})),
            object(&format!("{base}-failover"), &json!({"leader": "demo-0", "member": "demo-1"})),
        ]));
        let status = r#"{"conn_url":"postgres://10.0.0.1:5432/postgres","state":"running","role":"primary"}"#;
        let pods = list(&json!([
            object("demo-0", &json!({"status": status})),
            {"metadata": {"name": "demo-1", "annotations": null}},
            {"metadata": {"name": "demo-2"}},
        ]));
        let (snapshot, unreadable) = Keys(keys(&objects, &pods, base, kind)).snapshot(Moment::ZERO, 1, None);
        assert!(unreadable.is_empty(), "{unreadable:?}");
        let key = snapshot.leader.unwrap();
        assert_eq!((key.member.as_str(), snapshot.system_id), ("demo-0", Some(7)));
        assert_eq!(snapshot.sync_standbys, ["demo-1".into()]);
        assert_eq!(snapshot.members.len(), 1);
        assert_eq!(snapshot.settings.ttl.as_secs(), 20);
    }

    #[test]
    fn endpoints_config_maps_and_groups() {
        check(ObjectKind::Endpoints, "demo", "demo");
        check(ObjectKind::ConfigMaps, "demo", "demo-leader");
        check(ObjectKind::Endpoints, "demo-0", "demo-0");
    }

    #[test]
    fn a_leader_that_stepped_down_leaves_its_object() {
        let objects = list(&json!([object("demo", &json!({"acquireTime": "a", "optime": "5"}))]));
        assert_eq!(leader(&objects, "demo", ObjectKind::Endpoints), None);
        assert!(!keys(&objects, &List::default(), "demo", ObjectKind::Endpoints).contains_key("leader"));
    }
}
