//! When things happened, and waiting for conditions.

use std::time::Duration;

use anyhow::anyhow;
use tokio::time::MissedTickBehavior;

/// A point in time in this process; the machine is not suspended during a test.
pub type Moment = std::time::Instant;

/// The time.
#[expect(clippy::disallowed_methods, reason = "the one place of the tests that reads the clock")]
pub fn now() -> Moment {
    Moment::now()
}

/// Asks again every 20 ms until the answer is `Some`, at most for `within`.
///
/// # Errors
/// The condition did not hold in time; `what` says which.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> crate::Result<T> {
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let asking = async {
        loop {
            tick.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(within, asking).await.map_err(|_| anyhow!("waited {within:?} in vain: {what}"))
}
