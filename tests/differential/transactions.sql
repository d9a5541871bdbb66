-- What a transaction undoes is undone, settings included.

CREATE TABLE t (n int PRIMARY KEY)

BEGIN

SET work_mem TO '7MB'

SET LOCAL DateStyle TO 'German'

INSERT INTO t VALUES (1)

SELECT current_setting('work_mem'), '2024-02-29'::date

ROLLBACK

SELECT current_setting('work_mem'), '2024-02-29'::date, (SELECT count(*) FROM t)

BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY, NOT DEFERRABLE

SHOW transaction_isolation

INSERT INTO t VALUES (2)

SELECT 1

COMMIT

BEGIN

SET work_mem TO '7MB'

SAVEPOINT a

SET work_mem TO '8MB'

SELECT set_config('my.variable', 'in a savepoint', false)

ROLLBACK TO SAVEPOINT a

SHOW work_mem

SELECT current_setting('my.variable', true)

SAVEPOINT b

SELECT 1 / 0

SELECT 'skipped'

ROLLBACK TO b

SET LOCAL work_mem TO '9MB'

SHOW work_mem

RELEASE b

COMMIT

SHOW work_mem

SELECT current_setting('my.variable', true)

BEGIN

INSERT INTO t VALUES (3)

INSERT INTO t VALUES (3)

SELECT 'skipped'

COMMIT

SELECT count(*) FROM t WHERE n = 3

BEGIN

SET TimeZone TO 'Asia/Tokyo'

COMMIT AND CHAIN

SHOW TimeZone

ROLLBACK AND CHAIN

SHOW TimeZone

ROLLBACK

SHOW TimeZone

COMMIT

ROLLBACK

SAVEPOINT outside

SET LOCAL work_mem TO '1MB'

START TRANSACTION

BEGIN

END

--: simple
BEGIN; INSERT INTO t VALUES (10); COMMIT; INSERT INTO t VALUES (11); SELECT 1 / 0

SELECT n FROM t ORDER BY n

--: simple
SET work_mem TO '4MB'; BEGIN; SET work_mem TO '5MB'; ROLLBACK; SHOW work_mem

SHOW work_mem

BEGIN

INSERT INTO t VALUES (20)

PREPARE TRANSACTION 'differential'

SELECT n FROM t WHERE n = 20

SELECT gid FROM pg_prepared_xacts

COMMIT PREPARED 'differential'

SELECT n FROM t WHERE n = 20

ROLLBACK PREPARED 'differential'

--: as second
BEGIN

SELECT n FROM t WHERE n = 20 FOR UPDATE

--: as first
SELECT n FROM t WHERE n = 20 FOR UPDATE NOWAIT

SELECT n FROM t FOR UPDATE SKIP LOCKED

--: as second
ROLLBACK

--: as first
DROP TABLE t
