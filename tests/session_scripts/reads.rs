//! Reads on replicas: which go there, how they come back to the leader (`route = "split"`), and which are run again by
//! another replica (`retry_reads`).

use pgsteer::{pool::account::Rereading, route::consistency::Consistency, session::routes::Purpose};

use crate::{
    held::{TOLD, asked_of},
    play::{check_whole, check_with},
    world::Setup,
};

fn split(setup: &mut Setup) {
    setup.purpose = Purpose::Split;
    setup.settings.limits.size = 2;
}

/// The leader has told of its database.
const LEARNT: &str = r#"
    C> Query "insert into t values (1)"
    >a1 Query "insert into t values (1)"
    >a2 Query "~BEGIN READ ONLY"
    a2< DataRow f count | DataRow v roll | ReadyForQuery I
    a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
    <C CommandComplete "INSERT 0 1" | ReadyForQuery I
    pool a leased=0
"#;

fn check(script: &str) {
    check_with(split, &format!("{LEARNT}{script}"));
}

fn check_at_once(script: &str) {
    check_whole(split, &format!("{LEARNT}{script}"));
}

const READ: &str = r#"C> Query "select count(*) from t""#;
const ANSWER: &str = r#"RowDescription count | DataRow 7 | CommandComplete "SELECT 1" | ReadyForQuery I"#;

/// What is known of a database is there for who comes next, also if nobody was connected meanwhile.
#[test]
fn what_was_learnt_outlives_its_clients() {
    check(&format!(
        r#"
        C> close
        wait 10ms
        D> Query "select count(*) from t"
        >b1 Query "select count(*) from t"
        b1< {ANSWER}
        <D {ANSWER}
        "#
    ));
}

/// Until a replica has begun to answer, the leader can be asked instead, and the client hears nothing of it.
#[test]
fn what_a_replica_cannot_do_the_leader_does() {
    for refusal in [
        r#"b1< Error 25006 "cannot execute in a read-only transaction" | ReadyForQuery I"#,
        r#"b1< RowDescription count | Error 40001 "canceling statement due to conflict with recovery" | ReadyForQuery I"#,
        r#"b1< Fatal 57P01 "terminating connection"
           b1< close"#,
        "b1< RowDescription count\nb1< close",
        "route write=a lost=b\n>b1 end",
    ] {
        check(&format!(
            r#"
            {READ}
            >b1 Query "select count(*) from t"
            {refusal}
            >a1 Query "select count(*) from t"
            a1< {ANSWER}
            <C {ANSWER}
            "#
        ));
    }
    // What has begun is the client's.
    check(&format!(
        r#"
        {READ}
        >b1 Query "select count(*) from t"
        b1< RowDescription count | DataRow 7 | Error 40001 "conflict" | ReadyForQuery I
        <C RowDescription count | DataRow 7 | Error 40001 _ | ReadyForQuery I
        "#
    ));
}

/// A replica that is asked something of ours ahead of the request is lost: the leader gets the request, whatever it may do.
#[test]
fn what_was_not_sent_goes_to_the_leader() {
    for lost in [
        "b1< close",
        "b1< ParseComplete | ParameterDescription | Fatal 57P01 x\nb1< close",
        "route write=a lost=b\n>b1 end",
    ] {
        for text in ["select count(*) from t", "/* pgsteer: read */ select roll()"] {
            let answer = r#"BindComplete | DataRow 7 | CommandComplete "SELECT 1" | ReadyForQuery I"#;
            check_at_once(&format!(
                r#"
                route write=a
                C> Parse s "{text}" | Describe S s | Sync
                >a1 Parse pgsteer_1 "{text}" | Describe S pgsteer_1 | Sync
                a1< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
                <C ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
                route write=a read=b
                C> Bind "" s | Execute "" | Sync | Query "select 2"
                >b1 Parse pgsteer_1 "{text}" | Describe S pgsteer_1 | Sync
                {lost}
                >a1 Bind "" pgsteer_1 | Execute "" | Sync | Query "select 2"
                a1< {answer} | CommandComplete "SELECT 1" | ReadyForQuery I
                <C {answer} | CommandComplete "SELECT 1" | ReadyForQuery I
                "#
            ));
        }
    }
}

/// A replica that has not replayed what a statement needs, or a change of what it yields, says so before the request is sent to it, or
/// instead of an answer: the leader gets the request.
#[test]
fn what_a_replica_cannot_prepare_the_leader_runs() {
    let refused = "b1< ParseComplete | ParameterDescription | RowDescription n m | ReadyForQuery I
        >b1 Bind \"\" pgsteer_1 | Bind \"\" pgsteer_ | Execute \"\" | Sync
        b1< BindComplete | Error 26000 \"prepared statement \\\"pgsteer_\\\" does not exist\" | ReadyForQuery I";
    let unknown = "b1< Error 42P01 \"relation \\\"t\\\" does not exist\" | ReadyForQuery I";
    for (answer, behind) in [(unknown, ""), (unknown, " | Query \"select 2\""), (refused, "")] {
        let told = if behind.is_empty() { "" } else { " | CommandComplete \"SELECT 1\" | ReadyForQuery I" };
        check_at_once(&format!(
            r#"
            route write=a
            C> Parse s "select count(*) from t" | Describe S s | Sync
            >a1 Parse pgsteer_1 "select count(*) from t" | Describe S pgsteer_1 | Sync
            a1< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
            <C ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
            route write=a read=b
            C> Bind "" s | Execute "" | Sync{behind}
            >b1 Parse pgsteer_1 "select count(*) from t" | Describe S pgsteer_1 | Sync
            {answer}
            >a1 Bind "" pgsteer_1 | Execute "" | Sync{behind}
            pool b idle=1
            a1< BindComplete | DataRow 7 | CommandComplete "SELECT 1" | ReadyForQuery I{told}
            <C BindComplete | DataRow 7 | CommandComplete "SELECT 1" | ReadyForQuery I{told}
            # That replica serves the next one.
            {READ}
            >b1 Query "select count(*) from t"
            b1< {ANSWER}
            <C {ANSWER}
            "#
        ));
    }
}

/// A replica is asked about what takes the place of a statement that has grown old there, with the end of that ahead of it: no client
/// waits for the end of an answer that has none.
#[test]
fn what_has_grown_old_on_a_replica_is_asked_about_once() {
    const USE: &str = r#"C> Parse "" "select count(*) from t" | Bind "" "" | Execute "" | Sync"#;
    const USED: &str = r#"BindComplete | DataRow 7 | CommandComplete "SELECT 1" | ReadyForQuery I"#;
    let same = format!(
        "b1< CloseComplete | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        >b1 Bind \"\" pgsteer_2 | Execute \"\" | Sync
        b1< {USED}"
    );
    let unknown = format!(
        "b1< CloseComplete | Error 42P01 \"relation \\\"t\\\" does not exist\" | ReadyForQuery I
        >a1 Bind \"\" pgsteer_2 | Execute \"\" | Sync
        a1< {USED}"
    );
    for answer in [same, unknown] {
        check_at_once(&format!(
            r#"
            {USE}
            >b1 Parse "" "select count(*) from t" | Bind "" "" | Describe S "" | Execute "" | Sync
            b1< ParseComplete | BindComplete | ParameterDescription | RowDescription n | DataRow 7 | CommandComplete "SELECT 1" | ReadyForQuery I
            <C ParseComplete | {USED}
            {USE}
            >b1 Parse pgsteer_1 "select count(*) from t" | Describe S pgsteer_1 | Bind "" pgsteer_1 | Execute "" | Sync
            b1< ParseComplete | ParameterDescription | RowDescription n | {USED}
            <C ParseComplete | {USED}
            wait 1s
            route write=a
            {USE}
            >a1 Parse pgsteer_2 "select count(*) from t" | Describe S pgsteer_2 | Bind "" pgsteer_2 | Execute "" | Sync
            a1< ParseComplete | ParameterDescription | RowDescription n | {USED}
            <C ParseComplete | {USED}
            route write=a read=b
            {USE}
            >b1 Close S pgsteer_1 | Parse pgsteer_2 "select count(*) from t" | Describe S pgsteer_2 | Sync
            {answer}
            <C ParseComplete | {USED}
            pool b idle=1
            "#
        ));
    }
}

/// The same where that is part of the request's sequence, because the server is asked first whether the name is free.
#[test]
fn what_is_asked_in_the_sequence_of_a_request_has_no_end() {
    let asked = asked_of(&["q"]);
    let taken = "Error 42P05 \"prepared statement \\\"q\\\" already exists\"";
    check_at_once(&format!(
        r#"
        route write=a
        D> Parse s "select count(*) from t" | Sync
        >a1 Parse pgsteer_1 "select count(*) from t" | Describe S pgsteer_1 | Sync
        a1< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <D ParseComplete | ReadyForQuery I
        C> Query "prepare q as select 1"
        >a1 Query "prepare q as select 1"
        a1< CommandComplete PREPARE | ReadyForQuery I
        <C CommandComplete PREPARE | ReadyForQuery I
        >a1 {asked}
        a1< DataRow p q "prepare q as select 1" t | ReadyForQuery I
        a1< {TOLD} | ParameterDescription | RowDescription n | ReadyForQuery I
        route write=a read=b
        C> Parse q "select count(*) from t" | Bind "" q | Execute "" | Sync
        >b1 Query "prepare q as select 1"
        b1< CommandComplete PREPARE | ReadyForQuery I
        >b1 Describe S q | Sync
        b1< ParameterDescription | RowDescription n | ReadyForQuery I
        >b1 Parse q "select count(*) from t" | Close S q | Parse pgsteer_1 "select count(*) from t" | Describe S pgsteer_1 | Flush
        b1< {taken}
        >b1 Sync
        b1< ReadyForQuery I
        <C {taken} | ReadyForQuery I
        pool b idle=1
        "#,
    ));
}

/// What is sent behind a request follows its answer, whoever gives that.
#[test]
fn what_is_sent_behind_it_waits() {
    check_at_once(&format!(
        r#"
        {READ} | Query "insert into t values (2)" | Terminate
        >b1 Query "select count(*) from t" | nothing
        b1< Error 25006 "read only" | ReadyForQuery I
        >a1 Query "select count(*) from t" | Query "insert into t values (2)"
        a1< {ANSWER} | CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C {ANSWER} | CommandComplete "INSERT 0 1" | ReadyForQuery I | end
        "#
    ));
}

/// A statement whose name is taken: the client's own statement stays what it is.
#[test]
fn a_name_that_is_taken_stays_taken() {
    check_at_once(
        r#"
        C> Parse s "select count(*) from t" | Sync
        >b1 Parse pgsteer_1 "select count(*) from t" | Describe S pgsteer_1 | Sync
        b1< ParseComplete | ParameterDescription | RowDescription count | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        C> Parse s "select 2" | Sync
        >a1 Parse pgsteer_0 "" | Parse pgsteer_0 "select 2" | Sync
        a1< ParseComplete | Error 42P05 "prepared statement \"pgsteer_0\" already exists" | ReadyForQuery I
        <C Error 42P05 "prepared statement \"s\" already exists" | ReadyForQuery I
        C> Bind "" s | Execute "" | Sync
        >b1 Bind "" pgsteer_1 | Execute "" | Sync
        b1< BindComplete | DataRow 7 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C BindComplete | DataRow 7 | CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

/// What a replica has refused is the leader's from then on; what else its client has prepared is not.
#[test]
fn only_what_was_refused_is_the_leaders() {
    check_at_once(&format!(
        r#"
        C> Parse "" "select count(*) from u" | Sync
        >b1 Parse "" "select count(*) from u" | Describe S "" | Sync
        b1< ParseComplete | ParameterDescription | RowDescription count | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        C> Parse s "select count(*) from t" | Bind "" s | Execute "" | Sync
        >b1 Parse pgsteer_1 "select count(*) from t" | Describe S pgsteer_1 | Bind "" pgsteer_1 | Execute "" | Sync
        b1< ParseComplete | ParameterDescription | RowDescription count | BindComplete | Error 25006 "read only" | ReadyForQuery I
        >a1 Parse pgsteer_2 "select count(*) from t" | Describe S pgsteer_2 | Bind "" pgsteer_2 | Execute "" | Sync
        a1< ParseComplete | ParameterDescription | RowDescription count | BindComplete | DataRow 7 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C ParseComplete | BindComplete | DataRow 7 | CommandComplete "SELECT 1" | ReadyForQuery I
        {READ}
        >a1 Query "select count(*) from t"
        a1< {ANSWER}
        <C {ANSWER}
        C> Query "select count(*) from u"
        >b1 Query "select count(*) from u"
        b1< {ANSWER}
        <C {ANSWER}
        "#
    ));
}

/// What its client calls a read may write where no replica serves it.
#[test]
fn what_is_only_called_a_read_may_commit() {
    let session = |setup: &mut Setup| {
        split(setup);
        setup.settings.consistency.otherwise = Consistency::Session;
    };
    check_with(
        session,
        r#"
        C> Query "insert into t values (1)"
        >a1 Query "insert into t values (1)" | Query "~insert_lsn"
        >a2 Query "~BEGIN READ ONLY"
        a2< DataRow f count | DataRow v roll | ReadyForQuery I
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I | DataRow 0/10 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        route write=a
        C> Query "/* pgsteer: read */ select roll()"
        >a1 Query "/* pgsteer: read */ select roll()" | Query "~insert_lsn"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I | DataRow 0/20 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "select count(*) from t"
        >a1 Query "select count(*) from t"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

fn read(setup: &mut Setup) {
    setup.purpose = Purpose::Read;
    setup.settings.rereading = Rereading::Lost;
    setup.settings.limits.size = 2;
}

/// A replica has told of its database. `with`: settings that it reports.
fn reading(with: &str, script: &str) {
    check_whole(
        read,
        &format!(
            r#"
            report {with}
            C> Query "select 1"
            >b1 Query "~select 1"
            >b2 Query "~BEGIN READ ONLY"
            b2< DataRow f count | DataRow v roll | ReadyForQuery I
            b1< CommandComplete "SELECT 1" | ReadyForQuery I
            <C CommandComplete "SELECT 1" | ReadyForQuery I
            pool b leased=0
            {script}
            "#
        ),
    );
}

#[test]
fn what_only_reads_another_replica_runs_again() {
    for lost in
        ["b1< close", "route write=a read=c lost=b\n>b1 end\n>b2 end", "b1< RowDescription count\nb1< close"]
    {
        reading(
            "",
            &format!(
                r#"
                {READ}
                >b1 Query "select count(*) from t"
                route write=a read=b,c
                {lost}
                >c1 Query "select count(*) from t"
                c1< {ANSWER}
                <C {ANSWER}
                "#
            ),
        );
    }
}

#[test]
fn what_may_do_more_is_not_run_again() {
    for (with, text) in [
        ("", "select roll()"),
        ("", "select 1; select 2"),
        // By the rules of these sessions the string ends later, and a call is in the open.
        ("standard_conforming_strings=off", r"select '\\' || ' || roll() --'"),
    ] {
        reading(
            with,
            &format!(
                r#"
                C> Query "{text}"
                >b1 Query "{text}"
                route write=a read=b,c
                b1< close
                <C Fatal 08007 _ | end
                "#
            ),
        );
    }
}

/// A replica may have been promoted before anybody knows: what is not proven to read only may have written there.
#[test]
fn what_is_only_called_a_read_is_not_given_to_the_leader_once_it_may_have_run() {
    check_at_once(
        r#"
        C> Query "/* pgsteer: read */ select roll()"
        >b1 Query "/* pgsteer: read */ select roll()"
        b1< close
        <C Fatal 08007 _ | end
        >a1 nothing
        "#,
    );
    // What says that it cannot has not.
    check_at_once(&format!(
        r#"
        C> Query "/* pgsteer: read */ select roll()"
        >b1 Query "/* pgsteer: read */ select roll()"
        b1< Error 25006 "read only" | ReadyForQuery I
        >a1 Query "/* pgsteer: read */ select roll()"
        a1< {ANSWER}
        <C {ANSWER}
        "#
    ));
}

/// Whoever waits for a replica does not get it once it is beyond the bounds that its listener goes by, though others read there.
#[test]
fn a_replica_that_does_not_qualify_any_more_is_not_taken_for_having_been_waited_for() {
    let busy = r#"
        route write=a read=b
        C> Query "select 1"
        >b1 Query "select 1"
        D> Query "select 2"
        >b1 nothing
    "#;
    let answered = r#"CommandComplete "SELECT 1" | ReadyForQuery I"#;
    let one = |setup: &mut Setup| setup.purpose = Purpose::Read;
    for (first, then) in [
        // Another serves it.
        ("route write=a read=c beyond=b", ""),
        // Nobody does: it waits for one.
        ("route write=a beyond=b", "wait 500ms\nroute write=a read=c beyond=b"),
    ] {
        check_with(
            one,
            &format!(
                r#"
                {busy}
                {first}
                b1< {answered}
                <C {answered}
                >b1 nothing
                pool b leased=0
                {then}
                >c1 Query "select 2"
                c1< {answered}
                <D {answered}
                "#
            ),
        );
    }
    // The server must be made ready for it first.
    check_with(
        one,
        &format!(
            r#"
            client D DateStyle=German
            {busy}
            b1< {answered}
            <C {answered}
            >b1 Query "~DateStyle"
            route write=a read=c beyond=b
            b1< ParameterStatus DateStyle German | CommandComplete SET | ReadyForQuery I
            >b1 nothing
            >c1 Query "~DateStyle"
            c1< ParameterStatus DateStyle German | CommandComplete SET | ReadyForQuery I
            >c1 Query "select 2"
            c1< {answered}
            <D {answered}
            "#
        ),
    );
}
