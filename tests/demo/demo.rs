//! `make demo`: a Patroni cluster with pgsteer in front of it, its leader killed, and what clients saw of that.
//!
//! `KEEP=1` leaves everything running at the end, until Ctrl-C. Ctrl-C leaves nothing behind at any time.
//! The exit code is 0 only if service resumed and no acknowledged write was lost.

mod screen;
mod story;
mod verdict;

use std::process::ExitCode;

use pgsteer_testkit::{Result, interrupted};

use screen::Screen;

/// As a shell would say of a program that was interrupted.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("demo: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        let told = tokio::select! {
            told = tell() => told,
            () = interrupted() => {
                println!("\nstopped; nothing is left running");
                return ExitCode::from(INTERRUPTED);
            }
        };
        match told {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("\ndemo: {error:?}");
                ExitCode::FAILURE
            }
        }
    })
}

/// The whole demo. Whatever it started goes when this future is dropped, finished or not.
async fn tell() -> Result<bool> {
    let screen = Screen::new();
    let (mut stage, load) = story::open(&screen).await?;
    let failover = story::kill_the_leader(&screen, &mut stage, load).await?;
    let good = verdict::print(&screen, &stage, &failover).await?;
    if std::env::var_os("KEEP").is_some_and(|keep| !keep.is_empty() && keep != "0") {
        story::keep(&screen, &mut stage, &failover.old).await?;
    }
    Ok(good)
}
