"""Every position of the log is told once: as the step that the audit trail has, or as an act."""

from uuid import uuid4

import pytest

from projections.audit import whole_log
from projections.audit.administration import ActFilter, read_acts
from projections.audit.steps import AuditTrailRow
from projections.audit.whole_log import RecordedAct, every_row
from projections.queries.views import all_rows
from tests.fakes.read_models import FakeReadModels
from tests.fakes.stream_log import FakeStreamLog
from tests.property.projections.projected_logs import long_life


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_position_has_one_row_in_order(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_log, "BATCH", 7)
    entries = long_life(seed)
    log, models = FakeStreamLog(entries), FakeReadModels(entries)
    rows = list(every_row(log, models.audit_trail.by_key, until=log.head()))
    assert [row.position for row in rows] == [entry.position for entry in entries]
    assert [row for row in rows if isinstance(row, AuditTrailRow)] == list(all_rows(models.audit_trail))
    acts = {row.position: row for row in rows if isinstance(row, RecordedAct)}
    listed = read_acts(log, before=None, limit=100_000).acts
    assert len(listed) > 50
    for act in listed:
        if act.position in acts:
            assert (acts[act.position].what, acts[act.position].why) == (act.what, act.why)
    assert acts.keys() <= {act.position for act in listed}


def test_it_ends_at_the_position_given() -> None:
    entries = long_life(4)
    models, middle = FakeReadModels(entries), entries[len(entries) // 2].position
    rows = list(every_row(FakeStreamLog(entries), models.audit_trail.by_key, until=middle))
    assert rows[-1].position == middle


def test_what_a_filter_of_another_facility_says_is_nothing() -> None:
    log = FakeStreamLog(long_life(5))
    nobody = ActFilter(facility_id=f"nobody-{uuid4()}")
    assert read_acts(log, before=None, limit=10, wanted=nobody).acts == ()
