//! What decides how later messages are read: whether settings were changed, and which statements are awaited that may.

use crate::wire::pipeline::Followed;

/// Whether the session's settings are the followed ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Settings {
    /// They are.
    #[default]
    Followed,
    /// Others were changed as well.
    Changed,
}

/// Whether a statement is under way that changes, resets or discards what decides how later ones are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Awaited {
    /// None.
    #[default]
    Nothing,
    /// One is, with this effect on the settings that are followed: nothing is read from the client before it is
    /// answered.
    Answer(Followed),
    /// One was answered inside a sequence of extended messages. PostgreSQL (14 and later) reports settings only
    /// with ReadyForQuery: until then what is parsed is the client's own.
    Report,
}

/// Whether the client has set settings that are followed, be it to what they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Choice {
    #[default]
    None,
    Made,
}

impl super::Tenancy {
    /// Whether the client has set settings that are followed, be it to what they were.
    #[inline]
    pub(in crate::session) fn has_chosen(&self) -> bool {
        self.choice == Choice::Made
    }
}

/// Whether a statement is under way that may take data from the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum CopyAwaited {
    #[default]
    No,
    /// It is: nothing is read from the client before it is known whether it does.
    Yes,
}
