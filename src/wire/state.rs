//! What a session holds beyond the settings that the server reports: other settings, roles, statements prepared by SQL,
//! channels listened on.
//!
//! It follows a client from server to server as the reported settings do ([`super::parameters`]). What it is was asked
//! of the server, never worked out from texts; all bytes are as the server gave them, in the client's encoding.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{description::Shape, statements::Scope};

/// Settings and statements of one session that are carried, each; one that has more keeps its server.
pub const CARRIED_MAX: usize = 256;

/// Bytes of all names, values and texts of one session that are carried; one that has more keeps its server.
pub const CARRIED_BYTES_MAX: usize = 64 * 1024;

/// A setting that was changed in the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its value.
    pub value: Box<[u8]>,
    /// Who knows it.
    pub definition: Definition,
}

impl Setting {
    /// Whether it is all that a reset leaves: PostgreSQL does not forget the name of a placeholder, it empties it.
    fn is_reset(&self) -> bool {
        self.definition == Definition::Placeholder && self.value.is_empty()
    }
}

/// Who knows a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Definition {
    /// The server, or a module loaded there.
    Server,
    /// Nobody but those who set it: a name with a dot that no module has claimed.
    Placeholder,
}

/// A statement that was prepared by SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The whole `PREPARE`.
    pub text: Box<[u8]>,
    /// What it depended on when it was parsed.
    pub scope: Scope,
    /// What it took and yielded when it was parsed.
    pub shape: Shape,
    /// What a server has under its name instead, where it cannot be what it was.
    pub stand_in: Option<StandIn>,
}

/// What a session holds. Names of settings are in lower case; `role` and `session_authorization` are among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionState {
    settings: BTreeMap<Box<[u8]>, Setting>,
    statements: BTreeMap<Box<[u8]>, Arc<Prepared>>,
    channels: BTreeSet<Box<[u8]>>,
}

/// What a session holds, shared; nothing at all costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Carried(Option<Arc<SessionState>>);

impl Carried {
    /// Nothing.
    pub const NOTHING: Self = Self(None);

    /// This much, or what there was if it is the same.
    #[must_use]
    pub fn become_or_stay(&self, state: SessionState) -> Self {
        match self.get() {
            None if state.is_empty() => Self(None),
            Some(known) if *known == state => self.clone(),
            _ if state.is_empty() => Self(None),
            _ => Self(Some(Arc::new(state))),
        }
    }

    /// What is held, if anything is.
    #[inline]
    pub fn get(&self) -> Option<&SessionState> {
        self.0.as_deref()
    }

    /// Whether both are one.
    #[inline]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// Whether both hold the same.
    #[inline]
    pub fn is_like(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
            _ => false,
        }
    }
}

/// Settings that have no part in what a statement means: they bear on how it runs, or on later transactions.
const BEARS_NOT: [&[u8]; 16] = [
    b"client_min_messages",
    b"default_transaction_deferrable",
    b"default_transaction_isolation",
    b"default_transaction_read_only",
    b"deadlock_timeout",
    b"extra_float_digits",
    b"bytea_output",
    b"idle_in_transaction_session_timeout",
    b"idle_session_timeout",
    b"lock_timeout",
    b"maintenance_work_mem",
    b"statement_timeout",
    b"synchronous_commit",
    b"transaction_timeout",
    b"work_mem",
    b"jit",
];

/// Set last of all: a role may lack the right to set the others, and a time limit may be too short for them.
const LAST: [&[u8]; 3] = [b"statement_timeout", b"session_authorization", b"role"];

impl SessionState {
    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.statements.is_empty() && self.channels.is_empty()
    }

    /// The setting of this name.
    pub fn setting(&self, name: &[u8]) -> Option<&Setting> {
        self.settings.get(name)
    }

    /// All settings, by name.
    pub fn settings(&self) -> impl Iterator<Item = (&[u8], &Setting)> {
        self.settings.iter().map(|(name, setting)| (&**name, setting))
    }

    /// A setting has this value, or (`None`) the one it had when the session began.
    pub fn set(&mut self, name: &[u8], setting: Option<Setting>) {
        match setting {
            Some(setting) => self.settings.insert(name.into(), setting),
            None => self.settings.remove(name),
        };
    }

    /// Keeps the settings that `keep` picks.
    pub fn retain_settings(&mut self, mut keep: impl FnMut(&[u8], &Setting) -> bool) {
        self.settings.retain(|name, setting| keep(name, setting));
    }

    /// The statement of this name.
    pub fn statement(&self, name: &[u8]) -> Option<&Arc<Prepared>> {
        self.statements.get(name)
    }

    /// All statements, by name.
    pub fn statements(&self) -> impl Iterator<Item = (&[u8], &Arc<Prepared>)> {
        self.statements.iter().map(|(name, statement)| (&**name, statement))
    }

    /// These are the statements now.
    pub fn set_statements(&mut self, now: impl Iterator<Item = (Box<[u8]>, Arc<Prepared>)>) {
        self.statements = now.collect();
    }

    /// The channels listened on.
    pub const fn channels(&self) -> &BTreeSet<Box<[u8]>> {
        &self.channels
    }

    /// These are the channels listened on now.
    pub fn set_channels(&mut self, now: BTreeSet<Box<[u8]>>) {
        self.channels = now;
    }

    /// Whether this is more than is carried.
    pub fn is_too_much(&self) -> bool {
        let settings = self.settings.iter().map(|(name, setting)| name.len() + setting.value.len());
        let statements = self.statements.iter().map(|(name, prepared)| name.len() + prepared.bytes());
        let channels = self.channels.iter().map(|channel| channel.len());
        self.settings.len().max(self.statements.len()).max(self.channels.len()) > CARRIED_MAX
            || settings.chain(statements).chain(channels).sum::<usize>() > CARRIED_BYTES_MAX
    }

    /// Whether every byte is ASCII, so that it reads the same in any encoding.
    pub fn is_ascii(&self) -> bool {
        self.settings.iter().all(|(name, setting)| name.is_ascii() && setting.value.is_ascii())
            && self.statements.iter().all(|(name, prepared)| name.is_ascii() && prepared.text.is_ascii())
            && self.channels.iter().all(|channel| channel.is_ascii())
    }

    /// The settings that bear on what a statement means when it is parsed, as one comparable text.
    pub fn parse_key(&self) -> String {
        let mut key = String::new();
        for (name, setting) in &self.settings {
            // What no module has claimed no code looks at.
            if setting.definition == Definition::Server && !BEARS_NOT.contains(&&**name) {
                key.extend(name.escape_ascii().map(char::from));
                key.push('=');
                key.extend(setting.value.escape_ascii().map(char::from));
                key.push('\u{0}');
            }
        }
        key
    }
}

/// What takes a server out of the state it has, as far as that is not wanted; to be run first. Empty: nothing.
///
/// Roles go first, so that everything else is done with the rights of the login.
pub fn leave(have: &Carried, want: &Carried) -> Vec<u8> {
    let mut sql = Vec::new();
    if have.is_like(want) {
        return sql;
    }
    let nothing = SessionState::default();
    let (have, want) = (have.get().unwrap_or(&nothing), want.get().unwrap_or(&nothing));
    for (name, command) in [
        (&b"role"[..], &b"RESET ROLE;"[..]),
        (b"session_authorization", b"RESET SESSION AUTHORIZATION;"),
        (b"statement_timeout", b"RESET statement_timeout;"),
    ] {
        if have.settings.contains_key(name) {
            sql.extend_from_slice(command);
        }
    }
    for (name, setting) in have.settings.iter().filter(|(name, _)| !want.settings.contains_key(*name)) {
        if !LAST.contains(&&**name) && !setting.is_reset() {
            sql.extend_from_slice(b"RESET ");
            put_name(&mut sql, name);
            sql.push(b';');
        }
    }
    for (name, prepared) in &have.statements {
        if want.statements.get(name) != Some(prepared) {
            sql.extend_from_slice(b"DEALLOCATE ");
            put_identifier(&mut sql, name);
            sql.push(b';');
        }
    }
    put_commands(&mut sql, b"UNLISTEN ", have.channels.difference(&want.channels));
    sql
}

fn put_commands<'c>(sql: &mut Vec<u8>, command: &[u8], channels: impl Iterator<Item = &'c Box<[u8]>>) {
    for channel in channels {
        sql.extend_from_slice(command);
        put_identifier(sql, channel);
        sql.push(b';');
    }
}

/// What gives a server, which [`leave`] has been run on, the state that is wanted; to be run in this order, and each
/// statement by itself: what PostgreSQL knows of one that is prepared by SQL is the whole query it came in. Whether it is
/// there what it was is another question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Sets most settings, if there are any.
    pub settings: Vec<u8>,
    /// Statements that are to be prepared, each with its name.
    pub statements: Vec<(Box<[u8]>, Arc<Prepared>)>,
    /// Sets what must come last, if it is to be set.
    pub last: Vec<u8>,
}

/// What a server lacks of the state that is wanted.
pub fn enter(have: &Carried, want: &Carried) -> Entry {
    let Some(wanted) = want.get() else { return Entry::default() };
    if have.is_like(want) {
        return Entry::default();
    }
    let nothing = SessionState::default();
    let have = have.get().unwrap_or(&nothing);
    let differs = |name: &[u8], setting: &Setting| {
        have.settings.get(name).is_none_or(|known| known.value != setting.value)
    };
    let ordinary = wanted.settings().filter(|(name, setting)| !LAST.contains(name) && differs(name, setting));
    let missing =
        wanted.statements.iter().filter(|(name, prepared)| have.statements.get(*name) != Some(*prepared));
    let last = LAST.iter().filter_map(|name| Some((*name, wanted.setting(name)?)));
    let mut settings = set_all(ordinary);
    let mut channels = wanted.channels.difference(&have.channels).peekable();
    if !settings.is_empty() && channels.peek().is_some() {
        settings.push(b';');
    }
    put_commands(&mut settings, b"LISTEN ", channels);
    Entry {
        settings,
        statements: missing.map(|(name, prepared)| (name.clone(), prepared.clone())).collect(),
        last: set_all(last),
    }
}

/// One statement for all of them, in their order: a time limit among them holds for the next one only.
fn set_all<'a>(settings: impl Iterator<Item = (&'a [u8], &'a Setting)>) -> Vec<u8> {
    let mut sql = Vec::new();
    for (name, setting) in settings {
        sql.extend_from_slice(if sql.is_empty() { b"SELECT " } else { b"," });
        sql.extend_from_slice(b"pg_catalog.set_config(");
        put_literal(&mut sql, name);
        sql.push(b',');
        put_literal(&mut sql, &setting.value);
        sql.extend_from_slice(b",false)");
    }
    sql
}

/// Appends a literal that reads the same whatever `standard_conforming_strings` says.
pub fn put_literal(sql: &mut Vec<u8>, text: &[u8]) {
    if text.contains(&b'\\') {
        sql.extend_from_slice(b" E");
    }
    put_quoted(sql, text, b'\'');
}

/// Appends a name as SQL takes it, quoted.
pub fn put_identifier(sql: &mut Vec<u8>, name: &[u8]) {
    put_quoted(sql, name, b'"');
}

/// A setting's name: its parts quoted one by one.
fn put_name(sql: &mut Vec<u8>, name: &[u8]) {
    for (place, part) in name.split(|byte| *byte == b'.').enumerate() {
        if place > 0 {
            sql.push(b'.');
        }
        put_identifier(sql, part);
    }
}

fn put_quoted(sql: &mut Vec<u8>, text: &[u8], quote: u8) {
    sql.push(quote);
    for byte in text {
        if *byte == quote || (quote == b'\'' && *byte == b'\\') {
            sql.push(*byte);
        }
        sql.push(*byte);
    }
    sql.push(quote);
}

mod standing;

pub use standing::{StandIn, Substitute};

#[cfg(test)]
mod tests;
