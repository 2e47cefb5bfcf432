"""Administrative acts are domain events, in one transaction with what they change; they hold no names (M10)."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.access import api_keys as postgres_api_keys
from adapters.postgres.access.api_keys import PostgresApiKeys
from adapters.postgres.audit.stream_log import PostgresStreamLog
from adapters.postgres.connection.transaction import CONNECTION_ERRORS
from adapters.postgres.event_store import acts
from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.operations.alerts import PostgresAlerts
from application.access.api_keys import issue, revoke, rotate
from application.event_store.demand_response import DemandResponse
from application.operations.alert_decisions import decide_alert
from domain.administration import AdministrativeAct
from domain.dispatch import Dispatch
from domain.event_sourcing.aggregate import DomainEvent
from domain.facility import Facility
from domain.program import Program
from projections.audit.administration import ActFilter, read_acts
from tests.open_alerts import begin_alert
from tests.sample_values import program_terms, provenance
from tests.servers import Database
from tests.state_walks import dispatch_walk

AT = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)


class Keys:
    def __init__(self, database: Database, pool: ConnectionPool[Any]) -> None:
        self.database, self.pool = database, pool
        self.store = PostgresApiKeys(pool)
        self.events = PostgresEventStore(DemandResponse, database.app_dsn)

    def recorded(self) -> list[DomainEvent]:
        return [entry.domain_event for entry in self.events.read_after(0, 100)]


@pytest.fixture
def keys(database: Database) -> Iterator[Keys]:
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        keys = Keys(database, pool)
        yield keys
        keys.events.close()


def entropy(seed: int) -> bytes:
    return (sha256(bytes([seed])).digest() + bytes([seed]) * 6)[:38]


def test_keys_issued_rotated_and_revoked_are_in_the_log(keys: Keys) -> None:
    old = issue(
        keys.store,
        role="operator",
        name="anna's laptop",
        by="operator:cli/0a1b2c3d4e5f",
        at=AT,
        entropy=entropy(1),
    )
    new = rotate(keys.store, old.api_key.key_id, overlap=timedelta(days=1), at=AT, entropy=entropy(2))
    revoke(keys.store, new.api_key.key_id, by="operator:cli/0a1b2c3d4e5f", at=AT)
    revoke(keys.store, new.api_key.key_id, at=AT + timedelta(days=3))  # changes nothing
    issued, succeeded, rotated, revoked = keys.recorded()
    assert isinstance(issued, AdministrativeAct.ApiKeyIssued)
    assert (issued.key_id, issued.role, issued.actor) == (
        old.api_key.key_id,
        "operator",
        "operator:cli/0a1b2c3d4e5f",
    )
    assert isinstance(succeeded, AdministrativeAct.ApiKeyIssued)
    assert succeeded.replaces == old.api_key.key_id
    assert isinstance(rotated, AdministrativeAct.ApiKeyRotated)
    assert (rotated.key_id, rotated.replaced_by) == (old.api_key.key_id, new.api_key.key_id)
    assert isinstance(revoked, AdministrativeAct.ApiKeyRevoked)
    assert "anna" not in repr(keys.recorded())


def test_the_audit_lists_the_acts_the_newest_first(keys: Keys) -> None:
    for seed in (11, 12, 13):
        issue(keys.store, role="admin", name="anna", at=AT, entropy=entropy(seed))
    revoke(keys.store, keys.store.listed()[0].key_id, at=AT)
    with ConnectionPool[Any](keys.database.app_dsn, min_size=1, max_size=1) as pool:
        log = PostgresStreamLog(pool)
        newest = read_acts(log, before=None, limit=3)
        older = read_acts(log, before=newest.next_before, limit=3)
    assert [act.topic.split(".")[1] for act in newest.acts] == [
        "api-key-revoked",
        "api-key-issued",
        "api-key-issued",
    ]
    assert [len(older.acts), older.next_before] == [1, None]
    assert [act.position for act in (*newest.acts, *older.acts)] == [4, 3, 2, 1]
    assert "anna" not in repr((newest, older))


def test_the_audit_lists_overrides_of_forecasts_among_the_acts(keys: Keys) -> None:
    dispatch = dispatch_walk().aggregate
    dispatch.block(provenance(AT), data_quality="degraded", reason="old weather")
    dispatch.override_forecast(provenance(AT), reason="meter back")
    issue(keys.store, role="admin", at=AT, entropy=entropy(21))
    keys.events.save([dispatch])
    issue(keys.store, role="admin", at=AT, entropy=entropy(22))
    with ConnectionPool[Any](keys.database.app_dsn, min_size=1, max_size=1) as pool:
        acts = read_acts(PostgresStreamLog(pool), before=None, limit=10).acts
    positions = {type(one): number for number, one in enumerate(keys.recorded(), 1)}
    assert [act.topic.partition(".")[0] for act in acts] == ["administration", "dispatch", "administration"]
    assert acts[1].position == positions[Dispatch.ForecastOverridden]
    assert acts[1].what.startswith("degraded forecast of fac-001 overridden in DR event ")
    assert acts[1].what.endswith(": meter back")


def test_the_audit_lists_facilities_and_programs_and_the_migration_adds_those_of_before(keys: Keys) -> None:
    dispatch = dispatch_walk().aggregate
    facility = Facility.register(
        provenance(AT),
        facility_id="fac-009",
        tz="UTC",
        latitude=None,
        longitude=None,
        weather_cell="c",
        region=None,
    )
    facility.start_maintenance(provenance(AT), reason="a new chiller")
    program = Program.open(provenance(AT), program_id="p-9", utility_id="util-9")
    program.agree_terms(provenance(AT), terms=program_terms())
    keys.events.save([facility])
    keys.events.save([program])
    keys.events.save([dispatch])
    issue(keys.store, role="admin", at=AT, entropy=entropy(31))
    log = PostgresStreamLog(keys.pool)
    listed = read_acts(log, before=None, limit=10)
    assert [act.kind for act in listed.acts] == [
        "access",
        "program",
        "program",
        "maintenance",
        "facility",
    ]
    assert (
        read_acts(log, before=None, limit=10, wanted=ActFilter(kind="maintenance")).acts == listed.acts[3:4]
    )
    of_facility = read_acts(log, before=None, limit=10, wanted=ActFilter(facility_id="fac-009"))
    assert of_facility.acts == listed.acts[3:]
    assert read_acts(log, before=None, limit=10, wanted=ActFilter(program_id="p-9")).acts == listed.acts[1:3]


def test_a_decision_on_an_alert_is_in_the_log_without_its_subject_and_its_reason(keys: Keys) -> None:
    alerts = PostgresAlerts(keys.pool)
    begin_alert(alerts, "authentication_failures", "203.0.113.7", "x", at=AT)
    [alert] = alerts.listed()
    for decision in ("acknowledged", "cleared"):
        decide_alert(
            alerts,
            alert.alert_id,
            decision,
            by="operator:6a1f",
            reason="it is Anna's laptop",
            at=AT,
        )
    newest, earlier = read_acts(PostgresStreamLog(keys.pool), before=None, limit=2).acts
    assert (newest.who, newest.what) == (
        "operator:6a1f",
        f"alert {alert.alert_id} cleared by hand: authentication_failures",
    )
    assert earlier.what == f"alert {alert.alert_id} acknowledged: authentication_failures"
    assert not {"203.0.113.7", "Anna"} & {*repr(keys.recorded()).replace("'", " ").split()}


def test_an_alert_is_not_decided_without_its_act(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    alerts = PostgresAlerts(keys.pool)
    begin_alert(alerts, "bms_drift", "fac-001", "x", at=AT)
    [alert] = alerts.listed()
    monkeypatch.setattr("adapters.postgres.operations.alerts.append_acts", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        decide_alert(alerts, alert.alert_id, "cleared", by="x", reason="x", at=AT)
    assert [one.alert_id for one in alerts.listed()] == [alert.alert_id]


def test_a_key_is_not_stored_without_its_act(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: object) -> None:
        raise psycopg.OperationalError("the server died")

    kept = issue(keys.store, role="admin", at=AT, entropy=entropy(3)).api_key.key_id
    monkeypatch.setattr(postgres_api_keys, "append_acts", fails)
    for change in (
        lambda: issue(keys.store, role="admin", at=AT, entropy=entropy(4)),
        lambda: rotate(keys.store, kept, overlap=timedelta(0), at=AT, entropy=entropy(5)),
        lambda: revoke(keys.store, kept, at=AT),
    ):
        with pytest.raises(Exception, match="the server died"):
            change()
    [key] = keys.store.listed()
    assert (key.key_id, key.revoked_at, key.expires_at) == (kept, None, None)
    assert len(keys.recorded()) == 1


def test_the_application_role_cannot_bring_an_ended_key_back(keys: Keys) -> None:
    revoked = issue(keys.store, role="admin", at=AT, entropy=entropy(6)).api_key.key_id
    revoke(keys.store, revoked, at=AT)
    expired = issue(
        keys.store, role="admin", expires_at=AT + timedelta(1), at=AT, entropy=entropy(7)
    ).api_key.key_id
    with psycopg.connect(keys.database.app_dsn, autocommit=True) as connection:
        for statement, key_id in (
            ("UPDATE api_keys SET revoked_at = NULL WHERE key_id = %s", revoked),
            ("UPDATE api_keys SET expires_at = NULL WHERE key_id = %s", expired),
            ("UPDATE api_keys SET expires_at = expires_at + interval '1 day' WHERE key_id = %s", expired),
        ):
            with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
                connection.execute(statement.encode(), (key_id,))


def test_a_process_that_stops_before_its_commit_does_not_keep_the_lock_of_the_log(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acts, "WITHIN_S", 0.2)
    act = AdministrativeAct.issue_key(provenance(AT), key_id="a" * 12, role="admin")
    other = Facility.register(
        provenance(AT), facility_id="f", tz="UTC", latitude=0, longitude=0, weather_cell="c"
    )
    with psycopg.connect(keys.database.app_dsn) as stopped:
        acts.append_acts(stopped, [act], None)
        keys.events.save([other])
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout) as ended:
            stopped.commit()
        assert isinstance(ended.value, CONNECTION_ERRORS)
        stopped.close()
    [recorded] = keys.recorded()
    assert isinstance(recorded, Facility.Registered)
