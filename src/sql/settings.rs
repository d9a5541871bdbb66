//! `SET` and `RESET`: which parameter, and for how long.

use super::flags::Flags;
use super::lexer::{Lexer, Token};
use super::words::Table;

/// Parameters that the server reports whenever they change, so that their value can follow a client
/// (manual 55.2.7; `default_transaction_read_only` since PostgreSQL 14).
const FOLLOWED: &Table<()> = &Table::new(&[
    ("application_name", ()),
    ("client_encoding", ()),
    ("datestyle", ()),
    ("default_transaction_read_only", ()),
    ("intervalstyle", ()),
    ("standard_conforming_strings", ()),
    ("timezone", ()),
]);

/// What `SET …` leaves behind; `rest` stands behind the `SET`.
pub(super) fn set(mut rest: Lexer<'_>) -> Flags {
    let Some(mut name) = rest.next() else { return Flags::DIRTY };
    // All the words that begin a special form are also good parameter names: SET local.x = 1 lasts.
    if name.is_word("local") && !names_parameter(&rest) {
        return local(rest);
    }
    if name.is_word("session") && !names_parameter(&rest) {
        match rest.next() {
            Some(next) => name = next,
            None => return Flags::DIRTY,
        }
    }
    if names_parameter(&rest) {
        return assignment(name, rest);
    }
    if name.is_word("transaction") || name.is_word("constraints") {
        return Flags::NONE;
    }
    let value = rest.next();
    if name.is_word("time") && value.is_some_and(|zone| zone.is_word("zone")) {
        return followed_value(rest.next(), &["default", "local"]);
    }
    match value {
        None | Some(Token::Symbol(b';') | Token::Literal(_)) if name.is_word("names") => {
            followed_value(value, &["default"])
        }
        Some(word) if name.is_word("names") && word.is_word("default") => Flags::FOLLOWED | Flags::RESETS,
        _ => Flags::DIRTY,
    }
}

/// What `SET LOCAL …` does until the transaction ends: nothing stays behind, but what follows may be read by other
/// rules.
fn local(mut rest: Lexer<'_>) -> Flags {
    match rest.next() {
        Some(name) if is_followed(name) || name.is_word("time") || name.is_word("names") => Flags::FOLLOWED,
        // Used up when it is set; nothing brings the old one back.
        Some(Token::Word(name) | Token::Quoted(name)) if name.eq_ignore_ascii_case(b"seed") => Flags::DIRTY,
        _ => Flags::SETS_LOCALLY,
    }
}

/// What `RESET …` leaves behind; `rest` stands behind the `RESET`.
///
/// Parameters that are not followed count as dirty: their default may not be the value the session began with.
pub(super) fn reset(mut rest: Lexer<'_>) -> Flags {
    let name = rest.next();
    if name.is_some_and(|name| name.is_word("all")) {
        return Flags::DIRTY | Flags::RESETS | Flags::UNLOCKS_WRITES;
    }
    let mut next = rest.next();
    let zone = name.is_some_and(|name| name.is_word("time")) && next.is_some_and(|next| next.is_word("zone"));
    if zone {
        next = rest.next();
    }
    let alone = matches!(next, None | Some(Token::Symbol(b';')));
    let followed = alone && (zone || name.is_some_and(is_followed));
    Flags::RESETS | if followed { Flags::FOLLOWED } else { Flags::DIRTY }
}

/// Whether the next token makes the one before it the name of a parameter, or its first part.
fn names_parameter(rest: &Lexer<'_>) -> bool {
    rest.clone().next().is_some_and(|next| matches!(next, Token::Symbol(b'.' | b'=')) || next.is_word("to"))
}

/// `name = value` or `prefix.name TO value`, from behind the first part of the name.
fn assignment(name: Token<'_>, mut rest: Lexer<'_>) -> Flags {
    let mut followed = is_followed(name);
    while let Some(Token::Symbol(b'.')) = rest.next() {
        followed = false;
        rest.next();
    }
    let resets = rest.next().is_some_and(|value| value.is_word("default"));
    let lasting = if followed { Flags::FOLLOWED } else { Flags::DIRTY };
    if resets { lasting | Flags::RESETS } else { lasting }
}

/// A followed parameter given a value; nothing, or one of `defaults`, resets it.
fn followed_value(value: Option<Token<'_>>, defaults: &[&str]) -> Flags {
    let resets = match value {
        None | Some(Token::Symbol(b';')) => true,
        Some(value) => defaults.iter().any(|word| value.is_word(word)),
    };
    if resets { Flags::FOLLOWED | Flags::RESETS } else { Flags::FOLLOWED }
}

/// Parameter names ignore case even in quotes.
fn is_followed(name: Token<'_>) -> bool {
    matches!(name, Token::Word(name) | Token::Quoted(name) if FOLLOWED.find(name).is_some())
}
