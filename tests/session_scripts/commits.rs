//! Servers that are lost in a commit (`commit_fate`): what the transaction was asked ahead of it, what the next leader is asked,
//! and what the client hears.

use std::time::Duration;

use pgsteer::{
    pool::account::{CommitFate, PoolMode},
    route::consistency::Consistency,
    session::routes::Purpose,
};

use crate::{
    play::{check, check_with},
    promised,
    world::Setup,
};

pub(crate) fn inquisitive(setup: &mut Setup) {
    setup.settings.commit_fate = CommitFate::AskedFor { within: Duration::from_secs(10) };
}

/// A transaction has written something.
pub(crate) const BEGUN: &str = r#"
    C> Query begin
    >a1 Query begin
    a1< CommandComplete BEGIN | ReadyForQuery T
    <C CommandComplete BEGIN | ReadyForQuery T
    C> Query "insert into t values (1)"
    >a1 Query "insert into t values (1)"
    a1< CommandComplete "INSERT 0 1" | ReadyForQuery T
    <C CommandComplete "INSERT 0 1" | ReadyForQuery T
"#;

/// Its COMMIT is on the way, and it has said what is to be known of it.
pub(crate) const ASKED: &str = r#"
    C> Query commit
    >a1 Query "~pg_current_xact_id_if_assigned" | Query commit
"#;
pub(crate) const ANSWERED: &str = r#"
    a1< RowDescription x lsn file | DataRow 727 0/10 00000001 | CommandComplete "SELECT 1" | ReadyForQuery T
    <C nothing
"#;

/// What comes next finds a client as it was.
pub(crate) const GOES_ON: &str = r#"
    C> Query "select 1"
    >b1 Query "select 1"
    b1< CommandComplete "SELECT 1" | ReadyForQuery I
    <C CommandComplete "SELECT 1" | ReadyForQuery I
"#;

pub(crate) fn asked(script: &str) {
    check_with(inquisitive, &format!("{BEGUN}{ASKED}{ANSWERED}{script}"));
}

pub(crate) fn status(answer: &str) -> String {
    format!(
        r#"
        >b1 Query "SELECT pg_catalog.pg_xact_status('727'::pg_catalog.xid8)"
        b1< RowDescription s | {answer} | ReadyForQuery I
        "#
    )
}

pub(crate) fn committed() -> String {
    status(r#"DataRow committed | CommandComplete "SELECT 1""#)
}

pub(crate) fn aborted() -> String {
    status(r#"DataRow aborted | CommandComplete "SELECT 1""#)
}

pub(crate) const NOT_COMMITTED: &str = r#"<C Error 40001 "~was not committed" | ReadyForQuery I"#;
pub(crate) const COMMITTED: &str = "<C CommandComplete COMMIT | ReadyForQuery I";

#[test]
fn a_commit_that_is_answered_is_passed_on_as_it_is() {
    asked(&format!(
        r#"
        a1< CommandComplete COMMIT | ReadyForQuery I
        {COMMITTED}
        pool a leased=0
        C> Query "select 1"
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#
    ));
    // So is one that fails.
    asked(
        r#"
        a1< Error 23503 "~violates" | ReadyForQuery I
        <C Error 23503 "~violates" | ReadyForQuery I
        pool a leased=0
        "#,
    );
}

#[test]
fn the_next_leader_says_what_became_of_it() {
    for lost in
        ["a1< close\nlearn fork=1/0/10\nroute write=b", "learn fork=1/0/10\nroute write=b deposed=a\n>a1 end"]
    {
        asked(&format!("{lost}\n{}{COMMITTED}{GOES_ON}", committed()));
        asked(&format!("{lost}\n{}{NOT_COMMITTED}{GOES_ON}", aborted()));
        let unknown = status(r#"Error 22023 "~is in the future""#);
        asked(&format!("{lost}\n{unknown}<C Fatal 08007 _ | end"));
        let unknown = status(r#"DataRow NULL | CommandComplete "SELECT 1""#);
        asked(&format!("{lost}\n{unknown}<C Fatal 08007 _ | end"));
    }
}

#[test]
fn it_waits_for_a_leader_and_for_word_of_how_its_timeline_came_to_be() {
    asked(&format!(
        r#"
        route write=none deposed=a
        >a1 end
        wait 2s
        <C nothing
        activity C Waiting none
        route write=b deposed=a
        wait 2s
        <C nothing
        learn fork=1/0/10
        wait 100ms
        {}{COMMITTED}{GOES_ON}
        "#,
        committed()
    ));
}

#[test]
fn it_does_not_wait_for_ever() {
    // For a leader.
    asked("route write=none deposed=a\n>a1 end\nwait 9s\n<C nothing\nwait 2s\n<C Fatal 08007 _ | end");
    // For word of where its timeline begins.
    asked("route write=b deposed=a\n>a1 end\nwait 4s\n<C nothing\nwait 2s\n<C Fatal 08007 _ | end");
    // For an answer.
    asked(
        r#"
        learn fork=1/0/10
        route write=b deposed=a
        >a1 end
        >b1 Query "~pg_xact_status"
        wait 6s
        # It is of no use.
        >b1 end
        >b2 Query "~pg_xact_status"
        wait 5s
        <C Fatal 08007 _ | end
        >b2 end
        "#,
    );
}

/// The history goes on from before the position: the commit is not part of it, whatever the number means there.
#[test]
fn what_a_failover_has_lost_is_not_committed() {
    let lost = "learn fork=1/0/F\nroute write=b deposed=a\n>a1 end";
    asked(&[lost, NOT_COMMITTED, GOES_ON].join("\n"));
}

/// Two have left the timeline for the same number, one with the commit and one without it.
#[test]
fn what_witnesses_contradict_each_other_about_is_not_known() {
    for forks in ["learn fork=1/0/10 fork=1/0/F", "learn fork=1/0/F fork=1/0/10 fork=1/0/F"] {
        asked(&format!("{forks}\nroute write=b deposed=a\n>a1 end\nwait 6s\n<C Fatal 08007 _ | end"));
    }
}

/// The same leader goes on: it is asked on a connection that has seen the transaction's server alive.
#[test]
fn the_same_leader_may_answer() {
    let two = |setup: &mut Setup| {
        inquisitive(setup);
        setup.settings.limits.size = 2;
    };
    // Both connections are there before the transaction is.
    let warm = r#"
        C> Query "select 1"
        >a1 Query "select 1"
        D> Query "select 1"
        >a2 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        a2< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
    "#;
    let question = r#">a1 Query "~pg_xact_status""#;
    let (begun, asked) = (BEGUN.replace("a1", "a2"), ASKED.replace("a1", "a2"));
    let answered = ANSWERED.replace("a1", "a2");
    check_with(
        two,
        &format!(
            r#"
            {warm}{begun}{asked}{answered}
            a2< close
            {question}
            a1< DataRow "in progress" | CommandComplete "SELECT 1" | ReadyForQuery I
            <C nothing
            wait 60ms
            {question}
            a1< DataRow committed | CommandComplete "SELECT 1" | ReadyForQuery I
            {COMMITTED}
            "#
        ),
    );
    // On one that was opened later, it may be one that has crashed, and has given the number to another.
    let row = |status: &str| format!("DataRow {status} | CommandComplete \"SELECT 1\"");
    for (answer, told) in [
        (row("committed"), "<C Fatal 08007 _ | end"),
        (row("aborted"), NOT_COMMITTED),
        ("Error 22023 \"~is in the future\"".to_owned(), NOT_COMMITTED),
    ] {
        check_with(
            inquisitive,
            &format!(
                r#"
                {BEGUN}{ASKED}{ANSWERED}
                wait 1s
                a1< close
                >a2 Query "~pg_xact_status"
                a2< {answer} | ReadyForQuery I
                {told}
                "#
            ),
        );
    }
}

#[test]
fn without_an_answer_of_the_transactions_it_is_unknown() {
    // It had none yet.
    check_with(
        inquisitive,
        &format!(
            "{BEGUN}{ASKED}\nlearn fork=1/0/10\nroute write=b deposed=a\n<C Fatal 08007 _ | end\n>a1 end"
        ),
    );
    // It had no number yet; the commit may give it one.
    check_with(
        inquisitive,
        &format!(
            r#"
            {BEGUN}{ASKED}
            a1< RowDescription x lsn file | CommandComplete "SELECT 0" | ReadyForQuery T
            learn fork=1/0/10
            route write=b deposed=a
            <C Fatal 08007 _ | end
            >a1 end
            "#
        ),
    );
    // A statement that commits by itself cannot be asked before it does.
    check_with(
        inquisitive,
        r#"
        C> Query "insert into t values (1)"
        >a1 Query "insert into t values (1)"
        learn fork=1/0/10
        route write=b deposed=a
        <C Fatal 08007 _ | end
        >a1 end
        "#,
    );
}

/// The question is part of the transaction: where it fails, so does the commit, and the client hears why, once.
#[test]
fn a_question_that_fails_fails_the_commit() {
    check_with(
        inquisitive,
        &format!(
            r#"
            {BEGUN}{ASKED}
            a1< Error 57014 "canceling statement due to user request" | ReadyForQuery E
            <C Error 57014 _ | nothing
            a1< CommandComplete ROLLBACK | ReadyForQuery I
            <C ReadyForQuery I
            pool a leased=0
            # That may be otherwise the next time.
            {BEGUN}{ASKED}{ANSWERED}
            a1< CommandComplete COMMIT | ReadyForQuery I
            {COMMITTED}
            "#
        ),
    );
    // What is refused for good is not asked again, on behalf of nobody.
    check_with(
        inquisitive,
        &format!(
            r#"
            {BEGUN}{ASKED}
            a1< Error 42501 "permission denied" | ReadyForQuery E | CommandComplete ROLLBACK | ReadyForQuery I
            <C Error 42501 _ | ReadyForQuery I
            {BEGUN}
            C> Query commit
            >a1 Query commit
            a1< CommandComplete COMMIT | ReadyForQuery I
            {COMMITTED}
            "#
        ),
    );
}

#[test]
fn nobody_asks_where_it_could_do_harm_or_no_good() {
    // A failed block rolls back, and a question would hide that.
    check_with(
        inquisitive,
        r#"
        C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Query "insert into t values (1)"
        >a1 Query "insert into t values (1)"
        a1< Error 23505 "duplicate" | ReadyForQuery E
        <C Error 23505 _ | ReadyForQuery E
        C> Query commit
        >a1 Query commit
        a1< CommandComplete ROLLBACK | ReadyForQuery I
        <C CommandComplete ROLLBACK | ReadyForQuery I
        "#,
    );
    for (text, answer) in [
        ("rollback", "ROLLBACK"),
        ("prepare transaction 'x'", "PREPARE TRANSACTION"),
        ("commit and chain", "COMMIT"),
        ("commit; select 1", "COMMIT"),
    ] {
        check_with(
            inquisitive,
            &format!(
                r#"
                {BEGUN}
                C> Query "{text}"
                >a1 Query "{text}"
                a1< CommandComplete "{answer}" | ReadyForQuery I
                <C CommandComplete "{answer}" | ReadyForQuery I
                "#
            ),
        );
    }
    // All at once: what is sent before the COMMIT may yet fail.
    check_with(
        inquisitive,
        r#"
        C> Query begin | Query "insert into t values (1)" | Query commit
        >a1 Query begin | Query "insert into t values (1)" | Query commit
        a1< CommandComplete BEGIN | ReadyForQuery T | CommandComplete "INSERT 0 1" | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T | CommandComplete "INSERT 0 1" | ReadyForQuery T
        a1< CommandComplete COMMIT | ReadyForQuery I
        <C CommandComplete COMMIT | ReadyForQuery I
        "#,
    );
    // Nobody wants to know.
    check(&format!(
        "{BEGUN}\nC> Query commit\n>a1 Query commit\na1< CommandComplete COMMIT | ReadyForQuery I\n{COMMITTED}"
    ));
}

/// The commit of a sequence is asked about inside it, under names of our own: a query would replace what has none.
pub(crate) const SEQUENCE: &str = r#"
    C> Parse "" commit | Bind "" "" | Execute "" | Sync
    >a1 Parse "" commit | Bind "" ""
    >a1 Parse pgsteer_ffffffffffffffff "~if_assigned" | Bind pgsteer_fate pgsteer_ffffffffffffffff | Execute pgsteer_fate
    >a1 Close P pgsteer_fate | Flush | Execute "" | Sync
    a1< ParseComplete | BindComplete | ParseComplete | BindComplete
    <C ParseComplete | BindComplete
    a1< DataRow 727 0/10 00000001 | CommandComplete "SELECT 1" | CloseComplete
    <C nothing
"#;

#[test]
fn a_commit_in_a_sequence() {
    let fails_over = "learn fork=1/0/10\nroute write=b deposed=a\n>a1 end";
    for (rest, told) in [
        (format!("a1< CommandComplete COMMIT | ReadyForQuery I\n{COMMITTED}\npool a leased=0"), ""),
        (format!("{fails_over}\n{}", committed()), COMMITTED),
        (format!("{fails_over}\n{}", aborted()), NOT_COMMITTED),
    ] {
        check_with(inquisitive, &format!("{BEGUN}{SEQUENCE}\n{rest}\n{told}"));
    }
    // The server has the question from then on.
    check_with(
        inquisitive,
        &format!(
            r#"
            {BEGUN}{SEQUENCE}
            a1< CommandComplete COMMIT | ReadyForQuery I
            {COMMITTED}
            {BEGUN}
            C> Parse "" end | Bind "" "" | Execute "" | Sync
            >a1 Parse "" end | Bind "" "" | Bind pgsteer_fate pgsteer_ffffffffffffffff | Execute pgsteer_fate
            >a1 Close P pgsteer_fate | Flush | Execute "" | Sync
            a1< ParseComplete | BindComplete | BindComplete | Error 57014 "canceling" | ReadyForQuery E
            <C ParseComplete | BindComplete | Error 57014 _ | ReadyForQuery E
            C> Query rollback
            >a1 Query rollback
            a1< CommandComplete ROLLBACK | ReadyForQuery I
            <C CommandComplete ROLLBACK | ReadyForQuery I
            "#
        ),
    );
    // Its beginning may have failed the block.
    check_with(
        inquisitive,
        &format!(
            r#"
            {BEGUN}
            C> Query "select 1" | Parse "" commit | Bind "" "" | Execute "" | Sync
            >a1 Query "select 1" | Parse "" commit | Bind "" "" | Execute "" | Sync
            a1< Error 42601 _ | ReadyForQuery E | ParseComplete | BindComplete
            <C Error 42601 _ | ReadyForQuery E | ParseComplete | BindComplete
            a1< CommandComplete ROLLBACK | ReadyForQuery I
            <C CommandComplete ROLLBACK | ReadyForQuery I
            "#
        ),
    );
}

/// What the session held there is gone with the server: the client hears what became of its commit, and that it is over.
#[test]
fn who_has_lost_its_server_with_its_state_hears_it_and_ends() {
    let with_mode = |setup: &mut Setup| {
        inquisitive(setup);
        setup.settings.mode = PoolMode::Session;
    };
    let lost = "learn fork=1/0/10\nroute write=b deposed=a\n>a1 end";
    for (answer, told) in [
        (committed(), r#"<C Fatal 08007 "~the transaction was committed" | end"#),
        (aborted(), r#"<C Fatal 57P01 "~was not committed" | end"#),
    ] {
        check_with(with_mode, &format!("{BEGUN}{ASKED}{ANSWERED}\n{lost}\n{answer}\n{told}"));
    }
    let touched = r#"
        C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Query "create temp table t (a int)"
        >a1 Query "create temp table t (a int)"
        a1< CommandComplete "CREATE TABLE" | ReadyForQuery T
        <C CommandComplete "CREATE TABLE" | ReadyForQuery T
    "#;
    check_with(
        inquisitive,
        &format!(
            "{touched}{ASKED}{ANSWERED}\n{lost}\n{}\n<C Fatal 08007 \"~the transaction was committed\" | end",
            committed()
        ),
    );
}

#[test]
fn what_the_client_does_meanwhile() {
    let lost = "route write=none deposed=a\n>a1 end";
    // A cancel request comes too late for the commit, and what comes next waits.
    asked(&format!(
        r#"
        {lost}
        C> Query "select 1"
        cancel C
        wait 10ms
        <C nothing
        learn fork=1/0/10
        route write=b deposed=a
        wait 100ms
        {}
        {COMMITTED}
        >b1 Query "select 1"
        b1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
        committed()
    ));
    // It has ended its side: it hears what it can hear.
    asked(&format!(
        r#"
        {lost}
        C> half
        wait 1s
        learn fork=1/0/10
        route write=b deposed=a
        wait 100ms
        {}
        {COMMITTED}
        <C end
        "#,
        committed()
    ));
    // pgsteer stops.
    asked(&format!("{lost}\nterminate C\n<C Fatal 08007 _ | end"));
}

/// Reads that must see it: where it ends is not known, but the leader that has told of it has it.
#[test]
fn what_is_found_committed_is_to_be_seen() {
    let split = |setup: &mut Setup| {
        inquisitive(setup);
        setup.purpose = Purpose::Split;
        setup.settings.consistency.otherwise = Consistency::Session;
        setup.settings.limits.size = 2;
    };
    check_with(
        split,
        &format!(
            r#"
            C> Query begin
            >a1 Query begin
            >a2 Query "~BEGIN READ ONLY"
            a2< DataRow f count | ReadyForQuery I
            a1< CommandComplete BEGIN | ReadyForQuery T
            <C CommandComplete BEGIN | ReadyForQuery T
            C> Query "insert into t values (1)"
            >a1 Query "insert into t values (1)"
            a1< CommandComplete "INSERT 0 1" | ReadyForQuery T
            <C CommandComplete "INSERT 0 1" | ReadyForQuery T
            {ASKED}
            >a1 Query "~insert_lsn"
            {ANSWERED}
            learn fork=1/0/10
            route write=b read=c deposed=a
            >a1 end
            >a2 end
            {}{COMMITTED}
            C> Query "select count(*) from t"
            >b1 Query "select count(*) from t" | Query "~insert_lsn"
            b1< CommandComplete "SELECT 1" | ReadyForQuery I | DataRow 0/30 | CommandComplete "SELECT 1" | ReadyForQuery I
            <C CommandComplete "SELECT 1" | ReadyForQuery I
            pool c leased=0
            "#,
            committed()
        ),
    );
}

/// What was not committed is not missed afterwards: only what its client had committed before is looked for on the next leader.
#[test]
fn what_was_not_committed_is_not_called_lost() {
    let promised = |setup: &mut Setup| {
        promised::session(setup);
        inquisitive(setup);
        setup.purpose = Purpose::Write;
    };
    let read = r#"
        >b1 Query "select count(*) from t"
        b1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
    "#;
    // What came before ends at 0/10.
    for (fork, heard) in
        [("0/18", read), ("0/8", "<C Error PS001 \"~was lost\" | ReadyForQuery I\n>b1 nothing")]
    {
        check_with(
            promised,
            &format!(
                r#"
                {}{BEGUN}
                C> Query commit
                >a1 Query "~pg_current_xact_id_if_assigned" | Query commit | Query "~insert_lsn"
                a1< RowDescription x lsn file | DataRow 727 0/20 00000001 | CommandComplete "SELECT 1" | ReadyForQuery T
                <C nothing
                learn fork=1/{fork}
                route write=b deposed=a
                >a1 end
                >a2 end
                {NOT_COMMITTED}
                C> Query "select count(*) from t"
                {heard}
                "#,
                promised::BEGUN
            ),
        );
    }
}
