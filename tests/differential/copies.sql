-- COPY, in both directions, and when it fails.

CREATE TABLE t (n int PRIMARY KEY, word text)

COPY t FROM STDIN

--: data
1	one
2	\N
3	tab\there
\.

SELECT * FROM t ORDER BY n

COPY t TO STDOUT

COPY (SELECT word FROM t ORDER BY n) TO STDOUT (FORMAT csv, HEADER)

COPY t FROM STDIN (FORMAT csv)

--: data
4,"four, with a comma"
5,

COPY t FROM STDIN

--: data
6	six
1	again

SELECT count(*) FROM t

COPY t FROM STDIN

--: fails
7	seven

SELECT count(*) FROM t

COPY t FROM STDIN

--: data
x	no number

BEGIN

COPY t (n) FROM STDIN

--: data
100
101

SELECT count(*) FROM t

ROLLBACK

SELECT count(*) FROM t

COPY nowhere FROM STDIN

COPY t TO STDOUT (FORMAT binary)

SET DateStyle TO 'German'

COPY (SELECT '2024-02-29'::date) TO STDOUT

RESET DateStyle

COPY (SELECT '2024-02-29'::date) TO STDOUT

--: simple
SELECT 1; COPY t TO STDOUT; SELECT 2

--: simple
BEGIN; COPY t (n) FROM STDIN; SELECT count(*) FROM t; COMMIT

--: data
200
201

SELECT count(*) FROM t

COPY (SELECT repeat('x', 1000) FROM generate_series(1, 500)) TO STDOUT

DROP TABLE t
