"""The connections of calls to addresses of others: bounded in the interim answers (HTTP 1xx) that come before the last.

aiohttp reads them in the event loop until the call's time is over, which keeps every other task of the loop waiting.
"""

from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

MOST_INTERIM = 16


class BoundedConnector(aiohttp.TCPConnector):
    """A call with more than MOST_INTERIM interim answers ends with a ClientPayloadError."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(_Answers, loop=self._loop)  # type: ignore[assignment]  # partial is invariant


class _Answers(ResponseHandler):
    """The answers of one connection, as they are parsed."""

    _interim = 0

    async def read(self) -> Any:
        message, payload = await super().read()
        self._interim = self._interim + 1 if 100 <= message.code < 200 else 0
        if self._interim > MOST_INTERIM:
            raise aiohttp.ClientPayloadError(f"over {MOST_INTERIM} interim answers")
        return message, payload
