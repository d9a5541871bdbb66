//! What the first words of a statement say.

use super::effects::TransactionControl;
use super::flags::Flags;
use super::lexer::{Lexer, Token};
use super::words::Table;

/// What is known of a statement before the rest of it is scanned.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Head {
    pub(super) flags: Flags,
    pub(super) control: Option<TransactionControl>,
    pub(super) literals: Literals,
}

/// What the literals of a statement are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Literals {
    #[default]
    Data,
    /// Run as code, or perhaps so.
    Code,
}

impl Head {
    const OPAQUE: Self = Self::flags(Flags::OPAQUE);

    const fn flags(flags: Flags) -> Self {
        Self { flags, control: None, literals: Literals::Data }
    }

    const fn control(control: TransactionControl, flags: Flags) -> Self {
        Self { flags, control: Some(control), literals: Literals::Data }
    }
}

#[derive(Clone, Copy)]
enum Command {
    /// Leaves nothing behind by itself; the words in it may.
    Plain,
    /// The same, and is planned.
    Planned,
    /// The same, and changes data.
    Changes,
    /// The same, perhaps.
    MayChange,
    /// Leaves nothing behind by itself, but does more than look.
    Acts,
    /// The same, and may change what others' statements mean.
    Schema,
    /// The same, but only takes away: what a name means then it has meant, somewhere, before.
    TakeAway,
    /// Leaves something behind whatever follows.
    Dirty,
    Begin,
    Call,
    Commit,
    Copy,
    Create,
    Deallocate,
    Declare,
    Discard,
    Do,
    Execute,
    Explain,
    Fetch,
    Prepare,
    Release,
    Reset,
    Rollback,
    Savepoint,
    Set,
    Start,
}

/// Every command of PostgreSQL 9.6 to 19 (manual part VI, SQL commands).
const COMMANDS: &Table<Command> = &Table::new(&[
    ("abort", Command::Rollback),
    ("alter", Command::Schema),
    ("analyse", Command::Plain),
    ("analyze", Command::Plain),
    ("begin", Command::Begin),
    ("call", Command::Call),
    ("checkpoint", Command::Plain),
    ("close", Command::Plain),
    ("cluster", Command::Plain),
    ("comment", Command::Plain),
    ("commit", Command::Commit),
    ("copy", Command::Copy),
    ("create", Command::Create),
    ("deallocate", Command::Deallocate),
    ("declare", Command::Declare),
    ("delete", Command::Changes),
    ("discard", Command::Discard),
    ("do", Command::Do),
    ("drop", Command::TakeAway),
    ("end", Command::Commit),
    ("execute", Command::Execute),
    ("explain", Command::Explain),
    ("fetch", Command::Fetch),
    ("grant", Command::TakeAway),
    ("import", Command::Schema),
    ("insert", Command::Changes),
    ("listen", Command::Dirty),
    ("load", Command::Dirty),
    ("lock", Command::Plain),
    ("merge", Command::Changes),
    ("move", Command::Plain),
    ("notify", Command::Acts),
    ("prepare", Command::Prepare),
    ("reassign", Command::Schema),
    ("refresh", Command::Acts),
    ("reindex", Command::Plain),
    ("release", Command::Release),
    ("repack", Command::Plain),
    ("reset", Command::Reset),
    ("revoke", Command::TakeAway),
    ("rollback", Command::Rollback),
    ("savepoint", Command::Savepoint),
    ("security", Command::Plain),
    ("select", Command::Planned),
    ("set", Command::Set),
    ("show", Command::Plain),
    ("start", Command::Start),
    ("table", Command::Planned),
    ("truncate", Command::Acts),
    ("unlisten", Command::Dirty),
    ("update", Command::Changes),
    ("vacuum", Command::Plain),
    ("values", Command::Planned),
    ("wait", Command::Plain),
    ("with", Command::MayChange),
]);

/// Reads the beginning of a statement. `rest` stands behind `first` and is only looked ahead on.
pub(super) fn head(first: Token<'_>, rest: &Lexer<'_>) -> Head {
    let command = match first {
        Token::Symbol(b'(') => Some(Command::Planned),
        Token::Word(word) => COMMANDS.find(word),
        _ => None,
    };
    let Some(command) = command else { return Head::OPAQUE };
    let rest = || rest.clone();
    match command {
        Command::Plain => Head::default(),
        Command::Planned => Head::flags(Flags::PLANNED),
        Command::Changes => Head::flags(Flags::PLANNED | Flags::ACTS | Flags::CHANGES),
        Command::MayChange => Head::flags(Flags::PLANNED | Flags::ACTS),
        Command::Acts => Head::flags(Flags::ACTS),
        Command::Schema => Head::flags(SCHEMA | Flags::ACTS),
        Command::TakeAway => Head::flags(Flags::SCHEMA | Flags::ACTS),
        Command::Dirty => Head::flags(Flags::DIRTY),
        Command::Begin => Head::control(TransactionControl::Begin, Flags::NONE),
        Command::Call => Head { literals: Literals::Code, ..Head::flags(RUNS_CODE) },
        Command::Commit => commit(rest()),
        Command::Copy if within_statement(rest()).any(|token| token.is_word("stdin")) => {
            Head::flags(Flags::COPIES_IN | Flags::ACTS)
        }
        Command::Copy => Head::default(),
        Command::Create => Head::flags(create(rest()) | Flags::ACTS),
        Command::Deallocate => Head::flags(deallocate(rest())),
        Command::Declare => Head::flags(declare(rest())),
        Command::Discard => Head::flags(discard(rest())),
        Command::Do => Head { literals: Literals::Code, ..Head::flags(RUNS_CODE | SCHEMA) },
        Command::Execute => Head::flags(EXECUTE),
        Command::Explain => explain(rest()),
        Command::Fetch => Head::flags(Flags::PARSED_ALONE),
        Command::Prepare => prepare(rest()),
        Command::Release => Head::control(TransactionControl::Release, Flags::NONE),
        Command::Reset => Head::flags(super::settings::reset(rest())),
        Command::Rollback => rollback(rest()),
        Command::Savepoint => Head::control(TransactionControl::Savepoint, Flags::NONE),
        Command::Set => Head::flags(super::settings::set(rest())),
        Command::Start => match rest().next() {
            Some(next) if next.is_word("transaction") => {
                Head::control(TransactionControl::Begin, Flags::NONE)
            }
            _ => Head::OPAQUE,
        },
    }
}

/// `EXECUTE name` runs what an earlier `PREPARE` named.
const EXECUTE: Flags =
    Flags::DIRTY.and(Flags::MAY_COMMIT).and(Flags::READS_SESSION).and(Flags::PARSED_ALONE).and(Flags::ACTS);

/// `CALL` and `DO` run code that may do anything; what it has done the server is asked.
const RUNS_CODE: Flags = Flags::MAY_COMMIT.and(Flags::READS_SESSION).and(Flags::ACTS);

/// `CREATE`, `ALTER` and what else may give a name another meaning.
const SCHEMA: Flags = Flags::SCHEMA.and(Flags::NEW_MEANINGS);

/// `COMMIT`, `END`, `COMMIT PREPARED`.
fn commit(mut rest: Lexer<'_>) -> Head {
    let prepared = rest.next().is_some_and(|next| next.is_word("prepared"));
    let control = if prepared { TransactionControl::CommitPrepared } else { TransactionControl::Commit };
    Head::control(control, Flags::MAY_COMMIT)
}

/// `ROLLBACK [WORK | TRANSACTION] [TO [SAVEPOINT] name | AND [NO] CHAIN]`, `ROLLBACK PREPARED`, `ABORT`.
///
/// One that chains counts as ending the transaction and going on: the block is not what it was.
fn rollback(mut rest: Lexer<'_>) -> Head {
    let mut next = rest.next();
    if next.is_some_and(|next| next.is_word("prepared")) {
        return Head::control(TransactionControl::RollbackPrepared, Flags::NONE);
    }
    if next.is_some_and(|next| next.is_word("work") || next.is_word("transaction")) {
        next = rest.next();
    }
    if next.is_some_and(|next| next.is_word("to")) {
        return Head::control(TransactionControl::RollbackToSavepoint, Flags::NONE);
    }
    let chains =
        next.is_some_and(|next| next.is_word("and")) && rest.next().is_some_and(|next| next.is_word("chain"));
    Head::control(TransactionControl::Rollback, if chains { Flags::MAY_COMMIT } else { Flags::NONE })
}

/// `PREPARE TRANSACTION 'id'` or `PREPARE name …`, where the name may be `transaction` too.
fn prepare(mut rest: Lexer<'_>) -> Head {
    let transaction = rest.next().is_some_and(|next| next.is_word("transaction"));
    if transaction && matches!(rest.next(), Some(Token::Literal(_))) {
        return Head::control(TransactionControl::PrepareTransaction, Flags::MAY_COMMIT);
    }
    Head::flags(Flags::DIRTY)
}

/// `DEALLOCATE [PREPARE] {name | ALL}`.
fn deallocate(mut rest: Lexer<'_>) -> Flags {
    let mut next = rest.next();
    if next.is_some_and(|next| next.is_word("prepare")) {
        next = rest.next();
    }
    if next.is_some_and(|next| next.is_word("all")) { Flags::DEALLOCATES_ALL } else { Flags::DIRTY }
}

/// `DISCARD {ALL | PLANS | SEQUENCES | TEMP | TEMPORARY}`: only takes away.
fn discard(mut rest: Lexer<'_>) -> Flags {
    match rest.next() {
        Some(what) if what.is_word("all") => {
            Flags::DISCARDS_ALL | Flags::DEALLOCATES_ALL | Flags::RESETS | Flags::UNLOCKS_WRITES
        }
        Some(what) if ["plans", "sequences", "temp", "temporary"].iter().any(|word| what.is_word(word)) => {
            Flags::NONE
        }
        _ => Flags::OPAQUE,
    }
}

/// `DECLARE name … CURSOR [{WITH | WITHOUT} HOLD] FOR …`: without hold it ends with the transaction.
fn declare(mut rest: Lexer<'_>) -> Flags {
    if !within_statement(rest.by_ref().skip(1)).any(|token| token.is_word("cursor")) {
        return Flags::OPAQUE;
    }
    match rest.next() {
        Some(next) if next.is_word("for") || next.is_word("without") => Flags::NONE,
        Some(next) if next.is_word("with") => Flags::DIRTY,
        _ => Flags::OPAQUE,
    }
}

/// `CREATE [OR REPLACE] [LOCAL | GLOBAL] {TEMP | TEMPORARY} …`, which only its own session sees, and
/// `CREATE … TABLE … AS EXECUTE name`.
fn create(rest: Lexer<'_>) -> Flags {
    const MODIFIERS: [&str; 5] = ["or", "replace", "local", "global", "unlogged"];
    let mut tokens = within_statement(rest);
    match tokens.find(|token| !MODIFIERS.iter().any(|word| token.is_word(word))) {
        Some(kind) if kind.is_word("temp") || kind.is_word("temporary") => Flags::DIRTY,
        // Elsewhere the word stands for something else (`CREATE TRIGGER … EXECUTE FUNCTION`).
        Some(kind) if kind.is_word("table") && tokens.any(|token| token.is_word("execute")) => {
            EXECUTE | SCHEMA
        }
        _ => SCHEMA,
    }
}

/// `EXPLAIN [ANALYZE] [VERBOSE] [(options)] statement`, taken as if the statement ran.
fn explain(mut rest: Lexer<'_>) -> Head {
    const STATEMENTS: [&str; 11] = [
        "select", "insert", "update", "delete", "merge", "values", "table", "with", "declare", "create",
        "refresh",
    ];
    let inner = within_statement(rest.by_ref())
        .find(|token| token.is_word("execute") || STATEMENTS.iter().any(|word| token.is_word(word)));
    let inner = inner.map_or(Head::OPAQUE, |first| head(first, &rest));
    Head { flags: inner.flags.without(Flags::PLANNED.and(Flags::CHANGES)), ..inner }
}

/// The tokens up to the end of the statement.
fn within_statement<'a>(tokens: impl Iterator<Item = Token<'a>>) -> impl Iterator<Item = Token<'a>> {
    tokens.take_while(|token| *token != Token::Symbol(b';'))
}
