//! What a server says while a commit is under way (`commit_fate`), and what was sent behind it.

use crate::{
    commits::{
        ANSWERED, ASKED, BEGUN, COMMITTED, GOES_ON, NOT_COMMITTED, SEQUENCE, aborted, asked, committed,
        inquisitive, status,
    },
    play::{check, check_with},
};

const OVER: &str = "a1< close\nlearn fork=1/0/10\nroute write=b";

/// It is told to end: whether it came to the commit before that, it does not say. The next leader does.
#[test]
fn a_server_that_ends_in_a_commit_is_not_believed_to_have_failed_it() {
    for words in [
        r#"Fatal 57P01 "terminating connection due to administrator command""#,
        r#"Fatal 57P02 "terminating connection because of crash of another server process""#,
        r#"Fatal 57P03 "the database system is shutting down""#,
        r#"Fatal 53100 "could not write to file""#,
    ] {
        asked(&format!("a1< {words}\n<C nothing\n{OVER}\n{}{COMMITTED}{GOES_ON}", committed()));
        asked(&format!("a1< {words}\n<C nothing\n{OVER}\n{}{NOT_COMMITTED}{GOES_ON}", aborted()));
        // Where it cannot be said, the client hears what the server has said.
        let unknown = status(r#"DataRow NULL | CommandComplete "SELECT 1""#);
        asked(&format!("a1< {words}\n<C nothing\n{OVER}\n{unknown}<C {words} | end"));
        asked(&format!(
            "a1< {words}\n<C nothing\n{OVER}\n>b1 Query ~xact_status\nterminate C\n<C {words} | end\n>b1 end"
        ));
        // Nobody wants to know.
        check(&format!(
            "{BEGUN}\nC> Query commit\n>a1 Query commit\na1< {words}\n<C {words}\na1< close\n<C end"
        ));
    }
    // It is deposed meanwhile.
    asked(&format!(
        "a1< Fatal 57P01 _\nlearn fork=1/0/10\nroute write=b deposed=a\n>a1 end\n{}{COMMITTED}{GOES_ON}",
        committed()
    ));
    // A client that has left is not waited for.
    asked("C> half\na1< Fatal 57P01 _\n<C nothing\na1< close\n<C Fatal 57P01 _ | end");
}

/// As PostgreSQL says it: by a warning, and no more than that.
#[test]
fn warnings_are_passed_on_as_they_are() {
    // It waits for a standby, and is told to end; or a neighbour has crashed.
    for words in [
        r#"Notice 57P01 "canceling the wait for synchronous replication and terminating connection due to administrator command""#,
        r#"Notice 57P02 "terminating connection because of crash of another server process""#,
    ] {
        asked(&format!("a1< {words}\n<C {words}\n{OVER}\n{}{COMMITTED}{GOES_ON}", committed()));
        asked(&format!("a1< {words}\n<C {words}\n{OVER}\n{}{NOT_COMMITTED}{GOES_ON}", aborted()));
    }
    // The wait is cancelled, and the commit has taken place.
    let words = r#"Notice 01000 "canceling wait for synchronous replication due to user request""#;
    asked(&format!(
        "a1< {words}\n<C {words}\na1< CommandComplete COMMIT | ReadyForQuery I\n{COMMITTED}\npool a leased=0"
    ));
}

/// Answers come in order: without that to the question nothing was done about the commit.
#[test]
fn a_server_that_ends_before_the_question_has_not_come_to_the_commit() {
    let goes_on = GOES_ON.replace("b1", "a2");
    check_with(
        inquisitive,
        &format!("{BEGUN}{ASKED}\na1< Fatal 57P01 _\n<C nothing\na1< close\n{NOT_COMMITTED}{goes_on}"),
    );
    // What it says of the question is not all that it says.
    check_with(
        inquisitive,
        &format!(
            "{BEGUN}{ASKED}\na1< RowDescription x lsn file | Fatal 57P01 _\n<C nothing\na1< close\n{NOT_COMMITTED}{goes_on}"
        ),
    );
}

#[test]
fn an_answer_is_an_answer() {
    asked("a1< Error 23503 _ | ReadyForQuery I\n<C Error 23503 _ | ReadyForQuery I\npool a leased=0");
}

/// A server that is told to end while it commits finishes that, answers the COMMIT, and says that it ends before it comes to the
/// Sync. Drivers take that for the COMMIT's failure, although it is committed.
#[test]
fn what_is_answered_is_not_taken_back() {
    let goes_on = GOES_ON.replace("b1", "a2");
    let lost = |rest: &str| format!("a1< CommandComplete COMMIT\n<C CommandComplete COMMIT\n{rest}");
    let said = "a1< CommandComplete COMMIT | Fatal 57P01 _\n<C CommandComplete COMMIT\na1< close";
    for cut in [said.to_owned(), lost("a1< Fatal 57P01 _\n<C nothing\na1< close"), lost("a1< close")] {
        for begun in [SEQUENCE.to_owned(), format!("{ASKED}{ANSWERED}")] {
            check_with(inquisitive, &format!("{BEGUN}{begun}{cut}\n<C ReadyForQuery I{goes_on}"));
        }
    }
    // With more behind it, of which nothing is known.
    let write = "C> Query \"insert into t values (2)\"\n>a1 Query ~insert\n";
    check_with(
        inquisitive,
        &format!("{BEGUN}{SEQUENCE}{write}{said}\n<C ReadyForQuery I | Fatal 08007 _ | end"),
    );
    // Nobody wants to know.
    check(&format!(
        r#"
        {BEGUN}
        C> Parse "" commit | Bind "" "" | Execute "" | Sync
        >a1 Parse "" commit | Bind "" "" | Execute "" | Sync
        a1< ParseComplete | BindComplete | CommandComplete COMMIT | Fatal 57P01 _
        <C ParseComplete | BindComplete | CommandComplete COMMIT | Fatal 57P01 _
        a1< close
        <C end
        "#
    ));
}

/// A transaction without a number may get one as it commits: that nothing was said of it does not mean that nothing was done.
#[test]
fn what_has_no_number_may_be_committed_all_the_same() {
    check_with(
        inquisitive,
        &format!(
            r#"
            {BEGUN}{ASKED}
            a1< RowDescription x lsn file | CommandComplete "SELECT 0" | ReadyForQuery T | Fatal 57P01 _
            <C Fatal 57P01 _
            a1< close
            <C end
            "#
        ),
    );
}

/// The client has sent more behind its COMMIT: it hears what became of that, and then what can be said of the rest.
#[test]
fn what_was_sent_behind_a_commit() {
    let begin = "C> Query begin\n>a1 Query begin\n";
    let more = "C> Query begin | Query \"insert into t values (2)\"\n>a1 Query begin | Query ~insert\n";
    let write = "C> Query \"insert into t values (2)\"\n>a1 Query ~insert\n";
    let lost = "learn fork=1/0/10\nroute write=b deposed=a\n>a1 end\n";
    let answers = [
        (committed(), "CommandComplete COMMIT | ReadyForQuery I"),
        (aborted(), r#"Error 40001 "~was not committed" | ReadyForQuery I"#),
    ];
    for (answer, told) in &answers {
        for (behind, rest) in [
            (begin, r#"Fatal 57P01 "~was not committed""#),
            (more, r#"Fatal 57P01 "~was not committed""#),
            (write, "Fatal 08007 _"),
        ] {
            asked(&format!("{behind}{lost}{answer}\n<C {told} | {rest} | end"));
        }
    }
    // Nothing can be said of one without the other.
    let unknown = status(r#"DataRow NULL | CommandComplete "SELECT 1""#);
    asked(&format!("{write}{lost}{unknown}<C Fatal 08007 _ | end"));
}
