//! Reads whose replica is lost, or gives up on them: who hears of it, and who runs them again (`retry_reads`).

use pgsteer::{pool::account::Rereading, session::routes::Purpose};

use crate::{play::check_with, world::Setup};

/// C has read from `b`; behind that it was learnt (from `c`) that `count` only reads, and that `pg_sleep` may do more. The next
/// read is `b`'s again.
const LEARNT: &str = r#"
    report in_hot_standby=on
    route write=a read=b,c
    C> Query "select 1"
    >b1 Query "select 1"
    >c1 Query "~BEGIN READ ONLY"
    b1< CommandComplete "SELECT 1" | ReadyForQuery I
    <C CommandComplete "SELECT 1" | ReadyForQuery I
    c1< CommandComplete BEGIN | CommandComplete SET | CommandComplete SET | RowDescription a b
    c1< DataRow f count | DataRow f pg_sleep | DataRow v pg_sleep
    c1< CommandComplete "SELECT 3" | CommandComplete COMMIT | ReadyForQuery I
    wait 10ms
"#;

/// A request, and what of its answer is no answer yet.
const REQUESTS: [(&str, &str); 2] = [
    (r#"Query "select count(*) from t""#, "RowDescription n"),
    (
        r#"Parse "" "select count(*) from t" | Bind "" "" | Describe P "" | Execute "" | Sync"#,
        "ParseComplete | BindComplete | RowDescription n",
    ),
];

/// How a replica is lost, at last.
const LOSSES: [&str; 3] =
    ["b1< close", "b1< Notice 00000 x | Fatal 57P01 x\nb1< close", "route write=a read=c lost=b\n>b1 end"];

/// A client of a read route whose unnamed statements are passed on as they are.
fn reader(rereading: Rereading) -> impl Fn(&mut Setup) {
    move |setup| {
        (setup.purpose, setup.settings.rereading) = (Purpose::Read, rereading);
        setup.settings.map_unnamed = false;
    }
}

fn check(rereading: Rereading, script: &str) {
    check_with(reader(rereading), &format!("{LEARNT}{script}"));
}

#[test]
fn what_has_returned_nothing_runs_on_another_replica() {
    for (request, begun) in REQUESTS {
        for loss in LOSSES {
            for so_far in [String::new(), format!("b1< {begun}")] {
                check(
                    Rereading::Lost,
                    &format!(
                        r#"
                        C> {request}
                        >b1 {request}
                        {so_far}
                        {loss}
                        >c1 {request}
                        c1< {begun} | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
                        <C {begun} | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
                        "#
                    ),
                );
            }
        }
    }
}

/// Once; and never where some of it was returned.
#[test]
fn an_error_is_told_after_a_second_loss_or_a_first_row() {
    for (request, begun) in REQUESTS {
        for loss in LOSSES {
            check(
                Rereading::Lost,
                &format!(
                    r#"
                    C> {request}
                    >b1 {request}
                    {loss}
                    >c1 {request}
                    c1< close
                    <C Fatal 08007 "~replica" | end
                    "#
                ),
            );
        }
        for loss in ["b1< close", "route write=a read=c lost=b\n>b1 end"] {
            check(
                Rereading::Lost,
                &format!(
                    r#"
                    C> {request}
                    >b1 {request}
                    b1< {begun} | DataRow 1
                    <C {begun} | DataRow 1
                    {loss}
                    <C Fatal 08007 "~replica" | end
                    "#
                ),
            );
        }
    }
}

/// What the server is asked about a statement before the client's message is sent to it.
const CHECKED: &str = r#"Parse pgsteer_1 "select pg_sleep(1)" | Describe S pgsteer_1 | Sync"#;
const SLEPT: &str = r#"BindComplete | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I"#;

/// A replica has got nothing of the client's so far: it does not matter then what the request would do.
#[test]
fn what_was_not_sent_goes_to_another_replica() {
    let prepared = r#"
        route write=a read=c
        C> Parse s "select pg_sleep(1)" | Describe S s | Sync
        >c1 Parse pgsteer_1 "select pg_sleep(1)" | Describe S pgsteer_1 | Sync
        c1< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        route write=a read=b
    "#;
    let words = ["Fatal 08006 _", "Fatal 57P01 x", "Fatal 57P01 _"];
    for (loss, words) in LOSSES.into_iter().zip(words) {
        for so_far in ["", "b1< ParseComplete | ParameterDescription"] {
            // What is sent behind it follows, byte by byte or not.
            let begun = format!(
                r#"
                {prepared}
                C> Bind "" s | Execute "" | Sync | Query "select 2"
                >b1 {CHECKED}
                route write=a read=b,c
                {so_far}
                {loss}
                "#
            );
            check(
                Rereading::Lost,
                &format!(
                    r#"
                    {begun}
                    >c1 Bind "" pgsteer_1 | Execute "" | Sync | Query "select 2"
                    c1< {SLEPT} | CommandComplete "SELECT 1" | ReadyForQuery I
                    <C {SLEPT} | CommandComplete "SELECT 1" | ReadyForQuery I
                    "#
                ),
            );
            // Where that is not wished it is an error, in whoever's words.
            check_with(reader(Rereading::Off), &format!("{begun}\n<C {words} | end"));
        }
    }
}

/// Nobody prepares what ends servers on one after the other.
#[test]
fn what_was_not_sent_goes_to_another_replica_once() {
    check(
        Rereading::Lost,
        r#"
        C> Parse s "select pg_sleep(1)" | Describe S s | Sync
        >b1 Parse pgsteer_1 "select pg_sleep(1)" | Describe S pgsteer_1 | Sync
        b1< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        route write=a read=d
        C> Bind "" s | Execute "" | Sync
        >d1 Parse pgsteer_1 "select pg_sleep(1)" | Describe S pgsteer_1 | Sync
        route write=a read=d,c
        d1< Fatal 57P02 x
        d1< close
        >c1 Parse pgsteer_1 "select pg_sleep(1)" | Describe S pgsteer_1 | Sync
        c1< ParseComplete | Fatal 57P02 y
        c1< close
        <C Fatal 57P02 y | end
        "#,
    );
}

#[test]
fn what_is_not_known_to_only_read_is_its_clients_to_repeat() {
    for request in [
        r#"Query "select pg_sleep(1)""#,
        r#"Query "select nobody_knows()""#,
        // That it is one is only its client's word.
        r#"Query "/* pgsteer: read */ select pg_sleep(1)""#,
        r#"Query "select count(*) from t for update""#,
        r#"Query "select count(*) from t; select pg_sleep(1)""#,
        r#"Query "begin read only; select count(*) from t""#,
        r#"Query "insert into t values (1)""#,
        r#"Query "call p()""#,
        // One request, and another behind it.
        r#"Query "select count(*) from t" | Query "select count(*) from t""#,
        r#"Parse "" "select pg_sleep(1)" | Bind "" "" | Describe P "" | Execute "" | Sync"#,
        r#"Parse "" "select count(*) from t" | Bind "" "" | Describe P "" | Execute "" | Flush"#,
    ] {
        check(
            Rereading::Lost,
            &format!(
                r#"
                C> {request}
                >b1 {request}
                b1< close
                <C Fatal 08007 "~replica" | end
                "#
            ),
        );
    }
    // In a transaction, which has seen one replica's data.
    check(
        Rereading::Lost,
        r#"
        C> Query "begin read only"
        >b1 Query "begin read only"
        b1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Query "select count(*) from t"
        >b1 Query "select count(*) from t"
        b1< close
        <C Fatal 08006 "~not committed" | end
        "#,
    );
    // Where that is not wished.
    check_with(
        reader(Rereading::Off),
        r#"
        report in_hot_standby=on
        route write=a read=b,c
        C> Query "select count(*) from t"
        >b1 Query "select count(*) from t"
        b1< close
        <C Fatal 08007 "~replica" | end
        "#,
    );
}

#[test]
fn nothing_runs_again_before_it_is_known_what_functions_do() {
    check_with(
        reader(Rereading::Lost),
        r#"
        report in_hot_standby=on
        route write=a read=b,c
        C> Query "select count(*) from t"
        >b1 Query "select count(*) from t"
        >c1 Query "~BEGIN READ ONLY"
        b1< close
        <C Fatal 08007 "~replica" | end
        "#,
    );
}

/// What a statement reads is in the way of what its replica replays.
#[test]
fn conflicts_with_replay_where_that_is_wished() {
    for (request, begun) in REQUESTS {
        let in_conflict = format!("{begun} | Error 40001 conflict | ReadyForQuery I");
        check(
            Rereading::AlsoConflicts,
            &format!(
                r#"
                C> {request}
                >b1 {request}
                b1< {in_conflict}
                >c1 {request}
                c1< {begun} | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
                <C {begun} | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
                >b1 end
                # Once.
                C> {request}
                >b2 {request}
                b2< {in_conflict}
                >c1 {request}
                c1< {in_conflict}
                <C {in_conflict}
                >b2 end
                "#
            ),
        );
        check(
            Rereading::Lost,
            &format!(
                r#"
                C> {request}
                >b1 {request}
                b1< {in_conflict}
                <C {in_conflict}
                "#
            ),
        );
        check(
            Rereading::AlsoConflicts,
            &format!(
                r#"
                C> {request}
                >b1 {request}
                b1< {begun} | DataRow 1 | Error 40001 conflict | ReadyForQuery I
                <C {begun} | DataRow 1 | Error 40001 conflict | ReadyForQuery I
                "#
            ),
        );
    }
}
