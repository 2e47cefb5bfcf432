"""Recorded load from a readings file, shifted by whole weeks so that it reaches the world's clock.

The file's format is that of `gridproof telemetry import`: `facility,timestamp,load_kwh[,temp_c]`, start of interval.
"""

import csv
from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path

import numpy as np

from interfaces.simulators.meters.load_model import interval_means, interval_starts
from interfaces.simulators.weather.climate import Climate, Floats

WEEK_S = 7 * 86_400
NEEDED_HISTORY_S = 8 * WEEK_S

Row = tuple[str, float, float, float]
"""Facility, start (seconds since 1970), kWh, degrees Celsius; NaN where the file says nothing."""


class UnreadableReadings(ValueError):
    """The readings file cannot be used; the text says what to do."""


class RecordedLoad:
    """A facility's recording as a LoadSource. Gaps are not filled."""

    def __init__(self, facility_id: str, rows: list[Row]) -> None:
        if len(rows) < 2:
            raise UnreadableReadings(f"{facility_id} has fewer than two readings; give a longer file")
        ordered = np.array(sorted({row[1:] for row in rows}, key=lambda row: row[0]))
        self._starts_s: Floats = ordered[:, 0]
        self._kwh: Floats = ordered[:, 1]
        self._temp_c: Floats = ordered[:, 2]
        self.step_s = float(np.median(np.diff(self._starts_s)))
        self._climate = Climate(facility_id)

    @property
    def mean_kw(self) -> float:
        """The mean over the whole recording."""
        return float(np.nanmean(self._kwh)) * 3600.0 / self.step_s

    def move_to_cover(self, ends_at: datetime) -> int:
        """Shift the recording by whole weeks until it reaches `ends_at`; returns their number."""
        end_s = ends_at.timestamp()
        last_s, first_s = self._starts_s[-1] + self.step_s, self._starts_s[0]
        if last_s >= end_s and first_s <= end_s - NEEDED_HISTORY_S:
            return 0
        weeks = int(np.ceil((end_s - last_s) / WEEK_S))
        self._starts_s = self._starts_s + weeks * WEEK_S
        return weeks

    def load_kw(self, at: datetime) -> float | None:
        load_kw = float(self.loads_kw(np.array([at.timestamp()]))[0])
        return None if np.isnan(load_kw) else load_kw

    def temperature_c(self, at: datetime) -> float:
        return float(self._temperatures(np.array([at.timestamp()]))[0])

    def mean_load_kw(self, starts_at: datetime, step_s: int, steps: int) -> Floats:
        return interval_means(self.loads_kw, interval_starts(starts_at, step_s, steps), step_s)

    def temperatures_c(self, starts_at: datetime, step_s: int, steps: int) -> Floats:
        return self._temperatures(interval_starts(starts_at, step_s, steps))

    def loads_kw(self, epoch_s: Floats) -> Floats:
        return self._at(epoch_s, self._kwh) * 3600.0 / self.step_s

    def _temperatures(self, epoch_s: Floats) -> Floats:
        recorded = self._at(epoch_s, self._temp_c)
        return np.where(np.isnan(recorded), self._climate.temperatures_c(epoch_s), recorded)

    def _at(self, epoch_s: Floats, values: Floats) -> Floats:
        index = np.searchsorted(self._starts_s, epoch_s, side="right") - 1
        inside = (index >= 0) & (epoch_s < self._starts_s[np.maximum(index, 0)] + self.step_s)
        return np.where(inside, values[np.maximum(index, 0)], np.nan)


def read_recordings(path: Path, facilities: Collection[str] | None = None) -> dict[str, RecordedLoad]:
    """The recordings in a CSV or Parquet file (of `facilities` only). Raises UnreadableReadings."""
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    for row in _parquet_rows(path) if path.suffix == ".parquet" else _csv_rows(path):
        if facilities is None or row[0] in facilities:
            rows[row[0]].append(row)
    missing = sorted(set(facilities or ()) - rows.keys())
    if missing:
        raise UnreadableReadings(f"{path} has no readings of {', '.join(missing)}")
    return {facility: RecordedLoad(facility, found) for facility, found in rows.items()}


def facility_zones(path: Path) -> dict[str, str]:
    """Facility to IANA time zone, from the `facilities.csv` beside a readings file; {} without one."""
    beside = path.parent / "facilities.csv"
    if not beside.exists():
        return {}
    with beside.open(newline="", encoding="utf-8") as lines:
        return {row["facility"]: row["tz"] for row in csv.DictReader(lines)}


def _csv_rows(path: Path) -> Iterator[Row]:
    with path.open(newline="", encoding="utf-8") as lines:
        for number, row in enumerate(csv.DictReader(lines), start=2):
            try:
                at = datetime.fromisoformat(row["timestamp"])
                if at.tzinfo is None:
                    raise ValueError("the timestamp has no offset")
                yield row["facility"], at.timestamp(), _number(row["load_kwh"]), _number(row.get("temp_c"))
            except (KeyError, TypeError, ValueError) as error:
                raise UnreadableReadings(f"{path} line {number}: {error}") from error


def _number(text: str | None) -> float:
    return float(text) if text else float("nan")


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    missing = {"facility", "timestamp", "load_kwh"} - set(table.column_names)
    if missing:
        raise UnreadableReadings(f"{path} lacks the columns {', '.join(sorted(missing))}")
    epoch_s = table["timestamp"].cast(pyarrow.timestamp("us", tz="UTC")).to_numpy().astype("datetime64[us]")
    starts_s = (epoch_s.astype(np.int64) / 1e6).tolist()
    kwh = table["load_kwh"].to_numpy().astype(np.float64).tolist()
    has_temperature = "temp_c" in table.column_names
    temp_c = (
        table["temp_c"].to_numpy().astype(np.float64).tolist()
        if has_temperature
        else [float("nan")] * len(kwh)
    )
    yield from zip(table["facility"].to_pylist(), starts_s, kwh, temp_c, strict=True)
