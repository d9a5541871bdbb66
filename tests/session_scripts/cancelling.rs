//! Cancel requests, whatever the client is doing when they come.

use crate::{
    play::{check, check_whole, check_with},
    promised::{BEGUN, session},
};

#[test]
fn while_it_waits_for_a_leader() {
    check(
        r#"
        route write=none deposed=a
        C> Query "select 1"
        wait 1s
        activity C Waiting none
        cancel C
        <C Error 57014 "canceling statement due to user request" | ReadyForQuery I
        activity C Idle none
        route write=b deposed=a
        C> Query "select 2"
        >b1 Query "select 2"
        b1< CommandComplete "SELECT 2" | ReadyForQuery I
        <C CommandComplete "SELECT 2" | ReadyForQuery I
        "#,
    );
}

#[test]
fn the_rest_of_a_cancelled_sequence_is_dropped_to_its_sync() {
    check_whole(
        |_| {},
        r#"
        C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        D> Parse "" "select d" | Bind "" "" | Flush
        wait 1s
        cancel D
        <D Error 57014 "canceling statement due to user request"
        D> Execute "" | Flush
        <D nothing
        D> Sync
        <D ReadyForQuery I
        C> Query commit
        >a1 Query commit
        a1< CommandComplete COMMIT | ReadyForQuery I
        <C CommandComplete COMMIT | ReadyForQuery I
        D> Query "select d"
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

#[test]
fn of_queries_sent_at_once_only_the_first_is_cancelled() {
    check_whole(
        |_| {},
        r#"
        C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        D> Query "select 1" | Query "select 2"
        wait 1s
        cancel D
        <D Error 57014 _ | ReadyForQuery I
        C> Query commit
        >a1 Query commit
        a1< CommandComplete COMMIT | ReadyForQuery I
        <C CommandComplete COMMIT | ReadyForQuery I
        >a1 Query "select 2"
        a1< CommandComplete "SELECT 2" | ReadyForQuery I
        <D CommandComplete "SELECT 2" | ReadyForQuery I
        "#,
    );
}

#[test]
fn while_its_server_is_made_ready() {
    check(
        r#"
        client C TimeZone=Asia/Tokyo
        C> Query "select c"
        >a1 Query _
        cancel C
        <C Error 57014 _ | ReadyForQuery I
        # What the server was doing for it is nobody else's.
        >a1 end
        D> Query "select d"
        >a2 Query "select d"
        a2< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

#[test]
fn while_its_server_is_opened() {
    check(
        r#"
        stuck a
        C> Query "select c"
        wait 100ms
        cancel C
        <C Error 57014 _ | ReadyForQuery I
        activity C Idle none
        "#,
    );
}

#[test]
fn while_the_program_is_about_to_end() {
    check_with(
        |setup| setup.settings.limits.size = 1,
        r#"
        C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        D> Query "select d"
        pool a waiting=1
        drain D
        cancel D
        <D Error 57014 _ | ReadyForQuery I | Fatal 57P01 _ | end
        "#,
    );
}

#[test]
fn while_it_does_nothing() {
    for (before, server, status) in [("select 1", "SELECT 1", "I"), ("begin", "BEGIN", "T")] {
        check(&format!(
            r#"
            C> Query "{before}"
            >a1 Query "{before}"
            a1< CommandComplete "{server}" | ReadyForQuery {status}
            <C CommandComplete "{server}" | ReadyForQuery {status}
            cancel C
            {}
            C> Query "select 2"
            >a1 Query "select 2"
            a1< CommandComplete "SELECT 1" | ReadyForQuery I
            <C CommandComplete "SELECT 1" | ReadyForQuery I
            "#,
            // The server itself knows that it does nothing, and the client has no other.
            if status == "T" { "cancelled a1" } else { "wait 100ms" }
        ));
    }
}

/// Its client has every answer: it is late, and PostgreSQL ignores it. What runs meanwhile is a question of ours.
#[test]
fn where_only_a_question_of_ours_is_owed_it_does_not_reach_the_server() {
    let script = |between: &str| {
        format!(
            r#"
            {BEGUN}
            C> Query "insert into t values (2)"
            >a1 Query "insert into t values (2)" | Query "~pg_current_wal_insert_lsn()"
            {between}
            a1< DataRow 0/20 | CommandComplete "SELECT 1" | ReadyForQuery I
            "#
        )
    };
    let answered = r#"
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        activity C Idle none
    "#;
    check_with(session, &script(&format!("{answered}cancel C\ncancelled")));
    // Before that it does.
    check_with(session, &script(&format!("cancel C\ncancelled a1\n{answered}")));
}

#[test]
fn nobody_elses_query_is_cancelled() {
    check(
        r#"
        C> Query "select c"
        >a1 Query "select c"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        # The server that C had runs a query of D's by now.
        D> Query "select d"
        >a1 Query "select d"
        cancel C
        wait 100ms
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

/// A transaction that waits for the right to write is cancelled as PostgreSQL would: it has failed, and the server learns
/// that first when something may be sent there again.
#[test]
fn while_it_waits_inside_a_transaction() {
    for (request, ends) in [
        ("Query \"insert\"", ""),
        ("Parse \"\" \"insert\" | Bind \"\" \"\" | Execute \"\" | Sync", ""),
        ("Parse \"\" \"insert\" | Bind \"\" \"\" | Flush", "C> Execute \"\" | Sync"),
    ] {
        let later = if ends.is_empty() { "" } else { "<C nothing" };
        check(&format!(
            r#"
            C> Query begin
            >a1 Query begin
            a1< CommandComplete BEGIN | ReadyForQuery T
            <C CommandComplete BEGIN | ReadyForQuery T
            fence close
            C> {request}
            wait 1s
            activity C Waiting open
            cancel C
            <C Error 57014 "canceling statement due to user request"
            {later}
            {ends}
            <C ReadyForQuery E
            activity C IdleInTransaction open
            # What it sends then waits again, and can be cancelled again.
            C> Query "rollback to savepoint a"
            wait 1s
            activity C Waiting open
            cancel C
            <C Error 57014 _ | ReadyForQuery E
            C> Query rollback
            >a1 nothing
            fence open
            wait 10ms
            >a1 Query "the client cancelled its statement while pgsteer held it back"
            a1< Error 42601 "syntax error" | ReadyForQuery E
            >a1 Query rollback
            a1< CommandComplete ROLLBACK | ReadyForQuery I
            <C CommandComplete ROLLBACK | ReadyForQuery I
            activity C Idle none
            pool a idle=1 leased=0
            "#
        ));
    }
}

/// Nothing but a Sync is missing: what ran is rolled back.
#[test]
fn while_the_end_of_its_sequence_waits() {
    check(
        r#"
        C> Parse "" "insert" | Bind "" "" | Execute "" | Flush
        >a1 Parse "" insert _ | Bind "" "" | Describe S "" | Execute "" | Flush
        a1< ParseComplete | BindComplete | ParameterDescription | NoData | CommandComplete "INSERT 0 1"
        <C ParseComplete | BindComplete | CommandComplete "INSERT 0 1"
        fence close
        C> Sync
        wait 100ms
        cancel C
        <C Error 57014 _ | ReadyForQuery I
        >a1 nothing
        fence open
        wait 10ms
        >a1 Query _
        a1< Error 42601 "syntax error" | ReadyForQuery I
        pool a idle=1 leased=0
        "#,
    );
}

/// The same inside a block; for the client the sequence has ended with its ReadyForQuery, whatever the server knows.
#[test]
fn while_the_end_of_its_sequence_waits_in_a_block() {
    check(
        r#"
        C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Parse "" "insert" | Bind "" "" | Execute "" | Flush
        >a1 Parse "" insert _ | Bind "" "" | Describe S "" | Execute "" | Flush
        a1< ParseComplete | BindComplete | ParameterDescription | NoData | CommandComplete "INSERT 0 1"
        <C ParseComplete | BindComplete | CommandComplete "INSERT 0 1"
        fence close
        C> Sync
        wait 100ms
        cancel C
        <C Error 57014 _ | ReadyForQuery E
        C> Query "rollback to savepoint a"
        wait 100ms
        cancel C
        <C Error 57014 _ | ReadyForQuery E
        fence open
        wait 10ms
        >a1 Query _
        a1< Error 42601 "syntax error" | ReadyForQuery E
        C> Query rollback
        >a1 Query rollback
        a1< CommandComplete ROLLBACK | ReadyForQuery I
        <C CommandComplete ROLLBACK | ReadyForQuery I
        pool a idle=1 leased=0
        "#,
    );
}

/// What runs is cancelled at its server, not what waits behind it.
#[test]
fn while_another_runs_and_the_next_waits() {
    check(
        r#"
        C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Query "select 1"
        >a1 Query "select 1"
        fence close
        C> Query "select 2"
        wait 100ms
        activity C Running open
        cancel C
        cancelled a1
        a1< Error 57014 _ | ReadyForQuery E
        <C Error 57014 _ | ReadyForQuery E
        activity C Waiting open
        cancel C
        <C Error 57014 _ | ReadyForQuery E
        C> Query rollback
        fence open
        wait 10ms
        >a1 Query rollback
        a1< CommandComplete ROLLBACK | ReadyForQuery I
        <C CommandComplete ROLLBACK | ReadyForQuery I
        "#,
    );
}

#[test]
fn while_it_waits_with_a_server_of_its_own() {
    check_with(
        |setup| setup.settings.mode = pgsteer::pool::account::PoolMode::Session,
        r#"
        C> Query "select 1"
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        fence close
        C> Parse "" "select 2"
        wait 100ms
        activity C Waiting none
        cancel C
        <C Error 57014 _
        C> Sync
        <C ReadyForQuery I
        activity C Idle none
        fence open
        wait 10ms
        >a1 nothing
        C> Query "select 3"
        >a1 Query "select 3"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

/// Until it is known what the request before has left, the next one waits, without a right to ask even for long.
#[test]
fn while_its_server_is_asked_what_was_left() {
    check(
        r#"
        C> Query "set work_mem to 1"
        >a1 Query "set work_mem to 1"
        fence close
        a1< CommandComplete SET | ReadyForQuery I
        <C CommandComplete SET | ReadyForQuery I
        C> Query "select 2"
        activity C Waiting none
        cancel C
        <C Error 57014 _ | ReadyForQuery I
        C> Parse "" "select 3"
        wait 1s
        cancel C
        <C Error 57014 _ | nothing
        fence open
        wait 10ms
        >a1 Query ~work_mem
        a1< RowDescription a b c d e | DataRow d work_mem 1 4096 t | CommandComplete "SELECT 1" | ReadyForQuery I
        C> Sync
        <C ReadyForQuery I
        C> Query "select 4"
        >a1 Query "select 4"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

#[test]
fn who_leaves_while_it_waits_inside_a_transaction_is_noticed() {
    check(
        r#"
        C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        fence close
        C> Query insert
        wait 100ms
        cancel C
        <C Error 57014 _ | ReadyForQuery E
        C> close
        wait 10ms
        activity C gone
        fence open
        wait 10ms
        >a1 Query ~ROLLBACK
        a1< CommandComplete ROLLBACK | ReadyForQuery I
        pool a idle=1 leased=0
        "#,
    );
}
