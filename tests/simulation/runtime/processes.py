"""Simulated operating-system processes: killed, stopped, and started again by a supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from random import Random
from typing import cast

from tests.simulation.runtime.virtual_loop import OWNER, Killed, VirtualLoop

Run = Callable[["Process"], Awaitable[None]]
RESTARTS_S = (0.05, 20.0)
"""Clock seconds until a dead process is started again."""


@dataclass(eq=False)
class Process:
    """One incarnation of a worker."""

    name: str
    number: int
    skew_s: float = 0.0
    """Seconds by which its clock is ahead."""
    dead: bool = False
    stopped: bool = False
    waiting: list[asyncio.Handle] = field(default_factory=list)
    error: BaseException | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def kill(self) -> None:
        self.dead = True
        self.ended.set()

    def freeze(self, wall_s: float) -> None:
        """Stop as by SIGSTOP, and continue after `wall_s` as by SIGCONT."""
        if self.dead or self.stopped:
            return
        self.stopped = True
        loop = cast("VirtualLoop", asyncio.get_running_loop())

        def continue_process() -> None:
            self.stopped = False
            loop.resume(self)

        loop.call_later(wall_s, continue_process, context=Context())


def running_process() -> str:
    """The name and number of the process whose code runs now."""
    owner = cast("Process | None", OWNER.get())
    return "no process" if owner is None else f"{owner.name}#{owner.number}"


@dataclass(frozen=True)
class Role:
    """The name of a process and the function that it runs."""

    name: str
    run: Run


@dataclass
class Supervisor:
    """Runs one process for each role and restarts it. `died` is called at every end; the process has the error."""

    rng: Random
    wall_seconds: Callable[[float], float]
    died: Callable[[Process], None]
    storming: Callable[[], bool]
    longest_skew_s: float = 0.0
    running: dict[str, Process] = field(default_factory=dict)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, roles: list[Role]) -> None:
        for role in roles:
            self._tasks.append(asyncio.get_running_loop().create_task(self._keep(role)))

    def kill(self, name: str) -> bool:
        """Kill a process; false if it was dead already."""
        process = self.running[name]
        if process.dead:
            return False
        process.kill()
        return True

    def freeze(self, name: str, clock_s: float) -> None:
        self.running[name].freeze(self.wall_seconds(clock_s))

    async def _keep(self, role: Role) -> None:
        number = 0
        while True:
            number += 1
            process = Process(role.name, number, skew_s=self.rng.uniform(-1, 1) * self.longest_skew_s)
            self.running[role.name] = process
            self._launch(role, process)
            await process.ended.wait()
            process.dead = True
            self.died(process)
            least_s, most_s = RESTARTS_S
            pause_s = self.rng.uniform(least_s, most_s) if self.storming() else least_s
            await asyncio.sleep(self.wall_seconds(pause_s))

    def _launch(self, role: Role, process: Process) -> None:
        loop, outside = asyncio.get_running_loop(), copy_context()
        inside = copy_context()
        inside.run(OWNER.set, process)
        task = loop.create_task(_ended(role.run(process)), context=inside)

        def note(done: asyncio.Task[None]) -> None:
            if not done.cancelled() and not isinstance(done.exception(), Killed | None):
                process.error = done.exception()
            process.ended.set()

        task.add_done_callback(note, context=outside)
        self._tasks.append(task)


async def _ended(run: Awaitable[None]) -> None:
    await run
