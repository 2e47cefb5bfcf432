"""The contract of AlertDeliveries: PostgreSQL's and the fake's."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.operations.alert_deliveries import PostgresAlertDeliveries
from adapters.postgres.operations.alerts import PostgresAlerts
from application.ports.operations.alert_delivery import AlertDeliveries, DeliveryKey
from application.ports.operations.alerts import AlertRegistry
from tests.fakes.operations.alert_delivery import FakeAlertDeliveries
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.open_alerts import begin_alert, end_alert

T0 = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Registers(NamedTuple):
    alerts: AlertRegistry
    deliveries: AlertDeliveries

    def raised(self, subject: str = "fac-001") -> int:
        begin_alert(self.alerts, "bms_drift", subject, "x", at=T0)
        return self.alerts.listed()[0].alert_id


@pytest.fixture(params=["fake", "postgres"])
def registers(request: pytest.FixtureRequest) -> Iterator[Registers]:
    if request.param == "fake":
        alerts = FakeAlertRegistry()
        yield Registers(alerts, FakeAlertDeliveries(alerts))
        return
    database = request.getfixturevalue("database")
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        yield Registers(PostgresAlerts(pool), PostgresAlertDeliveries(pool))


def test_tries_are_counted_until_one_succeeds(registers: Registers) -> None:
    alert_id = registers.raised()
    registers.deliveries.note("email", "raised", [alert_id], at=T0, failure="away\0")
    registers.deliveries.note("email", "raised", [alert_id], at=T0 + MINUTE, failure="still away")
    [failed] = registers.deliveries.of_channel("email", since=T0).values()
    assert (failed.name, failed.subject, failed.attempts, failed.tried_at, failed.failure) == (
        "bms_drift",
        "fac-001",
        2,
        T0 + MINUTE,
        "still away",
    )
    registers.deliveries.note("email", "raised", [alert_id], at=T0 + 2 * MINUTE, failure=None)
    registers.deliveries.note("email", "raised", [alert_id], at=T0 + 3 * MINUTE, failure="too late")
    [delivered] = registers.deliveries.of_channel("email", since=T0).values()
    assert (delivered.attempts, delivered.delivered_at, delivered.failure) == (3, T0 + 2 * MINUTE, None)


def test_channels_and_kinds_are_separate(registers: Registers) -> None:
    first, second = registers.raised("fac-001"), registers.raised("fac-002")
    registers.deliveries.note("email", "raised", [first, second], at=T0, failure=None)
    registers.deliveries.note("email", "ended", [second], at=T0, failure=None)
    assert registers.deliveries.of_channel("webhook", since=T0) == {}
    assert registers.deliveries.of_channel("email", since=T0).keys() == {
        DeliveryKey(first, "raised"),
        DeliveryKey(second, "raised"),
        DeliveryKey(second, "ended"),
    }


def test_old_deliveries_are_those_of_open_alerts_only(registers: Registers) -> None:
    over, still_open = registers.raised("fac-001"), registers.raised("fac-002")
    registers.deliveries.note("email", "raised", [over, still_open], at=T0, failure=None)
    end_alert(registers.alerts, "bms_drift", "fac-001", at=T0)
    assert len(registers.deliveries.of_channel("email", since=T0)) == 2
    found = registers.deliveries.of_channel("email", since=T0 + MINUTE)
    assert found.keys() == {DeliveryKey(still_open, "raised")}


def test_an_alert_that_was_open_for_long_is_listed_when_it_ends(registers: Registers) -> None:
    alert_id = registers.raised()
    registers.deliveries.note("email", "raised", [alert_id], at=T0, failure=None)
    end_alert(registers.alerts, "bms_drift", "fac-001", at=T0 + 5 * MINUTE)
    found = registers.deliveries.of_channel("email", since=T0 + MINUTE)
    assert found.keys() == {DeliveryKey(alert_id, "raised")}


def test_ended_returns_the_alerts_that_are_not_open(registers: Registers) -> None:
    over, still_open = registers.raised("fac-001"), registers.raised("fac-002")
    end_alert(registers.alerts, "bms_drift", "fac-001", at=T0 + MINUTE)
    [ended] = registers.deliveries.ended([over, still_open])
    assert (ended.alert_id, ended.cleared_at) == (over, T0 + MINUTE)
    assert registers.deliveries.ended([]) == []
