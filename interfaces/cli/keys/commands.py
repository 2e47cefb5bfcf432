"""`gridproof keys`: manages API keys, which are shown once and stored hashed; `keys meters` manages broker logins."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

import click
import msgspec

from application.access.api_keys import (
    ID_BYTES,
    ROLES,
    SECRET_BYTES,
    InvalidApiKeyScope,
    InvalidApiKeyTime,
    IssuedApiKey,
    issue,
)
from application.access.api_keys import revoke as revoke_key
from application.access.api_keys import rotate as rotate_key
from application.access.portfolio_ids import NotInPortfolio, PortfolioIds
from application.ports.access.api_keys import (
    ApiKey,
    ApiKeyNotFound,
    ApiKeyNotValid,
    ApiKeys,
    ApiKeysUnavailable,
    Role,
)
from application.ports.access.operators import OperatorNotFound, Operators
from application.ports.clock import Clock
from interfaces.cli.console.parameter_types import moment
from interfaces.cli.console.printing import print_json_line
from interfaces.cli.console.session import login_name, opened_stores
from interfaces.cli.keys.meters import meters_group

CREATE_EXAMPLE = """
\b
Examples:
  gridproof keys create --role utility --utility util-1 --name "city power, webhook" --expires 2027-01-01T00:00:00Z
  gridproof keys create --role dashboard --facility fac-001 --json
  gridproof keys create --role owner --facility fac-001 --name "the caretaker of fac-001"

An owner sees one facility, and opts it out and in. Utility and facility must be in the portfolio.
"""
LIST_EXAMPLE = """
\b
Example:
  gridproof keys list --json
"""
ROTATE_EXAMPLE = """
\b
Examples:
  gridproof keys rotate 3f9a1c0b77de
  gridproof keys rotate 3f9a1c0b77de --overlap-hours 24 --expires 2027-01-01T00:00:00Z

The new key has the role, scope and name of the old one, which expires at the end of the overlap. To end it earlier,
revoke it.
"""
FORGET_EXAMPLE = """
\b
Examples:
  gridproof keys forget 3f9a1c0b77de

ID is that of a key or of an operator (`gridproof keys operators`). The log keeps the id and has no name.
"""
OPERATORS_EXAMPLE = """
\b
Example:
  gridproof keys operators --json
"""
REVOKE_EXAMPLE = """
\b
Example:
  gridproof keys revoke 3f9a1c0b77de
"""


class CreatedKey(msgspec.Struct, frozen=True, kw_only=True):
    """`keys create --json`."""

    key_id: str
    role: Role
    utility_id: str | None
    facility_id: str | None
    name: str | None
    expires_at: datetime | None
    replaces: str | None
    key: str


class Access(NamedTuple):
    """The access that the commands work with."""

    api_keys: ApiKeys
    operators: Operators
    clock: Clock
    decision_clock: Clock
    portfolio: PortfolioIds

    def actor(self) -> str:
        return f"operator:cli/{self.operators.id_of(login_name(), drawn=secrets.token_hex(6))}"


@click.group("keys")
def keys_group() -> None:
    """API keys of utilities, operators, auditors and dashboards; and the logins of meters."""


keys_group.add_command(meters_group)


@contextmanager
def opened_access() -> Iterator[Access]:
    """The stores that the settings name. If PostgreSQL is down, the command exits with 1."""
    from interfaces.bootstrap import portfolio_ids

    try:
        with opened_stores() as stores:
            yield Access(
                stores.api_keys(),
                stores.operators(),
                stores.clock,
                stores.decision_clock,
                portfolio_ids(stores),
            )
    except ApiKeysUnavailable as error:
        raise click.ClickException(
            f"{error}; start it with `gridproof up`, or set GRIDPROOF_DATABASE_URL"
        ) from error


_NAME = click.option("--name", metavar="TEXT", help="What you call it. It stands in no domain event.")
_EXPIRES = click.option(
    "--expires",
    "expires_at",
    metavar="TIME",
    type=moment,
    help="From then on it is refused (ISO 8601 with offset).",
)


@keys_group.command("create", epilog=CREATE_EXAMPLE)
@click.option("--role", required=True, type=click.Choice(ROLES), help="What the key may do.")
@click.option(
    "--utility", "utility_id", metavar="ID", help="The utility it speaks for; with the role utility."
)
@click.option(
    "--facility", "facility_id", metavar="ID", help="All it may see; with the role dashboard or owner."
)
@_NAME
@_EXPIRES
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def create(
    *,
    role: Role,
    utility_id: str | None,
    facility_id: str | None,
    name: str | None,
    expires_at: datetime | None,
    as_json: bool,
) -> None:
    """Make a key and print it: it is shown this once."""
    with opened_access() as access:
        try:
            if utility_id is not None:
                access.portfolio.check_utility(utility_id)
            if facility_id is not None:
                access.portfolio.check_facility(facility_id)
            issued = issue(
                access.api_keys,
                role=role,
                utility_id=utility_id,
                facility_id=facility_id,
                name=name,
                expires_at=expires_at,
                by=access.actor(),
                at=access.decision_clock.now(),
                entropy=secrets.token_bytes(SECRET_BYTES + ID_BYTES),
            )
        except (InvalidApiKeyScope, InvalidApiKeyTime, NotInPortfolio) as error:
            raise click.UsageError(str(error)) from error
    _show(issued, as_json=as_json)


@keys_group.command("rotate", epilog=ROTATE_EXAMPLE)
@click.argument("key_id")
@click.option(
    "--overlap-hours",
    type=click.FloatRange(min=0, max=24 * 366),
    default=168.0,
    show_default=True,
    help="For how long the old key still works.",
)
@_EXPIRES
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def rotate(*, key_id: str, overlap_hours: float, expires_at: datetime | None, as_json: bool) -> None:
    """Make a key in place of another one, and print it: it is shown this once."""
    with opened_access() as access:
        try:
            issued = rotate_key(
                access.api_keys,
                key_id,
                overlap=timedelta(hours=overlap_hours),
                expires_at=expires_at,
                by=access.actor(),
                at=access.decision_clock.now(),
                entropy=secrets.token_bytes(SECRET_BYTES + ID_BYTES),
            )
        except InvalidApiKeyTime as error:
            raise click.UsageError(str(error)) from error
        except (ApiKeyNotFound, ApiKeyNotValid) as error:
            raise click.ClickException(str(error)) from error
    _show(issued, as_json=as_json)


@keys_group.command("list", epilog=LIST_EXAMPLE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_keys(as_json: bool) -> None:
    """Every key, the oldest first, without its secret."""
    with opened_access() as access:
        keys, now = access.api_keys.listed(), access.clock.now()
    if as_json:
        print_json_line({"keys": keys})
        return
    for key in keys:
        click.echo(_line(key, now))
    if not keys:
        click.echo("no keys yet; make one with `gridproof keys create --role ROLE`", err=True)


@keys_group.command("revoke", epilog=REVOKE_EXAMPLE)
@click.argument("key_id")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def revoke(key_id: str, as_json: bool) -> None:
    """Revoke a key for good; it is refused a few seconds later."""
    with opened_access() as access:
        now = access.decision_clock.now()
        try:
            revoked = revoke_key(access.api_keys, key_id, by=access.actor(), at=now)
        except ApiKeyNotFound as error:
            raise click.ClickException(
                f"no API key {key_id}; list them with `gridproof keys list`"
            ) from error
    if as_json:
        print_json_line(revoked)
    else:
        click.echo(_line(revoked, now))


@keys_group.command("operators", epilog=OPERATORS_EXAMPLE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_operators(as_json: bool) -> None:
    """Whose id stands in the log for commands from a terminal (`operator:cli/ID`)."""
    with opened_access() as access:
        operators = access.operators.listed()
    if as_json:
        print_json_line({"operators": operators})
        return
    for one in operators:
        click.echo(f"{one.operator_id}  {one.login}")


@keys_group.command("forget", epilog=FORGET_EXAMPLE)
@click.argument("forgotten_id", metavar="ID")
def forget(forgotten_id: str) -> None:
    """Delete the name of a key, or of an operator, for good."""
    with opened_access() as access:
        try:
            access.api_keys.forget_name(forgotten_id)
        except ApiKeyNotFound:
            try:
                access.operators.forget(forgotten_id)
            except OperatorNotFound as error:
                raise click.ClickException(
                    f"no key and no operator {forgotten_id}; see `gridproof keys list` and `gridproof keys operators`"
                ) from error
    click.echo(f"the name of {forgotten_id} is deleted")


def _show(issued: IssuedApiKey, *, as_json: bool) -> None:
    key = issued.api_key
    if not as_json:
        click.echo(issued.token)
        click.echo("Keep it now: it is stored hashed and cannot be shown again.", err=True)
        return
    print_json_line(
        CreatedKey(
            key_id=key.key_id,
            role=key.role,
            utility_id=key.utility_id,
            facility_id=key.facility_id,
            name=key.name,
            expires_at=key.expires_at,
            replaces=key.replaces,
            key=issued.token,
        )
    )


def _line(key: ApiKey, now: datetime) -> str:
    scope = key.utility_id or key.facility_id or "-"
    used = f"{key.last_used_at:%Y-%m-%d %H:%MZ}" if key.last_used_at else "never"
    parts = (
        key.key_id,
        f"{key.role:<9}",
        f"{scope:<20}",
        f"{key.created_at:%Y-%m-%d %H:%M:%SZ}",
        _state(key, now),
    )
    return "  ".join((*parts, f"used {used}", *([key.name] if key.name else [])))


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return f"revoked {key.revoked_at:%Y-%m-%d %H:%M:%SZ}"
    if key.expires_at is None:
        return "valid"
    return f"{'valid until' if now < key.expires_at else 'expired'} {key.expires_at:%Y-%m-%d %H:%M:%SZ}"
