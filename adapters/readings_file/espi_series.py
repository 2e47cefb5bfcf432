"""Selects the meter readings of a Green Button feed that are a facility's load, and how they convert to kWh.

Energy of intervals (uom 72, Wh) has precedence over mean power (38, W), and a net reading (flow direction 4) over
delivered (1) less fed in (19). What is not electricity, not energy or power, or a register, is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from adapters.readings_file.espi_catalogue import Catalogue, Entry
from application.ports.history_import import BadValue, UnreadableFile
from domain.telemetry.meter_reading import IDENTIFIER

WATT_HOURS, WATTS = 72, 38
FORWARD, NET, REVERSE = 1, 4, 19
_UNSPECIFIED = 0
_USABLE_ACCUMULATIONS = {WATT_HOURS: (0, 4), WATTS: (0, 4, 6, 12)}
"""None or delta data; for power also indicating or instantaneous. Not registers."""
_ELECTRICITY = 0
_MAX_POWER_OF_TEN = 12


@dataclass(frozen=True)
class Series:
    """A meter reading of the feed."""

    facility_id: str
    label: str
    direction: int
    is_power: bool
    """The value is a mean power, not an energy."""
    kilo_factor: float
    """The factor from the value to kWh or kW."""
    interval_s: int
    """The quality of an interval without one; 0: the feed gives none."""
    default_quality: str

    @property
    def sign(self) -> int:
        return -1 if self.direction == REVERSE else 1


def series_by_block(path: Path, catalogue: Catalogue, facility_id: str | None) -> list[Series | None]:
    """For each entry of the feed the series of its intervals; None: they do not count.

    Without `facility_id` each usage point's title is a facility id. Raises BadValue or UnreadableFile.
    """
    usable: dict[int, list[tuple[Entry, Series]]] = {}
    for meter_reading in catalogue.entries["MeterReading"]:
        point = catalogue.usage_point_of(meter_reading)
        if result := _series(path, catalogue, meter_reading, point, facility_id):
            usable.setdefault(id(point), []).append((meter_reading, result))
    chosen = {id(reading): series for group in usable.values() for reading, series in _chosen(path, group)}
    if not chosen:
        raise UnreadableFile(path, None, "has no interval energy or power of electricity (uom 72 or 38)")
    by_up: dict[str, Series | None] = {"": None}
    for up in catalogue.blocks:
        if up not in by_up:
            by_up[up] = chosen.get(id(catalogue.meter_reading_of(up)))
    return [by_up[up] for up in catalogue.blocks]


def _series(
    path: Path, catalogue: Catalogue, meter_reading: Entry, point: Entry | None, facility_id: str | None
) -> Series | None:
    kind = catalogue.reading_type_of(meter_reading)
    if kind is None or (
        point is not None
        and point.number(path, "UsagePoint/ServiceCategory/kind", _ELECTRICITY) != _ELECTRICITY
    ):
        return None
    uom = kind.number(path, "ReadingType/uom", _UNSPECIFIED)
    direction = kind.number(path, "ReadingType/flowDirection", _UNSPECIFIED) or FORWARD
    accumulation = kind.number(path, "ReadingType/accumulationBehaviour", _UNSPECIFIED)
    if accumulation not in _USABLE_ACCUMULATIONS.get(uom, ()) or direction not in (FORWARD, NET, REVERSE):
        return None
    power = kind.number(path, "ReadingType/powerOfTenMultiplier", 0)
    if abs(power) > _MAX_POWER_OF_TEN:
        raise BadValue(path, kind.line, f"powerOfTenMultiplier {power} is none of ESPI's")
    return Series(
        facility_id=facility_id or _facility_of(path, point),
        label=meter_reading.itself or meter_reading.title,
        direction=direction,
        is_power=uom == WATTS,
        kilo_factor=10.0 ** (power - 3),
        interval_s=kind.number(path, "ReadingType/intervalLength", 0),
        default_quality=kind.fields.get("ReadingType/defaultQuality", ""),
    )


def _facility_of(path: Path, point: Entry | None) -> str:
    title = "" if point is None else point.title
    if not IDENTIFIER.fullmatch(title):
        line = None if point is None else point.line
        problem = f"the usage point {title[:80]!r} is named after no facility; say which with --facility"
        raise BadValue(path, line, problem)
    return title


def _chosen(path: Path, group: list[tuple[Entry, Series]]) -> Iterator[tuple[Entry, Series]]:
    """The series of one usage point: at most one of each direction."""
    if any(not series.is_power for _, series in group):
        group = [one for one in group if not one[1].is_power]
    if any(series.direction == NET for _, series in group):
        group = [one for one in group if one[1].direction == NET]
    for direction in (FORWARD, NET, REVERSE):
        same = [one for one in group if one[1].direction == direction]
        if len(same) > 1:
            names = " and ".join(series.label for _, series in same[:2])
            raise BadValue(
                path, same[1][0].line, f"{names} are of one kind, and nothing says which counts; keep one"
            )
        yield from same
