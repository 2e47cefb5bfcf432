"""Commands by which a facility may serve or not: opt-out and opt-in, maintenance, deactivation and reactivation."""

from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from interfaces.cli.console.printing import print_json
from interfaces.cli.console.session import command_context, opened_stores

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO
    from uuid import UUID

    from msgspec import Struct

    from application.ports.access.api_keys import ApiKey
    from interfaces.bootstrap import Stores

OPT_OUT_EXAMPLE = """
\b
Examples:
  gridproof facilities opt-out fac-007 --reason "a concert tonight"
  gridproof facilities opt-out fac-007 --dr-event UTIL-2026-0042 --reason "chiller broken"
  gridproof facilities opt-out fac-007 --key-file owner.key --reason "exams"

What an operator began, an owner does not end.
"""
OPT_IN_EXAMPLE = """
\b
Example:
  gridproof facilities opt-in fac-007 --reason "the concert is off"
"""
MAINTENANCE_EXAMPLE = """
\b
Examples:
  gridproof facilities maintenance fac-007 --reason "a new chiller"
  gridproof facilities maintenance fac-007 --end
"""
DEACTIVATE_EXAMPLE = """
\b
Example:
  gridproof facilities deactivate fac-007 --reason "the building was sold"

It stays in lists, with its history. Its future reservations are released, no forecast is made for it, and its readings
become dead letters. While it serves this is refused: opt it out first. So it is until a DR event that it served is
measured.
"""
REACTIVATE_EXAMPLE = """
\b
Example:
  gridproof facilities reactivate fac-007 --reason "it was the wrong facility"
"""

_facility = click.argument("facility_id", metavar="FACILITY")
_reason = click.option("--reason", required=True, help="Why; it is recorded.")
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_dr_event = click.option(
    "--dr-event",
    "reference",
    metavar="ID",
    help="Of this DR event alone (our id or the utility's); else of any.",
)
_key_file = click.option(
    "--key-file",
    metavar="FILE",
    type=click.File(),
    help="Act with the API key in FILE (of its owner, or of an operator; - reads stdin) instead of as this account.",
)


@click.command("opt-out", epilog=OPT_OUT_EXAMPLE)
@_facility
@_dr_event
@_reason
@_key_file
@_json
def opt_out(
    *, facility_id: str, reference: str | None, reason: str, key_file: "TextIO | None", as_json: bool
) -> None:
    """It does not serve, until it opts in again; if it is curtailed now, it is restored at once."""
    from application.commands.facility import OptOutFacility

    _opt(
        lambda dr_event_id, by_owner: OptOutFacility(
            facility_id=facility_id, dr_event_id=dr_event_id, reason=reason, by_owner=by_owner
        ),
        facility_id,
        reference,
        key_file,
        as_json=as_json,
    )


@click.command("opt-in", epilog=OPT_IN_EXAMPLE)
@_facility
@_dr_event
@_reason
@_key_file
@_json
def opt_in(
    *, facility_id: str, reference: str | None, reason: str, key_file: "TextIO | None", as_json: bool
) -> None:
    """It serves again."""
    from application.commands.facility import OptInFacility

    _opt(
        lambda dr_event_id, by_owner: OptInFacility(
            facility_id=facility_id, dr_event_id=dr_event_id, reason=reason, by_owner=by_owner
        ),
        facility_id,
        reference,
        key_file,
        as_json=as_json,
    )


def _opt(
    command: "Callable[[UUID | None, bool], Struct]",
    facility_id: str,
    reference: str | None,
    key_file: "TextIO | None",
    *,
    as_json: bool,
) -> None:
    from application.commands.facility import OptingOut
    from projections.audit.replay import resolve_dr_event

    with opened_stores() as stores:
        context, by_owner = command_context(stores), False
        if key_file is not None:
            key = _key_in(key_file, facility_id, stores)
            context, by_owner = replace(context, actor=f"{key.role}:{key.key_id}"), key.role == "owner"
        dr_event_id = None if reference is None else resolve_dr_event(stores.stream_log(), reference)
        done = stores.bus.handle(command(dr_event_id, by_owner), context, reply_type=OptingOut)
    if as_json:
        print_json(done)
        return
    what = "any DR event" if dr_event_id is None else f"DR event {dr_event_id}"
    click.echo(f"{done.facility_id} {'serves no longer in' if done.opted_out else 'serves again in'} {what}")
    for concerned in done.dr_event_ids:
        click.echo(f"concerns {concerned}")


def _key_in(key_file: "TextIO", facility_id: str, stores: "Stores") -> "ApiKey":
    """The key, if it may opt that facility out and in, as over HTTP."""
    from application.access.api_keys import parse_token

    parsed = parse_token(key_file.read(1_000).strip())
    stored = None if parsed is None else stores.api_keys().find(parsed[0])
    if parsed is None or stored is None or not stored.is_genuine(parsed[1], at=stores.clock.now()):
        raise click.ClickException("there is no valid API key in the file; see `gridproof keys list`")
    key = stored.api_key
    if key.role not in {"owner", "operator", "admin"} or key.facility_id not in (None, facility_id):
        raise click.ClickException(
            f"the key {key.key_id} of role {key.role} may not opt {facility_id} out or in; make one with "
            f"`gridproof keys create --role owner --facility {facility_id}`"
        )
    return key


@click.command("maintenance", epilog=MAINTENANCE_EXAMPLE)
@_facility
@click.option("--reason", help="Why it begins; it is recorded.")
@click.option("--end", "ends", is_flag=True, help="End it: the facility can serve again.")
def maintenance(facility_id: str, reason: str | None, ends: bool) -> None:
    """Begin maintenance, or end it. New DR events that ask for the facility meanwhile are refused."""
    from application.commands.facility import EndMaintenance, StartMaintenance

    if ends == (reason is not None):
        raise click.UsageError("give either the --reason why maintenance begins, or --end; not both")
    with opened_stores() as stores:
        stores.bus.handle(
            EndMaintenance(facility_id=facility_id)
            if reason is None
            else StartMaintenance(facility_id=facility_id, reason=reason),
            command_context(stores),
        )
    click.echo(f"{facility_id} is {'in maintenance' if reason is not None else 'not in maintenance'}")


@click.command("deactivate", epilog=DEACTIVATE_EXAMPLE)
@_facility
@_reason
@_json
def deactivate(facility_id: str, reason: str, as_json: bool) -> None:
    """Take it out of service for good."""
    from application.commands.facility import DeactivateFacility, Deactivation

    command = DeactivateFacility(facility_id=facility_id, reason=reason)
    with opened_stores() as stores:
        done = stores.bus.handle(command, command_context(stores), reply_type=Deactivation)
    if as_json:
        print_json(done)
        return
    click.echo(f"{facility_id} is deactivated")
    for dr_event_id in done.dr_event_ids:
        click.echo(f"released from {dr_event_id}")


@click.command("reactivate", epilog=REACTIVATE_EXAMPLE)
@_facility
@_reason
def reactivate(facility_id: str, reason: str) -> None:
    """Put a deactivated facility into service again, as it was registered."""
    from application.commands.facility import ReactivateFacility

    with opened_stores() as stores:
        command = ReactivateFacility(facility_id=facility_id, reason=reason)
        stores.bus.handle(command, command_context(stores))
    click.echo(f"{facility_id} is in service again")


AVAILABILITY_COMMANDS = (opt_out, opt_in, maintenance, deactivate, reactivate)
