//! What of the session a text may touch: kinds, and the names it shows.
//!
//! A second, closer look at texts of which [`Effects`](super::Effects) says that they may touch anything at all. It does
//! not say what the session then *is*: values are computed, transactions roll back, functions do what they like. That is
//! asked of the server; this says only what to ask about. So a kind may be named that was not touched, and names may be
//! listed that nothing was done to, but nothing that the text shows is ever left out.
//!
//! What no text shows is not here either: functions and triggers the user has written (unless [`FunctionNames`] names
//! them), what a statement prepared earlier does when it is run ([`Touches::statements`] says which), and that plain
//! `CREATE TABLE` makes a temporary table while `search_path` begins with `pg_temp`.

mod kinds;
mod names;
mod reader;
mod settings;

pub use kinds::Kinds;
pub use names::FunctionNames;
pub(super) use names::{name, undoubled, unescaped};
pub use settings::OF_TRANSACTION;

use super::lexer::{Lexer, Token};

/// Names in one [`Touches`], settings and statements each; beyond it they count as unknown.
pub const NAMES_MAX: usize = 64;

/// Bytes of one name; a longer one counts as unknown. PostgreSQL cuts each part of a name at 63 bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// What of the session a text may touch. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touches {
    /// What kinds of state.
    pub kinds: Kinds,
    /// The settings that are set or reset for longer than the transaction, in lower case (names of settings ignore
    /// case), each once, in the order of the text. Those that the server reports are among them. All there are, unless
    /// [`Kinds::EVERY_SETTING`] or [`Kinds::OPAQUE`] is set.
    pub settings: Vec<Box<[u8]>>,
    /// The prepared statements that SQL prepares, executes (plainly, explained, or to fill a table) or deallocates, as the
    /// server folds and cuts their names, each once. All there are, unless [`Kinds::OPAQUE`] is set. `DEALLOCATE ALL` names none.
    pub statements: Vec<Box<[u8]>>,
}

impl Touches {
    /// Whatever there is.
    pub fn anything() -> Self {
        Self { kinds: Kinds::OPAQUE, ..Self::default() }
    }

    /// Whether nothing is touched.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Adds what another text touches.
    pub fn merge(&mut self, other: Self) {
        self.kinds |= other.kinds;
        other.settings.into_iter().for_each(|name| self.add_setting(name.into_vec()));
        other.statements.into_iter().for_each(|name| self.add_statement(name.into_vec()));
    }

    fn add_setting(&mut self, name: Vec<u8>) {
        if name.is_empty() {
            return;
        }
        if !add(&mut self.settings, name) {
            self.kinds |= Kinds::EVERY_SETTING;
        }
        self.kinds |= Kinds::SETTINGS;
    }

    fn add_statement(&mut self, name: Vec<u8>) {
        if !add(&mut self.statements, name) {
            self.kinds |= Kinds::OPAQUE;
        }
    }
}

/// Whether the name is among `names` now.
fn add(names: &mut Vec<Box<[u8]>>, name: Vec<u8>) -> bool {
    if names.iter().any(|known| **known == name) {
        return true;
    }
    let fits = names.len() < NAMES_MAX && name.len() <= NAME_BYTES_MAX;
    if fits {
        names.push(name.into_boxed_slice());
    }
    fits
}

/// Reads a whole text, under the same conditions as [`classify`](super::classify).
///
/// Calls of the functions in `opaque` count as [`Kinds::OPAQUE`].
pub fn touches(text: &[u8], standard_conforming_strings: bool, opaque: &FunctionNames) -> Touches {
    let mut tokens = Lexer::new(text, standard_conforming_strings);
    let mut reader = reader::Reader::new(opaque);
    while let Some(first) = tokens.next() {
        if first != Token::Symbol(b';') {
            reader.statement(first, &mut tokens);
        }
    }
    reader.touches
}

/// Reads a text when it is not known whether backslashes escape in ordinary strings: both readings together.
pub fn touches_unsure(text: &[u8], opaque: &FunctionNames) -> Touches {
    let mut both = touches(text, true, opaque);
    if memchr::memchr(b'\\', text).is_some() {
        both.merge(touches(text, false, opaque));
    }
    both
}

/// Reads a text in a client encoding that is not [transparent](super::encoding::is_transparent), as
/// [`classify_opaque`](super::classify_opaque) does.
pub fn touches_opaque(text: &[u8], standard_conforming_strings: bool, opaque: &FunctionNames) -> Touches {
    if text.is_ascii() { touches(text, standard_conforming_strings, opaque) } else { Touches::anything() }
}

/// Reads the beginning of a text too large to hold, as [`classify_prefix`](super::classify_prefix) does.
pub fn touches_prefix(prefix: &[u8], standard_conforming_strings: bool, opaque: &FunctionNames) -> Touches {
    let mut seen = touches(prefix, standard_conforming_strings, opaque);
    seen.merge(Touches::anything());
    seen
}

#[cfg(test)]
#[path = "touches_tests.rs"]
mod tests;
