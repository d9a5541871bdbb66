//! What one owed reply decides, and how it is undone.

use std::sync::Arc;

use super::{
    super::{
        conduct::{Block, Step},
        statements::{Statement, Unnamed, UnnamedAt},
    },
    For, Owed, Undo,
};

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
                | Self::Parameters
                | Self::Aside(_)
                | Self::Position
                | Self::Evidence
                | Self::EvidenceRow
                | Self::Ours(_)
        )
    }

    /// The statement of which the server tells next what it takes and yields, if that is to be noted.
    pub(super) const fn described(&self) -> Option<&Arc<Statement>> {
        match self {
            Self::Tell(_, statement) | Self::Check(statement) => Some(statement),
            _ => None,
        }
    }

    /// Whether an error before it does not reach beyond it.
    pub(super) const fn ends_sequence(&self) -> bool {
        matches!(
            self,
            Self::Sync
                | Self::Aside(_)
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
