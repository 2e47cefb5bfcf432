"""A restore that fails is stated from what is recorded, until the building is restored."""

import pytest

from interfaces.workers.watch.restore_monitor import ALERT, RestoreMonitor
from projections.queries.views import ReadModelsUnavailable
from tests.fakes.read_models import FakeReadModels
from tests.in_process_system import InProcessSystem


def with_a_failing_restore() -> InProcessSystem:
    there = InProcessSystem.accepted("fac-001", target_kw=50.0).until("active")
    there.control.fail_next("fac-001", "refuse")
    there.until("completed")
    assert there.dispatch().status == "restore_failed"
    return there


def test_a_restore_that_fails_is_open() -> None:
    [alert] = with_a_failing_restore().alerts.listed()
    assert (alert.name, alert.subject) == (ALERT, "fac-001/hall")


def test_read_models_that_are_away_end_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    there = with_a_failing_restore()
    alerts, models = there.alerts, FakeReadModels([])

    def away(**_: object) -> None:
        raise ReadModelsUnavailable("away")

    monkeypatch.setattr(models.dispatches, "listed", away)
    with pytest.raises(ReadModelsUnavailable):
        RestoreMonitor(models.dispatches, alerts, there.scenario.clock).check()
    assert alerts.open_by_name() == {ALERT: 1}
