//! Clients that listen, with the connection that listens for all (`a2`): what is told them, and when.

use pgsteer::route::consistency::Consistency;

use crate::play::{check, check_whole, check_with};

/// Client C has begun to listen.
const LISTENS: &str = r#"
    C> Query "listen news"
    >a1 Query "listen news"
    a1< CommandComplete LISTEN | ReadyForQuery I
    <C CommandComplete LISTEN | ReadyForQuery I
    >a1 Query ~pg_listening_channels
    a1< DataRow l news | ReadyForQuery I
    >a2 Query "LISTEN \"news\";LISTEN \"pgsteer.mark.0000000000000001\";"
    a2< CommandComplete LISTEN | CommandComplete LISTEN | ReadyForQuery I
    >a1 Query ~LISTEN | Query ~NOTIFY | Query "UNLISTEN *"
    a1< CommandComplete LISTEN | ReadyForQuery I
    a1< CommandComplete NOTIFY | Notification pgsteer.mark.0000000000000001 1 | ReadyForQuery I
    a1< CommandComplete UNLISTEN | ReadyForQuery I
    a2< Notification pgsteer.mark.0000000000000001 1
    pool a idle=1
"#;

/// Its server listens for as long as it is C's.
const BACK: &str = r#"
    >a1 Query "LISTEN \"news\";"
    a1< CommandComplete LISTEN | ReadyForQuery I
"#;

const AWAY: &str = r#"
    >a1 Query "UNLISTEN *"
    a1< CommandComplete UNLISTEN | ReadyForQuery I
"#;

/// A script of C's that listens, with BACK and AWAY in it.
fn listening(script: &str) -> String {
    format!("{LISTENS}{}", script.replace("BACK", BACK).replace("AWAY", AWAY))
}

#[test]
fn what_is_committed_before_comes_in_front_of_ready_for_query() {
    check(&listening(
        r#"
        C> Query "select 1"
        BACK
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        >a2 Query ""
        AWAY
        # Its server is free meanwhile.
        pool a idle=1
        a2< Notification news early | EmptyQueryResponse | ReadyForQuery I
        <C CommandComplete "SELECT 1" | Notification news early | ReadyForQuery I
        a2< Notification news late
        <C Notification news late
        # In a transaction nothing is told, and nobody asked.
        C> Query begin
        BACK
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        a2< Notification news meanwhile
        >a2 nothing
        <C nothing
        C> Query commit
        >a1 Query commit
        a1< CommandComplete COMMIT | Notification news meanwhile | ReadyForQuery I
        >a2 Query ""
        a2< EmptyQueryResponse | ReadyForQuery I
        <C CommandComplete COMMIT | Notification news meanwhile | ReadyForQuery I
        AWAY
        # Another client does not listen.
        D> Query "select d"
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        >a2 nothing
        "#,
    ));
}

/// Each where its server has told it.
#[test]
fn transactions_sent_at_once_have_their_own_in_front_of_their_own_ends() {
    check_whole(
        |_| {},
        &listening(
            r#"
            C> Query "notify news, '1'" | Query "listen other" | Query "notify news, '2'" | Query "select 1"
            BACK
            >a1 Query "notify news, '1'" | Query "listen other" | Query "notify news, '2'" | Query "select 1"
            a1< CommandComplete NOTIFY | Notification news 1 | ReadyForQuery I | CommandComplete LISTEN | ReadyForQuery I | CommandComplete NOTIFY | Notification other new | Notification news 2 | ReadyForQuery I | CommandComplete "SELECT 1" | ReadyForQuery I
            >a2 Query ""
            >a1 Query ~pg_listening_channels
            a2< Notification news before | Notification news 1 | Notification news 2 | Notification news behind | EmptyQueryResponse | ReadyForQuery I
            # What it listens on is found out first.
            <C nothing
            a1< DataRow l news | DataRow l other | ReadyForQuery I
            <C CommandComplete NOTIFY | Notification news before | Notification news 1 | ReadyForQuery I
            <C CommandComplete LISTEN | ReadyForQuery I
            <C CommandComplete NOTIFY | Notification other new | Notification news 2 | ReadyForQuery I
            <C CommandComplete "SELECT 1" | Notification news behind | ReadyForQuery I
            >a2 Query "LISTEN \"other\";"
            a2< CommandComplete LISTEN | ReadyForQuery I
            >a1 Query ~LISTEN | Query ~NOTIFY | Query "UNLISTEN *"
            a1< CommandComplete LISTEN | ReadyForQuery I
            a1< CommandComplete NOTIFY | Notification pgsteer.mark.0000000000000001 2 | ReadyForQuery I
            a1< CommandComplete UNLISTEN | ReadyForQuery I
            pool a idle=1
            "#,
        ),
    );
}

/// What its server has still to tell belongs behind the answers that are told before.
#[test]
fn what_belongs_to_a_later_answer_waits_for_it() {
    check_whole(
        |_| {},
        &listening(
            r#"
            C> Query "notify news, '1'" | Query "notify news, '2'"
            BACK
            >a1 Query "notify news, '1'" | Query "notify news, '2'"
            a1< CommandComplete NOTIFY | Notification news 1 | ReadyForQuery I
            >a2 Query ""
            a2< Notification news 1 | Notification news 2 | EmptyQueryResponse | ReadyForQuery I
            <C CommandComplete NOTIFY | Notification news 1 | ReadyForQuery I | nothing
            a1< CommandComplete NOTIFY | Notification news 2 | ReadyForQuery I
            >a2 Query ""
            <C nothing
            a2< EmptyQueryResponse | ReadyForQuery I
            <C CommandComplete NOTIFY | Notification news 2 | ReadyForQuery I
            AWAY
            "#,
        ),
    );
}

/// What its own server told before is told; what the shared connection tells behind that is not.
#[test]
fn whoever_listens_no_more_hears_no_more() {
    check_whole(
        |_| {},
        &listening(
            r#"
            C> Query "notify news, 'last'" | Query "unlisten *"
            BACK
            >a1 Query "notify news, 'last'" | Query "unlisten *"
            a1< CommandComplete NOTIFY | Notification news last | ReadyForQuery I | CommandComplete UNLISTEN | ReadyForQuery I
            >a1 Query ~pg_listening_channels
            a1< CommandComplete "SELECT 0" | ReadyForQuery I
            pool a idle=1
            <C nothing
            >a2 Query ""
            a2< Notification news last | Notification news unheard | EmptyQueryResponse | ReadyForQuery I
            <C CommandComplete NOTIFY | Notification news last | ReadyForQuery I | CommandComplete UNLISTEN | ReadyForQuery I
            >a2 end
            C> Query "select 1"
            >a1 Query "select 1"
            a1< CommandComplete "SELECT 1" | ReadyForQuery I
            <C CommandComplete "SELECT 1" | ReadyForQuery I
            "#,
        ),
    );
}

/// A leader that does not answer holds nobody up for longer, and nobody once more.
#[test]
fn a_connection_that_does_not_answer_is_not_waited_for() {
    check_whole(
        |_| {},
        &listening(
            r#"
            C> Query "select 1"
            BACK
            >a1 Query "select 1"
            a1< CommandComplete "SELECT 1" | ReadyForQuery I
            AWAY
            >a2 Query ""
            wait 480ms
            <C nothing
            wait 20ms
            <C CommandComplete "SELECT 1" | ReadyForQuery I
            C> Query "select 2"
            BACK
            >a1 Query "select 2"
            a1< CommandComplete "SELECT 1" | ReadyForQuery I
            <C CommandComplete "SELECT 1" | ReadyForQuery I
            AWAY
            >a2 nothing
            a2< Notification news late | EmptyQueryResponse | ReadyForQuery I
            <C Notification news late
            # It answers again: whether in time is to be seen.
            C> Query "select 3"
            BACK
            >a1 Query "select 3"
            a1< CommandComplete "SELECT 1" | ReadyForQuery I
            <C CommandComplete "SELECT 1" | ReadyForQuery I
            AWAY
            >a2 Query ""
            a2< EmptyQueryResponse | ReadyForQuery I
            C> Query "select 4"
            BACK
            >a1 Query "select 4"
            a1< CommandComplete "SELECT 1" | ReadyForQuery I
            AWAY
            >a2 Query ""
            <C nothing
            # One that is lost is not waited for either.
            a2< close
            <C CommandComplete "SELECT 1" | ReadyForQuery I
            wait 50ms
            >a3 Query ~LISTEN
            "#,
        ),
    );
}

#[test]
fn a_client_that_leaves_or_must_go_has_its_answer_before() {
    let waiting = r#"
        C> Query "select 1"
        BACK
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        AWAY
        >a2 Query ""
        a2< Notification news early
        <C nothing
    "#;
    for end in [
        "drain C\n<C CommandComplete _ | Notification news early | ReadyForQuery I | Fatal 57P01 _ | end",
        "C> half\na2< EmptyQueryResponse | ReadyForQuery I\n\
         <C CommandComplete _ | Notification news early | ReadyForQuery I | end",
        "C> close\na2< EmptyQueryResponse | ReadyForQuery I",
        // Too late.
        "cancel C\na2< EmptyQueryResponse | ReadyForQuery I\n\
         <C CommandComplete _ | Notification news early | ReadyForQuery I\nC> Terminate\n<C end",
    ] {
        check_whole(|_| {}, &listening(&format!("{waiting}{end}\n>a2 end\npool a idle=1")));
    }
}

/// Its next request is not begun before.
#[test]
fn what_is_sent_meanwhile_waits() {
    check(&listening(
        r#"
        C> Query "select 1"
        BACK
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        AWAY
        C> Query "select 2"
        >a1 nothing
        >a2 Query ""
        a2< EmptyQueryResponse | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        BACK
        >a1 Query "select 2"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        >a2 Query ""
        a2< EmptyQueryResponse | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        AWAY
        "#,
    ));
}

/// Where everybody must see a commit before its client is told, both are waited for.
#[test]
fn notifications_and_positions_are_waited_for_both() {
    let begin = LISTENS
        .replacen(">a1 Query \"listen news\"", ">a1 Query \"listen news\" | Query ~wal_insert_lsn", 1)
        .replacen(
            "LISTEN | ReadyForQuery I",
            "LISTEN | ReadyForQuery I | DataRow 0/100 | CommandComplete \"SELECT 1\" | ReadyForQuery I",
            1,
        )
        // What functions do is asked once.
        .replace("pool a idle=1", ">a1 Query ~READ | nothing\na1< DataRow f count | ReadyForQuery I");
    for first in ["a1", "a2"] {
        let notified = "a2< Notification news early | EmptyQueryResponse | ReadyForQuery I";
        let placed =
            "a1< DataRow 0/200 | CommandComplete \"SELECT 1\" | ReadyForQuery I\n>a1 Query \"UNLISTEN *\"";
        let (sooner, later) = if first == "a1" { (placed, notified) } else { (notified, placed) };
        let insert = format!(
            r#"
            C> Query "insert 1"
            {BACK}
            >a1 Query "insert 1" | Query ~wal_insert_lsn
            a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
            >a2 Query ""
            {sooner}
            <C nothing
            {later}
            <C CommandComplete "INSERT 0 1" | Notification news early | ReadyForQuery I
            a1< CommandComplete UNLISTEN | ReadyForQuery I
            "#
        );
        check_with(
            |setup| setup.settings.consistency.otherwise = Consistency::Global,
            &format!("{begin}{insert}"),
        );
    }
}
