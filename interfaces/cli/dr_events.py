"""`gridproof dr-events`: lists DR events, now or at an earlier time, and runs operator actions on them."""

from typing import TYPE_CHECKING, get_args

import click
from msgspec.structs import replace

from domain.dr_event import DREventStatus
from interfaces.cli.console.parameter_types import as_of
from interfaces.cli.console.printing import print_answer, print_fields, print_json, print_list, print_table
from interfaces.cli.console.session import command_context, opened_stores, warn_if_behind
from interfaces.cli.console.tables import Column

if TYPE_CHECKING:
    from uuid import UUID

    from application.command_bus.decision_context import CommandContext
    from application.commands.dispatch import OverrideForecast, RestoreByHand
    from interfaces.bootstrap import Stores
    from projections.audit.stream_log import AsOf
    from projections.dispatch.projection import DispatchRow, MeasurementRow
    from projections.dr_event.projection import DREventRow
    from projections.portfolio.row import PortfolioRow, Readiness
    from projections.queries.views import View

LIST_EXAMPLE = """
\b
Examples:
  gridproof dr-events list
  gridproof dr-events list --status active --json
  gridproof dr-events list --as-of 2026-07-14T21:30:00Z
"""
SHOW_EXAMPLE = """
\b
Examples:
  gridproof dr-events show UTIL-2026-0042
  gridproof dr-events show UTIL-2026-0042 --as-of 2026-07-14T21:30:00Z --json
  gridproof dr-events show UTIL-2026-0042 --as-of 1234

ID is ours, or the utility's own. As of a moment or a position of the log, the read model's rows are folded anew from
the log until then; else they are the live ones.
"""
OVERRIDE_EXAMPLE = """
\b
Example:
  gridproof dr-events override UTIL-2026-0042 --facility fac-007 --reason "meter back, load as usual"
"""
RESTORED_EXAMPLE = """
\b
Example:
  gridproof dr-events restored UTIL-2026-0042 --facility fac-007 --reason "caretaker set every zone back by phone"

For a building that is curtailed, or may be, whatever became of its restore. It is sent nothing more for this DR event,
which the facility leaves if the window still runs; other DR events may have the facility again.
"""
CANCEL_EXAMPLE = """
\b
Example:
  gridproof dr-events cancel UTIL-2026-0042 --reason "asked for by phone"
"""
_SHOWN = (
    "dr_event_id", "utility_id", "utility_event_id", "status", "outcome", "settlement_status", "program_id",
    "starts_at", "ends_at", "target_kw", "capacity_kw", "shortfall_kw", "missing_kw", "delivered_kw",
    "measured_facilities", "unmeasured_facilities", "unmeasured_reasons", "failed_facilities", "cancellation_reason",
)  # fmt: skip
_as_of_option = click.option(
    "--as-of",
    "past",
    metavar="TIME|N",
    type=as_of,
    help="As it stood then (ISO 8601 with offset), or at position N of the log.",
)


@click.group("dr-events", epilog=LIST_EXAMPLE)
def dr_events_group() -> None:
    """DR events: list, show, override a blocked dispatch, report a restore by hand, cancel."""


@dr_events_group.command("list", epilog=LIST_EXAMPLE)
@click.option("--status", type=click.Choice(get_args(DREventStatus)), help="Only those in this state.")
@click.option(
    "--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="At most so many."
)
@_as_of_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_dr_events(status: str | None, limit: int, past: "AsOf | None", as_json: bool) -> None:
    """The newest first."""
    with opened_stores() as stores:
        page = _all_of_them(stores, past).listed(filters={"status": status} if status else None, limit=limit)
        readiness = _readiness(stores, past)
    print_list(
        {"dr_events": page.rows, "readiness": readiness},
        [
            Column("utility's id", "id"),
            "status",
            Column("id", "our id"),
            "starts at",
            "ends at",
            "target kW",
            "delivered kW",
            "outcome",
            "facilities",
            "utility",
        ],
        [
            (
                row.utility_event_id,
                row.status,
                row.dr_event_id,
                row.starts_at,
                row.ends_at,
                row.target_kw,
                "not measurable" if row.is_not_measurable else row.delivered_kw,
                row.outcome,
                _readiness_text(readiness.get(str(row.dr_event_id))),
                row.utility_id,
            )
            for row in page.rows
        ],
        if_empty="no DR events" + (f" are {status}" if status else ""),
        as_json=as_json,
    )


def _all_of_them(stores: "Stores", past: "AsOf | None") -> "View[DREventRow]":
    if past is not None:
        from projections.as_of.lists import HistoricalLists

        return HistoricalLists(stores.stream_log()).dr_events(past).rows
    warn_if_behind(stores, "dr_events")
    return stores.read_models().dr_events


def _readiness(stores: "Stores", past: "AsOf | None") -> "dict[str, Readiness]":
    """By the id of an open DR event, where facilities do not serve as planned, or may not."""
    from projections.portfolio.projection import KEY

    portfolio: View[PortfolioRow]
    if past is None:
        portfolio = stores.read_models().portfolio
    else:
        from projections.as_of.lists import HistoricalLists

        portfolio = HistoricalLists(stores.stream_log()).portfolio(past).rows
    row = portfolio.get(KEY)
    return {} if row is None else row.readiness


def _readiness_text(counts: "Readiness | None") -> str | None:
    if counts is None:
        return None
    parts = ((counts.blocked, "blocked"), (counts.at_risk, "at risk"), (counts.dropped_out, "dropped out"))
    return ", ".join(f"{count} {name}" for count, name in parts if count)


@dr_events_group.command("show", epilog=SHOW_EXAMPLE)
@click.argument("reference", metavar="ID")
@_as_of_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show(reference: str, past: "AsOf | None", as_json: bool) -> None:
    """A DR event and its dispatches."""
    with opened_stores() as stores:
        dr_event, dispatches = _rows(stores, reference, past)
    dr_event = replace(dr_event, missing_kw=dr_event.missing_now_kw(dispatches))
    if as_json:
        print_json({"as_of": past, "dr_event": dr_event, "dispatches": dispatches})
        return
    print_fields((name.replace("_", " "), getattr(dr_event, name)) for name in _SHOWN)
    for reason in dr_event.reasons:
        click.echo(f"reason  {reason.code}: {reason.detail}")
    if dispatches:
        columns = ["status", "target kW", "delivered kW", "what went wrong", "its error", "zones"]
        print_table([Column("facility", "id"), *columns], map(_cells, dispatches))


def _rows(
    stores: "Stores", reference: str, past: "AsOf | None"
) -> "tuple[DREventRow, tuple[DispatchRow, ...]]":
    """The rows of the read models, current or as of an earlier time."""
    dr_event_id = _resolved(stores, reference)
    dr_events: View[DREventRow]
    dispatches: View[DispatchRow]
    if past is not None:
        from projections.as_of.dr_event import dr_event_as_of

        story = dr_event_as_of(stores.stream_log(), dr_event_id, past)
        dr_events, dispatches = story.dr_events, story.dispatches
    else:
        warn_if_behind(stores, "dispatches")
        views = stores.read_models()
        dr_events, dispatches = views.dr_events, views.dispatches
    row = dr_events.get(str(dr_event_id))
    if row is None:
        from domain.errors import UnknownDREvent

        raise UnknownDREvent(
            f"no DR event {reference} in the read model; one just accepted follows at once, "
            "others are listed by `gridproof dr-events list`"
        )
    return row, dispatches.listed(filters={"dr_event_id": str(dr_event_id)}, limit=1_000).rows


def error_of(measurement: "MeasurementRow | None") -> str | None:
    """The known error of a measurement."""
    if measurement is None:
        return None
    if (known := measurement.uncertainty) is not None:
        return f"+-{known.kw_80:.1f} kW at 80 %, +-{known.kw_90:.1f} kW at 90 %"
    if (error := measurement.expected_error) is not None:
        return f"bias {error.bias:+.1%}, CVRMSE {error.cvrmse:.1%} ({error.days} days)"
    return None


def _cells(dispatch: "DispatchRow") -> list[object]:
    return [
        dispatch.facility_id,
        dispatch.status,
        dispatch.target_kw,
        dispatch.delivered_kw,
        dispatch.what_went_wrong or _not_measurable(dispatch),
        error_of(dispatch.measurement),
        len(dispatch.zones),
    ]


def _not_measurable(dispatch: "DispatchRow") -> str | None:
    reason = dispatch.not_measurable_reason
    return None if reason is None else f"not measurable: {reason}"


@dr_events_group.command("override", epilog=OVERRIDE_EXAMPLE)
@click.argument("reference", metavar="ID")
@click.option("--facility", "facility_id", required=True, help="The facility whose dispatch is blocked.")
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def override(reference: str, facility_id: str, reason: str, as_json: bool) -> None:
    """Let a dispatch go on in spite of a degraded forecast."""
    from application.commands.dispatch import OverrideForecast

    dr_event_id = _answered_for(OverrideForecast, reference, facility_id, reason)
    print_answer(
        {"dr_event_id": dr_event_id, "facility_id": facility_id, "overridden": True},
        lambda: click.echo(f"{facility_id} goes on in {dr_event_id}"),
        as_json=as_json,
    )


@dr_events_group.command("restored", epilog=RESTORED_EXAMPLE)
@click.argument("reference", metavar="ID")
@click.option("--facility", "facility_id", required=True, help="The facility whose building is restored.")
@click.option("--reason", required=True, help="Who restored it, and how you know; it is recorded.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def restored(reference: str, facility_id: str, reason: str, as_json: bool) -> None:
    """Say that a building that may be curtailed was restored by hand."""
    from application.commands.dispatch import RestoreByHand

    dr_event_id = _answered_for(RestoreByHand, reference, facility_id, reason)
    print_answer(
        {"dr_event_id": dr_event_id, "facility_id": facility_id, "restored_by_hand": True},
        lambda: click.echo(f"{facility_id} counts as restored in {dr_event_id}"),
        as_json=as_json,
    )


def _answered_for(
    command_type: "type[OverrideForecast | RestoreByHand]", reference: str, facility_id: str, reason: str
) -> "UUID":
    """Handle an operator's command for one facility's dispatch; returns the id of its DR event."""
    with opened_stores() as stores:
        dr_event_id = _resolved(stores, reference)
        command = command_type(dr_event_id=dr_event_id, facility_id=facility_id, reason=reason)
        stores.bus.handle(command, _context(stores, dr_event_id))
    return dr_event_id


@dr_events_group.command("cancel", epilog=CANCEL_EXAMPLE)
@click.argument("reference", metavar="ID")
@click.option("--reason", required=True, help="Why; it is recorded, and the utility is told.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def cancel(reference: str, reason: str, as_json: bool) -> None:
    """Cancel a DR event, before its start or while it runs: its buildings are restored, its facilities free again."""
    from application.commands.dr_event import CancelDREvent, Cancellation
    from domain.errors import NotAllowedNow

    with opened_stores() as stores:
        dr_event_id = _resolved(stores, reference)
        command = CancelDREvent(dr_event_id=dr_event_id, reason=reason)
        done = stores.bus.handle(command, _context(stores, dr_event_id), reply_type=Cancellation)
    if done.outcome == "ended":
        raise NotAllowedNow(f"{dr_event_id} is {done.status}: its window is over, nothing is left to cancel")
    print_answer(done, lambda: click.echo(f"{done.dr_event_id} is {done.status}"), as_json=as_json)


def _resolved(stores: "Stores", reference: str) -> "UUID":
    from projections.audit.replay import resolve_dr_event

    return resolve_dr_event(stores.stream_log(), reference)


def _context(stores: "Stores", dr_event_id: "UUID") -> "CommandContext":
    """A command context with the DR event's correlation id and its utility. Raises UnknownDREvent."""
    from application.ports.event_store.event_store import StreamNotFound
    from domain.dr_event import DREvent
    from domain.errors import UnknownDREvent

    try:
        dr_event = stores.events.load(DREvent, dr_event_id)
    except StreamNotFound:
        raise UnknownDREvent(
            f"no DR event {dr_event_id}; list them with `gridproof dr-events list`"
        ) from None
    return command_context(stores, tenant=dr_event.state.utility_id)
