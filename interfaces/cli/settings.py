"""`gridproof settings`: every setting with its value, where that came from, and what it does."""

import os
from typing import TYPE_CHECKING

import click

from interfaces.cli.console.printing import print_answer, print_table
from interfaces.cli.console.session import current_settings

if TYPE_CHECKING:
    from interfaces.settings.description import SettingValue

EXAMPLE = """
\b
Examples:
  gridproof settings
  gridproof settings --changed
  gridproof --env-file production.env settings --json

A setting is an environment variable, or a line of a file of settings. Passwords are never shown. Addresses of the
servers that `gridproof up` starts are not settings: `gridproof doctor` shows those.
"""


@click.command("settings", epilog=EXAMPLE)
@click.option("--changed", is_flag=True, help="Only those that are not at their default.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def settings_command(context: click.Context, *, changed: bool, as_json: bool) -> None:
    """Every setting: its value, where that came from, its default, and what it does."""
    from interfaces.settings.description import setting_values

    given = dict(os.environ)  # noqa: TID251 - where a value came from
    env_file = context.find_root().params.get("env_file")
    values = setting_values(current_settings(), given=given, env_file=env_file)
    if changed:
        values = tuple(one for one in values if one.origin != "default")
    print_answer(
        {"settings": values},
        lambda: print_table(["setting", "value", "from", "default", "what it does"], map(_cells, values)),
        as_json=as_json,
    )


def _cells(one: "SettingValue") -> list[object]:
    return [one.name, one.value, one.origin, one.default, f"{one.what} ({one.allowed})"]
