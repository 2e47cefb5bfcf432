"""The status of the ledger for operators and auditors."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import interfaces.bootstrap.ledger as wiring
from adapters.signing import signer_in
from application.ledger.proof import NotProvable
from application.ledger.status import LedgerStatus, key_id, ledger_status
from application.ports.operations.alerts import Alert
from domain.ledger.merkle import EMPTY_ROOT
from interfaces.settings.settings import Settings
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.integration.ledger.conftest import SEALED, UNSEALED, Ledger
from tests.integration.projections.stored_log import NOW, StoppedClock
from tests.open_alerts import begin_alert, end_alert


def status_of(ledger: Ledger, alerts: list[Alert] | None = None) -> LedgerStatus:
    return ledger_status(
        ledger.store, lambda: ledger.signer.public_key, alerts or [], now=NOW + timedelta(seconds=7)
    )


def test_the_status_contains_the_checkpoint_both_logs_and_the_unsealed_entries(sealed: Ledger) -> None:
    status = status_of(sealed)
    assert status.checkpoint is not None
    assert (status.checkpoint.number, status.checkpoint.at, status.checkpoint.age_s) == (3, NOW, 7.0)
    assert status.checkpoint.public_key == sealed.signer.public_key.hex()
    assert status.checkpoint.key_id == key_id(sealed.signer.public_key)
    assert status.signed_checkpoint is not None
    assert sealed.file("ledger/checkpoints/000000000003.json").read_bytes() == (
        status.signed_checkpoint.written()
    )
    demand_response, forecasts = status.logs
    assert (demand_response.size, demand_response.sealed_to) == (len(SEALED), SEALED[-1])
    assert (demand_response.head, demand_response.unsealed) == (UNSEALED[-1], len(UNSEALED))
    assert demand_response.root == status.signed_checkpoint.checkpoint.head_of("demand-response").root
    assert (forecasts.size, forecasts.unsealed, forecasts.oldest_unsealed_at) == (len(SEALED), 0, None)
    assert status.mismatches == ()


def test_the_time_of_the_oldest_unsealed_entry_is_reported(sealed: Ledger) -> None:
    at = "2026-07-14T22:59:00Z"
    sealed.tamper(
        "UPDATE gridproof.demand_response_events SET state = %s WHERE notification_id = %s",
        (f'{{"recorded_at":"{at}","reason":"x"}}'.encode(), UNSEALED[0]),
    )
    (log, _) = status_of(sealed).logs
    assert log.oldest_unsealed_at == NOW - timedelta(minutes=1)


@pytest.mark.parametrize("state", [b"not JSON", b"\xff", b'{"recorded_at":"soon"}', b"{}"])
def test_an_unsealed_row_without_a_time_is_counted(sealed: Ledger, state: bytes) -> None:
    sealed.tamper(
        "UPDATE gridproof.demand_response_events SET state = %s WHERE notification_id = %s",
        (state, UNSEALED[0]),
    )
    (log, _) = status_of(sealed).logs
    assert (log.unsealed, log.oldest_unsealed_at) == (len(UNSEALED), None)


def test_before_the_first_checkpoint_everything_is_unsealed(ledger: Ledger) -> None:
    ledger.record([-3, 1, 2])
    status = ledger_status(ledger.store, _unknown_key, [], now=NOW)
    assert (status.checkpoint, status.signed_checkpoint) == (None, None)
    (log, _) = status.logs
    assert (log.size, log.root, log.unsealed, log.sealed_to) == (0, EMPTY_ROOT.hex(), 3, 0)


def _unknown_key() -> bytes:
    raise AssertionError("the key was looked up without a checkpoint")


def test_an_invalid_checkpoint_is_refused(sealed: Ledger) -> None:
    sealed.tamper("UPDATE gridproof.ledger_checkpoints SET signed = 'forged' WHERE number = 3")
    with pytest.raises(NotProvable, match="checkpoint 3: it is no checkpoint"):
        status_of(sealed)


def test_a_finding_is_reported_until_a_verification_succeeds(sealed: Ledger) -> None:
    alerts = FakeAlertRegistry()
    begin_alert(alerts, "ledger_mismatch", "verification", "changed at position 9", at=NOW)
    begin_alert(alerts, "bms_drift", "fac-001", "another alert", at=NOW)
    (mismatch,) = status_of(sealed, alerts.listed()).mismatches
    assert (mismatch.found_by, mismatch.detail, mismatch.since) == (
        "verification",
        "changed at position 9",
        NOW,
    )
    end_alert(alerts, "ledger_mismatch", "verification", at=NOW)
    assert status_of(sealed, alerts.listed(include_cleared=True)).mismatches == ()


def stores_of(ledger: Ledger, data_dir: Path) -> Any:
    connection = ledger.store._connect
    return SimpleNamespace(
        settings=Settings(data_dir=data_dir),
        pool=SimpleNamespace(connection=connection),
        clock=StoppedClock(),
        alerts=FakeAlertRegistry,
    )


def test_the_key_of_the_data_folder_is_used(sealed: Ledger, tmp_path: Path) -> None:
    status = wiring.ledger_status(stores_of(sealed, tmp_path / "keys"))
    assert status.checkpoint is not None
    with pytest.raises(wiring.NoPublicKey, match="--public-key"):
        wiring.ledger_status(stores_of(sealed, tmp_path / "elsewhere"))


def test_a_process_without_the_secret_verifies_with_the_public_key_that_the_follower_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keys").mkdir()
    signer = signer_in(tmp_path / "keys")
    settings = Settings(data_dir=tmp_path, ledger_key="env:GRIDPROOF_SECRET_LEDGER")
    stores = SimpleNamespace(
        settings=settings, database_url="postgresql://nowhere", clock=StoppedClock(), alerts=FakeAlertRegistry
    )
    with pytest.raises(wiring.NoPublicKey):
        wiring.public_key(settings)
    with monkeypatch.context() as environ:
        environ.setenv("GRIDPROOF_SECRET_LEDGER", (tmp_path / "keys" / "ledger.key").read_text())
        wiring.ledger_writer(cast(Any, stores))
    assert wiring.public_key(settings) == signer.public_key


def test_over_http_a_missing_key_is_reported_without_a_path(sealed: Ledger, tmp_path: Path) -> None:
    ledger = wiring.StoredLedger(cast(Any, stores_of(sealed, tmp_path / "elsewhere")))
    with pytest.raises(NotProvable, match="GRIDPROOF_LEDGER_KEY") as refused:
        ledger.status()
    assert str(tmp_path) not in str(refused.value)


def test_the_wait_ends_once_everything_is_sealed(sealed: Ledger, tmp_path: Path) -> None:
    stores = stores_of(sealed, tmp_path / "keys")
    assert not wiring.wait_until_sealed(stores, within_s=0.2)
    assert sealed.seal() is not None
    assert wiring.wait_until_sealed(stores, within_s=20.0)
