//! Who gets which server, and when.

use std::time::Duration;

use pgsteer::pool::account::PoolMode;

use crate::play::{check, check_whole, check_with};

#[test]
fn a_query_and_its_answer() {
    check(
        r#"
        C> Query "select 1"
        >a1 Query "select 1"
        a1< RowDescription n | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C RowDescription n | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        pool a idle=1 leased=0
        C> Query "select 2"
        >a1 Query "select 2"
        a1< EmptyQueryResponse | ReadyForQuery I
        <C EmptyQueryResponse | ReadyForQuery I
        "#,
    );
}

#[test]
fn a_query_too_long_to_hold_streams_through() {
    check_whole(
        |_| {},
        r#"
        C> Query "insert into t values ('@1200000')"
        >a1 Query "insert into t values ('@1200000')"
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        >a1 Query ~pg_listening_channels
        a1< CommandComplete "SELECT 0" | ReadyForQuery I
        >a1 Query "DISCARD ALL"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        C> Query "set timezone to '@1200000'" | Query "select 1"
        >a1 Query "set timezone to '@1200000'" | nothing
        a1< Error 22023 "invalid value" | ReadyForQuery I
        <C Error 22023 "invalid value" | ReadyForQuery I
        >a1 Query ~pg_listening_channels
        a1< CommandComplete "SELECT 0" | ReadyForQuery I
        >a1 Query "DISCARD ALL"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

#[test]
fn clients_that_wait_all_get_their_turn() {
    let names = ["D", "E", "F", "G"];
    let all = |line: &dyn Fn(&str) -> String| names.map(line).join("\n");
    check(&format!(
        r#"
        C> Query "begin"
        >a1 Query begin
        {}
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        pool a waiting=4
        C> Query "commit"
        >a1 Query commit
        a1< CommandComplete COMMIT | ReadyForQuery I
        <C CommandComplete COMMIT | ReadyForQuery I
        {}
        "#,
        all(&|name| format!("{name}> Query \"select {name}\"")),
        all(&|name| format!(
            ">a1 Query \"select {name}\" | nothing\na1< CommandComplete {name} | ReadyForQuery I
            <{name} CommandComplete {name} | ReadyForQuery I"
        )),
    ));
}

#[test]
fn a_server_is_handed_from_one_client_to_the_next() {
    check(
        r#"
        C> Query "begin"
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        D> Query "select d"
        E> Query "select e"
        >a1 nothing
        pool a leased=1 waiting=2
        C> Query "commit"
        >a1 Query commit
        a1< CommandComplete COMMIT | ReadyForQuery I
        <C CommandComplete COMMIT | ReadyForQuery I
        # First come, first served; and nobody hears another's answer.
        >a1 Query "select d" | nothing
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        >a1 Query "select e"
        a1< CommandComplete "SELECT 2" | ReadyForQuery I
        <E CommandComplete "SELECT 2" | ReadyForQuery I
        pool a idle=1 leased=0 waiting=0
        "#,
    );
}

#[test]
fn requests_in_a_row_share_the_line() {
    check_whole(
        |_| {},
        r#"
        C> Query "select 1" | Query "select 2" | Query "select 3"
        >a1 Query "select 1" | Query "select 2" | Query "select 3"
        D> Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        >a1 nothing
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        >a1 Query "select d"
        <C CommandComplete _ | ReadyForQuery I | CommandComplete _ | ReadyForQuery I | CommandComplete _
        <C ReadyForQuery I
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

#[test]
fn whoever_waits_too_long_gets_an_error_and_goes_on() {
    let quick = |setup: &mut crate::world::Setup| {
        setup.settings.query_wait_timeout = Some(Duration::from_secs(2));
    };
    check_with(
        quick,
        r#"
        C> Query "begin"
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        D> Query "select d"
        wait 1900ms
        <D nothing
        wait 200ms
        <D Error 53300 ~query_wait_timeout | ReadyForQuery I
        # Up to Sync everything belongs to the request that failed, a copy's data too.
        D> Parse "" "copy t from stdin" | Bind "" "" | Execute "" | Query "select 0" | CopyData "select"
        wait 2100ms
        <D Error 53300 _ | nothing
        D> CopyDone | Sync
        <D ReadyForQuery I
        pool a leased=1 waiting=0
        C> Query "commit"
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
fn a_long_wait_is_told() {
    check(
        r#"
        C> Query "begin"
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        D> Query "select d"
        wait 4900ms
        <D nothing
        wait 200ms
        <D Notice 01000 ~waiting
        wait 10s
        <D nothing
        C> Terminate
        >a1 Query ROLLBACK
        a1< CommandComplete ROLLBACK | ReadyForQuery I
        <C end
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

#[test]
fn a_cancelled_wait_ends_in_an_error() {
    check(
        r#"
        C> Query "begin"
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        D> Query "select d"
        pool a waiting=1
        cancel D
        <D Error 57014 "canceling statement due to user request" | ReadyForQuery I
        pool a waiting=0
        C> Query "commit"
        >a1 Query commit
        a1< CommandComplete COMMIT | ReadyForQuery I
        <C CommandComplete COMMIT | ReadyForQuery I
        "#,
    );
}

#[test]
fn a_cancelled_server_is_handed_on_only_when_the_request_has_ended() {
    check(
        r#"
        C> Query "select pg_sleep(9)"
        >a1 Query "select pg_sleep(9)"
        D> Query "select d"
        hold
        cancel C
        cancelled a1
        a1< Error 57014 "canceling statement" | ReadyForQuery I
        <C Error 57014 "canceling statement" | ReadyForQuery I
        >a1 nothing
        pool a recovering=1 waiting=1
        release
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        # With nothing running there is nothing to cancel.
        cancel C
        wait 100ms
        "#,
    );
}

#[test]
fn a_server_that_a_lost_cancel_request_may_still_reach_is_not_handed_on() {
    // The server is stopped: the request gives up, and would hit what runs when the server goes on.
    for (wait, end, notice) in [("1s", "end", ""), ("6s", "Terminate | end", "Notice 01000 _ |")] {
        check(&format!(
            r#"
            C> Query "select pg_sleep(9)"
            >a1 Query "select pg_sleep(9)"
            D> Query "select d"
            hold
            cancel C
            cancelled a1
            wait {wait}
            a1< CommandComplete "SELECT 1" | ReadyForQuery I
            <C CommandComplete "SELECT 1" | ReadyForQuery I
            wait 6s
            >a1 {end}
            >a2 Query "select d"
            a2< CommandComplete "SELECT 1" | ReadyForQuery I
            <D {notice} CommandComplete "SELECT 1" | ReadyForQuery I
            "#
        ));
    }
}

#[test]
fn a_second_server_is_opened_while_there_is_room() {
    check_with(
        |setup| setup.settings.limits.size = 2,
        r#"
        C> Query "begin"
        >a1 Query begin
        D> Query "begin"
        >a2 Query begin
        E> Query "select e"
        pool a leased=2 waiting=1
        a2< CommandComplete BEGIN | ReadyForQuery T
        <D CommandComplete BEGIN | ReadyForQuery T
        D> Terminate
        <D end
        >a2 Query ROLLBACK
        a2< CommandComplete ROLLBACK | ReadyForQuery I
        >a2 Query "select e"
        a2< CommandComplete "SELECT 1" | ReadyForQuery I
        <E CommandComplete "SELECT 1" | ReadyForQuery I
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        "#,
    );
}

#[test]
fn session_pooling_keeps_the_server_and_discards_at_the_end() {
    check_with(
        |setup| setup.settings.mode = PoolMode::Session,
        r#"
        C> Query "select 1"
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        activity C Idle none
        D> Query "select d"
        pool a leased=1 waiting=1
        C> Query "begin"
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        activity C IdleInTransaction open
        C> Query "commit"
        >a1 Query commit
        a1< CommandComplete COMMIT | ReadyForQuery I
        <C CommandComplete COMMIT | ReadyForQuery I
        C> Terminate
        <C end
        >a1 Query "DISCARD ALL"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        D> close
        >a1 Query "DISCARD ALL"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        pool a idle=1
        "#,
    );
}

#[test]
fn statement_pooling_refuses_blocks() {
    check_with(
        |setup| setup.settings.mode = PoolMode::Statement,
        r#"
        C> Query "select 1"
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "begin"
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | Fatal 0A000 ~statement | end
        >a1 Query ROLLBACK
        a1< CommandComplete ROLLBACK | ReadyForQuery I
        pool a idle=1
        "#,
    );
}

#[test]
fn start_up_settings_get_servers_of_their_own() {
    check(
        r#"
        client C options statement_timeout=5s
        C> Query "select c"
        login a1 "user=user database=db statement_timeout=5s"
        >a1 Query "select c"
        D> Query "select d"
        pool a leased=1 waiting=1
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        # There is room for one: it gives way to one that fits.
        >a1 Terminate | end
        >a2 Query "select d"
        a2< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        login a2 "user=user database=db"
        C> Query "select c"
        >a2 Terminate | end
        >a3 Query "select c"
        a3< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

#[test]
fn a_long_statement_is_waited_for_without_a_server() {
    check_with(
        |_| {},
        r#"
        C> Parse s "select @200000" | Sync
        >a1 Parse pgsteer_1 "select @200000" | Describe S pgsteer_1 | Sync
        a1< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        C> Parse "" "select @1200000" | Bind "" "" | Execute "" | Sync
        # Too long to be read whole, it may have changed a setting: what follows waits.
        >a1 Parse "" "select @1200000" | Bind "" "" | Execute "" | Flush | nothing
        a1< ParseComplete | BindComplete | CommandComplete "SELECT 1"
        >a1 Sync
        a1< ReadyForQuery I
        <C ParseComplete | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        # And it may have left anything behind.
        >a1 Query ~pg_listening_channels
        a1< CommandComplete "SELECT 0" | ReadyForQuery I
        >a1 Query "DISCARD ALL"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        pool a idle=1
        "#,
    );
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody_else() {
    check_whole(
        |setup| {
            setup.capacity = 1000;
            setup.settings.limits.size = 2;
        },
        r#"
        C> Query "select 1"
        >a1 Query "select 1"
        a1< DataRow @900
        a1< DataRow @900
        D> Query "select d"
        >a2 Query "select d"
        a2< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        <C DataRow @900 | DataRow @900
        a1< CommandComplete "SELECT 2" | ReadyForQuery I
        <C CommandComplete "SELECT 2" | ReadyForQuery I
        pool a idle=2
        "#,
    );
}

/// Whom a change of leader sends from one line to the next has waited all the same.
#[test]
fn what_was_waited_in_one_line_counts_in_the_next() {
    check(
        r#"
        C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        D> Query "select d"
        wait 20s
        <D Notice 01000 _
        stuck b
        route write=b deposed=a
        <C Fatal 57P01 _ | end
        >a1 end
        wait 9s
        <D nothing
        wait 2s
        <D Error _ | ReadyForQuery I
        "#,
    );
}

/// What one client asks for is no other's trouble.
#[test]
fn a_full_pool_is_what_keeps_clients_waiting() {
    check_with(
        |setup| setup.settings.limits.size = 2,
        r#"
        C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        refuse Fatal 55P02 "parameter \"server_version\" cannot be changed"
        client D options server_version=9
        D> Query "select d"
        <D Fatal 55P02 _
        <D end
        refuse
        E> Query begin
        >a2 Query begin
        a2< CommandComplete BEGIN | ReadyForQuery T
        <E CommandComplete BEGIN | ReadyForQuery T
        F> Query "select f"
        wait 31s
        <F Notice _ | Error 53300 _ | ReadyForQuery I
        "#,
    );
}
