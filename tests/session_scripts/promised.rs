//! Reads that must see what was committed: when the position of the log is asked for, and who serves what comes next.

use pgsteer::{pool::account::PoolMode, route::consistency::Consistency, session::routes::Purpose};

use crate::{
    play::{check_whole, check_with},
    world::Setup,
};

pub(crate) fn session(setup: &mut Setup) {
    setup.purpose = Purpose::Split;
    setup.settings.consistency.otherwise = Consistency::Session;
    setup.settings.limits.size = 2;
}

/// The leader has told of its database, and the client has committed something up to 0/10.
pub(crate) const BEGUN: &str = r#"
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

pub(crate) const PLACED: &str = "DataRow 0/20 | CommandComplete \"SELECT 1\" | ReadyForQuery I";

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

/// What is ours comes before what a replica refuses, in one packet with it or not: the leader does it.
#[test]
fn a_replica_that_was_given_a_token_refuses_what_it_is_asked_for() {
    let given = r#"
        wait 3ms
        learn b=1/0/10
        wait 3ms
        learn b=1/0/10
    "#;
    let refused = "CommandComplete SET | ReadyForQuery I | Error 42P01 \"relation \\\"u\\\" does not exist\" | ReadyForQuery I";
    let shown = r#"DataRow 7/1/0/10 | CommandComplete "SELECT 1" | ReadyForQuery I"#;
    let text = "/* pgsteer: read */ select current_setting('pgsteer.token') from u";
    let placed = r#"DataRow 0/20 | CommandComplete "SELECT 1" | ReadyForQuery I"#;
    check(&format!(
        r#"
        C> Query "{text}"
        {given}
        >b1 Query "SET pgsteer.token = '7/1/0/10'" | Query "{text}"
        b1< {refused}
        >a1 Query "~set_config('pgsteer.token'" | Query "{text}" | Query "~insert_lsn"
        a1< CommandComplete DO | ReadyForQuery I | {shown} | {placed}
        <C {shown}
        "#
    ));
    check_whole(
        session,
        &format!(
            r#"
        {BEGUN}
        route write=a
        C> Parse s "{text}" | Sync
        >a1 Query "~set_config('pgsteer.token'" | Parse pgsteer_1 "{text}" | Describe S pgsteer_1 | Sync
        a1< CommandComplete DO | ReadyForQuery I | ParseComplete | ParameterDescription | RowDescription t | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        route write=a read=b
        C> Bind "" s | Execute "" | Sync
        {given}
        >b1 Query "SET pgsteer.token = '7/1/0/10'" | Parse pgsteer_1 "{text}" | Describe S pgsteer_1 | Sync
        b1< {refused}
        >a1 Query "~set_config('pgsteer.token'" | Bind "" pgsteer_1 | Execute "" | Sync | Query "~insert_lsn"
        a1< CommandComplete DO | ReadyForQuery I | BindComplete | {shown} | {placed}
        <C BindComplete | {shown}
        "#
        ),
    );
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

/// On the write route, in session mode, with the client's own statements without a name.
fn one_server_that_writes(setup: &mut Setup) {
    session(setup);
    setup.purpose = Purpose::Write;
    setup.settings.mode = PoolMode::Session;
    setup.settings.map_unnamed = false;
    setup.settings.limits.size = 1;
}

/// Nor where what was to replace that statement fails: it is parsed again, and not taken to be with the server.
#[test]
fn a_question_behind_what_fails_costs_nobody_the_statement_without_a_name() {
    check_whole(
        one_server_that_writes,
        &format!(
            r#"
            C> Parse "" "delete from t" | Bind "" "" | Execute "" | Sync | Parse x "select" | Parse "" "select 3" | Sync
            >a1 Parse "" "delete from t" | Bind "" "" | Describe S "" | Execute "" | Sync
            >a1 Parse pgsteer_1 "select" | Describe S pgsteer_1 | Parse "" "select 3" | Describe S "" | Sync | Query "~insert_lsn"
            a1< ParseComplete | BindComplete | ParameterDescription | NoData | CommandComplete "DELETE 0" | ReadyForQuery I
            a1< Error 42601 "syntax" | ReadyForQuery I | {PLACED}
            <C ParseComplete | BindComplete | CommandComplete "DELETE 0" | ReadyForQuery I | Error 42601 _ | ReadyForQuery I
            C> Bind "" "" | Execute "" | Sync
            >a1 Parse "" "delete from t" | Describe S "" | Bind "" "" | Execute "" | Sync | Query "~insert_lsn"
            "#
        ),
    );
    // So is a statement of ours that comes as a query.
    check_whole(
        one_server_that_writes,
        r#"
            C> Parse "" "delete from t" | Sync
            >a1 Parse "" "delete from t" | Describe S "" | Sync
            a1< ParseComplete | ParameterDescription | NoData | ReadyForQuery I
            <C ParseComplete | ReadyForQuery I
            C> Parse s "show pgsteer.token" | Sync
            >a1 Query "~pgsteer.token" | Parse pgsteer_1 "show pgsteer.token" | Sync
            a1< CommandComplete DO | ReadyForQuery I | ParseComplete | ReadyForQuery I
            <C ParseComplete | ReadyForQuery I
            C> Bind "" "" | Execute "" | Sync
            >a1 Parse "" "delete from t" | Describe S "" | Sync
            a1< ParseComplete | ParameterDescription | NoData | ReadyForQuery I
            >a1 Bind "" "" | Execute "" | Sync | Query "~insert_lsn"
        "#,
    );
}

/// Nor where the question comes once all is over.
#[test]
fn a_question_afterwards_costs_nobody_the_statement_without_a_name() {
    check_with(
        one_server_that_writes,
        &format!(
            r#"
            C> Parse "" "call p()" | Bind "" "" | Execute "" | Sync
            >a1 Parse "" "call p()" | Bind "" "" | Execute "" | Sync
            a1< ParseComplete | BindComplete | CommandComplete CALL | ReadyForQuery I
            <C ParseComplete | BindComplete | CommandComplete CALL | ReadyForQuery I
            >a1 Query "~insert_lsn"
            a1< {PLACED}
            C> Bind "" "" | Execute "" | Sync
            >a1 Parse "" "call p()" | Bind "" "" | Execute "" | Sync
            "#
        ),
    );
}

/// A commit, told, of which the server has not said where it ends.
const ASKED: &str = r#"
    C> Query "insert into t values (2)"
    >a1 Query "insert into t values (2)" | Query "~insert_lsn"
    activity C Running open
    a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
    <C CommandComplete "INSERT 0 1" | ReadyForQuery I
    activity C Idle none
"#;

/// Whoever has every answer is charged nothing for what only we wait for, and does not pay for a server that hangs in it.
#[test]
fn the_time_that_a_question_of_ours_takes_is_ours() {
    // What is sent meanwhile has its own time.
    check_with(
        session,
        &format!(
            r#"
            {BEGUN}
            {ASKED}
            wait 1s
            C> Query "insert into t values (3)"
            >a1 Query "insert into t values (3)" | Query "~insert_lsn"
            activity C Running open
            young C 500
            a1< DataRow 0/20 | CommandComplete "SELECT 1" | ReadyForQuery I
            activity C Running open
            wait 6s
            a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
            <C CommandComplete "INSERT 0 1" | ReadyForQuery I
            activity C Idle none
            wait 4s
            a1< DataRow 0/30 | CommandComplete "SELECT 1" | ReadyForQuery I
            pool a leased=0
            "#
        ),
    );
}

/// It is not waited for for ever; until it is known where that ends only the leader shows it.
#[test]
fn a_server_that_hangs_in_a_question_of_ours_is_closed() {
    check_with(
        session,
        &format!(
            r#"
            {BEGUN}
            {ASKED}
            wait 4s
            pool a leased=1
            wait 2s
            >a1 end
            pool a leased=0
            <C nothing
            learn b=1/1/0
            {READ}
            >a2 Query "select count(*) from t" | Query "~insert_lsn"
            a2< CommandComplete "SELECT 1" | ReadyForQuery I | DataRow 0/30 | CommandComplete "SELECT 1" | ReadyForQuery I
            <C CommandComplete "SELECT 1" | ReadyForQuery I
            "#
        ),
    );
}

/// Whose server is all its session's keeps it, and pays for what it sends there itself.
#[test]
fn a_question_of_ours_takes_nobodys_own_server_away() {
    check_with(
        |setup| {
            session(setup);
            setup.settings.mode = PoolMode::Session;
        },
        r#"
        C> Query "insert into t values (2)"
        >a1 Query "insert into t values (2)" | Query "~insert_lsn"
        >a2 Query "~BEGIN READ ONLY"
        a2< DataRow f count | ReadyForQuery I
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        activity C Idle none
        wait 10s
        >a1 nothing
        C> Query "insert into t values (3)"
        >a1 Query "insert into t values (3)" | Query "~insert_lsn"
        activity C Running open
        "#,
    );
}
