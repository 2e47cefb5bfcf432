"""A watch worker process is killed during a callback. The utility is notified, and the log has the delivery once."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg_pool import ConnectionPool

from adapters.clock import SystemClock
from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.operations.open_work import PostgresOpenWork
from adapters.postgres.utilities import PostgresUtilities
from application.callback import recorded_callback
from application.event_store.demand_response import DemandResponse
from application.facility.portfolio_entries import UtilityEntry
from application.ports.dispatch.requested_work import CallbackWork
from domain.dr_event import DREvent, Notice
from domain.event_sourcing.aggregate import Provenance
from interfaces.simulators.http_host import hosted
from interfaces.simulators.journal import Journal, read_journal
from interfaces.simulators.utility import (
    ReceivedCallback,
    SimulatedUtility,
    create_utility_app,
)
from tests.patience import END_S
from tests.sample_values import portfolio_act
from tests.servers import Database

NOW = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)
SECRET = "shared with city-power"
DEADLINE_S = 60.0


@dataclass(frozen=True)
class Rig:
    store: PostgresEventStore
    rows: PostgresOpenWork
    environ: dict[str, str]
    folder: Path

    def requested(self, url: str) -> CallbackWork:
        provenance = Provenance(
            correlation_id=UUID(int=1),
            causation_id=UUID(int=2),
            actor="utility:city-power",
            tenant="city-power",
            trace_id="0af7651916cd43dd8448eb211c80319c",
            recorded_at=NOW,
        )
        dr_event = DREvent.open(provenance, utility_id="city-power", utility_event_id=str(uuid4()))
        notice = Notice(
            notification_id="n-1",
            modification_number=0,
            program_id="summer-peak",
            starts_at=NOW + timedelta(hours=1),
            ends_at=NOW + timedelta(hours=2),
            target_kw=100.0,
            facility_ids=("fac-001",),
            priority=1,
            callback_url=url,
        )
        dr_event.accept(
            provenance,
            notice=notice,
            program_version=1,
            capacity_kw=100,
            capacity_source="declared",
            shortfall_kw=0,
        )
        dr_event.request_callback(provenance, kind="accepted", body='{"kind":"accepted"}')
        self.store.save([dr_event])
        return recorded_callback(self.store, self.store.head())

    @contextmanager
    def worker(self, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
        with (self.folder / "watch.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "interfaces.cli", "worker", "watch"],
                env={**self.environ, **environ},
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            process.terminate()
            assert process.wait(END_S) in (0, -signal.SIGKILL), (self.folder / "watch.log").read_text()

    def is_done(self, work: CallbackWork) -> bool:
        """Whether it was recorded, and its row is gone: the second worker has finished it."""
        return bool(self.delivered(work)) and not self.rows.depths("callback")

    def delivered(self, work: CallbackWork) -> list[DREvent.CallbackDelivered]:
        happened = [entry.domain_event for entry in self.store.read_after(0, 1_000)]
        return [
            one
            for one in happened
            if isinstance(one, DREvent.CallbackDelivered) and one.callback_id == work.callback_id
        ]


@pytest.fixture
def rig(database: Database, tmp_path: Path) -> Iterator[Rig]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GRIDPROOF_")}
    environ |= {
        "GRIDPROOF_DATABASE_URL": database.app_dsn,
        "GRIDPROOF_DATA_DIR": str(tmp_path / "data"),
        "GRIDPROOF_ALLOW_PRIVATE_CALLBACKS": "true",
        "GRIDPROOF_SECRET_CALLBACK_CITY": SECRET,
        "GRIDPROOF_CLOCK_EPOCH": NOW.isoformat(),
        "GRIDPROOF_CLOCK_STARTED_AT": datetime.now(UTC).isoformat(),
        "GRIDPROOF_CLOCK_SPEED": "10",
    }
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=1) as pool:
        entry = UtilityEntry(
            utility_id="city-power", callback_secret_ref="env:GRIDPROOF_SECRET_CALLBACK_CITY"
        )
        PostgresUtilities(pool).keep([entry], at=NOW, act=portfolio_act())
        store = PostgresEventStore(DemandResponse, database.app_dsn)
        yield Rig(store, PostgresOpenWork(pool), environ, tmp_path)
        store.close()


@pytest.mark.parametrize("place", ["watch.before_call", "watch.after_call", "watch.after_record"])
def test_a_killed_worker_loses_no_callback(rig: Rig, place: str) -> None:
    struck = rig.folder / "struck"
    journal = Journal(rig.folder / "callbacks.jsonl")
    utility = SimulatedUtility(clock=SystemClock(), journal=journal, secret=SECRET.encode())

    async def scenario() -> CallbackWork:
        async with hosted(create_utility_app(utility), "127.0.0.1:0") as url:
            work = await asyncio.to_thread(rig.requested, f"{url}/callbacks")
            failpoint = {"GRIDPROOF_FAILPOINT": place, "GRIDPROOF_FAILPOINT_ONCE_FILE": str(struck)}
            with rig.worker(GRIDPROOF_TESTING="true", **failpoint) as doomed:
                assert await asyncio.to_thread(doomed.wait, DEADLINE_S) == -signal.SIGKILL
            with rig.worker():
                deadline = time.monotonic() + DEADLINE_S
                while not await asyncio.to_thread(rig.is_done, work):
                    assert time.monotonic() < deadline, (rig.folder / "watch.log").read_text()
                    await asyncio.sleep(0.1)
            return work

    work = asyncio.run(scenario())
    journal.close()

    assert str(work.callback_id) in struck.read_text()
    assert len(rig.delivered(work)) == 1
    received = read_journal(rig.folder / "callbacks.jsonl", ReceivedCallback)
    assert len(received) == (2 if place == "watch.after_call" else 1)
    assert all(callback.signature_ok for callback in received)
