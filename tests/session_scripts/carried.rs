//! What a session holds that no server reports, and how it follows the client.

use std::time::Duration;

use crate::{
    held::{TOLD, asked_of},
    play::{check, check_whole, check_with},
};

/// A client sets a setting, and the server tells what it is.
const LOCK_TIMEOUT: &str = r#"
    C> Query "set lock_timeout = 7"
    >a1 Query "set lock_timeout = 7"
    a1< CommandComplete SET | ReadyForQuery I
    <C CommandComplete SET | ReadyForQuery I
    >a1 Query ~'lock_timeout'
    a1< DataRow v lock_timeout 7ms | DataRow d lock_timeout 7 0 t | ReadyForQuery I
    "#;

#[test]
fn a_setting_follows_and_is_left_behind() {
    check(&format!(
        r#"
        {LOCK_TIMEOUT}
        pool a idle=1
        # The client's own server needs nothing.
        C> Query "select 1"
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        # Another's does not get it.
        D> Query "select d"
        >a1 Query "RESET \"lock_timeout\";" | nothing
        a1< CommandComplete RESET | ReadyForQuery I
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "select 2"
        >a1 Query "SELECT pg_catalog.set_config('lock_timeout','7',false)" | nothing
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        >a1 Query "select 2"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        # What is given back to its start is no state any more.
        C> Query "reset lock_timeout"
        >a1 Query "reset lock_timeout"
        a1< CommandComplete RESET | ReadyForQuery I
        <C CommandComplete RESET | ReadyForQuery I
        >a1 Query ~'lock_timeout'
        a1< DataRow v lock_timeout 0 | DataRow d lock_timeout 0 0 t | ReadyForQuery I
        D> Query "select d"
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        "#
    ));
}

#[test]
fn the_server_is_asked_when_the_transaction_is_over() {
    check(
        r#"
        C> Query "begin"
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Query "set local work_mem = 1; set work_mem = 2"
        >a1 Query "set local work_mem = 1; set work_mem = 2"
        a1< CommandComplete SET | CommandComplete SET | ReadyForQuery T
        <C CommandComplete SET | CommandComplete SET | ReadyForQuery T
        C> Query "savepoint a; set role x; rollback to a"
        >a1 Query "savepoint a; set role x; rollback to a"
        a1< CommandComplete SAVEPOINT | CommandComplete SET | CommandComplete ROLLBACK | ReadyForQuery T
        <C CommandComplete SAVEPOINT | CommandComplete SET | CommandComplete ROLLBACK | ReadyForQuery T
        C> Query "rollback"
        >a1 Query rollback
        a1< CommandComplete ROLLBACK | ReadyForQuery I
        <C CommandComplete ROLLBACK | ReadyForQuery I
        # One question for all of it, and it is what the server says.
        >a1 Query ~ARRAY['work_mem','role'] | nothing
        a1< DataRow v work_mem 4MB | DataRow v role none | DataRow d work_mem 4096 4096 t | ReadyForQuery I
        D> Query "select d"
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

#[test]
fn what_a_client_sends_meanwhile_waits() {
    check(
        r#"
        C> Query "set role x"
        >a1 Query "set role x"
        C> Query "select 1"
        >a1 Query "select 1"
        a1< CommandComplete SET | ReadyForQuery I | CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete SET | ReadyForQuery I | CommandComplete "SELECT 1" | ReadyForQuery I
        >a1 Query ~'role'
        C> Query "select 2"
        D> Query "select d"
        >a1 nothing
        # A notification that comes along is the client's.
        a1< Notification news "it is" | DataRow v role x | ReadyForQuery I
        <C Notification news "it is"
        # First come, first served.
        >a1 Query "RESET ROLE;"
        a1< CommandComplete RESET | ReadyForQuery I
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        >a1 Query "SELECT pg_catalog.set_config('role','x',false)"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        >a1 Query "select 2"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

/// Never under the wrong role: the request is refused instead.
#[test]
fn a_state_that_cannot_be_given_back_refuses_the_request() {
    check(
        r#"
        C> Query "set role x"
        >a1 Query "set role x"
        a1< CommandComplete SET | ReadyForQuery I
        <C CommandComplete SET | ReadyForQuery I
        >a1 Query ~'role'
        a1< DataRow v role x | ReadyForQuery I
        D> Query "drop role x"
        >a1 Query "RESET ROLE;"
        a1< CommandComplete RESET | ReadyForQuery I
        >a1 Query "drop role x"
        a1< CommandComplete "DROP ROLE" | ReadyForQuery I
        <D CommandComplete "DROP ROLE" | ReadyForQuery I
        C> Parse "" "delete from t" | Bind "" "" | Execute "" | Sync
        >a1 Query "SELECT pg_catalog.set_config('role','x',false)" | nothing
        a1< Error 22023 "role \"x\" does not exist" | ReadyForQuery I
        <C Error 22023 "role \"x\" does not exist" | ReadyForQuery I
        >a1 Query "DISCARD ALL"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        # Others have nothing to do with it, and it can be mended.
        D> Query "select d"
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

/// What takes away what cannot be given back does not need it: before that a server refuses it, as it does here.
const LOST_ROLE: &str = r#"
    C> Query "set role x; set work_mem = '4MB'"
    >a1 Query "set role x; set work_mem = '4MB'"
    a1< CommandComplete SET | CommandComplete SET | ReadyForQuery I
    <C CommandComplete SET | CommandComplete SET | ReadyForQuery I
    >a1 Query ~'role'
    a1< DataRow v role x | DataRow v work_mem 4MB | DataRow d work_mem 4MB 8MB t | ReadyForQuery I
    D> Query "drop role x"
    >a1 Query "RESET ROLE;RESET \"work_mem\";"
    a1< CommandComplete RESET | CommandComplete RESET | ReadyForQuery I
    >a1 Query "drop role x"
    a1< CommandComplete "DROP ROLE" | ReadyForQuery I
    <D CommandComplete "DROP ROLE" | ReadyForQuery I
"#;

/// The server refuses the role.
const REFUSED: &str = r#"
    >a1 Query "SELECT pg_catalog.set_config('work_mem','4MB',false)"
    a1< CommandComplete "SELECT 1" | ReadyForQuery I
    >a1 Query "SELECT pg_catalog.set_config('role','x',false)"
    a1< Error 22023 "role \"x\" does not exist" | ReadyForQuery I
    >a1 Query "DISCARD ALL"
    a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
"#;

#[test]
fn what_resets_a_state_does_not_need_it() {
    for (request, sent) in [
        (r#"Query "reset role""#, r#"Query "reset role""#),
        (
            r#"Parse "" "set role none" | Bind "" "" | Execute "" | Sync"#,
            "Parse _ | Bind _ | Execute _ | Sync",
        ),
    ] {
        let answers = if sent.starts_with('P') { "ParseComplete | BindComplete | " } else { "" };
        check(&format!(
            r#"
            {LOST_ROLE}
            C> {request}
            {REFUSED}
            # The rest of the state is there.
            >a1 Query "SELECT pg_catalog.set_config('work_mem','4MB',false)"
            a1< CommandComplete "SELECT 1" | ReadyForQuery I
            >a1 {sent}
            a1< {answers}CommandComplete SET | ReadyForQuery I
            <C {answers}CommandComplete SET | ReadyForQuery I
            >a1 Query ~'role'
            a1< DataRow v role none | ReadyForQuery I
            C> Query "select 1"
            >a1 Query "select 1"
            a1< CommandComplete "SELECT 1" | ReadyForQuery I
            <C CommandComplete "SELECT 1" | ReadyForQuery I
            "#
        ));
    }
    check(&format!(
        r#"
        {LOST_ROLE}
        C> Query "discard all"
        {REFUSED}
        >a1 Query "discard all"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        <C CommandComplete "DISCARD ALL" | ReadyForQuery I
        C> Query "select 1"
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#
    ));
}

#[test]
fn what_fails_to_reset_a_state_leaves_it() {
    check(&format!(
        r#"
        {LOST_ROLE}
        C> Query "reset role"
        {REFUSED}
        >a1 Query "SELECT pg_catalog.set_config('work_mem','4MB',false)"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        >a1 Query "reset role"
        a1< Error 57014 "canceling statement" | ReadyForQuery I
        <C Error 57014 "canceling statement" | ReadyForQuery I
        >a1 Query ~'role'
        a1< DataRow v role none | ReadyForQuery I
        C> Query "delete from t"
        >a1 Query "SELECT pg_catalog.set_config('role','x',false)"
        a1< Error 22023 "role \"x\" does not exist" | ReadyForQuery I
        >a1 Query "DISCARD ALL"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        >a1 Query "SELECT pg_catalog.set_config('work_mem','4MB',false)"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        >a1 Query "SELECT pg_catalog.set_config('role','x',false)"
        a1< Error 22023 "role \"x\" does not exist" | ReadyForQuery I
        <C Error 22023 "role \"x\" does not exist" | ReadyForQuery I
        >a1 Query "DISCARD ALL"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        "#
    ));
    // Nor does one role go for another that may be refused.
    check(&format!(
        r#"
        {LOST_ROLE}
        C> Query "set role y"
        {REFUSED}
        <C Error 22023 "role \"x\" does not exist" | ReadyForQuery I
        "#
    ));
}

#[test]
fn what_another_client_left_is_not_this_ones_fault() {
    check(&format!(
        r#"
        {LOCK_TIMEOUT}
        D> Query "select d"
        >a1 Query "RESET \"lock_timeout\";"
        a1< Error 57014 "canceling statement due to statement timeout" | ReadyForQuery I
        >a1 Query "DISCARD ALL" | nothing
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        "#
    ));
}

#[test]
fn statements_prepared_by_sql_follow() {
    let asked = asked_of(&["p"]);
    check(&format!(
        r#"
        C> Query "prepare p as select 1"
        >a1 Query "prepare p as select 1"
        a1< CommandComplete PREPARE | ReadyForQuery I
        <C CommandComplete PREPARE | ReadyForQuery I
        >a1 {asked}
        a1< DataRow p p "prepare p as select 1" t | ReadyForQuery I
        a1< {TOLD} | ParameterDescription | RowDescription n | ReadyForQuery I
        D> Query "select d"
        >a1 Query "DEALLOCATE \"p\";"
        a1< CommandComplete DEALLOCATE | ReadyForQuery I
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        # Running it leaves nothing behind that its text does not show.
        C> Query "execute p"
        >a1 Query "prepare p as select 1" | Describe S p | Sync | nothing
        a1< CommandComplete PREPARE | ReadyForQuery I
        a1< ParameterDescription | RowDescription n | ReadyForQuery I
        >a1 Query "execute p"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Bind "" p | Execute "" | Sync
        >a1 Bind "" p | Execute "" | Sync
        a1< BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <C BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        pool a idle=1
        # All of them gone means the client's own.
        C> Query "deallocate all"
        >a1 Query "deallocate all"
        a1< CommandComplete "DEALLOCATE ALL" | ReadyForQuery I
        <C CommandComplete "DEALLOCATE ALL" | ReadyForQuery I
        >a1 Query ~pg_prepared_statements
        a1< CommandComplete "SELECT 0" | ReadyForQuery I
        D> Query "select d"
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        "#
    ));
}

/// Prepared elsewhere under other settings, its literals would mean something else.
#[test]
fn a_statement_prepared_under_other_settings_keeps_its_server() {
    let asked = asked_of(&["p"]);
    check(&format!(
        r#"
        C> Query "prepare p as select date '1/2/2003'"
        >a1 Query "prepare p as select date '1/2/2003'"
        a1< CommandComplete PREPARE | ReadyForQuery I
        <C CommandComplete PREPARE | ReadyForQuery I
        >a1 {asked}
        a1< DataRow p p "prepare p as select date '1/2/2003'" t | ReadyForQuery I
        a1< {TOLD} | ParameterDescription | RowDescription date | ReadyForQuery I
        pool a idle=1
        C> Query "set datestyle to 'dmy'"
        >a1 Query "set datestyle to 'dmy'"
        a1< CommandComplete SET | ParameterStatus DateStyle "ISO, DMY" | ReadyForQuery I
        <C CommandComplete SET | ParameterStatus DateStyle "ISO, DMY" | ReadyForQuery I
        pool a leased=1
        activity C Pinned none
        C> Query "set datestyle to 'mdy'"
        >a1 Query "set datestyle to 'mdy'"
        a1< CommandComplete SET | ParameterStatus DateStyle "ISO, MDY" | ReadyForQuery I
        <C CommandComplete SET | ParameterStatus DateStyle "ISO, MDY" | ReadyForQuery I
        >a1 Query ~pg_prepared_statements
        a1< DataRow p p "prepare p as select date '1/2/2003'" t | ReadyForQuery I
        pool a idle=1
        "#
    ));
    // One whose meaning depends on the moment, and one that came in company.
    let one = asked_of(&["p"]);
    let two = asked_of(&["p", "q"]);
    for (text, asked) in [
        ("prepare p as select timestamp 'now'", &one),
        ("prepare p as select 1; prepare q as select 2", &two),
    ] {
        let described = format!("{TOLD} | ParameterDescription | RowDescription n | ReadyForQuery I");
        let described = if asked == &two { format!("{described} | {described}") } else { described };
        check(&format!(
            r#"
            C> Query "{text}"
            >a1 Query "{text}"
            a1< CommandComplete PREPARE | ReadyForQuery I
            <C CommandComplete PREPARE | ReadyForQuery I
            >a1 {asked}
            a1< DataRow p p "{text}" t | ReadyForQuery I | {described}
            activity C Pinned none
            C> Query "deallocate p"
            >a1 Query "deallocate p"
            a1< CommandComplete DEALLOCATE | ReadyForQuery I
            <C CommandComplete DEALLOCATE | ReadyForQuery I
            >a1 Query ~pg_prepared_statements
            a1< CommandComplete "SELECT 0" | ReadyForQuery I
            pool a idle=1
            "#
        ));
    }
}

#[test]
fn discarding_all_is_the_clients_own() {
    check(&format!(
        r#"
        {LOCK_TIMEOUT}
        C> Query "discard all"
        >a1 Query "discard all"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        <C CommandComplete "DISCARD ALL" | ReadyForQuery I
        pool a idle=1
        D> Query "select d"
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "select 1"
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#
    ));
}

#[test]
fn statements_are_not_shared_across_states() {
    check(
        r#"
        C> Query "set search_path to other"
        >a1 Query "set search_path to other"
        a1< CommandComplete SET | ReadyForQuery I
        <C CommandComplete SET | ReadyForQuery I
        >a1 Query ~'search_path'
        a1< DataRow v search_path other | DataRow d search_path other public t | ReadyForQuery I
        C> Parse s "select * from t" | Sync
        >a1 Parse pgsteer_1 "select * from t" | Describe S pgsteer_1 | Sync
        a1< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        D> Parse s "select * from t" | Sync
        >a1 Query "RESET \"search_path\";"
        a1< CommandComplete RESET | ReadyForQuery I
        >a1 Parse pgsteer_2 "select * from t" | Describe S pgsteer_2 | Sync
        a1< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <D ParseComplete | ReadyForQuery I
        # A setting that nobody but its clients knows has no part in it.
        D> Query "set app.user = 'x'"
        >a1 Query "set app.user = 'x'"
        a1< CommandComplete SET | ReadyForQuery I
        <D CommandComplete SET | ReadyForQuery I
        >a1 Query ~'app.user'
        a1< DataRow v app.user x | ReadyForQuery I
        D> Bind "" s | Sync
        >a1 Bind "" pgsteer_2 | Sync
        a1< BindComplete | ReadyForQuery I
        <D BindComplete | ReadyForQuery I
        "#,
    );
}

#[test]
fn a_client_whose_state_is_lost_is_told() {
    // The member is deposed before the server has answered.
    check(
        r#"
        C> Query "set role x"
        >a1 Query "set role x"
        a1< CommandComplete SET | ReadyForQuery I
        <C CommandComplete SET | ReadyForQuery I
        >a1 Query ~'role'
        route write=b deposed=a
        <C Fatal 57P01 _ | end
        >a1 end
        "#,
    );
    // What was found out before goes with the client to the new leader.
    check(
        r#"
        C> Query "set role x"
        >a1 Query "set role x"
        a1< CommandComplete SET | ReadyForQuery I
        <C CommandComplete SET | ReadyForQuery I
        >a1 Query ~'role'
        a1< DataRow v role x | ReadyForQuery I
        pool a idle=1
        route write=b deposed=a
        >a1 end
        C> Query "select 1"
        >b1 Query "SELECT pg_catalog.set_config('role','x',false)"
        b1< CommandComplete "SELECT 1" | ReadyForQuery I
        >b1 Query "select 1"
        b1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
    // The server breaks.
    check(
        r#"
        C> Query "set role x"
        >a1 Query "set role x"
        a1< CommandComplete SET | ReadyForQuery I
        <C CommandComplete SET | ReadyForQuery I
        >a1 Query ~'role'
        a1< close
        <C Fatal 08006 _ | end
        "#,
    );
}

#[test]
fn nothing_is_asked_without_the_right_to_write() {
    check_with(
        |setup| setup.settings.leader_wait_timeout = Some(Duration::from_secs(1)),
        r#"
        C> Query "set role x"
        >a1 Query "set role x"
        fence closed
        a1< CommandComplete SET | ReadyForQuery I
        <C CommandComplete SET | ReadyForQuery I
        >a1 nothing
        fence open
        wait 10ms
        >a1 Query ~'role'
        a1< DataRow v role none | ReadyForQuery I
        pool a idle=1
        C> Query "set role x"
        >a1 Query "set role x"
        fence closed
        a1< CommandComplete SET | ReadyForQuery I
        <C CommandComplete SET | ReadyForQuery I
        wait 1100ms
        <C Fatal 57P01 _ | end
        >a1 end
        "#,
    );
}

/// Psql does: a command, and away.
#[test]
fn a_client_that_leaves_leaves_a_server_in_order() {
    check(
        r#"
        C> Query "set role x"
        >a1 Query "set role x"
        a1< CommandComplete SET | ReadyForQuery I
        <C CommandComplete SET | ReadyForQuery I
        >a1 Query ~'role'
        C> Terminate
        a1< DataRow v role x | ReadyForQuery I
        <C end
        D> Query "select d"
        >a1 Query "RESET ROLE;"
        a1< CommandComplete RESET | ReadyForQuery I
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        # Before it has its answer.
        D> Query "set role x" | Terminate
        >a1 Query "set role x"
        a1< CommandComplete SET | ReadyForQuery I
        <D CommandComplete SET | ReadyForQuery I | end
        >a1 Query "DISCARD ALL"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        pool a idle=1
        "#,
    );
}

/// `temp_buffers` cannot be changed on a server that has had temporary tables, whosever they were.
#[test]
fn a_server_that_has_had_temporary_tables_is_not_for_those_who_size_their_buffers() {
    let leaves_temporary = |server: &str| {
        format!(
            r#"
            C> Query "create temp table t () on commit drop"
            >{server} Query "create temp table t () on commit drop"
            {server}< CommandComplete "CREATE TABLE" | ReadyForQuery I
            <C CommandComplete "CREATE TABLE" | ReadyForQuery I
            >{server} Query ~pg_my_temp_schema
            {server}< CommandComplete "SELECT 0" | ReadyForQuery I
            "#
        )
    };
    let sets = r#"
        D> Query "SET Temp_Buffers = 200"
        >a1 Terminate | end
        >a2 Query "SET Temp_Buffers = 200"
        a2< CommandComplete SET | ReadyForQuery I
        <D CommandComplete SET | ReadyForQuery I
        >a2 Query ~'temp_buffers'
        a2< DataRow v temp_buffers 1600kB | DataRow d temp_buffers 200 1024 t | ReadyForQuery I
    "#;
    let leaves = r#"
        C> Query "select c"
        >a2 Query "RESET \"temp_buffers\";"
        a2< CommandComplete RESET | ReadyForQuery I
        >a2 Query "select c"
        a2< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
    "#;
    let comes_back = r#"
        D> Query "select d"
        >a2 Terminate | end
        >a3 Query "SELECT pg_catalog.set_config('temp_buffers','200',false)"
        a3< CommandComplete "SELECT 1" | ReadyForQuery I
        >a3 Query "select d"
        a3< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
    "#;
    let (first, second) = (leaves_temporary("a1"), leaves_temporary("a2"));
    check_whole(|_| {}, &format!("{first}{sets}{leaves}{second}{comes_back}"));
    // In a transaction of its own PostgreSQL refuses it once; from then on it knows better.
    check(&format!(
        r#"
        {first}
        D> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <D CommandComplete BEGIN | ReadyForQuery T
        D> Query "set local temp_buffers = 200"
        >a1 Query "set local temp_buffers = 200"
        a1< Error 22023 "cannot be changed" | ReadyForQuery E
        <D Error 22023 "cannot be changed" | ReadyForQuery E
        D> Query rollback
        >a1 Query rollback
        a1< CommandComplete ROLLBACK | ReadyForQuery I
        <D CommandComplete ROLLBACK | ReadyForQuery I
        D> Query begin
        >a1 Terminate | end
        >a2 Query begin
        a2< CommandComplete BEGIN | ReadyForQuery T
        <D CommandComplete BEGIN | ReadyForQuery T
        "#
    ));
}
