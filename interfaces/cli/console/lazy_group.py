"""A click group that imports a command when it runs, and shows errors as messages that say what to do next."""

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from interfaces.extras import missing_extra

OUR_PACKAGES = frozenset({"domain", "application", "projections", "adapters", "interfaces"})


OUR_FOLDER = Path(__file__).resolve().parents[3]
"""With the packages of this installation or checkout."""


def foreign_packages() -> list[str]:
    """`NAME (FILE)` of each package that would be imported under one of our names from elsewhere. None is imported."""
    found = ((name, find_spec(name)) for name in sorted(OUR_PACKAGES))
    return [
        f"{name} ({'nowhere' if spec is None else spec.origin or 'a folder without __init__.py'})"
        for name, spec in found
        if spec is None or spec.origin is None or Path(spec.origin).resolve().parents[1] != OUR_FOLDER
    ]


class CliError(click.ClickException):
    exit_code = 1


class WrongSettings(click.ClickException):
    exit_code = 2


def to_click_exception(error: Exception) -> click.ClickException | None:
    """The click exception for `error`; None for a programming error, which then shows its traceback.

    The texts of this project's own errors already say what to do next.
    """
    package = type(error).__module__.partition(".")[0]
    if (missing := missing_extra(error)) is not None:
        return CliError(str(missing))
    if (ended := _ended_system(error)) is not None:
        return CliError(f"{str(error).strip()}\n{ended}")
    if package in OUR_PACKAGES:
        return WrongSettings(str(error)) if type(error).__name__ == "SettingsError" else CliError(str(error))
    if package in {"psycopg", "psycopg_pool"} or type(error).__module__ == "eventsourcing.persistence":
        return CliError(
            f"PostgreSQL: {str(error).strip()}\nSee what is reachable with `gridproof doctor`, and whether the "
            "schema is this release's with `gridproof migrate --check`."
        )
    return None


def _ended_system(error: Exception) -> str | None:
    """Advice where a server is away because `gridproof up` has ended; None for every other reason."""
    import psycopg
    import psycopg_pool

    from application.ports.unavailable import UNAVAILABLE
    from interfaces.bootstrap import ended_system
    from interfaces.cli.console.session import current_settings

    if not isinstance(error, (psycopg.OperationalError, psycopg_pool.PoolTimeout, *UNAVAILABLE)):
        return None
    return ended_system(current_settings())


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

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Refuses to start with modules of another package, which would fail later, and wherever it liked."""
        foreign = foreign_packages()
        if foreign:
            click.echo(
                f"Error: {', '.join(foreign)} is of another package, not of the gridproof in {OUR_FOLDER}: install "
                "gridproof into an environment of its own (`pipx install`, `uv tool install`), start it outside of "
                "folders with packages of these names, and unset PYTHONPATH",
                err=True,
            )
            sys.exit(CliError.exit_code)
        return super().main(*args, **kwargs)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Uses the table too: a completion should import none of the commands."""
        names = [
            CompletionItem(name, help=short_help)
            for name, (_, short_help) in self._lazy.items()
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

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
