"""Runs the scenarios of a script: every function given, each in tables named after this copy of the script.

usage: SCRIPT NUMBER [SCENARIO | -SCENARIO ...]     only these, or all but these
PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE say where.

Prints a line for each scenario, and what went wrong; the exit status is 1 if anything did.
"""
import sys
import threading
import traceback


def chosen(scenarios):
    wanted = [name for name in sys.argv[2:] if not name.startswith("-")]
    unwanted = [name[1:] for name in sys.argv[2:] if name.startswith("-")]
    return [one for one in scenarios if (not wanted or one.__name__ in wanted) and one.__name__ not in unwanted]


def finish(failed):
    sys.exit(1 if failed else 0)


def number():
    return int(sys.argv[1])


def table(name):
    """A name that no other copy of this script uses."""
    return f"{name}_{number()}"


def run(scenarios):
    failed = False
    for scenario in chosen(scenarios):
        try:
            scenario()
            print("ok", scenario.__name__, flush=True)
        except Exception:
            failed = True
            print("FAILED", scenario.__name__, traceback.format_exc(), flush=True)
    finish(failed)


def together(count, work):
    """Runs work(0), work(1) … in threads of their own; the first failure is everybody's."""
    failures = []

    def guarded(number):
        try:
            work(number)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


class raises:
    """The block must fail with an error whose SQLSTATE is this."""

    def __init__(self, state):
        self.state = state
        self.error = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        assert error is not None, f"no error, where {self.state} was expected"
        state = getattr(error, "sqlstate", None)
        if state is None and getattr(error, "orig", None) is not None:
            state = getattr(error.orig, "sqlstate", None)
        if state != self.state:
            return False
        self.error = error
        return True
