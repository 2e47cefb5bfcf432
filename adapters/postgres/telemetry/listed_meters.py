"""The meters that the portfolio lists, from the read model of facilities."""

from collections.abc import Collection, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from psycopg_pool import ConnectionPool

from adapters.postgres.read_model.view import PostgresView
from application.ports.telemetry.listed_meters import ListedMetersUnavailable, Listing
from domain.facility import FacilityStatus
from projections.facility import FacilitiesProjection, key_of
from projections.queries.views import ReadModelsUnavailable, all_rows


class _FacilityMeters(msgspec.Struct, frozen=True, tag="facility"):
    """The part of a FacilityRow that is read here: a process may hold those of many facilities."""

    facility_id: str
    status: FacilityStatus
    meters: tuple[str, ...] = ()


class PostgresListedMeters:
    """`pool` connects as the application's role."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._view = PostgresView(pool, FacilitiesProjection(), _FacilityMeters)

    def version(self) -> Hashable:
        with _translated():
            return self._view.version()

    def everything(self) -> dict[str, frozenset[str]]:
        with _translated():
            return _listing(all_rows(self._view))

    def among(self, facility_ids: Collection[str]) -> Listing:
        with _translated():
            rows = self._view.by_key([key_of(facility_id) for facility_id in facility_ids])
        return _listing(rows.values())

    def deactivated(self) -> frozenset[str]:
        with _translated():
            return frozenset(row.facility_id for row in all_rows(self._view, status="deactivated"))


def _listing(rows: Iterable[_FacilityMeters]) -> dict[str, frozenset[str]]:
    return {row.facility_id: frozenset(row.meters) for row in rows if row.status != "deactivated"}


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ReadModelsUnavailable as error:
        raise ListedMetersUnavailable(str(error)) from error
