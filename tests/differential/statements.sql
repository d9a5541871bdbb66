-- Ordinary statements, values of many types, and errors of many kinds.

SELECT 1

SELECT

SELECT NULL, '', 'x', 1.5, true, -7::int8, 'Grüße', '\x00ff'::bytea

SELECT ARRAY[1, NULL, 3], ROW(1, 'x'), '{"a": [1, 2]}'::jsonb, '[1,5)'::int4range, point(1, 2)

SELECT * FROM generate_series(1, 300) AS n

VALUES (1, 'one'), (2, 'two')

TABLE pg_am LIMIT 0

WITH RECURSIVE up(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM up WHERE n < 5) SELECT sum(n) FROM up

--: masked
SELECT now(), clock_timestamp(), pg_backend_pid(), txid_current()

SELECT length(repeat('x', 100000)), repeat('y', 20000)

SELEC 1

SELECT 1 +

SELECT nothing

SELECT * FROM nowhere

SELECT 1 / 0

SELECT 'x'::int

SELECT nosuch(1)

SELECT 1 FROM pg_class WHERE relname

SELECT $1::int

SELECT 1; SELECT 2

--: simple
SELECT 1; SELECT 'two' AS two; ; SELECT 3 WHERE false

--: simple
;

CREATE TABLE t (n int PRIMARY KEY CHECK (n < 100), word text NOT NULL DEFAULT 'none', parent int REFERENCES t DEFERRABLE INITIALLY DEFERRED)

INSERT INTO t (n) VALUES (1), (2) RETURNING *

INSERT INTO t VALUES (1)

INSERT INTO t VALUES (100)

INSERT INTO t (n, word) VALUES (3, NULL)

INSERT INTO t VALUES (4, 'orphan', 99)

UPDATE t SET word = 'changed' WHERE n = 1

DELETE FROM t WHERE n = 2 RETURNING n, word

INSERT INTO t VALUES (1, 'x') ON CONFLICT (n) DO UPDATE SET word = excluded.word RETURNING *

MERGE INTO t USING (VALUES (1), (7)) AS v(n) ON t.n = v.n WHEN MATCHED THEN UPDATE SET word = 'merged' WHEN NOT MATCHED THEN INSERT VALUES (v.n)

TRUNCATE t

EXPLAIN (COSTS OFF) SELECT * FROM t WHERE n = 1

LOCK TABLE t

SHOW server_version_num

SHOW ALL OF IT

/* a comment only */

SELECT 1 -- BEGIN in a comment is no BEGIN, and a quoted one neither

SELECT 'BEGIN; SET work_mem TO ''1MB''' AS "SET ROLE x", $tag$; COMMIT; $tag$

DROP TABLE t
