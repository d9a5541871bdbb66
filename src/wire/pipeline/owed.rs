//! What one owed reply decides, and how it is undone.

use super::{super::conduct::Step, Owed, Undo};

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
            Self::Parse(_, undo, _) => !matches!(undo, Undo::UnnamedLost),
            Self::Close(_, undo) | Self::Own(_, undo) => undo.is_some(),
            _ => false,
        }
    }

    /// Whether its outcome decides which the unnamed statement is.
    pub(super) const fn decides_unnamed(&self) -> bool {
        matches!(self, Self::Parse(_, Undo::UnnamedLost, _))
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
