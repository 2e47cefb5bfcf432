"""Two releases on one store: the old one, in its own process, reads what a newer one wrote."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import psycopg
import pytest
from eventsourcing.utils import register_topic

from application.event_store import event_mapper
from application.ports.event_store.event_log import LogEntry
from domain.dr_event import DREvent
from projections.dr_event.projection import DREventsProjection
from tests.architecture.source_tree import ROOT
from tests.integration.projections.conftest import ReadSide, eventually, running
from tests.integration.projections.stored_log import store_entries
from tests.patience import END_S
from tests.property.projections.projected_logs import PortfolioWalk

NEW_TOPIC = "dr-event.tariff-noted.v1"

OLD_RELEASE = """
import sys, threading, uuid
from psycopg_pool import ConnectionPool
from adapters.clock import SystemClock
from adapters.postgres.operations.alerts import PostgresAlerts
from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.read_model.projector import Projector
from application.event_store.demand_response import DemandResponse
from application.event_store.event_mapper import UnknownTopic
from domain.dr_event import DREvent
from interfaces.workers.project.log_follower import LogFollower
from projections.dr_event.projection import DREventsProjection

dsn, richer, newer = sys.argv[1], uuid.UUID(sys.argv[2]), uuid.UUID(sys.argv[3])
store = PostgresEventStore(DemandResponse, dsn)
print("richer", store.load(DREvent, richer).state.status, flush=True)
try:
    store.load(DREvent, newer)
    print("newer loaded", flush=True)
except UnknownTopic as error:
    print("newer", error, flush=True)
with ConnectionPool(dsn, min_size=1, max_size=2) as pool:
    projector = Projector(
        DREventsProjection(), dsn=dsn, alerts=PostgresAlerts(pool), clock=SystemClock(),
        heartbeat_s=0.1, retry_stopped_s=0.3,
    )
    stop = threading.Event()
    thread = threading.Thread(target=LogFollower(projector).run, args=(stop,))
    thread.start()
    sys.stdin.readline()
    stop.set()
    thread.join()
"""


class TariffNoted(DREvent.Event, frozen=True, kw_only=True):
    """Only the newer release has this event."""

    TOPIC: ClassVar[str] = NEW_TOPIC
    tariff: str


@contextmanager
def old_release(read_side: ReadSide, richer: DREvent, newer: DREvent) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", OLD_RELEASE, read_side.database.app_dsn, str(richer.id), str(newer.id)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
        process.communicate("stop\n", timeout=END_S)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def written(read_side: ReadSide) -> tuple[PortfolioWalk, DREvent, DREvent, int]:
    """Written by the newer release: additional fields in one DR event, then an unknown domain event in the
    stream of another."""
    walk = PortfolioWalk()
    richer, newer = walk.open_dr_event(), walk.open_dr_event()
    walk.accept(richer)
    read_side.store(walk.entries)
    with psycopg.connect(read_side.database.admin_dsn) as connection:
        connection.execute(
            "UPDATE gridproof.demand_response_events SET state = convert_to(rtrim(convert_from(state, 'UTF8'), '}') "
            "|| ', \"carbon_g_per_kwh\": 31.5, \"nested\": {\"a\": [1]}}', 'UTF8') WHERE topic = 'dr-event.opened.v1'"
        )
    provenance = walk.provenance()
    noted = TariffNoted(
        originator_id=newer.id,
        originator_version=newer.version + 1,
        timestamp=provenance.recorded_at,
        correlation_id=provenance.correlation_id,
        causation_id=provenance.causation_id,
        actor=provenance.actor,
        tenant=provenance.tenant,
        trace_id=provenance.trace_id,
        tariff="night",
    )
    position = walk.log.head() + 1
    store_entries(read_side.database.admin_dsn, [LogEntry(position, NEW_TOPIC, noted)])
    return walk, richer, newer, position


def stopped_alert(read_side: ReadSide) -> tuple[str, bool] | None:
    with psycopg.connect(read_side.database.admin_dsn) as connection:
        row = connection.execute(
            "SELECT detail, cleared_at IS NULL FROM gridproof.alerts WHERE name = 'projection_stopped'"
        ).fetchone()
    return None if row is None else (row[0], row[1])


def test_an_old_release_stops_at_an_unknown_event_and_a_newer_one_continues(
    read_side: ReadSide, written: tuple[PortfolioWalk, DREvent, DREvent, int]
) -> None:
    walk, richer, newer, position = written
    with old_release(read_side, richer, newer) as old:
        assert old.stdout is not None
        assert old.stdout.readline() == "richer accepted\n"  # unknown fields are ignored and stay in the log
        assert "newer one wrote it; upgrade this process" in old.stdout.readline()
        eventually(lambda: stopped_alert(read_side) is not None, "the old release raises an alert")
        told = stopped_alert(read_side)
        assert told is not None
        detail, is_open = told
        assert is_open
        assert f"position {position} ({NEW_TOPIC})" in detail
        assert "upgrade this process" in detail
        before = read_side.position("dr_events")
        assert (before.position, before.stopped_at) == (position - 1, position)  # before the event

        register_topic(NEW_TOPIC, TariffNoted)  # the newer release starts while the old one still runs
        event_mapper._decoding.cache_clear()
        assert old.poll() is None
        with running(read_side.projector(DREventsProjection())):
            eventually(
                lambda: read_side.position("dr_events").position == position,
                "the newer release has folded the event",
            )
        assert read_side.position("dr_events").stopped_at is None
        assert read_side.differences(DREventsProjection()) == {}

        walk.accept(walk.open_dr_event("UTIL-LATER"))  # the old release can fold the later events
        later = [
            LogEntry(e.position + 1, e.topic, e.domain_event) for e in walk.entries if e.position >= position
        ]
        read_side.store(later)
        eventually(
            lambda: read_side.position("dr_events").position == later[-1].position,
            "the old release continues",
        )
        eventually(lambda: (stopped_alert(read_side) or ("", True))[1] is False, "the alert is cleared")


def test_fields_ignored_by_an_old_release_stay_in_the_log(
    read_side: ReadSide, written: tuple[PortfolioWalk, DREvent, DREvent, int]
) -> None:
    with psycopg.connect(read_side.database.admin_dsn) as connection:
        states = connection.execute(
            "SELECT state FROM gridproof.demand_response_events WHERE topic = 'dr-event.opened.v1'"
        ).fetchall()
    assert [json.loads(state)["carbon_g_per_kwh"] for (state,) in states] == [31.5, 31.5]
