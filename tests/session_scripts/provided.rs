//! What a server is given before a text of the client's, because SQL depends on it.

use crate::{
    held::{TOLD, asked_of},
    play::{check, check_whole, check_with},
    world::Setup,
};

/// `C` prepares `s` by the protocol.
const BEGIN: &str = r#"
    C> Parse s "select $1" 23 | Sync
    >a1 Parse pgsteer_1 "select $1" 23 | Describe S pgsteer_1 | Sync
    a1< ParseComplete | ParameterDescription 23 | RowDescription n | ReadyForQuery I
    <C ParseComplete | ReadyForQuery I
    "#;

/// As psycopg does with statements that it does not need any more.
#[test]
fn sql_finds_the_statements_of_the_protocol() {
    let (begin, asked) = (BEGIN, asked_of(&["s"]));
    check(&format!(
        r#"
        {begin}
        C> Query "deallocate s"
        >a1 Parse s "" | Sync | Query "deallocate s"
        a1< ParseComplete | ReadyForQuery I | CommandComplete DEALLOCATE | ReadyForQuery I
        <C CommandComplete DEALLOCATE | ReadyForQuery I
        >a1 {asked}
        a1< CommandComplete "SELECT 0" | ReadyForQuery I
        a1< {TOLD} | Error 26000 "prepared statement \"s\" does not exist" | ReadyForQuery I
        pool a idle=1
        # The client has it no more.
        C> Bind "" s | Sync
        >a1 Bind "" s | Sync
        a1< Error 26000 "prepared statement \"s\" does not exist" | ReadyForQuery I
        <C Error 26000 "prepared statement \"s\" does not exist" | ReadyForQuery I
        C> Parse s "select 2" | Sync
        >a1 Parse pgsteer_2 "select 2" | Describe S pgsteer_2 | Sync
        a1< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        "#
    ));
    // By the extended protocol, and run instead of taken away.
    check(&format!(
        r#"
        {begin}
        C> Parse "" "execute s(1)" | Bind "" "" | Execute "" | Sync
        >a1 Parse "" "execute s(1)" | Parse s "select $1" 23 | Describe S s | Flush
        a1< ParseComplete | ParseComplete | ParameterDescription 23 | RowDescription n
        >a1 Parse "" "execute s(1)" | Bind "" "" | Execute "" | Sync
        a1< ParseComplete | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <C ParseComplete | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        >a1 Query "~NOT from_sql" | Query "DEALLOCATE \"s\""
        a1< DataRow n s | ReadyForQuery I | CommandComplete DEALLOCATE | ReadyForQuery I
        C> Bind "" s 1 | Sync
        >a1 Bind "" pgsteer_1 1 | Sync
        a1< BindComplete | ReadyForQuery I
        <C BindComplete | ReadyForQuery I
        "#
    ));
}

/// Who leaves at once leaves nothing under a name that others may use.
#[test]
fn what_was_provided_goes_with_its_client() {
    let begin = BEGIN;
    check(&format!(
        r#"
        {begin}
        C> Query "execute s(1)" | Terminate
        >a1 Parse s "select $1" 23 | Describe S s | Sync
        a1< ParseComplete | ParameterDescription 23 | RowDescription n | ReadyForQuery I
        >a1 Query "execute s(1)"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        <C end
        >a1 Query "DISCARD ALL"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        pool a idle=1
        "#
    ));
}

/// What the server has not got under its true name the client has all the same.
#[test]
fn what_cannot_be_provided_is_not_lost() {
    let begin = BEGIN;
    // In a transaction that has failed the server says so itself.
    check(&format!(
        r#"
        {begin}
        C> Query "begin; select 1/0"
        >a1 Query "begin; select 1/0"
        a1< CommandComplete BEGIN | Error 22012 "division by zero" | ReadyForQuery E
        <C CommandComplete BEGIN | Error 22012 "division by zero" | ReadyForQuery E
        C> Query "execute s(1)"
        >a1 Query "execute s(1)"
        a1< Error 25P02 "aborted" | ReadyForQuery E
        <C Error 25P02 "aborted" | ReadyForQuery E
        C> Query "execute s(2)"
        >a1 Query "execute s(2)"
        a1< Error 25P02 "aborted" | ReadyForQuery E
        <C Error 25P02 "aborted" | ReadyForQuery E
        C> Query "rollback"
        >a1 Query rollback
        a1< CommandComplete ROLLBACK | ReadyForQuery I
        <C CommandComplete ROLLBACK | ReadyForQuery I
        pool a idle=1
        C> Bind "" s 1 | Sync
        >a1 Bind "" pgsteer_1 1 | Sync
        a1< BindComplete | ReadyForQuery I
        <C BindComplete | ReadyForQuery I
        "#
    ));
}

#[test]
fn what_is_bound_later_is_provided_for_again() {
    let begin = BEGIN;
    check(&format!(
        r#"
            {begin}
            C> Parse "" "execute s(1)" | Sync
            >a1 Parse "" "execute s(1)" | Sync
            a1< ParseComplete | ReadyForQuery I
            <C ParseComplete | ReadyForQuery I
            C> Bind "" "" | Sync
            >a1 Parse s "select $1" 23 | Describe S s | Sync
            a1< ParseComplete | ParameterDescription 23 | RowDescription n | ReadyForQuery I
            >a1 Parse "" "execute s(1)" | Bind "" "" | Sync
            a1< ParseComplete | BindComplete | ReadyForQuery I
            <C BindComplete | ReadyForQuery I
            >a1 Query "~NOT from_sql" | Query "DEALLOCATE \"s\""
            a1< DataRow n s | ReadyForQuery I | CommandComplete DEALLOCATE | ReadyForQuery I
            "#
    ));
}

#[test]
fn nobody_elses_draw_from_a_sequence_is_read() {
    check(
        r#"
        D> Query "select nextval('s')"
        >a1 Query "select nextval('s')"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "select lastval()"
        >a1 Query "DISCARD SEQUENCES" | Query "select lastval()"
        a1< CommandComplete "DISCARD SEQUENCES" | ReadyForQuery I
        a1< Error 55000 "lastval is not yet defined in this session" | ReadyForQuery I
        <C Error 55000 "lastval is not yet defined in this session" | ReadyForQuery I
        # From now on it has a server of its own, so that what it draws it can read.
        activity C Pinned none
        C> Query "select nextval('s')"
        >a1 Query "select nextval('s')"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "select lastval()"
        >a1 Query "select lastval()"
        a1< DataRow 2 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C DataRow 2 | CommandComplete "SELECT 1" | ReadyForQuery I
        C> Terminate
        <C end
        >a1 Query "DISCARD ALL"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        # And so have others that draw, now that it is known that draws are read here.
        E> Query "select nextval('s')"
        >a1 Query "select nextval('s')"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <E CommandComplete "SELECT 1" | ReadyForQuery I
        activity E Pinned none
        "#,
    );
    // Its own it may read: nobody else has had the server, or it draws and reads in one transaction.
    check_whole(
        |_| {},
        r#"
        C> Query "insert into t default values"
        >a1 Query "insert into t default values"
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        C> Parse "" "select lastval()" | Bind "" "" | Execute "" | Sync
        >a1 Parse "" "select lastval()" | Bind "" "" | Describe S "" | Execute "" | Sync
        a1< ParseComplete | BindComplete | ParameterDescription | RowDescription n | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C ParseComplete | BindComplete | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        activity C Pinned none
        "#,
    );
    check(
        r#"
        D> Query "select 1"
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        # What it forgets it has not drawn itself.
        C> Query "insert into t default values; select lastval()"
        >a1 Query "DISCARD SEQUENCES" | Query ~insert
        a1< CommandComplete "DISCARD SEQUENCES" | ReadyForQuery I
        a1< CommandComplete "INSERT 0 1" | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

/// Nor later: what others have drawn a server remembers over several leases.
#[test]
fn nobody_elses_draw_is_read_by_the_second_lease() {
    check(
        r#"
        D> Query "select nextval('s')"
        >a1 Query "select nextval('s')"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "select 1"
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "select currval('s')"
        >a1 Query "DISCARD SEQUENCES" | Query "select currval('s')"
        a1< CommandComplete "DISCARD SEQUENCES" | ReadyForQuery I
        a1< Error 55000 "currval is not yet defined in this session" | ReadyForQuery I
        <C Error 55000 "currval is not yet defined in this session" | ReadyForQuery I
        "#,
    );
}

/// Of its own a client reads none that is old: it may have drawn elsewhere since.
#[test]
fn no_draw_is_read_that_is_not_the_last() {
    check_with(
        |setup| setup.settings.limits.size = 2,
        r#"
        C> Query "select nextval('s')"
        >a1 Query "select nextval('s')"
        a1< DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        # It draws on another server.
        D> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <D CommandComplete BEGIN | ReadyForQuery T
        C> Query "select nextval('s')"
        >a2 Query "select nextval('s')"
        a2< DataRow 2 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C DataRow 2 | CommandComplete "SELECT 1" | ReadyForQuery I
        # And once more on the same.
        C> Query "select nextval('s')"
        >a2 Query "select nextval('s')"
        a2< DataRow 3 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C DataRow 3 | CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "select currval('s')"
        >a2 Query "select currval('s')"
        a2< DataRow 3 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C DataRow 3 | CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
    check_with(
        |setup| setup.settings.limits.size = 2,
        r#"
        C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        D> Query "select nextval('s')"
        >a2 Query "select nextval('s')"
        a2< DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        <D DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query commit
        >a1 Query commit
        a1< CommandComplete COMMIT | ReadyForQuery I
        <C CommandComplete COMMIT | ReadyForQuery I
        # The server that was used last comes next.
        D> Query "select nextval('s')"
        >a1 Query "select nextval('s')"
        a1< DataRow 2 | CommandComplete "SELECT 1" | ReadyForQuery I
        <D DataRow 2 | CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        # It is back where it drew first.
        D> Query "select 1"
        >a2 Query "select 1"
        a2< DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        <D DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        D> Query "select currval('s')"
        >a2 Query "DISCARD SEQUENCES" | Query "select currval('s')"
        a2< CommandComplete "DISCARD SEQUENCES" | ReadyForQuery I
        a2< Error 55000 "currval is not yet defined in this session" | ReadyForQuery I
        <D Error 55000 "currval is not yet defined in this session" | ReadyForQuery I
        "#,
    );
}

/// A driver sends BEGIN along with the first statement; and a transaction may ask late.
#[test]
fn nobody_elses_draw_is_read_in_the_middle_of_a_transaction() {
    check_whole(
        |_| {},
        r#"
        D> Query "select nextval('s')"
        >a1 Query "select nextval('s')"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        C> Parse "" begin | Bind "" "" | Execute "" | Parse "" "select lastval()" | Bind "" "" | Execute "" | Sync
        >a1 Parse "" begin | Bind "" "" | Execute ""
        >a1 Parse pgsteer_aside "DISCARD SEQUENCES" | Bind pgsteer_aside pgsteer_aside | Execute pgsteer_aside
        >a1 Close P pgsteer_aside | Close S pgsteer_aside
        >a1 Parse "" "select lastval()" | Bind "" "" | Describe S "" | Execute "" | Sync
        a1< ParseComplete | BindComplete | CommandComplete BEGIN
        a1< ParseComplete | BindComplete | CommandComplete "DISCARD SEQUENCES" | CloseComplete | CloseComplete
        a1< ParseComplete | BindComplete | ParameterDescription | RowDescription n | Error 55000 "lastval is not yet defined in this session" | ReadyForQuery E
        <C ParseComplete | BindComplete | CommandComplete BEGIN
        <C ParseComplete | BindComplete | Error 55000 "lastval is not yet defined in this session" | ReadyForQuery E
        "#,
    );
    check(
        r#"
        D> Query "select nextval('s')"
        >a1 Query "select nextval('s')"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Query "insert into t default values"
        >a1 Query "insert into t default values"
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery T
        <C CommandComplete "INSERT 0 1" | ReadyForQuery T
        # What it has drawn in this transaction it may read.
        C> Query "select lastval()"
        >a1 Query ~RowExclusiveLock | Query "select lastval()"
        a1< CommandComplete DO | ReadyForQuery T
        a1< DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery T
        <C DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery T
        C> Query "select lastval()"
        >a1 Query "select lastval()"
        a1< DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery T
        <C DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery T
        "#,
    );
}

/// Where it is known that somebody asks, nobody begins with what another has drawn. A new server has nothing to forget.
#[test]
fn a_server_forgets_what_was_drawn_before_it_changes_hands() {
    check(
        r#"
        D> Query "select lastval()"
        >a1 Query "select lastval()"
        a1< Error 55000 "lastval is not yet defined in this session" | ReadyForQuery I
        <D Error 55000 "lastval is not yet defined in this session" | ReadyForQuery I
        D> Query "discard all"
        >a1 Query "discard all"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        <D CommandComplete "DISCARD ALL" | ReadyForQuery I
        C> Query begin
        >a1 Query "DISCARD SEQUENCES"
        a1< CommandComplete "DISCARD SEQUENCES" | ReadyForQuery I
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Query "select lastval()"
        >a1 Query "select lastval()"
        a1< Error 55000 "lastval is not yet defined in this session" | ReadyForQuery E
        <C Error 55000 "lastval is not yet defined in this session" | ReadyForQuery E
        "#,
    );
}

/// A server keeps what it was told for another client: whoever is told nothing finds nothing there.
#[test]
fn nobody_finds_what_another_client_was_told() {
    let told = |setup: &mut Setup| setup.others_were_told = true;
    for name in ["token", "last_commit", "session"] {
        let asks = format!("show pgsteer.{name}");
        check_with(
            told,
            &format!(
                r#"
                C> Query "{asks}"
                >a1 Query "SET pgsteer.{name} = ''" | Query "{asks}"
                a1< CommandComplete SET | ReadyForQuery I | DataRow "" | CommandComplete SHOW | ReadyForQuery I
                <C DataRow "" | CommandComplete SHOW | ReadyForQuery I
                "#
            ),
        );
        check(&format!(
            r#"
            C> Query "{asks}"
            >a1 Query "{asks}"
            a1< Error 42704 "unrecognized" | ReadyForQuery I
            <C Error 42704 _ | ReadyForQuery I
            "#
        ));
    }
}

/// Queries behind a sequence without its Sync are skipped with it, should it fail. What is ours in front of one of them would be, too,
/// or end the skipping before the client does: it waits until that is known.
#[test]
fn what_is_provided_in_front_of_what_may_be_skipped_waits() {
    let asked = asked_of(&["s"]);
    let sent = r#"
        C> Parse "" "select 0" | Bind "" "" | Query "select 1" | Query "deallocate s"
        >a1 Parse "" "select 0" | Bind "" "" | Query "select 1" | nothing
    "#;
    check_whole(
        |_| {},
        &format!(
            r#"
            {BEGIN}
            {sent}
            a1< Error 42601 "syntax error"
            <C Error 42601 "syntax error"
            >a1 nothing
            C> Query "select 2" | Sync
            >a1 Sync
            a1< ReadyForQuery I
            <C ReadyForQuery I
            # It is the client's as before.
            C> Query "execute s(1)"
            >a1 Parse s "select $1" 23 | Describe S s | Sync
            a1< ParseComplete | ParameterDescription 23 | RowDescription n | ReadyForQuery I
            >a1 Query "execute s(1)"
            a1< CommandComplete "SELECT 1" | ReadyForQuery I
            <C CommandComplete "SELECT 1" | ReadyForQuery I
            >a1 Query "~NOT from_sql" | Query "DEALLOCATE \"s\""
            "#
        ),
    );
    check_whole(
        |_| {},
        &format!(
            r#"
            {BEGIN}
            {sent}
            a1< ParseComplete | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
            <C ParseComplete | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
            >a1 Parse s "" | Sync | Query "deallocate s"
            a1< ParseComplete | ReadyForQuery I | CommandComplete DEALLOCATE | ReadyForQuery I
            <C CommandComplete DEALLOCATE | ReadyForQuery I
            >a1 {asked}
            "#
        ),
    );
}

/// The same of a setting, and of what a statement is asked in front of its use.
#[test]
fn nothing_of_ours_ends_what_is_skipped() {
    let failed = r#"
        >a1 Parse "" "select 0" | Bind "" "" | Query "select 1" | nothing
        a1< Error 42601 "syntax error"
        <C Error 42601 "syntax error"
        C> Sync
        >a1 Sync
        a1< ReadyForQuery I
        <C ReadyForQuery I
    "#;
    check_whole(
        |setup| setup.settings.consistency.otherwise = pgsteer::route::consistency::Consistency::Session,
        &format!(
            r#"
            C> Parse "" "select 0" | Bind "" "" | Query "select 1" | Query "show pgsteer.token"
            {failed}
            >a1 Query "~insert_lsn"
            "#
        ),
    );
    check_whole(
        |setup| setup.settings.limits.size = 2,
        &format!(
            r#"
            C> Parse s "select $1" 23 | Describe S s | Sync
            >a1 Parse pgsteer_1 "select $1" 23 | Describe S pgsteer_1 | Sync
            a1< ParseComplete | ParameterDescription 23 | RowDescription n | ReadyForQuery I
            <C ParseComplete | ParameterDescription 23 | RowDescription n | ReadyForQuery I
            D> Query "select 3"
            >a1 Query "select 3"
            C> Parse "" "select 0" | Bind "" "" | Query "select 1" | Bind "" s 1
            {}
            "#,
            failed.replace("a1", "a2")
        ),
    );
}
