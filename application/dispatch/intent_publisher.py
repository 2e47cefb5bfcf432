"""Publishing of recorded intents: BMS work and callbacks go to the work queue; alerts are raised."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import structlog

from application.command_bus.retry import retry_limited
from application.command_bus.spans import logged, subject_of
from application.dispatch.callback_publisher import CallbackPublisher
from application.dispatch.execution.bms_work_parking import BmsWorkParking
from application.operations.dead_letter_decisions import discard_of_dispatch
from application.ports.dispatch.work_queue import BmsTask, BmsWork, WorkPublisher, WorkRejected
from application.ports.failpoints import Failpoint
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.dead_letters import DeadLetters
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent

BATCH_ALERT = "batch_below_80_percent"
MIN_SUCCESS = 0.8
"""The share of the requested facilities; below it an alert is raised."""
INTENTS = frozenset(
    {
        Dispatch.BmsCommandRequested,
        Dispatch.BmsCommandReissued,
        Dispatch.Committed,
        Dispatch.RestoredByHand,
        DREvent.CallbackRequested,
        DREvent.Completed,
        DREvent.WoundUp,
    }
)
"""The domain events that cause an external action; each has its case in `IntentPublisher._intent`."""
log = structlog.get_logger("relay")


@dataclass(frozen=True)
class IntentPublisher:
    publisher: WorkPublisher
    callbacks: CallbackPublisher
    parking: BmsWorkParking
    alerts: AlertRegistry
    dead_letters: DeadLetters
    reached: Failpoint

    async def publish(self, domain_events: Sequence[DomainEvent]) -> None:
        """Publish the intents of one save in their order, until each is published or parked. Publishing again has
        no effect."""
        if domain_events:
            with logged(domain_events[0].trace_id, **subject_of(domain_events[0])):
                await self._publish(domain_events)

    async def _publish(self, domain_events: Sequence[DomainEvent]) -> None:
        requested = [e for e in domain_events if isinstance(e, Dispatch.BmsCommandRequested)]
        if requested:
            # The zones of a facility are commanded one after the other, so they are one piece of work.
            first, *more = (domain_event.command.command_id for domain_event in requested)
            # After a crash the events may be read in other groups: a message with other commands needs
            # another id.
            together = ":".join(map(str, (first, *more)))
            await self._bms(requested[0], "command", first, f"{together}:1", more=tuple(more))
        for domain_event in domain_events:
            await self._intent(domain_event)

    async def _intent(self, domain_event: DomainEvent) -> None:
        match domain_event:
            case Dispatch.BmsCommandReissued(command_id=command_id, issue=issue):
                await self._bms(domain_event, "command", command_id, f"{command_id}:{issue}")
            case Dispatch.Committed():
                await self._bms(domain_event, "verify", None, f"verify:{domain_event.domain_event_id}")
            case Dispatch.RestoredByHand():
                await self._update_registers(partial(self._restored_by_hand, domain_event), domain_event)
            case DREvent.CallbackRequested():
                await self.callbacks.publish(domain_event)
            case DREvent.Completed() | DREvent.WoundUp():
                await self._update_registers(partial(self._judge_batch, domain_event), domain_event)
            case _:
                pass

    async def _bms(
        self,
        domain_event: Dispatch.Event,
        task: BmsTask,
        command_id: UUID | None,
        message_id: str,
        *,
        more: tuple[UUID, ...] = (),
    ) -> None:
        work = BmsWork(
            task=task,
            dr_event_id=domain_event.dr_event_id,
            facility_id=domain_event.facility_id,
            command_id=command_id,
            more=more,
            correlation_id=domain_event.correlation_id,
            causation_id=domain_event.domain_event_id,
            tenant=domain_event.tenant,
            trace_id=domain_event.trace_id,
        )
        self.reached("relay.before_publish", message_id)
        publish = partial(self.publisher.publish_bms, work, message_id=message_id)
        try:
            await retry_limited(publish, final=(WorkRejected,))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the work for other buildings
            await self.parking.park(work, f"{type(error).__name__}: {error}")
        self.reached("relay.after_publish", message_id)

    async def _update_registers(self, update: Callable[[], None], domain_event: DomainEvent) -> None:
        """Update alerts and dead letters. An update that fails for good leaves them as they are."""
        try:
            await retry_limited(partial(asyncio.to_thread, update))
        except Exception:
            kind, stream = type(domain_event).__qualname__, str(domain_event.originator_id)
            log.exception("alerts and dead letters were not updated", domain_event=kind, stream=stream)

    def _restored_by_hand(self, restored: Dispatch.RestoredByHand) -> None:
        for zone_id in restored.zone_ids:
            subject = f"{restored.facility_id}/{zone_id}"
            self.alerts.clear("restore_failing", subject, at=restored.recorded_at)
        discard_of_dispatch(
            restored.dr_event_id,
            restored.facility_id,
            self.dead_letters,
            self.alerts,
            by=restored.actor,
            reason=f"restored by hand: {restored.reason}",
            at=restored.recorded_at,
        )

    def _judge_batch(self, over: DREvent.Completed | DREvent.WoundUp) -> None:
        batch = over.batch
        if batch.asked and batch.served / batch.asked < MIN_SUCCESS:
            detail = f"{batch.served} of {batch.asked} facilities served"
            self.alerts.raise_alert(BATCH_ALERT, str(over.originator_id), detail, at=over.recorded_at)
