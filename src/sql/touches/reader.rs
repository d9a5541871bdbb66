//! One statement after the other: what its command says, then what the words in it say.

use super::super::commands::{self, Literals};
use super::super::flags::Flags;
use super::super::lexer::{Lexer, Literal, Token};
use super::super::words::{self, Keyword, Mark, Table};
use super::names::{FunctionNames, name, unescaped};
use super::{Kinds, Touches, settings};

/// What has been read so far.
pub(super) struct Reader<'p> {
    pub(super) touches: Touches,
    opaque: &'p FunctionNames,
    /// The last token, if it was a keyword that matters.
    previous: Option<Keyword>,
    /// What only matters in company, of the statement being read.
    flags: Flags,
}

/// Commands that touch the session by themselves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Command {
    /// These kinds, whatever follows.
    Kinds(Kinds),
    Create,
    Deallocate,
    Declare,
    Execute,
    Explain,
    Prepare,
    Reset,
    Set,
}

const COMMANDS: &Table<Command> = &Table::new(&[
    ("call", Command::Kinds(Kinds::CALLS)),
    ("close", Command::Kinds(Kinds::CURSORS)),
    ("create", Command::Create),
    ("deallocate", Command::Deallocate),
    ("declare", Command::Declare),
    ("discard", Command::Kinds(Kinds::DISCARDS)),
    ("do", Command::Kinds(Kinds::CALLS)),
    ("drop", Command::Kinds(Kinds::DROPS)),
    ("execute", Command::Execute),
    ("explain", Command::Explain),
    ("listen", Command::Kinds(Kinds::LISTENS)),
    ("load", Command::Kinds(Kinds::LOADS)),
    ("notify", Command::Kinds(Kinds::NOTIFIES)),
    ("prepare", Command::Prepare),
    ("reset", Command::Reset),
    ("set", Command::Set),
    ("unlisten", Command::Kinds(Kinds::LISTENS)),
]);

impl<'p> Reader<'p> {
    pub(super) fn new(opaque: &'p FunctionNames) -> Self {
        Self { touches: Touches::default(), opaque, previous: None, flags: Flags::NONE }
    }

    /// Reads the statement that begins with `first`, up to and including its semicolon or the end of `tokens`.
    pub(super) fn statement(&mut self, first: Token<'_>, tokens: &mut Lexer<'_>) {
        let head = commands::head(first, tokens);
        if head.flags.has(Flags::NOT_UNDERSTOOD) {
            self.add(Kinds::OPAQUE);
        }
        self.command(first, tokens);
        let mut token = Some(first);
        while let Some(now) = token.filter(|now| *now != Token::Symbol(b';')) {
            let behind = self.previous;
            self.see(now, tokens);
            match now {
                Token::Literal(literal) if head.literals == Literals::Code => {
                    self.code(literal, behind, tokens)
                }
                Token::Word(name) | Token::Quoted(name) if head.literals == Literals::Code => {
                    self.language(behind, name);
                }
                _ => {}
            }
            token = tokens.next();
        }
        self.conclude();
    }

    fn add(&mut self, kinds: Kinds) {
        self.touches.kinds |= kinds;
    }

    /// `UPDATE pg_settings` is `set_config` by another name (a rule on the view).
    fn conclude(&mut self) {
        if self.flags.has(Flags::UPDATES.and(Flags::NAMES_SETTINGS)) {
            self.add(Kinds::EVERY_SETTING);
        }
        (self.flags, self.previous) = (Flags::NONE, None);
    }

    /// What the first words of a statement say; `rest` stands behind `first` and is only looked ahead on.
    fn command(&mut self, first: Token<'_>, rest: &Lexer<'_>) {
        let Token::Word(word) = first else { return };
        let Some(command) = COMMANDS.find(word) else { return };
        let rest = rest.clone();
        match command {
            Command::Kinds(kinds) => self.add(kinds),
            Command::Create => self.create(rest),
            Command::Deallocate => self.deallocate(rest),
            Command::Declare => {
                if holds(rest) {
                    self.add(Kinds::CURSORS);
                }
            }
            Command::Execute => self.execute(rest),
            Command::Explain => self.explain(rest),
            Command::Prepare => self.prepare(rest),
            Command::Reset => settings::reset(&mut self.touches, rest),
            Command::Set => settings::set(&mut self.touches, rest),
        }
    }

    /// `CREATE [OR REPLACE] [LOCAL | GLOBAL] {TEMP | TEMPORARY} …`, `CREATE TABLE … AS EXECUTE name`.
    fn create(&mut self, mut rest: Lexer<'_>) {
        const MODIFIERS: [&str; 5] = ["or", "replace", "local", "global", "unlogged"];
        let mut token = rest.next();
        while token.is_some_and(|token| MODIFIERS.iter().any(|word| token.is_word(word))) {
            token = rest.next();
        }
        // A schema is created with what is in it.
        let in_schema = token.is_some_and(|kind| kind.is_word("schema"));
        let mut behind_as = false;
        let mut first = true;
        while let Some(now) = token.filter(|now| *now != Token::Symbol(b';')) {
            if (first || in_schema) && (now.is_word("temp") || now.is_word("temporary")) {
                self.add(Kinds::TEMP);
            }
            if behind_as && now.is_word("execute") {
                self.execute(rest.clone());
            }
            behind_as = now.is_word("as");
            first = false;
            token = rest.next();
        }
    }

    /// `DEALLOCATE [PREPARE] {name | ALL}`, where the name may be `prepare` too.
    fn deallocate(&mut self, mut rest: Lexer<'_>) {
        self.add(Kinds::PREPARED);
        let mut token = rest.next();
        if token.is_some_and(|token| token.is_word("prepare")) {
            let next = rest.next();
            token = next.filter(|next| *next != Token::Symbol(b';')).or(token);
        }
        if !token.is_some_and(|token| token.is_word("all")) {
            self.names_statement(token, &rest);
        }
    }

    /// `EXECUTE name`.
    fn execute(&mut self, mut rest: Lexer<'_>) {
        self.add(Kinds::USES_PREPARED);
        let token = rest.next();
        self.names_statement(token, &rest);
    }

    /// `PREPARE TRANSACTION 'id'`, or `PREPARE name …`, where the name may be `transaction` too.
    fn prepare(&mut self, mut rest: Lexer<'_>) {
        let token = rest.next();
        let transaction = token.is_some_and(|token| token.is_word("transaction"));
        if !(transaction && matches!(rest.clone().next(), Some(Token::Literal(_)))) {
            self.add(Kinds::PREPARED);
            self.names_statement(token, &rest);
        }
    }

    fn names_statement(&mut self, token: Option<Token<'_>>, rest: &Lexer<'_>) {
        match token.and_then(|token| name(token, rest)) {
            Some(name) => self.touches.add_statement(name),
            None => self.add(Kinds::OPAQUE),
        }
    }

    /// `EXPLAIN [ANALYZE] [VERBOSE] [(options)] statement`, taken as if the statement ran.
    fn explain(&mut self, mut rest: Lexer<'_>) {
        const STATEMENTS: [&str; 3] = ["declare", "create", "execute"];
        const HARMLESS: [&str; 8] =
            ["select", "insert", "update", "delete", "merge", "values", "table", "with"];
        let is_any = |token: Token<'_>, words: &[&str]| words.iter().any(|word| token.is_word(word));
        while let Some(token) = rest.next().filter(|token| *token != Token::Symbol(b';')) {
            if is_any(token, &HARMLESS) {
                return;
            }
            if is_any(token, &STATEMENTS) {
                return self.command(token, &rest);
            }
        }
    }

    /// What a token says wherever it stands; `rest` stands behind it and is only looked ahead on.
    fn see(&mut self, token: Token<'_>, rest: &Lexer<'_>) {
        let previous = self.previous.take();
        let (written, is_quoted) = match token {
            Token::Word(word) => (word, false),
            Token::Quoted(name) => (name, true),
            Token::Encoded(name) => match unescaped(name, rest) {
                Some(name) => (name, true),
                None => return self.add(Kinds::OPAQUE),
            },
            Token::Invalid => return self.add(Kinds::OPAQUE),
            Token::Literal(_) | Token::Number | Token::Parameter | Token::Symbol(_) => return,
        };
        if self.opaque.contains(written) {
            self.add(Kinds::OPAQUE);
        }
        match words::mark(written) {
            Some(Mark::Keyword(keyword)) if !is_quoted => self.keyword(previous, keyword),
            Some(Mark::Name(flags, kinds)) => {
                self.flags |= flags;
                self.add(kinds);
            }
            Some(Mark::SetConfig) => settings::set_config(&mut self.touches, rest.clone()),
            Some(Mark::Keyword(_)) | None => {}
        }
    }

    fn keyword(&mut self, previous: Option<Keyword>, keyword: Keyword) {
        self.previous = Some(match (previous, keyword) {
            // INSERT INTO temp names a table; SELECT … INTO TEMP makes one.
            (Some(Keyword::Insert), Keyword::Into) => Keyword::Insert,
            (Some(Keyword::Into), Keyword::Global) => Keyword::Into,
            _ => keyword,
        });
        match (previous, keyword) {
            (Some(Keyword::Into), Keyword::Temp) => self.add(Kinds::TEMP),
            (_, Keyword::Update) => self.flags |= Flags::UPDATES,
            _ => {}
        }
    }

    /// A literal of `DO` or `CALL`, which may be code.
    fn code(&mut self, literal: Literal<'_>, behind: Option<Keyword>, tokens: &Lexer<'_>) {
        match literal {
            Literal::Bits => {}
            Literal::Plain(name) | Literal::Dollar(name) if behind == Some(Keyword::Language) => {
                self.language(behind, name);
            }
            Literal::Dollar(code) => self.body(tokens.inside(code)),
            // Inside plain quotes a quote is doubled, so such code reads differently from what stands here.
            Literal::Plain(code) if !code.contains(&b'\'') => self.body(tokens.inside(code)),
            Literal::Plain(_) | Literal::Encoded => self.add(Kinds::OPAQUE),
        }
    }

    /// Code in another language than PL/pgSQL cannot be read here.
    fn language(&mut self, behind: Option<Keyword>, name: &[u8]) {
        if behind == Some(Keyword::Language) && !name.eq_ignore_ascii_case(b"plpgsql") {
            self.add(Kinds::OPAQUE);
        }
    }

    /// A literal of code, which may be a command that is put together there: the settings that it names.
    fn names_in(&mut self, mut text: Lexer<'_>) {
        let first = text.next();
        if first.is_some_and(|first| first.is_word("set")) {
            settings::set_in_part(&mut self.touches, text);
        }
    }

    /// PL/pgSQL code, by the words in it. Nothing in it can hide code except `EXECUTE`.
    ///
    /// Commands that are read to their end elsewhere count by single words here, where one may seem to begin at every
    /// word: that would be quadratic.
    fn body(&mut self, mut tokens: Lexer<'_>) {
        const OPENS: [&str; 4] = ["begin", "else", "loop", "then"];
        const MEANT: [(&str, Kinds); 4] = [
            ("execute", Kinds::OPAQUE),
            ("hold", Kinds::CURSORS),
            ("temp", Kinds::TEMP),
            ("temporary", Kinds::TEMP),
        ];
        let outside = (self.flags, self.previous.take());
        self.flags = Flags::NONE;
        let mut may_begin = true;
        while let Some(token) = tokens.next() {
            self.see(token, &tokens);
            if let Token::Literal(Literal::Plain(text) | Literal::Dollar(text)) = token {
                self.names_in(tokens.inside(text));
            }
            MEANT.iter().filter(|(word, _)| token.is_word(word)).for_each(|(_, kinds)| self.add(*kinds));
            if may_begin
                && !["create", "declare", "execute", "explain"].iter().any(|word| token.is_word(word))
            {
                self.command(token, &tokens);
            }
            if token == Token::Symbol(b';') {
                self.conclude();
            }
            // Behind a label too: <<name>>.
            may_begin =
                matches!(token, Token::Symbol(b';' | b'>')) || OPENS.iter().any(|word| token.is_word(word));
        }
        self.conclude();
        (self.flags, self.previous) = outside;
    }
}

/// `DECLARE name … CURSOR WITH HOLD FOR …`; `rest` stands behind the `DECLARE`.
fn holds(rest: Lexer<'_>) -> bool {
    let mut tokens = rest.take_while(|token| *token != Token::Symbol(b';')).skip(1);
    let cursor = tokens.any(|token| token.is_word("cursor"));
    !cursor || tokens.next().is_some_and(|token| token.is_word("with"))
}
