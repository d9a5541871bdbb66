//! Cancel requests, whatever the client is doing when they come.

use crate::play::{check, check_whole, check_with};

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
