//! Reads that must see what was committed: when the position of the log is asked for, and who serves what comes next.

use pgsteer::{pool::account::PoolMode, route::consistency::Consistency, session::routes::Purpose};

use crate::{
    play::{check_whole, check_with},
    world::Setup,
};

fn session(setup: &mut Setup) {
    setup.purpose = Purpose::Split;
    setup.settings.consistency.otherwise = Consistency::Session;
    setup.settings.limits.size = 2;
}

/// The leader has told of its database, and the client has committed something up to 0/10.
const BEGUN: &str = r#"
    C> Query "insert into t values (1)"
    >a1 Query "insert into t values (1)" | Query "~pg_current_wal_insert_lsn()"
    >a2 Query "~BEGIN READ ONLY"
    a2< DataRow f count | ReadyForQuery I
    a1< CommandComplete "INSERT 0 1" | ReadyForQuery I | DataRow 0/10 | CommandComplete "SELECT 1" | ReadyForQuery I
    <C CommandComplete "INSERT 0 1" | ReadyForQuery I
    pool a leased=0
"#;

fn check(script: &str) {
    check_with(session, &format!("{BEGUN}{script}"));
}

const READ: &str = r#"C> Query "select count(*) from t""#;
const READ_ANSWERED: &str = r#"
    b1< CommandComplete "SELECT 1" | ReadyForQuery I
    <C CommandComplete "SELECT 1" | ReadyForQuery I
"#;

#[test]
fn a_read_waits_for_a_replica_that_shows_what_its_client_has_committed() {
    check(&format!(
        r#"
        learn b=1/0/F
        {READ}
        wait 50ms
        # An older one, or one that was told before its own connection was opened, says nothing.
        learn b=1/0/F
        pool b leased=0
        learn b=1/0/10
        wait 3ms
        learn b=1/0/10
        >b1 Query "select count(*) from t"
        {READ_ANSWERED}
        # Once it is there it is there.
        {READ}
        >b1 Query "select count(*) from t"
        {READ_ANSWERED}
        "#
    ));
}

#[test]
fn a_read_goes_to_the_leader_in_the_end() {
    check(&format!(
        r#"
        {READ}
        learn b=1/0/F
        wait 150ms
        pool a leased=0
        wait 60ms
        # What is known to read commits nothing: nobody is asked where that ends.
        >a1 Query "select count(*) from t"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#
    ));
}

#[test]
fn what_a_restarted_replica_has_replayed_is_asked_anew() {
    check(&format!(
        r#"
        {READ}
        learn b=1/0/20
        wait 3ms
        learn b=1/0/20
        >b1 Query "select count(*) from t"
        {READ_ANSWERED}
        # It was restarted at once, and has come less far since.
        b1< close
        {READ}
        wait 3ms
        learn b=1/0/8
        wait 10ms
        learn b=1/0/10
        >b2 Query "select count(*) from t"
        b2< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#
    ));
}

const THERE: &str = r#"
    learn b=1/0/1F
    C> Query "select count(*) from t"
    wait 3ms
    pool b leased=0
    learn b=1/0/20
    wait 3ms
    learn b=1/0/20
    >b1 Query "select count(*) from t"
    b1< CommandComplete "SELECT 1" | ReadyForQuery I
    <C CommandComplete "SELECT 1" | ReadyForQuery I
"#;

const PLACED: &str = "DataRow 0/20 | CommandComplete \"SELECT 1\" | ReadyForQuery I";

/// The question goes along with whatever is sure to end outside a transaction.
#[test]
fn the_position_is_asked_for_along_with_what_commits() {
    // A transaction: with its COMMIT.
    check(&format!(
        r#"
        C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Query "insert into t values (2)"
        >a1 Query "insert into t values (2)"
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery T
        <C CommandComplete "INSERT 0 1" | ReadyForQuery T
        C> Query commit
        >a1 Query commit | Query "~insert_lsn"
        a1< CommandComplete COMMIT | ReadyForQuery I
        <C CommandComplete COMMIT | ReadyForQuery I
        # The server is the client's until it has said.
        pool a leased=1
        a1< {PLACED}
        pool a leased=0
        {THERE}
        "#
    ));
}

#[test]
fn what_is_rolled_back_is_not_asked_about() {
    check(&format!(
        r#"
        C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Query rollback
        >a1 Query rollback
        a1< CommandComplete ROLLBACK | ReadyForQuery I
        <C CommandComplete ROLLBACK | ReadyForQuery I
        pool a leased=0
        {READ}
        learn b=1/0/10
        wait 3ms
        learn b=1/0/10
        >b1 Query "select count(*) from t"
        {READ_ANSWERED}
        "#
    ));
}

#[test]
fn an_implicit_transaction_commits_with_its_sync() {
    check(&format!(
        r#"
        C> Parse s "insert into t values ($1)" | Bind "" s 1 | Execute "" | Flush
        >a1 Parse pgsteer_1 "insert into t values ($1)" | Describe S pgsteer_1 | Bind "" pgsteer_1 1 | Execute "" | Flush
        a1< ParseComplete | ParameterDescription | NoData | BindComplete | CommandComplete "INSERT 0 1"
        <C ParseComplete | BindComplete | CommandComplete "INSERT 0 1"
        C> Sync
        >a1 Sync | Query "~insert_lsn"
        a1< ReadyForQuery I | {PLACED}
        <C ReadyForQuery I
        {THERE}
        "#
    ));
}

/// What may commit and begin again, or leave a transaction open, is asked about afterwards.
#[test]
fn the_position_is_asked_for_behind_what_is_not_known_to_commit() {
    const ASKED: &str = ">a1 Query \"~pg_prepared_statements\"\na1< ReadyForQuery I";
    for (text, more) in [
        ("call p()", ASKED),
        ("do 'x'", ASKED),
        ("commit prepared 'x'", ""),
        ("insert into t values (1); commit", ""),
        ("begin; insert into t values (1); commit", ""),
    ] {
        check(&format!(
            r#"
            C> Query "{text}"
            >a1 Query "{text}"
            a1< CommandComplete DONE | ReadyForQuery I
            <C CommandComplete DONE | ReadyForQuery I
            >a1 Query "~insert_lsn"
            pool a leased=1
            a1< {PLACED}
            {more}
            pool a leased=0
            "#
        ));
    }
}

#[test]
fn a_copy_is_not_disturbed() {
    check(
        r#"
        C> Query "copy t from stdin"
        >a1 Query "copy t from stdin"
        a1< CopyIn
        <C CopyIn
        C> CopyData 1 | CopyDone
        >a1 CopyData 1 | CopyDone
        a1< CommandComplete "COPY 1" | ReadyForQuery I
        <C CommandComplete "COPY 1" | ReadyForQuery I
        >a1 Query "~insert_lsn"
        # A request that comes before the answer waits for it.
        C> Query "select count(*) from t"
        a1< DataRow 0/20 | CommandComplete "SELECT 1" | ReadyForQuery I
        pool b leased=0
        learn b=1/0/20
        wait 3ms
        learn b=1/0/20
        >b1 Query "select count(*) from t"
        b1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

/// The server ends before it has said where what was committed ends: the client has its answer and goes on. Only the leader is
/// sure to show what it has committed, and tells where that ends with the next request.
#[test]
fn without_an_answer_the_leader_serves_reads() {
    check(
        r#"
        C> Query "insert into t values (2)"
        >a1 Query "insert into t values (2)" | Query "~insert_lsn"
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        a1< close
        learn b=1/1/0
        C> Query "select count(*) from t"
        >a2 Query "select count(*) from t" | Query "~insert_lsn"
        a2< CommandComplete "SELECT 1" | ReadyForQuery I | DataRow 0/30 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "select count(*) from t"
        wait 3ms
        learn b=1/1/0
        >b1 Query "select count(*) from t"
        b1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

/// What the server says of our own question is not the client's.
#[test]
fn a_question_that_fails_is_asked_again() {
    check(
        r#"
        C> Query "insert into t values (2)"
        >a1 Query "insert into t values (2)" | Query "~insert_lsn"
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I | Error 42501 "permission denied" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        >a1 Query "~insert_lsn"
        a1< Error 42501 "permission denied" | ReadyForQuery I
        pool a leased=0
        # Then nobody but the leader is sure to show it.
        C> Query "select count(*) from t"
        >a1 Query "select count(*) from t" | Query "~insert_lsn"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I | DataRow 0/30 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

/// Where reads may see anything nobody is asked anything.
#[test]
fn nothing_is_asked_where_reads_may_see_anything() {
    let eventual = |setup: &mut Setup| {
        session(setup);
        setup.settings.consistency.otherwise = Consistency::Eventual;
    };
    check_whole(
        eventual,
        r#"
        C> Query "insert into t values (1)"
        >a1 Query "insert into t values (1)"
        >a2 Query "~BEGIN READ ONLY"
        a2< DataRow f count | ReadyForQuery I
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        C> Query "select count(*) from t"
        >b1 Query "select count(*) from t"
        b1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        seeks 0
        "#,
    );
}

/// The new leader's history goes on behind what the client has committed.
#[test]
fn a_failover_that_loses_nothing_is_not_told_of() {
    check(
        r#"
        learn fork=1/0/10
        route write=b read=c
        C> Query "insert into t values (2)"
        >b1 Query "insert into t values (2)" | Query "~insert_lsn"
        b1< CommandComplete "INSERT 0 1" | ReadyForQuery I | DataRow 0/20 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        # A replica that is still on the old timeline may be where it likes.
        learn c=1/1/0
        C> Query "select count(*) from t"
        wait 3ms
        pool c leased=0
        learn c=2/0/20
        wait 3ms
        learn c=2/0/20
        >c1 Query "select count(*) from t"
        c1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

/// It goes on from before that.
#[test]
fn what_a_failover_has_lost_is_told_once() {
    // Whoever would serve what comes next, the client hears of it first. What it has committed before that it sees.
    for (request, server, answer) in
        [("select count(*) from t", "c1", "SELECT 1"), ("insert into t values (2)", "b1", "INSERT 0 1")]
    {
        let along = if server == "b1" { "| Query \"~insert_lsn\"" } else { "" };
        let placed = if server == "b1" {
            "| DataRow 0/20 | CommandComplete \"SELECT 1\" | ReadyForQuery I"
        } else {
            ""
        };
        check(&format!(
            r#"
            learn fork=1/0/F
            route write=b read=c
            learn c=2/1/0
            C> Query "{request}"
            <C Error PS001 "~was lost" | ReadyForQuery I
            >b1 nothing
            C> Query "{request}"
            wait 3ms
            learn c=2/1/0
            >{server} Query "{request}" {along}
            {server}< CommandComplete "{answer}" | ReadyForQuery I {placed}
            <C CommandComplete "{answer}" | ReadyForQuery I
            "#
        ));
    }
}

/// It goes on from where nobody knows: it is waited for word of it, and what cannot be said is not claimed.
#[test]
fn what_a_failover_may_have_lost_is_told_once() {
    check(
        r#"
        route write=b read=c
        C> Query "insert into t values (2)"
        wait 100ms
        learn fork=1/0/10
        >b1 Query "insert into t values (2)" | Query "~insert_lsn"
        b1< CommandComplete "INSERT 0 1" | ReadyForQuery I | DataRow 0/20 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        "#,
    );
    check(
        r#"
        route write=b read=c
        C> Query "insert into t values (2)"
        wait 210ms
        <C Error PS001 "~may have been lost" | ReadyForQuery I
        # What is left of its commits the leader is sure to show.
        C> Query "select count(*) from t"
        >b1 Query "select count(*) from t" | Query "~insert_lsn"
        b1< CommandComplete "SELECT 1" | ReadyForQuery I | DataRow 0/30 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
    // The answer was not there when the leader was lost.
    check(
        r#"
        C> Query "insert into t values (2)"
        >a1 Query "insert into t values (2)" | Query "~insert_lsn"
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        learn fork=1/0/20
        route write=b read=c deposed=a
        C> Query "select count(*) from t"
        <C Error PS001 "~may have been lost" | ReadyForQuery I
        >b1 nothing
        >a1 end
        >a2 end
        "#,
    );
}

/// The server answers for the token: it is given it first, by the protocol that the client asks by.
#[test]
fn a_client_asks_for_its_token() {
    let told = |token: &str| format!("DataRow {token} | CommandComplete SHOW | ReadyForQuery I");
    let (shown, placed) = (told("7/1/0/10"), "DataRow 0/20 | CommandComplete \"SELECT 1\" | ReadyForQuery I");
    check(&format!(
        r#"
        C> Query "show pgsteer.token"
        >a1 Query "~set_config('pgsteer.token',pg_catalog.concat('7/1/'" | Query "show pgsteer.token" | Query "~insert_lsn"
        a1< CommandComplete DO | ReadyForQuery I | {shown} | {placed}
        <C {shown}
        "#
    ));
    check(
        r#"
        C> Parse s "show pgsteer.token" | Describe S s | Sync
        >a1 Query "~'pgsteer.token'" | Parse pgsteer_1 "show pgsteer.token"
        >a1 Parse pgsteer_aside "~'pgsteer.token'" | Bind pgsteer_aside pgsteer_aside | Execute pgsteer_aside | Close P pgsteer_aside | Close S pgsteer_aside
        >a1 Describe S pgsteer_1 | Sync
        a1< CommandComplete DO | ReadyForQuery I | ParseComplete
        a1< ParseComplete | BindComplete | CommandComplete DO | CloseComplete | CloseComplete
        a1< ParameterDescription | RowDescription token | ReadyForQuery I
        <C ParseComplete | ParameterDescription | RowDescription token | ReadyForQuery I
        "#,
    );
    // On a replica it is what the client must see: that is all it has.
    check(&format!(
        r#"
        C> Query "/* pgsteer: read */ select current_setting('pgsteer.token')"
        wait 3ms
        learn b=1/0/10
        wait 3ms
        learn b=1/0/10
        >b1 Query "SET pgsteer.token = '7/1/0/10'" | Query "~current_setting"
        b1< CommandComplete SET | ReadyForQuery I | {shown}
        <C {shown}
        "#
    ));
}

#[test]
fn what_a_client_is_handed_its_reads_see() {
    let handed = |value: &str| {
        format!(
            r#"
            C> Query "set pgsteer.wait_for = '{value}'"
            >a1 Query "set pgsteer.wait_for = '{value}'" | Query "~insert_lsn"
            a1< CommandComplete SET | ReadyForQuery I | DataRow 0/10 | CommandComplete "SELECT 1" | ReadyForQuery I
            <C CommandComplete SET | ReadyForQuery I
            >a1 Query "~current_setting"
            a1< DataRow v pgsteer.wait_for {value} | ReadyForQuery I
            "#
        )
    };
    check(&format!(
        r#"
        {}
        C> Query "select count(*) from t"
        wait 3ms
        learn b=1/0/2F
        pool b leased=0
        learn b=1/0/30
        wait 3ms
        learn b=1/0/30
        >b1 Query "~set_config('pgsteer.wait_for','7/1/0/30'"
        b1< CommandComplete "SELECT 1" | ReadyForQuery I
        >b1 Query "select count(*) from t"
        "#,
        handed("7/1/0/30")
    ));
    for (value, code) in [("7/1/30", "22023"), ("8/1/0/30", "PS001")] {
        let opened = if code == "PS001" { ">a1 nothing" } else { "" };
        check(&format!(
            r#"
            {}
            C> Query "select count(*) from t"
            <C Error {code} _ | ReadyForQuery I
            {opened}
            C> Query "select count(*) from t"
            wait 3ms
            learn b=1/0/10
            wait 3ms
            learn b=1/0/10
            >b1 Query "~set_config"
            b1< CommandComplete "SELECT 1" | ReadyForQuery I
            >b1 Query "select count(*) from t"
            "#,
            handed(value)
        ));
    }
}

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

/// The question is a query, which drops the statement without a name: it is parsed again where its client goes on with it.
#[test]
fn the_question_costs_nobody_the_statement_without_a_name() {
    let one_server = |setup: &mut Setup| {
        session(setup);
        setup.purpose = Purpose::Write;
        setup.settings.mode = PoolMode::Session;
        setup.settings.map_unnamed = false;
    };
    check_with(
        one_server,
        &format!(
            r#"
            C> Parse "" "insert into t values ($1)" | Bind "" "" 1 | Execute "" | Sync
            >a1 Parse "" "insert into t values ($1)" | Bind "" "" 1 | Describe S "" | Execute "" | Sync | Query "~insert_lsn"
            >a2 Query "~BEGIN READ ONLY"
            a2< DataRow f count | ReadyForQuery I
            a1< ParseComplete | BindComplete | ParameterDescription | NoData | CommandComplete "INSERT 0 1" | ReadyForQuery I
            a1< {PLACED}
            <C ParseComplete | BindComplete | CommandComplete "INSERT 0 1" | ReadyForQuery I
            C> Bind "" "" 2 | Execute "" | Sync
            >a1 Parse "" "insert into t values ($1)" | Describe S "" | Sync
            a1< ParseComplete | ParameterDescription | NoData | ReadyForQuery I
            >a1 Bind "" "" 2 | Execute "" | Sync | Query "~insert_lsn"
            "#
        ),
    );
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

/// A replica is given up while its connection is to be vouched for: nobody waits for that any longer.
#[test]
fn who_waits_for_a_replica_that_is_lost_goes_to_another() {
    let patient = |setup: &mut Setup| {
        session(setup);
        setup.settings.consistency.wait = std::time::Duration::from_secs(60);
    };
    check_with(
        patient,
        &format!(
            r#"
            {BEGUN}
            learn b=1/0/10
            wait 1ms
            {READ}
            >b1 nothing
            route write=a read=c lost=b
            >b1 end
            learn c=1/0/10
            wait 1ms
            learn c=1/0/10
            >c1 Query "select count(*) from t"
            c1< CommandComplete "SELECT 1" | ReadyForQuery I
            <C CommandComplete "SELECT 1" | ReadyForQuery I
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
