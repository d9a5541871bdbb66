//! Servers that die, speak out of turn, or have been idle for long.

use pgsteer::pool::account::PoolMode;

use crate::play::{check, check_whole, check_with};

#[test]
fn a_server_that_dies_in_a_result_closes_the_client() {
    check_whole(
        |_| {},
        r#"
        C> Query "select 1"
        >a1 Query "select 1"
        # A DataRow of 20 bytes, of which 6 come.
        a1< Raw 440000001400
        a1< close
        <C end inside "D\\x00\\x00\\x00\\x14\\x00"
        "#,
    );
}

#[test]
fn a_server_that_dies_between_messages_is_told_about() {
    for (query, code) in [("select 1", "08007"), ("begin", "08006")] {
        check(&format!(
            r#"
            C> Query "{query}"
            >a1 Query "{query}"
            a1< RowDescription n
            a1< close
            <C RowDescription n | Fatal {code} _ | end
            pool a leased=0 idle=0
            "#
        ));
    }
    check(
        r#"
        C> Query "begin"
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        a1< close
        <C Fatal 08006 _ | end
        "#,
    );
    // It was said that the work is done, but not that it is committed.
    check(
        r#"
        C> Parse "" "insert" | Bind "" "" | Execute "" | Sync
        >a1 Parse "" "insert" | Bind "" "" | Describe S "" | Execute "" | Sync
        a1< ParseComplete | BindComplete | ParameterDescription | NoData | CommandComplete "INSERT 0 1"
        a1< close
        <C ParseComplete | BindComplete | CommandComplete "INSERT 0 1" | Fatal 08007 _ | end
        "#,
    );
}

/// Who keeps a server and has nothing open there loses no transaction: least of all the one that was committed before.
#[test]
fn a_server_that_dies_at_rest_is_not_told_of_as_a_lost_transaction() {
    for (lost, code) in [("a1< close", "08006"), ("route write=b deposed=a\n>a1 end", "57P01")] {
        check_with(
            |setup| setup.settings.mode = PoolMode::Session,
            &format!(
                r#"
                C> Query "insert into t values (1)"
                >a1 Query "insert into t values (1)"
                a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
                <C CommandComplete "INSERT 0 1" | ReadyForQuery I
                {lost}
                <C Fatal {code} "the connection was lost while no transaction was open" | end
                "#
            ),
        );
    }
}

#[test]
fn the_last_word_of_a_server_is_the_clients() {
    check(
        r#"
        C> Query "begin"
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        a1< Fatal 57P01 "terminating connection due to administrator command"
        a1< close
        <C Fatal 57P01 "terminating connection due to administrator command" | end
        "#,
    );
}

/// Each message's own answer goes out before the next one is looked at: an error without the first means that no Execute
/// behind it was begun.
#[test]
fn a_server_that_is_told_to_end_before_it_begins_gives_the_request_back() {
    // What is seen a second time without a name is mapped.
    for (request, first, second) in [
        (
            r#"Parse "" "insert" | Bind "" "" | Execute "" | Sync"#,
            r#"Parse "" "insert" | Bind "" "" | Describe S "" | Execute "" | Sync"#,
            r#"Parse pgsteer_1 "insert" | Describe S pgsteer_1 | Bind "" pgsteer_1 | Execute "" | Sync"#,
        ),
        (
            r#"Parse s1 "insert" | Describe S s1 | Bind "" s1 | Execute "" | Sync"#,
            r#"Parse pgsteer_1 "insert" | Describe S pgsteer_1 | Bind "" pgsteer_1 | Execute "" | Sync"#,
            r#"Parse pgsteer_2 "insert" | Describe S pgsteer_2 | Bind "" pgsteer_2 | Execute "" | Sync"#,
        ),
        // Not whole: what comes later follows it.
        (
            r#"Parse "" "insert" | Describe S "" | Flush"#,
            r#"Parse "" "insert" | Describe S "" | Flush"#,
            r#"Parse pgsteer_1 "insert" | Describe S pgsteer_1 | Flush"#,
        ),
    ] {
        check_whole(
            |_| {},
            &format!(
                r#"
                C> {request}
                >a1 {first}
                a1< Fatal 57P01 "terminating connection due to administrator command"
                a1< close
                >a2 {second}
                a2< ParseComplete
                <C ParseComplete
                a2< Fatal 57P01 "terminating connection due to administrator command"
                a2< close
                <C Fatal 57P01 "terminating connection due to administrator command" | end
                pool a leased=0 idle=0
                "#
            ),
        );
    }
}

/// What is not known to have run nothing is told as the server told it.
#[test]
fn a_request_that_may_have_begun_is_not_given_back() {
    for (request, last_word) in [
        // A simple query may be half done.
        (r#"Query "insert""#, r#"Fatal 57P01 "terminating connection""#),
        // The client's own fault would come again.
        (r#"Parse "" "begin" | Sync"#, r#"Fatal 08P01 "invalid message""#),
        (r#"Parse "" "begin" | Sync"#, r#"Notice 01000 "first" | Fatal 57P01 "terminating connection""#),
        // The first of two sequences may have run before the second was turned away.
        (
            r#"Parse "" "a" | Sync | Parse "" "b" | Sync"#,
            r#"ParseComplete | ReadyForQuery I | Fatal 57P01 "terminating connection""#,
        ),
    ] {
        check(&format!(
            r#"
            C> {request}
            >a1 {request}
            a1< {last_word}
            a1< close
            <C {last_word} | end
            "#
        ));
    }
}

#[test]
fn an_idle_server_that_went_away_is_replaced_unnoticed() {
    for last_word in ["close", "Fatal 57P01 \"terminating connection\""] {
        check_whole(
            |_| {},
            &format!(
                r#"
                C> Query "select 1"
                >a1 Query "select 1"
                a1< CommandComplete "SELECT 1" | ReadyForQuery I
                <C CommandComplete "SELECT 1" | ReadyForQuery I
                a1< {last_word}
                C> Query "select 2"
                >a2 Query "select 2"
                a2< CommandComplete "SELECT 1" | ReadyForQuery I
                <C CommandComplete "SELECT 1" | ReadyForQuery I
                {}
                pool a idle=1
                "#,
                if last_word == "close" { "" } else { ">a1 Terminate | end" }
            ),
        );
    }
}

#[test]
fn settings_that_change_while_idle_do_not_change_the_clients() {
    check_whole(
        |_| {},
        r#"
        C> Query "select 1"
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        a1< ParameterStatus TimeZone "Europe/Paris" | Notice 01000 "configuration reloaded"
        C> Query "select 2"
        >a1 Query "SET TimeZone TO 'UTC';"
        a1< CommandComplete SET | ParameterStatus TimeZone UTC | ReadyForQuery I
        >a1 Query "select 2"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

#[test]
fn a_server_that_idled_long_is_asked_first() {
    check(
        r#"
        C> Query "select 1"
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        wait 29s
        C> Query "select 2"
        >a1 Query "select 2"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        wait 31s
        C> Query "select 3"
        >a1 Query ""
        a1< EmptyQueryResponse | ReadyForQuery I
        >a1 Query "select 3"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        wait 31s
        # It does not answer: another is used, and the client only waits.
        C> Query "select 4"
        >a1 Query ""
        wait 4900ms
        <C nothing
        wait 200ms
        >a1 end
        >a2 Query "select 4"
        a2< CommandComplete "SELECT 1" | ReadyForQuery I
        <C Notice 01000 _ | CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

#[test]
fn nonsense_from_a_server_is_not_passed_on() {
    for nonsense in ["Raw 5a00000001", "ParseComplete", "Raw 7700000004", "ReadyForQuery X"] {
        check(&format!(
            r#"
            C> Query "select 1"
            >a1 Query "select 1"
            a1< {nonsense}
            <C Fatal 08007 _ | end
            >a1 end
            "#
        ));
    }
}

#[test]
fn a_member_that_cannot_be_reached_is_tried_again() {
    check(
        r#"
        down a
        C> Query "select 1"
        wait 300ms
        <C nothing
        up a
        wait 1s
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
    check(
        r#"
        down a
        C> Query "select 1"
        wait 30s
        wait 200ms
        <C Notice _ | Error 08001 ~query_wait_timeout | ReadyForQuery I
        "#,
    );
}

#[test]
fn a_refused_login_is_told_at_once() {
    // What is fatal ends the session, as PostgreSQL's would have never begun.
    check(
        r#"
        refuse Fatal 3D000 "database \"db\" does not exist"
        C> Query "select 1"
        <C Fatal 3D000 "database \"db\" does not exist"
        <C end
        D> Parse "" "select 1" | Sync
        <D Fatal 3D000 "database \"db\" does not exist"
        <D end
        refuse
        wait 1100ms
        E> Query "select 1"
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <E CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

#[test]
fn a_start_up_setting_that_servers_refuse_is_its_own_clients_trouble_only() {
    check_with(
        |setup| setup.settings.limits.size = 2,
        r#"
        D> Query "select d"
        >a1 Query "select d"
        refuse Fatal 42704 "unrecognized configuration parameter"
        client C options nonsense=1
        C> Query "select c"
        <C Fatal 42704 _
        <C end
        refuse
        # Another's place in the line, and its server, are untouched.
        E> Query "select e"
        >a2 Query "select e"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        a2< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        <E CommandComplete "SELECT 1" | ReadyForQuery I
        pool a idle=2
        "#,
    );
}
