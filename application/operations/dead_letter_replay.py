"""Replay of dead letters: the work is submitted again, then the decision is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID, uuid5

import msgspec
import structlog

from application.callback import ParkedCallback, recorded_callback
from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import CommandContext, IdempotencyKey
from application.command_bus.retry import TRANSIENT
from application.commands.dispatch import ReissueBmsCommand
from application.event_store.open_work import IntentNotRecorded
from application.measurement.correction_parking import FacilityCorrections
from application.operations import command_parking
from application.operations.dead_letter_decisions import decision_act
from application.operations.open_items import CLOCKS_DIFFER
from application.ports.clock import Clock
from application.ports.dispatch.open_work import OpenWorkRows
from application.ports.dispatch.requested_work import BmsWork
from application.ports.event_store.event_log import EventLog, LogEntryUnreadable
from application.ports.operations.dead_letters import DeadLetter, DeadLetterDecided, DeadLetters
from application.ports.telemetry.listed_meters import ListedMeters
from application.ports.telemetry.stream import TelemetryStream
from application.telemetry.ingest.batch_codec import (
    MalformedBatch,
    ReadingBatch,
    pack,
    unpack,
    unpack_malformed,
)
from application.telemetry.ingest.message_parser import ParsedMessage, parse_message
from application.telemetry.ingest.meter_admission import UNKNOWN_METER, MeterAdmission
from domain.errors import ReasonRequired
from domain.event_sourcing.decoders import json_decoder
from domain.telemetry.meter_reading import MALFORMED, OLDEST_READING, MeterReading, partition_of

_PAGE = 500
_READINGS_AT_ONCE = 2_000
TWork = TypeVar("TWork", BmsWork, ParkedCallback, FacilityCorrections)
MeasureAgain = Callable[[FacilityCorrections], object]
"""Measures what those corrections concern (synchronous). Raises LookupError if they are no longer stored."""
_FAILED_AGAIN = "it failed again ({}: {}); remove the cause, or discard it"
log = structlog.get_logger(__name__)
ConnectedStream = Callable[[], AbstractAsyncContextManager[TelemetryStream]]


class NotReplayable(ValueError):
    """The dead letter cannot be replayed. The text says why, and what to do instead."""


def _no_measuring(corrections: FacilityCorrections) -> None:
    raise NotReplayable("this process does not measure again: use `gridproof dead-letters replay`")


@dataclass(frozen=True)
class DeadLetterReplay:
    """Replays dead letters. Every step is repeatable, so an interrupted replay can be started again.

    `stream` connects when it is needed, so that a BMS command or a callback can be replayed without it.
    """

    dead_letters: DeadLetters
    bus: CommandBus
    clock: Clock
    open_work: OpenWorkRows
    stream: ConnectedStream
    meters: ListedMeters
    event_log: EventLog
    measure_again: MeasureAgain = _no_measuring
    oldest_reading: timedelta = OLDEST_READING
    """An older reading is malformed, as it is to ingest."""

    async def replay(self, dead_letter_id: UUID, *, by: str, reason: str) -> DeadLetter:
        """Replay a letter. `by` is the actor (`operator:<key id>`).

        Raises DeadLetterNotFound, DeadLetterDecided, ReasonRequired, NotReplayable, the domain's refusals,
        OpenWorkUnavailable, StreamUnavailable or ListedMetersUnavailable; the letter then stays open.
        """
        if not reason.strip():
            raise ReasonRequired("a replay needs a reason")
        letter = await asyncio.to_thread(self.dead_letters.get, dead_letter_id)
        if letter.status != "open":
            raise DeadLetterDecided(f"dead letter {dead_letter_id} was already {letter.status}")
        if letter.queue == command_parking.QUEUE:
            return await asyncio.to_thread(self._give_in_order, letter, by, reason)
        if letter.queue == "callback":
            return await asyncio.to_thread(self._send_again, letter, by, reason)
        await self._do_again(letter, by, reason)
        return await asyncio.to_thread(self._decided, dead_letter_id, by, reason)

    async def replay_listed_meters(self, *, by: str, reason: str) -> int:
        """Replay every open letter of an unknown meter whose meter the portfolio lists by now; returns their number.

        Each page of letters is one decision, and one act. Raises StreamUnavailable, ListedMetersUnavailable or
        OperationsUnavailable; pages that were done stay done.
        """
        admission, replayed = MeterAdmission(self.meters), 0
        await admission.reload()
        after: DeadLetter | None = None
        until = self.clock.now() + CLOCKS_DIFFER
        while page := await asyncio.to_thread(
            partial(self.dead_letters.open_before, until, queues=("meter_message",), after=after, limit=_PAGE)
        ):
            after = page[-1]
            unknown = [letter for letter in page if letter.reason.startswith(UNKNOWN_METER)]
            replayed += await self._replay_page(unknown, admission, by=by, reason=reason)
        return replayed

    async def _replay_page(
        self, letters: Sequence[DeadLetter], admission: MeterAdmission, *, by: str, reason: str
    ) -> int:
        now = self.clock.now()
        done, by_partition = [], dict[int, list[MeterReading]]()
        for letter in letters:
            parsed = self._parsed(letter, now)
            if parsed.malformed or admission.unknown_meters(parsed):
                continue
            done.append(letter.dead_letter_id)
            by_partition.setdefault(partition_of(parsed.facility_id), []).extend(parsed.readings)
        if not done:
            return 0
        name = uuid5(done[0], "".join(map(str, done)))  # the same page again has the same message ids
        async with self.stream() as stream:
            for partition, readings in by_partition.items():
                for first in range(0, len(readings), _READINGS_AT_ONCE):
                    part = ReadingBatch(received_at=now, readings=readings[first : first + _READINGS_AT_ONCE])
                    await stream.publish(
                        partition, pack(part), message_id=f"replay:{name}:{partition}:{first}"
                    )
        decided = await asyncio.to_thread(
            partial(
                self.dead_letters.decide_all,
                done,
                status="replayed",
                by=by,
                reason=reason,
                at=now,
                act_of=lambda ids: decision_act(ids, "replayed", by=by, at=now),
            )
        )
        return len(decided)

    def _give_in_order(self, letter: DeadLetter, by: str, reason: str) -> DeadLetter:
        """Give the parked commands again, then those parked behind them, until one fails: it and the rest stay open.

        Raises NotReplayable for one that is not the first of its key.
        """
        first, following = self._first_of(letter)
        if first.dead_letter_id != letter.dead_letter_id:
            raise NotReplayable(
                f"it waits behind dead letter {first.dead_letter_id}: replay or discard that first"
            )
        self._give(following, by)
        decided = self._decided(letter.dead_letter_id, by, reason)
        while self.dead_letters.open_about(letter.subject, queue=letter.queue, limit=1):
            following_letter, following = self._first_of(letter)
            try:
                self._give(following, by)
            except NotReplayable as error:
                log.warning(
                    "replay stopped", dead_letter=str(following_letter.dead_letter_id), why=str(error)
                )
                break
            self._decided(following_letter.dead_letter_id, by, reason)
        return decided

    def _first_of(self, letter: DeadLetter) -> tuple[DeadLetter, command_parking.SagaCommands]:
        """The first open letter of the key of `letter`."""
        try:
            return command_parking.open_in_order(self.dead_letters, letter.subject)[0]
        except msgspec.DecodeError as error:
            raise NotReplayable(
                f"a letter of {letter.subject} cannot be read ({error}); discard it"
            ) from error

    def _give(self, following: command_parking.SagaCommands, by: str) -> None:
        try:
            command_parking.carry_out(following, self.bus, self.event_log, actor=by)
        except TRANSIENT:
            raise
        except Exception as error:
            log.exception("a parked command failed again", domain_event=str(following.domain_event_id))
            raise NotReplayable(_FAILED_AGAIN.format(type(error).__name__, error)) from error

    def _decided(self, dead_letter_id: UUID, by: str, reason: str) -> DeadLetter:
        now = self.clock.now()
        act = decision_act([dead_letter_id], "replayed", by=by, at=now)
        return self.dead_letters.decide(
            dead_letter_id, status="replayed", by=by, reason=reason, at=now, act=act
        )

    async def _do_again(self, letter: DeadLetter, by: str, reason: str) -> None:
        match letter.queue:
            case "bms_command":
                await asyncio.to_thread(self._reissue, letter, by, reason)
            case "meter_message":
                await self._ingest_again(letter)
            case "telemetry_batch":
                await self._store_again(letter)
            case "projection":
                raise NotReplayable(
                    "a projection goes on by itself once its cause is mended: `gridproof projections rebuild NAME`"
                )
            case "correction":
                await asyncio.to_thread(self._measure_again, letter)
            case "saga_command" | "callback":
                raise AssertionError("replayed and decided at once")

    def _reissue(self, letter: DeadLetter, by: str, reason: str) -> None:
        work = _decoded(letter, BmsWork)
        if work.command_id is None:
            raise NotReplayable("it is no command, only a question for the BMS; discard it")
        command = ReissueBmsCommand(
            dr_event_id=work.dr_event_id,
            facility_id=work.facility_id,
            command_id=work.command_id,
            reason=reason,
        )
        context = CommandContext(
            correlation_id=work.correlation_id,
            causation_id=letter.dead_letter_id,
            actor=by,
            tenant=work.tenant,
            trace_id=work.trace_id,
        )
        key = IdempotencyKey(scope="dead-letter", key=str(letter.dead_letter_id))
        self.bus.handle(command, context, key=key)

    def _send_again(self, letter: DeadLetter, by: str, reason: str) -> DeadLetter:
        """Decide the letter and put a row for its callback in the queue of its utility, both or neither. It is sent
        under the same callback id."""
        parked, now = _decoded(letter, ParkedCallback), self.clock.now()
        try:
            recorded_callback(self.event_log, parked.position)
        except (IntentNotRecorded, LogEntryUnreadable) as error:
            raise NotReplayable(f"it cannot be sent ({error}); inform the utility, discard it") from error
        return self.open_work.replay(
            letter.dead_letter_id,
            kind="callback",
            queue=parked.queue,
            position=parked.position,
            by=by,
            reason=reason,
            at=now,
            act=decision_act([letter.dead_letter_id], "replayed", by=by, at=now),
        )

    async def _ingest_again(self, letter: DeadLetter) -> None:
        """Parse and publish the message as ingest would now: a newer release, or a later time, may accept
        it."""
        now = self.clock.now()
        parsed = self._parsed(letter, now)
        if parsed.malformed:
            raise NotReplayable(f"it is still malformed ({parsed.malformed[0].reason}); discard it")
        admission = MeterAdmission(self.meters)
        await admission.reload_some({parsed.facility_id})
        if unknown := admission.unknown_meters(parsed):
            named = ", ".join(sorted(unknown)[:3])
            raise NotReplayable(
                f"the portfolio still does not list {named}; list the meter first, or discard it"
            )
        batch = pack(ReadingBatch(received_at=now, readings=list(parsed.readings)))
        await self._publish(partition_of(parsed.facility_id), batch, letter)

    def _measure_again(self, letter: DeadLetter) -> None:
        corrections = _decoded(letter, FacilityCorrections)
        try:
            self.measure_again(corrections)
        except TRANSIENT:
            raise
        except NotReplayable:
            raise
        except Exception as error:
            log.exception("corrections failed again", facility=corrections.facility_id)
            raise NotReplayable(_FAILED_AGAIN.format(type(error).__name__, error)) from error

    def _parsed(self, letter: DeadLetter, now: datetime) -> ParsedMessage:
        return parse_message(letter.subject, letter.body, now=now, oldest=self.oldest_reading)

    async def _store_again(self, letter: DeadLetter) -> None:
        await self._publish(_partition(letter.body), letter.body, letter)

    async def _publish(self, partition: int, body: bytes, letter: DeadLetter) -> None:
        async with self.stream() as stream:
            await stream.publish(partition, body, message_id=f"replay:{letter.dead_letter_id}")


def _decoded(letter: DeadLetter, kind: type[TWork]) -> TWork:
    try:
        return json_decoder(kind).decode(letter.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotReplayable(f"its body cannot be read ({error}); discard it") from error


def _partition(body: bytes) -> int:
    """The partition of the telemetry log that a packed batch belongs to."""
    try:
        readings = unpack(body).readings
    except MalformedBatch as error:
        try:
            unpack_malformed(body)
        except MalformedBatch:
            raise NotReplayable(f"{error}; discard it") from error
        return MALFORMED
    if not readings:
        raise NotReplayable("it holds no readings; discard it")
    return partition_of(readings[0].facility_id)
