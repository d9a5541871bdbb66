//! What a session holds, through pgsteer in transaction mode as on a connection of its own: the server changes under the
//! client between any two transactions, and other clients with other settings come in between.

use std::time::Duration;

use anyhow::{Context, ensure};
use pgsteer_testkit::{
    Client, Cluster, Door, Login, Release, Result, Single, cause, connection_string, sqlstate,
};
use tokio_postgres::SimpleQueryMessage;

const ROTATING: &str =
    "[auth]\nauth_type = \"trust\"\n[pool]\nrotate_servers = true\ndefault_pool_size = 12\n";

/// Statement by statement, each in one message.
const SCRIPTS: [(&str, &[&str]); 14] = [
    (
        "buffers for temporary tables",
        &[
            "SET temp_buffers = 200",
            "SHOW temp_buffers",
            "BEGIN",
            "SET LOCAL temp_buffers = 300",
            "SHOW temp_buffers",
            "COMMIT",
            "SHOW temp_buffers",
            "CREATE TEMP TABLE mine (n int); INSERT INTO mine VALUES (1)",
            "SET temp_buffers = 400",
            "SHOW temp_buffers",
            "DROP TABLE mine",
        ],
    ),
    (
        "settings",
        &[
            "SET statement_timeout = '5s'",
            "SHOW statement_timeout",
            "SET work_mem = '8MB'; SET lock_timeout = 77",
            "SHOW work_mem",
            "SHOW lock_timeout",
            "BEGIN; SET work_mem = '9MB'; ROLLBACK",
            "SHOW work_mem",
            "BEGIN; SET work_mem = '9MB'; SAVEPOINT a; SET work_mem = '10MB'; ROLLBACK TO a; COMMIT",
            "SHOW work_mem",
            "BEGIN",
            "SET LOCAL work_mem = '1MB'",
            "SET lock_timeout = 78",
            "COMMIT",
            "SHOW work_mem",
            "SELECT set_config('lock_timeout', (2 * 40)::text, false)",
            "SHOW lock_timeout",
            "RESET work_mem",
            "SHOW work_mem",
            "SET search_path = nosuch, pg_catalog",
            "SELECT current_schemas(false), current_setting('search_path')",
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "BEGIN; SHOW transaction_isolation; COMMIT",
            "SET work_mem = 'nonsense'",
            "RESET ALL",
            "SHOW lock_timeout",
            "SHOW search_path",
            "SHOW default_transaction_isolation",
            "UPDATE pg_settings SET setting = '99' WHERE name = 'lock_timeout'",
            "SHOW lock_timeout",
        ],
    ),
    (
        "settings of one's own",
        &[
            "SET app.tenant = 'joe'",
            "SELECT current_setting('app.tenant', true)",
            "SELECT set_config('app.tenant', 'it''s \\ ü', false)",
            "SELECT current_setting('app.tenant', true)",
            "BEGIN; SET app.tenant = 'x'; ROLLBACK",
            "SHOW app.tenant",
            "SET app.other TO a, b",
            "SHOW app.other",
            "RESET app.tenant",
            "SELECT current_setting('app.tenant', true) = ''",
            "DISCARD ALL",
            "SELECT current_setting('app.other', true) = ''",
        ],
    ),
    (
        "settings that the server reports",
        &[
            "SET datestyle = 'German'",
            "SELECT date '2003-02-01'",
            "SET timezone = 'Asia/Kolkata'",
            "SELECT timestamptz '2003-02-01 00:00:00Z'",
            "BEGIN; SET datestyle = 'SQL, DMY'; SELECT date '2003-02-01'; ROLLBACK",
            "SELECT date '2003-02-01'",
            "RESET datestyle",
            "SELECT date '2003-02-01'",
            "BEGIN",
            "RESET timezone",
            "SHOW timezone",
            "COMMIT",
            "SHOW timezone",
            "SET standard_conforming_strings = off",
            "SELECT 'a\\\\b'",
            "SHOW standard_conforming_strings",
        ],
    ),
    (
        "roles",
        &[
            "SET ROLE limited",
            "SELECT current_user, session_user",
            "CREATE TABLE public.nobody_may (n int)",
            "SET work_mem = '3MB'",
            "SHOW work_mem",
            "SELECT current_user",
            "BEGIN; RESET ROLE; SELECT current_user; ROLLBACK",
            "SELECT current_user",
            "SET ROLE NONE",
            "SELECT current_user",
            "SET ROLE nosuch",
            "SET SESSION AUTHORIZATION limited",
            "SELECT current_user, session_user",
            "DISCARD ALL",
            "SELECT current_user, session_user",
        ],
    ),
    (
        "statements prepared by SQL",
        &[
            "PREPARE p AS SELECT 42; -- and no more",
            "EXECUTE p",
            "PREPARE q (int) AS SELECT $1 + 1",
            "EXECUTE q(41)",
            "EXECUTE p",
            "PREPARE p AS SELECT 43",
            "BEGIN; PREPARE r AS SELECT 'it''s'; ROLLBACK",
            "EXECUTE r",
            "EXPLAIN (COSTS OFF) EXECUTE q(1)",
            "DEALLOCATE p",
            "EXECUTE p",
            "EXECUTE q(1)",
            "PREPARE d AS SELECT date '1/2/2003'",
            "SET datestyle = 'ISO, DMY'",
            "EXECUTE d",
            "DEALLOCATE ALL",
            "EXECUTE q(1)",
            "SET datestyle = 'ISO, MDY'",
            "PREPARE n AS SELECT timestamptz 'now' = now()",
            "SELECT 1",
            "EXECUTE n",
        ],
    ),
    (
        "temporary tables",
        &[
            "CREATE TEMP TABLE t (n int); INSERT INTO t VALUES (1)",
            "SELECT * FROM t",
            "BEGIN; CREATE TEMP TABLE u (n int) ON COMMIT DROP; COMMIT",
            "PREPARE p AS SELECT * FROM t",
            "EXECUTE p",
            "DROP TABLE t",
            "EXECUTE p",
            "CREATE TEMP TABLE t AS SELECT 2 AS n",
            "EXECUTE p",
            "DISCARD TEMP",
            "SELECT * FROM t",
            "DEALLOCATE p",
            "SELECT 3 AS n INTO TEMP t",
            "TABLE t",
            "DISCARD ALL",
            "TABLE t",
        ],
    ),
    (
        "cursors",
        &[
            "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 3); COMMIT",
            "FETCH 1 FROM c",
            "FETCH 1 FROM c",
            "BEGIN; DECLARE d CURSOR FOR SELECT 1; COMMIT",
            "FETCH 1 FROM d",
            "CLOSE c",
            "FETCH 1 FROM c",
        ],
    ),
    (
        "locks",
        &[
            "SELECT pg_advisory_lock(7)",
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
            "SELECT pg_advisory_lock(7)",
            "SELECT pg_advisory_unlock(7)",
            "SELECT pg_advisory_unlock(7)",
            "SELECT pg_advisory_unlock(7)",
            "BEGIN; SELECT pg_advisory_xact_lock(8); COMMIT",
            "SELECT pg_advisory_unlock(8)",
            "SELECT pg_try_advisory_lock(9)",
            "SELECT pg_advisory_unlock_all()",
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
        ],
    ),
    (
        "code",
        &[
            "DO $$ BEGIN PERFORM set_config('lock_timeout', '78', false); END $$",
            "SHOW lock_timeout",
            "DO $$ BEGIN SET work_mem = '7MB'; END $$",
            "SHOW work_mem",
        ],
    ),
    (
        "random numbers",
        &["SELECT setseed(0.25)", "SELECT random() = random()", "SELECT setseed(0.25)", "SELECT random()"],
    ),
    (
        "sequences",
        &[
            "CREATE SEQUENCE IF NOT EXISTS seq",
            "SELECT currval('seq')",
            "SELECT lastval()",
            "BEGIN; SELECT nextval('seq') = currval('seq'); COMMIT",
            "SELECT nextval('seq') = currval('seq')",
            "SELECT lastval() = currval('seq')",
            "DISCARD SEQUENCES",
            "SELECT lastval()",
        ],
    ),
    (
        "many at once",
        &[
            "SET work_mem = '5MB'; SET ROLE limited; PREPARE m AS SELECT 1; SET app.tenant = 'm'",
            "SHOW work_mem; SELECT current_user; EXECUTE m; SHOW app.tenant",
            "RESET ROLE; RESET work_mem; DEALLOCATE m; RESET app.tenant",
            "SHOW work_mem; SELECT current_user; SHOW app.tenant",
            "EXECUTE m",
        ],
    ),
    (
        "time limits",
        &[
            "SET statement_timeout = 1",
            "SELECT pg_sleep(1)",
            "SET statement_timeout = 0",
            "SELECT pg_sleep(0.01)",
            "SHOW statement_timeout",
        ],
    ),
];

/// What others do meanwhile.
const OTHERS: [&[&str]; 3] = [
    &["SET work_mem = '2MB'", "SHOW work_mem", "SET app.tenant = 'other'", "SET ROLE limited", "RESET ROLE"],
    &["SET datestyle = 'SQL'", "SET search_path = other", "PREPARE p AS SELECT 'another'", "DEALLOCATE p"],
    &[
        "SELECT 1",
        "SHOW lock_timeout",
        "BEGIN; SET LOCAL lock_timeout = 5; COMMIT",
        "BEGIN; CREATE TEMP TABLE theirs (n int) ON COMMIT DROP; INSERT INTO theirs VALUES (1); COMMIT",
        "SET statement_timeout = '9s'",
    ],
];

/// What came of a message, in words.
async fn told(client: &Client, sql: &str) -> Vec<String> {
    match tokio::time::timeout(Duration::from_secs(10), client.simple_query(sql)).await {
        Err(_) => vec!["no answer in time".to_owned()],
        Ok(Err(error)) => vec![cause(&error)],
        Ok(Ok(messages)) => messages.iter().filter_map(shown).collect(),
    }
}

fn shown(message: &SimpleQueryMessage) -> Option<String> {
    match message {
        SimpleQueryMessage::Row(row) => {
            let values = (0..row.len()).map(|place| row.get(place).unwrap_or("NULL"));
            Some(values.collect::<Vec<_>>().join("|"))
        }
        SimpleQueryMessage::CommandComplete(rows) => Some(format!("done {rows}")),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_as_on_a_connection_of_its_own() -> Result {
    let single = Single::start(Release::System, Door::Open, "", ROTATING).await?;
    let superuser = single.server.superuser().await?;
    superuser.batch_execute(&format!("CREATE ROLE limited; GRANT limited TO {}", Login::TRADER.user)).await?;
    let login = |address| connection_string(address, Login::TRADER, Cluster::DATABASE);

    let mut others = Vec::new();
    for _ in OTHERS {
        others.push(Client::connect(&login(single.proxy.write)).await?);
    }
    let mut turn = 0;
    for (name, script) in SCRIPTS {
        let direct = Client::connect(&login(single.server.address)).await?;
        let mut expected = Vec::new();
        for sql in script {
            expected.push(told(&direct, sql).await);
        }
        drop(direct);
        let pooled = Client::connect(&login(single.proxy.write)).await?;
        for (sql, expected) in script.iter().zip(expected) {
            let heard = told(&pooled, sql).await;
            ensure!(heard == expected, "{name}: {sql}\n  directly: {expected:?}\n  pooled: {heard:?}");
            for (other, does) in others.iter().zip(OTHERS) {
                told(other, does[turn % does.len()]).await;
            }
            turn += 1;
        }
    }
    Ok(())
}

/// What resets a role that no server takes any more does not need it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_was_dropped_can_be_left() -> Result {
    let single = Single::start(Release::System, Door::Open, "", ROTATING).await?;
    let superuser = single.server.superuser().await?;
    let login = Login::TRADER.user;
    let client =
        Client::connect(&connection_string(single.proxy.write, Login::TRADER, Cluster::DATABASE)).await?;
    for out in ["RESET ROLE", "SET ROLE NONE", "RESET SESSION AUTHORIZATION", "DISCARD ALL"] {
        superuser.batch_execute(&format!("CREATE ROLE doomed; GRANT doomed TO {login}")).await?;
        client.batch_execute("SET ROLE doomed; SET work_mem = '7MB'").await?;
        superuser.batch_execute("DROP ROLE doomed").await?;
        let refused = client.batch_execute("SELECT 1").await.err().context("a statement without its role")?;
        ensure!(sqlstate(&refused) == "22023", "{refused}");
        if out == "SET ROLE NONE" {
            client.execute(out, &[]).await?;
        } else {
            client.batch_execute(out).await?;
        }
        ensure!(client.text("SELECT current_user").await? == login, "after {out}");
        let kept = if out == "DISCARD ALL" { "4MB" } else { "7MB" };
        ensure!(client.text("SHOW work_mem").await? == kept, "after {out}");
    }
    Ok(())
}

/// Statements of the protocol's, and what is sent in one go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_know_the_state_they_run_in() -> Result {
    let single = Single::start(Release::System, Door::Open, "", ROTATING).await?;
    let config = connection_string(single.proxy.write, Login::TRADER, Cluster::DATABASE);
    let (one, other) = (Client::connect(&config).await?, Client::connect(&config).await?);
    one.batch_execute("CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE a.t AS SELECT 'a' AS n").await?;
    one.batch_execute("CREATE TABLE b.t AS SELECT 'b' AS n").await?;
    one.batch_execute("SET search_path = a").await?;
    other.batch_execute("SET search_path = b").await?;
    for _ in 0..4 {
        for (client, schema) in [(&one, "a"), (&other, "b")] {
            let rows = client.query("SELECT n FROM t", &[]).await?;
            ensure!(rows[0].get::<_, &str>(0) == schema, "a statement came from another schema");
        }
    }
    let (set, shown) = tokio::join!(one.batch_execute("SET work_mem = '6MB'"), one.text("SHOW work_mem"));
    set?;
    ensure!(shown? == "6MB", "what was sent behind a SET did not find it");
    let prepared = one.prepare("SELECT current_setting('app.tenant', true)").await?;
    for tenant in ["x", "y"] {
        one.batch_execute(&format!("SET app.tenant = '{tenant}'")).await?;
        let row = one.query_one(&prepared, &[]).await?;
        ensure!(row.get::<_, &str>(0) == tenant, "the setting did not follow");
    }
    Ok(())
}

/// On whichever of two servers: PostgreSQL refuses it while its table is another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_prepared_by_sql_yield_what_they_did() -> Result {
    let two = ROTATING.replace("12", "2");
    let single = Single::start(Release::System, Door::Open, "", &two).await?;
    let config = connection_string(single.proxy.write, Login::TRADER, Cluster::DATABASE);
    let (one, other) = (Client::connect(&config).await?, Client::connect(&config).await?);
    other.batch_execute("CREATE TABLE held AS SELECT 1 AS n").await?;
    one.batch_execute("PREPARE p AS SELECT * FROM held").await?;
    let holders = [Client::connect(&config).await?, Client::connect(&config).await?];
    const CHANGED: &str = "cached plan must not change result type";
    for (whose, change, yields) in [
        (&other, "SELECT 1", "1"),
        (&other, "ALTER TABLE held ADD m int DEFAULT 2", CHANGED),
        (&other, "ALTER TABLE held DROP m", "1"),
        (&other, "ALTER TABLE held ALTER n TYPE bigint", CHANGED),
        (&one, "DEALLOCATE p; PREPARE p AS SELECT * FROM held", "1"),
        (&other, "ALTER TABLE held RENAME TO gone", "relation \"held\" does not exist"),
        (&other, "ALTER TABLE gone RENAME TO held", "1"),
    ] {
        for change in change.split("; ") {
            whose.batch_execute(change).await?;
        }
        let mut servers = std::collections::BTreeSet::new();
        holders[0].batch_execute("BEGIN").await?;
        for turn in 0..4 {
            // One server is held, so what follows runs on the other.
            let heard = told(&one, "EXECUTE p").await;
            ensure!(heard[0].contains(yields), "after {change}: {heard:?} instead of {yields}");
            // Nothing else is refused.
            let pid = told(&one, "SELECT pg_backend_pid()").await;
            ensure!(pid.len() == 2, "{pid:?}");
            servers.insert(pid);
            holders[(turn + 1) % 2].batch_execute("BEGIN").await?;
            holders[turn % 2].batch_execute("COMMIT").await?;
        }
        holders[0].batch_execute("COMMIT").await?;
        ensure!(servers.len() == 2, "after {change}: on {servers:?} only");
    }
    Ok(())
}

/// Whoever rests for too long by a limit of its own is ended, by whomever it is just then: it may have a server or none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_ends_by_time_limits_of_its_own() -> Result {
    const IDLE: &str = "FATAL 57P05: terminating connection due to idle-session timeout";
    const IN_BLOCK: &str = "FATAL 25P03: terminating connection due to idle-in-transaction timeout";
    let single = Single::start(Release::System, Door::Open, "", ROTATING).await?;
    let mut begun = Vec::new();
    for (name, address) in single.both() {
        let config = connection_string(address, Login::TRADER, Cluster::DATABASE);
        for (option, statements, expected) in [
            ("", &["SET idle_session_timeout = '200ms'"][..], Some(IDLE)),
            ("", &["SET idle_session_timeout = 200; CREATE TEMP TABLE mine (n int)"], Some(IDLE)),
            ("-c idle_session_timeout=200", &[], Some(IDLE)),
            // Long enough for the next statement, and over before the last one here.
            ("-c idle_session_timeout=4000", &["SET idle_session_timeout = 0"], None),
            ("", &["SET idle_session_timeout = 4000", "DISCARD ALL"], None),
            ("", &["SET idle_session_timeout = 200; BEGIN"], None),
            ("", &["SET idle_in_transaction_session_timeout = 200; BEGIN"], Some(IN_BLOCK)),
            ("-c idle_session_timeout=5s", &["SELECT 1"], Some(IDLE)),
        ] {
            let client = Client::connect(config.clone().options(option)).await?;
            for statement in statements {
                client.batch_execute(statement).await?;
            }
            begun.push((client, format!("{name}: {option} {statements:?}"), expected));
        }
    }
    let ended = tokio::time::timeout(Duration::from_secs(20), async {
        while begun.iter().any(|(client, _, expected)| expected.is_some() && !client.is_closed()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let _late = ended.await;
    for (client, about, expected) in &begun {
        let farewell = client.is_closed().then(|| client.farewell());
        ensure!(farewell.as_deref() == *expected, "{about}: {farewell:?} instead of {expected:?}");
    }
    Ok(())
}
