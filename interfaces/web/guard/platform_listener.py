"""The application on the listener of the platform: a few routes, without an API key."""

from __future__ import annotations

from typing import Any

from interfaces.web.guard.access import FROM_PLATFORM

PLATFORM_PATHS = frozenset({"/health", "/ready", "/metrics"})


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
