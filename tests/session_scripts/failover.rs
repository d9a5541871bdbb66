//! The cluster changes while sessions are under way.

use std::time::Duration;

use pgsteer::{
    pool::account::{CommitFate, PoolMode},
    session::routes::Purpose,
};

use crate::{
    play::{check, check_whole, check_with},
    world::Setup,
};

#[test]
fn a_deposed_leader_cuts_off_what_is_under_way_with_the_truth() {
    for (before, running, code) in [
        ("", "insert", "08007"),
        ("", "begin", "57P01"),
        ("begin", "insert", "57P01"),
        ("begin", "commit", "08007"),
        ("begin", "", "57P01"),
        ("begin", "call p()", "08007"),
    ] {
        let mut script = String::new();
        if !before.is_empty() {
            script += &format!(
                "C> Query \"{before}\"\n>a1 Query \"{before}\"\na1< CommandComplete X | ReadyForQuery T
                <C CommandComplete X | ReadyForQuery T\n"
            );
        }
        if !running.is_empty() {
            script += &format!("C> Query \"{running}\"\n>a1 Query \"{running}\"\n");
        }
        check(&format!(
            r#"
            {script}
            route write=b deposed=a
            <C Fatal {code} _ | end
            >a1 end
            pool a idle=0 leased=0
            "#
        ));
    }
}

#[test]
fn no_answer_of_a_deposed_leader_is_passed_on() {
    check_whole(
        |_| {},
        r#"
        C> Query "select 1"
        >a1 Query "select 1"
        a1< RowDescription n
        <C RowDescription n
        route write=b deposed=a
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C Fatal 08007 _ | end
        >a1 end
        "#,
    );
}

#[test]
fn idle_clients_survive_and_find_the_new_leader() {
    check(
        r#"
        C> Query "select 1"
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        route write=none deposed=a
        >a1 end
        <C nothing
        C> Query "select 2"
        wait 1s
        <C nothing
        route write=b deposed=a
        >b1 Query "select 2"
        b1< CommandComplete "SELECT 2" | ReadyForQuery I
        <C CommandComplete "SELECT 2" | ReadyForQuery I
        "#,
    );
}

#[test]
fn who_only_waits_goes_on_waiting_and_runs_on_the_new_leader() {
    check(
        r#"
        C> Query "begin"
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        D> Query "select d"
        pool a waiting=1
        route write=none deposed=a
        <C Fatal 57P01 _ | end
        >a1 end
        pool a waiting=0
        route write=b deposed=a
        >b1 Query "select d"
        b1< CommandComplete "SELECT 2" | ReadyForQuery I
        <D CommandComplete "SELECT 2" | ReadyForQuery I
        "#,
    );
}

#[test]
fn doubt_holds_new_requests_and_lets_go_on_what_is_under_way() {
    check(
        r#"
        C> Query "begin"
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        route write=held
        D> Query "select d"
        C> Query "commit"
        >a1 Query commit
        a1< CommandComplete COMMIT | ReadyForQuery I
        <C CommandComplete COMMIT | ReadyForQuery I
        >a1 nothing
        route write=a
        >a1 Query "select d"
        a1< CommandComplete "SELECT 2" | ReadyForQuery I
        <D CommandComplete "SELECT 2" | ReadyForQuery I
        "#,
    );
}

#[test]
fn no_leader_for_too_long_is_an_error() {
    check(
        r#"
        route write=none
        C> Query "select 1"
        wait 59s
        <C Notice 01000 _ | nothing
        wait 2s
        <C Error 57P03 _ | ReadyForQuery I
        "#,
    );
}

#[test]
fn without_the_right_to_write_bytes_wait_and_then_go_on() {
    check(
        r#"
        C> Query "begin"
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        fence close
        C> Query "insert"
        D> Query "select d"
        wait 100ms
        >a1 nothing
        fence open
        wait 10ms
        >a1 Query insert
        <C nothing
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery T
        <C CommandComplete "INSERT 0 1" | ReadyForQuery T
        wait 5s
        C> Query "commit"
        >a1 Query commit
        a1< CommandComplete COMMIT | ReadyForQuery I
        <C CommandComplete COMMIT | ReadyForQuery I
        <D Notice 01000 _
        >a1 Query "select d"
        a1< CommandComplete "SELECT 2" | ReadyForQuery I
        <D CommandComplete "SELECT 2" | ReadyForQuery I
        "#,
    );
    check(
        r#"
        C> Query "begin"
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        fence close
        C> Query "insert"
        wait 61s
        >a1 end
        <C Fatal 57P01 _ | end
        "#,
    );
}

/// Between the moment when another term is in force and the one when the leases of the term before are revoked, another thread may
/// send: the fence goes by terms.
#[test]
fn a_term_that_is_over_sends_nothing_before_its_leases_are_revoked() {
    check(
        r#"
        C> Query "begin"
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        fence next
        C> Query "insert"
        wait 100ms
        >a1 nothing
        route write=b deposed=a
        >a1 end
        <C Fatal 57P01 "~was not committed" | end
        "#,
    );
}

/// Nothing of it was sent, so it is nobody's guess what has become of it.
#[test]
fn what_the_fence_has_held_back_was_not_committed() {
    // No transaction is open: it runs on the new leader.
    check(
        r#"
        C> Query "select 1"
        >a1 Query "select 1"
        fence close
        C> Query "insert 2"
        wait 100ms
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        pool a leased=0
        route write=b deposed=a
        >a1 end
        wait 10ms
        >b1 Query "insert 2"
        b1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        "#,
    );
    // One is open.
    for request in
        [r#"Query "insert 2""#, "Query commit", r#"Parse "" commit | Bind "" "" | Execute "" | Sync"#]
    {
        check(&format!(
            r#"
            C> Query begin
            >a1 Query begin
            a1< CommandComplete BEGIN | ReadyForQuery T
            <C CommandComplete BEGIN | ReadyForQuery T
            fence close
            C> {request}
            wait 100ms
            >a1 nothing
            route write=b deposed=a
            <C Fatal 57P01 ~committed | end
            >a1 end
            "#
        ));
    }
    // The client's session is lost with its server, but no work is.
    check_with(
        |setup| setup.settings.mode = PoolMode::Session,
        r#"
        C> Query "select 1"
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        fence close
        C> Query "insert 2"
        wait 100ms
        route write=b deposed=a
        <C Fatal 57P01 _ | end
        >a1 end
        "#,
    );
}

#[test]
fn reads_go_round_and_fall_back_as_told() {
    let reading = |setup: &mut Setup| {
        setup.purpose = Purpose::Read;
    };
    check_with(
        reading,
        r#"
        route write=a read=b,c
        C> Query "select 1"
        >b1 Query "select 1"
        b1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "select 2"
        >c1 Query "select 2"
        c1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        # Promotion keeps the connection of what was a replica, and revokes nothing.
        C> Query "select 3"
        >b1 Query "select 3"
        route write=b read=c deposed=a
        b1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        route write=b deposed=a
        C> Query "select 4"
        wait 900ms
        <C nothing
        wait 200ms
        <C Error 57P03 _ | ReadyForQuery I
        # While they have yet to follow a new leader, it waits as a write would; then the usual time, as what is left.
        route write=b deposed=a fallback=regroup
        C> Query "select 5"
        wait 20s
        <C Notice 01000 _ | nothing
        route write=b deposed=a
        wait 900ms
        <C nothing
        wait 200ms
        <C Error 57P03 _ | ReadyForQuery I
        route write=b deposed=a fallback=regroup
        C> Query "select 6"
        wait 59s
        <C Notice 01000 _ | nothing
        wait 2s
        <C Error 57P03 _ | ReadyForQuery I
        route write=b deposed=a fallback=error
        C> Query "select 7"
        <C Error 57P03 _ | ReadyForQuery I
        route write=b deposed=a fallback=leader
        C> Query "select 6"
        login b2 "user=user database=db default_transaction_read_only=on"
        >b2 Query "select 6"
        b2< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "set default_transaction_read_only to off"
        <C Fatal 0A000 _ | end
        "#,
    );
}

#[test]
fn nothing_is_opened_on_a_deposed_member() {
    check_with(
        |setup| {
            setup.settings.limits.min_size = 1;
            setup.settings.limits.size = 2;
        },
        r#"
        route write=a
        C> Query "select 1"
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        # A client has left state behind, which is being cleaned when the news comes.
        C> Query frobnicate
        >a1 Query frobnicate
        a1< CommandComplete DONE | ReadyForQuery I
        <C CommandComplete DONE | ReadyForQuery I
        >a1 Query ~pg_listening_channels
        a1< CommandComplete "SELECT 0" | ReadyForQuery I
        >a1 Query "DISCARD ALL"
        route write=none deposed=a
        >a1 end
        wait 5s
        pool a idle=0 opening=0 leased=0 recovering=0
        "#,
    );
}

/// It was asked after it was known to lead: whoever waits goes on waiting, for what the cluster makes of that.
#[test]
fn a_server_that_says_it_is_in_recovery_gets_no_writer() {
    check(
        r#"
        report in_hot_standby=on
        C> Query "insert"
        >a1 end
        <C nothing
        report in_hot_standby=off
        wait 50ms
        >a2 Query "insert"
        a2< CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        "#,
    );
}

/// One that idled says nothing of its promotion; one that was writable and is not says it at once.
#[test]
fn connections_to_a_replica_become_write_connections_and_not_the_other_way() {
    let reading = |setup: &mut Setup| {
        setup.purpose = Purpose::Read;
    };
    check_with(
        reading,
        r#"
        report in_hot_standby=on
        route write=a read=b
        C> Query "select 1"
        >b1 Query "select 1"
        b1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        # What is opened for a reader may be in recovery, whoever leads.
        route write=b read=c deposed=a
        C> Query "select 2"
        >c1 Query "select 2"
        c1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        pool b idle=1
        "#,
    );
    check_whole(
        |_| {},
        r#"
        report in_hot_standby=off
        C> Query "insert"
        >a1 Query "insert"
        a1< CommandComplete "INSERT 0 1" | ParameterStatus in_hot_standby on | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ParameterStatus in_hot_standby on | ReadyForQuery I
        >a1 Terminate
        >a1 end
        pool a idle=0 leased=0
        C> Query "insert"
        >a2 Query "insert"
        a2< CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        a2< ParameterStatus in_hot_standby on
        >a2 Terminate
        >a2 end
        pool a idle=0 leased=0
        "#,
    );
}

/// A replica commits nothing. Whether it was one all the time is known of blocks that it has said are open.
#[test]
fn what_is_lost_with_a_replica() {
    for (recovery, before, running, code, words) in [
        ("on", "", "select", "08007", "replica"),
        ("on", "begin", "select", "08006", "not committed"),
        ("on", "begin", "commit", "08006", "not committed"),
        ("off", "begin", "commit", "08007", "replica"),
        ("on", "begin", "commit\" | Query \"insert", "08007", "replica"),
    ] {
        let mut script = String::new();
        if !before.is_empty() {
            script += &format!(
                "C> Query \"{before}\"\n>b1 Query \"{before}\"\nb1< CommandComplete X | ReadyForQuery T
                <C CommandComplete X | ReadyForQuery T\n"
            );
        }
        check_with(
            |setup| setup.purpose = Purpose::Read,
            &format!(
                r#"
                report in_hot_standby={recovery}
                {script}
                C> Query "{running}"
                >b1 Query "{running}"
                b1< close
                <C Fatal {code} "~{words}" | end
                "#
            ),
        );
    }
}

/// A read that hangs on a replica which cannot be reached is given up with it; one that only lags goes on.
#[test]
fn reads_on_a_lost_replica_are_cut_off_and_on_a_lagging_one_go_on() {
    check_with(
        |setup| setup.purpose = Purpose::Read,
        r#"
        report in_hot_standby=on
        route write=a read=b,c
        C> Query "select 1"
        >b1 Query "select 1"
        # It lags: what runs there may end.
        route write=a read=c
        wait 100ms
        <C nothing
        b1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        pool b idle=1
        route write=a read=b,c
        C> Query "select 2"
        >c1 Query "select 2"
        # Another one is lost, which is nothing to it; then its own.
        route write=a read=c lost=b
        >b1 end
        <C nothing
        route write=a lost=b,c
        <C Fatal 08007 "~replica" | end
        >c1 end
        pool b idle=0
        "#,
    );
}

/// Whoever has stood still finds answers of a server that may have been deposed meanwhile.
#[test]
fn an_answer_waits_until_somebody_watches_again() {
    check(
        r#"
        C> Query "insert into t values (1)"
        >a1 Query "insert into t values (1)"
        fence unattended
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        wait 100ms
        <C nothing
        fence attended
        wait 10ms
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        pool a leased=0
        # In a transaction, while its client sends more.
        C> Query "begin"
        >a1 Query "begin"
        fence unattended
        a1< CommandComplete "BEGIN" | ReadyForQuery T
        wait 100ms
        C> Query "insert into t values (2)"
        >a1 Query "insert into t values (2)"
        <C nothing
        fence attended
        wait 10ms
        <C CommandComplete "BEGIN" | ReadyForQuery T
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery T
        <C CommandComplete "INSERT 0 1" | ReadyForQuery T
        "#,
    );
}

#[test]
fn an_answer_of_a_deposed_leader_is_not_passed_on() {
    check(
        r#"
        C> Query "insert into t values (1)"
        >a1 Query "insert into t values (1)"
        fence unattended
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        wait 100ms
        <C nothing
        route write=b deposed=a
        >a1 end
        <C Fatal 08007 _ | end
        "#,
    );
}

/// Nor is what it says to us: what a session holds, where a commit ends, what became of one.
#[test]
fn what_a_leader_says_to_us_waits_until_somebody_watches_again() {
    let inquisitive = |setup: &mut Setup| {
        setup.settings.commit_fate = CommitFate::AskedFor { within: Duration::from_secs(10) };
    };
    check_with(
        inquisitive,
        r#"
        C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Query commit
        >a1 Query "~pg_current_xact_id_if_assigned" | Query commit
        a1< RowDescription x lsn file | DataRow 727 0/10 00000001 | CommandComplete "SELECT 1" | ReadyForQuery T
        wait 10ms
        a1< close
        >a2 Query "~pg_xact_status"
        fence unattended
        a2< DataRow aborted | CommandComplete "SELECT 1" | ReadyForQuery I
        wait 100ms
        <C nothing
        # It had been deposed, and its successor has the commit.
        learn fork=1/0/10
        route write=b deposed=a
        fence attended
        wait 100ms
        >b1 Query "~pg_xact_status"
        b1< DataRow committed | CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete COMMIT | ReadyForQuery I
        >a2 end
        "#,
    );
}

/// Whoever keeps a replica's server keeps it when that is promoted. What is sent there from then on may write, and needs the
/// right to.
#[test]
fn a_replica_that_was_promoted_under_its_client_is_fenced() {
    let keeps_it = |setup: &mut Setup| {
        setup.purpose = Purpose::Read;
        setup.settings.mode = PoolMode::Session;
    };
    check_with(
        keeps_it,
        r#"
        C> Query "select 1"
        >b1 Query "select 1"
        b1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        route write=b
        C> Query "insert into t values (1)"
        >b1 Query "insert into t values (1)"
        b1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        fence closed
        C> Query "insert into t values (2)"
        wait 50ms
        >b1 nothing
        fence open
        wait 10ms
        >b1 Query "insert into t values (2)"
        b1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C CommandComplete "INSERT 0 1" | ReadyForQuery I
        # Without a leader in office there is no right either.
        route write=none
        C> Query "insert into t values (3)"
        wait 50ms
        >b1 nothing
        route write=c deposed=b
        >b1 end
        <C Fatal 57P01 _ | end
        "#,
    );
}
