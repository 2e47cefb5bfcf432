"""The same endpoints written in idiomatic FastAPI, on the same server and plain stores.

Documents with a model are returned through it. Rows that PostgreSQL returns as JSON are parsed and encoded again, as
usual for a page of a list.
"""

import importlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from application.ports.access.api_keys import ApiKey
from tests.bench.api.floor import served
from tests.bench.api.plain_stores import PlainStores, Refused, Rows, is_stale

# Imported by name: they belong to the extra `bench`, which may not be installed.
fastapi = importlib.import_module("fastapi")
pydantic = importlib.import_module("pydantic")
responses = importlib.import_module("fastapi.responses")

CURRENT = pydantic.create_model(
    "Current",
    facility_id=(str, ...),
    kw=(float | None, ...),
    measured_at=(datetime | None, ...),
    age_s=(float | None, ...),
    stale=(bool, ...),
    source=(str, ...),
)


class _Rows:
    """The endpoints that read from PostgreSQL."""

    def __init__(self, stores: PlainStores) -> None:
        self._stores = stores

    async def portfolio(self) -> Any:
        return _json(json.loads(await self._stores.one("portfolio", "portfolio")))

    async def dr_events(self) -> Any:
        return _listing(*await self._stores.listed("dr_events", newest_first=True))

    async def facilities(self) -> Any:
        return _listing(*await self._stores.listed("facilities", newest_first=False))

    async def dr_event(self, dr_event_id: UUID) -> Any:
        return _json(json.loads(await self._stores.one("dr_events", str(dr_event_id))))

    async def audit(self, dr_event_id: UUID) -> Any:
        head, found = await self._stores.dr_event_rows(dr_event_id)
        steps = [{"position": row[0], "topic": row[1], "state": json.loads(row[2])} for row in found]
        return _json({"dr_event_id": str(dr_event_id), "position": head, "steps": steps})


def twin(stores: PlainStores) -> Any:
    rows = _Rows(stores)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        await stores.open()
        try:
            yield
        finally:
            await stores.close()

    async def watched(authorization: str = fastapi.Header("")) -> ApiKey:
        return await stores.caller(authorization, is_limited=False)

    async def caller(authorization: str = fastapi.Header("")) -> ApiKey:
        return await stores.caller(authorization)

    async def current(facility_id: str, key: Any = fastapi.Depends(watched)) -> Any:  # noqa: B008 - required by FastAPI
        value, is_cached = await stores.current(key, facility_id)
        age_s = (datetime.now(UTC) - value.measured_at).total_seconds()
        return CURRENT(
            facility_id=facility_id,
            kw=value.kw,
            measured_at=value.measured_at,
            age_s=age_s,
            stale=is_stale(value, age_s),
            source="cache" if is_cached else "store",
        )

    app = fastapi.FastAPI(lifespan=lifespan, exception_handlers={Refused: _refused})
    app.add_api_route("/api/facilities/{facility_id}/current", current, response_model=CURRENT)
    for path, endpoint in (
        ("/api/portfolio", rows.portfolio),
        ("/api/dr-events", rows.dr_events),
        ("/api/facilities", rows.facilities),
        ("/api/dr-events/{dr_event_id}", rows.dr_event),
        ("/api/audit/dr-events/{dr_event_id}", rows.audit),
    ):
        app.add_api_route(path, endpoint, dependencies=[fastapi.Depends(caller)])
    return app


async def _refused(_: Any, error: Any) -> Any:
    return _json({"detail": "refused"}, status_code=error.status)


def _listing(found: Rows, cursor: str | None) -> Any:
    return _json({"items": [json.loads(row[2]) for row in found], "next_cursor": cursor})


def _json(document: Any, **named: Any) -> Any:
    return responses.JSONResponse(document, **named)


if __name__ == "__main__":
    served(lambda stores, _: twin(stores))
