"""`gridproof utilities`: whom we serve, and who changed what is recorded of them."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click
import msgspec

from interfaces.cli.console.printing import print_fields, print_json, print_list, print_table
from interfaces.cli.console.session import opened_stores

if TYPE_CHECKING:
    from projections.audit.stream_log import StreamLog

LIST_EXAMPLE = """
\b
Example:
  gridproof utilities list --json
"""
SHOW_EXAMPLE = """
\b
Example:
  gridproof utilities show city-power

References say where a secret is, never what it is. `gridproof programs list --utility ID` lists its programs.
"""
ACTS_AT_ONCE = 1_000


class RecordedUtilityChange(msgspec.Struct, frozen=True, kw_only=True):
    """The change of a utility by an import."""

    position: int
    changed_at: datetime
    changed_by: str
    is_new: bool
    changed: tuple[str, ...]
    """Names of fields."""


@click.group("utilities", epilog=LIST_EXAMPLE)
def utilities_group() -> None:
    """Whom we serve: list them, and who changed what is recorded of them. A portfolio file changes them."""


@utilities_group.command("list", epilog=LIST_EXAMPLE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_utilities(as_json: bool) -> None:
    """Every utility, with where its secrets are."""
    with opened_stores() as stores:
        found = stores.utilities().listed()
    print_list(
        {"utilities": found},
        ["utility", "name", "webhook secret", "callback secret"],
        [(one.utility_id, one.name, one.webhook_secret_ref, one.callback_secret_ref) for one in found],
        if_empty="no utilities; name some in a portfolio, and `gridproof facilities import FILE`",
        as_json=as_json,
    )


@utilities_group.command("show", epilog=SHOW_EXAMPLE)
@click.argument("utility_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show(utility_id: str, as_json: bool) -> None:
    """A utility, and every change of it: when, by whom, and which fields."""
    with opened_stores() as stores:
        found = stores.utilities().find(utility_id)
        changes = [] if found is None else list(_changes(stores.stream_log(), utility_id))
    if found is None:
        raise click.ClickException(f"no utility {utility_id}; see `gridproof utilities list`")
    if as_json:
        print_json({"utility": found, "changes": changes})
        return
    print_fields(msgspec.structs.asdict(found).items())
    click.echo()
    print_table(
        ["position", "changed at", "by", "changed"],
        (
            [one.position, one.changed_at, one.changed_by, "new" if one.is_new else one.changed]
            for one in changes
        ),
    )


def _changes(log: "StreamLog", utility_id: str) -> Iterator[RecordedUtilityChange]:
    """The newest first. An import names the first hundred utilities that it changes."""
    from domain.administration import AdministrativeAct

    before: int | None = None
    while acts := log.acts(before=before, limit=ACTS_AT_ONCE):
        before = acts[-1].position
        for entry in acts:
            act = entry.domain_event
            if not isinstance(act, AdministrativeAct.PortfolioImportBegun):
                continue
            for change in act.utilities:
                if change.utility_id == utility_id:
                    yield RecordedUtilityChange(
                        position=entry.position,
                        changed_at=act.recorded_at,
                        changed_by=act.actor,
                        is_new=change.is_new,
                        changed=change.changed,
                    )
