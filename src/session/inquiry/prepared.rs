//! Which statements a session has prepared by SQL, and what they take and yield: so that they can be prepared elsewhere, and
//! held to it.

use std::sync::Arc;

use super::{Carried, Circumstances, Kinds, Questions, SessionState, Told, Touched, of, put_array, text};
use crate::{
    sql::{self, Statements},
    wire::{description::Shape, local::put_local, state::Prepared, statements::put_describe_as},
};

/// How long describing a statement may wait for whoever locks its tables.
const LOCK_WAIT_MAX: &str = "100ms";

/// Adds the question what a statement takes and yields.
pub fn put_description(questions: &mut Questions, name: &[u8]) {
    questions.sequence(|out| {
        put_local(out, "lock_timeout", LOCK_WAIT_MAX);
        put_describe_as(name, out);
    });
}

/// What is asked about statements that were prepared by SQL.
pub(super) struct Described {
    /// Those that the client is known to have; `None`: nothing is asked.
    held: Option<Vec<Box<[u8]>>>,
    /// Those of which is asked what they take and yield, and the place of the question about the first.
    asked: (Vec<Box<[u8]>>, usize),
    /// What they were said to take and yield.
    shapes: Vec<(Box<[u8]>, Shape)>,
    standing: Standing,
}

/// Whether what was prepared lately means the same where it is prepared again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Sure,
    /// It depends on what the client's session alone has, or had for a moment: it stays, whatever it yields.
    Unsure,
}

impl Standing {
    fn of(touched: &Touched, pins: Kinds) -> Self {
        // It may be about a temporary table.
        let temporary = pins.has(Kinds::TEMP) || touched.kinds().has(Kinds::TEMP);
        let unsure = touched.prepares_amid_settings() || pins.has(Kinds::PREPARED) || temporary;
        if unsure { Self::Unsure } else { Self::Sure }
    }
}

impl Described {
    pub(super) fn new(kinds: Kinds, touched: &Touched, around: &Circumstances) -> Self {
        let statements = || around.state.get().into_iter().flat_map(SessionState::statements);
        let is_copy = |name: &[u8]| touched.copies.names().any(|known| *known == *name);
        // What has such a name because a statement of the protocol has it now is no stand-in.
        let names = || statements().map(|(name, _)| name).filter(|name| !is_copy(name));
        let held: Option<Vec<Box<[u8]>>> =
            kinds.has(Kinds::PREPARED).then(|| names().map(Into::into).collect());
        let standing = Standing::of(touched, around.pins);
        let asks = held.is_some() && standing == Standing::Sure;
        let mut names = if asks { touched.prepared().to_vec() } else { Vec::new() };
        // Those are taken away just before.
        names.retain(|name| !is_copy(name));
        Self { held, asked: (names, 0), shapes: Vec::new(), standing }
    }

    /// Appends the question which statements there are. What stands in for one was not prepared by SQL.
    pub(super) fn put_question(&self, sql: &mut Vec<u8>) {
        let Some(held) = &self.held else { return };
        sql.extend_from_slice(
            b"SELECT 'p',name,statement,from_sql FROM pg_catalog.pg_prepared_statements WHERE from_sql",
        );
        if !held.is_empty() {
            sql.extend_from_slice(b" OR name OPERATOR(pg_catalog.=) ANY (");
            put_array(sql, held.iter());
            sql.push(b')');
        }
        sql.push(b';');
    }

    /// Adds what asks for what they take and yield.
    pub(super) fn ask(&mut self, questions: &mut Questions) {
        let (names, first) = &mut self.asked;
        *first = questions.count();
        for name in names {
            put_description(questions, name);
        }
    }

    /// Hears what they take and yield, and which there are. What is to be asked about those that nobody has named.
    pub(super) fn hear(&mut self, told: &Told, state: &Carried) -> Option<Questions> {
        let (names, first) = std::mem::take(&mut self.asked);
        let said = |(place, name)| told.shape(first + place).map(|shape| (name, shape.clone()));
        let new = |name: &[u8]| {
            let held = state.get().and_then(|state| state.statement(name)).is_some();
            !(held || names.iter().any(|known| **known == *name))
        };
        let by_sql = of(&told.rows, b"p").filter(|row| is_by_sql(row)).filter_map(|row| text(row, 1));
        let more: Vec<Box<[u8]>> = by_sql.filter(|name| new(name)).map(Into::into).collect();
        self.shapes.extend(names.into_iter().enumerate().filter_map(said));
        if more.is_empty() || self.standing == Standing::Unsure {
            return None;
        }
        let mut questions = Questions::default();
        self.asked = (more, 0);
        self.ask(&mut questions);
        Some(questions)
    }

    fn shape(&self, name: &[u8]) -> Option<&Shape> {
        self.shapes.iter().find(|(known, _)| **known == *name).map(|(_, shape)| shape)
    }

    /// The statements prepared by SQL; whether there is one that could not be prepared elsewhere so that it means the same.
    pub(super) fn findings(
        &self,
        state: &mut SessionState,
        rows: &[Vec<Option<Box<[u8]>>>],
        touched: &Touched,
        around: &Circumstances,
    ) -> Kinds {
        let before = around.state.get();
        let mut pins = Kinds::NONE;
        let mut now = Vec::new();
        for row in of(rows, b"p") {
            let (Some(name), Some(text)) = (text(row, 1), text(row, 2)) else { continue };
            let shape = self.shape(name);
            let is_known = |known: &&Arc<Prepared>| {
                // With the same text it may be another by now. One that is refused to be described is not.
                let is_alike = match self.standing {
                    Standing::Sure => shape.is_none_or(|shape| *shape == known.shape),
                    Standing::Unsure => !touched.prepared().iter().any(|prepared| **prepared == *name),
                };
                !is_by_sql(row) || (is_alike && *known.text == *text)
            };
            let known = before.and_then(|before| before.statement(name)).filter(is_known);
            match (known, shape) {
                (Some(known), _) => now.push((name.into(), known.clone())),
                (None, Some(shape)) if self.standing == Standing::Sure && can_be_repeated(text) => {
                    let (scope, shape) = (around.scope.clone(), shape.clone());
                    let prepared = Prepared { text: text.into(), scope, shape, stand_in: None };
                    now.push((name.into(), Arc::new(prepared)));
                }
                (None, _) => pins |= Kinds::PREPARED,
            }
        }
        state.set_statements(now.into_iter());
        pins
    }
}

/// Whether a statement was prepared by SQL, and not by us for want of that.
fn is_by_sql(row: &[Option<Box<[u8]>>]) -> bool {
    text(row, 3) != Some(b"f")
}

/// Whether a text prepares one statement and does nothing else, and its literals mean the same at any time.
fn can_be_repeated(text: &[u8]) -> bool {
    [true, false].into_iter().all(|standard| {
        let effects = sql::classify(text, standard);
        let first = sql::lexer::Lexer::new(text, standard).next();
        effects.statements() == Statements::One
            && !effects.parsed_alone()
            && first.is_some_and(|first| first.is_word("prepare"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_prepared_again() {
        for (text, can) in [
            ("prepare p as select 42", true),
            ("prepare p as select 42;", true),
            ("prepare q (int) as select $1 + 1;", true),
            ("PREPARE q AS SELECT 'it''s'", true),
            ("prepare p as select timestamp 'now'", false),
            ("prepare p as select 1; prepare q as select 2", false),
            ("select 1", false),
        ] {
            assert_eq!(can_be_repeated(text.as_bytes()), can, "{text}");
        }
    }
}
