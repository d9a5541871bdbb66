//! What the person sees while things happen: lines that stay, and one that moves.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use pgsteer_testkit::{Moment, now};

/// Where no terminal moves the line, it is printed this rarely.
const WITHOUT_TERMINAL: Duration = Duration::from_secs(5);

/// The terminal, or a file.
pub(crate) struct Screen {
    begun: Moment,
    moves: bool,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self { begun: now(), moves: std::io::stdout().is_terminal() }
    }

    /// A line that stays, with the seconds since the beginning.
    pub(crate) fn say(&self, text: &str) {
        self.clear();
        println!("[{:5.1} s] {text}", self.begun.elapsed().as_secs_f64());
    }

    /// A line without a time.
    pub(crate) fn line(&self, text: &str) {
        self.clear();
        println!("{text}");
    }

    /// The line that moves; `text` is asked every 200 ms until `until` ends.
    pub(crate) async fn progress<T>(
        &self,
        mut text: impl FnMut() -> String,
        until: impl Future<Output = T>,
    ) -> T {
        let mut until = std::pin::pin!(until);
        let every = if self.moves { Duration::from_millis(200) } else { WITHOUT_TERMINAL };
        let mut tick = tokio::time::interval_at(tokio::time::Instant::from_std(now()) + every, every);
        loop {
            tokio::select! {
                done = &mut until => {
                    self.clear();
                    return done;
                }
                _ = tick.tick() => self.show(&text()),
            }
        }
    }

    fn show(&self, text: &str) {
        let seconds = self.begun.elapsed().as_secs_f64();
        if self.moves {
            print!("\r\x1b[K[{seconds:5.1} s] … {text}");
            let _ = std::io::stdout().flush();
        } else {
            println!("[{seconds:5.1} s] … {text}");
        }
    }

    fn clear(&self) {
        if self.moves {
            print!("\r\x1b[K");
        }
    }
}
