//! What a session carries from server to server, and what it must not.

use crate::play::{check, check_whole, check_with};

#[test]
fn a_dirty_server_is_cleaned_before_the_next_client() {
    check(
        r#"
        C> Query frobnicate
        >a1 Query frobnicate
        D> Query "select d"
        a1< CommandComplete DONE | ReadyForQuery I
        <C CommandComplete DONE | ReadyForQuery I
        >a1 Query ~pg_listening_channels
        a1< CommandComplete "SELECT 0" | ReadyForQuery I
        >a1 Query "DISCARD ALL" | nothing
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
    // One that cannot be cleaned is closed.
    check(
        r#"
        C> Query frobnicate
        >a1 Query frobnicate
        D> Query "select d"
        a1< CommandComplete DONE | ReadyForQuery I
        <C CommandComplete DONE | ReadyForQuery I
        >a1 Query ~pg_listening_channels
        a1< CommandComplete "SELECT 0" | ReadyForQuery I
        >a1 Query "DISCARD ALL"
        a1< Error 53200 "out of memory" | ReadyForQuery I
        >a1 end
        >a2 Query "select d"
        a2< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

#[test]
fn settings_follow_the_client() {
    check_with(
        |setup| setup.settings.limits.size = 1,
        r#"
        C> Query "set timezone to 'Europe/Paris'"
        >a1 Query "set timezone to 'Europe/Paris'"
        a1< CommandComplete SET | ParameterStatus TimeZone "Europe/Paris" | ReadyForQuery I
        <C CommandComplete SET | ParameterStatus TimeZone "Europe/Paris" | ReadyForQuery I
        D> Query "select d"
        >a1 Query "SET TimeZone TO 'UTC';"
        a1< CommandComplete SET | ParameterStatus TimeZone UTC | ReadyForQuery I
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "select c"
        >a1 Query "SET TimeZone TO 'Europe/Paris';"
        a1< CommandComplete SET | ParameterStatus TimeZone "Europe/Paris" | ReadyForQuery I
        >a1 Query "select c"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

#[test]
fn start_up_settings_are_what_a_reset_leads_to() {
    // As PostgreSQL 14 and later report it: before ReadyForQuery.
    for command in ["discard all", "reset all"] {
        let tag = if command == "discard all" { "DISCARD ALL" } else { "RESET" };
        let asked = if command == "discard all" {
            ""
        } else {
            ">a1 Query ~pg_settings\na1< CommandComplete \"SELECT 0\" | ReadyForQuery I"
        };
        check(&format!(
            r#"
            client C application_name=app
            C> Query "select 1"
            >a1 Query "SET application_name TO 'app';"
            a1< CommandComplete SET | ParameterStatus application_name app | ReadyForQuery I
            >a1 Query "select 1"
            a1< CommandComplete "SELECT 1" | ReadyForQuery I
            <C CommandComplete "SELECT 1" | ReadyForQuery I
            C> Query "set timezone to 'Europe/Paris'"
            >a1 Query "set timezone to 'Europe/Paris'"
            a1< CommandComplete SET | ParameterStatus TimeZone "Europe/Paris" | ReadyForQuery I
            <C CommandComplete SET | ParameterStatus TimeZone "Europe/Paris" | ReadyForQuery I
            C> Query "{command}"
            >a1 Query "{command}"
            a1< CommandComplete "{tag}" | ParameterStatus TimeZone UTC | ParameterStatus application_name ""
            a1< ReadyForQuery I
            # Of what is the same again to the client it is not told.
            <C CommandComplete "{tag}" | ParameterStatus TimeZone UTC | ReadyForQuery I
            {asked}
            C> Query "select 2"
            >a1 Query "SET application_name TO 'app';"
            a1< CommandComplete SET | ParameterStatus application_name app | ReadyForQuery I
            >a1 Query "select 2"
            a1< CommandComplete "SELECT 1" | ReadyForQuery I
            <C CommandComplete "SELECT 1" | ReadyForQuery I
            "#
        ));
    }
}

#[test]
fn one_setting_reset_leaves_the_others() {
    for reset in ["reset application_name", "set application_name to default"] {
        let tag = if reset.starts_with("set") { "SET" } else { "RESET" };
        check(&format!(
            r#"
            client C application_name=app
            C> Query "begin"
            >a1 Query "SET application_name TO 'app';"
            a1< CommandComplete SET | ParameterStatus application_name app | ReadyForQuery I
            >a1 Query begin
            a1< CommandComplete BEGIN | ReadyForQuery T
            <C CommandComplete BEGIN | ReadyForQuery T
            C> Query "set timezone to 'Europe/Paris'"
            >a1 Query "set timezone to 'Europe/Paris'"
            a1< CommandComplete SET | ParameterStatus TimeZone "Europe/Paris" | ReadyForQuery T
            <C CommandComplete SET | ParameterStatus TimeZone "Europe/Paris" | ReadyForQuery T
            C> Query "{reset}"
            >a1 Query "{reset}"
            a1< CommandComplete {tag} | ParameterStatus application_name "" | ReadyForQuery T
            <C CommandComplete {tag} | ReadyForQuery T
            # The server has it from now on, too, whatever becomes of the transaction.
            >a1 Query "SET application_name TO 'app';"
            C> Query "commit"
            >a1 nothing
            a1< CommandComplete SET | ParameterStatus application_name app | ReadyForQuery T
            >a1 Query commit
            a1< CommandComplete COMMIT | ReadyForQuery I
            <C CommandComplete COMMIT | ReadyForQuery I
            C> Query "select 2"
            >a1 Query "select 2"
            a1< CommandComplete "SELECT 1" | ReadyForQuery I
            <C CommandComplete "SELECT 1" | ReadyForQuery I
            "#
        ));
    }
}

#[test]
fn named_statements_work_on_every_server() {
    check_with(
        |setup| setup.settings.limits.size = 2,
        r#"
        C> Parse s "select 1" | Sync
        >a1 Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Sync
        a1< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        D> Query "begin"
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <D CommandComplete BEGIN | ReadyForQuery T
        C> Bind "" s | Execute "" | Sync
        >a2 Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Sync
        a2< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        >a2 Bind "" pgsteer_1 | Execute "" | Sync
        a2< BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <C BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        # The other client's statement of the same text is the same on the server.
        D> Parse t "select 1" | Sync
        >a1 Sync
        a1< ReadyForQuery T
        <D ParseComplete | ReadyForQuery T
        "#,
    );
}

#[test]
fn statements_parsed_behind_a_setting_are_not_shared_across_it() {
    // All in one write: what Parse means depends on a SET that the server has not answered.
    check_whole(
        |_| {},
        r#"
        C> Parse s "select date '1/2/2003'" | Sync
        >a1 Parse pgsteer_1 "select date '1/2/2003'" | Describe S pgsteer_1 | Sync
        a1< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        D> Query "set datestyle to 'dmy'" | Parse t "select date '1/2/2003'" | Sync
        >a1 Query "set datestyle to 'dmy'" | nothing
        a1< CommandComplete SET | ParameterStatus DateStyle "ISO, DMY" | ReadyForQuery I
        <D CommandComplete SET | ParameterStatus DateStyle "ISO, DMY" | ReadyForQuery I
        >a1 Parse pgsteer_2 "select date '1/2/2003'" | Describe S pgsteer_2 | Sync
        a1< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <D ParseComplete | ReadyForQuery I
        "#,
    );
    check_whole(
        |_| {},
        r#"
        C> Query "begin" | Query "set datestyle to 'dmy'" | Query "commit"
        >a1 Query begin | Query "set datestyle to 'dmy'" | nothing
        a1< CommandComplete BEGIN | ReadyForQuery T
        a1< CommandComplete SET | ParameterStatus DateStyle "ISO, DMY" | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete SET | ParameterStatus DateStyle "ISO, DMY" | ReadyForQuery T
        >a1 Query commit
        a1< CommandComplete COMMIT | ReadyForQuery I
        <C CommandComplete COMMIT | ReadyForQuery I
        "#,
    );
    // Rolled back, a setting is what it was; only the server's word for it counts.
    check_whole(
        |_| {},
        r#"
        C> Query "begin"
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Query "set datestyle to 'dmy'"
        >a1 Query "set datestyle to 'dmy'"
        a1< CommandComplete SET | ParameterStatus DateStyle "ISO, DMY" | ReadyForQuery T
        <C CommandComplete SET | ParameterStatus DateStyle "ISO, DMY" | ReadyForQuery T
        C> Query "rollback" | Parse t "select date '1/2/2003'" | Sync
        >a1 Query rollback | nothing
        a1< CommandComplete ROLLBACK | ParameterStatus DateStyle "ISO, MDY" | ReadyForQuery I
        <C CommandComplete ROLLBACK | ParameterStatus DateStyle "ISO, MDY" | ReadyForQuery I
        >a1 Parse pgsteer_1 "select date '1/2/2003'" | Describe S pgsteer_1 | Sync
        a1< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        "#,
    );
}

#[test]
fn discard_all_by_the_extended_protocol() {
    check(
        r#"
        C> Parse s "select 1" | Sync
        >a1 Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Sync
        a1< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        C> Parse "" "discard all" | Bind "" "" | Execute "" | Sync
        >a1 Parse "" "discard all" | Bind "" "" | Execute "" | Flush
        a1< ParseComplete | BindComplete | CommandComplete "DISCARD ALL"
        >a1 Sync
        a1< ReadyForQuery I
        <C ParseComplete | BindComplete | CommandComplete "DISCARD ALL" | ReadyForQuery I
        C> Parse s "select 1" | Bind "" s | Execute "" | Sync
        >a1 Parse pgsteer_2 "select 1" | Describe S pgsteer_2 | Bind "" pgsteer_2 | Execute "" | Sync
        a1< ParseComplete | ParameterDescription | RowDescription n | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <C ParseComplete | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

#[test]
fn answers_of_our_own_wait_for_the_end_of_a_message() {
    check_whole(
        |_| {},
        r#"
        C> Parse s "select 1" | Parse t "select 1 as t" | Sync
        >a1 Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Parse pgsteer_2 "select 1 as t" | Describe S pgsteer_2 | Sync
        a1< ParseComplete | ParameterDescription | RowDescription n | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ParseComplete | ReadyForQuery I
        C> Describe S s | Flush
        >a1 Describe S pgsteer_1 | Flush
        # A RowDescription of one column, in two pieces.
        a1< Raw 540000001a0001
        C> Parse u "select 1" | Flush
        >a1 Flush
        a1< Raw 6e0000000000000000000019ffffffffffff0000
        <C RowDescription n | ParseComplete
        C> Sync
        >a1 Sync
        a1< ReadyForQuery I
        <C ReadyForQuery I
        "#,
    );
}

#[test]
fn statements_wait_for_the_fate_of_the_sequence_before() {
    // The Parse in the first is skipped, so the name is free in the second.
    check(
        r#"
        C> Bind "" gone | Parse s "select 1" | Sync | Parse s "select 2" | Bind "" s | Sync
        >a1 Bind "" gone | Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Sync | nothing
        a1< Error 26000 "it does not exist" | ReadyForQuery I
        <C Error 26000 "it does not exist" | ReadyForQuery I
        >a1 Parse pgsteer_2 "select 2" | Describe S pgsteer_2 | Bind "" pgsteer_2 | Sync
        a1< ParseComplete | ParameterDescription | RowDescription n | BindComplete | ReadyForQuery I
        <C ParseComplete | BindComplete | ReadyForQuery I
        "#,
    );
    // What is prepared already need not wait.
    check(
        r#"
        C> Parse s "select 1" | Sync
        >a1 Parse pgsteer_1 "select 1" | Describe S pgsteer_1 | Sync
        a1< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        C> Bind "" s | Sync | Bind "" s | Sync
        >a1 Bind "" pgsteer_1 | Sync | Bind "" pgsteer_1 | Sync
        a1< BindComplete | ReadyForQuery I | BindComplete | ReadyForQuery I
        <C BindComplete | ReadyForQuery I | BindComplete | ReadyForQuery I
        "#,
    );
}

#[test]
fn half_a_message_behind_a_reset_in_a_block_is_waited_for() {
    check_whole(
        |_| {},
        r#"
        # Its server is there at once, so that nobody listens to the client meanwhile and is woken by the rest for that.
        C> Query "select 1"
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "begin" | Query "reset timezone" | Raw 5100
        >a1 Query begin | Query "reset timezone"
        a1< CommandComplete BEGIN | ReadyForQuery T | CommandComplete RESET | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T | CommandComplete RESET | ReadyForQuery T
        >a1 nothing
        C> Raw 0000067800
        >a1 Query x
        a1< CommandComplete "SELECT 1" | ReadyForQuery T
        <C CommandComplete "SELECT 1" | ReadyForQuery T
        "#,
    );
}
