//! The one place that reads a clock.
//!
//! Everything else takes `now` as an argument or asks a [`Clock`]. The real clock is `CLOCK_BOOTTIME`: it never
//! jumps and it goes on while the machine is suspended, so a process that slept through a lease knows it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// A point in time: nanoseconds on a [`Clock`]. Only differences mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The beginning of the clock; earlier than every reading.
    pub const ZERO: Self = Self(0);
    /// Later than every reading.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment this many nanoseconds after the clock's beginning.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's beginning.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// How much later this is than `earlier`; zero if it is not later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    /// Saturates at [`Moment::NEVER`].
    fn add(self, by: Duration) -> Self {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

/// What the wall clock shows, in time since 1970. It may jump: for people and their tools alone.
pub fn wall_time() -> Duration {
    reading(rustix::time::ClockId::Realtime)
}

/// CPU time of the whole process so far, user and system.
pub fn cpu_time() -> Duration {
    reading(rustix::time::ClockId::ProcessCPUTime)
}

fn reading(clock: rustix::time::ClockId) -> Duration {
    let t = rustix::time::clock_gettime(clock);
    Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
}

/// Where the time comes from.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Source);

#[derive(Clone, Copy, Debug)]
enum Source {
    Boot,
    Runtime(tokio::time::Instant),
    Suspendable(tokio::time::Instant, &'static AtomicU64),
}

impl Clock {
    /// The machine's clock that also runs during suspend (`CLOCK_BOOTTIME`).
    pub const fn boot() -> Self {
        Self(Source::Boot)
    }

    /// The runtime's own clock, which a test may pause and move. Must be called inside a runtime.
    #[allow(clippy::disallowed_methods)] // this is the one file that may
    pub fn of_runtime() -> Self {
        Self(Source::Runtime(tokio::time::Instant::now()))
    }

    /// The runtime's own clock, and the nanoseconds in `slept` on top of it: what passed while the machine was
    /// suspended, during which the runtime's timers stand still. For simulations. Must be called inside a runtime.
    #[allow(clippy::disallowed_methods)] // this is the one file that may
    pub fn suspendable(slept: &'static AtomicU64) -> Self {
        Self(Source::Suspendable(tokio::time::Instant::now(), slept))
    }

    /// What time it is.
    #[allow(clippy::disallowed_methods)] // this is the one file that may
    pub fn now(&self) -> Moment {
        match self.0 {
            Source::Boot => {
                let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                let seconds = u64::try_from(t.tv_sec).unwrap_or(0);
                let nanos = u64::try_from(t.tv_nsec).unwrap_or(0);
                Moment(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
            }
            // One second in, so that a moment before the start can still be told from the start.
            Source::Runtime(base) => Moment(1_000_000_000) + base.elapsed(),
            Source::Suspendable(base, slept) => {
                let slept = Duration::from_nanos(slept.load(Ordering::Acquire));
                Moment(1_000_000_000) + base.elapsed() + slept
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_suspended_clock_runs_on_while_timers_stand_still() {
        let slept: &'static AtomicU64 = Box::leak(Box::default());
        let clock = Clock::suspendable(slept);
        let began = clock.now();
        tokio::time::sleep(Duration::from_secs(2)).await;
        slept.store(Duration::from_secs(30).as_nanos() as u64, Ordering::Release);
        assert_eq!(clock.now().since(began), Duration::from_secs(32));
    }
}
