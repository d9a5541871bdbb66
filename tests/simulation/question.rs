//! What the program asks servers for itself, besides probing them, and what they answer.

use pgsteer::{
    session::{fate, promise::placing, split::lore},
    wire::{
        error::SqlState,
        message::{encode_data_row, encode_row_description},
    },
};

use crate::{conn::Protocol, node::Pg, transactions::Status, world::World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Where the log ends.
    Position,
    /// How far a standby has replayed.
    Replayed,
    /// Which timeline it receives.
    Received,
    /// What functions do.
    Lore,
    /// What a transaction says of itself before it commits.
    Testimony,
    /// The same of one that begins with this question.
    FirstTestimony,
    /// What became of a transaction.
    Fate(u64),
}

/// The functions of this world: a kind as [`lore::QUESTION`] tells it, and a name. Here one may sleep wherever one likes.
const FUNCTIONS: [(&str, &str); 3] = [("f", "pg_sleep"), ("f", "nextval"), ("v", "nextval")];

impl Question {
    pub(crate) fn read(text: &str) -> Option<Self> {
        let status = text.strip_prefix("SELECT pg_catalog.pg_xact_status('");
        if let Some(number) = status.and_then(|rest| rest.split('\'').next()?.parse().ok()) {
            return Some(Self::Fate(number));
        }
        match text {
            _ if text.as_bytes() == placing::QUESTION => Some(Self::Position),
            _ if text.as_bytes() == fate::question::QUESTION => Some(Self::Testimony),
            _ if text.as_bytes() == fate::question::FIRST => Some(Self::FirstTestimony),
            _ if text == lore::QUESTION => Some(Self::Lore),
            "SELECT pg_catalog.pg_last_wal_replay_lsn()" => Some(Self::Replayed),
            "SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver" => Some(Self::Received),
            _ => None,
        }
    }
}

/// A position as PostgreSQL writes it.
pub(crate) fn lsn(position: u64) -> String {
    format!("{:X}/{:X}", position >> 32, position & 0xFFFF_FFFF)
}

impl World {
    /// The rows of an answer, or why there is none.
    pub(crate) fn reply(
        &mut self,
        conn: usize,
        question: Question,
        protocol: Protocol,
        out: &mut Vec<u8>,
    ) -> Result<(), SqlState> {
        let place = self.conns[conn].node;
        let leads = matches!(self.nodes[place].pg, Pg::Primary | Pg::Masked);
        let rows: Vec<Vec<String>> = match question {
            Question::Lore => {
                FUNCTIONS.iter().map(|(kind, name)| vec![(*kind).to_owned(), (*name).to_owned()]).collect()
            }
            Question::Replayed => vec![vec![lsn(self.nodes[place].replayed_to())]],
            Question::Received if self.streams_from(place).is_none() => Vec::new(),
            Question::Received => vec![vec![self.nodes[place].timeline.to_string()]],
            Question::FirstTestimony if !leads => return Err(SqlState::READ_ONLY_SQL_TRANSACTION),
            _ if !leads => return Err(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE),
            Question::Position => vec![vec![lsn(self.nodes[place].received_to())]],
            Question::Testimony => self.testify(conn).into_iter().collect(),
            Question::FirstTestimony => {
                self.give_number(conn);
                self.testify(conn).into_iter().collect()
            }
            Question::Fate(number) => {
                let status = match self.status(place, number) {
                    Status::Future => return Err(SqlState::INVALID_PARAMETER_VALUE),
                    Status::Committed => "committed",
                    Status::Aborted => "aborted",
                    Status::InProgress => "in progress",
                };
                vec![vec![status.to_owned()]]
            }
        };
        if protocol == Protocol::Simple {
            encode_row_description(out, &["a"]);
        }
        for row in rows {
            let values: Vec<Option<&[u8]>> = row.iter().map(|value| Some(value.as_bytes())).collect();
            encode_data_row(out, &values);
        }
        Ok(())
    }

    /// A transaction's number, a position behind a record that bears this number or a later one, and the timeline's digits.
    fn testify(&mut self, conn: usize) -> Option<Vec<String>> {
        let place = self.conns[conn].node;
        let number = self.conns[conn].xid?;
        self.conns[conn].testified = Some(number);
        if self.nodes[place].xids.newest_ended() <= number {
            self.append_of(place, [].into(), 60, Some(number));
        }
        let node = &self.nodes[place];
        Some(vec![number.to_string(), lsn(node.received_to()), format!("{:08X}", node.timeline)])
    }
}
