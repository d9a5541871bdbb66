//! Clusters without a store.

use super::{check_from_nothing, hosts};

#[test]
fn hosts_elect_by_majority() {
    check_from_nothing(
        hosts(&["n1", "n2", "n3"]),
        "
        # There is no store that could answer.
        = was writes waiting: no host has been asked yet
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
        = standing n1 Lost
        # n3 answered before there was a leader to compare it with
        = reads -
        4  probe n3 3 r 3 1000
        = reads n3
        ",
    );
}

#[test]
fn a_name_that_leads_elsewhere_is_another_server() {
    check_from_nothing(
        hosts(&["n1", "n2", "n3"]),
        "
        0   probe n1 0 w 3 1000
        5   probe n2 1 r 3 1000
        6   probe n3 2 r 3 1000
        = open n1 3 1
        # a replica first: it begins anew, and what was asked where it was does not count
        100 moved n2 1
        = open n1 3 1
        = reads n3
        110 probe n2:n2@0 101 r 3 1000
        = reads n3
        120 probe n2 111 r 3 1000
        = reads n2 n3
        # then the leader: its term is over, and who is there now must say that it takes writes
        200 moved n1 1
        = vacant NobodyNamed
        = deposed -
        205 probe n1:n1@0 201 w 3 1000
        = vacant NobodyNamed
        210 probe n1 202 w 3 1000
        = open n1 3 2
        # a name that nobody has, and the same word twice
        300 moved elsewhere 4
        301 moved n1 1
        = open n1 3 2
        ",
    );
}
