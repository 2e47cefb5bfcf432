"""Runs contenders in turn, so that other load on the machine affects all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping


def best_of(contenders: Mapping[str, Callable[[], float]], *, rounds: int) -> dict[str, float]:
    """The best rate of each contender over the rounds. Each round starts with a different contender."""
    names = list(contenders)
    best = dict.fromkeys(names, 0.0)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            best[name] = max(best[name], contenders[name]())
    return best
