"""`gridproof simulate`: runs the simulated outside world, or one part of it."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interfaces.cli.console.session import current_settings
from interfaces.cli.simulate.meters import meters

if TYPE_CHECKING:
    from application.ports.clock import Clock
    from interfaces.simulators.world_spec import WorldSpec

Part = tuple[Mapping[str, str], Sequence[asyncio.Task[None]]]
"""A running simulator: its addresses by name, and its tasks, which run until cancelled."""

WORLD_EXAMPLE = """
\b
Example:
  gridproof simulate world --spec world-spec.json

\b
A specification:
  {"portfolio": "portfolio.yaml", "directory": "world", "mqtt_url": "mqtt://127.0.0.1:1883",
   "faults": [{"facility_id": "fac-007", "kind": "time_out"}]}

`directory` gets the journals of what the buildings did and of what was reported to the utility, and, once everything
answers, `world.json` with the addresses.
"""
BMS_EXAMPLE = """
\b
Examples:
  gridproof simulate bms --portfolio portfolio.yaml --bind 127.0.0.1:9100
  gridproof simulate bms --portfolio portfolio.yaml --directory /tmp/buildings

The buildings' SOAP servers are at ADDRESS/buildings/FACILITY/bms; what was done to them stands in bms-journal.jsonl.
A system calls them on this machine only with GRIDPROOF_BMS_NETWORKS=127.0.0.0/8.
Nothing else of the world runs; `simulate meters` lets their meters speak.
"""
WEATHER_EXAMPLE = """
\b
Examples:
  gridproof simulate weather --bind 127.0.0.1:9200
  gridproof simulate weather --fail-first 3 --quota 1000

Set GRIDPROOF_WEATHER_URL to the address that it prints. Every cell has a climate of its own, drawn from its name; with
--portfolio those of its facilities are the ones that their loads follow.
"""
UTILITY_EXAMPLE = """
\b
Examples:
  gridproof simulate utility --bind 127.0.0.1:9300 --secret env:GRIDPROOF_SECRET_CALLBACK_CITY
  gridproof simulate utility --fail-first 3

Give the address that it prints as `callback_url` of a notification; what came stands in callbacks.jsonl. Without a
secret (of --secret, or of the portfolio's first utility) signatures are not asked for.
"""
portfolio_option = click.option(
    "--portfolio",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The portfolio file (YAML or JSON) whose buildings these are.",
)
optional_portfolio_option = click.option(
    "--portfolio",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A portfolio file (YAML or JSON) that it is to fit.",
)
directory_option = click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="Takes the journal. [default: world in the data folder]",
)
bind_option = click.option(
    "--bind", default="127.0.0.1:0", show_default=True, metavar="HOST:PORT", help="Port 0: a free one."
)


@click.group("simulate", epilog=WORLD_EXAMPLE)
def simulate_group() -> None:
    """Buildings with their BMSs and meters, a utility and a weather service; or a storm of faults over all of it."""


simulate_group.add_command(meters)


@simulate_group.command("world", epilog=WORLD_EXAMPLE)
@click.option(
    "--spec",
    "spec_file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file that says which world.",
)
def world(spec_file: Path) -> None:
    """The whole world, until SIGTERM or Ctrl-C."""
    from interfaces.settings.secrets import resolve_secret
    from interfaces.simulators.world import opened_world
    from interfaces.simulators.world_spec import read_world_spec, write_addresses

    spec = read_world_spec(spec_file)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Part]:
        async with opened_world(spec, clock=_clock(spec), secret=resolve_secret) as (addresses, tasks):
            write_addresses(Path(spec.directory), addresses)
            shown = {
                "bms": addresses.bms_url,
                "utility": addresses.utility_url,
                "weather": addresses.weather_url,
                "callback": addresses.callback_url,
            }
            yield shown, tasks

    _run(opened())


@simulate_group.command("bms", epilog=BMS_EXAMPLE)
@portfolio_option
@directory_option
@bind_option
def bms(portfolio: Path, directory: Path | None, bind: str) -> None:
    """The BMS SOAP servers of the buildings, and nothing else."""
    from interfaces.settings.secrets import resolve_secret
    from interfaces.simulators.parts import opened_bms
    from interfaces.simulators.world_spec import read_portfolio

    @asynccontextmanager
    async def opened() -> AsyncIterator[Part]:
        buildings = read_portfolio(portfolio)
        folder = _folder(directory)
        async with opened_bms(buildings, folder, bind, clock=_clock(), secret=resolve_secret) as (
            url,
            _,
            tasks,
        ):
            yield {"bms": url}, tasks

    _run(opened())


@simulate_group.command("weather", epilog=WEATHER_EXAMPLE)
@optional_portfolio_option
@bind_option
@click.option("--fail-first", type=click.IntRange(min=0), default=0, help="So many calls are answered 503.")
@click.option("--down", is_flag=True, help="Every call is answered 503.")
@click.option("--quota", type=click.IntRange(min=1), help="Calls a day; above it 429 with Retry-After.")
def weather(portfolio: Path | None, bind: str, fail_first: int, *, down: bool, quota: int | None) -> None:
    """A weather service, and nothing else; in the shape of WeatherAPI.com too, for the places of the portfolio."""
    from interfaces.simulators.parts import opened_weather
    from interfaces.simulators.weather.service import WeatherFaults
    from interfaces.simulators.world import cells_of, weather_places_of
    from interfaces.simulators.world_spec import read_portfolio

    faults = WeatherFaults(fail_first=fail_first, down=down, quota_per_day=quota)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Part]:
        known = None if portfolio is None else read_portfolio(portfolio)
        cells = {} if known is None else cells_of(known)
        places = {} if known is None else weather_places_of(known)
        async with opened_weather(bind, clock=_clock(), cells=cells, places=places, faults=faults) as url:
            yield {"weather": url}, []

    _run(opened())


@simulate_group.command("utility", epilog=UTILITY_EXAMPLE)
@optional_portfolio_option
@directory_option
@bind_option
@click.option(
    "--secret", "secret_ref", metavar="REF", help="Of the callbacks' signatures: env:NAME or file:/PATH."
)
@click.option("--fail-first", type=click.IntRange(min=0), default=0, help="So many calls are answered 503.")
@click.option("--always-fail", is_flag=True, help="Every call is answered 503.")
def utility(
    portfolio: Path | None,
    directory: Path | None,
    bind: str,
    secret_ref: str | None,
    fail_first: int,
    *,
    always_fail: bool,
) -> None:
    """A utility that takes callbacks, checks their signatures and journals them, and nothing else."""
    from interfaces.settings.secrets import resolve_secret
    from interfaces.simulators.parts import opened_utility
    from interfaces.simulators.utility import UtilityFaults
    from interfaces.simulators.world import callback_secret_ref
    from interfaces.simulators.world_spec import read_portfolio

    faults = UtilityFaults(fail_first=fail_first, always_fail=always_fail)
    agreed = None if portfolio is None else callback_secret_ref(read_portfolio(portfolio))
    named = secret_ref or agreed
    secret = None if named is None else resolve_secret(named)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Part]:
        folder = _folder(directory)
        async with opened_utility(folder, bind, clock=_clock(), secret=secret, faults=faults) as url:
            yield {"callback": f"{url}/callbacks"}, []

    _run(opened())


def _folder(directory: Path | None) -> Path:
    return directory or current_settings().data_dir / "world"


def _run(opened: AbstractAsyncContextManager[Part]) -> None:
    """Run the simulator until a signal; prints its addresses once they are served."""

    async def run() -> None:
        stopping = asyncio.Event()
        for wanted in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(wanted, stopping.set)
        async with opened as (addresses, tasks):
            for name, url in addresses.items():
                click.echo(f"{name} {url}")
            click.echo("ready; stop it with Ctrl-C")
            stop = asyncio.create_task(stopping.wait())
            done, _ = await asyncio.wait({stop, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            for task in done - {stop}:
                task.result()

    asyncio.run(run())


def _clock(spec: "WorldSpec | None" = None) -> "Clock":
    """The clock of the specification, else that of the settings."""
    from interfaces.bootstrap import accelerated_clock, clock_of

    if spec is None or spec.clock is None:
        return clock_of(current_settings())
    return accelerated_clock(spec.clock.epoch, spec.clock.started_at, spec.clock.speed)
