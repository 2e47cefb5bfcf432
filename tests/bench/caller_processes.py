"""Concurrent callers in several processes that persist between rounds, so that contenders can take turns.

A `Making` must be a module-level function, since it is pickled for new processes. Given a URL, the number of the
process and its number of callers, it yields `call(caller)`.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.connection import Connection
from typing import Any

from tests.bench.callers import calls_per_s
from tests.patience import END_S

GO_WITHIN_S = 300.0

Call = Callable[[int], object]
Making = Callable[[str, int, int], AbstractContextManager[Call]]


class Crowd:
    """`callers` callers in `processes` processes."""

    def __init__(self, pipes: list[Connection], callers_each: int) -> None:
        self._pipes = pipes
        self._callers_each = callers_each

    def calls_per_s(self, calls_each: int) -> float:
        """The total rate, from the start signal until the last caller is done."""
        started = time.perf_counter()
        for pipe in self._pipes:
            pipe.send(calls_each)
        _expect_all(self._pipes)
        elapsed_s = time.perf_counter() - started
        return len(self._pipes) * self._callers_each * calls_each / elapsed_s


@contextmanager
def start_callers(making: Making, url: str, *, callers: int, processes: int) -> Iterator[Crowd]:
    """Start the callers in new processes that inherit nothing from this one."""
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    children: list[Any] = []
    try:
        for number in range(processes):
            here, there = context.Pipe()
            child = context.Process(
                target=_serve, args=(making, url, number, callers // processes, there), daemon=True
            )
            child.start()
            there.close()
            pipes.append(here)
            children.append(child)
        _expect_all(pipes)
        yield Crowd(pipes, callers // processes)
    finally:
        for pipe in pipes:
            pipe.close()
        for child in children:
            child.join(timeout=END_S)
            child.terminate()


def _expect_all(pipes: list[Connection]) -> None:
    for pipe in pipes:
        if not pipe.poll(GO_WITHIN_S):
            raise TimeoutError(f"a process of the benchmark did not answer in {GO_WITHIN_S:.0f} s")
        pipe.recv()  # EOFError if the process has ended


def _serve(making: Making, url: str, number: int, callers: int, pipe: Connection) -> None:
    with making(url, number, callers) as call:
        calls_per_s(callers, 1, call)  # warm-up: connections, prepared statements, imports
        pipe.send("ready")
        while True:
            try:
                calls_each: int = pipe.recv()
            except EOFError:
                return
            calls_per_s(callers, calls_each, call)
            pipe.send("done")
