//! What a reload changes, and what it leaves as it is.

use super::{cluster, good, understood::two_clusters, with};
use crate::config::*;

#[test]
fn a_reload_keeps_what_runs() {
    let old = good(&with("[runtime]\nworkers=1"));
    let more = "[runtime]\nworkers=2\n[log]\nformat='json'\nlevel='debug'\n[replicas]\nfallback='error'";
    let after = old.reloaded(good(&with(more).replace("db3", "db4"))).unwrap();
    let log = &after.keys.log;
    assert_eq!((after.keys.runtime.workers, log.format, log.level), (1, LogFormat::Text, LogLevel::Debug));
    assert_eq!(after.clusters["a"].source, old.clusters["a"].source);
    assert_eq!(after.clusters["a"].replicas.fallback, Fallback::Error);

    let refused = old.reloaded(two_clusters("[databases.d]\ncluster='b'")).unwrap_err();
    assert_eq!(refused, "the database `d` leads to the cluster `b`, which needs a restart");

    // A database that is taken out does not lead elsewhere all at once.
    let (with_d, without) = (two_clusters("[databases.d]\ncluster='b'"), two_clusters(""));
    assert_eq!((with_d.cluster_of(&with_d.listeners[0], "d"), with_d.may_ask_for("d")), ("b", true));
    let after = with_d.reloaded(without).unwrap();
    assert_eq!(after.cluster_of(&after.listeners[0], "d"), "b");
}

/// Places of what somebody wants of replicas are handed out once.
#[test]
fn a_database_that_is_taken_out_moves_nothing() {
    let config = good(&cluster(
        "store='etcd3'\nscope='s'\nendpoints=['x']\nprobe_user='p'\n\
         [databases.reports]\nlag_time_max = 0\nrequired_tags = ['reports']\n\
         [databases.sales]\nlag_time_max = '1m'\n[databases.plain]\npool_size = 3",
    ));
    assert_eq!(config.wanted("a").len(), 3);
    let mut without = config.clone();
    without.keys.databases.remove("reports");
    let without = config.reloaded(without).unwrap();
    assert_eq!(without.wanted("a"), config.wanted("a"));
    let mut back = config.clone();
    back.keys.databases.get_mut("reports").unwrap().lag_time_max = None;
    let back = without.reloaded(back).unwrap();
    assert_eq!(back.wanted("a"), config.wanted("a"));
    assert_eq!(back.keys.databases["reports"], config.keys.databases["reports"]);
}

/// Among the options of a method may be a password.
#[test]
fn the_password_of_a_directory_is_not_shown() {
    let options = |password: &str| {
        format!(
            "[auth]\nauth_type='ldap'\nauth_options='ldapserver=a ldapbasedn=b ldapbinddn=c ldapbindpasswd={password}'"
        )
    };
    let (old, new) = (good(&with(&options("hunter2"))), good(&with(&options("hunter3"))));
    let told: Vec<_> = old.reload_report(&new).iter().map(ToString::to_string).collect();
    assert_eq!(told, ["auth.auth_options: changed, applied for new connections"]);
    for shown in [old.describe(), format!("{old:?}")] {
        assert!(shown.contains("secret>") && !shown.contains("hunter"), "{shown}");
    }
}
