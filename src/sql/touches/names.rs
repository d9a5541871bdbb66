//! Names, as the server's scanner hands them on.

use std::collections::BTreeSet;

use super::super::lexer::{Lexer, Token};
use super::super::words;

/// Bytes PostgreSQL keeps of a name (`NAMEDATALEN` less one).
const KEPT: usize = 63;

/// Reads the name that `token` is, from what stands behind it in `rest`: folded to lower case unless quoted, doubled
/// quotes undone, cut to the length PostgreSQL keeps.
///
/// `None` if that cannot be told from the text: how letters beyond ASCII fold, and where a name is cut between them, depends
/// on the server's encoding and locale; escapes in `U&"…"` are not decoded.
pub(in crate::sql) fn name(token: Token<'_>, rest: &Lexer<'_>) -> Option<Vec<u8>> {
    let name = match token {
        Token::Word(word) if word.is_ascii() => word.to_ascii_lowercase(),
        Token::Quoted(quoted) => undoubled(quoted, b'"'),
        Token::Encoded(quoted) => undoubled(unescaped(quoted, rest)?, b'"'),
        _ => return None,
    };
    if name.len() > KEPT {
        return name.is_ascii().then(|| name[..KEPT].to_vec());
    }
    Some(name)
}

/// Reads `first.second.third`, to behind its last part.
pub(super) fn dotted(first: Token<'_>, rest: &mut Lexer<'_>) -> Option<Vec<u8>> {
    let mut parts = name(first, rest)?;
    while rest.clone().next() == Some(Token::Symbol(b'.')) {
        rest.next();
        let part = rest.next()?;
        parts.push(b'.');
        parts.extend(name(part, rest)?);
    }
    Some(parts)
}

/// What `U&"…"` spells if it does so without escapes. `UESCAPE 'x'` behind it can make any character begin one.
pub(in crate::sql) fn unescaped<'a>(quoted: &'a [u8], rest: &Lexer<'_>) -> Option<&'a [u8]> {
    let own_escape = rest.clone().next().is_some_and(|next| next.is_word("uescape"));
    (!own_escape && !quoted.contains(&b'\\')).then_some(quoted)
}

/// The text with every doubled `quote` single.
pub(in crate::sql) fn undoubled(text: &[u8], quote: u8) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        plain.push(byte);
        if byte == quote {
            bytes.next();
        }
    }
    plain
}

/// Names of functions, found wherever they stand and however they are written: with or without a schema, quoted or not, in
/// any case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionNames(BTreeSet<Box<[u8]>>);

impl FunctionNames {
    /// None.
    pub const NONE: &'static Self = &Self(BTreeSet::new());

    /// Reads names written as in SQL: `name`, `schema.name`, `"Name"`. A schema is not looked at: which function a name
    /// means depends on the `search_path`.
    ///
    /// # Errors
    ///
    /// The first that is no name.
    pub fn parse<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Self, &'n str> {
        let last = |text: &'n str| last_part(text).map(folded).ok_or(text);
        names.into_iter().map(last).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a word or a quoted name may be one of these.
    pub(super) fn contains(&self, written: &[u8]) -> bool {
        !self.0.is_empty() && self.0.contains(&folded(written.to_vec()))
    }
}

/// The last part of a name that may have a schema in front; nothing else may stand in `text`.
fn last_part(text: &str) -> Option<Vec<u8>> {
    let mut tokens = Lexer::new(text.as_bytes(), true);
    let mut part = tokens.next()?;
    loop {
        let read = match part {
            Token::Word(word) => word.to_vec(),
            Token::Quoted(quoted) if !quoted.is_empty() => undoubled(quoted, b'"'),
            _ => return None,
        };
        match tokens.next() {
            None => return Some(read),
            Some(Token::Symbol(b'.')) => part = tokens.next()?,
            Some(_) => return None,
        }
    }
}

/// One spelling for all that may mean the same.
fn folded(mut name: Vec<u8>) -> Box<[u8]> {
    name.truncate(KEPT);
    name.iter_mut().for_each(|byte| *byte = words::fold(*byte));
    name.into_boxed_slice()
}
