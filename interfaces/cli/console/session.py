"""The session of a command: settings, the running system's stores, and the operator's identity."""

import os
import pwd
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import click

from interfaces.settings.default_env_files import read_default_env_files
from interfaces.settings.env_file import read_env_file
from interfaces.settings.settings import PREFIX, Settings, read_settings

if TYPE_CHECKING:
    from application.command_bus.decision_context import CommandContext
    from interfaces.bootstrap import Stores


def adopt_env_file(env_file: Path) -> None:
    """Add the file's settings and secrets to the environment of this process and its children, where the environment
    does not say them. Raises SettingsError."""
    environ = os.environ  # noqa: TID251 - passed on to the settings reader and to child processes
    read_settings(environ, env_file)  # names every problem of both
    _adopt(read_env_file(env_file, prefix=PREFIX)[0])


def current_settings() -> Settings:
    """The settings of the environment; without --env-file, of the default files too. Raises SettingsError."""
    environ = os.environ  # noqa: TID251 - passed on to the settings reader
    context = click.get_current_context(silent=True)
    if context is not None and context.find_root().params.get("env_file") is None:
        _adopt(read_default_env_files(environ))
    return read_settings(environ)


def _adopt(values: Mapping[str, str]) -> None:
    environ = os.environ  # noqa: TID251 - passed on to child processes
    environ.update({name: value for name, value in values.items() if not environ.get(name, "").strip()})


def running_settings() -> Settings:
    """The settings, completed with the addresses of a running `gridproof up`. Raises NoRunningSystem."""
    from interfaces.bootstrap import resolve_addresses

    return resolve_addresses(current_settings())


@contextmanager
def opened_stores() -> Iterator["Stores"]:
    """The stores of the running system. Raises NoRunningSystem."""
    from interfaces.bootstrap import open_stores

    stores = open_stores(running_settings(), pool_size=2)
    try:
        yield stores
    finally:
        stores.close()


def warn_if_behind(stores: "Stores", read_model: str) -> None:
    """Warn on stderr if the read model lags behind the log."""
    for at in stores.read_models().positions():
        if at.name == read_model and at.lag:
            click.echo(
                f"the read model {read_model} is {at.lag} behind the log; does `gridproof worker project` run?",
                err=True,
            )


def login_name() -> str:
    """The name of the account that runs this process."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def operator(stores: "Stores") -> str:
    """The actor that is recorded for commands issued from this terminal. It holds an id, not a name: the log is kept
    for ever. `gridproof keys operators` says whose it is. Raises OperationsUnavailable."""
    return f"operator:cli/{stores.operators().id_of(login_name(), drawn=secrets.token_hex(6))}"


def command_context(
    stores: "Stores", *, tenant: str | None = None, correlation_id: UUID | None = None
) -> "CommandContext":
    """The context of a command issued from this terminal; without `correlation_id` a new correlation begins."""
    from application.command_bus.decision_context import CommandContext

    return CommandContext(
        correlation_id=correlation_id or uuid4(),
        causation_id=uuid4(),
        actor=operator(stores),
        tenant=tenant,
        trace_id=secrets.token_hex(16),
    )
