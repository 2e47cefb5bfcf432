"""A click group that imports a command when it runs, and shows errors as messages that say what to do next."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

OUR_PACKAGES = frozenset({"domain", "application", "projections", "adapters", "interfaces"})


class CliError(click.ClickException):
    exit_code = 1


class WrongSettings(click.ClickException):
    exit_code = 2


def to_click_exception(error: Exception) -> click.ClickException | None:
    """The click exception for `error`; None for a programming error, which then shows its traceback.

    The texts of this project's own errors already say what to do next.
    """
    package = type(error).__module__.partition(".")[0]
    if package in OUR_PACKAGES:
        return WrongSettings(str(error)) if type(error).__name__ == "SettingsError" else CliError(str(error))
    if package in {"psycopg", "psycopg_pool"} or type(error).__module__ == "eventsourcing.persistence":
        return CliError(
            f"PostgreSQL: {str(error).strip()}\nSee what is reachable with `gridproof doctor`, and whether the "
            "schema is this release's with `gridproof migrate --check`."
        )
    return None


class LazyGroup(click.Group):
    """`lazy` maps a command's name to ("module:attribute", short help)."""

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Uses the short help of the table, so that listing the commands imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, short_help) for name, (_, short_help) in self._lazy.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            failure = to_click_exception(error)
            if failure is None:
                raise
            raise failure from error
