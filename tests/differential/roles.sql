-- Who one is.

DROP ROLE IF EXISTS diff_reader, diff_writer

CREATE ROLE diff_reader

CREATE ROLE diff_writer LOGIN

CREATE TABLE secret (n int)

CREATE TABLE open_to_all (n int)

GRANT SELECT ON open_to_all TO diff_reader

SELECT current_user, session_user, current_role

SET ROLE diff_reader

SELECT current_user, session_user

SHOW role

SELECT count(*) FROM open_to_all

SELECT * FROM secret

RESET ROLE

SELECT * FROM secret

SET SESSION AUTHORIZATION diff_writer

SELECT current_user, session_user

SHOW is_superuser

SELECT * FROM open_to_all

SET ROLE diff_reader

SHOW is_superuser

RESET SESSION AUTHORIZATION

SELECT current_user, session_user

SET ROLE diff_reader

SET SESSION AUTHORIZATION DEFAULT

SELECT current_user

SHOW role

BEGIN

SET LOCAL ROLE diff_reader

SELECT * FROM secret

ROLLBACK

SELECT current_user

BEGIN

SET ROLE diff_reader

ROLLBACK

SELECT current_user

SET ROLE no_such_role

SET ROLE NONE

SELECT set_config('role', 'diff_reader', false)

SELECT current_user

CREATE TABLE not_allowed (n int)

DISCARD ALL

SELECT current_user

--: as writer
SET SESSION AUTHORIZATION 'diff_writer'

SHOW session_authorization

SET SESSION AUTHORIZATION postgres

SELECT current_user

RESET ALL

SELECT current_user

SET ROLE diff_reader

RESET SESSION AUTHORIZATION

--: leaves

--: as first
DROP TABLE secret, open_to_all

DROP ROLE diff_reader

DROP ROLE diff_writer
