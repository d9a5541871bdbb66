-- Large objects by function.

SELECT lo_create(70001)

SELECT lo_put(70001, 0, 'hello large world')

SELECT lo_get(70001, 6, 5)

BEGIN

SELECT lo_open(70001, 393216)

SELECT loread(0, 5)

SELECT lowrite(0, ' LARGE')

SELECT lo_lseek(0, 0, 0)

SELECT loread(0, 100)

SELECT lo_tell(0)

SELECT lo_truncate(0, 5)

SELECT lo_close(0)

COMMIT

SELECT lo_get(70001)

SELECT loread(0, 5)

SELECT lo_unlink(70001)

SELECT lo_get(70001)

SELECT loid FROM pg_largeobject
