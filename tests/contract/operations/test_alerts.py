"""The contract of AlertRegistry: PostgreSQL's and the fake's. Observers state; the register begins and ends alerts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.operations.alerts import PostgresAlerts
from application.operations.alert_decisions import decide_alert
from application.ports.operations.alerts import (
    CLEARED_FOR_S,
    SILENT_S,
    STATED_EVERY_S,
    UNTIL_RESTATED,
    Alert,
    AlertCursor,
    AlertDecided,
    AlertDecision,
    AlertNotFound,
    AlertRegistry,
)
from domain.errors import ReasonRequired
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.open_alerts import begin_alert, end_alert

T0 = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


AGE = """
UPDATE gridproof.alert_statements SET seen_at = seen_at - %(by)s * interval '1 s',
    counts_until = counts_until - %(by)s * interval '1 s', cleared_until = cleared_until - %(by)s * interval '1 s'
"""


@dataclass
class Wall:
    """Wall time, which passes when a test says so."""

    pool: ConnectionPool[Any] | None = None
    """None: the fake's register."""
    now_s: float = field(default=1_000.0)

    def monotonic(self) -> float:
        return self.now_s

    def passes(self, seconds: float) -> None:
        self.now_s += seconds
        if self.pool is not None:
            with self.pool.connection() as connection:
                connection.execute(AGE, {"by": seconds})

    def register(self, alerts: AlertRegistry) -> AlertRegistry:
        """The register as another process has it: what the first one remembers is not known there."""
        return alerts if self.pool is None else PostgresAlerts(self.pool, monotonic=self.monotonic)


@pytest.fixture(params=["fake", "postgres"])
def wall(request: pytest.FixtureRequest) -> Iterator[Wall]:
    if request.param == "fake":
        yield Wall()
        return
    database = request.getfixturevalue("database")
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        yield Wall(pool)


@pytest.fixture
def alerts(wall: Wall) -> AlertRegistry:
    if wall.pool is None:
        return FakeAlertRegistry(monotonic=wall.monotonic)
    return PostgresAlerts(wall.pool, monotonic=wall.monotonic)


def stating(alerts: AlertRegistry, observer: str = "dispatch 1") -> Callable[..., None]:
    def state(*subjects: str, detail: str = "x", at: datetime = T0) -> None:
        alerts.state("bms_drift", dict.fromkeys(subjects, detail), observer=observer, at=at)

    return state


def open_subjects(alerts: AlertRegistry) -> list[str]:
    return sorted(alert.subject for alert in alerts.listed())


def test_what_an_observer_states_is_open_until_it_states_it_no_more(alerts: AlertRegistry) -> None:
    state = stating(alerts)
    state("fac-001", "fac-002")
    state("fac-002", "fac-003", at=T0 + MINUTE)

    assert open_subjects(alerts) == ["fac-002", "fac-003"]
    [ended] = [alert for alert in alerts.listed(include_cleared=True) if alert.cleared_at is not None]
    assert (ended.subject, ended.raised_at, ended.cleared_at) == ("fac-001", T0, T0 + MINUTE)
    state(at=T0 + 2 * MINUTE)
    assert open_subjects(alerts) == []


def test_an_alert_is_open_while_any_observer_states_it(alerts: AlertRegistry) -> None:
    one, other = stating(alerts, "dispatch 1"), stating(alerts, "dispatch 2")
    one("fac-001")
    other("fac-001", "fac-002")
    one()
    assert open_subjects(alerts) == ["fac-001", "fac-002"]
    other("fac-002")
    assert open_subjects(alerts) == ["fac-002"]
    assert len(alerts.listed(include_cleared=True)) == 2


def test_an_observer_speaks_of_one_name_at_a_time(alerts: AlertRegistry) -> None:
    alerts.state("bms_drift", {"fac-001": "x"}, observer="monitor", at=T0)
    alerts.state("bms_slow", {}, observer="monitor", at=T0)

    assert alerts.open_by_name() == {"bms_drift": 1}


def test_a_round_that_fails_states_nothing_and_leaves_the_alert(wall: Wall, alerts: AlertRegistry) -> None:
    state = stating(alerts)
    state("fac-001")
    wall.passes(SILENT_S - 1.0)
    alerts.end_unseen(at=T0 + MINUTE)
    assert open_subjects(alerts) == ["fac-001"]


def test_an_observer_that_is_silent_for_too_long_does_not_count(wall: Wall, alerts: AlertRegistry) -> None:
    dead, alive = stating(alerts, "dispatch 1"), stating(alerts, "dispatch 2")
    dead("fac-001", "fac-002")
    wall.passes(SILENT_S / 2)
    alive("fac-002")
    wall.passes(SILENT_S / 2 + 1.0)
    [ended] = alerts.end_unseen(at=T0 + MINUTE)

    assert (ended.subject, ended.cleared_at, ended.cleared_by) == ("fac-001", T0 + MINUTE, None)
    assert open_subjects(alerts) == ["fac-002"]
    assert alerts.end_unseen(at=T0 + MINUTE) == []


def test_an_observer_that_comes_back_counts_again(wall: Wall, alerts: AlertRegistry) -> None:
    state = stating(alerts)
    state("fac-001")
    wall.passes(SILENT_S + 1.0)
    alerts.end_unseen(at=T0 + MINUTE)
    state("fac-001", at=T0 + 2 * MINUTE)

    [alert] = alerts.listed()
    assert alert.raised_at == T0 + 2 * MINUTE


def test_a_statement_holds_for_as_long_as_it_says(wall: Wall, alerts: AlertRegistry) -> None:
    alerts.state("worker_restarted", {"relay": "x"}, observer="up", at=T0, holds_s=900.0)
    alerts.state("ledger_mismatch", {"log": "x"}, observer="verify", at=T0, holds_s=UNTIL_RESTATED)
    wall.passes(899.0)
    assert alerts.end_unseen(at=T0) == []
    wall.passes(2.0)
    assert [alert.name for alert in alerts.end_unseen(at=T0)] == ["worker_restarted"]
    wall.passes(1e7)
    assert alerts.end_unseen(at=T0) == []
    wall.register(alerts).state("ledger_mismatch", {}, observer="verify", at=T0)
    assert alerts.listed() == []


def test_what_has_not_changed_is_written_once_a_minute(wall: Wall, alerts: AlertRegistry) -> None:
    state = stating(alerts)

    def last_seen_after(seconds: float) -> timedelta:
        wall.passes(seconds)
        state("fac-001", at=T0 + timedelta(seconds=wall.now_s))
        return alerts.listed()[0].last_seen_at - T0

    first = last_seen_after(0.0)
    assert last_seen_after(STATED_EVERY_S - 1.0) == first
    assert last_seen_after(1.0) == first + timedelta(seconds=STATED_EVERY_S)


def test_what_has_changed_is_written_at_once(alerts: AlertRegistry) -> None:
    state = stating(alerts)
    state("fac-001", detail="first")
    state("fac-001", detail="second", at=T0 + MINUTE)

    [alert] = alerts.listed()
    assert (alert.raised_at, alert.last_seen_at, alert.detail) == (T0, T0 + MINUTE, "second")


def test_whoever_takes_over_reads_the_last_statement_of_an_observer(
    wall: Wall, alerts: AlertRegistry
) -> None:
    stating(alerts)("fac-002", "fac-001")
    wall.passes(10 * SILENT_S)
    alerts.end_unseen(at=T0)

    other = wall.register(alerts)
    assert other.stated("bms_drift", observer="dispatch 1") == {"fac-001": "x", "fac-002": "x"}
    assert other.stated("bms_drift", observer="dispatch 2") == {}
    assert other.stated("bms_slow", observer="dispatch 1") == {}


def test_another_process_withdraws_what_its_predecessor_stated(wall: Wall, alerts: AlertRegistry) -> None:
    stating(alerts, "leader")("fac-001")
    stating(wall.register(alerts), "leader")()
    assert open_subjects(alerts) == []


def test_what_a_person_ended_returns_after_a_minute_if_it_is_still_stated(
    wall: Wall, alerts: AlertRegistry
) -> None:
    state = stating(alerts)
    state("fac-001")
    wall.passes(1.0)
    decided(alerts, alerts.listed()[0].alert_id, "cleared", at=T0)
    for _ in range(int(CLEARED_FOR_S)):
        assert open_subjects(alerts) == []
        wall.passes(1.0)
        state("fac-001", at=T0 + MINUTE)
    wall.passes(STATED_EVERY_S)
    state("fac-001", at=T0 + 2 * MINUTE)
    [alert] = alerts.listed()
    assert (alert.raised_at, alert.acknowledged_at) == (T0 + 2 * MINUTE, None)


def test_a_change_of_another_subject_brings_back_nothing_that_a_person_ended(alerts: AlertRegistry) -> None:
    state = stating(alerts)
    state("fac-001")
    decided(alerts, alerts.listed()[0].alert_id, "cleared", at=T0)
    state("fac-001", "fac-002")
    assert open_subjects(alerts) == ["fac-002"]


def test_what_happened_once_and_was_ended_by_a_person_does_not_return(
    wall: Wall, alerts: AlertRegistry
) -> None:
    alerts.state("worker_restarted", {"relay": "x"}, observer="up", at=T0, holds_s=900.0)
    decided(alerts, alerts.listed()[0].alert_id, "cleared", at=T0)
    wall.passes(2 * CLEARED_FOR_S)
    alerts.end_unseen(at=T0)
    assert alerts.listed() == []


def test_what_begins_anew_after_a_person_ended_it_counts_at_once(alerts: AlertRegistry) -> None:
    state = stating(alerts)
    state("fac-001")
    decided(alerts, alerts.listed()[0].alert_id, "cleared", at=T0)
    state()
    state("fac-001", at=T0 + MINUTE)
    assert [alert.raised_at for alert in alerts.listed()] == [T0 + MINUTE]


def test_a_raised_alert_is_listed_with_the_severity_of_its_name(alerts: AlertRegistry) -> None:
    begin_alert(alerts, "restore_failing", "fac-001/z1", "no answer", at=T0)

    [alert] = alerts.listed()
    assert (alert.name, alert.subject, alert.severity, alert.detail) == (
        "restore_failing",
        "fac-001/z1",
        "page",
        "no answer",
    )
    assert (alert.raised_at, alert.last_seen_at, alert.cleared_at) == (T0, T0, None)


def test_alerts_of_the_same_name_about_different_subjects_are_separate(alerts: AlertRegistry) -> None:
    begin_alert(alerts, "bms_drift", "fac-001", "x", at=T0)
    begin_alert(alerts, "bms_drift", "fac-002", "x", at=T0)
    end_alert(alerts, "bms_drift", "fac-001", at=T0 + MINUTE)

    assert [alert.subject for alert in alerts.listed()] == ["fac-002"]


def test_a_cleared_alert_stays_in_the_history(alerts: AlertRegistry) -> None:
    begin_alert(alerts, "bms_drift", "fac-001", "x", at=T0)
    end_alert(alerts, "bms_drift", "fac-001", at=T0 + MINUTE)

    assert alerts.listed() == []
    [alert] = alerts.listed(include_cleared=True)
    assert alert.cleared_at == T0 + MINUTE


def test_raising_after_clearing_opens_a_new_alert(alerts: AlertRegistry) -> None:
    begin_alert(alerts, "bms_drift", "fac-001", "first", at=T0)
    end_alert(alerts, "bms_drift", "fac-001", at=T0 + MINUTE)
    begin_alert(alerts, "bms_drift", "fac-001", "second", at=T0 + 2 * MINUTE)

    assert [alert.detail for alert in alerts.listed()] == ["second"]
    assert [alert.detail for alert in alerts.listed(include_cleared=True)] == ["second", "first"]


def test_an_unknown_name_is_refused(alerts: AlertRegistry) -> None:
    with pytest.raises(KeyError):
        alerts.state("no_such_alert", {"x": "x"}, observer="x", at=T0)

    assert alerts.listed() == []


def test_the_newest_are_listed_first_up_to_the_limit(alerts: AlertRegistry) -> None:
    for number in (2, 0, 1):
        begin_alert(alerts, "bms_drift", f"fac-{number}", "x", at=T0 + number * MINUTE)

    assert [alert.subject for alert in alerts.listed()] == ["fac-2", "fac-1", "fac-0"]
    assert [alert.subject for alert in alerts.listed(limit=2)] == ["fac-2", "fac-1"]


def test_alerts_raised_at_one_moment_are_listed_latest_first_cleared_or_not(alerts: AlertRegistry) -> None:
    for subject in ("fac-0", "fac-1", "fac-2"):
        begin_alert(alerts, "bms_drift", subject, "x", at=T0)
    end_alert(alerts, "bms_drift", "fac-1", at=T0 + MINUTE)

    listed = alerts.listed(include_cleared=True)
    assert [alert.subject for alert in listed] == ["fac-2", "fac-1", "fac-0"]


def test_paging_is_stable_while_alerts_are_raised_or_cleared(alerts: AlertRegistry) -> None:
    for number in range(7):  # several have the same time: the later raised one comes first
        begin_alert(alerts, "bms_drift", f"fac-{number}", "x", at=T0 + (number // 3) * MINUTE)
    seen: list[str] = []
    after = None
    while page := alerts.listed(limit=2, after=after):
        seen += [alert.subject for alert in page]
        after = AlertCursor(page[-1].raised_at, page[-1].alert_id)
        begin_alert(alerts, "bms_drift", f"later-{len(seen)}", "x", at=T0 + 9 * MINUTE)
        end_alert(alerts, "bms_drift", page[-1].subject, at=T0 + 9 * MINUTE)
    assert seen == ["fac-6", "fac-5", "fac-4", "fac-3", "fac-2", "fac-1", "fac-0"]


def test_text_that_a_database_cannot_store_is_stored_in_escaped_form(alerts: AlertRegistry) -> None:
    begin_alert(alerts, "malformed_readings", "a\0b", "c\0d", at=T0)
    begin_alert(alerts, "malformed_readings", "a\0b", "again", at=T0)

    assert [(alert.subject, alert.detail) for alert in alerts.listed()] == [("a\\0b", "again")]
    end_alert(alerts, "malformed_readings", "a\0b", at=T0)
    assert alerts.listed() == []


def test_open_alerts_are_counted_by_name(alerts: AlertRegistry) -> None:
    assert alerts.open_by_name() == {}
    for subject in ("fac-001", "fac-002", "fac-003"):
        begin_alert(alerts, "bms_drift", subject, "x", at=T0)
    begin_alert(alerts, "queue_full", "door", "x", at=T0)
    end_alert(alerts, "bms_drift", "fac-002", at=T0 + MINUTE)
    end_alert(alerts, "queue_full", "door", at=T0 + MINUTE)
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
        begin_alert(alerts, name, subject, "x", at=T0 + number * MINUTE)
    end_alert(alerts, "bms_breaker_open", "fac-001", at=T0 + 9 * MINUTE)

    about = alerts.open_about("fac-001")
    assert [alert.name for alert in about] == ["forecast_drift", "restore_failing", "bms_drift"]
    assert alerts.open_about("fac-001", limit=1) == about[:1]
    assert alerts.open_about("fac-00_") == []


def decided(
    alerts: AlertRegistry, alert_id: int, decision: AlertDecision, *, at: datetime, reason: str = "I look"
) -> Alert:
    return decide_alert(alerts, alert_id, decision, by="operator:6a1f", reason=reason, at=at)


def raised(alerts: AlertRegistry, subject: str = "fac-001") -> int:
    begin_alert(alerts, "bms_drift", subject, "x", at=T0)
    return alerts.listed()[0].alert_id


def test_an_acknowledged_alert_stays_open_and_keeps_who_acknowledged_it(alerts: AlertRegistry) -> None:
    alert_id = raised(alerts)
    answer = decided(alerts, alert_id, "acknowledged", at=T0 + MINUTE)
    begin_alert(alerts, "bms_drift", "fac-001", "again", at=T0 + 2 * MINUTE)

    [alert] = alerts.listed()
    assert (alert.acknowledged_at, alert.acknowledged_by, alert.acknowledgement) == (
        T0 + MINUTE,
        "operator:6a1f",
        "I look",
    )
    assert (alert.detail, answer.acknowledged_at, alert.cleared_by) == ("again", T0 + MINUTE, None)


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
