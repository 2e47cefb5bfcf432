"""The application as the server calls it: what is asked for most, and sent most, passes the framework by."""

from __future__ import annotations

from typing import Any, cast

from litestar import Litestar
from litestar.types import Receive, Scope, Send

from interfaces.web.lean_current import LeanCurrent

_SEND = "gridproof.send"


class EdgeApplication(Litestar):
    """Litestar, behind the short way to current values."""

    lean_current: LeanCurrent

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            if await self.lean_current.answered(scope, send):
                return
            scope[_SEND] = send
        await super().__call__(cast("Scope", scope), cast("Receive", receive), cast("Send", send))


def send_of(scope: Scope, wrapped: Send) -> Send:
    """The server's own `send`: for the pieces of an answer that has begun, which nobody between changes or counts."""
    return cast("Send", scope.get(_SEND, wrapped))
