"""The ASGI responses of a simulated BMS: XML, no answer at all, or a dropped connection."""

import asyncio
from dataclasses import dataclass, field

from litestar.types import Receive, Scope, Send

LONGEST_SILENCE_S = 600.0
"""Wall seconds after which a `time_out` call ends if the client does not disconnect."""


@dataclass(frozen=True)
class XmlAnswer:
    """An ordinary answer."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {
            "content-type": "text/xml; charset=utf-8",
            "content-length": str(len(self.body)),
            **self.headers,
        }
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


class SilentAnswer:
    """Never answers: waits until the client has given up."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with asyncio.timeout(LONGEST_SILENCE_S):
            while (await receive())["type"] != "http.disconnect":
                continue


class DroppedAnswer:
    """Starts a response and drops the connection: uvicorn closes it if an application ends within a response."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/xml"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
