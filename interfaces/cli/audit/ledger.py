"""`gridproof audit verify|prove|check`: verifies the ledger, and makes and checks proofs offline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from application.ledger.proof_document import ProofBroken
from interfaces.cli.audit.recomputation import print_recomputation, recomputation_document
from interfaces.cli.audit.settlements import print_settlements
from interfaces.cli.audit.snapshots import print_snapshots
from interfaces.cli.console.printing import print_fields, print_json, print_table, printable, progress_of
from interfaces.cli.console.session import opened_stores

if TYPE_CHECKING:
    from application.ledger.consistency import VerifiedConsistency
    from application.ledger.proof_check import VerifiedProof
    from application.ledger.proof_document import AnyProof
    from application.ledger.verification_report import LedgerReport, Span
    from application.ledger.witness import WitnessCheckpoint

VERIFY_EXAMPLE = """
\b
Examples:
  gridproof audit verify
  gridproof audit verify --log demand-response --from 120000 --json
  gridproof audit verify --snapshots
  gridproof audit verify --since checkpoint.json
  gridproof audit verify --since 3712:9f86d081...

Every domain event is hashed anew and held against the archive's tiles, the signed checkpoints and the ledger's own
table; the map of streams under the newest checkpoint is computed again. Exit status 3: something does not hold; each
finding names its position.

With --since, the ledger must extend a checkpoint that you kept: one of the archive, the answer of
GET /api/audit/ledger, or number and digest as a callback carried them. A log that was rolled back or forked is found.
"""
PROVE_EXAMPLE = """
\b
Example:
  gridproof audit prove UTIL-2026-0042 --out proof.json

The file has the domain events of the DR event, of its program, dispatches and reservations, all that it takes to check
them and that none is missing, and the readings from which its measurements are computed again: anybody can, with
`gridproof audit check`, without this system.
"""
CHECK_EXAMPLE = """
\b
Examples:
  gridproof audit check proof.json --public-key ledger.pub
  gridproof audit check proof.json

FILE is a proof, or the answer of GET /api/audit/ledger/consistency?from=N. Without --public-key it is held against the
key in it: compare that with the one the operator has published. --since CHECKPOINT is one that you kept (see
`gridproof audit verify --help`): a consistency proof must begin with it, and a proof must not be older.
A proof of version 3 has the readings that its measurements used: baselines and delivered kW are computed again from
them, the program's terms and the recorded calendar, and the line that begins with `recomputed` says whether all
numbers are equal. Exit status 3: the file does not prove what it says, or a number differs; it is named. What is
`not recomputed` is no error: exit status 0 does not mean that anything was recomputed, that line says how many were.
"""
DOES_NOT_HOLD = 3
NOT_EXTENDED = ("rollback", "fork")
LOG_NAMES = ("demand-response", "forecasts")
COMPLETE = "nothing of the DR event, its dispatches and its program up to the checkpoint is missing"
NOT_COMPLETE = "UNKNOWN: a proof of version 1 may lack newer domain events and buildings; ask for a new one"
KEY_HELP = "The ledger's public key: a PEM file, or its 64 hexadecimal digits."


@click.command("verify", epilog=VERIFY_EXAMPLE)
@click.option("--from", "first", type=int, metavar="N", help="Begin with the domain event at this position.")
@click.option("--to", "last", type=int, metavar="N", help="End with the domain event at this position.")
@click.option("--log", type=click.Choice(LOG_NAMES), help="This log only; both if left out.")
@click.option("--since", metavar="CHECKPOINT", help="A checkpoint that you kept: a file, or NUMBER:DIGEST.")
@click.option("--no-map", is_flag=True, help="Without the map of streams.")
@click.option("--public-key", metavar="KEY", help=KEY_HELP)
@click.option("--snapshots", is_flag=True, help="Also fold each stream and compare its snapshots.")
@click.option("--restore-documents", is_flag=True, help="Store lost documents of settlements again.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def verify(  # noqa: PLR0917 - click passes each option by name
    first: int | None,
    last: int | None,
    log: str | None,
    since: str | None,
    no_map: bool,
    public_key: str | None,
    snapshots: bool,
    restore_documents: bool,
    as_json: bool,
) -> None:
    """Recompute the ledger from the log, and find whatever was changed, removed, inserted or reordered."""
    from interfaces.bootstrap import verify_ledger, verify_settlements, verify_snapshots

    witness, span = _witness(since), _span(first, last)
    started = time.monotonic()
    with opened_stores() as stores, _progress() as tell:
        report = verify_ledger(
            stores,
            logs=[log] if log else LOG_NAMES,
            span=span,
            witness=witness,
            with_map=not no_map,
            given_key=public_key,
            progress=tell,
        )
        settled = None
        if log != "forecasts":
            settled = verify_settlements(
                stores, span=span, restore=restore_documents, progress=partial(tell, "settlements")
            )
        compared = None
        if snapshots:
            compared = verify_snapshots(
                stores.settings, stores.pool, stores.clock, partial(tell, "snapshots")
            )
    seconds = time.monotonic() - started
    if as_json:
        also: dict[str, Any] = {} if compared is None else {"snapshots": compared}
        also |= {} if settled is None else {"settlements": settled}
        print_json({**msgspec.structs.asdict(report), **also, "seconds": round(seconds, 3)})
    else:
        _print_report(report, seconds)
        if settled is not None:
            print_settlements(settled)
        if compared is not None:
            print_snapshots(compared)
    are_settled = settled is None or settled.holds
    if not report.verified or not are_settled:
        click.echo("what to do now: docs/runbooks/ledger_mismatch.md", err=True)
    elif compared is not None and not compared.holds:
        click.echo("what to do now: docs/runbooks/snapshot_forged.md", err=True)
    if not report.verified or not are_settled or (compared is not None and not compared.holds):
        raise click.exceptions.Exit(DOES_NOT_HOLD)


def _span(first: int | None, last: int | None) -> Span | None:
    from application.ledger.verification_report import Span
    from domain.ledger.entries import MAX_POSITION, MIN_POSITION

    if first is None and last is None:
        return None
    span = Span(MIN_POSITION if first is None else first, MAX_POSITION if last is None else last)
    if span.last < span.first:
        raise click.UsageError(f"--from {first} is after --to {last}")
    return span


def _witness(given: str | None) -> WitnessCheckpoint | None:
    from application.ledger.witness import NoCheckpoint
    from interfaces.bootstrap import read_witness_checkpoint

    try:
        return None if given is None else read_witness_checkpoint(given)
    except NoCheckpoint as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _progress() -> Iterator[Any]:
    """Shows a progress bar for each log in turn."""
    open_bar: list[Any] = []

    def close() -> None:
        if open_bar:
            open_bar.pop()[1].__exit__(None, None, None)

    def tell(log: str, done: int, total: int) -> None:
        if not open_bar or open_bar[0][0] != log:
            close()
            bar = progress_of(total, f"verifying {log}")
            open_bar.append((log, bar, bar.__enter__()))
        open_bar[0][2](done)

    try:
        yield tell
    finally:
        close()


def _print_report(report: LedgerReport, seconds: float) -> None:
    print_table(
        ["log", "verified", "sealed up to", "newest", "not sealed yet"],
        [(log.log, log.domain_events, log.sealed_to, log.head, log.unsealed) for log in report.logs],
    )
    if report.findings:
        print_table(
            ["what", "log", "position", "found"],
            [
                (
                    found.kind,
                    found.log,
                    found.position if found.through is None else f"{found.position} to {found.through}",
                    found.detail,
                )
                for found in report.findings
            ],
        )
    if report.stream_map is not None and not any(found.kind == "map" for found in report.findings):
        click.echo(
            f"the map of {report.stream_map.streams} streams under checkpoint {report.stream_map.checkpoint} is that "
            "of the log"
        )
    if report.witness is not None and not any(f.kind in NOT_EXTENDED for f in report.findings):
        click.echo(f"the ledger extends checkpoint {report.witness}, which you kept")
    more = sum(log.more_findings for log in report.logs)
    said = f"DOES NOT HOLD: {len(report.findings) + more} findings" if report.findings else "holds"
    domain_events = sum(log.domain_events for log in report.logs)
    click.echo(
        f"the ledger {said}; {domain_events} domain events under {report.checkpoints} checkpoints in "
        f"{seconds:.2f} s, signed by {report.public_key}"
    )


@click.command("prove", epilog=PROVE_EXAMPLE)
@click.argument("reference", metavar="ID")
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to write the proof; a file that is there is not overwritten.",
)
def prove(reference: str, out: Path) -> None:
    """Write a self-contained proof of one DR event's history; ID is ours or the utility's."""
    from interfaces.bootstrap import prove_dr_event
    from projections.audit.replay import resolve_dr_event

    with opened_stores() as stores:
        document = prove_dr_event(stores, resolve_dr_event(stores.stream_log(), reference))
    try:
        with out.open("xb") as file:
            file.write(document.written())
    except OSError as error:
        raise click.ClickException(f"the proof was not written: {error}; name another file") from error
    checkpoint = document.signed_checkpoint.checkpoint
    print_fields(
        [
            ("DR event", document.dr_event_id),
            ("domain events", len(document.domain_events)),
            ("readings", _readings_field(document)),
            ("checkpoint", f"{checkpoint.number} of {checkpoint.at:%Y-%m-%d %H:%M:%SZ}"),
            ("public key", document.signed_checkpoint.public_key),
            ("written to", out),
        ]
    )


def _readings_field(document: AnyProof) -> str:
    readings = getattr(document, "readings", ())
    without = sum(1 for one in readings if one.left_out)
    return f"of {len(readings) - without} facilities" + (f"; none stored of {without}" if without else "")


@click.command("check", epilog=CHECK_EXAMPLE)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--public-key", metavar="KEY", help=KEY_HELP)
@click.option("--since", metavar="CHECKPOINT", help="A checkpoint that you kept: a file, or NUMBER:DIGEST.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def check(file: Path, public_key: str | None, since: str | None, as_json: bool) -> None:
    """Check a proof, and compute its measurements again, without a database."""
    from application.ledger.consistency import VerifiedConsistency
    from interfaces.bootstrap import check_audit_file, read_public_key

    content, witness = file.read_bytes(), _witness(since)
    key = None if public_key is None else read_public_key(public_key)
    try:
        checked, recomputed = check_audit_file(content, key, witness)
    except ProofBroken as error:
        if as_json:
            print_json({"holds": False, "wrong": str(error)})
        click.echo(f"DOES NOT HOLD: {printable(str(error))}", err=True)
        raise click.exceptions.Exit(DOES_NOT_HOLD) from error
    differs = recomputed is not None and recomputed.differs
    if as_json:
        caution = {"caution": NOT_COMPLETE} if getattr(checked, "complete", True) is False else {}
        again = {} if recomputed is None else {"recomputed": recomputation_document(recomputed)}
        print_json({"holds": not differs, **msgspec.structs.asdict(checked), **caution, **again})
    else:
        print_fields(
            _of_consistency(checked) if isinstance(checked, VerifiedConsistency) else _of_proof(checked)
        )
        if not checked.key_was_given:
            click.echo(
                "compare that key with the one the operator has published, or give it with --public-key"
            )
        if recomputed is not None:
            print_recomputation(recomputed)
    if differs:
        click.echo("DOES NOT HOLD: measurements differ from what the file gives", err=True)
        raise click.exceptions.Exit(DOES_NOT_HOLD)


def _of_proof(proven: VerifiedProof) -> list[tuple[str, Any]]:
    return [
        ("DR event", proven.dr_event_id),
        ("domain events", f"{proven.domain_events}, as they were sealed"),
        ("dispatches", proven.dispatches),
        ("complete", COMPLETE if proven.complete else NOT_COMPLETE),
        ("checkpoint", proven.checkpoint),
        ("sealed at", proven.sealed_at),
        ("public key", proven.public_key),
    ]


def _of_consistency(proven: VerifiedConsistency) -> list[tuple[str, Any]]:
    return [
        ("checkpoint", f"{proven.later} extends checkpoint {proven.earlier}"),
        ("sealed at", f"{proven.later_sealed_at} and {proven.earlier_sealed_at}"),
        ("public key", proven.public_key),
    ]
