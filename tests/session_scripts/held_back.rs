//! Reads that must see what anybody was told to be committed (`consistency = "global"`): what is held back, until when, and what
//! becomes of it.

use pgsteer::{pool::account::PoolMode, route::consistency::Consistency, session::routes::Purpose};

use crate::{
    play::{check_whole, check_with},
    promised::{BEGUN, PLACED, session},
    world::Setup,
};

fn global(setup: &mut Setup) {
    session(setup);
    setup.settings.consistency.otherwise = Consistency::Global;
}

/// Nobody is told of a commit before everybody's reads must see it.
#[test]
fn everybody_sees_what_anybody_was_told() {
    check_with(
        global,
        r#"
        C> Query "insert into t values (1)"
        >a1 Query "insert into t values (1)" | Query "~pg_current_wal_insert_lsn()"
        >a2 Query "~BEGIN READ ONLY"
        a2< DataRow f count | ReadyForQuery I
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C nothing
        # Nobody was told so far: anybody may see what was before.
        D> Query "select count(*) from t"
        >b1 Query "select count(*) from t"
        b1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        a1< DataRow 0/10 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        D> Query "select count(*) from t"
        learn b=1/0/F
        >b1 nothing
        learn b=1/0/10
        >b1 Query "select count(*) from t"
        b1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        # What is asked about afterwards is told afterwards, too.
        C> Query "insert into t values (2); commit"
        >a1 Query "insert into t values (2); commit"
        a1< CommandComplete "INSERT 0 1" | CommandComplete COMMIT | ReadyForQuery I
        >a1 Query "~insert_lsn"
        <C nothing
        a1< DataRow 0/20 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | CommandComplete COMMIT | ReadyForQuery I
        "#,
    );
}

/// What a server says last is heard by a client from which an answer was held back, and so is that answer.
#[test]
fn a_servers_last_word_goes_out_with_what_was_held_back() {
    check_whole(
        global,
        r#"
        C> Query "insert into t values (1)" | Query "insert into t values (2)"
        >a1 Query "insert into t values (1)" | Query "insert into t values (2)" | Query "~pg_current_wal_insert_lsn()"
        >a2 Query "~BEGIN READ ONLY"
        a2< DataRow f count | ReadyForQuery I
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I | Fatal 57P01 "terminating connection"
        a1< close
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I | Fatal 57P01 "terminating connection" | end
        "#,
    );
}

/// The server is lost before it has said: the client is told all the same, and until the next answer only the leader is sure
/// to show it.
#[test]
fn what_is_told_without_a_position_only_the_leader_shows() {
    check_with(
        global,
        r#"
        C> Query "insert into t values (1)"
        >a1 Query "insert into t values (1)" | Query "~pg_current_wal_insert_lsn()"
        >a2 Query "~BEGIN READ ONLY"
        a2< DataRow f count | ReadyForQuery I
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C nothing
        a1< close
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        learn b=1/1/0
        D> Query "select count(*) from t"
        >a2 Query "select count(*) from t" | Query "~insert_lsn"
        a2< CommandComplete "SELECT 1" | ReadyForQuery I | DataRow 0/30 | CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        D> Query "select count(*) from t"
        wait 3ms
        learn b=1/1/0
        >b1 Query "select count(*) from t"
        b1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

/// On the read route there is no leader to go to, unless `fallback` says so.
#[test]
fn the_read_route_waits_and_says_so() {
    let read = |setup: &mut Setup| {
        global(setup);
        setup.purpose = Purpose::Read;
    };
    check_with(
        read,
        r#"
        route write=a read=b
        told 1/0/10
        C> Query "select 1"
        wait 210ms
        <C Error 57014 "~timed out" | ReadyForQuery I
        route write=a read=b fallback=leader
        C> Query "select 1"
        wait 210ms
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "select 1"
        wait 3ms
        learn b=1/0/10
        wait 3ms
        learn b=1/0/10
        >b1 Query "select 1"
        b1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        # Somebody was told of what has no position: no replica is known to show that.
        told nowhere
        learn b=1/F/0
        C> Query "select 1"
        wait 210ms
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

/// Within a block, or a sequence, nobody asks where a commit ends: the client, for whose next message the server waits, is told at once.
#[test]
fn nobody_waits_for_a_position_where_the_server_waits_for_the_client() {
    const READ_BY_LEADER: &str = r#"
        learn b=1/1/0
        D> Query "select count(*) from t"
        >FREE Query "select count(*) from t" | Query "~insert_lsn"
        FREE< CommandComplete "SELECT 1" | ReadyForQuery I | DataRow 0/30 | CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
    "#;
    let check = |free: &str, script: &str| {
        check_with(global, &format!("{BEGUN}{script}{}", READ_BY_LEADER.replace("FREE", free)));
    };
    check(
        "a2",
        r#"
        C> Query "insert into t values (2); commit; begin"
        >a1 Query "insert into t values (2); commit; begin"
        a1< CommandComplete "INSERT 0 1" | CommandComplete COMMIT | CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete "INSERT 0 1" | CommandComplete COMMIT | CommandComplete BEGIN | ReadyForQuery T
        "#,
    );
    // The server was lost before it had said where the commit before ends.
    check(
        "a3",
        r#"
        C> Query "insert into t values (2)"
        >a1 Query "insert into t values (2)" | Query "~insert_lsn"
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        a1< close
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        C> Query begin
        >a2 Query begin
        a2< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        "#,
    );
}

/// What was held back is told, and then why the session ends.
#[test]
fn what_waits_for_a_position_goes_before_the_last_word() {
    const TWO: &str = r#"
        C> Query "insert into t values (2)" | Query "insert into t values (3)"
        >a1 Query "insert into t values (2)" | Query "insert into t values (3)" | Query "~insert_lsn"
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C nothing
    "#;
    for lost in ["a1< close", "route write=b deposed=a\n>a1 end\n>a2 end"] {
        check_whole(
            global,
            &format!(
                r#"{BEGUN}{TWO}{lost}
                <C CommandComplete "INSERT 0 1" | ReadyForQuery I | Fatal 08007 _ | end
                "#
            ),
        );
    }
}

/// The position cannot be asked for before the client goes on, and it does not go on before it is told.
#[test]
fn what_a_client_must_hear_to_go_on_is_not_held_back() {
    const INSERTED: &str = r#"CommandComplete "INSERT 0 1" | ReadyForQuery I"#;
    for (sent, answer) in [
        (r#"Query "insert into t values (1)" | Query begin"#, "CommandComplete BEGIN | ReadyForQuery T"),
        (r#"Query "insert into t values (1)" | Query "copy t from stdin""#, "CopyIn"),
    ] {
        check_whole(
            global,
            &format!(
                r#"
                C> {sent}
                >a1 {sent}
                >a2 Query "~BEGIN READ ONLY"
                a2< DataRow f count | ReadyForQuery I
                a1< {INSERTED} | {answer}
                <C {INSERTED} | {answer}
                # Nobody but the leader is sure to show it.
                learn b=1/1/0
                D> Query "select count(*) from t"
                >a2 Query "select count(*) from t" | Query "~insert_lsn"
                "#
            ),
        );
    }
    let write = |setup: &mut Setup| {
        global(setup);
        setup.purpose = Purpose::Write;
    };
    check_with(
        write,
        r#"
        C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Query "commit and chain"
        >a1 Query "commit and chain"
        >a2 Query "~BEGIN READ ONLY"
        a2< DataRow f count | ReadyForQuery I
        a1< CommandComplete COMMIT | ReadyForQuery T
        <C CommandComplete COMMIT | ReadyForQuery T
        C> Query rollback
        >a1 Query rollback
        a1< CommandComplete ROLLBACK | ReadyForQuery I
        >a1 Query "~insert_lsn"
        <C nothing
        a1< DataRow 0/20 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete ROLLBACK | ReadyForQuery I
        "#,
    );
}

/// The end of a statement in a sequence tells of no commit: that comes with Sync.
#[test]
fn what_is_not_committed_yet_is_not_held_back() {
    check_with(
        global,
        &format!(
            r#"
            C> Parse s "insert into t values ($1)" | Bind "" s 1 | Execute "" | Flush
            >a1 Parse pgsteer_1 "insert into t values ($1)" | Describe S pgsteer_1 | Bind "" pgsteer_1 1 | Execute "" | Flush
            >a2 Query "~BEGIN READ ONLY"
            a2< DataRow f count | ReadyForQuery I
            a1< ParseComplete | ParameterDescription | NoData | BindComplete | CommandComplete "INSERT 0 1"
            <C ParseComplete | BindComplete | CommandComplete "INSERT 0 1"
            D> Query "select count(*) from t"
            >b1 Query "select count(*) from t"
            b1< CommandComplete "SELECT 1" | ReadyForQuery I
            <D CommandComplete "SELECT 1" | ReadyForQuery I
            C> Sync
            >a1 Sync | Query "~insert_lsn"
            a1< ReadyForQuery I
            <C nothing
            a1< {PLACED}
            <C ReadyForQuery I
            "#
        ),
    );
}

/// An answer without a position is none, however long the client keeps its server.
#[test]
fn an_answer_that_says_nothing_holds_nobody_up() {
    let one_server = |setup: &mut Setup| {
        global(setup);
        setup.purpose = Purpose::Write;
        setup.settings.mode = PoolMode::Session;
    };
    check_with(
        one_server,
        r#"
        C> Query "insert into t values (1)"
        >a1 Query "insert into t values (1)" | Query "~insert_lsn"
        >a2 Query "~BEGIN READ ONLY"
        a2< DataRow f count | ReadyForQuery I
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I | CommandComplete "SELECT 0" | ReadyForQuery I
        >a1 Query "~insert_lsn"
        <C nothing
        a1< DataRow NULL | CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        "#,
    );
    // A query behind what has no Sync is skipped with it, and so would be ours.
    check_whole(
        one_server,
        &format!(
            r#"
            C> Parse "" "insert into t values (1)" | Bind "" "" | Execute "" | Query "select 2"
            >a1 Parse "" "insert into t values (1)" | Bind "" "" | Describe S "" | Execute "" | Query "select 2"
            >a2 Query "~BEGIN READ ONLY"
            a2< DataRow f count | ReadyForQuery I
            a1< Error 42601 "syntax"
            <C Error 42601 _
            C> Sync
            >a1 Sync
            a1< ReadyForQuery I
            >a1 Query "~insert_lsn"
            a1< {PLACED}
            <C ReadyForQuery I
            C> Query "insert into t values (2)"
            >a1 Query "insert into t values (2)" | Query "~insert_lsn"
            a1< CommandComplete "INSERT 0 1" | ReadyForQuery I | {PLACED}
            <C CommandComplete "INSERT 0 1" | ReadyForQuery I
            "#
        ),
    );
}

/// What is held back for everybody's sake is not told early because the client cancels what comes next, or because its session ends.
#[test]
fn what_is_held_back_stays_so() {
    const ASKED: &str = r#"
        C> Query "insert into t values (1); commit"
        >a1 Query "insert into t values (1); commit"
        >a2 Query "~BEGIN READ ONLY"
        a2< DataRow f count | ReadyForQuery I
        a1< CommandComplete "INSERT 0 1" | CommandComplete COMMIT | ReadyForQuery I
        >a1 Query "~insert_lsn"
    "#;
    const TOLD: &str = r#"<C CommandComplete "INSERT 0 1" | CommandComplete COMMIT | ReadyForQuery I"#;
    check_whole(
        global,
        &format!(
            r#"
            {ASKED}
            C> Query "select 5"
            cancel C
            wait 2ms
            <C nothing
            a1< {PLACED}
            {TOLD} | Error 57014 _ | ReadyForQuery I
            "#
        ),
    );
    check_whole(
        global,
        &format!(
            r#"
            {ASKED}
            terminate C
            {TOLD} | Fatal 57P01 _ | end
            >a1 end
            learn b=1/1/0
            D> Query "select count(*) from t"
            >a2 Query "select count(*) from t" | Query "~insert_lsn"
            "#
        ),
    );
}

/// Nor is it held back for longer than the server is given for that.
#[test]
fn a_server_that_does_not_say_is_not_waited_for_for_ever() {
    check_with(
        global,
        &format!(
            r#"
            {BEGUN}
            C> Query "insert into t values (2)"
            >a1 Query "insert into t values (2)" | Query "~insert_lsn"
            a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
            wait 4s
            <C nothing
            wait 2s
            >a1 end
            <C CommandComplete "INSERT 0 1" | ReadyForQuery I
            pool a leased=0
            "#
        ),
    );
}

/// What a client was handed may have been lost: what is left of it the leader of a read route shows, and says where that ends.
#[test]
fn behind_what_may_be_lost_the_read_route_asks_its_leader() {
    const FOUND: &str = r#"
        C> Query "select count(*) from t"
        wait 210ms
        >b1 Query "~set_config"
        b1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C Error PS001 "~may have been lost" | ReadyForQuery I
    "#;
    let read = |setup: &mut Setup| {
        session(setup);
        setup.purpose = Purpose::Read;
    };
    check_with(
        read,
        &format!(
            r#"
            route write=b read=c fallback=leader
            C> Query "set pgsteer.wait_for = '7/1/0/30'"
            >c1 Query "set pgsteer.wait_for = '7/1/0/30'"
            c1< CommandComplete SET | ReadyForQuery I
            <C CommandComplete SET | ReadyForQuery I
            >c1 Query "~current_setting"
            c1< DataRow v pgsteer.wait_for 7/1/0/30 | ReadyForQuery I
            {FOUND}
            learn c=2/0/3F
            C> Query "select count(*) from t"
            wait 210ms
            >c1 nothing
            >b1 Query "select count(*) from t" | Query "~insert_lsn"
            b1< CommandComplete "SELECT 1" | ReadyForQuery I | DataRow 0/40 | CommandComplete "SELECT 1" | ReadyForQuery I
            <C CommandComplete "SELECT 1" | ReadyForQuery I
            C> Query "select count(*) from t"
            wait 3ms
            learn c=2/0/40
            wait 3ms
            learn c=2/0/40
            >c1 Query "select count(*) from t"
            c1< CommandComplete "SELECT 1" | ReadyForQuery I
            <C CommandComplete "SELECT 1" | ReadyForQuery I
            "#
        ),
    );
}
