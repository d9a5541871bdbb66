//! What a server answers when it is asked what it is, and what a message will run.

use pgsteer::wire::message::encode_data_row;

use crate::{
    ledger::Row,
    node::{Ailment, Pg},
    question::lsn,
    statement::{Statement, text_of},
    world::World,
};

impl World {
    pub(crate) fn probe_row(&self, conn: usize, out: &mut Vec<u8>) {
        let place = self.conns[conn].node;
        let node = &self.nodes[place];
        let lsn = |position: u64| Some(lsn(position));
        let version = Some("150004".to_owned());
        let foreign = node.pg == Pg::Masked && node.has(Ailment::Foreign);
        let system_id = if foreign { "8".to_owned() } else { self.system_id.to_string() };
        let row = if matches!(node.pg, Pg::Primary | Pg::Masked) {
            let timeline = if node.pg == Pg::Masked { self.timeline + 40 } else { node.timeline };
            let file = Some(format!("{timeline:08X}"));
            let end = lsn(node.received_to());
            ["f".to_owned(), system_id]
                .map(Some)
                .into_iter()
                .chain([version, end, file, node.promoted_at.and_then(lsn), None])
                .chain([Some("f".to_owned()), None, None])
                .collect::<Vec<_>>()
        } else {
            let streams = self.streams_from(place).is_some();
            let status = streams.then(|| "streaming".to_owned());
            let receiver = Some(if streams { "t" } else { "f" }.to_owned());
            let timeline = Some(node.timeline.to_string());
            let (replayed, received) = (lsn(node.replayed_to()), lsn(node.received_to()));
            ["t".to_owned(), system_id]
                .map(Some)
                .into_iter()
                .chain([version, None, None, replayed, received])
                .chain([receiver, status, timeline])
                .collect()
        };
        let row: Vec<Option<&[u8]>> = row.iter().map(|value| value.as_deref().map(str::as_bytes)).collect();
        encode_data_row(out, &row);
    }

    /// The numbers in a message's text, if it carries a client's statement.
    pub(crate) fn row_in(&self, conn: usize, tag: u8, body: &[u8]) -> Option<Row> {
        self.statement_in(conn, tag, body)?.row()
    }

    /// The statement that a message will run.
    pub(crate) fn statement_in(&self, conn: usize, tag: u8, body: &[u8]) -> Option<Statement> {
        match tag {
            b'Q' => Some(Statement::read(&text_of(body))),
            b'B' => self.bind_ahead(conn, body),
            _ => None,
        }
    }

    /// As it will be bound: a Parse may still be on its way to be dealt with.
    fn bind_ahead(&self, conn: usize, body: &[u8]) -> Option<Statement> {
        let mut fields = body.splitn(3, |byte| *byte == 0);
        let (_portal, name, values) = (fields.next()?, fields.next()?, fields.next()?);
        let waiting =
            self.conns[conn].queue.iter().rev().filter(|(tag, _)| *tag == b'P').find_map(|(_, body)| {
                let mut fields = body.splitn(3, |byte| *byte == 0);
                (fields.next()? == name).then(|| fields.next().unwrap_or_default().to_vec())
            });
        let text = waiting.or_else(|| self.conns[conn].prepared.get(name).cloned())?;
        Some(Statement::bound(&String::from_utf8_lossy(&text), values))
    }
}
