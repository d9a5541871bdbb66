//! What texts touch, one by one.

use super::*;

/// Kinds, then settings behind a colon, then statements behind another.
fn shown(touches: &Touches) -> String {
    let listed = |names: &[Box<[u8]>]| {
        names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>().join(",")
    };
    let mut shown = format!("{:?}", touches.kinds);
    if !touches.settings.is_empty() {
        shown += &format!(": {}", listed(&touches.settings));
    }
    if !touches.statements.is_empty() {
        shown += &format!(" / {}", listed(&touches.statements));
    }
    shown
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(shown(&touches(text.as_bytes(), true, FunctionNames::NONE)), *expected, "{text:?}");
    }
}

#[test]
fn most_texts_touch_nothing() {
    let texts = [
        "",
        ";; -- set a = 1",
        "select 1",
        "select 'set a = 1', $$listen x$$, \"set\", set, temp from local",
        "insert into temp values (1)",
        "merge into temp using t on true when matched then update set a = 1",
        "with x as (insert into temp select 1 returning *) select * from x",
        "update t set search_path = 'x' where role = 1",
        "select name, setting from pg_settings",
        "alter role x set search_path = y",
        "alter database d reset all",
        "alter system set work_mem = '1MB'",
        "create function f() returns int language sql set search_path = x as 'select pg_advisory_lock(1)'",
        "create table t (temp int, execute_at int)",
        "create trigger t before insert on x for each row execute function f()",
        "create unlogged table t as select 1 execute",
        "create view v as select temp from t",
        "declare c cursor for select 1",
        "declare c cursor without hold for select 1",
        "declare cursor binary no scroll cursor for select 1",
        "fetch all from c",
        "select pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(2)",
        "begin; savepoint a; rollback to a; commit",
        "prepare transaction 'x'",
        "commit prepared 'x'",
        "grant execute on function f() to x",
        "explain select 1",
        "explain (analyze, verbose) insert into t values (1)",
        "copy t from stdin",
        "vacuum (analyze) t",
        "select e'\\x41', x'10', u&'\\0041'",
    ];
    for text in texts {
        assert_eq!(shown(&touches(text.as_bytes(), true, FunctionNames::NONE)), "", "{text:?}");
    }
}

#[test]
fn set_names_what_outlasts_the_transaction() {
    check(&[
        ("set search_path to a, b", "settings: search_path"),
        ("SET SESSION Statement_Timeout = 0;", "settings: statement_timeout"),
        ("set \"App\".\"User\" = 'x'", "settings: app.user"),
        ("set app . user . name to default", "settings: app.user.name"),
        ("set timezone from current", "settings: timezone"),
        ("set/**/a.b--x\n=1; set a.B = 2; set c = 3", "settings: a.b,c"),
        ("set time zone 'UTC'", "settings: timezone"),
        ("set session time zone interval '1' hour", "settings: timezone"),
        ("set names", "settings: client_encoding"),
        ("set names 'latin1'", "settings: client_encoding"),
        ("set schema 'x'", "settings: search_path"),
        ("set role x", "settings: role"),
        ("set session role none", "settings: role"),
        ("set role = 'x'", "settings: role"),
        ("set session authorization x", "settings: session_authorization,role"),
        ("set session session authorization default", "settings: session_authorization,role"),
        ("set session_authorization to 'x'", "settings: session_authorization,role"),
        (
            "set session characteristics as transaction read only",
            "settings: default_transaction_isolation,default_transaction_read_only,default_transaction_deferrable",
        ),
        ("set xml option document", "settings: xmloption"),
        ("set seed to 0.5", "seed"),
        ("set local.x = 1", "settings: local.x"),
        ("set local to 1", "settings: local"),
        ("set session.x = 1", "settings: session.x"),
        ("set session session.x = 1", "settings: session.x"),
        ("set time = 1", "settings: time"),
        ("set role.x = 1", "settings: role.x"),
        ("set U&\"App\".x = 1", "settings: app.x"),
        // Cut as the server cuts it.
        (&format!("set {}.x = 1", "a".repeat(70)), &format!("settings: {}.x", "a".repeat(63))),
        // Not to be read off the text.
        ("set U&\"a\\0062\" = 1", "every_setting opaque"),
        ("set U&\"a!0062\" uescape '!' = 1", "every_setting opaque"),
        ("set \u{e9} = 1", "every_setting"),
        ("set \"\u{e9}\" = 1", "settings: \u{e9}"),
        ("set catalog 'x'", "every_setting"),
        ("set session", "every_setting"),
        ("set", "every_setting"),
        ("set a.b", "every_setting"),
        ("set 'x' = 1", "every_setting"),
    ]);
}

#[test]
fn set_local_touches_nothing() {
    check(&[
        ("set local search_path to a", ""),
        ("set local session authorization x", ""),
        ("set local role x", ""),
        ("set local app.x = 1", ""),
        ("set local time zone 'UTC'", ""),
        ("set local \u{e9} = 1", ""),
        ("set transaction isolation level serializable", ""),
        ("set session transaction read only", ""),
        ("set transaction_isolation = 'serializable'", ""),
        ("set transaction snapshot 'x'", ""),
        ("set constraints all deferred", ""),
        ("set local", ""),
        // Nothing brings the old one back.
        ("set local seed = 0.5", "seed"),
        ("select set_config('seed', '0.5', true)", "seed"),
    ]);
}

#[test]
fn reset_names_settings() {
    check(&[
        ("reset search_path", "settings: search_path"),
        ("RESET \"App\".x;", "settings: app.x"),
        ("reset all", "resets"),
        ("reset \"all\"", "settings: all"),
        ("reset role", "settings: role"),
        ("reset session authorization", "settings: session_authorization,role"),
        ("reset session.x", "settings: session.x"),
        ("reset time zone", "settings: timezone"),
        ("reset transaction isolation level", ""),
        ("reset seed", "seed"),
        ("reset", "every_setting"),
    ]);
}

#[test]
fn set_config_is_set_by_another_name() {
    check(&[
        ("select set_config('app.User', $1, false)", "settings: app.user"),
        ("select pg_catalog.\"set_config\"('app.user'::text, x || '', f)", "settings: app.user"),
        ("select SET_CONFIG ( $$a.b$$ , (select 'x', 1), $3)", "settings: a.b"),
        ("select set_config(E'a.b', 'x', false), set_config('c''d', '', false)", "settings: a.b,c'd"),
        ("select set_config('a.b', 'x', true)", ""),
        ("select set_config($1, $2, true), set_config('a.' || b, f(x, 1), true)", ""),
        ("select set_config('a', 'x', true), set_config('b', 'x', false)", "settings: b"),
        ("select set_config('session_authorization', 'x', false)", "settings: session_authorization,role"),
        ("select set_config($1, 'x', false)", "every_setting"),
        ("select set_config('a' || b, 'x', false)", "every_setting"),
        ("select set_config('a'::name, 'x', false)", "every_setting"),
        ("select set_config('a'\n'b', 'x', false)", "every_setting"),
        ("select set_config(E'\\x41', 'x', false)", "every_setting"),
        ("select set_config(is_local => true, setting_name => 'a', new_value => 'b')", "every_setting"),
        ("select set_config(setting_name => 'a', new_value => 'b', is_local => true)", "every_setting"),
        ("select set_config", "every_setting"),
        ("select set_config('a', 'x', not true)", "settings: a"),
        ("select set_config('a', 'x', 'true')", "settings: a"),
        ("update pg_settings set setting = 'x' where name = 'y'", "every_setting"),
        (
            "with x as (update pg_catalog.\"pg_settings\" set setting = 1 returning *) table x",
            "every_setting",
        ),
        ("select * from pg_settings for update", "every_setting"),
        ("update t set a = 1; select * from pg_settings", ""),
        ("select set_limit(0.5)", "every_setting"),
    ]);
}

#[test]
fn statements_prepared_by_sql_are_named() {
    check(&[
        ("prepare p as select 1", "prepared / p"),
        ("prepare P (int, text) as select pg_advisory_lock($1)", "prepared locks / p"),
        ("prepare transaction as select 1", "prepared / transaction"),
        ("prepare \"P\"\"q\" as select 1", "prepared / P\"q"),
        ("execute p(1)", "uses_prepared / p"),
        ("EXECUTE P; execute \"P\"; execute p", "uses_prepared / p,P"),
        ("execute U&\"p\"", "uses_prepared / p"),
        (&format!("execute {}", "p".repeat(64)), &format!("uses_prepared / {}", "p".repeat(63))),
        ("execute U&\"\\0070\"", "uses_prepared opaque"),
        ("execute \u{e9}", "uses_prepared opaque"),
        ("execute", "uses_prepared opaque"),
        ("explain execute p", "uses_prepared / p"),
        ("explain (analyze, costs off) execute p (1, 2)", "uses_prepared / p"),
        ("explain analyze create temp table t as execute p", "uses_prepared temp / p"),
        ("create table t as execute p", "uses_prepared / p"),
        ("create unlogged table if not exists t (a, b) with (x = 1) as execute p(1)", "uses_prepared / p"),
        ("create table as_ as execute \"as\"", "uses_prepared / as"),
        ("deallocate p", "prepared / p"),
        ("deallocate prepare P", "prepared / p"),
        ("deallocate prepare", "prepared / prepare"),
        ("deallocate all", "prepared"),
        ("deallocate prepare all", "prepared"),
        ("deallocate \"all\"", "prepared / all"),
        ("select * from pg_prepared_statements", "looks"),
    ]);
}

#[test]
fn other_state_is_told_by_kind() {
    check(&[
        ("listen x", "listens"),
        ("unlisten *", "listens"),
        ("select pg_listening_channels()", "listens"),
        ("notify x, 'y'", "notifies"),
        ("select pg_catalog.pg_notify($1, $2)", "notifies"),
        ("create temp table x (a int)", "temp"),
        ("create or replace temporary view x as select 1", "temp"),
        ("create temp recursive view x (a) as select 1", "temp"),
        ("create local temp sequence x", "temp"),
        ("create global temporary table x ()", "temp"),
        ("create function pg_temp.f() returns int language sql as 'select 1'", "temp"),
        ("insert into \"pg_temp_3\".x values (1)", "temp"),
        ("select * from U&\"pg_temp\".x", "temp"),
        ("create schema s create table t () create temp table u ()", "temp"),
        ("select 1 into temp x", "temp"),
        ("with a as (select 1) select * into local temporary table x from a", "temp"),
        ("drop table x", "drops"),
        ("declare c cursor with hold for select 1", "cursors"),
        ("declare \"c\" asensitive scroll cursor with /**/ hold for select 1", "cursors"),
        ("explain declare c cursor with hold for select 1", "cursors"),
        ("close c", "cursors"),
        ("select * from pg_cursors", "looks"),
        ("select pg_advisory_lock(1)", "locks"),
        ("with x as (select 1) select PG_TRY_ADVISORY_LOCK_SHARED(1, 2) from x", "locks"),
        ("select pg_advisory_unlock_all()", "locks"),
        ("load 'x'", "loads"),
        ("select currval('s')", "sequences"),
        ("select nextval('s'), lastval()", "sequences advances"),
        ("select setval('s', 1)", "advances"),
        ("select setseed(0.5)", "seed"),
        ("discard all", "discards"),
        ("discard temp", "discards"),
        ("select dblink_connect('a', 'b'), pg_backup_start('x')", "bound"),
        ("select pg_my_temp_schema()", "looks"),
        (
            "listen a; select nextval('s'); set b.c = 1; execute p",
            "settings uses_prepared listens advances: b.c / p",
        ),
    ]);
}

#[test]
fn code_counts_by_its_words() {
    check(&[
        ("call p(1)", "calls"),
        ("call p('a set search_path = b')", "calls"),
        ("call p('; set search_path = b')", "settings calls: search_path"),
        ("call p('it''s')", "calls opaque"),
        ("call p(E'\\x41')", "calls opaque"),
        ("do $$begin update t set a = 1; end$$", "calls"),
        ("do language 'plpgsql' 'begin null; end'", "calls"),
        ("do $$begin x $$ language plpython3u", "calls opaque"),
        ("do language \"plperl\" 'x'", "calls opaque"),
        ("do $$begin execute 'x'; end$$", "calls opaque"),
        ("do $$begin execute 'set a.b to ''c'''; end$$", "settings calls opaque: a.b"),
        ("do $$begin execute format('set a.b = %L', c); end$$", "settings calls opaque: a.b"),
        ("do $$begin execute 'set ' || a; raise notice 'set it'; end$$", "calls opaque"),
        ("do $$begin if a then set a.b = x; end if; end$$", "settings calls: a.b"),
        ("do $$begin <<l>> set local a.b = x; reset c; end$$", "settings calls: c"),
        ("do $$begin create temp table x(); end$$", "temp calls"),
        ("do $$declare c cursor for select 1; begin open c; close c; end$$", "cursors calls"),
        (
            "do $$begin perform pg_advisory_lock(1), set_config('a', 'b', false); end$$",
            "settings locks calls: a",
        ),
        ("do $$begin prepare p as select 1; deallocate p; load 'x'; end$$", "prepared loads calls / p"),
        ("do $$begin update pg_settings set setting = 1; end$$", "every_setting calls"),
        ("do $$begin update t set a = 1; perform 1 from pg_settings; end$$", "calls"),
        ("do $x$begin perform nextval('s'); listen y; notify z; end$x$", "listens notifies advances calls"),
    ]);
}

#[test]
fn what_is_not_understood_may_touch_anything() {
    check(&[
        ("frobnicate", "opaque"),
        ("set a = 'x", "settings opaque: a"),
        ("select /* x", "opaque"),
        ("select \0", "opaque"),
        ("1", "opaque"),
        ("discard x", "discards opaque"),
        ("explain frobnicate", "opaque"),
        ("select query_to_xml($1, true, true, '')", "opaque"),
        ("select U&\"\\0061\"()", "opaque"),
    ]);
    let ascii = touches_opaque(b"set a = 1", true, FunctionNames::NONE);
    assert_eq!(shown(&ascii), "settings: a");
    assert_eq!(touches_opaque(b"select '\x95\\'", true, FunctionNames::NONE), Touches::anything());
    let prefix = touches_prefix(b"set a = 1; insert into t values ('", true, FunctionNames::NONE);
    assert_eq!(shown(&prefix), "settings opaque: a");
    let hidden = br"select '\'; set a = 1 --'";
    assert_eq!(shown(&touches(hidden, false, FunctionNames::NONE)), "");
    assert_eq!(shown(&touches(hidden, true, FunctionNames::NONE)), "settings: a");
    assert_eq!(shown(&touches_unsure(hidden, FunctionNames::NONE)), "settings: a");
}

#[test]
fn functions_are_found_by_their_names() {
    let names = FunctionNames::parse(["lock_it", "app.\"Set User\"", "Pgv_Set", "\u{e9}T"]).unwrap();
    for (text, expected) in [
        ("select LOCK_IT(1)", "opaque"),
        ("select x.\"lock_it\"(1)", "opaque"),
        ("select \"Set User\"()", "opaque"),
        ("select U&\"pgv_set\"()", "opaque"),
        ("do $$begin perform pgv_set(1); end$$", "calls opaque"),
        ("select \u{e9}t()", "opaque"),
        ("select lock_it_not(), 'lock_it()'", ""),
        ("select nextval('lock_it')", "advances"),
    ] {
        assert_eq!(shown(&touches(text.as_bytes(), true, &names)), expected, "{text:?}");
    }
    for wrong in ["", "a b", "a.", ".a", "a()", "'a'", "\"\"", "a.*"] {
        assert_eq!(FunctionNames::parse(["fine", wrong]), Err(wrong));
    }
}

#[test]
fn names_are_bounded() {
    let many = |command: &str| (0..=NAMES_MAX).map(|n| format!("{command} a{n};")).collect::<String>();
    let settings = touches(many("reset").as_bytes(), true, FunctionNames::NONE);
    assert_eq!(settings.settings.len(), NAMES_MAX);
    assert_eq!(settings.kinds, Kinds::SETTINGS | Kinds::EVERY_SETTING);
    let statements = touches(many("execute").as_bytes(), true, FunctionNames::NONE);
    assert_eq!(statements.statements.len(), NAMES_MAX);
    assert_eq!(statements.kinds, Kinds::USES_PREPARED | Kinds::OPAQUE);
    let long = format!("select set_config('{}', '', false)", "a".repeat(NAME_BYTES_MAX + 1));
    assert_eq!(shown(&touches(long.as_bytes(), true, FunctionNames::NONE)), "settings every_setting");
}
