//! Where replicas get what they replay: from the leader, from each other, from another cluster, from an archive.

use super::check;
use crate::cluster::policy::Authority;

/// Nobody takes writes there: the others are compared with who leads it.
#[test]
fn a_standby_cluster_serves_reads_until_it_is_promoted() {
    super::check_from_nothing(
        Authority::Store,
        "
        0    settings standby
        0    store n1@5 20000
        10   probe n1 5 r 1 1000
        = vacant NotWritable
        # alone it serves; the table ranks it behind the others
        = reads n1
        20   probe n2 15 r 1 1000
        20   probe n3 15 r 1 1000 gone
        = reads n1 n2
        # behind what the leader was sent, though it has all that was sent to itself; the leader itself lags as well
        50   probe n1 45 r 1 1100 knows 2200
        = reads n2
        60   probe n2 55 r 1 1100
        = reads -
        61   probe n2 56 r 1 2100
        62   probe n2 57 r 1 2100
        70   probe n1 65 r 1 2100 knows 2200
        71   probe n1 66 r 1 2100 knows 2200
        = reads n1 n2
        # the leader is cut off from the other cluster: nobody can tell how old it is
        80   probe n1 75 r 1 2200 gone
        = reads n2
        85   probe n1 80 r 1 2200
        = reads n1 n2
        # it is promoted: no key changes, and it is seen by asking
        100  probe n1 95 w 2 2200
        = open n1 2 1
        = reads -
        110  settings
        110  store n1@5 20000
        120  probe n2 115 r 2 2200
        = open n1 2 1
        = reads n2
        ",
    );
}

#[test]
fn a_standby_clusters_replicas_go_on_while_its_leader_changes() {
    super::check_from_nothing(
        Authority::Store,
        "
        0    settings standby
        0    store n1@5 20000
        10   probe n1 5 r 1 1000
        20   probe n2 15 r 1 1000
        = reads n1 n2
        30   probe n1 25 refused
        40   probe n2 35 r 1 1000 gone
        = reads n2
        50   store n2@9 20000
        60   probe n2 55 r 1 1000
        = reads n2
        # a replica that has lost its WAL receiver while the leader lives
        70   probe n1 65 r 1 1000
        = reads n1 n2
        80   probe n1 75 r 1 1000 gone
        90   probe n2 85 r 1 1000
        = reads n2
        ",
    );
}

#[test]
fn a_standby_cluster_that_is_fed_from_an_archive() {
    super::check_from_nothing(
        Authority::Store,
        "
        0    settings archived
        0    store n1@5 20000
        10   probe n1 5 r 1 1000 archive
        20   probe n2 15 r 1 1000
        = reads n1 n2
        30   probe n1 25 r 1 9000 archive
        40   probe n2 35 r 1 1000
        = reads n1
        ",
    );
}

/// What a cascading replica was sent says nothing of what its upstream lacks.
#[test]
fn lag_is_measured_against_the_leader_not_the_upstream() {
    check(
        "
        # n3 streams from n2 and has all that n2 has; n2 is stuck
        500  probe n1 490 w 1 9000
        510  probe n2 500 r 1 1000 knows 9000
        520  probe n3 510 r 1 1000
        = reads -
        = within 1 -
        # n2 is free again, n3 not yet
        600  probe n2 590 r 1 9000
        610  probe n2 600 r 1 9000
        610  probe n3 600 r 1 1000
        = reads n2
        ",
    );
}

/// `nostream`, or a WAL receiver that cannot connect: what counts is how far it is behind the leader.
#[test]
fn a_replica_that_restores_from_an_archive_is_neither_trusted_nor_refused_for_it() {
    check(
        "
        500  probe n1 490 w 1 1900
        510  probe n2 500 r 1 1000 archive
        = reads n2 n3
        600  probe n1 590 w 1 2100
        610  probe n2 600 r 1 1000 archive
        = reads n3
        = within 1 n2 n3
        # within the bytes, too late in time
        700  probe n2 690 r 1 2000 archive
        710  probe n2 700 r 1 2100 archive
        = reads n2 n3
        1000 probe n1 990 w 1 2200
        1000 probe n3 990 r 1 2200
        2000 probe n1 1990 w 1 2200
        2010 probe n2 2000 r 1 2100 archive
        2010 probe n3 2000 r 1 2200
        = reads n3
        # on the timeline before
        2100 probe n2 2090 r 1 2200 archive
        2110 probe n2 2100 r 1 2200 archive
        = reads n2 n3
        2120 probe n2 2110 r 2 2200 archive
        = reads n3
        ",
    );
}

/// Its control file knows of a new timeline only from the next restartpoint on; Patroni, which it follows, sooner.
#[test]
fn a_replica_that_restores_from_an_archive_under_a_new_leader() {
    check(
        "
        500  probe n2 490 r 1 1000 archive
        510  store n3@9 30000
        520  probe n1 515 r 1 1000
        530  probe n3 525 w 2 1200
        540  probe n1 535 r 2 1200
        550  probe n2 545 r 1 1200 archive
        = open n3 2 2
        = reads n1
        # what is recorded is of the timeline before
        560  list n1 n2:#1 n3
        560  store n3@9 30000
        = reads n1
        570  list n1 n2:#2 n3
        570  store n3@9 30000
        = reads n1 n2
        # the record says nothing of who has lost its WAL receiver, or receives another timeline
        580  probe n2 575 r 1 1200 gone
        = reads n1
        590  probe n2 585 r 1 1200
        = reads n1
        600  probe n2 595 r 1 1200 archive
        = reads n1 n2
        # nor of who is further than the leader, or has been recorded on something else
        610  probe n2 605 r 3 1200 archive
        = reads n1
        620  probe n2 615 r 1 1200 archive
        = reads n1 n2
        630  list n1 n2:#3 n3
        630  store n3@9 30000
        = reads n1
        ",
    );
}
