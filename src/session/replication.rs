//! A replication connection: a server of its own, and bytes passed on both ways until one side ends.
//!
//! What a standby, a backup or a subscription says to its walsender cannot be shared with anybody, so there is
//! nothing to pool. What holds for every session holds here, too: not a byte to a leader without the right to write
//! (`replication=database` takes any SQL), and not a byte from one that is deposed.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use super::{context::SCRATCH_BYTES, frames::Frames};
use crate::{
    client::registry::{Order, Registered},
    clock::{Clock, Moment},
    cluster::ids::MemberName,
    net::Stream,
    route::{
        router::Router,
        table::{MemberStanding, Target},
    },
    wire::error::{PgError, SqlState},
};

/// How often it is looked again while the right to write is being renewed.
const FENCE_RECHECK: Duration = Duration::from_millis(5);

/// Slices passed on in one poll, before it is others' turn.
const SLICES_MAX: usize = 32;

/// As what a server is used, and what says whether it still is.
#[derive(Clone)]
pub struct Post {
    router: Arc<Router>,
    member: MemberName,
    /// 0: as a replica, or as a leader that is only read from.
    term: u64,
}

impl Post {
    /// A target of the routing table.
    pub fn new(router: Arc<Router>, target: &Target) -> Self {
        Self { router, member: target.member.clone(), term: target.term }
    }

    /// Which member it is.
    pub const fn member(&self) -> &MemberName {
        &self.member
    }

    /// Why the server may not be used any more; `None` while it may. A replica that merely lags behind may: a backup
    /// is no read.
    pub fn is_over(&self) -> Option<String> {
        let table = self.router.load();
        if self.term != 0 && table.term.as_ref().map_or(0, |term| term.epoch) != self.term {
            return Some(format!("{} does not lead the cluster any more", self.member));
        }
        let standing = table.members.get(&self.member).map(|member| member.standing);
        (standing == Some(MemberStanding::Deposed)).then(|| format!("{} was deposed", self.member))
    }

    /// Waits until the server may not be used any more, and says why.
    pub async fn over(&self) -> String {
        loop {
            let changed = self.router.changed();
            if let Some(why) = self.is_over() {
                return why;
            }
            changed.await;
        }
    }

    fn may_send(&self, now: Moment) -> bool {
        self.term == 0 || self.router.may_send(self.term, now)
    }
}

/// How a replication connection ended.
#[derive(Debug)]
pub enum Ended {
    /// The client left, or its connection broke.
    ByClient,
    /// The server ended it; the client has heard everything that it said.
    ByServer,
    /// It was cut off, and the client is to be told this.
    WithError(PgError),
    /// It was cut off in the middle of a message, so that the client cannot be told.
    Garbled(String),
}

/// A replication connection.
pub struct Replication {
    client: Stream,
    server: Stream,
    entry: Registered,
    post: Post,
    clock: Clock,
    up: Pump,
    down: Pump,
    frames: Frames,
    changed: Pin<Box<dyn Future<Output = String> + Send>>,
    alarm: Option<Pin<Box<tokio::time::Sleep>>>,
}

/// Bytes on their way from one side to the other.
struct Pump {
    bytes: Box<[u8]>,
    from: usize,
    to: usize,
    source: Source,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Open,
    Ended,
}

impl Pump {
    fn new(unread: &[u8]) -> Self {
        let mut bytes = vec![0; SCRATCH_BYTES.max(unread.len())].into_boxed_slice();
        bytes[..unread.len()].copy_from_slice(unread);
        Self { bytes, from: 0, to: unread.len(), source: Source::Open }
    }

    fn waiting(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }

    /// Reads more, if everything has been passed on. Whether something is there.
    fn poll_fill(&mut self, stream: &mut Stream, cx: &mut TaskContext<'_>) -> Poll<bool> {
        if self.from < self.to {
            return Poll::Ready(true);
        }
        if self.source == Source::Ended {
            return Poll::Ready(false);
        }
        let read = std::task::ready!(stream.poll_receive(cx, &mut self.bytes)).unwrap_or(0);
        (self.from, self.to) = (0, read);
        if read == 0 {
            self.source = Source::Ended;
        }
        Poll::Ready(read > 0)
    }
}

/// What one direction came to.
enum Moved {
    /// Something was passed on.
    Some,
    /// There is nothing to do for now.
    Nothing,
    /// Its source has ended, and everything was passed on.
    Over,
    /// Its destination takes nothing any more.
    Broken(io::Error),
}

impl Replication {
    /// A client that has just been told that it is in, and its server. `unread` is what came behind its login.
    pub fn new(
        client: Stream,
        server: Stream,
        entry: Registered,
        post: Post,
        clock: Clock,
        unread: &[u8],
    ) -> Self {
        let watched = post.clone();
        Self {
            client,
            server,
            entry,
            post,
            clock,
            up: Pump::new(unread),
            down: Pump::new(&[]),
            frames: Frames::default(),
            changed: Box::pin(async move { watched.over().await }),
            alarm: None,
        }
    }

    /// Passes bytes on until one side ends or it is cut off. The client's connection is given back for a last word.
    pub async fn run(mut self) -> (Stream, Ended) {
        let ended = std::future::poll_fn(|cx| self.poll(cx)).await;
        // Whatever the server was doing ends with its connection.
        (self.client, ended)
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Ended> {
        self.entry.tether.register(cx);
        for _ in 0..SLICES_MAX {
            // The one wakes, the other is the very newest.
            let why = match self.changed.as_mut().poll(cx) {
                Poll::Ready(why) => Some(why),
                Poll::Pending => self.post.is_over(),
            };
            if let Some(why) = why {
                return Poll::Ready(self.cut(PgError::fatal(SqlState::ADMIN_SHUTDOWN, LOST).detail(why)));
            }
            if let Some(ended) = self.obey() {
                return Poll::Ready(ended);
            }
            let up = self.up(cx);
            let down = self.down(cx);
            match (up, down) {
                (_, Moved::Over) => return Poll::Ready(Ended::ByServer),
                (_, Moved::Broken(_)) | (Moved::Over, _) => return Poll::Ready(Ended::ByClient),
                // What the server said before it went comes first.
                (Moved::Broken(error), Moved::Nothing) => {
                    let error = PgError::fatal(SqlState::CONNECTION_FAILURE, LOST).detail(error.to_string());
                    return Poll::Ready(self.cut(error));
                }
                (Moved::Nothing, Moved::Nothing) => return Poll::Pending,
                (Moved::Some | Moved::Broken(_), _) | (_, Moved::Some) => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// From the client to the server: each slice only with the right to write.
    fn up(&mut self, cx: &mut TaskContext<'_>) -> Moved {
        match self.up.poll_fill(&mut self.client, cx) {
            Poll::Pending => return Moved::Nothing,
            Poll::Ready(false) => return Moved::Over,
            Poll::Ready(true) => {}
        }
        if !self.post.may_send(self.clock.now()) {
            return self.wait_for_right(cx);
        }
        self.alarm = None;
        match self.server.poll_send(cx, self.up.waiting()) {
            Poll::Pending => Moved::Nothing,
            Poll::Ready(Ok(0)) => Moved::Broken(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Err(error)) => Moved::Broken(error),
            Poll::Ready(Ok(sent)) => {
                self.up.from += sent;
                self.frames.asked();
                Moved::Some
            }
        }
    }

    fn wait_for_right(&mut self, cx: &mut TaskContext<'_>) -> Moved {
        loop {
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(FENCE_RECHECK)));
            if alarm.as_mut().poll(cx).is_pending() {
                return Moved::Nothing;
            }
            self.alarm = None;
            if self.post.may_send(self.clock.now()) {
                return Moved::Some;
            }
        }
    }

    fn down(&mut self, cx: &mut TaskContext<'_>) -> Moved {
        match self.down.poll_fill(&mut self.server, cx) {
            Poll::Pending => return Moved::Nothing,
            Poll::Ready(false) => return Moved::Over,
            Poll::Ready(true) => {}
        }
        match self.client.poll_send(cx, self.down.waiting()) {
            Poll::Pending => Moved::Nothing,
            Poll::Ready(Ok(0)) => Moved::Broken(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Err(error)) => Moved::Broken(error),
            Poll::Ready(Ok(sent)) => {
                let slice = self.down.from..self.down.from + sent;
                self.frames.said(&self.down.bytes[slice]);
                self.down.from += sent;
                Moved::Some
            }
        }
    }

    /// Does as it is told from outside. A stream has no end to be waited for, and whoever reads it goes on where it
    /// stopped; a command is let finish.
    fn obey(&self) -> Option<Ended> {
        match self.entry.order() {
            Order::Terminate => {}
            Order::Drain if self.frames.is_at_rest() => {}
            Order::None | Order::Drain => return None,
            // Time limits are for those who hold up others.
            order => {
                self.entry.followed(order);
                return None;
            }
        }
        let message = "terminating connection due to administrator command";
        let error = PgError::fatal(SqlState::ADMIN_SHUTDOWN, message).detail("pgsteer is shutting down.");
        Some(self.cut(error))
    }

    fn cut(&self, error: PgError) -> Ended {
        if self.frames.is_between() {
            Ended::WithError(error)
        } else {
            Ended::Garbled(error.detail.map_or_else(|| error.message.to_string(), |why| why.to_string()))
        }
    }
}

/// What a client is told whose server is lost.
const LOST: &str = "the connection to the server was lost";
