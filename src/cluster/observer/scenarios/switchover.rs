//! A leader that is about to step down as planned.

use super::check;

#[test]
fn a_switchover_holds_new_writes_until_the_new_leader_takes_them() {
    check(
        "
        1000 failover n1@7
        1000 store n1@5 21000
        = held n1 SteppingDown
        # what runs may end: the right to write is as it was
        = right 21000 Lease
        1400 suspect n1
        = held n1 Suspected
        1500 store -
        = held n1 KeyAbsent
        1600 store n2@8 22000
        = vacant NotWritable
        = deposed n1 Replaced
        1900 probe n2 1800 w 2 2000
        = open n2 2 2
        # the new leader clears the key
        2000 failover -
        2000 store n2@8 23000
        = open n2 2 2
        ",
    );
}

#[test]
fn a_switchover_that_is_given_up() {
    check(
        "
        1000 failover n1@7
        1000 store n1@5 21000
        = held n1 SteppingDown
        1500 failover -
        1500 store n1@5 21500
        = open n1 1 1
        # the next one counts anew
        1700 probe n1 1690 w 1 1000
        2000 failover n1@9
        2000 store n1@5 22000
        = held n1 SteppingDown
        ",
    );
}

#[test]
fn a_switchover_of_which_nothing_comes_holds_for_no_longer_than_its_bound() {
    check(
        "
        1000 failover n1@7
        1000 store n1@5 21000
        = held n1 SteppingDown
        3000 probe n1 2990 w 1 1000
        3999 store n1@5 23999
        = held n1 SteppingDown
        4000 tick
        = open n1 1 1
        4100 store n1@5 24000
        = open n1 1 1
        # now it is really being stopped
        4200 list n1:stopping n2 n3
        4200 store n1@5 24200
        = held n1 SteppingDown
        4500 probe n1 4490 w 1 1000
        7199 probe n1 7190 w 1 1000
        = held n1 SteppingDown
        7200 tick
        = open n1 1 1
        ",
    );
}

#[test]
fn a_scheduled_switchover_is_ignored_until_it_is_due() {
    check(
        "
        1000 failover n1@7 5000
        1000 store n1@5 21000
        = open n1 1 1
        4900 probe n1 4890 w 1 1000
        4999 tick
        = open n1 1 1
        5000 tick
        = held n1 SteppingDown
        # the wall clock has moved: it stays due, and counts from then
        5500 failover n1@7 6000
        5500 store n1@5 25500
        = held n1 SteppingDown
        7900 probe n1 7890 w 1 1000
        8000 tick
        = open n1 1 1
        ",
    );
}

#[test]
fn a_switchover_of_another_leader_holds_nothing() {
    check(
        "
        1000 failover n3@7
        1000 store n1@5 21000
        = open n1 1 1
        # one that names the candidate alone is meant for whoever leads
        1500 failover @8
        1500 store n1@5 21500
        = held n1 SteppingDown
        ",
    );
}

#[test]
fn what_speaks_against_a_leader_goes_before_what_was_planned() {
    check(
        "
        1000 failover n1@7
        1000 store n1@5 21000
        1200 probe n1 1190 r 1 1000
        = vacant NotWritable
        = deposed n1 InRecovery
        ",
    );
}
