//! A replication connection: a server of its own, and bytes passed on both ways until one side ends.
//!
//! What a standby, a backup or a subscription says to its walsender cannot be shared with anybody, so there is
//! nothing to pool. What holds for every session holds here, too: not a byte to a leader without the right to write
//! (`replication=database` takes any SQL), not a byte from one that is deposed, and none from one that nobody watches:
//! it may have been deposed while this process stood still.

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

/// How often it is looked again while the right to write is being renewed, or nobody watches the leader.
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
    patience: Option<Duration>,
}

impl Post {
    /// A target of the routing table. What it says waits for `patience` at most (`None`: for ever) until somebody watches it.
    pub fn new(router: Arc<Router>, target: &Target, patience: Option<Duration>) -> Self {
        Self { router, member: target.member.clone(), term: target.term, patience }
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

    /// Whether what the server has said may be passed on. A replica is in no office. Somebody who watches says first what has
    /// become of the leader, so that is asked last.
    fn is_believed(&self, now: Moment) -> bool {
        self.term == 0 || (self.router.fence().is_attended(now) && self.is_over().is_none())
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
    /// What waits for the right to write.
    fenced: Vigil,
    /// What the server has said waits until somebody watches it.
    unproven: Vigil,
}

/// Looks again and again, as long as something may not be passed on.
#[derive(Default)]
struct Vigil {
    since: Option<Moment>,
    alarm: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Vigil {
    /// Looks whether it may be by now; otherwise the task is woken to look again. Since when it is waited for.
    fn look(
        &mut self,
        may: impl Fn(Moment) -> bool,
        clock: Clock,
        cx: &mut TaskContext<'_>,
    ) -> Option<Moment> {
        loop {
            let now = clock.now();
            if may(now) {
                *self = Self::default();
                return None;
            }
            let since = *self.since.get_or_insert(now);
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(FENCE_RECHECK)));
            if alarm.as_mut().poll(cx).is_pending() {
                return Some(since);
            }
            self.alarm = None;
        }
    }
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
    /// It may not be passed on for now, and waits since then.
    Held(Moment),
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
            fenced: Vigil::default(),
            unproven: Vigil::default(),
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
            if let Moved::Held(since) = down
                && self.post.patience.is_some_and(|patience| self.clock.now().since(since) >= patience)
            {
                let why = format!("{} was not seen to lead the cluster again in time", self.post.member);
                return Poll::Ready(self.cut(PgError::fatal(SqlState::ADMIN_SHUTDOWN, LOST).detail(why)));
            }
            match (up, down) {
                (_, Moved::Over) => return Poll::Ready(Ended::ByServer),
                (_, Moved::Broken(_)) | (Moved::Over, _) => return Poll::Ready(Ended::ByClient),
                // What the server said before it went comes first.
                (Moved::Broken(error), Moved::Nothing) => {
                    let error = PgError::fatal(SqlState::CONNECTION_FAILURE, LOST).detail(error.to_string());
                    return Poll::Ready(self.cut(error));
                }
                (Moved::Nothing | Moved::Held(_), Moved::Nothing | Moved::Held(_))
                | (Moved::Broken(_), Moved::Held(_)) => return Poll::Pending,
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
        if let Some(since) = self.fenced.look(|now| self.post.may_send(now), self.clock, cx) {
            return Moved::Held(since);
        }
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

    /// From the server to the client: a leader's word only while somebody watches it, at this very moment.
    fn down(&mut self, cx: &mut TaskContext<'_>) -> Moved {
        match self.down.poll_fill(&mut self.server, cx) {
            Poll::Pending => return Moved::Nothing,
            Poll::Ready(false) => return Moved::Over,
            Poll::Ready(true) => {}
        }
        if let Some(since) = self.unproven.look(|now| self.post.is_believed(now), self.clock, cx) {
            return Moved::Held(since);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::{fence::Fence, topology::Term},
        net::Address,
        route::table::RoutingTable,
    };

    #[test]
    fn a_leader_is_believed_while_it_is_watched_and_leads() {
        let router = Arc::new(Router::new(Arc::new(Fence::closed())));
        let lead = |epoch| {
            let term = Some(Term { epoch, member: "a".into(), timeline: 1 });
            router.publish(RoutingTable { term, ..RoutingTable::unknown() })
        };
        assert!(lead(3));
        let [leader, replica] = [3, 0].map(|term| {
            let target = Target { member: "a".into(), address: Address::tcp("a", 5432), term };
            Post::new(router.clone(), &target, None)
        });
        let believed = || [&leader, &replica].map(|post| post.is_believed(Moment::ZERO));
        assert_eq!(believed(), [true, true]);
        router.fence().attend(Moment::ZERO);
        assert_eq!(believed(), [false, true]);
        router.fence().attend(Moment::NEVER);
        assert_eq!(believed(), [true, true]);
        assert!(lead(4));
        assert_eq!(believed(), [false, true], "watched, and seen to lead no more");
    }
}
