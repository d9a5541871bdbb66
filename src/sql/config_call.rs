//! A call of `set_config(name, value, is_local)`, the function that is `SET`.

use super::lexer::{Lexer, Literal, Token};

/// Bounds the work on calls nested in calls: an argument of more tokens is not understood.
const MAX_ARGUMENT_TOKENS: usize = 32;

/// What a call shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ConfigCall<'a> {
    /// The first argument, if it is a literal whose value is what stands there.
    pub(super) name: Option<Literal<'a>>,
    /// The last argument is `true`, written so: the setting ends with the transaction, as with `SET LOCAL`.
    pub(super) ends_locally: bool,
}

impl<'a> ConfigCall<'a> {
    /// Reads a call from behind the name of the function. Whatever is not understood counts as the worst.
    pub(super) fn read(mut rest: Lexer<'a>) -> Self {
        if rest.next() != Some(Token::Symbol(b'(')) {
            return Self::default();
        }
        let name = literal_argument(&rest);
        let ends_locally = skip_argument(&mut rest) && skip_argument(&mut rest) && is_true(rest);
        Self { name, ends_locally }
    }
}

/// The literal that the argument here is: `'…'` or `'…'::text`.
fn literal_argument<'a>(rest: &Lexer<'a>) -> Option<Literal<'a>> {
    let mut rest = rest.clone();
    let Some(Token::Literal(literal @ (Literal::Plain(_) | Literal::Dollar(_)))) = rest.next() else {
        return None;
    };
    let mut next = rest.next();
    if next == Some(Token::Symbol(b':')) && rest.next() == next {
        next = if rest.next()?.is_word("text") { rest.next() } else { None };
    }
    (next == Some(Token::Symbol(b','))).then_some(literal)
}

/// Goes behind the comma that ends the argument here. Whether there is one.
fn skip_argument(rest: &mut Lexer<'_>) -> bool {
    let mut depth = 0_usize;
    for token in rest.take(MAX_ARGUMENT_TOKENS) {
        match token {
            Token::Symbol(b'(' | b'[') => depth += 1,
            Token::Symbol(b')' | b']') if depth > 0 => depth -= 1,
            Token::Symbol(b')' | b']' | b';') | Token::Invalid => return false,
            Token::Symbol(b',') if depth == 0 => return true,
            _ => {}
        }
    }
    false
}

fn is_true(mut rest: Lexer<'_>) -> bool {
    rest.next().is_some_and(|token| token.is_word("true")) && rest.next() == Some(Token::Symbol(b')'))
}
