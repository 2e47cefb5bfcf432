"""Isolation of failures in batches: compute many facilities together, and one by one where that fails."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

_log = structlog.get_logger(__name__)
One = TypeVar("One")
Answer = TypeVar("Answer")


def map_isolating_failures(
    ones: Sequence[One], answers_to: Callable[[Sequence[One]], Sequence[Answer]]
) -> list[Answer | Exception]:
    """The result of `answers_to` for each of `ones`; for one that fails, its error."""
    if not ones:
        return []
    try:
        return list(answers_to(ones))
    except Exception as error:  # noqa: BLE001 - returned for the item that it belongs to
        if len(ones) == 1:
            _log.exception("not computed", kind=type(error).__name__)
            return [error]
        _log.warning("not computed together, trying them one by one", ones=len(ones), error=str(error))
    return [answer for one in ones for answer in map_isolating_failures([one], answers_to)]
