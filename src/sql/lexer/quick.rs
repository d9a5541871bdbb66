//! The tokens that most are, found without a detour.

use super::super::bytes::{Class, class};
use super::Lexer;

/// What comes next, as far as most tokens go: small enough to be handed over without going through memory.
pub(in super::super) enum Next<'a> {
    /// A keyword or a name without quotes.
    Word(&'a [u8]),
    /// A number, or a symbol.
    Plain,
    /// A semicolon, or the end of the text.
    End,
    /// Something else: nothing was taken, blanks apart.
    Other,
}

impl<'a> Lexer<'a> {
    /// The next token if it is one of those that most are.
    #[inline(always)]
    pub(in super::super) fn quick(&mut self) -> Next<'a> {
        if let Some(word) = self.word() {
            return Next::Word(word);
        }
        let rest = self.text.get(self.at..).unwrap_or_default();
        let Some(&first) = rest.first() else { return Next::End };
        let length = match class(first) {
            Class::Symbol if first == b';' => {
                self.at += 1;
                return Next::End;
            }
            // These may begin something longer.
            Class::Symbol if matches!(first, b'-' | b'/' | b'.') => return Next::Other,
            Class::Symbol => 1,
            Class::Digit => match digits(rest) {
                integer if matches!(rest.get(integer), Some(b'.' | b'e' | b'E')) => return Next::Other,
                integer => integer,
            },
            _ => return Next::Other,
        };
        self.at += length;
        Next::Plain
    }
}

/// How many digits `text` begins with.
#[inline(always)]
pub(super) fn digits(text: &[u8]) -> usize {
    text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len())
}
