"""`gridproof projections`: shows the read models' progress, verifies and rebuilds them."""

from typing import TYPE_CHECKING, Any

import click
import msgspec

from interfaces.cli.console.printing import print_answer, print_json, print_table, progress_of
from interfaces.cli.console.session import opened_stores

if TYPE_CHECKING:
    from projections.engine.maintenance import ProjectionMaintenance
    from projections.engine.projection import AnyProjection

LIST_EXAMPLE = """
\b
Example:
  gridproof projections list --json
"""
REBUILD_EXAMPLE = """
\b
Examples:
  gridproof projections rebuild dr_events
  gridproof projections rebuild --all
  gridproof projections rebuild dispatches --workers 4

The live rows are read until the new ones are complete; then they are swapped in one transaction. Workers go on.
A rebuild that was killed is gone on with.
"""
VERIFY_EXAMPLE = """
\b
Examples:
  gridproof projections verify portfolio
  gridproof projections verify --all --json

Exit status 3: a read model differs from the log; its first difference is named.
"""
DIFFERS = 3


@click.group("projections", epilog=LIST_EXAMPLE)
def projections_group() -> None:
    """Read models: positions, rebuild from zero, comparison with the log."""


@projections_group.command("list", epilog=LIST_EXAMPLE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_projections(as_json: bool) -> None:
    """How far each has come, and which one is stopped."""
    with opened_stores() as stores:
        positions = stores.read_models().positions()
    print_answer(
        {"projections": [{**msgspec.structs.asdict(found), "lag": found.lag} for found in positions]},
        lambda: print_table(
            ["projection", "version", "position", "head", "lag", "moved at", "stopped"],
            [
                (
                    found.name,
                    found.version,
                    found.position,
                    found.head,
                    found.lag,
                    found.updated_at,
                    f"at {found.stopped_at}: {found.stopped_reason}" if found.stopped_at is not None else "",
                )
                for found in positions
            ],
        ),
        as_json=as_json,
    )


@projections_group.command("rebuild", epilog=REBUILD_EXAMPLE)
@click.argument("name", required=False)
@click.option("--all", "every", is_flag=True, help="Every one, one after the other.")
@click.option(
    "--workers",
    type=click.IntRange(1, 32),
    default=1,
    show_default=True,
    help="Processes to fold in.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def rebuild(name: str | None, every: bool, workers: int, as_json: bool) -> None:
    """Fold the whole log anew, beside the live rows, and swap."""
    chosen = _chosen(name, every=every)
    reports = []
    with opened_stores() as stores:
        for projection in chosen:
            with progress_of(stores.events.head(), projection.name) as tell:
                report = _maintenance(stores).rebuild(
                    projection, workers=workers, progress=lambda done, _: tell(done)
                )
            reports.append(report)
    lines = (
        f"{report.name}: {report.domain_events} domain events, up to position {report.position}, "
        f"{report.rows} rows in {report.seconds:.1f} s, swapped in {report.swap_ms:.1f} ms"
        for report in reports
    )
    print_answer({"rebuilt": reports}, lambda: click.echo("\n".join(lines)), as_json=as_json)


@projections_group.command("verify", epilog=VERIFY_EXAMPLE)
@click.argument("name", required=False)
@click.option("--all", "every", is_flag=True, help="Every one, one after the other.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def verify(name: str | None, every: bool, as_json: bool) -> None:
    """Compare the live rows with a fresh fold of the log, in memory."""
    chosen = _chosen(name, every=every)
    reports = []
    with opened_stores() as stores:
        for projection in chosen:
            with progress_of(stores.events.head(), projection.name) as tell:
                report = _maintenance(stores).verify(projection, progress=lambda done, _: tell(done))
            reports.append(report)
    if as_json:
        print_json(
            {"verified": [{**msgspec.structs.asdict(report), "equal": report.equal} for report in reports]}
        )
    else:
        for report in reports:
            said = "equal" if report.equal else f"DIFFERS: {report.first_difference}"
            click.echo(f"{report.name}: {report.rows} rows at position {report.position}, {said}")
    if not all(report.equal for report in reports):
        click.echo("make it anew: gridproof projections rebuild NAME", err=True)
        raise click.exceptions.Exit(DIFFERS)


def _chosen(name: str | None, *, every: bool) -> "list[AnyProjection]":
    from projections.registry import PROJECTIONS, UnknownProjection, projection_named

    if every == (name is not None):
        raise click.UsageError("name one projection, or say --all; `gridproof projections list` shows them")
    if name is None:
        return list(PROJECTIONS)
    try:
        return [projection_named(name)]
    except UnknownProjection as error:
        raise click.UsageError(str(error)) from error


def _maintenance(stores: Any) -> "ProjectionMaintenance":
    maintenance: ProjectionMaintenance = stores.projection_maintenance()
    return maintenance
