"""`gridproof capacity`: what a system of a given size needs, and which limit comes first; needs no running system."""

from __future__ import annotations

import click
import msgspec

from application.operations.sizing.estimate import Estimate
from application.operations.sizing.limits import Limit
from application.operations.sizing.load import (
    DR_EVENTS_PER_YEAR,
    MOST_DR_EVENTS,
    MOST_FACILITIES,
    MOST_METERS,
    USERS,
    SystemLoad,
)
from interfaces.cli.console.printing import print_json, print_table

EXAMPLE = """
\b
Examples:
  gridproof capacity --facilities 200 --meters 2000
  gridproof capacity --facilities 10000 --meters 100000 --dr-events-per-year 100
  gridproof capacity --facilities 10000 --meters 100000 --json
  GRIDPROOF_TELEMETRY_RAW_DAYS=15 gridproof capacity --facilities 10000 --meters 100000

Computed from figures that `make bench NAME=capacity-run` measured (docs/benchmarks.md), without a running system. It is
sized for meters that send alone every 15 s, and DR events that ask every facility. The settings say how many days of
what are kept. docs/guides/scale.md says which engine carries what is outgrown.
"""
GB = 1e9
SHOWN_LIMITS = 5


@click.command("capacity", epilog=EXAMPLE)
@click.option(
    "--facilities", required=True, type=click.IntRange(1, MOST_FACILITIES), help="Buildings in the portfolio."
)
@click.option(
    "--meters", required=True, type=click.IntRange(0, MOST_METERS), help="Meters of all facilities."
)
@click.option(
    "--dr-events-per-year",
    type=click.IntRange(0, MOST_DR_EVENTS),
    default=DR_EVENTS_PER_YEAR,
    show_default=True,
    help="Each asks every facility.",
)
@click.option(
    "--users",
    type=click.IntRange(0, 100_000),
    default=USERS,
    show_default=True,
    help="Of the dashboard, at the same time.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def capacity(*, facilities: int, meters: int, dr_events_per_year: int, users: int, as_json: bool) -> None:
    """The needs of a system of this size, and which limit comes first."""
    from application.operations.sizing.limits import limits_of
    from interfaces.bootstrap.offline import estimator
    from interfaces.cli.console.session import current_settings

    load = SystemLoad(
        facilities=facilities, meters=meters, dr_events_per_year=dr_events_per_year, users=users
    )
    size = estimator(current_settings())
    found, limits = size(load), limits_of(load, size)
    if as_json:
        print_json({**msgspec.to_builtins(found), "limits": limits})
        return
    _print_processes(found)
    _print_stores(found)
    _print_limits(limits)


def _print_processes(found: Estimate) -> None:
    rows = [
        (name, need.count, f"{need.cores:.2f}", f"{need.memory_mib:,.0f}", need.connections or None)
        for name, need in (*found.processes.items(), *found.servers.items())
    ]
    total = ("all", None, f"{found.cores:.2f}", f"{found.memory_mib:,.0f}", found.connections.budget)
    print_table(("process", "count", "cores", "memory MiB", "connections"), [*rows, total])
    click.echo(
        f"{found.readings_per_s:,.0f} readings/s. PostgreSQL: max_connections {found.connections.max_connections} "
        f"(the {found.connections.budget} include one command). Cores are those during a DR event."
    )


def _print_stores(found: Estimate) -> None:
    print_table(
        ("stream", "limit GB", "messages/s", "consumers"),
        [
            (one.name, f"{one.limit_bytes / GB:,.1f}", f"{one.messages_per_s:,.1f}", one.consumers)
            for one in found.streams
        ],
    )
    print_table(
        ("new data", "GB a day"), [(name, f"{size / GB:,.2f}") for name, size in found.disk.a_day.items()]
    )
    print_table(
        ("disk", "GB after a year"), [(name, f"{size / GB:,.0f}") for name, size in found.disk.held.items()]
    )
    click.echo(
        f"A full backup has about {found.full_backup_bytes / GB:,.1f} GB. Of the telemetry log's partitions "
        f"{found.partitions_used} are worked on side by side."
    )


def _print_limits(limits: list[Limit]) -> None:
    print_table(
        ("limit", "used", "reached at facilities", "what to do"),
        [
            (
                limit.name,
                f"{limit.share:.0%}",
                None if limit.facilities is None else f"{limit.facilities:,}",
                limit.action,
            )
            for limit in limits[:SHOWN_LIMITS]
        ],
    )
    first = limits[0]
    state = "is exceeded" if first.share > 1 else "comes first"
    click.echo(f"{first.name} {state}: {first.action}.")
