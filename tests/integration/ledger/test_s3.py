"""The ledger's archive in S3: concurrent sealing, verification, and reports of tampering."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from application.ledger.checkpoints import SignedCheckpoint, checkpoint_name
from application.ledger.sealing import LedgerContradicted, Sealer
from application.ledger.verification import verify_ledger
from application.ports.archive import AlreadyArchived
from application.ports.ledger.store import LedgerMoved
from domain.ledger.entries import DEMAND_RESPONSE, LOGS
from interfaces.bootstrap.ledger import open_archive
from interfaces.settings.settings import read_settings
from tests.acceptance.cli.terminal import Terminal
from tests.fakes.archive import FakeArchive
from tests.integration.ledger.conftest import SEALED, Ledger
from tests.integration.projections.stored_log import StoppedClock
from tests.s3_server import S3Server, running_s3

BUCKET = "gridproof-archive"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with running_s3() as server:
        server.make_bucket(BUCKET)
        yield server


@pytest.fixture
def prefix() -> str:
    return f"ledgers/{uuid4()}"


@pytest.fixture
def on_s3(ledger: Ledger, s3: S3Server, prefix: str) -> Ledger:
    ledger.archive = s3.archive(BUCKET, prefix)
    return ledger


def test_a_ledger_is_sealed_and_verified_over_s3(on_s3: Ledger) -> None:
    for positions in (SEALED[:4], SEALED[4:]):
        on_s3.record(positions)
        on_s3.record(positions, "forecasts")
        assert on_s3.seal() is not None
    report = on_s3.verify()
    assert report.findings == ()
    assert (report.checkpoints, report.logs[0].domain_events) == (2, len(SEALED))
    on_s3.tamper("UPDATE gridproof.demand_response_events SET state = 'x' WHERE notification_id = 9")
    assert on_s3.findings() == [("changed", 9)]


def test_changes_and_removals_in_the_bucket_are_reported(on_s3: Ledger, s3: S3Server, prefix: str) -> None:
    on_s3.record(SEALED)
    assert on_s3.seal() is not None
    (tile,) = on_s3.archive.listed("ledger/tiles")
    s3.overwrite(BUCKET, f"{prefix}/{tile}", on_s3.archive.get(tile)[:-1] + b"\0")
    assert on_s3.findings() == [("tile", on_s3.only().position)]
    s3.remove(BUCKET, f"{prefix}/{checkpoint_name(1)}")
    assert ("checkpoint", None) in on_s3.findings()


def test_each_checkpoint_of_concurrent_sealers_has_one_author(on_s3: Ledger) -> None:
    """An advisory lock usually prevents several sealers. The archive is safe without it."""

    def seal(_: int) -> SignedCheckpoint | None:
        try:
            return Sealer(on_s3.store, on_s3.archive, on_s3.signer, StoppedClock()).seal()
        except (LedgerContradicted, LedgerMoved):
            return None

    for position in SEALED:
        on_s3.record([position])
        on_s3.follow()
        with ThreadPoolExecutor(4) as threads:
            made = {signed.written() for signed in threads.map(seal, range(4)) if signed is not None}
        assert len(made) == 1
    assert len(on_s3.archive.listed("ledger/checkpoints")) == len(SEALED)
    report = on_s3.verify()
    assert report.findings == ()
    assert report.logs[0].domain_events == len(SEALED)


class AnswersLost(FakeArchive):
    """An archive that stores an object but loses the response, so that the retry reports a conflict."""

    def put_once(self, name: str, content: bytes) -> None:
        super().put_once(name, content)
        raise AlreadyArchived(f"{name} is in the archive already")


def test_a_checkpoint_with_a_lost_response_is_recognized_as_its_own(ledger: Ledger) -> None:
    ledger.record(SEALED)
    ledger.follow()
    archive = AnswersLost()
    assert Sealer(ledger.store, archive, ledger.signer, StoppedClock()).seal() is not None
    report = verify_ledger(ledger.store, archive, ledger.signer.public_key, logs=LOGS)
    assert report.findings == ()
    assert report.logs[0].domain_events == len(SEALED)


def test_the_command_line_verifies_over_s3_by_its_settings(
    on_s3: Ledger, s3: S3Server, prefix: str, tmp_path: Path
) -> None:
    secret = tmp_path / "s3.secret"
    secret.write_text("of nobody\n")
    environ = {
        "GRIDPROOF_ARCHIVE_URL": f"s3://{BUCKET}/{prefix}",
        "GRIDPROOF_ARCHIVE_S3_ENDPOINT": s3.url,
        "GRIDPROOF_ARCHIVE_S3_REGION": "us-east-1",
        "GRIDPROOF_ARCHIVE_S3_KEY_ID": "test",
        "GRIDPROOF_ARCHIVE_S3_SECRET": f"file:{secret}",
    }
    on_s3.record(SEALED)
    on_s3.archive = open_archive(read_settings(environ))  # type: ignore[assignment]  # it is one, behind its port
    assert on_s3.seal() is not None

    terminal = Terminal(on_s3.database, tmp_path)
    arguments = ("audit", "verify", "--public-key", on_s3.signer.public_key.hex(), "--json")
    holds = terminal.run(*arguments, environ=environ)
    assert holds.exit_code == 0, holds.output
    document = json.loads(holds.stdout)
    assert (document["verified"], document["logs"][0]["log"]) == (True, DEMAND_RESPONSE)

    s3.remove(BUCKET, f"{prefix}/{checkpoint_name(1)}")
    wrong = terminal.run(*arguments, environ=environ)
    assert wrong.exit_code == 3
    assert json.loads(wrong.stdout)["findings"][0]["kind"] == "checkpoint"


def test_a_bucket_with_object_lock_keeps_what_was_archived(s3: S3Server) -> None:
    """It takes objects with a checksum only. A second put is refused, and no version can be removed."""
    name = checkpoint_name(1)
    s3.make_locked_bucket("locked")
    archive = s3.archive("locked")
    archive.put_once(name, b"signed")
    with pytest.raises(AlreadyArchived):
        archive.put_once(name, b"forged")
    (version,) = s3.versions("locked", name)
    assert s3.remove_version("locked", name, version) == 403
    s3.remove("locked", name)  # adds a delete marker, and removes nothing
    assert version in s3.versions("locked", name)
