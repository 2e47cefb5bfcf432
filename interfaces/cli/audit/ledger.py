"""`gridproof audit verify|prove`: verifies the ledger, and makes proofs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from interfaces.cli.audit.verification_output import print_ledger, print_settlements, print_snapshots
from interfaces.cli.console.printing import print_fields, print_json, progress_of
from interfaces.cli.console.session import opened_stores

if TYPE_CHECKING:
    from application.ledger.proof_document import ProofDocument
    from application.ledger.verification_report import Span
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
GET /api/audit/ledger, or number and digest as a callback carried them. A log that was rolled back or forked is found;
one that was restored from a backup says so, and which interval was lost.
"""
PROVE_EXAMPLE = """
\b
Example:
  gridproof audit prove UTIL-2026-0042 --out proof.json

The file has the domain events of the DR event, of its program, dispatches and reservations, all that it takes to check
them and that none is missing, the readings from which its measurements are computed again, and the documents of its
settlements: anybody can compute them again with `gridproof audit check`, without this system.
"""
DOES_NOT_HOLD = 3
LOG_NAMES = ("demand-response", "forecasts")
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

    witness, span = witness_checkpoint(since), _span(first, last)
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
        print_ledger(report, seconds)
        if settled is not None:
            print_settlements(settled)
        if compared is not None:
            print_snapshots(compared)
    are_settled = settled is None or settled.holds
    if not report.verified or not are_settled:
        click.echo("what to do now: docs/runbooks/ledger_mismatch.md", err=True)
    elif compared is not None and not compared.holds:
        click.echo("what to do now: docs/runbooks/snapshot_forged.md", err=True)
    if report.findings or not are_settled or (compared is not None and not compared.holds):
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


def witness_checkpoint(given: str | None) -> WitnessCheckpoint | None:
    """The checkpoint of the option `--since`."""
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
            ("settlements", _settlements_field(document)),
            ("checkpoint", f"{checkpoint.number} of {checkpoint.at:%Y-%m-%d %H:%M:%SZ}"),
            ("public key", document.signed_checkpoint.public_key),
            ("written to", out),
        ]
    )


def _readings_field(document: ProofDocument) -> str:
    readings = document.readings
    without = sum(1 for one in readings if one.left_out)
    return f"of {len(readings) - without} facilities" + (f"; none stored of {without}" if without else "")


def _settlements_field(document: ProofDocument) -> str | None:
    settlements = document.settlements
    without = sum(1 for one in settlements if one.left_out)
    if not settlements:
        return None
    return f"of {len(settlements) - without} revisions" + (f"; none of {without}" if without else "")
