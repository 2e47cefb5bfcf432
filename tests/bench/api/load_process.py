"""Runs the load generator as a separate process."""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from tests.bench.api.load import LoadPlan, LoadReport

REPORTED_WITHIN_S = 120.0
"""After this time the load has hung: the longest plan takes a few seconds and waits ten for missing answers."""


@contextmanager
def load_process() -> Iterator[Callable[[LoadPlan], LoadReport]]:
    """Start the load process; it runs for the whole benchmark."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.api.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    sent, responses = process.stdin, process.stdout
    if sent is None or responses is None:
        raise RuntimeError("the load has no pipes")

    def ask(plan: LoadPlan) -> LoadReport:
        sent.write(msgspec.json.encode(plan) + b"\n")
        sent.flush()
        if not select.select([responses], [], [], REPORTED_WITHIN_S)[0]:
            raise RuntimeError(f"the load has reported nothing in {REPORTED_WITHIN_S:g} s")
        line = responses.readline()
        if not line:
            raise RuntimeError("the load ended; see above")
        return msgspec.json.decode(line, type=LoadReport)

    try:
        yield ask
    finally:
        process.terminate()
        process.wait()
