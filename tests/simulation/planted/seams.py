"""The wrappers and handlers of the planted bugs. Each does one thing wrong and passes everything else on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
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
from application.command_bus.retry import LIMITED_PAUSES
from application.handlers.dr_event.completion import complete_dr_event
from application.ports.dispatch.building_control import (
    BmsConnection,
    CommandStatus,
    ZoneCommand,
)
from application.sagas.dispatch import DispatchSaga
from domain.dispatch import Dispatch
from domain.event_sourcing.aggregate import DomainEvent
from interfaces.workers.decide.relay import Relay
from tests.planted_faults import OneByOneBus


class Wrapper:
    """Passes every call on to `wrapped`."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)


class NoStatusControl(Wrapper):
    async def command_status(self, connection: BmsConnection, command: ZoneCommand) -> CommandStatus:
        return CommandStatus(command_id=command.command_id, state="unknown")


class NoExpiryStore(Wrapper):
    """Loads dispatches whose BMS commands have no expiry, and saves them with it."""

    def __init__(self, wrapped: Any) -> None:
        super().__init__(wrapped)
        self._expiries: dict[str, datetime | None] = {}

    def load(self, kind: type[Any], stream_id: UUID) -> Any:
        return self._without_expiry(self._wrapped.load(kind, stream_id))

    def load_many(self, kind: type[Any], stream_ids: Sequence[UUID]) -> dict[UUID, Any]:
        found = self._wrapped.load_many(kind, stream_ids)
        return {stream_id: self._without_expiry(aggregate) for stream_id, aggregate in found.items()}

    def _without_expiry(self, aggregate: Any) -> Any:
        if isinstance(aggregate, Dispatch):
            records = aggregate.state.commands
            self._expiries |= {key: record.command.not_after for key, record in records.items()}
            _set_expiries(aggregate, dict.fromkeys(records))
        return aggregate

    def save(self, aggregates: Sequence[Any], **kwargs: Any) -> None:
        self._wrapped.save(self._with_expiry(aggregates), **kwargs)

    def save_each(self, savings: Sequence[Any]) -> Any:
        for saving in savings:
            self._with_expiry(saving.aggregates)
        return self._wrapped.save_each(savings)

    def _with_expiry(self, aggregates: Sequence[Any]) -> Sequence[Any]:
        for aggregate in aggregates:
            if isinstance(aggregate, Dispatch):
                _set_expiries(aggregate, self._expiries)
        return aggregates


def _set_expiries(dispatch: Dispatch, expiries: Mapping[str, datetime | None]) -> None:
    commands = {
        key: replace(record, command=replace(record.command, not_after=expiries[key]))
        if key in expiries
        else record
        for key, record in dispatch.state.commands.items()
    }
    dispatch.__dict__["_state"] = replace(dispatch.state, commands=commands)


class EndlessRelay(Relay):
    async def _park(self, letter_id: UUID, key: str, entry: Any, commands: Any, reason: str) -> None:
        await asyncio.sleep(LIMITED_PAUSES.longest_s)
        await self._follow_by(key, entry, commands)


class AheadPositions(Wrapper):
    """Stores the head of the log instead of the relay's position."""

    def __init__(self, wrapped: Any, log: Any) -> None:
        super().__init__(wrapped)
        self._log = log

    def move(self, reader: str, position: int) -> None:
        self._wrapped.move(reader, max(position, self._log.head()))


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
        """Takes the arguments of the real breakers and ignores them."""

    @asynccontextmanager
    async def guarding(self, facility_id: str) -> AsyncIterator[None]:
        yield


class SagaWithout(DispatchSaga):
    def __init__(self, forgotten: type[msgspec.Struct]) -> None:
        self._forgotten = forgotten

    def follow(self, domain_event: DomainEvent) -> list[msgspec.Struct]:
        return [c for c in super().follow(domain_event) if not isinstance(c, self._forgotten)]


def commit_unconditionally(command: Any, context: DecisionContext) -> Decision:
    """`commit_dispatch` that does not check the DR event."""
    dispatch = context.dispatch(command.dr_event_id, command.facility_id)
    dispatch.fail_unprepared(context.provenance, reason="not prepared when the window began")
    dispatch.commit(context.provenance, not_after=dispatch.state.ends_at)
    return Decision(dispatch)


def complete_counting_all(command: Any, context: DecisionContext) -> Decision:
    """`complete_dr_event` that releases every facility as served."""
    counting = copy(context)

    def facilities(facility_ids: Iterable[str]) -> dict[str, Any]:
        found = context.facilities(facility_ids)
        return {facility_id: _AlwaysServed(facility) for facility_id, facility in found.items()}

    vars(counting)["facilities"] = facilities
    decision = complete_dr_event(command, counting)
    return Decision(*(_unwrap(aggregate) for aggregate in decision.aggregates), reply=decision.reply)


class _AlwaysServed(Wrapper):
    def release(self, provenance: Any, *, dr_event_id: UUID, served: bool) -> None:
        self._wrapped.release(provenance, dr_event_id=dr_event_id, served=True)


def with_24_hour_days(handler: Handler) -> Handler:
    """A feasibility handler for which every local day has 24 hours from midnight."""

    def judge(command: Any, context: DecisionContext) -> Decision:
        counting = copy(context)

        def facilities(facility_ids: Iterable[str]) -> dict[str, Any]:
            found = context.facilities(facility_ids)
            return {
                i: _FixedOffsetFacility(facility, command.notice.starts_at) for i, facility in found.items()
            }

        vars(counting)["facilities"] = facilities
        decision = handler(command, counting)
        return Decision(*(_unwrap(aggregate) for aggregate in decision.aggregates), reply=decision.reply)

    return judge


class _FixedOffsetFacility(Wrapper):
    """A facility whose time zone has the offset of that day's midnight all day."""

    def __init__(self, wrapped: Any, moment: datetime) -> None:
        super().__init__(wrapped)
        self._moment = moment

    @property
    def state(self) -> Any:
        state = self._wrapped.state
        tz = ZoneInfo(state.tz)
        midnight = datetime.combine(self._moment.astimezone(tz).date(), time(), tz)
        hours = (midnight.utcoffset() or timedelta()) // timedelta(hours=1)
        return replace(state, tz=f"Etc/GMT{-hours:+d}")  # its sign is reversed


def _unwrap(aggregate: Any) -> Any:
    return aggregate._wrapped if isinstance(aggregate, Wrapper) else aggregate
