"""The ledger process loses and duplicates nothing if it is killed, started twice or without its archive."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapters.archive import ObjectArchive
from adapters.postgres.ledger.writer import LedgerWriter
from adapters.signing import signer_in
from application.ports.archive import ArchiveUnavailable
from domain.ledger.entries import DEMAND_RESPONSE
from interfaces.workers.project.log_follower import LogFollower
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.integration.ledger.conftest import SEALED, UNSEALED, Ledger
from tests.integration.projections.stored_log import StoppedClock

WAIT_S = 30.0
PROCESS = """
import sys, threading
from adapters.archive import ObjectArchive
from adapters.clock import SystemClock
from adapters.signing import signer_in
from adapters.postgres.ledger.writer import LedgerWriter
from interfaces.failpoints import failpoint
from interfaces.workers.project.log_follower import LogFollower
from pathlib import Path
from tests.fakes.operations.alerts import FakeAlertRegistry
dsn, folder, place = sys.argv[1:]
writer = LedgerWriter(
    dsn=dsn, archive=ObjectArchive(f"file://{folder}/archive"), signer=signer_in(Path(folder) / "keys"),
    alerts=FakeAlertRegistry(),
    clock=SystemClock(), seal_every_s=0.05, heartbeat_s=0.05, batch=2,
    reached=failpoint(place or None, None),
)
LogFollower(writer).run(threading.Event())
"""


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def writer(ledger: Ledger, alerts: FakeAlertRegistry, **options: object) -> LedgerWriter:
    return LedgerWriter(
        **{
            "dsn": ledger.database.app_dsn,
            "archive": ledger.archive,
            "signer": ledger.signer,
            "alerts": alerts,
            "clock": StoppedClock(),
            "seal_every_s": 0.05,
            "heartbeat_s": 0.05,
            "batch": 2,
            **options,
        }  # type: ignore[arg-type]
    )


@contextmanager
def running(*writers: LedgerWriter) -> Iterator[None]:
    stop = threading.Event()
    followers = [LogFollower(writer) for writer in writers]
    threads = [threading.Thread(target=one.run, args=(stop,), daemon=True) for one in followers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(WAIT_S)
    assert not any(thread.is_alive() for thread in threads)


def sealed_to(ledger: Ledger) -> int:
    return ledger.verify().logs[0].sealed_to


def test_the_follower_seals_new_domain_events_while_it_runs(ledger: Ledger) -> None:
    with running(writer(ledger, FakeAlertRegistry())):
        ledger.record(SEALED[:5])
        eventually(lambda: sealed_to(ledger) == SEALED[4])
        ledger.record(SEALED[5:])
        ledger.record([7], "forecasts")
        eventually(lambda: all(log.unsealed == 0 for log in ledger.verify().logs))
    assert ledger.verify().verified


def test_the_follower_seals_the_rest_when_it_stops(ledger: Ledger) -> None:
    """The last seal does not depend on the time until the next checkpoint."""
    with running(writer(ledger, FakeAlertRegistry(), seal_every_s=1000.0)):
        ledger.record(SEALED)
        eventually(lambda: ledger.store.appended("demand-response").size == len(SEALED))
        assert ledger.verify().checkpoints == 0
    assert ledger.verify().verified
    assert sealed_to(ledger) == SEALED[-1]


def test_a_damaged_map_and_tree_are_computed_anew_as_the_runbook_says(sealed: Ledger) -> None:
    before = sealed.store.map_state(DEMAND_RESPONSE)
    sealed.tamper("UPDATE gridproof.ledger_map_pages SET page = '\\x00'")
    sealed.tamper("UPDATE gridproof.ledger_nodes SET hashes = '\\x00'")
    sealed.tamper("UPDATE gridproof.ledger_maps SET root = decode(repeat('01', 32), 'hex')")
    assert not sealed.verify().verified
    runbook = Path(__file__).parents[3] / "docs/runbooks/ledger_mismatch.md"
    (statements,) = re.findall(r"```sql\n(.+?)```", runbook.read_text(), re.DOTALL)
    for statement in statements.split(";")[:-1]:
        sealed.tamper(statement)
    with running(writer(sealed, FakeAlertRegistry())):
        sealed.record([30])
        eventually(lambda: sealed_to(sealed) == 30)
    assert sealed.verify().verified
    after = sealed.store.map_state(DEMAND_RESPONSE)
    assert (after.position, after.streams) == (30, before.streams + len(UNSEALED) + 1)


def test_two_followers_make_one_ledger(ledger: Ledger) -> None:
    with running(*(writer(ledger, FakeAlertRegistry()) for _ in range(2))):
        for position in SEALED:
            ledger.record([position])
        eventually(lambda: sealed_to(ledger) == SEALED[-1])
    report = ledger.verify()
    assert report.verified
    assert report.logs[0].domain_events == len(SEALED)


@pytest.mark.parametrize("place", ["ledger.after_append", "ledger.after_seal", ""])
def test_a_follower_killed_at_any_point_resumes_and_the_ledger_verifies(ledger: Ledger, place: str) -> None:
    recorded = iter(range(1, 1000))
    for _ in range(3):
        argv = [sys.executable, "-c", PROCESS, ledger.database.app_dsn, str(ledger.folder), place]
        root = Path(__file__).parents[3]
        with subprocess.Popen(argv, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}) as process:
            ledger.record([next(recorded) for _ in range(5)])
            if not place:
                eventually(lambda: ledger.store.last_checkpoint_number() > 0)
                process.kill()
            assert process.wait(WAIT_S) == -signal.SIGKILL
    head = next(recorded) - 1
    with running(writer(ledger, FakeAlertRegistry())):
        eventually(lambda: sealed_to(ledger) == head)
    report = ledger.verify()
    assert report.findings == ()
    assert report.logs[0].domain_events == head


def test_a_follower_resumes_from_a_checkpoint_archived_just_before_a_crash(ledger: Ledger) -> None:
    ledger.record(SEALED[:4])
    assert ledger.seal() is not None
    ledger.tamper("DELETE FROM gridproof.ledger_checkpoints")
    assert ledger.seal() is None
    assert ledger.store.last_checkpoint_number() == 1
    ledger.record(SEALED[4:])
    assert ledger.seal() is not None
    assert ledger.verify().verified


class LockedArchive(ObjectArchive):
    locked = True

    def put_once(self, name: str, content: bytes) -> None:
        if self.locked:
            raise ArchiveUnavailable("the disk is full")
        super().put_once(name, content)


def test_a_follower_without_its_archive_waits_with_an_alert_and_resumes(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.postgres.ledger.writer.UNSEALED_ALERT_S", 0.0)
    alerts = FakeAlertRegistry()
    archive = LockedArchive(f"file://{ledger.folder}/archive")
    ledger.record(SEALED)
    with running(writer(ledger, alerts, archive=archive)):
        eventually(lambda: [alert.name for alert in alerts.listed()] == ["ledger_unsealed"])
        eventually(lambda: ledger.store.appended("demand-response").size == len(SEALED))
        archive.locked = False
        eventually(lambda: alerts.listed() == [])
    assert ledger.verify().verified


def test_the_follower_signs_nothing_if_the_ledger_contradicts_the_archive(sealed: Ledger) -> None:
    sealed.tamper("UPDATE gridproof.ledger_heads SET size = 1")
    sealed.tamper("DELETE FROM gridproof.ledger_tiles")
    alerts = FakeAlertRegistry()
    with running(writer(sealed, alerts, batch=1)):
        eventually(lambda: [alert.name for alert in alerts.listed()] == ["ledger_mismatch"])
    assert sealed.store.last_checkpoint_number() == 3


def test_the_key_is_created_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    first = signer_in(tmp_path)
    assert (tmp_path / "ledger.key").stat().st_mode & 0o777 == 0o600
    assert signer_in(tmp_path).public_key == first.public_key
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger.key", "ledger.pub"]
