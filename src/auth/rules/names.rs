//! Names as a rule gives them: themselves, keywords, regular expressions.

use regex::{Regex, RegexBuilder};

use super::lines::{Quoting, Word};

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
            (keyword @ ("samerole" | "samegroup"), Quoting::Bare) => {
                return Err(format!(
                    "\"{keyword}\" depends on memberships in roles, which only the servers know: list databases, or \
                     use \"sameuser\""
                ));
            }
            (text, _) => match regex(word) {
                Some(regex) => Self::Like(regex?),
                None => Self::Exactly(text.into()),
            },
        })
    }

    pub(super) fn matches(&self, database: &str, user: &str) -> bool {
        match self {
            Self::All => true,
            Self::SameUser => database == user,
            Self::Replication => false,
            Self::Exactly(name) => **name == *database,
            Self::Like(regex) => regex.is_match(database),
        }
    }
}

/// Which users a rule is for.
#[derive(Clone, Debug)]
pub(in crate::auth) enum UserName {
    All,
    Exactly(Box<str>),
    Like(Regex),
}

impl UserName {
    pub(in crate::auth) fn of(word: &Word) -> Result<Self, String> {
        Ok(match (&*word.text, word.quoting) {
            ("all", Quoting::Bare) => Self::All,
            (text, Quoting::Bare) if text.starts_with('+') => {
                return Err(format!(
                    "\"{text}\" depends on memberships in roles, which only the servers know: list the users"
                ));
            }
            (text, _) => match regex(word) {
                Some(regex) => Self::Like(regex?),
                None => Self::Exactly(text.into()),
            },
        })
    }

    pub(in crate::auth) fn matches(&self, user: &str) -> bool {
        match self {
            Self::All => true,
            Self::Exactly(name) => **name == *user,
            Self::Like(regex) => regex.is_match(user),
        }
    }
}
