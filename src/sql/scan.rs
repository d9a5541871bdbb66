//! One statement, token by token.

use super::commands::{self, Literals};
use super::config_call::ConfigCall;
use super::effects::Effects;
use super::flags::Flags;
use super::lexer::{Lexer, Literal, Next, Token};
use super::literals;
use super::settings;
use super::words::{self, Keyword, Mark, Table};

/// Reads the statement that begins with `first`, up to and including its semicolon or the end of `tokens`.
pub(super) fn statement(first: Token<'_>, tokens: &mut Lexer<'_>) -> Effects {
    let head = commands::head(first, tokens);
    let mut scan = Scan { flags: head.flags, literals: head.literals, previous: None };
    scan.see(first, tokens);
    loop {
        match tokens.quick() {
            Next::Word(word) => scan.word(word, tokens),
            Next::Plain => scan.previous = None,
            Next::End => break,
            Next::Other => match tokens.other() {
                None | Some(Token::Symbol(b';')) => break,
                Some(token) => scan.see(token, tokens),
            },
        }
    }
    Effects::of_statement(scan.flags.concluded(), head.control)
}

/// What has been seen of a statement.
struct Scan {
    flags: Flags,
    literals: Literals,
    /// The last token, if it was a keyword that matters.
    previous: Option<Keyword>,
}

impl Scan {
    /// Takes in one token; `rest` stands behind it and is only looked ahead on.
    fn see(&mut self, token: Token<'_>, rest: &Lexer<'_>) {
        match token {
            Token::Word(word) => self.word(word, rest),
            Token::Number | Token::Parameter | Token::Symbol(_) => self.previous = None,
            Token::Quoted(name) => {
                let mark = words::mark(name).filter(|mark| !matches!(mark, Mark::Keyword(_)));
                self.marked(mark, name, rest);
            }
            Token::Literal(literal) => {
                let previous = self.previous.take();
                self.literal(previous, literal, rest);
            }
            Token::Encoded(_) => self.flags |= Flags::UNSEEN_CODE,
            Token::Invalid => self.flags |= Flags::OPAQUE,
        }
    }

    /// The case of most tokens: a word that means nothing, behind one that means nothing.
    #[inline(always)]
    fn word(&mut self, word: &[u8], rest: &Lexer<'_>) {
        let mark = words::mark(word);
        if mark.is_some() || self.previous.is_some() {
            self.marked(mark, word, rest);
        }
    }

    #[inline(never)]
    fn marked(&mut self, mark: Option<Mark>, word: &[u8], rest: &Lexer<'_>) {
        let previous = self.previous.take();
        match mark {
            None => self.language(previous, word),
            Some(Mark::Keyword(keyword)) => self.keyword(previous, keyword),
            Some(Mark::Name(flags, _)) => self.flags |= flags,
            Some(Mark::SetConfig) => self.flags |= set_config(rest.clone()),
        }
    }

    fn keyword(&mut self, previous: Option<Keyword>, keyword: Keyword) {
        self.previous = Some(match (previous, keyword) {
            // INSERT INTO temp names a table; SELECT … INTO TEMP makes one.
            (Some(Keyword::Insert), Keyword::Into) => Keyword::Insert,
            (Some(Keyword::Into), Keyword::Global) => Keyword::Into,
            _ => keyword,
        });
        self.flags |= match (previous, keyword) {
            (Some(Keyword::Into), Keyword::Temp) => Flags::DIRTY,
            // SELECT … INTO makes a table.
            (before, Keyword::Into) if before != Some(Keyword::Insert) => Flags::SCHEMA | Flags::NEW_MEANINGS,
            (Some(Keyword::Read), Keyword::Write) => Flags::UNLOCKS_WRITES,
            (_, Keyword::Update) => Flags::UPDATES,
            _ => Flags::NONE,
        };
    }

    fn literal(&mut self, previous: Option<Keyword>, literal: Literal<'_>, rest: &Lexer<'_>) {
        let content = match literal {
            Literal::Plain(content) | Literal::Dollar(content) => Some(content),
            Literal::Bits => return,
            Literal::Encoded => None,
        };
        self.flags |= content.map_or(Flags::PARSED_ALONE, literals::mentions);
        if self.literals == Literals::Data {
            return;
        }
        match (literal, content) {
            (_, Some(language)) if previous == Some(Keyword::Language) => self.language(previous, language),
            // Inside plain quotes a quote is doubled, so such code reads differently from what stands here.
            (Literal::Plain(code), _) if !code.contains(&b'\'') => self.flags |= body(rest.inside(code)),
            (Literal::Dollar(code), _) => self.flags |= body(rest.inside(code)),
            _ => self.flags |= Flags::UNSEEN_CODE,
        }
    }

    /// Code in another language than PL/pgSQL cannot be read here.
    fn language(&mut self, previous: Option<Keyword>, name: &[u8]) {
        let code = self.literals == Literals::Code && previous == Some(Keyword::Language);
        if code && !name.eq_ignore_ascii_case(b"plpgsql") {
            self.flags |= Flags::UNSEEN_CODE;
        }
    }
}

/// A call of `set_config(name, value, is_local)`, from behind the name of the function.
///
/// Any name but a plain literal, which is looked at when its turn comes, may be that of a read-only setting. The seed of
/// random numbers outlasts the transaction in any case.
fn set_config(rest: Lexer<'_>) -> Flags {
    let call = ConfigCall::read(rest);
    let unlocks = if call.name.is_some() { Flags::NONE } else { Flags::UNLOCKS_WRITES };
    let seeds = matches!(
        call.name,
        Some(Literal::Plain(name) | Literal::Dollar(name)) if name.eq_ignore_ascii_case(b"seed")
    );
    if call.ends_locally && !seeds { unlocks | Flags::SETS_LOCALLY } else { unlocks | Flags::DIRTY }
}

/// Words of PL/pgSQL code.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CodeWord {
    /// A statement may begin behind it.
    Opens,
    /// Leaves something behind.
    Dirty,
    /// Runs a string, or a prepared statement.
    Execute,
    /// A command where a statement may begin, otherwise a part of one (`UPDATE … SET`).
    Set,
}

const CODE_WORDS: &Table<CodeWord> = &Table::new(&[
    ("begin", CodeWord::Opens),
    ("deallocate", CodeWord::Dirty),
    ("discard", CodeWord::Dirty),
    ("else", CodeWord::Opens),
    ("execute", CodeWord::Execute),
    ("hold", CodeWord::Dirty),
    ("listen", CodeWord::Dirty),
    ("load", CodeWord::Dirty),
    ("loop", CodeWord::Opens),
    ("prepare", CodeWord::Dirty),
    ("reset", CodeWord::Dirty),
    ("set", CodeWord::Set),
    ("temp", CodeWord::Dirty),
    ("temporary", CodeWord::Dirty),
    ("then", CodeWord::Opens),
    ("unlisten", CodeWord::Dirty),
]);

/// What PL/pgSQL code can do, by the words in it. Nothing in it can hide code except `EXECUTE`.
fn body(mut tokens: Lexer<'_>) -> Flags {
    let mut scan = Scan { flags: Flags::NONE, literals: Literals::Data, previous: None };
    let mut may_begin = true;
    while let Some(token) = tokens.next() {
        scan.see(token, &tokens);
        let word = match token {
            Token::Word(word) => CODE_WORDS.find(word),
            _ => None,
        };
        scan.flags |= match word {
            Some(CodeWord::Dirty) => Flags::DIRTY,
            Some(CodeWord::Execute) => Flags::UNSEEN_CODE,
            Some(CodeWord::Set) if may_begin => settings::set(tokens.clone()),
            _ => Flags::NONE,
        };
        // Behind a label too: <<name>>.
        may_begin = word == Some(CodeWord::Opens) || matches!(token, Token::Symbol(b';' | b'>'));
    }
    scan.flags.concluded()
}
