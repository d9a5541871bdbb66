//! SQL text cut into tokens, lazily, without copying or allocating.
//!
//! The rules are those of PostgreSQL's own scanner (manual chapter 4.1, `src/backend/parser/scan.l`, 9.6 to 18), as
//! far as they decide *where something begins and ends*: comments, the eight kinds of literal, quoted names,
//! continuation of literals over lines. What cannot change that is simplified: an operator of several characters
//! comes as several [`Token::Symbol`]s. Where versions differ (junk behind a number is an error since 15) the text is
//! read as the version that accepts it does.
//!
//! Bytes from 0x80 on are letters, so the encoding must be one in which no byte below 0x80 is part of a longer
//! character: see [`is_transparent`](super::encoding::is_transparent).

use memchr::{memchr, memchr2, memmem};

use super::bytes::{Class, class, name_length};

/// One token. Slices are the text as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A keyword or a name without quotes, its case not folded.
    Word(&'a [u8]),
    /// What stands between the quotes of `"…"`; doubled quotes are left doubled.
    Quoted(&'a [u8]),
    /// What stands between the quotes of `U&"…"`: a name that may be spelt with escapes, which are not decoded.
    Encoded(&'a [u8]),
    /// A string or bit string.
    Literal(Literal<'a>),
    /// A number without its sign.
    Number,
    /// `$1`.
    Parameter,
    /// One character of punctuation or of an operator.
    Symbol(u8),
    /// What PostgreSQL's scanner refuses: an unterminated literal, name or comment, or a stray character.
    Invalid,
}

/// The kinds of literal, by how much of their value can be read off the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literal<'a> {
    /// `'…'` or `E'…'` in one piece and without backslash escapes; doubled quotes are left doubled.
    Plain(&'a [u8]),
    /// What stands between `$tag$` and `$tag$`.
    Dollar(&'a [u8]),
    /// `B'…'` or `X'…'`.
    Bits,
    /// Its value is not the text between the quotes: backslash escapes, `U&'…'`, or several pieces.
    Encoded,
}

impl Token<'_> {
    /// Whether this is the unquoted word `lower`, which must be given in lower case.
    pub fn is_word(self, lower: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(lower.as_bytes()))
    }
}

/// An iterator over the tokens of a text. Ends after the first token that does not end.
#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    standard_conforming_strings: bool,
}

impl<'a> Lexer<'a> {
    /// Starts at the beginning of `text`, which has no terminating zero byte.
    /// Without `standard_conforming_strings` a backslash escapes in `'…'` too.
    pub const fn new(text: &'a [u8], standard_conforming_strings: bool) -> Self {
        Self { text, at: 0, standard_conforming_strings }
    }

    /// A lexer over another text, under the same setting: for code inside a literal.
    pub const fn inside<'b>(&self, text: &'b [u8]) -> Lexer<'b> {
        Lexer::new(text, self.standard_conforming_strings)
    }

    /// How many bytes are still to be read.
    pub const fn remaining(&self) -> usize {
        self.text.len() - self.at
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    /// The end of the text, reached inside a token.
    const fn unterminated(&mut self) -> Token<'a> {
        self.at = self.text.len();
        Token::Invalid
    }

    fn skip_digits(&mut self) {
        self.at += digits(self.text.get(self.at..).unwrap_or_default());
    }

    /// Skips the comment that begins here, if one does: `-- …` up to, not including, the end of the line, or `/* … */`,
    /// which nests.
    fn comment(&mut self, first: u8) -> Comment {
        match (first, self.peek(1)) {
            (b'-', Some(b'-')) => {
                self.at = line_end(self.text, self.at);
                Comment::Skipped
            }
            (b'/', Some(b'*')) => self.block_comment(),
            _ => Comment::None,
        }
    }

    #[inline(never)]
    fn block_comment(&mut self) -> Comment {
        let mut depth = 0_usize;
        let mut at = self.at;
        while let Some(found) = memchr2(b'/', b'*', self.text.get(at..).unwrap_or_default()) {
            at += found;
            match (self.text[at], self.text.get(at + 1)) {
                (b'/', Some(b'*')) => depth += 1,
                (b'*', Some(b'/')) => depth -= 1,
                _ => {
                    at += 1;
                    continue;
                }
            }
            at += 2;
            if depth == 0 {
                self.at = at;
                return Comment::Skipped;
            }
        }
        Comment::Unterminated
    }

    /// The next token if it is a word; else nothing is taken, blanks apart.
    ///
    /// Most tokens are words, and one that is returned like this, inlined, need not go through memory.
    #[inline(always)]
    pub(super) fn word(&mut self) -> Option<&'a [u8]> {
        // One blank between two tokens is too common to branch on.
        self.at += usize::from(self.peek(0) == Some(b' '));
        let rest = self.text.get(self.at..).unwrap_or_default();
        if class(*rest.first()?) != Class::Letter {
            return None;
        }
        let (word, behind) = rest.split_at(name_length(rest));
        if word.len() == 1 && matches!(behind, [b'\'' | b'&', ..]) {
            return None;
        }
        self.at += word.len();
        Some(word)
    }

    /// The next token, where that is no word, or one behind several blanks.
    #[inline(never)]
    pub(super) fn other(&mut self) -> Option<Token<'a>> {
        loop {
            let first = self.peek(0)?;
            return Some(match class(first) {
                Class::Blank => {
                    self.at += 1;
                    match self.word() {
                        Some(word) => Token::Word(word),
                        None => continue,
                    }
                }
                Class::Letter => self.prefixed(first),
                Class::Digit => self.number(),
                Class::Quote => self.string(self.at + 1, !self.standard_conforming_strings),
                Class::DoubleQuote => self.quoted(self.at + 1),
                Class::Dollar => self.dollar(),
                Class::Symbol => match self.comment(first) {
                    Comment::Skipped => match self.word() {
                        Some(word) => Token::Word(word),
                        None => continue,
                    },
                    Comment::Unterminated => self.unterminated(),
                    Comment::None if first == b'.' => self.dot(),
                    Comment::None => {
                        self.at += 1;
                        Token::Symbol(first)
                    }
                },
                Class::Other => {
                    self.at += 1;
                    Token::Invalid
                }
            });
        }
    }

    /// What a single letter before a quote or `&` is the beginning of: `E'…'`, `B'…'`, `X'…'`, `U&'…'`, `U&"…"`, or just a
    /// word. `N'…'` is the word `N` and a literal, as in PostgreSQL.
    fn prefixed(&mut self, letter: u8) -> Token<'a> {
        let start = self.at;
        match (letter | 0x20, self.peek(1), self.peek(2)) {
            (b'e', Some(b'\''), _) => self.string(start + 2, true),
            (b'b' | b'x', Some(b'\''), _) => self.bits(start + 2),
            // PostgreSQL refuses the whole text while backslashes escape in ordinary strings.
            (b'u', Some(b'&'), Some(b'\'')) => match self.string(start + 3, false) {
                Token::Literal(_) => Token::Literal(Literal::Encoded),
                other => other,
            },
            (b'u', Some(b'&'), Some(b'"')) => match self.quoted(start + 3) {
                Token::Quoted(name) => Token::Encoded(name),
                other => other,
            },
            _ => {
                self.at += 1;
                Token::Word(&self.text[start..=start])
            }
        }
    }

    /// The rest of a string whose first byte is at `start`, further pieces on later lines included.
    #[inline(never)]
    fn string(&mut self, start: usize, escapes: bool) -> Token<'a> {
        let mut at = start;
        let mut encoded = false;
        loop {
            let rest = self.text.get(at..).unwrap_or_default();
            let found = if escapes { memchr2(b'\'', b'\\', rest) } else { memchr(b'\'', rest) };
            let Some(found) = found else { return self.unterminated() };
            at += found;
            if self.text[at] == b'\\' {
                encoded = true;
                at += 2;
            } else if self.text.get(at + 1) == Some(&b'\'') {
                at += 2;
            } else if let Some(next) = self.continuation(at + 1) {
                encoded = true;
                at = next;
            } else {
                self.at = at + 1;
                let content = &self.text[start..at];
                return Token::Literal(if encoded { Literal::Encoded } else { Literal::Plain(content) });
            }
        }
    }

    /// The rest of a bit string, in which a doubled quote is no quote: it ends the bit string and begins a string.
    fn bits(&mut self, start: usize) -> Token<'a> {
        let mut at = start;
        while let Some(found) = memchr(b'\'', self.text.get(at..).unwrap_or_default()) {
            let end = at + found + 1;
            match self.continuation(end) {
                Some(next) => at = next,
                None => {
                    self.at = end;
                    return Token::Literal(Literal::Bits);
                }
            }
        }
        self.unterminated()
    }

    /// Where the next piece of a string begins whose last piece ended before `at`: behind blanks and line comments with
    /// at least one line end among them, and a quote.
    fn continuation(&self, mut at: usize) -> Option<usize> {
        let mut newline = false;
        loop {
            match self.text.get(at)? {
                b'\n' | b'\r' => newline = true,
                b' ' | b'\t' | b'\x0b' | b'\x0c' => {}
                b'-' if self.text.get(at + 1) == Some(&b'-') => {
                    at = line_end(self.text, at);
                    continue;
                }
                b'\'' if newline => return Some(at + 1),
                _ => return None,
            }
            at += 1;
        }
    }

    /// The rest of a quoted name whose first byte is at `start`.
    #[inline(never)]
    fn quoted(&mut self, start: usize) -> Token<'a> {
        let mut at = start;
        while let Some(found) = memchr(b'"', self.text.get(at..).unwrap_or_default()) {
            at += found;
            if self.text.get(at + 1) == Some(&b'"') {
                at += 2;
            } else {
                self.at = at + 1;
                return Token::Quoted(&self.text[start..at]);
            }
        }
        self.unterminated()
    }

    /// `$1`, `$tag$…$tag$` or a stray dollar.
    #[inline(never)]
    fn dollar(&mut self) -> Token<'a> {
        let start = self.at;
        self.at += 1;
        if self.peek(0).is_some_and(|byte| byte.is_ascii_digit()) {
            self.skip_digits();
            return Token::Parameter;
        }
        while self.peek(0).is_some_and(|byte| matches!(class(byte), Class::Digit | Class::Letter)) {
            self.at += 1;
        }
        if self.peek(0) != Some(b'$') {
            self.at = start + 1;
            return Token::Invalid;
        }
        self.at += 1;
        let (tag, body) = (&self.text[start..self.at], &self.text[self.at..]);
        match memmem::find(body, tag) {
            Some(length) => {
                self.at += length + tag.len();
                Token::Literal(Literal::Dollar(&body[..length]))
            }
            None => self.unterminated(),
        }
    }

    /// A number that begins with its fraction, two dots, which are one token, or one.
    fn dot(&mut self) -> Token<'a> {
        match self.peek(1) {
            Some(b'0'..=b'9') => return self.number(),
            Some(b'.') => self.at += 2,
            _ => self.at += 1,
        }
        Token::Symbol(b'.')
    }

    /// Digits, a fraction, an exponent; or only a fraction. Hexadecimal digits and the like come as a word behind it, which
    /// is as good.
    fn number(&mut self) -> Token<'a> {
        self.skip_digits();
        if self.peek(0) == Some(b'.') && self.peek(1) != Some(b'.') {
            self.at += 1;
            self.skip_digits();
        }
        if matches!(self.peek(0), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.peek(1), Some(b'+' | b'-')));
            if self.peek(1 + sign).is_some_and(|byte| byte.is_ascii_digit()) {
                self.at += 1 + sign;
                self.skip_digits();
            }
        }
        Token::Number
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    #[inline]
    fn next(&mut self) -> Option<Token<'a>> {
        match self.word() {
            Some(word) => Some(Token::Word(word)),
            None => self.other(),
        }
    }
}

/// What a minus, a slash or another symbol began.
enum Comment {
    None,
    Skipped,
    Unterminated,
}

/// The first line end at or behind `at`, or the end of the text.
fn line_end(text: &[u8], at: usize) -> usize {
    memchr2(b'\n', b'\r', text.get(at..).unwrap_or_default()).map_or(text.len(), |found| at + found)
}

mod quick;

pub(super) use quick::Next;
use quick::digits;

#[cfg(test)]
#[path = "lexer_tests.rs"]
mod tests;
