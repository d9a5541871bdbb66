//! What a client is told of its last transaction, here or on another connection (`SHOW pgsteer.last_commit`).

use crate::{
    commits::{ANSWERED, ASKED, BEGUN, inquisitive},
    play::{check, check_with},
    world::Setup,
};

/// A client asks on this server; what that is given first holds `saying`.
pub(crate) fn shows(client: &str, server: &str, saying: &str) -> String {
    shows_in(client, server, saying, 'I')
}

fn shows_in(client: &str, server: &str, saying: &str, status: char) -> String {
    format!(
        r#"
        {client}> Query "show pgsteer.last_commit"
        >{server} Query "~{saying}" | Query "show pgsteer.last_commit"
        {server}< CommandComplete DO | ReadyForQuery {status} | DataRow x | CommandComplete SHOW | ReadyForQuery {status}
        <{client} DataRow x | CommandComplete SHOW | ReadyForQuery {status}
        "#
    )
}

/// A client names whom it asks about.
fn of(client: &str, server: &str, handle: &str) -> String {
    format!(
        r#"
        {client}> Query "set pgsteer.last_commit_of = '{handle}'"
        >{server} Query "set pgsteer.last_commit_of = '{handle}'"
        {server}< CommandComplete SET | ReadyForQuery I
        <{client} CommandComplete SET | ReadyForQuery I
        >{server} Query "~current_setting"
        {server}< DataRow v pgsteer.last_commit_of {handle} | ReadyForQuery I
        "#
    )
}

/// That of the first client that has come.
const FIRST: &str = "1-0000000000c0ffee";

/// That of the transaction in it.
const TRANSACTION: &str = "7/1/0/10/727";

const ANSWER: &str =
    "a1< CommandComplete COMMIT | ReadyForQuery I\n<C CommandComplete COMMIT | ReadyForQuery I\n";

fn told(script: &str) {
    check_with(inquisitive, script);
}

#[test]
fn a_client_is_told_of_its_own() {
    told(&shows("C", "a1", "a text := '';"));
    told(&format!(
        "{BEGUN}{}",
        shows_in("C", "a1", "in progress: nothing that commits it has come, sent 0.0", 'T')
    ));
    told(&format!(
        "{BEGUN}{ASKED}{ANSWERED}{ANSWER}{}",
        shows("C", "a1", "committed 7/1/0/10/727, sent 0.0")
    ));
    let failed = "a1< Error 23503 _ | ReadyForQuery I\n<C Error 23503 _ | ReadyForQuery I\n";
    told(&format!(
        "{BEGUN}{ASKED}{ANSWERED}{failed}wait 2s\n{}",
        shows("C", "a1", "aborted 7/1/0/10/727, sent 2.0")
    ));
    // In a sequence, whatever comes at once.
    let sequence = r#"
        C> Parse "" commit | Bind "" "" | Execute "" | Sync
        >a1 Parse "" commit | Bind "" ""
        >a1 Parse pgsteer_ffffffffffffffff "~if_assigned" | Bind pgsteer_fate pgsteer_ffffffffffffffff
        >a1 Execute pgsteer_fate | Close P pgsteer_fate | Flush | Execute "" | Sync
        a1< ParseComplete | BindComplete | ParseComplete | BindComplete | DataRow 727 0/10 00000001 | CommandComplete "SELECT 1" | CloseComplete | CommandComplete COMMIT | ReadyForQuery I
        <C ParseComplete | BindComplete | CommandComplete COMMIT | ReadyForQuery I
    "#;
    told(&format!("{BEGUN}{sequence}{}", shows("C", "a1", "committed 7/1/0/10/727")));
    // What only looks changes nothing about that.
    let looks = r#"
        C> Query "select 1"
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
    "#;
    told(&format!("{BEGUN}{ASKED}{ANSWERED}{ANSWER}{looks}{}", shows("C", "a1", "committed 7/1/0/10/727")));
    // What may have written does, and was not asked.
    let acts = r#"
        C> Query "truncate t"
        >a1 Query "truncate t"
        a1< CommandComplete "TRUNCATE TABLE" | ReadyForQuery I
        <C CommandComplete "TRUNCATE TABLE" | ReadyForQuery I
    "#;
    let unknown = shows("C", "a1", "unknown: it could not be asked for its number");
    told(&format!("{BEGUN}{ASKED}{ANSWERED}{ANSWER}{acts}{unknown}"));
    // And the next transaction, from its beginning.
    let begun = shows_in("C", "a1", "in progress: nothing that commits", 'T');
    told(&format!("{BEGUN}{ASKED}{ANSWERED}{ANSWER}{BEGUN}{begun}"));
}

#[test]
fn by_what_it_asks_elsewhere_it_is_told_too() {
    told(
        r#"
        C> Query "show pgsteer.session"
        >a1 Query "SET pgsteer.session = '1-0000000000c0ffee'" | Query "show pgsteer.session"
        a1< CommandComplete SET | ReadyForQuery I | DataRow x | CommandComplete SHOW | ReadyForQuery I
        <C DataRow x | CommandComplete SHOW | ReadyForQuery I
        "#,
    );
    // Who is not followed is told nothing: PostgreSQL knows no such setting.
    check(
        r#"
        C> Query "show pgsteer.last_commit"
        >a1 Query "show pgsteer.last_commit"
        a1< Error 42704 _ | ReadyForQuery I
        <C Error 42704 _ | ReadyForQuery I
        "#,
    );
}

/// Its connection breaks while it commits. On another it asks; what is not known the leader says then and there.
#[test]
fn a_client_that_is_gone_asks_on_another_connection() {
    let two = |setup: &mut Setup| {
        inquisitive(setup);
        setup.settings.limits.size = 2;
    };
    let asks = |handle: &str, saying: &str| {
        check_with(
            two,
            &format!(
                r#"
                {BEGUN}{ASKED}{ANSWERED}
                C> close
                D> Query "select 1"
                >a2 Query "select 1"
                a2< CommandComplete "SELECT 1" | ReadyForQuery I
                <D CommandComplete "SELECT 1" | ReadyForQuery I
                {}{}
                a1< close
                "#,
                of("D", "a2", handle),
                shows("D", "a2", saying)
            ),
        );
    };
    // It was opened later than the transaction was asked.
    let denial = "pg_xact_status('727')";
    asks(FIRST, denial);
    asks(TRANSACTION, denial);
    asks(FIRST, "WHEN 'committed' THEN 'unknown' WHEN 'aborted' THEN 'aborted'");
    asks(FIRST, "'pgsteer.last_commit_of', true), '') OPERATOR(pg_catalog.<>) '1-0000000000c0ffee'");
    // Half of its connection is left for a while; then all of it is gone.
    let gone =
        format!("{BEGUN}{ASKED}{ANSWERED}C> close\nwait 3s\nactivity C gone\ncancelled a1\na1< close\n");
    for handle in [FIRST, TRANSACTION] {
        let script = format!("{gone}{}{}", of("D", "a2", handle), shows("D", "a2", denial));
        check_with(inquisitive, &script);
    }
    // It never sent what commits.
    let begun = format!(
        "{BEGUN}C> close\nwait 3s\nactivity C gone\n>a1 Query ROLLBACK\na1< CommandComplete ROLLBACK | ReadyForQuery I\n"
    );
    let script =
        format!("{begun}{}{}", of("D", "a1", FIRST), shows("D", "a1", "a text := 'aborted, sent 3."));
    check_with(inquisitive, &script);
    asks("1-0000000000c0ffef", "unknown: this pgsteer knows nothing of that session");
    asks("7-0000000000c0ffee", "unknown: this pgsteer knows nothing of that session");
    // Of another transaction nothing is known here, and its timeline is the one in force.
    asks("7/1/0/10/728", "unknown 7/1/0/10/728: nobody who could tell");
    asks("what?", "unknown: pgsteer.last_commit_of must be");
}
