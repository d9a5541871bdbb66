"""asyncpg, as applications use it."""
import asyncio
import datetime
import decimal
import io
import json
import os

import asyncpg

from scenarios import raises, run, table


def scenario(function):
    def play():
        asyncio.run(asyncio.wait_for(function(), 90))

    play.__name__ = function.__name__
    return play


async def connect(**options):
    return await asyncpg.connect(**options)


async def fresh(connection, name, columns):
    await connection.execute(f"DROP TABLE IF EXISTS {name}")
    await connection.execute(f"CREATE TABLE {name} ({columns})")


@scenario
async def statements():
    name = table("apg_statements")
    connection = await connect()
    await fresh(connection, name, "n int PRIMARY KEY, t text, at timestamptz, d numeric, j jsonb, tags text[]")
    at = datetime.datetime(2024, 2, 29, 1, 2, 3, tzinfo=datetime.timezone.utc)
    rows = [(n, f"text {n}", at, decimal.Decimal(n) / 8, json.dumps({"n": n}), ["a", None, str(n)]) for n in range(500)]
    await connection.executemany(f"INSERT INTO {name} VALUES ($1, $2, $3, $4, $5, $6)", rows)
    assert await connection.fetchval(f"SELECT count(*) FROM {name}") == 500
    for n in range(0, 500, 50):
        row = await connection.fetchrow(f"SELECT * FROM {name} WHERE n = $1", n)
        assert tuple(row) == rows[n], row
    found = await connection.fetch(f"SELECT n FROM {name} WHERE n = ANY($1::int[]) ORDER BY n", [3, 5, 700])
    assert [row["n"] for row in found] == [3, 5]
    returned = await connection.fetchmany(f"UPDATE {name} SET t = $2 WHERE n = $1 RETURNING t", [(1, "x"), (2, "y")])
    assert [row["t"] for row in returned] == ["x", "y"]
    assert await connection.execute(f"DELETE FROM {name} WHERE n < 10") == "DELETE 10"
    with raises("23505"):
        await connection.execute(f"INSERT INTO {name} (n) VALUES ($1)", 100)
    assert await connection.execute("SELECT 1; SELECT 2; SELECT 3") == "SELECT 1"
    await connection.execute(f"DROP TABLE {name}")
    await connection.close()


@scenario
async def prepared_cache():
    connection = await connect(statement_cache_size=20)
    # More texts than the cache holds: the oldest are closed on the way.
    for turn in range(3):
        for n in range(60):
            assert await connection.fetchval(f"SELECT $1::int + {n}", turn) == n + turn
    statement = await connection.prepare("SELECT $1::int AS a, $2::text AS b")
    assert [attribute.name for attribute in statement.get_attributes()] == ["a", "b"]
    assert [kind.name for kind in statement.get_parameters()] == ["int4", "text"]
    for n in range(20):
        assert tuple(await statement.fetchrow(n, str(n))) == (n, str(n))
        assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    others = await asyncio.gather(*(connect() for _ in range(10)))

    async def work(number, own):
        for n in range(30):
            row = await own.fetchrow("SELECT $1::int * 3, $2::text", n, str(number))
            assert tuple(row) == (n * 3, str(number)), row

    await asyncio.gather(*(work(number, own) for number, own in enumerate(others)))
    await asyncio.gather(*(own.close() for own in others))


@scenario
async def a_changed_table():
    name = table("apg_changed")
    connection, other = await connect(), await connect()
    await fresh(connection, name, "a int")
    await connection.execute(f"INSERT INTO {name} VALUES (1)")
    for _ in range(3):
        assert tuple(await connection.fetchrow(f"SELECT * FROM {name}")) == (1,)
    await other.execute(f"ALTER TABLE {name} ADD b int DEFAULT 7")
    for _ in range(3):
        assert tuple(await connection.fetchrow(f"SELECT * FROM {name}")) == (1, 7)
    await other.execute(f"ALTER TABLE {name} ALTER a TYPE text")
    for _ in range(3):
        assert tuple(await connection.fetchrow(f"SELECT * FROM {name}")) == ("1", 7)
    await connection.execute(f"DROP TABLE {name}")
    await connection.close()
    await other.close()


@scenario
async def transactions():
    name = table("apg_transactions")
    connection = await connect()
    await fresh(connection, name, "n int PRIMARY KEY")
    async with connection.transaction():
        await connection.execute(f"INSERT INTO {name} VALUES (1)")
        with raises("23505"):
            async with connection.transaction():
                await connection.execute(f"INSERT INTO {name} VALUES (2)")
                await connection.execute(f"INSERT INTO {name} VALUES (1)")
        async with connection.transaction():
            await connection.execute(f"INSERT INTO {name} VALUES (3)")
    transaction = connection.transaction(isolation="serializable", readonly=True, deferrable=True)
    await transaction.start()
    assert await connection.fetchval("SHOW transaction_isolation") == "serializable"
    with raises("25006"):
        await connection.execute(f"INSERT INTO {name} VALUES (4)")
    await transaction.rollback()
    found = await connection.fetch(f"SELECT n FROM {name} ORDER BY n")
    assert [row["n"] for row in found] == [1, 3]
    await connection.execute(f"DROP TABLE {name}")
    await connection.close()


@scenario
async def cursors():
    connection = await connect()
    async with connection.transaction():
        total = 0
        async for row in connection.cursor("SELECT generate_series(1, $1::int) AS n", 1000, prefetch=70):
            total += row["n"]
        assert total == 500500
        cursor = await connection.cursor("SELECT generate_series(1, 100) AS n")
        assert [row["n"] for row in await cursor.fetch(3)] == [1, 2, 3]
        assert await cursor.forward(10) == 10
        assert (await cursor.fetchrow())["n"] == 14
        statement = await connection.prepare("SELECT $1::text || n AS t FROM generate_series(1, 5) AS n")
        assert [row["t"] async for row in statement.cursor("x")] == [f"x{n}" for n in range(1, 6)]
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


@scenario
async def copy():
    name = table("apg_copy")
    connection = await connect()
    await fresh(connection, name, "n int PRIMARY KEY, t text")
    rows = [(n, f"row\t{n}") for n in range(3000)]
    assert await connection.copy_records_to_table(name, records=rows) == "COPY 3000"
    out = io.BytesIO()
    assert await connection.copy_from_table(name, output=out, format="csv") == "COPY 3000"
    assert len(out.getvalue().splitlines()) == 3000
    await connection.execute(f"TRUNCATE {name}")
    out.seek(0)
    assert await connection.copy_to_table(name, source=out, format="csv") == "COPY 3000"
    out = io.BytesIO()
    await connection.copy_from_query(f"SELECT t FROM {name} WHERE n = $1", 17, output=out)
    assert out.getvalue() == b"row\\t17\n", out.getvalue()
    with raises("23505"):
        await connection.copy_records_to_table(name, records=[(9000, ""), (1, "")])

    async def broken():
        yield b"9001,x\n"
        raise ValueError("the program gives up")

    try:
        await connection.copy_to_table(name, source=broken(), format="csv")
        raise AssertionError("no error")
    except ValueError:
        pass
    assert await connection.fetchval(f"SELECT count(*) FROM {name}") == 3000
    await connection.execute(f"DROP TABLE {name}")
    await connection.close()


@scenario
async def listening():
    channel = table("apg_channel")
    heard = asyncio.Queue()
    listener, sender = await connect(), await connect()

    def hear(connection, pid, channel, payload):
        heard.put_nowait((pid, channel, payload))

    await listener.add_listener(channel, hear)
    await sender.execute(f"NOTIFY {channel}, 'one'")
    async with sender.transaction():
        await sender.execute("SELECT pg_notify($1, $2)", channel, "two")
    for expected in ("one", "two"):
        _, where, payload = await asyncio.wait_for(heard.get(), 20)
        assert (where, payload) == (channel, expected)
    await listener.execute(f"NOTIFY {channel}, 'own'")
    pid, _, payload = await asyncio.wait_for(heard.get(), 20)
    assert (pid, payload) == (listener.get_server_pid(), "own")
    await listener.remove_listener(channel, hear)
    await sender.execute(f"NOTIFY {channel}, 'unheard'")
    assert await listener.fetchval("SELECT 1") == 1
    assert heard.empty()
    await listener.close()
    await sender.close()


@scenario
async def introspection():
    mood, pair = table("apg_mood"), table("apg_pair")
    connection = await connect()
    await connection.execute(f"DROP TYPE IF EXISTS {pair}; DROP TYPE IF EXISTS {mood}")
    await connection.execute(f"CREATE TYPE {mood} AS ENUM ('good', 'bad')")
    await connection.execute(f"CREATE TYPE {pair} AS (left_one {mood}, right_one int[])")
    fresh_one = await connect()
    row = await fresh_one.fetchrow(f"SELECT $1::{mood} AS m, ARRAY[$1::{mood}] AS ms, ('bad', ARRAY[1, 2])::{pair} AS p", "good")
    assert row["m"] == "good" and row["ms"] == ["good"] and tuple(row["p"]) == ("bad", [1, 2]), row
    await fresh_one.set_type_codec("json", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    assert await fresh_one.fetchval("SELECT $1::json", {"a": [1, 2]}) == {"a": [1, 2]}
    ranged = await fresh_one.fetchval("SELECT int4multirange(int4range(1, 3), int4range(7, 9))")
    assert [(one.lower, one.upper) for one in ranged] == [(1, 3), (7, 9)]
    await fresh_one.close()
    await connection.execute(f"DROP TYPE {pair}; DROP TYPE {mood}")
    await connection.close()


@scenario
async def pools():
    name = table("apg_pool")
    connection = await connect()
    await fresh(connection, name, "worker int, n int")
    async with asyncpg.create_pool(min_size=3, max_size=10) as pool:

        async def work(worker):
            for n in range(10):
                async with pool.acquire() as own, own.transaction():
                    await own.execute("SET LOCAL application_name TO 'for now'")
                    await own.execute(f"INSERT INTO {name} VALUES ($1, $2)", worker, n)
                    assert await own.fetchval(f"SELECT count(*) FROM {name} WHERE worker = $1", worker) == n + 1

        await asyncio.gather(*(work(worker) for worker in range(16)))
        assert await pool.fetchval(f"SELECT count(*) FROM {name}") == 160
        # What one has set is gone when the next takes the connection.
        async with pool.acquire() as own:
            await own.execute("SET work_mem TO '9MB'")
            assert await own.fetchval("SHOW work_mem") == "9MB"
        for _ in range(10):
            assert await pool.fetchval("SHOW work_mem") != "9MB"
    await connection.execute(f"DROP TABLE {name}")
    await connection.close()


@scenario
async def timeouts():
    connection = await connect()
    for _ in range(3):
        try:
            await connection.fetchval("SELECT pg_sleep(30)", timeout=0.2)
            raise AssertionError("no timeout")
        except asyncio.TimeoutError:
            pass
        assert await connection.fetchval("SELECT 'still here'") == "still here"
    task = asyncio.create_task(connection.fetchval("SELECT pg_sleep(30)"))
    await asyncio.sleep(0.2)
    task.cancel()
    try:
        await task
        raise AssertionError("not cancelled")
    except asyncio.CancelledError:
        pass
    assert await connection.fetchval("SELECT 'still here'") == "still here"
    await connection.close()


@scenario
async def settings():
    connection = await connect(server_settings={"search_path": "pg_catalog", "application_name": "mine", "TimeZone": "Asia/Tokyo"})
    for _ in range(3):
        assert await connection.fetchval("SHOW search_path") == "pg_catalog"
        assert await connection.fetchval("SHOW application_name") == "mine"
        assert await connection.fetchval("SHOW TimeZone") == "Asia/Tokyo"
    await connection.execute("SET search_path TO public; SET TimeZone TO 'UTC'; SET work_mem TO '9MB'")
    for _ in range(3):
        assert await connection.fetchval("SHOW search_path") == "public"
        assert await connection.fetchval("SHOW work_mem") == "9MB"
        assert connection.get_settings().TimeZone == "UTC"
    await connection.reset()
    assert await connection.fetchval("SHOW search_path") == "pg_catalog"
    assert await connection.fetchval("SHOW TimeZone") == "Asia/Tokyo"
    assert await connection.fetchval("SHOW work_mem") != "9MB"
    await connection.close()


@scenario
async def temporary_tables():
    connection = await connect()
    await connection.execute("CREATE TEMP TABLE staged (n int, t text)")
    await connection.copy_records_to_table("staged", records=[(n, str(n)) for n in range(100)])
    for _ in range(3):
        assert await connection.fetchval("SELECT count(*) FROM staged") == 100
    await connection.execute("DROP TABLE staged")
    await connection.close()


@scenario
async def notices():
    heard = []
    connection = await connect()
    connection.add_log_listener(lambda connection, message: heard.append(message.message))
    for n in range(3):
        await connection.execute(f"DO $$ BEGIN RAISE WARNING 'number {n}'; END $$")
    assert heard == ["number 0", "number 1", "number 2"], heard
    await connection.close()


@scenario
async def refused():
    with raises("28P01"):
        await connect(password="wrong")
    with raises("3D000"):
        await connect(database="no_such_database")
    assert os.environ["PGDATABASE"] == "trading"


run([
    statements, prepared_cache, a_changed_table, transactions, cursors, copy, listening, introspection, pools, timeouts,
    settings, temporary_tables, notices, refused,
])
