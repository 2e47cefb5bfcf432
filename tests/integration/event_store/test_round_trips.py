"""The round trips of a notification to PostgreSQL: its idempotency key is looked up once, before it is judged."""

from collections.abc import Iterator

import pytest
from psycopg.pq.abc import PGresult

from adapters.postgres.connection.pipeline import Call, PipelinedStatements
from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.event_store.statements import COMMIT
from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import IdempotencyKey
from application.commands.dr_event import Judgement
from application.event_store.demand_response import DemandResponse
from application.handlers import HANDLERS
from tests.fakes.clock import FakeClock
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.sample_values import CONTEXT, facility_entry, judge, portfolio_commands
from tests.servers import Database

KEY = IdempotencyKey(scope="util-1 POST", key="n-1", body_hash="hash")


@pytest.fixture
def bus(database: Database) -> Iterator[CommandBus]:
    store = PostgresEventStore(DemandResponse, database.app_dsn)
    bus = CommandBus(store, FakeClock(), HANDLERS, forecasts=FakeForecastBook())
    for command in portfolio_commands(facility_entry("fac-001"), facility_entry("fac-002")):
        bus.handle(command, CONTEXT)
    yield bus
    store.close()


def test_a_first_notification_looks_its_key_up_once_and_a_repeat_does_nothing_else(
    bus: CommandBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips: list[bytes] = []
    run = PipelinedStatements.run

    def counted(self: PipelinedStatements, *calls: Call) -> list[PGresult]:
        trips.append(calls[-1][0])
        return run(self, *calls)

    monkeypatch.setattr(PipelinedStatements, "run", counted)

    def handle() -> Judgement:
        judgement: Judgement = bus.handle(
            judge("one", facility_ids=("fac-001", "fac-002")), CONTEXT, key=KEY, reply_type=Judgement
        )
        return judgement

    first = handle()
    # The key, the streams of the DR event, the program and the facilities, and the save.
    assert trips == [b"find", b"since", b"since", b"since", COMMIT[0]]
    trips.clear()
    assert handle() == first
    assert trips == [b"find"]
