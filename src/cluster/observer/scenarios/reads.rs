//! Who serves reads.

use super::check;

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

/// A leader that was restarted is found again within seconds: reads wait for that, and not for a replica that nothing feeds.
#[test]
fn a_lost_wal_receiver_is_looked_for_a_while() {
    check(
        "
        200 probe n2 199 r 1 1000 gone
        = obstacle n2 none
        300 probe n1 299 w 1 1000
        = obstacle n2 reconnecting
        20000 store n1@5 40000
        20010 probe n1 20005 w 1 1000
        20020 probe n2 20015 r 1 1000 gone
        = obstacle n2 reconnecting
        20250 probe n1 20240 w 1 1000
        20260 probe n2 20255 r 1 1000 gone
        = obstacle n2 not_streaming
        20300 probe n2 20299 r 1 1000
        = obstacle n2 none
        20400 probe n2 20399 r 1 1000 gone
        20410 probe n1 20405 w 1 1000
        = obstacle n2 reconnecting
        ",
    );
}

/// Without a WAL receiver a server tells the timeline of its last restartpoint, which may be long ago.
#[test]
fn a_replica_without_wal_receiver_is_not_said_to_be_where_it_was() {
    check(
        "
        200 store n2@9 20200
        210 probe n2 205 w 3 1100
        = open n2 3 2
        300 probe n3 299 r 1 1100 gone
        = obstacle n3 wrong_timeline
        = why n3 it has no WAL receiver, and whether it has come from timeline 1 to the leader's, 3, is not known
        400 probe n3 399 r 1 1100 idle
        = why n3 its timeline is 1, the leader's 3
        # Further than the leader it has come for sure.
        500 probe n3 499 r 4 1100 gone
        = why n3 its timeline is 4, the leader's 3
        600 probe n3 599 r 3 1100
        = reads n3
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
fn each_goes_by_bounds_of_its_own() {
    check(
        "
        # at 2000 of 3500: beyond the first bound, within the second and not up to date
        500  probe n1 490 w 1 3500
        510  probe n2 500 r 1 2000
        515  probe n3 505 r 1 3500
        = reads n3
        = within 1 n2 n3
        = within 2 n3
        # back in the first only after two good answers, as ever; in the second all the time
        520  probe n2 510 r 1 3400
        = reads n3
        = within 1 n2 n3
        530  probe n2 520 r 1 3500
        = reads n2 n3
        # beyond all of them
        600  probe n1 590 w 1 9500
        610  probe n2 600 r 1 3500
        = within 1 n3
        # what is wrong for another reason serves nobody
        620  probe n3 610 timeout
        = within 1 -
        = within 2 -
        ",
    );
}

#[test]
fn who_joins_others_rises() {
    check(
        "
        # both began together: nobody has served for long
        = rise n2 8
        = rise n3 8
        1500 probe n1 1490 w 1 1000
        1500 probe n2 1490 r 1 1000
        2400 probe n1 2390 w 1 1000
        2410 probe n2 2400 r 1 1000
        2410 probe n3 1400 timeout
        = reads n2
        3000 probe n3 2990 r 1 1000
        = reads n2 n3
        = rise n3 1
        = rise n2 8
        3240 tick
        = rise n3 1
        3500 tick
        = rise n3 2
        # out and in again: from the beginning
        3510 probe n3 3500 refused
        = reads n2
        3600 probe n3 3590 r 1 1000
        = rise n3 1
        3700 probe n1 3690 w 1 1000
        3700 probe n2 3690 r 1 1000
        5000 probe n3 4990 r 1 1000
        5000 probe n1 4990 w 1 1000
        5000 probe n2 4990 r 1 1000
        = rise n3 5
        5600 tick
        = rise n3 8
        ",
    );
}

#[test]
fn who_comes_back_alone_or_all_at_once_has_it_all() {
    check(
        "
        2500 tick
        = reads -
        2600 probe n1 2590 w 1 1000
        2610 probe n2 2600 r 1 1000
        2620 probe n3 2610 r 1 1000
        = reads n2 n3
        = rise n2 8
        = rise n3 8
        ",
    );
}

/// What hangs on a replica that cannot be reached is given up; what runs on one that is only busy is not.
#[test]
fn who_is_out_of_reach_for_long_is_lost() {
    check(
        "
        # a question in vain, and a second one half a second later
        1200 probe n3 200 nothing
        = standing n3 Unusable
        2200 probe n3 1600 nothing
        = standing n3 Lost
        2300 probe n1 2290 w 1 1000
        2300 probe n3 2290 r 1 1000
        = standing n3 Following
        # reached, and silent; and refused again and again, but not for long
        3000 probe n3 2500 timeout
        4500 probe n3 3500 timeout
        6000 probe n3 5000 timeout
        = standing n3 Unusable
        6010 probe n3 6005 refused
        6700 probe n3 6690 refused
        = standing n3 Unusable
        7600 probe n3 7590 refused
        = standing n3 Lost
        # the leader is never lost, only deposed
        9000 probe n1 8000 nothing
        9900 probe n1 8900 nothing
        = standing n1 Leading
        # another cluster's server at its address
        9910 probe n2 9905 r 1 1000 sys=8
        = standing n2 Lost
        ",
    );
}

/// One that hangs is given up once its Patroni is not heard of any more either, unless that may have been stopped.
#[test]
fn who_is_silent_here_and_in_the_store_is_lost() {
    check(
        "
        1500 probe n3 500 timeout
        3000 probe n3 2000 timeout
        = standing n3 Unusable
        3100 list n1 n2
        3100 store n1@5 20000
        = standing n3 Lost
        # it is up again, before its Patroni is; then silent for a moment only
        3200 probe n3 3150 r 1 1000
        = standing n3 Unusable
        4600 probe n3 3600 timeout
        = standing n3 Unusable
        5600 probe n3 4700 starting
        7000 probe n3 6000 timeout
        = standing n3 Unusable
        8100 probe n3 7100 timeout
        = standing n3 Lost
        8200 settings pause
        8200 store n1@5 20000
        = standing n3 Unusable
        ",
    );
}
