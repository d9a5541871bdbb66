//! What a server is asked about its session once a client's transaction is over, and what the answer means: which state
//! follows the client, and what keeps it on its server.
//!
//! Every name is qualified and every operator too, since the search path is the client's own.

use std::sync::Arc;

use crate::{
    server::{Questions, Told},
    sql::{
        encoding::is_transparent,
        touches::{Kinds, OF_TRANSACTION},
    },
    wire::{
        parameters::{Parameters, tracked},
        state::{Carried, Definition, SessionState, Setting, put_identifier, put_literal},
        statements::Scope,
    },
};

use super::touched::Touched;

/// What a server can be asked about.
pub const ASKED: Kinds = Kinds::SETTINGS
    .and(Kinds::EVERY_SETTING)
    .and(Kinds::RESETS)
    .and(Kinds::PREPARED)
    .and(Kinds::LISTENS)
    .and(Kinds::TEMP)
    .and(Kinds::CURSORS)
    .and(Kinds::LOCKS);

/// What keeps a client on its server whatever it does later, up to `DISCARD ALL` at best: nobody can ask about it.
pub const LASTING: Kinds = Kinds::LOADS
    .and(Kinds::SEED)
    .and(Kinds::BOUND)
    .and(Kinds::SEQUENCES)
    .and(Kinds::EVERY_SETTING)
    .and(Kinds::CALLS)
    .and(Kinds::OPAQUE);

/// What keeps a client whose server did not say what its session holds.
pub const UNREADABLE: Kinds = Kinds::LOOKS;

/// Of these, what not even `DISCARD ALL` takes away.
pub const INDELIBLE: Kinds = Kinds::LOADS.and(Kinds::SEED).and(Kinds::BOUND);

/// What stands beside what was touched.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// The user that servers are logged in as.
    pub login: Arc<str>,
    /// What the client held before.
    pub state: Carried,
    /// The settings that servers report.
    pub parameters: Arc<Parameters>,
    /// On what parsing depends now.
    pub scope: Scope,
    /// What has kept the client on its server so far.
    pub pins: Kinds,
    /// Custom settings that clients of this user and database have used.
    pub custom: Vec<Box<[u8]>>,
    /// Whether the role of a session's start may be another than none.
    pub starts_with_role: bool,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Findings {
    /// What follows the client.
    pub state: Carried,
    /// What keeps it on its server.
    pub pins: Kinds,
}

/// What to ask.
pub struct Inquiry {
    kinds: Kinds,
    /// Settings by name, in lower case; none that the server reports by itself.
    names: Vec<Box<[u8]>>,
    /// Settings that nobody has named, in case they were set all the same.
    guessed: Vec<Box<[u8]>>,
    /// Statements of the client's that the server has under their true names.
    true_names: Vec<Box<[u8]>>,
    /// Statements that SQL may have prepared.
    described: Described,
}

impl Inquiry {
    /// What to ask about what was touched; `None`: there is nothing to ask.
    pub fn about(touched: &Touched, around: &Circumstances) -> Option<Self> {
        let everything = touched.kinds().has_any(Kinds::OPAQUE.and(Kinds::CALLS));
        let mut kinds = touched.kinds() | around.pins.without(LASTING);
        if everything {
            kinds |= ASKED;
        }
        if kinds.has(Kinds::RESETS) {
            kinds |= Kinds::EVERY_SETTING;
        }
        let mut names: Vec<Box<[u8]>> = touched.settings().to_vec();
        names.retain(|name| !is_reported(name, &around.parameters));
        let every = kinds.has(Kinds::EVERY_SETTING);
        if every || around.pins.has(Kinds::SETTINGS) {
            let known = around.state.get().into_iter().flat_map(SessionState::settings);
            // Those that are the server's are in the answer to a question for all that were changed. And they alone can keep a
            // client, by who has set them: what a placeholder is, is known unless it is named, however many there are.
            let asking = if every { Definition::Placeholder } else { Definition::Server };
            let asked = known.filter(|(_, setting)| setting.definition == asking);
            for name in asked.map(|(name, _)| name).chain([&b"session_authorization"[..], b"role"]) {
                if !names.iter().any(|known| **known == *name) {
                    names.push(name.into());
                }
            }
        }
        let mut guessed = if everything { around.custom.clone() } else { Vec::new() };
        guessed.retain(|name| !names.contains(name));
        let true_names: Vec<Box<[u8]>> = touched.copies.names().map(Into::into).collect();
        let asked =
            kinds.has_any(ASKED.without(Kinds::SETTINGS)) || !(names.is_empty() && true_names.is_empty());
        let described = Described::new(kinds, touched, around);
        asked.then_some(Self { kinds, names, guessed, true_names, described })
    }

    /// The question; then what takes statements away that were there for a moment only: that they are gone already is
    /// no error; and then what statements that SQL has prepared take and yield.
    pub fn questions(&mut self) -> Questions {
        let mut questions = Questions::default();
        questions.query(&self.sql());
        for name in &self.true_names {
            let mut sql = b"DEALLOCATE ".to_vec();
            put_identifier(&mut sql, name);
            questions.query(&sql);
        }
        self.described.ask(&mut questions);
        questions
    }

    /// Hears the answer. What is to be asked behind it: what those statements take and yield that no text has shown.
    pub fn hear(&mut self, told: &Told, state: &Carried) -> Option<Questions> {
        self.described.hear(told, state)
    }

    /// The client's statements that SQL has taken away.
    pub fn deallocated<'a>(&'a self, rows: &'a [Vec<Option<Box<[u8]>>>]) -> impl Iterator<Item = &'a [u8]> {
        let names = self.true_names.iter().map(|name| &**name);
        names.filter(|name| !of(rows, b"n").any(|row| text(row, 1) == Some(name)))
    }

    fn sql(&self) -> Vec<u8> {
        let mut sql = Vec::with_capacity(512);
        if !self.names.is_empty() {
            sql.extend_from_slice(b"SELECT 'v',n,pg_catalog.current_setting(n,true) FROM pg_catalog.unnest(");
            put_array(&mut sql, self.names.iter().chain(&self.guessed));
            sql.extend_from_slice(b") AS n;");
        }
        let defined = || self.names.iter().filter(|name| !is_role(name));
        if self.kinds.has(Kinds::EVERY_SETTING) {
            put_definitions(&mut sql);
            sql.extend_from_slice(b"source OPERATOR(pg_catalog.=) 'session'");
            if defined().next().is_some() {
                sql.extend_from_slice(b" OR ");
                put_named(&mut sql, defined());
            }
            sql.push(b';');
        } else if defined().next().is_some() {
            put_definitions(&mut sql);
            put_named(&mut sql, defined());
            sql.push(b';');
        }
        if !self.true_names.is_empty() {
            sql.extend_from_slice(
                b"SELECT 'n',name FROM pg_catalog.pg_prepared_statements WHERE NOT from_sql AND \
                  name OPERATOR(pg_catalog.=) ANY (",
            );
            put_array(&mut sql, self.true_names.iter());
            sql.extend_from_slice(b");");
        }
        self.described.put_question(&mut sql);
        for (kind, question) in QUESTIONS {
            if self.kinds.has(kind) {
                sql.extend_from_slice(question);
            }
        }
        sql
    }

    /// What the answer means.
    pub fn findings(
        &self,
        rows: &[Vec<Option<Box<[u8]>>>],
        touched: &Touched,
        around: &Circumstances,
    ) -> Findings {
        let mut state = around.state.get().cloned().unwrap_or_default();
        let mut pins = around.pins.without(ASKED.without(Kinds::EVERY_SETTING)).without(UNREADABLE);
        pins |= touched.lasting();
        if !self.names.is_empty() || self.kinds.has(Kinds::EVERY_SETTING) {
            pins |= self.settings(&mut state, rows, around);
        }
        if self.kinds.has(Kinds::PREPARED) {
            pins |= self.described.findings(&mut state, rows, touched, around);
        }
        if self.kinds.has(Kinds::LISTENS) {
            let channels = of(rows, b"l").filter_map(|row| text(row, 1)).map(Into::into);
            state.set_channels(channels.collect());
        }
        for (kind, sign) in SIGNS {
            if of(rows, sign).next().is_some() {
                pins |= kind;
            }
        }
        let encoding = tracked("client_encoding").and_then(|place| around.parameters.get(place));
        let opaque = encoding.is_some_and(|name| !is_transparent(name.as_bytes()));
        let path = tracked("search_path").and_then(|place| around.parameters.get(place));
        if state.is_too_much()
            || (opaque && !state.is_ascii())
            || path.is_some_and(|path| leads_to_temporary(path.as_bytes()))
        {
            pins |= Kinds::SETTINGS;
        }
        Findings { state: around.state.become_or_stay(state), pins }
    }

    /// The settings that were asked about; whether one cannot be given back elsewhere.
    fn settings(
        &self,
        state: &mut SessionState,
        rows: &[Vec<Option<Box<[u8]>>>],
        around: &Circumstances,
    ) -> Kinds {
        if self.kinds.has(Kinds::EVERY_SETTING) {
            // What is not in the answer is what it was at the start.
            state.retain_settings(|_, setting| setting.definition == Definition::Placeholder);
        }
        for row in of(rows, b"v") {
            let Some(name) = text(row, 1) else { continue };
            let guessed = self.guessed.iter().any(|known| **known == *name);
            let stays = match text(row, 2) {
                // Empty it may have been left by anybody.
                Some(b"") if guessed => continue,
                None => None,
                Some(b"none") if name == b"role" && !around.starts_with_role => None,
                Some(login) if name == b"session_authorization" && *login == *around.login.as_bytes() => None,
                Some(value) => {
                    let definition = if is_role(name) { Definition::Server } else { Definition::Placeholder };
                    Some(Setting { value: value.into(), definition })
                }
            };
            state.set(name, stays);
        }
        let mut pins = Kinds::NONE;
        let may_set_all = state.setting(b"session_authorization").is_some();
        for row in of(rows, b"d") {
            let (Some(name), Some(value)) = (text(row, 1), text(row, 2)) else { continue };
            let name = name.to_ascii_lowercase();
            if is_reported(&name, &around.parameters) || OF_TRANSACTION.contains(&&*name) {
                continue;
            }
            let changed = text(row, 3) != Some(value);
            let setting = Setting { value: value.into(), definition: Definition::Server };
            if changed && text(row, 4) == Some(b"f") && !may_set_all {
                // Set by a role that had the right to; the login has it not.
                pins |= Kinds::SETTINGS;
            }
            if changed && name == b"search_path" && leads_to_temporary(value) {
                pins |= Kinds::SETTINGS;
            }
            state.set(&name, changed.then_some(setting));
        }
        pins
    }
}

/// Whether what is created under this search path without a word of it may be temporary.
pub(super) fn leads_to_temporary(search_path: &[u8]) -> bool {
    memchr::memmem::find(search_path, b"pg_temp").is_some()
}

/// The rows that begin with this letter.
fn of<'r>(
    rows: &'r [Vec<Option<Box<[u8]>>>],
    sign: &'r [u8],
) -> impl Iterator<Item = &'r [Option<Box<[u8]>>]> {
    rows.iter().map(Vec::as_slice).filter(move |row| text(row, 0) == Some(sign))
}

fn text(row: &[Option<Box<[u8]>>], place: usize) -> Option<&[u8]> {
    row.get(place)?.as_deref()
}

/// Whether the server says by itself when this setting changes, so that it follows the client anyway.
fn is_reported(name: &[u8], parameters: &Parameters) -> bool {
    let place = std::str::from_utf8(name).ok().and_then(tracked);
    place.is_some_and(|place| parameters.get(place).is_some())
}

/// Roles are settings that `pg_settings` does not show.
fn is_role(name: &[u8]) -> bool {
    matches!(name, b"role" | b"session_authorization")
}

const QUESTIONS: [(Kinds, &[u8]); 4] = [
    (Kinds::LISTENS, b"SELECT 'l',c FROM pg_catalog.pg_listening_channels() AS c;"),
    (
        // Whatever is in a schema depends on it: 2615 is pg_namespace.
        Kinds::TEMP,
        b"SELECT 't' FROM pg_catalog.pg_depend WHERE refclassid OPERATOR(pg_catalog.=) '2615'::pg_catalog.oid \
          AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() LIMIT 1;",
    ),
    (Kinds::CURSORS, b"SELECT 'c' FROM pg_catalog.pg_cursors WHERE is_holdable LIMIT 1;"),
    (
        Kinds::LOCKS,
        b"SELECT 'k' FROM pg_catalog.pg_locks WHERE locktype OPERATOR(pg_catalog.=) 'advisory' \
          AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() LIMIT 1;",
    ),
];

const SIGNS: [(Kinds, &[u8]); 3] = [(Kinds::TEMP, b"t"), (Kinds::CURSORS, b"c"), (Kinds::LOCKS, b"k")];

/// The values of settings, those at the session's start, and whether the login may set them.
fn put_definitions(sql: &mut Vec<u8>) {
    sql.extend_from_slice(
        b"SELECT 'd',name,setting,reset_val,CASE WHEN context OPERATOR(pg_catalog.~~) 'superuser%' THEN \
          (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) SESSION_USER) \
          ELSE true END FROM pg_catalog.pg_settings WHERE ",
    );
}

fn put_named<'n>(sql: &mut Vec<u8>, names: impl Iterator<Item = &'n Box<[u8]>>) {
    sql.extend_from_slice(b"pg_catalog.lower(name) OPERATOR(pg_catalog.=) ANY (");
    put_array(sql, names);
    sql.push(b')');
}

fn put_array<'n>(sql: &mut Vec<u8>, names: impl Iterator<Item = &'n Box<[u8]>>) {
    sql.extend_from_slice(b"ARRAY[");
    for (place, name) in names.enumerate() {
        if place > 0 {
            sql.push(b',');
        }
        put_literal(sql, name);
    }
    sql.extend_from_slice(b"]::pg_catalog.text[]");
}

mod prepared;

use prepared::Described;
pub use prepared::put_description;
