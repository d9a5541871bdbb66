//! What statements leave behind, one by one.

use super::*;

const OPAQUE: &str = "Many may_commit dirty reads_session parsed_alone unlocks_writes not_understood";
const UNSEEN: &str = "One dirty reads_session unlocks_writes";

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(format!("{:?}", classify(text.as_bytes(), true)), *expected, "{text:?}");
    }
}

#[test]
fn statements_are_counted() {
    check(&[
        ("", "None"),
        (" ;; -- x\n /* ; */ ;", "None"),
        ("select 1", "One"),
        ("select 1;", "One"),
        (";select 1;;", "One"),
        ("select ';', \";\", $$;$$ /*;*/ --;\n", "One"),
        ("select 1;select 2", "Many may_commit"),
        ("commit;;", "One Commit may_commit"),
        ("begin; commit", "Many may_commit"),
        ("begin; set search_path = x; commit", "Many may_commit dirty"),
        ("select 1; set timezone = 'UTC'", "Many may_commit followed"),
        ("set timezone = 'UTC'; listen x", "Many may_commit followed dirty"),
        ("(select 1) union (select 2)", "One"),
        // Taken apart at their semicolons; see `classify`.
        ("create rule r as on insert to t do (delete from a; delete from b)", "Many may_commit"),
        ("create function f() returns int begin atomic select 1; select 2; end", "Many may_commit"),
    ]);
}

#[test]
fn plain_commands_leave_nothing() {
    let texts = [
        "alter role x set search_path = y",
        "alter database d set search_path = y",
        "alter system set work_mem = '1MB'",
        "alter default privileges grant execute on functions to x",
        "alter table t set (fillfactor = 70)",
        "analyze t",
        "checkpoint",
        "close all",
        "cluster t",
        "comment on table t is 'x'",
        "copy t from stdin",
        "copy (select 1) to stdout",
        "create function f() returns int language sql set search_path = x as 'select set_config(1)'",
        "create or replace view v as select 1",
        "create table temp (execute_at int)",
        "create trigger t before insert on x execute function f()",
        "create unlogged table t as select 1",
        "declare c binary no scroll cursor for select 1",
        "declare cursor cursor without hold for select 1",
        "delete from t using u where t.a = u.a",
        "discard plans",
        "discard temp",
        "drop table t",
        "explain (analyze, format json) select 1",
        "explain select temp from t",
        "grant execute on function f() to x",
        "import foreign schema x from server y into z",
        "insert into temp values (1) on conflict (a) do update set b = excluded.b",
        "lock table t in exclusive mode",
        "merge into temp using t on true when matched then update set a = 1",
        "move 1 from c",
        "notify x, 'y'",
        "reassign owned by a to b",
        "refresh materialized view concurrently v",
        "reindex table t",
        "revoke all on t from x",
        "security label on table t is 'x'",
        "select * into t from u",
        "select temp, temporary, set, \"pg_settings\" from local where read > write",
        "select 'set_config(', 'pg_temp', 'pg_advisory_lock(1)', $$listen x$$",
        "select nextval('s'), setval('s', 1)",
        "select pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(2)",
        "select pg_export_snapshot(), pg_notify('a', 'b'), lo_open(1, 2)",
        "select name, setting from pg_catalog.pg_settings",
        "show search_path",
        "table t",
        "truncate t",
        "update t set search_path = x, timezone = 'UTC' where a = 1",
        "vacuum (analyze) t",
        "values (1)",
        "with x as (insert into temp values (1) returning *) select * from x",
        "set local search_path = x",
        "set transaction isolation level serializable",
        "set session transaction read only",
        "set constraints all deferred",
        "select set_config('a.b', $1, true)",
        "select set_config ( 'role', coalesce($1, 'x'), TRUE ), 1",
    ];
    for text in texts {
        assert_eq!(format!("{:?}", classify(text.as_bytes(), true)), "One", "{text:?}");
    }
}

#[test]
fn transaction_control_is_recognised() {
    check(&[
        ("begin", "One Begin"),
        ("BEGIN WORK ISOLATION LEVEL SERIALIZABLE, READ ONLY", "One Begin"),
        ("start transaction", "One Begin"),
        ("start /* x */ Transaction read write", "One Begin unlocks_writes"),
        ("start replication", OPAQUE),
        ("commit", "One Commit may_commit"),
        ("/* x */ end;", "One Commit may_commit"),
        ("commit work and chain", "One Commit may_commit"),
        ("commit prepared 'x'", "One CommitPrepared may_commit"),
        ("rollback", "One Rollback"),
        ("abort work", "One Rollback"),
        ("rollback and no chain", "One Rollback"),
        ("rollback transaction and chain", "One Rollback may_commit"),
        ("rollback to s", "One RollbackToSavepoint"),
        ("rollback work to savepoint s", "One RollbackToSavepoint"),
        ("rollback prepared 'x'", "One RollbackPrepared"),
        ("savepoint s", "One Savepoint"),
        ("release savepoint s", "One Release"),
        ("prepare transaction 'x'", "One PrepareTransaction may_commit"),
        ("prepare transaction as select 1", "One dirty"),
    ]);
}

#[test]
fn followed_parameters_are_told_from_others() {
    check(&[
        ("set client_encoding to utf8", "One followed"),
        // Gone at the end of the transaction, but until then texts are read by it.
        ("set local timezone to default", "One followed"),
        ("set local time zone 'UTC'", "One followed"),
        ("set local names 'latin1'", "One followed"),
        ("SET Application_Name = 'x'", "One followed"),
        ("set \"DateStyle\" to iso, dmy", "One followed"),
        ("set session intervalstyle = 'iso_8601'", "One followed"),
        ("set standard_conforming_strings=off", "One followed"),
        ("set default_transaction_read_only to on", "One followed unlocks_writes"),
        ("set timezone to default", "One followed resets"),
        ("set names 'utf8'", "One followed"),
        ("set names", "One followed resets"),
        ("set session names default", "One followed resets"),
        ("set time zone interval '1' hour", "One followed"),
        ("set time zone local", "One followed resets"),
        ("set time zone 'UTC'", "One followed"),
        ("reset timezone", "One followed resets"),
        ("reset time zone", "One followed resets"),
        ("reset \"client_encoding\" ;", "One followed resets"),
        ("set search_path = x", "One dirty"),
        ("set search_path to default", "One dirty resets"),
        ("set x.y.z = default", "One dirty resets"),
        ("set timezone.x = 1", "One dirty"),
        ("set timezone from current", "One dirty"),
        ("set local.x = 1", "One dirty"),
        ("set local to 1", "One dirty"),
        ("set session.x = 1", "One dirty"),
        ("set transaction.x = 1", "One dirty"),
        ("set constraints = 1", "One dirty"),
        ("set names.x = 1", "One dirty"),
        ("set time.x = 1", "One dirty"),
        ("set xml option document", "One dirty"),
        ("set schema 'x'", "One dirty"),
        ("set seed to 0.5", "One dirty"),
        ("set role x", "One dirty"),
        ("set session authorization x", "One dirty"),
        ("set session characteristics as transaction read write", "One dirty unlocks_writes"),
        ("set U&\"timezon\\0065\" = 1", UNSEEN),
        ("set", "One dirty"),
        ("set session", "One dirty"),
        ("reset search_path", "One dirty resets"),
        ("reset timezone.x", "One dirty resets"),
        ("reset role", "One dirty resets"),
        ("reset session authorization", "One dirty resets"),
        ("reset all", "One dirty resets unlocks_writes"),
    ]);
}

#[test]
fn session_state_is_noticed() {
    check(&[
        ("listen x", "One dirty"),
        ("unlisten *", "One dirty"),
        ("load 'x'", "One dirty"),
        ("prepare p as select 1", "One dirty"),
        ("execute p(1)", "One may_commit dirty reads_session parsed_alone"),
        ("explain analyze execute p", "One may_commit dirty reads_session parsed_alone"),
        ("explain (analyze) create table x as execute p", "One may_commit dirty reads_session parsed_alone"),
        ("create table x as execute p", "One may_commit dirty reads_session parsed_alone"),
        ("deallocate p", "One dirty"),
        ("deallocate \"all\"", "One dirty"),
        ("deallocate all", "One deallocates_all"),
        ("deallocate prepare all", "One deallocates_all"),
        ("discard all", "One discards_all deallocates_all resets unlocks_writes"),
        ("declare c cursor with hold for select 1", "One dirty"),
        ("declare c insensitive scroll cursor with /**/ hold for select 1", "One dirty"),
        ("create temp table x (a int)", "One dirty"),
        ("create or replace temporary view x as select 1", "One dirty"),
        ("create local temp sequence x", "One dirty"),
        ("create table pg_temp.x (a int)", "One dirty"),
        ("create table \"pg_temp_3\".x (a int)", "One dirty"),
        ("select 1 into temp x", "One dirty"),
        ("with a as (select 1) select * into local temporary table x from a", "One dirty"),
        ("values (set_config('a', 'b', false))", "One dirty"),
        ("select pg_catalog . \"set_config\" ('a', 'b', is_local)", "One dirty"),
        ("select set_config('a', 'true)', false)", "One dirty"),
        ("select set_config('a', (x, true), false)", "One dirty"),
        ("select set_config($1, 'b', true)", "One unlocks_writes"),
        ("select set_config('transaction' || x, 'b', true)", "One unlocks_writes"),
        ("select set_config('a'::text, 'b', true)", "One"),
        ("select set_config('seed', '0.5', true)", "One dirty"),
        ("set local seed = 0.5", "One dirty"),
        ("update pg_catalog.pg_settings set setting = 'x'", "One dirty unlocks_writes"),
        ("with x as (select 1) select pg_advisory_lock(1) from x", "One dirty"),
        ("select PG_TRY_ADVISORY_LOCK_SHARED(1, 2)", "One dirty"),
        ("select pg_advisory_unlock(1)", "One reads_session"),
        ("select currval('s'), lastval()", "One reads_session"),
        ("select dblink_connect('x')", "One dirty"),
        ("select setseed(0.1)", "One dirty"),
        ("select query_to_xml($1, true, true, '')", UNSEEN),
        ("select u&\"x\"", UNSEEN),
    ]);
}

#[test]
fn code_blocks_count_by_their_words() {
    check(&[
        ("call p(1)", "One may_commit reads_session"),
        ("call p('a set search_path')", "One may_commit reads_session"),
        ("call p('; set search_path = x')", "One may_commit dirty reads_session"),
        ("call p('execute')", "One may_commit dirty reads_session unlocks_writes"),
        ("do $$begin update t set a = 1; end$$", "One may_commit reads_session"),
        ("do language plpgsql $$begin perform 1; end$$", "One may_commit reads_session"),
        ("do language 'plpgsql' 'begin null; end'", "One may_commit reads_session"),
        ("do $$begin x $$ language plpython3u", "One may_commit dirty reads_session unlocks_writes"),
        ("do language \"plperl\" 'x'", "One may_commit dirty reads_session unlocks_writes"),
        ("do 'begin perform f(''x''); end'", "One may_commit dirty reads_session unlocks_writes"),
        ("do E'begin\\n end'", "One may_commit dirty reads_session parsed_alone unlocks_writes"),
        ("do $$begin execute 'x'; end$$", "One may_commit dirty reads_session unlocks_writes"),
        ("do $$begin if a then set search_path = x; end if; end$$", "One may_commit dirty reads_session"),
        ("do $$begin set local search_path = x; end$$", "One may_commit reads_session"),
        ("do $$begin <<l>> set timezone = 'x'; end$$", "One may_commit followed reads_session"),
        ("do $$begin create temp table x(); end$$", "One may_commit dirty reads_session"),
        ("do $$begin perform pg_advisory_lock(1); end$$", "One may_commit dirty reads_session"),
        ("do $$begin perform set_config('a', 'b', true); end$$", "One may_commit reads_session"),
        ("do $$begin set transaction read write; end$$", "One may_commit reads_session unlocks_writes"),
        (
            "do $$begin update pg_settings set setting = 1; end$$",
            "One may_commit dirty reads_session unlocks_writes",
        ),
    ]);
}

#[test]
fn literals_are_looked_into() {
    check(&[
        ("select now(), today, \"now\", current_date", "One"),
        ("select 'unknown', 'nowhere'", "One"),
        ("select 'now'::timestamptz", "One parsed_alone"),
        ("select date $x$Today$x$", "One parsed_alone"),
        ("select N'{tomorrow}', '2020-01-01 YESTERDAY'", "One parsed_alone"),
        ("select E'a\\x6eow'", "One parsed_alone"),
        ("select E'unescaped'", "One"),
        ("select U&'\\006eow'", "One parsed_alone"),
        ("select 'n'\n'ow'", "One parsed_alone"),
        ("select x'10', b'10'", "One"),
        ("select set_config('transaction_read_only', 'off', true)", "One unlocks_writes"),
        ("set transaction_read_only = off", "One dirty unlocks_writes"),
        ("set transaction read/**/write", "One unlocks_writes"),
        ("alter role x set \"default_transaction_read_only\" = off", "One unlocks_writes"),
    ]);
}

#[test]
fn what_is_not_understood_is_the_worst() {
    let texts = [
        "foo",
        "\"select\" 1",
        "1",
        "'select'",
        "select 'x",
        "select /* x",
        "select $a",
        "select \\",
        "start",
    ];
    for text in
        texts.into_iter().chain(["discard", "declare c", "explain foo", "\u{feff}select 1", "select \0"])
    {
        assert_eq!(format!("{:?}", classify(text.as_bytes(), true)), OPAQUE, "{text:?}");
    }
    assert_eq!(format!("{:?}", Effects::ANYTHING), OPAQUE);
}

#[test]
fn other_readings_are_never_milder() {
    let shown = |effects: Effects| format!("{effects:?}");
    assert_eq!(shown(classify_prefix(b"select 1", true)), OPAQUE);
    assert!(classify_prefix(b"deallocate all; insert into t values ('", true).deallocates_all());
    assert_eq!(shown(classify_opaque(b"select 1", true)), "One");
    assert_eq!(shown(classify_opaque(b"select '\x95\\'", true)), OPAQUE);
    assert_eq!(shown(classify_unsure(b"select 1")), "One");
    assert_eq!(shown(classify_unsure(b"select E'\\n'")), "One parsed_alone");
    let hidden = br"select '\'; set a = 1 --'";
    assert_eq!(shown(classify(hidden, false)), "One parsed_alone");
    assert_eq!(shown(classify(hidden, true)), "Many may_commit dirty");
    assert_eq!(shown(classify_unsure(hidden)), "Many may_commit dirty parsed_alone");
    assert_eq!(shown(Effects::NOTHING), "None");
}

#[test]
fn what_only_takes_away_gives_no_name_a_new_meaning() {
    for (text, gives) in [
        ("drop function f", false),
        ("drop table if exists t cascade", false),
        ("grant usage on schema s to x", false),
        ("revoke usage on schema s from x", false),
        ("drop table t; drop view v", false),
        ("drop table t; create table t ()", true),
        ("create table t ()", true),
        ("create table t as execute q", true),
        ("select * into t from u", true),
        ("alter function f() volatile", true),
        ("alter table t drop column c", true),
        ("do $$begin end$$", true),
        ("reassign owned by x to y", true),
        ("import foreign schema x from server y into z", true),
        ("explain analyze create table t as select 1", true),
        ("what is this", true),
    ] {
        let effects = classify(text.as_bytes(), true);
        assert_eq!((effects.changes_schema(), effects.gives_new_meanings()), (true, gives), "{text}");
    }
    assert!(classify_prefix(b"drop table t; ", true).gives_new_meanings());
    assert!(!classify(b"create temp table t ()", true).gives_new_meanings());
}

#[test]
fn what_bears_on_how_later_statements_are_parsed() {
    for (text, planned, schema, locally) in [
        ("select 1", true, false, false),
        ("(select 1)", true, false, false),
        ("with a as (select 1) insert into t select * from a", true, false, false),
        ("merge into t using u on true when matched then delete", true, false, false),
        ("select * into t from u", false, true, false),
        ("select 1; select 2", false, false, false),
        ("select 1;", true, false, false),
        ("", false, false, false),
        ("explain select 1", false, false, false),
        ("explain analyze create table t as select 1", false, true, false),
        ("show timezone", false, false, false),
        ("create table t ()", false, true, false),
        ("alter table t add c int", false, true, false),
        ("drop function f", false, true, false),
        ("revoke usage on schema s from x", false, true, false),
        ("truncate t", false, false, false),
        ("do $$begin end$$", false, true, false),
        ("select 1; drop table t", false, true, false),
        ("what is this", false, true, true),
        ("set local search_path to a", false, false, true),
        ("set search_path to a", false, false, false),
        ("select set_config('search_path', 'a', true)", true, false, true),
        ("begin; set local search_path to a; create table t ()", false, true, true),
    ] {
        let effects = classify(text.as_bytes(), true);
        assert_eq!(
            (effects.is_planned(), effects.changes_schema(), effects.sets_locally()),
            (planned, schema, locally),
            "{text}"
        );
    }
}
