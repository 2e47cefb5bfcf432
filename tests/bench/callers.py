"""Measures calls per second of concurrent callers, each in its own thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def calls_per_s(callers: int, calls_each: int, call: Callable[[int], object]) -> float:
    """The rate of `call(caller)`, started together. Raises the error of a failed call."""
    barrier = threading.Barrier(callers)
    failures: list[BaseException] = []
    spans: list[tuple[float, float]] = []

    def work(caller: int) -> None:
        barrier.wait()
        begun_s = (
            time.perf_counter()
        )  # measured by the callers: the main thread may wake long after the first call
        try:
            for _ in range(calls_each):
                call(caller)
        except BaseException as failure:  # noqa: BLE001 - raised again by the measuring thread
            failures.append(failure)
        spans.append((begun_s, time.perf_counter()))

    threads = [threading.Thread(target=work, args=(caller,)) for caller in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    elapsed_s = max(ended for _, ended in spans) - min(begun for begun, _ in spans)
    return callers * calls_each / elapsed_s
