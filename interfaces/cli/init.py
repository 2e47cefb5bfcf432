"""`gridproof init`: a folder to begin with: a portfolio with comments, settings, and fresh secrets."""

import json
import re
import secrets
import shlex
from datetime import UTC, datetime
from pathlib import Path

import click

EXAMPLE = """
\b
Examples:
  gridproof init trial --speed 90
  gridproof init /srv/gridproof --port 9000

docs/guides/first-hour.md goes on from here. Nothing is ever overwritten: the folder is new, or empty.
"""
ENV_FILE, PORTFOLIO = "gridproof.env", "portfolio.yaml"
WEBHOOK_SECRET, CALLBACK_SECRET = "webhook/city-power", "callback/city-power"
SECRET_BYTES = 32
FAST_CLOCK_BEGINS = datetime(2026, 7, 14, 19, 0, tzinfo=UTC)
"""A Tuesday, noon in Los Angeles, where the facilities of the portfolio are."""
FAST_CLOCK_BMS_S = 300
"""Clock seconds of a BMS call: on a fast clock the default of 30 is a fraction of a second."""

_ENVIRON = """\
# Settings of this system. In a shell: set -a; . ./gridproof.env; set +a
# or with each command: gridproof --env-file gridproof.env ...
# or for every command: install -D -m 600 gridproof.env ~/.config/gridproof/gridproof.env
GRIDPROOF_DATA_DIR={data}
GRIDPROOF_SECRETS_DIR={secrets}
GRIDPROOF_HTTP_BIND=127.0.0.1:{port}
# The simulated weather (`gridproof simulate weather`). For real weather name your service, or GRIDPROOF_WEATHER_KEY.
GRIDPROOF_WEATHER_URL=http://127.0.0.1:{weather_port}
# For simulated buildings and a receiver of callbacks on this machine; a real system needs neither.
GRIDPROOF_BMS_NETWORKS=127.0.0.0/8
GRIDPROOF_ALLOW_PRIVATE_CALLBACKS=true
"""
_FAST_CLOCK = """\
# A clock that runs {speed:g} times as fast, for trying. A system keeps the clock that it was started with first.
GRIDPROOF_CLOCK_EPOCH={epoch}
GRIDPROOF_CLOCK_STARTED_AT={started_at}
GRIDPROOF_CLOCK_SPEED={speed:g}
GRIDPROOF_BMS_CONNECT_TIMEOUT_S={bms_s}
GRIDPROOF_BMS_TOTAL_TIMEOUT_S={bms_s}
"""


@click.command("init", epilog=EXAMPLE)
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--speed",
    type=click.FloatRange(1, 400, min_open=True),
    help="A clock that begins on 14 July 2026 at noon in Los Angeles and runs so many times as fast, for trying. "
    "[default: the machine's clock]",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65_532),
    default=8080,
    show_default=True,
    help="Of the API and the page; the next two are for simulated weather and buildings.",
)
def init(folder: Path, *, speed: float | None, port: int) -> None:
    """Make DIR with a portfolio, settings and secrets, all for you alone, to begin with."""
    folder = folder.absolute()
    _make_empty(folder)
    names = folder / "secrets"
    names.mkdir(mode=0o700)
    for name in (WEBHOOK_SECRET, CALLBACK_SECRET):
        (names / name).parent.mkdir(mode=0o700)
        _write(names / name, f"{secrets.token_hex(SECRET_BYTES)}\n")
    _write(folder / PORTFOLIO, _portfolio(names, bms_port=port + 2))
    _write(folder / ENV_FILE, _environ(folder, port, speed))
    click.echo(f"{folder}: {PORTFOLIO}, {ENV_FILE} and two secrets in secrets/")
    click.echo(f"next: cd {shlex.quote(str(folder))}; set -a; . ./{ENV_FILE}; set +a; gridproof up", err=True)


def _portfolio(names: Path, *, bms_port: int) -> str:
    """The example with these secrets, the simulated BMSs, and a program whose DR events may take place at any time."""
    from application.facility.portfolio_example import portfolio_example

    text = portfolio_example(bms_address=f"http://127.0.0.1:{bms_port}/buildings/{{facility_id}}/bms")
    for field, name in (("webhook_secret_ref", WEBHOOK_SECRET), ("callback_secret_ref", CALLBACK_SECRET)):
        (line,) = re.findall(rf"^    # {field}: .*$", text, re.MULTILINE)
        text = text.replace(line, f"    {field}: {json.dumps(f'file:{names / name}')}")
    (window,) = re.findall(r"^    window:.*\n(?:      .*\n)+", text, re.MULTILINE)
    return text.replace(window, re.sub(r"^    (  )?(?:# )?", r"    # \1", window, flags=re.MULTILINE))


def _make_empty(folder: Path) -> None:
    if not _is_plain(str(folder)):
        raise click.ClickException(f"{folder} has a quote or a line end in its path; name another folder")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise click.ClickException(
            f"{folder} cannot be made ({error.strerror}); name another folder"
        ) from error
    if not is_empty:
        raise click.ClickException(f"{folder} is not empty, and nothing is overwritten; name another folder")


def _is_plain(path: str) -> bool:
    return path.isprintable() and not any(quote in path for quote in "'\"")


def _environ(folder: Path, port: int, speed: float | None) -> str:
    environ = _ENVIRON.format(
        data=shlex.quote(str(folder / "data")),
        secrets=shlex.quote(str(folder / "secrets")),
        port=port,
        weather_port=port + 1,
    )
    if speed is None:
        return environ
    from interfaces.bootstrap import machine_time

    return environ + _FAST_CLOCK.format(
        speed=speed,
        epoch=FAST_CLOCK_BEGINS.isoformat(),
        started_at=machine_time().isoformat(),
        bms_s=FAST_CLOCK_BMS_S,
    )


def _write(path: Path, content: str) -> None:
    from interfaces.system.private_files import write_private

    write_private(path, content.encode())
