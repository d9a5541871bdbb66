//! Unnamed statements that a server has prepared already, and when that must not show.

use crate::machines::check;

/// The same text twice, so that the server `s` has it.
const TWICE: &str = r#"
    C> Parse "" "select $1" 23 | Bind "" "" 7 | Execute "" | Sync
    >s Parse "" "select $1" 23 | Bind "" "" 7 | Describe S "" | Execute "" | Sync
    s< ParseComplete | BindComplete | ParameterDescription 23 | RowDescription n | CommandComplete "SELECT 1" | ReadyForQuery I
    <C ParseComplete | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
    C> Parse "" "select $1" 23 | Bind "" "" 7 | Execute "" | Sync
    >s Parse pgsteer_1 "select $1" 23 | Describe S pgsteer_1 | Bind "" pgsteer_1 7 | Execute "" | Sync
    s< ParseComplete | ParameterDescription 23 | RowDescription n | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
    <C ParseComplete | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
"#;

fn after_twice(script: &str) {
    check(&format!("{TWICE}{script}"));
}

#[test]
fn the_third_time_nothing_is_parsed() {
    after_twice(
        r#"
        D on s
        D> Parse "" "select $1" 23 | Describe S "" | Bind "" "" 8 | Execute "" | Sync
        >s Describe S pgsteer_1 | Bind "" pgsteer_1 8 | Execute "" | Sync
        s< ParameterDescription 23 | RowDescription n | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <D ParseComplete | ParameterDescription 23 | RowDescription n | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        # Other types are another statement.
        D> Parse "" "select $1" 25 | Sync
        >s Parse "" "select $1" 25 | Describe S "" | Sync
        s< ParseComplete | ParameterDescription 25 | RowDescription n | ReadyForQuery I
        <D ParseComplete | ReadyForQuery I
        D> Bind "" "" 8 | Execute "" | Sync
        >s Bind "" "" 8 | Execute "" | Sync
        s< BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <D BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

#[test]
fn it_follows_the_client_and_ends_as_any_does() {
    after_twice(
        r#"
        C on t
        C> Bind "" "" 9 | Execute "" | Sync
        >t Parse pgsteer_1 "select $1" 23 | Describe S pgsteer_1 | Sync
        t< ParseComplete | ParameterDescription 23 | RowDescription n | ReadyForQuery I
        >t Bind "" pgsteer_1 9 | Execute "" | Sync
        t< BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <C BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        C> Close S "" | Bind "" "" 9 | Sync
        >t Close S "" | Bind "" "" 9 | Sync
        t< CloseComplete | Error 26000 "unnamed prepared statement does not exist" | ReadyForQuery I
        <C CloseComplete | Error 26000 "unnamed prepared statement does not exist" | ReadyForQuery I
        C> Parse "" "select $1" 23 | Sync | Query "select 1"
        >t Sync | Query "select 1"
        t< ReadyForQuery I | CommandComplete "SELECT 1" | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I | CommandComplete "SELECT 1" | ReadyForQuery I
        C on s
        C> Bind "" "" 9 | Sync
        >s Close S "" | Bind "" "" 9 | Sync
        s< CloseComplete | Error 26000 "unnamed prepared statement does not exist" | ReadyForQuery I
        <C Error 26000 "unnamed prepared statement does not exist" | ReadyForQuery I
        "#,
    );
}

#[test]
fn errors_name_the_clients_statement() {
    after_twice(
        r#"
        C> Parse "" "select $1" 23 | Bind "" "" | Sync
        >s Bind "" pgsteer_1 | Sync
        s< Error 08P01 "0 parameters, but prepared statement \"pgsteer_1\" requires 1" | ReadyForQuery I
        <C ParseComplete | Error 08P01 "0 parameters, but prepared statement \"\" requires 1" | ReadyForQuery I
        C> Parse a "select 1" | Parse b "select 1" | Bind "" b 1 | Sync
        >s Parse pgsteer_2 "select 1" | Describe S pgsteer_2 | Bind "" pgsteer_2 1 | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | Error 08P01 "1 parameters, but \"pgsteer_2\" requires 0" | ReadyForQuery I
        <C ParseComplete | ParseComplete | Error 08P01 "1 parameters, but \"b\" requires 0" | ReadyForQuery I
        "#,
    );
}

#[test]
fn a_change_of_the_schema_ends_it() {
    after_twice(
        r#"
        # While it is under way, for everybody.
        C> Query "alter table t add a int"
        >s Query "alter table t add a int"
        D on t
        D> Parse "" "select $1" 23 | Sync | Parse "" "select $1" 23 | Sync
        >t Parse "" "select $1" 23 | Describe S "" | Sync | Parse "" "select $1" 23 | Describe S "" | Sync
        t< ParseComplete | ParameterDescription 23 | RowDescription n | ReadyForQuery I | ParseComplete | ParameterDescription 23 | RowDescription n | ReadyForQuery I
        <D ParseComplete | ReadyForQuery I | ParseComplete | ReadyForQuery I
        "#,
    );
    after_twice(
        r#"
        C> Query "begin" | Query "create table t ()"
        >s Query begin | Query "create table t ()"
        s< CommandComplete BEGIN | ReadyForQuery T | CommandComplete "CREATE TABLE" | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T | CommandComplete "CREATE TABLE" | ReadyForQuery T
        C> Parse "" "select $1" 23 | Sync
        >s Parse "" "select $1" 23 | Describe S "" | Sync
        s< ParseComplete | ParameterDescription 23 | RowDescription n | ReadyForQuery T
        <C ParseComplete | ReadyForQuery T
        C> Query "commit"
        >s Query commit
        s< CommandComplete COMMIT | ReadyForQuery I
        <C CommandComplete COMMIT | ReadyForQuery I
        # It is parsed anew, once.
        D on s
        D> Parse "" "select $1" 23 | Sync
        >s Close S pgsteer_1 | Parse pgsteer_2 "select $1" 23 | Describe S pgsteer_2 | Sync
        s< CloseComplete | ParseComplete | ParameterDescription 23 | RowDescription n | ReadyForQuery I
        <D ParseComplete | ReadyForQuery I
        D> Parse "" "select $1" 23 | Sync
        >s Sync
        s< ReadyForQuery I
        <D ParseComplete | ReadyForQuery I
        "#,
    );
}

#[test]
fn it_grows_old() {
    after_twice(
        r#"
        wait 999
        C> Parse "" "select $1" 23 | Sync
        >s Sync
        s< ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        wait 1
        C> Parse "" "select $1" 23 | Sync
        >s Close S pgsteer_1 | Parse pgsteer_2 "select $1" 23 | Describe S pgsteer_2 | Sync
        # What it named may be gone meanwhile.
        s< CloseComplete | Error 42P01 "relation does not exist" | ReadyForQuery I
        <C Error 42P01 "relation does not exist" | ReadyForQuery I
        prepared 0
        C> Bind "" "" 1 | Sync
        >s Close S "" | Bind "" "" 1 | Sync
        s< CloseComplete | Error 26000 "unnamed prepared statement does not exist" | ReadyForQuery I
        <C Error 26000 "unnamed prepared statement does not exist" | ReadyForQuery I
        "#,
    );
    // What is skipped changes nothing, neither for the server nor for the client.
    after_twice(
        r#"
        wait 1000
        C> Bind "" nope | Parse "" "select $1" 23 | Parse "" "select 2" | Sync
        >s Bind "" nope | Close S pgsteer_1 | Parse pgsteer_2 "select $1" 23 | Describe S pgsteer_2 | Parse "" "select 2" | Describe S "" | Sync
        s< Error 26000 "prepared statement \"nope\" does not exist" | ReadyForQuery I
        <C Error 26000 "prepared statement \"nope\" does not exist" | ReadyForQuery I
        prepared 1
        C> Bind "" "" 1 | Sync
        >s Bind "" pgsteer_1 1 | Sync
        s< BindComplete | ReadyForQuery I
        <C BindComplete | ReadyForQuery I
        C> Parse "" "select $1" 23 | Sync
        >s Parse pgsteer_3 "select $1" 23 | Describe S pgsteer_3 | Sync
        s< ParseComplete | ParameterDescription 23 | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        "#,
    );
}

#[test]
fn in_a_failed_block_the_server_refuses_it_itself() {
    after_twice(
        r#"
        C> Query "begin"
        >s Query begin
        s< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        # Whether the block has failed is not known yet.
        C> Query "select 1/0" | Parse "" "select $1" 23 | Sync
        >s Query "select 1/0" | Parse "" "select $1" 23 | Describe S "" | Sync
        s< Error 22012 "division by zero" | ReadyForQuery E | Error 25P02 "aborted" | ReadyForQuery E
        <C Error 22012 "division by zero" | ReadyForQuery E | Error 25P02 "aborted" | ReadyForQuery E
        C> Parse "" "select $1" 23 | Sync
        >s Parse "" "select $1" 23 | Describe S "" | Sync
        s< Error 25P02 "aborted" | ReadyForQuery E
        <C Error 25P02 "aborted" | ReadyForQuery E
        "#,
    );
    // The same of a statement with a name.
    check(
        r#"
        C> Parse a "select 1" | Sync
        >s Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        C> Query "begin; select 1/0"
        >s Query "begin; select 1/0"
        s< CommandComplete BEGIN | Error 22012 "division by zero" | ReadyForQuery E
        <C CommandComplete BEGIN | Error 22012 "division by zero" | ReadyForQuery E
        C> Parse b "select 1" | Sync
        >s Parse pgsteer_2 "select 1" | Describe S pgsteer_2 | Sync
        s< Error 25P02 "aborted" | ReadyForQuery E
        <C Error 25P02 "aborted" | ReadyForQuery E
        named 1
        prepared 1
        "#,
    );
}

#[test]
fn what_may_mean_something_else_is_not_mapped() {
    for (text, asked, said) in [
        ("select timestamp 'now'", "| Describe S \"\"", "| ParameterDescription | RowDescription n"),
        ("begin", "", ""),
        ("select 1; select 2", "", ""),
        ("listen x", "", ""),
    ] {
        let once = format!(
            r#"
            C> Parse "" "{text}" | Sync
            >s Parse "" "{text}" {asked} | Sync
            s< ParseComplete {said} | ReadyForQuery I
            <C ParseComplete | ReadyForQuery I
            "#
        );
        check(&once.repeat(3));
    }
    // Behind a setting that holds for this transaction.
    after_twice(
        r#"
        C> Query "begin; set local search_path to a"
        >s Query "begin; set local search_path to a"
        s< CommandComplete BEGIN | CommandComplete SET | ReadyForQuery T
        <C CommandComplete BEGIN | CommandComplete SET | ReadyForQuery T
        C> Parse "" "select $1" 23 | Parse a "select 1" | Sync
        >s Parse "" "select $1" 23 | Parse pgsteer_2 "select 1" | Describe S pgsteer_2 | Describe S "" | Sync
        s< ParseComplete | ParseComplete | ParameterDescription | RowDescription n | ParameterDescription 23 | RowDescription n | ReadyForQuery T
        <C ParseComplete | ParseComplete | ReadyForQuery T
        C> Query "commit"
        >s Query commit
        s< CommandComplete COMMIT | ReadyForQuery I
        <C CommandComplete COMMIT | ReadyForQuery I
        C> Parse b "select 1" | Sync
        >s Parse pgsteer_3 "select 1" | Describe S pgsteer_3 | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        "#,
    );
}

#[test]
fn of_texts_that_do_not_fit_few_are_let_in() {
    let mut script = String::from("max 1\n");
    for turn in 0..3 {
        for (number, text) in ["select 1", "select 2"].into_iter().enumerate() {
            let sent = match (turn, number) {
                (1, 0) => format!("Parse pgsteer_1 \"{text}\" | Describe S pgsteer_1 | Sync"),
                (2, 0) => "Sync".to_owned(),
                _ => format!("Parse \"\" \"{text}\" | Describe S \"\" | Sync"),
            };
            let said = match (turn, number) {
                (2, 0) => "",
                _ => "ParseComplete | ParameterDescription | RowDescription n | ",
            };
            script.push_str(&format!("C> Parse \"\" \"{text}\" | Sync\n>s {sent}\n"));
            script.push_str(&format!("s< {said}ReadyForQuery I\n<C ParseComplete | ReadyForQuery I\n"));
        }
    }
    check(&script);
}

#[test]
fn an_unnamed_statement_that_was_sent_meanwhile_stays() {
    check(
        r#"
        C> Parse "" "selec" | Sync | Parse "" "select 2" | Sync
        >s Parse "" "selec" | Sync | Parse "" "select 2" | Describe S "" | Sync
        s< Error 42601 "syntax error" | ReadyForQuery I | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C Error 42601 "syntax error" | ReadyForQuery I | ParseComplete | ReadyForQuery I
        C on t
        C> Bind "" "" | Sync
        >t Parse "" "select 2" | Describe S "" | Sync
        t< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        >t Bind "" "" | Sync
        t< BindComplete | ReadyForQuery I
        <C BindComplete | ReadyForQuery I
        # The one that fails itself leaves none behind, whatever was there before.
        C> Parse "" "selec" | Sync
        >t Parse "" "selec" | Sync
        t< Error 42601 "syntax error" | ReadyForQuery I
        <C Error 42601 "syntax error" | ReadyForQuery I
        C> Bind "" "" | Sync
        >t Bind "" "" | Sync
        t< Error 26000 "unnamed prepared statement does not exist" | ReadyForQuery I
        <C Error 26000 "unnamed prepared statement does not exist" | ReadyForQuery I
        "#,
    );
}

#[test]
fn what_the_server_has_may_be_refused_and_is_parsed_anew() {
    let changed = "Error 0A000 \"cached plan must not change result type\"";
    after_twice(&format!(
        r#"
        C> Parse "" "select $1" 23 | Bind "" "" 7 | Execute "" | Sync
        >s Bind "" pgsteer_1 7 | Execute "" | Sync
        s< {changed} | ReadyForQuery I
        >s Close S pgsteer_1 | Parse pgsteer_2 "select $1" 23 | Describe S pgsteer_2 | Bind "" pgsteer_2 7 | Execute "" | Sync
        free false
        s< CloseComplete | ParseComplete | ParameterDescription 23 | RowDescription n | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <C ParseComplete | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        free true
        # Described, it tells its parameters first. The client has not ended the sequence.
        C> Parse "" "select $1" 23 | Describe S "" | Flush
        >s Describe S pgsteer_2 | Flush
        s< ParameterDescription 23 | {changed}
        >s Sync | Close S pgsteer_2 | Parse pgsteer_3 "select $1" 23 | Describe S pgsteer_3 | Describe S pgsteer_3 | Flush
        s< ReadyForQuery I | CloseComplete | ParseComplete | ParameterDescription 23 | RowDescription n
        s< ParameterDescription 23 | RowDescription n
        <C ParseComplete | ParameterDescription 23 | RowDescription n
        C> Bind "" "" 7 | Execute "" | Sync
        >s Bind "" pgsteer_3 7 | Execute "" | Sync
        # Once something was said, it is the client's.
        s< {changed} | ReadyForQuery I
        <C {changed} | ReadyForQuery I
        "#
    ));
    // Refused again, it is what PostgreSQL would have said at once.
    after_twice(&format!(
        r#"
        C> Parse "" "select $1" 23 | Bind "" "" 7 | Execute "" | Sync
        >s Bind "" pgsteer_1 7 | Execute "" | Sync
        s< {changed} | ReadyForQuery I
        >s Close S pgsteer_1 | Parse pgsteer_2 "select $1" 23 | Describe S pgsteer_2 | Bind "" pgsteer_2 7 | Execute "" | Sync
        s< CloseComplete | Error 42P01 "relation does not exist" | ReadyForQuery I
        <C ParseComplete | Error 42P01 "relation does not exist" | ReadyForQuery I
        prepared 0
        "#
    ));
    // In a block, or behind anything else, it is not known that nothing has run.
    after_twice(&format!(
        r#"
        C> Query "begin"
        >s Query begin
        s< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Parse "" "select $1" 23 | Bind "" "" 7 | Execute "" | Sync
        >s Bind "" pgsteer_1 7 | Execute "" | Sync
        s< {changed} | ReadyForQuery E
        <C ParseComplete | {changed} | ReadyForQuery E
        "#
    ));
    // Other errors are the client's own.
    after_twice(
        r#"
        C> Parse "" "select $1" 23 | Bind "" "" x | Execute "" | Sync
        >s Bind "" pgsteer_1 x | Execute "" | Sync
        s< Error 22P02 "invalid input syntax" | ReadyForQuery I
        <C ParseComplete | Error 22P02 "invalid input syntax" | ReadyForQuery I
        "#,
    );
}

/// A server's places are shared: who has most there gives way, and keeps who has few from nothing.
#[test]
fn many_statements_take_no_place_from_few() {
    check(
        r#"
        max 3
        C> Parse hot "select 1" | Describe S hot | Sync
        >s Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        D on s
        D> Parse a "select 2" | Parse b "select 3" | Parse c "select 4" | Sync
        >s Parse pgsteer_2 "select 2" | Describe S pgsteer_2 | Parse pgsteer_3 "select 3" | Describe S pgsteer_3 | Close S pgsteer_2 | Parse pgsteer_4 "select 4" | Describe S pgsteer_4 | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | ParseComplete | ParameterDescription | RowDescription n | CloseComplete | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <D ParseComplete | ParseComplete | ParseComplete | ReadyForQuery I
        D> Bind "" a | Execute "" | Sync
        >s Close S pgsteer_3 | Parse pgsteer_2 "select 2" | Describe S pgsteer_2 | Sync
        s< CloseComplete | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        >s Bind "" pgsteer_2 | Execute "" | Sync
        s< BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <D BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        # What the first client has is there, though all else was used later.
        C on s
        C> Bind "" hot | Execute "" | Sync
        >s Bind "" pgsteer_1 | Execute "" | Sync
        s< BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <C BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}
