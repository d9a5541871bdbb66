//! Statements prepared by the protocol and run by SQL: `EXECUTE` runs what they were where their client prepared them, or is
//! refused as by PostgreSQL.

use crate::machines::check;

/// `C` prepares `q` by the protocol on the server `s`, and then has the server `t`.
const PREPARED: &str = r#"
    C> Parse q "select n from t where n = $1" | Sync
    >s Parse pgsteer_1 "select n from t where n = $1" | Describe S pgsteer_1 | Sync
    s< ParseComplete | ParameterDescription 23 | RowDescription n | ReadyForQuery I
    <C ParseComplete | ReadyForQuery I
    C on t
"#;

const CHANGED: &str = "Error 0A000 \"cached plan must not change result type\"";

/// What is said of what stands in, which is not read by PostgreSQL before it is planned.
fn used(number: usize) -> String {
    format!("Error 22P02 \"invalid input syntax for type integer: \\\"pgsteer stands in: {number}.\\\"\"")
}

/// With `{give}`, `q` comes to the server under its true name; `{alike}` and `{other}`: what that says of it.
fn after_prepared(script: &str) {
    const GIVE: &str = r#"Parse q "select n from t where n = $1" 23 | Describe S q"#;
    let script = script
        .replace("{give}", GIVE)
        .replace("{alike}", "ParseComplete | ParameterDescription 23 | RowDescription n")
        .replace("{other}", "ParseComplete | ParameterDescription 23 | RowDescription n m")
        .replace("{changed}", CHANGED)
        .replace("{no_such}", "Error 26000 \"prepared statement \\\"pgsteer_\\\" does not exist\"");
    check(&format!("{PREPARED}{script}"));
}

#[test]
fn what_is_as_it_was_is_run() {
    after_prepared(
        r#"
        C> Query "select 0; execute q(1)"
        >t {give} | Sync
        t< {alike} | ReadyForQuery I
        >t Query "select 0; execute q(1)"
        t< CommandComplete "SELECT 1" | CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | CommandComplete "SELECT 1" | ReadyForQuery I
        # Then it is there, and PostgreSQL itself holds it to what it yields.
        C> Query "execute q(2)"
        >t Query "execute q(2)"
        t< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Parse "" "explain execute q(2)" | Bind "" "" | Execute "" | Sync
        >t Parse "" "explain execute q(2)" | Bind "" "" | Execute "" | Sync
        t< ParseComplete | BindComplete | CommandComplete EXPLAIN | ReadyForQuery I
        <C ParseComplete | BindComplete | CommandComplete EXPLAIN | ReadyForQuery I
        "#,
    );
}

/// What else stands in the text is run as far as PostgreSQL runs it.
#[test]
fn what_yields_something_else_is_refused_where_it_is_run() {
    let used = [used(256), used(257)];
    after_prepared(&format!(
        r#"
        C> Query "select 0; execute q(1)"
        >t {{give}} | Sync
        t< {{other}} | ReadyForQuery I
        >t Close S q | Parse q "~pgsteer stands in: 256." 23 | Query "select 0; execute q(1)"
        t< CloseComplete | ParseComplete | CommandComplete "SELECT 1" | {used} | ReadyForQuery I
        <C CommandComplete "SELECT 1" | {{changed}} | ReadyForQuery I
        # It is tried again whenever it is used, also inside a transaction.
        C> Query begin
        >t Query begin
        t< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Query "execute q(1)"
        >t Query "SAVEPOINT pgsteer_aside" | Close S q | {{give}} | Sync | Query "~ROLLBACK TO SAVEPOINT pgsteer_aside"
        t< CommandComplete SAVEPOINT | ReadyForQuery T | CloseComplete | {{other}} | ReadyForQuery T
        t< CommandComplete ROLLBACK | CommandComplete RELEASE | ReadyForQuery T
        >t Close S q | Parse q "~pgsteer stands in: 257." 23 | Query "execute q(1)"
        t< CloseComplete | ParseComplete | {again} | ReadyForQuery E
        <C {{changed}} | ReadyForQuery E
        C> Query rollback
        >t Query rollback
        t< CommandComplete ROLLBACK | ReadyForQuery I
        <C CommandComplete ROLLBACK | ReadyForQuery I
        C> Query "execute q(1)"
        >t Close S q | {{give}} | Sync
        t< CloseComplete | {{alike}} | ReadyForQuery I
        >t Query "execute q(1)"
        t< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
        used = used[0],
        again = used[1],
    ));
}

/// What cannot be parsed any more fails where it is run, in the server's words.
#[test]
fn what_cannot_be_parsed_is_refused_where_it_is_run() {
    let used = used(256);
    after_prepared(&format!(
        r#"
        C> Query begin
        >t Query begin
        t< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Query "select 0; execute q(1)"
        >t Query "SAVEPOINT pgsteer_aside" | {{give}} | Sync | Query "~ROLLBACK TO SAVEPOINT pgsteer_aside"
        t< CommandComplete SAVEPOINT | ReadyForQuery T | Error 42P01 "no t" | ReadyForQuery E
        t< CommandComplete ROLLBACK | CommandComplete RELEASE | ReadyForQuery T
        >t Parse q "~pgsteer stands in: 256." 23 | Query "select 0; execute q(1)"
        t< ParseComplete | CommandComplete "SELECT 1" | {used} | ReadyForQuery E
        <C CommandComplete "SELECT 1" | Error 42P01 "no t" | ReadyForQuery E
        "#
    ));
}

/// Of a single statement nothing else can come, so an `EXECUTE` is refused when it is bound.
#[test]
fn what_is_bound_is_refused_at_once() {
    after_prepared(
        r#"
        C> Parse "" "execute q(1)" | Bind "" "" | Execute "" | Sync
        >t Parse "" "execute q(1)" | {give} | Flush
        t< ParseComplete | {other}
        <C ParseComplete
        >t Parse "" "execute q(1)" | Bind "" "" | Bind "" pgsteer_ | Execute "" | Sync
        t< ParseComplete | BindComplete | {no_such} | ReadyForQuery I
        <C {changed} | ReadyForQuery I
        # Where it cannot be parsed, its client's sequence fails by that.
        C> Parse "" "execute q(1)" | Bind "" "" | Execute "" | Sync
        >t Parse "" "execute q(1)" | Close S q | {give} | Flush
        t< ParseComplete | CloseComplete | Error 42P01 "no t"
        <C ParseComplete | Error 42P01 "no t"
        >t Sync
        t< ReadyForQuery I
        <C ReadyForQuery I
        "#,
    );
}

/// What else runs a statement looks for it when it is run.
#[test]
fn what_runs_it_later_is_refused_later() {
    after_prepared(
        r#"
        C> Parse "" "explain execute q(1)" | Bind "" "" | Describe P "" | Execute "" | Sync
        >t Parse "" "explain execute q(1)" | Bind "" "" | Describe P "" | {give} | Flush
        t< ParseComplete | BindComplete | RowDescription plan | {other}
        <C ParseComplete | BindComplete | RowDescription plan
        >t Bind "" pgsteer_ | Sync
        t< {no_such} | ReadyForQuery I
        <C {changed} | ReadyForQuery I
        # Under a name, and where it cannot be parsed.
        C> Parse e "create table u as execute q(1)" | Bind p e | Describe P p | Bind "" e | Execute p | Sync
        >t Parse pgsteer_2 "create table u as execute q(1)" | Bind p pgsteer_2 | Describe P p | Bind "" pgsteer_2 | Close S q | {give} | Flush
        t< ParseComplete | BindComplete | NoData | BindComplete | CloseComplete | Error 42P01 "no t"
        <C ParseComplete | BindComplete | NoData | BindComplete | Error 42P01 "no t"
        >t Sync
        t< ReadyForQuery I
        <C ReadyForQuery I
        # In a block, in a sequence of its own.
        C> Query begin
        >t Query begin
        t< CommandComplete BEGIN | ReadyForQuery T
        <C CommandComplete BEGIN | ReadyForQuery T
        C> Bind p e | Sync
        >t Bind p pgsteer_2 | Sync
        t< BindComplete | ReadyForQuery T
        <C BindComplete | ReadyForQuery T
        C> Execute p | Sync
        >t {give} | Sync
        t< {alike} | ReadyForQuery T
        >t Execute p | Sync
        t< CommandComplete "SELECT 1" | ReadyForQuery T
        <C CommandComplete "SELECT 1" | ReadyForQuery T
        "#,
    );
}

/// An `EXECUTE` that is itself prepared is described as what it runs.
#[test]
fn an_execute_is_described_as_what_it_runs() {
    after_prepared(
        r#"
        # Parsing it cannot fail for want of what it runs. With that it is parsed again.
        C> Parse e "execute q(1)" | Describe S e | Sync
        >t Parse pgsteer_2 "execute q(1)" | {give} | Flush
        t< ParseComplete | {alike}
        <C ParseComplete
        >t Close S pgsteer_2 | Parse pgsteer_2 "execute q(1)" | Describe S pgsteer_2 | Sync
        t< CloseComplete | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParameterDescription | RowDescription n | ReadyForQuery I
        C on u
        C> Describe S e | Sync
        >u {give} | Sync
        u< {alike} | ReadyForQuery I
        >u Parse pgsteer_2 "execute q(1)" | Describe S pgsteer_2 | Sync
        u< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParameterDescription | RowDescription n | ReadyForQuery I
        C on v
        # PostgreSQL tells the parameters before it finds that the result has changed.
        C> Describe S e | Sync
        >v {give} | Sync
        v< {other} | ReadyForQuery I
        >v Parse pgsteer_2 "execute q(1)" | Describe S pgsteer_2 | Bind "" pgsteer_ | Sync
        v< ParseComplete | ParameterDescription | RowDescription n m | {no_such} | ReadyForQuery I
        <C ParameterDescription | {changed} | ReadyForQuery I
        C> Bind "" e | Execute "" | Sync
        >v Close S q | {give} | Sync
        v< CloseComplete | {other} | ReadyForQuery I
        >v Close S pgsteer_2 | Parse pgsteer_2 "execute q(1)" | Bind "" pgsteer_2 | Bind "" pgsteer_ | Execute "" | Sync
        v< CloseComplete | ParseComplete | BindComplete | {no_such} | ReadyForQuery I
        <C {changed} | ReadyForQuery I
        # What was parsed there meanwhile is not what it is to be.
        C> Describe S e | Sync
        >v Close S q | {give} | Sync
        v< CloseComplete | {alike} | ReadyForQuery I
        >v Close S pgsteer_2 | Parse pgsteer_2 "execute q(1)" | Describe S pgsteer_2 | Sync
        v< CloseComplete | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParameterDescription | RowDescription n | ReadyForQuery I
        "#,
    );
}

/// What is prepared while another thing has the name is not described as that.
#[test]
fn an_execute_of_what_is_refused_is_not_described() {
    after_prepared(
        r#"
        C> Parse e "execute q(1)" | Sync
        >t Parse pgsteer_2 "execute q(1)" | Sync
        t< ParseComplete | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        C> Describe S e | Sync
        >t {give} | Sync
        t< {other} | ReadyForQuery I
        >t Close S pgsteer_2 | Parse pgsteer_2 "execute q(1)" | Describe S pgsteer_2 | Bind "" pgsteer_ | Sync
        t< CloseComplete | ParseComplete | ParameterDescription | RowDescription n m | {no_such} | ReadyForQuery I
        <C ParameterDescription | {changed} | ReadyForQuery I
        C> Describe S e | Sync
        >t Close S q | {give} | Sync
        t< CloseComplete | {alike} | ReadyForQuery I
        >t Close S pgsteer_2 | Parse pgsteer_2 "execute q(1)" | Describe S pgsteer_2 | Sync
        t< CloseComplete | ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParameterDescription | RowDescription n | ReadyForQuery I
        "#,
    );
    after_prepared(
        r#"
        C> Parse "" "execute q(1)" | Describe S "" | Sync
        >t Parse "" "execute q(1)" | {give} | Flush
        t< ParseComplete | {other}
        <C ParseComplete
        >t Parse "" "execute q(1)" | Describe S "" | Bind "" pgsteer_ | Sync
        t< ParseComplete | ParameterDescription | RowDescription n m | {no_such} | ReadyForQuery I
        <C ParameterDescription | {changed} | ReadyForQuery I
        C> Describe S "" | Sync
        >t Close S q | {give} | Sync
        t< CloseComplete | {alike} | ReadyForQuery I
        >t Parse "" "execute q(1)" | Describe S "" | Sync
        t< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParameterDescription | RowDescription n | ReadyForQuery I
        "#,
    );
}

/// What a client closes, it has under no name.
#[test]
fn what_is_closed_is_closed_under_its_true_name_too() {
    after_prepared(
        r#"
        C> Query "execute q(1)"
        >t {give} | Sync
        t< {alike} | ReadyForQuery I
        >t Query "execute q(1)"
        t< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Close S q | Bind "" q 1 | Sync
        >t Close S q | Bind "" q 1 | Sync
        t< CloseComplete | Error 26000 "prepared statement \"q\" does not exist" | ReadyForQuery I
        <C CloseComplete | Error 26000 "prepared statement \"q\" does not exist" | ReadyForQuery I
        # Another of this name is another.
        C> Parse q "select 2" | Sync
        >t Parse pgsteer_2 "select 2" | Describe S pgsteer_2 | Sync
        t< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        <C ParseComplete | ReadyForQuery I
        C> Query "execute q"
        >t Parse q "select 2" | Describe S q | Sync
        t< ParseComplete | ParameterDescription | RowDescription n | ReadyForQuery I
        >t Query "execute q"
        t< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
    // Behind an error it is not closed.
    after_prepared(
        r#"
        C> Query "execute q(1)"
        >t {give} | Sync
        t< {alike} | ReadyForQuery I
        >t Query "execute q(1)"
        t< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        C> Parse "" "syntax err" | Close S q | Sync
        >t Parse "" "syntax err" | Close S q | Sync
        t< Error 42601 "syntax error" | ReadyForQuery I
        <C Error 42601 "syntax error" | ReadyForQuery I
        C> Query "execute q(1)"
        >t Close S q | {give} | Sync
        t< CloseComplete | {alike} | ReadyForQuery I
        >t Query "execute q(1)"
        t< CommandComplete "SELECT 1" | ReadyForQuery I
        <C CommandComplete "SELECT 1" | ReadyForQuery I
        "#,
    );
}

/// What is not prepared after all is not there.
#[test]
fn what_an_error_has_taken_along_is_not_there() {
    after_prepared(
        r#"
        C> Bind "" none | Parse r "show all" | Sync | Query "execute r"
        >t Bind "" none | Parse pgsteer_2 "show all" | Sync
        t< Error 26000 "prepared statement \"none\" does not exist" | ReadyForQuery I
        <C Error 26000 "prepared statement \"none\" does not exist" | ReadyForQuery I
        >t Query "execute r"
        t< Error 26000 "prepared statement \"r\" does not exist" | ReadyForQuery I
        <C Error 26000 "prepared statement \"r\" does not exist" | ReadyForQuery I
        "#,
    );
}

/// What a server skips, up to the client's own Sync, it is not made to run.
#[test]
fn what_is_skipped_is_skipped() {
    after_prepared(
        r#"
        C> Bind "" none | Query "select 1" | Query "deallocate q" | Sync
        >t Bind "" none | Query "select 1"
        t< Error 26000 "prepared statement \"none\" does not exist"
        <C Error 26000 "prepared statement \"none\" does not exist"
        >t Sync
        t< ReadyForQuery I
        <C ReadyForQuery I
        "#,
    );
}

/// What is sent behind other things waits for them: whether a block is open decides what is asked.
#[test]
fn what_comes_ahead_of_it_is_answered_first() {
    let used = used(256);
    after_prepared(&format!(
        r#"
        C> Query "select 1/0" | Query "execute q(1)"
        >t Query "select 1/0"
        t< Error 22012 "division by zero" | ReadyForQuery I
        <C Error 22012 "division by zero" | ReadyForQuery I
        >t {{give}} | Sync
        t< {{other}} | ReadyForQuery I
        >t Close S q | Parse q "~pgsteer stands in: 256." 23 | Query "execute q(1)"
        t< CloseComplete | ParseComplete | {used} | ReadyForQuery I
        <C {{changed}} | ReadyForQuery I
        "#
    ));
    // In a transaction that has failed the server refuses whatever comes.
    after_prepared(
        r#"
        C> Query "begin; select 1/0" | Query "execute q(1)"
        >t Query "begin; select 1/0"
        t< CommandComplete BEGIN | Error 22012 "division by zero" | ReadyForQuery E
        <C CommandComplete BEGIN | Error 22012 "division by zero" | ReadyForQuery E
        >t Query "execute q(1)"
        t< Error 25P02 "aborted" | ReadyForQuery E
        <C Error 25P02 "aborted" | ReadyForQuery E
        "#,
    );
}
