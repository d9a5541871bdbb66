-- Advisory locks.

SELECT pg_try_advisory_lock(1), pg_try_advisory_lock(1, 2)

SELECT pg_try_advisory_lock(1)

SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid()

--: as second
SELECT pg_try_advisory_lock(1)

SELECT pg_try_advisory_lock(3)

--: as first
SELECT pg_advisory_unlock(1)

--: as second
SELECT pg_try_advisory_lock(1)

--: as first
SELECT pg_advisory_unlock(1)

SELECT pg_advisory_unlock(1)

--: as second
SELECT pg_try_advisory_lock(1)

SELECT pg_advisory_unlock(1)

SELECT pg_advisory_unlock(7)

--: as first
SELECT pg_advisory_unlock_all()

SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()

BEGIN

SELECT pg_advisory_xact_lock(5)

--: as second
SELECT pg_try_advisory_xact_lock(5)

--: as first
COMMIT

--: as second
SELECT pg_try_advisory_xact_lock(5)

SELECT pg_try_advisory_lock_shared(6)

--: as first
SELECT pg_try_advisory_lock_shared(6), pg_try_advisory_lock(6)

SELECT pg_advisory_unlock_shared(6)

--: as second
--: leaves

--: as first
SELECT pg_advisory_lock(3)

BEGIN

SELECT pg_advisory_lock(8)

ROLLBACK

--: as third
SELECT pg_try_advisory_lock(8)

--: as first
SELECT pg_advisory_unlock(8), pg_advisory_unlock(3)
