"""The coordinates of all facilities as they stand beside the log, read again now and then (ADR 0071)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from application.ports.facility import FacilityCoordinates
from application.ports.operations.unavailable import OperationsUnavailable
from domain.facility import Coordinates

REFRESH_S = 2.0
"""Wall seconds. So long may forgotten coordinates still be shown, and those of a new facility be missing."""


class StoredCoordinates:
    """The coordinates at one moment. Compared by identity, so that it can be part of the name of a shared read."""

    def __init__(self, stored: Mapping[str, Coordinates | None]) -> None:
        self.stored = stored


class CoordinatesCache:
    """For one event loop. While the store is away, the last ones count."""

    def __init__(
        self,
        coordinates: FacilityCoordinates | None,
        *,
        is_away: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`coordinates`: None where all stand in the log. `is_away`: whether the store is."""
        self._coordinates = coordinates
        self._is_away = is_away
        self._monotonic = monotonic
        self._read_at: float | None = None
        self._reading: asyncio.Future[None] | None = None
        self._current = StoredCoordinates({})

    async def current(self) -> StoredCoordinates:
        """The coordinates of the last read; a read that is due, or runs, is waited for."""
        now = self._monotonic()
        is_due = self._read_at is None or now - self._read_at >= REFRESH_S
        if self._coordinates is not None and is_due and not self._is_away():
            self._read_at = now
            self._reading = asyncio.ensure_future(self._read(self._coordinates))
        if self._reading is not None and not self._reading.done():
            await asyncio.shield(self._reading)
        return self._current

    async def _read(self, coordinates: FacilityCoordinates) -> None:
        """The object stays while the coordinates do."""
        try:
            stored = await asyncio.to_thread(coordinates.stored)
        except OperationsUnavailable:
            return
        if stored != self._current.stored:
            self._current = StoredCoordinates(stored)
