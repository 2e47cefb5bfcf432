"""A file's rows as one ordered, checked table for each facility: for those who need all of it at once."""

from collections.abc import Collection, Mapping

from application.history_steps import steps_of
from application.ports.readings_file import FacilityReadings, OrderedReadings, ReadingsBatch


def collect(ordered: OrderedReadings, wanted: Collection[str] | None) -> Mapping[str, FacilityReadings]:
    """Raises DuplicateReading, IrregularStep or FacilityNotInFile."""
    return {
        facility_id: _readings(facility_id, step_s, ordered)
        for facility_id, step_s in steps_of(ordered, wanted).items()
    }


def _readings(facility_id: str, step_s: int, ordered: OrderedReadings) -> FacilityReadings:
    rows = ReadingsBatch.joined(list(ordered.rows_of(facility_id)))
    return FacilityReadings(facility_id, step_s, rows.starts_at, rows.load_kwh, rows.temp_c)
