"""The contract of EventStore about open work: a save has the rows of its intents, all or nothing."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import pytest

from adapters.postgres.event_store.event_store import PostgresEventStore
from application.event_store.demand_response import DemandResponse
from application.ports.event_store.event_log import EventLog
from application.ports.event_store.event_store import (
    EventStore,
    IdempotencyKeyTaken,
    IdempotencyRecord,
    SaveRequest,
)
from domain.dispatch import Dispatch
from domain.dispatch.state import ZonePlan
from domain.event_sourcing.aggregate import Aggregate
from domain.facility import Facility
from tests.fakes.event_store.event_store import FakeEventStore
from tests.sample_values import BMS, DR_EVENT_ID, ENDS_AT, STARTS_AT, provenance, requested_callback
from tests.servers import Database

Rows = list[tuple[str, str, int | None]]


class Opened(NamedTuple):
    store: Any
    """EventStore and EventLog."""
    rows: Callable[[], Rows]
    """Kind, queue and position of each row, by number."""


@pytest.fixture(params=["fake", "postgres"])
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    if request.param == "fake":
        fake = FakeEventStore()
        yield Opened(fake, lambda: [(r.kind, r.queue, r.position) for r in fake.open_work.rows.values()])
        return
    database: Database = request.getfixturevalue("database")
    store = PostgresEventStore(DemandResponse, database.app_dsn)
    yield Opened(store, lambda: rows_of(database))
    store.close()


def rows_of(database: Database) -> Rows:
    with psycopg.connect(database.app_dsn) as connection:
        return connection.execute(
            "SELECT kind, queue, position FROM gridproof.open_work ORDER BY number"
        ).fetchall()


def prepared(facility_id: str = "fac-001") -> Dispatch:
    """A dispatch, not saved yet, that commands its two zones."""
    dispatch = Dispatch.plan(
        provenance(),
        dr_event_id=DR_EVENT_ID,
        facility_id=facility_id,
        plan_revision=1,
        starts_at=STARTS_AT,
        ends_at=ENDS_AT,
        expires_at=ENDS_AT,
        target_kw=75.0,
        bms=BMS,
        zones=tuple(
            ZonePlan(zone_id=zone, target_kw=37.5, strategy="setpoint_offset", magnitude=2.0)
            for zone in ("hall", "attic")
        ),
        forecast_id=UUID(int=7),
        data_quality="full",
    )
    dispatch.prepare(provenance())
    return dispatch


def registered(facility_id: str = "fac-001") -> Facility:
    return Facility.register(
        provenance(), facility_id=facility_id, tz="UTC", latitude=1.5, longitude=2.5, weather_cell="cell-1"
    )


def intents_of(log: EventLog) -> list[int]:
    """The positions of the intents that have rows: the first command of each dispatch, and each callback."""
    entries = log.read_after(0, 1_000)
    found, last = [], None
    for entry in entries:
        kind = type(entry.domain_event).__name__
        if kind == "CallbackRequested" or (kind == "BmsCommandRequested" and last != "BmsCommandRequested"):
            found.append(entry.position)
        last = kind
    return found


def answer() -> IdempotencyRecord:
    return IdempotencyRecord("scope", "k-1", "hash", b"reply")


def test_a_row_stands_at_the_position_of_its_intent(opened: Opened) -> None:
    dr_event, _ = requested_callback("util-9")
    opened.store.save([registered(), prepared(), dr_event, prepared("fac-002")])

    first, second, third = intents_of(opened.store)
    assert opened.rows() == [
        ("bms", "fac-001", first),
        ("callback", "util-9", second),
        ("bms", "fac-002", third),
    ]


def test_saves_that_share_a_transaction_have_their_own_rows(opened: Opened) -> None:
    saves: list[list[Aggregate[Any]]] = [
        [registered()],
        [prepared()],
        [registered("fac-009")],
        [requested_callback("util-9")[0]],
        [prepared("fac-002")],
    ]

    outcomes = opened.store.save_each([SaveRequest(one, None) for one in saves])

    assert outcomes == [None] * 5
    first, second, third = intents_of(opened.store)
    assert opened.rows() == [
        ("bms", "fac-001", first),
        ("callback", "util-9", second),
        ("bms", "fac-002", third),
    ]


def test_a_save_without_intents_has_no_row(opened: Opened) -> None:
    opened.store.save([registered()])

    assert opened.rows() == []


def test_a_refused_save_has_no_row_and_the_others_of_its_transaction_have(opened: Opened) -> None:
    opened.store.save([registered()], idempotency=answer())

    outcomes = opened.store.save_each(
        [
            SaveRequest([prepared()], answer()),
            SaveRequest([prepared("fac-002")], None),
            SaveRequest([registered("fac-003")], None),
        ]
    )

    assert isinstance(outcomes[0], IdempotencyKeyTaken)
    assert outcomes[1:] == [None, None]
    [position] = intents_of(opened.store)
    assert opened.rows() == [("bms", "fac-002", position)]


def test_a_history_that_is_copied_has_no_rows() -> None:
    copy = FakeEventStore()
    copy.append(list(_collected([prepared()])))

    assert copy.head() == 3
    assert copy.open_work.rows == {}


def _collected(aggregates: Sequence[Any]) -> Iterator[Any]:
    for aggregate in aggregates:
        yield from aggregate.collect_events()


AT_ONCE = "CREATE TRIGGER refuse AFTER INSERT ON gridproof.open_work FOR EACH ROW EXECUTE FUNCTION gridproof.refuse()"
AT_COMMIT = (
    "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON gridproof.open_work DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION gridproof.refuse()"
)
REFUSE = """
CREATE FUNCTION gridproof.refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'no room for %', NEW.queue; END $$
"""


@pytest.mark.parametrize("trigger", [AT_ONCE, AT_COMMIT])
def test_a_transaction_that_fails_after_the_events_leaves_neither_event_nor_row(
    database: Database, trigger: str
) -> None:
    store: EventStore = PostgresEventStore(DemandResponse, database.app_dsn)
    with psycopg.connect(database.owner_dsn, autocommit=True) as owner:
        for statement in (REFUSE, "GRANT EXECUTE ON FUNCTION gridproof.refuse() TO PUBLIC", trigger):
            owner.execute(statement.encode())

        with pytest.raises(Exception, match="no room for fac-001"):
            store.save([registered(), prepared()], idempotency=answer())
        events = owner.execute("SELECT count(*) FROM gridproof.demand_response_events").fetchone()
        assert events == (0,)
        assert rows_of(database) == []

        owner.execute("DROP TRIGGER refuse ON gridproof.open_work")
        store.save([registered(), prepared()], idempotency=answer())
    assert [row[:2] for row in rows_of(database)] == [("bms", "fac-001")]
    store.close()  # type: ignore[attr-defined]
