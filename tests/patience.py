"""How long a test waits before it fails, and how many whole systems run at once.

A limit costs time only where a test fails, so each is many times what an idle machine needs. A test waits less only
where the short time is what it shows. GRIDPROOF_PATIENCE=3 triples the limits on a slow machine.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_FACTOR = float(os.environ.get("GRIDPROOF_PATIENCE", "1"))
ANSWER_S = 120.0 * _FACTOR
"""For an answer of a running process, or for one step of it."""
END_S = 180.0 * _FACTOR
"""For the orderly end of a process or of a system."""
START_S = 300.0 * _FACTOR
"""For the start of a process or of a system."""
RUN_S = 1_500.0 * _FACTOR
"""For a demo from its start to its end."""

PLACES = 2
"""For whole systems. Each is a dozen processes: more of them at once delay each other's clocks."""
_FOLDER = Path(__file__).resolve().parent.parent / "build"
_PAUSE_S = 0.2


@contextmanager
def whole_system() -> Iterator[None]:
    """Wait for one of the PLACES, which all test processes of this checkout share, and hold it during the block.

    A test holds one place at a time: two tests that held one and waited for another would wait for ever.
    """
    _FOLDER.mkdir(exist_ok=True)
    with ExitStack() as opened:
        places = [opened.enter_context((_FOLDER / f"system-{n}.lock").open("w")) for n in range(PLACES)]
        while not any(_is_taken(place.fileno()) for place in places):
            time.sleep(_PAUSE_S)
        yield


def _is_taken(place: int) -> bool:
    """True if the place was free and is now held, until its file is closed."""
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
