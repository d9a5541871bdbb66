//! Up to when there is a right to write, with the store and without.

use super::{check, check_from_nothing};
use crate::cluster::policy::Authority;

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
        # what n1 said before it was deposed does not bring it back
        20003 probe n2 20001 refused
        = vacant NotWritable
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
