"""The simulated meters: each building's load, less what its zones shed, published over MQTT."""

import asyncio
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

import msgspec
import numpy as np

from application.ports.clock import Clock
from domain.time_series.windows import TimeWindow
from interfaces.simulators.bms.building import Building
from interfaces.simulators.meters.load_model import LoadSource
from interfaces.simulators.outside_journal import MeterTurn

COUNTING_SINCE = datetime(2020, 1, 1, tzinfo=UTC)
COUNTED_BEFORE_KW = 100.0
"""A meter's total starts as if it had counted this since 2020, so that it never falls when the world restarts."""
CATCH_UP_TICKS = 20
BLOCK_TICKS = 128


class Outbox(Protocol):
    """The sink of readings; `MqttOutbox` in the simulated world."""

    def put(self, topic: str, payload: bytes) -> None: ...


class MeterMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A reading on the wire."""

    schema: Literal[1] = 1
    ts: datetime
    seq: int
    kw: float
    kwh_total: float


class Silence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A facility whose meters publish no readings in the window `during`."""

    facility_id: str
    during: TimeWindow


@dataclass
class MeteredBuilding:
    """A building with its load source and its meters, which share the load evenly."""

    building: Building
    source: LoadSource
    meter_ids: Sequence[str]
    counted_kwh: float = 0.0
    _block: tuple[int, float, list[float]] = (0, 0.0, [])

    def readings(self, tick: int, cadence_s: float) -> list[tuple[str, MeterMessage]]:
        """(topic, message) of each meter at `tick` times `cadence_s`; none where the source has no data."""
        at = datetime.fromtimestamp(tick * cadence_s, UTC)
        load_kw = self._load_kw(tick, cadence_s)
        if math.isnan(load_kw):
            return []
        kw = max(0.0, load_kw - self.building.shed_kw(at)) / len(self.meter_ids)
        self.counted_kwh += kw * cadence_s / 3600.0
        message = MeterMessage(ts=at, seq=tick, kw=round(kw, 3), kwh_total=round(self.counted_kwh, 3))
        return [
            (f"meters/{self.building.facility_id}/{meter_id}/readings", message)
            for meter_id in self.meter_ids
        ]

    def _load_kw(self, tick: int, cadence_s: float) -> float:
        """Computed for a block of ticks at a time: an array costs little more than a single number."""
        first, block_cadence_s, loads_kw = self._block
        if block_cadence_s != cadence_s or not first <= tick < first + len(loads_kw):
            moments = np.arange(tick, tick + BLOCK_TICKS, dtype=np.float64) * cadence_s
            first, loads_kw = tick, self.source.loads_kw(moments).tolist()
            self._block = (first, cadence_s, loads_kw)
        return loads_kw[tick - first]


class MeterFleet:
    """All meters of the world, on one cadence in clock seconds. `silent` facilities publish nothing."""

    def __init__(
        self,
        buildings: Sequence[MeteredBuilding],
        *,
        outbox: Outbox,
        clock: Clock,
        cadence_s: float = 15.0,
        silent: Collection[str] = (),
        silences: Collection[Silence] = (),
        record: Callable[[MeterTurn], None] | None = None,
    ) -> None:
        self._buildings = [metered for metered in buildings if metered.building.facility_id not in silent]
        self._outbox = outbox
        self._clock = clock
        self._cadence_s = cadence_s
        self._silences = silences
        self._record = record
        self._speaking: dict[str, bool] = {}
        self.paused = False
        self.skipped_ticks = 0

    async def run(self) -> None:
        """Publish until cancelled. A fleet that falls far behind its clock skips ticks and counts them."""
        tick = int(self._clock.now().timestamp() // self._cadence_s) + 1
        hours = (tick * self._cadence_s - COUNTING_SINCE.timestamp()) / 3600.0
        for metered in self._buildings:
            metered.counted_kwh = COUNTED_BEFORE_KW * hours
        while True:
            await self._sleep_until(tick)
            if not self.paused:
                self.publish(tick)
            tick = self._next(tick)

    def publish(self, tick: int) -> None:
        """Publish every meter's reading at `tick` times the cadence since 1970."""
        at = datetime.fromtimestamp(tick * self._cadence_s, UTC)
        for metered in self._buildings:
            # The register of a silent meter continues to count.
            readings = metered.readings(tick, self._cadence_s)
            if self._speaks(metered.building.facility_id, at):
                for topic, message in readings:
                    self._outbox.put(topic, msgspec.json.encode(message))

    def _say_skipped(self, first: int) -> None:
        """Journal that the publishing meters were silent from `first` on."""
        at = datetime.fromtimestamp(first * self._cadence_s, UTC)
        for facility_id, speaks in self._speaking.items():
            if speaks:
                self._turn(facility_id, speaks=False, at=at)

    def _speaks(self, facility_id: str, at: datetime) -> bool:
        mine = (one.during for one in self._silences if one.facility_id == facility_id)
        speaks = not any(window.contains(at) for window in mine)
        self._turn(facility_id, speaks=speaks, at=at)
        return speaks

    def _turn(self, facility_id: str, *, speaks: bool, at: datetime) -> None:
        if self._record is not None and self._speaking.get(facility_id) != speaks:
            self._record(MeterTurn(facility_id=facility_id, turn="speaks" if speaks else "silent", at=at))
        self._speaking[facility_id] = speaks

    async def _sleep_until(self, tick: int) -> None:
        ahead_s = tick * self._cadence_s - self._clock.now().timestamp()
        await asyncio.sleep(max(0.0, self._clock.wall_seconds(ahead_s)))

    def _next(self, tick: int) -> int:
        present = int(self._clock.now().timestamp() // self._cadence_s)
        if present - tick > CATCH_UP_TICKS:
            self.skipped_ticks += present - tick - 1
            self._say_skipped(tick + 1)
            return present
        return tick + 1
