//! A logged-in server connection, and what is known of its session.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use crate::{
    clock::Moment,
    net::Stream,
    sql::unsettling::Unsettled,
    wire::{
        frame::{HEADER_BYTES, Header},
        held::ServerStatements,
        message::decode_parameter_status,
        parameters::Parameters,
        schema::SchemaChange,
        state::Carried,
    },
};

/// What earlier clients may have left in the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hygiene {
    /// Nothing that is not followed.
    Clean,
    /// State that must be discarded before another client gets the server.
    Dirty,
    /// State that nothing takes away: no other client gets the server.
    Spoilt,
}

/// What a server last said of itself (`in_hot_standby`, from PostgreSQL 14 on; documentation, "Asynchronous Operations"): at
/// the login, and with every ReadyForQuery if it has changed. One that idles says nothing when it is promoted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing.
    #[default]
    Unknown,
    /// It was in recovery.
    Standby,
    /// It was not, and nothing leads back but a restart.
    Over,
}

/// The setting that tells.
pub const IN_HOT_STANDBY: &str = "in_hot_standby";

impl Recovery {
    /// What a server says of itself by these settings.
    pub fn of(reported: &[(String, String)]) -> Self {
        let said = reported.iter().rev().find(|(name, _)| name == IN_HOT_STANDBY);
        said.map_or(Self::Unknown, |(_, value)| Self::from_value(value))
    }

    fn from_value(value: &str) -> Self {
        if value == "on" { Self::Standby } else { Self::Over }
    }
}

/// Whether a session has had temporary tables. Nothing makes that undone: `temp_buffers` cannot be changed there any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temporary {
    /// It has not, as far as texts show.
    #[default]
    Never,
    /// It may have.
    Perhaps,
}

/// How a connection is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// With a Terminate message.
    #[default]
    Orderly,
    /// Without another byte.
    Silent,
}

/// A logged-in server connection.
pub struct ServerConn {
    /// Its bytes.
    pub stream: Stream,
    /// The tracked settings as the server reported them last.
    pub parameters: Arc<Parameters>,
    /// The same as it reported them at its login, before any client could change them.
    pub start: Arc<Parameters>,
    /// The statements it has prepared for us.
    pub statements: ServerStatements,
    /// What its session carries that is not known.
    pub hygiene: Hygiene,
    /// Whether its session has had temporary tables.
    pub temporary: Temporary,
    /// What its session is known to hold beside the tracked settings.
    pub state: Carried,
    /// Whether it was in recovery when it said so last.
    pub recovery: Recovery,
    /// A change of the schema that it may be making.
    pub schema_change: Option<SchemaChange>,
    /// What a statement under way changes of what new sessions find.
    pub unsettled: Option<Box<Unsettled>>,
    /// When it was last given back.
    pub idle_since: Moment,
    /// When it was opened: what the server said to others since then holds for it, too.
    pub opened_at: Moment,
}

/// The setting that keeps a server for reads only from writing. What it says of it at its start is not among its settings.
pub const READ_ONLY: &str = "default_transaction_read_only";

/// What an idle server may have said unasked, in bytes; more is a server gone mad.
const IDLE_BYTES_MAX: usize = 2048;

impl ServerConn {
    /// A connection fresh from its login, which reported `parameters`.
    pub fn new(stream: Stream, parameters: Arc<Parameters>, now: Moment) -> Self {
        Self {
            stream,
            start: parameters.clone(),
            parameters,
            statements: ServerStatements::default(),
            hygiene: Hygiene::Clean,
            temporary: Temporary::Never,
            state: Carried::NOTHING,
            recovery: Recovery::Unknown,
            schema_change: None,
            unsettled: None,
            idle_since: now,
            opened_at: now,
        }
    }

    /// Reads what an idle server has to say: settings that changed and notices are taken note of; an error or the
    /// end of the connection is returned. Where nothing is there this costs no system call, and `cx` is woken
    /// when something comes.
    pub fn poll_idle(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        if self.stream.is_quiet(cx) {
            return Ok(());
        }
        let mut said = [0; IDLE_BYTES_MAX];
        let mut length = 0;
        loop {
            match self.stream.poll_receive(cx, &mut said[length..]) {
                Poll::Pending if length == 0 => return Ok(()),
                Poll::Pending => return Err("it stopped in the middle of a message".to_owned()),
                Poll::Ready(Ok(0)) => return Err("it closed the connection".to_owned()),
                Poll::Ready(Err(error)) => return Err(error.to_string()),
                Poll::Ready(Ok(more)) => {
                    length += more;
                    let used = self.take_idle_messages(&said[..length])?;
                    said.copy_within(used..length, 0);
                    length -= used;
                }
            }
            if length == said.len() {
                return Err("it sent too much while it was idle".to_owned());
            }
        }
    }

    fn take_idle_messages(&mut self, said: &[u8]) -> Result<usize, String> {
        let mut used = 0;
        while let Some(header) = Header::read(&said[used..]).map_err(|e| e.to_string())? {
            let Some(message) = said.get(used..used + header.total) else { break };
            match header.tag {
                b'S' => {
                    self.reported(&message[HEADER_BYTES..]);
                    if self.hygiene == Hygiene::Spoilt {
                        return Err("it is in recovery, and was not before".to_owned());
                    }
                }
                // A notice is nobody's; a notification is for a LISTEN that was discarded.
                b'N' | b'A' => {}
                b'E' => return Err("it ended the session with an error".to_owned()),
                tag => return Err(format!("it sent message `{}` unasked", tag.escape_ascii())),
            }
            used += header.total;
        }
        Ok(used)
    }

    /// Takes note of a ParameterStatus body; whether its setting is tracked.
    pub fn reported(&mut self, body: &[u8]) -> bool {
        let Some((name, value)) = parameter(body) else { return false };
        self.recovers(name, value);
        let mut parameters = (*self.parameters).clone();
        let tracked = parameters.set(name, value);
        if tracked {
            self.parameters = Arc::new(parameters);
        }
        tracked
    }

    /// Whether it has the settings that a client must find. Where each has a copy of its own of the same, both go on with the
    /// one that comes first in memory (the client when the server becomes its own), so that before long all share one, which
    /// its address tells.
    #[inline]
    pub fn has_settings(&mut self, wanted: &Arc<Parameters>) -> bool {
        if Arc::ptr_eq(&self.parameters, wanted) {
            return true;
        }
        if self.parameters != *wanted {
            return self.difference_sql(wanted).is_none();
        }
        if Arc::as_ptr(wanted) < Arc::as_ptr(&self.parameters) {
            self.parameters = wanted.clone();
        }
        true
    }

    /// The statement that gives it the settings that a client must find; `None` if it has them.
    pub fn difference_sql(&self, wanted: &Parameters) -> Option<String> {
        self.parameters.difference_sql(wanted, &self.start)
    }

    /// Takes note of what it says of its recovery. One that was writable and is in recovery is not the server it was (something
    /// in between has changed its mind): nobody else gets it. Nor one that may only be read, if that was changed behind our back.
    fn recovers(&mut self, name: &str, value: &str) {
        if name == READ_ONLY && self.start.lacks(READ_ONLY) {
            self.hygiene = Hygiene::Spoilt;
        }
        if name != IN_HOT_STANDBY {
            return;
        }
        let before = std::mem::replace(&mut self.recovery, Recovery::from_value(value));
        if (before, self.recovery) == (Recovery::Over, Recovery::Standby) {
            self.hygiene = Hygiene::Spoilt;
        }
    }

    /// Everything that can be discarded was.
    pub fn discarded(&mut self) {
        self.statements.clear();
        self.state = Carried::NOTHING;
        self.hygiene = Hygiene::Clean;
    }

    /// Takes note of settings that were reported in answer to a statement of ours.
    pub fn note(&mut self, reported: &[(String, String)]) {
        let mut parameters = (*self.parameters).clone();
        for (name, value) in reported {
            self.recovers(name, value);
            parameters.set(name, value);
        }
        if parameters != *self.parameters {
            self.parameters = Arc::new(parameters);
        }
    }

    /// Closes. An orderly end says goodbye, as far as that goes without waiting; to a server that is broken or
    /// deposed not even that is said.
    pub fn close(mut self, end: End) {
        if end == End::Silent {
            return;
        }
        let mut cx = Context::from_waker(Waker::noop());
        // Best effort: the server notices the end of the connection anyway.
        let _sent = self.stream.poll_send(&mut cx, b"X\0\0\0\x04");
    }
}

/// The name and value in a ParameterStatus body.
pub fn parameter(body: &[u8]) -> Option<(&str, &str)> {
    let (name, value) = decode_parameter_status(body).ok()?;
    Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[derive(PartialEq)]
    enum Then {
        Waits,
        Ends,
    }

    /// What the server says while idle, and its time zone then, if it is still good.
    async fn check(said: &[u8], then: Then, zone: Result<Option<&str>, ()>) {
        let (ours, mut theirs) = tokio::io::duplex(8192);
        let mut conn = ServerConn::new(Stream::Boxed(Box::new(ours)), Arc::default(), Moment::ZERO);
        theirs.write_all(said).await.unwrap();
        if then == Then::Ends {
            drop(theirs);
        }
        let mut cx = Context::from_waker(Waker::noop());
        let heard = conn.poll_idle(&mut cx).map_err(drop);
        let heard = heard.map(|()| conn.parameters.get(4).map(|zone| &**zone));
        assert_eq!(heard, zone, "{}", said.escape_ascii());
    }

    #[test]
    fn the_same_settings_come_to_be_one_copy() {
        let settings = |zone| Arc::new(Parameters::from_reported([("TimeZone", zone)]));
        let conn = |parameters| ServerConn::new(Stream::closed(), parameters, Moment::ZERO);
        let [mut clients, servers] = [(); 2].map(|()| [(); 4].map(|()| settings("UTC")));
        let first = clients.iter().chain(&servers).map(Arc::as_ptr).min();
        let mut servers = servers.map(conn);
        for _ in 0..2 {
            for (client, server) in clients.iter_mut().zip(&mut servers) {
                assert!(server.has_settings(client));
                client.clone_from(&server.parameters);
            }
            servers.rotate_left(1);
        }
        for server in &mut servers {
            clients.iter_mut().for_each(|client| {
                assert!(server.has_settings(client));
                client.clone_from(&server.parameters);
            });
        }
        clients.iter().for_each(|client| assert!(servers[3].has_settings(client)));
        assert_eq!(Some(Arc::as_ptr(&servers[3].parameters)), first);
        assert!(!servers[0].has_settings(&settings("CET")));
        assert_eq!(servers[0].parameters, settings("UTC"));
    }

    #[tokio::test]
    async fn an_idle_server_is_listened_to() {
        check(b"", Then::Waits, Ok(None)).await;
        check(b"", Then::Ends, Err(())).await;
        check(b"S\0\0\0\x11TimeZone\0UTC\0N\0\0\0\x05\0", Then::Waits, Ok(Some("UTC"))).await;
        check(b"S\0\0\0\x11TimeZone\0U", Then::Waits, Err(())).await;
        check(b"E\0\0\0\x05\0", Then::Waits, Err(())).await;
        check(b"Z\0\0\0\x05I", Then::Waits, Err(())).await;
        check(b"N\0\0\0\x01", Then::Waits, Err(())).await;
    }
}
