//! `SET`, `RESET` and `set_config`: the names of settings that outlast the transaction.

use super::super::config_call::ConfigCall;
use super::super::lexer::{Lexer, Literal, Token};
use super::names::{dotted, undoubled};
use super::{Kinds, Touches};

/// Settings whose value is gone with the transaction, however they are set.
pub const OF_TRANSACTION: [&[u8]; 3] =
    [b"transaction_isolation", b"transaction_read_only", b"transaction_deferrable"];

/// Setting the first can change the second, but not the other way round.
const AUTHORIZATION: [&str; 2] = ["session_authorization", "role"];

/// What `SET SESSION CHARACTERISTICS AS TRANSACTION` sets.
const CHARACTERISTICS: [&str; 3] =
    ["default_transaction_isolation", "default_transaction_read_only", "default_transaction_deferrable"];

/// Which settings a statement is about.
enum About {
    /// These, none of them perhaps.
    Names(Vec<Vec<u8>>),
    /// The text does not say.
    Unknown,
}

impl About {
    fn known(names: &[&str]) -> Self {
        Self::Names(names.iter().map(|name| name.as_bytes().to_vec()).collect())
    }

    /// This one, if it could be read. Names of settings ignore case even in quotes.
    fn one(name: Option<Vec<u8>>) -> Self {
        name.map_or(Self::Unknown, |name| Self::Names(vec![name.to_ascii_lowercase()]))
    }
}

/// `SET …`; `rest` stands behind the `SET`.
pub(super) fn set(touches: &mut Touches, mut rest: Lexer<'_>) {
    let Some(first) = rest.next() else { return record(touches, About::Unknown) };
    // All the words that begin a special form are also good names: SET local.x = 1 lasts.
    if first.is_word("local") && !names_setting(&rest) {
        let Some(first) = rest.next() else { return };
        return record_local(touches, form(first, rest));
    }
    if first.is_word("session") && !names_setting(&rest) {
        let mut behind = rest.clone();
        match behind.next() {
            Some(next) if is_form_of_session(next, &behind) => {}
            Some(next) => return record(touches, form(next, behind)),
            None => return record(touches, About::Unknown),
        }
    }
    record(touches, form(first, rest));
}

/// `SET …`, perhaps without its end; `rest` stands behind the `SET`. A name that is not there is no name.
pub(super) fn set_in_part(touches: &mut Touches, rest: Lexer<'_>) {
    let mut seen = Touches::default();
    set(&mut seen, rest);
    for name in seen.settings {
        touches.add_setting(name.into_vec());
    }
}

/// What may follow `SET`, `SET SESSION` and `SET LOCAL`; `rest` stands behind `first`.
fn form(first: Token<'_>, mut rest: Lexer<'_>) -> About {
    if names_setting(&rest) {
        let name = dotted(first, &mut rest);
        return About::one(name.filter(|_| assigns(&rest)));
    }
    let next = rest.next();
    let next_is = |word| next.is_some_and(|next: Token<'_>| next.is_word(word));
    match first {
        word if word.is_word("transaction") || word.is_word("constraints") => About::known(&[]),
        word if word.is_word("time") && next_is("zone") => About::known(&["timezone"]),
        word if word.is_word("names") => About::known(&["client_encoding"]),
        word if word.is_word("schema") => About::known(&["search_path"]),
        word if word.is_word("role") => About::known(&["role"]),
        word if word.is_word("session") && next_is("authorization") => {
            About::known(&["session_authorization"])
        }
        word if word.is_word("session") && next_is("characteristics") => About::known(&CHARACTERISTICS),
        word if word.is_word("xml") && next_is("option") => About::known(&["xmloption"]),
        _ => About::Unknown,
    }
}

/// Whether what follows `SESSION` makes it a form of its own and not the word that may precede any.
fn is_form_of_session(next: Token<'_>, rest: &Lexer<'_>) -> bool {
    (next.is_word("authorization") || next.is_word("characteristics")) && !names_setting(rest)
}

/// Whether the next token makes the one before it the name of a setting, or its first part.
fn names_setting(rest: &Lexer<'_>) -> bool {
    rest.clone().next() == Some(Token::Symbol(b'.')) || assigns(rest)
}

/// Whether the next token is one that stands between a setting's name and its value.
fn assigns(rest: &Lexer<'_>) -> bool {
    let next = rest.clone().next();
    next.is_some_and(|next| next == Token::Symbol(b'=') || next.is_word("to") || next.is_word("from"))
}

/// `RESET …`; `rest` stands behind the `RESET`.
pub(super) fn reset(touches: &mut Touches, mut rest: Lexer<'_>) {
    let Some(first) = rest.next() else { return record(touches, About::Unknown) };
    if first.is_word("all") {
        touches.kinds |= Kinds::RESETS;
        return;
    }
    let next = rest.clone().next();
    let next_is = |word| next.is_some_and(|next: Token<'_>| next.is_word(word));
    let about = match first {
        word if word.is_word("time") && next_is("zone") => About::known(&["timezone"]),
        word if word.is_word("transaction") && next_is("isolation") => About::known(&[]),
        word if word.is_word("session") && next_is("authorization") => {
            About::known(&["session_authorization"])
        }
        _ => About::one(dotted(first, &mut rest)),
    };
    record(touches, about);
}

/// `set_config(…)`; `rest` stands behind the name of the function.
pub(super) fn set_config(touches: &mut Touches, rest: Lexer<'_>) {
    let call = ConfigCall::read(rest);
    let name = match call.name {
        Some(Literal::Plain(name)) => Some(undoubled(name, b'\'')),
        Some(Literal::Dollar(name)) => Some(name.to_vec()),
        _ => None,
    };
    let about = About::one(name);
    if call.ends_locally { record_local(touches, about) } else { record(touches, about) }
}

fn record(touches: &mut Touches, about: About) {
    let About::Names(names) = about else {
        touches.kinds |= Kinds::EVERY_SETTING;
        return;
    };
    for name in names {
        match &*name {
            // It cannot be read, and so not put back.
            b"seed" => touches.kinds |= Kinds::SEED,
            b"session_authorization" => {
                AUTHORIZATION.iter().for_each(|name| touches.add_setting(name.as_bytes().to_vec()))
            }
            name if OF_TRANSACTION.contains(&name) => {}
            _ => touches.add_setting(name),
        }
    }
}

/// A setting that comes back when the transaction is over. The seed does not: it is used up when it is set.
///
/// A name the text does not show is taken not to be that: so many programs pass settings of a transaction as parameters.
fn record_local(touches: &mut Touches, about: About) {
    if let About::Names(names) = about
        && names.iter().any(|name| name == b"seed")
    {
        touches.kinds |= Kinds::SEED;
    }
}
