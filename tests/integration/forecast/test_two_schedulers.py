"""Two schedulers forecast the same cycle at once, and each forecast is issued once."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from uuid import UUID

import pytest

from adapters.postgres.event_store.event_store import PostgresEventStore
from application.command_bus.decision_context import CommandContext
from application.commands.forecast import Issue, IssueForecast
from application.event_store.forecasts import Forecasts
from application.forecast.issue import ForecastIssuing
from domain.forecast import Forecast
from tests.fakes.clock import FakeClock
from tests.issued_forecasts import CYCLE_START, issued_forecast
from tests.patience import ANSWER_S
from tests.servers import Database

IDS = [f"fac-{number:03}" for number in range(25)]
CONTEXT = CommandContext(
    correlation_id=UUID(int=1),
    causation_id=UUID(int=2),
    actor="worker:compute",
    tenant=None,
    trace_id="0" * 32,
)


@pytest.fixture
def schedulers(database: Database) -> Iterator[list[PostgresEventStore]]:
    """Two schedulers that share no stores or connections, like separate processes."""
    stores = [PostgresEventStore(Forecasts, database.app_dsn) for _ in range(2)]
    yield stores
    for store in stores:
        store.close()


def issue_all(store: PostgresEventStore, kw: float, start: Barrier) -> Counter[str]:
    """The results of one scheduler's forecasts of the cycle."""
    issuing = ForecastIssuing(store, FakeClock(CYCLE_START + timedelta(seconds=20)))
    commands = []
    for facility_id in IDS:
        state = issued_forecast(facility_id, CYCLE_START, kw).state
        command = IssueForecast(
            facility_id=facility_id,
            cycle_start=CYCLE_START,
            inputs=state.inputs,
            model=state.model,
            steps=state.steps,
        )
        commands.append((command, CONTEXT))
    start.wait(ANSWER_S)
    return Counter(
        one.outcome if isinstance(one, Issue) else type(one).__name__ for one in issuing.issue(commands, {})
    )


@pytest.mark.parametrize(
    ("seen_kw", "second"), [((100.0, 100.0), "unchanged"), ((100.0, 101.0), "ForecastConflict")]
)
def test_two_concurrent_schedulers_issue_a_cycle_once(
    schedulers: list[PostgresEventStore], seen_kw: tuple[float, float], second: str
) -> None:
    start = Barrier(2)
    with ThreadPoolExecutor(2) as threads:
        runs = [
            threads.submit(issue_all, store, kw, start) for store, kw in zip(schedulers, seen_kw, strict=True)
        ]
        outcomes = sum((run.result(ANSWER_S) for run in runs), Counter[str]())
    assert outcomes == {"issued": len(IDS), second: len(IDS)}
    facts = [entry.domain_event for entry in schedulers[0].read_after(0, 1_000)]
    issued = Counter(fact.facility_id for fact in facts if isinstance(fact, Forecast.Issued))
    assert issued == dict.fromkeys(IDS, 1)
    assert len(facts) == len(IDS)
