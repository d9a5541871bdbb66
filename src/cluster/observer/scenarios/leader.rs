//! Who leads: failovers, switchovers, suspicions.

use super::{check, check_from_nothing};
use crate::cluster::policy::Authority;

/// Each connection that breaks raises a suspicion. That there is one is told once; it counts anew each time.
#[test]
fn one_suspicion_is_news() {
    check(
        "
        200  suspect n1 a connection in use broke
        = held n1 Suspected
        = news writes
        201  suspect n1 an idle connection broke
        = held n1 Suspected
        = news -
        202  probe n1 201 refused
        = held n1 Silent
        = news writes
        300  probe n1 290 w 1 1000
        = open n1 1 1
        400  suspect n1 an idle connection broke
        = news writes
        ",
    );
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
        = standing n2 Lost
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
fn a_released_key_and_a_successor_before_the_store_names_it() {
    check(
        "
        200 store -
        = held n1 KeyAbsent
        # the right given by the lease is not over, but it was given up
        300 probe n2 299 w 2 1000
        = vacant NobodyNamed
        = deposed n1 Outranked
        = right 0 None
        310 store n2@9 20310
        = vacant NotWritable
        315 probe n2 312 w 2 1000
        = open n2 2 2
        ",
    );
}
