//! What running a text can do to the session and to the transaction, in one small value.

use std::fmt;
use std::ops::BitOr;

use super::flags::Flags;
use super::lexer::{Lexer, Token};
use super::scan;

/// Reads a whole text, which may hold several statements, in one pass. The effects of the text are those of its
/// statements together.
///
/// `text` comes without its terminating zero byte, in an encoding that is
/// [transparent](super::encoding::is_transparent). `standard_conforming_strings` is the setting as the server has it
/// when it parses the text: behind a `SET` that the server has not answered yet it is not known, see
/// [`classify_unsure`]. The setting cannot change within one text, which is parsed before any of it runs.
///
/// What cannot be seen in a text is not in its effects: a function the user has written may do what a `SELECT` of it does
/// not show, and so may a procedure behind `CALL`. `DO` and `CALL` count by the words in their text, literals included;
/// where those are not PL/pgSQL, or build statements from strings, they count as the worst.
/// Routines with SQL-standard bodies (`BEGIN ATOMIC …; END`) and rules of several commands are taken apart at their
/// semicolons, which makes them [`Statements::Many`] and nothing worse.
pub fn classify(text: &[u8], standard_conforming_strings: bool) -> Effects {
    let mut tokens = Lexer::new(text, standard_conforming_strings);
    let mut effects = Effects::NOTHING;
    while let Some(first) = tokens.next() {
        if first != Token::Symbol(b';') {
            effects = effects | scan::statement(first, &mut tokens);
        }
    }
    effects
}

/// The statements of a whole text one by one, each with its effects; empty ones are left out.
pub fn statements(text: &[u8], standard_conforming_strings: bool) -> impl Iterator<Item = (Effects, &[u8])> {
    let mut tokens = Lexer::new(text, standard_conforming_strings);
    std::iter::from_fn(move || {
        loop {
            let start = text.len() - tokens.remaining();
            let first = tokens.next()?;
            if first != Token::Symbol(b';') {
                let effects = scan::statement(first, &mut tokens);
                return Some((effects, &text[start..text.len() - tokens.remaining()]));
            }
        }
    })
}

/// Reads the beginning of a text too large to hold. Whatever is not known counts as the most dangerous; what the
/// beginning certainly does ([`Effects::discards_all`] and the like) is in the result too.
pub fn classify_prefix(prefix: &[u8], standard_conforming_strings: bool) -> Effects {
    classify(prefix, standard_conforming_strings).or_anything()
}

/// Reads a text in a client encoding that is not [transparent](super::encoding::is_transparent). Pure ASCII reads the
/// same in all of them; anything else counts as the most dangerous, because a quote or a backslash may be half of a
/// character there.
pub fn classify_opaque(text: &[u8], standard_conforming_strings: bool) -> Effects {
    let effects = classify(text, standard_conforming_strings);
    if text.is_ascii() { effects } else { effects.or_anything() }
}

/// Reads a text when it is not known whether backslashes escape in ordinary strings: both readings together.
pub fn classify_unsure(text: &[u8]) -> Effects {
    let standard = classify(text, true);
    if memchr::memchr(b'\\', text).is_none() {
        return standard;
    }
    let escaping = classify(text, false);
    let statements =
        if standard.statements == escaping.statements { standard.statements } else { Statements::Many };
    let control = if standard.control == escaping.control { standard.control } else { None };
    Effects { flags: standard.flags | escaping.flags, statements, control }.counted()
}

/// What a text can do. Two texts run one after the other have the effects `a | b`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Effects {
    flags: Flags,
    statements: Statements,
    control: Option<TransactionControl>,
}

/// What stays behind in the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Session {
    /// Nothing (beyond the transaction).
    Clean,
    /// Only values of parameters that the server reports itself: `client_encoding`, `application_name`, `DateStyle`,
    /// `IntervalStyle`, `TimeZone`, `standard_conforming_strings` and, since PostgreSQL 14,
    /// `default_transaction_read_only`.
    Followed,
    /// Perhaps anything.
    Dirty,
}

/// How many statements a text holds. Empty ones do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Statements {
    /// Only blanks, comments and semicolons: the server answers EmptyQueryResponse.
    None,
    /// Exactly one.
    One,
    /// More, or it is not known.
    Many,
}

/// A statement that begins, ends or divides a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionControl {
    /// `BEGIN`, `START TRANSACTION`.
    Begin,
    /// `COMMIT`, `END`, with or without `AND CHAIN`.
    Commit,
    /// `ROLLBACK`, `ABORT`, with or without `AND CHAIN`.
    Rollback,
    /// `SAVEPOINT`.
    Savepoint,
    /// `RELEASE [SAVEPOINT]`.
    Release,
    /// `ROLLBACK TO [SAVEPOINT]`.
    RollbackToSavepoint,
    /// `PREPARE TRANSACTION`.
    PrepareTransaction,
    /// `COMMIT PREPARED`.
    CommitPrepared,
    /// `ROLLBACK PREPARED`.
    RollbackPrepared,
}

impl Effects {
    /// The effects of no statement.
    pub const NOTHING: Self = Self { flags: Flags::NONE, statements: Statements::None, control: None };
    /// The effects of a text of which nothing is known.
    pub const ANYTHING: Self = Self { flags: Flags::OPAQUE, statements: Statements::Many, control: None };

    /// Running this while a transaction block is open could commit or end it: `COMMIT`, `END`, `PREPARE TRANSACTION`,
    /// `COMMIT PREPARED`, `ROLLBACK AND CHAIN`, `CALL`, `DO`, `EXECUTE`, several statements, anything unknown. A plain
    /// `ROLLBACK` does not commit. Outside a block every statement may commit.
    pub const fn may_commit(self) -> bool {
        self.flags.has(Flags::MAY_COMMIT)
    }

    /// What stays behind in the session when the transaction is over.
    pub const fn session(self) -> Session {
        if self.flags.has(Flags::DIRTY) {
            Session::Dirty
        } else if self.flags.has(Flags::FOLLOWED) {
            Session::Followed
        } else {
            Session::Clean
        }
    }

    /// The answer depends on what an earlier statement left in the same session, beyond settings: `currval`,
    /// `lastval`, `pg_advisory_unlock`, `EXECUTE`, …
    pub const fn reads_session(self) -> bool {
        self.flags.has(Flags::READS_SESSION)
    }

    /// Whether [`touches`](super::touches::touches) can find anything in the text, except kinds that are
    /// [unannounced](super::touches::Kinds::UNANNOUNCED).
    pub const fn touches_session(self) -> bool {
        const TOUCHES: Flags = Flags::DIRTY
            .and(Flags::FOLLOWED)
            .and(Flags::READS_SESSION)
            .and(Flags::DISCARDS_ALL)
            .and(Flags::DEALLOCATES_ALL)
            .and(Flags::RESETS);
        self.flags.has_any(TOUCHES)
    }

    /// Holds `DISCARD ALL`. Its session is [`Session::Clean`]: it only takes away, prepared statements and settings made
    /// by somebody else included.
    pub const fn discards_all(self) -> bool {
        self.flags.has(Flags::DISCARDS_ALL)
    }

    /// Holds `DEALLOCATE ALL` or `DISCARD ALL`: no prepared statement is left on the server.
    pub const fn deallocates_all(self) -> bool {
        self.flags.has(Flags::DEALLOCATES_ALL)
    }

    /// Puts a parameter, or all, back to what it was when the *server's* session began: `RESET`, `SET … TO DEFAULT`,
    /// `DISCARD ALL`. Not `SET LOCAL`.
    pub const fn resets(self) -> bool {
        self.flags.has(Flags::RESETS)
    }

    /// What parsing makes of it depends on when or where: a literal holds, or may hold, `now`, `today`, `tomorrow` or
    /// `yesterday`, which are resolved then; or it names what its session alone has (`EXECUTE`, `FETCH`). The parse result
    /// must never be shared.
    pub const fn parsed_alone(self) -> bool {
        self.flags.has(Flags::PARSED_ALONE)
    }

    /// Could turn a read-only session or transaction into one that writes.
    pub const fn unlocks_writes(self) -> bool {
        self.flags.has(Flags::UNLOCKS_WRITES)
    }

    /// May change what names, functions and operators mean, for every session: what was parsed before may be parsed
    /// otherwise afterwards. What a function does is not seen.
    pub const fn changes_schema(self) -> bool {
        self.flags.has(Flags::SCHEMA)
    }

    /// May change the schema by more than taking away (`DROP`, `GRANT`, `REVOKE`): a name may mean something that nothing
    /// of that name was before.
    pub const fn gives_new_meanings(self) -> bool {
        self.flags.has(Flags::NEW_MEANINGS)
    }

    /// May change a setting that is not followed, up to the end of the transaction.
    pub const fn sets_locally(self) -> bool {
        self.flags.has(Flags::SETS_LOCALLY)
    }

    /// May take data from the client: `COPY … FROM STDIN`.
    pub const fn copies_in(self) -> bool {
        self.flags.has(Flags::COPIES_IN)
    }

    /// May do more than look: change data, notify others, draw from a sequence, run code. What a function does is not seen.
    pub const fn acts(self) -> bool {
        self.flags.has(Flags::ACTS)
    }

    /// Is one statement of the kind that is parsed, rewritten and planned: `SELECT`, `INSERT`, `UPDATE`, `DELETE`,
    /// `MERGE`, `VALUES`, `TABLE`, `WITH`.
    pub const fn is_planned(self) -> bool {
        self.flags.has(Flags::PLANNED)
            && !self.flags.has(Flags::SCHEMA)
            && matches!(self.statements, Statements::One)
    }

    /// Is [planned](Self::is_planned), and nothing else holds of it than perhaps that it [acts](Self::acts).
    pub const fn is_plain(self) -> bool {
        const ACTS: Flags = Flags::ACTS.and(Flags::CHANGES);
        self.is_planned() && self.flags.without(ACTS).has_no_more_than(Flags::PLANNED)
    }

    /// Is or holds an `INSERT`, `UPDATE`, `DELETE` or `MERGE` of its own, not inside another statement.
    pub const fn changes_data(self) -> bool {
        self.flags.has(Flags::CHANGES)
    }

    /// The text, or a part of it, was not understood or not seen.
    pub const fn is_not_understood(self) -> bool {
        self.flags.has(Flags::NOT_UNDERSTOOD)
    }

    /// How many statements there are.
    pub const fn statements(self) -> Statements {
        self.statements
    }

    /// There is no statement at all.
    pub const fn empty(self) -> bool {
        matches!(self.statements, Statements::None)
    }

    /// What the statement, if it is the only one, does to the transaction.
    pub const fn transaction_control(self) -> Option<TransactionControl> {
        self.control
    }

    /// The effects of one statement. One that was not understood may be several.
    pub(super) const fn of_statement(flags: Flags, control: Option<TransactionControl>) -> Self {
        if flags.has(Flags::NOT_UNDERSTOOD) {
            return Self { flags, ..Self::ANYTHING };
        }
        Self { flags, statements: Statements::One, control }
    }

    /// These and all dangers.
    fn or_anything(self) -> Self {
        Self { flags: self.flags | Flags::OPAQUE, ..Self::ANYTHING }
    }

    /// Several statements may commit, whatever they are, and none of them is the only one.
    fn counted(self) -> Self {
        match self.statements {
            Statements::Many => Self { flags: self.flags | Flags::MAY_COMMIT, control: None, ..self },
            _ => self,
        }
    }
}

impl BitOr for Effects {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        let statements = match (self.statements, other.statements) {
            (Statements::None, count) | (count, Statements::None) => count,
            _ => Statements::Many,
        };
        Self { flags: self.flags | other.flags, statements, control: self.control.or(other.control) }
            .counted()
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.statements)?;
        if let Some(control) = self.control {
            write!(f, " {control:?}")?;
        }
        let set = Flags::NAMES.iter().filter(|(flag, _)| self.flags.has(*flag));
        set.into_iter().try_for_each(|(_, name)| write!(f, " {name}"))
    }
}

#[cfg(test)]
#[path = "effects_tests.rs"]
mod tests;
