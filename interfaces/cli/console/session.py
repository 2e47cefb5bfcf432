"""What a command works with: the settings, the running system's stores, and who is at the keyboard."""

import os
import pwd
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import click

from interfaces.settings.settings import Settings, read_settings

if TYPE_CHECKING:
    from application.command_bus.decision_context import CommandContext
    from interfaces.bootstrap import Stores


def adopt_env_file(env_file: Path) -> None:
    """Make the file's settings part of the environment, for every reader and child. Raises SettingsError."""
    environ = os.environ  # noqa: TID251 - handed on to the one reader, and to child processes
    environ.update(read_settings(environ, env_file).to_environ())


def current_settings() -> Settings:
    """Raises SettingsError."""
    return read_settings(os.environ)  # noqa: TID251 - handed on to the one reader


def running_settings() -> Settings:
    """With the addresses of a running `gridproof up`, where the settings name none. Raises NoRunningSystem."""
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
    """Say on stderr that the read model does not yet show everything that is recorded."""
    for at in stores.read_models().positions():
        if at.name == read_model and at.lag:
            click.echo(
                f"the read model {read_model} is {at.lag} behind the log; does `gridproof worker project` run?",
                err=True,
            )


def operator() -> str:
    """The actor that commands from this keyboard are recorded of."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    return f"operator:cli/{user}"


def command_context(*, tenant: str | None = None, correlation_id: UUID | None = None) -> "CommandContext":
    """A command from this keyboard; `correlation_id` continues a story, else it begins one."""
    from application.command_bus.decision_context import CommandContext

    return CommandContext(
        correlation_id=correlation_id or uuid4(),
        causation_id=uuid4(),
        actor=operator(),
        tenant=tenant,
        trace_id=secrets.token_hex(16),
    )
