-- What functions and blocks do to the session behind the text.

DO $$ BEGIN PERFORM set_config('work_mem', '7MB', false); END $$

SHOW work_mem

DO $$ BEGIN SET work_mem TO '8MB'; END $$

SHOW work_mem

DO $$ BEGIN SET LOCAL work_mem TO '9MB'; RAISE NOTICE '%', current_setting('work_mem'); END $$

SHOW work_mem

DO $$ BEGIN PERFORM set_config('work_mem', '5MB', false); RAISE EXCEPTION 'undone'; END $$

SHOW work_mem

DO $$ BEGIN CREATE TEMP TABLE made (n int); INSERT INTO made VALUES (1); END $$

SELECT * FROM made

DROP TABLE made

CREATE FUNCTION changes() RETURNS text LANGUAGE plpgsql SET work_mem TO '3MB' AS $$
BEGIN
    RETURN current_setting('work_mem');
END $$

SELECT changes(), current_setting('work_mem')

SHOW work_mem

CREATE PROCEDURE commits(n int) LANGUAGE plpgsql AS $$
BEGIN
    SET work_mem TO '6MB';
    COMMIT;
    SET work_mem TO '2MB';
    ROLLBACK;
END $$

CALL commits(1)

SHOW work_mem

BEGIN

CALL commits(1)

ROLLBACK

SHOW work_mem

DO $$ BEGIN PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN RAISE NOTICE 'caught'; END $$

DO LANGUAGE plpgsql 'BEGIN RAISE EXCEPTION USING ERRCODE = ''P4711'', MESSAGE = ''own'', DETAIL = ''d'', HINT = ''h''; END'

CREATE FUNCTION noisy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE '% %', TG_OP, NEW;
    RETURN NEW;
END $$

CREATE TABLE t (n int)

CREATE TRIGGER noisy BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION noisy()

INSERT INTO t VALUES (1), (2)

DROP TABLE t
