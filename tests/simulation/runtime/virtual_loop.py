"""An event loop on virtual time: it never waits, and a seed decides the order of the ready handles.

Each handle runs for the simulated process that its context names. Handles of a dead process are dropped, as by
kill -9: no `finally` runs. Handles of a stopped process wait until it continues, as by SIGSTOP.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any, Protocol

CALL_S = 0.02
"""The longest virtual time until a call in a thread starts."""
NESTED_CALLS = 2
MOST_HANDLES = 1_000_000
"""A storm over three buildings runs about twenty thousand."""


ROUNDS, ROUND_S = 4, 60.0
"""How often all tasks are cancelled at the end, and the virtual time that they may take."""


class Owner(Protocol):
    """A simulated process as the loop sees it."""

    dead: bool
    stopped: bool
    waiting: list[asyncio.Handle]
    """Handles that are ready while it is stopped."""


OWNER: ContextVar[Owner | None] = ContextVar("owner", default=None)


class Killed(BaseException):
    """Ends the running code of a killed process; a BaseException, so that no `except Exception` catches it."""


class Runaway(RuntimeError):
    """The loop ran too many handles, or a task did not end when cancelled."""


class Stuck(RuntimeError):
    """No handle is ready and no timer is set, so virtual time cannot advance."""


class NumberedTask(asyncio.Task[Any]):
    """A task whose hash does not depend on its address: sets of tasks have the same order in every run."""

    def __init__(self, coro: Any, *, number: int, **kwargs: Any) -> None:
        self._number = number
        super().__init__(coro, **kwargs)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class _Handle(asyncio.TimerHandle):
    """A handle that is made in a third of the time: nothing is kept for a debug mode, which this loop does not have."""

    __slots__ = ()

    def __init__(  # the superclass's is not called: it is what takes the time
        self, when: float, callback: Any, args: Any, loop: Any, context: Context | None
    ) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None
        self._when = when
        self._scheduled = False

    def cancel(self) -> None:
        self._cancelled = True
        self._callback, self._args = None, ()


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs ready handles in random order; time jumps to the next timer when none is ready."""

    # Attribute of BaseEventLoop in Python 3.11 to 3.13: the ready handles.
    _ready: deque[Any]

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._timers: list[tuple[float, int, Any]] = []
        """A heap of (time in s, number, timer): tuples compare many times faster than timers."""
        self._numbers = count()
        self._moment = 0.0
        self._rng = Random(f"{seed}:scheduler")  # Random hashes a str by SHA-512, the same in every process
        self._depth = 0
        self.faults: list[BaseException] = []
        """Errors raised in callbacks."""
        self.handles_run = 0
        self._tasks: list[NumberedTask] = []
        self._dropped: list[asyncio.Handle] = []
        self._stopped: list[Owner] = []
        self._closing = False
        self.set_task_factory(self._task)
        self.set_exception_handler(self._note_fault)

    def time(self) -> float:
        return self._moment

    def call_soon(  # type: ignore[override] # the same with looser types
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        handle = _Handle(0.0, callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(  # type: ignore[override] # the same with looser types
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = _Handle(when, callback, args, self, context)
        heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def call_later(  # type: ignore[override] # the same with looser types
        self, delay: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._moment + delay, callback, *args, context=context)

    def run_in_executor(  # type: ignore[override] # the same with looser types
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> Any:
        """Run the call inline after a short delay. Other handles run inside it if it calls `let_others_run`."""
        future = self.create_future()

        def call() -> None:
            if future.cancelled():
                return
            try:
                result = func(*args)
            except Killed:
                return
            except Exception as error:  # noqa: BLE001 - raised at the await
                _complete(future, error=error)
            else:
                _complete(future, result=result)

        self.call_later(self._rng.random() * CALL_S, call, context=copy_context())
        return future

    def let_others_run(self, for_s: float) -> None:
        """Called inside a call in a thread: let `for_s` pass while other handles run."""
        if self._depth >= NESTED_CALLS:
            return
        self._depth += 1
        until = self._moment + for_s
        try:
            while self._ready or self._next_timer() <= until:
                self._run_once()
            self._moment = max(self._moment, until)
        finally:
            self._depth -= 1

    def close_down(self) -> None:
        """End every task, those of dead processes too, so that the garbage collector ends none."""
        self._closing = True
        for owner in self._stopped:
            self.resume(owner)
        self._ready.extend(self._dropped)
        for _ in range(ROUNDS):
            open_tasks = [task for task in self._tasks if not task.done()]
            for task in open_tasks:
                task.cancel()
            if open_tasks:
                self.run_until_complete(asyncio.wait(open_tasks, timeout=ROUND_S))
        unfinished = [task for task in self._tasks if not task.done()]
        self.close()
        if unfinished:
            raise Runaway(f"cancelled {ROUNDS} times, and still running: {unfinished[0]!r}")

    def resume(self, owner: Owner) -> None:
        """Continue a stopped process."""
        self._ready.extend(owner.waiting)
        owner.waiting.clear()

    def _run_once(self) -> None:
        """Run one of the ready handles. Written as one function: a storm runs it about twenty thousand times."""
        ready, timers = self._ready, self._timers
        if not ready:
            moment = self._next_timer()
            if moment == float("inf"):
                raise Stuck("nothing is ready and no timer is set")
            self._moment = max(self._moment, moment)
        while timers and (timers[0][2]._cancelled or timers[0][0] <= self._moment):
            timer = heappop(timers)[2]
            if not timer._cancelled:
                ready.append(timer)
        if len(ready) > 1:
            place = int(self._rng.random() * len(ready))
            handle = ready[place]
            del ready[place]
        else:
            handle = ready.popleft()
        if not handle._cancelled and self._may_run(handle):
            handle._run()

    def _next_timer(self) -> float:
        while self._timers and self._timers[0][2]._cancelled:
            heappop(self._timers)
        return self._timers[0][0] if self._timers else float("inf")

    def _may_run(self, handle: Any) -> bool:
        """False for a handle of a process that is dead or stopped; it is kept."""
        if not self._closing and (owner := handle._context.get(OWNER)) is not None:
            if owner.dead:
                self._dropped.append(handle)
                return False
            if owner.stopped:
                if not owner.waiting:
                    self._stopped.append(owner)
                owner.waiting.append(handle)
                return False
        self.handles_run += 1
        if self.handles_run > MOST_HANDLES and not self._closing:
            raise Runaway(f"{MOST_HANDLES} handles run, and no end at {self._moment:.3f} s: {handle!r}")
        return True

    def _task(self, loop: Any, coro: Any, context: Context | None = None, **kwargs: Any) -> Any:
        self._tasks.append(
            NumberedTask(coro, number=len(self._tasks) + 1, loop=loop, context=context, **kwargs)
        )
        return self._tasks[-1]

    def _note_fault(self, loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and context.get("handle") is not None:
            self.faults.append(error)

    def _process_events(self, event_list: Any) -> None:
        """No file is watched."""

    def _write_to_self(self) -> None:
        """The loop never sleeps."""


def _complete(future: Any, *, result: Any = None, error: BaseException | None = None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
