//! Clusters whose leader Patroni names without a lease.

use super::check_from_nothing;
use crate::cluster::policy::Authority;

fn check(script: &str) {
    check_from_nothing(Authority::Patroni, script);
}

#[test]
fn the_word_of_patroni_needs_a_majority_of_members() {
    check(
        "
        0    store n1@1
        10   probe n1 5 w 1 1000
        # it leads, but nobody has shown that he follows it
        = held n1 NoRight
        20   probe n2 12 r 1 1000
        = open n1 1 1
        = right 1755 Probes
        30   probe n3 25 refused
        = open n1 1 1
        # without a majority the right runs out, and nobody is deposed
        500  probe n1 499 w 1 1000
        500  probe n2 499 refused
        = open n1 1 1
        1600 probe n1 1599 w 1 1000
        1770 tick
        = held n1 NoRight
        = deposed -
        1800 probe n3 1799 r 1 1000
        = open n1 1 1
        ",
    );
}

#[test]
fn whoever_takes_writes_too_takes_the_right_away() {
    check(
        "
        0   store n1@1
        10  probe n1 5 w 1 1000
        10  probe n2 5 r 1 1000
        10  probe n3 5 r 1 1000
        = open n1 1 1
        # promoted by hand, on a timeline no higher
        20  probe n3 15 w 1 1000
        = held n1 NoRight
        = right 0 None
        30  probe n3 25 r 1 1000
        = open n1 1 1
        # on a higher one it has won, whatever Patroni says
        40  probe n3 35 w 2 1000
        = deposed n1 Outranked
        = vacant NotWritable
        ",
    );
}

#[test]
fn a_member_that_patroni_took_off_the_list_does_not_count() {
    check(
        "
        0    list n1 n2
        0    store n1@1
        10   probe n1 5 w 1 1000
        10   probe n2 5 refused
        = held n1 NoRight
        20   list n1
        20   store n1@1
        = open n1 1 1
        # unless it takes writes
        30   probe n2 25 w 1 1000
        = held n1 NoRight
        ",
    );
}

#[test]
fn another_leader_by_the_word_of_patroni() {
    check(
        "
        0   store n1@1
        10  probe n1 5 w 1 1000
        10  probe n2 5 r 1 1000
        10  probe n3 5 r 1 1000
        = open n1 1 1
        20  probe n1 15 refused
        = held n1 Silent
        30  store -
        40  store n2@2
        = deposed n1 Replaced
        = vacant NotWritable
        50  probe n2 45 w 2 1000
        # n3 follows the timeline before, and so does not lead
        = open n2 2 2
        ",
    );
}

#[test]
fn when_patroni_does_not_answer_everybody_must() {
    check(
        "
        0   store n1@1
        10  probe n1 5 w 1 1000
        10  probe n2 5 r 1 1000
        = open n1 1 1
        20  lost
        # n3, which might lead, has not been asked
        = held n1 NoRight
        30  probe n3 25 r 1 1000
        = open n1 1 1
        = right 1755 Probes
        40  store n1@1
        = open n1 1 1
        ",
    );
}
