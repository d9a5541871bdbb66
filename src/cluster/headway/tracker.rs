//! Asks one replica how far it has come, for as long as somebody waits to know.

use std::{io, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::{Headway, Replayed};
use crate::{
    clock::Clock,
    cluster::{
        ids::{Lsn, MemberName, Timeline},
        policy::ProbePolicy,
    },
    net::{Address, Dial, Stream},
    server::{self, Told},
};

/// A connection that nobody has needed for so long is closed.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Between an answer and the next question: at first …
const SOON: Duration = Duration::from_millis(1);
/// … and to a replica that has been waited for this long …
const PATIENT_AFTER: Duration = Duration::from_millis(100);
/// … as long as this.
const LATER: Duration = Duration::from_millis(5);

/// After a failure.
const RETRY: Duration = Duration::from_millis(100);

/// From this version on a server waits by itself (`WAIT FOR LSN`).
const WAITS_SINCE: u32 = 19;

/// How long it is to wait before it tells how far it has come, in milliseconds: who came meanwhile may need to know.
const WAIT_MAX_MS: u32 = 10;

/// Two statements, in this order: what had been replayed before the timeline was read is part of that timeline's history,
/// since a standby leaves a timeline only for one that contains all it has replayed.
const QUESTION: [&str; 2] = [
    "SELECT pg_catalog.pg_last_wal_replay_lsn()",
    "SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver",
];

/// Asks one replica at one address.
pub struct Tracker {
    /// Who is asked.
    pub member: MemberName,
    /// Where.
    pub address: Address,
    /// Who dials.
    pub dial: Arc<dyn Dial>,
    /// What time it is.
    pub clock: Clock,
    /// As whom, and how long an answer may take.
    pub policy: ProbePolicy,
    /// Who waits, and where answers go.
    pub headway: Arc<Headway>,
}

struct Link {
    stream: Stream,
    waits: Waits,
}

/// Whether a server can wait for a position by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    No,
    Yes,
}

impl Tracker {
    /// Asks whenever somebody waits, for ever.
    pub async fn run(self) {
        let mut link = None;
        loop {
            if link.is_none() {
                self.headway.sought().await;
            } else if timeout(IDLE_MAX, self.headway.sought()).await.is_err() {
                link = None;
                continue;
            }
            let since = self.clock.now();
            while let Some(lsn) = self.headway.lowest_sought() {
                let waited = self.clock.now().since(since);
                let asked = timeout(self.policy.timeout, self.ask(link.take(), lsn, waited)).await;
                link = asked.ok().and_then(Result::ok);
                match &link {
                    None => sleep(RETRY).await,
                    Some(Link { waits: Waits::Yes, .. }) => {}
                    Some(_) => sleep(if waited < PATIENT_AFTER { SOON } else { LATER }).await,
                }
            }
        }
    }

    async fn ask(&self, link: Option<Link>, lsn: Lsn, waited: Duration) -> io::Result<Link> {
        let mut link = match link {
            Some(link) => link,
            None => self.connect().await?,
        };
        // The first question is answered at once: most replicas are there already.
        if link.waits == Waits::Yes && !waited.is_zero() {
            server::ask(&mut link.stream, &[wait_for(lsn)]).await?;
        }
        let asked_at = self.clock.now();
        let told = server::ask(&mut link.stream, &QUESTION).await?;
        if let Some((timeline, lsn)) = read(&told) {
            self.headway.answered(&self.member, Replayed { asked_at, timeline, lsn });
        }
        Ok(link)
    }

    async fn connect(&self) -> io::Result<Link> {
        let login = self.policy.login.load_full();
        let connected = server::connect(&*self.dial, &self.address, &login).await;
        let connected = connected.map_err(io::Error::other)?;
        let waits = if can_wait(&connected.parameters) { Waits::Yes } else { Waits::No };
        Ok(Link { stream: connected.stream, waits })
    }
}

fn wait_for(lsn: Lsn) -> String {
    format!("WAIT FOR LSN '{lsn}' WITH (TIMEOUT '{WAIT_MAX_MS}ms', NO_THROW)")
}

/// By what it reported at its login: `19.1`, `19beta2`, `19devel`.
fn can_wait(parameters: &[(String, String)]) -> bool {
    let version = parameters.iter().find(|(name, _)| name == "server_version");
    let digits =
        version.map(|(_, value)| value.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default());
    digits.and_then(|digits| digits.parse().ok()).is_some_and(|major: u32| major >= WAITS_SINCE)
}

/// The timeline it follows and how far it has come. Nothing without a WAL receiver: then it does not tell whose history it
/// replays. Nor is it a replica any more that has none after a promotion.
fn read(told: &Told) -> Option<(Timeline, Lsn)> {
    let text = |row: usize| std::str::from_utf8(told.rows.get(row)?.first()?.as_deref()?).ok();
    if !told.refused.is_empty() {
        return None;
    }
    Some((text(1)?.parse().ok()?, text(0)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let told = |rows: &[Option<&str>]| Told {
            rows: rows.iter().map(|text| vec![text.map(|text| text.as_bytes().into())]).collect(),
            ..Told::default()
        };
        assert_eq!(read(&told(&[Some("0/3000148"), Some("2")])), Some((2, Lsn(0x300_0148))));
        for rows in [&[Some("0/3000148")][..], &[Some("0/3000148"), None], &[None, Some("2")], &[]] {
            assert_eq!(read(&told(rows)), None, "{rows:?}");
        }
    }

    #[test]
    fn who_waits_by_itself() {
        for (version, expected) in [
            ("19.1", true),
            ("19beta2", true),
            ("20devel", true),
            ("18.2", false),
            ("9.6.24", false),
            ("", false),
        ] {
            let parameters = [("server_version".to_owned(), version.to_owned())];
            assert_eq!(can_wait(&parameters), expected, "{version}");
        }
        assert_eq!(wait_for(Lsn(0x1_0000_001A)), "WAIT FOR LSN '1/1A' WITH (TIMEOUT '10ms', NO_THROW)");
    }
}
