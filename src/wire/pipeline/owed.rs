//! What one owed reply decides, and how it is undone.

use std::sync::Arc;

use super::{
    super::{
        conduct::{Block, Step},
        named::{Named, Serial},
        statements::{Statement, Unnamed, UnnamedAt},
    },
    Owed,
};

/// Undoes what was noted for a message that the server then did not carry out.
#[derive(Clone, Debug)]
pub enum Undo {
    /// The client has no statement of this name.
    ClientForgets(Box<[u8]>),
    /// The client still has this statement, of this name.
    ClientKeeps(Box<(Box<[u8]>, Named)>),
    /// The server has no such statement.
    ServerForgets(u64),
    /// The server still has this statement.
    ServerKeeps(u64),
    /// The server still has this statement, and it is not what it is taken for.
    ServerDistrusts(u64),
    /// The server has no statement under this name of the client's.
    UnderOurName(Box<[u8]>),
    /// The server still has the client's statement under this name, too.
    UnderTrueName(Box<[u8]>),
    /// The client's unnamed statement is this one, and the server's is whose.
    Unnamed(Unnamed, UnnamedAt),
    /// The server's unnamed statement is not the client's.
    UnnamedElsewhere,
    /// What the server remembers of sequences may be another client's.
    DrawsOfOthers,
}

/// Whom an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// The client, who sent the message.
    Client,
    /// Us: the message was ours.
    Us,
}

/// A statement of which it is to be known what it takes and yields.
#[derive(Clone, Debug)]
pub enum Subject {
    /// One that servers have under a name of ours.
    Statement(Arc<Statement>, Whose),
    /// A client's unnamed one that is passed on, by its number among those.
    Unnamed(u32),
}

/// Who hears what is told of a statement that is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The client, whose statement of this number (0: without a name) was parsed there, or is described to it: that is what
    /// it is, whatever others were told.
    Clients(Serial),
    /// Nobody: it was parsed for its client elsewhere.
    Nobodys,
}

/// What a server tells of a statement, and why that matters.
#[derive(Clone, Copy, Debug)]
pub enum Described<'p> {
    /// It was not known.
    First(&'p Subject),
    /// A message of the client's waits for it to be what it was.
    Again(&'p Arc<Statement>),
    /// The same, of a copy of it under this name.
    Copy(&'p [u8], &'p Arc<Statement>),
}

impl Owed {
    pub(super) const fn step(&self) -> Option<Step> {
        match self {
            Self::Query(block) => Some(Step::Query(*block)),
            Self::Refused => Some(Step::Query(Block::Commits)),
            Self::Execute(block) => Some(Step::Execute(*block)),
            Self::FunctionCall => Some(Step::FunctionCall),
            Self::Sync => Some(Step::Sync),
            _ => None,
        }
    }

    /// Whether what the server has to say of it is for us, errors aside.
    pub(super) const fn is_ours(&self) -> bool {
        matches!(
            self,
            Self::Parse(For::Us, ..)
                | Self::Close(For::Us, _)
                | Self::Check(_)
                | Self::Copy(..)
                | Self::Provide(..)
                | Self::Learn(_)
                | Self::Parameters
                | Self::Aside(_)
                | Self::Position
                | Self::Evidence
                | Self::EvidenceRow
                | Self::Ours(_)
        )
    }

    /// Whether a description that is part of its answer is for us.
    pub(super) const fn describes_for_us(&self) -> bool {
        matches!(self, Self::Check(_) | Self::Learn(_) | Self::Copy(..) | Self::Provide(..))
    }

    /// What the server tells next of a statement, if that is to be noted.
    pub(super) const fn described(&self) -> Option<Described<'_>> {
        match self {
            Self::Tell(_, subject) | Self::Learn(subject) => Some(Described::First(subject)),
            Self::Check(statement) => Some(Described::Again(statement)),
            Self::Copy(name, statement) | Self::Provide(name, statement) => {
                Some(Described::Copy(name, statement))
            }
            _ => None,
        }
    }

    /// Whether an error before it does not reach beyond it.
    pub(super) const fn ends_sequence(&self) -> bool {
        matches!(
            self,
            Self::Sync
                | Self::Aside(_)
                | Self::Provide(..)
                | Self::Position
                | Self::Evidence
                | Self::Refused
                | Self::Query(_)
                | Self::FunctionCall
        )
    }

    /// Whether its outcome decides which named statements there are.
    pub(super) const fn decides(&self) -> bool {
        match self {
            Self::Parse(_, undo, _) => !undo.is_of_unnamed(),
            Self::Close(_, Some(undo)) | Self::Own(_, Some(undo)) => !undo.is_of_unnamed(),
            _ => false,
        }
    }

    /// Whether its outcome decides which the unnamed statement is.
    pub(super) const fn decides_unnamed(&self) -> bool {
        match self {
            Self::Parse(_, undo, second) => {
                undo.is_of_unnamed() || matches!(second, Some(second) if second.is_of_unnamed())
            }
            Self::Close(_, Some(undo)) | Self::Own(_, Some(undo)) | Self::Note(undo) => undo.is_of_unnamed(),
            _ => false,
        }
    }

    /// The unnamed statement that was the client's before this message, and whose the server's was.
    pub(super) const fn unnamed_mut(&mut self) -> Option<(&mut Unnamed, &mut UnnamedAt)> {
        match self {
            Self::Parse(_, Undo::Unnamed(unnamed, at), _)
            | Self::Parse(_, _, Some(Undo::Unnamed(unnamed, at)))
            | Self::Close(_, Some(Undo::Unnamed(unnamed, at)))
            | Self::Own(_, Some(Undo::Unnamed(unnamed, at)))
            | Self::Note(Undo::Unnamed(unnamed, at)) => Some((unnamed, at)),
            _ => None,
        }
    }

    pub(super) fn undo(self, undo: &mut dyn FnMut(Undo)) {
        match self {
            Self::Parse(_, first, second) => {
                undo(first);
                if let Some(second) = second {
                    undo(second);
                }
            }
            Self::Close(_, Some(one)) | Self::Own(_, Some(one)) | Self::Note(one) => undo(one),
            _ => {}
        }
    }
}

impl Undo {
    const fn is_of_unnamed(&self) -> bool {
        matches!(self, Self::Unnamed(..) | Self::UnnamedElsewhere)
    }
}
