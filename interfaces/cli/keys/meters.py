"""`gridproof keys meters`: manages the logins of a facility's meters at the embedded broker."""

from typing import Literal

import click
import msgspec

from interfaces.cli.console.printing import print_json_line

CREATE_EXAMPLE = """
\b
Examples:
  gridproof keys meters create fac-001
  gridproof keys meters create fac-001 --json
  gridproof keys meters create fac-900 --allow-unknown

The portfolio must have the facility. --allow-unknown is for meters that are set up before it is registered, or while
the database does not run: until the portfolio has it, what its meters send becomes dead letters.
"""
LIST_EXAMPLE = """
\b
Example:
  gridproof keys meters list
"""
REVOKE_EXAMPLE = """
\b
Example:
  gridproof keys meters revoke fac-001
"""


class CreatedLogin(msgspec.Struct, frozen=True, kw_only=True):
    """`keys meters create --json`."""

    facility_id: str
    user: str
    password: str
    port: int | None
    """The logins of the broker on this machine; None before its first start."""


@click.group("meters")
def meters_group() -> None:
    """Logins of facilities' meters at the embedded broker: each publishes for its own facility only."""


@meters_group.command("create", epilog=CREATE_EXAMPLE)
@click.argument("facility_id")
@click.option("--allow-unknown", is_flag=True, help="Also if the portfolio does not have that facility.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def create(facility_id: str, *, allow_unknown: bool, as_json: bool) -> None:
    """Let the meters of a facility log in, with its id as user. It counts at once, also while the broker runs."""
    from interfaces.bootstrap import meter_logins
    from interfaces.cli.console.session import current_settings

    logins = meter_logins(current_settings())
    if not allow_unknown:
        _check_is_in_portfolio(facility_id)
    password = logins.create(facility_id)
    try:
        _record("create_meter_login", facility_id)
    except BaseException:
        logins.revoke(facility_id)
        raise
    made = CreatedLogin(facility_id=facility_id, user=facility_id, password=password, port=logins.mqtt_port())
    if as_json:
        print_json_line(made)
        return
    click.echo(f"user {made.user}  password {made.password}")
    click.echo(
        f"It may publish to meters/{facility_id}/METER/readings and nothing else, at MQTT port {made.port}.",
        err=True,
    )


def _record(decision: Literal["create_meter_login", "revoke_meter_login"], facility_id: str) -> None:
    """The administrative act. A login can be made before the first start, and must be revoked also while nothing can be
    recorded: a warning says so then. Raises OperationsUnavailable."""
    from application.command_bus.decision_context import provenance_of
    from domain.administration import AdministrativeAct
    from interfaces.bootstrap import NoRunningSystem
    from interfaces.cli.console.session import command_context, opened_stores

    try:
        with opened_stores() as stores:
            provenance = provenance_of(command_context(stores), stores.decision_clock.now())
            stores.act_log().record(
                [getattr(AdministrativeAct, decision)(provenance, facility_id=facility_id)]
            )
    except NoRunningSystem as error:
        click.echo(f"not recorded for the audit: {error}", err=True)


def _check_is_in_portfolio(facility_id: str) -> None:
    """Raises UsageError for a facility that the portfolio does not have."""
    from application.access.portfolio_ids import NotInPortfolio
    from interfaces.bootstrap import NoRunningSystem, portfolio_ids
    from interfaces.cli.console.session import opened_stores

    try:
        with opened_stores() as stores:
            portfolio_ids(stores).check_facility(facility_id)
    except NotInPortfolio as error:
        raise click.UsageError(f"{error} (--allow-unknown makes the login nevertheless)") from error
    except NoRunningSystem as error:
        raise click.ClickException(
            f"{error}. Whether the portfolio has {facility_id} cannot be seen; --allow-unknown makes the login "
            "nevertheless"
        ) from error


@meters_group.command("list", epilog=LIST_EXAMPLE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_logins(as_json: bool) -> None:
    """The facilities whose meters may log in."""
    from interfaces.bootstrap import meter_logins
    from interfaces.cli.console.session import current_settings

    facility_ids = meter_logins(current_settings()).facility_ids()
    if as_json:
        print_json_line({"facility_ids": facility_ids})
        return
    for facility_id in facility_ids:
        click.echo(facility_id)
    if not facility_ids:
        click.echo("no logins yet; make one with `gridproof keys meters create FACILITY`", err=True)


@meters_group.command("revoke", epilog=REVOKE_EXAMPLE)
@click.argument("facility_id")
def revoke(facility_id: str) -> None:
    """Take a login back; whoever is connected with it is disconnected."""
    from interfaces.bootstrap import meter_logins
    from interfaces.cli.console.session import current_settings

    meter_logins(current_settings()).revoke(facility_id)
    click.echo(f"the meters of {facility_id} may not log in any more")
    _record("revoke_meter_login", facility_id)
