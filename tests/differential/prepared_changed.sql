-- Statements prepared in SQL, and what they are about is another meanwhile.

CREATE TABLE t AS SELECT 1 AS n, 'one' AS word

PREPARE p AS SELECT * FROM t

PREPARE q (int) AS SELECT word FROM t WHERE n = $1

PREPARE typed AS SELECT word FROM t WHERE n = $1

PREPARE other AS SELECT 'other'

EXECUTE p

--: as second
ALTER TABLE t ADD more int DEFAULT 7

--: as first
EXECUTE p

EXECUTE p

EXECUTE q(1)

EXECUTE other

SELECT count(*) FROM t

EXPLAIN (COSTS OFF) EXECUTE p

CREATE TABLE made AS EXECUTE p

BEGIN

EXECUTE other

EXECUTE p

EXECUTE other

ROLLBACK

BEGIN

SAVEPOINT a

EXECUTE p

ROLLBACK TO a

EXECUTE q(1)

COMMIT

PREPARE p AS SELECT 1

PREPARE another AS SELECT 'another'

EXECUTE p

EXECUTE another

SELECT name, parameter_types FROM pg_prepared_statements WHERE name IN ('p', 'q', 'typed', 'other', 'another') ORDER BY name

--: as second
ALTER TABLE t DROP more

--: as first
EXECUTE p

EXECUTE p

--: as second
ALTER TABLE t ADD more int DEFAULT 8

--: as first
EXECUTE p

DEALLOCATE p

EXECUTE p

PREPARE p AS SELECT * FROM t

EXECUTE p

-- With the same text it is another.
--: as second
ALTER TABLE t DROP more

--: as first
EXECUTE p

EXECUTE p

BEGIN

DEALLOCATE p

PREPARE p AS SELECT * FROM t

ROLLBACK

EXECUTE p

--: as second
ALTER TABLE t ALTER n TYPE bigint

--: as first
EXECUTE p

EXECUTE q(1)

EXECUTE typed(1)

EXECUTE typed(3000000000)

EXECUTE typed('x')

SELECT name, parameter_types FROM pg_prepared_statements WHERE name IN ('q', 'typed') ORDER BY name

--: as second
ALTER TABLE t RENAME TO gone

--: as first
EXECUTE p

EXECUTE q(1)

EXECUTE q(1, 2)

EXECUTE other

DEALLOCATE typed

EXECUTE typed(1)

--: as second
ALTER TABLE gone RENAME TO t

--: as first
EXECUTE q(1)

EXECUTE p

--: as second
ALTER TABLE t ALTER n TYPE int

--: as first
EXECUTE p

BEGIN

PREPARE within AS SELECT * FROM t

ALTER TABLE t ADD more int

COMMIT

EXECUTE within

DEALLOCATE within

DEALLOCATE ALL

EXECUTE p

EXECUTE q(1)

DROP TABLE t
