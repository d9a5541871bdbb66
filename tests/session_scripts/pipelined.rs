//! What is sent without waiting for answers, where a server is chosen for one request: what comes behind that is a request of its
//! own, which goes where it belongs and sees what it must.

use pgsteer::{route::consistency::Consistency, session::routes::Purpose};

use crate::{
    play::{check_whole, check_with},
    promised::{BEGUN, session},
    world::Setup,
};

fn split(setup: &mut Setup) {
    setup.purpose = Purpose::Split;
    setup.settings.limits.size = 2;
}

fn reading(consistency: Consistency) -> impl Fn(&mut Setup) + Copy {
    move |setup| {
        setup.purpose = Purpose::Read;
        setup.settings.consistency.otherwise = consistency;
        setup.settings.limits.size = 2;
    }
}

/// A block that only reads has begun on a replica.
const ON_REPLICA: &str = r#"
    C> Query "insert into t values (1)"
    >a1 Query "insert into t values (1)"
    >a2 Query "~BEGIN READ ONLY"
    a2< DataRow f count | ReadyForQuery I
    a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
    <C CommandComplete "INSERT 0 1" | ReadyForQuery I
    pool a leased=0
    C> Query "begin read only"
    >b1 Query "begin read only"
    b1< CommandComplete BEGIN | ReadyForQuery T
    <C CommandComplete BEGIN | ReadyForQuery T
"#;

const ROW: &str = r#"DataRow 7 | CommandComplete "SELECT 1""#;

/// A setup where statements without a name are the client's own on every server.
fn unmapped(change: impl Fn(&mut Setup) + Copy) -> impl Fn(&mut Setup) + Copy {
    move |setup| {
        change(setup);
        setup.settings.map_unnamed = false;
    }
}

fn in_block(script: &str) {
    check_with(split, &format!("{ON_REPLICA}{script}"));
}

/// What comes behind the end of a block that was a replica's is no replica's by that.
#[test]
fn what_follows_the_end_of_a_block_on_a_replica_is_another_request() {
    for (end, tag) in [("commit", "COMMIT"), ("rollback", "ROLLBACK"), ("end; select 1", "COMMIT")] {
        in_block(&format!(
            r#"
            C> Query "select 1" | Query "{end}" | Query "insert into t values (2)" | Query "select count(*) from t"
            # What is sure to be the block's need not wait.
            >b1 Query "select 1" | Query "{end}" | nothing
            b1< {ROW} | ReadyForQuery T
            >b1 nothing
            b1< CommandComplete {tag} | ReadyForQuery I
            <C {ROW} | ReadyForQuery T | CommandComplete {tag} | ReadyForQuery I
            >a1 Query "insert into t values (2)" | Query "select count(*) from t"
            a1< CommandComplete "INSERT 0 1" | ReadyForQuery I | {ROW} | ReadyForQuery I
            <C CommandComplete "INSERT 0 1" | ReadyForQuery I | {ROW} | ReadyForQuery I
            "#
        ));
    }
}

/// The same by the other protocol; and a read behind it is chosen for anew.
#[test]
fn what_follows_the_end_of_a_block_by_the_protocol_is_another_request() {
    let commit = r#"Parse "" "commit" | Bind "" "" | Execute "" | Sync"#;
    let read = r#"Parse "" "select count(*) from t" | Bind "" "" | Describe P "" | Execute "" | Sync"#;
    let unmapped = unmapped(split);
    check_whole(
        unmapped,
        &format!(
            r#"
            {ON_REPLICA}
            route write=a read=c
            C> {commit} | {read}
            >b1 {commit} | nothing
            b1< ParseComplete | BindComplete | CommandComplete COMMIT | ReadyForQuery I
            <C ParseComplete | BindComplete | CommandComplete COMMIT | ReadyForQuery I
            >c1 {read}
            c1< ParseComplete | BindComplete | RowDescription n | {ROW} | ReadyForQuery I
            <C ParseComplete | BindComplete | RowDescription n | {ROW} | ReadyForQuery I
            "#
        ),
    );
}

/// A block that goes on has its server on.
#[test]
fn a_block_that_goes_on_stays_where_it_is() {
    in_block(&format!(
        r#"
        C> Query "commit and chain" | Query "select 1" | Query "rollback" | Query "insert into t values (2)"
        >b1 Query "commit and chain" | nothing
        b1< CommandComplete COMMIT | ReadyForQuery T
        <C CommandComplete COMMIT | ReadyForQuery T
        >b1 Query "select 1" | Query "rollback" | nothing
        b1< {ROW} | ReadyForQuery T | CommandComplete ROLLBACK | ReadyForQuery I
        <C {ROW} | ReadyForQuery T | CommandComplete ROLLBACK | ReadyForQuery I
        >a1 Query "insert into t values (2)"
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        "#
    ));
    // It has failed: what comes next is still its own.
    in_block(
        r#"
        C> Query "select 1/0" | Query "select 1" | Query "commit" | Query "insert into t values (2)"
        >b1 Query "select 1/0" | Query "select 1" | Query "commit" | nothing
        b1< Error 22012 "division by zero" | ReadyForQuery E | Error 25P02 "aborted" | ReadyForQuery E
        <C Error 22012 _ | ReadyForQuery E | Error 25P02 _ | ReadyForQuery E
        >b1 nothing
        b1< CommandComplete ROLLBACK | ReadyForQuery I
        <C CommandComplete ROLLBACK | ReadyForQuery I
        >a1 Query "insert into t values (2)"
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        "#,
    );
}

/// The client has said goodbye, or has ended its side, behind what still waits.
#[test]
fn what_waits_is_run_for_a_client_that_has_left() {
    for (terminate, half) in [("| Terminate", ""), ("", "C> half")] {
        in_block(&format!(
            r#"
            C> Query "commit" | Query "insert into t values (2)" {terminate}
            {half}
            >b1 Query "commit" | nothing
            b1< CommandComplete COMMIT | ReadyForQuery I
            <C CommandComplete COMMIT | ReadyForQuery I
            >a1 Query "insert into t values (2)"
            a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
            <C CommandComplete "INSERT 0 1" | ReadyForQuery I | end
            pool b leased=0
            "#
        ));
    }
}

/// Without a promise a read route's server takes all that comes.
#[test]
fn reads_that_may_see_anything_are_not_held_up() {
    check_with(
        reading(Consistency::Eventual),
        &format!(
            r#"
            C> Query "select 1" | Query "select 2" | Query "begin" | Query "commit" | Query "select 3"
            >b1 Query "select 1" | Query "select 2" | Query "begin" | Query "commit" | Query "select 3"
            b1< {ROW} | ReadyForQuery I
            <C {ROW} | ReadyForQuery I
            "#
        ),
    );
}

/// What others were told while a read ran, the next one sees, whenever it was sent.
#[test]
fn each_read_sees_what_was_told_before_it() {
    check_with(
        reading(Consistency::Global),
        &format!(
            r#"
            C> Query "select 1"
            >b1 Query "select 1"
            told 1/0/10
            C> Query "select count(*) from t" | Query "select 2"
            >b1 nothing
            b1< {ROW} | ReadyForQuery I
            <C {ROW} | ReadyForQuery I
            wait 3ms
            learn b=1/0/F
            pool b leased=0
            learn b=1/0/10
            wait 3ms
            learn b=1/0/10
            >b1 Query "select count(*) from t" | nothing
            told 1/0/20
            b1< {ROW} | ReadyForQuery I
            <C {ROW} | ReadyForQuery I
            wait 3ms
            pool b leased=0
            learn b=1/0/20
            wait 3ms
            learn b=1/0/20
            >b1 Query "select 2"
            "#
        ),
    );
}

const WAIT_FOR: &str = "set pgsteer.wait_for = '7/1/0/30'";

/// What a client is handed, what it sends behind that sees.
#[test]
fn what_is_sent_behind_a_token_waits_for_it() {
    for consistency in [Consistency::Session, Consistency::Global] {
        check_with(
            reading(consistency),
            &format!(
                r#"
                C> Query "{WAIT_FOR}" | Query "select count(*) from t"
                >b1 Query "{WAIT_FOR}" | nothing
                b1< CommandComplete SET | ReadyForQuery I
                <C CommandComplete SET | ReadyForQuery I
                >b1 Query "~current_setting" | nothing
                b1< DataRow v pgsteer.wait_for 7/1/0/30 | ReadyForQuery I
                wait 3ms
                learn b=1/0/2F
                pool b leased=0
                learn b=1/0/30
                wait 3ms
                learn b=1/0/30
                >b1 Query "select count(*) from t"
                "#
            ),
        );
    }
}

const FOREIGN: &str = "set pgsteer.wait_for = '8/1/0/30'";
const PLACED: &str = r#"DataRow 0/10 | CommandComplete "SELECT 1" | ReadyForQuery I"#;

/// On the leader, too: there what was lost would be answered with a row. The answer to our own question may come when it
/// likes.
#[test]
fn what_is_sent_behind_a_token_on_the_leader_waits_until_it_is_known() {
    let learnt = r#"
        >a1 Query "~current_setting" | nothing
        a1< DataRow v pgsteer.wait_for 8/1/0/30 | ReadyForQuery I
        <C Error PS001 _ | ReadyForQuery I
        pool a leased=0
    "#;
    let writing = |setup: &mut Setup| {
        session(setup);
        setup.purpose = Purpose::Write;
    };
    for change in [session, writing] {
        // The next request comes while only the position is owed.
        check_with(
            change,
            &format!(
                r#"
                {BEGUN}
                C> Query "{FOREIGN}"
                >a1 Query "{FOREIGN}" | Query "~insert_lsn"
                a1< CommandComplete SET | ReadyForQuery I
                <C CommandComplete SET | ReadyForQuery I
                C> Query "select count(*) from t"
                >a1 nothing
                a1< {PLACED}
                {learnt}
                "#
            ),
        );
        // Or with the statement itself, behind another.
        check_whole(
            change,
            &format!(
                r#"
                {BEGUN}
                C> Query "insert into t values (2)" | Query "{FOREIGN}" | Query "select count(*) from t"
                >a1 Query "insert into t values (2)" | Query "{FOREIGN}" | Query "~insert_lsn" | nothing
                a1< CommandComplete "INSERT 0 1" | ReadyForQuery I | CommandComplete SET | ReadyForQuery I
                <C CommandComplete "INSERT 0 1" | ReadyForQuery I | CommandComplete SET | ReadyForQuery I
                >a1 nothing
                a1< {PLACED}
                {learnt}
                "#
            ),
        );
    }
}

/// A client with a promise that changes nothing of it is not held up on the leader.
#[test]
fn what_is_sent_to_the_leader_is_not_held_up() {
    check_whole(
        session,
        &format!(
            r#"
            {BEGUN}
            C> Query "insert into t values (2)"
            >a1 Query "insert into t values (2)" | Query "~insert_lsn"
            C> Query "insert into t values (3)" | Query "select count(*) from t"
            >a1 Query "insert into t values (3)" | Query "select count(*) from t" | Query "~insert_lsn"
            "#
        ),
    );
}

/// What comes in one request with it could not wait for it.
#[test]
fn nothing_comes_in_one_request_with_a_token() {
    let refused = r#"Error 0A000 "~a request of its own" | ReadyForQuery I"#;
    let failed = r#"Error 26000 "prepared statement \"pgsteer_\" does not exist" | ReadyForQuery I"#;
    for text in [
        format!("{WAIT_FOR}; select count(*) from t"),
        format!("begin; {WAIT_FOR}; select count(*) from t; commit"),
        "select count(*) from t; select set_config('PgSteer.wait_for', '7/1/0/30', false)".to_owned(),
    ] {
        check_with(
            reading(Consistency::Session),
            &format!(
                r#"
                C> Query "{text}"
                >b1 Bind "" pgsteer_ | Sync
                b1< {failed}
                <C {refused}
                >b1 Query "~current_setting"
                b1< ReadyForQuery I
                pool b leased=0
                "#
            ),
        );
    }
    // In a sequence: what comes before it has been run, and is undone.
    let unmapped = unmapped(reading(Consistency::Session));
    let set = format!(r#"Parse "" "{WAIT_FOR}" | Bind "" "" | Execute """#);
    let first = r#"Parse "" "select 1" | Bind "" "" | Describe P "" | Execute """#;
    let next = r#"Parse "" "select 2" | Bind "" "" | Describe P """#;
    let done = "ParseComplete | BindComplete | CommandComplete DONE";
    let begun = "ParseComplete | BindComplete | RowDescription n";
    check_whole(
        unmapped,
        &format!(
            r#"
            C> {first} | {set} | {next} | Execute "" | Sync | Query "select 3"
            >b1 {first} | {set} | {next} | Bind "" pgsteer_ | Sync
            b1< {begun} | {ROW} | {done} | {begun} | {failed}
            <C {begun} | {ROW} | {done} | {begun} | {refused}
            >b1 Query "~current_setting"
            b1< ReadyForQuery I
            >b1 Query "select 3"
            "#
        ),
    );
    // The last of its request it may be.
    check_whole(
        unmapped,
        &format!(
            r#"
            C> {first} | {set} | Sync | {first} | Sync
            >b1 {first} | {set} | Sync | nothing
            b1< {begun} | {ROW} | {done} | ReadyForQuery I
            <C {begun} | {ROW} | {done} | ReadyForQuery I
            >b1 Query "~current_setting"
            "#
        ),
    );
}

/// In a block, which stays where it is, it counts from the end of that.
#[test]
fn a_token_in_a_block_is_for_what_comes_behind_it() {
    check_with(
        reading(Consistency::Session),
        &format!(
            r#"
            C> Query "begin"
            >b1 Query "begin"
            b1< CommandComplete BEGIN | ReadyForQuery T
            <C CommandComplete BEGIN | ReadyForQuery T
            C> Query "{WAIT_FOR}; select 1" | Query "commit" | Query "select count(*) from t"
            >b1 Query "{WAIT_FOR}; select 1" | nothing
            b1< CommandComplete SET | {ROW} | ReadyForQuery T
            <C CommandComplete SET | {ROW} | ReadyForQuery T
            >b1 Query "commit" | nothing
            b1< CommandComplete COMMIT | ReadyForQuery I
            <C CommandComplete COMMIT | ReadyForQuery I
            >b1 Query "~current_setting"
            b1< DataRow v pgsteer.wait_for 7/1/0/30 | ReadyForQuery I
            wait 3ms
            pool b leased=0
            learn b=1/0/30
            wait 3ms
            learn b=1/0/30
            >b1 Query "select count(*) from t"
            "#
        ),
    );
}

/// What goes on behind the end of a block in the same sequence is a transaction of its own, and no replica's by that.
#[test]
fn a_sequence_goes_on_elsewhere_behind_the_end_of_a_block() {
    let unmapped = unmapped(split);
    let step = |text: &str| format!(r#"Parse "" "{text}" | Bind "" "" | Describe P "" | Execute """#);
    let (first, commit, insert) = (step("select 1"), step("commit"), step("insert into t values (2)"));
    let row = format!("ParseComplete | BindComplete | RowDescription n | {ROW}");
    let done = |tag: &str| format!(r#"ParseComplete | BindComplete | NoData | CommandComplete "{tag}""#);
    let (committed, inserted) = (done("COMMIT"), done("INSERT 0 1"));
    for (more, answered) in
        [("| Sync", "| ReadyForQuery I"), ("| Close P \"\" | Sync", "| CloseComplete | ReadyForQuery I")]
    {
        check_with(
            unmapped,
            &format!(
                r#"
                {ON_REPLICA}
                C> {first} | {commit} | {insert} {more}
                >b1 {first} | {commit} | Flush | nothing
                b1< {row} | {committed}
                <C {row} | {committed}
                >b1 Sync
                <C nothing
                b1< ReadyForQuery I
                >a1 {insert} {more}
                a1< {inserted} {answered}
                <C {inserted} {answered}
                pool b leased=0
                "#
            ),
        );
    }
    // Where it ends there, it is as ever.
    check_with(
        unmapped,
        &format!(
            r#"
            {ON_REPLICA}
            C> {first} | {commit} | Close P "" | Sync
            >b1 {first} | {commit} | Flush | nothing
            b1< {row} | {committed}
            <C {row} | {committed}
            >b1 Close P "" | Sync | nothing
            b1< CloseComplete | ReadyForQuery I
            <C CloseComplete | ReadyForQuery I
            "#
        ),
    );
    // What is skipped behind an error is skipped.
    check_with(
        unmapped,
        &format!(
            r#"
            {ON_REPLICA}
            C> {first} | {commit} | {insert} | Sync | {first} | Sync
            >b1 {first} | {commit} | Flush | nothing
            b1< ParseComplete | BindComplete | RowDescription n | Error 22012 "division by zero"
            <C ParseComplete | BindComplete | RowDescription n | Error 22012 _
            # The block has failed, and is open.
            >b1 Sync | {first} | Sync
            b1< ReadyForQuery E | Error 25P02 "aborted" | ReadyForQuery E
            <C ReadyForQuery E | Error 25P02 _ | ReadyForQuery E
            "#
        ),
    );
}

/// With a promise it is asked anew, too, whether a replica shows what it must.
#[test]
fn what_a_sequence_reads_behind_a_block_is_asked_about() {
    let unmapped = unmapped(reading(Consistency::Global));
    let rollback = r#"Parse "" "rollback" | Bind "" "" | Execute """#;
    let read = r#"Parse "" "select 2" | Bind "" "" | Describe P "" | Execute "" | Sync"#;
    check_with(
        unmapped,
        &format!(
            r#"
            C> Query "begin"
            >b1 Query "begin"
            b1< CommandComplete BEGIN | ReadyForQuery T
            <C CommandComplete BEGIN | ReadyForQuery T
            told 1/0/10
            C> {rollback} | {read}
            >b1 {rollback} | Flush | nothing
            b1< ParseComplete | BindComplete | CommandComplete ROLLBACK
            <C ParseComplete | BindComplete | CommandComplete ROLLBACK
            >b1 Sync
            b1< ReadyForQuery I
            wait 3ms
            pool b leased=0
            learn b=1/0/10
            wait 3ms
            learn b=1/0/10
            >b1 {read}
            "#
        ),
    );
}
