//! Statements made up at random, of all forms that matter.

use pgsteer::sql::touches::{FunctionNames, touches};
use pgsteer_parser_tests::read;
use proptest::prelude::*;

use crate::checked;

/// Forms of statements. Words apart from blanks may be written in any case; `%n` is a name, `%s` that of a setting, `%l` a
/// literal, `%p` the name of a setting as a literal.
const FORMS: &[&str] = &[
    "select 1 from %n as t ( %n )",
    "select %l , ( %l ) :: text , %n . %n",
    "select %n ( %l ) , %n . %n ( $1 ) from %n",
    "select * from %n . %n as %n ( %n ) where %n = any ( array [ %n ( ) ] )",
    "with recursive %n ( %n ) as ( select 1 union all select %n ( ) ) table %n",
    "values ( %n ( ) ) , ( coalesce ( %n ( 1 ) , substring ( %l from 1 for 2 ) ) )",
    "select distinct on ( %n ) %n ( ) from %n order by %n ( ) for share",
    "select count ( * ) filter ( where %n ( ) ) over ( order by %n ) from rows from ( %n ( ) ) as %n",
    "explain ( analyze , costs off ) select %n ( )",
    "explain insert into %n values ( 1 )",
    "copy ( select %n ( ) ) to stdout with ( format csv )",
    "copy %n to stdout",
    "begin read only , isolation level repeatable read",
    "start transaction read only , read write",
    "insert into %n values ( %l ) on conflict do nothing",
    "update %n set %n = %l where current of %n",
    "delete from only %n . %n as %n using %n",
    "merge into %n using %n on true when matched then update set %n = %l",
    "with %n as ( insert into %n default values returning * ) table %n",
    "select * from %n for no key update of %n nowait",
    "begin isolation level serializable , read only",
    "start transaction",
    "commit work and no chain",
    "end",
    "rollback transaction to savepoint %n",
    "rollback and chain",
    "abort",
    "savepoint %n",
    "release savepoint %n",
    "prepare transaction %l",
    "commit prepared %l",
    "rollback prepared %l",
    "set %s = %l",
    "set session %s to %l , %n , - 1.5 , on",
    "set local %s = default",
    "set %s from current",
    "set time zone interval %l hour to minute",
    "set local time zone local",
    "set names %l",
    "set names default",
    "set session names",
    "set schema %l",
    "set role %n",
    "set role %l",
    "set local role none",
    "set session authorization %n",
    "set session session authorization default",
    "set local session authorization %l",
    "set session characteristics as transaction isolation level read committed , read write",
    "set local session characteristics as transaction deferrable",
    "set transaction isolation level repeatable read",
    "set session transaction read only",
    "set transaction snapshot %l",
    "set constraints %n , %n deferred",
    "set xml option document",
    "reset %s",
    "reset all",
    "reset time zone",
    "reset session authorization",
    "reset transaction isolation level",
    "show %s",
    "alter role %n in database %n set %s = %l",
    "alter database %n reset all",
    "alter system set %s to %l",
    "alter function %n ( ) set %s from current",
    "create function %n ( ) returns int language sql set %s = %l as %l",
    "select set_config ( %p , %l , false )",
    "select pg_catalog . set_config ( %p :: text , coalesce ( $1 , %l ) , true )",
    "select set_config ( $1 , $2 , true ) , set_config ( %p , $3 , $4 )",
    "select set_config ( $1 , $2 , false )",
    "update pg_catalog . pg_settings set setting = %l where name = %l",
    "prepare %n as select %l",
    "prepare %n ( int , text ) as insert into %n values ( $1 , $2 )",
    "execute %n",
    "execute %n ( 1 , %l )",
    "deallocate %n",
    "deallocate prepare %n",
    "deallocate all",
    "deallocate prepare all",
    "explain ( analyze , format json ) execute %n ( %l )",
    "explain analyze verbose select %l",
    "explain create table %n as execute %n",
    "create table if not exists %n ( %n , %n ) as execute %n ( 1 ) with no data",
    "create temp table %n on commit drop as execute %n",
    "create local temporary table if not exists %n ( %n int )",
    "create unlogged table %n ( %n text default %l )",
    "create or replace temp view %n as select %l",
    "create temporary recursive view %n ( %n ) as select 1",
    "create temp sequence %n",
    "create table pg_temp . %n ( )",
    "create function pg_temp . %n ( ) returns int language sql as %l",
    "select %l into temp %n",
    "select * into unlogged table %n from %n",
    "with %n as ( select 1 ) select * into local temporary table %n from %n",
    "create trigger %n before insert on %n for each row execute function %n ( )",
    "grant execute on function %n ( ) to %n",
    "declare %n cursor with hold for select %l",
    "declare %n binary insensitive scroll cursor without hold for table %n",
    "declare %n cursor for values ( %l )",
    "explain declare %n cursor with hold for select 1",
    "fetch forward 10 from %n",
    "move absolute - 1 in %n",
    "close %n",
    "close all",
    "discard all",
    "discard temp",
    "listen %n",
    "unlisten *",
    "notify %n , %l",
    "select pg_notify ( %l , $1 )",
    "load %l",
    "drop table if exists %n , %n cascade",
    "drop owned by %n",
    "call %n ( 1 )",
    "copy %n ( %n ) from stdin with ( format csv )",
    "copy ( select %l ) to program %l",
    "select pg_advisory_lock ( 1 ) , pg_advisory_xact_lock ( 2 )",
    "select pg_catalog . pg_try_advisory_lock_shared ( 1 , 2 )",
    "select pg_advisory_unlock_all ( )",
    "select nextval ( %l ) , lastval ( )",
    "select currval ( %l :: regclass ) , setval ( %l , 1 , true )",
    "select setseed ( 0.5 )",
    "select * from pg_prepared_statements , pg_catalog . pg_cursors",
    "lock table only %n in share row exclusive mode nowait",
    "vacuum ( analyze , verbose ) %n ( %n )",
    "comment on column %n . %n is %l",
    "create rule %n as on insert to %n do instead ( delete from %n ; notify %n )",
    "create function %n ( ) returns int begin atomic select %l ; select 2 ; end",
];

/// Between two tokens.
const BLANKS: [&str; 8] = [" ", "\n", " \t\r", "\x0c ", "/* ' */", " --\"x\n", "\n/* /* ; */ $$ */ ", "/**/"];

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "x[A-Za-z0-9_$]{0,6}",
        1 => "X[a-z]{60,70}",
        1 => Just("\"set\"".to_owned()),
        2 => "([a-zA-Z ;'é.$-]|\"\"){1,8}".prop_map(|inner| format!("\"{inner}\"")),
        1 => "[a-z'; ]{1,8}".prop_map(|inner| format!("u&\"{inner}\"")),
    ]
}

fn setting() -> impl Strategy<Value = String> {
    let known = [
        "search_path",
        "Role",
        "SEED",
        "timezone",
        "session_authorization",
        "\"Transaction_Isolation\"",
        "local",
        "session",
        "names",
        "time",
        "xml",
        "schema",
        "transaction",
        "constraints.a",
        "session.authorization_",
        "time.zone",
        "local.x",
        "names.names",
    ];
    prop_oneof![
        prop::sample::select(known.to_vec()).prop_map(str::to_owned),
        prop::collection::vec(name(), 1..4).prop_map(|parts| parts.join(".")),
    ]
}

fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        "([a-z;\" $/*-]|''){0,8}".prop_map(|inner| format!("'{inner}'")),
        r"([a-z;]|''|\\'|\\\\|\\n){0,8}".prop_map(|inner| format!("E'{inner}'")),
        "[a-z;'\" \\\\]{0,8}".prop_map(|inner| format!("$${inner}$$")),
        "[a-z;'\"$ ]{0,8}".prop_map(|inner| format!("$t1${inner}$t1$")),
        "[a-z]{0,3}".prop_map(|inner| format!("'{inner}' -- x\n '{inner}'")),
        "[a-z;]{0,3}".prop_map(|inner| format!("u&'{inner}'")),
    ]
}

/// Every piece a form can be filled with.
fn pieces() -> impl Strategy<Value = Vec<(String, String, String, &'static str, bool)>> {
    let piece = (name(), setting(), literal(), prop::sample::select(BLANKS.to_vec()), any::<bool>());
    prop::collection::vec(piece, 24)
}

fn statement() -> impl Strategy<Value = String> {
    (prop::sample::select(FORMS), pieces()).prop_map(|(form, pieces)| {
        let mut text = String::new();
        for (token, (name, setting, literal, blank, upper)) in form.split(' ').zip(pieces.iter().cycle()) {
            match token {
                "%n" => text += name,
                "%s" => text += setting,
                "%l" => text += literal,
                "%p" => text += &format!("'{}'", setting.replace(['"', '\''], "")),
                _ if *upper => text += &token.to_uppercase(),
                _ => text += token,
            }
            text += blank;
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    /// Not less than the parser sees, and no more either.
    #[test]
    fn statements_touch_what_the_parser_sees(
        statements in prop::collection::vec(statement(), 1..4),
    ) {
        let text = statements.join(";");
        // What nests statements is taken apart.
        if let Some(said) = checked(&text).filter(|said| !said.nests) {
            let read = read(&touches(text.as_bytes(), true, FunctionNames::NONE));
            prop_assert_eq!(read, (said.kinds, said.settings, said.names), "{}", text);
        }
    }

    #[test]
    fn no_arrangement_of_words_is_read_as_less(
        words in prop::collection::vec(prop::sample::select(WORDS), 1..12),
    ) {
        checked(&words.join(" "));
    }
}

/// The forms are statements, nearly always: a generator whose texts are refused would check nothing.
#[test]
fn the_forms_are_sql() {
    for form in FORMS {
        let text = form.replace("%n", "x").replace("%s", "a.b").replace("%l", "'x'").replace("%p", "'a.b'");
        assert!(checked(&text).is_some(), "{text}");
    }
}

/// Words and signs of which some arrangements are SQL.
const WORDS: &[&str] = &[
    "select",
    "1",
    "into",
    "temp",
    "temporary",
    "local",
    "x",
    "from",
    "set",
    "session",
    "=",
    "to",
    "default",
    "role",
    "authorization",
    "execute",
    "as",
    "create",
    "table",
    "(",
    ")",
    ",",
    ";",
    "prepare",
    "deallocate",
    "all",
    "explain",
    "analyze",
    "reset",
    "time",
    "zone",
    "'x'",
    ".",
    "declare",
    "cursor",
    "with",
    "hold",
    "for",
    "set_config",
    "true",
    "update",
    "pg_settings",
    "pg_temp",
    "insert",
    "values",
    "transaction",
    "rollback",
    "begin",
    "commit",
    "view",
];
