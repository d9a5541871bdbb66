-- Statements prepared in SQL.

CREATE TABLE t (n int, word text)

INSERT INTO t VALUES (1, 'one'), (2, 'two')

PREPARE p (int) AS SELECT word FROM t WHERE n = $1

EXECUTE p(1)

EXECUTE p(2)

EXECUTE p('x')

EXECUTE p

SELECT name, statement, parameter_types, from_sql FROM pg_prepared_statements WHERE from_sql ORDER BY name

PREPARE p AS SELECT 1

PREPARE "Quoted Name" AS SELECT 'quoted'

EXECUTE "Quoted Name"

EXECUTE quoted_name

-- How often a backend has planned it decides on the plan.
SET plan_cache_mode TO force_generic_plan

EXPLAIN (COSTS OFF) EXECUTE p(1)

RESET plan_cache_mode

CREATE TABLE made AS EXECUTE p(2)

SELECT * FROM made

PREPARE writing AS INSERT INTO t VALUES ($1, $2) RETURNING *

EXECUTE writing(3, 'three')

EXECUTE writing(4, NULL)

BEGIN

PREPARE within AS SELECT 'prepared within'

ROLLBACK

EXECUTE within

BEGIN

PREPARE failing AS SELECT * FROM nowhere

ROLLBACK

EXECUTE failing

ALTER TABLE t ADD extra int DEFAULT 9

PREPARE starred AS SELECT * FROM t ORDER BY n LIMIT 1

EXECUTE starred

SET search_path TO pg_catalog

EXECUTE p(1)

RESET search_path

EXECUTE p(1)

DEALLOCATE p

EXECUTE p(1)

DEALLOCATE p

DEALLOCATE PREPARE "Quoted Name"

EXECUTE "Quoted Name"

DEALLOCATE ALL

EXECUTE writing(5, 'five')

SELECT count(*) FROM pg_prepared_statements WHERE from_sql

PREPARE p AS SELECT 'again'

EXECUTE p

DISCARD PLANS

EXECUTE p

DISCARD ALL

EXECUTE p

PREPARE dated AS SELECT 'today'::date = current_date

EXECUTE dated

--: as second
EXECUTE dated

PREPARE p AS SELECT 'the second''s'

EXECUTE p

--: as first
PREPARE p AS SELECT 'the first''s'

EXECUTE p

--: as second
EXECUTE p

--: as first
DROP TABLE t, made
