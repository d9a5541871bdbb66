//! The set of yes/no answers inside [`Effects`](super::Effects).

use std::ops::{BitOr, BitOrAssign};

/// A set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Flags(u32);

impl Flags {
    pub(super) const NONE: Self = Self(0);
    pub(super) const MAY_COMMIT: Self = Self(1);
    pub(super) const FOLLOWED: Self = Self(1 << 1);
    pub(super) const DIRTY: Self = Self(1 << 2);
    pub(super) const READS_SESSION: Self = Self(1 << 3);
    pub(super) const DISCARDS_ALL: Self = Self(1 << 4);
    pub(super) const DEALLOCATES_ALL: Self = Self(1 << 5);
    pub(super) const RESETS: Self = Self(1 << 6);
    pub(super) const PARSED_ALONE: Self = Self(1 << 7);
    pub(super) const UNLOCKS_WRITES: Self = Self(1 << 8);
    pub(super) const NOT_UNDERSTOOD: Self = Self(1 << 9);
    /// Used while one statement is scanned, never in a result: it contains the word `UPDATE`.
    pub(super) const UPDATES: Self = Self(1 << 10);
    /// Likewise: it names the view `pg_settings`.
    pub(super) const NAMES_SETTINGS: Self = Self(1 << 11);
    /// May change what names and operators mean, for every session: `CREATE`, `ALTER`, `DROP`, `SELECT … INTO`, …
    pub(super) const SCHEMA: Self = Self(1 << 12);
    /// Begins as what the planner plans does: `SELECT`, `INSERT`, …
    pub(super) const PLANNED: Self = Self(1 << 13);
    /// May change a setting up to the end of the transaction: `SET LOCAL`, `set_config(…, true)`.
    pub(super) const SETS_LOCALLY: Self = Self(1 << 14);
    /// `COPY … FROM STDIN`.
    pub(super) const COPIES_IN: Self = Self(1 << 15);
    /// Does more than look: changes data, notifies, draws from a sequence, runs code.
    pub(super) const ACTS: Self = Self(1 << 16);

    /// Begins with `INSERT`, `UPDATE`, `DELETE` or `MERGE`.
    pub(super) const CHANGES: Self = Self(1 << 17);
    /// Of what changes the schema: may bring something that a name has not meant before.
    pub(super) const NEW_MEANINGS: Self = Self(1 << 18);

    /// Runs code that cannot be seen.
    pub(super) const UNSEEN_CODE: Self =
        Self::DIRTY.and(Self::UNLOCKS_WRITES).and(Self::READS_SESSION).and(Self::ACTS);
    /// Every danger there is. Says nothing about what the text certainly does (discard, deallocate, reset).
    pub(super) const OPAQUE: Self = Self::UNSEEN_CODE
        .and(Self::MAY_COMMIT)
        .and(Self::PARSED_ALONE)
        .and(Self::NOT_UNDERSTOOD)
        .and(Self::SCHEMA)
        .and(Self::NEW_MEANINGS)
        .and(Self::SETS_LOCALLY)
        .and(Self::COPIES_IN);

    /// The names shown in debug output: of what stays behind in the session.
    pub(super) const NAMES: [(Self, &'static str); 10] = [
        (Self::MAY_COMMIT, "may_commit"),
        (Self::FOLLOWED, "followed"),
        (Self::DIRTY, "dirty"),
        (Self::READS_SESSION, "reads_session"),
        (Self::DISCARDS_ALL, "discards_all"),
        (Self::DEALLOCATES_ALL, "deallocates_all"),
        (Self::RESETS, "resets"),
        (Self::PARSED_ALONE, "parsed_alone"),
        (Self::UNLOCKS_WRITES, "unlocks_writes"),
        (Self::NOT_UNDERSTOOD, "not_understood"),
    ];

    /// Both sets together, also in constants.
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `others` are set.
    pub(super) const fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// The same without `others`.
    pub(super) const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether any of `others` is set.
    pub(super) const fn has_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Whether nothing else is set than `others`.
    pub(super) const fn has_no_more_than(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }

    /// At the end of a statement: what the flags used while scanning add up to.
    ///
    /// `UPDATE pg_settings` is `set_config` by another name (a rule on the view).
    pub(super) const fn concluded(self) -> Self {
        const SCANNING: Flags = Flags::UPDATES.and(Flags::NAMES_SETTINGS);
        let changes_settings = self.has(SCANNING);
        let kept = self.without(SCANNING);
        if changes_settings { kept.and(Self::DIRTY).and(Self::UNLOCKS_WRITES) } else { kept }
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.and(other)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        *self = self.and(other);
    }
}
