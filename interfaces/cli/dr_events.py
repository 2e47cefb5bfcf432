"""`gridproof dr-events`: DR events as they stand, or stood, and what an operator may do with them."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, get_args

import click

from domain.dr_event import DREventStatus
from interfaces.cli.parameter_types import moment
from interfaces.cli.printing import print_fields, print_json, print_table
from interfaces.cli.session import command_context, opened_stores, warn_if_behind

if TYPE_CHECKING:
    from uuid import UUID

    from application.deciding import CommandContext
    from interfaces.bootstrap import Stores

LIST_EXAMPLE = """
\b
Examples:
  gridproof dr-events list
  gridproof dr-events list --status active --json
"""
SHOW_EXAMPLE = """
\b
Examples:
  gridproof dr-events show UTIL-2026-0042
  gridproof dr-events show UTIL-2026-0042 --as-of 2026-07-14T21:30:00Z --json

ID is ours, or the utility's own. As of a moment, the state is folded from the log; else it is the read model's.
"""
OVERRIDE_EXAMPLE = """
\b
Example:
  gridproof dr-events override UTIL-2026-0042 --facility fac-007 --reason "meter back, load as usual"
"""
CANCEL_EXAMPLE = """
\b
Example:
  gridproof dr-events cancel UTIL-2026-0042 --reason "asked for by phone"
"""
_OF_EVERY_DR_EVENT = (
    "dr_event_id",
    "utility_id",
    "utility_event_id",
    "status",
    "outcome",
    "settlement_status",
)
_OF_A_ROW = (
    *_OF_EVERY_DR_EVENT, "program_id", "starts_at", "ends_at", "target_kw", "capacity_kw", "shortfall_kw",
    "missing_kw", "delivered_kw", "failed_facilities", "cancellation_reason",
)  # fmt: skip


@click.group("dr-events", epilog=LIST_EXAMPLE)
def dr_events_group() -> None:
    """DR events: list, show, override a blocked dispatch, cancel."""


@dr_events_group.command("list", epilog=LIST_EXAMPLE)
@click.option("--status", type=click.Choice(get_args(DREventStatus)), help="Only those in this state.")
@click.option(
    "--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="At most so many."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_dr_events(status: str | None, limit: int, as_json: bool) -> None:
    """The newest first."""
    with opened_stores() as stores:
        warn_if_behind(stores, "dr_events")
        page = stores.read_models().dr_events.listed(
            filters={"status": status} if status else None, limit=limit
        )
    if as_json:
        print_json({"dr_events": page.rows})
    elif page.rows:
        print_table(
            ["id", "utility's id", "status", "starts at", "ends at", "target kW", "delivered kW", "outcome"],
            [
                (
                    row.dr_event_id,
                    f"{row.utility_id} {row.utility_event_id}",
                    row.status,
                    row.starts_at,
                    row.ends_at,
                    row.target_kw,
                    row.delivered_kw,
                    row.outcome,
                )
                for row in page.rows
            ],
        )
    else:
        click.echo("no DR events" + (f" are {status}" if status else ""))


@dr_events_group.command("show", epilog=SHOW_EXAMPLE)
@click.argument("reference", metavar="ID")
@click.option("--as-of", metavar="TIME", type=moment, help="As it stood then, ISO 8601 with offset.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show(reference: str, as_of: datetime | None, as_json: bool) -> None:
    """One DR event and its dispatches."""
    with opened_stores() as stores:
        dr_event, dispatches = _state(stores, reference, as_of)
    if as_json:
        print_json({"as_of": as_of, "dr_event": dr_event, "dispatches": dispatches})
        return
    names = _OF_A_ROW if as_of is None else _OF_EVERY_DR_EVENT
    print_fields((name.replace("_", " "), getattr(dr_event, name)) for name in names)
    for reason in dr_event.reasons:
        click.echo(f"reason  {reason.code}: {reason.detail}")
    if dispatches:
        columns = ["facility", "status", "target kW", "delivered kW", "zones", "what went wrong"]
        print_table(columns, map(_cells, dispatches))


def _state(stores: "Stores", reference: str, as_of: datetime | None) -> tuple[Any, list[Any]]:
    """The DR event and its dispatches: rows of the read models, or the aggregates' states as of a moment."""
    if as_of is not None:
        from projections.audit_replay import audit_document

        document = audit_document(stores.story_log(), _resolved(stores, reference), as_of=as_of)
        return document.dr_event, list(document.dispatches.values())
    warn_if_behind(stores, "dispatches")
    views, dr_event_id = stores.read_models(), _resolved(stores, reference)
    row = views.dr_events.get(str(dr_event_id))
    if row is None:
        from domain.errors import UnknownDREvent

        raise UnknownDREvent(
            f"no DR event {reference} in the read model; one just accepted follows at once, "
            "others are listed by `gridproof dr-events list`"
        )
    page = views.dispatches.listed(filters={"dr_event_id": str(dr_event_id)}, limit=1_000)
    return row, list(page.rows)


def _cells(dispatch: Any) -> list[object]:
    """Of a row or a state."""
    return [
        dispatch.facility_id,
        dispatch.status,
        dispatch.target_kw,
        getattr(dispatch, "delivered_kw", None),
        len(dispatch.zones),
        dispatch.failure or getattr(dispatch, "restore_failure", None),
    ]


@dr_events_group.command("override", epilog=OVERRIDE_EXAMPLE)
@click.argument("reference", metavar="ID")
@click.option("--facility", "facility_id", required=True, help="The facility whose dispatch is blocked.")
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def override(reference: str, facility_id: str, reason: str, as_json: bool) -> None:
    """Let a dispatch go on in spite of a degraded forecast."""
    from application.commands.dispatch import OverrideForecast

    with opened_stores() as stores:
        dr_event_id = _resolved(stores, reference)
        command = OverrideForecast(dr_event_id=dr_event_id, facility_id=facility_id, reason=reason)
        stores.bus.handle(command, _context(stores, dr_event_id))
    if as_json:
        print_json({"dr_event_id": dr_event_id, "facility_id": facility_id, "overridden": True})
    else:
        click.echo(f"{facility_id} goes on in {dr_event_id}")


@dr_events_group.command("cancel", epilog=CANCEL_EXAMPLE)
@click.argument("reference", metavar="ID")
@click.option("--reason", required=True, help="Why; it is recorded, and the utility is told.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def cancel(reference: str, reason: str, as_json: bool) -> None:
    """Cancel a DR event before its start; its facilities are free again at once."""
    from application.commands.dr_event import CancelDREvent, Cancellation

    with opened_stores() as stores:
        dr_event_id = _resolved(stores, reference)
        command = CancelDREvent(dr_event_id=dr_event_id, reason=reason)
        done = stores.bus.handle(command, _context(stores, dr_event_id), reply_type=Cancellation)
    if as_json:
        print_json(done)
    else:
        click.echo(f"{done.dr_event_id} is {done.status}")


def _resolved(stores: "Stores", reference: str) -> "UUID":
    from projections.audit_replay import resolve_dr_event

    return resolve_dr_event(stores.story_log(), reference)


def _context(stores: "Stores", dr_event_id: "UUID") -> "CommandContext":
    """Part of the DR event's own story, on behalf of its utility. Raises UnknownDREvent."""
    from application.ports.event_store import StreamNotFound
    from domain.dr_event import DREvent
    from domain.errors import UnknownDREvent

    try:
        dr_event = stores.events.load(DREvent, dr_event_id)
    except StreamNotFound:
        raise UnknownDREvent(
            f"no DR event {dr_event_id}; list them with `gridproof dr-events list`"
        ) from None
    return command_context(tenant=dr_event.state.utility_id)
