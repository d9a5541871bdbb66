//! A session on its way to its end.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{super::context::Worker, Ended, Flow, Order, Session};

/// Steps in one poll, before it is others' turn.
const STEPS_MAX: u32 = 64;

/// A session on its way to its end.
pub struct Run<'s> {
    session: &'s mut Session,
    worker: Arc<Worker>,
}

impl Session {
    /// Serves the client to the end.
    pub fn run(&mut self) -> Run<'_> {
        Run { worker: self.context.worker.clone(), session: self }
    }
}

impl Future for Run<'_> {
    type Output = Ended;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let Self { session, worker } = self.get_mut();
        session.entry.tether.register(cx);
        let scratch = &mut *worker.scratch.lock();
        let mut now = None;
        for _ in 0..STEPS_MAX {
            let flow = match session.entry.order() {
                Order::None => session.step(&mut now, scratch, cx),
                order => session.obey(order, session.time(&mut now), scratch, cx),
            };
            match flow {
                Flow::Again => {}
                Flow::Wait => return Poll::Pending,
                Flow::End(ended) => return Poll::Ready(ended),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
