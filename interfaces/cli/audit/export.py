"""`gridproof audit export`: writes the steps of one DR event, or of all, to files."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from interfaces.cli.console.printing import print_json, progress_of
from interfaces.cli.console.session import opened_stores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from interfaces.bootstrap import Stores
    from projections.audit.steps import AuditTrailRow

EXAMPLE = """
\b
Examples:
  gridproof audit export --out export/
  gridproof audit export --dr-event UTIL-2026-0042 --format jsonl,csv,parquet --out export/

One line or row for each step: who did what, when, why, and caused by which. ID is ours, or the utility's own.
All steps up to the log's head as it was at the start; it says which position that was. Where the audit trail is
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
    """Every step of a DR event, or of all of them, in files for other programs."""
    from interfaces.cli.audit.step_files import export_steps

    with opened_stores() as stores:
        head = stores.stream_log().head()
        stores.projection_waits().wait_for("audit_trail", head, timeout_s=CAUGHT_UP_WITHIN_S)
        with progress_of(head, "positions") as progress:
            steps, files = export_steps(_steps(stores, reference, head, progress), formats, folder)
    if as_json:
        print_json({"steps": steps, "up_to_position": head, "files": [str(file) for file in files]})
        return
    for file in files:
        click.echo(f"{steps} steps up to position {head} of the log in {file}")


def _steps(
    stores: "Stores", reference: str | None, head: int, progress: "Callable[[int], None]"
) -> "Iterator[AuditTrailRow]":
    """The steps up to position `head`, in log order. Raises DREventNotRecorded."""
    from projections.audit.replay import DREventNotRecorded, resolve_dr_event
    from projections.queries.views import all_rows

    filters, found = dict[str, str](), False
    if reference is not None:
        filters["dr_event_id"] = str(resolve_dr_event(stores.stream_log(), reference))
    for step in all_rows(stores.read_models().audit_trail, **filters):
        if step.position > head:
            break
        found = True
        progress(step.position)
        yield step
    if reference is not None and not found:
        raise DREventNotRecorded(
            f"no step of {reference} is known; list DR events with `gridproof dr-events list`"
        )
