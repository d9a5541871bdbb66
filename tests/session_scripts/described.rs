//! Statements of which clients were told what they yield, and a schema that changes: nobody ever meets other columns.

use pgsteer::wire::named::STATEMENTS_MAX;

use crate::machines::{check, once};

/// A statement that its client was told of, on the server `s`.
const TOLD: &str = r#"
    C> Parse a "select * from t" | Describe S a | Sync
    >s Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
    s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
    <C ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
"#;

const CHANGED: &str = "Error 0A000 \"cached plan must not change result type\"";
const NO_SUCH: &str = "Error 26000 \"prepared statement \\\"pgsteer_\\\" does not exist\"";

fn after_told(script: &str) {
    check(&format!("{TOLD}{}", script.replace("{changed}", CHANGED).replace("{no_such}", NO_SUCH)));
}

#[test]
fn on_the_next_server_it_yields_the_same_or_is_refused() {
    after_told(
        r#"
        C on t
        C> Bind "" a | Execute "" | Sync
        >t Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Flush
        # What the server has to say of it was said where the client parsed it.
        t< Notice 01000 twice | ParseComplete | ParameterDescription | RowDescription n
        >t Bind "" pgsteer_1 | Execute "" | Sync
        t< BindComplete | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C BindComplete | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        C on u
        C> Bind "" a | Execute "" | Sync | Query "select 2"
        >u Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Flush
        u< ParseComplete | ParameterDescription | RowDescription n m
        # Something that is sure to fail takes the place, behind what is wrong with the values.
        >u Bind "" pgsteer_1 | Bind "" pgsteer_ | Execute "" | Sync | Query "select 2"
        u< BindComplete | {no_such} | ReadyForQuery I | CommandComplete "SELECT 1" | ReadyForQuery I
        <C {changed} | ReadyForQuery I | CommandComplete "SELECT 1" | ReadyForQuery I
        # Described, it tells its parameters first. What is there is not what the client was told of.
        C> Describe S a | Sync
        >u Close S pgsteer_1 | Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Flush
        u< CloseComplete | ParseComplete | ParameterDescription | RowDescription n m
        >u Describe S pgsteer_1 | Bind "" pgsteer_ | Sync
        u< ParameterDescription | RowDescription n m | {no_such} | ReadyForQuery I
        <C ParameterDescription | {changed} | ReadyForQuery I
        # Parsed anew by the client it is another.
        C> Close S a | Parse a "select * from t" | Describe S a | Sync
        >u Parse pgsteer_2 "select * from t" | Describe S pgsteer_2 | Sync
        u< ParseComplete | ParameterDescription | RowDescription n m | ReadyForQuery I
        <C CloseComplete | ParseComplete | ParameterDescription | RowDescription n m | ReadyForQuery I
        C on t
        C> Bind "" a | Sync
        >t Parse pgsteer_2 "select * from t" | Describe S pgsteer_2 | Flush
        t< ParseComplete | ParameterDescription | RowDescription n m
        >t Bind "" pgsteer_2 | Sync
        t< BindComplete | ReadyForQuery I
        <C BindComplete | ReadyForQuery I
        "#,
    );
}

#[test]
fn in_a_block_a_refusal_is_the_blocks() {
    after_told(
        r#"
        C on t
        C> Query "begin" | Bind "" a | Execute "" | Flush
        >t Query begin | Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Flush
        t< CommandComplete BEGIN | ReadyForQuery T | ParseComplete | ParameterDescription | NoData
        >t Bind "" pgsteer_1 | Bind "" pgsteer_ | Execute "" | Flush
        t< BindComplete | {no_such}
        <C CommandComplete BEGIN | ReadyForQuery T | {changed}
        C> Bind "" a | Execute "" | Sync
        >t Sync
        t< ReadyForQuery E
        <C ReadyForQuery E
        # There it cannot be prepared, as it could not be used.
        C> Bind "" a | Sync
        >t Close S pgsteer_1 | Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Flush
        t< CloseComplete | Error 25P02 "aborted"
        >t Sync
        t< ReadyForQuery E
        <C Error 25P02 "aborted" | ReadyForQuery E
        "#,
    );
}

#[test]
fn the_error_of_the_parse_is_the_clients() {
    after_told(
        r#"
        C on t
        C> Bind "" a | Execute "" | Sync
        >t Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Flush
        t< Error 42P01 "relation \"t\" does not exist"
        >t Sync
        t< ReadyForQuery I
        <C Error 42P01 "relation \"t\" does not exist" | ReadyForQuery I
        prepared 0
        "#,
    );
}

#[test]
fn what_others_were_told_is_seen_before_a_parse_is_answered() {
    after_told(
        r#"
        D on t
        D> Parse b "select * from t" | Bind "" b | Sync
        >t Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Flush
        t< ParseComplete | ParameterDescription | RowDescription n
        >t Bind "" pgsteer_1 | Sync
        t< BindComplete | ReadyForQuery I
        <D ParseComplete | BindComplete | ReadyForQuery I
        E on u
        E> Parse b "select * from t" | Bind "" b | Sync
        >u Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Flush
        u< ParseComplete | ParameterDescription | RowDescription m
        # What it yields to this client is another thing, which nobody was told.
        >u Parse pgsteer_2 "select * from t" | Bind "" pgsteer_2 | Sync
        u< ParseComplete | BindComplete | ReadyForQuery I
        <E ParseComplete | BindComplete | ReadyForQuery I
        "#,
    );
}

#[test]
fn a_parse_is_no_staler_than_a_second_or_the_schema() {
    after_told(
        r#"
        wait 999
        C> Parse b "select * from t" | Sync
        >s Sync
        s< ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        wait 1
        C> Parse c "select * from t" | Sync
        >s Parse pgsteer_2 "select * from t" | Sync
        # Dropped elsewhere.
        s< Error 42P01 "relation \"t\" does not exist" | ReadyForQuery I
        <C Error 42P01 "relation \"t\" does not exist" | ReadyForQuery I
        named 2
        "#,
    );
    after_told(
        r#"
        C> Query "drop table t" | Parse b "select * from t" | Sync
        >s Query "drop table t" | Parse pgsteer_2 "select * from t" | Sync
        s< CommandComplete "DROP TABLE" | ReadyForQuery I | Error 42P01 "relation \"t\" does not exist" | ReadyForQuery I
        <C CommandComplete "DROP TABLE" | ReadyForQuery I | Error 42P01 "relation \"t\" does not exist" | ReadyForQuery I
        named 1
        D on s
        D> Parse b "select * from t" | Sync
        >s Parse pgsteer_3 "select * from t" | Sync
        s< Error 42P01 "relation \"t\" does not exist" | ReadyForQuery I
        <D Error 42P01 "relation \"t\" does not exist" | ReadyForQuery I
        "#,
    );
}

#[test]
fn what_a_server_refuses_is_shared_no_more() {
    after_told(
        r#"
        C> Bind "" a | Execute "" | Sync
        >s Bind "" pgsteer_1 | Execute "" | Sync
        s< {changed} | ReadyForQuery I
        <C {changed} | ReadyForQuery I
        C> Close S a | Parse b "select * from t" | Sync
        >s Parse pgsteer_2 "select * from t" | Sync
        s< ParseComplete | ReadyForQuery I
        <C CloseComplete | ParseComplete | ReadyForQuery I
        "#,
    );
    // It was lost there.
    after_told(
        r#"
        C> Bind "" a | Sync
        >s Bind "" pgsteer_1 | Sync
        s< Error 26000 "prepared statement \"pgsteer_1\" does not exist" | ReadyForQuery I
        <C Error 26000 "prepared statement \"a\" does not exist" | ReadyForQuery I
        C> Bind "" a | Sync
        >s Close S pgsteer_1 | Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Flush
        s< CloseComplete | ParseComplete | ParameterDescription | RowDescription n
        >s Bind "" pgsteer_1 | Sync
        s< BindComplete | ReadyForQuery I
        <C BindComplete | ReadyForQuery I
        "#,
    );
}

#[test]
fn a_portals_description_counts_and_so_does_a_wish_for_binary_values() {
    check(&format!(
        r#"
        C> Parse a "select * from t" | Bind "" a | Describe P "" | Execute "" | Sync
        >s Parse pgsteer_1 "select * from t" | Bind "" pgsteer_1 | Describe P "" | Execute "" | Sync
        s< ParseComplete | BindComplete | RowDescription n | CommandComplete "SELECT 0" | ReadyForQuery I
        <C ParseComplete | BindComplete | RowDescription n | CommandComplete "SELECT 0" | ReadyForQuery I
        C on t
        C> Bind "" a | Sync
        >t Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Flush
        t< ParseComplete | ParameterDescription | RowDescription m
        >t Bind "" pgsteer_1 | Bind "" pgsteer_ | Sync
        t< BindComplete | {NO_SUCH} | ReadyForQuery I
        <C {CHANGED} | ReadyForQuery I
        "#
    ));
    // Bind "" a, all results in binary.
    check(&format!(
        r#"
        C> Parse a "select * from t" | Raw 420000000f0061000000000000010001 | Sync
        >s Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Bind "" pgsteer_1 | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | BindComplete | ReadyForQuery I
        <C ParseComplete | BindComplete | ReadyForQuery I
        C on t
        C> Raw 420000000f0061000000000000010001 | Sync
        >t Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Flush
        t< ParseComplete | ParameterDescription | RowDescription m
        >t Bind "" pgsteer_1 | Bind "" pgsteer_ | Sync
        t< BindComplete | {NO_SUCH} | ReadyForQuery I
        <C {CHANGED} | ReadyForQuery I
        "#
    ));
}

#[test]
fn parameters_are_what_they_were_found_to_be() {
    check(
        r#"
        C> Parse a "insert into t values ($1)" | Describe S a | Sync
        >s Parse pgsteer_1 "insert into t values ($1)" | Describe S pgsteer_1 | Sync
        s< ParseComplete | ParameterDescription 23 | NoData | ReadyForQuery I
        <C ParseComplete | ParameterDescription 23 | NoData | ReadyForQuery I
        C on t
        C> Bind "" a 1 | Sync
        >t Parse pgsteer_1 "insert into t values ($1)" 23 | Describe S pgsteer_1 | Flush
        t< ParseComplete | ParameterDescription 23 | NoData
        >t Bind "" pgsteer_1 1 | Sync
        t< BindComplete | ReadyForQuery I
        <C BindComplete | ReadyForQuery I
        "#,
    );
}

#[test]
fn what_a_session_alone_has_is_parsed_for_each() {
    for text in ["execute p", "fetch 1 from c"] {
        check(&format!(
            r#"
            C> Parse a "{text}" | Describe S a | Sync
            >s Parse pgsteer_1 "{text}" | Describe S pgsteer_1 | Sync
            s< ParseComplete | ParameterDescription | NoData | ReadyForQuery I
            <C ParseComplete | ParameterDescription | NoData | ReadyForQuery I
            C> Parse b "{text}" | Describe S b | Sync
            >s Parse pgsteer_2 "{text}" | Describe S pgsteer_2 | Sync
            s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
            <C ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
            "#
        ));
    }
}

#[test]
fn an_unnamed_one_that_is_taken_from_server_to_server_is_held_to_it_too() {
    check(&format!(
        r#"
        C> Parse "" "select * from t" | Sync
        >s Parse "" "select * from t" | Sync
        s< ParseComplete | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        C> Parse "" "select * from t" | Describe S "" | Sync
        >s Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        C on t
        C> Bind "" "" | Sync
        >t Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Flush
        t< ParseComplete | ParameterDescription | RowDescription m
        >t Bind "" pgsteer_1 | Bind "" pgsteer_ | Sync
        t< BindComplete | {NO_SUCH} | ReadyForQuery I
        <C {CHANGED} | ReadyForQuery I
        C> Parse "" "select * from t" | Bind "" "" | Sync
        >t Parse pgsteer_2 "select * from t" | Bind "" pgsteer_2 | Sync
        t< ParseComplete | BindComplete | ReadyForQuery I
        <C ParseComplete | BindComplete | ReadyForQuery I
        "#
    ));
}

#[test]
fn a_client_has_so_many_statements_at_most() {
    let mut script = String::new();
    for number in 0..STATEMENTS_MAX {
        let name = format!("s{number}");
        script.push_str(&format!("C> Parse {name} \"select 1\" | Sync\n"));
        script.push_str(if number == 0 {
            ">s Parse pgsteer_1 \"select 1\" | Sync\ns< ParseComplete | ReadyForQuery I\n"
        } else {
            ">s Sync\ns< ReadyForQuery I\n"
        });
        script.push_str("<C ParseComplete | ReadyForQuery I\n");
    }
    let full = format!(
        r#"
        C> Parse more "select 1" | Bind "" more | Sync
        >s Bind "" pgsteer_ | Bind "" more | Sync
        s< {NO_SUCH} | ReadyForQuery I
        <C Error 54000 "too many prepared statements" | ReadyForQuery I
        named {STATEMENTS_MAX}
        # All of them are one on the server.
        prepared 1
        C> Close S s0 | Parse more "select 1" | Sync
        >s Sync
        s< ReadyForQuery I
        <C CloseComplete | ParseComplete | ReadyForQuery I
        "#
    );
    once(&(script + &full));
}

#[test]
fn an_unnamed_one_of_which_the_client_was_told_is_held_to_it_too() {
    check(&format!(
        r#"
        C> Parse "" "select $1 from t" | Describe S "" | Sync
        >s Parse "" "select $1 from t" | Describe S "" | Sync
        s< ParseComplete | ParameterDescription 25 | RowDescription n | ReadyForQuery I
        <C ParseComplete | ParameterDescription 25 | RowDescription n | ReadyForQuery I
        C> Bind "" "" 1 | Sync
        >s Bind "" "" 1 | Sync
        s< BindComplete | ReadyForQuery I
        <C BindComplete | ReadyForQuery I
        C on t
        C> Bind "" "" 1 | Sync
        >t Parse "" "select $1 from t" 25 | Describe S "" | Flush
        t< ParseComplete | ParameterDescription 25 | RowDescription n
        >t Bind "" "" 1 | Sync
        t< BindComplete | ReadyForQuery I
        <C BindComplete | ReadyForQuery I
        C on u
        C> Bind "" "" 1 | Sync
        >u Parse "" "select $1 from t" 25 | Describe S "" | Flush
        u< ParseComplete | ParameterDescription 25 | RowDescription m
        >u Bind "" pgsteer_ | Sync
        u< {NO_SUCH} | ReadyForQuery I
        <C {CHANGED} | ReadyForQuery I
        C> Describe S "" | Sync
        >u Parse "" "select $1 from t" 25 | Describe S "" | Flush
        u< ParseComplete | ParameterDescription 25 | RowDescription m
        >u Bind "" pgsteer_ | Sync
        u< {NO_SUCH} | ReadyForQuery I
        <C {CHANGED} | ReadyForQuery I
        C> Parse "" "select 2" | Bind "" "" | Sync
        >u Parse "" "select 2" | Bind "" "" | Sync
        u< ParseComplete | BindComplete | ReadyForQuery I
        <C ParseComplete | BindComplete | ReadyForQuery I
        "#
    ));
}
