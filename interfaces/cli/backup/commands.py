"""`gridproof backup`: takes, lists and tries backups of the embedded PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from interfaces.cli.console.printing import print_answer, print_fields, print_json, print_table, progress_of
from interfaces.cli.console.session import current_settings
from interfaces.settings.settings import Settings

EXAMPLE = """
\b
Examples:
  GRIDPROOF_BACKUP_DIR=/mnt/backup gridproof up
  gridproof backup                      # once a day, by cron
  gridproof backup --full
  gridproof backup list
  gridproof backup drill

GRIDPROOF_BACKUP_DIR names the folder, for `gridproof up` as well, which then archives PostgreSQL's log there; between
backups any moment can be restored (`gridproof restore`). A backup is incremental while a full one of the last week is
there. GRIDPROOF_BACKUP_KEEP_FULL full ones are kept, with those that build on them.
An external PostgreSQL is backed up with pgBackRest: docs/guides/backup.md.
"""
LIST_EXAMPLE = """
\b
Example:
  gridproof backup list --json
"""
DRILL_EXAMPLE = """
\b
Examples:
  gridproof backup drill
  gridproof backup drill --backup 20261129T021500000Z-full --json

Restores into a folder of its own beside the running system, to the end of the archived log, verifies the ledger up to
its newest checkpoint, says how long that took, and removes it. Exit status 3: the ledger does not hold.
"""
DOES_NOT_HOLD = 3
MB = 1_000_000


@click.group("backup", epilog=EXAMPLE, invoke_without_command=True)
@click.option("--full", is_flag=True, help="A full backup, also where an incremental one would do.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def backup_group(context: click.Context, *, full: bool, as_json: bool) -> None:
    """Back the embedded PostgreSQL of a running `gridproof up` up."""
    if context.invoked_subcommand is not None:
        if full or as_json:
            raise click.UsageError(f"give options after `backup {context.invoked_subcommand}`")
        return
    from interfaces.bootstrap.backup.backups import refuse_external, take_backup

    settings = backup_settings()
    refuse_external(settings)
    with progress() as tell:
        taken = take_backup(settings, full=full, progress=tell)
    print_answer(
        taken,
        lambda: print_fields(
            [
                ("backup", taken.backup.name),
                ("kind", taken.backup.kind),
                ("size", f"{taken.backup.stored_bytes / MB:,.1f} MB"),
                ("took", f"{taken.seconds:.1f} s"),
                ("restores", f"every moment from {taken.backup.ended_at:%Y-%m-%d %H:%M:%SZ} on"),
                ("removed", taken.removed),
            ]
        ),
        as_json=as_json,
    )


@backup_group.command("list", epilog=LIST_EXAMPLE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_command(*, as_json: bool) -> None:
    """The backups, the oldest first, and until when the log is archived."""
    from interfaces.bootstrap.backup.backups import list_backups

    backups, until = list_backups(backup_settings())
    if as_json:
        print_json({"backups": backups, "archived_until": until})
        return
    print_table(
        ["backup", "kind", "taken at", "size MB", "builds on"],
        [(one.name, one.kind, one.ended_at, one.stored_bytes / MB, one.parent) for one in backups],
    )
    if not backups:
        click.echo("there is none: `gridproof backup` takes one", err=True)
    elif until is not None:
        click.echo(
            f"moments from {backups[0].ended_at:%Y-%m-%dT%H:%M:%SZ} to {until:%Y-%m-%dT%H:%M:%SZ} can be restored"
        )


@backup_group.command("drill", epilog=DRILL_EXAMPLE)
@click.option("--backup", metavar="NAME", help="This backup; the newest one if left out.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def drill(*, backup: str | None, as_json: bool) -> None:
    """Restore the newest backup beside the running system, verify it, and change nothing."""
    from interfaces.bootstrap.backup.backups import drill_restore
    from interfaces.cli.audit.verification_output import print_ledger

    with progress() as tell:
        done = drill_restore(
            backup_settings(),
            backup=backup,
            progress=tell,
            verifying=lambda log, at, total: tell(f"verifying {log}", 100 * at // max(total, 1)),
        )
    if as_json:
        print_json(done)
    else:
        print_ledger(done.ledger, done.verification_s)
        print_fields(
            [
                ("backup", done.recovered.backup),
                ("newest transaction", done.recovered.last_transaction_at),
                ("restored in", f"{done.recovery_s:.1f} s"),
                ("verified in", f"{done.verification_s:.1f} s"),
                ("result", "it can be restored" if done.holds else "THE LEDGER DOES NOT HOLD"),
            ]
        )
    if not done.holds:
        raise click.exceptions.Exit(DOES_NOT_HOLD)


def backup_settings() -> Settings:
    """The settings, with what the system that ran in the data folder last was started with."""
    from interfaces.bootstrap.servers import with_saved_choices

    return with_saved_choices(current_settings())


@contextmanager
def progress() -> Iterator[Any]:
    """Shows a progress bar for each part in turn."""
    open_bar: list[Any] = []

    def close() -> None:
        if open_bar:
            open_bar.pop()[1].__exit__(None, None, None)

    def tell(what: str, per_cent: int) -> None:
        if not open_bar or open_bar[0][0] != what:
            close()
            bar = progress_of(100, what)
            open_bar.append((what, bar, bar.__enter__()))
        open_bar[0][2](per_cent)

    try:
        yield tell
    finally:
        close()
