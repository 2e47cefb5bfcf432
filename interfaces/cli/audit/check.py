"""`gridproof audit check`: checks a proof offline, and computes its measurements and settlements again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from application.ledger.consistency import VerifiedConsistency
from application.ledger.proof_document import ProofBroken
from interfaces.cli.audit.conclusion import conclusion_of
from interfaces.cli.audit.ledger import DOES_NOT_HOLD, KEY_HELP, witness_checkpoint
from interfaces.cli.audit.recomputation import print_recomputation, recomputation_document
from interfaces.cli.audit.recomputed_settlement import print_recomputed_settlements, settlements_document
from interfaces.cli.console.printing import print_fields, print_json, printable

if TYPE_CHECKING:
    from application.ledger.checked_file import CheckedFile, ProvenSubject
    from application.ledger.proof_check import VerifiedProof

CHECK_EXAMPLE = """
\b
Examples:
  gridproof audit check proof.json --public-key ledger.pub
  gridproof audit check proof.json

FILE is a proof, or the answer of GET /api/audit/ledger/consistency?from=N. Without --public-key it is held against the
key in it: compare that with the one the operator has published. --since CHECKPOINT is one that you kept (see
`gridproof audit verify --help`): a consistency proof must begin with it, and a proof must not be older.

A proof has the readings that its measurements used: baselines and delivered kW are computed again from them, the
program's terms and the recorded calendar. A proof of a DR event that was settled has the documents of its settlements:
each revision is computed again, to the cent, from the rule in the terms, the DR event and the measurements, and held
against what was signed; the newest one also from the readings. What differs is named with what was recorded and what
was recomputed; the last sentence says what is proven and what is not.

\b
Exit status:
  0  the file proves what it says, and nothing that was recomputed differs. What is `not recomputed` is no error:
     the lines that begin with `recomputed` say how many were
  1  the file, the key or the checkpoint that was kept cannot be read
  2  wrong usage
  3  the file does not prove what it says, or something differs; it is named
"""
COMPLETE = "nothing of the DR event, its dispatches and its program up to the checkpoint is missing"
_HOW = "The measurements: from the readings in the file, the terms, and the recorded calendars"


@click.command("check", epilog=CHECK_EXAMPLE)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--public-key", metavar="KEY", help=KEY_HELP)
@click.option("--since", metavar="CHECKPOINT", help="A checkpoint that you kept: a file, or NUMBER:DIGEST.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def check(file: Path, public_key: str | None, since: str | None, as_json: bool) -> None:
    """Check a proof, and compute its measurements and settlements again, without a database."""
    from interfaces.bootstrap import check_audit_file, read_public_key

    content, witness = file.read_bytes(), witness_checkpoint(since)
    key = None if public_key is None else read_public_key(public_key)
    try:
        found = check_audit_file(content, key, witness)
    except ProofBroken as error:
        if as_json:
            print_json({"holds": False, "wrong": str(error)})
        click.echo(f"DOES NOT HOLD: {printable(str(error))}", err=True)
        raise click.exceptions.Exit(DOES_NOT_HOLD) from error
    if as_json:
        print_json(_document(found))
    elif isinstance(found.checked, VerifiedConsistency):
        print_fields(_of_consistency(found.checked))
        _print_advice(found)
    else:
        _print_proof(found, found.checked)
    if found.differs:
        click.echo(f"DOES NOT HOLD: {_what_differs(found)} what the file gives", err=True)
        raise click.exceptions.Exit(DOES_NOT_HOLD)


def _document(found: CheckedFile) -> dict[str, Any]:
    checked = found.checked
    document = {"holds": not found.differs, **msgspec.structs.asdict(checked)}
    if isinstance(checked, VerifiedConsistency):
        return document
    if found.subject is not None:
        document["subject"] = found.subject
    if found.measurements is not None:
        document["recomputed"] = recomputation_document(found.measurements)
    if found.settlements is not None:
        document["settlements"] = settlements_document(found.settlements)
    return {**document, "conclusion": conclusion_of(found, checked)}


def _print_proof(found: CheckedFile, checked: VerifiedProof) -> None:
    print_fields([("DR event", checked.dr_event_id), *_of_subject(found.subject), *_of_proof(checked)])
    _print_advice(found)
    if found.measurements is not None:
        click.echo(f"\n{_HOW}")
        print_recomputation(found.measurements)
    if found.settlements is not None:
        print_recomputed_settlements(found.settlements)
    click.echo(f"\n{printable(conclusion_of(found, checked))}")


def _print_advice(found: CheckedFile) -> None:
    if not found.checked.key_was_given:
        click.echo("compare that key with the one the operator has published, or give it with --public-key")


def _what_differs(found: CheckedFile) -> str:
    parts = {"measurements": found.measurements, "settlements": found.settlements}
    names = [name for name, part in parts.items() if part is not None and part.differs]
    return f"{' and '.join(names)} differ from"


def _of_subject(subject: ProvenSubject | None) -> list[tuple[str, Any]]:
    if subject is None:
        return []
    window = None
    if subject.starts_at is not None and subject.ends_at is not None:
        window = f"{subject.starts_at:%Y-%m-%d %H:%M:%SZ} to {subject.ends_at:%Y-%m-%d %H:%M:%SZ}"
    program = None
    if subject.program_id is not None:
        program = f"{subject.program_id!a}, accepted under version {subject.program_version}"
    return [
        ("utility", f"{subject.utility_id!a}, its DR event {subject.utility_event_id!a}"),
        ("program", program),
        ("window", window),
        ("status", f"{subject.status}; {subject.settlement_status.replace('_', ' ')}"),
    ]


def _of_proof(proven: VerifiedProof) -> list[tuple[str, Any]]:
    return [
        ("domain events", f"{proven.domain_events}, as they were sealed"),
        ("dispatches", proven.dispatches),
        ("complete", COMPLETE),
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
