//! Statements prepared by SQL: what they took and yielded where their client prepared them, they take and yield elsewhere.

use crate::play::{check, check_with};

/// What is set for one sequence of ours, before what it is set for.
const LOCALLY: &str = "Bind \"\" pgsteer_local | Execute \"\" | Close S pgsteer_local";

/// What is answered to that.
pub(crate) const TOLD: &str =
    "ParseComplete | BindComplete | DataRow x | CommandComplete \"SELECT 1\" | CloseComplete";

/// There is no statement `p`.
const NO_P: &str = "Error 26000 \"prepared statement \\\"p\\\" does not exist\" | ReadyForQuery I";

/// PostgreSQL's own words for a statement that yields something else than where it was prepared.
const CHANGED: &str = "Error 0A000 \"cached plan must not change result type\"";

/// A server is asked what a client has prepared by SQL, and what these take and yield.
pub(crate) fn asked_of(names: &[&str]) -> String {
    let described = names
        .iter()
        .map(|name| format!(" | Parse pgsteer_local ~lock_timeout | {LOCALLY} | Describe S {name} | Sync"));
    "Query ~pg_prepared_statements".to_owned() + &described.collect::<String>()
}

/// Something takes the place of a statement: what the server hears, with these types of parameters.
fn stands_in(name: &str, number: usize, types: &str) -> String {
    format!(
        "Close S {name} | Parse pgsteer_local ~information_schema | {LOCALLY} \
         | Parse {name} \"~pgsteer stands in: {number}.\" {types} | Sync"
    )
}

/// What a server says when it stands in.
const IN_PLACE: &str = "CloseComplete | ParseComplete | BindComplete | DataRow x | CommandComplete \"SELECT 1\" \
    | CloseComplete | ParseComplete | ReadyForQuery I";

/// What a server says of somebody who uses it.
fn used(number: usize) -> String {
    format!("Error 42883 \"function \\\"f(anyarray /* pgsteer stands in: {number}. */)\\\" does not exist\"")
}

/// `C` prepares `p`, which takes a number and yields `n`; then another has its server.
fn prepared() -> String {
    let asked = asked_of(&["p"]);
    format!(
        r#"
        C> Query "prepare p as select n from t where n = $1"
        >a1 Query "prepare p as select n from t where n = $1"
        a1< CommandComplete PREPARE | ReadyForQuery I
        <C CommandComplete PREPARE | ReadyForQuery I
        >a1 {asked}
        a1< DataRow p p "prepare p as select n from t where n = $1" t | ReadyForQuery I
        a1< {TOLD} | ParameterDescription 23 | RowDescription n | ReadyForQuery I
        D> Query "select d"
        >a1 Query "DEALLOCATE \"p\";"
        a1< CommandComplete DEALLOCATE | ReadyForQuery I
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        "#
    )
}

/// The server is given `p` again, and describes it so.
fn again(types: &str, yields: &str) -> String {
    format!(
        r#"
        >a1 Query "prepare p as select n from t where n = $1" | Describe S p | Sync
        a1< CommandComplete PREPARE | ReadyForQuery I
        a1< ParameterDescription {types} | RowDescription {yields} | ReadyForQuery I
        "#
    )
}

/// The server that has something in its place is tried again: `p` is given to it once more, and described so.
fn once_more(types: &str, yields: &str) -> String {
    format!(
        r#"
        >a1 Query "DEALLOCATE \"p\";" | Query "prepare p as select n from t where n = $1" | Describe S p | Sync
        a1< CommandComplete DEALLOCATE | ReadyForQuery I | CommandComplete PREPARE | ReadyForQuery I
        a1< ParameterDescription {types} | RowDescription {yields} | ReadyForQuery I
        "#
    )
}

/// Only who uses it hears of it, however it is used, and only as long as it is so.
#[test]
fn a_statement_that_yields_something_else_is_refused() {
    let (prepared, changed) = (prepared(), once_more("23", "m"));
    let (stands_in, used) = (stands_in("p", 0, "23"), used(0));
    check(&format!(
        r#"
        {prepared}
        C> Query "select 1"
        {first}
        >a1 {stands_in}
        a1< {IN_PLACE}
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "begin; select 2; execute p(1)"
        {changed}
        >a1 {stands_in}
        a1< {IN_PLACE}
        >a1 Query "begin; select 2; execute p(1)"
        a1< CommandComplete BEGIN | CommandComplete "SELECT 1" | {used} | ReadyForQuery E
        <C CommandComplete BEGIN | CommandComplete "SELECT 1" | {CHANGED} | ReadyForQuery E
        C> Query rollback
        >a1 Query rollback
        a1< CommandComplete ROLLBACK | ReadyForQuery I
        <C CommandComplete ROLLBACK | ReadyForQuery I
        # By its name, and by a statement that executes it.
        C> Describe S p | Sync
        {changed}
        >a1 {stands_in}
        a1< {IN_PLACE}
        >a1 Describe S p | Sync
        a1< ParameterDescription 23 | {used} | ReadyForQuery I
        <C ParameterDescription 23 | {CHANGED} | ReadyForQuery I
        C> Bind "" p 1 | Execute "" | Sync
        {changed}
        >a1 {stands_in}
        a1< {IN_PLACE}
        >a1 Bind "" p 1 | Execute "" | Sync
        a1< {used} | ReadyForQuery I
        <C {CHANGED} | ReadyForQuery I
        C> Parse "" "execute p(1)" | Bind "" "" | Execute "" | Sync
        {changed}
        >a1 {stands_in}
        a1< {IN_PLACE}
        >a1 Parse "" "execute p(1)" | Bind "" "" | Execute "" | Sync
        a1< ParseComplete | BindComplete | {used} | ReadyForQuery I
        <C ParseComplete | BindComplete | {CHANGED} | ReadyForQuery I
        # The table is what it was.
        C> Query "execute p(1)"
        {back}
        >a1 Query "execute p(1)"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "execute p(2)"
        >a1 Query "execute p(2)"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
        first = again("23", "m"),
        back = once_more("23", "n"),
    ));
}

/// Where it was prepared, and where nothing was put in its place, the server's own words are told as they are.
#[test]
fn what_the_server_says_itself_is_told_as_it_is() {
    let asked = asked_of(&["p"]);
    let used = used(0);
    check(&format!(
        r#"
        C> Query "prepare p as table t"
        >a1 Query "prepare p as table t"
        a1< CommandComplete PREPARE | ReadyForQuery I
        <C CommandComplete PREPARE | ReadyForQuery I
        >a1 {asked}
        a1< DataRow p p "prepare p as table t" t | ReadyForQuery I
        a1< {TOLD} | ParameterDescription | RowDescription n | ReadyForQuery I
        C> Query "execute p"
        >a1 Query "execute p"
        a1< {CHANGED} | ReadyForQuery I
        <C {CHANGED} | ReadyForQuery I
        C> Query "execute p"
        >a1 Query "execute p"
        a1< {used} | ReadyForQuery I
        <C {used} | ReadyForQuery I
        "#
    ));
}

/// PostgreSQL finds the types of parameters once.
#[test]
fn parameters_keep_their_types() {
    let (prepared, first) = (prepared(), again("20", "m"));
    let typed = r#"Close S p | Parse p " select n from t where n = $1" 23 | Describe S p | Sync"#;
    check(&format!(
        r#"
        {prepared}
        C> Query "execute p(1)"
        {first}
        >a1 {typed}
        a1< CloseComplete | ParseComplete | ParameterDescription 23 | RowDescription n | ReadyForQuery I
        >a1 Query "execute p(1)"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        # It is the client's `p`, whatever SQL shows of it.
        C> Query "prepare q as select 1"
        >a1 Query "prepare q as select 1"
        a1< CommandComplete PREPARE | ReadyForQuery I
        <C CommandComplete PREPARE | ReadyForQuery I
        >a1 {asked}
        a1< DataRow p p " select n from t where n = $1" f | DataRow p q "prepare q as select 1" t | ReadyForQuery I
        a1< {TOLD} | ParameterDescription | RowDescription n | ReadyForQuery I
        C> Query "execute p(1)"
        >a1 Query "execute p(1)"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
        asked = asked_of(&["q"]),
    ));
    // With its own types it yields something else all the same.
    check(&format!(
        r#"
        {prepared}
        C> Query "execute p(1)"
        {first}
        >a1 {typed}
        a1< CloseComplete | ParseComplete | ParameterDescription 23 | RowDescription m | ReadyForQuery I
        >a1 {stands_in}
        a1< {IN_PLACE}
        >a1 Query "execute p(1)"
        a1< {used} | ReadyForQuery I
        <C {CHANGED} | ReadyForQuery I
        "#,
        stands_in = stands_in("p", 0, "23"),
        used = used(0),
    ));
}

/// Prepared once more under its name and with its text it is what it is now.
#[test]
fn who_prepares_again_is_healed() {
    let (prepared, asked) = (prepared(), asked_of(&["p"]));
    let text = "prepare p as select n from t where n = $1";
    check(&format!(
        r#"
        {prepared}
        C> Query "deallocate p"
        {first}
        >a1 {stands_in}
        a1< {IN_PLACE}
        >a1 Query "deallocate p"
        a1< CommandComplete DEALLOCATE | ReadyForQuery I
        <C CommandComplete DEALLOCATE | ReadyForQuery I
        >a1 {asked}
        a1< ReadyForQuery I | {TOLD} | {NO_P}
        C> Query "{text}"
        >a1 Query "{text}"
        a1< CommandComplete PREPARE | ReadyForQuery I
        <C CommandComplete PREPARE | ReadyForQuery I
        >a1 {asked}
        a1< DataRow p p "{text}" t | ReadyForQuery I
        a1< {TOLD} | ParameterDescription 23 | RowDescription m | ReadyForQuery I
        C> Query "execute p(1)"
        >a1 Query "execute p(1)"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
        first = again("23", "m"),
        stands_in = stands_in("p", 0, "23"),
    ));
    // In one go, on its own server: with the same text it yields something else from now on, and is held to that.
    check(&format!(
        r#"
        {prepared}
        C> Query "deallocate p; {text}"
        {back}
        >a1 Query "deallocate p; {text}"
        a1< CommandComplete DEALLOCATE | CommandComplete PREPARE | ReadyForQuery I
        <C CommandComplete DEALLOCATE | CommandComplete PREPARE | ReadyForQuery I
        >a1 {asked}
        a1< DataRow p p "{text}" t | ReadyForQuery I
        a1< {TOLD} | ParameterDescription 23 | RowDescription m | ReadyForQuery I
        D> Query "select d"
        >a1 Query "DEALLOCATE \"p\";"
        a1< CommandComplete DEALLOCATE | ReadyForQuery I
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "execute p(1)"
        {changed}
        >a1 Query "execute p(1)"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
        back = again("23", "n"),
        changed = again("23", "m"),
    ));
}

/// What an inspection finds beside something that stands in stays the client's, and it goes on standing in.
#[test]
fn it_stands_in_as_long_as_its_server_is_kept() {
    let (prepared, used) = (prepared(), used(0));
    check(&format!(
        r#"
        {prepared}
        C> Query "create temp table x ()"
        {first}
        >a1 {stands_in}
        a1< {IN_PLACE}
        >a1 Query "create temp table x ()"
        a1< CommandComplete "CREATE TABLE" | ReadyForQuery I
        <C CommandComplete "CREATE TABLE" | ReadyForQuery I
        >a1 Query ~pg_my_temp_schema
        a1< DataRow t | ReadyForQuery I
        C> Query "prepare q as select 1"
        >a1 Query "prepare q as select 1"
        a1< CommandComplete PREPARE | ReadyForQuery I
        <C CommandComplete PREPARE | ReadyForQuery I
        >a1 Query ~pg_prepared_statements
        a1< DataRow p p "SELECT '_pg_expandarray" f | DataRow p q "prepare q as select 1" t | DataRow t | ReadyForQuery I
        C> Query "execute p(1)"
        >a1 Query "execute p(1)"
        a1< {used} | ReadyForQuery I
        <C {CHANGED} | ReadyForQuery I
        >a1 Query ~pg_prepared_statements
        a1< DataRow p p "SELECT '_pg_expandarray" f | DataRow p q "prepare q as select 1" t | ReadyForQuery I
        "#,
        first = again("23", "m"),
        stands_in = stands_in("p", 0, "23"),
    ));
}

/// One that nobody has named is asked about once it is known; one that cannot be described keeps its server.
#[test]
fn what_is_not_known_of_a_statement() {
    let prepared_unseen = format!(
        r#"
        C> Query "do $$begin execute 'prepare p as table t'; end$$"
        >a1 Query "do $$begin execute 'prepare p as table t'; end$$"
        a1< CommandComplete DO | ReadyForQuery I
        <C CommandComplete DO | ReadyForQuery I
        >a1 Query ~pg_prepared_statements
        a1< DataRow p p "prepare p as table t" t | ReadyForQuery I
        >a1 Parse pgsteer_local ~lock_timeout | {LOCALLY} | Describe S p | Sync
        "#
    );
    check(&format!(
        r#"
        {prepared_unseen}
        a1< {TOLD} | ParameterDescription | RowDescription n | ReadyForQuery I
        C> Query "execute p"
        >a1 Query "DISCARD ALL"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        >a1 Query "prepare p as table t" | Describe S p | Sync
        a1< CommandComplete PREPARE | ReadyForQuery I | ParameterDescription | RowDescription n | ReadyForQuery I
        >a1 Query "execute p"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#
    ));
    check(&format!(
        r#"
        {prepared_unseen}
        a1< {TOLD} | Error 55P03 "canceling statement due to lock timeout" | ReadyForQuery I
        activity C Pinned none
        "#
    ));
}

/// What it was about is gone: who uses it hears that, in the server's words, and nobody else does.
#[test]
fn a_statement_that_cannot_be_prepared_any_more_says_why() {
    let gone = "Error 42P01 \"relation \\\"t\\\" does not exist\"";
    let (prepared, used, stands_in) = (prepared(), used(0), stands_in("p", 0, "23"));
    let refused = format!(r#"a1< {gone} | ReadyForQuery I | {NO_P}"#);
    check(&format!(
        r#"
        {prepared}
        C> Query "select 1"
        >a1 Query "prepare p as select n from t where n = $1" | Describe S p | Sync
        {refused}
        >a1 {stands_in}
        a1< {IN_PLACE}
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "execute p(1)"
        >a1 Query "DEALLOCATE \"p\";" | Query "prepare p as select n from t where n = $1" | Describe S p | Sync
        a1< CommandComplete DEALLOCATE | ReadyForQuery I
        {refused}
        >a1 {stands_in}
        a1< {IN_PLACE}
        >a1 Query "execute p(1)"
        a1< {used} | ReadyForQuery I
        <C {gone} | ReadyForQuery I
        pool a idle=1
        "#
    ));
    // Where not even that can be, it is forgotten.
    check(&format!(
        r#"
        {prepared}
        C> Query "execute p(1)"
        >a1 Query "prepare p as select n from t where n = $1" | Describe S p | Sync
        {refused}
        >a1 {stands_in}
        a1< Error 3F000 "schema \"information_schema\" does not exist" | ReadyForQuery I
        >a1 Query "execute p(1)"
        a1< {NO_P}
        <C {NO_P}
        C> Query "select 1"
        >a1 Query "select 1"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#
    ));
    // What may pass is no reason.
    check(&format!(
        r#"
        {prepared}
        C> Query "select 1"
        >a1 Query "prepare p as select n from t where n = $1" | Describe S p | Sync
        a1< Error 55P03 "canceling statement due to lock timeout" | ReadyForQuery I | {NO_P}
        <C Error 55P03 _ | ReadyForQuery I
        >a1 Query "DISCARD ALL"
        a1< CommandComplete "DISCARD ALL" | ReadyForQuery I
        C> Query "execute p(1)"
        {back}
        >a1 Query "execute p(1)"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
        back = again("23", "n"),
    ));
}

/// One without a name whose first use has failed before it was described: what is `told` of it then; and what comes of it where
/// `C` has another server.
fn after_a_failure(told: &str, elsewhere: &str) {
    check_with(
        |setup| setup.settings.limits.size = 2,
        &format!(
            r#"
            C> Parse "" "{UNNAMED}" | Bind "" "" x | Execute "" | Sync
            >a1 Parse "" "{UNNAMED}" | Bind "" "" x | Describe S "" | Execute "" | Sync
            a1< ParseComplete | Error 22P02 "invalid input syntax" | ReadyForQuery I
            <C ParseComplete | Error 22P02 "invalid input syntax" | ReadyForQuery I
            >a1 Parse pgsteer_local ~lock_timeout | {LOCALLY} | Describe S "" | Sync
            a1< {TOLD} | {told} | ReadyForQuery I
            D> Query begin
            >a1 Query begin
            a1< CommandComplete BEGIN | ReadyForQuery T
            <D CommandComplete BEGIN | ReadyForQuery T
            {elsewhere}
            "#
        ),
    );
}

const UNNAMED: &str = "select n from t where n = $1";

#[test]
fn an_unnamed_one_is_described_behind_its_failure() {
    let missing = "Error 26000 \"prepared statement \\\"pgsteer_\\\" does not exist\"";
    let refused = format!(
        r#"
        >a2 Bind "" "" 1 | Bind "" pgsteer_ | Execute "" | Sync
        a2< BindComplete | {missing} | ReadyForQuery I
        <C {CHANGED} | ReadyForQuery I
        "#
    );
    after_a_failure(
        "ParameterDescription 23 | RowDescription n",
        &format!(
            r#"
            C> Bind "" "" 1 | Execute "" | Sync
            >a2 Parse "" "{UNNAMED}" 23 | Describe S "" | Sync
            a2< ParseComplete | ParameterDescription 23 | RowDescription m | ReadyForQuery I
            {refused}
            "#
        ),
    );
    // The table has changed by then: it is refused wherever it is parsed again.
    after_a_failure(
        &format!("ParameterDescription 23 | {CHANGED}"),
        &format!(
            r#"
            C> Bind "" "" 1 | Execute "" | Sync
            >a2 Parse "" "{UNNAMED}" | Describe S "" | Sync
            a2< ParseComplete | ParameterDescription 23 | RowDescription n | ReadyForQuery I
            {refused}
            C> Parse "" "{UNNAMED}" | Describe S "" | Sync
            >a2 Parse pgsteer_2 "{UNNAMED}" | Describe S pgsteer_2 | Sync
            a2< ParseComplete | ParameterDescription 23 | RowDescription m | ReadyForQuery I
            <C ParseComplete | ParameterDescription 23 | RowDescription m | ReadyForQuery I
            "#
        ),
    );
    // There is none, whatever was thought.
    let none = "Error 26000 \"unnamed prepared statement does not exist\"";
    after_a_failure(
        none,
        &format!(
            r#"
            C> Describe S "" | Sync
            >a2 Close S "" | Describe S "" | Sync
            a2< CloseComplete | {none} | ReadyForQuery I
            <C {none} | ReadyForQuery I
            "#
        ),
    );
}

/// The protocol knows it by its name, too.
#[test]
fn one_that_the_protocol_closes_is_gone() {
    let prepared = prepared();
    check(&format!(
        r#"
        {prepared}
        C> Close S p | Sync
        {back}
        >a1 Close S p | Sync
        a1< CloseComplete | ReadyForQuery I
        <C CloseComplete | ReadyForQuery I
        >a1 {asked}
        a1< ReadyForQuery I | {TOLD} | {NO_P}
        D> Query "select d"
        >a1 Query "select d"
        a1< CommandComplete "SELECT 1" | ReadyForQuery I
        <D CommandComplete "SELECT 1" | ReadyForQuery I
        C> Query "execute p(1)"
        >a1 Query "execute p(1)"
        a1< {NO_P}
        <C {NO_P}
        "#,
        back = again("23", "n"),
        asked = asked_of(&["p"]),
    ));
}

/// Also for a client that does not wait between two transactions, as it may have changed the table back itself.
#[test]
fn it_is_tried_again_between_transactions_that_are_sent_together() {
    let prepared = prepared();
    check(&format!(
        r#"
        {prepared}
        C> Query "alter table t rename m to n" | Parse "" "execute p(1)" | Bind "" "" | Execute "" | Sync
        {first}
        >a1 {stands_in}
        a1< {IN_PLACE}
        >a1 Query "alter table t rename m to n" | nothing
        a1< CommandComplete "ALTER TABLE" | ReadyForQuery I
        <C CommandComplete "ALTER TABLE" | ReadyForQuery I
        {back}
        >a1 Parse "" "execute p(1)" | Bind "" "" | Execute "" | Sync
        a1< ParseComplete | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        <C ParseComplete | BindComplete | CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
        first = again("23", "m"),
        stands_in = stands_in("p", 0, "23"),
        back = once_more("23", "n"),
    ));
}
