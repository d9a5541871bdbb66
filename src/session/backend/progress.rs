//! What a stretch of a server's answers completed, and what it changed for others.

/// What was completed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// ReadyForQuery messages.
    pub queries: u32,
    /// Of these, with no transaction left open.
    pub transactions: u32,
    /// Statements whose end the client is told.
    pub statements: u32,
    /// What has become of settings.
    pub settings: Changed,
}

/// Whether settings are not what they were; the later says more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Changed {
    /// They are.
    #[default]
    Nothing,
    /// What new sessions find may be another.
    OfNewSessions,
    /// The server's are not; and perhaps that as well.
    OfServer,
}
