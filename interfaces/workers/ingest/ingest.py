"""The ingest worker: puts meters' messages from MQTT into the telemetry log, and acknowledges them afterwards."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

import msgspec
import structlog

from application.access.token_bucket import SharedBuckets
from application.command_bus.retry import Stopped, retry_while_unavailable
from application.ports.clock import Clock
from application.ports.coordination.lock_holders import LockHolders
from application.ports.operations.alerts import AlertRegistry
from application.ports.telemetry.listed_meters import ListedMeters
from application.ports.telemetry.meter_feed import UNKNOWN_FACILITY, Confirm, MeterMessage
from application.ports.telemetry.stream import TelemetryStream
from application.telemetry.ingest.batcher import ReadingPacker
from application.telemetry.ingest.late_days import ALWAYS_OPEN
from application.telemetry.ingest.malformed_quota import MalformedBudget
from application.telemetry.ingest.malformed_rate import ALERT_SHARE, MAX_FACILITIES, MalformedRate
from application.telemetry.ingest.message_parser import (
    MalformedReading,
    ParsedMessage,
    first_valid_trace,
    parse_message,
    unread_message,
)
from application.telemetry.ingest.message_quota import MessageQuota, excess_reason
from application.telemetry.ingest.meter_admission import MeterAdmission
from application.telemetry.ingest.original_payloads import ReceivedPayload
from application.telemetry.ingest.original_quota import of_a_facility, original_quota
from domain.telemetry.meter_reading import OLDEST_READING, MeterReading
from interfaces.workers.ingest.message_hold_queue import HeldMessage, MessageHoldQueue
from interfaces.workers.ingest.sessions import IngestSession, balance, read_when_held
from interfaces.workers.loops.observer import this_process
from interfaces.workers.loops.periodic import PeriodicCheck
from interfaces.workers.loops.telemetry_metrics import INGEST_LAG_S

_log = structlog.get_logger(__name__)

BACKPRESSURE_AFTER_S = 60.0
_SHORTEST_BACKPRESSURE_S = 5.0
"""On an accelerated clock a minute may be shorter than a restart of the broker."""
_CHECK_EVERY_S = 1.0
_COUNTS_EVERY_S = 60.0
_FINISH_WITHIN_S = 2.0
"""A log that takes nothing must not delay the end of the worker."""
_Admitted = tuple[str, Sequence[MeterReading], Sequence[MalformedReading], datetime, str | None]
"""The facility, its readings, malformed parts, the time of admission, and the trace."""


class IngestCounts(msgspec.Struct):
    """What this worker has received since its start. A message sent twice counts twice."""

    messages: int = 0
    readings: int = 0
    malformed: int = 0
    """Messages, and single readings of a list, that are malformed, of meters that the portfolio does not list, or
    beyond the quota of their facility."""
    omitted: int = 0
    """Malformed ones that were not stored, because the quota was used up."""
    of_deactivated: int = 0
    """Messages of facilities that are deactivated. They are ignored, whatever is in them."""
    without_original: int = 0
    """Messages whose readings were stored without the message as it was sent, because its quota was used up."""


class MeterIngest:
    """Validates messages, passes them to the packer, and alerts on each facility's share of malformed messages."""

    def __init__(
        self,
        packer: ReadingPacker,
        alerts: AlertRegistry,
        clock: Clock,
        admission: MeterAdmission,
        *,
        budget: MalformedBudget | None = None,
        originals: SharedBuckets | None = None,
        oldest: timedelta = OLDEST_READING,
        stores_originals: bool = True,
    ) -> None:
        self._packer = packer
        self.has_room = packer.has_room
        self._stores_originals = stores_originals
        self._admission = admission
        self.held = MessageHoldQueue(admission, self._decide_held)
        self._oldest = oldest
        self._alerts = alerts
        self._clock = clock
        self._rate = MalformedRate()
        self._budget = budget or MalformedBudget()
        self._quota = MessageQuota()
        self._originals = originals or original_quota()
        self._suspects: dict[str, None] = {}
        self._observer = this_process()
        # A minute of the clock, but never so short that a restart of the broker raises the alert.
        self._backpressure_after_s = max(clock.wall_seconds(BACKPRESSURE_AFTER_S), _SHORTEST_BACKPRESSURE_S)
        self.counts = IngestCounts()
        self._logged = self._totals()
        self._next_counts_at = 0.0

    def take(self, message: MeterMessage, confirm: Confirm) -> None:
        """Pass the message to the packer, its malformed parts included; call `confirm` once the log has all of it.

        A message of a meter that the portfolio does not list waits until the portfolio was read again.
        """
        try:
            parsed = self._parsed(message)
            if parsed.readings and self._admission.unknown_meters(parsed):
                if self.held.put(message, parsed, confirm):
                    return
                parsed = self._listed_part(message, parsed)
            admitted = self._admit(message, parsed)
        except Exception as error:  # noqa: BLE001 - whatever it is, the broker would send the message again without end
            admitted = self._undecided(message, error)
        self._put(message, admitted, confirm)

    def _parsed(self, message: MeterMessage) -> ParsedMessage:
        """The content of the message; beyond the quota of its facility it is malformed, whatever is in it."""
        facility_id, now_s = message.facility_id, asyncio.get_running_loop().time()
        listed = self._admission.listing.get(facility_id)
        meters = None if listed is None else len(listed)
        if not self._quota.takes(facility_id, message.size, meters=meters, now_s=now_s):
            return unread_message(message.topic, message.payload, excess_reason(meters or 0))
        return parse_message(
            message.topic, message.payload, now=self._clock.now(), size=message.size, oldest=self._oldest
        )

    def _decide_held(self, held: HeldMessage) -> None:
        try:
            admitted = self._admit(held.message, self._listed_part(held.message, held.parsed))
        except Exception as error:  # noqa: BLE001 - it must not take those behind it along
            admitted = self._undecided(held.message, error)
        self._put(held.message, admitted, held.confirm)

    def _listed_part(self, message: MeterMessage, parsed: ParsedMessage) -> ParsedMessage:
        """The message without the readings of unknown meters, which become malformed."""
        unknown = self._admission.unknown_meters(parsed)
        if not unknown:
            return parsed
        return self._admission.refusal(parsed, unknown, message.topic, message.payload)

    def _admit(self, message: MeterMessage, parsed: ParsedMessage) -> _Admitted:
        """Count the message. Returns what is put into the log of it."""
        now, now_s = self._clock.now(), asyncio.get_running_loop().time()
        if self._admission.is_deactivated(parsed.facility_id):
            self._count(0, 0, omitted=0)
            self.counts.of_deactivated += 1
            return parsed.facility_id, (), (), now, None
        if parsed.has_older_than(now - ALWAYS_OPEN):
            parsed = self._admission.without_late_days(
                parsed, message.topic, message.payload, now=now, now_s=now_s
            )
        readings, malformed = parsed.readings, parsed.malformed
        trace = None
        if parsed.traceparent is not None or message.traceparent is not None:
            trace = first_valid_trace(parsed.traceparent, message.traceparent)
        self._rate.note(parsed.facility_id, malformed=bool(malformed), at=now)
        if malformed:
            self._suspect(parsed.facility_id)
        stored = self._within_quota(parsed.facility_id, malformed, now_s)
        # Last, since `_undecided` counts the message if anything above fails.
        self._count(len(readings), len(malformed), omitted=len(malformed) - len(stored))
        return parsed.facility_id, readings, stored, now, trace

    def _undecided(self, message: MeterMessage, error: Exception) -> _Admitted:
        """The message as a malformed one, for a person to look at."""
        named = {"facility": message.facility_id, "topic": message.topic}
        _log.error("a message of a meter cannot be decided", **named, exc_info=error)
        reason = f"cannot be decided: {type(error).__name__}: {str(error)[:200]}"
        malformed = (MalformedReading(message.topic, reason, message.payload),)
        stored = self._within_quota(UNKNOWN_FACILITY, malformed, asyncio.get_running_loop().time())
        self._count(0, 1, omitted=1 - len(stored))
        return UNKNOWN_FACILITY, (), stored, self._clock.now(), None

    def _within_quota(
        self, facility_id: str, malformed: Sequence[MalformedReading], now_s: float
    ) -> Sequence[MalformedReading]:
        """The malformed parts of one message that are stored: all, or none beyond the quota."""
        return malformed if malformed and self._budget.keeps(facility_id, malformed, now_s=now_s) else ()

    def _count(self, readings: int, malformed: int, *, omitted: int) -> None:
        self.counts.messages += 1
        self.counts.readings += readings
        self.counts.malformed += malformed
        self.counts.omitted += omitted

    def _put(self, message: MeterMessage, admitted: _Admitted, confirm: Confirm) -> None:
        facility_id, readings, malformed, at, trace = admitted
        if readings or malformed:
            original = self._original(message, at) if readings and self._stores_originals else None
            self._packer.put(
                facility_id, readings, malformed, confirm, at=at, traceparent=trace, original=original
            )
        else:
            confirm()  # unacknowledged, it would block the messages behind it

    def _original(self, message: MeterMessage, at: datetime) -> ReceivedPayload | None:
        """The message as it was sent; None beyond the quota: then only its readings are stored."""
        facility_id, now_s = message.facility_id, asyncio.get_running_loop().time()
        most = of_a_facility(len(self._admission.listing.get(facility_id, ())))
        if self._originals.takes(facility_id, len(message.payload), most, now_s=now_s):
            return ReceivedPayload(message.topic, at, message.payload)
        self.counts.without_original += 1
        return None

    def _suspect(self, facility_id: str) -> None:
        """Look at its share of malformed messages; of more than MAX_FACILITIES the first ones are dropped."""
        self._suspects[facility_id] = None
        if len(self._suspects) > MAX_FACILITIES:
            del self._suspects[next(iter(self._suspects))]

    async def watch(self, reading: asyncio.Event, stop: asyncio.Event) -> None:
        """State this worker's alerts until `stop`, while it is `reading`: a standby worker has no data."""
        await PeriodicCheck("ingest alerts", partial(self._check, reading), every_s=_CHECK_EVERY_S).run(stop)
        self._log_counts()

    async def _check(self, reading: asyncio.Event) -> None:
        if not reading.is_set():
            return
        await self.check_alerts()
        now = asyncio.get_running_loop().time()
        if now >= self._next_counts_at:
            self._log_counts()
            self.report_omitted()
            self._next_counts_at = now + _COUNTS_EVERY_S

    def report_omitted(self) -> list[asyncio.Future[None]]:
        """Put one malformed message per facility into the log, with the number of those not stored.

        Each future is done once its message is in the log.
        """
        now, waits = self._clock.now(), list[asyncio.Future[None]]()
        for one in self._budget.omitted(at=now):
            _log.warning("malformed messages not stored", topic=one.topic, why=one.reason)
            waits.append(asyncio.get_running_loop().create_future())
            self._packer.put(UNKNOWN_FACILITY, (), (one,), partial(waits[-1].set_result, None), at=now)
        return waits

    def _totals(self) -> tuple[int, ...]:
        return msgspec.structs.astuple(self.counts)

    def _log_counts(self) -> None:
        totals = self._totals()
        if totals != self._logged:
            _log.info("received since the start", **msgspec.structs.asdict(self.counts))
        self._logged = totals

    async def check_alerts(self) -> None:
        """State what this worker sees. Whatever keeps it from that, readings are taken all the same."""
        now, pressed_s = self._clock.now(), self._packer.pressed_for_s
        INGEST_LAG_S.labels("ingest").set(pressed_s)
        pressed = {}
        if pressed_s >= self._backpressure_after_s:
            pressed["ingest"] = (
                f"JetStream has not kept up for {pressed_s:.0f} s; meters are not acknowledged"
            )
        shares = {facility_id: self._rate.share(facility_id, at=now) for facility_id in self._suspects}
        self._suspects = {one: None for one, share in shares.items() if share > 0}
        malformed = {
            one: f"{share:.1%} of the latest messages are malformed"
            for one, share in shares.items()
            if share > ALERT_SHARE
        }
        for name, stated in (("telemetry_backpressure", pressed), ("malformed_readings", malformed)):
            try:
                await asyncio.to_thread(self._alerts.state, name, stated, observer=self._observer, at=now)
            except Exception as error:  # noqa: BLE001 - an alert that cannot be stated must not stop the work
                _log.warning("alert not recorded", alert=name, open=len(stated), error=str(error))


async def run(
    *,
    sessions: Sequence[IngestSession],
    stream: TelemetryStream,
    alerts: AlertRegistry,
    clock: Clock,
    meters: ListedMeters,
    oldest: timedelta = OLDEST_READING,
    stores_originals: bool = True,
    shares: LockHolders | None = None,
    worker: str = "",
    stop: asyncio.Event,
) -> None:
    """Run until `stop`. Each of `sessions` is read by the worker that holds its lock.

    Readings of meters that `meters` does not list, and those older than `oldest`, become malformed messages.
    `stores_originals`: the log also gets the messages as they were sent. With
    `shares` the workers share the sessions out evenly, this one under the name `worker`.
    """
    packer, admission = ReadingPacker(stream), MeterAdmission(meters)
    ingest = MeterIngest(packer, alerts, clock, admission, oldest=oldest, stores_originals=stores_originals)
    with suppress(Stopped):  # then no session is read below
        await retry_while_unavailable(admission.reload, stop=stop)
    reading, all_read = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(packer.run(all_read))
        tasks.create_task(ingest.watch(reading, all_read))
        tasks.create_task(ingest.held.run(stop))
        if shares is not None:
            tasks.create_task(balance(sessions, shares, worker, stop))
        async with asyncio.TaskGroup() as readers:
            for session in sessions:
                readers.create_task(read_when_held(session, ingest, sessions, reading, stop))
        # These messages were acknowledged: they are not sent again, and no other worker counts them.
        if waits := ingest.report_omitted():
            await asyncio.wait(waits, timeout=_FINISH_WITHIN_S)
        # Last: what was read until `stop` is still put into the log and acknowledged.
        all_read.set()
