-- LISTEN and NOTIFY.

LISTEN channel

SELECT * FROM pg_listening_channels()

NOTIFY channel

NOTIFY channel, 'with a payload'

--: as second
NOTIFY channel, 'from the second'

--: as first
--: hears 1

--: as second
NOTIFY channel, 'with the next answer'

--: as first
SELECT 'whatever it is'

BEGIN

NOTIFY channel, 'behind COMMIT'

SELECT 'nothing before'

COMMIT

NOTIFY channel, 'behind itself'

LISTEN "Other Channel"

--: as second
BEGIN

NOTIFY "Other Channel", 'one'

SELECT pg_notify('channel', 'two')

NOTIFY "Other Channel", 'one'

COMMIT

--: as first
--: hears 2
--: of a block

SELECT 'what is still to come'

BEGIN

NOTIFY channel, 'undone'

ROLLBACK

UNLISTEN channel

--: as second
NOTIFY channel, 'unheard'

NOTIFY "Other Channel", 'heard'

--: as first
--: hears 1

SELECT count(*) FROM pg_listening_channels()

BEGIN

LISTEN undone

ROLLBACK

SELECT * FROM pg_listening_channels() ORDER BY 1

UNLISTEN *

SELECT * FROM pg_listening_channels()

LISTEN discarded

DISCARD ALL

SELECT * FROM pg_listening_channels()

SELECT pg_notify('', 'nowhere')

SELECT pg_notify('channel', repeat('x', 8000))
