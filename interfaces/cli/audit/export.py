"""`gridproof audit export`: writes the steps of one DR event, or the whole log, to files."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from interfaces.cli.console.printing import print_answer, progress_of
from interfaces.cli.console.session import opened_stores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from interfaces.bootstrap import Stores
    from projections.audit.steps import AuditTrailRow
    from projections.audit.whole_log import AuditRow

EXAMPLE = """
\b
Examples:
  gridproof audit export --out export/
  gridproof audit export --dr-event UTIL-2026-0042 --format jsonl,csv,parquet --out export/

One line or row for each step: who did what, when, why, and caused by which. ID is ours, or the utility's own. Without
--dr-event it is every position of the log: the steps of all DR events (`type` step), and everything else (`type` act).
All of it up to the log's head as it was at the start; it says which position that was. Where the audit trail is
behind the log, it waits until it is not, and writes nothing where that takes too long. A file that is there already
is not overwritten.
"""
CAUGHT_UP_WITHIN_S = 30.0
"""If the audit trail lags for longer, its projector is not running or stuck."""

KNOWN_FORMATS = ("jsonl", "csv", "parquet")


def _formats(written: str) -> tuple[str, ...]:
    named = tuple(name.strip() for name in written.split(","))
    for name in named:
        if name not in KNOWN_FORMATS:
            raise click.BadParameter(f"{name!r} is none of {', '.join(KNOWN_FORMATS)}")
    return named


@click.command("export", epilog=EXAMPLE)
@click.option("--dr-event", "reference", metavar="ID", help="Of this DR event alone.")
@click.option(
    "--format",
    "formats",
    type=_formats,
    metavar="FORMATS",
    default="jsonl",
    show_default=True,
    help="jsonl, csv or parquet; several with commas between.",
)
@click.option(
    "--out",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write to; made where it is not there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def export(reference: str | None, formats: tuple[str, ...], folder: Path, as_json: bool) -> None:
    """Every step of a DR event, or every position of the log, in files for other programs."""
    from interfaces.cli.audit.step_files import export_steps

    with opened_stores() as stores:
        head = stores.stream_log().head()
        stores.projection_waits().wait_for("audit_trail", head, timeout_s=CAUGHT_UP_WITHIN_S)
        with progress_of(head, "positions") as progress:
            steps, files = export_steps(_steps(stores, reference, head, progress), formats, folder)
    print_answer(
        {"steps": steps, "up_to_position": head, "files": [str(file) for file in files]},
        lambda: click.echo(
            "\n".join(f"{steps} steps up to position {head} of the log in {file}" for file in files)
        ),
        as_json=as_json,
    )


def _steps(
    stores: "Stores", reference: str | None, head: int, progress: "Callable[[int], None]"
) -> "Iterator[AuditRow]":
    """The steps up to position `head`, in log order. Raises DREventNotRecorded."""
    from projections.audit.replay import DREventNotRecorded, resolve_dr_event
    from projections.audit.whole_log import every_row
    from projections.queries.views import all_rows

    trail, found = stores.read_models().audit_trail, False
    rows: Iterator[AuditRow]
    if reference is None:
        rows = every_row(stores.stream_log(), trail.by_key, until=head)
    else:
        dr_event_id = resolve_dr_event(stores.stream_log(), reference)
        steps: Iterator[AuditTrailRow] = all_rows(trail, dr_event_id=str(dr_event_id))
        rows = steps
    for row in rows:
        if row.position > head:
            break
        found = True
        progress(row.position)
        yield row
    if reference is not None and not found:
        raise DREventNotRecorded(
            f"no step of {reference} is known; list DR events with `gridproof dr-events list`"
        )
