-- Several sessions with settings of their own, in turns.

SET TimeZone TO 'Asia/Tokyo'

SET search_path TO pg_catalog

--: as second
SET TimeZone TO 'America/New_York'

SET work_mem TO '9MB'

SELECT set_config('my.variable', 'the second''s', false)

--: as third
SHOW TimeZone

-- A setting of an application's own that a server has had for another client is empty there, not absent.
SELECT nullif(current_setting('my.variable', true), '')

--: as first
SELECT '2024-02-29 12:00+00'::timestamptz

SHOW work_mem

SHOW search_path

--: as second
SELECT '2024-02-29 12:00+00'::timestamptz, current_setting('my.variable')

SHOW search_path

--: as third
SELECT '2024-02-29 12:00+00'::timestamptz

SHOW work_mem

BEGIN

SET LOCAL TimeZone TO 'Australia/Sydney'

--: as first
SELECT '2024-02-29 12:00+00'::timestamptz

--: as third
SELECT '2024-02-29 12:00+00'::timestamptz

COMMIT

SELECT '2024-02-29 12:00+00'::timestamptz

--: as second
SELECT 1 / 0

SHOW TimeZone

SELECT current_setting('my.variable'), current_setting('work_mem')

--: leaves

--: as first
SELECT '2024-02-29 12:00+00'::timestamptz

SHOW search_path
