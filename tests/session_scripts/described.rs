//! Statements that are held to what they yielded when they were parsed, and a schema that changes: nobody ever meets other
//! columns.

use pgsteer::wire::named::STATEMENTS_MAX;

use crate::{
    machines::{check, once},
    play,
    world::Setup,
};

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
        >t Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        # What the server has to say of it was said where the client parsed it.
        t< Notice 01000 twice | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        >t Bind "" pgsteer_1 | Execute "" | Sync
        t< BindComplete | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C BindComplete | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        C on u
        C> Bind "" a | Execute "" | Sync | Query "select 2"
        >u Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        u< ParseComplete | ParameterDescription | RowDescription n m | ReadyForQuery I
        # Something that is sure to fail takes the place, behind what is wrong with the values.
        >u Bind "" pgsteer_1 | Bind "" pgsteer_ | Execute "" | Sync | Query "select 2"
        u< BindComplete | {no_such} | ReadyForQuery I | CommandComplete "SELECT 1" | ReadyForQuery I
        <C {changed} | ReadyForQuery I | CommandComplete "SELECT 1" | ReadyForQuery I
        # Described, it tells its parameters first. What is there is not what the client has parsed.
        C> Describe S a | Sync
        >u Close S pgsteer_1 | Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        u< CloseComplete | ParseComplete | ParameterDescription | RowDescription n m | ReadyForQuery I
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
        >t Parse pgsteer_2 "select * from t" | Describe S pgsteer_2 | Sync
        t< ParseComplete | ParameterDescription | RowDescription n m | ReadyForQuery I
        >t Bind "" pgsteer_2 | Sync
        t< BindComplete | ReadyForQuery I
        <C BindComplete | ReadyForQuery I
        "#,
    );
}

/// Formats for two columns (text and binary), of a statement that yields three by now: PostgreSQL finds that first.
#[test]
fn formats_of_other_columns_are_not_what_is_wrong() {
    after_told(
        r#"
        C on u
        C> Raw 420000001100610000000000000200010000 | Execute "" | Sync
        >u Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        u< ParseComplete | ParameterDescription | RowDescription n m o | ReadyForQuery I
        >u Bind "" pgsteer_1 | Bind "" pgsteer_ | Execute "" | Sync
        u< BindComplete | {no_such} | ReadyForQuery I
        <C {changed} | ReadyForQuery I
        "#,
    );
}

#[test]
fn what_is_not_what_it_should_be_is_not_so_again_after_an_error() {
    after_told(
        r#"
        max 1
        C on u
        C> Describe S a | Sync
        >u Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        u< ParseComplete | ParameterDescription | RowDescription n m | ReadyForQuery I
        >u Describe S pgsteer_1 | Bind "" pgsteer_ | Sync
        u< ParameterDescription | RowDescription n m | {no_such} | ReadyForQuery I
        <C ParameterDescription | {changed} | ReadyForQuery I
        # It was to be closed for another, but the server does not come to that.
        C> Bind "" nope | Parse b "select 2" | Sync
        >u Bind "" nope | Close S pgsteer_1 | Parse pgsteer_2 "select 2" | Describe S pgsteer_2 | Sync
        u< Error 26000 "prepared statement \"nope\" does not exist" | ReadyForQuery I
        <C Error 26000 "prepared statement \"nope\" does not exist" | ReadyForQuery I
        C> Bind "" a | Sync
        >u Close S pgsteer_1 | Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        u< CloseComplete | ParseComplete | ParameterDescription | RowDescription n m | ReadyForQuery I
        >u Bind "" pgsteer_1 | Bind "" pgsteer_ | Sync
        u< BindComplete | {no_such} | ReadyForQuery I
        <C {changed} | ReadyForQuery I
        "#,
    );
}

#[test]
fn in_a_block_a_refusal_is_the_blocks() {
    after_told(
        r#"
        C on t
        C> Query "begin" | Bind "" a | Execute "" | Flush
        >t Query begin | Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        t< CommandComplete BEGIN | ReadyForQuery T | ParseComplete | ParameterDescription | NoData | ReadyForQuery T
        >t Bind "" pgsteer_1 | Bind "" pgsteer_ | Execute "" | Flush
        t< BindComplete | {no_such}
        <C CommandComplete BEGIN | ReadyForQuery T | {changed}
        C> Bind "" a | Execute "" | Sync
        >t Sync
        t< ReadyForQuery E
        <C ReadyForQuery E
        # There it cannot be prepared, as it could not be used.
        C> Bind "" a | Sync
        >t Close S pgsteer_1 | Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        t< CloseComplete | Error 25P02 "aborted" | ReadyForQuery E
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
        >t Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        t< Error 42P01 "relation \"t\" does not exist" | ReadyForQuery I
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
        >t Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        t< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        >t Bind "" pgsteer_1 | Sync
        t< BindComplete | ReadyForQuery I
        <D ParseComplete | BindComplete | ReadyForQuery I
        E on u
        E> Parse b "select * from t" | Bind "" b | Sync
        >u Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        u< ParseComplete | ParameterDescription | RowDescription m | ReadyForQuery I
        # What it yields to this client is another thing, which nobody was told.
        >u Parse pgsteer_2 "select * from t" | Describe S pgsteer_2 | Bind "" pgsteer_2 | Sync
        u< ParseComplete | ParameterDescription | RowDescription n | BindComplete | ReadyForQuery I
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
        >s Parse pgsteer_2 "select * from t" | Describe S pgsteer_2 | Sync
        # Dropped elsewhere.
        s< Error 42P01 "relation \"t\" does not exist" | ReadyForQuery I
        <C Error 42P01 "relation \"t\" does not exist" | ReadyForQuery I
        named 2
        "#,
    );
    after_told(
        r#"
        C> Query "drop table t" | Parse b "select * from t" | Sync
        >s Query "drop table t" | Parse pgsteer_2 "select * from t" | Describe S pgsteer_2 | Sync
        s< CommandComplete "DROP TABLE" | ReadyForQuery I | Error 42P01 "relation \"t\" does not exist" | ReadyForQuery I
        <C CommandComplete "DROP TABLE" | ReadyForQuery I | Error 42P01 "relation \"t\" does not exist" | ReadyForQuery I
        named 1
        D on s
        D> Parse b "select * from t" | Sync
        >s Parse pgsteer_3 "select * from t" | Describe S pgsteer_3 | Sync
        s< Error 42P01 "relation \"t\" does not exist" | ReadyForQuery I
        <D Error 42P01 "relation \"t\" does not exist" | ReadyForQuery I
        "#,
    );
}

/// The table was changed behind our back between the Parse of one client and that of another, which was answered by us: what the
/// second one has parsed is what servers make of it when it is used.
#[test]
fn what_was_parsed_for_another_is_parsed_anew_where_it_is_too_old() {
    // On the server that has it. Described, it tells its parameters first.
    after_told(
        r#"
        D on s
        D> Parse b "select * from t" | Describe S b | Sync
        >s Describe S pgsteer_1 | Sync
        s< ParameterDescription | {changed} | ReadyForQuery I
        >s Close S pgsteer_1 | Parse pgsteer_2 "select * from t" | Describe S pgsteer_2 | Describe S pgsteer_2 | Sync
        s< CloseComplete | ParseComplete | ParameterDescription | RowDescription n m | ParameterDescription | RowDescription n m | ReadyForQuery I
        <D ParseComplete | ParameterDescription | RowDescription n m | ReadyForQuery I
        # From now on it is held to that,
        D> Bind "" b | Execute "" | Sync
        >s Bind "" pgsteer_2 | Execute "" | Sync
        s< {changed} | ReadyForQuery I
        <D {changed} | ReadyForQuery I
        # and the first one to what it was told.
        C on s
        C> Bind "" a | Sync
        >s Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        s< ParseComplete | ParameterDescription | RowDescription n m | ReadyForQuery I
        >s Bind "" pgsteer_1 | Bind "" pgsteer_ | Sync
        s< BindComplete | {no_such} | ReadyForQuery I
        <C {changed} | ReadyForQuery I
        "#,
    );
    // Used later.
    after_told(
        r#"
        D on s
        D> Parse b "select * from t" | Sync
        >s Sync
        s< ReadyForQuery I
        <D ParseComplete | ReadyForQuery I
        D> Bind "" b | Execute "" | Sync
        >s Bind "" pgsteer_1 | Execute "" | Sync
        s< {changed} | ReadyForQuery I
        >s Close S pgsteer_1 | Parse pgsteer_2 "select * from t" | Describe S pgsteer_2 | Bind "" pgsteer_2 | Execute "" | Sync
        s< CloseComplete | ParseComplete | ParameterDescription | RowDescription n m | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <D BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

/// The same on another server, which has parsed it only now; and in a block, where nothing can be sent again.
#[test]
fn what_was_parsed_for_another_is_what_the_next_server_says() {
    after_told(
        r#"
        D on s
        D> Parse b "select * from t" | Parse c "select * from t" | Sync
        >s Sync
        s< ReadyForQuery I
        <D ParseComplete | ParseComplete | ReadyForQuery I
        D on t
        D> Bind "" b | Execute "" | Sync
        >t Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        t< ParseComplete | ParameterDescription | RowDescription n m | ReadyForQuery I
        >t Parse pgsteer_2 "select * from t" | Describe S pgsteer_2 | Bind "" pgsteer_2 | Execute "" | Sync
        t< ParseComplete | ParameterDescription | RowDescription n m | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <D BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        D> Describe S c | Sync
        >t Describe S pgsteer_2 | Sync
        t< ParameterDescription | RowDescription n m | ReadyForQuery I
        <D ParameterDescription | RowDescription n m | ReadyForQuery I
        # Once used it is held to that as any other.
        D on u
        D> Bind "" b | Sync
        >u Parse pgsteer_2 "select * from t" | Describe S pgsteer_2 | Sync
        u< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        >u Bind "" pgsteer_2 | Bind "" pgsteer_ | Sync
        u< BindComplete | {no_such} | ReadyForQuery I
        <D {changed} | ReadyForQuery I
        "#,
    );
    after_told(
        r#"
        D on s
        D> Parse b "select * from t" | Sync | Query "begin"
        >s Sync | Query begin
        s< ReadyForQuery I | CommandComplete BEGIN | ReadyForQuery T
        <D ParseComplete | ReadyForQuery I | CommandComplete BEGIN | ReadyForQuery T
        D> Bind "" b | Execute "" | Sync
        >s Bind "" pgsteer_1 | Execute "" | Sync
        s< {changed} | ReadyForQuery E
        <D {changed} | ReadyForQuery E
        "#,
    );
}

/// The same without a name, where it is bound later, and elsewhere.
#[test]
fn what_was_parsed_for_another_without_a_name_is_what_the_next_server_says() {
    let text = r#""select * from t""#;
    check(&format!(
        r#"
        C> Parse "" {text} | Bind "" "" | Execute "" | Sync
        >s Parse "" {text} | Bind "" "" | Describe S "" | Execute "" | Sync
        s< ParseComplete | BindComplete | ParameterDescription | RowDescription n | CommandComplete "SELECT 1" | ReadyForQuery I
        <C ParseComplete | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        C> Parse "" {text} | Bind "" "" | Execute "" | Sync
        >s Parse pgsteer_1 {text} | Describe S pgsteer_1 | Bind "" pgsteer_1 | Execute "" | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <C ParseComplete | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        D on s
        D> Parse "" {text} | Sync
        >s Sync
        s< ReadyForQuery I
        <D ParseComplete | ReadyForQuery I
        D on t
        D> Bind "" "" | Execute "" | Sync
        >t Parse pgsteer_1 {text} | Describe S pgsteer_1 | Sync
        t< ParseComplete | ParameterDescription | RowDescription n m | ReadyForQuery I
        >t Parse pgsteer_2 {text} | Describe S pgsteer_2 | Bind "" pgsteer_2 | Execute "" | Sync
        t< ParseComplete | ParameterDescription | RowDescription n m | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <D BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        # Once used it is held to that as any other.
        D on u
        D> Bind "" "" | Sync
        >u Parse pgsteer_2 {text} | Describe S pgsteer_2 | Sync
        u< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        >u Bind "" pgsteer_2 | Bind "" pgsteer_ | Sync
        u< BindComplete | Error 26000 "prepared statement \"pgsteer_\" does not exist" | ReadyForQuery I
        <D Error 0A000 "cached plan must not change result type" | ReadyForQuery I
        "#
    ));
}

/// The same, where both Parses were under way at once: each client's statement is what its own server has said.
#[test]
fn parsed_at_once_each_is_what_its_own_server_says() {
    for (describe, asked, of_d, of_e) in [
        // Nobody asks: we do.
        ("", "", "", ""),
        (
            r#"| Describe S x"#,
            "",
            "ParameterDescription | RowDescription n |",
            "ParameterDescription 23 | RowDescription n m |",
        ),
    ] {
        let servers = |setup: &mut Setup| setup.settings.limits.size = 3;
        let script = format!(
            r#"
            C> Query begin
            >a1 Query begin
            a1< CommandComplete BEGIN | ReadyForQuery T
            <C CommandComplete BEGIN | ReadyForQuery T
            D> Parse x "select * from t" {describe} | Sync
            >a2 Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
            E> Parse x "select * from t" {describe} | Sync
            >a3 Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync{asked}
            a2< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
            <D ParseComplete | {of_d} ReadyForQuery I
            a3< ParseComplete | ParameterDescription 23 | RowDescription n m | ReadyForQuery I
            <E ParseComplete | {of_e} ReadyForQuery I
            # Free last, its server is the next one's. What that has is not the first client's any more.
            E> Bind "" x 1 | Execute "" | Sync
            >a3 Parse pgsteer_2 "select * from t" 23 | Describe S pgsteer_2 | Sync
            a3< ParseComplete | ParameterDescription 23 | RowDescription n m | ReadyForQuery I
            >a3 Bind "" pgsteer_2 1 | Execute "" | Sync
            a3< BindComplete | DataRow 1 2 | CommandComplete "SELECT 1" | ReadyForQuery I
            <E BindComplete | DataRow 1 2 | CommandComplete "SELECT 1" | ReadyForQuery I
            D> Bind "" x | Execute "" | Sync
            >a3 Close S pgsteer_1 | Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
            a3< CloseComplete | ParseComplete | ParameterDescription | RowDescription n m | ReadyForQuery I
            >a3 Bind "" pgsteer_1 | Bind "" pgsteer_ | Execute "" | Sync
            a3< BindComplete | {NO_SUCH} | ReadyForQuery I
            <D {CHANGED} | ReadyForQuery I
            "#
        );
        play::check_with(servers, &script);
    }
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
        >s Parse pgsteer_2 "select * from t" | Describe S pgsteer_2 | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
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
        >s Close S pgsteer_1 | Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        s< CloseComplete | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        >s Bind "" pgsteer_1 | Sync
        s< BindComplete | ReadyForQuery I
        <C BindComplete | ReadyForQuery I
        "#,
    );
}

/// What `C` has parsed so, and run if it has, on `s` is met by `sent` on `t`, where it yields something else.
fn held_to_it(parsed: &str, bind: &str, sent: &str) {
    let (said, told) = match bind.starts_with("Bind") {
        true => ("BindComplete", ""),
        false => ("ParameterDescription | RowDescription m", "ParameterDescription |"),
    };
    check(&format!(
        r#"
        {parsed}
        C on t
        C> {bind} | Sync
        >t {sent} | Sync
        t< ParseComplete | ParameterDescription | RowDescription m | ReadyForQuery I
        >t {bind} | Bind "" pgsteer_ | Sync
        t< {said} | {NO_SUCH} | ReadyForQuery I
        <C {told} {CHANGED} | ReadyForQuery I
        "#
    ));
}

#[test]
fn what_the_client_does_not_ask_is_asked_with_the_parse() {
    check(&format!(
        r#"
        C> Parse a "select * from t" | Sync
        >s Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        C on t
        C> Bind "" a | Sync
        >t Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        t< ParseComplete | ParameterDescription | RowDescription m | ReadyForQuery I
        >t Bind "" pgsteer_1 | Bind "" pgsteer_ | Sync
        t< BindComplete | {NO_SUCH} | ReadyForQuery I
        <C {CHANGED} | ReadyForQuery I
        "#
    ));
    // A Describe of something else is not the one.
    check(
        r#"
        C> Parse a "select 1" | Parse b "select 2" | Describe S a | Sync
        >s Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Parse pgsteer_2 "select 2" | Describe S pgsteer_2 | Describe S pgsteer_1 | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | ParseComplete | ParameterDescription
        s< RowDescription m | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        "#,
    );
    // Nor is anything asked of what was not parsed, or has no settled result.
    check(
        r#"
        C> Parse b "show x" | Bind "" b | Sync
        >s Parse pgsteer_1 "show x" | Bind "" pgsteer_1 | Sync
        s< ParseComplete | BindComplete | ReadyForQuery I
        <C ParseComplete | BindComplete | ReadyForQuery I
        C> Parse c "select nosuch"
        >s Parse pgsteer_2 "select nosuch"
        s< Error 42703 "column \"nosuch\" does not exist"
        <C Error 42703 "column \"nosuch\" does not exist"
        C> Bind "" c | Sync
        >s Sync
        s< ReadyForQuery I
        <C ReadyForQuery I
        "#,
    );
}

#[test]
fn an_unnamed_one_is_asked_for_before_it_is_run() {
    let again = r#"Parse "" "select * from t" | Describe S """#;
    // By the client: by the portal, or the statement.
    held_to_it(
        r#"
        C> Parse "" "select * from t" | Bind "" "" | Describe P "" | Execute "" | Sync
        >s Parse "" "select * from t" | Bind "" "" | Describe P "" | Execute "" | Sync
        s< ParseComplete | BindComplete | RowDescription n | CommandComplete "SELECT 0" | ReadyForQuery I
        <C ParseComplete | BindComplete | RowDescription n | CommandComplete "SELECT 0" | ReadyForQuery I
        "#,
        r#"Bind "" """#,
        again,
    );
    // By us, where the client does not: another's portal tells nothing of it.
    held_to_it(
        r#"
        C> Parse "" "select * from t" | Bind p "" | Bind "" nope | Describe P "" | Sync
        >s Parse "" "select * from t" | Bind p "" | Bind "" nope | Describe P "" | Describe S "" | Sync
        s< ParseComplete | BindComplete | BindComplete | RowDescription x | ParameterDescription | RowDescription n
        s< ReadyForQuery I
        <C ParseComplete | BindComplete | BindComplete | RowDescription x | ReadyForQuery I
        "#,
        r#"Describe S """#,
        again,
    );
    held_to_it(
        r#"
        C> Parse "" "select * from t" | Bind "" "" | Execute "" | Execute "" | Sync
        >s Parse "" "select * from t" | Bind "" "" | Describe S "" | Execute "" | Execute "" | Sync
        s< ParseComplete | BindComplete | ParameterDescription | RowDescription n
        s< CommandComplete "SELECT 0" | CommandComplete "SELECT 0" | ReadyForQuery I
        <C ParseComplete | BindComplete | CommandComplete "SELECT 0" | CommandComplete "SELECT 0" | ReadyForQuery I
        "#,
        r#"Bind "" """#,
        again,
    );
}

/// A portal's description tells nothing of the types that the server has found for the parameters: they stay what they were.
#[test]
fn an_unnamed_one_keeps_the_types_that_were_inferred() {
    let again = |types: &str| {
        format!(
            r#"
            C on t
            C> Bind "" "" 3 | Execute "" | Sync
            >t Parse "" "insert into t values ($1)"{types} | Describe S "" | Sync
            t< ParseComplete | ParameterDescription 20 | NoData | ReadyForQuery I
            >t Bind "" "" 3 | Execute "" | Sync
            "#
        )
    };
    check(&format!(
        r#"
        C> Parse "" "insert into t values ($1)" | Bind "" "" 3 | Describe P "" | Execute "" | Sync
        >s Parse "" "insert into t values ($1)" | Bind "" "" 3 | Describe P "" | Describe S "" | Execute "" | Sync
        s< ParseComplete | BindComplete | NoData | ParameterDescription 20 | NoData | CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C ParseComplete | BindComplete | NoData | CommandComplete "INSERT 0 1" | ReadyForQuery I
        {}
        "#,
        again(" 20")
    ));
    // Those that the client has chosen need not be asked for.
    check(&format!(
        r#"
        C> Parse "" "insert into t values ($1)" 20 | Bind "" "" 3 | Describe P "" | Execute "" | Sync
        >s Parse "" "insert into t values ($1)" 20 | Bind "" "" 3 | Describe P "" | Execute "" | Sync
        s< ParseComplete | BindComplete | NoData | CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C ParseComplete | BindComplete | NoData | CommandComplete "INSERT 0 1" | ReadyForQuery I
        {}
        "#,
        again(" 20")
    ));
}

#[test]
fn what_a_failed_sequence_has_left_is_not_asked_for() {
    check(
        r#"
        C> Query begin
        >s Query begin
        s< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Parse "" "select * from t" | Bind "" nope | Parse "" "reset x" | Sync
        >s Parse "" "select * from t" | Bind "" nope | Parse "" "reset x" | Sync
        s< ParseComplete | Error 26000 "prepared statement \"nope\" does not exist" | ReadyForQuery E
        <C ParseComplete | Error 26000 "prepared statement \"nope\" does not exist" | ReadyForQuery E
        # The first of the two is the client's again, and describing it is no work for a failed block.
        C> Close P "" | Sync
        >s Close P "" | Sync
        s< CloseComplete | ReadyForQuery E
        <C CloseComplete | ReadyForQuery E
        "#,
    );
}

#[test]
fn what_is_ours_alone_is_a_transaction_of_its_own() {
    // Behind a snapshot, which parsing and describing take, an isolation level can be chosen no more.
    after_told(
        r#"
        C on t
        C> Describe S a | Parse "" "begin isolation level serializable" | Bind "" "" | Execute "" | Sync
        >t Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        t< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        free false
        >t Describe S pgsteer_1 | Parse "" "begin isolation level serializable" | Bind "" "" | Execute "" | Sync
        t< ParameterDescription | RowDescription n | ParseComplete | BindComplete | CommandComplete BEGIN | ReadyForQuery T
        <C ParameterDescription | RowDescription n | ParseComplete | BindComplete | CommandComplete BEGIN | ReadyForQuery T
        "#,
    );
    // In the client's sequence it is a part of that.
    after_told(
        r#"
        C on t
        C> Parse "" "show x" | Bind "" a | Execute "" | Sync
        >t Parse "" "show x" | Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Flush
        t< ParseComplete | ParseComplete | ParameterDescription | RowDescription n
        >t Bind "" pgsteer_1 | Execute "" | Sync
        t< BindComplete | CommandComplete "SELECT 0" | ReadyForQuery I
        <C ParseComplete | BindComplete | CommandComplete "SELECT 0" | ReadyForQuery I
        "#,
    );
    // What fails there takes the rest of the client's with it, and no more.
    after_told(
        r#"
        C on t
        C> Describe S a | Query "select 1" | Parse "" "select 2" | Sync | Query "select 3"
        >t Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        t< Error 42P01 "relation \"t\" does not exist" | ReadyForQuery I
        >t Sync | Query "select 3"
        t< ReadyForQuery I | CommandComplete "SELECT 1" | ReadyForQuery I
        <C Error 42P01 "relation \"t\" does not exist" | ReadyForQuery I | CommandComplete "SELECT 1" | ReadyForQuery I
        prepared 0
        "#,
    );
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
        >t Parse pgsteer_1 "insert into t values ($1)" 23 | Describe S pgsteer_1 | Sync
        t< ParseComplete | ParameterDescription 23 | NoData | ReadyForQuery I
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
        >s Parse "" "select * from t" | Describe S "" | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        C> Parse "" "select * from t" | Describe S "" | Sync
        >s Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        C on t
        C> Bind "" "" | Sync
        >t Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        t< ParseComplete | ParameterDescription | RowDescription m | ReadyForQuery I
        >t Bind "" pgsteer_1 | Bind "" pgsteer_ | Sync
        t< BindComplete | {NO_SUCH} | ReadyForQuery I
        <C {CHANGED} | ReadyForQuery I
        C> Parse "" "select * from t" | Bind "" "" | Sync
        >t Parse pgsteer_2 "select * from t" | Describe S pgsteer_2 | Bind "" pgsteer_2 | Sync
        t< ParseComplete | ParameterDescription | RowDescription n | BindComplete | ReadyForQuery I
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
            ">s Parse pgsteer_1 \"select 1\" | Describe S pgsteer_1 | Sync\n\
             s< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I\n"
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
        >t Parse "" "select $1 from t" 25 | Describe S "" | Sync
        t< ParseComplete | ParameterDescription 25 | RowDescription n | ReadyForQuery I
        >t Bind "" "" 1 | Sync
        t< BindComplete | ReadyForQuery I
        <C BindComplete | ReadyForQuery I
        C on u
        C> Bind "" "" 1 | Sync
        >u Parse "" "select $1 from t" 25 | Describe S "" | Sync
        u< ParseComplete | ParameterDescription 25 | RowDescription m | ReadyForQuery I
        # What is wrong with the values PostgreSQL finds before that.
        >u Bind "" "" 1 | Bind "" pgsteer_ | Sync
        u< BindComplete | {NO_SUCH} | ReadyForQuery I
        <C {CHANGED} | ReadyForQuery I
        C> Describe S "" | Sync
        >u Parse "" "select $1 from t" 25 | Describe S "" | Sync
        u< ParseComplete | ParameterDescription 25 | RowDescription m | ReadyForQuery I
        >u Describe S "" | Bind "" pgsteer_ | Sync
        u< ParameterDescription 25 | RowDescription m | {NO_SUCH} | ReadyForQuery I
        <C ParameterDescription 25 | {CHANGED} | ReadyForQuery I
        C> Parse "" "select 2" | Bind "" "" | Sync
        >u Parse "" "select 2" | Bind "" "" | Describe S "" | Sync
        u< ParseComplete | BindComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | BindComplete | ReadyForQuery I
        "#
    ));
}
