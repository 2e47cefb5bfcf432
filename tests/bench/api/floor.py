"""The floor of `bench api`: an ASGI function without a framework, on the API's server and plain stores."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import uvloop

from interfaces.workers.web import server
from tests.bench.api.plain_stores import PlainStores, Refused, Rows, is_stale
from tests.bench.api.setup import PlainPlan

_encode = msgspec.json.Encoder().encode


class PlainApp:
    """An ASGI application with six routes."""

    def __init__(self, stores: PlainStores) -> None:
        self._stores = stores

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _live(self._stores, receive, send)
            return
        status = 200
        try:
            body = await self._answer(scope)
        except Refused as refused:
            status, body = refused.status, b"{}"
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Any) -> bytes:
        stores = self._stores
        authorization = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        path: str = scope["path"]
        is_current = path.endswith("/current")
        caller = await stores.caller(authorization.decode("latin-1"), is_limited=not is_current)
        if is_current:
            return await self._current(caller, path[len("/api/facilities/") : -len("/current")])
        if path == "/api/portfolio":
            return (await stores.one("portfolio", "portfolio")).encode()
        if path == "/api/dr-events":
            return _listing(*await stores.listed("dr_events", newest_first=True))
        if path == "/api/facilities":
            return _listing(*await stores.listed("facilities", newest_first=False))
        dr_event_id = UUID(path.rpartition("/")[2])
        if path.startswith("/api/dr-events/"):
            return (await stores.one("dr_events", str(dr_event_id))).encode()
        head, found = await stores.dr_event_rows(dr_event_id)
        steps = ",".join(f'{{"position":{row[0]},"topic":"{row[1]}","state":{row[2]}}}' for row in found)
        return f'{{"dr_event_id":"{dr_event_id}","position":{head},"steps":[{steps}]}}'.encode()

    async def _current(self, caller: Any, facility_id: str) -> bytes:
        value, is_cached = await self._stores.current(caller, facility_id)
        age_s = (datetime.now(UTC) - value.measured_at).total_seconds()
        return _encode(
            {
                "facility_id": facility_id,
                "kw": value.kw,
                "measured_at": value.measured_at,
                "age_s": age_s,
                "stale": is_stale(value, age_s),
                "source": "cache" if is_cached else "store",
            }
        )


def _listing(found: Rows, cursor: str | None) -> bytes:
    items = ",".join([row[2] for row in found])
    return b'{"items":[%s],"next_cursor":%s}' % (items.encode(), _encode(cursor))


async def _live(stores: PlainStores, receive: Any, send: Any) -> None:
    await receive()
    await stores.open()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await stores.close()
    await send({"type": "lifespan.shutdown.complete"})


def served(made: Callable[[PlainStores, PlainPlan], Any]) -> None:
    """Serve an application on the API's server until SIGTERM; the first line of stdin is its plan."""
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=PlainPlan)

    async def serve() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        listener = server.listening("127.0.0.1", plan.port)
        await server.run(made(PlainStores(plan), plan), listener=listener, stop=stop)

    uvloop.run(serve())


if __name__ == "__main__":
    served(lambda stores, _: PlainApp(stores))
