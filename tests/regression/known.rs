//! The files that come out differently through pgsteer, and why.

/// Name and reason. Whether they differ depends on which server a session gets, so that they may pass, too.
pub(crate) const DIFFERENT: [(&str, &str); 5] = [
    ("guc", "sets an option of plpgsql before plpgsql is loaded; a server that was used has it loaded"),
    ("temp", "a backend refuses PREPARE TRANSACTION only when it has never used its temporary schema before"),
    (
        "stats",
        "reads counters that a backend has not reported yet, and counts a new session of psql as one more",
    ),
    (
        "sequence",
        "asks currval between transactions; a server that others have used since refuses it the first time",
    ),
    ("triggers", "calls C functions that keep variables in their backend, which no statement shows"),
];

/// The same in session mode.
pub(crate) const DIFFERENT_IN_SESSION_MODE: [(&str, &str); 3] = [
    ("guc", "sets an option of plpgsql before plpgsql is loaded; a server that was used has it loaded"),
    ("temp", "a backend refuses PREPARE TRANSACTION only when it has never used its temporary schema before"),
    ("stats", "counts a new session of psql as one more"),
];
