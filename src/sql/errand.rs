//! Whether a text, run on its own, only reads, so that a replica could run it as well.
//!
//! The text alone does not decide: a function may write, a view may hide one. So the names in it are handed on, each
//! with how it is used, to be held against what is known of the database. Whatever is not understood counts as
//! [`Errand::Other`], which belongs to the leader.

use super::lexer::{Lexer, Token};
use super::touches::unescaped;

/// Bytes PostgreSQL keeps of a name (`NAMEDATALEN` less one). What is longer is not understood here.
const KEPT: usize = 63;

/// What a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// One statement that only reads, if nothing that it names does more.
    Reads,
    /// Begins a transaction that can only read.
    BeginsReading,
    /// Begins a transaction and does not say what for.
    Begins,
    /// Anything else.
    Other,
}

/// How a name is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A parenthesis follows: a function, or what looks like one.
    Called,
    /// The same, but it is a word that a parenthesis may follow without its being a function.
    Syntax,
    /// Behind a point: a column, a relation, or a function in the notation of a column.
    Qualified,
    /// Anywhere else: a relation, a column, an alias, a keyword.
    Plain,
}

/// Reads a whole text, under the same conditions as [`classify`](super::classify), and shows `name` every name in it as
/// the server folds it (letters beyond ASCII as they are).
///
/// A text that holds more than one statement is [`Errand::Other`], and so is every one that writes, locks, changes the
/// session, or tells something of the server that runs it which is another thing on a replica.
pub fn errand(text: &[u8], standard_conforming_strings: bool, name: &mut impl FnMut(Use, &[u8])) -> Errand {
    let mut tokens = Lexer::new(text, standard_conforming_strings);
    let head = loop {
        match tokens.next() {
            Some(Token::Symbol(b'(')) => {}
            first => break first,
        }
    };
    let Some(Token::Word(word)) = head else { return Errand::Other };
    let is = |lower: &str| word.eq_ignore_ascii_case(lower.as_bytes());
    let reads = if is("begin") {
        return begins(tokens);
    } else if is("start") {
        return if next_is(&mut tokens, "transaction") { modes(tokens) } else { Errand::Other };
    } else if is("select") || is("values") || is("table") || is("with") {
        Reader { before: head, ..Reader::default() }.body(tokens, name)
    } else if is("show") {
        shows(tokens)
    } else if is("explain") {
        explains(tokens, name)
    } else if is("copy") {
        copies_out(tokens.clone()) && Reader::default().body(tokens, name)
    } else {
        false
    };
    if reads { Errand::Reads } else { Errand::Other }
}

fn next_is(tokens: &mut Lexer<'_>, lower: &str) -> bool {
    tokens.next().is_some_and(|token| token.is_word(lower))
}

/// `BEGIN [WORK | TRANSACTION]`, and the modes.
fn begins(tokens: Lexer<'_>) -> Errand {
    let mut behind = tokens.clone();
    let skips = behind.next().is_some_and(|token| token.is_word("work") || token.is_word("transaction"));
    modes(if skips { behind } else { tokens })
}

/// The modes of a transaction. A replica has no serializable ones, and `READ WRITE` says what it is for.
fn modes(mut tokens: Lexer<'_>) -> Errand {
    let mut reads = Errand::Begins;
    loop {
        let understood = match tokens.next() {
            None => return reads,
            Some(Token::Symbol(b';')) => return if only_semicolons(tokens) { reads } else { Errand::Other },
            Some(Token::Symbol(b',')) => true,
            Some(token) if token.is_word("isolation") => {
                next_is(&mut tokens, "level")
                    && match tokens.next() {
                        Some(level) if level.is_word("repeatable") => next_is(&mut tokens, "read"),
                        Some(level) if level.is_word("read") => tokens
                            .next()
                            .is_some_and(|kind| kind.is_word("committed") || kind.is_word("uncommitted")),
                        _ => false,
                    }
            }
            Some(token) if token.is_word("read") => {
                reads = Errand::BeginsReading;
                next_is(&mut tokens, "only")
            }
            Some(token) if token.is_word("not") => next_is(&mut tokens, "deferrable"),
            Some(token) => token.is_word("deferrable"),
        };
        if !understood {
            return Errand::Other;
        }
    }
}

fn only_semicolons(mut tokens: Lexer<'_>) -> bool {
    tokens.all(|token| token == Token::Symbol(b';'))
}

/// `SHOW name`. What drivers tell the leader by, and all settings at once, are the leader's.
fn shows(mut tokens: Lexer<'_>) -> bool {
    let (Some(Token::Word(name)), rest) = (tokens.next(), tokens) else { return false };
    let leaders = ["all", "in_hot_standby", "transaction", "transaction_read_only", "pgsteer"];
    let is_leaders = leaders.iter().any(|leader| name.eq_ignore_ascii_case(leader.as_bytes()));
    !is_leaders && only_semicolons(rest)
}

/// `EXPLAIN [(options)] statement`. With ANALYZE the statement runs, which is all right for one that only reads.
fn explains(mut tokens: Lexer<'_>, name: &mut impl FnMut(Use, &[u8])) -> bool {
    const READING: [&str; 4] = ["select", "values", "table", "with"];
    const OPTIONS: [&str; 3] = ["analyze", "analyse", "verbose"];
    let is_any = |token: Token<'_>, words: &[&str]| words.iter().any(|word| token.is_word(word));
    let mut depth = 0_u32;
    while let Some(token) = tokens.next() {
        match token {
            Token::Symbol(b'(') => depth += 1,
            Token::Symbol(b')') => depth = depth.saturating_sub(1),
            token if is_any(token, &READING) => {
                return Reader { before: Some(token), ..Reader::default() }.body(tokens, name);
            }
            token if depth == 0 && !is_any(token, &OPTIONS) => return false,
            Token::Word(_) | Token::Literal(_) | Token::Number | Token::Symbol(b',') => {}
            _ => return false,
        }
    }
    false
}

/// `COPY … TO STDOUT`, as seen outside parentheses.
fn copies_out(tokens: Lexer<'_>) -> bool {
    let (mut depth, mut behind_to, mut out) = (0_u32, false, false);
    for token in tokens {
        match token {
            Token::Symbol(b'(') => depth += 1,
            Token::Symbol(b')') => depth = depth.saturating_sub(1),
            token if depth == 0 => {
                out |= behind_to && token.is_word("stdout");
                if token.is_word("from") || token.is_word("program") || (behind_to && !out) {
                    return false;
                }
                behind_to = !out && token.is_word("to");
            }
            _ => {}
        }
    }
    out
}

/// Reads a statement whose kind is known.
#[derive(Default)]
struct Reader<'a> {
    /// The token before the next one.
    before: Option<Token<'a>>,
    /// A name of which it is not known yet whether it is called, and what stood before it.
    pending: Option<(Spelt, Option<Token<'a>>)>,
}

/// A name as the server folds it.
struct Spelt {
    bytes: [u8; KEPT],
    length: usize,
    is_quoted: bool,
}

impl<'a> Reader<'a> {
    /// Whether what is left only reads.
    fn body(mut self, mut tokens: Lexer<'a>, name: &mut impl FnMut(Use, &[u8])) -> bool {
        while let Some(token) = tokens.next() {
            self.resolve(Some(token), name);
            let spelt = match token {
                Token::Symbol(b';') => return only_semicolons(tokens),
                Token::Invalid => return false,
                Token::Word(word) => Some(Spelt::word(word)),
                Token::Quoted(quoted) => Some(Spelt::quoted(quoted)),
                Token::Encoded(quoted) => Some(unescaped(quoted, &tokens).and_then(Spelt::quoted)),
                Token::Literal(_) | Token::Number | Token::Parameter | Token::Symbol(_) => None,
            };
            if let Some(spelt) = spelt {
                let Some(spelt) = spelt else { return false };
                if spelt.writes(self.before) {
                    return false;
                }
                self.pending = Some((spelt, self.before));
            }
            self.before = Some(token);
        }
        self.resolve(None, name);
        true
    }

    /// What follows a name says how it is used.
    fn resolve(&mut self, next: Option<Token<'a>>, name: &mut impl FnMut(Use, &[u8])) {
        let Some((spelt, before)) = self.pending.take() else { return };
        let is_called = next == Some(Token::Symbol(b'('));
        // Behind AS and WITH a name is a new one, with its columns: AS t(a, b).
        let is_new =
            before.is_some_and(|before| ["as", "with", "recursive"].iter().any(|word| before.is_word(word)));
        let is_word = !spelt.is_quoted && SYNTAX.binary_search(&spelt.bytes()).is_ok();
        let used = match before {
            _ if is_called && is_word => Use::Syntax,
            _ if is_called && !is_new => Use::Called,
            Some(Token::Symbol(b'.')) => Use::Qualified,
            _ => Use::Plain,
        };
        name(used, spelt.bytes());
    }
}

impl Spelt {
    /// `None` where the server's locale decides how it folds (0xDD is a capital I with a dot in Turkish), or cuts it.
    fn word(word: &[u8]) -> Option<Self> {
        let mut spelt = Self::quoted(word)?;
        if memchr::memchr(0xDD, word).is_some() {
            return None;
        }
        spelt.bytes.make_ascii_lowercase();
        Some(Self { is_quoted: false, ..spelt })
    }

    fn quoted(name: &[u8]) -> Option<Self> {
        if name.len() > KEPT || memchr::memchr(b'"', name).is_some() {
            return None;
        }
        let mut bytes = [0; KEPT];
        bytes[..name.len()].copy_from_slice(name);
        Some(Self { bytes, length: name.len(), is_quoted: true })
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Whether it may be a keyword of what writes, or locks rows.
    fn writes(&self, before: Option<Token<'_>>) -> bool {
        if self.is_quoted {
            return false;
        }
        match self.bytes() {
            b"insert" | b"update" | b"delete" | b"merge" | b"into" => true,
            b"share" | b"no" | b"key" => before.is_some_and(|before| before.is_word("for")),
            _ => false,
        }
    }
}

/// Words that a parenthesis follows without their being functions of the database: keywords, and names of types that no
/// function can have. In order.
const SYNTAX: [&[u8]; 88] = [
    b"all",
    b"analyse",
    b"analyze",
    b"and",
    b"any",
    b"array",
    b"as",
    b"between",
    b"bigint",
    b"boolean",
    b"by",
    b"case",
    b"cast",
    b"char",
    b"character",
    b"coalesce",
    b"cross",
    b"cube",
    b"current_time",
    b"current_timestamp",
    b"dec",
    b"decimal",
    b"distinct",
    b"double",
    b"else",
    b"end",
    b"escape",
    b"except",
    b"exists",
    b"extract",
    b"fetch",
    b"filter",
    b"float",
    b"for",
    b"from",
    b"greatest",
    b"group",
    b"grouping",
    b"having",
    b"ilike",
    b"in",
    b"intersect",
    b"is",
    b"isnull",
    b"json_array",
    b"json_object",
    b"lateral",
    b"least",
    b"like",
    b"limit",
    b"localtime",
    b"localtimestamp",
    b"materialized",
    b"national",
    b"nchar",
    b"next",
    b"not",
    b"notnull",
    b"nullif",
    b"offset",
    b"on",
    b"or",
    b"order",
    b"over",
    b"overlay",
    b"partition",
    b"position",
    b"precision",
    b"recursive",
    b"rollup",
    b"row",
    b"rows",
    b"select",
    b"sets",
    b"similar",
    b"some",
    b"stdout",
    b"substring",
    b"symmetric",
    b"then",
    b"treat",
    b"trim",
    b"union",
    b"using",
    b"values",
    b"when",
    b"where",
    b"with",
];

#[cfg(test)]
#[path = "errand_tests.rs"]
mod tests;
