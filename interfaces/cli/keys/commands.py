"""`gridproof keys`: manages API keys, which are shown once and stored hashed; `keys meters` manages broker logins."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import click
import msgspec

from application.access.api_keys import ID_BYTES, ROLES, SECRET_BYTES, InvalidApiKeyScope, issue
from application.ports.access.api_keys import ApiKey, ApiKeyNotFound, ApiKeys, ApiKeysUnavailable, Role
from application.ports.clock import Clock
from interfaces.cli.console.printing import print_json_line
from interfaces.cli.keys.meters import meters_group

CREATE_EXAMPLE = """
\b
Examples:
  gridproof keys create --role utility --utility util-1
  gridproof keys create --role dashboard --facility fac-001 --json
"""
LIST_EXAMPLE = """
\b
Example:
  gridproof keys list --json
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
    key: str


@click.group("keys")
def keys_group() -> None:
    """API keys of utilities, operators, auditors and dashboards; and the logins of meters."""


keys_group.add_command(meters_group)


@contextmanager
def opened_api_keys() -> Iterator[tuple[ApiKeys, Clock]]:
    """The API key store that the settings name, and the clock. If the store is down, the command exits with 1."""
    from interfaces.bootstrap import open_api_keys

    try:
        with open_api_keys() as (api_keys, clock):
            yield api_keys, clock
    except ApiKeysUnavailable as error:
        raise click.ClickException(
            f"{error}; start it with `gridproof up`, or set GRIDPROOF_DATABASE_URL"
        ) from error


@keys_group.command("create", epilog=CREATE_EXAMPLE)
@click.option("--role", required=True, type=click.Choice(ROLES), help="What the key may do.")
@click.option(
    "--utility", "utility_id", metavar="ID", help="The utility it speaks for; with the role utility."
)
@click.option("--facility", "facility_id", metavar="ID", help="All it may see; with the role dashboard.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def create(role: Role, utility_id: str | None, facility_id: str | None, as_json: bool) -> None:
    """Make a key and print it: it is shown this once."""
    with opened_api_keys() as (api_keys, clock):
        try:
            issued = issue(
                api_keys,
                role=role,
                utility_id=utility_id,
                facility_id=facility_id,
                at=clock.now(),
                entropy=secrets.token_bytes(SECRET_BYTES + ID_BYTES),
            )
        except InvalidApiKeyScope as error:
            raise click.UsageError(str(error)) from error
    if as_json:
        document = CreatedKey(
            key_id=issued.api_key.key_id,
            role=role,
            utility_id=utility_id,
            facility_id=facility_id,
            key=issued.token,
        )
        print_json_line(document)
    else:
        click.echo(issued.token)
        click.echo("Keep it now: it is stored hashed and cannot be shown again.", err=True)


@keys_group.command("list", epilog=LIST_EXAMPLE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_keys(as_json: bool) -> None:
    """Every key, the oldest first, without its secret."""
    with opened_api_keys() as (api_keys, _):
        keys = api_keys.listed()
    if as_json:
        print_json_line({"keys": keys})
        return
    for key in keys:
        click.echo(_line(key))
    if not keys:
        click.echo("no keys yet; make one with `gridproof keys create --role ROLE`", err=True)


@keys_group.command("revoke", epilog=REVOKE_EXAMPLE)
@click.argument("key_id")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def revoke(key_id: str, as_json: bool) -> None:
    """Revoke a key for good; it is refused a few seconds later."""
    with opened_api_keys() as (api_keys, clock):
        try:
            revoked = api_keys.revoke(key_id, at=clock.now())
        except ApiKeyNotFound as error:
            raise click.ClickException(
                f"no API key {key_id}; list them with `gridproof keys list`"
            ) from error
    if as_json:
        print_json_line(revoked)
    else:
        click.echo(_line(revoked))


def _line(key: ApiKey) -> str:
    scope = key.utility_id or key.facility_id or "-"
    state = f"revoked {key.revoked_at:%Y-%m-%d %H:%M:%SZ}" if key.revoked_at else "valid"
    return f"{key.key_id}  {key.role:<9}  {scope:<20}  {key.created_at:%Y-%m-%d %H:%M:%SZ}  {state}"
