//! An operator's orders.

use super::{super::script::hosts, check, check_from_nothing};

#[test]
fn a_pinned_leader_goes_on_without_the_store() {
    check(
        "
        1000  pin n1
        = held n1 Renamed
        1100  probe n1 1050 w 1 1000
        = open n1 1 1
        5000  lost
        20500 probe n1 20490 w 1 1000
        # nobody else answers; it is the operator's word that nobody else leads
        = open n1 1 1
        = right 22240 Pin
        # however old the pin: only the leader's own answers count
        90000 probe n1 89990 w 1 1000
        = open n1 1 1
        90100 unpin
        = held n1 NoRight
        = deposed -
        ",
    );
}

#[test]
fn a_pin_deposes_whom_the_store_names() {
    check(
        "
        1000 pin n2
        = vacant NotWritable
        = deposed n1 Replaced
        1200 probe n2 1100 w 2 2000
        = open n2 2 2
        # the store still names n1
        1300 store n1@5 21300
        = open n2 2 2
        1400 unpin
        = vacant NotWritable
        = deposed n1 Replaced n2 Replaced
        ",
    );
}

#[test]
fn a_pin_goes_before_no_servers_own_word() {
    check(
        "
        1000 pin n1
        1100 probe n1 1050 w 1 1000
        = open n1 1 1
        1200 probe n1 1190 r 1 1000
        = vacant NotWritable
        = deposed n1 InRecovery
        ",
    );
    check(
        "
        1000 pin n1
        1100 probe n1 1050 w 1 1000
        1200 probe n2 1190 w 2 1000
        = held n1 Contradicted
        = right 20000 Lease
        # unless the operator says that this one does not count
        1300 mark n2 down
        = open n1 1 1
        = standing n2 Down
        ",
    );
}

#[test]
fn a_pin_without_a_store() {
    check_from_nothing(
        hosts(&["n1", "n2", "n3"]),
        "
        10 probe n1 5 w 1 1000
        10 probe n2 5 timeout
        10 probe n3 5 timeout
        = vacant NobodyNamed
        20 pin n1
        40 probe n1 30 w 1 1000
        = vacant NotWritable
        50 probe n2 45 r 1 1000
        = open n1 1 1
        ",
    );
}

#[test]
fn marks() {
    check(
        "
        1000 mark n2 drain
        = reads n3
        = standing n2 Following
        1100 mark n3 down
        = reads -
        = standing n3 Down
        1200 mark n3 up
        1200 mark n2 up
        = reads n2 n3
        # the leader: nothing new, and what runs goes on
        1300 mark n1 drain
        = held n1 Marked
        = right 20000 Lease
        # or does not
        1400 mark n1 down
        = held n1 Marked
        = right 0 None
        = standing n1 Down
        1500 mark n1 up
        = open n1 1 1
        = right 20000 Lease
        ",
    );
}

#[test]
fn an_ordered_hold() {
    check(
        "
        1000 hold n1 3000
        = held n1 SteppingDown
        2500 probe n1 2490 w 1 1000
        3000 tick
        = open n1 1 1
        3100 hold n1 9000
        = held n1 SteppingDown
        3200 release
        = open n1 1 1
        # it is for that leader alone
        3300 hold n1 9000
        3400 store n2@8 23400
        3500 probe n2 3450 w 2 2000
        = open n2 2 2
        ",
    );
}
