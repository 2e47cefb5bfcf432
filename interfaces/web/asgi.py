"""The ASGI applications: Litestar with shortcuts for current values and stream chunks, and the platform's routes."""

from __future__ import annotations

from typing import Any, cast

from litestar import Litestar
from litestar.types import Receive, Scope, Send

from interfaces.web.api.telemetry.current_value_fast_path import CurrentValueFastPath
from interfaces.web.broadcast.send_timeout import SEND
from interfaces.web.guard.access import FROM_PLATFORM

PLATFORM_PATHS = frozenset({"/health", "/ready", "/metrics"})


class EdgeApplication(Litestar):
    """Litestar behind the fast path of current values."""

    fast_path: CurrentValueFastPath

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            if await self.fast_path.respond(scope, send):
                return
            scope[SEND] = send
        await super().__call__(cast("Scope", scope), cast("Receive", receive), cast("Send", send))


class PlatformApplication:
    """Some routes of an application without an API key, for a listener that only the platform can reach."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] in PLATFORM_PATHS:
            scope[FROM_PLATFORM] = True
            await self._app(scope, receive, send)
            return
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 404, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
