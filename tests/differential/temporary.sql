-- Temporary objects.

CREATE TEMP TABLE t (n int)

INSERT INTO t SELECT generate_series(1, 10)

SELECT count(*) FROM t

CREATE TABLE t (n text)

SELECT count(*) FROM t

SELECT count(*) FROM public.t

SELECT count(*) FROM pg_temp.t

DROP TABLE t

SELECT count(*) FROM t

DROP TABLE t

SELECT * FROM t

BEGIN

CREATE TEMP TABLE passing (n int) ON COMMIT DROP

INSERT INTO passing VALUES (1)

SELECT * FROM passing

COMMIT

SELECT * FROM passing

CREATE TEMPORARY TABLE emptied (n int) ON COMMIT DELETE ROWS

INSERT INTO emptied VALUES (1)

SELECT count(*) FROM emptied

BEGIN

INSERT INTO emptied VALUES (1), (2)

SELECT count(*) FROM emptied

COMMIT

SELECT count(*) FROM emptied

SELECT n AS m INTO TEMP taken FROM generate_series(1, 3) AS n

SELECT sum(m) FROM taken

CREATE TEMP VIEW seen AS SELECT m * 2 AS twice FROM taken

SELECT sum(twice) FROM seen

CREATE TEMP SEQUENCE counts

SELECT nextval('counts'), currval('counts')

SELECT nextval('counts')

CREATE FUNCTION pg_temp.thrice(n int) RETURNS int LANGUAGE sql AS 'SELECT 3 * n'

SELECT pg_temp.thrice(7)

BEGIN

CREATE TEMP TABLE undone (n int)

ROLLBACK

SELECT * FROM undone

DISCARD TEMP

SELECT * FROM taken

SELECT pg_temp.thrice(7)

CREATE TEMP TABLE again (n int)

DISCARD ALL

SELECT * FROM again

SET search_path TO pg_temp, public

CREATE TABLE hidden (n int)

INSERT INTO hidden VALUES (7)

SELECT * FROM hidden

SELECT relpersistence FROM pg_class WHERE relname = 'hidden'

DROP TABLE hidden

RESET search_path

CREATE TEMP TABLE shared_name (n int)

INSERT INTO shared_name VALUES (1)

--: as second
SELECT * FROM shared_name

CREATE TEMP TABLE shared_name (t text)

INSERT INTO shared_name VALUES ('second')

SELECT * FROM shared_name

--: as first
SELECT * FROM shared_name

--: leaves

--: as second
SELECT * FROM shared_name
