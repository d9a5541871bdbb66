//! The stores against the real thing, or where there is none to be had, against a stand-in that speaks its protocol.

#![allow(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

mod consul;
mod etcd2;
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
        Store, StoreEvent, StoreSnapshot,
        policy::{Reach, StorePolicy, Token},
    },
    net::NetDialer,
};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

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
}

fn leader_is(name: &str) -> impl Fn(&StoreSnapshot) -> bool {
    move |snapshot| snapshot.leader.as_ref().is_some_and(|key| key.member.as_str() == name)
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}
