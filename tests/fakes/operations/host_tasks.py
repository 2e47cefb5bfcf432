"""Tasks for the host in memory."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import msgspec
from msgspec import structs

from application.ports.operations.host_tasks import (
    CheckHistory,
    CreateMeterLogin,
    HistoryTaskOpen,
    HostState,
    HostTask,
    ImportHistory,
    Phase,
    TakeBackHistory,
    Work,
)

_HISTORY = (CheckHistory, ImportHistory, TakeBackHistory)


class FakeHostTasks:
    """`age_s` is how long ago the host said something, and a task ended."""

    def __init__(self) -> None:
        self.tasks: dict[UUID, HostTask] = {}
        self.age_s = 0.0
        self._shown: HostState | None = None

    def add(self, task_id: UUID, work: Work, *, by: str, trace_id: str) -> None:
        is_history = isinstance(work, _HISTORY)
        if is_history and any(isinstance(one.work, _HISTORY) for one in self.open_tasks()):
            raise HistoryTaskOpen("another file of past readings is worked on")
        self.tasks[task_id] = HostTask(
            task_id=task_id,
            work=work,
            requested_by=by,
            trace_id=trace_id,
            state="waiting",
            attempts=0,
            phase=None,
            done=0,
            total=None,
            result=None,
            problem=None,
        )

    def find(self, task_id: UUID) -> HostTask | None:
        return self.tasks.get(task_id)

    def newest_history(self) -> HostTask | None:
        found = [one for one in self.tasks.values() if isinstance(one.work, _HISTORY)]
        return next((one for one in found if one.is_open), found[-1] if found else None)

    def open_tasks(self) -> Sequence[HostTask]:
        return [one for one in self.tasks.values() if one.is_open][:100]

    def state(self) -> HostState | None:
        return None if self._shown is None else structs.replace(self._shown, age_s=self.age_s)

    def show_state(self, *, mqtt_port: int | None, meter_logins: Sequence[str] | None) -> None:
        logins = None if meter_logins is None else tuple(meter_logins)
        self._shown = HostState(age_s=0.0, mqtt_port=mqtt_port, meter_logins=logins)

    def begin(self, task_id: UUID) -> None:
        task = self.tasks[task_id]
        self._change(task_id, state="running", attempts=task.attempts + 1, phase=None, done=0, total=None)

    def note_progress(self, task_id: UUID, phase: Phase, done: int, total: int | None) -> None:
        self._change(task_id, phase=phase, done=done, total=total)

    def end(self, task_id: UUID, *, result: msgspec.Raw | None = None, problem: str | None = None) -> None:
        work = self.tasks[task_id].work
        if isinstance(work, CreateMeterLogin):
            work = structs.replace(work, password_hash=None)
        state = "done" if problem is None else "refused"
        self._change(task_id, state=state, result=result, problem=problem, work=work)

    def forget(self, older_than: timedelta) -> None:
        if self.age_s > older_than.total_seconds():
            self.tasks = {task_id: one for task_id, one in self.tasks.items() if one.is_open}

    def _change(self, task_id: UUID, **changes: object) -> None:
        if self.tasks[task_id].is_open:
            self.tasks[task_id] = structs.replace(self.tasks[task_id], **changes)
