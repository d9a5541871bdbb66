//! Which prepared statements a text deallocates, in its order.

use super::{NAMES_MAX, names::name};
use crate::sql::lexer::{Lexer, Token};

/// Reads a whole text, under the same conditions as [`classify`](crate::sql::classify): the names behind each `DEALLOCATE`, as
/// the server folds and cuts them, up to `DEALLOCATE ALL`, which has a command tag of its own. The first of the command tags
/// `DEALLOCATE` with which the server answers is of the first name, and so on. One that the text does not show is empty.
/// What lies beyond [`NAMES_MAX`] is left out.
pub fn deallocated(text: &[u8], standard_conforming_strings: bool) -> Vec<Box<[u8]>> {
    let mut tokens = Lexer::new(text, standard_conforming_strings);
    let mut names = Vec::new();
    while let Some(first) = tokens.next() {
        if first.is_word("deallocate") && names.len() < NAMES_MAX {
            names.extend(behind(tokens.clone()));
        }
        let mut token = Some(first);
        while token.is_some_and(|token| token != Token::Symbol(b';')) {
            token = tokens.next();
        }
    }
    names
}

/// `[PREPARE] {name | ALL}`, where the name may be `prepare` too.
fn behind(mut rest: Lexer<'_>) -> Option<Box<[u8]>> {
    let mut token = rest.next();
    if token.is_some_and(|token| token.is_word("prepare")) {
        let next = rest.clone().next().filter(|next| *next != Token::Symbol(b';'));
        if next.is_some() {
            rest.next();
        }
        token = next.or(token);
    }
    let named = token.filter(|token| !token.is_word("all"))?;
    Some(name(named, &rest).unwrap_or_default().into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_the_order_of_the_text() {
        for (text, expected) in [
            ("deallocate a", &["a"][..]),
            ("DEALLOCATE PREPARE A;", &["a"]),
            ("deallocate prepare; deallocate \"A\"\"b\"", &["prepare", "A\"b"]),
            ("deallocate a; select 1; /* deallocate c; */ deallocate b; deallocate a", &["a", "b", "a"]),
            ("deallocate all; deallocate prepare all; deallocate \"all\"", &["all"]),
            ("select 'deallocate a; deallocate b'; prepare a as select 1; execute a", &[]),
            ("deallocate U&\"\\0061\"; deallocate b", &["", "b"]),
            ("deallocate", &[]),
            ("deallocate;", &[""]),
            ("", &[]),
        ] {
            let names = deallocated(text.as_bytes(), true);
            let names: Vec<_> = names.iter().map(|name| String::from_utf8_lossy(name)).collect();
            assert_eq!(names, expected, "{text}");
        }
        // A backslash hides the end of a literal, or does not.
        let text = br"select 'a\'; deallocate b; select ' '";
        assert_eq!(deallocated(text, true).len(), 1);
        assert_eq!(deallocated(text, false).len(), 0);
    }
}
