"""The time grid of a readings file: every facility's rows must be on regular steps of whole seconds, without
duplicates."""

from collections.abc import Collection, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from application.ports.history_import import (
    DuplicateReading,
    FacilityNotInFile,
    IrregularStep,
    OrderedReadings,
    ReadingsBatch,
)

MAXIMUM_STEPS = 5_000_000
"""More steps than this between the first and the last row (57 years of 6 minutes) indicate a mistyped year."""
_US = 1_000_000


class MostFrequent:
    """The most frequent of many whole numbers.

    Values that first occur after `MOST` different ones are not counted. A facility on regular steps has at
    most 3,162 different distances, since gaps that all differ then add up to MAXIMUM_STEPS.
    """

    MOST = 10_000

    def __init__(self) -> None:
        self._times: dict[int, int] = {}

    def add(self, values: NDArray[np.int64]) -> None:
        found, first, times = np.unique(values, return_index=True, return_counts=True)
        for n in np.argsort(first):
            value = int(found[n])
            if value in self._times or len(self._times) < self.MOST:
                self._times[value] = self._times.get(value, 0) + int(times[n])

    def value(self) -> int | None:
        """The least of the most frequent values; None where there are none."""
        return min(self._times, key=lambda value: (-self._times[value], value), default=None)


def distances_us(batch: ReadingsBatch, before: np.datetime64 | None) -> NDArray[np.int64]:
    """The distance of each row from the one before; `before` is the start of the previous batch's last row."""
    starts_at = batch.starts_at
    if before is not None:
        starts_at = np.concatenate([[before], starts_at])
    distances: NDArray[np.int64] = np.diff(starts_at).astype(np.int64)
    return distances


def steps_of(ordered: OrderedReadings, wanted: Collection[str] | None) -> Mapping[str, int]:
    """The step of each facility, in seconds, by id in order.

    The step is the stated length of the rows, if the file has one, else the most frequent distance between
    rows. Every row must be on that grid (gaps are whole steps). Raises DuplicateReading, IrregularStep, or
    FacilityNotInFile (also for a file without rows).
    """
    for facility_id in wanted or ():
        if facility_id not in ordered.facility_ids:
            problem = f"has no row of facility {facility_id!r}; see its column facility"
            raise FacilityNotInFile(ordered.path, None, problem)
    if not ordered.facility_ids:
        raise FacilityNotInFile(ordered.path, None, "has no row")
    return {facility_id: _Steps(ordered, facility_id).checked_s() for facility_id in ordered.facility_ids}


class _Steps:
    """The step of one facility. Each check reads its rows once."""

    def __init__(self, ordered: OrderedReadings, facility_id: str) -> None:
        self._ordered, self._facility_id = ordered, facility_id

    def checked_s(self) -> int:
        step_us = self._step_us()
        if step_us % _US:
            raise self._irregular(self._first_line, f"the steps of {self._facility_id} are no whole seconds")
        self._check_grid(step_us)
        return step_us // _US

    def _batches(self) -> Iterator[tuple[ReadingsBatch, np.datetime64 | None, int]]:
        """Each batch, with the start and the line of the row before it."""
        before, line = None, 0
        for batch in self._ordered.rows_of(self._facility_id):
            yield batch, before, line
            before, line = batch.starts_at[-1], int(batch.lines[-1])

    def _irregular(self, line: int, problem: str) -> IrregularStep:
        return IrregularStep(self._ordered.path, line, problem)

    def _step_us(self) -> int:
        distances, durations_s = MostFrequent(), MostFrequent()
        self._first_line = rows = 0
        for batch, before, line in self._batches():
            if not rows:
                self._first_line = int(batch.lines[0])
            rows += len(batch.lines)
            between = distances_us(batch, before)
            self._refuse_duplicate(batch, between, line)
            distances.add(between)
            if batch.duration_s is not None:
                durations_s.add(batch.duration_s)
        if (step_s := durations_s.value()) is not None:
            self._refuse_other_durations(step_s)
            return step_s * _US
        step_us = distances.value()
        if step_us is None:
            problem = (
                f"one row of {self._facility_id} does not tell the length of its steps; is the id mistyped?"
            )
            raise self._irregular(self._first_line, problem)
        return step_us

    def _refuse_duplicate(self, batch: ReadingsBatch, between: NDArray[np.int64], line_before: int) -> None:
        if (same := between == 0).any():
            again = int(same.argmax()) + len(batch.lines) - len(between)
            other = int(batch.lines[again - 1]) if again else line_before
            raise DuplicateReading(
                self._ordered.path,
                int(batch.lines[again]),
                f"{self._facility_id} has another row for {batch.starts_at[again]}Z on line {other}; remove one",
            )

    def _refuse_other_durations(self, step_s: int) -> None:
        for batch, _, _ in self._batches():
            if batch.duration_s is not None and (other := batch.duration_s != step_s).any():
                at = int(other.argmax())
                problem = f"{self._facility_id} has an interval of {batch.duration_s[at]} s among those of {step_s} s"
                raise self._irregular(int(batch.lines[at]), f"{problem}; import them as files of their own")

    def _check_grid(self, step_us: int) -> None:
        first = last = None
        line = 0
        for batch, _, _ in self._batches():
            first = batch.starts_at[0] if first is None else first
            if (off := (batch.starts_at - first).astype(np.int64) % step_us != 0).any():
                problem = f"{self._facility_id} at {batch.starts_at[off][0]}Z is off its steps of {step_us // _US} s"
                raise self._irregular(int(batch.lines[off.argmax()]), problem)
            last, line = batch.starts_at[-1], int(batch.lines[-1])
        if (
            first is not None
            and last is not None
            and (last - first).astype(np.int64) // step_us >= MAXIMUM_STEPS
        ):
            problem = f"{self._facility_id} spans {first}Z to {last}Z; is a year mistyped?"
            raise self._irregular(line, problem)
