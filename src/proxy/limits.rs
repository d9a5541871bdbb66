//! The limit of open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files besides connections: listeners, store, probes, HTTP, runtimes, log.
const OTHERS: u64 = 100;

/// Raises the soft limit of open files to the hard one, and says if that does not suffice for so many clients and
/// servers.
pub(super) fn raise_open_files(clients: u64, servers: u64) -> Option<String> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).is_err()
    {
        tracing::warn!("could not raise the soft limit of open files to the hard one");
    }
    let allowed = getrlimit(Resource::Nofile).current?;
    let needed = clients + servers + OTHERS;
    (allowed < needed).then(|| {
        format!(
            "the limit of open files is {allowed}, but max_client_conn and the pools may need {needed}: raise it \
             (LimitNOFILE= in a systemd unit, ulimit -Hn in a shell), or lower max_client_conn"
        )
    })
}
