//! What ends a program from outside.

use tokio::signal::unix::{SignalKind, signal};

/// Ends when this process is told to: Ctrl-C, SIGTERM, or its terminal is gone. What the program started goes when it is
/// dropped.
pub async fn interrupted() {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = kinds.map(signal) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => (),
        _ = terminate.recv() => (),
        _ = hangup.recv() => (),
    }
}
