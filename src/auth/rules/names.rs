//! Names as a rule gives them: themselves, keywords, regular expressions.

use regex::{Regex, RegexBuilder};

use super::{
    lines::{Quoting, Word},
    members::{Fit, Members},
};

/// A compiled regular expression is at most so large, in bytes.
const REGEX_MAX: usize = 1 << 20;

/// The regular expression in a word that begins with a slash, quoted or not.
pub(in crate::auth) fn regex(word: &Word) -> Option<Result<Regex, String>> {
    let pattern = word.text.strip_prefix('/')?;
    let built = RegexBuilder::new(pattern).size_limit(REGEX_MAX).build();
    Some(built.map_err(|error| {
        // The last line says what is wrong; the others draw it.
        let text = error.to_string();
        let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("invalid regular expression \"{pattern}\": {why}")
    }))
}

/// Which databases a rule is for.
#[derive(Clone, Debug)]
pub(super) enum DatabaseName {
    All,
    SameUser,
    /// The one that is called as a role of which the user is a member.
    SameRole,
    Replication,
    Exactly(Box<str>),
    Like(Regex),
}

impl DatabaseName {
    pub(super) fn of(word: &Word) -> Result<Self, String> {
        Ok(match (&*word.text, word.quoting) {
            ("all", Quoting::Bare) => Self::All,
            ("sameuser", Quoting::Bare) => Self::SameUser,
            ("replication", Quoting::Bare) => Self::Replication,
            ("samerole" | "samegroup", Quoting::Bare) => Self::SameRole,
            (text, _) => match regex(word) {
                Some(regex) => Self::Like(regex?),
                None => Self::Exactly(text.into()),
            },
        })
    }

    pub(super) fn fits<'n>(&'n self, database: &'n str, user: &str, members: &Members) -> Fit<'n> {
        match self {
            Self::All => Fit::Yes,
            Self::SameUser => (database == user).into(),
            Self::SameRole => members.fit(database),
            Self::Replication => Fit::No,
            Self::Exactly(name) => (**name == *database).into(),
            Self::Like(regex) => regex.is_match(database).into(),
        }
    }
}

/// Which users a rule is for.
#[derive(Clone, Debug)]
pub(in crate::auth) enum UserName {
    All,
    /// Whoever is a member of this role, directly or not (`+role`).
    MemberOf(Box<str>),
    Exactly(Box<str>),
    Like(Regex),
}

impl UserName {
    pub(in crate::auth) fn of(word: &Word) -> Result<Self, String> {
        Ok(match (&*word.text, word.quoting) {
            ("all", Quoting::Bare) => Self::All,
            (text, Quoting::Bare) if text.starts_with('+') => Self::MemberOf(text[1..].into()),
            (text, _) => match regex(word) {
                Some(regex) => Self::Like(regex?),
                None => Self::Exactly(text.into()),
            },
        })
    }

    pub(in crate::auth) fn fits(&self, user: &str, members: &Members) -> Fit<'_> {
        match self {
            Self::All => Fit::Yes,
            Self::MemberOf(role) => members.fit(role),
            Self::Exactly(name) => (**name == *user).into(),
            Self::Like(regex) => regex.is_match(user).into(),
        }
    }
}
