"""The contract of AlertRegistry: PostgreSQL's and the fake's."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.operations.alerts import PostgresAlerts
from application.operations.alert_decisions import decide_alert
from application.ports.event_store.event_store import NewerTopicRefused
from application.ports.operations.alerts import (
    Alert,
    AlertCursor,
    AlertDecided,
    AlertDecision,
    AlertNotFound,
    AlertRegistry,
)
from domain.errors import ReasonRequired
from tests.fakes.operations.alerts import FakeAlertRegistry

T0 = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["fake", "postgres"])
def alerts(request: pytest.FixtureRequest) -> Iterator[AlertRegistry]:
    if request.param == "fake":
        yield FakeAlertRegistry()
        return
    database = request.getfixturevalue("database")
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        yield PostgresAlerts(pool)


def test_a_raised_alert_is_listed_with_the_severity_of_its_name(alerts: AlertRegistry) -> None:
    alerts.raise_alert("restore_failing", "fac-001/z1", "no answer", at=T0)

    [alert] = alerts.listed()
    assert (alert.name, alert.subject, alert.severity, alert.detail) == (
        "restore_failing",
        "fac-001/z1",
        "page",
        "no answer",
    )
    assert (alert.raised_at, alert.last_seen_at, alert.cleared_at) == (T0, T0, None)


def test_raising_an_open_alert_again_refreshes_it(alerts: AlertRegistry) -> None:
    alerts.raise_alert("bms_drift", "fac-001", "first", at=T0)
    alerts.raise_alert("bms_drift", "fac-001", "second", at=T0 + MINUTE)
    alerts.raise_alert("bms_drift", "fac-001", "late", at=T0)

    [alert] = alerts.listed()
    assert (alert.raised_at, alert.last_seen_at, alert.detail) == (T0, T0 + MINUTE, "late")


def test_alerts_of_the_same_name_about_different_subjects_are_separate(alerts: AlertRegistry) -> None:
    alerts.raise_alert("bms_drift", "fac-001", "x", at=T0)
    alerts.raise_alert("bms_drift", "fac-002", "x", at=T0)
    alerts.clear("bms_drift", "fac-001", at=T0 + MINUTE)

    assert [alert.subject for alert in alerts.listed()] == ["fac-002"]


def test_a_cleared_alert_stays_in_the_history(alerts: AlertRegistry) -> None:
    alerts.raise_alert("bms_drift", "fac-001", "x", at=T0)
    alerts.clear("bms_drift", "fac-001", at=T0 + MINUTE)

    assert alerts.listed() == []
    [alert] = alerts.listed(include_cleared=True)
    assert alert.cleared_at == T0 + MINUTE


def test_raising_after_clearing_opens_a_new_alert(alerts: AlertRegistry) -> None:
    alerts.raise_alert("bms_drift", "fac-001", "first", at=T0)
    alerts.clear("bms_drift", "fac-001", at=T0 + MINUTE)
    alerts.raise_alert("bms_drift", "fac-001", "second", at=T0 + 2 * MINUTE)

    assert [alert.detail for alert in alerts.listed()] == ["second"]
    assert [alert.detail for alert in alerts.listed(include_cleared=True)] == ["second", "first"]


def test_clearing_an_alert_that_is_not_open_changes_nothing(alerts: AlertRegistry) -> None:
    alerts.clear("bms_drift", "fac-001", at=T0)

    assert alerts.listed(include_cleared=True) == []


def test_an_unknown_name_is_refused(alerts: AlertRegistry) -> None:
    with pytest.raises(KeyError):
        alerts.raise_alert("no_such_alert", "x", "x", at=T0)

    assert alerts.listed() == []


def test_the_newest_are_listed_first_up_to_the_limit(alerts: AlertRegistry) -> None:
    for number in (2, 0, 1):
        alerts.raise_alert("bms_drift", f"fac-{number}", "x", at=T0 + number * MINUTE)

    assert [alert.subject for alert in alerts.listed()] == ["fac-2", "fac-1", "fac-0"]
    assert [alert.subject for alert in alerts.listed(limit=2)] == ["fac-2", "fac-1"]


def test_alerts_raised_at_one_moment_are_listed_latest_first_cleared_or_not(alerts: AlertRegistry) -> None:
    for subject in ("fac-0", "fac-1", "fac-2"):
        alerts.raise_alert("bms_drift", subject, "x", at=T0)
    alerts.clear("bms_drift", "fac-1", at=T0 + MINUTE)

    listed = alerts.listed(include_cleared=True)
    assert [alert.subject for alert in listed] == ["fac-2", "fac-1", "fac-0"]


def test_paging_is_stable_while_alerts_are_raised_or_cleared(alerts: AlertRegistry) -> None:
    for number in range(7):  # several have the same time: the later raised one comes first
        alerts.raise_alert("bms_drift", f"fac-{number}", "x", at=T0 + (number // 3) * MINUTE)
    seen: list[str] = []
    after = None
    while page := alerts.listed(limit=2, after=after):
        seen += [alert.subject for alert in page]
        after = AlertCursor(page[-1].raised_at, page[-1].alert_id)
        alerts.raise_alert("bms_drift", f"later-{len(seen)}", "x", at=T0 + 9 * MINUTE)
        alerts.clear("bms_drift", page[-1].subject, at=T0 + 9 * MINUTE)
    assert seen == ["fac-6", "fac-5", "fac-4", "fac-3", "fac-2", "fac-1", "fac-0"]


def test_text_that_a_database_cannot_store_is_stored_in_escaped_form(alerts: AlertRegistry) -> None:
    alerts.raise_alert("malformed_readings", "a\0b", "c\0d", at=T0)
    alerts.raise_alert("malformed_readings", "a\0b", "again", at=T0)

    assert [(alert.subject, alert.detail) for alert in alerts.listed()] == [("a\\0b", "again")]
    alerts.clear("malformed_readings", "a\0b", at=T0)
    assert alerts.listed() == []


def test_open_alerts_are_counted_by_name(alerts: AlertRegistry) -> None:
    assert alerts.open_by_name() == {}
    for subject in ("fac-001", "fac-002", "fac-003"):
        alerts.raise_alert("bms_drift", subject, "x", at=T0)
    alerts.raise_alert("queue_full", "door", "x", at=T0)
    alerts.clear("bms_drift", "fac-002", at=T0 + MINUTE)
    alerts.clear("queue_full", "door", at=T0 + MINUTE)
    assert alerts.open_by_name() == {"bms_drift": 2}


def test_open_alerts_about_a_facility_include_those_about_its_parts(alerts: AlertRegistry) -> None:
    for number, (name, subject) in enumerate(
        [
            ("bms_drift", "fac-001"),
            ("restore_failing", "fac-001/z1"),
            ("bms_drift", "fac-0011"),
            ("bms_breaker_open", "fac-001"),
            ("forecast_drift", "fac-001"),
        ]
    ):
        alerts.raise_alert(name, subject, "x", at=T0 + number * MINUTE)
    alerts.clear("bms_breaker_open", "fac-001", at=T0 + 9 * MINUTE)

    about = alerts.open_about("fac-001")
    assert [alert.name for alert in about] == ["forecast_drift", "restore_failing", "bms_drift"]
    assert alerts.open_about("fac-001", limit=1) == about[:1]
    assert alerts.open_about("fac-00_") == []


def decided(
    alerts: AlertRegistry, alert_id: int, decision: AlertDecision, *, at: datetime, reason: str = "I look"
) -> Alert:
    return decide_alert(
        alerts, alert_id, decision, by="operator:6a1f", reason=reason, at=at, writes_newer_topics=True
    )


def raised(alerts: AlertRegistry, subject: str = "fac-001") -> int:
    alerts.raise_alert("bms_drift", subject, "x", at=T0)
    return alerts.listed()[0].alert_id


def test_an_acknowledged_alert_stays_open_and_keeps_who_acknowledged_it(alerts: AlertRegistry) -> None:
    alert_id = raised(alerts)
    answer = decided(alerts, alert_id, "acknowledged", at=T0 + MINUTE)
    alerts.raise_alert("bms_drift", "fac-001", "again", at=T0 + 2 * MINUTE)

    [alert] = alerts.listed()
    assert (alert.acknowledged_at, alert.acknowledged_by, alert.acknowledgement) == (
        T0 + MINUTE,
        "operator:6a1f",
        "I look",
    )
    assert (alert.detail, answer.acknowledged_at, alert.cleared_by) == ("again", T0 + MINUTE, None)


def test_an_alert_that_is_ended_by_hand_is_raised_anew_without_the_acknowledgement(
    alerts: AlertRegistry,
) -> None:
    alert_id = raised(alerts)
    decided(alerts, alert_id, "acknowledged", at=T0)
    decided(alerts, alert_id, "cleared", at=T0 + MINUTE, reason="taken away")
    assert alerts.listed() == []
    [ended] = alerts.listed(include_cleared=True)
    assert (ended.cleared_at, ended.cleared_by, ended.clear_reason) == (
        T0 + MINUTE,
        "operator:6a1f",
        "taken away",
    )
    assert raised(alerts) != alert_id
    assert alerts.listed()[0].acknowledged_at is None


def test_an_alert_is_decided_once(alerts: AlertRegistry) -> None:
    alert_id = raised(alerts)
    decided(alerts, alert_id, "acknowledged", at=T0)
    with pytest.raises(AlertDecided, match="is acknowledged already"):
        decided(alerts, alert_id, "acknowledged", at=T0)
    decided(alerts, alert_id, "cleared", at=T0)
    for decision in get_args(AlertDecision):
        with pytest.raises(AlertDecided, match="has ended"):
            decided(alerts, alert_id, decision, at=T0)


@pytest.mark.parametrize("decision", get_args(AlertDecision))
def test_a_decision_needs_an_alert_and_a_reason(alerts: AlertRegistry, decision: AlertDecision) -> None:
    alert_id = raised(alerts)
    with pytest.raises(AlertNotFound):
        decided(alerts, alert_id + 7, decision, at=T0)
    with pytest.raises(ReasonRequired):
        decided(alerts, alert_id, decision, at=T0, reason=" ")
    assert (alerts.listed()[0].acknowledged_at, len(alerts.listed())) == (None, 1)


def test_nothing_is_decided_while_an_older_release_may_run(alerts: AlertRegistry) -> None:
    alert_id = raised(alerts)
    with pytest.raises(NewerTopicRefused, match=r"gridproof migrate --contract"):
        decide_alert(alerts, alert_id, "cleared", by="x", reason="x", at=T0, writes_newer_topics=False)
    assert len(alerts.listed()) == 1
