-- What is set for the session, by every means there is.

SHOW search_path

SHOW DateStyle

SHOW application_name

SET work_mem TO '7MB'

SHOW work_mem

SET SESSION work_mem = '8MB'

SELECT current_setting('work_mem'), pg_sleep(0)

SET TIME ZONE 'Asia/Tokyo'

SELECT '2024-02-29 12:00:00+00'::timestamptz

SHOW TIME ZONE

SET TIME ZONE INTERVAL '+3:30' HOUR TO MINUTE

SELECT '2024-02-29 12:00:00+00'::timestamptz

SET TIME ZONE LOCAL

SHOW TimeZone

SET DateStyle TO 'Postgres'

SELECT '2024-02-29'::date, '2024-02-29 12:00:00+00'::timestamptz

SET DateStyle TO 'ISO, YMD'

SELECT '2024-02-29'::date

RESET DateStyle

SHOW DateStyle

SET DateStyle TO DEFAULT

SELECT '2024-02-29'::date

SET IntervalStyle TO 'sql_standard'

SELECT '1 year 2 months 3 days 4:05:06'::interval

RESET IntervalStyle

SELECT '1 year 2 months 3 days 4:05:06'::interval

SET extra_float_digits TO 0

SELECT 0.1::float8 + 0.2::float8

RESET extra_float_digits

SELECT 0.1::float8 + 0.2::float8

SET bytea_output TO 'escape'

SELECT '\x6162ff'::bytea

SELECT set_config('bytea_output', 'hex', false)

SELECT '\x6162ff'::bytea

SELECT set_config('my.variable', 'mine', false), set_config('your.variable', '', false)

SELECT current_setting('my.variable'), current_setting('your.variable'), current_setting('no.variable', true)

SELECT current_setting('no.variable')

SET my.variable TO 'it''s mine', 'too'

SHOW my.variable

SET "my"."variable" TO 'back\slash'

SHOW my.variable

RESET my.variable

SELECT current_setting('my.variable', true)

SET statement_timeout TO '50ms'

SELECT pg_sleep(20)

SET statement_timeout TO 0

SHOW statement_timeout

SET no_such_setting TO 1

SET work_mem TO 'nonsense'

SET work_mem TO '1kB'

SHOW work_mem

SET max_connections TO 7

SET client_min_messages TO warning

DO $$ BEGIN RAISE NOTICE 'unheard'; RAISE WARNING 'heard'; END $$

RESET client_min_messages

DO $$ BEGIN RAISE NOTICE 'heard'; END $$

SET standard_conforming_strings TO off

SELECT 'a\tb', E'a\tb'

SELECT 'it\'s'

SET escape_string_warning TO off

SELECT 'a\nb'

RESET standard_conforming_strings

SELECT 'a\tb'

RESET escape_string_warning

SET client_encoding TO 'LATIN1'

SELECT chr(228) || 'x'

SET NAMES 'UTF8'

SELECT chr(228) || 'x'

SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE

SHOW transaction_isolation

SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY

CREATE TABLE never (n int)

SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE, ISOLATION LEVEL READ COMMITTED

SHOW default_transaction_isolation

SET default_transaction_read_only TO on

SHOW transaction_read_only

RESET default_transaction_read_only

SET application_name TO 'renamed'

SHOW application_name

--: simple
SET work_mem TO '5MB'; SET DateStyle TO 'SQL'; SELECT current_setting('work_mem'), '2024-02-29'::date

SELECT current_setting('work_mem'), '2024-02-29'::date

--: simple
SET work_mem TO '6MB'; SELECT 1 / 0; SET work_mem TO '7MB'

SHOW work_mem

RESET ALL

SELECT current_setting('work_mem'), current_setting('DateStyle'), current_setting('application_name'), current_setting('TimeZone')

-- Where a setting comes from reads differently on a pooled server, where it may have been put back; not what it is.
SELECT name, setting FROM pg_settings WHERE source = 'session' AND setting <> reset_val
    AND name NOT IN ('application_name', 'DateStyle', 'client_encoding')

SET seed TO 0.25

SELECT random(), random()

SELECT setseed(0.5)

SELECT random(), random()
