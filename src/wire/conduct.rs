//! What running a statement may do, as far as pooling must know; and what work that was not answered comes to.

use crate::wire::schema::Change;

/// What running a statement may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Conduct {
    /// What it does to a transaction block.
    pub block: Block,
    /// What it leaves in its session.
    pub residue: Residue,
    /// What it does to the settings that follow a client.
    pub followed: Followed,
    /// Whether what is parsed behind it may mean something else.
    pub parsing: Parsing,
    /// Whether it may take data from the client.
    pub copying: Copying,
    /// Whether it does more than look.
    pub acting: Acting,
}

impl Conduct {
    /// Of a statement whose text is not at hand; what it leaves behind was noted when it was.
    pub const UNSEEN: Self = Self {
        block: Block::MayCommit,
        residue: Residue::None,
        followed: Followed::Changed,
        parsing: Parsing::Kept,
        copying: Copying::In,
        acting: Acting::Perhaps,
    };

    /// Of a statement that leaves nothing behind, of which no more is known.
    pub const HARMLESS: Self = Self {
        block: Block::MayCommit,
        residue: Residue::None,
        followed: Followed::Kept,
        parsing: Parsing::Kept,
        copying: Copying::No,
        acting: Acting::Perhaps,
    };

    /// Whether it matters in which portal it is.
    pub const fn must_be_told_apart(self) -> bool {
        self.must_be_awaited() || matches!(self.copying, Copying::In)
    }

    /// Whether what comes behind it cannot be judged before the server has said what became of it.
    pub const fn must_be_awaited(self) -> bool {
        !matches!(self.followed, Followed::Kept)
            || matches!(self.residue, Residue::Discards | Residue::DirtAndDiscards)
    }
}

/// What a statement does to a transaction block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Block {
    /// Nothing: inside a block it stays inside.
    #[default]
    Stays,
    /// Begins one, and does nothing else.
    Begins,
    /// Rolls the block back, and does nothing else.
    RollsBack,
    /// Commits, and does nothing else: a failed block is rolled back.
    Commits,
    /// May commit: CALL, several statements, or not known.
    MayCommit,
}

/// Whether a statement takes data from the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Copying {
    /// No.
    #[default]
    No,
    /// Perhaps: `COPY … FROM STDIN`. Whether a Sync behind it is one depends on how far it gets.
    In,
}

/// Whether a statement does more than look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Acting {
    /// No, as far as its text shows.
    #[default]
    No,
    /// It may change data, notify others, draw from a sequence, run code.
    Perhaps,
    /// It is an `INSERT`, `UPDATE`, `DELETE` or `MERGE`, and nothing else is to be said of it.
    Changes,
}

/// What a statement does to the parsing of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Parsing {
    /// Nothing.
    #[default]
    Kept,
    /// It may set something up to the end of its transaction.
    ChangedHere,
    /// It may change the schema: at once for its transaction, for all when that is committed.
    ChangedForAll(Change),
}

/// What a text is to the parser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// One statement of those that are planned. What such a one yields is settled when it is parsed: where a change of the
    /// schema makes it yield something else, it is refused (0A000).
    Planned,
    /// `EXECUTE`: it yields what the statement yields that it runs, and is described as that.
    Runs,
    /// Anything else.
    #[default]
    Other,
}

/// What a statement leaves in its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Residue {
    /// Nothing, or what the server reports.
    #[default]
    None,
    /// State that the server does not report, or it depends on such state: what kind, its text says.
    Dirt,
    /// Statements or the whole session are discarded (`DEALLOCATE ALL`, `DISCARD ALL`); the command tag tells.
    Discards,
    /// The same, beside a statement that leaves state.
    DirtAndDiscards,
}

/// What a statement does to the settings that follow a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Followed {
    /// Nothing.
    #[default]
    Kept,
    /// It may change some; the server reports which.
    Changed,
    /// It puts these back to what they were at the start: a bit for each place among those that are tracked.
    Reset(u8),
}

/// What a cut-off would leave open: the transaction status, followed through work that was not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Nothing that ran, or may yet run, can have been committed; the transaction is in this state.
    Safe(TransactionStatus),
    /// Outside a block something ran that the next Sync commits.
    Implicit,
    /// Something may have been committed, or may yet be.
    Open,
}

/// A message that can change the outlook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Query.
    Query(Block),
    /// Execute.
    Execute(Block),
    /// FunctionCall.
    FunctionCall,
    /// Sync.
    Sync,
}

impl Outlook {
    /// Nothing ran, and no block is open.
    pub const START: Self = Self::Safe(TransactionStatus::Idle);

    /// After one more message.
    #[must_use]
    pub const fn after(self, step: Step) -> Self {
        use TransactionStatus::{Failed, Idle, InBlock};
        match (self, step) {
            (Self::Open, _)
            | (Self::Implicit, Step::Sync | Step::FunctionCall | Step::Query(_))
            | (Self::Safe(Idle), Step::FunctionCall) => Self::Open,
            (Self::Safe(_), Step::Sync | Step::FunctionCall) => self,
            // What commits by itself does so in the middle of a sequence, too.
            (Self::Implicit, Step::Execute(Block::MayCommit | Block::Commits)) => Self::Open,
            (Self::Implicit, Step::Execute(_)) => self,
            (Self::Safe(status), Step::Query(block) | Step::Execute(block)) => match (status, block) {
                (Idle, Block::Begins) => Self::Safe(InBlock),
                (Idle, Block::MayCommit) => Self::Open,
                (Idle, _) => match step {
                    Step::Execute(_) => Self::Implicit,
                    _ => Self::Open,
                },
                (InBlock, Block::Commits | Block::MayCommit) | (Failed, Block::MayCommit) => Self::Open,
                (InBlock | Failed, Block::RollsBack) | (Failed, Block::Commits) => Self::Safe(Idle),
                // In a failed block it may be ROLLBACK TO SAVEPOINT.
                (Failed | InBlock, Block::Stays | Block::Begins) => Self::Safe(InBlock),
            },
        }
    }

    /// The same on a server that was in recovery when it said that a block is open: that block was begun read-only, and stays so
    /// (documentation, "Hot Standby"). What comes behind it may meet a server that was promoted meanwhile.
    #[must_use]
    pub const fn after_on_standby(self, step: Step) -> Self {
        match (self, step) {
            (
                Self::Safe(TransactionStatus::InBlock),
                Step::Query(Block::Commits) | Step::Execute(Block::Commits),
            ) => Self::START,
            _ => self.after(step),
        }
    }

    /// After an error that makes the server skip to Sync: the block, or what ran without one, is rolled back.
    #[must_use]
    pub const fn after_error(self) -> Self {
        match self {
            Self::Open => Self::Open,
            Self::Implicit | Self::Safe(TransactionStatus::Idle) => Self::START,
            Self::Safe(_) => Self::Safe(TransactionStatus::Failed),
        }
    }

    /// Whether something may have been committed, or may yet be.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Implicit | Self::Open)
    }
}

/// The transaction status that ReadyForQuery reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransactionStatus {
    /// `I`: not in a transaction block.
    #[default]
    Idle,
    /// `T`: in a block.
    InBlock,
    /// `E`: in a failed block.
    Failed,
}

impl TransactionStatus {
    /// The status byte of ReadyForQuery.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::InBlock => b'T',
            Self::Failed => b'E',
        }
    }

    /// What a status byte of ReadyForQuery means.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::InBlock),
            b'E' => Some(Self::Failed),
            _ => None,
        }
    }
}

impl Default for Outlook {
    fn default() -> Self {
        Self::START
    }
}
