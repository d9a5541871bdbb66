//! What keeps a client on its server, and until when.

use std::{sync::Arc, time::Duration};

use pgsteer::{
    pool::account::{Opaque, OpaquePolicy, PoolMode},
    sql::touches::FunctionNames,
};

use crate::{
    play::{check, check_with},
    world::Setup,
};

/// Begins to keep its server: text, what the server is asked by, what it answers; then ends it.
fn kept(text: &str, asked: &str, found: &str, end: &str) {
    check(&format!(
        r#"
        C> Query "{text}"
        >a1 Query "{text}"
        D> Query "select d"
        a1< CommandComplete DONE | ReadyForQuery I
        <C CommandComplete DONE | ReadyForQuery I
        >a1 Query ~{asked} | nothing
        a1< DataRow {found} | ReadyForQuery I
        activity C Pinned none
        pool a leased=1 waiting=1
        # Whatever it does then, it does there, and nobody asks again.
        C> Query "select 1"
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        activity C Pinned none
        C> Query "begin"
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        activity C IdleInTransaction open
        C> Query "{end}"
        >a1 Query "{end}"
        a1< CommandComplete DONE | ReadyForQuery T
        <C CommandComplete DONE | ReadyForQuery T
        C> Query "commit"
        >a1 Query commit
        a1< CommandComplete COMMIT | ReadyForQuery I
        <C CommandComplete COMMIT | ReadyForQuery I
        # It may be over: it is not, and then it is.
        >a1 Query ~{asked} | nothing
        a1< DataRow {found} | ReadyForQuery I
        C> Query "{end}"
        >a1 Query "{end}"
        a1< CommandComplete DONE | ReadyForQuery I
        <C CommandComplete DONE | ReadyForQuery I
        >a1 Query ~{asked} | nothing
        a1< CommandComplete "SELECT 0" | ReadyForQuery I
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        "#
    ));
}

#[test]
fn what_the_server_can_be_asked_about() {
    kept("create temp table t (n int)", "pg_my_temp_schema", "t", "drop table t");
    kept("declare c cursor with hold for select 1", "pg_cursors", "c", "close c");
    kept("select pg_advisory_lock(1)", "'advisory'", "k", "select pg_advisory_unlock(1)");
}

/// A lock taken and let go in one transaction is no reason to stay.
#[test]
fn what_is_gone_at_the_end_keeps_nobody() {
    check(
        r#"
        C> Query "select pg_advisory_lock(1); select pg_advisory_unlock(1)"
        >a1 Query "select pg_advisory_lock(1); select pg_advisory_unlock(1)"
        a1< CommandComplete "SELECT 1" | CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | CommandComplete "SELECT 1" | ReadyForQuery I
        >a1 Query ~'advisory'
        a1< CommandComplete "SELECT 0" | ReadyForQuery I
        pool a idle=1
        "#,
    );
}

#[test]
fn what_nobody_can_ask_about_lasts() {
    for text in ["load 'lib'", "select setseed(0.5)"] {
        check(&format!(
            r#"
            C> Query "{text}"
            >a1 Query "{text}"
            a1< CommandComplete DONE | ReadyForQuery I
            <C CommandComplete DONE | ReadyForQuery I
            activity C Pinned none
            C> Query "discard all"
            >a1 Query "discard all"
            a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
            <C CommandComplete "DISCARD ALL" | ReadyForQuery I
            activity C Pinned none
            # No other client gets such a server.
            C> Terminate
            <C end
            >a1 Terminate | end
            pool a idle=0
            "#
        ));
    }
    // A setting whose name does not stand in the text may be one that cannot be asked for.
    check(
        r#"
        C> Parse "" "select set_config($1, $2, false)" | Bind "" "" app.user x | Execute "" | Sync
        >a1 Parse "" "select set_config($1, $2, false)" | Bind "" "" app.user x | Describe S "" | Execute "" | Sync
        a1< ParseComplete | BindComplete | ParameterDescription | RowDescription n | DataRow x | CommandComplete "SELECT 1" | ReadyForQuery I
        <C ParseComplete | BindComplete | DataRow x | CommandComplete "SELECT 1" | ReadyForQuery I
        activity C Pinned none
        C> Query "discard all"
        >a1 Query "discard all"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        <C CommandComplete "DISCARD ALL" | ReadyForQuery I
        pool a idle=1
        "#,
    );
}

#[test]
fn a_client_that_leaves_takes_its_state_with_it() {
    check(
        r#"
        C> Query "select pg_advisory_lock(1)"
        >a1 Query "select pg_advisory_lock(1)"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        >a1 Query ~'advisory'
        a1< DataRow k | ReadyForQuery I
        # What the server says meanwhile is the client's.
        a1< Notification x "it is"
        <C Notification x "it is"
        C> Terminate
        <C end
        >a1 Query "DISCARD ALL"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        pool a idle=1
        "#,
    );
}

#[test]
fn a_client_loses_its_state_with_its_server() {
    let begin = r#"
        C> Query "select pg_advisory_lock(1)"
        >a1 Query "select pg_advisory_lock(1)"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        >a1 Query ~'advisory'
        a1< DataRow k | ReadyForQuery I
        activity C Pinned none
        "#;
    check(&format!("{begin}\nroute write=b deposed=a\n<C Fatal 57P01 _ | end\n>a1 end"));
    check(&format!("{begin}\na1< close\n<C Fatal 08006 _ | end"));
    check(&format!("{begin}\ndrain C\n<C Fatal 57P01 _ | end\n>a1 Query \"DISCARD ALL\""));
}

#[test]
fn no_more_servers_are_kept_than_may_be() {
    check_with(
        |setup| {
            setup.settings.limits.size = 2;
            setup.settings.pin_max = Some(1);
        },
        r#"
        C> Query "select pg_advisory_lock(1)"
        >a1 Query "select pg_advisory_lock(1)"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        >a1 Query ~'advisory'
        a1< DataRow k | ReadyForQuery I
        D> Query "select pg_advisory_lock(1)"
        >a2 Query "select pg_advisory_lock(1)"
        a2< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        >a2 Query ~'advisory'
        a2< DataRow k | ReadyForQuery I
        <D Fatal 53400 ~pin_max | end
        >a2 Query "DISCARD ALL"
        a2< CommandComplete "DISCARD ALL" | ReadyForQuery I
        pool a leased=1 idle=1
        # A place that is given up is free.
        C> Terminate
        <C end
        >a1 Query "DISCARD ALL"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        E> Query "select pg_advisory_lock(1)"
        >a1 Query "select pg_advisory_lock(1)"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <E CommandComplete "SELECT 1" | ReadyForQuery I
        >a1 Query ~'advisory'
        a1< DataRow k | ReadyForQuery I
        activity E Pinned none
        "#,
    );
}

/// It keeps its server, and is asked about again with the next change.
#[test]
fn a_server_that_does_not_say_is_kept() {
    check(
        r#"
        C> Query "set statement_timeout = 1"
        >a1 Query "set statement_timeout = 1"
        a1< CommandComplete SET | ReadyForQuery I
        <C CommandComplete SET | ReadyForQuery I
        >a1 Query ~'statement_timeout'
        a1< Error 57014 "canceling statement due to statement timeout" | ReadyForQuery I
        activity C Pinned none
        C> Query "select 1"
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "set lock_timeout = 2"
        >a1 Query "set lock_timeout = 2"
        a1< CommandComplete SET | ReadyForQuery I
        <C CommandComplete SET | ReadyForQuery I
        >a1 Query ~ARRAY['lock_timeout','statement_timeout']
        a1< DataRow v lock_timeout 2ms | DataRow v statement_timeout 1ms
        a1< DataRow d lock_timeout 2 0 t | DataRow d statement_timeout 1 0 t | ReadyForQuery I
        pool a idle=1
        D> Query "select d"
        >a1 Query "RESET statement_timeout;RESET \"lock_timeout\";"
        a1< CommandComplete RESET | CommandComplete RESET | ReadyForQuery I
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

/// The login may not set what a role has set.
#[test]
fn a_setting_that_cannot_be_given_back_keeps_its_client() {
    check(
        r#"
        C> Query "set log_statement = 'all'"
        >a1 Query "set log_statement = 'all'"
        a1< CommandComplete SET | ReadyForQuery I
        <C CommandComplete SET | ReadyForQuery I
        >a1 Query ~'log_statement'
        a1< DataRow v log_statement all | DataRow d log_statement all none f | ReadyForQuery I
        activity C Pinned none
        C> Query "reset log_statement"
        >a1 Query "reset log_statement"
        a1< CommandComplete RESET | ReadyForQuery I
        <C CommandComplete RESET | ReadyForQuery I
        >a1 Query ~'log_statement'
        a1< DataRow v log_statement none | DataRow d log_statement none none f | ReadyForQuery I
        pool a idle=1
        "#,
    );
}

fn policy(handling: Opaque) -> impl Fn(&mut Setup) {
    move |setup| {
        let names = FunctionNames::parse(["app.Prepare_Session"]).unwrap();
        setup.settings.opaque = Some(Arc::new(OpaquePolicy { handling, names }));
    }
}

#[test]
fn what_no_text_shows_is_a_matter_of_policy() {
    // Trusted, but the functions with a name are asked about, and cleaned up behind.
    check_with(
        policy(Opaque::Trust),
        r#"
        C> Query "call p()"
        >a1 Query "call p()"
        a1< CommandComplete CALL | ReadyForQuery I
        <C CommandComplete CALL | ReadyForQuery I
        >a1 Query ~pg_settings
        a1< CommandComplete "SELECT 0" | ReadyForQuery I
        pool a idle=1
        C> Query "select prepare_session()"
        >a1 Query "select prepare_session()"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        >a1 Query ~pg_settings
        a1< DataRow d work_mem 1 2 t | ReadyForQuery I
        >a1 Query "DISCARD ALL"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        C> Query "select 1"
        >a1 Query "SELECT pg_catalog.set_config('work_mem','1',false)"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
    for text in ["call p()", "do 'x'", "select app.prepare_session()", "frobnicate"] {
        check_with(
            policy(Opaque::Pin),
            &format!(
                r#"
                C> Query "{text}"
                >a1 Query "{text}"
                a1< CommandComplete DONE | ReadyForQuery I
                <C CommandComplete DONE | ReadyForQuery I
                activity C Pinned none
                C> Query "discard all"
                >a1 Query "discard all"
                a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
                <C CommandComplete "DISCARD ALL" | ReadyForQuery I
                pool a idle=1
                "#
            ),
        );
    }
}

/// What many settings cost does not grow with them: who keeps its server for one is asked about that and what its text
/// names, not about every name that it has made up before.
#[test]
fn settings_of_ones_own_are_asked_about_by_those_who_name_them() {
    check(
        r#"
        C> Query "set app.a = 'x'"
        >a1 Query "set app.a = 'x'"
        a1< CommandComplete SET | ReadyForQuery I
        <C CommandComplete SET | ReadyForQuery I
        >a1 Query ~'app.a'
        a1< DataRow v app.a x | ReadyForQuery I
        C> Query "set log_statement = 'all'"
        >a1 Query "set log_statement = 'all'"
        a1< CommandComplete SET | ReadyForQuery I
        <C CommandComplete SET | ReadyForQuery I
        >a1 Query ~ARRAY['log_statement']
        a1< DataRow v log_statement all | DataRow d log_statement all none f | ReadyForQuery I
        activity C Pinned none
        C> Query "set app.b = 'y'"
        >a1 Query "set app.b = 'y'"
        a1< CommandComplete SET | ReadyForQuery I
        <C CommandComplete SET | ReadyForQuery I
        >a1 Query ~ARRAY['app.b','log_statement','session_authorization','role']
        a1< DataRow v app.b y | DataRow v log_statement all | DataRow d log_statement all none f | ReadyForQuery I
        # Undone, and what only a function knows.
        C> Query "begin; set app.a = 'z'; rollback"
        >a1 Query "begin; set app.a = 'z'; rollback"
        a1< CommandComplete ROLLBACK | ReadyForQuery I
        <C CommandComplete ROLLBACK | ReadyForQuery I
        >a1 Query ~ARRAY['app.a','log_statement','session_authorization','role']
        a1< DataRow v app.a x | DataRow v log_statement all | DataRow d log_statement all none f | ReadyForQuery I
        C> Query "call p()"
        >a1 Query "call p()"
        a1< CommandComplete CALL | ReadyForQuery I
        <C CommandComplete CALL | ReadyForQuery I
        >a1 Query ~ARRAY['app.a','app.b','session_authorization','role']
        a1< DataRow v app.a w | DataRow v app.b y | DataRow v role none | ReadyForQuery I
        pool a idle=1
        # All of that goes with the client.
        D> Query "select d"
        >a1 Query "RESET \"app\".\"a\";RESET \"app\".\"b\";"
        a1< CommandComplete RESET | CommandComplete RESET | ReadyForQuery I
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "select 1"
        >a1 Query "SELECT pg_catalog.set_config('app.a','w',false),pg_catalog.set_config('app.b','y',false)"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

/// The client's start, not the server's, also where the server stays.
#[test]
fn a_reset_leads_to_the_clients_start_on_a_server_that_is_kept() {
    check_with(
        |setup| {
            setup.settings.mode = PoolMode::Session;
            setup.settings.idle_transaction_timeout = Some(Duration::from_secs(9));
        },
        r#"
        client C application_name=app
        C> Query "select 1"
        >a1 Query "SET application_name TO 'app';"
        a1< CommandComplete SET | ParameterStatus application_name app | ReadyForQuery I
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "reset application_name"
        >a1 Query "reset application_name"
        a1< CommandComplete RESET | ParameterStatus application_name "" | ReadyForQuery I
        <C CommandComplete RESET | ReadyForQuery I
        >a1 Query "SET application_name TO 'app';"
        C> Query "select 2"
        >a1 nothing
        a1< CommandComplete SET | ParameterStatus application_name app | ReadyForQuery I
        >a1 Query "select 2"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

/// A function has taken a lock for the session, and a trigger has changed a setting.
#[test]
fn what_no_text_shows_is_found_in_samples() {
    check_with(
        |setup| setup.settings.sample = std::num::NonZeroU32::new(2),
        r#"
        C> Query "select work()"
        >a1 Query "select work()"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        pool a idle=1
        C> Query "select work()"
        >a1 Query "select work()"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        >a1 Query ~pg_locks
        a1< DataRow k | DataRow d work_mem 1 2 t | ReadyForQuery I
        >a1 Query "DISCARD ALL"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        pool a idle=1
        C> Query "select 3"
        >a1 Query "select 3"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "select 4"
        >a1 Query "select 4"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        >a1 Query ~pg_locks
        a1< CommandComplete "SELECT 0" | ReadyForQuery I
        pool a idle=1
        "#,
    );
}

#[test]
fn the_mode_is_the_users_or_the_listeners() {
    for (own, listener, stays) in [
        (None, None, false),
        (None, Some(PoolMode::Session), true),
        (Some(PoolMode::Transaction), Some(PoolMode::Session), false),
        (Some(PoolMode::Session), None, true),
    ] {
        let leased = if stays { "leased=1" } else { "leased=0" };
        check_with(
            |setup| (setup.settings.own_mode, setup.listener_mode) = (own, listener),
            &format!(
                r#"
                C> Query "select 1"
                >a1 Query "select 1"
                a1< CommandComplete "SELECT 1" | ReadyForQuery I
                <C CommandComplete "SELECT 1" | ReadyForQuery I
                pool a {leased}
                "#
            ),
        );
    }
}

/// One pool, and clients of a listener in session mode beside others: what those keep a server for is what they have drawn
/// themselves, at any time, and nobody else's.
#[test]
fn a_session_knows_what_it_has_drawn() {
    check_with(
        |setup| setup.settings.limits.size = 1,
        r#"
        C> Query "select nextval('s')"
        >a1 Query "select nextval('s')"
        a1< RowDescription n | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        <C RowDescription n | DataRow 1 | CommandComplete "SELECT 1" | ReadyForQuery I
        # Nobody has ever asked. The server is to be this client's for long.
        session S
        S> Query "select nextval('t')"
        >a1 Query "DISCARD SEQUENCES"
        a1< CommandComplete "DISCARD SEQUENCES" | ReadyForQuery I
        >a1 Query "select nextval('t')"
        a1< RowDescription n | DataRow 7 | CommandComplete "SELECT 1" | ReadyForQuery I
        <S RowDescription n | DataRow 7 | CommandComplete "SELECT 1" | ReadyForQuery I
        S> Query "select currval('t'), lastval()"
        >a1 Query "select currval('t'), lastval()"
        a1< RowDescription n m | DataRow 7 7 | CommandComplete "SELECT 1" | ReadyForQuery I
        <S RowDescription n m | DataRow 7 7 | CommandComplete "SELECT 1" | ReadyForQuery I
        S> Terminate
        # What it has drawn goes with it.
        >a1 Query "DISCARD ALL"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        <S end
        C> Query "select lastval()"
        >a1 Query "select lastval()"
        a1< Error 55000 "lastval is not yet defined in this session" | ReadyForQuery I
        <C Error 55000 "lastval is not yet defined in this session" | ReadyForQuery I
        # A session on a server that has forgotten everything has nothing to forget.
        C> Query "discard all"
        >a1 Query "discard all"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        <C CommandComplete "DISCARD ALL" | ReadyForQuery I
        C> Terminate
        <C end
        "#,
    );
}
