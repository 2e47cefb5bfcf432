"""Bounded lists of reasons: what a refusal records, answers and calls back.

A request may name thousands of facilities, each with several reasons, and every refusal is recorded for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from domain.dr_event.state import Reason

MOST_REASONS = 50
"""A refusal lists so many reasons; of the others it states how many there are, by code."""
MOST_DETAIL_CHARACTERS = 500


class ReasonSummary(NamedTuple):
    """The reasons of a refusal, bounded."""

    reasons: tuple[Reason, ...]
    """The first ones, with at least one of each code as far as they fit."""
    counts: dict[str, int]
    """Code -> how many reasons have it, listed or not; empty where all are listed."""


def summarized(reasons: Iterable[Reason]) -> ReasonSummary:
    """The summary of any number of reasons."""
    given = tuple(map(_shortened, reasons))
    if len(given) <= MOST_REASONS:
        return ReasonSummary(given, {})
    first_of_code: dict[str, int] = {}
    for number, reason in enumerate(given):
        first_of_code.setdefault(reason.code, number)
    chosen = set(islice(first_of_code.values(), MOST_REASONS))
    chosen |= set(islice((n for n in range(len(given)) if n not in chosen), MOST_REASONS - len(chosen)))
    listed = tuple(reason for number, reason in enumerate(given) if number in chosen)
    return ReasonSummary(listed, dict(Counter(reason.code for reason in given)))


def _shortened(reason: Reason) -> Reason:
    if len(reason.detail) <= MOST_DETAIL_CHARACTERS:
        return reason
    detail = f"{reason.detail[: MOST_DETAIL_CHARACTERS - 3]}..."
    return Reason(code=reason.code, detail=detail, facility_id=reason.facility_id)
