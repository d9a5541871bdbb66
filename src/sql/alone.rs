//! Which database a statement needs to itself: the server refuses it while anybody else is connected to that (55006).

use super::{
    lexer::{Lexer, Literal, Token},
    touches::{name, undoubled},
};

/// A database that a statement needs to itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alone {
    /// Its name, as the server folds it.
    pub database: Box<[u8]>,
    /// What becomes of others there.
    pub others: Others,
}

/// What becomes of others who are connected to a database that a statement needs to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// The server waits five seconds for them to leave, and refuses the statement if they do not.
    AwaitedToLeave,
    /// The server ends their sessions.
    SentAway,
}

/// What a new database is copied from where nothing else is said.
const DEFAULT_TEMPLATE: &[u8] = b"template1";

/// Reads a whole text, under the same conditions as [`classify`](super::classify): `DROP DATABASE`, `ALTER DATABASE …
/// RENAME` and `… SET TABLESPACE`, `CREATE DATABASE`, which needs its template. None of them runs together with other
/// statements, so that only the first one of the text counts. `None` too where the name cannot be told from the text.
pub fn alone(text: &[u8], standard_conforming_strings: bool) -> Option<Alone> {
    let mut tokens = Lexer::new(text, standard_conforming_strings);
    let command = tokens.find(|token| *token != Token::Symbol(b';'))?;
    if !tokens.next()?.is_word("database") {
        return None;
    }
    let awaited = |database: Vec<u8>| Alone { database: database.into(), others: Others::AwaitedToLeave };
    if command.is_word("drop") {
        return dropped(tokens);
    }
    let first = tokens.next()?;
    if command.is_word("alter") {
        let (verb, what) = (tokens.next()?, tokens.next()?);
        // SET tablespace.x = 1 is a setting.
        let moves = verb.is_word("set") && what.is_word("tablespace") && is_name(tokens.clone().next());
        let renames = verb.is_word("rename") && what.is_word("to");
        return (moves || renames).then(|| name(first, &tokens).map(awaited)).flatten();
    }
    command.is_word("create").then(|| template(tokens).map(awaited)).flatten()
}

fn is_name(token: Option<Token<'_>>) -> bool {
    let is_quoted = matches!(token, Some(Token::Quoted(_) | Token::Encoded(_)));
    is_quoted || token.is_some_and(|token| matches!(token, Token::Word(_)) && !token.is_word("to"))
}

/// `DROP DATABASE [IF EXISTS] name [[WITH] (FORCE)]`.
fn dropped(mut tokens: Lexer<'_>) -> Option<Alone> {
    let mut first = tokens.next()?;
    let mut behind = tokens.clone();
    if first.is_word("if") && behind.next().is_some_and(|next| next.is_word("exists")) {
        tokens = behind;
        first = tokens.next()?;
    }
    let database = name(first, &tokens)?.into();
    let forced = tokens.any(|token| token.is_word("force"));
    Some(Alone { database, others: if forced { Others::SentAway } else { Others::AwaitedToLeave } })
}

/// The template among the options of a new database: `[WITH] [option [=] value …]`. The last one counts.
fn template(mut tokens: Lexer<'_>) -> Option<Vec<u8>> {
    let mut template = Some(DEFAULT_TEMPLATE.to_vec());
    while let Some(option) = tokens.next().filter(|token| *token != Token::Symbol(b';')) {
        if option.is_word("with") {
            continue;
        }
        let mut value = tokens.next()?;
        if option.is_word("connection") && value.is_word("limit") {
            value = tokens.next()?;
        }
        while matches!(value, Token::Symbol(b'=' | b'-' | b'+')) {
            value = tokens.next()?;
        }
        if option.is_word("template") {
            template = match value {
                value if value.is_word("default") => Some(DEFAULT_TEMPLATE.to_vec()),
                Token::Literal(Literal::Plain(text)) => Some(undoubled(text, b'\'')),
                value => name(value, &tokens),
            };
        }
    }
    template
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_which_database_is_needed() {
        let check = |text: &str, expected: Option<(&str, Others)>| {
            let expected =
                expected.map(|(database, others)| Alone { database: database.as_bytes().into(), others });
            assert_eq!(alone(text.as_bytes(), true), expected, "{text}");
        };
        let waits = |database| Some((database, Others::AwaitedToLeave));
        let sends = |database| Some((database, Others::SentAway));
        check("drop database D", waits("d"));
        check("-- it goes\nDROP DATABASE IF EXISTS \"My \"\"D\";", waits("My \"D"));
        check("drop database if", waits("if"));
        check("drop database u&\"x\" ", waits("x"));
        check("drop database u&\"\\0041\"", None);
        check("drop database d with (force)", sends("d"));
        check("drop database if exists d(FORCE)", sends("d"));
        check("drop database force", waits("force"));
        check(";; drop database d", waits("d"));
        check("drop table d", None);
        check("drop database", None);
        check("alter database d rename to e", waits("d"));
        check("ALTER DATABASE \"D\" SET TABLESPACE t", waits("D"));
        check("alter database d set work_mem = 1", None);
        check("alter database d set tablespace.x = 1", None);
        check("alter database d set tablespace to 1", None);
        check("alter database d owner to o", None);
        check("create database d", waits("template1"));
        check("create database template", waits("template1"));
        check("create database d template x", waits("x"));
        check("create database d with owner template template = X encoding 'utf8';", waits("x"));
        check("create database d connection limit = -1 template 'It''s' owner = o", waits("It's"));
        check("create database d strategy file_copy oid = 9 template default", waits("template1"));
        check("create database d template x; drop database e", waits("x"));
        check("create table d ()", None);
        check("select 1; drop database d", None);
    }
}
