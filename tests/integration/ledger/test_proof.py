"""The proof of one DR event: it is valid without a database, and invalid after any change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg_pool import ConnectionPool

from adapters.archive import ObjectArchive
from adapters.postgres.audit.stream_log import PostgresStreamLog
from adapters.postgres.ledger.store import PostgresLedgerStore
from adapters.signing import signer_in
from application.ledger.proof import NotProvable, prove
from application.ledger.proof_check import check_proof
from application.ledger.proof_document import ProofBroken
from interfaces.cli.audit import ledger as commands
from interfaces.cli.audit.check import check
from interfaces.settings.settings import Settings
from projections.audit.replay import read_history
from tests import servers
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.settlement.documents import FakeSettlementDocuments
from tests.integration.ledger.conftest import Ledger
from tests.integration.projections.stored_log import StoppedClock, store_entries
from tests.property.projections.projected_logs import PortfolioWalk
from tests.servers import PostgresServer


@pytest.fixture(scope="module")
def dr_event_ledger(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A sealed ledger with a complete DR event."""
    folder = tmp_path_factory.mktemp("ledger")
    walk = PortfolioWalk()
    walk.happy(measurable=False)
    with (
        servers.fresh_database(postgres_server) as database,
        psycopg.connect(database.admin_dsn, autocommit=True) as superuser,
        ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool,
    ):
        ledger = Ledger(
            database,
            superuser,
            PostgresLedgerStore(pool.connection),
            ObjectArchive(f"file://{folder}/archive"),
            signer_in(folder),
            folder,
        )
        store_entries(database.admin_dsn, walk.entries)
        assert ledger.seal() is not None
        yield SimpleNamespace(
            ledger=ledger, pool=pool, stream_log=PostgresStreamLog(pool), dr_event_id=walk.dr_events[0].id
        )


@dataclass(repr=False)
class Whole:
    """Bytes with a short representation: a failure does not print 100 kB."""

    content: bytes


def proof_of(dr_event_ledger: Any) -> bytes:
    story = read_history(dr_event_ledger.stream_log, dr_event_ledger.dr_event_id)
    ledger = dr_event_ledger.ledger
    return prove(
        ledger.store,
        ledger.signer.public_key,
        dr_event_ledger.dr_event_id,
        [entry.position for entry in story.entries],
    ).written()


@pytest.fixture(scope="module")
def proof(dr_event_ledger: Any) -> bytes:
    return proof_of(dr_event_ledger)


def test_a_proof_is_valid_by_itself_and_with_the_published_key(dr_event_ledger: Any, proof: bytes) -> None:
    proven = check_proof(proof).verified
    assert proven.dr_event_id == dr_event_ledger.dr_event_id
    assert (
        proven.domain_events
        == len(read_history(dr_event_ledger.stream_log, dr_event_ledger.dr_event_id).entries)
        > 20
    )
    assert not proven.key_was_given
    assert check_proof(proof, dr_event_ledger.ledger.signer.public_key).key_was_given


def test_a_proof_by_another_key_is_invalid(tmp_path: Path, proof: bytes) -> None:
    with pytest.raises(ProofBroken, match="another key"):
        check_proof(proof, signer_in(tmp_path).public_key)


def test_a_proof_is_invalid_after_a_change_of_any_byte(proof: bytes) -> None:
    written = Whole(proof)

    # 0x20 changes the case of a letter, and turns a digit into a character that some parsers skip.
    @given(st.integers(0, len(proof) - 1), st.integers(1, 255) | st.just(0x20))
    @settings(max_examples=1_000)
    def breaks(at: int, by: int) -> None:
        flipped = bytearray(written.content)
        flipped[at] ^= by
        with pytest.raises(ProofBroken):
            check_proof(bytes(flipped))

    breaks()


def test_a_truncated_or_extended_proof_is_invalid(proof: bytes) -> None:
    written = Whole(proof)

    @given(st.integers(0, len(proof) - 1))
    @settings(max_examples=300)
    def breaks(at: int) -> None:
        whole = written.content
        for changed in (whole[:at], whole[:at] + b" " + whole[at:], whole + whole[at:]):
            with pytest.raises(ProofBroken):
                check_proof(changed)

    breaks()


def test_a_proof_without_one_of_its_domain_events_is_invalid(dr_event_ledger: Any, proof: bytes) -> None:
    document = json.loads(proof)
    own = [
        number
        for number, row in enumerate(document["domain_events"])
        if row["originator_id"] == str(dr_event_ledger.dr_event_id)
    ]
    del document["domain_events"][own[1]]
    with pytest.raises(ProofBroken, match="are missing"):
        check_proof((json.dumps(document, separators=(",", ":"), ensure_ascii=False) + "\n").encode())


def test_an_unsealed_domain_event_has_no_proof(ledger: Ledger) -> None:
    ledger.record([1])
    with pytest.raises(NotProvable, match="nothing is sealed yet"):
        prove(
            ledger.store,
            ledger.signer.public_key,
            ledger.store.rows("demand-response", [1])[0].originator_id,
            [1],
        )


# ------------------------------------------------------------------------------------------ on the command line


@pytest.fixture
def stores(dr_event_ledger: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = SimpleNamespace(
        settings=Settings(data_dir=dr_event_ledger.ledger.folder),
        pool=dr_event_ledger.pool,
        clock=StoppedClock(),
        stream_log=lambda: dr_event_ledger.stream_log,
        settlement_documents=FakeSettlementDocuments,
        alerts=FakeAlertRegistry,
    )
    registry = FakeAlertRegistry()
    made.alerts = lambda: registry

    @contextmanager
    def opened() -> Iterator[Any]:
        yield made

    monkeypatch.setattr(commands, "opened_stores", opened)
    return made


def run(command: Any, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_a_proof_is_written_once_and_checked(
    dr_event_ledger: Any, stores: Any, tmp_path: Path, proof: bytes
) -> None:
    out = tmp_path / "proof.json"
    assert run(commands.prove, "UTIL-1", "--out", str(out)).exit_code == 0
    assert out.read_bytes() == proof
    assert run(commands.prove, "UTIL-1", "--out", str(out)).exit_code == 1
    key = str(dr_event_ledger.ledger.folder / "ledger.pub")
    assert run(check, str(out), "--public-key", key).exit_code == 0
    assert "compare that key" in run(check, str(out)).output
    assert json.loads(run(check, str(out), "--json").stdout)["holds"] is True
    out.write_bytes(proof.replace(b"UTIL-1", b"UTIL-2"))
    wrong = run(check, str(out), "--public-key", dr_event_ledger.ledger.signer.public_key.hex())
    assert wrong.exit_code == 3
    assert "DOES NOT HOLD: the domain event at position" in wrong.output


def test_a_verification_reports_its_findings_and_raises_the_alert(dr_event_ledger: Any, stores: Any) -> None:
    holds = run(commands.verify)
    assert holds.exit_code == 0, holds.output
    assert "the ledger holds" in holds.output
    position = dr_event_ledger.ledger.store.head("demand-response")
    change = "UPDATE gridproof.demand_response_events SET topic = %s WHERE notification_id = %s"
    was = dr_event_ledger.ledger.store.row("demand-response", position).topic
    dr_event_ledger.ledger.tamper(change, ("x", position))
    document = run(commands.verify, "--json", "--log", "demand-response")
    assert document.exit_code == 3
    (finding,) = json.loads(document.stdout)["findings"]
    assert (finding["kind"], finding["position"]) == ("changed", position)
    assert [alert.name for alert in stores.alerts().listed()] == ["ledger_mismatch"]
    assert "DOES NOT HOLD: 1 findings" in run(commands.verify).output
    assert run(commands.verify, "--to", str(position - 1)).exit_code == 0
    dr_event_ledger.ledger.tamper(change, (was, position))
    assert run(commands.verify).exit_code == 0
    assert stores.alerts().listed() == []


def test_from_after_to_is_wrong_usage(stores: Any) -> None:
    assert run(commands.verify, "--from", "2", "--to", "1").exit_code == 2
