"""KeyUses: notes when each API key was last used, at most once an hour, in the background."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

import structlog

from application.bounded_cache import BoundedCache
from application.ports.access.api_keys import ApiKeys, ApiKeysUnavailable

_log = structlog.get_logger(__name__)

EVERY_S = 3_600.0
"""Wall seconds. A write for each request would cost more than the request."""
MAX_KEYS = 10_000
WRITES_AT_ONCE = 4
"""Each holds a thread, in an outage until its timeout."""


class KeyUses:
    """No request waits for a note. One that fails is made up for by the next use after an hour, one that is left out
    while `is_away` by the next use after that. For one event loop.
    """

    def __init__(
        self,
        api_keys: ApiKeys,
        *,
        now: Callable[[], datetime],
        is_away: Callable[[], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api_keys = api_keys
        self._now = now
        self._is_away = is_away
        self._noted = BoundedCache[str, None](
            "noted key uses", max_size=MAX_KEYS, ttl_s=EVERY_S, monotonic=monotonic
        )
        self._writing: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(WRITES_AT_ONCE)

    def note(self, key_id: str) -> None:
        """The key is being used. `key_id` exists, so that callers cannot make this grow."""
        if key_id in self._noted or self._is_away():
            return
        self._noted.put(key_id, None)
        task = asyncio.get_running_loop().create_task(self._write(key_id, self._now()))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, key_id: str, at: datetime) -> None:
        try:
            async with self._slots:
                if self._is_away():
                    self._noted.pop(key_id)
                    return
                await asyncio.to_thread(self._api_keys.note_use, key_id, at=at)
        except ApiKeysUnavailable as error:
            _log.warning("last use of a key not stored", key_id=key_id, why=str(error))
