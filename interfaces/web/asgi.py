"""The ASGI application: Litestar, with shortcuts for current values and for stream chunks."""

from __future__ import annotations

from typing import Any, cast

from litestar import Litestar
from litestar.types import Receive, Scope, Send

from interfaces.web.api.telemetry.current_value_fast_path import CurrentValueFastPath
from interfaces.web.broadcast.send_timeout import SEND


class EdgeApplication(Litestar):
    """Litestar behind the fast path of current values."""

    fast_path: CurrentValueFastPath

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            if await self.fast_path.respond(scope, send):
                return
            scope[SEND] = send
        await super().__call__(cast("Scope", scope), cast("Receive", receive), cast("Send", send))
