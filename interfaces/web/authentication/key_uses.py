"""KeyUses: notes when each API key was last used, at most once an hour, in the background."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

import structlog

from application.ports.access.api_keys import ApiKeys, ApiKeysUnavailable

_log = structlog.get_logger(__name__)

EVERY_S = 3_600.0
"""Wall seconds. A write for each request would cost more than the request."""
MAX_KEYS = 10_000


class KeyUses:
    """No request waits for a note. One that fails is made up for by the next use after an hour."""

    def __init__(
        self,
        api_keys: ApiKeys,
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api_keys = api_keys
        self._now = now
        self._monotonic = monotonic
        self._due_s: OrderedDict[str, float] = OrderedDict()
        self._writing: set[asyncio.Task[None]] = set()

    def note(self, key_id: str) -> None:
        """The key is being used. `key_id` exists, so that callers cannot make this grow."""
        now_s = self._monotonic()
        if now_s < self._due_s.get(key_id, float("-inf")):
            return
        self._due_s[key_id] = now_s + EVERY_S
        self._due_s.move_to_end(key_id)
        if len(self._due_s) > MAX_KEYS:
            self._due_s.popitem(last=False)
        task = asyncio.get_running_loop().create_task(self._write(key_id, self._now()))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, key_id: str, at: datetime) -> None:
        try:
            await asyncio.to_thread(self._api_keys.note_use, key_id, at=at)
        except ApiKeysUnavailable as error:
            _log.warning("last use of a key not stored", key_id=key_id, why=str(error))
