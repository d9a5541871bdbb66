"""psycopg 3, as applications use it."""
import asyncio
import datetime
import decimal
import threading
import time

import psycopg
from psycopg import sql
from psycopg.rows import dict_row, namedtuple_row
from psycopg.types.json import Jsonb
from psycopg.types.range import Range
from psycopg_pool import ConnectionPool

from scenarios import raises, run, table, together


def connect(**options):
    return psycopg.connect(**options)


def one(connection, query, *arguments):
    return connection.execute(query, arguments or None).fetchone()[0]


def transactions():
    name = table("psy_transactions")
    with connect() as connection:
        connection.execute(f"DROP TABLE IF EXISTS {name}")
        connection.execute(f"CREATE TABLE {name} (n int PRIMARY KEY)")
    with connect() as connection:
        connection.execute(f"INSERT INTO {name} VALUES (1)")
        connection.rollback()
        with connection.transaction():
            connection.execute(f"INSERT INTO {name} VALUES (2)")
            with raises("23505"), connection.transaction():
                connection.execute(f"INSERT INTO {name} VALUES (3)")
                connection.execute(f"INSERT INTO {name} VALUES (2)")
            with connection.transaction(force_rollback=True):
                connection.execute(f"INSERT INTO {name} VALUES (4)")
            with connection.transaction("named"):
                connection.execute(f"INSERT INTO {name} VALUES (5)")
        with raises("23505"):
            connection.execute(f"INSERT INTO {name} VALUES (2)")
        with raises("25P02"):
            connection.execute("SELECT 1")
        connection.rollback()
        rows = connection.execute(f"SELECT n FROM {name} ORDER BY n").fetchall()
        assert rows == [(2,), (5,)], rows
        connection.execute(f"DROP TABLE {name}")


def characteristics():
    with connect() as connection:
        connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        connection.read_only = True
        connection.deferrable = True
        assert one(connection, "SELECT current_setting('transaction_isolation')") == "serializable"
        with raises("25006"):
            connection.execute("CREATE TABLE never (n int)")
        connection.rollback()
        connection.isolation_level = connection.read_only = connection.deferrable = None
        assert one(connection, "SELECT current_setting('transaction_read_only')") == "off"
    with connect(autocommit=True) as connection:
        connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        for _ in range(3):
            assert one(connection, "SELECT current_setting('transaction_isolation')") == "repeatable read"


def pipelines():
    name = table("psy_pipelines")
    with connect(autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {name}")
        connection.execute(f"CREATE TABLE {name} (n int PRIMARY KEY)")
        with connection.pipeline() as pipeline:
            cursors = [connection.execute("SELECT %s::int, %s::text", (n, str(n))) for n in range(200)]
            pipeline.sync()
            more = [connection.execute("SELECT %s::int", (n,)) for n in range(200)]
        assert [cursor.fetchone() for cursor in cursors] == [(n, str(n)) for n in range(200)]
        assert [cursor.fetchone()[0] for cursor in more] == list(range(200))

        with connection.pipeline(), connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {name} VALUES (%s) RETURNING n", [(n,) for n in range(100)], returning=True
            )
            found = []
            while True:
                found.append(cursor.fetchone()[0])
                if not cursor.nextset():
                    break
            assert found == list(range(100)), found

        # What follows an error up to the next sync is not run, and is told so.
        with raises("22012"), connection.pipeline() as pipeline:
            before = connection.execute("SELECT 1")
            failing = connection.execute("SELECT 1 / %s::int", (0,))
            skipped = connection.execute(f"INSERT INTO {name} VALUES (1000)")
            pipeline.sync()
        assert before.fetchone() == (1,)
        with connection.pipeline() as pipeline, connection.transaction():
            connection.execute(f"INSERT INTO {name} VALUES (2000)")
            pipeline.sync()
            connection.execute(f"INSERT INTO {name} VALUES (2001)")
        assert one(connection, f"SELECT count(*) FROM {name} WHERE n >= 1000") == 2
        connection.execute(f"DROP TABLE {name}")


def server_side_cursors():
    with connect() as connection:
        with connection.cursor(name="walk") as cursor:
            cursor.itersize = 70
            cursor.execute("SELECT generate_series(1, %s)", (1000,))
            assert sum(row[0] for row in cursor) == 500500
        with connection.cursor(name="scroll", scrollable=True) as cursor:
            cursor.execute("SELECT n FROM generate_series(1, 100) AS n ORDER BY n")
            cursor.scroll(50)
            assert cursor.fetchone() == (51,)
            cursor.scroll(-51)
            assert cursor.fetchmany(3) == [(1,), (2,), (3,)]
            cursor.scroll(99, mode="absolute")
            assert cursor.fetchall() == [(100,)]
        connection.rollback()
        with raises("34000"):
            connection.execute("FETCH walk")
        connection.rollback()
        with psycopg.ServerCursor(connection, "shaped", row_factory=dict_row) as cursor:
            cursor.execute("SELECT 1 AS a, 'x' AS b")
            assert cursor.fetchall() == [{"a": 1, "b": "x"}]


def holdable_cursors():
    with connect() as connection:
        with connection.cursor(name="held", withhold=True) as cursor:
            cursor.execute("SELECT generate_series(1, 10)")
            assert cursor.fetchone() == (1,)
            connection.commit()
            assert cursor.fetchone() == (2,)
            connection.commit()
            assert cursor.fetchall() == [(n,) for n in range(3, 11)]
            connection.commit()
        with raises("34000"):
            connection.execute("FETCH held")


def copy():
    name = table("psy_copy")
    with connect() as connection:
        connection.execute(f"DROP TABLE IF EXISTS {name}")
        connection.execute(f"CREATE TABLE {name} (n int PRIMARY KEY, t text, at timestamptz)")
        now = datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc)
        with connection.cursor().copy(f"COPY {name} FROM STDIN") as copying:
            for n in range(5000):
                copying.write_row((n, "tab\tline\nback\\slash" if n % 2 else None, now))
        with connection.cursor().copy(f"COPY {name} FROM STDIN (FORMAT binary)") as copying:
            copying.set_types(["int4", "text", "timestamptz"])
            for n in range(5000, 6000):
                copying.write_row((n, "binary", now))
        with connection.cursor().copy(f"COPY (SELECT n, t FROM {name} ORDER BY n) TO STDOUT (FORMAT binary)") as copying:
            copying.set_types(["int4", "text"])
            rows = list(copying.rows())
        assert len(rows) == 6000 and rows[1] == (1, "tab\tline\nback\\slash") and rows[5999] == (5999, "binary")
        connection.commit()
        with raises("23505"), connection.cursor().copy(f"COPY {name} (n) FROM STDIN") as copying:
            copying.write_row((7000,))
            copying.write_row((1,))
        connection.rollback()
        given_up = None
        try:
            with connection.cursor().copy(f"COPY {name} (n) FROM STDIN") as copying:
                copying.write_row((7000,))
                raise ValueError("the program gives up")
        except ValueError as error:
            given_up = error
        assert given_up is not None
        connection.rollback()
        assert one(connection, f"SELECT count(*) FROM {name}") == 6000
        connection.execute(f"DROP TABLE {name}")


def prepared():
    with connect(autocommit=True, prepare_threshold=2) as connection:
        connection.prepared_max = 5
        for n in range(30):
            for repeat in range(4):
                value = one(connection, f"SELECT %s::int + {n}", repeat)
                assert value == n + repeat
        for n in range(30):
            assert one(connection, f"SELECT %s::int + {n}", 1) == n + 1

    def work(number):
        with connect(autocommit=True) as connection:
            for n in range(40):
                query = "SELECT %s::int * 2, %s::text"
                row = connection.execute(query, (n, str(number)), prepare=True, binary=n % 2 == 0).fetchone()
                assert row == (n * 2, str(number)), row

    together(12, work)


def prepared_and_ddl():
    name = table("psy_ddl")
    with connect(autocommit=True) as connection, connect(autocommit=True) as other:
        connection.execute(f"DROP TABLE IF EXISTS {name}")
        connection.execute(f"CREATE TABLE {name} (a int)")
        connection.execute(f"INSERT INTO {name} VALUES (1)")
        query = f"SELECT * FROM {name} WHERE a = %s"
        for _ in range(3):
            assert connection.execute(query, (1,), prepare=True).fetchone() == (1,)
        other.execute(f"ALTER TABLE {name} ADD b int DEFAULT 7")
        with raises("0A000"):
            connection.execute(query, (1,), prepare=True)
        connection.execute("DEALLOCATE ALL")
        assert connection.execute(query, (1,), prepare=True).fetchone() == (1, 7)
        connection.execute(f"DROP TABLE {name}")


def sql_and_protocol_statements():
    with connect(autocommit=True) as connection:
        low = connection.pgconn
        assert low.prepare(b"mine", b"SELECT $1::int + 1").status == psycopg.pq.ExecStatus.COMMAND_OK
        for n in range(3):
            assert low.exec_prepared(b"mine", [b"41"]).get_value(0, 0) == b"42"
            assert one(connection, "EXECUTE mine(1)") == 2
        connection.execute("DEALLOCATE mine")
        failed = low.exec_prepared(b"mine", [b"41"])
        assert failed.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"26000", failed.error_message
        connection.execute("PREPARE theirs (int) AS SELECT $1 + 2")
        for n in range(3):
            assert one(connection, f"EXECUTE theirs({n})") == n + 2
            assert low.exec_prepared(b"theirs", [b"40"]).get_value(0, 0) == b"42"
        described = low.describe_prepared(b"theirs")
        assert described.nparams == 1 and described.param_type(0) == 23
        with raises("42P05"):
            connection.execute("PREPARE theirs AS SELECT 1")
        connection.execute("DEALLOCATE ALL")
        with raises("26000"):
            connection.execute("EXECUTE theirs(1)")


def two_phase():
    name = table("psy_two_phase")
    with connect(autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {name}")
        connection.execute(f"CREATE TABLE {name} (n int)")
    with connect() as connection:
        kept = connection.xid(1, table("kept"), "branch")
        connection.tpc_begin(kept)
        connection.execute(f"INSERT INTO {name} VALUES (1)")
        connection.tpc_prepare()
        connection.tpc_commit()
        undone = connection.xid(1, table("undone"), "branch")
        connection.tpc_begin(undone)
        connection.execute(f"INSERT INTO {name} VALUES (2)")
        connection.tpc_prepare()
        connection.close()
    with connect() as connection:
        found = [xid for xid in connection.tpc_recover() if xid.gtrid == table("undone")]
        assert len(found) == 1, found
        connection.rollback()
        connection.tpc_rollback(found[0])
        assert connection.execute(f"SELECT n FROM {name}").fetchall() == [(1,)]
        connection.execute(f"DROP TABLE {name}")


def types():
    with connect() as connection:
        values = (
            [1, None, 3], [["a", "b"], ["c", "d"]], decimal.Decimal("1234567890.0987654321"), Jsonb({"k": [1, 2]}),
            Range(1, 5), datetime.date(2000, 2, 29), datetime.timedelta(days=3, seconds=4), b"\x00\xff", "Grüße\U0001f600",
            float("inf"), True,
        )
        for binary in (False, True):
            query = "SELECT %s::int[], %s::text[], %s::numeric, %s::jsonb, %s::int4range, %s::date, %s::interval, %s::bytea, %s::text, %s::float8, %s::bool"
            row = connection.execute(query, values, binary=binary).fetchone()
            assert row == (*values[:3], {"k": [1, 2]}, *values[4:]), row
        cursor = connection.cursor(row_factory=namedtuple_row)
        assert cursor.execute("SELECT 1 AS first, 2 AS second").fetchone().second == 2
        name = sql.Identifier("select")
        assert connection.execute(sql.SQL("SELECT 1 AS {}").format(name)).description[0].name == "select"
    # A type made by the application, looked up by name.
    kind = table("psy_kind")
    with connect() as connection:
        connection.execute(f"CREATE TYPE {kind} AS (a int, b text)")
        info = psycopg.types.composite.CompositeInfo.fetch(connection, kind)
        psycopg.types.composite.register_composite(info, connection)
        found = one(connection, f"SELECT (1, 'x')::{kind}")
        assert (found.a, found.b) == (1, "x")
        connection.rollback()


def settings():
    with connect(autocommit=True, application_name="own name") as connection:
        assert one(connection, "SHOW application_name") == "own name"
        connection.execute("SET TimeZone TO 'Asia/Tokyo'")
        assert connection.info.timezone.key == "Asia/Tokyo"
        schema = table("psy_schema")
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        connection.execute(f"CREATE SCHEMA {schema}")
        connection.execute(f"CREATE TABLE {schema}.here (n int)")
        connection.execute(f"SET search_path TO {schema}, public")
        connection.execute("SET work_mem TO '7MB'")
        connection.execute("SELECT set_config('app.person', 'somebody', false)")
        for _ in range(5):
            connection.execute("INSERT INTO here VALUES (1)")
            row = connection.execute(
                "SELECT current_setting('search_path'), current_setting('work_mem'), current_setting('app.person'), now()"
            ).fetchone()
            assert row[:3] == (f"{schema}, public", "7MB", "somebody"), row
            assert row[3].tzinfo.key == "Asia/Tokyo"
        with connection.transaction(force_rollback=True):
            connection.execute("SET work_mem TO '9MB'")
            connection.execute("SET LOCAL app.person TO 'nobody'")
            assert one(connection, "SHOW work_mem") == "9MB"
        assert one(connection, "SHOW work_mem") == "7MB"
        assert one(connection, "SHOW app.person") == "somebody"
        connection.execute("SET statement_timeout TO 50")
        with raises("57014"):
            connection.execute("SELECT pg_sleep(20)")
        connection.execute("RESET ALL")
        assert one(connection, "SHOW statement_timeout") == "0"
        assert one(connection, "SHOW application_name") == "own name"
        connection.execute(f"DROP SCHEMA {schema} CASCADE")
    with connect(options="-c search_path=pg_catalog -c app.tenant=7") as connection:
        assert one(connection, "SHOW search_path") == "pg_catalog"
        connection.commit()
        assert one(connection, "SHOW app.tenant") == "7"


def temporary_tables():
    with connect(autocommit=True) as connection:
        connection.execute("CREATE TEMP TABLE passing (n int)")
        for n in range(5):
            connection.execute("INSERT INTO passing VALUES (%s)", (n,))
        assert one(connection, "SELECT sum(n) FROM passing") == 10
        connection.execute("DROP TABLE passing")
    with connect() as connection:
        connection.execute("CREATE TEMP TABLE passing (n int) ON COMMIT DROP")
        connection.execute("INSERT INTO passing VALUES (1)")
        connection.commit()
        with raises("42P01"):
            connection.execute("SELECT * FROM passing")


def advisory_locks():
    key = 4711 + int(table("n").split("_")[1])
    with connect(autocommit=True) as holder, connect(autocommit=True) as other:
        assert one(holder, "SELECT pg_try_advisory_lock(%s)", key)
        one(holder, "SELECT 1")
        assert not one(other, "SELECT pg_try_advisory_lock(%s)", key)
        assert one(holder, "SELECT pg_advisory_unlock(%s)", key)
        assert one(other, "SELECT pg_try_advisory_lock(%s)", key)
        assert one(other, "SELECT pg_advisory_unlock(%s)", key)
    with connect() as connection:
        assert one(connection, "SELECT pg_try_advisory_xact_lock(%s)", key)
        connection.commit()
        assert one(connection, "SELECT pg_try_advisory_xact_lock(%s)", key)


def sequences():
    name = table("psy_sequence")
    with connect(autocommit=True) as connection:
        connection.execute(f"DROP SEQUENCE IF EXISTS {name}")
        connection.execute(f"CREATE SEQUENCE {name}")
        with connection.transaction():
            assert one(connection, f"SELECT nextval('{name}')") == 1
            assert one(connection, f"SELECT currval('{name}')") == 1
        # A pooled client that asks outside a transaction may be refused the first time, and has a server of its own
        # from then on; never is it told another's value.
        for expected in range(2, 7):
            assert one(connection, f"SELECT nextval('{name}')") == expected
            try:
                assert one(connection, f"SELECT currval('{name}')") == expected
                assert one(connection, "SELECT lastval()") == expected
            except psycopg.errors.ObjectNotInPrerequisiteState:
                assert expected == 2
    with connect(autocommit=True) as connection:
        with raises("55000"):
            connection.execute(f"SELECT currval('{name}')")
        connection.execute(f"DROP SEQUENCE {name}")


def notifications():
    channel = table("psy_channel")
    with connect(autocommit=True) as listener, connect(autocommit=True) as sender:
        listener.execute(f"LISTEN {channel}")
        sender.execute(f"NOTIFY {channel}, 'first'")
        with sender.transaction():
            sender.execute("SELECT pg_notify(%s, %s)", (channel, "second"))
            sender.execute("SELECT pg_notify(%s, %s)", (channel, "third"))
        with sender.transaction(force_rollback=True):
            sender.execute(f"NOTIFY {channel}, 'never'")
        sender.execute(f"NOTIFY {channel}, 'fourth'")
        heard = []
        for message in listener.notifies(timeout=20, stop_after=4):
            heard.append((message.channel, message.payload))
        assert heard == [(channel, word) for word in ("first", "second", "third", "fourth")], heard
        # To oneself, with the process id that one has been told.
        listener.execute(f"NOTIFY {channel}, 'own'")
        own = list(listener.notifies(timeout=20, stop_after=1))
        assert [message.payload for message in own] == ["own"] and own[0].pid == listener.info.backend_pid, own
        listener.execute(f"UNLISTEN {channel}")
        sender.execute(f"NOTIFY {channel}, 'unheard'")
        assert one(listener, "SELECT 1") == 1
        assert list(listener.notifies(timeout=0.3)) == []


def notifications_between_transactions():
    """Who listens has a server only for its own transactions, and each time another one."""
    channel, name = table("psy_between"), table("psy_between_rows")
    with connect() as listener, connect() as sender:
        sender.execute(f"DROP TABLE IF EXISTS {name}")
        sender.execute(f"CREATE TABLE {name} (n int)")
        sender.commit()
        listener.execute(f"LISTEN {channel}")
        # Not before it is committed.
        sender.execute(f"NOTIFY {channel}, 'early'")
        sender.commit()
        listener.commit()
        heard = []
        for n in range(6):
            with sender.transaction():
                sender.execute(f"INSERT INTO {name} VALUES (%s)", (n,))
                sender.execute("SELECT pg_notify(%s, %s)", (channel, str(n)))
            [message] = listener.notifies(timeout=20, stop_after=1)
            assert (message.channel, message.pid) == (channel, sender.info.backend_pid), message
            heard.append(message.payload)
            # What is told of was committed before: whoever is told sees it.
            with listener.transaction():
                assert one(listener, f"SELECT max(n) FROM {name}") == n
        assert heard == [str(n) for n in range(6)], heard
        # Inside a transaction nothing is heard; all of it comes behind, in order.
        with listener.transaction():
            assert one(listener, f"SELECT count(*) FROM {name}") == 6
            for word in ("one", "two", "three"):
                sender.execute("SELECT pg_notify(%s, %s)", (channel, word))
                sender.commit()
            assert list(listener.notifies(timeout=0.3)) == []
        behind = [message.payload for message in listener.notifies(timeout=20, stop_after=3)]
        assert behind == ["one", "two", "three"], behind
        # What a transaction that failed has unlistened is listened on still.
        with raises("22012"), listener.transaction():
            listener.execute("UNLISTEN *")
            listener.execute("SELECT 1/0")
        sender.execute(f"NOTIFY {channel}, 'still'")
        sender.commit()
        assert [message.payload for message in listener.notifies(timeout=20, stop_after=1)] == ["still"]
        listener.execute("UNLISTEN *")
        listener.commit()
        sender.execute(f"DROP TABLE {name}")
        sender.execute(f"NOTIFY {channel}, 'unheard'")
        sender.commit()
        assert list(listener.notifies(timeout=0.3)) == []


def notices():
    heard = []
    with connect(autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: heard.append((notice.severity, notice.message_primary)))
        for n in range(3):
            connection.execute(f"DO $$ BEGIN RAISE NOTICE 'number %', {n}; END $$")
    assert heard == [("NOTICE", f"number {n}") for n in range(3)], heard


def cancelling():
    with connect(autocommit=True) as connection:
        for cancel in (connection.cancel_safe, connection.cancel):
            slept = []

            def sleep():
                try:
                    connection.execute("SELECT pg_sleep(60)")
                except psycopg.Error as error:
                    slept.append(error.sqlstate)

            sleeper = threading.Thread(target=sleep)
            sleeper.start()
            # A cancel that comes too early hits nothing: again until it has.
            deadline = time.monotonic() + 30
            while sleeper.is_alive() and time.monotonic() < deadline:
                cancel()
                sleeper.join(0.1)
            assert slept == ["57014"], slept
            assert one(connection, "SELECT 'still here'") == "still here"


def pools():
    name = table("psy_pools")
    with connect(autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {name}")
        connection.execute(f"CREATE TABLE {name} (worker int, n int)")
    with ConnectionPool(min_size=4, max_size=10, kwargs={"autocommit": False}) as pool:
        pool.wait()

        def work(worker):
            for n in range(10):
                with pool.connection() as connection:
                    connection.execute(f"INSERT INTO {name} VALUES (%s, %s)", (worker, n))
                    assert one(connection, f"SELECT count(*) FROM {name} WHERE worker = %s", worker) == n + 1

        together(16, work)
        with pool.connection() as connection:
            assert one(connection, f"SELECT count(*) FROM {name}") == 160
            connection.execute(f"DROP TABLE {name}")


def asynchronous():
    async def work(number):
        async with await psycopg.AsyncConnection.connect() as connection:
            async with connection.transaction():
                cursor = await connection.execute("SELECT %s::int", (number,))
                first = await cursor.fetchone()
                async with connection.pipeline():
                    cursors = [await connection.execute("SELECT %s::int + %s", (number, n)) for n in range(10)]
                return first[0], [(await cursor.fetchone())[0] for cursor in cursors]

    async def all_of_them():
        return await asyncio.gather(*(work(number) for number in range(12)))

    found = asyncio.run(all_of_them())
    assert found == [(number, [number + n for n in range(10)]) for number in range(12)], found


def large_objects():
    with connect() as connection:
        oid = one(connection, "SELECT lo_from_bytea(0, %s)", b"hello large world")
        descriptor = one(connection, "SELECT lo_open(%s, 393216)", oid)
        assert one(connection, "SELECT loread(%s, 5)", descriptor) == b"hello"
        assert one(connection, "SELECT lowrite(%s, %s)", descriptor, b" LARGE") == 6
        one(connection, "SELECT lo_close(%s)", descriptor)
        connection.commit()
        assert one(connection, "SELECT lo_get(%s)", oid) == b"hello LARGE world"
        one(connection, "SELECT lo_unlink(%s)", oid)


run([
    transactions, characteristics, pipelines, server_side_cursors, holdable_cursors, copy, prepared, prepared_and_ddl,
    sql_and_protocol_statements, two_phase, types, settings, temporary_tables, advisory_locks, sequences, notifications,
    notifications_between_transactions, notices, cancelling, pools, asynchronous, large_objects,
])
