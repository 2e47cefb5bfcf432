"""An undecided dead letter: one alert at the SLA over any restarts, cleared after the decision."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from application.operations import open_items
from application.operations.alert_catalogue import ALERTS
from application.operations.dead_letter_alerts import OVERDUE
from application.operations.dead_letter_decisions import discard
from application.ports.operations.dead_letters import DeadLetter, DeadLetterQueue
from application.ports.operations.unavailable import OperationsUnavailable
from interfaces.workers.watch.dead_letter_monitor import READ_EVERY_S, DeadLetterMonitor
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.operations.dead_letters import FakeDeadLetters
from tests.open_alerts import look_at_letters

T0 = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)
SLA_S = 900.0


class SlaSetting:
    """The registers, and a clock that the test advances."""

    def __init__(self) -> None:
        self.letters, self.alerts = FakeDeadLetters(), FakeAlertRegistry()

    def park(self, number: int = 1, *, queue: DeadLetterQueue = "callback", **fields: Any) -> None:
        given: dict[str, Any] = {
            "subject": "util-1/c-7",
            "reason": "HTTP 500",
            "body": b"{}",
            "parked_at": T0,
        }
        self.letters.park(DeadLetter(dead_letter_id=UUID(int=number), queue=queue, **(given | fields)))

    def look(self, after_s: float) -> list[tuple[str, datetime]]:
        """The open alerts of overdue letters with their times, after a run at that moment."""
        look_at_letters(self.letters, self.alerts, at=T0 + timedelta(seconds=after_s), sla_s=SLA_S)
        return [(alert.subject, alert.raised_at) for alert in self.alerts.listed() if alert.name == OVERDUE]

    def discard(self, number: int, after_s: float) -> None:
        at = T0 + timedelta(seconds=after_s)
        discard(UUID(int=number), self.letters, by="operator:1", reason="told by phone", at=at)
        self.look(after_s)


def subject(number: int, queue: str = "callback") -> str:
    return f"{queue}/{UUID(int=number)}"


def test_the_page_is_raised_at_the_sla_and_not_before() -> None:
    setting = SlaSetting()
    setting.park()
    assert setting.look(SLA_S - 1) == []
    assert setting.look(SLA_S) == [(subject(1), T0 + timedelta(seconds=SLA_S))]
    assert ALERTS[OVERDUE].severity == "page"
    [alert] = [one for one in setting.alerts.listed() if one.name == OVERDUE]
    assert "nobody has acted since 2026-07-14T21:00:00+00:00 (15 min allowed); HTTP 500" in alert.detail


def test_the_alert_is_raised_once_by_many_runs_and_workers() -> None:
    setting = SlaSetting()
    setting.park()
    first = setting.look(SLA_S)
    for minute in range(1, 60):  # every run starts without state, like a restarted worker
        assert setting.look(SLA_S + 60 * minute) == first
    overdue = [one for one in setting.alerts.listed(include_cleared=True) if one.name == OVERDUE]
    assert len(overdue) == 1


def test_each_dead_letter_has_its_own_time_and_alert() -> None:
    setting = SlaSetting()
    setting.park(1)
    setting.park(2, queue="bms_command", subject="fac-001", parked_at=T0 + timedelta(seconds=60))
    assert {found for found, _ in setting.look(SLA_S + 59)} == {subject(1)}
    assert {found for found, _ in setting.look(SLA_S + 60)} == {subject(1), subject(2, "bms_command")}


@pytest.mark.parametrize("queue", ["meter_message", "telemetry_batch", "projection"])
def test_only_commands_and_callbacks_are_watched(queue: DeadLetterQueue) -> None:
    setting = SlaSetting()
    setting.park(queue=queue)
    assert setting.look(10 * SLA_S) == []


def test_a_decision_within_the_sla_raises_no_alert() -> None:
    setting = SlaSetting()
    setting.park()
    setting.discard(1, SLA_S - 1)
    assert setting.look(SLA_S) == []


def test_a_late_decision_clears_the_alert_at_once() -> None:
    setting = SlaSetting()
    setting.park()
    setting.look(SLA_S)
    setting.discard(1, SLA_S + 30)
    assert setting.alerts.listed() == []
    assert setting.look(2 * SLA_S) == []


def test_a_decision_by_another_process_clears_the_alert_at_the_next_run() -> None:
    setting = SlaSetting()
    setting.park()
    setting.look(SLA_S)
    setting.letters.decide(UUID(int=1), status="replayed", by="operator:1", reason="back", at=T0)
    assert setting.look(SLA_S + 10) == []


def test_a_decided_callback_and_a_decided_command_leave_no_alert() -> None:
    setting = SlaSetting()
    setting.park(1, subject="util-1/c-7")
    setting.park(2, queue="bms_command", subject="fac-001")
    setting.park(3, queue="bms_command", subject="fac-001")
    setting.park(4, queue="bms_command", subject="fac-0011")
    setting.look(0)

    setting.discard(1, 10)
    assert {alert.name for alert in setting.alerts.listed()} == {"command_dead_lettered"}
    setting.discard(2, 20)
    assert len(setting.alerts.listed()) == 2, "another command of that facility still waits"
    setting.discard(3, 30)
    assert [alert.subject for alert in setting.alerts.listed()] == ["fac-0011"]


def test_the_alert_of_a_callback_with_a_failed_replay_remains_until_both_dead_letters_are_decided() -> None:
    setting = SlaSetting()
    setting.park(1)
    setting.park(2)
    setting.discard(1, 10)
    assert [alert.name for alert in setting.alerts.listed()] == ["callback_undeliverable"]
    setting.discard(2, 20)
    assert setting.alerts.listed() == []


def test_a_decision_that_could_not_be_recorded_clears_no_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = SlaSetting()
    setting.park()
    setting.look(SLA_S)
    before = setting.alerts.listed()

    def away(*_: object, **__: object) -> None:
        raise OperationsUnavailable("the register is away")

    with monkeypatch.context() as without_register:
        without_register.setattr(setting.letters, "decide", away)
        with pytest.raises(OperationsUnavailable):
            setting.discard(1, SLA_S + 1)
    assert setting.alerts.listed() == before
    assert setting.letters.get(UUID(int=1)).status == "open"


def test_each_of_many_open_dead_letters_has_its_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_items, "PAGE", 10)
    setting = SlaSetting()
    for number in range(1, 36):
        setting.park(number, subject=f"util-1/c-{number % 30}")
    assert len(setting.look(SLA_S)) == 35
    setting.letters.decide(UUID(int=34), status="replayed", by="operator:1", reason="back", at=T0)
    assert len(setting.look(SLA_S + 10)) == 34
    setting.discard(5, SLA_S + 20)  # the other dead letter of that subject is on the last page

    def undeliverable() -> set[str]:
        return {alert.subject for alert in setting.alerts.listed() if alert.name == "callback_undeliverable"}

    assert "util-1/c-5" in undeliverable()
    setting.discard(35, SLA_S + 30)
    assert "util-1/c-5" not in undeliverable()


def test_the_alert_of_a_poison_batch_ends_with_the_last_letter_of_its_partition() -> None:
    setting = SlaSetting()
    for number, subject_ in enumerate(
        ["partition 5, sequence 17", "partition 5, sequence 19", "partition 55, sequence 2"]
    ):
        setting.park(number, queue="telemetry_batch", subject=subject_)

    setting.discard(0, 10)
    assert len(setting.alerts.listed()) == 2, "another batch of that partition still waits"
    setting.discard(1, 20)
    assert [alert.subject for alert in setting.alerts.listed()] == ["partition 55"]


def test_a_letter_that_is_parked_is_alerted_at_the_next_look_and_the_letters_are_not_read_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setting, wall, reads = SlaSetting(), [0.0], list[datetime]()
    monitor = DeadLetterMonitor(setting.letters, setting.alerts, FakeClock(T0), SLA_S, lambda: wall[0])
    read = setting.letters.open_before

    def counted(moment: datetime, **of: Any) -> list[DeadLetter]:
        reads.append(moment)
        return read(moment, **of)

    monkeypatch.setattr(setting.letters, "open_before", counted)
    monitor.check()
    setting.park(1)
    monitor.check()
    assert setting.alerts.open_by_name() == {"callback_undeliverable": 1}
    before = len(reads)
    monitor.check()
    assert len(reads) == before
    # Another letter is decided, and one parked in its place: their number says nothing.
    setting.letters.decide(UUID(int=1), status="discarded", by="operator:1", reason="x", at=T0)
    setting.park(2, subject="util-1/c-8")
    wall[0] += READ_EVERY_S
    monitor.check()
    assert {alert.subject for alert in setting.alerts.listed()} == {"util-1/c-8"}
