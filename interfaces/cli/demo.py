"""`gridproof demo`: runs one DR event on embedded servers, reports it live and checks the result."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from interfaces.cli.console.printing import print_json_line
from interfaces.demo.facility_roles import MIN_FACILITIES
from interfaces.demo.options import DEFAULT_SPEED, OF_SERVERS, DemoOptions

if TYPE_CHECKING:
    from interfaces.demo.document import DemoDocument
    from interfaces.demo.run import Demo

EXAMPLE = """
\b
Examples:
  gridproof demo
  gridproof demo --facilities 5 --json
  gridproof demo --resettle
  gridproof demo --readings hourly.parquet --keep
"""


@click.command("demo", epilog=EXAMPLE)
@click.option(
    "--facilities",
    type=click.IntRange(MIN_FACILITIES, 500),
    default=50,
    show_default=True,
    help="How many facilities take part.",
)
@click.option(
    "--speed",
    type=click.FloatRange(1, 400),
    default=DEFAULT_SPEED,
    show_default=True,
    help="How fast the demo's clock runs.",
)
@click.option(
    "--readings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Real load (CSV or Parquet) that the simulated meters publish.",
)
@click.option(
    "--resettle", is_flag=True, help="Correct readings after the settlement, and follow the next one."
)
@click.option("--keep", is_flag=True, help="Leave the system running, and its folder in place, until Ctrl-C.")
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Use and keep this folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--shed-factor", type=click.FloatRange(0, 1), default=1.0, hidden=True)
@click.option("--without-meters", is_flag=True, hidden=True)
@click.option("--failpoint", "failpoints", default=DemoOptions().failpoints, multiple=True, hidden=True)
@click.option("--servers-of-settings", is_flag=True, hidden=True)
@click.option("--meters-mqtt-url", hidden=True)
def demo(
    *,
    facilities: int,
    speed: float,
    readings: Path | None,
    resettle: bool,
    keep: bool,
    data_dir: Path | None,
    as_json: bool,
    shed_factor: float,
    without_meters: bool,
    failpoints: tuple[str, ...],
    servers_of_settings: bool,
    meters_mqtt_url: str | None,
) -> None:
    """Run one DR event from its notification to its settlement, on real servers.

    50 facilities: one in maintenance, one whose BMS times out, one that refuses, one that responds late, and one
    whose response is lost after it did the work. One worker is killed during the commits. Exits 1 and names the
    fault if a check fails.
    """
    from interfaces.cli.console.session import current_settings

    settings = current_settings()
    options = DemoOptions(
        facilities=facilities,
        speed=speed,
        resettle=resettle,
        keep=keep,
        readings=readings,
        data_dir=data_dir,
        shed_factor=shed_factor,
        without_meters=without_meters,
        failpoints=failpoints,
        servers={name: getattr(settings, name) for name in OF_SERVERS} if servers_of_settings else {},
        meters_mqtt_url=meters_mqtt_url,
        otlp_url=settings.otlp_url,
        worker_metrics_bind=settings.worker_metrics_bind,
        http_metrics_bind=settings.http_metrics_bind,
    )
    run_demo(options, as_json=as_json)


def run_demo(options: DemoOptions, *, as_json: bool) -> None:
    """Run the demo and print its result. Exits 1 if a check failed."""
    from interfaces.cli.console.session import current_settings
    from interfaces.demo.run import Demo
    from interfaces.demo.scenario import DemoFailed
    from interfaces.logs import configure_logs
    from interfaces.system.private_files import private_umask

    configure_logs(current_settings(), process="demo")
    console = Console(file=sys.stderr if as_json else sys.stdout, highlight=False)
    run = Demo(options, lambda line: console.print(f"[dim]{run.seconds:5.1f} s[/dim]  {line}"))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit_on_signal)
    try:
        with private_umask():
            document = run.run(
                lambda document: _show(console, run, document, as_json=as_json, keep=options.keep)
            )
    except DemoFailed as error:
        raise click.ClickException(str(error)) from error
    if document.faults:
        sys.exit(1)


def _show(console: Console, run: Demo, document: DemoDocument, *, as_json: bool, keep: bool) -> None:
    from interfaces.demo.report import print_report
    from interfaces.system.running_system import ADMIN_KEY

    if as_json:
        print_json_line(document)
    print_report(console, run, document)
    if keep:
        console.print(f"running at {run.url}, admin key in {run.folder / ADMIN_KEY}; Ctrl-C ends it")
        while True:  # until a signal ends the process
            signal.pause()


def _exit_on_signal(number: int, _: object) -> None:
    sys.exit(128 + number)
