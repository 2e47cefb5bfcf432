"""Batching of recorded outcomes: successes are recorded while the next BMS calls are already running.

A record waits a short time for the outcome of the next zone, so that a fast building takes one save instead
of one per zone. If a worker dies in between, its attempts are on record and its successor queries the BMS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from application.commands.dispatch import DispatchCommand, RecordBmsSuccess
from application.commands.dispatch_batch import BmsSuccess, RecordBmsSuccesses
from application.ports.dispatch.work_queue import BmsWork
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
        self._unrecorded: list[tuple[BmsSuccess, str]] = []
        self._window_s = window_s
        self._recording: asyncio.Task[None] | None = None
        self._begin_later: asyncio.TimerHandle | None = None

    def add(self, success: BmsSuccess, in_flight: str) -> None:
        """Queue an outcome for recording. `recorded` waits for it and raises its error."""
        self._unrecorded.append((success, in_flight))
        if self._begin_later is None:
            self._begin_later = asyncio.get_running_loop().call_later(self._window_s, self._begin)

    async def recorded(self) -> None:
        """Wait until everything added is in the log. Raises the error of a failed record."""
        self._begin()
        if self._recording is not None:
            await self._recording

    def _begin(self) -> None:
        if self._begin_later is not None:
            self._begin_later.cancel()
            self._begin_later = None
        is_free = self._recording is None or (self._recording.done() and self._recording.exception() is None)
        if self._unrecorded and is_free:
            self._recording = asyncio.create_task(self._record_all())

    async def _record_all(self) -> None:
        while self._unrecorded:
            batch, self._unrecorded = self._unrecorded, []
            await self._record(self._command([success for success, _ in batch]))
            for _, in_flight in batch:
                self._reached("dispatch.after_record", in_flight)

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
