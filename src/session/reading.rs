//! What a session must know of a statement, read from its text.

use crate::{
    sql::{
        self, Effects, Session, Statements, TransactionControl,
        lexer::{Lexer, Token},
        touches::{self, FunctionNames, Kinds, Touches},
    },
    wire::{
        parameters::{Parameters, tracked},
        pipeline::{Acting, Block, Conduct, Copying, Followed, Form, Parsing, Residue},
        schema::Change,
        statements::Sharing,
    },
};

/// By which rules a client's texts are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lexicon {
    /// `standard_conforming_strings = on`.
    #[default]
    Standard,
    /// `standard_conforming_strings = off`: a backslash escapes.
    Backslash,
    /// In this encoding a byte that looks like a quote need not be one.
    Opaque {
        /// Whether a backslash escapes.
        backslash: bool,
    },
    /// A setting that decides it may be changing just now.
    Unknown,
}

impl Lexicon {
    /// The rules that hold under these settings.
    pub fn of(parameters: &Parameters) -> Self {
        let value = |name| tracked(name).and_then(|place| parameters.get(place));
        let backslash = value("standard_conforming_strings").is_some_and(|value| &**value == "off");
        if value("client_encoding")
            .is_some_and(|encoding| !sql::encoding::is_transparent(encoding.as_bytes()))
        {
            return Self::Opaque { backslash };
        }
        if backslash { Self::Backslash } else { Self::Standard }
    }
}

/// What a session must know of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What running it may do.
    pub conduct: Conduct,
    /// Who may share it when it is prepared.
    pub sharing: Sharing,
    /// What it is to the parser.
    pub form: Form,
    /// Whether it could lift a read-only session's ban on writes.
    pub unlocks_writes: bool,
}

impl Reading {
    /// Reads a whole text.
    #[inline]
    pub fn of(text: &[u8], lexicon: Lexicon) -> Self {
        let effects = match lexicon {
            Lexicon::Standard => sql::classify(text, true),
            Lexicon::Backslash => sql::classify(text, false),
            Lexicon::Opaque { backslash } => sql::classify_opaque(text, !backslash),
            Lexicon::Unknown if text.is_ascii() => sql::classify_unsure(text),
            Lexicon::Unknown => sql::classify_opaque(text, true),
        };
        Self::from_effects(effects, text)
    }

    /// Reads the beginning of a text that is too long to hold.
    pub fn of_prefix(text: &[u8], lexicon: Lexicon) -> Self {
        Self::from_effects(sql::classify_prefix(text, lexicon == Lexicon::Standard), text)
    }

    /// Whether it can stand for the unnamed statement of whoever sends the same text: a single statement that is worth
    /// keeping parsed, means the same whoever sends it and leaves nothing behind.
    pub fn may_stand_for_unnamed(&self) -> bool {
        self.form == Form::Planned
            && self.sharing == Sharing::Scope
            && self.conduct == (Conduct { acting: self.conduct.acting, ..Conduct::default() })
            && !self.unlocks_writes
    }

    /// Of one statement that is planned and of which nothing else is to be said than that it may change data.
    const fn plain(acting: Acting) -> Self {
        let conduct = Conduct {
            block: Block::Stays,
            residue: Residue::None,
            followed: Followed::Kept,
            parsing: Parsing::Kept,
            copying: Copying::No,
            acting,
        };
        Self { conduct, sharing: Sharing::Scope, form: Form::Planned, unlocks_writes: false }
    }

    #[inline]
    fn from_effects(effects: Effects, text: &[u8]) -> Self {
        if effects.is_plain() {
            return Self::plain(acting(effects));
        }
        Self::of_effects(effects, text)
    }

    #[inline(never)]
    fn of_effects(effects: Effects, text: &[u8]) -> Self {
        let block = match effects.transaction_control() {
            Some(TransactionControl::Begin) => Block::Begins,
            Some(TransactionControl::Rollback) if !effects.may_commit() => Block::RollsBack,
            Some(TransactionControl::Commit) if !chains(text) => Block::Commits,
            _ if effects.may_commit() => Block::MayCommit,
            _ => Block::Stays,
        };
        let discards = effects.discards_all() || effects.deallocates_all();
        let touches = effects.session() == Session::Dirty || effects.reads_session();
        let residue = match (touches, discards) {
            (false, false) => Residue::None,
            (true, false) => Residue::Dirt,
            (false, true) => Residue::Discards,
            (true, true) => Residue::DirtAndDiscards,
        };
        let sharing = if effects.parsed_alone() { Sharing::Nobody } else { Sharing::Scope };
        let parsing = match (effects.changes_schema(), effects.sets_locally()) {
            (true, _) if effects.gives_new_meanings() => Parsing::ChangedForAll(Change::NewMeanings),
            (true, _) => Parsing::ChangedForAll(Change::LessThanBefore),
            (false, true) => Parsing::ChangedHere,
            (false, false) => Parsing::Kept,
        };
        let copying = if effects.copies_in() { Copying::In } else { Copying::No };
        let followed = followed(effects, text);
        let conduct = Conduct { block, residue, followed, parsing, copying, acting: acting(effects) };
        let form = match () {
            () if effects.is_planned() => Form::Planned,
            () if runs_prepared(effects, text) => Form::Runs,
            () => Form::Other,
        };
        Self { conduct, sharing, form, unlocks_writes: effects.unlocks_writes() }
    }
}

/// A statement's text, as far as it is at hand.
#[derive(Clone, Copy, Debug)]
pub enum Text<'t> {
    /// All of it.
    Whole(&'t [u8]),
    /// Its beginning.
    Prefix(&'t [u8]),
}

impl Text<'_> {
    /// What of the session it touches.
    pub(super) fn touches(self, lexicon: Lexicon, opaque: &FunctionNames) -> Touches {
        match (self, lexicon) {
            (Self::Whole(text), Lexicon::Standard) => touches::touches(text, true, opaque),
            (Self::Whole(text), Lexicon::Backslash) => touches::touches(text, false, opaque),
            (Self::Whole(text), Lexicon::Opaque { backslash }) => {
                touches::touches_opaque(text, !backslash, opaque)
            }
            (Self::Whole(text), Lexicon::Unknown) if text.is_ascii() => touches::touches_unsure(text, opaque),
            (Self::Whole(text), Lexicon::Unknown) => touches::touches_opaque(text, true, opaque),
            (Self::Prefix(text), _) => touches::touches_prefix(text, lexicon == Lexicon::Standard, opaque),
        }
    }
}

impl Text<'_> {
    /// Which prepared statements it deallocates, in its order, as far as that can be told from it.
    #[cold]
    pub(super) fn deallocated(self, lexicon: Lexicon) -> Vec<Box<[u8]>> {
        let Self::Whole(text) = self else { return Vec::new() };
        let is_plain = || text.is_ascii() && memchr::memchr(b'\\', text).is_none();
        match lexicon {
            Lexicon::Standard => touches::deallocated(text, true),
            Lexicon::Backslash => touches::deallocated(text, false),
            Lexicon::Opaque { backslash } if text.is_ascii() => touches::deallocated(text, !backslash),
            Lexicon::Unknown if is_plain() => touches::deallocated(text, true),
            Lexicon::Opaque { .. } | Lexicon::Unknown => Vec::new(),
        }
    }
}

/// Whether a text does more than look.
#[inline]
const fn acting(effects: Effects) -> Acting {
    match (effects.acts(), effects.changes_data() && effects.is_plain()) {
        (false, _) => Acting::No,
        (true, false) => Acting::Perhaps,
        (true, true) => Acting::Changes,
    }
}

/// What a text does to the settings that are followed.
#[inline]
fn followed(effects: Effects, text: &[u8]) -> Followed {
    if effects.resets() {
        return match effects.statements() {
            Statements::One => reset(text),
            Statements::None | Statements::Many => resets(text),
        };
    }
    let rolls_back = effects.transaction_control() == Some(TransactionControl::RollbackToSavepoint);
    if effects.session() == Session::Followed || effects.is_not_understood() || rolls_back {
        Followed::Changed
    } else {
        Followed::Kept
    }
}

/// What one statement that is known to reset resets: `RESET {ALL | name | TIME ZONE}`, `DISCARD ALL`,
/// `SET [SESSION] {name {TO | =} DEFAULT | NAMES … | TIME ZONE …}`.
#[cold]
fn reset(text: &[u8]) -> Followed {
    let mut tokens = Lexer::new(text, true).filter(|token| *token != Token::Symbol(b';')).peekable();
    let discards = tokens.next().is_some_and(|command| command.is_word("discard"));
    if tokens.peek().is_some_and(|word| word.is_word("session")) {
        tokens.next();
    }
    let name = match tokens.next() {
        Some(name) if discards || name.is_word("all") => return Followed::Reset(u8::MAX),
        Some(name) if name.is_word("names") => "client_encoding",
        Some(name) if name.is_word("time") => "TimeZone",
        Some(Token::Word(name) | Token::Quoted(name)) => std::str::from_utf8(name).unwrap_or_default(),
        _ => "",
    };
    tracked(name).map_or(Followed::Changed, |place| Followed::Reset(1 << place))
}

/// What a text of several statements leaves at what it was at the start. They succeed or fail together: one that could end
/// a transaction between them makes it unsure.
#[cold]
fn resets(text: &[u8]) -> Followed {
    let mut places = 0;
    if memchr::memchr(b'\\', text).is_some() {
        return Followed::Changed;
    }
    for (effects, statement) in sql::statements(text, true) {
        if effects.transaction_control().is_some() || effects.is_not_understood() {
            return Followed::Changed;
        }
        if effects.resets() {
            if let Followed::Reset(more) = reset(statement) {
                places |= more;
            }
            continue;
        }
        let touches = touches::touches(statement, true, FunctionNames::NONE);
        if touches.kinds.has_any(UNNAMED) {
            places = 0;
        }
        let set = touches.settings.iter().filter_map(|name| std::str::from_utf8(name).ok());
        set.filter_map(tracked).for_each(|place| places &= !(1 << place));
    }
    if places == 0 { Followed::Changed } else { Followed::Reset(places) }
}

/// What may set anything.
const UNNAMED: Kinds = Kinds::EVERY_SETTING.and(Kinds::OPAQUE).and(Kinds::CALLS).and(Kinds::USES_PREPARED);

/// Whether a text is an `EXECUTE` and nothing else.
fn runs_prepared(effects: Effects, text: &[u8]) -> bool {
    effects.statements() == Statements::One
        && Lexer::new(text, true).next().is_some_and(|first| first.is_word("execute"))
}

/// Whether a COMMIT begins another transaction at once (`AND CHAIN`).
fn chains(text: &[u8]) -> bool {
    Lexer::new(text, true).any(|token| token.is_word("chain"))
}

#[cfg(test)]
mod tests;
