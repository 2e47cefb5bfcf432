"""ingest: meters' messages from MQTT into the telemetry log; acknowledged only once the log holds them."""

import asyncio
from collections import OrderedDict
from contextlib import suppress

import structlog

from application.malformed_rate import ALERT_SHARE, MAX_FACILITIES, MalformedRate
from application.ports.alerts import AlertRegistry
from application.ports.clock import Clock
from application.ports.exclusive_turn import ExclusiveTurn
from application.ports.meter_feed import MeterFeed
from application.ports.telemetry_stream import TelemetryStream
from application.reading_packer import ReadingPacker
from application.readings import addressed, parse_message
from interfaces.workers.alert_switch import AlertSwitch

_log = structlog.get_logger(__name__)

BACKPRESSURE_AFTER_S = 60.0
_SHORTEST_BACKPRESSURE_S = 5.0
"""On an accelerated clock a minute is shorter than a broker's restart."""
_WATCH_EVERY_S = 1.0
_NOWHERE = "unknown"


class MeterIngest:
    """Validates messages, keeps them by the packer, and watches each facility's malformed share."""

    def __init__(self, packer: ReadingPacker, alerts: AlertRegistry, clock: Clock) -> None:
        self._packer = packer
        self._alerts = alerts
        self._clock = clock
        self._rate = MalformedRate()
        self._suspects: OrderedDict[str, AlertSwitch] = OrderedDict()
        self._backpressure = AlertSwitch(alerts, clock, "telemetry_backpressure", "ingest")
        # A minute of the clock, but never so short that a broker's restart counts.
        self._backpressure_after_s = max(clock.wall_seconds(BACKPRESSURE_AFTER_S), _SHORTEST_BACKPRESSURE_S)

    async def take(self, topic: str, payload: bytes) -> bool:
        """Whether the telemetry log holds the message, its unusable parts included. False: no room now."""
        now = self._clock.now()
        parsed = parse_message(topic, payload, now=now)
        try:
            kept = await self._packer.keep(parsed.readings, parsed.malformed, traceparent=parsed.traceparent)
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) and task.cancelling():
                raise
            return False  # the packer stopped before the log had it
        if kept:
            facility_id = _facility_of(topic)
            self._rate.note(facility_id, malformed=bool(parsed.malformed), at=now)
            if parsed.malformed:
                self._suspect(facility_id)
        return kept

    async def adopt_open_alerts(self) -> None:
        """Take over what an earlier ingest worker raised, so that it is cleared when it is over."""
        try:
            open_alerts = await asyncio.to_thread(self._alerts.listed)
        except Exception as error:  # noqa: BLE001 - a register that is away must not stop telemetry
            _log.warning("open alerts not read", error=str(error))
            return
        for alert in open_alerts:
            if alert.name == "malformed_readings":
                self._suspect(alert.subject)

    def _suspect(self, facility_id: str) -> None:
        if facility_id not in self._suspects:
            self._suspects[facility_id] = AlertSwitch(
                self._alerts, self._clock, "malformed_readings", facility_id
            )
            if len(self._suspects) > MAX_FACILITIES:
                self._suspects.popitem(last=False)

    async def watch(self, stop: asyncio.Event) -> None:
        """Raise and clear this worker's alerts until `stop`."""
        while not stop.is_set():
            await self.check_alerts()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _WATCH_EVERY_S)

    async def check_alerts(self) -> None:
        """Bring the alerts in line with what was seen."""
        refused_s = self._packer.refused_for_s
        await self._backpressure.turn(
            on=refused_s >= self._backpressure_after_s,
            detail=f"JetStream has taken nothing for {refused_s:.0f} s; meters are not acknowledged",
        )
        for facility_id, switch in list(self._suspects.items()):
            share = self._rate.share(facility_id, at=self._clock.now())
            await switch.turn(
                on=share > ALERT_SHARE, detail=f"{share:.1%} of the latest messages are malformed"
            )
            if share == 0:
                del self._suspects[facility_id]


def _facility_of(topic: str) -> str:
    try:
        return addressed(topic)[0]
    except ValueError:
        return _NOWHERE


async def run(
    *,
    feed: MeterFeed,
    stream: TelemetryStream,
    alerts: AlertRegistry,
    clock: Clock,
    turn: ExclusiveTurn,
    stop: asyncio.Event,
) -> None:
    """Until `stop`. Only the holder of `turn` reads the feed: the broker knows one ingest client."""
    while not stop.is_set():
        holding = asyncio.Event()
        work = asyncio.create_task(
            _while_holding(
                feed=feed, stream=stream, alerts=alerts, clock=clock, turn=turn, stop=stop, holding=holding
            )
        )
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not holding.is_set():
            work.cancel()
        with suppress(asyncio.CancelledError):
            await work


async def _while_holding(
    *,
    feed: MeterFeed,
    stream: TelemetryStream,
    alerts: AlertRegistry,
    clock: Clock,
    turn: ExclusiveTurn,
    stop: asyncio.Event,
    holding: asyncio.Event,
) -> None:
    async with turn.held() as lost:
        holding.set()
        _log.info("ingest reads the meters")
        packer = ReadingPacker(stream, clock)
        ingest = MeterIngest(packer, alerts, clock)
        await ingest.adopt_open_alerts()
        ending = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(feed.run(ingest.take, ending))
            tasks.create_task(packer.run(ending))
            tasks.create_task(ingest.watch(ending))
            tasks.create_task(_end_at_first(ending, stop, lost))


async def _end_at_first(ending: asyncio.Event, *causes: asyncio.Event) -> None:
    waits = [asyncio.create_task(cause.wait()) for cause in causes]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ending.set()
        for wait in waits:
            wait.cancel()
