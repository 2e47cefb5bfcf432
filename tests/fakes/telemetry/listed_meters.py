"""Listed meters in memory."""

from collections.abc import Collection, Hashable, Mapping
from time import sleep

from application.ports.telemetry.listed_meters import ListedMetersUnavailable, Listing


class FakeListedMeters:
    def __init__(self, listing: Mapping[str, Collection[str]] | None = None) -> None:
        self._listing = {facility: frozenset(meters) for facility, meters in (listing or {}).items()}
        self._deactivated: set[str] = set()
        self._changes = 0
        self.is_down = False
        self.answers_after_s = 0.0
        """Wall seconds until the version is known, as of a database that is just starting."""
        self.reads = 0
        """How often meters of single facilities were read."""

    def put(self, facility_id: str, meters: Collection[str]) -> None:
        self._listing[facility_id] = frozenset(meters)
        self._deactivated.discard(facility_id)
        self._changes += 1

    def deactivate(self, facility_id: str) -> None:
        del self._listing[facility_id]
        self._deactivated.add(facility_id)
        self._changes += 1

    def version(self) -> Hashable:
        sleep(self.answers_after_s)
        self._require_up()
        return self._changes

    def everything(self) -> dict[str, frozenset[str]]:
        self._require_up()
        return dict(self._listing)

    def among(self, facility_ids: Collection[str]) -> Listing:
        self._require_up()
        self.reads += 1
        return {one: self._listing[one] for one in facility_ids if one in self._listing}

    def deactivated(self) -> frozenset[str]:
        self._require_up()
        return frozenset(self._deactivated)

    def _require_up(self) -> None:
        if self.is_down:
            raise ListedMetersUnavailable("ordered to be down")


class _AnyFacility(dict[str, frozenset[str]]):
    def get(self, key: str, default: object = None) -> frozenset[str]:
        return super().get(key, frozenset())


class AnyMeter(FakeListedMeters):
    """A portfolio in which every facility exists and lists no meters, but for those given."""

    def everything(self) -> dict[str, frozenset[str]]:
        return _AnyFacility(super().everything())

    def among(self, facility_ids: Collection[str]) -> Listing:
        return {one: frozenset[str]() for one in facility_ids} | dict(super().among(facility_ids))
