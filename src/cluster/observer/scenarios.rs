//! What happens to clusters, as scripts (see [`super::script`]).

use super::script::{Script, hosts};
use crate::cluster::policy::Authority;

/// A healthy cluster with n1 as leader, n2 and n3 reading, at 110 ms.
const HEALTHY: &str = "
    0   store n1@5 20000
    = vacant NotWritable
    10  probe n1 5 w 1 1000
    = open n1 1 1
    = right 20000 Lease
    100 probe n2 95 r 1 1000
    110 probe n3 95 r 1 1000
    = reads n2 n3
    = deposed -
";

fn check(script: &str) {
    let mut run = Script::new(Authority::Store);
    run.run(HEALTHY);
    run.run(script);
}

fn check_from_nothing(authority: Authority, script: &str) {
    Script::new(authority).run(script);
}

#[test]
fn a_crash_and_the_failover() {
    check(
        "
        200   suspect n1
        = held n1 Suspected
        = right 20000 Lease
        201   probe n1 201 refused
        = held n1 Silent
        = reads n2 n3
        = deposed -
        300   probe n2 299 r 1 1000 gone
        = reads n2 n3
        9000  probe n2 8999 r 1 1000 gone
        9000  probe n3 8999 r 1 1000 gone
        # the lease runs out, then the keys go, then another takes over
        20001 tick
        = held n1 Silent
        = right 0 None
        20100 list n2 n3
        20100 store -
        = held n1 KeyAbsent
        = deposed -
        20200 store n2@9
        = vacant NotWritable
        = deposed n1 Replaced
        = standing n1 Deposed
        20210 probe n2 20205 r 1 1000 gone
        = vacant NotWritable
        20220 probe n2 20216 w 2 1100
        = held n2 NoRight
        20221 store n2@9 40221
        = open n2 2 2
        = right 40221 Lease
        = reads -
        # n3 follows
        20500 probe n3 20499 r 1 1000
        = reads -
        21000 probe n3 20999 r 2 1100
        = reads n3
        # n1 comes back as a replica
        30000 list n1 n2 n3
        30000 store n2@9 50000
        = standing n1 Deposed
        30001 probe n1 30000 r 2 1100
        = standing n1 Following
        = deposed -
        ",
    );
}

#[test]
fn a_switchover() {
    check(
        "
        500   probe n1 499 starting
        = held n1 Silent
        = reads n2 n3
        1000  store -
        = held n1 KeyAbsent
        1100  store n3@8 21100
        = vacant NotWritable
        = deposed n1 Replaced
        = reads n2
        1105  probe n3 1101 r 1 1000 gone
        1110  probe n3 1106 w 2 1200
        = open n3 2 2
        = right 21100 Lease
        1600  probe n1 1599 r 2 1200
        = deposed -
        = standing n1 Following
        = reads n1
        ",
    );
}

#[test]
fn one_crashed_backend_is_a_suspicion_for_milliseconds() {
    check(
        "
        200 suspect n1
        = held n1 Suspected
        # asked before the suspicion: proves nothing
        201 probe n1 199 w 1 1000
        = held n1 Suspected
        202 probe n1 201 w 1 1000
        = open n1 1 1
        = deposed -
        # a replica's broken connection takes nobody out
        300 suspect n2
        = open n1 1 1
        = reads n2 n3
        ",
    );
}

#[test]
fn a_late_probe_is_a_suspicion() {
    check(
        "
        1500 probe n1 500 timeout
        = held n1 Silent
        = right 20000 Lease
        1600 probe n1 1501 w 1 1000
        = open n1 1 1
        ",
    );
}

#[test]
fn the_leader_key_vanishes_and_comes_back() {
    check(
        "
        200 store -
        = held n1 KeyAbsent
        = right 20000 Lease
        300 store n1@12 20300
        = held n1 Renamed
        = right 20300 Lease
        # asked before the new election: does not count
        301 probe n1 299 w 1 1000
        = held n1 Renamed
        305 probe n1 302 w 1 1000
        = open n1 1 1
        ",
    );
}

#[test]
fn the_same_member_is_promoted_again() {
    check(
        "
        200 probe n1 199 refused
        = held n1 Silent
        300 probe n1 299 w 2 1100
        = open n1 2 2
        = deposed -
        ",
    );
}

#[test]
fn the_same_member_restarts_on_its_timeline() {
    check(
        "
        200 suspect n1
        201 probe n1 201 refused
        210 probe n1 209 starting
        = held n1 Silent
        = reads n2 n3
        400 probe n1 399 w 1 1000
        = open n1 1 1
        ",
    );
}

#[test]
fn a_leader_in_recovery_is_deposed_at_once() {
    check(
        "
        200 probe n1 199 r 1 1000 gone
        = vacant NotWritable
        = deposed n1 InRecovery
        = standing n1 Deposed
        # it still holds the key and comes back
        300 probe n1 299 w 2 1000
        = open n1 2 2
        = deposed -
        ",
    );
}

#[test]
fn answers_to_old_questions_change_nothing() {
    check(
        "
        # newest first, then what was asked before it
        500 probe n1 499 w 1 1200
        501 probe n1 300 r 1 1000
        = open n1 1 1
        # a store reading from before the newest one
        502 stale 90 n2@3
        = open n1 1 1
        # an answer asked for before the naming does not open the gate
        600 store n2@9 20600
        601 probe n2 599 w 2 1300
        = vacant NotWritable
        602 probe n2 600 w 2 1300
        = open n2 2 2
        ",
    );
}

#[test]
fn the_right_to_write_never_moves_back_under_one_leader() {
    check(
        "
        200 store n1@5 19000
        = right 20000 Lease
        300 store n1@5 20300
        = right 20300 Lease
        400 store n1@5
        = right 20300 Lease
        19000 probe n1 18999 w 1 1000
        # answering, but not renewed: the leader is cut off from the store
        20300 tick
        = held n1 NoRight
        = right 0 None
        20301 probe n1 20300 w 1 1000
        = held n1 NoRight
        20400 store n1@5 40400
        = open n1 1 1
        ",
    );
}

#[test]
fn a_lost_store_and_everybody_in_sight() {
    check(
        "
        5000  lost
        19000 probe n1 18990 w 1 1000
        19000 probe n2 18995 r 1 1000
        19000 probe n3 18980 r 1 1000
        = open n1 1 1
        # the oldest of the answers plus 1750 ms
        = right 20730 Probes
        20500 probe n1 20490 w 1 1000
        20500 probe n2 20490 r 1 1000
        20500 probe n3 20490 r 1 1000
        = right 22240 Probes
        21000 tick
        = open n1 1 1
        # one that cannot be asked any more may lead
        21500 probe n3 20500 timeout
        22200 probe n1 22190 w 1 1000
        22200 probe n2 22190 r 1 1000
        = right 22240 Probes
        22240 tick
        = held n1 NoRight
        = right 0 None
        = deposed -
        # it answers again
        22300 probe n3 22299 r 1 1000
        = open n1 1 1
        = right 23940 Probes
        ",
    );
}

#[test]
fn a_lost_store_and_a_contradiction() {
    check(
        "
        5000  lost
        19900 probe n1 19890 w 1 1000
        19900 probe n2 19890 r 1 1000
        19900 probe n3 19890 r 1 1000
        = right 21640 Probes
        # a second one takes writes while the lease is valid: held, and no extension
        19950 probe n2 19945 w 2 1000
        = held n1 Contradicted
        = right 20000 Lease
        = deposed -
        20000 tick
        = vacant NotWritable
        = deposed n1 Outranked
        # nobody but the store can name n2
        20010 probe n2 20005 w 2 1000
        = vacant NotWritable
        20020 probe n1 20015 w 1 1000
        = vacant NotWritable
        20100 store n2@9 40000
        = vacant NotWritable
        20110 probe n2 20105 w 2 1000
        = open n2 2 2
        ",
    );
}

#[test]
fn a_lost_store_and_a_member_never_seen() {
    check_from_nothing(
        Authority::Store,
        "
        0    store n1@5 1000
        10   probe n1 5 w 1 1000
        10   probe n2 5 r 1 1000
        = open n1 1 1
        500  lost
        1000 tick
        = held n1 NoRight
        # a replica on another timeline is no witness either
        1100 probe n3 1090 r 2 1000
        1100 probe n1 1090 w 1 1000
        1100 probe n2 1090 r 1 1000
        = held n1 NoRight
        1200 probe n3 1190 r 1 1000
        = open n1 1 1
        ",
    );
}

#[test]
fn the_key_was_gone_when_the_store_was_lost() {
    check(
        "
        200  store -
        300  lost
        = held n1 KeyAbsent
        19990 probe n1 19989 w 1 1000
        19990 probe n2 19989 r 1 1000
        19990 probe n3 19989 r 1 1000
        20000 tick
        = held n1 KeyAbsent
        = right 0 None
        ",
    );
}

#[test]
fn nothing_known_and_nothing_found() {
    check_from_nothing(
        Authority::Store,
        "
        0 tick
        = vacant StoreNeverAnswered
        1 lost
        = vacant StoreNeverAnswered
        2 nothing
        = vacant NothingUnderScope
        3 store -
        = vacant NobodyNamed
        4 store n1@5 20000
        = vacant NotWritable
        5 probe n1 4 auth
        = vacant NotWritable
        = reads -
        6 probe n1 5 w 1 1000
        = open n1 1 1
        7 nothing
        = held n1 KeyAbsent
        ",
    );
}

#[test]
fn another_cluster_at_a_members_address() {
    check(
        "
        200 probe n2 199 r 1 1000 sys=8
        = standing n2 Unusable
        = reads n3
        300 probe n1 299 w 1 1000 sys=8
        = vacant NotWritable
        = deposed n1 WrongSystem
        400 probe n1 399 w 1 1000
        = open n1 1 2
        ",
    );
}

#[test]
fn a_member_moves() {
    check(
        "
        200 list n1:@m1 n2:@m2 n3
        200 store n1@5 20200
        = vacant NotWritable
        = deposed -
        = reads n3
        # the old server answers: not this member any more
        201 probe n1 200 w 1 1000
        201 probe n2 200 r 1 1000
        = vacant NotWritable
        202 probe n1:m1 201 w 1 1000
        202 probe n2:m2 201 r 1 1000
        = open n1 1 2
        = reads n2
        ",
    );
}

#[test]
fn who_may_not_serve_reads() {
    check(
        "
        200 list n1 n2:!lb n3:starting
        200 store n1@5 20200
        = reads -
        300 list n1 n2 n3
        300 store n1@5 20300
        = reads n2 n3
        # off the timeline; no timeline; no position; not streaming while behind
        500 probe n2 499 r 2 1000
        = reads n3
        501 probe n2 500 r ? 1000
        502 probe n3 500 r 1 ?
        = reads n3
        510 probe n1 509 w 1 1500
        520 probe n2 519 r 1 1500 idle
        = reads n2 n3
        530 probe n2 529 r 1 1400 idle
        = reads n3
        # the member the store names leaves at once
        600 store n3@9
        = reads -
        ",
    );
}

#[test]
fn a_lost_wal_receiver_is_the_replicas_fault_only_if_the_leader_lives() {
    check(
        "
        200 probe n2 199 r 1 1000 gone
        = reads n2 n3
        300 probe n1 299 w 1 1000
        = reads n3
        400 probe n2 399 r 1 1000 gone
        = reads n3
        500 probe n2 499 r 1 1000
        = reads n2 n3
        ",
    );
}

#[test]
fn lag_with_hysteresis() {
    check(
        "
        # bytes: out beyond 1000, back after two answers within 500
        500  probe n1 490 w 1 3000
        510  probe n2 500 r 1 2000
        = reads n2 n3
        520  probe n2 510 r 1 1999
        = reads n3
        530  probe n2 520 r 1 2400
        540  probe n2 530 r 1 2600
        550  probe n2 540 r 1 2400
        560  probe n2 550 r 1 2600
        = reads n3
        570  probe n2 560 r 1 2600
        = reads n2 n3
        # time: a few bytes, but for longer than a second
        1000 probe n1 995 w 1 3100
        1400 probe n2 1390 r 1 3000
        1400 probe n3 1390 r 1 3100
        = reads n2 n3
        1990 probe n1 1985 w 1 3200
        1996 probe n2 1992 r 1 3000
        1996 probe n3 1992 r 1 3100
        = reads n3
        ",
    );
}

#[test]
fn an_idle_leader_makes_nobody_lag() {
    check(
        "
        5000 probe n1 4995 w 1 1000
        5000 probe n2 4995 r 1 1000
        5000 probe n3 4995 r 1 999
        = reads n2
        9000 probe n1 8995 w 1 1000
        9000 probe n2 8995 r 1 1000
        9000 probe n3 8995 r 1 1000
        = reads n2
        9500 probe n3 9495 r 1 1000
        = reads n2 n3
        ",
    );
}

#[test]
fn an_answer_that_is_too_old_serves_nobody() {
    check(
        "
        1700 probe n1 1699 w 1 1000
        1845 tick
        = reads -
        = open n1 1 1
        3449 tick
        = held n1 Silent
        ",
    );
}

#[test]
fn reads_go_on_for_a_while_without_a_leader() {
    check(
        "
        # n3 lags out before the leader is lost, so it is not among those that go on
        200  probe n1 199 w 1 5000
        210  probe n2 209 r 1 5000
        210  probe n3 209 r 1 1000
        = reads n2
        300  probe n1 299 refused
        = reads n2
        400  probe n3 399 r 1 5000 gone
        400  probe n2 399 r 1 5000 gone
        = reads n2
        10200 probe n2 10199 r 1 5000 gone
        = reads n2
        10300 tick
        = reads -
        ",
    );
}

#[test]
fn a_cascading_replica_follows_later() {
    check(
        "
        200 store n2@9 20200
        210 probe n2 205 w 2 1100
        = open n2 2 2
        300 probe n1 299 r 2 1100
        310 probe n3 309 r 1 1000
        = reads n1
        # n3 streams from n1, which has switched
        800 probe n3 799 r 2 1100
        = reads n1 n3
        ",
    );
}

#[test]
fn hosts_elect_by_majority() {
    check_from_nothing(
        hosts(&["n1", "n2", "n3"]),
        "
        0   probe n1 0 w 3 1000
        = vacant NobodyNamed
        5   probe n2 1 r 3 1000
        = open n1 3 1
        = right 1750 Probes
        500 probe n1 499 w 3 1000
        510 probe n2 505 r 3 1000
        520 probe n3 509 refused
        = right 2249 Probes
        = reads n2
        # the majority is gone: held until the right runs out, nobody is deposed
        1000 probe n2 990 refused
        = open n1 3 1
        1500 probe n1 1499 w 3 1000
        2255 tick
        = held n1 Undecided
        = right 0 None
        = deposed -
        2300 probe n2 2299 r 3 1000
        = open n1 3 1
        ",
    );
}

#[test]
fn hosts_fail_over_to_the_highest_timeline() {
    check_from_nothing(
        hosts(&["n1", "n2", "n3"]),
        "
        0    probe n1 0 w 3 1000
        5    probe n2 1 r 3 1000
        5    probe n3 1 r 3 1000
        = open n1 3 1
        10   probe n2 6 r 3 1000
        1000 probe n1 999 refused
        1000 probe n2 999 r 3 1000 gone
        1000 probe n3 999 r 3 1000 gone
        = held n1 Undecided
        = reads n2 n3
        1500 probe n2 1499 w 4 1000
        = open n2 4 2
        = deposed n1 Replaced
        # the old one comes back and claims its lower timeline: two claimants are refused
        2000 probe n1 1999 w 3 1000
        = held n2 Undecided
        = right 0 None
        2500 probe n1 2499 r 4 1000
        2500 probe n2 2499 w 4 1000
        2500 probe n3 2499 r 4 1000
        = open n2 4 2
        = deposed -
        ",
    );
}

#[test]
fn hosts_two_claimants_and_one_that_is_behind() {
    check_from_nothing(
        hosts(&["n1", "n2", "n3"]),
        "
        0  probe n1 0 w 3 1000
        1  probe n2 0 w 3 1000
        = vacant NobodyNamed
        2  probe n2 1 refused
        3  probe n3 1 r 4 1000
        # somebody promoted to timeline 4 that we cannot see
        = vacant NobodyNamed
        4  probe n2 3 w 4 1000
        = vacant NobodyNamed
        5  probe n1 4 refused
        = open n2 4 1
        # another claimant of a timeline that is not higher is no successor
        6  probe n2 5 timeout
        7  probe n1 6 w 4 1000
        = held n2 Undecided
        = deposed -
        ",
    );
}

#[test]
fn hosts_of_another_cluster_do_not_count() {
    check_from_nothing(
        hosts(&["n1", "n2", "n3"]),
        "
        0  probe n1 0 w 9 1000 sys=8
        1  probe n2 0 w 3 1000
        2  probe n3 0 r 3 1000
        = open n2 3 1
        = standing n1 Unusable
        # n3 answered before there was a leader to compare it with
        = reads -
        4  probe n3 3 r 3 1000
        = reads n3
        ",
    );
}
