"""Tuning of Python's garbage collector for long-running processes."""

from __future__ import annotations

import gc

FULL_COLLECTION_ONE_IN = 100
"""One collection of the middle generation in so many is followed by a full one; Python's default is 10. A full one
walks all cached streams, whose states hold no cycles."""
YOUNGEST = 10_000
"""New objects that still exist before the youngest generation is collected: states and messages hold no cycles."""


def freeze_startup_objects(_: object = None) -> None:
    """Exclude modules, routes and schemas, which live as long as the process, from garbage collections.

    A full collection delays every response for the time that it takes to walk all objects.
    """
    gc.collect()
    gc.freeze()
    middle = gc.get_threshold()[1]
    gc.set_threshold(YOUNGEST, middle, FULL_COLLECTION_ONE_IN)
