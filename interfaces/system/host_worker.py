"""HostWorker: carries out what the page asked of the process of `gridproof up`."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from application.operations.host_logins import carry_out_login
from application.ports.operations.host_tasks import CheckHistory, HostTask, ImportHistory, LoginWork
from application.ports.operations.unavailable import OperationsUnavailable
from interfaces.bootstrap import (
    embedded_meter_logins,
    host_tasks,
    inherited_environ,
    open_stores,
    spawn_child,
)
from interfaces.settings.settings import Settings
from interfaces.upload_spool import KEPT_S, UploadSpool
from interfaces.workers.loops.periodic import PeriodicCheck

if TYPE_CHECKING:
    from application.ports.access.meter_logins import MeterLoginUsers
    from interfaces.bootstrap import Stores

EVERY_S = 1.0
RETRY_S = 2.0
SHOWN_EVERY_S = 10.0
KEPT_FOR = timedelta(days=30)
"""How long a task that has ended is kept."""
MOST_ATTEMPTS = 3
"""Of a task whose process ends before it says what came of it."""
HISTORY_WITHIN_S = 3_600.0
HISTORY_MOST_MEMORY = 4 << 30
"""Bytes of address space of its process: a small file can stand for any number of them."""
_STOP_WITHIN_S = 10.0
_AS_WORKER = "compute"
"""Whose secrets the process of a history task inherits: it reads and writes telemetry too."""
log = structlog.get_logger("host")


@dataclass(frozen=True)
class _Child:
    task_id: UUID
    process: subprocess.Popen[bytes]
    ends_at: float
    """By the monotonic clock."""


class HostWorker:
    """A thread from `start` to `stop`. Logins of meters are changed in it; a file of past readings is worked on by a
    child process, one at a time."""

    def __init__(self, settings: Settings, program: Sequence[str], *, runs_broker: bool) -> None:
        self._settings = settings
        self._program = program
        self._runs_broker = runs_broker
        self._spool = UploadSpool(settings.data_dir)
        self._stores: Stores | None = None
        self._child: _Child | None = None
        self._shown_at: float | None = None
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._loop = loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._run, args=(loop,), name="host tasks", daemon=True)
        thread.start()
        self._thread = thread

    def stop(self) -> None:
        """Idempotent. What is not done is open: the next start does it."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join(_STOP_WITHIN_S)
        if self._child is not None:
            self._child.process.terminate()
            self._child = None

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(self._rounds())

    async def _rounds(self) -> None:
        # Whatever goes wrong, the system runs on, and the next round tries again.
        check = PeriodicCheck("host tasks", self._one_round, EVERY_S, retry_s=RETRY_S, also=(Exception,))
        try:
            await check.run(self._stop)
        finally:
            if self._stores is not None:
                self._stores.close()

    async def _one_round(self) -> None:
        """Nothing else runs in this loop, so its calls may wait."""
        if self._stores is None:
            self._stores = open_stores(self._settings, pool_size=1)
        self._round(self._stores, embedded_meter_logins(self._settings) if self._runs_broker else None)

    def _round(self, stores: Stores, users: MeterLoginUsers | None) -> None:
        tasks = host_tasks(stores)
        is_changed = False
        waits: list[HostTask] = []
        for task in tasks.open_tasks():
            if isinstance(task.work, LoginWork):
                is_changed |= self._change_login(stores, users, task, task.work)
            else:
                waits.append(task)
        now = time.monotonic()
        if is_changed or self._shown_at is None or now - self._shown_at >= SHOWN_EVERY_S:
            tasks.show_state(
                mqtt_port=None if users is None else users.mqtt_port(),
                meter_logins=None if users is None else users.facility_ids(),
            )
            self._shown_at = now
            tasks.forget(KEPT_FOR)
            self._clear_spool(waits)
        self._work_on_history(stores, waits)

    def _clear_spool(self, waits: Sequence[HostTask]) -> None:
        try:
            self._spool.clear(keep=_uploads(waits), older_than_s=KEPT_S)
        except OSError as error:
            log.warning("old uploads are not deleted", why=str(error))

    def _change_login(
        self, stores: Stores, users: MeterLoginUsers | None, task: HostTask, work: LoginWork
    ) -> bool:
        """True if it was carried out. One that cannot be delays no other task.

        Raises OperationsUnavailable.
        """
        tasks = host_tasks(stores)
        try:
            carry_out_login(
                task, work, users=users, acts=stores.act_log(), clock=stores.decision_clock, tasks=tasks
            )
        except OperationsUnavailable:
            raise
        except Exception:
            log.exception("the login of a meter is not changed", facility_id=work.facility_id)
            if task.attempts + 1 >= MOST_ATTEMPTS:
                problem = (
                    f"it failed {MOST_ATTEMPTS} times: the log of `gridproof up` says why; then try again"
                )
                tasks.end(task.task_id, problem=problem)
            return False
        ended = tasks.find(task.task_id)
        log.info(
            "meter login",
            facility_id=work.facility_id,
            by=task.requested_by,
            state=None if ended is None else ended.state,
        )
        return True

    def _work_on_history(self, stores: Stores, waits: Sequence[HostTask]) -> None:
        if self._child is not None:
            if self._child.process.poll() is None:
                if time.monotonic() < self._child.ends_at:
                    return
                self._child.process.kill()
                self._child.process.wait()
                problem = f"it took longer than {HISTORY_WITHIN_S:g} s; use `gridproof telemetry import` on the machine"
                host_tasks(stores).end(self._child.task_id, problem=problem)
                waits = [one for one in waits if one.task_id != self._child.task_id]
            self._child = None
        for task in waits[:1]:
            self._begin(stores, task)

    def _begin(self, stores: Stores, task: HostTask) -> None:
        tasks = host_tasks(stores)
        if task.attempts >= MOST_ATTEMPTS:
            problem = (
                f"its process ended {task.attempts} times before it was done; read logs/host-task.log. Nothing is "
                "stored twice: try again"
            )
            tasks.end(task.task_id, problem=problem)
            return
        tasks.begin(task.task_id)
        settings = replace(
            self._settings, nats_url=None, mqtt_url=None, redis_url=None, migration_database_url=None
        )
        environ = inherited_environ(os.environ, settings, _AS_WORKER)  # noqa: TID251 - passed on to a child process
        environ |= settings.to_environ() | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        arguments = ["telemetry", "host-task", str(task.task_id)]
        folder = self._settings.data_dir / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "host-task.log").open("ab") as output:
            process = spawn_child(
                [*self._program, *arguments], output=output, env=environ, most_memory=HISTORY_MOST_MEMORY
            )
        self._child = _Child(task.task_id, process, time.monotonic() + HISTORY_WITHIN_S)


def _uploads(tasks: Sequence[HostTask]) -> list[UUID]:
    return [one.work.file.upload_id for one in tasks if isinstance(one.work, CheckHistory | ImportHistory)]
