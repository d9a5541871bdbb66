//! The use of one endpoint, from the first reading until something fails.

use std::{future::Future, pin::Pin};

use etcd_client::{Event, EventType, WatchOptions, WatchResponse, WatchStream};
use tokio::{
    sync::watch,
    time::{Sleep, sleep},
};

use super::{
    in_time, in_words, nothing_found,
    reading::{Reader, Reading, entry, list_scopes, name},
    unsigned,
};
use crate::cluster::store::{
    StoreEvent,
    keys::Keys,
    policy::StorePolicy,
    report::{Closed, Ended, Reporter},
};

/// A reading that is under way.
type UnderWay = Pin<Box<dyn Future<Output = Result<Reading, String>> + Send>>;

/// Why a watch ended.
enum Stop {
    /// What it should tell next was compacted away: read everything and watch from there.
    Compacted,
    /// The endpoint failed.
    Failed(String),
    /// The events are not received any more.
    NobodyListens,
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

impl From<Closed> for Stop {
    fn from(_: Closed) -> Self {
        Self::NobodyListens
    }
}

/// The keys as the watch and the readings have left them.
struct Mirror {
    keys: Keys,
    revision: u64,
}

/// Reads, watches and reads again, until the endpoint fails.
pub(super) async fn run(
    reader: &Reader,
    policy: &StorePolicy,
    reporter: &mut Reporter,
    hurry: &mut watch::Receiver<u64>,
) -> Ended {
    let mut worked = false;
    loop {
        let reading = match reader.read(None).await {
            Ok(reading) => reading,
            Err(reason) => return Ended::Failed { reason, worked },
        };
        worked = true;
        let mut mirror = Mirror { keys: Keys::default(), revision: 0 };
        let mut session = Session { reader, policy, reporter, mirror: &mut mirror };
        match session.follow(reading, hurry).await {
            Stop::Compacted => {}
            Stop::Failed(reason) => return Ended::Failed { reason, worked },
            Stop::NobodyListens => return Ended::NobodyListens,
        }
    }
}

struct Session<'a> {
    reader: &'a Reader,
    policy: &'a StorePolicy,
    reporter: &'a mut Reporter,
    mirror: &'a mut Mirror,
}

impl Session<'_> {
    async fn follow(&mut self, first: Reading, hurry: &mut watch::Receiver<u64>) -> Stop {
        match self.try_follow(first, hurry).await {
            Err(stop) => stop,
            Ok(never) => match never {},
        }
    }

    /// Watches from the first reading on. A reading is under way at most once; what becomes doubtful meanwhile is
    /// read again right after it.
    async fn try_follow(
        &mut self,
        first: Reading,
        hurry: &mut watch::Receiver<u64>,
    ) -> Result<std::convert::Infallible, Stop> {
        let from = first.revision + 1;
        self.take(first).await?;
        let mut watch = self.watch_from(from).await?;
        let mut under_way: Option<UnderWay> = None;
        let mut due = Box::pin(sleep(self.policy.reread_interval));
        let mut hurried = *hurry.borrow_and_update();
        loop {
            tokio::select! {
                biased;
                message = watch.message() => {
                    let message = message.map_err(|error| in_words(&error))?;
                    let message = message.ok_or_else(|| "the watch ended".to_owned())?;
                    if self.changed(&message).await? == Touched::Leader {
                        // Also when a reading is under way: it may have been asked for before this.
                        due = self.at_once();
                    }
                }
                reading = finished(&mut under_way) => {
                    under_way = None;
                    self.take(reading?).await?;
                    let wanted = *hurry.borrow_and_update();
                    if wanted != hurried {
                        hurried = wanted;
                        due = self.at_once();
                    }
                }
                changed = hurry.changed(), if under_way.is_none() => {
                    changed.map_err(|_| Stop::NobodyListens)?;
                    hurried = *hurry.borrow_and_update();
                    due = self.at_once();
                }
                () = &mut due, if under_way.is_none() => {
                    under_way = Some(self.read_again());
                    due = Box::pin(sleep(self.policy.reread_interval));
                }
            }
        }
    }

    fn at_once(&self) -> Pin<Box<Sleep>> {
        Box::pin(sleep(std::time::Duration::ZERO))
    }

    fn read_again(&self) -> UnderWay {
        let reader = self.reader.clone();
        let lease = self.mirror.keys.leader().map(|entry| entry.lease).filter(|lease| *lease != 0);
        Box::pin(async move { reader.read(lease).await })
    }

    async fn watch_from(&self, revision: u64) -> Result<WatchStream, String> {
        let revision = i64::try_from(revision).unwrap_or(i64::MAX);
        let options = WatchOptions::new().with_prefix().with_start_revision(revision).with_progress_notify();
        let mut client = self.reader.client.watch_client();
        in_time(client.watch(self.reader.prefix.as_str(), Some(options))).await
    }

    /// Takes in a whole reading. Where the watch has been faster only its right to write is news, if the leader key
    /// is still the one it was read with.
    async fn take(&mut self, reading: Reading) -> Result<(), Stop> {
        let Reading { asked_at, revision, keys, right_until } = reading;
        if revision >= self.mirror.revision {
            *self.mirror = Mirror { keys, revision };
        } else if keys.leader() != self.mirror.keys.leader() {
            return Ok(());
        }
        let revision = self.mirror.revision;
        if self.mirror.keys.0.is_empty() {
            return self.nothing().await;
        }
        Ok(self.reporter.read(&self.mirror.keys, revision, asked_at, right_until).await?)
    }

    async fn nothing(&self) -> Result<(), Stop> {
        let scopes = list_scopes(self.reader, &self.policy.namespace_path()).await?;
        let found = nothing_found(self.policy, &scopes);
        Ok(self.reporter.send(StoreEvent::Nothing { found }).await?)
    }

    /// Takes in what the watch tells. A message holds whole revisions.
    async fn changed(&mut self, message: &WatchResponse) -> Result<Touched, Stop> {
        if message.compact_revision() != 0 {
            return Err(Stop::Compacted);
        }
        if message.canceled() {
            return Err(Stop::Failed(format!("the watch was cancelled: {}", message.cancel_reason())));
        }
        let mut touched = Touched::Nothing;
        let before = self.mirror.revision;
        for event in message.events() {
            touched = touched.max(self.mirror.apply(&self.reader.prefix, event, before));
        }
        if touched == Touched::Nothing {
            return Ok(touched);
        }
        if self.mirror.keys.0.is_empty() {
            self.nothing().await?;
        } else {
            let now = self.reporter.clock.now();
            self.reporter.read(&self.mirror.keys, self.mirror.revision, now, None).await?;
        }
        Ok(touched)
    }
}

/// What an event concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Touched {
    Nothing,
    Other,
    Leader,
}

impl Mirror {
    /// Takes in one event, unless it is no newer than revision `before`, which a reading has covered.
    fn apply(&mut self, prefix: &str, event: &Event, before: u64) -> Touched {
        let Some((kv, key)) = event.kv().and_then(|kv| Some((kv, name(prefix, kv)?))) else {
            return Touched::Nothing;
        };
        let revision = unsigned(kv.mod_revision());
        if revision <= before {
            return Touched::Nothing;
        }
        self.revision = self.revision.max(revision);
        let touched = if key == "leader" { Touched::Leader } else { Touched::Other };
        match event.event_type() {
            EventType::Put => self.keys.0.insert(key, entry(kv)),
            EventType::Delete => self.keys.0.remove(&key),
        };
        touched
    }
}

/// The reading under way, once it is finished; for ever pending while there is none.
async fn finished(under_way: &mut Option<UnderWay>) -> Result<Reading, String> {
    match under_way {
        Some(reading) => reading.await,
        None => std::future::pending().await,
    }
}
