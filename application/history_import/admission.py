"""The rows that an import of history may contain: rows of the portfolio's facilities, of intervals that are over."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import numpy as np

from application.ports.history_import import FutureRows, OrderedReadings, UnknownFacilities

CLOCKS_DIFFER = timedelta(minutes=1)
"""An interval may end this much after now: the clock of whatever wrote the file is not ours."""
MOST_NAMED = 10
"""Facilities and lines that a refusal names; it says how many there are."""
UnknownOf = Callable[[Collection[str]], Mapping[str, Sequence[str]]]
"""Which facilities the portfolio does not have, in their order, each with the nearest ids that it has."""


class FacilityRows(Protocol):
    """The rows of one facility in the file."""

    @property
    def facility_id(self) -> str: ...

    @property
    def step_s(self) -> int: ...

    @property
    def ends_at(self) -> datetime: ...


@dataclass(frozen=True)
class Admission:
    """`now` is the time of the system that imports. `unknown_of` is None where the portfolio cannot be asked."""

    now: datetime
    unknown_of: UnknownOf | None
    allows_unknown: bool = False

    def check(self, ordered: OrderedReadings, facilities: Sequence[FacilityRows]) -> tuple[str, ...]:
        """The facilities that the portfolio does not have, where they are allowed. Reads the rows again only of
        facilities with rows in the future.

        Raises FutureRows or UnknownFacilities, and what reading the portfolio raises.
        """
        self._check_past(ordered, facilities)
        if self.unknown_of is None:
            return ()
        unknown = self.unknown_of([one.facility_id for one in facilities])
        if unknown and not self.allows_unknown:
            raise _unknown(ordered.path, unknown)
        return tuple(unknown)

    def _check_past(self, ordered: OrderedReadings, facilities: Sequence[FacilityRows]) -> None:
        over = self.now + CLOCKS_DIFFER
        rows, lines, names = 0, list[int](), list[str]()
        for one in facilities:
            if one.ends_at <= over:
                continue
            last_start = np.datetime64(
                (over - timedelta(seconds=one.step_s)).astimezone(UTC).replace(tzinfo=None), "us"
            )
            names.append(one.facility_id)
            for batch in ordered.rows_of(one.facility_id):
                found = batch.lines[batch.starts_at > last_start]
                rows += len(found)
                lines = sorted([*lines, *found.tolist()])[:MOST_NAMED]
        if rows:
            raise _future(ordered.path, rows, lines, names, self.now)


def _unknown(path: Path, unknown: Mapping[str, Sequence[str]]) -> UnknownFacilities:
    named = [
        f"{one} (did you mean {near[0]}?)" if near else one
        for one, near in list(unknown.items())[:MOST_NAMED]
    ]
    are = "1 facility is" if len(unknown) == 1 else f"{len(unknown)} facilities are"
    return UnknownFacilities(
        path,
        None,
        f"{are} not in the portfolio: {_list(named, len(unknown))}; correct the file, register them "
        "(`gridproof facilities import`), or use --allow-unknown",
    )


def _future(path: Path, rows: int, lines: Sequence[int], names: Sequence[str], now: datetime) -> FutureRows:
    are = "1 row is" if rows == 1 else f"{rows} rows are"
    line = "line" if rows == 1 else "lines"
    return FutureRows(
        path,
        lines[0],
        f"{are} of intervals that are not over at {now:%Y-%m-%d %H:%M}Z, on {line} {_list(lines, rows)}, of "
        f"{_list(names[:MOST_NAMED], len(names))}; is a date mistyped?",
    )


def _list(named: Sequence[object], count: int) -> str:
    return ", ".join(map(str, named)) + (", ..." if count > len(named) else "")
