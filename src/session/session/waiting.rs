//! A client that waits for a server: in a pool's line, or for whatever must come before it.

use std::{future::Future, pin::Pin, task::Poll};

use super::super::{acquire::Request, routes::Way, way_out::Given};
use super::{
    Attempt, Ended, Flow, Granted, INBOX_BYTES_MAX, Moment, Needs, PgError, Phase, Refusal, Scratch, Session,
    SqlState, Start, TaskContext, WAIT_NOTICE_AFTER, query_wait_timeout,
};
use crate::{client::registry::Activity, pool::line::WaitGuard, wire::state::Carried};

/// A client that stands in a pool's line.
pub(super) struct Line {
    guard: WaitGuard,
    way: Way,
    since: Moment,
    notice: Notice,
}

/// A client that waits for whatever must come before its server.
pub(super) struct Waiting {
    granted: Pin<Box<dyn Future<Output = Result<Granted, PgError>> + Send>>,
    given: Given,
    since: Moment,
    notice: Notice,
}

/// Whether a waiting client was told that it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notice {
    Due,
    Given,
}

impl Session {
    pub(super) fn wait(&mut self, start: Start, now: Moment) {
        self.entry.enter(Activity::Waiting, now);
        self.phase = match start {
            Start::Line(guard, way) => {
                Phase::Line(Box::new(Line { guard, way, since: now, notice: Notice::Due }))
            }
            start => self.wait_for(start, now, now, Notice::Due),
        };
    }

    pub(in crate::session) fn needs(&self) -> Needs<'_> {
        Needs {
            context: &self.context,
            tenant: &self.tenant,
            purpose: self.purpose(),
            selection: self.selection,
            avoid: self.avoided(),
            tether: &self.entry.tether,
            last_lease: self.last_lease,
            parameters: &self.parameters,
            own: self.own,
            state: &self.state,
            flavour: self.flavour.number(),
            mode: self.mode,
            goal: self.promise.as_ref().map(|promise| &promise.goal).filter(|goal| !goal.is_empty()),
        }
    }

    /// Waits for whatever comes first, after the client has stood in line since it began to wait.
    fn wait_for(&self, start: Start, since: Moment, now: Moment, notice: Notice) -> Phase {
        let granted = Box::pin(self.needs().request().acquire(start, now.since(since)));
        Phase::Waiting(Box::new(Waiting { granted, given: Given::All, since, notice }))
    }

    /// The client's state was refused, but this much of it is enough for its request.
    #[cold]
    fn wait_with_less(&self, state: Carried, since: Moment, now: Moment, notice: Notice) -> Phase {
        let request = Request { state, given: Given::InPart, ..self.needs().request() };
        let granted = Box::pin(request.acquire(Start::Route, now.since(since)));
        Phase::Waiting(Box::new(Waiting { granted, given: Given::InPart, since, notice }))
    }

    pub(super) fn line(
        &mut self,
        mut line: Box<Line>,
        now: Moment,
        scratch: &mut Scratch,
        cx: &mut TaskContext<'_>,
    ) -> Flow {
        let start = match line.guard.poll(cx) {
            Poll::Ready(Ok(lease)) => {
                self.context.worker.counters.server_waits.record(now.since(line.since));
                let way = line.way.clone();
                match self.needs().handed_over(lease, way, now, cx) {
                    Attempt::Ready(granted) => return self.start_waited(granted, now, scratch, cx),
                    Attempt::Slow(start) => start,
                }
            }
            Poll::Ready(Err(Refusal::Rerouted)) => Start::Route,
            Poll::Ready(Err(Refusal::Error(error))) => Start::Refused(error),
            Poll::Pending => {
                let settings = self.tenant.account.settings.load();
                if settings.query_wait_timeout.is_some_and(|limit| now.since(line.since) >= limit) {
                    self.context.worker.counters.server_waits.record(now.since(line.since));
                    let error = query_wait_timeout(&line.way, self.flavour.number());
                    drop(line);
                    return self.reject(&error, now);
                }
                self.give_notice(line.since, &mut line.notice, now, cx);
                let notice_or_gone = self.listen_while_waiting(scratch, cx);
                self.phase = Phase::Line(line);
                return notice_or_gone;
            }
        };
        self.phase = self.wait_for(start, line.since, now, line.notice);
        Flow::Again
    }

    pub(super) fn waiting(
        &mut self,
        mut waiting: Box<Waiting>,
        now: Moment,
        scratch: &mut Scratch,
        cx: &mut TaskContext<'_>,
    ) -> Flow {
        match waiting.granted.as_mut().poll(cx) {
            Poll::Ready(Ok(granted)) => self.start_waited(granted, now, scratch, cx),
            Poll::Ready(Err(error)) => {
                if waiting.given == Given::All
                    && let Some(enough) = self.enough_state()
                {
                    let Waiting { since, notice, .. } = *waiting;
                    self.phase = self.wait_with_less(enough, since, now, notice);
                    return Flow::Again;
                }
                self.heard_of_loss(&error);
                self.reject(&error, now)
            }
            Poll::Pending => {
                self.give_notice(waiting.since, &mut waiting.notice, now, cx);
                let flow = self.listen_while_waiting(scratch, cx);
                self.phase = Phase::Waiting(waiting);
                flow
            }
        }
    }

    /// The server that was waited for is there.
    fn start_waited(
        &mut self,
        granted: Granted,
        now: Moment,
        scratch: &mut Scratch,
        cx: &mut TaskContext<'_>,
    ) -> Flow {
        let inbox = std::mem::take(&mut self.inbox);
        self.start(granted, &inbox, &mut scratch.output, now, cx)
    }

    /// A client that waits long is told so.
    fn give_notice(&mut self, since: Moment, notice: &mut Notice, now: Moment, cx: &mut TaskContext<'_>) {
        if *notice == Notice::Given || now.since(since) < WAIT_NOTICE_AFTER {
            return;
        }
        *notice = Notice::Given;
        let mut message = Vec::new();
        PgError::notice(SqlState::WARNING, "waiting for a server connection").encode(&mut message);
        self.outbox.push(&message);
        // Should the client be gone, reading from it tells.
        let _flushed = self.poll_tell(cx);
    }

    /// While a client waits, what it sends is kept, up to a bound; that its connection has broken is noticed. One that has
    /// only ended its side is served all the same: what it sent before, PostgreSQL would run.
    pub(super) fn listen_while_waiting(&mut self, scratch: &mut Scratch, cx: &mut TaskContext<'_>) -> Flow {
        while self.inbox.len() < INBOX_BYTES_MAX {
            match self.stream.poll_receive(cx, &mut scratch.input) {
                Poll::Pending | Poll::Ready(Ok(0)) => break,
                Poll::Ready(Err(_)) => return Flow::End(Ended::ByClient),
                Poll::Ready(Ok(bytes)) => {
                    self.context.worker.counters.client_bytes.add(bytes as u64);
                    self.inbox.extend_from_slice(&scratch.input[..bytes]);
                }
            }
        }
        Flow::Wait
    }
}
