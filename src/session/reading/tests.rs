//! What texts do.

use super::*;

#[test]
fn what_texts_do() {
    use {Block::*, Followed::*, Residue::*};
    let name = |name| Reset(1 << tracked(name).unwrap());
    for (text, block, residue, followed) in [
        ("select 1", Stays, None, Kept),
        ("", Stays, None, Kept),
        ("begin", Begins, None, Kept),
        ("commit", Commits, None, Kept),
        ("end work", Commits, None, Kept),
        ("commit and chain", MayCommit, None, Kept),
        ("commit prepared 'a'", MayCommit, None, Kept),
        ("rollback", RollsBack, None, Kept),
        ("rollback and chain", MayCommit, None, Kept),
        ("rollback to a", Stays, None, Changed),
        ("call p()", MayCommit, Dirt, Kept),
        ("select 1; select 2", MayCommit, None, Kept),
        ("set timezone to 'UTC'", Stays, None, Changed),
        ("set search_path to a", Stays, Dirt, Kept),
        ("reset timezone", Stays, None, name("TimeZone")),
        ("reset time zone;", Stays, None, name("TimeZone")),
        ("set time zone default", Stays, None, name("TimeZone")),
        ("set session datestyle to default", Stays, None, name("DateStyle")),
        ("set \"DateStyle\" = default", Stays, None, name("DateStyle")),
        ("set names default", Stays, None, name("client_encoding")),
        ("reset work_mem", Stays, Dirt, Changed),
        ("reset all", Stays, Dirt, Reset(u8::MAX)),
        ("discard all", Stays, Discards, Reset(u8::MAX)),
        ("deallocate all", Stays, Discards, Kept),
        ("select 1; reset all", MayCommit, Dirt, Reset(u8::MAX)),
        ("reset all; unlisten *", MayCommit, Dirt, Reset(u8::MAX)),
        ("reset all; set timezone = 'x'", MayCommit, Dirt, Reset(!(1 << tracked("TimeZone").unwrap()))),
        ("set timezone = 'x'; reset timezone", MayCommit, None, name("TimeZone")),
        ("reset timezone; set timezone = 'x'", MayCommit, None, Changed),
        ("reset all; select set_config($1, $2, false)", MayCommit, Dirt, Changed),
        ("begin; reset all; rollback", MayCommit, Dirt, Changed),
        ("listen a; deallocate all", MayCommit, DirtAndDiscards, Kept),
        ("what is this", MayCommit, Dirt, Changed),
    ] {
        let conduct = Reading::of(text.as_bytes(), Lexicon::Standard).conduct;
        let Conduct { parsing, copying, acting, .. } = conduct;
        assert_eq!(conduct, Conduct { block, residue, followed, parsing, copying, acting }, "{text}");
    }
}

#[test]
fn what_is_plain_reads_as_it_would_in_full() {
    let mut plain = 0;
    for text in [
        "select 1",
        "table t;",
        "insert into t values (1)",
        "with a as (select 1) delete from t using a",
        "select nextval('s')",
        "",
        "select 1; select 2",
        "select timestamp 'now'",
        "select * into t from u",
        "select set_config('x.y', '', true)",
        "update pg_settings set setting = 1",
        "begin",
        "copy t from stdin",
        "what is this",
    ] {
        let effects = sql::classify(text.as_bytes(), true);
        let full = Reading::of_effects(effects, text.as_bytes());
        assert_eq!(Reading::from_effects(effects, text.as_bytes()), full, "{text}");
        plain += usize::from(effects.is_plain());
    }
    assert_eq!(plain, 5);
}

#[test]
fn what_stands_for_unnamed_statements() {
    for (text, may) in [
        ("select $1", true),
        ("update t set a = 1", true),
        ("with a as (select 1) select * from a for update", true),
        ("select timestamp 'now'", false),
        ("select 1; select 2", false),
        ("begin", false),
        ("", false),
        ("select pg_advisory_lock(1)", false),
        ("select set_config('x.y', '', true)", false),
        ("select * into t from u", false),
        ("what is this", false),
    ] {
        let reading = Reading::of(text.as_bytes(), Lexicon::Standard);
        assert_eq!(reading.may_stand_for_unnamed(), may, "{text}");
    }
}

#[test]
fn what_does_more_than_look() {
    for (text, acts) in [
        ("select 1", false),
        ("begin; select currval('s'); show timezone; commit", false),
        ("listen a", false),
        ("set timezone to 'UTC'", false),
        ("insert into t values (1)", true),
        ("with x as (insert into t values (1)) select 1", true),
        ("select nextval('s')", true),
        ("select pg_notify('a', '')", true),
        ("notify a", true),
        ("call p()", true),
        ("execute p", true),
        ("copy t from stdin", true),
        ("what is this", true),
    ] {
        let acting = Reading::of(text.as_bytes(), Lexicon::Standard).conduct.acting;
        assert_eq!(acting != Acting::No, acts, "{text}");
    }
}

#[test]
fn what_changes_data_and_nothing_else() {
    for (text, changes) in [
        ("insert into t values (1)", true),
        ("/* x */ UPDATE t SET a = 1 RETURNING a;", true),
        ("merge into t using u on true when matched then delete", true),
        ("select 1", false),
        ("select nextval('s')", false),
        ("with x as (insert into t values (1)) select 1", false),
        ("explain analyze insert into t values (1)", false),
        ("insert into t values (1); insert into t values (2)", false),
        ("insert into t values (1); commit", false),
        ("update pg_settings set setting = '1'", false),
        ("truncate t", false),
    ] {
        let acting = Reading::of(text.as_bytes(), Lexicon::Standard).conduct.acting;
        assert_eq!(acting == Acting::Changes, changes, "{text}");
    }
}

#[test]
fn what_must_be_awaited() {
    for (text, awaited) in [
        ("select 1", false),
        ("listen a", false),
        ("set datestyle to dmy", true),
        ("deallocate all", true),
        ("discard all", true),
        ("rollback to a", true),
    ] {
        let conduct = Reading::of(text.as_bytes(), Lexicon::Standard).conduct;
        assert_eq!(conduct.must_be_awaited(), awaited, "{text}");
    }
}

#[test]
fn what_runs_another() {
    for (text, runs) in [
        ("execute p", true),
        ("/* it */ EXECUTE p(1);", true),
        ("explain execute p", false),
        ("create table t as execute p", false),
        ("execute p; execute q", false),
        ("execute p; select 1", false),
        ("select 1", false),
    ] {
        assert_eq!(Reading::of(text.as_bytes(), Lexicon::Standard).form == Form::Runs, runs, "{text}");
    }
}
