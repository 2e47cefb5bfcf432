"""On simulated time: every domain event is under a checkpoint within ten seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from application.ledger.checkpoints import SignedCheckpoint
from application.ledger.schedule import LedgerScheduler
from application.ledger.sealing import Sealer, follow
from application.ledger.verification import verify_ledger
from application.ports.archive import ArchiveUnavailable
from domain.ledger.entries import DEMAND_RESPONSE, LOGS, LogRow
from tests.fakes.archive import FakeArchive
from tests.fakes.ledger.signer import FakeCheckpointSigner
from tests.fakes.ledger.store import FakeLedgerStore
from tests.sizes import examples

SEAL_WITHIN_S = 10.0
HEARTBEAT_S = 1.0
MOST_SLOW_S = 0.1
"""The longest duration of one follow or seal step. The first tenth of the interval allows for several."""
EPOCH = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)


SIGNER = FakeCheckpointSigner()


def row(position: int) -> LogRow:
    return LogRow(
        position=position,
        originator_id=UUID(int=position),
        originator_version=1,
        topic="dr-event.made-up.v1",
        state=b"{}",
    )


@dataclass
class Simulation:
    """A ledger and its writers on one simulated clock; every step of the ledger takes some time."""

    slow_s: float
    batch: int
    archive_away: tuple[float, float] = (0.0, 0.0)
    now_s: float = 0.0
    store: FakeLedgerStore = field(default_factory=FakeLedgerStore)
    archive: FakeArchive = field(default_factory=FakeArchive)
    recorded_at_s: dict[int, float] = field(default_factory=dict)
    sealed_at_s: dict[int, float] = field(default_factory=dict)
    checkpoints: list[SignedCheckpoint] = field(default_factory=list)

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.now_s)

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds

    def run(self, arrivals: list[float], until_s: float) -> None:
        sealer = Sealer(self.store, self.archive, SIGNER, self)
        scheduler = LedgerScheduler(SEAL_WITHIN_S, lambda: self.now_s)
        coming = sorted(arrivals)
        while self.now_s < until_s:
            while coming and coming[0] <= self.now_s:
                position = len(self.recorded_at_s) + 1
                self.recorded_at_s[position] = coming.pop(0)
                self.store.record(DEMAND_RESPONSE, row(position))
            may_wait_s = scheduler.step(self._follow, lambda: self._seal(sealer))
            next_s = coming[0] - self.now_s if coming else HEARTBEAT_S
            self.now_s += max(0.0, min(may_wait_s, next_s, HEARTBEAT_S))

    def _follow(self) -> int:
        self.now_s += self.slow_s
        return follow(self.store, DEMAND_RESPONSE, self.batch)

    def _seal(self, sealer: Sealer) -> bool:
        self.now_s += self.slow_s
        away_from, away_to = self.archive_away
        try:
            if away_from <= self.now_s < away_to:
                raise ArchiveUnavailable("it does not answer")
            signed = sealer.seal()
        except ArchiveUnavailable:
            self.now_s += 0.5
            return False
        if signed is not None:
            self.checkpoints.append(signed)
            for position in self.recorded_at_s:
                if position <= signed.checkpoint.head_of(DEMAND_RESPONSE).last_position:
                    self.sealed_at_s.setdefault(position, self.now_s)
        return True


@given(
    arrivals=st.lists(st.floats(0.0, 120.0), max_size=60),
    slow_s=st.floats(0.001, MOST_SLOW_S),
    batch=st.sampled_from([1, 7, 5_000]),
)
@settings(max_examples=examples(200), deadline=None)
def test_every_domain_event_is_sealed_within_ten_seconds(
    arrivals: list[float], slow_s: float, batch: int
) -> None:
    # A backlog of single rows needs one step each, which the bound does not cover.
    spread = (
        [at + number * slow_s * 2 for number, at in enumerate(sorted(arrivals))] if batch == 1 else arrivals
    )
    simulation = Simulation(slow_s, batch)
    simulation.run(spread, until_s=max([0.0, *spread]) + 25.0)
    waited = {
        position: simulation.sealed_at_s[position] - at for position, at in simulation.recorded_at_s.items()
    }
    assert len(waited) == len(arrivals)
    assert all(seconds <= SEAL_WITHIN_S for seconds in waited.values()), max(waited.values())


@given(slow_s=st.floats(0.001, MOST_SLOW_S))
@settings(max_examples=examples(50), deadline=None)
def test_checkpoints_are_at_most_ten_seconds_apart_while_domain_events_are_recorded(slow_s: float) -> None:
    simulation = Simulation(slow_s, 5_000)
    simulation.run([number * 0.25 for number in range(400)], until_s=100.0)
    times = [signed.checkpoint.at for signed in simulation.checkpoints]
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    assert len(gaps) >= 9
    assert max(gaps) <= SEAL_WITHIN_S
    report = verify_ledger(simulation.store, simulation.archive, SIGNER.public_key, logs=LOGS)
    assert report.findings == ()


def test_no_checkpoint_is_signed_while_nothing_is_recorded() -> None:
    simulation = Simulation(0.01, 5_000)
    simulation.run([1.0], until_s=3_600.0)
    assert len(simulation.checkpoints) == 1


@given(away=st.tuples(st.floats(0.0, 60.0), st.floats(1.0, 60.0)), arrivals=st.lists(st.floats(0.0, 120.0)))
@settings(max_examples=examples(50), deadline=None)
def test_the_backlog_is_sealed_at_once_after_an_archive_outage(
    away: tuple[float, float], arrivals: list[float]
) -> None:
    back_at_s = sum(away)
    simulation = Simulation(0.01, 5_000, archive_away=(away[0], back_at_s))
    simulation.run(arrivals, until_s=max([back_at_s, *arrivals]) + 25.0)
    for position, at in simulation.recorded_at_s.items():
        assert simulation.sealed_at_s[position] <= max(at + SEAL_WITHIN_S, back_at_s + 1.0)
