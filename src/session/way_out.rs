//! The way out of a state that no server takes: what resets a setting must not need it.
//!
//! PostgreSQL keeps a session in a role that was dropped, and lets it `RESET ROLE`. Here the role would have to be given to a
//! server first, which refuses it. So where a state is refused, and the request resets or replaces a part of it, the request
//! gets a server that has the rest.

use super::{
    reading::{Lexicon, Text},
    session::Session,
    split::request::{Part, first},
};
use crate::{
    sql::{
        self, Statements,
        lexer::{Lexer, Token},
        touches::{FunctionNames, Kinds},
    },
    wire::state::{Carried, SessionState},
};

/// Roles are reset by their own commands and by `DISCARD ALL`, not by `RESET ALL`.
const ROLES: [&[u8]; 2] = [b"session_authorization", b"role"];

/// Whether a server that a client has got has all of its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Given {
    /// It has.
    #[default]
    All,
    /// All but what the client's request takes away.
    InPart,
}

/// Whether the first statement of a lease takes away what the server could not be given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum WayOut {
    /// It has all.
    #[default]
    None,
    /// It runs.
    Taken,
    /// It has failed: the client's state is what it was.
    Failed,
}

impl WayOut {
    pub(super) const fn of(given: Given) -> Self {
        match given {
            Given::All => Self::None,
            Given::InPart => Self::Taken,
        }
    }

    /// A statement has failed.
    pub(super) fn fails(&mut self) {
        if *self == Self::Taken {
            *self = Self::Failed;
        }
    }

    /// A statement has succeeded.
    pub(super) fn succeeds(&mut self) {
        if *self == Self::Taken {
            *self = Self::None;
        }
    }
}

impl Session {
    /// As much of the client's state as its request needs, if that is less than all.
    #[cold]
    pub(super) fn enough_state(&self) -> Option<Carried> {
        let state = self.state.get()?;
        let mut text = None;
        let length = first(&self.inbox, |part| {
            match part {
                Part::Text(query) => text = Some(query),
                // A second one does not run by itself.
                Part::Parse(..) if text.is_some() => return false,
                Part::Parse(_, query) => text = Some(query),
                Part::Uses(name) if text.is_none() => text = self.text_of(name),
                Part::Uses(_) | Part::Nothing => {}
            }
            true
        });
        length.and(text).and_then(|text| left_in(state, text, self.lexicon))
    }

    fn text_of(&self, name: &[u8]) -> Option<&[u8]> {
        match self.frontend.statements.get(name) {
            Some(named) => Some(named.statement.query()),
            None if name.is_empty() => {
                let shared = self.frontend.stand_in().map(|statement| statement.query());
                shared.or_else(|| self.frontend.unnamed_text())
            }
            None => None,
        }
    }
}

/// What a text leaves of a state, if it is one statement that does nothing but take settings away or replace them.
fn left_in(state: &SessionState, text: &[u8], lexicon: Lexicon) -> Option<Carried> {
    if lexicon != Lexicon::Standard && !text.is_ascii() {
        return None;
    }
    let standard = lexicon != Lexicon::Backslash;
    let effects = sql::classify(text, standard);
    let mut tokens = Lexer::new(text, standard).filter(|token| *token != Token::Symbol(b';'));
    let (command, last) = (tokens.next()?, tokens.last()?);
    let is_one = ["set", "reset", "discard"].iter().any(|word| command.is_word(word));
    if !is_one || effects.statements() != Statements::One {
        return None;
    }
    if effects.discards_all() {
        return Some(Carried::NOTHING);
    }
    let touches = Text::Whole(text).touches(lexicon, FunctionNames::NONE);
    if touches.kinds.has_any(Kinds::OPAQUE.and(Kinds::EVERY_SETTING)) {
        return None;
    }
    // A role that is set instead may be refused: then the one before would have to be there still.
    let resets = command.is_word("reset") || last.is_word("none") || last.is_word("default");
    let mut left = state.clone();
    left.retain_settings(|name, _| {
        let is_role = ROLES.contains(&name);
        let named = touches.settings.iter().any(|known| **known == *name) && (resets || !is_role);
        !(named || (touches.kinds.has(Kinds::RESETS) && !is_role))
    });
    (left != *state).then(|| Carried::NOTHING.become_or_stay(left))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::state::{Definition, Setting};

    #[test]
    fn what_a_statement_leaves() {
        let mut state = SessionState::default();
        for name in ["role", "session_authorization", "work_mem"] {
            let setting = Setting { value: b"x".as_slice().into(), definition: Definition::Server };
            state.set(name.as_bytes(), Some(setting));
        }
        let check = |text: &str, expected: Option<&[&str]>| {
            let left = left_in(&state, text.as_bytes(), Lexicon::Standard).map(|left| {
                let names = left.get().into_iter().flat_map(SessionState::settings);
                names.map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>()
            });
            let expected = expected.map(|names| names.iter().map(ToString::to_string).collect());
            assert_eq!(left, expected, "{text}");
        };
        check("reset role", Some(&["session_authorization", "work_mem"]));
        check("SET SESSION ROLE NONE;", Some(&["session_authorization", "work_mem"]));
        check("set role to default", Some(&["session_authorization", "work_mem"]));
        check("reset session authorization", Some(&["work_mem"]));
        check("set session authorization default", Some(&["work_mem"]));
        check("reset all", Some(&["role", "session_authorization"]));
        check("discard all", Some(&[]));
        check("reset work_mem", Some(&["role", "session_authorization"]));
        check("set work_mem = '1MB'", Some(&["role", "session_authorization"]));
        check("set role other", None);
        check("set session authorization other", None);
        check("set local role none", None);
        check("set local work_mem = 1", None);
        check("reset lock_timeout", None);
        check("discard temp", None);
        check("reset role; select 1", None);
        check("select set_config('role', 'none', false)", None);
        check("select 1", None);
    }
}
