"""How often a process of ours looks for cyclic garbage, and through what."""

from __future__ import annotations

import gc

FULL_COLLECTION_ONE_IN = 100
"""Of the collections of the middle generation; Python's own is 10. What is remembered of streams is walked by each full
one, and next to nothing is ever found there: states hold no cycles."""
YOUNGEST = 10_000
"""New objects that are still there, before the youngest are looked through: states and messages hold no cycles."""


def freeze_startup_objects(_: object = None) -> None:
    """Modules, routes and schemas stay as long as the process: a garbage collection need not walk them each time.

    A full one stops every answer, for as long as it takes to walk all there is.
    """
    gc.collect()
    gc.freeze()
    middle = gc.get_threshold()[1]
    gc.set_threshold(YOUNGEST, middle, FULL_COLLECTION_ONE_IN)
