//! What is done to the cluster, as data.

use std::time::Duration;

use pgsteer_testkit::Options;

/// One thing that happens to a cluster under load, and what Patroni makes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// As `--only` knows it.
    pub(crate) name: &'static str,
    /// As the table says it.
    pub(crate) what: &'static str,
    pub(crate) replication: Replication,
    pub(crate) fault: Fault,
    pub(crate) then: Then,
    /// What a client of its own does meanwhile, besides the short transactions of the others.
    pub(crate) during: During,
    /// How often in a row, under the same clients.
    pub(crate) times: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replication {
    /// A commit waits for a standby: nothing that was acknowledged may be lost.
    Synchronous,
    /// A failover may lose what the old leader acknowledged last.
    Asynchronous,
}

impl Replication {
    pub(crate) fn options(self) -> Options {
        let options = Options::default().in_namespaces();
        if self == Self::Synchronous { options } else { options.asynchronous() }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// kill -9 of everything on the leader's node.
    Kill,
    /// Everything on the leader's node stops where it stands.
    FreezeNode,
    /// Patroni stops where it stands, and its PostgreSQL goes on.
    FreezePatroni,
    /// What some send to others is lost.
    Lose(&'static [Loss]),
    /// Patroni is asked by REST, as patronictl asks it.
    Switchover,
    /// The same while the proxies are cut off from the store.
    UnseenSwitchover,
    /// `pgsteer switchover`.
    OwnSwitchover,
    Restart(Component),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Component {
    /// kill -9 and a new start.
    Store,
    /// kill -9 of the leader's, and a new start; its PostgreSQL goes on.
    Patroni,
    /// A restart of the leader's that Patroni is asked for.
    PostgreSql,
    /// kill -9 of the leader's; Patroni starts it again.
    CrashedPostgreSql,
    /// kill -9 and a new start: of pgsteer, and of HAProxy and PgBouncer.
    Proxies,
    /// kill -9 of the synchronous standby's node, and a new start.
    Replica,
}

/// Some hosts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Leader,
    Standbys,
    Store,
    /// pgsteer, and HAProxy with PgBouncer.
    Proxies,
    /// The clients' own host, with the witnesses.
    Clients,
}

/// So many percent of what is sent this way do not arrive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    pub(crate) from: Side,
    pub(crate) to: Side,
    pub(crate) percent: u8,
}

impl Loss {
    const fn all(from: Side, to: Side) -> Self {
        Self { from, to, percent: 100 }
    }
}

/// What Patroni makes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    /// Another one leads; the fault is mended once clients write there.
    NewLeader,
    /// Another one leads, and the fault is mended after so long, whether clients write there or not.
    NewLeaderUnseen(Duration),
    /// The same one goes on, or comes back. The fault lasts for so long.
    SameLeader(Duration),
    /// The same one goes on, but the proxies cannot reach it for so long.
    Unreachable(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum During {
    Nothing,
    /// COPY FROM STDIN, a row each 10 ms.
    Copy,
    /// A transaction, an INSERT each 50 ms.
    Transaction,
}

use Replication::{Asynchronous, Synchronous};
use Side::{Clients, Leader, Proxies, Standbys, Store};
use Then::{NewLeader, NewLeaderUnseen, SameLeader, Unreachable};

const STORE: &[Loss] = &[Loss::all(Leader, Store), Loss::all(Store, Leader)];
const STORE_AND_PEERS: &[Loss] = &[
    Loss::all(Leader, Store),
    Loss::all(Store, Leader),
    Loss::all(Leader, Standbys),
    Loss::all(Standbys, Leader),
];
const EVERYONE: &[Loss] = &[
    Loss::all(Leader, Store),
    Loss::all(Store, Leader),
    Loss::all(Leader, Standbys),
    Loss::all(Standbys, Leader),
    Loss::all(Leader, Proxies),
    Loss::all(Proxies, Leader),
    Loss::all(Leader, Clients),
    Loss::all(Clients, Leader),
];
const PROXIES: &[Loss] = &[Loss::all(Leader, Proxies), Loss::all(Proxies, Leader)];
pub(crate) const PROXIES_STORE: &[Loss] = &[Loss::all(Store, Proxies), Loss::all(Proxies, Store)];
const TO_PROXIES: &[Loss] = &[Loss::all(Leader, Proxies)];
const FROM_PROXIES: &[Loss] = &[Loss::all(Proxies, Leader)];
const FROM_STORE: &[Loss] = &[Loss::all(Store, Leader)];
const SOME: &[Loss] = &[
    Loss { from: Proxies, to: Leader, percent: 20 },
    Loss { from: Standbys, to: Leader, percent: 20 },
    Loss { from: Store, to: Leader, percent: 20 },
];

const fn scenario(name: &'static str, what: &'static str, fault: Fault, then: Then) -> Scenario {
    Scenario { name, what, replication: Synchronous, fault, then, during: During::Nothing, times: 1 }
}

impl Scenario {
    const fn asynchronous(self) -> Self {
        Self { replication: Asynchronous, ..self }
    }

    const fn during(self, during: During) -> Self {
        Self { during, ..self }
    }

    const fn times(self, times: u8) -> Self {
        Self { times, ..self }
    }
}

const SHORT: Duration = Duration::from_secs(10);
const MIDDLING: Duration = Duration::from_secs(20);
/// Longer than the leader's lease.
const LONG: Duration = Duration::from_secs(30);

/// All of them. Those with asynchronous replication come last: they have a cluster of their own.
pub(crate) const ALL: &[Scenario] = &[
    scenario("kill", "leader's node killed (-9)", Fault::Kill, NewLeader),
    scenario("freeze-node", "leader's node frozen (SIGSTOP)", Fault::FreezeNode, NewLeader),
    scenario("freeze-patroni", "leader's Patroni alone frozen", Fault::FreezePatroni, NewLeader),
    scenario("cut-store", "leader cut off from the store", Fault::Lose(STORE), NewLeader),
    scenario(
        "cut-store-peers",
        "leader cut off from store and standbys",
        Fault::Lose(STORE_AND_PEERS),
        NewLeader,
    ),
    scenario("cut-all", "leader cut off from everyone", Fault::Lose(EVERYONE), NewLeader),
    scenario("deaf-to-store", "leader hears nothing of the store", Fault::Lose(FROM_STORE), NewLeader),
    scenario("cut-proxy", "proxies cut off from the leader, 10 s", Fault::Lose(PROXIES), Unreachable(SHORT)),
    scenario(
        "deaf-proxy",
        "proxies hear nothing of the leader, 10 s",
        Fault::Lose(TO_PROXIES),
        Unreachable(SHORT),
    ),
    scenario(
        "mute-proxy",
        "leader hears nothing of the proxies, 10 s",
        Fault::Lose(FROM_PROXIES),
        Unreachable(SHORT),
    ),
    scenario(
        "cut-proxy-store",
        "proxies cut off from the store, 30 s",
        Fault::Lose(PROXIES_STORE),
        SameLeader(LONG),
    ),
    scenario(
        "unseen-switchover",
        "switchover while proxies are cut off from the store, 20 s",
        Fault::UnseenSwitchover,
        NewLeaderUnseen(MIDDLING),
    ),
    scenario("loss", "20 % of what is sent to the leader lost, 10 s", Fault::Lose(SOME), SameLeader(SHORT)),
    scenario("switchover", "switchover by Patroni, there and back", Fault::Switchover, NewLeader).times(2),
    scenario("own-switchover", "`pgsteer switchover`, there and back", Fault::OwnSwitchover, NewLeader)
        .times(2),
    scenario("kill-copy", "leader's node killed during COPY", Fault::Kill, NewLeader).during(During::Copy),
    scenario("kill-transaction", "leader's node killed during a long transaction", Fault::Kill, NewLeader)
        .during(During::Transaction),
    scenario("switchover-copy", "switchover by Patroni during COPY", Fault::Switchover, NewLeader)
        .during(During::Copy),
    scenario(
        "switchover-transaction",
        "switchover by Patroni during a long transaction",
        Fault::Switchover,
        NewLeader,
    )
    .during(During::Transaction),
    scenario("restart-store", "etcd restarted", Fault::Restart(Component::Store), SameLeader(SHORT)),
    scenario(
        "restart-patroni",
        "leader's Patroni restarted",
        Fault::Restart(Component::Patroni),
        SameLeader(SHORT),
    ),
    scenario(
        "restart-postgresql",
        "leader's PostgreSQL restarted by Patroni",
        Fault::Restart(Component::PostgreSql),
        SameLeader(SHORT),
    ),
    scenario(
        "crash-postgresql",
        "leader's PostgreSQL killed (-9)",
        Fault::Restart(Component::CrashedPostgreSql),
        SameLeader(SHORT),
    ),
    scenario(
        "restart-proxy",
        "proxies killed (-9) and restarted",
        Fault::Restart(Component::Proxies),
        SameLeader(SHORT),
    ),
    scenario(
        "restart-replica",
        "synchronous standby killed (-9) and restarted",
        Fault::Restart(Component::Replica),
        SameLeader(SHORT),
    ),
    scenario("ten-kills", "ten times in a row: leader's node killed (-9)", Fault::Kill, NewLeader).times(10),
    scenario("kill-async", "leader's node killed (-9)", Fault::Kill, NewLeader).asynchronous(),
    scenario("freeze-node-async", "leader's node frozen", Fault::FreezeNode, NewLeader).asynchronous(),
    scenario("freeze-patroni-async", "leader's Patroni alone frozen", Fault::FreezePatroni, NewLeader)
        .asynchronous(),
    scenario("cut-all-async", "leader cut off from everyone", Fault::Lose(EVERYONE), NewLeader)
        .asynchronous(),
];
