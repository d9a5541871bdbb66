//! One connection for both: what only reads comes from replicas, the rest from the leader (`route = "split"`).

use std::time::Duration;

use anyhow::{Context, ensure};
use pgsteer_testkit::{Client, Options, Result, Stage, cause, eventually, scenario};
use tokio_postgres::SimpleQueryMessage;

const SOON: Duration = Duration::from_secs(20);

/// Who runs a statement says so by a function that is stable and asked of whoever runs it.
const HERE: &str = "current_setting('in_hot_standby')";

/// What a statement's place is: it yields `on` on a replica and `off` on the leader.
const PLACES: &[(&str, &str)] = &[
    ("SELECT current_setting('in_hot_standby')", "on"),
    ("(SELECT current_setting('in_hot_standby'))", "on"),
    ("VALUES (current_setting('in_hot_standby'))", "on"),
    ("TABLE here", "on"),
    ("WITH a AS (SELECT current_setting('in_hot_standby') AS r) SELECT r FROM a", "on"),
    ("SELECT stable_one()", "on"),
    ("SELECT current_setting('in_hot_standby') FROM t WHERE a = 1", "on"),
    ("/* pgsteer: read */ SELECT volatile_one()", "on"),
    ("/* pgsteer: write */ SELECT current_setting('in_hot_standby')", "off"),
    // A function that may write, or that is not known; also behind a view, an operator, an aggregate, a column's notation.
    ("SELECT nextval('s')::text, current_setting('in_hot_standby')", "off"),
    ("SELECT volatile_one()", "off"),
    ("SELECT random()::text, current_setting('in_hot_standby')", "off"),
    ("SELECT txid_current()::text, current_setting('in_hot_standby')", "off"),
    ("SELECT r FROM counting", "off"),
    ("SELECT r FROM counting_too", "off"),
    ("SELECT 1 ### 2", "off"),
    ("SELECT with_default()", "off"),
    ("SELECT last_value::text, current_setting('in_hot_standby') FROM s", "off"),
    ("SELECT r FROM drawn", "off"),
    ("SELECT count(*)::text, current_setting('in_hot_standby') FROM pg_replication_slots", "off"),
    ("SELECT gathered(a) FROM t", "off"),
    ("SELECT (t).pick FROM t LIMIT 1", "off"),
    ("SELECT current_setting('in_hot_standby') FROM t LIMIT 1 FOR UPDATE", "off"),
    ("SELECT current_setting('in_hot_standby') FROM t LIMIT 1 FOR KEY SHARE", "off"),
    (
        "WITH w AS (INSERT INTO t VALUES (9) RETURNING a) SELECT current_setting('in_hot_standby') FROM w",
        "off",
    ),
    ("INSERT INTO t VALUES (7) RETURNING current_setting('in_hot_standby')", "off"),
    ("SELECT current_setting('in_hot_standby') FROM fleeting", "off"),
    ("SHOW transaction_read_only", "off"),
    ("SELECT 1; SELECT current_setting('in_hot_standby')", "off"),
];

const SCHEMA: &str = "
    CREATE TABLE t (a int); INSERT INTO t VALUES (1);
    CREATE SEQUENCE s;
    CREATE UNLOGGED TABLE fleeting (a int); INSERT INTO fleeting VALUES (1);
    CREATE VIEW here AS SELECT current_setting('in_hot_standby') AS r;
    CREATE VIEW counting AS SELECT nextval('s') AS n, current_setting('in_hot_standby') AS r;
    CREATE VIEW counting_too AS SELECT r FROM counting;
    CREATE FUNCTION stable_one() RETURNS text STABLE LANGUAGE sql AS $$SELECT current_setting('in_hot_standby')$$;
    CREATE FUNCTION takes(seconds float) RETURNS text STABLE LANGUAGE plpgsql
        AS $$BEGIN PERFORM pg_sleep(seconds); RETURN 'took'; END$$;
    CREATE FUNCTION volatile_one() RETURNS text LANGUAGE sql AS $$SELECT current_setting('in_hot_standby')$$;
    CREATE FUNCTION with_default(x text DEFAULT volatile_one()) RETURNS text IMMUTABLE LANGUAGE sql AS $$SELECT x$$;
    CREATE VIEW drawn AS SELECT last_value, current_setting('in_hot_standby') AS r FROM s;
    CREATE FUNCTION pick(t) RETURNS text LANGUAGE sql AS $$SELECT current_setting('in_hot_standby')$$;
    CREATE FUNCTION odd(int, int) RETURNS text LANGUAGE sql AS $$SELECT current_setting('in_hot_standby')$$;
    CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = odd);
    CREATE FUNCTION gather(text, int) RETURNS text LANGUAGE sql AS $$SELECT current_setting('in_hot_standby')$$;
    CREATE AGGREGATE gathered(int) (SFUNC = gather, STYPE = text);
    CREATE FUNCTION liar() RETURNS text STABLE LANGUAGE plpgsql
        AS $$BEGIN PERFORM nextval('s'); RETURN current_setting('in_hot_standby'); END$$";

/// The last column of the last row.
async fn place(client: &Client, sql: &str) -> Result<String> {
    let messages =
        client.simple_query(sql).await.map_err(|error| anyhow::anyhow!("{sql}: {}", cause(&error)))?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(row.len() - 1),
        _ => None,
    });
    rows.last().map(str::to_owned).with_context(|| format!("{sql}: no row"))
}

/// What belongs to the leader runs there at once; what a replica may run it does run, but not while none qualifies.
async fn runs(sql: &str, expected: &str, run: impl AsyncFn() -> Result<String>) -> Result {
    let may_be_otherwise = expected == "on";
    eventually(&format!("{sql} runs where in_hot_standby is {expected}"), SOON, async || match run().await {
        Ok(ran) if ran == expected => Some(Ok(())),
        Ok(_) if may_be_otherwise => None,
        Ok(ran) => Some(Err(anyhow::anyhow!("{sql} ran where in_hot_standby is {ran}"))),
        Err(error) => Some(Err(error)),
    })
    .await?
}

async fn here(client: &Client) -> Result<String> {
    place(client, &format!("SELECT {HERE}")).await
}

/// A client of the listener that splits, once the database is known.
async fn client(stage: &Stage) -> Result<Client> {
    let client = Client::connect(&stage.proxy.split_config()).await?;
    eventually("reads come from a replica", SOON, async || (here(&client).await.ok()? == "on").then_some(()))
        .await?;
    Ok(client)
}

async fn prepare(stage: &Stage) -> Result {
    let writer = Client::connect(&stage.proxy.write_config()).await?;
    writer.batch_execute(SCHEMA).await?;
    stage.cluster.caught_up(SOON).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_go_where_they_belong() -> Result {
    scenario(Options::default(), async |stage| {
        prepare(stage).await?;
        let client = client(stage).await?;
        for (sql, expected) in PLACES {
            runs(sql, expected, async || place(&client, sql).await).await?;
        }
        for (sql, expected) in PLACES.iter().filter(|(sql, _)| !sql.contains(';')) {
            let statement = client.prepare(sql).await.with_context(|| (*sql).to_owned())?;
            for _ in 0..3 {
                runs(sql, expected, async || {
                    let row = client.query_one(&statement, &[]).await?;
                    Ok(row.get::<_, &str>(row.len() - 1).to_owned())
                })
                .await?;
            }
        }
        // What is sent at once with something of the leader's (here the Close of the last statement) goes with it.
        client.simple_query("SELECT 1").await?;
        blocks_stay_where_they_began(&client).await?;
        wishes_are_heard(stage, &client).await?;
        what_a_replica_refuses_comes_back(stage, &client).await?;
        what_no_text_shows_is_the_leaders(stage, &client).await?;
        what_a_session_holds_follows(stage, &client).await
    })
    .await
}

async fn blocks_stay_where_they_began(client: &Client) -> Result {
    for (begin, expected) in
        [("BEGIN READ ONLY", "on"), ("START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", "on")]
    {
        runs(begin, expected, async || {
            client.batch_execute("ROLLBACK").await?;
            client.batch_execute(begin).await?;
            here(client).await
        })
        .await?;
        client.batch_execute("DECLARE c CURSOR FOR SELECT pg_is_in_recovery()::text").await?;
        ensure!(place(client, "FETCH c").await? == "true", "a cursor left its transaction");
        let refused = client.batch_execute("INSERT INTO t VALUES (2)").await;
        ensure!(refused.is_err_and(|error| error.code().is_some_and(|code| code.code() == "25006")));
        client.batch_execute("ROLLBACK").await?;
    }
    client.batch_execute("BEGIN").await?;
    ensure!(here(client).await? == "off", "a transaction that may write was on a replica");
    client.batch_execute("INSERT INTO t VALUES (2); COMMIT").await?;
    client.batch_execute("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY").await?;
    ensure!(place(client, "SELECT pg_is_in_recovery()::text").await? == "false");
    client.batch_execute("COMMIT").await?;
    Ok(())
}

async fn wishes_are_heard(stage: &Stage, client: &Client) -> Result {
    for (wish, read, volatile) in [("write", "off", "off"), ("read", "on", "on"), ("auto", "on", "off")] {
        client.batch_execute(&format!("SET pgsteer.route = '{wish}'")).await?;
        runs(wish, read, async || here(client).await).await?;
        runs(wish, volatile, async || place(client, "SELECT volatile_one()").await).await?;
        ensure!(place(client, "SHOW pgsteer.route").await? == wish);
    }
    client.batch_execute("RESET pgsteer.route").await?;
    let mut config = stage.proxy.split_config();
    config.options("-c pgsteer.route=write");
    let writer = Client::connect(&config).await?;
    ensure!(here(&writer).await? == "off", "a start-up option was not heard");
    Ok(())
}

async fn what_a_replica_refuses_comes_back(stage: &Stage, client: &Client) -> Result {
    let came_back = async || stage.proxy.metric("pgsteer_split_returns_total", "25006").await;
    let before = came_back().await?;
    for _ in 0..3 {
        ensure!(place(client, "SELECT liar()").await? == "off");
    }
    let times = came_back().await? - before;
    ensure!((1.0..=2.0).contains(&times), "it came back {times} times");
    let statement = client.prepare("SELECT liar() || ''").await?;
    for _ in 0..3 {
        ensure!(client.query_one(&statement, &[]).await?.get::<_, &str>(0) == "off");
    }
    // One that no replica has yet.
    client.batch_execute("CREATE TABLE new_one AS SELECT 1 AS a").await?;
    client.simple_query("SELECT a FROM new_one").await?;
    let wrong = client.simple_query("SELECT no_such_column FROM t").await;
    ensure!(wrong.is_err_and(|error| error.code().is_some_and(|code| code.code() == "42703")));
    Ok(())
}

async fn what_no_text_shows_is_the_leaders(stage: &Stage, client: &Client) -> Result {
    client.batch_execute("CREATE FUNCTION says(text) RETURNS boolean LANGUAGE sql AS 'SELECT true'").await?;
    client
        .batch_execute(
            "CREATE TYPE pair AS (a text);
             CREATE FUNCTION likes(pair, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
             CREATE FUNCTION number(pair) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        )
        .await?;
    for (create, drop) in [
        ("CREATE DOMAIN checked AS text CHECK (says(VALUE))", "DROP DOMAIN checked"),
        (
            "CREATE OPERATOR ~~ (LEFTARG = pair, RIGHTARG = text, FUNCTION = likes)",
            "DROP OPERATOR ~~ (pair, text)",
        ),
        ("CREATE CAST (pair AS int) WITH FUNCTION number(pair)", "DROP CAST (pair AS int)"),
    ] {
        client.batch_execute(create).await?;
        let volatile = async || stage.proxy.metric("pgsteer_split_requests_total", "\"volatile\"").await;
        let before = volatile().await?;
        eventually("whatever reads is the leader's", SOON, async || {
            let ran = here(client).await.ok()?;
            (volatile().await.ok()? > before).then_some(ran)
        })
        .await
        .and_then(|ran| {
            ensure!(ran == "off", "{create}: it ran where in_hot_standby is {ran}");
            Ok(())
        })?;
        client.batch_execute(drop).await?;
        runs("what reads", "on", async || here(client).await).await?;
    }
    Ok(())
}

async fn what_a_session_holds_follows(stage: &Stage, client: &Client) -> Result {
    client.batch_execute("SET work_mem = '7MB'").await?;
    client.batch_execute("SET app.tenant = 'joe'").await?;
    eventually("the change of the schema is known", SOON, async || {
        (here(client).await.ok()? == "on").then_some(())
    })
    .await?;
    let sql = format!("SELECT current_setting('work_mem') || current_setting('app.tenant') || {HERE}");
    eventually("settings follow to a replica", SOON, async || {
        (place(client, &sql).await.ok()? == "7MBjoeon").then_some(())
    })
    .await?;
    client.batch_execute("CREATE TEMP TABLE own AS SELECT 1 AS a").await?;
    ensure!(here(client).await? == "off", "a client with a temporary table left its server");
    // Nobody else knows less for it.
    let unlearnt = async || stage.proxy.metric("pgsteer_split_requests_total", "\"unlearnt\"").await;
    let other = self::client(stage).await?;
    let before = unlearnt().await?;
    client.batch_execute("DROP TABLE own").await?;
    here(&other).await?;
    ensure!(unlearnt().await? == before, "what is known of functions went with a temporary table");
    let reads = client.simple_query("SELECT 1");
    let writes = client.simple_query("INSERT INTO t VALUES (3)");
    let more = client.simple_query("SELECT 2");
    let (first, second, third) = tokio::join!(reads, writes, more);
    first?;
    second?;
    third?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_survive_their_replicas() -> Result {
    scenario(Options::default(), async |stage| {
        prepare(stage).await?;
        let client = client(stage).await?;
        // (What is only called a read may have written on a replica that was promoted, and is not run again.)
        let slow = "SELECT takes(2), current_setting('in_hot_standby')";
        let names: Vec<String> =
            stage.cluster.replicas().await?.iter().map(|node| node.name.clone()).collect();
        for name in &names {
            eventually("reads come from a replica that is left", SOON, async || {
                (here(&client).await.ok()? == "on").then_some(())
            })
            .await?;
            let running = place(&client, slow);
            let kill = async {
                // The statement is under way by then, or not: the client must not notice either.
                tokio::time::sleep(Duration::from_millis(300)).await;
                stage.cluster.node(name)?.kill9().await
            };
            let (ran, killed) = tokio::join!(running, kill);
            killed?;
            let ran = ran.with_context(|| format!("while {name} died"))?;
            println!("{name} died; the statement ran where in_hot_standby is {ran}");
        }
        // None is left: the leader reads, and writes as ever.
        ensure!(here(&client).await? == "off", "who else should it have been?");
        client.batch_execute("BEGIN READ ONLY").await?;
        let refused = client.batch_execute("INSERT INTO t VALUES (4)").await;
        ensure!(refused.is_err(), "a read-only transaction has written on the leader");
        client.batch_execute("ROLLBACK").await?;
        let returned = stage.proxy.metric("pgsteer_split_returns_total", "").await?;
        ensure!(returned >= 1.0, "nothing came back from a replica that was killed");
        Ok(())
    })
    .await
}
