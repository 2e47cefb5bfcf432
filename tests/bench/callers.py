"""Many callers at once, each in a thread of its own, and how many calls a second they had answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def calls_per_s(callers: int, calls_each: int, call: Callable[[int], object]) -> float:
    """`call(caller)`, begun together. Raises what a call raised."""
    barrier = threading.Barrier(callers)
    failures: list[BaseException] = []
    spans: list[tuple[float, float]] = []

    def work(caller: int) -> None:
        barrier.wait()
        begun_s = (
            time.perf_counter()
        )  # by the callers: whoever only watches may be woken long after the first
        try:
            for _ in range(calls_each):
                call(caller)
        except BaseException as failure:  # noqa: BLE001 - raised again by the thread that measures
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
