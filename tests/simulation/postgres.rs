//! Server processes: one for each connection, speaking the real protocol.

use pgsteer::wire::{
    error::{PgError, SqlState},
    message::{
        Authentication, encode_backend_key, encode_command_complete, encode_data_row,
        encode_parameter_status, encode_ready_for_query, encode_row_description,
    },
    startup::{BackendKey, StartupPacket, decode},
};

use crate::{
    conn::{Busy, Conn, Life, Protocol, Role},
    ledger::Row,
    node::{Ailment, Pg},
    statement::{Statement, text_of},
    world::{Event, World},
};

impl World {
    /// Bytes have reached the server's kernel.
    pub(crate) fn received(&mut self, conn: usize, bytes: &[u8]) {
        let before = self.conns[conn].queue.len();
        let mut inbox = std::mem::take(&mut self.conns[conn].inbox);
        inbox.extend_from_slice(bytes);
        let mut start = 0;
        while let Some((tag, length)) = self.next_message(conn, &inbox[start..]) {
            let body =
                if tag == 0 { &inbox[start..start + length] } else { &inbox[start + 5..start + length] };
            self.arrived(conn, tag, body);
            self.conns[conn].queue.push_back((tag, body.to_vec()));
            start += length;
        }
        inbox.drain(..start);
        self.conns[conn].inbox = inbox;
        if self.nodes[self.conns[conn].node].has(Ailment::NoLink) {
            let conn = &mut self.conns[conn];
            conn.in_flight += conn.queue.len() - before;
        }
        self.advance(conn);
    }

    /// The first packet has no tag.
    fn next_message(&mut self, conn: usize, bytes: &[u8]) -> Option<(u8, usize)> {
        if self.conns[conn].role == Role::Unknown {
            let (packet, length) = decode(bytes).ok()??;
            if let StartupPacket::Startup(startup) = packet {
                self.conns[conn].role = match startup.get("user") {
                    Some(b"w") => Role::Writer,
                    Some(b"r") => Role::Reader,
                    Some(b"s") => Role::Splitter,
                    _ => Role::Probe,
                };
            }
            return Some((0, length));
        }
        let [tag, a, b, c, d, ..] = *bytes else { return None };
        let length = 1 + u32::from_be_bytes([a, b, c, d]) as usize;
        (bytes.len() >= length).then_some((tag, length))
    }

    /// Does what can be done now.
    pub(crate) fn advance(&mut self, conn: usize) {
        if !self.nodes[self.conns[conn].node].runs() {
            return;
        }
        while self.conns[conn].life == Life::Open && self.conns[conn].busy == Busy::Idle {
            if self.conns[conn].queue.len() <= self.conns[conn].in_flight {
                return;
            }
            let Some((tag, body)) = self.conns[conn].queue.pop_front() else { return };
            self.message(conn, tag, &body);
        }
    }

    fn message(&mut self, conn: usize, tag: u8, body: &[u8]) {
        if self.conns[conn].skipping != 0 && tag != b'S' {
            return;
        }
        let mut out = Vec::new();
        match tag {
            0 => return self.first_packet(conn, body),
            b'X' => return self.hang_up(conn),
            b'Q' => return self.begin_statement(conn, text_of(body), Protocol::Simple),
            b'E' => {
                let name = body.split(|byte| *byte == 0).next().unwrap_or_default();
                let portal = self.conns[conn].portals.get(name).cloned().unwrap_or(Statement::Empty);
                return self.run_statement(conn, portal, Protocol::Extended);
            }
            b'S' => {
                self.conns[conn].skipping = 0;
                let rows = match self.conns[conn].status {
                    b'I' => std::mem::take(&mut self.conns[conn].rows),
                    _ => Vec::new(),
                };
                return self.commit(conn, rows, Statement::Empty, Protocol::Sync, b'I');
            }
            b'P' => {
                let mut fields = body.splitn(3, |byte| *byte == 0);
                let (name, text) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
                self.conns[conn].prepared.insert(name.to_vec(), text.to_vec());
                out.extend_from_slice(b"1\0\0\0\x04");
            }
            b'B' => match self.bind(conn, body) {
                Some((portal, statement)) => {
                    self.conns[conn].portals.insert(portal, statement);
                    out.extend_from_slice(b"2\0\0\0\x04");
                }
                None => {
                    return self.fail(conn, SqlState::INVALID_SQL_STATEMENT_NAME, "-", Protocol::Extended);
                }
            },
            b'C' => {
                let (kind, name) = (body[0], &body[1..body.len() - 1]);
                match kind {
                    b'S' => drop(self.conns[conn].prepared.remove(name)),
                    _ => drop(self.conns[conn].portals.remove(name)),
                }
                out.extend_from_slice(b"3\0\0\0\x04");
            }
            b'c' => return self.copied(conn),
            b'D' => encode_row_description(&mut out, &["client", "number", "name"]),
            _ => {}
        }
        self.conns[conn].say(&out);
    }

    fn bind(&self, conn: usize, body: &[u8]) -> Option<(Vec<u8>, Statement)> {
        let mut fields = body.splitn(3, |byte| *byte == 0);
        let (portal, name) = (fields.next()?, fields.next()?);
        let text = self.conns[conn].prepared.get(name)?;
        Some((portal.to_vec(), Statement::bound(&String::from_utf8_lossy(text), fields.next()?)))
    }

    fn first_packet(&mut self, conn: usize, body: &[u8]) {
        let Ok(Some((packet, _))) = decode(body) else { return self.hang_up(conn) };
        let startup = match packet {
            StartupPacket::Cancel(key) => {
                self.cancel(&key);
                return self.hang_up(conn);
            }
            StartupPacket::Startup(startup) => startup,
            _ => return self.hang_up(conn),
        };
        let node = self.conns[conn].node;
        if matches!(self.nodes[node].pg, Pg::Starting | Pg::Down) {
            let mut out = Vec::new();
            PgError::fatal(SqlState::CANNOT_CONNECT_NOW, "the database system is starting up")
                .encode(&mut out);
            self.conns[conn].say(&out);
            return self.hang_up(conn);
        }
        for (name, value) in &mut self.conns[conn].settings {
            if let Some(wanted) = startup.get(name) {
                *value = String::from_utf8_lossy(wanted).into_owned();
            }
        }
        let mut out = Vec::new();
        Authentication::Ok.encode(&mut out);
        self.report_recovery(conn, &mut out);
        for (name, value) in &self.conns[conn].settings {
            encode_parameter_status(&mut out, name.as_bytes(), value.as_bytes());
        }
        let secret = self.conns[conn].key.to_be_bytes();
        let key = BackendKey::new(u32::try_from(conn).unwrap_or(0) + 1, &secret);
        key.iter().for_each(|key| encode_backend_key(&mut out, key));
        encode_ready_for_query(&mut out, b'I');
        self.conns[conn].asked_at = None;
        self.conns[conn].say(&out);
    }

    fn begin_statement(&mut self, conn: usize, text: String, protocol: Protocol) {
        let statement = Statement::read(&text);
        self.run_statement(conn, statement, protocol);
    }

    fn run_statement(&mut self, conn: usize, statement: Statement, protocol: Protocol) {
        let node = self.conns[conn].node;
        self.begun(&statement);
        let takes = match &statement {
            Statement::Probe if self.nodes[node].has(Ailment::SlowProbe) => self.rng.within(50, 1500),
            Statement::Probe => self.rng.within(0, 2),
            Statement::Sleep(_, length) => *length,
            Statement::Begin(_) | Statement::BeginReadOnly(_) | Statement::Set(_) | Statement::Empty => 0,
            Statement::Ours(_) => self.rng.within(0, 2),
            _ if self.rng.chance(5) => self.rng.within(10, 120),
            _ => self.rng.within(1, 5),
        };
        let conn_of = &mut self.conns[conn];
        conn_of.busy = Busy::Running(statement, protocol);
        conn_of.step += 1;
        let step = conn_of.step;
        if takes == 0 {
            return self.backend_done(conn, step);
        }
        self.after(takes, Event::Backend { conn, step });
    }

    /// A backend has done what it was doing.
    pub(crate) fn backend_done(&mut self, conn: usize, step: u32) {
        if self.conns[conn].step != step || self.conns[conn].life != Life::Open {
            return;
        }
        if !self.nodes[self.conns[conn].node].runs() {
            return self.after(20, Event::Backend { conn, step });
        }
        let Busy::Running(statement, protocol) = self.conns[conn].busy.clone() else { return };
        self.execute(conn, statement, protocol);
        self.advance(conn);
    }

    fn execute(&mut self, conn: usize, statement: Statement, protocol: Protocol) {
        let node = self.conns[conn].node;
        let (number, status) = (statement.row(), self.conns[conn].status);
        let label = number.map_or_else(|| "-".to_owned(), |(client, number)| format!("{client}:{number}"));
        if status == b'E' && !statement.ends_block() {
            return self.fail(conn, SqlState::IN_FAILED_SQL_TRANSACTION, &label, protocol);
        }
        if statement.writes() && self.nodes[node].pg != Pg::Primary {
            return self.fail(conn, SqlState::READ_ONLY_SQL_TRANSACTION, &label, protocol);
        }
        if matches!(statement, Statement::Probe) && self.nodes[node].has(Ailment::FailProbe) {
            return self.fail(conn, SqlState::INSUFFICIENT_RESOURCES, &label, protocol);
        }
        if let Statement::Copy(row) = statement {
            return self.copies(conn, row);
        }
        if matches!(statement, Statement::Commit(_)) && status == b'T' && self.is_ambushed(conn) {
            return;
        }
        let commits = match &statement {
            Statement::Begin(_) | Statement::BeginReadOnly(_) => {
                self.conns[conn].status = b'T';
                false
            }
            Statement::Insert(row) => {
                self.conns[conn].rows.push(*row);
                self.give_number(conn);
                status == b'I' && protocol == Protocol::Simple
            }
            Statement::Commit(_) => status == b'T',
            Statement::Rollback(_) => {
                self.abort(conn);
                self.conns[conn].status = b'I';
                false
            }
            _ => false,
        };
        if statement.ends_block() {
            self.conns[conn].status = b'I';
        }
        let rows = if commits { std::mem::take(&mut self.conns[conn].rows) } else { Vec::new() };
        self.commit(conn, rows, statement, protocol, status);
    }

    /// Commits rows, if there are any, and answers as soon as that is safe.
    pub(crate) fn commit(
        &mut self,
        conn: usize,
        rows: Vec<Row>,
        statement: Statement,
        protocol: Protocol,
        status: u8,
    ) {
        if rows.is_empty() {
            return self.answer(conn, &statement, protocol, status);
        }
        let node = self.conns[conn].node;
        let xid = self.conns[conn].xid;
        let length = self.append_of(node, rows.into(), 200, xid);
        if self.is_safe(node, length) {
            self.answer(conn, &statement, protocol, status);
        } else {
            self.conns[conn].busy = Busy::Waiting(length, statement, protocol);
        }
    }

    /// The synchronous standby has more, or there is none any more.
    pub(crate) fn release_commits(&mut self, node: usize) {
        for conn in 0..self.conns.len() {
            if self.conns[conn].node == node
                && self.conns[conn].life == Life::Open
                && let Busy::Waiting(length, statement, protocol) = self.conns[conn].busy.clone()
                && self.is_safe(node, length)
            {
                self.answer(conn, &statement, protocol, b'T');
                self.advance(conn);
            }
        }
    }

    fn answer(&mut self, conn: usize, statement: &Statement, protocol: Protocol, before: u8) {
        let mut out = Vec::new();
        let name = self.conns[conn].settings.get("application_name").cloned().unwrap_or_default();
        if let Statement::Ours(question) = statement
            && let Err(code) = self.reply(conn, *question, protocol, &mut out)
        {
            return self.fail(conn, code, "-", protocol);
        }
        if let Statement::Probe = statement {
            self.probe_row(conn, &mut out);
        } else if let Some((client, number)) = statement.row() {
            if statement.has_row() {
                if protocol == Protocol::Simple {
                    encode_row_description(&mut out, &["client", "number", "name"]);
                }
                let (client, number) = (client.to_string(), number.to_string());
                let values = [client.as_bytes(), number.as_bytes(), name.as_bytes()].map(Some);
                encode_data_row(&mut out, &values);
            } else {
                PgError::notice(SqlState::WARNING, format!("{client}:{number}")).encode(&mut out);
            }
        }
        if let Statement::Set(settings) = statement {
            for (name, value) in settings {
                self.conns[conn].settings.insert(name.clone(), value.clone());
                encode_parameter_status(&mut out, name.as_bytes(), value.as_bytes());
            }
        }
        if *statement == Statement::DiscardAll {
            self.discard(conn, &mut out);
        }
        match statement {
            _ if protocol == Protocol::Sync => {}
            Statement::Empty => out.extend_from_slice(b"I\0\0\0\x04"),
            Statement::Commit(_) if before == b'E' => encode_command_complete(&mut out, "ROLLBACK"),
            _ => encode_command_complete(&mut out, statement.tag()),
        }
        self.answered(conn, statement);
        self.conns[conn].busy = Busy::Idle;
        if protocol != Protocol::Extended || statement.ends_block() {
            self.over_outside(conn);
        }
        if protocol != Protocol::Extended {
            self.report_recovery(conn, &mut out);
            let conn_of = &mut self.conns[conn];
            encode_ready_for_query(&mut out, conn_of.status);
            conn_of.asked_at = None;
        }
        self.conns[conn].say(&out);
    }

    /// A server says whether it is in recovery at the login, and with ReadyForQuery when it is not any more.
    fn report_recovery(&mut self, conn: usize, out: &mut Vec<u8>) {
        let standby = self.nodes[self.conns[conn].node].pg != Pg::Primary;
        if self.conns[conn].said_standby != Some(standby) {
            self.conns[conn].said_standby = Some(standby);
            encode_parameter_status(out, b"in_hot_standby", if standby { b"on" } else { b"off" });
        }
    }

    fn discard(&mut self, conn: usize, out: &mut Vec<u8>) {
        self.conns[conn].prepared.clear();
        let fresh = Conn::new(0, 0, 0).settings;
        for (name, value) in &fresh {
            if self.conns[conn].settings.get(name) != Some(value) {
                encode_parameter_status(out, name.as_bytes(), value.as_bytes());
            }
        }
        self.conns[conn].settings = fresh;
    }

    pub(crate) fn fail(&mut self, conn: usize, code: SqlState, label: &str, protocol: Protocol) {
        let mut out = Vec::new();
        PgError::error(code, label.to_owned()).encode(&mut out);
        self.abort(conn);
        let conn_of = &mut self.conns[conn];
        if conn_of.status == b'T' {
            conn_of.status = b'E';
        }
        conn_of.busy = Busy::Idle;
        if protocol == Protocol::Simple {
            encode_ready_for_query(&mut out, conn_of.status);
            conn_of.asked_at = None;
        } else {
            conn_of.skipping = 1;
        }
        conn_of.say(&out);
    }
}
