"""H6: a domain event that is dated back, or ahead, is sealed with the others; a verification names it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from application.ledger.sealing import Sealer, follow
from application.ledger.verification import verify_ledger
from application.ledger.verification_report import Finding
from domain.ledger.entries import DEMAND_RESPONSE, LogRow
from tests.fakes.archive import FakeArchive
from tests.fakes.clock import FakeClock
from tests.fakes.ledger.signer import FakeCheckpointSigner
from tests.fakes.ledger.store import FakeLedgerStore

NOON = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)
SIGNER = FakeCheckpointSigner()


class Ledger:
    """Three checkpoints at noon, 12:10 and 12:20, each with one genuine domain event of a second before."""

    def __init__(self) -> None:
        self.store, self.archive = FakeLedgerStore(), FakeArchive()
        self._position = 0

    def record(self, recorded_at: str) -> int:
        self._position += 1
        state = (
            b'{"actor":"\\"recorded_at\\":\\"2000","recorded_at":"%s","reason":"x"}' % recorded_at.encode()
        )
        self.store.record(
            DEMAND_RESPONSE,
            LogRow(
                position=self._position,
                originator_id=UUID(int=self._position),
                originator_version=1,
                topic="dr-event.made-up.v1",
                state=state,
            ),
        )
        return self._position

    def seal(self, at: datetime) -> None:
        self.record((at - timedelta(seconds=1)).isoformat().replace("+00:00", "Z"))
        while follow(self.store, DEMAND_RESPONSE):
            pass
        assert Sealer(self.store, self.archive, SIGNER, FakeClock(at)).seal() is not None

    def findings(self, tolerance: timedelta = timedelta(seconds=60)) -> list[Finding]:
        report = verify_ledger(self.store, self.archive, SIGNER.public_key, time_tolerance=tolerance)
        assert report.verified is not bool(report.findings)
        return list(report.findings)


def planted(recorded_at: str) -> tuple[Ledger, int]:
    """A domain event with that time between the checkpoints of noon and 12:10."""
    ledger = Ledger()
    ledger.seal(NOON)
    position = ledger.record(recorded_at)
    ledger.seal(NOON + timedelta(minutes=10))
    ledger.seal(NOON + timedelta(minutes=20))
    return ledger, position


@pytest.mark.parametrize(
    "recorded_at",
    [
        "2026-07-14T11:59:30Z",
        "2026-07-14T12:05:00.123456Z",
        "2026-07-14T12:10:59Z",
        "2026-07-14T14:05:00+02:00",
    ],
)
def test_a_time_between_the_checkpoints_is_no_finding(recorded_at: str) -> None:
    assert planted(recorded_at)[0].findings() == []


@pytest.mark.parametrize(
    ("recorded_at", "why"),
    [
        ("2026-07-14T11:58:59Z", "before 2026-07-14T12:00:00+00:00"),
        ("2026-07-13T09:00:00.000001Z", "before 2026-07-14T12:00:00+00:00"),
        ("2026-07-14T12:05:00+02:00", "before 2026-07-14T12:00:00+00:00"),
        ("2026-07-14T12:11:02Z", "after checkpoint 2 of 2026-07-14T12:10:00+00:00"),
        ("2036-07-14T12:05:00Z", "after checkpoint 2 of 2026-07-14T12:10:00+00:00"),
        ("yesterday", "its time cannot be read"),
    ],
)
def test_a_time_outside_the_checkpoints_is_named_with_its_position(recorded_at: str, why: str) -> None:
    ledger, position = planted(recorded_at)
    (found,) = ledger.findings()
    assert (found.kind, found.log, found.position) == ("time", DEMAND_RESPONSE, position)
    assert why in found.detail


def test_the_tolerance_grows_with_an_accelerated_clock() -> None:
    ledger, _ = planted("2026-07-14T11:30:00Z")
    assert [found.kind for found in ledger.findings()] == ["time"]
    assert ledger.findings(timedelta(hours=1)) == []


def test_nothing_comes_before_the_first_checkpoint() -> None:
    ledger = Ledger()
    ledger.record("1999-01-01T00:00:00Z")
    ledger.seal(NOON)
    assert ledger.findings() == []


def test_what_the_ledger_had_not_read_yet_may_be_older_than_the_checkpoint_before() -> None:
    """After an outage of the ledger's process, a checkpoint is made before it has caught up with the log."""
    ledger = Ledger()
    ledger.seal(NOON)
    for _ in range(12):
        ledger.record("2026-07-14T12:01:00Z")
    sealer = Sealer(
        ledger.store, ledger.archive, SIGNER, FakeClock(NOON + timedelta(minutes=30)), map_entries=5
    )
    assert sealer.seal() is not None
    assert ledger.store.last_checkpoint_number() == 4
    assert ledger.findings() == []
    ledger.record("2026-07-14T12:01:00Z")
    ledger.seal(NOON + timedelta(minutes=40))
    assert [found.position for found in ledger.findings()] == [14]
