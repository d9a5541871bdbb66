//! An absent key is not a deposition: `failsafe_mode` and `pause`.

use super::check;

#[test]
fn in_failsafe_mode_the_leaders_patroni_says_whether_it_goes_on() {
    check(
        "
        1000  settings failsafe
        1000  store n1@5 20000
        15000 probe n1 14990 w 1 1000
        15000 probe n2 14990 r 1 1000
        15000 store -
        = held n1 KeyAbsent
        # who is asked for it says so: writes go on, and nobody was cut off
        15100 failsafe n1 15050 active
        = deposed -
        15200 probe n1 15190 w 1 1000
        = open n1 1 1
        = right 20000 Lease
        19990 failsafe n1 19980 active
        20000 probe n1 19985 w 1 1000
        = open n1 1 1
        = right 21730 Failsafe
        # the confirmation grows old
        21000 probe n1 20990 w 1 1000
        21730 tick
        = held n1 KeyAbsent
        = right 0 None
        = deposed -
        21800 failsafe n1 21790 active
        = open n1 1 1
        22000 failsafe n1 21990 inactive
        = held n1 KeyAbsent
        ",
    );
}

#[test]
fn failsafe_mode_is_over_when_somebody_else_takes_writes() {
    check(
        "
        1000  settings failsafe
        1000  store n1@5 20000
        20500 probe n1 20490 w 1 1000
        20500 store -
        20500 failsafe n1 20490 active
        = open n1 1 1
        20600 probe n2 20590 w 2 1000
        = vacant NobodyNamed
        = deposed n1 Outranked
        ",
    );
}

#[test]
fn a_confirmation_without_failsafe_mode_means_nothing() {
    check(
        "
        1000  store n1@5 20000
        20500 probe n1 20490 w 1 1000
        20500 store -
        20500 failsafe n1 20490 active
        = held n1 KeyAbsent
        ",
    );
}

#[test]
fn a_confirmation_of_another_member_means_nothing() {
    check(
        "
        1000  settings failsafe
        1000  store n1@5 20000
        20500 probe n1 20490 w 1 1000
        20500 store -
        20500 failsafe n2 20490 active
        = held n1 KeyAbsent
        ",
    );
}

#[test]
fn in_failsafe_mode_a_store_that_does_not_answer_and_a_member_that_cannot_be_asked() {
    check(
        "
        1000  settings failsafe
        1000  store n1@5 20000
        19000 lost
        20500 probe n1 20490 w 1 1000
        20500 probe n2 20490 r 1 1000
        20500 probe n3 20490 timeout
        = held n1 NoRight
        20600 failsafe n1 20550 active
        = open n1 1 1
        = right 22240 Failsafe
        ",
    );
}

#[test]
fn while_patroni_is_paused_the_last_leader_goes_on_if_all_others_follow() {
    check(
        "
        1000  settings pause
        1000  store n1@5 20000
        20500 probe n1 20490 w 1 1000
        20500 probe n2 20490 r 1 1000
        20500 probe n3 20480 r 1 1000
        20500 store -
        = open n1 1 1
        = right 22230 Probes
        # one that cannot be asked may have been promoted by hand
        21500 probe n3 21490 timeout
        22200 probe n1 22190 w 1 1000
        22200 probe n2 22190 r 1 1000
        22230 tick
        = held n1 KeyAbsent
        = deposed -
        22300 probe n3 22290 r 1 1000
        = open n1 1 1
        # one was
        22400 probe n2 22390 w 2 2000
        = deposed n1 Outranked
        ",
    );
}

#[test]
fn members_whose_patroni_was_stopped_are_still_asked_while_it_is_paused() {
    check(
        "
        1000    settings pause
        1000    store n1@5 20000
        20000   list
        20000   store -
        900000  probe n1 899990 w 1 1000
        900000  probe n2 899990 r 1 1000
        900000  probe n3 899990 timeout
        = held n1 KeyAbsent
        900100  probe n3 900090 r 1 1000
        = open n1 1 1
        # and they serve reads
        900200  probe n2 900190 r 1 1000
        = reads n2 n3
        ",
    );
}

#[test]
fn without_either_an_absent_key_holds() {
    check(
        "
        1000  store n1@5 20000
        15000 probe n1 14990 w 1 1000
        15000 probe n2 14990 r 1 1000
        15000 probe n3 14990 r 1 1000
        15000 store -
        = held n1 KeyAbsent
        20000 tick
        = held n1 KeyAbsent
        = deposed -
        ",
    );
}
