"""Many callers at once, each in a thread of its own, and how many calls a second they had answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def calls_per_s(callers: int, calls_each: int, call: Callable[[int], object]) -> float:
    """`call(caller)`, begun together. Raises what a call raised."""
    barrier = threading.Barrier(callers + 1)
    failures: list[BaseException] = []

    def work(caller: int) -> None:
        barrier.wait()
        try:
            for _ in range(calls_each):
                call(caller)
        except BaseException as failure:  # noqa: BLE001 - raised again by the thread that measures
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(caller,)) for caller in range(callers)]
    for thread in threads:
        thread.start()
    barrier.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return callers * calls_each / (time.perf_counter() - started)
