"""Batching of recorded outcomes: successes are recorded while the next BMS calls are already running.

A record waits a short time for the outcome of the next zone, so that a fast building takes one save instead
of one per zone. If a worker dies in between, its attempts are on record and its successor queries the BMS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from application.async_batcher import AsyncBatcher
from application.commands.dispatch import DispatchCommand, RecordBmsSuccess
from application.commands.dispatch_batch import BmsSuccess, RecordBmsSuccesses
from application.ports.dispatch.requested_work import BmsWork
from application.ports.failpoints import Failpoint


class OutcomeBatcher:
    """The outcomes of one piece of work. Outcomes that arrive during a save go into the next record."""

    def __init__(
        self,
        work: BmsWork,
        record: Callable[[DispatchCommand], Awaitable[object]],
        reached: Failpoint,
        *,
        window_s: float,
    ) -> None:
        """`window_s`: wall seconds that the first outcome of a record waits for others."""
        self._work = work
        self._record = record
        self._reached = reached
        self._batches: AsyncBatcher[tuple[BmsSuccess, str], None] = AsyncBatcher(
            self._record_all, max_wait_s=window_s
        )
        self._added: list[asyncio.Future[None]] = []
        self._failure: BaseException | None = None

    def add(self, success: BmsSuccess, in_flight: str) -> None:
        """Queue an outcome for recording. `recorded` waits for it and raises its error."""
        self._added.append(self._batches.put((success, in_flight)))

    async def recorded(self) -> None:
        """Wait until everything added is in the log. Raises the error of a failed record."""
        self._batches.flush()
        if self._added:
            await asyncio.wait(self._added)
        for future in self._added:
            future.result()

    async def _record_all(self, outcomes: Sequence[tuple[BmsSuccess, str]]) -> list[None]:
        """After a failed record nothing more is recorded."""
        if self._failure is not None:
            raise self._failure
        try:
            await self._record(self._command([success for success, _ in outcomes]))
            for _, in_flight in outcomes:
                self._reached("dispatch.after_record", in_flight)
        except BaseException as error:
            self._failure = error
            raise
        return [None] * len(outcomes)

    def _command(self, successes: list[BmsSuccess]) -> DispatchCommand:
        work = self._work
        if len(successes) > 1:
            return RecordBmsSuccesses(
                dr_event_id=work.dr_event_id, facility_id=work.facility_id, successes=tuple(successes)
            )
        (success,) = successes
        return RecordBmsSuccess(
            dr_event_id=work.dr_event_id,
            facility_id=work.facility_id,
            command_id=success.command_id,
            executed_at=success.executed_at,
            setpoint=success.setpoint,
            learned_by=success.learned_by,
        )
