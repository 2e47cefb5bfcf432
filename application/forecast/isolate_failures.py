"""Many facilities at once, and each alone where that fails: what is wrong with one must not keep the others."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

_log = structlog.get_logger(__name__)
One = TypeVar("One")
Answer = TypeVar("Answer")


def map_isolating_failures(
    ones: Sequence[One], answers_to: Callable[[Sequence[One]], Sequence[Answer]]
) -> list[Answer | Exception]:
    """What `answers_to` says of each of `ones`; for one that it cannot answer, its error."""
    if not ones:
        return []
    try:
        return list(answers_to(ones))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told of the one that it is of
        if len(ones) == 1:
            _log.exception("not computed", kind=type(error).__name__)
            return [error]
        _log.warning("not computed together, each is tried alone", ones=len(ones), error=str(error))
    return [answer for one in ones for answer in map_isolating_failures([one], answers_to)]
