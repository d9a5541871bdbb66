//! Listening to idle servers, so that a dead one is noticed before a client gets it.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use atomic_waker::AtomicWaker;

use super::{
    pool::{Afterwards, Pool},
    pools::Pools,
    slots::Event,
};
use crate::clock::Moment;

/// Woken when an idle server of one worker has something to say.
#[derive(Debug, Default)]
pub struct IdleWatch {
    fired: AtomicBool,
    janitor: AtomicWaker,
}

impl Wake for IdleWatch {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.fired.store(true, Ordering::Release);
        self.janitor.wake();
    }
}

impl Pools {
    /// Watches over the idle servers of a worker for as long as it is polled. To be run on that worker.
    pub async fn watch_idle(self, worker: usize) {
        let Some(watch) = self.watch(worker).cloned() else { return };
        let waker = Waker::from(watch.clone());
        loop {
            poll_fn(|cx| {
                watch.janitor.register(cx.waker());
                if watch.fired.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            for (_, pool) in self.all() {
                pool.listen_to_idle(worker, &waker);
            }
        }
    }
}

impl Pool {
    /// Looks at the clock: expired servers go, waiting clients get the reserve.
    pub(super) fn tick(self: &Arc<Self>, now: Moment) {
        if *self.deposed.borrow() {
            return;
        }
        self.handle(now, Event::Tick);
    }

    fn listen_to_idle(self: &Arc<Self>, worker: usize, waker: &Waker) {
        let mut cx = Context::from_waker(waker);
        let now = self.shared.clock.now();
        let mut state = self.state.lock();
        let mut gone = Vec::new();
        let mut afterwards = Afterwards::default();
        for id in state.slots.idle_servers(worker).to_vec() {
            let Some(server) = state.servers.get_mut(id).and_then(Option::as_mut) else { continue };
            if let Err(why) = server.conn.poll_idle(&mut cx) {
                let actions = state.slots.handle(now, Event::Broken(id));
                afterwards.append(state.perform(actions));
                gone.push(why);
            }
        }
        drop(state);
        self.follow_up(afterwards, now);
        for why in gone {
            tracing::info!(member = %self.member, user = %self.account.user, database = %self.account.database,
                "an idle server is gone: {why}");
            self.shared.suspect(self, &format!("an idle connection ended: {why}"));
        }
    }
}
