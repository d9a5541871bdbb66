//! The shared connection itself: opened on the leader, told what to listen on, listened to.

use std::{io, pin::Pin, sync::Arc, time::Duration};

use tokio::{io::AsyncWriteExt as _, sync::mpsc, time::Sleep};

use super::{hub::Event, switchboard::Hall};
use crate::{
    auth::secrets::Credential,
    net::Inbox,
    pool::account::Account,
    route::table::{Target, WriteRoute},
    server::{ServerLogin, connect},
    wire::frame::{cstr, put, put_cstr},
};

/// The longest message that is taken: a notification has 8000 bytes of payload at most.
const MESSAGE_MAX: usize = 64 * 1024;

/// How often it is looked whether there is the right to send again.
const FENCE_RECHECK: Duration = Duration::from_millis(20);

/// How long clients wait for a round trip, at most: longer than a server takes that has much to do, and no more than can be spared once
/// when it is frozen.
const ROUND_TRIP_MAX: Duration = Duration::from_millis(500);

/// The pause before another attempt, and the longest: it doubles.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// One attempt to be the shared connection, from opening it to its end.
pub(super) struct Link {
    pub(super) hall: Arc<Hall>,
    /// Which attempt this is; what an earlier one reports is not heeded.
    pub(super) number: u64,
    /// Attempts that have failed since the last that did not.
    pub(super) failures: u32,
    /// As whom to log in.
    pub(super) account: Arc<Account>,
    /// What to run, one at a time.
    pub(super) scripts: mpsc::Receiver<Vec<u8>>,
}

impl Link {
    /// Serves until the connection ends.
    pub(super) async fn run(mut self) {
        if self.failures > 0 {
            let pause = PAUSES.0.saturating_mul(1 << (self.failures - 1).min(16));
            tokio::time::sleep(pause.min(PAUSES.1)).await;
        }
        if let Err(error) = self.serve().await {
            tracing::warn!(
                user = %self.account.user, database = %self.account.database,
                "the connection that listens for notifications ended: {error}"
            );
        }
        self.hall.happens(self.number, Event::Broke);
    }

    async fn serve(&mut self) -> io::Result<()> {
        let target = self.leader().await;
        let settings = self.account.settings.load_full();
        let dial = self.hall.pools.dial();
        let login = self.login();
        let opened = connect(&*dial, &target.address, &login);
        let opened = tokio::time::timeout(settings.connect_timeout, opened).await;
        let connected = opened.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        let mut stream = connected.map_err(|error| io::Error::other(error.to_string()))?.stream;
        self.hall.happens(self.number, Event::Opened);
        let router = self.hall.router.clone();
        let mut inbox = Inbox::default();
        // What is to be sent once there is the right to, and until when the answer is there in time.
        let (mut unsent, mut in_time): (Option<Vec<u8>>, _) = (None, None);
        loop {
            let changed = router.changed();
            let may_send = match &router.load().write {
                WriteRoute::Open(now) if *now == target => self.has_right(&target),
                WriteRoute::Open(_) => return Err(io::Error::other("its server is not the leader any more")),
                // Perhaps the same one will be: until that is known nothing is asked of it.
                WriteRoute::Wait(_) => false,
            };
            if may_send && let Some(script) = unsent.take() {
                let mut query = Vec::with_capacity(script.len() + 6);
                put(&mut query, b'Q', |out| put_cstr(out, &script));
                stream.write_all(&query).await?;
            }
            tokio::select! {
                biased;
                script = self.scripts.recv() => {
                    let Some(script) = script else { return Ok(()) };
                    unsent = Some(script);
                    in_time = Some(Box::pin(tokio::time::sleep(ROUND_TRIP_MAX)));
                }
                frame = inbox.frame(&mut stream, MESSAGE_MAX) => {
                    let (tag, body) = frame.map_err(io::Error::from)?;
                    if tag == b'Z' {
                        in_time = None;
                    }
                    self.received(tag, body, &target)?;
                }
                () = passed(in_time.as_mut()) => {
                    in_time = None;
                    self.hall.happens(self.number, Event::Late);
                }
                () = changed => {}
                () = tokio::time::sleep(FENCE_RECHECK), if !may_send => {}
            }
        }
    }

    /// Whether there is the right to send to the leader.
    fn has_right(&self, target: &Target) -> bool {
        target.term == 0 || self.hall.router.may_send(target.term, self.hall.pools.clock().now())
    }

    /// The leader, as soon as there is one.
    async fn leader(&self) -> Target {
        loop {
            let changed = self.hall.router.changed();
            if let WriteRoute::Open(target) = &self.hall.router.load().write {
                return target.clone();
            }
            changed.await;
        }
    }

    fn login(&self) -> ServerLogin {
        let credential = self.account.credential.load_full();
        let settings = self.account.settings.load();
        ServerLogin {
            user: self.account.user.to_string(),
            database: self.account.database.to_string(),
            parameters: vec![
                ("client_encoding".to_owned(), self.hall.encoding.to_string()),
                ("application_name".to_owned(), "pgsteer notifications".to_owned()),
            ],
            credential: credential.map_or(Credential::None, |credential| (*credential).clone()),
            protocol: settings.protocol,
            approach: settings.approach.clone(),
        }
    }

    fn received(&self, tag: u8, body: &[u8], target: &Target) -> io::Result<()> {
        match tag {
            b'A' => {
                let Some((pid, channel, payload)) = notification(body) else {
                    return Err(io::ErrorKind::InvalidData.into());
                };
                self.hall.heard(self.number, &target.address, pid, channel, payload);
            }
            b'Z' => self.hall.happens(self.number, Event::Ran),
            b'E' => return Err(io::Error::other("the server refused")),
            _ => {}
        }
        Ok(())
    }
}

/// Ends with the time; never where there is none.
async fn passed(time: Option<&mut Pin<Box<Sleep>>>) {
    match time {
        Some(time) => time.await,
        None => std::future::pending().await,
    }
}

/// Process id, channel and payload of a NotificationResponse.
pub(super) fn notification(body: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let (pid, rest) = body.split_first_chunk()?;
    let (channel, rest) = cstr(rest)?;
    let (payload, _) = cstr(rest)?;
    Some((u32::from_be_bytes(*pid), channel, payload))
}
