//! The one statement a probe asks, and what its row means.

use std::sync::Arc;

use crate::cluster::{
    fact::{ProbeReading, ProbedRole, Receiver, Standby},
    ids::{Lsn, Timeline},
};

/// Asks a server what it is. Works on PostgreSQL 12 to 18, for a member of `pg_monitor`.
///
/// The columns: in recovery (`t`/`f`) · system identifier · `server_version_num` · on a leader its position and the
/// first eight digits of its WAL file's name, the timeline in hexadecimal (`pg_control` lags behind a promotion) · the
/// position it has replayed, or had when it was promoted · on a standby: the furthest it knows of, whether it has a WAL receiver (`t`/`f`),
/// that one's status, and the timeline it receives, or else the newer one of its last restartpoint and of the end of what it
/// must replay to be consistent (which moves as pages are written, long before the next restartpoint).
///
/// Whether it is in recovery is asked once and first: a server leaves recovery, and never enters it while it runs, so
/// the rest cannot fail or contradict.
pub const PROBE_SQL: &str = "SELECT r.recovery, s.system_identifier, current_setting('server_version_num'), \
    CASE WHEN NOT r.recovery THEN pg_current_wal_lsn() END, \
    CASE WHEN NOT r.recovery THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END, \
    pg_last_wal_replay_lsn(), \
    CASE WHEN r.recovery THEN greatest(pg_last_wal_receive_lsn(), w.latest_end_lsn) END, \
    w.pid IS NOT NULL, w.status, \
    CASE WHEN r.recovery THEN coalesce(w.received_tli, greatest(c.timeline_id, m.min_recovery_end_timeline)) END \
    FROM (SELECT pg_is_in_recovery() AS recovery OFFSET 0) r \
    CROSS JOIN pg_control_system() s CROSS JOIN pg_control_checkpoint() c \
    CROSS JOIN pg_control_recovery() m \
    LEFT JOIN pg_stat_wal_receiver w ON true";

/// Reads the statement's answer. Fails with a sentence if it is not what the statement asks for.
pub fn read(
    rows: &[Vec<Option<String>>],
    parameters: Arc<Vec<(String, String)>>,
) -> Result<ProbeReading, String> {
    let [row] = rows else {
        return Err(format!("{} rows where one was asked for", rows.len()));
    };
    let columns: Vec<Option<&str>> = row.iter().map(Option::as_deref).collect();
    let [recovery, system_id, version, lsn, file, replayed, known, receiver, status, timeline] =
        columns.as_slice()
    else {
        return Err(format!("{} columns where ten were asked for", columns.len()));
    };
    // `system_identifier` is a signed number in SQL, an unsigned one everywhere else.
    let system_id = parse(*system_id, "system identifier", |text| text.parse::<i64>().ok())?.cast_unsigned();
    let server_version = parse(*version, "server version", |text| text.parse().ok())?;
    let role = if *recovery == Some("f") {
        ProbedRole::Writable {
            timeline: parse(*file, "timeline", |digits| Timeline::from_str_radix(digits, 16).ok())?,
            lsn: parse(*lsn, "position", |text| text.parse().ok())?,
        }
    } else {
        ProbedRole::Standby(Standby {
            timeline: optional(*timeline, "timeline", |text| text.parse().ok())?,
            replayed: optional(*replayed, "position", |text| text.parse::<Lsn>().ok())?,
            known: optional(*known, "position", |text| text.parse::<Lsn>().ok())?,
            receiver: match (*receiver, *status) {
                (Some("t"), Some("streaming")) => Receiver::Streaming,
                (Some("t"), Some(_)) => Receiver::Idle,
                (Some("t"), None) => {
                    return Err(
                        "the probe user may not read pg_stat_wal_receiver: grant it pg_monitor".into()
                    );
                }
                _ => Receiver::Gone,
            },
        })
    };
    Ok(ProbeReading { role, system_id, server_version, parameters })
}

/// The position that was replayed last.
pub fn replayed(rows: &[Vec<Option<String>>]) -> Option<Lsn> {
    rows.first()?.get(5)?.as_deref()?.parse().ok()
}

fn parse<T>(text: Option<&str>, what: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, String> {
    optional(text, what, read)?.ok_or_else(|| format!("no {what} in its answer"))
}

fn optional<T>(
    text: Option<&str>,
    what: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, String> {
    text.map(|text| read(text).ok_or_else(|| format!("{text:?} is no {what}"))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(row: &str, expected: Result<ProbedRole, &str>) {
        let row = row.split('|').map(|text| (!text.is_empty()).then(|| text.to_owned())).collect();
        let role = read(&[row], Arc::new(Vec::new())).map(|reading| {
            assert_eq!((reading.system_id, reading.server_version), (7_710_131_327_877_806_850, 150_018));
            reading.role
        });
        assert_eq!(role, expected.map_err(str::to_owned));
    }

    #[test]
    fn rows_and_what_they_mean() {
        let standby = |timeline, replayed, known, receiver| {
            Ok(ProbedRole::Standby(Standby { timeline, replayed, known, receiver }))
        };
        check(
            "f|7710131327877806850|150018|1/A|0000000B|||f||",
            Ok(ProbedRole::Writable { timeline: 11, lsn: Lsn(0x1_0000_000A) }),
        );
        check(
            "t|7710131327877806850|150018|||0/3000000|0/3000B80|t|streaming|1",
            standby(Some(1), Some(Lsn(0x300_0000)), Some(Lsn(0x300_0B80)), Receiver::Streaming),
        );
        check(
            "t|7710131327877806850|150018|||0/1||f||3",
            standby(Some(3), Some(Lsn(1)), None, Receiver::Gone),
        );
        check(
            "t|7710131327877806850|150018|||0/1||t|waiting|3",
            standby(Some(3), Some(Lsn(1)), None, Receiver::Idle),
        );
        check(
            "t|7710131327877806850|150018|||0/1||t||3",
            Err("the probe user may not read pg_stat_wal_receiver: grant it pg_monitor"),
        );
        check("f|7710131327877806850|150018||0000000B|||f||", Err("no position in its answer"));
        check("f|x|150018||||||f||", Err("11 columns where ten were asked for"));
        check("f|x|150018|1/A|0000000B|||f||", Err("\"x\" is no system identifier"));
        assert_eq!(read(&[], Arc::new(Vec::new())), Err("0 rows where one was asked for".to_owned()));
    }
}
