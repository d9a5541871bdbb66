//! Statements that need a database to themselves, and the servers that idle there.

use crate::play::check_with;

/// C and D have used a server each, that of C last.
const TWO_SERVERS: &str = r#"
    C> Query begin
    >a1 Query begin
    a1< CommandComplete BEGIN | ReadyForQuery T
    <C CommandComplete BEGIN | ReadyForQuery T
    D> Query "select d"
    >a2 Query "select d"
    a2< CommandComplete "SELECT 1" | ReadyForQuery I
    <D CommandComplete "SELECT 1" | ReadyForQuery I
    C> Query commit
    >a1 Query commit
    a1< CommandComplete COMMIT | ReadyForQuery I
    <C CommandComplete COMMIT | ReadyForQuery I
"#;

fn check(script: &str) {
    check_with(|setup| setup.settings.limits.size = 2, &format!("{TWO_SERVERS}{script}"));
}

#[test]
fn idle_servers_leave_when_no_other_client_is_left() {
    check(
        r#"
        D> close
        C> Query "create database x template db"
        >a1 Query "create database x template db"
        >a2 Terminate | end
        pool a idle=0 leased=1
        a1< CommandComplete "CREATE DATABASE" | ReadyForQuery I
        <C CommandComplete "CREATE DATABASE" | ReadyForQuery I
        >a1 Terminate | end
        "#,
    );
    // Until then the server says what is true: they are connected.
    check(
        r#"
        C> Query "alter database db set tablespace t"
        >a1 Query "alter database db set tablespace t"
        wait 2s
        >a2 nothing
        D> close
        wait 100ms
        >a2 Terminate | end
        a1< CommandComplete "ALTER DATABASE" | ReadyForQuery I
        <C CommandComplete "ALTER DATABASE" | ReadyForQuery I
        >a1 Terminate | end
        "#,
    );
    check(
        r#"
        C> Query "drop database db"
        >a1 Query "drop database db"
        wait 5100ms
        D> close
        wait 1s
        >a2 nothing
        a1< Error 55006 "being accessed" | ReadyForQuery I
        <C Error 55006 "being accessed" | ReadyForQuery I
        "#,
    );
}

#[test]
fn idle_servers_leave_at_once_where_the_server_ends_them() {
    check(
        r#"
        C> Query "drop database if exists db with (force)"
        >a1 Query "drop database if exists db with (force)"
        >a2 Terminate | end
        a1< Error 55006 "currently open" | ReadyForQuery I
        <C Error 55006 "currently open" | ReadyForQuery I
        >a1 Terminate | end
        "#,
    );
}

#[test]
fn only_those_of_that_database_leave() {
    check(
        r#"
        D> close
        C> Query "create database x"
        >a1 Query "create database x"
        wait 1s
        >a2 nothing
        a1< CommandComplete "CREATE DATABASE" | ReadyForQuery I
        <C CommandComplete "CREATE DATABASE" | ReadyForQuery I
        C> Query "alter database db set work_mem = 1"
        >a1 Query "alter database db set work_mem = 1"
        wait 1s
        >a2 nothing
        a1< CommandComplete "ALTER DATABASE" | ReadyForQuery I
        <C CommandComplete "ALTER DATABASE" | ReadyForQuery I
        # What sessions begin with is not what it was: the next ones are opened anew.
        >a1 Terminate | end
        >a2 Terminate | end
        pool a idle=0
        "#,
    );
}

#[test]
fn a_statement_with_a_name_counts_when_it_is_run() {
    check(
        r#"
        D> close
        C> Parse s "drop database db" | Sync
        >a1 Parse _ | Sync
        a1< ParseComplete | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        pool a idle=2
        C> Bind "" s | Execute "" | Sync
        >a1 Bind _ | Execute _ | Sync
        >a2 Terminate | end
        a1< BindComplete | Error 55006 "currently open" | ReadyForQuery I
        <C BindComplete | Error 55006 "currently open" | ReadyForQuery I
        >a1 Terminate | end
        "#,
    );
}
