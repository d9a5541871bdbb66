-- Sequences, where a transaction keeps what was read together.

CREATE SEQUENCE s

CREATE TABLE t (id serial PRIMARY KEY, word text)

SELECT nextval('s')

SELECT nextval('s')

BEGIN

SELECT nextval('s')

SELECT currval('s'), lastval()

INSERT INTO t (word) VALUES ('one')

SELECT lastval(), currval('t_id_seq')

COMMIT

SELECT setval('s', 100)

SELECT nextval('s')

SELECT setval('s', 200, false)

SELECT nextval('s')

INSERT INTO t (word) VALUES ('two') RETURNING id

--: as second
SELECT currval('s')

SELECT lastval()

--: as first
DISCARD SEQUENCES

SELECT currval('s')

SELECT lastval()

ALTER SEQUENCE s RESTART WITH 5 CACHE 1

SELECT nextval('s')

TRUNCATE t RESTART IDENTITY

INSERT INTO t (word) VALUES ('first again') RETURNING *

DROP SEQUENCE s

SELECT currval('s')

DROP TABLE t
