//! Statements that change what PostgreSQL settles when a session begins: who may log in, and with which settings it starts.
//!
//! Sessions that are there stay as they are, so what was learnt from them no longer tells what a new one finds.

use super::{
    lexer::{Lexer, Token},
    touches::name,
};

/// Sessions begin otherwise from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// Whose.
    pub of: Whose,
    /// What they find.
    pub what: Matter,
}

/// Whose sessions begin otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// All of one server, which has read its configuration again.
    Server,
    /// All of a cluster, perhaps.
    Everybody,
    /// Those of this user.
    User(Box<[u8]>),
    /// Those with this database.
    Database(Box<[u8]>),
}

/// What of a session's beginning is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matter {
    /// Who may log in.
    Admission,
    /// What a session has that is admitted.
    Settings,
}

impl Unsettled {
    /// What a text does beyond what it does to the schema; `None`: nothing.
    pub fn by(text: &[u8]) -> Option<Self> {
        let mut tokens = Lexer::new(text, true);
        let (mut found, mut begins) = (None, true);
        while let Some(token) = tokens.next() {
            let more = match token {
                _ if begins => statement(token, tokens.clone()),
                _ if name(token, &tokens).is_some_and(|name| name == b"pg_reload_conf") => {
                    Some(Self { of: Whose::Server, what: Matter::Settings })
                }
                _ => None,
            };
            begins = token == Token::Symbol(b';');
            found = join(found, more);
        }
        found
    }

    /// This and another.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let of = if self.of == other.of { self.of } else { Whose::Everybody };
        let what = if self.what == other.what { self.what } else { Matter::Settings };
        Self { of, what }
    }
}

fn join(one: Option<Unsettled>, other: Option<Unsettled>) -> Option<Unsettled> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.and(other)),
        (one, other) => one.or(other),
    }
}

/// What one statement does; `rest` stands behind its first word.
fn statement(first: Token<'_>, rest: Lexer<'_>) -> Option<Unsettled> {
    let mut words = rest.take_while(|token| *token != Token::Symbol(b';')).collect::<Vec<_>>().into_iter();
    match first {
        first if first.is_word("alter") || first.is_word("drop") => {
            let kind = words.next()?;
            let what = matter(words.clone());
            if ["role", "user", "group"].iter().any(|word| kind.is_word(word)) {
                let user = named(words)?;
                return Some(Unsettled { of: user.map_or(Whose::Everybody, Whose::User), what });
            }
            let of = kind.is_word("database").then(|| named(words)).flatten()?;
            Some(Unsettled { of: of.map_or(Whose::Everybody, Whose::Database), what })
        }
        first if first.is_word("grant") || first.is_word("revoke") => {
            words.find(|word| word.is_word("on"))?;
            let of =
                words.next().is_some_and(|kind| kind.is_word("database")).then(|| named(words)).flatten()?;
            let of = of.map_or(Whose::Everybody, Whose::Database);
            Some(Unsettled { of, what: Matter::Admission })
        }
        _ => None,
    }
}

/// Whether it is about what a session has, not only about who may have one.
fn matter<'a>(mut words: impl Iterator<Item = Token<'a>>) -> Matter {
    const SETTINGS: [&str; 4] = ["set", "reset", "superuser", "nosuperuser"];
    let is_one = |token: Token<'_>| SETTINGS.iter().any(|word| token.is_word(word));
    if words.any(is_one) { Matter::Settings } else { Matter::Admission }
}

/// The one name that stands here; `Some(None)`: whose it is cannot be told from the text. `None`: it is about something else.
fn named<'a>(mut words: impl Iterator<Item = Token<'a>>) -> Option<Option<Box<[u8]>>> {
    /// Words that stand for a user, or for all.
    const ANYBODY: [&str; 5] = ["all", "current_user", "current_role", "session_user", "user"];
    let mut first = words.next()?;
    if first.is_word("mapping") {
        return None;
    }
    if first.is_word("if") {
        first = words.nth(1)?;
    }
    let several = words.next() == Some(Token::Symbol(b','));
    let meant = ANYBODY.iter().any(|word| first.is_word(word));
    // What stands behind the name could only tell how it is escaped.
    let name = name(first, &Lexer::new(b"", true)).filter(|_| !several && !meant);
    Some(name.map(Vec::into_boxed_slice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_meant_and_by_what() {
        let user = |name: &str| Whose::User(name.as_bytes().into());
        let database = |name: &str| Whose::Database(name.as_bytes().into());
        use Matter::{Admission, Settings};
        use Whose::{Everybody, Server};
        for (text, expected) in [
            ("ALTER ROLE Bob SET work_mem = '1MB'", Some((user("bob"), Settings))),
            ("alter user \"Bob\" in database d reset all", Some((user("Bob"), Settings))),
            ("ALTER ROLE bob SUPERUSER", Some((user("bob"), Settings))),
            ("ALTER ROLE bob NOLOGIN", Some((user("bob"), Admission))),
            ("ALTER ROLE bob PASSWORD 'set'", Some((user("bob"), Admission))),
            ("ALTER ROLE ALL SET work_mem = '1MB'", Some((Everybody, Settings))),
            ("ALTER ROLE CURRENT_USER RESET work_mem", Some((Everybody, Settings))),
            ("DROP ROLE IF EXISTS bob", Some((user("bob"), Admission))),
            ("DROP USER a, b", Some((Everybody, Admission))),
            ("ALTER DATABASE d SET datestyle = german", Some((database("d"), Settings))),
            ("ALTER DATABASE d ALLOW_CONNECTIONS false", Some((database("d"), Admission))),
            ("DROP DATABASE d WITH (FORCE)", Some((database("d"), Admission))),
            ("REVOKE CONNECT ON DATABASE d FROM PUBLIC", Some((database("d"), Admission))),
            ("GRANT ALL ON DATABASE c, d TO bob", Some((Everybody, Admission))),
            ("select pg_catalog.pg_reload_conf()", Some((Server, Settings))),
            ("SELECT \"pg_reload_conf\"()", Some((Server, Settings))),
            ("alter role a nologin; alter role a set x.y = 1; commit", Some((user("a"), Settings))),
            ("alter role a nologin; select pg_reload_conf()", Some((Everybody, Settings))),
            ("ALTER SYSTEM SET datestyle = german", None),
            ("ALTER TABLE role SET (fillfactor = 70)", None),
            ("ALTER USER MAPPING FOR bob SERVER s OPTIONS (SET password 'x')", None),
            ("GRANT SELECT ON t TO bob", None),
            ("GRANT a TO bob", None),
            ("select 'pg_reload_conf'", None),
            ("create table alter_role()", None),
            ("ALTER", None),
            ("", None),
        ] {
            let expected = expected.map(|(of, what)| Unsettled { of, what });
            assert_eq!(Unsettled::by(text.as_bytes()), expected, "{text}");
        }
    }
}
