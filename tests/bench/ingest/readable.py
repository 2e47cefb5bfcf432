"""Whether the API says a reading that was due a moment ago, asked while a load comes in.

Facilities are asked in turn, each at some moment of the second after its reading was due, so that the answers tell how
long a reading takes from when it was due until people can read it. None is asked twice within the time for which an
answer is remembered: what is shown is what the store says.
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

FACILITIES = 600
EVERY_S = 0.05
WITHIN_S = 1.0
"""A reading is asked for within that time after it was due."""
REMEMBERED_S = 11.0
_GOLDEN = 0.618034
"""Its multiples, without their whole parts, are spread evenly, however many there are."""


class Current(msgspec.Struct):
    """What the API says of a facility."""

    kw: float | None
    measured_at: datetime | None
    """Of the oldest value in the sum."""


class Question(NamedTuple):
    after_s: float
    """From when the reading was due to the answer."""
    is_shown: bool


class Readable(msgspec.Struct, frozen=True):
    """What the answers come to."""

    queried: int
    p50_ms: float
    """Half of the readings are shown so soon."""
    longest_ms: float
    """The latest answer in which the reading was not there yet; 0 where there was no such answer."""


def queried_senders(plan: LoadPlan) -> list[int]:
    """The first senders of some facilities, evenly spread over the cadence."""
    step = -(-METERS_PER_FACILITY // plan.gateway)
    firsts = range(0, plan.senders, step)
    count = min(FACILITIES, len(firsts))
    return [firsts[n * len(firsts) // count] for n in range(count)]


def facility_of(plan: LoadPlan, sender: int) -> str:
    return plan.named(plan.meters_of(sender)[0])[0]


def kw_by_then(plan: LoadPlan, senders: Sequence[int]) -> dict[int, float]:
    """By sender, what its facility's meters draw that have spoken in the first round once it has."""
    wanted, found, so_far = set(senders), dict[int, float](), dict[str, float]()
    for meter in range(plan.meters):
        facility_id, sender = plan.named(meter)[0], meter // plan.gateway
        so_far[facility_id] = so_far.get(facility_id, 0.0) + plan.kw_of(meter)
        if sender in wanted:
            found[sender] = so_far[facility_id]
    return found


def is_shown(plan: LoadPlan, message: int, by_then_kw: float, current: Current) -> bool:
    """Whether the message is in what the API says: in the first round by the sum, then since the oldest value of the
    sum is not its sender's one of the round before."""
    if message < plan.senders:
        return current.kw is not None and current.kw > by_then_kw - 0.05
    return current.measured_at is not None and current.measured_at > plan.ts_of(message - plan.senders)


@contextmanager
def query_while_loading(
    api: ReadingApi, plan: LoadPlan, seconds: float, questions: list[Question]
) -> Iterator[None]:
    """Ask until the block ends, about what is due in the first `seconds` of the plan. Raises what it failed of."""
    stop, failed = threading.Event(), list[BaseException]()

    def ask() -> None:
        try:
            _Asking(api, plan, seconds).run(stop, questions)
        except BaseException as failure:  # noqa: BLE001 - raised where the block ends
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
        with closing(http.client.HTTPConnection("127.0.0.1", self._api.port, timeout=10)) as connection:
            while not stop.wait(EVERY_S):
                number += 1
                message = self._message_due(time.time() - number * _GOLDEN % WITHIN_S)
                if message is not None:
                    questions.append(self._query(connection, message))

    def _message_due(self, at: float) -> int | None:
        """The last before that moment of a facility that was not asked lately; None where there is none."""
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
    """The middle is where as many readings were shown sooner as were not shown later."""
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
