"""A synchronous standby is promoted while commands run: confirmed saves are present, and work continues."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from uuid import uuid4

import psycopg

from adapters.postgres.connection.dsn import for_failover
from adapters.postgres.event_store.event_store import PostgresEventStore
from application.command_bus.bus import CommandBus
from application.commands.facility import RegisterFacility
from application.event_store.demand_response import DemandResponse
from application.handlers import HANDLERS
from application.ports.event_store.event_store import EventStoreUnavailable
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from tests.fakes.clock import FakeClock
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.integration.event_store.stored_events import until
from tests.patience import ANSWER_S
from tests.postgres_pair import PostgresPair, postgres_pair
from tests.sample_values import CONTEXT, NOW, facility_entry

CALLERS = 16


def test_every_confirmed_command_is_in_the_log_of_the_promoted_standby() -> None:
    with (
        postgres_pair() as pair,
        closing(PostgresEventStore(DemandResponse, for_failover(pair.app_dsn))) as store,
        ThreadPoolExecutor(CALLERS) as threads,
    ):
        answered: list[str] = []
        stop = threading.Event()
        bus = CommandBus(store, FakeClock(NOW), HANDLERS, forecasts=FakeForecastBook())

        def work() -> None:
            while not stop.is_set():
                facility_id = f"fac-{uuid4().hex}"
                try:
                    bus.handle(RegisterFacility(entry=facility_entry(facility_id)), CONTEXT)
                except EventStoreUnavailable:
                    time.sleep(0.01)
                    continue
                answered.append(facility_id)

        try:
            working = [threads.submit(work) for _ in range(CALLERS)]
            until(lambda: len(answered) > 100)
            pair.fail_over()
            before = len(answered)
            until(lambda: len(answered) > before + 50)
        finally:
            stop.set()
        for future in working:
            future.result(timeout=ANSWER_S)

        streams = [facility_stream_id(facility_id) for facility_id in answered]
        assert len(store.load_many(Facility, streams)) == len(set(streams)) == len(answered)
        assert written_to(pair) == pair.standby.ports["postgres"]


def written_to(pair: PostgresPair) -> int:
    with psycopg.connect(for_failover(pair.app_dsn)) as connection:
        return connection.info.port
