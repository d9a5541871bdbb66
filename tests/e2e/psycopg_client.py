"""What a Python application does with its connection; says ok."""
import threading

import psycopg

with psycopg.connect(autocommit=True) as connection:
    connection.execute("CREATE TABLE py (n int PRIMARY KEY, t text)")

# A transaction, a rollback, an error and what follows it.
with psycopg.connect() as connection:
    connection.execute("INSERT INTO py VALUES (%s, %s)", (1, "one"))
    connection.commit()
    connection.execute("INSERT INTO py VALUES (2, 'two')")
    connection.rollback()
    try:
        connection.execute("INSERT INTO py VALUES (1, 'again')")
        raise AssertionError("the duplicate was taken")
    except psycopg.errors.UniqueViolation:
        connection.rollback()
    assert connection.execute("SELECT count(*) FROM py").fetchone() == (1,)

# Prepared statements on many connections at once, with binary results.
failures = []

def work(number):
    try:
        with psycopg.connect(autocommit=True) as connection:
            for n in range(50):
                row = connection.execute("SELECT %s::int * 2, %s::text", (n, str(number)), prepare=True, binary=True).fetchone()
                assert row == (n * 2, str(number)), row
    except Exception as error:  # noqa: BLE001: shown below
        failures.append(error)

threads = [threading.Thread(target=work, args=(number,)) for number in range(40)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failures, failures[0]

# A pipeline, a server-side cursor, COPY in both directions, executemany.
with psycopg.connect() as connection:
    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::int", (n,)) for n in range(20)]
    assert [cursor.fetchone()[0] for cursor in cursors] == list(range(20))
    with connection.cursor(name="walk") as cursor:
        cursor.execute("SELECT generate_series(1, 1000)")
        assert sum(row[0] for row in cursor) == 500500
    connection.cursor().executemany("INSERT INTO py VALUES (%s, 'many')", [(n,) for n in range(100, 200)])
    with connection.cursor().copy("COPY py FROM STDIN") as copy:
        for n in range(1000, 2000):
            copy.write_row((n, "copied"))
    with connection.cursor().copy("COPY (SELECT n FROM py WHERE t = 'copied') TO STDOUT") as copy:
        assert sum(1 for _ in copy.rows()) == 1000
    connection.commit()

with psycopg.connect(autocommit=True) as connection:
    assert connection.execute("SELECT count(*) FROM py").fetchone() == (1101,)
    connection.execute("DROP TABLE py")
print("ok")
