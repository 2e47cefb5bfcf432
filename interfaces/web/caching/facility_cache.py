"""Which facilities there are: one that was seen once is not looked for again, since none is ever taken away."""

from collections import OrderedDict
from collections.abc import Iterable

from projections.facility import FacilityRow, key_of
from projections.queries.views import View

MOST_REMEMBERED = 100_000


class FacilityIdCache:
    """Used from threads too: each step is one operation on a dict."""

    def __init__(self, facilities: View[FacilityRow]) -> None:
        self._facilities = facilities
        self._remembered: OrderedDict[str, None] = OrderedDict()

    def is_remembered(self, facility_id: str) -> bool:
        return facility_id in self._remembered

    def among(self, facility_ids: Iterable[str]) -> set[str]:
        """Those that there are. Asks the read model for what is not remembered; raises ReadModelsUnavailable."""
        asked = set(facility_ids)
        missing = sorted(facility_id for facility_id in asked if not self.is_remembered(facility_id))
        if not missing:
            return asked
        found = self._facilities.by_key([key_of(facility_id) for facility_id in missing]).values()
        self.note(row.facility_id for row in found)
        return {facility_id for facility_id in asked if self.is_remembered(facility_id)}

    def note(self, facility_ids: Iterable[str]) -> None:
        """These were seen."""
        self._remembered.update(dict.fromkeys(facility_ids))
        while len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
