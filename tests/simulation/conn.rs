//! One connection to a server, as the server has it.

use std::{
    collections::{BTreeMap, VecDeque},
    task::Waker,
};

use crate::{ledger::Row, statement::Statement, world::Ms};

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Unknown,
    Probe,
    Writer,
    Reader,
    /// A client whose statements are split.
    Splitter,
}

/// The server's side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Open,
    /// It has said goodbye.
    Ended,
    /// It was reset.
    Broken,
    /// The host is gone, and nobody says so.
    Silent,
}

/// How all connections of a server end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// A fast shutdown: a word of farewell, then the end.
    Shutdown,
    /// A crash on a living host.
    Reset,
    /// The host is gone.
    Silence,
}

/// What a backend is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Busy {
    Idle,
    Running(Statement, Protocol),
    /// Committed here, up to this length of the log; the synchronous standby does not have it yet.
    Waiting(usize, Statement, Protocol),
    /// It will not say any more.
    Doomed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Simple,
    Extended,
    /// The Sync at the end of extended messages, which commits what they did outside a block.
    Sync,
}

#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) node: usize,
    pub(crate) role: Role,
    pub(crate) life: Life,
    /// The program has closed its side.
    pub(crate) dropped: bool,
    pub(crate) opened_at: Ms,
    pub(crate) key: u32,
    /// How many of the queue's last messages have not reached the server's host.
    pub(crate) in_flight: usize,
    pub(crate) inbox: Vec<u8>,
    pub(crate) queue: VecDeque<(u8, Vec<u8>)>,
    pub(crate) outbox: VecDeque<u8>,
    pub(crate) reader: Option<Waker>,
    pub(crate) busy: Busy,
    pub(crate) step: u32,
    /// `I`, `T` or `E`.
    pub(crate) status: u8,
    pub(crate) rows: Vec<Row>,
    /// What it copies from the client.
    pub(crate) copying: Option<Row>,
    /// The number of its transaction.
    pub(crate) xid: Option<u64>,
    /// The number that it has told of before its commit.
    pub(crate) testified: Option<u64>,
    pub(crate) prepared: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) portals: BTreeMap<Vec<u8>, Statement>,
    pub(crate) skipping: u8,
    pub(crate) settings: BTreeMap<String, String>,
    /// Whether it has said that it is in recovery.
    pub(crate) said_standby: Option<bool>,
    /// Since when a request has not been answered, unless the program is putting the session in order.
    pub(crate) asked_at: Option<Ms>,
}

impl Conn {
    pub(crate) fn new(node: usize, opened_at: Ms, key: u32) -> Self {
        let settings = [
            ("server_version", "15.4"),
            ("application_name", ""),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO, MDY"),
            ("TimeZone", "UTC"),
            ("standard_conforming_strings", "on"),
            ("default_transaction_read_only", "off"),
        ];
        Self {
            node,
            role: Role::Unknown,
            life: Life::Open,
            dropped: false,
            opened_at,
            key,
            in_flight: 0,
            inbox: Vec::new(),
            queue: VecDeque::new(),
            outbox: VecDeque::new(),
            reader: None,
            busy: Busy::Idle,
            step: 0,
            status: b'I',
            rows: Vec::new(),
            copying: None,
            xid: None,
            testified: None,
            prepared: BTreeMap::new(),
            portals: BTreeMap::new(),
            skipping: 0,
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            said_standby: None,
            asked_at: None,
        }
    }

    pub(crate) const fn is_client(&self) -> bool {
        matches!(self.role, Role::Writer | Role::Reader | Role::Splitter)
    }

    /// Whether nothing is under way on it.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.busy == Busy::Idle && self.queue.is_empty() && self.status == b'I' && self.copying.is_none()
    }

    pub(crate) fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.outbox.extend(bytes);
        self.wake();
    }
}
