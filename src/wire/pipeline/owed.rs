//! What one owed reply decides, and how it is undone.

use super::{
    super::{conduct::Step, statements::Unnamed},
    Owed, Undo,
};

impl Owed {
    pub(super) const fn step(&self) -> Option<Step> {
        match self {
            Self::Query(block) => Some(Step::Query(*block)),
            Self::Execute(block) => Some(Step::Execute(*block)),
            Self::FunctionCall => Some(Step::FunctionCall),
            Self::Sync => Some(Step::Sync),
            _ => None,
        }
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
            Self::Close(_, Some(undo)) | Self::Own(_, Some(undo)) => undo.is_of_unnamed(),
            _ => false,
        }
    }

    /// The unnamed statement that was the client's before this message.
    pub(super) const fn unnamed_mut(&mut self) -> Option<&mut Unnamed> {
        match self {
            Self::Parse(_, Undo::Unnamed(unnamed), _)
            | Self::Parse(_, _, Some(Undo::Unnamed(unnamed)))
            | Self::Close(_, Some(Undo::Unnamed(unnamed)))
            | Self::Own(_, Some(Undo::Unnamed(unnamed))) => Some(unnamed),
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
            Self::Close(_, Some(one)) | Self::Own(_, Some(one)) => undo(one),
            _ => {}
        }
    }
}

impl Undo {
    const fn is_of_unnamed(&self) -> bool {
        matches!(self, Self::Unnamed(_) | Self::UnnamedElsewhere)
    }
}
