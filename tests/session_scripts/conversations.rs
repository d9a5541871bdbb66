//! What two machines make of a conversation, wherever it is cut.

use crate::machines::check;

#[test]
fn a_named_statement_is_prepared_where_it_is_used() {
    check(
        r#"
        C> Parse a "select $1" 23 | Bind "" a 1 | Describe P "" | Execute "" | Sync
        >s Parse pgsteer_1 "select $1" 23 | Describe S pgsteer_1 | Bind "" pgsteer_1 1 | Describe P "" | Execute "" | Sync
        s< ParseComplete | ParameterDescription 23 | RowDescription n | BindComplete | RowDescription n | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C ParseComplete | BindComplete | RowDescription n | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        free true
        # Another client, the same text and types: the server has it.
        D on s
        D> Parse b "select $1" 23 | Describe S b | Sync
        >s Describe S pgsteer_1 | Sync
        s< ParameterDescription 23 | RowDescription n | ReadyForQuery I
        <D ParseComplete | ParameterDescription 23 | RowDescription n | ReadyForQuery I
        # Other types are another statement.
        D> Parse c "select $1" 25 | Sync
        >s Parse pgsteer_2 "select $1" 25 | Describe S pgsteer_2 | Sync
        s< ParseComplete | ParameterDescription 25 | RowDescription n | ReadyForQuery I
        <D ParseComplete | ReadyForQuery I
        # Elsewhere it is prepared on the way, and nobody is told.
        C on t
        C> Bind "" a 2 | Execute "" | Sync
        >t Parse pgsteer_1 "select $1" 23 | Describe S pgsteer_1 | Sync
        t< ParseComplete | ParameterDescription 23 | RowDescription n | ReadyForQuery I
        >t Bind "" pgsteer_1 2 | Execute "" | Sync
        t< BindComplete | DataRow 2 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C BindComplete | DataRow 2 | CommandComplete "SELECT 1" | ReadyForQuery I
        C> Describe S a | Sync
        >t Describe S pgsteer_1 | Sync
        t< ParameterDescription 23 | RowDescription n | ReadyForQuery I
        <C ParameterDescription 23 | RowDescription n | ReadyForQuery I
        prepared 1
        "#,
    );
}

#[test]
fn the_least_recently_used_statement_is_closed() {
    check(
        r#"
        max 2
        C> Parse a "select 1" | Parse b "select 2" | Sync
        >s Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Parse pgsteer_2 "select 2" | Describe S pgsteer_2 | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ParseComplete | ReadyForQuery I
        C> Bind "" a | Execute "" | Parse c "select 3" | Sync
        >s Bind "" pgsteer_1 | Execute "" | Close S pgsteer_2 | Parse pgsteer_3 "select 3" | Describe S pgsteer_3 | Sync
        s< BindComplete | CommandComplete "SELECT 1" | CloseComplete | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C BindComplete | CommandComplete "SELECT 1" | ParseComplete | ReadyForQuery I
        C> Bind "" b | Execute "" | Sync
        >s Close S pgsteer_1 | Parse pgsteer_2 "select 2" | Describe S pgsteer_2 | Sync
        s< CloseComplete | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        >s Bind "" pgsteer_2 | Execute "" | Sync
        s< BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <C BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        prepared 2
        named 3
        "#,
    );
}

#[test]
fn what_an_error_skipped_was_not_done() {
    check(
        r#"
        max 1
        C> Parse a "select 1" | Sync
        >s Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        # The first Bind fails: neither was `a` closed, nor `b` made, nor anything evicted.
        C> Bind "" nope | Close S a | Parse a "select 2" | Parse b "select 3" | Bind "" b | Sync
        >s Bind "" nope | Close S pgsteer_1 | Parse pgsteer_2 "select 2" | Describe S pgsteer_2 | Close S pgsteer_2 | Parse pgsteer_3 "select 3" | Describe S pgsteer_3 | Bind "" pgsteer_3 | Sync
        s< Error 26000 "prepared statement \"nope\" does not exist" | ReadyForQuery I
        <C Error 26000 "prepared statement \"nope\" does not exist" | ReadyForQuery I
        named 1
        prepared 1
        C> Bind "" a | Execute "" | Sync
        >s Bind "" pgsteer_1 | Execute "" | Sync
        s< BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <C BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        # A Parse that the server refuses leaves no name.
        C> Parse c "selec" | Sync
        >s Close S pgsteer_1 | Parse pgsteer_4 selec | Sync
        s< CloseComplete | Error 42601 "syntax error" | ReadyForQuery I
        <C Error 42601 "syntax error" | ReadyForQuery I
        named 1
        prepared 0
        C> Parse c "select" | Sync
        >s Parse pgsteer_5 select | Describe S pgsteer_5 | Sync
        s< ParseComplete | ParameterDescription | RowDescription | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        "#,
    );
}

#[test]
fn what_is_skipped_after_an_error_is_not_sent_at_all() {
    check(
        r#"
        C> Parse "" "selec" | Flush
        >s Parse "" selec | Flush
        s< Error 42601 "syntax error"
        <C Error 42601 "syntax error"
        free false
        C> Bind "" "" | Execute "" | Query "select 1" | Parse x "select 2" | CopyData abc | Flush
        >s nothing
        named 0
        C> Sync
        >s Sync
        s< ReadyForQuery I
        <C ReadyForQuery I
        free true
        "#,
    );
}

#[test]
fn a_name_in_use_is_refused_by_the_server_in_the_clients_words() {
    check(
        r#"
        C> Parse a "select 1" | Sync
        >s Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        C> Parse a "select 2" | Bind "" a | Sync
        >s Parse pgsteer_0 "" | Parse pgsteer_0 "select 2" | Bind "" pgsteer_1 | Sync
        s< ParseComplete | Error 42P05 "prepared statement \"pgsteer_0\" already exists" | ReadyForQuery I
        <C Error 42P05 "prepared statement \"a\" already exists" | ReadyForQuery I
        C> Parse a "selec" | Sync
        >s Parse pgsteer_0 selec | Sync
        s< Error 42601 "syntax error" | ReadyForQuery I
        <C Error 42601 "syntax error" | ReadyForQuery I
        C on t
        C> Parse a "select 2" | Sync
        >t Parse pgsteer_0 "" | Parse pgsteer_0 "select 2" | Sync
        t< ParseComplete | Error 42P05 "prepared statement \"pgsteer_0\" already exists" | ReadyForQuery E
        <C Error 42P05 "prepared statement \"a\" already exists" | ReadyForQuery E
        # Any other error is passed on: in a failed transaction nothing is parsed.
        C> Parse a "select 2" | Sync
        >t Parse pgsteer_0 "select 2" | Sync
        t< Error 25P02 "current transaction is aborted" | ReadyForQuery E
        <C Error 25P02 "current transaction is aborted" | ReadyForQuery E
        "#,
    );
}

#[test]
fn a_closed_name_can_be_used_again() {
    check(
        r#"
        C> Parse a "select 1" | Close S a | Parse a "select 2" | Bind "" a | Sync
        >s Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Parse pgsteer_2 "select 2" | Describe S pgsteer_2 | Bind "" pgsteer_2 | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | ParseComplete | ParameterDescription | RowDescription n | BindComplete | ReadyForQuery I
        <C ParseComplete | CloseComplete | ParseComplete | BindComplete | ReadyForQuery I
        C> Close S a | Flush
        >s Flush
        <C CloseComplete
        C> Close S a | Close P "" | Sync
        >s Close S a | Close P "" | Sync
        s< CloseComplete | CloseComplete | ReadyForQuery I
        <C CloseComplete | CloseComplete | ReadyForQuery I
        named 0
        "#,
    );
}

#[test]
fn names_we_do_not_know_are_the_servers() {
    check(
        r#"
        C> Query "prepare p as select 1"
        >s Query "prepare p as select 1"
        s< CommandComplete PREPARE | ReadyForQuery I
        <C CommandComplete PREPARE | ReadyForQuery I
        touched true
        C> Describe S p | Bind "" p | Execute "" | Close S p | Sync
        >s Describe S p | Bind "" p | Execute "" | Close S p | Sync
        s< ParameterDescription | RowDescription n | BindComplete | CommandComplete "SELECT 1" | CloseComplete | ReadyForQuery I
        <C ParameterDescription | RowDescription n | BindComplete | CommandComplete "SELECT 1" | CloseComplete | ReadyForQuery I
        "#,
    );
}

#[test]
fn without_mapping_names_pass() {
    check(
        r#"
        max 0
        session
        C> Parse a "select 1" | Bind "" a | Execute "" | Close S a | Sync
        >s Parse a "select 1" | Bind "" a | Execute "" | Close S a | Sync
        s< ParseComplete | BindComplete | CommandComplete "SELECT 1" | CloseComplete | ReadyForQuery I
        <C ParseComplete | BindComplete | CommandComplete "SELECT 1" | CloseComplete | ReadyForQuery I
        free true
        "#,
    );
}

#[test]
fn the_unnamed_statement_follows_the_client() {
    check(
        r#"
        C> Parse "" "select $1" 23 | Describe S "" | Sync
        >s Parse "" "select $1" 23 | Describe S "" | Sync
        s< ParseComplete | ParameterDescription 23 | RowDescription n | ReadyForQuery I
        <C ParseComplete | ParameterDescription 23 | RowDescription n | ReadyForQuery I
        # Another client's, in between.
        D on s
        D> Parse "" "drop table t" | Sync
        >s Parse "" "drop table t" | Sync
        s< ParseComplete | ReadyForQuery I
        <D ParseComplete | ReadyForQuery I
        C on s
        C> Bind "" "" 7 | Execute "" | Sync
        >s Parse "" "select $1" 23 | Describe S "" | Sync
        s< ParseComplete | ParameterDescription 23 | RowDescription n | ReadyForQuery I
        >s Bind "" "" 7 | Execute "" | Sync
        s< BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <C BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        C> Bind "" "" 8 | Sync
        >s Bind "" "" 8 | Sync
        s< BindComplete | ReadyForQuery I
        <C BindComplete | ReadyForQuery I
        # Who has none never gets another's, but the server's own error.
        E on s
        E> Bind "" "" 8 | Sync
        >s Close S "" | Bind "" "" 8 | Sync
        s< CloseComplete | Error 26000 "unnamed prepared statement does not exist" | ReadyForQuery I
        <E Error 26000 "unnamed prepared statement does not exist" | ReadyForQuery I
        # A simple query takes it away.
        C on t
        C> Query "select 1"
        >t Query "select 1"
        t< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C on s
        C> Describe S "" | Sync
        >s Close S "" | Describe S "" | Sync
        s< CloseComplete | Error 26000 "unnamed prepared statement does not exist" | ReadyForQuery I
        <C Error 26000 "unnamed prepared statement does not exist" | ReadyForQuery I
        "#,
    );
}

#[test]
fn flush_without_sync_keeps_the_server() {
    check(
        r#"
        C> Parse "" "select 1" | Bind "" "" | Describe P "" | Flush
        >s Parse "" "select 1" | Bind "" "" | Describe P "" | Flush
        s< ParseComplete | BindComplete | RowDescription n
        <C ParseComplete | BindComplete | RowDescription n
        free false
        C> Execute "" | Sync
        >s Execute "" | Sync
        committed true
        s< DataRow 1 | CommandComplete "SELECT 1"
        <C DataRow 1 | CommandComplete "SELECT 1"
        committed true
        s< ReadyForQuery I
        <C ReadyForQuery I
        committed false
        free true
        # Alone it opens nothing.
        C> Query "select 1" | Flush
        >s Query "select 1" | Flush
        s< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        free true
        "#,
    );
}

#[test]
fn portals_can_be_suspended_and_run_on() {
    check(
        r#"
        C> Query "begin" | Parse a "select 1" | Bind p a | Execute p | Flush
        >s Query begin | Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Bind p pgsteer_1 | Execute p | Flush
        s< CommandComplete BEGIN | ReadyForQuery T | ParseComplete | ParameterDescription | RowDescription n | BindComplete | DataRow 1 | PortalSuspended
        <C CommandComplete BEGIN | ReadyForQuery T | ParseComplete | BindComplete | DataRow 1 | PortalSuspended
        C> Execute p | Close P p | Sync
        >s Execute p | Close P p | Sync
        s< CommandComplete "SELECT 1" | CloseComplete | ReadyForQuery T
        <C CommandComplete "SELECT 1" | CloseComplete | ReadyForQuery T
        free false
        "#,
    );
}

#[test]
fn a_pipeline_of_many_requests() {
    check(
        r#"
        C> Parse a "select 1" | Bind "" a | Execute "" | Sync | Query "select 2" | Bind "" a | Execute "" | Sync
        >s Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Bind "" pgsteer_1 | Execute "" | Sync | Query "select 2"
        s< ParseComplete | ParameterDescription | RowDescription n | BindComplete | Error 22012 "division by zero" | ReadyForQuery I
        <C ParseComplete | BindComplete | Error 22012 "division by zero" | ReadyForQuery I
        >s Bind "" pgsteer_1 | Execute "" | Sync
        s< CommandComplete "SELECT 1" | CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | CommandComplete "SELECT 1" | ReadyForQuery I
        free false
        s< BindComplete | EmptyQueryResponse | ReadyForQuery I
        <C BindComplete | EmptyQueryResponse | ReadyForQuery I
        free true
        "#,
    );
}

#[test]
fn copy_in_by_a_query() {
    check(
        r#"
        C> Query "copy t from stdin"
        >s Query "copy t from stdin"
        s< CopyIn
        <C CopyIn
        C> CopyData "1" | CopyData "" | CopyDone
        >s CopyData "1" | CopyData "" | CopyDone
        s< CommandComplete "COPY 1" | ReadyForQuery I
        <C CommandComplete "COPY 1" | ReadyForQuery I
        free true
        C> Query "copy t from stdin"
        >s Query "copy t from stdin"
        s< CopyIn
        <C CopyIn
        C> CopyData "1" | CopyFail why
        >s CopyData "1" | CopyFail why
        s< Error 57014 "COPY from stdin failed: why" | ReadyForQuery I
        <C Error 57014 "COPY from stdin failed: why" | ReadyForQuery I
        # The server fails first; what the client sends before it knows is nothing.
        C> Query "copy t from stdin"
        >s Query "copy t from stdin"
        s< CopyIn | Error 22P04 "extra data" | ReadyForQuery I
        <C CopyIn | Error 22P04 "extra data" | ReadyForQuery I
        C> CopyData "1" | CopyDone | Query "select 1"
        >s CopyData "1" | CopyDone | Query "select 1"
        s< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        free true
        "#,
    );
}

#[test]
fn copy_in_by_the_extended_protocol() {
    let begin = r#"
        C> Parse "" "copy t from stdin" | Bind "" "" | Execute "" | Sync
        >s Parse "" "copy t from stdin" | Bind "" "" | Execute "" | Flush
        s< ParseComplete | BindComplete | CopyIn
        <C ParseComplete | BindComplete | CopyIn
        free false
        "#;
    // The copy would have swallowed the first Sync.
    check(&format!(
        r#"{begin}
        C> CopyData "1" | CopyDone | Sync
        >s CopyData "1" | CopyDone | Sync
        s< CommandComplete "COPY 1" | ReadyForQuery I
        <C CommandComplete "COPY 1" | ReadyForQuery I
        free true
        "#
    ));
    check(&format!(
        r#"{begin}
        C> CopyData "1" | CopyFail why | Sync
        >s CopyData "1" | CopyFail why | Sync
        s< Error 57014 "COPY from stdin failed: why" | ReadyForQuery I
        <C Error 57014 "COPY from stdin failed: why" | ReadyForQuery I
        free true
        "#
    ));
    // The error comes first: what was left of the copy is left out, up to the Sync.
    check(&format!(
        r#"{begin}
        C> CopyData "1"
        >s CopyData "1"
        s< Error 22P04 "extra data"
        <C Error 22P04 "extra data"
        C> CopyData "2" | CopyDone
        >s nothing
        free false
        C> Sync
        >s Sync
        s< ReadyForQuery I
        <C ReadyForQuery I
        free true
        "#
    ));
    // A Sync in the middle of it.
    check(&format!(
        r#"{begin}
        C> CopyData "1" | Sync | CopyData "2" | CopyDone | Sync
        >s CopyData "1" | CopyData "2" | CopyDone | Sync
        s< CommandComplete "COPY 2" | ReadyForQuery I
        <C CommandComplete "COPY 2" | ReadyForQuery I
        free true
        "#
    ));
    check(&format!(
        r#"{begin}
        C> CopyData "1" | Sync
        >s CopyData "1"
        s< Error 22P04 "extra data"
        <C Error 22P04 "extra data"
        >s Sync
        s< ReadyForQuery I
        <C ReadyForQuery I
        free true
        "#
    ));
}

#[test]
fn copy_in_sent_in_one_go() {
    check(
        r#"
        C> Parse "" "copy t from stdin" | Bind "" "" | Execute "" | CopyData "1" | CopyDone | Sync
        >s Parse "" "copy t from stdin" | Bind "" "" | Execute "" | Flush
        s< ParseComplete | BindComplete | CopyIn
        >s CopyData "1" | CopyDone | Sync
        s< CommandComplete "COPY 1" | ReadyForQuery I
        <C ParseComplete | BindComplete | CopyIn | CommandComplete "COPY 1" | ReadyForQuery I
        free true
        C> Query "copy t from stdin; copy u from stdin" | CopyData "1" | CopyDone | CopyData "2" | CopyDone
        >s Query "copy t from stdin; copy u from stdin"
        s< CopyIn
        >s CopyData "1" | CopyDone | CopyData "2" | CopyDone
        s< CommandComplete "COPY 1" | CopyIn | CommandComplete "COPY 1" | ReadyForQuery I
        <C CopyIn | CommandComplete "COPY 1" | CopyIn | CommandComplete "COPY 1" | ReadyForQuery I
        free true
        # One that fails at once takes nothing, and its Sync is one.
        C> Parse "" "copy t from stdin" | Bind "" "" | Execute "" | Sync | CopyData "1" | CopyDone | Sync
        >s Parse "" "copy t from stdin" | Bind "" "" | Execute "" | Flush
        s< ParseComplete | BindComplete | Error 42501 "permission denied for table t"
        >s Sync | CopyData "1" | CopyDone | Sync
        s< ReadyForQuery I | ReadyForQuery I
        <C ParseComplete | BindComplete | Error 42501 "permission denied for table t" | ReadyForQuery I | ReadyForQuery I
        free true
        "#,
    );
}

#[test]
fn copy_out_and_function_calls() {
    check(
        r#"
        C> Query "copy t to stdout"
        >s Query "copy t to stdout"
        s< CopyOut | CopyData "1" | Notice 01000 "slow" | CopyData "2" | CopyDone | CommandComplete "COPY 2" | ReadyForQuery I
        <C CopyOut | CopyData "1" | Notice 01000 "slow" | CopyData "2" | CopyDone | CommandComplete "COPY 2" | ReadyForQuery I
        hygiene Clean
        C> FunctionCall 1598
        >s FunctionCall 1598
        s< FunctionCallResponse 1 | ReadyForQuery I
        <C FunctionCallResponse 1 | ReadyForQuery I
        hygiene Dirty
        C> FunctionCall 1
        >s FunctionCall 1
        s< Error 42883 "no such function" | ReadyForQuery I
        <C Error 42883 "no such function" | ReadyForQuery I
        free true
        "#,
    );
}

#[test]
fn long_messages_stream_through() {
    check(
        r#"
        C> Query "select 1 @70000"
        >s Query "select 1 @70000"
        s< DataRow @200000 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C DataRow @200000 | CommandComplete "SELECT 1" | ReadyForQuery I
        # If it did not come whole it was judged by its beginning.
        cleaned
        C> Parse a "select $1" | Bind "" a @1000000 | Execute "" | Sync
        >s Parse pgsteer_1 "select $1" | Describe S pgsteer_1 | Bind "" pgsteer_1 @1000000 | Execute "" | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <C ParseComplete | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        hygiene Clean
        C> Query "copy t from stdin"
        >s Query "copy t from stdin"
        s< CopyIn
        <C CopyIn
        C> CopyData @100000 | CopyDone
        >s CopyData @100000 | CopyDone
        s< CommandComplete "COPY 1" | ReadyForQuery I
        <C CommandComplete "COPY 1" | ReadyForQuery I
        C> Query "select raise('@70000')"
        >s Query "select raise('@70000')"
        s< Error P0001 "@70000" | ReadyForQuery I
        <C Error P0001 "@70000" | ReadyForQuery I
        "#,
    );
}

#[test]
fn settings_that_the_server_reports_are_the_clients() {
    check(
        r#"
        C> Query "set timezone to 'Europe/Paris'"
        >s Query "set timezone to 'Europe/Paris'"
        s< CommandComplete SET | ParameterStatus TimeZone "Europe/Paris" | ReadyForQuery I
        <C CommandComplete SET | ParameterStatus TimeZone "Europe/Paris" | ReadyForQuery I
        hygiene Clean
        timezone Europe/Paris
        s< ParameterStatus server_version 18 | ParameterStatus TimeZone UTC
        <C ParameterStatus server_version 18 | ParameterStatus TimeZone UTC
        timezone UTC
        C> Query "reset timezone"
        >s Query "reset timezone"
        s< CommandComplete RESET | ReadyForQuery I
        <C CommandComplete RESET | ReadyForQuery I
        hygiene Clean
        "#,
    );
}

#[test]
fn what_is_behind_a_setting_waits_for_it() {
    for (setting, tag) in [
        ("set datestyle to dmy", "SET"),
        ("reset datestyle", "RESET"),
        ("discard all", "DISCARD ALL"),
        ("deallocate all", "DEALLOCATE ALL"),
        ("rollback to savepoint a", "ROLLBACK"),
    ] {
        check(&format!(
            r#"
            C> Query "{setting}" | Parse a "select 1" | Sync
            >s Query "{setting}"
            s< CommandComplete "{tag}"
            <C CommandComplete "{tag}"
            >s nothing
            s< ReadyForQuery I
            <C ReadyForQuery I
            >s Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Sync
            s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
            <C ParseComplete | ReadyForQuery I
            "#
        ));
        check(&format!(
            r#"
            C> Parse "" "{setting}" | Bind "" "" | Execute "" | Parse a "select 1" | Sync | Query "select 2"
            >s Parse "" "{setting}" | Bind "" "" | Execute "" | Flush
            s< ParseComplete | BindComplete | CommandComplete "{tag}"
            <C ParseComplete | BindComplete | CommandComplete "{tag}"
            # Parsed before the report it is nobody else's; and nothing goes beyond the Sync.
            >s Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Sync
            s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
            <C ParseComplete | ReadyForQuery I
            >s Query "select 2"
            s< CommandComplete "SELECT 1" | ReadyForQuery I
            <C CommandComplete "SELECT 1" | ReadyForQuery I
            D on s
            D> Parse a "select 1" | Sync
            >s Parse pgsteer_2 "select 1" | Describe S pgsteer_2 | Sync
            s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
            <D ParseComplete | ReadyForQuery I
            "#
        ));
    }
    // One that fails holds nothing up for ever.
    check(
        r#"
        C> Parse "" "discard all" | Bind "" "" | Execute "" | Sync | Query "select 2"
        >s Parse "" "discard all" | Bind "" "" | Execute "" | Flush
        s< ParseComplete | BindComplete | Error 25001 "DISCARD ALL cannot run inside a transaction block"
        <C ParseComplete | BindComplete | Error 25001 "DISCARD ALL cannot run inside a transaction block"
        >s Sync
        s< ReadyForQuery E
        <C ReadyForQuery E
        >s Query "select 2"
        s< Error 25P02 "current transaction is aborted" | ReadyForQuery E
        <C Error 25P02 "current transaction is aborted" | ReadyForQuery E
        "#,
    );
}

#[test]
fn discarding_forgets_statements_on_both_sides() {
    for (command, touched) in [("discard all", false), ("deallocate all", true)] {
        let tag = command.to_uppercase();
        check(&format!(
            r#"
            C> Parse a "select 1" | Sync
            >s Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Sync
            s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
            <C ParseComplete | ReadyForQuery I
            C> Query "listen x"
            >s Query "listen x"
            s< CommandComplete LISTEN | ReadyForQuery I
            <C CommandComplete LISTEN | ReadyForQuery I
            hygiene Clean
            touched true
            C> Query "{command}"
            >s Query "{command}"
            s< CommandComplete "{tag}" | ReadyForQuery I
            <C CommandComplete "{tag}" | ReadyForQuery I
            hygiene Clean
            touched {touched}
            named 0
            prepared 0
            C> Bind "" a | Sync
            >s Bind "" a | Sync
            s< Error 26000 "prepared statement \"a\" does not exist" | ReadyForQuery I
            <C Error 26000 "prepared statement \"a\" does not exist" | ReadyForQuery I
            "#
        ));
    }
}

#[test]
fn what_depends_on_the_moment_or_on_hidden_settings_is_not_shared() {
    check(
        r#"
        C> Parse a "select timestamp 'now'" | Sync
        >s Parse pgsteer_1 "select timestamp 'now'" | Describe S pgsteer_1 | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        C> Query "set search_path to other" | Parse b "select * from t" | Sync
        >s Query "set search_path to other" | Parse pgsteer_2 "select * from t" | Describe S pgsteer_2 | Sync
        s< CommandComplete SET | ReadyForQuery I | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C CommandComplete SET | ReadyForQuery I | ParseComplete | ReadyForQuery I
        touched true
        cleaned
        D on s
        D> Parse a "select timestamp 'now'" | Parse b "select * from t" | Sync
        >s Parse pgsteer_3 "select timestamp 'now'" | Describe S pgsteer_3 | Parse pgsteer_4 "select * from t" | Describe S pgsteer_4 | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <D ParseComplete | ParseComplete | ReadyForQuery I
        "#,
    );
}

#[test]
fn a_statement_keeps_what_it_meant_when_it_was_parsed() {
    check(
        r#"
        C> Parse a "select date '1/2/2003'" | Sync
        >s Parse pgsteer_1 "select date '1/2/2003'" | Describe S pgsteer_1 | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        C> Query "set datestyle to dmy"
        >s Query "set datestyle to dmy"
        s< CommandComplete SET | ParameterStatus DateStyle "ISO, DMY" | ReadyForQuery I
        <C CommandComplete SET | ParameterStatus DateStyle "ISO, DMY" | ReadyForQuery I
        C> Bind "" a | Execute "" | Sync
        >s Bind "" pgsteer_1 | Execute "" | Sync
        s< BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <C BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        C> Parse b "select date '1/2/2003'" | Sync
        >s Parse pgsteer_2 "select date '1/2/2003'" | Describe S pgsteer_2 | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        "#,
    );
}

#[test]
fn a_name_like_ours_reaches_no_statement_of_another_client() {
    check(
        r#"
        C> Bind "" pgsteer_1 | Execute "" | Sync
        >s Bind "" pgsteer_ | Execute "" | Sync
        s< Error 26000 "prepared statement \"pgsteer_\" does not exist" | ReadyForQuery I
        <C Error 26000 "prepared statement \"pgsteer_1\" does not exist" | ReadyForQuery I
        C> Describe S pgsteer_1 | Sync
        >s Describe S pgsteer_ | Sync
        s< Error 26000 "prepared statement \"pgsteer_\" does not exist" | ReadyForQuery I
        <C Error 26000 "prepared statement \"pgsteer_1\" does not exist" | ReadyForQuery I
        C> Close S pgsteer_1 | Sync
        >s Sync
        s< ReadyForQuery I
        <C CloseComplete | ReadyForQuery I
        "#,
    );
}

#[test]
fn the_unnamed_statement_of_a_sequence_that_may_fail_is_waited_for() {
    check(
        r#"
        C> Bind "" nope | Parse "" "select 2" | Sync | Bind "" "" | Execute "" | Sync
        >s Bind "" nope | Parse "" "select 2" | Describe S "" | Sync
        s< Error 26000 "prepared statement \"nope\" does not exist" | ReadyForQuery I
        <C Error 26000 "prepared statement \"nope\" does not exist" | ReadyForQuery I
        >s Close S "" | Bind "" "" | Execute "" | Flush
        s< CloseComplete | Error 26000 "unnamed prepared statement does not exist"
        <C Error 26000 "unnamed prepared statement does not exist"
        >s Sync
        s< ReadyForQuery I
        <C ReadyForQuery I
        "#,
    );
}

#[test]
fn notices_and_notifications_can_come_at_any_time() {
    check(
        r#"
        C> Parse a "select 1" | Sync
        >s Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Sync
        s< Notice 01000 one | ParseComplete | ParameterDescription | RowDescription n | Notification ch hello | ReadyForQuery I | Notification ch again
        <C Notice 01000 one | ParseComplete | Notification ch hello | ReadyForQuery I | Notification ch again
        # What the server has to say of a text, it is to say to everybody.
        C> Parse b "select 1" | Bind "" b | Execute "" | Sync
        >s Parse pgsteer_2 "select 1" | Describe S pgsteer_2 | Bind "" pgsteer_2 | Execute "" | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | Notice 01000 two | BindComplete | Notification ch x | DataRow 1 | Notice 01000 three | CommandComplete "SELECT 1" | ReadyForQuery I
        <C ParseComplete | Notice 01000 two | BindComplete | Notification ch x | DataRow 1 | Notice 01000 three | CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

#[test]
fn an_error_that_ends_the_session_is_told_from_one_that_talks_of_it() {
    check(
        r#"
        C> Query "select 1"
        >s Query "select 1"
        s< Error P0001 "VFATAL" | ReadyForQuery I
        <C Error P0001 "VFATAL" | ReadyForQuery I
        last_word None
        C> Query "begin"
        >s Query "begin"
        s< CommandComplete "BEGIN" | ReadyForQuery T
        <C CommandComplete "BEGIN" | ReadyForQuery T
        s< Fatal 57P01 "terminating connection"
        <C Fatal 57P01 "terminating connection"
        last_word Said
        "#,
    );
    // With nothing open there it is no matter of the client's.
    check(
        r#"
        C> Query "select 1"
        >s Query "select 1"
        s< CommandComplete "SELECT 1" | ReadyForQuery I | Fatal 57P01 "terminating connection"
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        last_word Unheard
        "#,
    );
}

#[test]
fn what_cannot_be_a_message_ends_the_session() {
    for bytes in [
        // A length below 4; those beyond what PostgreSQL takes; types there are not.
        "5100000003",
        "51ffffffff",
        "4400002711",
        "7a00000004",
        "7000000008",
    ] {
        check(&format!(
            r#"
            C> Query "select 1"
            >s Query "select 1"
            C> Raw {bytes}
            <C Fatal 08P01 _
            "#
        ));
    }
}
