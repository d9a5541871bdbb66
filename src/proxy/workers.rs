//! Workers: a thread each, with a runtime of its own. Nothing moves from one to another.

use std::{io, thread::JoinHandle};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// Running workers; they end when this is dropped.
pub(super) struct Threads {
    pub(super) handles: Vec<Handle>,
    stop: Vec<oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Starts so many workers.
    pub(super) fn start(count: usize) -> io::Result<Self> {
        let mut started = Self { handles: Vec::new(), stop: Vec::new(), threads: Vec::new() };
        for index in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            started.handles.push(runtime.handle().clone());
            let (stop, stopped) = oneshot::channel();
            started.stop.push(stop);
            let name = format!("worker-{index}");
            started.threads.push(std::thread::Builder::new().name(name).spawn(move || {
                // Ends when told to, or when whoever would tell is gone.
                let _ = runtime.block_on(stopped);
                runtime.shutdown_background();
            })?);
        }
        Ok(started)
    }

    /// Ends the workers and what runs on them.
    pub(super) fn stop(self) {
        drop(self.stop);
        for thread in self.threads {
            // A worker that panicked has ended too.
            let _ = thread.join();
        }
    }
}

/// As many as the machine has cores, where the configuration does not say.
pub(super) fn count(configured: u32) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        workers => workers as usize,
    }
}
