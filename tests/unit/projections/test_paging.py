"""All rows of a read model are read over any number of pages."""

import pytest

from projections.queries import views
from projections.queries.views import all_rows
from tests.fakes.read_models import FakeReadModels
from tests.in_process_system import InProcessSystem


def test_all_pages_are_read_in_order_and_filtered(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"fac-{number:03d}" for number in range(1, 8)]
    there = InProcessSystem.registered(*names)
    read_models = FakeReadModels(there.scenario.store.read_after(0, 10_000))
    monkeypatch.setattr(views, "MAX_PAGE_ROWS", 3)
    assert [row.facility_id for row in all_rows(read_models.facilities)] == names
    assert [row.facility_id for row in all_rows(read_models.facilities, status="active")] == names
    assert list(all_rows(read_models.facilities, status="deactivated")) == []
