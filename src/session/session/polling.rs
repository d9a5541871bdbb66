//! A session as a future.

use std::{
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

use super::{Ended, Flow, Order, Session};

/// Steps in one poll, before it is others' turn.
const STEPS_MAX: u32 = 64;

impl Future for Session {
    type Output = Ended;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Ended> {
        let session = self.get_mut();
        session.entry.tether.register(cx);
        let now = session.context.clock.now();
        for _ in 0..STEPS_MAX {
            let flow = match session.entry.order() {
                Order::None => session.step(now, cx),
                order => session.obey(order, now, cx),
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
