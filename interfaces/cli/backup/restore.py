"""`gridproof restore`: restores the embedded PostgreSQL to a moment, and records it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from interfaces.cli.backup.commands import backup_settings, progress
from interfaces.cli.console.parameter_types import moment
from interfaces.cli.console.printing import print_answer, print_fields
from interfaces.cli.console.session import login_name

if TYPE_CHECKING:
    from interfaces.bootstrap.backup.backups import RestoredDatabase

EXAMPLE = """
\b
Examples:
  gridproof backup list
  gridproof restore --to 2026-11-29T02:15:00Z
  gridproof restore --to latest --yes --json
  gridproof restore --adopt                        # after pgBackRest restored the files, or to finish one that was
  gridproof restore --adopt --to 2026-11-29T02:15:00Z   # interrupted; see docs/guides/backup.md

Stop `gridproof up` (or all workers) first. The moment is one of the wall clock. The database of before stays beside the
restored one. The restore is recorded in the log and in the next checkpoint, so that whoever kept a checkpoint of the
lost interval is told of it (`gridproof audit verify --since`). Meter readings are taken from the telemetry log once
more, and each building is asked whether it does what the log no longer knows: the workers do the rest when they start.
"""
LATEST = "latest"


@click.command("restore", epilog=EXAMPLE)
@click.option("--to", "to", metavar="T", help="A time with its offset, as 2026-11-29T02:15:00Z, or `latest`.")
@click.option("--backup", metavar="NAME", help="Begin with this backup; the newest one before T if left out.")
@click.option("--adopt", is_flag=True, help="Record what was restored by pgBackRest, or finish a restore.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def restore(*, to: str | None, backup: str | None, adopt: bool, yes: bool, as_json: bool) -> None:
    """Bring the database back to a moment, and record that."""
    from interfaces.bootstrap.backup.backups import adopt_restore, restore_database

    if to is None and not adopt:
        raise click.UsageError("say to which moment: --to 2026-11-29T02:15:00Z, or --to latest")
    if adopt and backup is not None:
        raise click.UsageError("--adopt takes no --backup: the files are restored already")
    target = None if to in {None, LATEST} else moment(str(to))
    if not yes:
        click.confirm(_question(target, adopt=adopt), abort=True, err=True)
    settings = backup_settings()
    with progress() as tell:
        if adopt:
            done = adopt_restore(settings, target, login=login_name())
        else:
            done = restore_database(settings, target, backup=backup, login=login_name(), progress=tell)
    print_answer(done, lambda: _print(done), as_json=as_json)


def _question(target: datetime | None, *, adopt: bool) -> str:
    if adopt:
        return "Record for ever that this database was restored?"
    to = "the end of the archived log" if target is None else f"{target:%Y-%m-%d %H:%M:%SZ}"
    return f"Restore the database to {to}, and record for ever that what came after it is lost?"


def _print(done: RestoredDatabase) -> None:
    recorded = done.recorded
    lost = [
        f"{one.lost} of {one.log} (after position {one.restored_position}, up to {one.archived_position})"
        for one in recorded.lost
        if one.lost
    ]
    print_fields(
        [
            ("backup", None if done.recovered is None else done.recovered.backup),
            ("restored to", "latest" if recorded.target_at is None else recorded.target_at),
            ("restored in", None if done.recovered is None else f"{done.recovered.seconds:.1f} s"),
            ("recorded by", recorded.by),
            ("checkpoint", f"{recorded.checkpoint}, which extends {recorded.extends_checkpoint}"),
            ("sealed and lost", lost or "nothing"),
            ("telemetry again", f"{recorded.readings or 0} messages"),
            ("buildings asked", recorded.buildings),
            ("database of before", done.former),
        ]
    )
    if recorded.readings is None:
        click.echo("no NATS is known: set GRIDPROOF_NATS_URL, and record it again with --adopt", err=True)
    click.echo("now start `gridproof up`, or the workers; then: gridproof audit verify")
