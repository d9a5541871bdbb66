-- DISCARD and its relatives mean the session's own state.

SET work_mem TO '7MB'

SET TimeZone TO 'Asia/Tokyo'

SET application_name TO 'renamed'

PREPARE p AS SELECT 1

LISTEN channel

CREATE TEMP TABLE t (n int)

DECLARE held CURSOR WITH HOLD FOR SELECT 1

SELECT pg_advisory_lock(77)

SET ROLE pg_monitor

DISCARD ALL

SELECT current_setting('work_mem'), current_setting('TimeZone'), current_setting('application_name'), current_user

EXECUTE p

SELECT * FROM t

FETCH held

SELECT count(*) FROM pg_listening_channels()

SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()

SET work_mem TO '7MB'

SET TimeZone TO 'Asia/Tokyo'

--: simple
SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL

SELECT current_setting('work_mem'), current_setting('TimeZone'), current_setting('DateStyle')

BEGIN

DISCARD ALL

ROLLBACK

PREPARE p AS SELECT 1

DISCARD PLANS

EXECUTE p

DISCARD TEMP

DISCARD SEQUENCES

DEALLOCATE ALL

EXECUTE p

SET work_mem TO '7MB'

BEGIN

RESET ALL

SHOW work_mem

ROLLBACK

SHOW work_mem
