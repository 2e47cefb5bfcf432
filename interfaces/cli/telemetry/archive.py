"""`gridproof telemetry archive status|verify|show|restore`: the raw archive of the telemetry log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import click
import msgspec

from application.ports.operations.alerts import every_open_alert
from interfaces.cli.console.parameter_types import moment
from interfaces.cli.console.printing import print_answer, print_fields, print_json, print_table, progress_of
from interfaces.cli.console.session import command_context, current_settings, opened_stores
from interfaces.cli.telemetry.archive_originals import show

if TYPE_CHECKING:
    from application.raw_archive.archived_packs import RestoreSelection
    from application.raw_archive.decode_again import DecodeAgainReport
    from application.raw_archive.restore import OnProgress, RestoreReport
    from application.raw_archive.verification import ArchiveReport
    from interfaces.bootstrap import Stores

EXAMPLE = """
\b
Examples:
  gridproof telemetry archive status
  gridproof telemetry archive verify --json
  gridproof telemetry archive restore --from 2026-03-01T00:00:00Z --to 2026-03-08T00:00:00Z --dry-run

`gridproof worker archive` fills it; where it is, GRIDPROOF_ARCHIVE_URL says.
"""
RESTORE_EXAMPLE = """
\b
Examples:
  gridproof telemetry archive restore --from 2026-03-01T00:00:00Z --to 2026-03-08T00:00:00Z
  gridproof telemetry archive restore --from 2026-03-01T00:00:00Z --to 2026-03-02T00:00:00Z --facility fac-001 --json

Readings count by when they were measured. They are written as the aggregate worker writes them, into the same rows and
intervals; what is stored already is left as it is. Days older than GRIDPROOF_TELEMETRY_RAW_DAYS stay for
GRIDPROOF_TELEMETRY_RESTORED_DAYS; InfluxDB takes none of them: raise the former and `gridproof migrate` first.

Malformed messages count by when they were received. They are dead letters again; one that still is stays as it is.

--decode-again repairs an error of the decoder: it reads the original messages again, and stores what it reads otherwise
as corrections, which reach the measurements. What a meter corrected itself stays. --dry-run says how many there are.
"""
VERIFY_EXAMPLE = """
\b
Example:
  gridproof telemetry archive verify

Reads every object. Exit status 3: something is not what was archived; each finding names it. No running system is
needed.
"""
STATUS_EXAMPLE = """
\b
Example:
  gridproof telemetry archive status --json
"""
DOES_NOT_HOLD = 3


@click.group("archive", epilog=EXAMPLE)
def archive_group() -> None:
    """Every message of the telemetry log, in files that are written once."""


archive_group.add_command(show)


@archive_group.command("status", epilog=STATUS_EXAMPLE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def status(as_json: bool) -> None:
    """How far the archive is, by partition of the log."""
    from application.raw_archive.manifest import PARTITION_NAMES
    from interfaces.bootstrap import raw_archive_progress

    with opened_stores() as stores:
        partitions = raw_archive_progress(stores).listed()
        behind = [
            alert.detail for alert in every_open_alert(stores.alerts()) if alert.name == "raw_archive_behind"
        ]
        selection = stores.settings.telemetry_archive
    if as_json:
        print_json({"archiving": selection, "behind": behind, "partitions": partitions})
        return
    if not selection:
        click.echo("GRIDPROOF_TELEMETRY_ARCHIVE is false: nothing is archived")
    print_table(
        ["partition", "objects", "archived up to", "complete until", "waiting", "told at"],
        [
            (
                PARTITION_NAMES[one.partition],
                one.objects,
                one.stream_seq,
                one.archived_through,
                one.waiting,
                one.reported_at,
            )
            for one in partitions
        ],
    )
    for detail in behind:
        click.echo(f"BEHIND: {detail}; see docs/runbooks/raw_archive_behind.md")
    if not partitions:
        click.echo("no archive worker has reported yet; does `gridproof worker archive` run?")


@archive_group.command("verify", epilog=VERIFY_EXAMPLE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def verify(as_json: bool) -> None:
    """Every object against the manifest, every entry against the one before."""
    from application.raw_archive.verification import verify_archive
    from interfaces.bootstrap import raw_archive

    with _progress("objects") as on_progress:
        report = verify_archive(raw_archive(current_settings()), on_progress=on_progress)
    print_answer(report, lambda: _print_report(report), as_json=as_json)
    if not report.verified:
        raise click.exceptions.Exit(DOES_NOT_HOLD)


def _print_report(report: ArchiveReport) -> None:
    print_table(
        ["log", "partition", "objects", "messages", "readings", "malformed", "MB", "MB stored", "from", "to"],
        [
            (
                one.log_id,
                one.partition,
                one.objects,
                one.messages,
                one.readings,
                one.malformed,
                one.raw_bytes / 1e6,
                one.stored_bytes / 1e6,
                one.first_seq,
                one.last_seq,
            )
            for one in report.partitions
        ],
    )
    if report.findings:
        print_table(["where", "found"], [(one.where, one.found) for one in report.findings])
    for name in report.not_entered:
        click.echo(f"{name} waits for its entry: its writer was killed, the next one makes it")
    said = f"DOES NOT HOLD: {len(report.findings)} findings" if report.findings else "holds"
    click.echo(f"the raw archive {said}; {sum(one.objects for one in report.partitions)} objects")


@archive_group.command("restore", epilog=RESTORE_EXAMPLE)
@click.option(
    "--from", "starts_at", required=True, type=moment, metavar="T", help="Measured at T or later; ISO 8601."
)
@click.option("--to", "ends_at", required=True, type=moment, metavar="T", help="Measured before T.")
@click.option(
    "--facility",
    "facility_ids",
    multiple=True,
    metavar="ID",
    help="Only this one; may be repeated. [default: all]",
)
@click.option(
    "--decode-again", is_flag=True, help="Read the original messages again, and correct what differs."
)
@click.option("--dry-run", is_flag=True, help="Count what is there, and store nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def restore(
    starts_at: datetime,
    ends_at: datetime,
    facility_ids: tuple[str, ...],
    *,
    decode_again: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Bring the readings of a range back from the archive, and what was malformed in it."""
    from application.raw_archive.archived_packs import RestoreSelection
    from application.raw_archive.decode_again import decode_again as decoded_again
    from application.raw_archive.restore import restore as restored
    from interfaces.bootstrap import meter_readings, raw_archive

    if ends_at <= starts_at:
        raise click.UsageError("--to is not after --from")
    selection = RestoreSelection(
        starts_at=starts_at, ends_at=ends_at, facility_ids=frozenset(facility_ids) or None
    )
    with opened_stores() as stores, _progress("bytes") as on_progress:
        if decode_again:
            if not dry_run:
                _record_decoding(stores, selection)
            report: RestoreReport | DecodeAgainReport = decoded_again(
                raw_archive(stores.settings),
                stores.telemetry(),
                meter_readings(stores),
                stores.listed_meters().among,
                selection,
                rollups=stores.rollups(),
                dry_run=dry_run,
                on_progress=on_progress,
            )
        else:
            report = restored(
                raw_archive(stores.settings),
                stores.telemetry(),
                selection,
                rollups=stores.rollups(),
                dead_letters=stores.dead_letters(),
                dry_run=dry_run,
                on_progress=on_progress,
            )
    if as_json:
        print_json(report)
        return
    fields = msgspec.structs.asdict(report)
    del fields["dry_run"]
    print_fields([(name.replace("_", " "), value) for name, value in fields.items()])
    if dry_run:
        click.echo("dry run: nothing was stored")


def _record_decoding(stores: Stores, selection: RestoreSelection) -> None:
    """Record the act before anything is stored."""
    from application.command_bus.decision_context import provenance_of
    from domain.administration import AdministrativeAct

    provenance = provenance_of(command_context(stores), stores.decision_clock.now())
    act = AdministrativeAct.decode_messages_again(
        provenance,
        starts_at=selection.starts_at,
        ends_at=selection.ends_at,
        facility_ids=sorted(selection.facility_ids or ()),
    )
    stores.act_log().record([act])


@contextmanager
def _progress(what: str) -> Iterator[OnProgress]:
    """Shows a progress bar as soon as the total is available."""
    with ExitStack() as until_read:
        show: Callable[[int], None] | None = None

        def tell(done: int, of: int) -> None:
            nonlocal show
            show = show or until_read.enter_context(progress_of(of, f"{what} read"))
            show(done)

        yield tell
