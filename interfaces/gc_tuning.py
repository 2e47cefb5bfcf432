"""Tuning of Python's garbage collector for long-running processes."""

from __future__ import annotations

import gc

FULL_COLLECTION_ONE_IN = 100
"""One collection of the middle generation in so many is followed by a full one; Python's default is 10. A full one
walks all cached streams, whose states hold no cycles, and delays every response meanwhile."""
YOUNGEST = 10_000
"""New objects that still exist before the youngest generation is collected: states and messages hold no cycles."""


def collect_garbage_seldom() -> None:
    """For the whole process. `gc.freeze` beside it moved no benchmark (ADR 0092)."""
    middle = gc.get_threshold()[1]
    gc.set_threshold(YOUNGEST, middle, FULL_COLLECTION_ONE_IN)
