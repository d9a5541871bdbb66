//! Statements of the protocol that SQL names, as long as their client keeps its server: what has their true names there is
//! what the client has, and what SQL deallocates the client has no more.

use crate::machines::check;

/// `C` has prepared `n` by the protocol, in a block.
const BLOCK: &str = r#"
    C> Query begin
    >s Query begin
    s< CommandComplete BEGIN | ReadyForQuery T
    <C CommandComplete BEGIN | ReadyForQuery T
    C> Parse n "select 1" | Sync
    >s Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Sync
    s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery T
    <C ParseComplete | ReadyForQuery T
"#;

/// The same, with a transaction that fails then.
const FAILED: &str = r#"
    C> Query "select 1/0"
    >s Query "select 1/0"
    s< Error 22012 "division by zero" | ReadyForQuery E
    <C Error 22012 "division by zero" | ReadyForQuery E
"#;

/// The same, which has run it by SQL.
const EXECUTED: &str = r#"
    C> Query "execute n"
    >s Query "SAVEPOINT pgsteer_aside" | Parse n "select 1" | Describe S n | Sync | Query "~ROLLBACK TO"
    s< CommandComplete SAVEPOINT | ReadyForQuery T
    s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery T
    s< CommandComplete ROLLBACK | CommandComplete RELEASE | ReadyForQuery T
    >s Query "execute n"
    s< DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery T
    <C DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery T
"#;

/// Another statement of the protocol, which cannot be described before it runs.
const FETCH: &str = r#"
    C> Parse f "fetch c" | Sync
    >s Parse pgsteer_2 "fetch c" | Sync
    s< ParseComplete | ReadyForQuery T
    <C ParseComplete | ReadyForQuery T
"#;

/// `{run}` is what makes `execute n` find it, `{ran}` the answer; `{no}`: there is no `n`.
fn in_block(script: &str) {
    let script = script
        .replace("{failed}", FAILED)
        .replace("{executed}", EXECUTED)
        .replace("{no}", "Error 26000 \"prepared statement \\\"n\\\" does not exist\"");
    check(&format!("{BLOCK}{script}"));
}

#[test]
fn what_is_closed_and_prepared_anew_is_the_new_one() {
    in_block(
        r#"
        C> Query "execute n"
        >s Query "SAVEPOINT pgsteer_aside" | Parse n "select 1" | Describe S n | Sync | Query "~ROLLBACK TO"
        s< CommandComplete SAVEPOINT | ReadyForQuery T
        s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery T
        s< CommandComplete ROLLBACK | CommandComplete RELEASE | ReadyForQuery T
        >s Query "execute n"
        s< DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery T
        <C DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery T
        C> Close S n | Parse n "select 2" | Sync
        >s Close S n | Parse pgsteer_2 "select 2" | Describe S pgsteer_2 | Sync
        s< CloseComplete | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery T
        <C CloseComplete | ParseComplete | ReadyForQuery T
        C> Query "execute n"
        >s Query "SAVEPOINT pgsteer_aside" | Parse n "select 2" | Describe S n | Sync | Query "~ROLLBACK TO"
        s< CommandComplete SAVEPOINT | ReadyForQuery T
        s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery T
        s< CommandComplete ROLLBACK | CommandComplete RELEASE | ReadyForQuery T
        >s Query "execute n"
        s< DataRow 2 | CommandComplete "SELECT 1" | ReadyForQuery T
        <C DataRow 2 | CommandComplete "SELECT 1" | ReadyForQuery T
        C> Close S n | Sync
        >s Close S n | Sync
        s< CloseComplete | ReadyForQuery T
        <C CloseComplete | ReadyForQuery T
        C> Query "execute n"
        >s Query "execute n"
        s< {no} | ReadyForQuery E
        <C {no} | ReadyForQuery E
        "#,
    );
}

#[test]
fn what_is_deallocated_is_gone_at_once() {
    in_block(
        r#"
        C> Query "deallocate n" | Parse "" "select 3" | Bind "" n | Sync
        >s Parse n "" | Sync | Query "deallocate n"
        s< ParseComplete | ReadyForQuery T | CommandComplete DEALLOCATE | ReadyForQuery T
        <C CommandComplete DEALLOCATE | ReadyForQuery T
        >s Parse "" "select 3" | Bind "" n | Describe S "" | Sync
        s< ParseComplete | {no} | ReadyForQuery E
        <C ParseComplete | {no} | ReadyForQuery E
        C> Query rollback
        >s Query rollback
        s< CommandComplete ROLLBACK | ReadyForQuery I
        <C CommandComplete ROLLBACK | ReadyForQuery I
        named 0
        C> Parse n "select 4" | Bind "" n | Execute "" | Sync
        >s Parse n "select 4" | Close S n | Parse pgsteer_2 "select 4" | Describe S pgsteer_2 | Bind "" pgsteer_2 | Execute "" | Sync
        s< ParseComplete | CloseComplete | ParseComplete | ParameterDescription | RowDescription n | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <C ParseComplete | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

/// By the extended protocol in one sequence, by portals with and without names, and by one text of several.
#[test]
fn however_it_is_deallocated() {
    in_block(
        r#"
        C> Parse "" "deallocate n" | Bind "" "" | Execute "" | Bind "" n | Sync
        >s Parse n "" | Sync | Parse "" "deallocate n" | Bind "" "" | Execute "" | Flush
        s< ParseComplete | ReadyForQuery T | ParseComplete | BindComplete | CommandComplete DEALLOCATE
        <C ParseComplete | BindComplete | CommandComplete DEALLOCATE
        >s Bind "" n | Sync
        s< {no} | ReadyForQuery E
        <C {no} | ReadyForQuery E
        named 0
        "#,
    );
    in_block(
        r#"
        C> Parse "" "deallocate n" | Bind p "" | Parse "" "select 3" | Bind "" "" | Execute "" | Sync
        >s Parse n "" | Sync | Parse "" "deallocate n" | Bind p "" | Parse "" "select 3" | Bind "" "" | Describe S "" | Execute "" | Sync
        s< ParseComplete | ReadyForQuery T | ParseComplete | BindComplete | ParseComplete | BindComplete
        s< ParameterDescription | RowDescription n | CommandComplete "SELECT 1" | ReadyForQuery T
        <C ParseComplete | BindComplete | ParseComplete | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery T
        named 1
        C> Execute p | Sync
        >s Execute p | Flush
        s< CommandComplete DEALLOCATE
        <C CommandComplete DEALLOCATE
        >s Sync
        s< ReadyForQuery T
        <C ReadyForQuery T
        named 0
        "#,
    );
    in_block(
        r#"
        C> Parse m "select 2" | Sync
        >s Parse pgsteer_2 "select 2" | Describe S pgsteer_2 | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery T
        <C ParseComplete | ReadyForQuery T
        # As far as the text was run.
        C> Query "prepare k as select 5; deallocate k; deallocate n; select 1/0; deallocate m"
        >s Parse n "" | Sync | Parse m "" | Sync | Query "~prepare k"
        s< ParseComplete | ReadyForQuery T | ParseComplete | ReadyForQuery T
        s< CommandComplete PREPARE | CommandComplete DEALLOCATE
        named 2
        s< CommandComplete DEALLOCATE
        named 1
        s< Error 22012 "division by zero" | ReadyForQuery E
        <C CommandComplete PREPARE | CommandComplete DEALLOCATE | CommandComplete DEALLOCATE | Error 22012 "division by zero" | ReadyForQuery E
        C> Query rollback
        >s Query rollback
        s< CommandComplete ROLLBACK | ReadyForQuery I
        <C CommandComplete ROLLBACK | ReadyForQuery I
        C> Bind "" m | Bind "" n | Sync
        >s Bind "" pgsteer_2 | Bind "" n | Sync
        s< BindComplete | {no} | ReadyForQuery I
        <C BindComplete | {no} | ReadyForQuery I
        "#,
    );
}

/// What was sent before it may fail meanwhile.
#[test]
fn what_is_deallocated_behind_a_failure_is_gone_too() {
    in_block(
        r#"
        {executed}
        C> Query commit
        >s Query commit
        s< CommandComplete COMMIT | ReadyForQuery I
        <C CommandComplete COMMIT | ReadyForQuery I
        C> Query "select 1/0" | Query begin | Query "deallocate n" | Bind "" n | Sync
        >s Query "select 1/0" | Query begin | Query "deallocate n"
        s< Error 22012 "division by zero" | ReadyForQuery I
        <C Error 22012 "division by zero" | ReadyForQuery I
        s< CommandComplete BEGIN | ReadyForQuery T | CommandComplete DEALLOCATE | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T | CommandComplete DEALLOCATE | ReadyForQuery T
        named 0
        >s Bind "" n | Sync
        s< {no} | ReadyForQuery E
        <C {no} | ReadyForQuery E
        "#,
    );
}

/// What the server is given in a failed transaction it refuses. Whoever closes the statement behind that has it still when the
/// Close is skipped, and what deallocates it once that transaction is over finds it.
#[test]
fn what_is_given_in_vain_is_not_there() {
    let fetch = |script: &str| in_block(&script.replace("{fetch}", FETCH));
    fetch(
        r#"
        {fetch}
        {failed}
        C> Query "execute f" | Parse "" rollback | Bind "" "" | Execute "" | Bind "" nosuch | Close S f | Sync
        >s Parse f "fetch c" | Sync | Query "execute f" | Parse "" rollback | Bind "" "" | Execute "" | Bind "" nosuch | Flush
        s< Error 25P02 "aborted" | ReadyForQuery E | Error 25P02 "aborted" | ReadyForQuery E
        <C Error 25P02 "aborted" | ReadyForQuery E
        >s Sync
        s< ParseComplete | BindComplete | CommandComplete ROLLBACK | Error 26000 "no such" | ReadyForQuery I
        <C ParseComplete | BindComplete | CommandComplete ROLLBACK | Error 26000 "no such" | ReadyForQuery I
        named 2
        C> Query "deallocate f"
        >s Parse f "" | Sync | Query "deallocate f"
        s< ParseComplete | ReadyForQuery I | CommandComplete DEALLOCATE | ReadyForQuery I
        <C CommandComplete DEALLOCATE | ReadyForQuery I
        named 1
        "#,
    );
    fetch(
        r#"
        {fetch}
        {failed}
        C> Query "execute f" | Query rollback | Query "deallocate f"
        >s Parse f "fetch c" | Sync | Query "execute f" | Query rollback
        s< Error 25P02 "aborted" | ReadyForQuery E | Error 25P02 "aborted" | ReadyForQuery E
        <C Error 25P02 "aborted" | ReadyForQuery E
        s< CommandComplete ROLLBACK | ReadyForQuery I
        <C CommandComplete ROLLBACK | ReadyForQuery I
        >s Parse f "" | Sync | Query "deallocate f"
        s< ParseComplete | ReadyForQuery I | CommandComplete DEALLOCATE | ReadyForQuery I
        <C CommandComplete DEALLOCATE | ReadyForQuery I
        named 1
        "#,
    );
}

/// A statement that prepares what it is itself waits for nobody.
#[test]
fn what_names_itself_is_given_once() {
    in_block(
        r#"
        C> Query commit
        >s Query commit
        s< CommandComplete COMMIT | ReadyForQuery I
        <C CommandComplete COMMIT | ReadyForQuery I
        C> Parse m "prepare m as select 1" | Sync
        >s Parse pgsteer_2 "prepare m as select 1" | Sync
        s< ParseComplete | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        C> Query "execute m"
        >s Parse m "prepare m as select 1" | Sync | Query "execute m"
        s< ParseComplete | ReadyForQuery I | Error 42P05 "already exists" | ReadyForQuery I
        <C Error 42P05 "already exists" | ReadyForQuery I
        "#,
    );
}

/// What refuses to be deallocated, or is not reached, the client still has.
#[test]
fn what_was_not_deallocated_stays() {
    in_block(
        r#"
        {failed}
        C> Query "deallocate n"
        >s Parse n "" | Sync | Query "deallocate n"
        s< ParseComplete | ReadyForQuery E | Error 25P02 "aborted" | ReadyForQuery E
        <C Error 25P02 "aborted" | ReadyForQuery E
        named 1
        C> Query rollback
        >s Query rollback
        s< CommandComplete ROLLBACK | ReadyForQuery I
        <C CommandComplete ROLLBACK | ReadyForQuery I
        # It was never run under that name: what holds the name is not what runs.
        C> Query "prepare n as select 7"
        >s Query "prepare n as select 7"
        s< Error 42P05 "already exists" | ReadyForQuery I
        <C Error 42P05 "already exists" | ReadyForQuery I
        C> Query "execute n"
        >s Close S n | Parse n "select 1" | Describe S n | Sync
        s< CloseComplete | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        >s Query "execute n"
        s< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        named 1
        "#,
    );
}

/// Inside a sequence what is ours could make the server skip the client's query, which would be answered never.
#[test]
fn a_query_in_a_sequence_is_answered() {
    // In a transaction that has failed all is refused. Sync changes nothing there.
    in_block(
        r#"
        {failed}
        C> Close P "" | Query "prepare n as select 2" | Query "execute n"
        >s Close P "" | Flush
        s< CloseComplete
        <C CloseComplete
        >s Sync
        s< ReadyForQuery E
        >s Parse n "" | Sync | Query "prepare n as select 2"
        s< ParseComplete | ReadyForQuery E | Error 25P02 "aborted" | ReadyForQuery E
        <C Error 25P02 "aborted" | ReadyForQuery E
        >s Query "execute n"
        s< Error 25P02 "aborted" | ReadyForQuery E
        <C Error 25P02 "aborted" | ReadyForQuery E
        "#,
    );
    // What its client has sent in the sequence may fail by itself: then the query is skipped, as it is directly.
    in_block(
        r#"
        {failed}
        C> Bind "" n | Query "execute n" | Sync
        >s Bind "" pgsteer_1 | Flush
        s< Error 25P02 "aborted"
        <C Error 25P02 "aborted"
        >s Sync
        s< ReadyForQuery E
        <C ReadyForQuery E
        "#,
    );
    // Its table is gone.
    in_block(
        r#"
        C> Close P "" | Query "execute n" | Query "select 2"
        >s Close P "" | Parse n "select 1" | Describe S n | Flush
        s< CloseComplete | Error 42P01 "no t"
        <C CloseComplete | Error 42P01 "no t"
        >s Sync | Query "select 2"
        s< ReadyForQuery E | Error 25P02 "aborted" | ReadyForQuery E
        <C ReadyForQuery E | Error 25P02 "aborted" | ReadyForQuery E
        "#,
    );
    // Or it is not.
    in_block(
        r#"
        C> Close P "" | Query "execute n"
        >s Close P "" | Parse n "select 1" | Describe S n | Flush
        s< CloseComplete | ParseComplete | ParameterDescription | RowDescription n
        <C CloseComplete
        >s Query "execute n"
        s< CommandComplete "SELECT 1" | ReadyForQuery T
        <C CommandComplete "SELECT 1" | ReadyForQuery T
        "#,
    );
}

/// Nor does what is to be replaced there open one: what cannot be parsed then, the query itself is refused.
#[test]
fn a_query_is_answered_where_its_name_was_held_before() {
    in_block(
        r#"
        C> Parse m "show work_mem" | Sync
        >s Parse pgsteer_2 "show work_mem" | Sync
        s< ParseComplete | ReadyForQuery T
        <C ParseComplete | ReadyForQuery T
        C> Query "prepare m as select 2"
        >s Parse m "" | Sync | Query "prepare m as select 2"
        s< ParseComplete | ReadyForQuery T | Error 42P05 "taken" | ReadyForQuery E
        <C Error 42P05 "taken" | ReadyForQuery E
        C> Query "execute m" | Query "select 3"
        >s Close S m | Parse m "show work_mem" | Sync | Query "execute m" | Query "select 3"
        s< CloseComplete | Error 25P02 "of ours" | ReadyForQuery E | Error 25P02 "aborted" | ReadyForQuery E
        s< Error 25P02 "aborted" | ReadyForQuery E
        <C Error 25P02 "aborted" | ReadyForQuery E | Error 25P02 "aborted" | ReadyForQuery E
        # Now nothing is there.
        C> Query rollback
        >s Query rollback
        s< CommandComplete ROLLBACK | ReadyForQuery I
        <C CommandComplete ROLLBACK | ReadyForQuery I
        C> Query "execute m"
        >s Parse m "show work_mem" | Sync | Query "execute m"
        s< ParseComplete | ReadyForQuery I | CommandComplete SHOW | ReadyForQuery I
        <C CommandComplete SHOW | ReadyForQuery I
        "#,
    );
}

/// What is run may itself be about a statement of the client's, or about all.
#[test]
fn what_is_run_finds_the_statements_of_the_protocol_too() {
    in_block(
        r#"
        C> Parse m "prepare n as select 2" | Sync
        >s Parse pgsteer_2 "prepare n as select 2" | Sync
        s< ParseComplete | ReadyForQuery T
        <C ParseComplete | ReadyForQuery T
        C> Query "execute m" | Query "select 3"
        >s Parse m "prepare n as select 2" | Sync | Parse n "" | Sync | Query "execute m"
        s< ParseComplete | ReadyForQuery T | ParseComplete | ReadyForQuery T | Error 42P05 "taken" | ReadyForQuery E
        <C Error 42P05 "taken" | ReadyForQuery E
        >s Query "select 3"
        s< Error 25P02 "aborted" | ReadyForQuery E
        <C Error 25P02 "aborted" | ReadyForQuery E
        "#,
    );
    in_block(
        r#"
        C> Parse m "deallocate all" | Sync
        >s Parse pgsteer_2 "deallocate all" | Sync
        s< ParseComplete | ReadyForQuery T
        <C ParseComplete | ReadyForQuery T
        # Which names are taken is not known before.
        C> Query "execute m" | Parse n "select 3" | Bind "" m | Sync
        >s Parse m "deallocate all" | Sync | Query "execute m"
        s< ParseComplete | ReadyForQuery T | CommandComplete "DEALLOCATE ALL" | ReadyForQuery T
        <C CommandComplete "DEALLOCATE ALL" | ReadyForQuery T
        >s Parse pgsteer_3 "select 3" | Describe S pgsteer_3 | Bind "" m | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | Error 26000 "no m" | ReadyForQuery E
        <C ParseComplete | Error 26000 "no m" | ReadyForQuery E
        "#,
    );
}

/// A name would be another client's on the next server.
#[test]
fn names_that_are_not_followed_are_refused_where_servers_are_shared() {
    check(
        r#"
        max 0
        C> Parse n "select 1" | Bind "" n | Sync
        >s Bind "" pgsteer_ | Bind "" n | Sync
        s< Error 26000 "prepared statement \"pgsteer_\" does not exist" | ReadyForQuery I
        <C Error 0A000 "~max_prepared_statements = 0" | ReadyForQuery I
        C> Parse "" "select 1" | Bind "" "" | Execute "" | Sync
        >s Parse "" "select 1" | Bind "" "" | Describe S "" | Execute "" | Sync
        s< ParseComplete | BindComplete | ParameterDescription | RowDescription n | CommandComplete "SELECT 1" | ReadyForQuery I
        <C ParseComplete | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        session
        C> Parse n "select 1" | Sync
        >s Parse n "select 1" | Sync
        s< ParseComplete | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        "#,
    );
}
