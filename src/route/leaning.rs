//! What somebody wants of a listener that splits: replicas, the leader, or as each statement says (`split_route`,
//! `pgsteer.route`).

/// What a client, its user or its database wants (`pgsteer.route`, `split_route`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leaning {
    /// As the statements say.
    #[default]
    Auto,
    /// Replicas for whatever does not say that it writes, functions or not.
    Read,
    /// The leader for everything.
    Write,
}

impl Leaning {
    /// By its word, in any case.
    pub fn of(word: &[u8]) -> Option<Self> {
        const WORDS: [(&[u8], Leaning); 3] =
            [(b"auto", Leaning::Auto), (b"read", Leaning::Read), (b"write", Leaning::Write)];
        WORDS.iter().find(|(known, _)| word.eq_ignore_ascii_case(known)).map(|(_, leaning)| *leaning)
    }
}
