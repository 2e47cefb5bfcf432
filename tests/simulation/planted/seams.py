"""What planted bugs put around ports: each does one thing wrong, and everything else as what it stands for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from copy import copy
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from application.command_bus.bus import Handler
from application.command_bus.decision_context import Decision, DecisionContext, IdempotencyKey
from application.handlers.dr_event.completion import complete_dr_event
from application.ports.dispatch.building_control import BmsConnection, CommandStatus, ZoneCommand
from application.ports.dispatch.work_queue import BmsWork, WorkItem
from application.sagas.dispatch import DispatchSaga
from domain.dispatch import Dispatch
from domain.event_sourcing.aggregate import DomainEvent
from tests.planted_faults import OneByOneBus


class Around:
    """Everything that `inside` can do, as it does it."""

    def __init__(self, inside: Any) -> None:
        self._inside = inside

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inside, name)


class NeverAskingControl(Around):
    async def command_status(self, connection: BmsConnection, command: ZoneCommand) -> CommandStatus:
        return CommandStatus(command_id=command.command_id, state="unknown")


class TimelessStore(Around):
    """No BMS command of a loaded dispatch has a time after which it must not be sent."""

    def load(self, kind: type[Any], stream_id: UUID) -> Any:
        return self._timeless(self._inside.load(kind, stream_id))

    def load_many(self, kind: type[Any], stream_ids: Sequence[UUID]) -> dict[UUID, Any]:
        found = self._inside.load_many(kind, stream_ids)
        return {stream_id: self._timeless(aggregate) for stream_id, aggregate in found.items()}

    def _timeless(self, aggregate: Any) -> Any:
        if isinstance(aggregate, Dispatch):
            commands = {
                key: replace(record, command=replace(record.command, not_after=None))
                for key, record in aggregate.state.commands.items()
            }
            aggregate.__dict__["_state"] = replace(aggregate.state, commands=commands)
        return aggregate


class LeakyQueue(Around):
    async def publish_bms(self, work: BmsWork, *, message_id: str) -> None:
        if work.causation_id.int % 8:
            await self._inside.publish_bms(work, message_id=message_id)


class HastyQueue(Around):
    async def next_bms(self, facility_id: str, *, wait_s: float) -> WorkItem | None:
        item: WorkItem | None = await self._inside.next_bms(facility_id, wait_s=wait_s)
        if item is not None:
            await item.done()
        return item


class HastyPositions(Around):
    """Keeps the head of the log where it is to keep how far the relay has come."""

    def __init__(self, inside: Any, log: Any) -> None:
        super().__init__(inside)
        self._log = log

    def move(self, reader: str, position: int) -> None:
        self._inside.move(reader, max(position, self._log.head()))


class KeylessBus(OneByOneBus):
    def handle(
        self, command: msgspec.Struct, *args: Any, key: IdempotencyKey | None = None, **kwargs: Any
    ) -> Any:
        keyless = None if key is not None and key.scope == "saga" else key
        return super().handle(command, *args, key=keyless, **kwargs)


class NoLocks:
    @asynccontextmanager
    async def held(self, name: str, **_: Any) -> AsyncIterator[None]:
        yield


class NoBreakers:
    def __init__(self, *_: Any) -> None:
        """As the product's, to no effect."""

    @asynccontextmanager
    async def guarding(self, facility_id: str) -> AsyncIterator[None]:
        yield


class SagaWithout(DispatchSaga):
    def __init__(self, forgotten: type[msgspec.Struct]) -> None:
        self._forgotten = forgotten

    def follow(self, domain_event: DomainEvent) -> list[msgspec.Struct]:
        return [c for c in super().follow(domain_event) if not isinstance(c, self._forgotten)]


def commit_regardless(command: Any, context: DecisionContext) -> Decision:
    """`commit_dispatch` without a look at the DR event."""
    dispatch = context.dispatch(command.dr_event_id, command.facility_id)
    dispatch.fail_unprepared(context.provenance, reason="not prepared when the window began")
    dispatch.commit(context.provenance, not_after=dispatch.state.ends_at)
    return Decision(dispatch)


def complete_counting_everybody(command: Any, context: DecisionContext) -> Decision:
    """`complete_dr_event`, in which every facility is released as having served."""
    counting = copy(context)

    def facilities(facility_ids: Iterable[str]) -> dict[str, Any]:
        found = context.facilities(facility_ids)
        return {facility_id: _AlwaysServed(facility) for facility_id, facility in found.items()}

    vars(counting)["facilities"] = facilities
    decision = complete_dr_event(command, counting)
    return Decision(*(_inside(aggregate) for aggregate in decision.aggregates), reply=decision.reply)


class _AlwaysServed(Around):
    def release(self, provenance: Any, *, dr_event_id: UUID, served: bool) -> None:
        self._inside.release(provenance, dr_event_id=dr_event_id, served=True)


def by_days_of_24_hours(handler: Handler) -> Handler:
    """A judging handler for which a local day has 24 hours, counted from its midnight."""

    def judge(command: Any, context: DecisionContext) -> Decision:
        counting = copy(context)

        def facilities(facility_ids: Iterable[str]) -> dict[str, Any]:
            found = context.facilities(facility_ids)
            return {
                i: _ByTheMorningsClock(facility, command.notice.starts_at) for i, facility in found.items()
            }

        vars(counting)["facilities"] = facilities
        decision = handler(command, counting)
        return Decision(*(_inside(aggregate) for aggregate in decision.aggregates), reply=decision.reply)

    return judge


class _ByTheMorningsClock(Around):
    """A facility in whose zone no clock is put forward or back that day."""

    def __init__(self, inside: Any, moment: datetime) -> None:
        super().__init__(inside)
        self._moment = moment

    @property
    def state(self) -> Any:
        state = self._inside.state
        tz = ZoneInfo(state.tz)
        midnight = datetime.combine(self._moment.astimezone(tz).date(), time(), tz)
        hours = (midnight.utcoffset() or timedelta()) // timedelta(hours=1)
        return replace(state, tz=f"Etc/GMT{-hours:+d}")  # its sign is the other way round


def _inside(aggregate: Any) -> Any:
    return aggregate._inside if isinstance(aggregate, Around) else aggregate
