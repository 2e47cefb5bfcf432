"""Inspection of a readings file before the import: gaps, duplicates, and implausible values.

The inspection refuses nothing; interval_grid refuses what cannot be stored. A spike, a flat line or a doubled
hour is for a person to judge. A facility's rows are read twice, in pieces: first for their usual values, then
for deviations. The result does not depend on how the rows are cut into pieces.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from application.history_import.dst_hours import HourEnergies, moment64
from application.history_import.facility_profile import FacilityProfile, Piece, pieces_of, profile_of
from application.history_import.runs import Run, RunDetector
from application.history_import.spike_detection import NEIGHBOURS, LoadRows, NeighbourDistances
from application.ports.history_import import ClockChange, OrderedReadings, ReadingsBatch, ReadingsFile
from domain.time_series.windows import FloatArray

MAX_LISTED = 20
"""The most findings listed of each kind and facility; the counts include all."""
SPIKE_DEVIATIONS = 12.0
"""A spike is so many usual distances away from the median of its neighbours, and more than half the usual
level."""
FLAT_FOR = timedelta(hours=6)
ZERO_FOR = timedelta(hours=24)
DOUBLED_FROM, DOUBLED_TO = 1.7, 2.3
"""An hour of a clock change back holds two hours in one if its energy is so many times that of the hours a
day before and after."""
_SAME_DAY_US = 15 * 3_600_000_000
"""A local time read as UTC is off by less than this."""
_HOUR_US = 3_600_000_000
_US = 1_000_000

Kind = Literal[
    "duplicate", "dst double", "gap", "dst gap", "negative", "spike", "flat", "zero", "dst hour doubled"
]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """An anomaly, from the start of its first row to the end of its last."""

    kind: Kind
    starts_at: datetime
    ends_at: datetime
    rows: int
    line: int | None
    """The line in the file; None: the rows are missing there."""
    detail: str


class InspectedFacility(msgspec.Struct, frozen=True, kw_only=True):
    """The inspection of one facility."""

    facility_id: str
    rows: int
    step_s: int
    """The most frequent distance between rows; 0 for a single row."""
    starts_at: datetime
    ends_at: datetime
    empty: int
    """Rows without a load."""
    counts: dict[str, int]
    """Findings by kind; kinds without findings are left out."""
    qualities: dict[str, int]
    """Rows by the quality that the file states; empty where it states none."""
    findings: tuple[Finding, ...]
    """The first findings of each kind."""


def inspect_readings(file: ReadingsFile, ordered: OrderedReadings) -> tuple[InspectedFacility, ...]:
    """The inspection by facility; `ordered` was read from `file`. Raises a ReadingsFileError for an
    unreadable file."""
    profiles = {facility_id: profile_of(ordered, facility_id) for facility_id in ordered.facility_ids}
    if not profiles:
        return ()
    years = [moment.year for one in profiles.values() for moment in (_moment(one.first), _moment(one.last))]
    changes = file.clock_changes(min(years), max(years))
    exporters = file.exporters()
    return tuple(
        _inspected(ordered, facility_id, profile, changes.get(facility_id, []), facility_id not in exporters)
        for facility_id, profile in profiles.items()
    )


def _inspected(
    ordered: OrderedReadings,
    facility_id: str,
    profile: FacilityProfile,
    changes: Sequence[ClockChange],
    never_below_0: bool,
) -> InspectedFacility:
    inspection = _Inspection(profile, changes, never_below_0=never_below_0)
    for piece in pieces_of(ordered, facility_id):
        inspection.at(piece)
    inspection.rest()
    return InspectedFacility(
        facility_id=facility_id,
        rows=profile.rows,
        step_s=profile.step_us // _US,
        starts_at=_moment(profile.first),
        ends_at=_moment(profile.last) + timedelta(microseconds=profile.step_us),
        empty=profile.empty,
        counts={kind: inspection.counts[kind] for kind in get_args(Kind) if inspection.counts[kind]},
        qualities=profile.qualities,
        findings=tuple(sorted(inspection.named, key=lambda one: (one.starts_at, one.kind))),
    )


def _moment(of: np.datetime64) -> datetime:
    found: datetime = of.astype("datetime64[us]").astype(datetime)
    return found.replace(tzinfo=UTC)


class _Inspection:
    """The inspection of one facility's rows, piece by piece, with its findings."""

    def __init__(
        self, profile: FacilityProfile, changes: Sequence[ClockChange], *, never_below_0: bool
    ) -> None:
        self._profile, self._step_us = profile, profile.step_us
        self._never_below_0 = never_below_0
        self._changes = [(moment64(change.at), change.shift_s * _US) for change in changes]
        self._hours = HourEnergies(changes)
        self._neighbours = NeighbourDistances()
        self._negative, self._spikes = RunDetector(1), RunDetector(1)
        # A run of n equal steps has n - 1 rows that equal the row before.
        self._flat, self._zero = (
            RunDetector(self._steps_in(lasting) - 1) for lasting in (FLAT_FOR, ZERO_FOR)
        )
        self.counts: Counter[Kind] = Counter()
        self.named: list[Finding] = []

    def _steps_in(self, lasting: timedelta) -> int:
        return max(3, lasting // timedelta(microseconds=self._step_us or 1))

    def at(self, piece: Piece) -> None:
        """Inspect the next piece."""
        self._duplicates(piece)
        if self._step_us:
            self._gaps(piece)
            self._unchanged(piece)
            self._hours.add(piece.rows)
        if self._never_below_0:
            self._report_negative(self._negative.add(piece.with_load(piece.rows.load_kwh < 0)))
        self._far(*self._neighbours.add(piece.with_load(~np.isnan(piece.rows.load_kwh))))

    def rest(self) -> None:
        """Conclude the findings that were open when the last piece ended."""
        if (left := self._neighbours.rest()) is not None:
            self._far(*left)
        self._report_negative(self._negative.rest())
        self._report_spikes(self._spikes.rest())
        self._report_unchanged("flat", self._flat.rest())
        self._report_unchanged("zero", self._zero.rest())
        self._doubled_hours()

    def _room(self, kind: Kind, more: int = 1) -> int:
        """Count findings. Returns how many of them may be listed."""
        room = max(0, MAX_LISTED - self.counts[kind])
        self.counts[kind] += more
        return min(room, more)

    def _name(
        self,
        kind: Kind,
        starts_at: np.datetime64,
        us: int,
        detail: str,
        *,
        rows: int = 1,
        line: int | None = None,
    ) -> None:
        begins_at = _moment(starts_at)
        ends_at = begins_at + timedelta(microseconds=us)
        self.named.append(
            Finding(kind=kind, starts_at=begins_at, ends_at=ends_at, rows=rows, line=line, detail=detail)
        )

    def _to_name(self, kind: Kind, found: NDArray[np.bool_]) -> list[int]:
        """Count all findings. Returns the indices of those to be listed."""
        indices: list[int] = np.flatnonzero(found).tolist()
        return indices[: self._room(kind, len(indices))]

    def _duplicates(self, piece: Piece) -> None:
        """Find duplicate moments. Duplicates in the repeated hour of a clock change suggest local times
        without offset."""
        again = piece.again
        twice = np.zeros(len(again.lines), dtype=np.bool_)
        for at, shift_us in self._changes:
            if shift_us < 0:
                twice |= np.abs((again.starts_at - at).astype(np.int64)) < _SAME_DAY_US
        kinds: list[tuple[Kind, NDArray[np.bool_], str]] = [
            ("dst double", twice, "; clocks went back: are these local times?"),
            ("duplicate", ~twice, ""),
        ]
        for kind, mask, hint in kinds:
            for n in self._to_name(kind, mask):
                one, other = piece.first_kwh[n], again.load_kwh[n]
                same = one == other or np.isnan([one, other]).all()
                detail = "with the same value" if same else f"{one:g} and {other:g} kWh"
                line = int(again.lines[n])
                self._name(kind, again.starts_at[n], self._step_us, f"{detail}{hint}", line=line)

    def _gaps(self, piece: Piece) -> None:
        missing_us = piece.since() - self._step_us
        began_at = piece.rows.starts_at - missing_us.astype("timedelta64[us]")
        skipped = np.zeros(len(missing_us), dtype=np.bool_)
        for at, shift_us in self._changes:
            near = np.abs((began_at - at).astype(np.int64)) < _SAME_DAY_US
            skipped |= near & (missing_us == shift_us)
        kinds: list[tuple[Kind, NDArray[np.bool_], str]] = [
            ("dst gap", skipped, "; clocks went forward: are these local times?"),
            ("gap", ~skipped, ""),
        ]
        for kind, mask, hint in kinds:
            for n in self._to_name(kind, mask & (missing_us > 0)):
                us = int(missing_us[n])
                steps = us // self._step_us
                missing = "1 step is" if steps == 1 else f"{steps} steps are"
                self._name(kind, began_at[n], us, f"{missing} not there{hint}", rows=steps)

    def _unchanged(self, piece: Piece) -> None:
        """Find runs of equal values. A run begins with the first of the equal values."""
        if not len(piece.rows.lines):
            return
        before = piece.rows.rows(np.array([0])) if piece.before is None else piece.before
        every = ReadingsBatch.joined([before, piece.rows])
        load_kwh = piece.rows.load_kwh
        same = (load_kwh == every.load_kwh[:-1]) & (piece.since() == self._step_us)
        nth = piece.nth + np.arange(len(load_kwh))
        rows = LoadRows(nth, every.starts_at[:-1], every.lines[:-1], load_kwh)
        self._report_unchanged("flat", self._flat.add(rows.rows(same & (load_kwh != 0))))
        self._report_unchanged("zero", self._zero.add(rows.rows(same & (load_kwh == 0))))

    def _report_unchanged(self, kind: Kind, stretches: Iterable[Run]) -> None:
        for one in stretches:
            if self._room(kind):
                us = (one.rows + 1) * self._step_us
                detail = f"{one.first_kwh:g} kWh in every step"
                self._name(kind, one.starts_at, us, detail, rows=one.rows + 1, line=one.line)

    def _report(self, kind: Kind, stretches: Iterable[Run], detail: Callable[[Run], str]) -> None:
        for one in stretches:
            if self._room(kind):
                us = int((one.last_starts_at - one.starts_at).astype(np.int64)) + self._step_us
                self._name(kind, one.starts_at, us, detail(one), rows=one.rows, line=one.line)

    def _report_negative(self, stretches: Iterable[Run]) -> None:
        self._report("negative", stretches, lambda one: f"down to {one.least_kwh:g} kWh; generation?")

    def _report_spikes(self, stretches: Iterable[Run]) -> None:
        self._report("spike", stretches, lambda one: f"{one.farthest_kwh:g} kWh")

    def _far(self, rows: LoadRows, distances_kwh: FloatArray) -> None:
        """Find single values far from their neighbours."""
        usual = self._profile
        if usual.with_load >= 4 * NEIGHBOURS:
            far = (distances_kwh > SPIKE_DEVIATIONS * usual.distance_kwh) & (distances_kwh > 0)
            far &= distances_kwh > 0.5 * usual.level_kwh
            self._report_spikes(self._spikes.add(rows.rows(far)))

    def _doubled_hours(self) -> None:
        """Find two hours around a clock change back that were summed into one, with the other one empty."""
        for hour in self._hours.energies(self._step_us):
            usual = hour.usual_kwh
            if (
                usual > 0
                and DOUBLED_FROM <= hour.kwh / usual <= DOUBLED_TO
                and self._room("dst hour doubled")
            ):
                detail = f"{hour.kwh:g} kWh, {usual:g} on the days beside it: two hours in one?"
                self._name("dst hour doubled", hour.starts_at, _HOUR_US, detail)
