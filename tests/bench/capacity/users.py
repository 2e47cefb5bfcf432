"""Users of the dashboard: each has the live stream open, and asks for what a view shows every 15 s."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec

from tests.bench.api.load import LoadPlan as RequestPlan
from tests.bench.api.load import LoadReport
from tests.bench.api.load_process import load_process
from tests.bench.stream.receiver import ReceiverPlan

EVERY_S = 15.0
ROUND_S = 30.0
"""The requests of one plan; the next begins when it has ended."""
PATHS = (
    "/api/portfolio",
    "/api/facilities?limit=200",
    "/api/alerts?limit=200",
    "/api/dr-events?limit=50",
    "/api/facilities/{facility}/current",
    "/api/facilities/{facility}/forecast",
)


@dataclass
class Users:
    """The users of one run."""

    url: str
    keys: Sequence[str]
    facility_ids: Sequence[str]
    reports: list[LoadReport] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    @property
    def statuses(self) -> dict[str, int]:
        total: Counter[str] = Counter()
        for report in self.reports:
            total.update(report.statuses)
        return dict(total)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The users are there during the block."""
        stop = threading.Event()
        thread = threading.Thread(target=self._ask_until, args=(stop,), daemon=True)
        with self._streams():
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join(2 * ROUND_S)
        if self.failures:
            raise self.failures[0]

    def _ask_until(self, stop: threading.Event) -> None:
        try:
            with load_process() as ask:
                first = 0
                while not stop.is_set():
                    plan = self._plan(first)
                    self.reports.append(ask(plan))
                    first += int(ROUND_S * (plan.rate_per_s or 0.0))
        except BaseException as failure:  # noqa: BLE001 - raised again when the block ends
            self.failures.append(failure)

    def _plan(self, first: int) -> RequestPlan:
        facility = self.facility_ids[first % len(self.facility_ids)]
        return RequestPlan(
            ports=(urlsplit(self.url).port or 80,),
            tokens=tuple(self.keys),
            paths=tuple(path.format(facility=facility) for path in PATHS),
            first=first,
            seconds=ROUND_S,
            connections=len(self.keys),
            rate_per_s=len(self.keys) * len(PATHS) / EVERY_S,
            sends_tags=True,
        )

    @contextmanager
    def _streams(self) -> Iterator[None]:
        """As many streams as users, all with the first key: so one process can receive them."""
        address = urlsplit(self.url)
        head = f"Host: {address.netloc}\r\nAuthorization: Bearer {self.keys[0]}"
        plan = ReceiverPlan(
            host=address.hostname or "127.0.0.1",
            port=address.port or 80,
            request=f"GET /api/stream HTTP/1.1\r\n{head}\r\n\r\n",
            watchers=len(self.keys),
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.stream.receiver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("the stream's receiver has no pipes")
            process.stdin.write(msgspec.json.encode(plan) + b"\n")
            process.stdin.flush()
            if process.stdout.readline() != b"connected\n":
                raise RuntimeError("the streams could not connect; see above")
            yield
        finally:
            process.kill()
            process.wait()
