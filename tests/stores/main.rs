//! The stores against the real thing, or where there is none to be had, against a stand-in that speaks its protocol.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod consul;
mod etcd;
mod etcd2;
mod etcd_node;
mod kubernetes;
mod patroni;
mod stand_in;
mod stolon;
mod tls;
mod zookeeper;

use std::{process::Child, sync::Arc, time::Duration};

use pgsteer::{
    clock::Clock,
    cluster::store::{
        LeaderKey, Store, StoreEvent, StoreSnapshot,
        policy::{Reach, StorePolicy, Token},
    },
    net::NetDialer,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What Patroni records of a member.
const MEMBER: &str =
    r#"{"conn_url":"postgres://127.0.0.1:5432/postgres","state":"running","role":"replica"}"#;

/// The cluster `demo` at these endpoints.
fn reach(endpoints: &[String], reread_interval: Duration) -> Reach {
    let policy = StorePolicy {
        endpoints: endpoints.to_vec(),
        namespace: "/service/".to_owned(),
        scope: "demo".to_owned(),
        group: None,
        tls: None,
        login: None,
        token: Token::None,
        reread_interval,
    };
    Reach { policy, dial: Arc::new(NetDialer::default()) }
}

/// A watched store.
struct Watched {
    events: mpsc::Receiver<StoreEvent>,
    hurry: watch::Sender<u64>,
    clock: Clock,
}

impl Watched {
    fn start<S: Store + 'static>(store: impl FnOnce(Clock) -> Result<S, String>) -> Self {
        let clock = Clock::boot();
        let (sender, events) = mpsc::channel(64);
        let (hurry, hurried) = watch::channel(0);
        tokio::spawn(Box::new(store(clock).unwrap()).watch(sender, hurried));
        Self { events, hurry, clock }
    }

    /// The next event that `wanted` picks.
    async fn next<T>(&mut self, what: &str, wanted: impl Fn(&StoreEvent) -> Option<T>) -> T {
        let mut seen = Vec::new();
        let next = async {
            loop {
                let event = self.events.recv().await.expect("the store goes on");
                if let Some(found) = wanted(&event) {
                    return found;
                }
                seen.push(event);
            }
        };
        let found = timeout(PATIENCE, next).await;
        found.unwrap_or_else(|_| panic!("no {what}; the last: {:#?}", seen.last()))
    }

    async fn read(&mut self, what: &str, wanted: impl Fn(&StoreSnapshot) -> bool) -> StoreSnapshot {
        self.next(what, |event| match event {
            StoreEvent::Read(snapshot) if wanted(snapshot) => Some(snapshot.clone()),
            _ => None,
        })
        .await
    }

    async fn lost(&mut self) -> String {
        self.next("loss", |event| match event {
            StoreEvent::Lost { reason } => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    /// While this server is frozen it is lost, within so much time, and found again when it goes on. Why it was lost.
    async fn outlives_a_freeze(&mut self, server: &Child, most: Duration) -> String {
        let reason = self.is_lost_while_frozen(server, most).await;
        signal(server, Signal::CONT);
        self.read("reading after the thaw", leader_is("n1")).await;
        reason
    }

    async fn is_lost_while_frozen(&mut self, server: &Child, most: Duration) -> String {
        signal(server, Signal::STOP);
        let frozen_at = self.clock.now();
        let reason = self.lost().await;
        let took = self.clock.now().since(frozen_at);
        println!("frozen to lost: {took:?}: {reason}");
        assert!(took < most, "{took:?}: {reason}");
        reason
    }

    /// Leaders come and go by `change`: each change is known at once, and each is an election later than the one before.
    async fn follows(
        &mut self,
        first: &LeaderKey,
        leaders: [&str; 3],
        mut change: impl AsyncFnMut(Option<&str>),
    ) {
        let mut worst = Duration::ZERO;
        let mut elected_at = first.elected_at;
        for name in leaders {
            change(None).await;
            self.read("absence", nobody_leads).await;
            change(Some(name)).await;
            let written = self.clock.now();
            let key = self.read("the new leader", leader_is(name)).await.leader.unwrap();
            worst = worst.max(self.clock.now().since(written));
            assert!(key.elected_at > elected_at, "{key:?}");
            elected_at = key.elected_at;
        }
        println!("written to known: at worst {worst:?}");
        assert!(worst < Duration::from_millis(500), "{worst:?}");
    }
}

/// What is there instead, where there is nothing under the scope.
fn nothing(event: &StoreEvent) -> Option<String> {
    match event {
        StoreEvent::Nothing { found } => Some(found.clone()),
        _ => None,
    }
}

fn nobody_leads(snapshot: &StoreSnapshot) -> bool {
    snapshot.leader.is_none()
}

fn leader_is(name: &str) -> impl Fn(&StoreSnapshot) -> bool {
    move |snapshot| snapshot.leader.as_ref().is_some_and(|key| key.member.as_str() == name)
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}
