//! What a client makes of the answers it gets, and the books it keeps.

use pgsteer::wire::error::{ServerError, Severity, SqlState};

use crate::{
    client::{Client, Outcome, Over, Session},
    ledger::{Row, Told},
    wire::Said,
};

impl Client {
    /// Reads the answer to so many queries, and checks that it is ours.
    pub(crate) async fn outcome(&self, session: &mut Session, row: Row, queries: u32) -> Outcome {
        let mut left = queries;
        let (mut failed, mut tag) = (None, None);
        let label = format!("{}:{}", row.0, row.1);
        loop {
            let said = session.wire.next().await;
            match said {
                Said::Row(values) => {
                    let expected = [row.0.to_string(), row.1.to_string(), session.name.clone()];
                    if values != expected {
                        self.violated(format!("got the row {values:?} instead of {expected:?}"));
                    }
                }
                Said::Notice(notice) if notice.message.contains(':') && notice.message != label => {
                    self.violated(format!("got the notice {:?} instead of {label}", notice.message));
                }
                Said::Error(error) if error.severity == Severity::Error => {
                    if error.code == SqlState::WRITE_LOST {
                        self.world.lock().told_of_loss(self.number, &error.message);
                    }
                    let theirs = error.message.split(':').all(|word| word.parse::<u32>().is_ok());
                    if theirs && error.message != label {
                        self.violated(format!("got the error of {} instead of {label}", error.message));
                    }
                    failed = failed.or(Some(error));
                }
                Said::Complete(word) => tag = Some(word),
                Said::Ready => {
                    left -= 1;
                    if left == 0 {
                        return match (failed, tag) {
                            (None, Some(tag)) => Outcome::Tagged(tag),
                            (failed, _) => Outcome::Answered(failed),
                        };
                    }
                }
                Said::Setting(setting, value) if setting == "application_name" && value != session.name => {
                    self.violated(format!("was told application_name = {value}"));
                }
                said @ (Said::Error(_) | Said::Gone { .. }) => return self.word(said),
                _ => {}
            }
        }
    }

    /// The last words of a session.
    pub(crate) fn word(&self, said: Said) -> Outcome {
        match said {
            Said::Error(error) => {
                self.cut(&error);
                Outcome::Over(Some(error))
            }
            Said::Gone { midway: false } => {
                self.violated("was cut off without a word".to_owned());
                Outcome::Over(None)
            }
            Said::Gone { midway: true } => Outcome::Over(None),
            said => {
                self.violated(format!("got {said:?} unasked"));
                Outcome::Over(None)
            }
        }
    }

    pub(crate) fn cut(&self, error: &ServerError) {
        self.world.lock().cut(self.number, error.code, &format!("{} {:?}", error.message, error.detail));
    }

    pub(crate) fn tell(&self, rows: &[Row], told: Told) {
        let mut world = self.world.lock();
        for row in rows {
            world.ledger.told.insert(*row, told);
        }
    }

    /// Books a request that may have committed by the statement `last`.
    pub(crate) fn settle(&self, rows: &[Row], last: Row, outcome: Outcome) -> Result<(), Over> {
        let unknown = SqlState::TRANSACTION_RESOLUTION_UNKNOWN;
        if let Outcome::Over(Some(error)) = &outcome
            && error.code != unknown
            && error.message.contains("was not committed")
            && !self.extras.commit_fate
            && !rows.is_empty()
            && self.world.lock().ledger.begun.contains(&last)
        {
            self.violated(format!("was told {error:?}, though a server had begun with {last:?}"));
        }
        if let Outcome::Over(Some(error)) = &outcome
            && error.code == unknown
            && !self.world.lock().ledger.sent.contains(&last)
        {
            self.violated(format!("was told {error:?}, though nothing of {last:?} was ever sent"));
        }
        self.count_error(&outcome);
        let (told, result) = match &outcome {
            Outcome::Tagged(tag) if tag == "ROLLBACK" => (Told::NotCommitted, Ok(())),
            Outcome::Tagged(_) | Outcome::Answered(None) => (Told::Committed, Ok(())),
            Outcome::Answered(Some(_)) => (Told::NotCommitted, Ok(())),
            Outcome::Over(Some(error)) if error.message.ends_with("the transaction was committed") => {
                (Told::Committed, Err(Over))
            }
            Outcome::Over(Some(error)) if error.code != unknown => (Told::NotCommitted, Err(Over)),
            Outcome::Over(_) => (Told::Unknown, Err(Over)),
        };
        self.tell(rows, told);
        let mut world = self.world.lock();
        let now = world.now();
        if self.extras.commit_fate && !rows.is_empty() && told != Told::Unknown {
            world.told_fate(rows, last, told);
        }
        if told == Told::Committed {
            rows.iter().for_each(|row| world.ledger.promises.told(*row, now));
            world.has_read(last);
        }
        let count = &mut world.ledger.count;
        match told {
            Told::Committed if !rows.is_empty() => count.committed += 1,
            Told::Committed => count.reads += 1,
            Told::NotCommitted => count.refused += 1,
            Told::Unknown => count.unknown += 1,
        }
        if told == Told::Committed {
            world.ledger.served.insert(self.number, now);
        }
        result
    }

    /// Counts errors for which no client has asked.
    fn count_error(&self, outcome: &Outcome) {
        if matches!(outcome, Outcome::Answered(Some(error)) if error.code != SqlState::QUERY_CANCELED) {
            self.world.lock().ledger.count.failed += 1;
        }
    }

    /// Books a request that cannot have committed.
    pub(crate) fn in_vain(&self, rows: &[Row], outcome: Outcome) -> Result<(), Over> {
        self.count_error(&outcome);
        self.tell(rows, Told::NotCommitted);
        match outcome {
            Outcome::Over(Some(error)) if error.code == SqlState::TRANSACTION_RESOLUTION_UNKNOWN => {
                self.violated(format!("was told {error:?} where nothing could have been committed"));
                Err(Over)
            }
            Outcome::Over(_) => Err(Over),
            Outcome::Tagged(_) | Outcome::Answered(_) => Ok(()),
        }
    }
}
