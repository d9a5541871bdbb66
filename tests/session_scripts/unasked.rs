//! Behind what is known to read the leader is not asked for the position of the log; behind anything else it is.

use pgsteer::session::routes::Purpose;

use crate::{
    play::check_whole,
    promised::{BEGUN, PLACED, session},
    world::Setup,
};

/// A client that has the leader alone, which has told of its database, and that has committed something up to 0/10.
fn check_on_leader(script: &str) {
    let writes = |setup: &mut Setup| {
        session(setup);
        setup.purpose = Purpose::Write;
    };
    check_whole(writes, &format!("{BEGUN}{script}"));
}

/// What is known to read commits nothing.
#[test]
fn the_leader_is_not_asked_behind_what_only_reads() {
    check_on_leader(
        r#"
        C> Query "select count(*) from t"
        >a1 Query "select count(*) from t"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Parse s "select count(*) from t where a = $1" | Bind "" s 1 | Execute "" | Sync
        >a1 Parse pgsteer_1 "select count(*) from t where a = $1" | Describe S pgsteer_1 | Bind "" pgsteer_1 1 | Execute "" | Sync
        a1< ParseComplete | ParameterDescription | NoData | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <C ParseComplete | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        C> Bind "" s 1 | Execute "" | Sync
        >a1 Bind "" pgsteer_1 1 | Execute "" | Sync
        a1< BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <C BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        pool a leased=0
        "#,
    );
}

/// What is not known to read may commit: what calls a function that is not known, whatever a comment says of it; what is not
/// a request by itself.
#[test]
fn the_leader_is_asked_behind_what_is_not_known_to_read() {
    for text in ["select mine(1)", "/* pgsteer: read */ select mine(1)", "select 1; select 2"] {
        let along = if text.contains(';') { "" } else { "| Query \"~insert_lsn\"" };
        let afterwards = if text.contains(';') { ">a1 Query \"~insert_lsn\"" } else { "" };
        check_on_leader(&format!(
            r#"
            C> Query "{text}"
            >a1 Query "{text}" {along}
            a1< CommandComplete "SELECT 1" | ReadyForQuery I
            <C CommandComplete "SELECT 1" | ReadyForQuery I
            {afterwards}
            a1< {PLACED}
            pool a leased=0
            "#
        ));
    }
    // Strings end elsewhere than texts are read for.
    check_on_leader(&format!(
        r#"
        C> Query "set standard_conforming_strings to off"
        >a1 Query "set standard_conforming_strings to off"
        a1< ParameterStatus standard_conforming_strings off | CommandComplete SET | ReadyForQuery I
        <C ParameterStatus standard_conforming_strings off | CommandComplete SET | ReadyForQuery I
        >a1 Query "~insert_lsn"
        a1< {PLACED}
        C> Query "select count(*) from t"
        >a1 Query "select count(*) from t" | Query "~insert_lsn"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I | {PLACED}
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#
    ));
    // What runs was bound before.
    check_on_leader(&format!(
        r#"
        C> Parse s "insert into t values ($1)" | Bind "" s 1 | Flush
        >a1 Parse pgsteer_1 "insert into t values ($1)" | Describe S pgsteer_1 | Bind "" pgsteer_1 1 | Flush
        a1< ParseComplete | ParameterDescription | NoData | BindComplete
        <C ParseComplete | BindComplete
        C> Execute "" | Sync
        >a1 Execute "" | Sync | Query "~insert_lsn"
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I | {PLACED}
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        pool a leased=0
        "#
    ));
    // What the first of the two was is not known any more.
    check_on_leader(&format!(
        r#"
        C> Parse "" "insert into t values (2)" | Bind "" "" | Execute "" | Parse "" "select count(*) from t" | Bind "" "" | Execute "" | Sync
        >a1 Parse "" "insert into t values (2)" | Bind "" "" | Describe S "" | Execute "" | Parse "" "select count(*) from t" | Bind "" "" | Describe S "" | Execute "" | Sync | Query "~insert_lsn"
        a1< ParseComplete | BindComplete | ParameterDescription | NoData | CommandComplete "INSERT 0 1"
        a1< ParseComplete | BindComplete | ParameterDescription | NoData | CommandComplete "SELECT 1" | ReadyForQuery I | {PLACED}
        <C ParseComplete | BindComplete | CommandComplete "INSERT 0 1" | ParseComplete | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        pool a leased=0
        "#
    ));
}
