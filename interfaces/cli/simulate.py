"""`gridproof simulate`: the outside world, or one part of it, for trying things."""

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interfaces.cli.fault_storm import fault_storm
from interfaces.cli.session import current_settings
from interfaces.cli.simulate_meters import meters

if TYPE_CHECKING:
    from application.ports.clock import Clock
    from interfaces.simulators.world_spec import WorldAddresses, WorldSpec

WORLD_EXAMPLE = """
\b
Example:
  gridproof simulate world --spec world-spec.json

\b
A specification:
  {"portfolio": "portfolio.yaml", "directory": "world", "mqtt_url": "mqtt://127.0.0.1:1883",
   "faults": [{"facility_id": "fac-007", "kind": "time_out"}]}

Journals of what the buildings did and what the utility was told stand in `directory`, and `world.json`, which says
where everything is, once all of it answers.
"""
BMS_EXAMPLE = """
\b
Example:
  gridproof simulate bms --portfolio portfolio.yaml --bind 127.0.0.1:9100
"""
WEATHER_EXAMPLE = """
\b
Example:
  gridproof simulate weather --portfolio portfolio.yaml --bind 127.0.0.1:9200
"""
UTILITY_EXAMPLE = """
\b
Example:
  gridproof simulate utility --portfolio portfolio.yaml --bind 127.0.0.1:9300 --fail-first 3
"""
portfolio_option = click.option(
    "--portfolio",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The portfolio file (YAML or JSON) whose buildings these are.",
)
directory_option = click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="Takes the journals. [default: world in the data folder]",
)
bind_option = click.option(
    "--bind", default="127.0.0.1:0", show_default=True, metavar="HOST:PORT", help="Port 0: a free one."
)


@click.group("simulate", epilog=WORLD_EXAMPLE)
def simulate_group() -> None:
    """Buildings with their BMSs and meters, a utility and a weather service; or a storm of faults over all of it."""


simulate_group.add_command(fault_storm)
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
    from interfaces.simulators.world_spec import read_world_spec

    _run(read_world_spec(spec_file), ("bms_url", "utility_url", "weather_url", "callback_url"))


@simulate_group.command("bms", epilog=BMS_EXAMPLE)
@portfolio_option
@directory_option
@bind_option
def bms(portfolio: Path, directory: Path | None, bind: str) -> None:
    """The BMS SOAP servers of the buildings."""
    from msgspec.structs import replace

    _run(replace(_spec(portfolio, directory), bms_bind=bind), ("bms_url",))


@simulate_group.command("weather", epilog=WEATHER_EXAMPLE)
@portfolio_option
@directory_option
@bind_option
def weather(portfolio: Path, directory: Path | None, bind: str) -> None:
    """A weather service for the buildings' cells."""
    from msgspec.structs import replace

    _run(replace(_spec(portfolio, directory), weather_bind=bind), ("weather_url",))


@simulate_group.command("utility", epilog=UTILITY_EXAMPLE)
@portfolio_option
@directory_option
@bind_option
@click.option("--fail-first", type=click.IntRange(min=0), default=0, help="So many calls are answered 503.")
@click.option("--always-fail", is_flag=True, help="Every call is answered 503.")
def utility(portfolio: Path, directory: Path | None, bind: str, fail_first: int, always_fail: bool) -> None:
    """A utility that takes callbacks, checks their signatures and journals them."""
    from msgspec.structs import replace

    from interfaces.simulators.utility import UtilityFaults

    faults = UtilityFaults(fail_first=fail_first, always_fail=always_fail)
    _run(replace(_spec(portfolio, directory), utility_bind=bind, utility=faults), ("callback_url",))


def _spec(portfolio: Path, directory: Path | None) -> "WorldSpec":
    from interfaces.simulators.world_spec import WorldSpec

    folder = directory or current_settings().data_dir / "world"
    return WorldSpec(portfolio=str(portfolio), directory=str(folder))


def _run(spec: "WorldSpec", shown: tuple[str, ...]) -> None:
    """Run the world until a signal; its addresses are printed once they answer."""
    from interfaces.secrets import resolve_secret
    from interfaces.simulators.world import opened_world
    from interfaces.simulators.world_spec import write_addresses

    async def run() -> None:
        stopping = asyncio.Event()
        for wanted in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(wanted, stopping.set)
        async with opened_world(spec, clock=_clock(spec), secret=resolve_secret) as (addresses, tasks):
            write_addresses(Path(spec.directory), addresses)
            _print(addresses, shown)
            stop = asyncio.create_task(stopping.wait())
            done, _ = await asyncio.wait({stop, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            for task in done - {stop}:
                task.result()

    asyncio.run(run())


def _print(addresses: "WorldAddresses", shown: tuple[str, ...]) -> None:
    for name in shown:
        click.echo(f"{name.removesuffix('_url')} {getattr(addresses, name)}")
    click.echo("ready; stop it with Ctrl-C")


def _clock(spec: "WorldSpec") -> "Clock":
    """The one that the specification names, else that of the settings."""
    from interfaces.bootstrap import accelerated_clock, clock_of

    if spec.clock is None:
        return clock_of(current_settings())
    return accelerated_clock(spec.clock.epoch, spec.clock.started_at, spec.clock.speed)
