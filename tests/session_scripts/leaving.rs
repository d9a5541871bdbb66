//! Clients that leave, and what becomes of their servers.

use crate::play::{check, check_whole};

#[test]
fn a_client_that_vanishes_in_a_transaction_costs_one_rollback() {
    for leaving in ["close", "Terminate", "half"] {
        check(&format!(
            r#"
            C> Query "begin"
            >a1 Query begin
            a1< CommandComplete BEGIN | ReadyForQuery T
            <C CommandComplete BEGIN | ReadyForQuery T
            D> Query "select d"
            C> {leaving}
            >a1 Query ROLLBACK | nothing
            a1< CommandComplete ROLLBACK | ReadyForQuery I
            >a1 Query "select d"
            a1< CommandComplete "SELECT 1" | ReadyForQuery I
            <D CommandComplete "SELECT 1" | ReadyForQuery I
            {}
            "#,
            if leaving == "close" { "" } else { "<C end" }
        ));
    }
}

#[test]
fn what_a_vanished_client_left_running_is_cancelled_and_closed() {
    check(
        r#"
        C> Query "select pg_sleep(100)"
        >a1 Query "select pg_sleep(100)"
        D> Query "select d"
        C> close
        wait 1900ms
        >a1 nothing
        wait 200ms
        cancelled a1
        >a1 end
        >a2 Query "select d"
        a2< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

#[test]
fn a_half_closed_client_gets_its_answer_within_a_grace() {
    check(
        r#"
        C> Query "select 0"
        >a1 Query "select 0"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "select 1"
        C> half
        >a1 Query "select 1"
        wait 1s
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I | end
        pool a idle=1
        "#,
    );
    check(
        r#"
        C> Query "select 0"
        >a1 Query "select 0"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "select 1"
        C> half
        >a1 Query "select 1"
        wait 1s
        a1< RowDescription n
        wait 1100ms
        <C RowDescription n | end
        cancelled a1
        >a1 end
        "#,
    );
}

#[test]
fn terminate_behind_a_query_lets_it_run() {
    check(
        r#"
        C> Query "insert into t values (1)" | Terminate
        >a1 Query "insert into t values (1)" | nothing
        wait 60s
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I | end
        pool a idle=1
        "#,
    );
    // The client does not wait for the end.
    check_whole(
        |_| {},
        r#"
        C> Query "select 0"
        >a1 Query "select 0"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "insert into t values (1)" | Terminate
        C> close
        >a1 Query "insert into t values (1)" | nothing
        wait 60s
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        >a1 nothing
        pool a idle=1
        "#,
    );
}

#[test]
fn a_message_that_was_half_sent_is_never_finished_by_another() {
    check_whole(
        |_| {},
        r#"
        C> Query "copy t from stdin"
        >a1 Query "copy t from stdin"
        a1< CopyIn
        <C CopyIn
        # A CopyData of 10 bytes, of which 3 come.
        C> Raw 640000000e414243
        C> close
        D> Query "select d"
        wait 3s
        cancelled a1
        >a1 end inside "d\\x00\\x00\\x00\\x0eABC"
        >a2 Query "select d"
        a2< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

#[test]
fn each_of_several_transactions_has_its_own_time() {
    check(
        r#"
        C> Query "select 1" | Query "select 2"
        >a1 Query "select 1" | Query "select 2"
        wait 20s
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        activity C Running open
        young C 19000
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        activity C Idle none
        "#,
    );
}

#[test]
fn what_a_client_sent_before_it_left_the_line_is_run() {
    for leaving in ["Terminate", "half", "close"] {
        let hears = if leaving == "close" {
            ""
        } else {
            r#"<D CommandComplete "INSERT 0 1" | ReadyForQuery I | end"#
        };
        let script = format!(
            r#"
            C> Query "begin"
            >a1 Query begin
            a1< CommandComplete BEGIN | ReadyForQuery T
            <C CommandComplete BEGIN | ReadyForQuery T
            D> Query "insert into t values (1)"
            D> {leaving}
            wait 100ms
            C> Query "commit"
            >a1 Query commit
            a1< CommandComplete COMMIT | ReadyForQuery I
            <C CommandComplete COMMIT | ReadyForQuery I
            >a1 Query "insert into t values (1)"
            a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
            {hears}
            "#
        );
        // Cut in pieces, the answer would break off at the first that cannot be sent.
        if leaving == "close" { check_whole(|_| {}, &script) } else { check(&script) }
    }
}
