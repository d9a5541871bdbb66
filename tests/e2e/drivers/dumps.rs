//! pg_dump and pg_restore: what was restored is what was dumped.

use std::net::SocketAddr;

use anyhow::ensure;
use pgsteer_testkit::{Client, Cluster, Door, Login, Release, Result, Single, connection_string};

use super::every::OVERRIDES;
use super::programs::run;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_systems_release() -> Result {
    dump_and_restore(Release::System).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_postgresql_18() -> Result {
    dump_and_restore(Release::Eighteen).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_postgresql_19() -> Result {
    dump_and_restore(Release::Nineteen).await
}

/// Every format, with several connections where there may be; what was restored dumps as the original does.
async fn dump_and_restore(release: Release) -> Result {
    let single = &Single::start(release, Door::Scram, "", OVERRIDES).await?;
    let [(_, directly), (_, through)] = single.both();
    let owner = Client::connect(&single.proxy.write_config()).await?;
    owner
        .batch_execute(
            "CREATE TABLE kinds (id serial PRIMARY KEY, t text, j jsonb, b bytea, tags text[]);
             INSERT INTO kinds (t, j, b, tags) SELECT 'Grüße ' || n, jsonb_build_object('n', n),
                 decode(md5(n::text), 'hex'), ARRAY['a', NULL, n::text] FROM generate_series(1, 5000) AS n;
             CREATE INDEX kinds_t ON kinds (t);
             CREATE VIEW few_kinds AS SELECT * FROM kinds WHERE id < 10;
             CREATE MATERIALIZED VIEW many_kinds AS SELECT * FROM kinds WHERE id > 10;
             CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n';
             SELECT lo_from_bytea(0, 'a large object')",
        )
        .await?;
    let folder = single.sandbox.folder();
    let original = dump(single, directly, Cluster::DATABASE).await?;
    ensure!(original.contains("COPY public.kinds"), "{original}");
    ensure!(dump(single, through, Cluster::DATABASE).await? == original, "the plain dump is another");
    for (format, jobs) in [("custom", "1"), ("directory", "3"), ("tar", "1")] {
        let file = folder.join(format!("dump.{format}")).display().to_string();
        run(single, "pg_dump", through, Login::TRADER, &["-F", format, "-j", jobs, "-f", &file]).await?;
        let restored = format!("restored_{format}");
        run(single, "createdb", through, Login::POSTGRES, &["-O", "trader", "-T", "template0", &restored])
            .await?;
        let jobs = if format == "tar" { "1" } else { "3" };
        let arguments = ["-d", &restored, "-j", jobs, "--exit-on-error", &file];
        run(single, "pg_restore", through, Login::TRADER, &arguments).await?;
        ensure!(
            dump(single, directly, &restored).await? == original,
            "{format}: what was restored is another"
        );
    }
    let file = folder.join("dump.sql");
    std::fs::write(&file, &original)?;
    run(single, "createdb", through, Login::POSTGRES, &["-O", "trader", "-T", "template0", "restored_plain"])
        .await?;
    let file = file.display().to_string();
    let arguments = ["-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-d", "restored_plain", "-f", &file];
    run(single, "psql", through, Login::TRADER, &arguments).await?;
    ensure!(dump(single, directly, "restored_plain").await? == original, "what psql restored is another");
    let globals = run(single, "pg_dumpall", through, Login::POSTGRES, &["--globals-only"]).await?;
    let expected = run(single, "pg_dumpall", directly, Login::POSTGRES, &["--globals-only"]).await?;
    ensure!(without_keys(&globals) == without_keys(&expected), "{globals}");
    let restored = Client::connect(&connection_string(through, Login::TRADER, "restored_custom")).await?;
    ensure!(restored.text("SELECT twice(count(*)::int) FROM many_kinds").await? == "9980");
    Ok(())
}

async fn dump(single: &Single, at: SocketAddr, database: &str) -> Result<String> {
    let arguments = ["--restrict-key=same", "-d", database];
    // Releases before 2025 know no such key and write none.
    let arguments = if knows_restrict_key(single).await? { &arguments[..] } else { &arguments[1..] };
    run(single, "pg_dump", at, Login::TRADER, arguments).await
}

async fn knows_restrict_key(single: &Single) -> Result<bool> {
    let help = run(single, "pg_dump", single.server.address, Login::TRADER, &["--help"]).await?;
    Ok(help.contains("--restrict-key"))
}

/// pg_dumpall's output without what is drawn anew each time.
fn without_keys(text: &str) -> String {
    text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
}
