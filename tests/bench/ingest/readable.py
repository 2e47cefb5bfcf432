"""Measures how soon the API shows a reading after it was due, during a load.

Facilities are queried in turn, each at a different offset within the second after its reading was due; the responses
give the time from due to visible. No facility is queried twice within the cache time of a response, so every response
comes from the store.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from typing import NamedTuple

import msgspec

from interfaces.simulators.meters.load_plan import METERS_PER_FACILITY, LoadPlan
from tests.bench.ingest.api_setup import ReadingApi
from tests.patience import ANSWER_S

FACILITIES = 600
EVERY_S = 0.05
WITHIN_S = 1.0
"""A reading is queried within this time after it was due."""
REMEMBERED_S = 11.0
_GOLDEN = 0.618034
"""The fractional parts of its multiples are evenly distributed for any number of them."""


class Current(msgspec.Struct):
    """The API's current value of a facility."""

    kw: float | None
    measured_at: datetime | None
    """Time of the oldest value in the sum."""


class Question(NamedTuple):
    after_s: float
    """From the reading's due time to the response."""
    is_shown: bool


class Readable(msgspec.Struct, frozen=True):
    """The summary of the responses."""

    queried: int
    p50_ms: float
    """Half of the readings are shown within this time."""
    longest_ms: float
    """The latest response without the reading; 0 if there was none."""


def queried_senders(plan: LoadPlan) -> list[int]:
    """The first senders of some facilities, evenly spread over the cadence."""
    step = -(-METERS_PER_FACILITY // plan.gateway)
    firsts = range(0, plan.senders, step)
    count = min(FACILITIES, len(firsts))
    return [firsts[n * len(firsts) // count] for n in range(count)]


def facility_of(plan: LoadPlan, sender: int) -> str:
    return plan.named(plan.meters_of(sender)[0])[0]


def kw_by_then(plan: LoadPlan, senders: Sequence[int]) -> dict[int, float]:
    """Sender -> total kW of its facility's meters that have sent in the first round up to and including it."""
    wanted, found, so_far = set(senders), dict[int, float](), dict[str, float]()
    for meter in range(plan.meters):
        facility_id, sender = plan.named(meter)[0], meter // plan.gateway
        so_far[facility_id] = so_far.get(facility_id, 0.0) + plan.kw_of(meter)
        if sender in wanted:
            found[sender] = so_far[facility_id]
    return found


def is_shown(plan: LoadPlan, message: int, by_then_kw: float, current: Current) -> bool:
    """Whether the API's value includes the message: in the first round judged by the sum, later by the oldest value in
    the sum, which must be newer than the sender's previous one."""
    if message < plan.senders:
        return current.kw is not None and current.kw > by_then_kw - 0.05
    return current.measured_at is not None and current.measured_at > plan.ts_of(message - plan.senders)


@contextmanager
def query_while_loading(
    api: ReadingApi, plan: LoadPlan, seconds: float, questions: list[Question]
) -> Iterator[None]:
    """Query during the block for readings due in the first `seconds` of the plan. Raises a failed query's error."""
    stop, failed = threading.Event(), list[BaseException]()

    def ask() -> None:
        try:
            _Asking(api, plan, seconds).run(stop, questions)
        except BaseException as failure:  # noqa: BLE001 - raised at the end of the block
            failed.append(failure)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]


class _Asking:
    def __init__(self, api: ReadingApi, plan: LoadPlan, seconds: float) -> None:
        self._api = api
        self._plan = plan
        self._senders = queried_senders(plan)
        self._by_then_kw = kw_by_then(plan, self._senders)
        self._asked_at = dict.fromkeys(self._senders, 0.0)
        self._began_at = plan.started_at.timestamp()
        self._messages = int(seconds * plan.messages_per_s)

    def run(self, stop: threading.Event, questions: list[Question]) -> None:
        number = 0
        with closing(http.client.HTTPConnection("127.0.0.1", self._api.port, timeout=ANSWER_S)) as connection:
            while not stop.wait(EVERY_S):
                number += 1
                message = self._message_due(time.time() - number * _GOLDEN % WITHIN_S)
                if message is not None:
                    questions.append(self._query(connection, message))

    def _message_due(self, at: float) -> int | None:
        """The last message before that time of a facility that was not queried recently; None without one."""
        plan = self._plan
        last = int((at - self._began_at) * plan.messages_per_s)
        if not 0 <= last < self._messages:
            return None
        rounds, sender = divmod(last, plan.senders)
        lately = time.time() - REMEMBERED_S
        free = [one for one in self._senders if one <= sender and self._asked_at[one] < lately]
        return rounds * plan.senders + free[-1] if free else None

    def _query(self, connection: http.client.HTTPConnection, message: int) -> Question:
        sender = message % self._plan.senders
        self._asked_at[sender] = time.time()
        path = f"/api/facilities/{facility_of(self._plan, sender)}/current"
        connection.request("GET", path, headers={"Authorization": f"Bearer {self._api.token}"})
        answer = connection.getresponse()
        body, answered_at = answer.read(), time.time()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
        due_at = self._plan.ts_of(message)
        current = msgspec.json.decode(body, type=Current)
        shown = is_shown(self._plan, message, self._by_then_kw[sender], current)
        return Question(answered_at - due_at.timestamp(), shown)


def readable(questions: Sequence[Question]) -> Readable:
    """The median is the time at which as many readings were shown earlier as were missing later."""
    ordered = sorted(questions)
    later, sooner = sum(not one.is_shown for one in ordered), 0
    p50_s: float | None = None
    longest_s = 0.0
    for one in ordered:
        if one.is_shown:
            sooner += 1
        else:
            later -= 1
            longest_s = one.after_s
        if p50_s is None and sooner >= later:
            p50_s = one.after_s
    return Readable(len(ordered), round(1000 * (p50_s or 0.0), 1), round(1000 * longest_s, 1))
