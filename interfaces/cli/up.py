"""`gridproof up`: runs the whole system in the foreground until Ctrl-C."""

from __future__ import annotations

import secrets
import signal
import threading
from contextlib import closing

import click

from application.access.api_keys import ID_BYTES, SECRET_BYTES, issue
from interfaces.bootstrap import (
    REFUSED_ADVICE,
    log_misfits,
    open_stores,
    weather_problems,
    wrong_references,
)
from interfaces.cli.console.printing import name_unresolved
from interfaces.cli.console.session import current_settings
from interfaces.logs import configure_logs
from interfaces.settings.settings import Settings
from interfaces.system.private_files import private_umask, write_private
from interfaces.system.running_system import ADMIN_KEY, NotReady, RunningSystem

EXAMPLE = """
\b
Examples:
  gridproof up
  GRIDPROOF_HTTP_BIND=127.0.0.1:9000 GRIDPROOF_DATA_DIR=/var/lib/gridproof gridproof up
"""


@click.command("up", epilog=EXAMPLE)
def up() -> None:
    """Run everything on this machine: embedded servers, HTTP and all workers.

    Prints `ready http://HOST:PORT` once it answers. The first start makes an admin key in DATA_DIR/admin.key.
    """
    settings = current_settings()
    configure_logs(settings, process="up")
    stop = threading.Event()
    for wanted in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wanted, lambda *_: stop.set())
    with private_umask(), RunningSystem(settings) as system:
        settings = system.start_servers()
        _make_admin_key(settings)
        _name_references(settings)
        _name_missing_weather(settings)
        _name_log_misfits(settings)
        system.start_workers(settings)
        try:
            system.wait_until_ready()
        except NotReady as error:
            raise click.ClickException(str(error)) from error
        click.echo(f"ready {system.url}")
        stop.wait()
        click.echo("stopping ...", err=True)


def _name_references(settings: Settings) -> None:
    with closing(open_stores(settings, pool_size=1)) as stores:
        refused, unresolved = wrong_references(stores)
    for named in refused:
        click.echo(f"a secret reference is refused: {named}", err=True)
    if refused:
        click.echo(REFUSED_ADVICE, err=True)
    name_unresolved(unresolved)


def _name_missing_weather(settings: Settings) -> None:
    with closing(open_stores(settings, pool_size=1)) as stores:
        for problem in weather_problems(stores):
            click.echo(problem, err=True)


def _name_log_misfits(settings: Settings) -> None:
    with closing(open_stores(settings, pool_size=1)) as stores:
        for misfit in log_misfits(stores):
            click.echo(misfit, err=True)


def _make_admin_key(settings: Settings) -> None:
    """Create the admin key on the first start. Only the owner can read its file."""
    path = settings.data_dir / ADMIN_KEY
    if path.exists():
        return
    with closing(open_stores(settings)) as stores:
        token = issue(
            stores.api_keys(),
            role="admin",
            at=stores.decision_clock.now(),
            entropy=secrets.token_bytes(SECRET_BYTES + ID_BYTES),
        ).token
    write_private(path, token)
    click.echo(f"an admin key is in {path}", err=True)
