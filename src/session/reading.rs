//! What a session must know of a statement, read from its text.

use crate::{
    sql::{self, Effects, Session, TransactionControl},
    wire::{
        parameters::Parameters,
        pipeline::{Block, Conduct, Residue},
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
}

impl Lexicon {
    /// The rules that hold under these settings.
    pub fn of(parameters: &Parameters) -> Self {
        let value = |name| crate::wire::parameters::tracked(name).and_then(|place| parameters.get(place));
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
    /// Whether it could lift a read-only session's ban on writes.
    pub unlocks_writes: bool,
}

impl Reading {
    /// Reads a whole text.
    #[inline]
    pub fn of(text: &[u8], lexicon: Lexicon) -> Self {
        Self::from(match lexicon {
            Lexicon::Standard => sql::classify(text, true),
            Lexicon::Backslash => sql::classify(text, false),
            Lexicon::Opaque { backslash } => sql::classify_opaque(text, !backslash),
        })
    }

    /// Reads the beginning of a text that is too long to hold.
    pub fn of_prefix(text: &[u8], lexicon: Lexicon) -> Self {
        Self::from(sql::classify_prefix(text, lexicon == Lexicon::Standard))
    }
}

impl From<Effects> for Reading {
    #[inline]
    fn from(effects: Effects) -> Self {
        let block = match effects.transaction_control() {
            Some(TransactionControl::Begin) => Block::Begins,
            Some(TransactionControl::Rollback) if !effects.may_commit() => Block::RollsBack,
            _ if effects.may_commit() => Block::MayCommit,
            _ => Block::Stays,
        };
        let residue = if effects.session() == Session::Dirty {
            if effects.discards_all() || effects.deallocates_all() {
                Residue::DirtAndDiscards
            } else {
                Residue::Dirt
            }
        } else if effects.discards_all() || effects.deallocates_all() {
            Residue::Discards
        } else if effects.resets() {
            Residue::Resets
        } else {
            Residue::None
        };
        let sharing = if effects.time_literals() { Sharing::Nobody } else { Sharing::Scope };
        Self { conduct: Conduct { block, residue }, sharing, unlocks_writes: effects.unlocks_writes() }
    }
}
