"""One utility's slow or poisonous callbacks delay no other utility (M7, "poison never stops a line")."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from application.callback import CallbackCalls, recorded_callback
from application.command_bus import retry
from application.command_bus.bus import CommandBus
from application.handlers import HANDLERS
from application.operations.dead_letter_alerts import waiting_letters
from application.ports.callback import CallbackAccepted
from application.ports.dispatch.requested_work import CallbackWork
from application.ports.failpoints import no_failpoint
from domain.dr_event import DREvent
from interfaces.workers.watch.notify import AT_ONCE, AT_ONCE_OF_ONE, NotifyWorker
from tests.fakes.callback import FakeCallbackAddresses
from tests.fakes.dispatch.open_work import FakeOpenWork, FakeWorkHolder, Row
from tests.fakes.event_store.event_store import FakeEventStore
from tests.fakes.operations.dead_letters import FakeDeadLetters
from tests.given_when_then import Scenario
from tests.in_process_system import NoSignal
from tests.sample_values import requested_callback

PATIENCE_S = 60.0
PILE = 3_000
HOSTILE = [f"hostile-{number}" for number in range(40)]
HONEST = "util-1"


class Utilities:
    """The hostile ones never answer; the honest one does at once."""

    def __init__(self) -> None:
        self.under_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.delivered: list[UUID] = []

    async def send(
        self, utility_id: str, url: str, body: str, callback_id: UUID, trace_id: str
    ) -> CallbackAccepted:
        self.under_way[utility_id] += 1
        self.most[utility_id] = max(self.most[utility_id], self.under_way[utility_id])
        if utility_id in HOSTILE:
            await asyncio.Event().wait()
        self.under_way[utility_id] -= 1
        self.delivered.append(callback_id)
        return CallbackAccepted(status_code=200)


class Rig:
    def __init__(self, notifier: Any) -> None:
        self.scenario = Scenario()
        self.letters = FakeDeadLetters()
        self.rows = self.scenario.store.open_work = FakeOpenWork(self.letters)
        self.bus = CommandBus(
            self.scenario.store, self.scenario.clock, HANDLERS, forecasts=self.scenario.forecasts
        )
        self.calls = CallbackCalls(
            store=self.scenario.store,
            event_log=self.scenario.store,
            rows=self.rows,
            bus=self.bus,
            notifier=notifier,
            addresses=FakeCallbackAddresses(),
            clock=self.scenario.clock,
            reached=no_failpoint,
        )

    def requested(self, utility_id: str) -> CallbackWork:
        """A recorded callback of that utility."""
        dr_event, _ = requested_callback(utility_id)
        self.scenario.store.save([dr_event])
        return recorded_callback(self.scenario.store, self.scenario.store.head())

    def waiting(self, utility_id: str = HONEST) -> list[Row]:
        return [row for row in self.rows.rows.values() if row.queue == utility_id]

    async def run_until(self, holds: Any) -> None:
        stop, holder = asyncio.Event(), FakeWorkHolder(self.rows)
        worker = NotifyWorker(self.rows, holder, NoSignal(), self.calls.event_log, self.calls)
        running = asyncio.create_task(worker.run(stop))
        async with asyncio.timeout(PATIENCE_S):
            while not holds() and not running.done():  # noqa: ASYNC110 - the worker changes the condition
                await asyncio.sleep(0.005)
        stop.set()
        await running


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(retry, "LIMITED_PAUSES", retry.Pauses(0.0, 0.0))
    monkeypatch.setattr("interfaces.workers.watch.notify.FINISH_WITHIN_S", 0.1)
    with capture_logs():  # the traces are slow to print
        yield


def test_each_utility_that_never_answers_takes_at_most_its_share_of_calls() -> None:
    """Each has more callbacks than its own places, one of them thousands."""
    utilities = Utilities()
    rig = Rig(utilities)

    async def scenario() -> None:
        for utility_id in HOSTILE[:16]:
            for _ in range(AT_ONCE_OF_ONE + 2):
                rig.requested(utility_id)
        for _ in range(PILE):
            rig.requested(HOSTILE[0])
        honest = [rig.requested(HONEST) for _ in range(20)]
        await rig.run_until(lambda: len(utilities.delivered) == len(honest))
        assert set(utilities.delivered) == {work.callback_id for work in honest}

    asyncio.run(scenario())
    assert max(utilities.most[one] for one in HOSTILE) == AT_ONCE_OF_ONE
    assert AT_ONCE >= 32 * AT_ONCE_OF_ONE


@pytest.mark.parametrize("error", [TypeError("a defect"), ValueError("x"), RecursionError("x")])
def test_a_callback_that_fails_with_any_error_is_parked_and_the_next_is_sent(error: Exception) -> None:
    class Poisoned(Utilities):
        poison: UUID | None = None
        tries = 0

        async def send(self, utility_id: str, url: str, body: str, callback_id: UUID, trace_id: str) -> Any:
            if callback_id == self.poison:
                self.tries += 1
                raise error
            return await super().send(utility_id, url, body, callback_id, trace_id)

    utilities = Poisoned()
    rig = Rig(utilities)

    async def scenario() -> CallbackWork:
        poison, healthy = rig.requested(HONEST), rig.requested(HONEST)
        utilities.poison = poison.callback_id
        await rig.run_until(lambda: not rig.waiting())
        assert utilities.delivered == [healthy.callback_id]
        return poison

    poison = asyncio.run(scenario())
    assert utilities.tries == retry.MAX_TRIES
    [letter] = rig.letters.listed()
    assert letter.reason == f"{type(error).__name__}: {error}"
    [alert] = waiting_letters(rig.letters, now=rig.scenario.clock.now())
    assert (alert.name, alert.subject) == ("callback_undeliverable", letter.subject)
    state = rig.scenario.store.load(DREvent, poison.dr_event_id).state
    assert state.callbacks[str(poison.callback_id)] == "undeliverable"


def test_a_callback_of_a_dr_event_that_a_newer_release_wrote_to_is_not_parked() -> None:
    """This worker is of the older one. A worker of the newer one sends it once it is delivered again."""
    utilities = Utilities()
    rig = Rig(utilities)

    async def scenario() -> None:
        unreadable, readable = rig.requested(HONEST), rig.requested(HONEST)
        newer = FakeEventStore()
        newer.append(rig.scenario.store.domain_events)
        rig.scenario.store.append_unknown_topic(unreadable.dr_event_id)
        [row, _] = rig.waiting()
        await rig.run_until(lambda: len(utilities.delivered) == 1)
        assert utilities.delivered == [readable.callback_id]
        assert rig.waiting() == [row]
        assert (row.holder, row.due_at > 0) == (None, True)
        bus = CommandBus(newer, rig.scenario.clock, HANDLERS, forecasts=rig.scenario.forecasts)
        rig.calls = changed(rig.calls, store=newer, event_log=newer, bus=bus)
        row.due_at = float("-inf")
        await rig.run_until(lambda: not rig.waiting())
        assert utilities.delivered == [readable.callback_id, unreadable.callback_id]

    asyncio.run(scenario())
    assert rig.letters.listed() == []


def test_a_callback_whose_outcome_cannot_be_recorded_is_parked_all_the_same() -> None:
    utilities = Utilities()
    rig = Rig(utilities)

    def broken(*_: Any, **__: Any) -> None:
        raise TypeError("a defect of the handler")

    rig.calls = changed(rig.calls, bus=cast("Any", type("Bus", (), {"handle": broken})()))

    async def scenario() -> None:
        rig.requested(HONEST)
        await rig.run_until(lambda: not rig.waiting())

    asyncio.run(scenario())
    assert [letter.reason for letter in rig.letters.listed()] == ["TypeError: a defect of the handler"]


def changed(calls: CallbackCalls, **changes: Any) -> CallbackCalls:
    values = {name: getattr(calls, name) for name in CallbackCalls.__dataclass_fields__}
    return CallbackCalls(**(values | changes))
