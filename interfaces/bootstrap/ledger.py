"""Wiring of the ledger: archive, keys, follower, verification, proofs."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from application.ledger.proof import NotProvable
from application.ports.operations.alerts import every_open_alert
from interfaces.settings.settings import Settings

if TYPE_CHECKING:
    from adapters.postgres.ledger.store import PostgresLedgerStore
    from adapters.postgres.ledger.writer import LedgerWriter
    from adapters.signing import Ed25519Signer
    from application.ledger.consistency import ConsistencyDocument
    from application.ledger.proof_document import ProofDocument
    from application.ledger.status import LedgerStatus
    from application.ledger.verification_report import LedgerReport, Span
    from application.ledger.witness import WitnessCheckpoint
    from application.ports.archive import Archive
    from application.ports.ledger.store import LedgerStore
    from domain.time_series.interval_block import IntervalBlock
    from domain.time_series.windows import IntervalSeries
    from interfaces.bootstrap.stores import Stores

LEAST_SEAL_S = 1.0
"""Wall seconds: at any speed of the clock a checkpoint is made at most every second and at least every ten."""
MOST_SEAL_S = 10.0
POLL_S = 0.1
NEWEST_FOR_S = 1.0
MOST_READINGS = 200
"""Facilities whose readings a proof over HTTP holds, some 0.2 MB each."""
MOST_DOCUMENT_BYTES, MOST_DOCUMENT_BYTES_OVER_HTTP = 512 * 1024 * 1024, 8 * 1024 * 1024
"""Of the settlement documents of one proof together; one of 200 facilities has some 0.5 MB."""


class NoPublicKey(NotProvable):
    """The public key that the checkpoints must be signed with is not available."""


def open_archive(settings: Settings) -> Archive:
    """The archive that the settings name, or a folder in the data folder.

    Raises SecretError; ArchiveUnavailable when it is used.
    """
    from adapters.archive import ObjectArchive, S3Access
    from interfaces.settings.secrets import resolve_secret

    secret = settings.archive_s3_secret
    s3 = S3Access(
        endpoint=settings.archive_s3_endpoint,
        region=settings.archive_s3_region,
        key_id=settings.archive_s3_key_id,
        secret=None if secret is None else resolve_secret(secret).decode(),
        ca_file=settings.tls_ca_file,
    )
    return ObjectArchive(settings.archive_url or (settings.data_dir.absolute() / "archive").as_uri(), s3)


def ledger_store(stores: Stores) -> PostgresLedgerStore:
    from adapters.postgres.ledger.store import PostgresLedgerStore

    return PostgresLedgerStore(stores.pool.connection)


def ledger_signer(settings: Settings) -> Ed25519Signer:
    """The key that the settings refer to, or the one in the data folder, which is created if missing.

    Raises UnusableKey.
    """
    from adapters.signing import signer_from_pem, signer_in
    from interfaces.settings.secrets import resolve_secret

    if settings.ledger_key is None:
        return signer_in(settings.data_dir)
    return signer_from_pem(resolve_secret(settings.ledger_key), where=f"the secret {settings.ledger_key}")


def public_key(settings: Settings, given: str | None = None) -> bytes:
    """32 bytes: the key given, or else that of the settings or of the data folder.

    A process that does not sign may lack the secret that the settings refer to: it reads what `ledger_writer` wrote.
    Raises NoPublicKey or UnusableKey.
    """
    from adapters.signing import PUBLIC
    from interfaces.settings.secrets import SecretNotFound

    if given is not None:
        return read_public_key(given)
    if settings.ledger_key is not None:
        with suppress(SecretNotFound):
            return ledger_signer(settings).public_key
    return read_public_key(str(settings.data_dir / PUBLIC))


def read_public_key(given: str) -> bytes:
    """The key given as 64 hexadecimal digits or as the path of a PEM file. Raises NoPublicKey or UnusableKey."""
    from adapters.signing import public_key_from_pem

    if re.fullmatch("[0-9a-fA-F]{64}", given):
        return bytes.fromhex(given)
    try:
        pem = Path(given).read_bytes()
    except OSError as error:
        raise NoPublicKey(
            f"the ledger's public key is not known ({error}); give it with --public-key: ledger.pub of the system's "
            "data folder, or its 64 hexadecimal digits"
        ) from error
    return public_key_from_pem(pem, where=given)


def ledger_writer(stores: Stores) -> LedgerWriter:
    from adapters.postgres.ledger.writer import LedgerWriter
    from adapters.signing import write_public_key
    from interfaces.failpoints import failpoint

    settings = stores.settings
    signer = ledger_signer(settings)
    with suppress(OSError):  # in a folder that cannot be written nobody else of this machine works
        write_public_key(settings.data_dir, signer.public_key)
    wanted_s = stores.clock.wall_seconds(settings.ledger_seal_s)
    return LedgerWriter(
        dsn=stores.database_url,
        archive=open_archive(settings),
        signer=signer,
        alerts=stores.alerts(),
        clock=stores.clock,
        seal_every_s=min(MOST_SEAL_S, max(LEAST_SEAL_S, wanted_s)),
        reached=failpoint(settings.failpoint, settings.failpoint_once_file),
    )


def verify_ledger(
    stores: Stores,
    *,
    logs: Sequence[str],
    span: Span | None = None,
    witness: WitnessCheckpoint | None = None,
    with_map: bool = True,
    given_key: str | None = None,
    progress: Callable[[str, int, int], None] = lambda log, done, total: None,
) -> LedgerReport:
    """Verify, and state the alert `ledger_mismatch`."""
    from application.ledger.recorded_times import TOLERANCE
    from application.ledger.status import state_verified
    from application.ledger.verification import verify_ledger as verified
    from domain.ledger.entries import LOGS

    report = verified(
        ledger_store(stores),
        open_archive(stores.settings),
        public_key(stores.settings, given_key),
        logs=logs,
        span=span,
        witness=witness,
        with_map=with_map,
        time_tolerance=TOLERANCE / stores.clock.wall_seconds(1.0),
        progress=progress,
    )
    if not report.verified:
        wrong = [found for found in report.findings if found.kind != "restored"]
        first = wrong[0]
        where = "" if first.position is None else f" at position {first.position}"
        detail = f"{len(wrong)} findings, the first: {first.kind}{where}: {first.detail}"
        state_verified(stores.alerts(), "verification", detail, at=stores.clock.now())
    elif span is None and with_map and set(logs) == set(LOGS):
        state_verified(stores.alerts(), "verification", None, at=stores.clock.now())
    return report


def prove_dr_event(
    stores: Stores,
    dr_event_id: UUID,
    *,
    most_readings: int | None = None,
    most_bytes: int = MOST_DOCUMENT_BYTES,
) -> ProofDocument:
    """With the readings of at most `most_readings` facilities, and settlement documents of at most `most_bytes`: of
    more the proof says that they are left out.

    Raises DREventNotRecorded, NotProvable or TelemetryStoreUnavailable."""
    from application.ledger.proof import prove
    from application.ledger.proof_readings import TOO_MANY, ProvenReadings, WantedReadings, read_values
    from application.ledger.proof_settlements import read_documents
    from domain.facility import Facility
    from domain.identifiers import facility_stream_id
    from interfaces.bootstrap.operations import regression_source
    from projections.audit.replay import DREventNotRecorded, read_history

    story = read_history(stores.stream_log(), dr_event_id)
    if not story.entries:
        raise DREventNotRecorded(
            f"the log has no DR event {dr_event_id}; list them with `gridproof dr-events list`"
        )
    positions = [entry.position for entry in story.entries]

    def temperatures(facility_id: str, block: IntervalBlock) -> IntervalSeries:
        """Those that a measurement uses."""
        facility = stores.events.load(Facility, facility_stream_id(facility_id)).state
        return regression_source(stores).inputs_of(block, facility).temperatures

    def read(wanted: Sequence[WantedReadings]) -> list[ProvenReadings]:
        if not wanted:
            return []
        if most_readings is not None and len(wanted) > most_readings:
            return [ProvenReadings.without_values(one, TOO_MANY) for one in wanted]
        return read_values(stores.telemetry(), wanted, temperatures)

    return prove(
        ledger_store(stores),
        lambda: public_key(stores.settings),
        dr_event_id,
        positions,
        read,
        documents=lambda named: read_documents(
            stores.settlement_documents(), dr_event_id, named, most_bytes=most_bytes
        ),
    )


def read_witness_checkpoint(given: str) -> WitnessCheckpoint:
    """From NUMBER:DIGEST, or from the path of a file. Raises NoCheckpoint."""
    from application.ledger.witness import NoCheckpoint, witness_from_file, witness_from_reference

    reference = witness_from_reference(given)
    if reference is not None:
        return reference
    try:
        return witness_from_file(Path(given).read_bytes())
    except OSError as error:
        raise NoCheckpoint(f"the checkpoint that was kept cannot be read: {error}") from error


class NewestCheckpoint:
    """Number and digest of the newest checkpoint for callbacks, read at most once a second. None where it cannot be
    read: a callback does not wait for the ledger. While one thread reads, others get what was read before."""

    def __init__(self, store: LedgerStore, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._store, self._elapsed = store, elapsed
        self._read_at: float | None = None
        self._reference: str | None = None
        self._reading = threading.Lock()

    def __call__(self) -> str | None:
        if self._is_old() and self._reading.acquire(blocking=False):
            try:
                self._reference = self._read()
                self._read_at = self._elapsed()
            finally:
                self._reading.release()
        return self._reference

    def _is_old(self) -> bool:
        return self._read_at is None or self._elapsed() - self._read_at >= NEWEST_FOR_S

    def _read(self) -> str | None:
        from application.ledger.witness import NoCheckpoint, newest_reference
        from application.ports.ledger.store import LedgerUnavailable

        try:
            return newest_reference(self._store)
        except (LedgerUnavailable, NoCheckpoint):
            return None


def prove_consistency(stores: Stores, since: int) -> ConsistencyDocument:
    """Raises CheckpointNotFound or NotProvable."""
    from application.ledger.consistency import prove_consistency as proven

    return proven(ledger_store(stores), lambda: public_key(stores.settings), since)


def ledger_status(stores: Stores) -> LedgerStatus:
    """Raises NotProvable for a checkpoint whose verification fails or whose key is not available."""
    from application.ledger import status

    return status.ledger_status(
        ledger_store(stores),
        lambda: public_key(stores.settings),
        every_open_alert(stores.alerts()),
        now=stores.clock.now(),
    )


@dataclass(frozen=True)
class StoredLedger:
    """The ledger for the HTTP API."""

    stores: Stores

    def status(self) -> LedgerStatus:
        """Raises NotProvable."""
        with _without_paths():
            return ledger_status(self.stores)

    def proof(self, dr_event_id: UUID) -> ProofDocument:
        """Raises DREventNotRecorded or NotProvable."""
        with _without_paths():
            return prove_dr_event(
                self.stores,
                dr_event_id,
                most_readings=MOST_READINGS,
                most_bytes=MOST_DOCUMENT_BYTES_OVER_HTTP,
            )

    def consistency(self, since: int) -> ConsistencyDocument:
        """Raises CheckpointNotFound or NotProvable."""
        with _without_paths():
            return prove_consistency(self.stores, since)


@contextmanager
def _without_paths() -> Iterator[None]:
    """Replace the text of NoPublicKey, which names a file of this machine."""
    try:
        yield
    except NoPublicKey as error:
        raise NotProvable(
            "this process does not know the public key of the ledger: set GRIDPROOF_LEDGER_KEY for it"
        ) from error


def wait_until_sealed(stores: Stores, *, within_s: float) -> bool:
    """Whether everything recorded until now is covered by a checkpoint within so many wall seconds."""
    from application.ledger.proof import latest_checkpoint
    from domain.ledger.entries import LOGS

    store = ledger_store(stores)
    wanted = {log: store.head(log) for log in LOGS}
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            checkpoint = latest_checkpoint(store, public_key(stores.settings)).checkpoint
        except NotProvable:
            checkpoint = None
        if checkpoint is not None and all(
            checkpoint.head_of(log).last_position >= position for log, position in wanted.items()
        ):
            return True
        time.sleep(POLL_S)
    return False
