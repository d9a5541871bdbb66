//! The kinds of state a session has.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// A set of kinds.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Kinds(u32);

impl Kinds {
    /// None.
    pub const NONE: Self = Self(0);
    /// Settings, those named in [`Touches::settings`](super::Touches::settings). Roles are settings too: `role`,
    /// `session_authorization`.
    pub const SETTINGS: Self = Self(1);
    /// Any setting: one whose name the text does not show.
    pub const EVERY_SETTING: Self = Self(1 << 1);
    /// Statements prepared by SQL: `PREPARE`, `DEALLOCATE`. Names are in
    /// [`Touches::statements`](super::Touches::statements). What stands behind `PREPARE … AS` counts as if it ran.
    pub const PREPARED: Self = Self(1 << 2);
    /// Runs statements prepared before, those named in [`Touches::statements`](super::Touches::statements); what they do is
    /// told by their own texts.
    pub const USES_PREPARED: Self = Self(1 << 3);
    /// Channels listened on: `LISTEN`, `UNLISTEN`; and `pg_listening_channels()`, which reads them.
    pub const LISTENS: Self = Self(1 << 4);
    /// Notifies: `NOTIFY`, `pg_notify`. Touches no state of the session.
    pub const NOTIFIES: Self = Self(1 << 5);
    /// Temporary objects: `CREATE TEMP …`, `SELECT … INTO TEMP`, anything in `pg_temp`.
    pub const TEMP: Self = Self(1 << 6);
    /// Cursors that outlive the transaction: `DECLARE … WITH HOLD`; and `CLOSE`, which may end one.
    pub const CURSORS: Self = Self(1 << 7);
    /// Advisory locks of the session, taken or let go.
    pub const LOCKS: Self = Self(1 << 8);
    /// A library loaded for good: `LOAD`.
    pub const LOADS: Self = Self(1 << 9);
    /// Reads what the session last drew from sequences: `currval`, `lastval`.
    pub const SEQUENCES: Self = Self(1 << 10);
    /// Draws from a sequence by name: `nextval`, `setval`. Inserting into a table may do so without a word of it.
    pub const ADVANCES: Self = Self(1 << 11);
    /// The seed of the session's random numbers: `setseed`, `SET [LOCAL] seed`.
    pub const SEED: Self = Self(1 << 12);
    /// `DISCARD` of any kind.
    pub const DISCARDS: Self = Self(1 << 13);
    /// `DROP` of any kind, which may end temporary objects.
    pub const DROPS: Self = Self(1 << 14);
    /// What only the end of the session takes away, and no query shows: a connection of `dblink`, a base backup being made,
    /// a temporary replication slot, a replication origin.
    pub const BOUND: Self = Self(1 << 15);
    /// Reads what the server says of the session itself: `pg_prepared_statements`, `pg_cursors`, `pg_my_temp_schema()`.
    pub const LOOKS: Self = Self(1 << 16);
    /// `DO` and `CALL`. What the words in them show is told by other kinds; a procedure may do more, as a function may.
    pub const CALLS: Self = Self(1 << 17);
    /// Perhaps anything: a text that was not understood, code that was not seen or is made at run time, a function
    /// named in [`FunctionNames`](super::FunctionNames). Stands for all other kinds too, of which those that were seen are named.
    pub const OPAQUE: Self = Self(1 << 18);
    /// Puts every setting back to what it was at the start: `RESET ALL`.
    pub const RESETS: Self = Self(1 << 19);

    /// What may come without [`Effects::touches_session`](super::super::Effects::touches_session) announcing it. Of these
    /// `DISCARD` (but `DISCARD ALL`), `DROP` and `CLOSE` only matter to a session that has something to lose.
    pub const UNANNOUNCED: Self =
        Self::NOTIFIES.and(Self::ADVANCES).and(Self::DISCARDS).and(Self::DROPS).and(Self::CURSORS);

    /// Each kind with its name for logs and metrics.
    pub const NAMES: [(Self, &'static str); 20] = [
        (Self::SETTINGS, "settings"),
        (Self::EVERY_SETTING, "every_setting"),
        (Self::PREPARED, "prepared"),
        (Self::USES_PREPARED, "uses_prepared"),
        (Self::LISTENS, "listens"),
        (Self::NOTIFIES, "notifies"),
        (Self::TEMP, "temp"),
        (Self::CURSORS, "cursors"),
        (Self::LOCKS, "locks"),
        (Self::LOADS, "loads"),
        (Self::SEQUENCES, "sequences"),
        (Self::ADVANCES, "advances"),
        (Self::SEED, "seed"),
        (Self::DISCARDS, "discards"),
        (Self::DROPS, "drops"),
        (Self::BOUND, "bound"),
        (Self::LOOKS, "looks"),
        (Self::CALLS, "calls"),
        (Self::OPAQUE, "opaque"),
        (Self::RESETS, "resets"),
    ];

    /// Both sets together, also in constants.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of this set that are not in `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `others` are in this set.
    pub const fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Whether any of `others` is in this set.
    pub const fn has_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in this set one by one.
    pub fn each(self) -> impl Iterator<Item = Self> {
        Self::NAMES.iter().map(|(kind, _)| *kind).filter(move |kind| self.has(*kind))
    }

    /// The names of those in this set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(kind, _)| self.has(*kind)).map(|(_, name)| *name)
    }
}

impl BitOr for Kinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.and(other)
    }
}

impl BitOrAssign for Kinds {
    fn bitor_assign(&mut self, other: Self) {
        *self = self.and(other);
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(" "))
    }
}
