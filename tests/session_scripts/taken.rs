//! Names that statements have by SQL, when a client parses another by the protocol.

use crate::{
    held::{TOLD, asked_of},
    machines,
    play::check,
};

/// PostgreSQL's own words.
const TAKEN: &str = "Error 42P05 \"prepared statement \\\"q\\\" already exists\"";

/// `C` has prepared `q` by SQL, in a transaction that is over.
fn prepared() -> String {
    let asked = asked_of(&["q"]);
    format!(
        r#"
        C> Query "prepare q as select 1"
        >a1 Query "prepare q as select 1"
        a1< CommandComplete PREPARE | ReadyForQuery I
        <C CommandComplete PREPARE | ReadyForQuery I
        >a1 {asked}
        a1< DataRow p q "prepare q as select 1" t | ReadyForQuery I
        a1< {TOLD} | ParameterDescription | RowDescription n | ReadyForQuery I
        "#
    )
}

/// The server is asked for the name before the statement is parsed under ours: so it says what it has against either.
#[test]
fn a_name_that_sql_has_given_is_refused_by_the_server() {
    let prepared = prepared();
    check(&format!(
        r#"
        {prepared}
        C> Parse q "select 2" | Bind "" q | Execute "" | Sync
        >a1 Parse q "select 2" | Close S q | Parse pgsteer_1 "select 2" | Describe S pgsteer_1 | Bind "" pgsteer_1 | Execute "" | Sync
        a1< {TAKEN} | ReadyForQuery I
        <C {TAKEN} | ReadyForQuery I
        # It is the one that SQL has prepared.
        C> Bind "" q | Execute "" | Sync
        >a1 Bind "" q | Execute "" | Sync
        a1< BindComplete | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C BindComplete | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        # Another name is free.
        C> Parse r "select 2" | Sync
        >a1 Parse pgsteer_2 "select 2" | Describe S pgsteer_2 | Sync
        a1< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        # Nor does a statement that another client has had parsed make a difference.
        C> Parse q "select 2" | Sync
        >a1 Parse q "select 2" | Close S q | Sync
        a1< {TAKEN} | ReadyForQuery I
        <C {TAKEN} | ReadyForQuery I
        "#
    ));
}

/// Within a transaction only the server knows.
#[test]
fn a_name_that_sql_has_given_or_taken_just_now_the_server_knows() {
    let prepared = prepared();
    check(&format!(
        r#"
        {prepared}
        C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Query "deallocate q" | Parse q "select 2" | Sync
        >a1 Query "deallocate q" | Parse q "select 2" | Close S q | Parse pgsteer_1 "select 2" | Describe S pgsteer_1 | Sync
        a1< CommandComplete DEALLOCATE | ReadyForQuery T | ParseComplete | CloseComplete | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery T
        <C CommandComplete DEALLOCATE | ReadyForQuery T | ParseComplete | ReadyForQuery T
        # Now it is the client's own, under a name of ours.
        C> Bind "" q | Execute "" | Sync
        >a1 Bind "" pgsteer_1 | Execute "" | Sync
        a1< BindComplete | DataRow 2 | CommandComplete "SELECT 1" | ReadyForQuery T
        <C BindComplete | DataRow 2 | CommandComplete "SELECT 1" | ReadyForQuery T
        # SQL may not give it again.
        C> Query "prepare q as select 3"
        >a1 Parse q "" | Sync | Query "prepare q as select 3"
        a1< ParseComplete | ReadyForQuery T | {TAKEN} | ReadyForQuery E
        <C {TAKEN} | ReadyForQuery E
        "#
    ));
    check(&format!(
        r#"
        C> Query "begin; prepare q as select 1"
        >a1 Query "begin; prepare q as select 1"
        a1< CommandComplete BEGIN | CommandComplete PREPARE | ReadyForQuery T
        <C CommandComplete BEGIN | CommandComplete PREPARE | ReadyForQuery T
        C> Parse q "select 2" | Sync
        >a1 Parse q "select 2" | Close S q | Parse pgsteer_1 "select 2" | Describe S pgsteer_1 | Sync
        a1< {TAKEN} | ReadyForQuery E
        <C {TAKEN} | ReadyForQuery E
        "#
    ));
}

/// A statement of SQL's that was closed is not taken for being there still because the client's own has its name on the server.
#[test]
fn a_name_that_is_the_clients_own_again_is_not_sqls() {
    let prepared = prepared();
    check(&format!(
        r#"
        {prepared}
        C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Close S q | Parse q "select 2" | Sync
        >a1 Close S q | Parse q "select 2" | Close S q | Parse pgsteer_1 "select 2" | Describe S pgsteer_1 | Sync
        a1< CloseComplete | ParseComplete | CloseComplete | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery T
        <C CloseComplete | ParseComplete | ReadyForQuery T
        C> Query "prepare q as select 3"
        >a1 Parse q "" | Sync | Query "prepare q as select 3"
        a1< ParseComplete | ReadyForQuery T | {TAKEN} | ReadyForQuery E
        <C {TAKEN} | ReadyForQuery E
        C> Query rollback
        >a1 Query rollback
        a1< CommandComplete ROLLBACK | ReadyForQuery I
        <C CommandComplete ROLLBACK | ReadyForQuery I
        # It is not asked for by its name, under which there is ours.
        >a1 Query "~pg_prepared_statements WHERE from_sql;" | Query "~DEALLOCATE"
        a1< DataRow n q | ReadyForQuery I | CommandComplete DEALLOCATE | ReadyForQuery I
        "#
    ));
}

/// What has such a name for a moment, because SQL is to find the client's own statement, does not take it.
#[test]
fn a_copy_of_ours_takes_no_name() {
    check(
        r#"
        C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Parse q "select 1" | Sync
        >a1 Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Sync
        a1< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery T
        <C ParseComplete | ReadyForQuery T
        C> Query "deallocate r; execute q"
        >a1 Query "SAVEPOINT pgsteer_aside" | Parse q "select 1" | Describe S q | Sync | Query "~ROLLBACK TO SAVEPOINT pgsteer_aside"
        a1< CommandComplete SAVEPOINT | ReadyForQuery T | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery T
        a1< CommandComplete ROLLBACK | CommandComplete RELEASE | ReadyForQuery T
        >a1 Query "deallocate r; execute q"
        a1< CommandComplete DEALLOCATE | CommandComplete "SELECT 1" | ReadyForQuery T
        <C CommandComplete DEALLOCATE | CommandComplete "SELECT 1" | ReadyForQuery T
        C> Close S q | Parse q "select 2" | Sync
        # The copy is closed, too; and whether SQL has given the name meanwhile the server says.
        >a1 Close S q | Parse q "select 2" | Close S q | Parse pgsteer_2 "select 2" | Describe S pgsteer_2 | Sync
        a1< CloseComplete | ParseComplete | CloseComplete | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery T
        <C CloseComplete | ParseComplete | ReadyForQuery T
        "#,
    );
}

/// SQL is to find what was parsed before it, and nothing that was skipped.
#[test]
fn sql_waits_until_it_is_known_what_was_parsed() {
    machines::check(
        r#"
        C> Bind "" nope | Parse q "select 1" | Sync | Query "prepare q as select 2"
        >s Bind "" nope | Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Sync
        s< Error 26000 "prepared statement \"nope\" does not exist" | ReadyForQuery I
        >s Query "prepare q as select 2"
        s< CommandComplete PREPARE | ReadyForQuery I
        <C Error 26000 "prepared statement \"nope\" does not exist" | ReadyForQuery I | CommandComplete PREPARE | ReadyForQuery I
        "#,
    );
}
