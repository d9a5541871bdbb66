//! PostgreSQL 18 makes a block of a sequence and the Query behind it.

use pgsteer::route::consistency::Consistency;

use crate::{machines::check, play::check_whole};

#[test]
fn a_sync_right_behind_a_query_in_a_sequence_commits() {
    check(
        r#"
        C> Parse "" "insert into t values (1)" | Bind "" "" | Execute "" | Query "select 1" | Sync
        >s Parse "" "insert into t values (1)" | Bind "" "" | Describe S "" | Execute "" | Query "select 1"
        # An older server has committed by now.
        s< ParseComplete | BindComplete | ParameterDescription | NoData | CommandComplete "INSERT 0 1" | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        >s Sync
        s< ReadyForQuery I
        <C ParseComplete | BindComplete | CommandComplete "INSERT 0 1" | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I | ReadyForQuery I
        free true
        C> Parse "" "insert into t values (2)" | Bind "" "" | Execute "" | Query "select 2" | Sync
        >s Parse "" "insert into t values (2)" | Bind "" "" | Describe S "" | Execute "" | Query "select 2"
        s< ParseComplete | BindComplete | ParameterDescription | NoData | CommandComplete "INSERT 0 1" | DataRow 2 | CommandComplete "SELECT 1" | ReadyForQuery T
        >s Parse pgsteer_aside "" | Close S pgsteer_aside | Sync
        s< ParseComplete | CloseComplete | ReadyForQuery I
        <C ParseComplete | BindComplete | CommandComplete "INSERT 0 1" | DataRow 2 | CommandComplete "SELECT 1" | ReadyForQuery T | ReadyForQuery I
        free true
        C> Sync
        >s Sync
        s< ReadyForQuery I
        <C ReadyForQuery I
        "#,
    );
}

#[test]
fn nothing_of_ours_ends_such_a_block() {
    check(
        r#"
        C> Parse a "select $1" 23 | Sync
        >s Parse pgsteer_1 "select $1" 23 | Describe S pgsteer_1 | Sync
        s< ParseComplete | ParameterDescription 23 | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        C on t
        C> Parse "" "insert into t values (1)" | Bind "" "" | Execute "" | Query "select 1" | Bind "" a 1 | Execute "" | Sync
        >t Parse "" "insert into t values (1)" | Bind "" "" | Describe S "" | Execute "" | Query "select 1"
        t< ParseComplete | BindComplete | ParameterDescription | NoData | CommandComplete "INSERT 0 1" | CommandComplete "SELECT 1" | ReadyForQuery T
        # Held against what it yielded, without a Sync.
        >t Parse pgsteer_1 "select $1" 23 | Describe S pgsteer_1 | Flush
        t< ParseComplete | ParameterDescription 23 | RowDescription n
        >t Bind "" pgsteer_1 1 | Execute "" | Parse pgsteer_aside "" | Close S pgsteer_aside | Sync
        t< BindComplete | CommandComplete "SELECT 1" | ParseComplete | CloseComplete | ReadyForQuery I
        <C ParseComplete | BindComplete | CommandComplete "INSERT 0 1" | CommandComplete "SELECT 1" | ReadyForQuery T | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        free true
        "#,
    );
}

#[test]
fn a_statement_that_ends_such_a_block_or_fails_in_it_leaves_none() {
    for (answer, status) in [("CommandComplete COMMIT", "I"), ("Error 22012 \"division by zero\"", "I")] {
        check(&format!(
            r#"
            C> Parse "" "select 1" | Bind "" "" | Execute "" | Query "select 1"
            >s Parse "" "select 1" | Bind "" "" | Describe S "" | Execute "" | Query "select 1"
            s< ParseComplete | BindComplete | ParameterDescription | NoData | CommandComplete "SELECT 1" | CommandComplete "SELECT 1" | ReadyForQuery T
            <C ParseComplete | BindComplete | CommandComplete "SELECT 1" | CommandComplete "SELECT 1" | ReadyForQuery T
            free false
            C> Query "select 2" | Sync
            >s Query "select 2"
            s< {answer} | ReadyForQuery {status}
            >s Sync
            s< ReadyForQuery I
            <C {answer} | ReadyForQuery {status} | ReadyForQuery I
            free true
            "#
        ));
    }
}

#[test]
fn a_copy_inside_a_sequence_is_fed_before_that_is_known() {
    check(
        r#"
        C> Parse "" "select 1" | Bind "" "" | Execute "" | Query "copy t from stdin"
        >s Parse "" "select 1" | Bind "" "" | Describe S "" | Execute "" | Query "copy t from stdin"
        s< ParseComplete | BindComplete | ParameterDescription | NoData | CommandComplete "SELECT 1" | CopyIn
        <C ParseComplete | BindComplete | CommandComplete "SELECT 1" | CopyIn
        C> CopyData abc | CopyDone | Sync
        >s CopyData abc | CopyDone
        s< CommandComplete "COPY 1" | ReadyForQuery T
        >s Parse pgsteer_aside "" | Close S pgsteer_aside | Sync
        s< ParseComplete | CloseComplete | ReadyForQuery I
        <C CommandComplete "COPY 1" | ReadyForQuery T | ReadyForQuery I
        free true
        "#,
    );
}

/// From PostgreSQL 18 on an Execute makes a block of what follows it without a Sync: one of ours must not, where the client has
/// sent none.
#[test]
fn what_is_ours_makes_no_block_of_a_sequence_in_which_nothing_was_executed() {
    let told = |begins: &str, script: &str| {
        check_whole(
            |setup| setup.settings.consistency.otherwise = Consistency::Session,
            &format!("{begins}\n{script}"),
        );
    };
    let shown = r#"DataRow 1/2/3 | CommandComplete SHOW | ReadyForQuery I"#;
    told(
        "",
        &format!(
            r#"
            C> Parse "" "select 0" | Bind "" "" | Query "show pgsteer.token" | Sync
            >a1 Parse "" "select 0" | Bind "" "" | Flush
            a1< ParseComplete | BindComplete
            >a1 Sync | Query "~pgsteer.token" | Query "show pgsteer.token"
            a1< ReadyForQuery I | CommandComplete DO | ReadyForQuery I | {shown}
            >a1 Sync
            a1< ReadyForQuery I
            <C ParseComplete | BindComplete | {shown} | ReadyForQuery I
            >a1 Query "~insert_lsn"
            "#
        ),
    );
    // What the client has sent fails: its query is skipped, as ever.
    told(
        "",
        r#"
        C> Parse "" "selec" | Query "show pgsteer.token" | Sync
        >a1 Parse "" "selec" | Flush
        a1< Error 42601 "syntax error"
        >a1 Sync
        a1< ReadyForQuery I
        <C Error 42601 "syntax error" | ReadyForQuery I
        "#,
    );
    // In a block, or behind an Execute, there is nothing to be kept from it.
    told(
        r#"C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T"#,
        r#"C> Parse "" "select 0" | Query "show pgsteer.token"
        >a1 Parse "" "select 0" | Parse pgsteer_aside "~pgsteer.token" | Bind pgsteer_aside pgsteer_aside | Execute pgsteer_aside | Close P pgsteer_aside | Close S pgsteer_aside | Query "show pgsteer.token""#,
    );
    told(
        "",
        r#"C> Parse "" "select 0" | Bind "" "" | Execute "" | Query "show pgsteer.token"
        >a1 Parse "" "select 0" | Bind "" "" | Describe S "" | Execute "" | Parse pgsteer_aside "~pgsteer.token" | Bind pgsteer_aside pgsteer_aside | Execute pgsteer_aside | Close P pgsteer_aside | Close S pgsteer_aside | Query "show pgsteer.token""#,
    );
}
