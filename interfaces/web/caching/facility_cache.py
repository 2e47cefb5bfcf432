"""A cache of the ids of existing facilities. Facilities are never removed, so an id stays valid."""

from collections.abc import Iterable

from application.bounded_cache import BoundedCache
from projections.facility import FacilityRow, key_of
from projections.queries.views import View

MAX_ENTRIES = 100_000


class FacilityIdCache:
    """Used from threads too."""

    def __init__(self, facilities: View[FacilityRow]) -> None:
        self._facilities = facilities
        self._facility_ids = BoundedCache[str, None]("facility ids", max_size=MAX_ENTRIES)

    def is_cached(self, facility_id: str) -> bool:
        return facility_id in self._facility_ids

    def among(self, facility_ids: Iterable[str]) -> set[str]:
        """The facilities that exist. Reads the read model for ids that are not cached; raises ReadModelsUnavailable."""
        requested = set(facility_ids)
        missing = sorted(facility_id for facility_id in requested if not self.is_cached(facility_id))
        if not missing:
            return requested
        rows = self._facilities.by_key([key_of(facility_id) for facility_id in missing]).values()
        self.add(row.facility_id for row in rows)
        return {facility_id for facility_id in requested if self.is_cached(facility_id)}

    def add(self, facility_ids: Iterable[str]) -> None:
        for facility_id in facility_ids:
            self._facility_ids.put(facility_id, None)
