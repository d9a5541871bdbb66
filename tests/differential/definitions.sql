-- Definitions, and what they do to statements that are there.

CREATE SCHEMA one

CREATE SCHEMA two

CREATE TABLE one.t (n int)

CREATE TABLE two.t (n text, m text)

INSERT INTO one.t VALUES (1)

INSERT INTO two.t VALUES ('two', 'II')

SELECT * FROM t

SET search_path TO one

SELECT * FROM t

SET search_path TO two, one

SELECT * FROM t

SHOW search_path

CREATE TABLE here (n int)

SELECT schemaname FROM pg_tables WHERE tablename = 'here'

BEGIN

SET LOCAL search_path TO one

SELECT * FROM t

ALTER TABLE t ADD extra int DEFAULT 5

SELECT * FROM t

COMMIT

SELECT * FROM t

SET search_path TO one

SELECT * FROM t

ALTER TABLE one.t ALTER n TYPE text

SELECT * FROM t

ALTER TABLE t RENAME n TO renamed

SELECT * FROM t

SELECT n FROM t

CREATE INDEX ON t (renamed)

CREATE UNIQUE INDEX CONCURRENTLY one_t_unique ON t (renamed)

VACUUM t

ANALYZE t

CREATE VIEW v AS SELECT renamed FROM t

SELECT * FROM v

DROP TABLE t

DROP TABLE t CASCADE

SELECT * FROM v

CREATE TYPE mood AS ENUM ('good', 'bad')

SELECT 'good'::mood, ARRAY['bad'::mood]

SELECT 'ugly'::mood

ALTER TYPE mood ADD VALUE 'ugly'

SELECT 'ugly'::mood

CREATE DOMAIN small AS int CHECK (VALUE < 10)

SELECT 7::small

SELECT 70::small

CREATE FUNCTION f(n int) RETURNS int LANGUAGE sql AS 'SELECT $1 + 1'

SELECT f(1)

CREATE OR REPLACE FUNCTION f(n int) RETURNS int LANGUAGE sql AS 'SELECT $1 + 2'

SELECT f(1)

COMMENT ON FUNCTION f IS 'a comment'

CREATE TABLE IF NOT EXISTS here (n int)

DROP TABLE IF EXISTS nowhere

RESET search_path

CREATE DATABASE within_a_function

DROP DATABASE within_a_function

BEGIN

VACUUM two.t

ROLLBACK

DROP SCHEMA one, two CASCADE
