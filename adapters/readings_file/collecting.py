"""From batches in the file's order to one ordered, checked table for each facility."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np

from application.ports.readings_file import (
    DuplicateReading,
    FacilityNotInFile,
    FacilityReadings,
    IrregularStep,
    LineArray,
    ReadingsBatch,
    TimeArray,
)

MAXIMUM_STEPS = 5_000_000
"""More steps than this from the first to the last row (57 years of 6 minutes) come of a mistyped year."""


def collect(
    path: Path, batches: Iterable[ReadingsBatch], wanted: Collection[str] | None
) -> Mapping[str, FacilityReadings]:
    """Gather, order and check. Raises DuplicateReading, IrregularStep or FacilityNotInFile."""
    parts: dict[str, list[ReadingsBatch]] = {}
    for batch in batches:
        for facility_id, rows in _by_facility(batch):
            parts.setdefault(facility_id, []).append(rows)
    for facility_id in wanted or ():
        if facility_id not in parts:
            raise FacilityNotInFile(
                path, None, f"has no row of facility {facility_id!r}; see its column facility"
            )
    if not parts:
        raise FacilityNotInFile(path, None, "has no row")
    return {facility_id: _readings(path, facility_id, parts[facility_id]) for facility_id in sorted(parts)}


def _by_facility(batch: ReadingsBatch) -> Iterable[tuple[str, ReadingsBatch]]:
    ids, which = np.unique(batch.facility_ids, return_inverse=True)
    order = np.argsort(which, kind="stable")
    for facility_id, rows in zip(ids, np.split(order, np.cumsum(np.bincount(which))[:-1]), strict=True):
        yield (
            str(facility_id),
            ReadingsBatch(
                batch.facility_ids[rows],
                batch.starts_at[rows],
                batch.load_kwh[rows],
                batch.temp_c[rows],
                batch.lines[rows],
            ),
        )


def _readings(path: Path, facility_id: str, parts: list[ReadingsBatch]) -> FacilityReadings:
    starts_at = np.concatenate([part.starts_at for part in parts])
    order = np.argsort(starts_at, kind="stable")
    starts_at = starts_at[order]
    lines = np.concatenate([part.lines for part in parts])[order]
    step_s = _step_s(path, facility_id, starts_at, lines)
    load_kwh = np.concatenate([part.load_kwh for part in parts])[order]
    temp_c = np.concatenate([part.temp_c for part in parts])[order]
    return FacilityReadings(facility_id, step_s, starts_at, load_kwh, temp_c)


def _step_s(path: Path, facility_id: str, starts_at: TimeArray, lines: LineArray) -> int:
    """The commonest distance between rows, which every row must then stand on (gaps are whole steps)."""
    if len(starts_at) < 2:
        raise IrregularStep(
            path, int(lines[0]), f"one row of {facility_id} does not tell the length of its steps"
        )
    distances_us = np.diff(starts_at).astype(np.int64)
    if (same := distances_us == 0).any():
        at = int(same.argmax())
        problem = f"{facility_id} has another row for {starts_at[at]}Z on line {lines[at]}; remove one"
        raise DuplicateReading(path, int(lines[at + 1]), problem)
    found_us, times = np.unique(distances_us, return_counts=True)
    step_us = int(found_us[times.argmax()])
    if step_us % 1_000_000:
        raise IrregularStep(path, int(lines[0]), f"the steps of {facility_id} are no whole seconds")
    offsets_us = (starts_at - starts_at[0]).astype(np.int64)
    if (off := offsets_us % step_us != 0).any():
        problem = f"{facility_id} at {starts_at[off][0]}Z is off its steps of {step_us // 1_000_000} s"
        raise IrregularStep(path, int(lines[off.argmax()]), problem)
    if offsets_us[-1] // step_us >= MAXIMUM_STEPS:
        problem = f"{facility_id} spans {starts_at[0]}Z to {starts_at[-1]}Z; is a year mistyped?"
        raise IrregularStep(path, int(lines[-1]), problem)
    return step_us // 1_000_000
