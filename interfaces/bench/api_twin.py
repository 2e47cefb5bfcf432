"""The same endpoints as one writes them with FastAPI, on the same server and over the same plain stores.

Documents that have a model are answered through it; rows that PostgreSQL gives as JSON are parsed and encoded again, as
a page of a list is anywhere.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from application.ports.api_keys import ApiKey
from interfaces.bench.api_floor import served
from interfaces.bench.api_plain import PlainStores, Refused, Rows, is_stale


class Current(BaseModel):
    facility_id: str
    kw: float | None
    measured_at: datetime | None
    age_s: float | None
    stale: bool
    source: str


def twin(stores: PlainStores) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await stores.open()
        try:
            yield
        finally:
            await stores.close()

    app = FastAPI(lifespan=lifespan)
    _add_refusals(app)

    async def watched(request: Request) -> ApiKey:
        return await stores.caller(request.headers.get("authorization", ""), is_limited=False)

    async def caller(request: Request) -> ApiKey:
        return await stores.caller(request.headers.get("authorization", ""))

    @app.get("/api/facilities/{facility_id}/current")
    async def current(facility_id: str, key: Annotated[ApiKey, Depends(watched)]) -> Current:
        value, is_cached = await stores.current(key, facility_id)
        age_s = (datetime.now(UTC) - value.measured_at).total_seconds()  # noqa: TID251 - as the floor
        return Current(
            facility_id=facility_id,
            kw=value.kw,
            measured_at=value.measured_at,
            age_s=age_s,
            stale=is_stale(value, age_s),
            source="cache" if is_cached else "store",
        )

    @app.get("/api/portfolio", dependencies=[Depends(caller)])
    async def portfolio() -> JSONResponse:
        return JSONResponse(json.loads(await stores.one("portfolio", "portfolio")))

    @app.get("/api/dr-events", dependencies=[Depends(caller)])
    async def dr_events() -> JSONResponse:
        return _listing(*await stores.listed("dr_events", newest_first=True))

    @app.get("/api/facilities", dependencies=[Depends(caller)])
    async def facilities() -> JSONResponse:
        return _listing(*await stores.listed("facilities", newest_first=False))

    @app.get("/api/dr-events/{dr_event_id}", dependencies=[Depends(caller)])
    async def dr_event(dr_event_id: UUID) -> JSONResponse:
        return JSONResponse(json.loads(await stores.one("dr_events", str(dr_event_id))))

    @app.get("/api/audit/dr-events/{dr_event_id}", dependencies=[Depends(caller)])
    async def audit(dr_event_id: UUID) -> JSONResponse:
        head, found = await stores.story(dr_event_id)
        steps = [{"position": row[0], "topic": row[1], "state": json.loads(row[2])} for row in found]
        return JSONResponse({"dr_event_id": str(dr_event_id), "position": head, "steps": steps})

    return app


def _add_refusals(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    async def refused(_: Request, error: Any) -> JSONResponse:
        raised = HTTPException(error.status)
        return JSONResponse({"detail": raised.detail}, status_code=raised.status_code)


def _listing(found: Rows, cursor: str | None) -> JSONResponse:
    return JSONResponse({"items": [json.loads(row[2]) for row in found], "next_cursor": cursor})


if __name__ == "__main__":
    served(twin)
