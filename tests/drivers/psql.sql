-- What people do in psql; it shows the same wherever it is connected. Variable "schema" is a name of its own.
\set QUIET on
\pset pager off
DROP SCHEMA IF EXISTS :schema CASCADE;
CREATE SCHEMA :schema;
CREATE TABLE :schema.people (id serial PRIMARY KEY, name text NOT NULL UNIQUE, born date, boss int REFERENCES :schema.people);
COPY :schema.people (name, born, boss) FROM stdin;
Ada	1815-12-10	\N
Grace	1906-12-09	1
Edsger	1930-05-11	2
\.
\d :schema.people
\dt :schema.*
\ds :schema.*
\di :schema.*
\x on
SELECT * FROM :schema.people ORDER BY id;
\x off
\pset format csv
SELECT name, born FROM :schema.people ORDER BY id;
\pset format aligned

-- Transactions, errors in them, and psql's own savepoints.
BEGIN;
INSERT INTO :schema.people (name) VALUES ('Ada');
SELECT 'not reached';
ROLLBACK;
\set ON_ERROR_ROLLBACK on
BEGIN;
INSERT INTO :schema.people (name) VALUES ('Barbara');
INSERT INTO :schema.people (name) VALUES ('Ada');
SELECT count(*) FROM :schema.people;
COMMIT;
\set ON_ERROR_ROLLBACK off
SELECT 1 \; SELECT 2 \; SELECT 1 / 0 \; SELECT 3;
SELECT 1 / 0;
\errverbose
\set AUTOCOMMIT off
DELETE FROM :schema.people WHERE name = 'Barbara';
SELECT count(*) FROM :schema.people;
ROLLBACK;
SELECT count(*) FROM :schema.people;
COMMIT;
\set AUTOCOMMIT on

-- Rows by a cursor, results into variables, of a column, as a crosstab, and executed.
\set FETCH_COUNT 2
SELECT name FROM :schema.people ORDER BY name;
\set FETCH_COUNT 0
SELECT count(*) AS how_many, max(born) AS youngest FROM :schema.people \gset
\echo :how_many :youngest :ROW_COUNT :ERROR :LAST_ERROR_SQLSTATE
SELECT name, boss FROM :schema.people \gdesc
SELECT name, extract(century FROM born)::int AS century, 1 AS n FROM :schema.people ORDER BY 1, 2 \crosstabview name century n
SELECT format('SELECT %L AS said', name) FROM :schema.people ORDER BY name \gexec
SELECT 5 AS n \g | cat

-- COPY by the program, in both directions, and one that fails in the middle.
CREATE TABLE :schema.numbers (n int CHECK (n < 1000));
\copy (SELECT generate_series(1, 100)) TO PROGRAM 'cat > /dev/null'
COPY (SELECT n FROM generate_series(1, 3) AS n) TO STDOUT;
COPY :schema.numbers FROM stdin;
1
2
1000
\.
COPY :schema.numbers FROM stdin WITH (FORMAT csv, HEADER);
n
7
8
\.
SELECT sum(n) FROM :schema.numbers;

-- Notices, blocks, and functions with several results.
DO $$ BEGIN RAISE NOTICE 'a notice'; RAISE WARNING 'a warning' USING HINT = 'a hint'; END $$;
CREATE FUNCTION :schema.squares(upto int) RETURNS TABLE (n int, square int) LANGUAGE plpgsql AS $$
BEGIN
    FOR n, square IN SELECT i, i * i FROM generate_series(1, upto) AS i LOOP RETURN NEXT; END LOOP;
END $$;
SELECT * FROM :schema.squares(3);
CREATE PROCEDURE :schema.commits(a text, b text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %s (n int)', a);
    COMMIT;
    EXECUTE format('INSERT INTO %s VALUES (1)', a);
    ROLLBACK;
END $$;
CALL :schema.commits(:'schema' || '.made', '');
SELECT count(*) FROM :schema.made;
\df :schema.*
EXPLAIN (COSTS OFF) SELECT * FROM :schema.people WHERE id = 1;
\encoding
\encoding LATIN1
SELECT octet_length(convert_to('x', 'LATIN1'));
\encoding UTF8
VACUUM :schema.people;
\timing off
DROP SCHEMA :schema CASCADE;
\echo the end is reached
