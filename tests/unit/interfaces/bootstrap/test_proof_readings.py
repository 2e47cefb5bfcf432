"""A proof over HTTP holds the readings of so many facilities at most."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from application.ledger import proof
from application.ledger.proof_readings import TOO_MANY, WantedReadings
from domain.time_series.windows import TimeWindow
from interfaces.bootstrap.ledger import MOST_READINGS, StoredLedger
from projections.audit import replay
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.sample_values import DR_EVENT_ID

DAY = TimeWindow(datetime(2026, 7, 13, tzinfo=UTC), datetime(2026, 7, 14, tzinfo=UTC))


def wanted(count: int) -> list[WantedReadings]:
    return [WantedReadings(DAY, "UTC", f"fac-{number:03}", False) for number in range(count)]


@pytest.mark.parametrize(("count", "left_out"), [(MOST_READINGS, False), (MOST_READINGS + 1, True)])
def test_the_readings_of_more_facilities_are_left_out_and_the_proof_says_so(
    count: int, left_out: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry = FakeTelemetryStore()
    stores: Any = SimpleNamespace(
        stream_log=lambda: None,
        pool=SimpleNamespace(connection=None),
        settings=None,
        telemetry=lambda: telemetry,
    )
    monkeypatch.setattr(
        replay, "read_history", lambda _log, _id: SimpleNamespace(entries=[SimpleNamespace(position=1)])
    )
    monkeypatch.setattr(
        proof, "prove", lambda _store, _key, _id, _positions, read, **_more: read(wanted(count))
    )
    read: Any = StoredLedger(stores).proof(DR_EVENT_ID)
    assert len(read) == count
    assert {one.left_out == TOO_MANY for one in read} == {left_out}
