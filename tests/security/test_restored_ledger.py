"""A restored database is a rollback to everybody who kept a checkpoint: the ledger says so, and a forgery that is
recorded as a restore is found."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import msgspec
import pytest

from application.event_store.event_mapper import to_stored_event
from application.ledger.checkpoints import (
    SignedCheckpoint,
    checkpoint_name,
    read_chain,
    read_checkpoint,
    sign,
)
from application.ledger.consistency import check_consistency, prove_consistency
from application.ledger.proof import NotProvable
from application.ledger.proof_check import check_proof
from application.ledger.restore_point import UNSEALED_POSITIONS, RestorePoint, record_restore
from application.ledger.restores import reference_of
from application.ledger.sealing import LedgerContradicted, Sealer, follow
from application.ledger.verification import verify_ledger
from application.ledger.verification_report import Finding, LedgerReport
from application.ledger.witness import WitnessCheckpoint, witness_from_reference, witness_of
from domain.administration import AdministrativeAct
from domain.event_sourcing.aggregate import Provenance
from domain.identifiers import NAMESPACE
from domain.ledger.entries import DEMAND_RESPONSE, FORECASTS, LOGS, Checkpoint, CheckpointAfterRestore, LogRow
from tests.fakes.clock import FakeClock
from tests.fakes.ledger.signer import FakeCheckpointSigner
from tests.sealed_portfolio import SealedPortfolio, completed_dr_event

BY = "operator:cli/3f9a1c0b77de"
TARGET = datetime(2026, 7, 14, 20, 0, tzinfo=UTC)


class KilledError(Exception):
    """The process ends here."""


class RestoredLedger:
    """A portfolio sealed in four checkpoints, of whose database there is a backup after each of them."""

    def __init__(self) -> None:
        self.portfolio: SealedPortfolio = completed_dr_event()
        self.rows = self.portfolio.rows()
        self.portfolio.store.logs[DEMAND_RESPONSE].clear()
        self.signed: list[SignedCheckpoint] = []
        self.backups = [deepcopy(self.portfolio.store)]
        for part in (1, 2, 3, 4):
            self.portfolio.record(self.rows[len(self.rows) * part // 4 - 1].position)
            self.portfolio.store.record(FORECASTS, forecast(part))
            self.signed.append(self.portfolio.seal())
            self.backups.append(deepcopy(self.portfolio.store))
        self.now = max(one.checkpoint.at for one in self.signed) + timedelta(hours=1)

    def restore(self, number: int, *, unsealed: int = 0) -> tuple[RestorePoint, SignedCheckpoint]:
        """To the backup after that checkpoint, with so many rows that the next checkpoint sealed."""
        store = self.portfolio.store = deepcopy(self.backups[number])
        held = store.head(DEMAND_RESPONSE)
        store.record(DEMAND_RESPONSE, *[row for row in self.rows if row.position > held][:unsealed])
        return self.recorded()

    def recorded(self) -> tuple[RestorePoint, SignedCheckpoint]:
        portfolio = self.portfolio
        return record_restore(
            portfolio.store, portfolio.archive, portfolio.signer, FakeClock(self.now), self.record
        )

    def record(self, point: RestorePoint) -> None:
        provenance = Provenance(
            recorded_at=self.now,
            correlation_id=UUID(int=1),
            causation_id=UUID(int=2),
            actor=BY,
            tenant=None,
            trace_id="",
        )
        act = AdministrativeAct.restore_database(
            provenance,
            target_at=TARGET,
            extends=reference_of(point.extends),
            last=reference_of(point.last),
            lost=point.intervals,
        )
        (stored,) = map(to_stored_event, act.collect_events())
        store = self.portfolio.store
        if any(row.originator_id == stored.originator_id for row in store.logs[DEMAND_RESPONSE].values()):
            return
        row = LogRow(
            position=max(store.head(DEMAND_RESPONSE), store.skipped[DEMAND_RESPONSE]) + 1,
            originator_id=UUID(str(stored.originator_id)),
            originator_version=stored.originator_version,
            topic=stored.topic,
            state=bytes(stored.state),
        )
        store.record(DEMAND_RESPONSE, row)

    def go_on(self) -> SignedCheckpoint:
        """One more domain event, under the next checkpoint."""
        store = self.portfolio.store
        row = LogRow(
            position=store.head(DEMAND_RESPONSE) + 1,
            originator_id=uuid5(NAMESPACE, f"later-{store.head(DEMAND_RESPONSE)}"),
            originator_version=1,
            topic="dr-event.made-up.v1",
            state=b"{}",
        )
        store.record(DEMAND_RESPONSE, row)
        return self.portfolio.seal(self.now + timedelta(seconds=10))

    def verify(self, witness: WitnessCheckpoint | None = None) -> LedgerReport:
        portfolio = self.portfolio
        return verify_ledger(portfolio.store, portfolio.archive, portfolio.signer.public_key, witness=witness)

    def findings(self, witness: WitnessCheckpoint | None = None) -> list[Finding]:
        return list(self.verify(witness).findings)

    def sealed_by_hand(self, extends: int) -> None:
        """A checkpoint after a restore, made with the key, without any check."""
        portfolio, store = self.portfolio, self.portfolio.store
        for log in LOGS:
            while follow(store, log):
                pass
        clock = FakeClock(self.now)
        Sealer(store, portfolio.archive, portfolio.signer, clock).seal_restored(
            self.signed[extends - 1], reference_of(self.signed[-1])
        )


def forecast(number: int) -> LogRow:
    return LogRow(
        position=number,
        originator_id=uuid5(NAMESPACE, f"forecast-{number}"),
        originator_version=1,
        topic="forecast.issued.v1",
        state=b"{}",
    )


@pytest.fixture
def ledger() -> RestoredLedger:
    return RestoredLedger()


def test_a_restore_is_said_to_every_holder_of_a_lost_checkpoint_and_to_nobody_else(
    ledger: RestoredLedger,
) -> None:
    lost = len(ledger.rows) - ledger.signed[1].checkpoint.head_of(DEMAND_RESPONSE).size
    ledger.restore(2)
    for _ in range(2):
        report = ledger.verify()
        assert (report.verified, report.findings) == (True, ())
        (restore,) = report.restores
        assert (restore.checkpoint, restore.extends, restore.last_archived) == (5, 2, 4)
        assert (restore.by, restore.target_at) == (BY, TARGET)
        for number in (1, 2):
            assert ledger.findings(witness_of(ledger.signed[number - 1])) == []
        for number in (3, 4):
            report = ledger.verify(witness_of(ledger.signed[number - 1]))
            (found,) = report.findings
            assert (found.kind, report.verified) == ("restored", True)
            archived = ledger.signed[3].checkpoint.head_of(DEMAND_RESPONSE).last_position
            before = ledger.signed[1].checkpoint.head_of(DEMAND_RESPONSE).last_position
            assert (found.position, found.through) == (before + 1, archived)
            assert f"{lost} sealed domain events of demand-response" in found.detail
            assert "2 sealed domain events of forecasts" in found.detail
            by_digest = f"{number}:{ledger.signed[number - 1].checkpoint.digest()}"
            assert ledger.findings(witness_from_reference(by_digest))[0].kind == "restored"
        later = ledger.go_on()  # the ledger goes on, and says it ever after
        assert type(later.checkpoint) is Checkpoint
        assert ledger.findings(witness_of(later)) == []


def test_the_checkpoint_after_a_restore_names_both_histories_and_no_position_is_used_twice(
    ledger: RestoredLedger,
) -> None:
    point, sealed = ledger.restore(2, unsealed=2)
    checkpoint = sealed.checkpoint
    assert isinstance(checkpoint, CheckpointAfterRestore)
    assert (checkpoint.extends.number, checkpoint.extends.digest) == reference_of(ledger.signed[1])
    assert (checkpoint.number, checkpoint.previous) == (5, ledger.signed[3].checkpoint.digest())
    archived = ledger.signed[3].checkpoint.head_of(DEMAND_RESPONSE).last_position
    assert ledger.portfolio.store.head(DEMAND_RESPONSE) > archived + UNSEALED_POSITIONS
    assert ledger.portfolio.store.skipped[FORECASTS] == 4 + UNSEALED_POSITIONS
    assert point.intervals[1].lost == 2
    assert ledger.findings() == []
    written = sealed.written()
    assert read_checkpoint(written, ledger.portfolio.signer.public_key, number=5) == sealed


def test_a_checkpoint_of_which_all_was_restored_is_extended(ledger: RestoredLedger) -> None:
    """Its copy in the database was stored after the moment that was restored, and all that it seals before."""
    store = deepcopy(ledger.backups[4])
    del store.checkpoints[4]
    store.maps, store.pages = deepcopy(ledger.backups[3].maps), deepcopy(ledger.backups[3].pages)
    ledger.portfolio.store = store
    point, _ = ledger.recorded()
    assert [one.lost for one in point.intervals] == [0, 0]
    assert ledger.findings(witness_of(ledger.signed[3])) == []


def test_a_restore_before_the_first_checkpoint_and_one_after_another_are_recorded(
    ledger: RestoredLedger,
) -> None:
    ledger.restore(2)
    ledger.go_on()
    ledger.backups.append(deepcopy(ledger.portfolio.store))
    lost = ledger.go_on()
    ledger.restore(5)
    (_, restore) = ledger.verify().restores
    assert (restore.extends, restore.last_archived, restore.checkpoint) == (6, 7, 8)
    assert ledger.findings(witness_of(lost))[0].kind == "restored"
    ledger.now += timedelta(hours=1)
    ledger.restore(0)
    report = ledger.verify(witness_of(ledger.signed[0]))
    assert [one.checkpoint for one in report.restores] == [9], "the earlier restores are lost as well"
    assert [found.kind for found in report.findings] == ["restored"]


@pytest.mark.parametrize("step", range(7))
def test_a_restore_that_was_interrupted_is_repeated(
    ledger: RestoredLedger, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The act, a tile and the checkpoint, three checkpoints in the database: before each of them, and after all."""
    steps = 0

    def dies_at(write: Callable[..., Any]) -> Callable[..., Any]:
        def dying(*arguments: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps > step:
                raise KilledError
            return write(*arguments)

        return dying

    store = ledger.portfolio.store = deepcopy(ledger.backups[2])
    with monkeypatch.context() as patch:
        for place, name in (
            (ledger, "record"),
            (ledger.portfolio.archive, "put_once"),
            (store, "keep_checkpoint"),
        ):
            patch.setattr(place, name, dies_at(getattr(place, name)))
        with suppress(KilledError):
            ledger.recorded()
    assert steps == min(step + 1, 6), "the steps of a restore"
    is_over = store.last_checkpoint_number() == 5
    point, sealed = ledger.recorded()
    assert (sealed.checkpoint.number, len(point.lost)) == ((6, 0) if is_over else (5, 2))
    assert sorted(store.checkpoints) == list(range(1, sealed.checkpoint.number + 1))
    report = ledger.verify(witness_of(ledger.signed[3]))
    (found,) = report.findings
    lost = len(ledger.rows) - ledger.signed[1].checkpoint.head_of(DEMAND_RESPONSE).size
    assert f"{lost} sealed domain events of demand-response after position" in found.detail
    assert (found.kind, found.log, report.verified) == ("restored", DEMAND_RESPONSE, True)
    assert report.restores[0].lost[0].lost == lost
    assert ledger.findings(witness_of(sealed)) == []
    assert ledger.findings(witness_of(ledger.go_on())) == []


def test_proofs_go_on_across_a_restore_and_name_it_where_they_cannot(ledger: RestoredLedger) -> None:
    ledger.restore(3)
    ledger.go_on()
    store, key = ledger.portfolio.store, ledger.portfolio.signer.public_key
    document = prove_consistency(store, key, 2)
    assert check_consistency(document.written(), key, witness_of(ledger.signed[1])).later == 6
    with pytest.raises(NotProvable, match="checkpoint 4 was lost: restored to 2026-07-14T20:00:00Z by"):
        prove_consistency(store, key, 4)
    proof = ledger.portfolio.prove().written()
    assert check_proof(proof, key).verified.dispatches


def test_a_log_that_is_not_what_was_sealed_is_not_recorded_as_restored(ledger: RestoredLedger) -> None:
    store = ledger.portfolio.store = deepcopy(ledger.backups[2])
    held = store.head(DEMAND_RESPONSE)
    following = next(row for row in ledger.rows if row.position > held)
    store.record(DEMAND_RESPONSE, msgspec.structs.replace(following, state=b'{"forged":1}'))
    with pytest.raises(LedgerContradicted, match="no restore alone led here"):
        ledger.recorded()


def test_a_forged_log_that_is_sealed_as_a_restore_is_still_forged(ledger: RestoredLedger) -> None:
    """With the key, the database and write access to the archive: what was sealed before shows it."""
    store = ledger.portfolio.store = deepcopy(ledger.backups[2])
    held = store.head(DEMAND_RESPONSE)
    first, second, *_ = [row for row in ledger.rows if row.position > held]
    store.record(DEMAND_RESPONSE, second)  # the first one is left out
    ledger.sealed_by_hand(2)
    kinds = {(one.kind, one.position) for one in ledger.findings()}
    assert ("removed", first.position) in kinds
    assert any(kind == "checkpoint" for kind, _ in kinds), "and nobody recorded a restore"


def test_a_wrong_extension_is_reported(ledger: RestoredLedger) -> None:
    _, sealed = ledger.restore(2)
    portfolio = ledger.portfolio
    checkpoint = sealed.checkpoint
    assert isinstance(checkpoint, CheckpointAfterRestore)
    for changed, said in (
        ({"digest": "0" * 64}, "it extends another checkpoint 2"),
        ({"number": 4}, "it extends another checkpoint 4"),
        ({"number": 5}, "which cannot be before it"),
        ({"number": -1}, "which cannot be before it"),
        ({"number": 0}, "which cannot be before it"),
    ):
        extends = msgspec.structs.replace(checkpoint.extends, **changed)
        written = sign(msgspec.structs.replace(checkpoint, extends=extends), portfolio.signer).written()
        portfolio.archive.files[checkpoint_name(5)] = portfolio.store.checkpoints[5] = written
        assert said in " ".join(one.detail for one in read_chain_findings(ledger))


def test_a_checkpoint_that_an_earlier_restore_lost_is_not_extended(ledger: RestoredLedger) -> None:
    ledger.signed.append(ledger.restore(2)[1])
    ledger.portfolio.store = deepcopy(ledger.backups[3])
    ledger.sealed_by_hand(3)
    assert "checkpoint 6 extends checkpoint 3, which an earlier restore lost" in {
        one.detail for one in ledger.findings()
    }


def read_chain_findings(ledger: RestoredLedger) -> list[Finding]:
    portfolio = ledger.portfolio
    assert read_chain(portfolio.archive, portfolio.store, portfolio.signer.public_key).findings
    return ledger.findings()


@pytest.mark.parametrize("said", [0, 1, 999, None])
def test_a_record_that_does_not_name_what_a_restore_lost_is_reported(
    ledger: RestoredLedger, said: int | None
) -> None:
    """With the key, the database and the archive: an act that names nothing, or not what is lost."""
    honest = ledger.record

    def misstated(point: RestorePoint) -> None:
        end = ledger.signed[3].checkpoint.head_of(DEMAND_RESPONSE).last_position
        lost = [
            msgspec.structs.replace(one, lost=said, restored_position=end)
            for one in point.intervals
            if said is not None
        ]
        honest(msgspec.structs.replace(point, intervals=tuple(lost)))

    ledger.portfolio.store = deepcopy(ledger.backups[2])
    ledger.record = misstated  # type: ignore[method-assign]
    ledger.recorded()
    report = ledger.verify(witness_of(ledger.signed[3]))
    assert not report.verified
    kinds = {(one.kind, one.log) for one in report.findings}
    assert {("checkpoint", log) for log in LOGS} <= kinds
    assert "restored" in {one.kind for one in report.findings}, "it does not extend what was kept"
    assert [one.kind for one in ledger.findings(witness_of(ledger.signed[1])) if one.kind == "restored"] == []


def test_lost_tiles_of_the_archive_are_named(ledger: RestoredLedger) -> None:
    """Without them nobody can tell a restore from a forgery."""
    ledger.restore(2)
    head = ledger.signed[3].checkpoint.head_of(DEMAND_RESPONSE)
    del ledger.portfolio.archive.files[head.tiles[0].name]
    (found,) = ledger.findings()
    assert (found.kind, found.log) == ("tile", DEMAND_RESPONSE)


def test_another_key_cannot_record_a_restore(ledger: RestoredLedger) -> None:
    ledger.portfolio.store = deepcopy(ledger.backups[2])
    ledger.portfolio.signer = FakeCheckpointSigner("another")
    with pytest.raises(LedgerContradicted, match="names another key"):
        ledger.recorded()
