"""Times work, and runs contenders in turn, so that other load on the machine affects all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def best_of(contenders: Mapping[str, Callable[[], float]], *, rounds: int) -> dict[str, float]:
    """The best rate of each contender over the rounds. Each round starts with a different contender."""
    names = list(contenders)
    best = dict.fromkeys(names, 0.0)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            best[name] = max(best[name], contenders[name]())
    return best


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """The seconds that it took, and its result."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result
