//! What texts are for, and the names in them.

use super::*;
use Errand::{Begins, BeginsReading, Other, Reads};

fn read(text: &str) -> (Errand, Vec<String>) {
    let mut names = Vec::new();
    let errand = errand(text.as_bytes(), true, &mut |used, name| {
        let name = String::from_utf8_lossy(name);
        match used {
            Use::Called => names.push(format!("{name}()")),
            Use::Syntax => names.push(format!("{name}[]")),
            Use::Qualified => names.push(format!(".{name}")),
            Use::Plain => names.push(name.into_owned()),
        }
    });
    (errand, names)
}

#[test]
fn syntax_is_in_order() {
    assert!(SYNTAX.windows(2).all(|pair| pair[0] < pair[1]));
}

fn check(cases: &[(&str, Errand)]) {
    for (text, expected) in cases {
        assert_eq!(read(text).0, *expected, "{text}");
    }
}

#[test]
fn what_texts_are_for() {
    check(&[
        ("select 1", Reads),
        (" /* a */ SELECT 1;;", Reads),
        ("((select 1))", Reads),
        ("values (1), (2)", Reads),
        ("table t", Reads),
        ("with a as (select 1) select * from a", Reads),
        ("with a as (insert into t values (1) returning *) select * from a", Other),
        ("with a as (update t set a = 1 returning *) table a", Other),
        ("with a as (delete from t returning *) table a", Other),
        ("with a as (merge into t using u on true when matched then delete) table a", Other),
        ("select * into u from t", Other),
        ("select 1 from t for update", Other),
        ("select 1 from t for no key update", Other),
        ("select 1 from t for share", Other),
        ("select 1 from t for key share", Other),
        ("select substring('abc' for 2)", Reads),
        ("select \"into\", \"update\" from t", Reads),
        ("select 'insert into'", Reads),
        ("select 1; select 2", Other),
        ("select 'a", Other),
        ("", Other),
        (";", Other),
        ("insert into t values (1)", Other),
        ("update t set a = 1", Other),
        ("call p()", Other),
        ("do $$ begin end $$", Other),
        ("lock table t", Other),
        ("declare c cursor for select 1", Other),
        ("fetch c", Other),
        ("set a.b = 1", Other),
        ("listen a", Other),
        ("execute p", Other),
        ("prepare p as select 1", Other),
    ]);
}

#[test]
fn what_other_commands_are_for() {
    check(&[
        ("show work_mem", Reads),
        ("SHOW Transaction_Read_Only", Other),
        ("show transaction isolation level", Other),
        ("show all", Other),
        ("show \"transaction_read_only\"", Other),
        ("show pgsteer.token", Other),
        ("explain select 1", Reads),
        ("explain analyze verbose select 1", Reads),
        ("explain (analyze, buffers off, format json) select 1", Reads),
        ("explain (analyze) (select 1)", Reads),
        ("explain insert into t values (1)", Other),
        ("explain analyze insert into t select 1", Other),
        ("explain analyze with a as (delete from t returning 1) select 1", Other),
        ("explain execute p", Other),
        ("explain analyze create table t as select 1", Other),
        ("explain declare c cursor for select 1", Other),
        ("copy (select 1) to stdout", Reads),
        ("copy (select a from t) to stdout with (format csv)", Reads),
        ("copy t to stdout", Reads),
        ("copy (select 1) to '/tmp/x'", Other),
        ("copy (select 1) to program 'x'", Other),
        ("copy (insert into t values (1) returning a) to stdout", Other),
        ("copy t from stdin", Other),
        ("copy t from stdout", Other),
        ("begin", Begins),
        ("begin work;", Begins),
        ("begin read only", BeginsReading),
        ("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", BeginsReading),
        ("start transaction read only not deferrable", BeginsReading),
        ("start transaction", Begins),
        ("begin read write", Other),
        ("begin read only, read write", Other),
        ("begin isolation level serializable read only", Other),
        ("begin read only; select 1", Other),
        ("start", Other),
    ]);
}

#[test]
fn names_and_their_uses() {
    for (text, expected) in [
        ("select F(a), \"G\" (b) from s.t", "f() a G() b from s .t"),
        ("select pg_catalog . now ()", "pg_catalog now()"),
        ("select coalesce(a, nullif(b, 1)) in (1)", "coalesce[] a nullif[] b in[]"),
        ("with recursive t(n) as (select 1) select n from t", "recursive t n as[] select select n from t"),
        ("select * from f(1) as g(i) join h(2) k(j) on true", "from f() as g i join h() k() j on true"),
        ("select (t).f, count(*) filter (where a)", "t .f count() filter[] where a"),
        ("copy (select f()) to stdout (format csv)", "select f() to stdout[] format csv"),
        ("explain (costs) table v", "v"),
    ] {
        assert_eq!(read(text).1.join(" "), expected, "{text}");
    }
}

#[test]
fn names_that_cannot_be_told_are_the_leaders() {
    let long = "f".repeat(64);
    for text in [format!("select {long}()"), "select U&\"\\0066\"()".into(), "select \"a\"\"b\"()".into()] {
        assert_eq!(read(&text).0, Other, "{text}");
    }
    assert_eq!(errand(b"select \xDD()", true, &mut |_, _| ()), Other);
}
