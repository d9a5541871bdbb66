//! Statements that commit by themselves (`commit_fate`): the first of a sequence is asked about in the same transaction.

use crate::{
    commits::{GOES_ON, aborted, committed, inquisitive, status},
    last_commit::shows,
    play::{check, check_whole, check_with},
    world::Setup,
};

/// A client has a statement, and servers know what it yields.
const PARSED: &str = r#"
    C> Parse s "insert into t values ($1)" 23 | Sync
    >a1 Parse pgsteer_1 "insert into t values ($1)" 23 | Describe S pgsteer_1 | Sync
    a1< ParseComplete | ParameterDescription 23 | NoData | ReadyForQuery I
    <C ParseComplete | ReadyForQuery I
"#;

/// It runs it. The answer is sent before the statement is looked at, and what that comes to before it is committed.
const SENT: &str = r#"
    C> Bind "" s 1 | Execute "" | Sync
    >a1 Bind "" pgsteer_1 1 | Parse pgsteer_fffffffffffffffe "~pg_current_xact_id()"
    >a1 Bind pgsteer_fate pgsteer_fffffffffffffffe | Execute pgsteer_fate | Close P pgsteer_fate | Flush
    >a1 Execute "" | Flush | Sync
    a1< BindComplete | ParseComplete
    <C BindComplete
"#;
const ANSWERED: &str = r#"
    a1< BindComplete | DataRow 727 0/10 00000001 | CommandComplete "SELECT 1" | CloseComplete
    <C nothing
"#;
const RAN: &str = r#"
    a1< CommandComplete "INSERT 0 1"
    <C CommandComplete "INSERT 0 1"
"#;

const LOST: &str = "learn fork=1/0/10\nroute write=b deposed=a\n>a1 end\n";
const NOT_COMMITTED: &str = r#"<C Error 40001 "~was not committed" | ReadyForQuery I"#;

fn told(script: &str) {
    check_with(inquisitive, script);
}

#[test]
fn what_is_answered_is_passed_on_as_it_is() {
    let shown = shows("C", "a1", "committed 7/1/0/10/727, sent 0.0");
    told(&format!("{PARSED}{SENT}{ANSWERED}{RAN}a1< ReadyForQuery I\n<C ReadyForQuery I\n{shown}"));
    // It fails, or its commit does.
    let shown = shows("C", "a1", "aborted 7/1/0/10/727, sent 0.0");
    let fails = "a1< Error 23505 _ | ReadyForQuery I\n<C Error 23505 _ | ReadyForQuery I\n";
    told(&format!("{PARSED}{SENT}{ANSWERED}{fails}{shown}"));
    told(&format!("{PARSED}{SENT}{ANSWERED}{RAN}{fails}{shown}"));
    let at_once = "a1< Error 22012 _ | ReadyForQuery I\n<C Error 22012 _ | ReadyForQuery I\n";
    told(&format!("{PARSED}{SENT}{at_once}{}", shows("C", "a1", "a text := 'aborted, sent 0.0")));
    // The server has the question from then on.
    told(&format!(
        r#"
        {PARSED}{SENT}{ANSWERED}{RAN}
        a1< ReadyForQuery I
        <C ReadyForQuery I
        C> Bind "" s 2 | Execute "" | Sync
        >a1 Bind "" pgsteer_1 2 | Bind pgsteer_fate pgsteer_fffffffffffffffe | Execute pgsteer_fate
        >a1 Close P pgsteer_fate | Flush | Execute "" | Flush | Sync
        a1< BindComplete | BindComplete | DataRow 728 0/20 00000001 | CommandComplete "SELECT 1" | CloseComplete
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C BindComplete | CommandComplete "INSERT 0 1" | ReadyForQuery I
        {}
        "#,
        shows("C", "a1", "committed 7/1/0/20/728")
    ));
}

#[test]
fn the_next_leader_says_what_became_of_it() {
    // The client knows what it has come to, if it is committed.
    told(&format!("{PARSED}{SENT}{ANSWERED}{RAN}{LOST}{}<C ReadyForQuery I\n{GOES_ON}", committed()));
    told(&format!("{PARSED}{SENT}{ANSWERED}{RAN}{LOST}{}{NOT_COMMITTED}{GOES_ON}", aborted()));
    // It does not: nobody can tell it.
    let ends = r#"<C Fatal 08007 "~the transaction was committed" | end"#;
    told(&format!("{PARSED}{SENT}{ANSWERED}{LOST}{}{ends}", committed()));
    told(&format!("{PARSED}{SENT}{ANSWERED}{LOST}{}{NOT_COMMITTED}{GOES_ON}", aborted()));
    let unknown = status(r#"DataRow NULL | CommandComplete "SELECT 1""#);
    told(&format!("{PARSED}{SENT}{ANSWERED}{RAN}{LOST}{unknown}<C Fatal 08007 _ | end"));
    // The history goes on from before it.
    let lost = LOST.replace("0/10", "0/F");
    told(&format!("{PARSED}{SENT}{ANSWERED}{RAN}{lost}{NOT_COMMITTED}{GOES_ON}"));
    // There was no answer.
    told(&format!("{PARSED}{SENT}{LOST}<C Fatal 08007 _ | end"));
}

#[test]
fn a_server_that_is_told_to_end_in_it() {
    let fatal = "a1< Fatal 57P01 _\n<C nothing\n";
    told(&format!("{PARSED}{SENT}{ANSWERED}{RAN}{fatal}{LOST}{}<C ReadyForQuery I\n{GOES_ON}", committed()));
    told(&format!("{PARSED}{SENT}{ANSWERED}{fatal}{LOST}{}{NOT_COMMITTED}{GOES_ON}", aborted()));
    // Before it came to it.
    told(&format!("{PARSED}{SENT}{fatal}{LOST}{NOT_COMMITTED}{GOES_ON}"));
}

/// All in one sequence are committed together.
#[test]
fn several_in_one_sequence() {
    let two = r#"
        C> Bind "" s 1 | Execute "" | Bind "" s 2 | Execute "" | Sync
        >a1 Bind "" pgsteer_1 1 | Parse pgsteer_fffffffffffffffe "~pg_current_xact_id()"
        >a1 Bind pgsteer_fate pgsteer_fffffffffffffffe | Execute pgsteer_fate | Close P pgsteer_fate | Flush
        >a1 Execute "" | Bind "" pgsteer_1 2 | Execute "" | Flush | Sync
        a1< BindComplete | ParseComplete
        <C BindComplete
    "#;
    let second = r#"
        a1< BindComplete | CommandComplete "INSERT 0 1"
        <C BindComplete | CommandComplete "INSERT 0 1"
    "#;
    told(&format!("{PARSED}{two}{ANSWERED}{RAN}{second}{LOST}{}<C ReadyForQuery I\n{GOES_ON}", committed()));
    told(&format!("{PARSED}{two}{ANSWERED}{RAN}{LOST}{}{NOT_COMMITTED}{GOES_ON}", aborted()));
    let fails = "a1< BindComplete | Error 23505 _ | ReadyForQuery I\n<C BindComplete | Error 23505 _ | ReadyForQuery I\n";
    told(&format!("{PARSED}{two}{ANSWERED}{RAN}{fails}{}", shows("C", "a1", "aborted 7/1/0/10/727")));
    // Others may end the transaction on their own: what it is about then cannot be said.
    for text in ["call p()", "commit", "begin", "vacuum t", "rollback", "show work_mem"] {
        let mixed = format!(
            r#"
            C> Bind "" s 1 | Execute "" | Parse "" "{text}" | Bind "" "" | Execute "" | Sync
            >a1 Bind "" pgsteer_1 1 | Parse pgsteer_fffffffffffffffe "~pg_current_xact_id()"
            >a1 Bind pgsteer_fate pgsteer_fffffffffffffffe | Execute pgsteer_fate | Close P pgsteer_fate | Flush
            >a1 Execute "" | Parse "" "{text}" | Bind "" "" | Execute ""
            "#
        );
        let heard = r#"
            a1< BindComplete | ParseComplete | BindComplete | DataRow 727 0/10 00000001 | CommandComplete "SELECT 1" | CloseComplete
            a1< CommandComplete "INSERT 0 1" | ParseComplete | BindComplete
            <C BindComplete | CommandComplete "INSERT 0 1" | ParseComplete | BindComplete
        "#;
        told(&format!("{PARSED}{mixed}>a1 Sync\n{heard}{LOST}<C Fatal 08007 _ | end"));
    }
}

#[test]
fn who_is_not_asked() {
    let plain = |sequence: &str| {
        format!(
            "C> {sequence}\n>a1 {sequence}\na1< ParseComplete | BindComplete | CommandComplete \"OK 1\" | ReadyForQuery I\n<C ParseComplete | BindComplete | CommandComplete \"OK 1\" | ReadyForQuery I\n"
        )
    };
    for text in ["truncate t", "create table t ()", "vacuum t", "notify a", "copy t to stdout"] {
        told(&plain(&format!(r#"Parse "" "{text}" | Bind "" "" | Execute "" | Sync"#)));
    }
    // In a block its COMMIT is.
    told(&format!(
        r#"
        {PARSED}
        C> Query begin
        >a1 Query begin
        a1< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Bind "" s 1 | Execute "" | Sync
        >a1 Bind "" pgsteer_1 1 | Execute "" | Sync
        a1< BindComplete | CommandComplete "INSERT 0 1" | ReadyForQuery T
        <C BindComplete | CommandComplete "INSERT 0 1" | ReadyForQuery T
        "#
    ));
    // Behind others that were not answered.
    let later = r#"
        C> Query "select 1" | Bind "" s 1 | Execute "" | Sync
        >a1 Query "select 1" | Bind "" pgsteer_1 1 | Execute "" | Sync
        a1< CommandComplete "SELECT 1" | ReadyForQuery I | BindComplete | CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I | BindComplete | CommandComplete "INSERT 0 1" | ReadyForQuery I
    "#;
    check_whole(inquisitive, &format!("{PARSED}{later}"));
    // Nobody wants to know.
    check(&format!(
        r#"
        {PARSED}
        C> Bind "" s 1 | Execute "" | Sync
        >a1 Bind "" pgsteer_1 1 | Execute "" | Sync
        a1< BindComplete | CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C BindComplete | CommandComplete "INSERT 0 1" | ReadyForQuery I
        "#
    ));
}

/// A role may not ask: the statement fails with that, once.
#[test]
fn a_question_that_is_refused() {
    told(&format!(
        r#"
        {PARSED}{SENT}
        a1< BindComplete | Error 42501 "permission denied" | ReadyForQuery I
        <C Error 42501 _ | ReadyForQuery I
        C> Bind "" s 1 | Execute "" | Sync
        >a1 Bind "" pgsteer_1 1 | Execute "" | Sync
        a1< BindComplete | CommandComplete "INSERT 0 1" | ReadyForQuery I
        <C BindComplete | CommandComplete "INSERT 0 1" | ReadyForQuery I
        "#
    ));
}

/// What stands in for the client's unnamed statement is refused, and what it has sent is sent again, with the question.
#[test]
fn a_sequence_that_is_sent_again() {
    let mapped = |setup: &mut Setup| {
        inquisitive(setup);
        setup.settings.map_unnamed = true;
    };
    let text = "insert into t values ($1)";
    let sends = format!(r#"C> Parse "" "{text}" 23 | Bind "" "" 7 | Execute "" | Sync"#);
    let asked =
        r#"Bind pgsteer_fate pgsteer_fffffffffffffffe | Execute pgsteer_fate | Close P pgsteer_fate | Flush"#;
    let said = r#"DataRow 727 0/10 00000001 | CommandComplete "SELECT 1" | CloseComplete"#;
    let heard = r#"<C ParseComplete | BindComplete | CommandComplete "INSERT 0 1" | ReadyForQuery I"#;
    let script = format!(
        r#"
        {sends}
        >a1 Parse "" "{text}" 23 | Bind "" "" 7 | Describe S "" | Parse pgsteer_fffffffffffffffe "~pg_current_xact_id()"
        >a1 {asked} | Execute "" | Flush | Sync
        a1< ParseComplete | BindComplete | ParameterDescription 23 | NoData | ParseComplete | BindComplete | {said}
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        {heard}
        {sends}
        >a1 Parse pgsteer_1 "{text}" 23 | Describe S pgsteer_1 | Bind "" pgsteer_1 7 | {asked} | Execute "" | Flush | Sync
        a1< ParseComplete | ParameterDescription 23 | NoData | BindComplete | BindComplete | {said}
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        {heard}
        {sends}
        >a1 Bind "" pgsteer_1 7 | {asked} | Execute "" | Flush | Sync
        a1< Error 0A000 "cached plan must not change result type" | ReadyForQuery I
        >a1 Close S pgsteer_1 | Parse pgsteer_2 "{text}" 23 | Describe S pgsteer_2
        >a1 Bind "" pgsteer_2 7 | {asked} | Execute "" | Flush | Sync
        a1< CloseComplete | ParseComplete | ParameterDescription 23 | NoData | BindComplete | BindComplete | {said}
        a1< CommandComplete "INSERT 0 1" | ReadyForQuery I
        {heard}
        {}
        "#,
        shows("C", "a1", "committed 7/1/0/10/727")
    );
    check_whole(mapped, &script);
}
