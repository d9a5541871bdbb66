//! How a server is told what became of a client's last transaction, so that it can answer for it (`SHOW pgsteer.last_commit`).

use super::{Fate, Ground, question};
use crate::{
    clock::Moment,
    pool::commits::{Commit, Last, Stage},
};

/// The setting by which a client names another session, or a transaction, to ask about.
pub const OF: &str = "pgsteer.last_commit_of";

/// What is said of a session that is not known here.
pub const NOT_HERE: &str =
    "unknown: this pgsteer knows nothing of that session, or of a transaction in it, or does not any more";

/// What is said where the setting holds anything else.
pub const NO_HANDLE: &str =
    "unknown: pgsteer.last_commit_of must be what pgsteer.session was, or what an error or SHOW has named";

const NOT_ASKED: &str = "unknown: it could not be asked for its number before it could commit";
const IN_BLOCK: &str =
    "unknown: pgsteer.last_commit_of was set in this transaction; ask again behind its end";

/// What there is to say of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saying {
    /// This, followed by when the transaction was sent.
    Known(String),
    /// What the server says of it, as far as its word goes.
    Ask(Commit),
}

impl Saying {
    /// Of a transaction at this stage.
    pub fn of(stage: &Stage) -> Self {
        let known = |text: &str| Self::Known(text.to_owned());
        match stage {
            Stage::Begun => known("in progress: nothing that commits it has come"),
            Stage::Sent(_) => known(NOT_ASKED),
            Stage::Asked(commit) => Self::Ask(commit.clone()),
            Stage::Committed(commit) => Self::Known(format!("committed {commit}")),
            Stage::NotCommitted(Some(commit)) => Self::Known(format!("aborted {commit}")),
            Stage::NotCommitted(None) => known("aborted"),
        }
    }
}

/// Since when what there is to say has been so, in words; nothing where there is no telling.
pub fn age(last: &Last, now: Moment) -> String {
    format!(", sent {:.6} s ago", now.since(last.since).as_secs_f64())
}

/// What makes the setting `pgsteer.last_commit` say so, on a server where [`OF`] is still `of`, if that matters.
pub fn sql(of: Option<&str>, saying: &Saying, age: &str, ground: Ground) -> String {
    let (fixed, asks) = match saying {
        Saying::Known(text) => (format!("{text}{age}"), String::new()),
        Saying::Ask(commit) if ground == Ground::None => {
            (format!("unknown {commit}: nobody who could tell can be asked here{age}"), String::new())
        }
        Saying::Ask(commit) => (format!(" {commit}{age}"), asks(commit, ground)),
    };
    let unless = of.map_or_else(String::new, |of| {
        format!(
            "IF COALESCE(pg_catalog.current_setting('{OF}', true), '') OPERATOR(pg_catalog.<>) '{of}' \
             THEN a := '{IN_BLOCK}'; END IF; "
        )
    });
    // No search path of the client's may come in between. Nothing in it is the client's own but digits and `of`, which
    // was read as a handle.
    format!(
        "DO $pgsteer$DECLARE a text := '{fixed}'; s text; BEGIN {asks}{unless}\
         PERFORM pg_catalog.set_config('pgsteer.last_commit', a, false);END$pgsteer$"
    )
}

fn asks(commit: &Commit, ground: Ground) -> String {
    const STATES: [&str; 4] = ["committed", "aborted", "in progress", "in the future"];
    let word = |status: &str| match ground.judge(Some(status.as_bytes())) {
        None => "in progress",
        Some(Fate::Committed) => "committed",
        Some(Fate::NotCommitted) => "aborted",
        Some(Fate::Unknown) => "unknown",
    };
    let cases: String =
        STATES.iter().map(|state| format!("WHEN '{state}' THEN '{}' ", word(state))).collect();
    let future = String::from_utf8_lossy(question::IN_THE_FUTURE);
    format!(
        "BEGIN s := pg_catalog.pg_xact_status('{}'); \
         EXCEPTION WHEN invalid_parameter_value THEN s := '{future}'; END; \
         a := pg_catalog.concat(CASE s {cases}ELSE 'unknown' END, a); ",
        commit.evidence.xid
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cluster::ids::Lsn, pool::commits::Evidence};

    fn commit() -> Commit {
        let evidence = Evidence { xid: 727, timeline: 3, lsn: Lsn(0x10), asked_at: Moment::ZERO };
        Commit { evidence, writer: None, system_id: 7 }
    }

    #[test]
    fn what_there_is_to_say() {
        for (stage, expected) in [
            (Stage::Begun, "in progress: nothing that commits it has come"),
            (Stage::Committed(commit()), "committed 7/3/0/10/727"),
            (Stage::NotCommitted(Some(commit())), "aborted 7/3/0/10/727"),
            (Stage::NotCommitted(None), "aborted"),
        ] {
            assert_eq!(Saying::of(&stage), Saying::Known(expected.to_owned()));
        }
        assert_eq!(Saying::of(&Stage::Asked(commit())), Saying::Ask(commit()));
    }

    #[test]
    fn what_the_server_is_to_say() {
        let said = |ground| sql(Some(""), &Saying::Ask(commit()), ", sent", ground);
        let firm = said(Ground::Firm);
        assert!(firm.contains("WHEN 'committed' THEN 'committed' WHEN 'aborted' THEN 'aborted' "), "{firm}");
        assert!(firm.contains("a text := ' 7/3/0/10/727, sent'") && firm.contains("pg_xact_status('727')"));
        let denial = said(Ground::Denial);
        assert!(denial.contains("WHEN 'committed' THEN 'unknown' "), "{denial}");
        assert!(denial.contains("WHEN 'in the future' THEN 'aborted' "), "{denial}");
        let none = said(Ground::None);
        assert!(none.contains("'unknown 7/3/0/10/727: ") && !none.contains("pg_xact_status"), "{none}");
    }
}
