"""`python -m tests.planted_worker [--fault NAME]... ARGUMENTS`: `gridproof ARGUMENTS` with faults planted.

A test gives this program to `RunningSystem`. The faults are planted in the workers `dispatch` and `watch`, the
failing handler and seal, the wrong clock and the machine's name in every process; every other command runs as in
production.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import get_args

import click
import uvloop

from application.handlers import HANDLERS
from application.ports.clock import Clock
from application.ports.dispatch.building_control import BuildingControl
from interfaces.bootstrap.kinds.dispatch import run as run_dispatch
from interfaces.bootstrap.kinds.watch import run as run_watch
from interfaces.bootstrap.processes import Run, run_until_stopped
from interfaces.bootstrap.stores import Stores
from interfaces.cli import main as gridproof
from interfaces.logs import configure_logs
from interfaces.settings.settings import read_settings
from tests.planted_faults import (
    AttemptSkippingBus,
    Fault,
    LosingNotifier,
    ResendingControl,
    RestoreSkippingControl,
    plant_failing_handler,
    plant_failing_seal,
    plant_machine,
    plant_wrong_clock,
)


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--fault", "faults", type=click.Choice(get_args(Fault)), multiple=True)
@click.option("--failing", metavar="COMMAND/ID", help="Handling this command for this DR event fails.")
@click.option("--failing-seal", metavar="FACILITY", help="Sealing the readings of this facility fails.")
@click.option(
    "--wrong-clock", type=click.Path(path_type=Path), help="The clock is wrong while this file exists."
)
@click.option("--machine", metavar="NAME", help="Report about a machine of this name.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def planted_worker(
    *,
    faults: tuple[Fault, ...],
    failing: str | None,
    failing_seal: str | None,
    wrong_clock: Path | None,
    machine: str | None,
    arguments: tuple[str, ...],
) -> None:
    """Run `gridproof ARGUMENTS`; the workers dispatch and watch run with the faults planted."""
    if failing is not None:
        plant_failing_handler(failing)
    if failing_seal is not None:
        plant_failing_seal(failing_seal)
    if wrong_clock is not None:
        plant_wrong_clock(wrong_clock)
    if machine is not None:
        plant_machine(machine)
    match arguments:
        case ("worker", "dispatch"):
            _run("dispatch", lambda stores, stop: _dispatch(stores, stop, faults))
        case ("worker", "watch") if "lost-callback" in faults:
            _run("watch", lambda stores, stop: run_watch(stores, stop, wrap=LosingNotifier))
        case _:
            gridproof(args=list(arguments), prog_name="gridproof")


def _run(process: str, run: Run) -> None:
    settings = read_settings(os.environ)
    configure_logs(settings, process=process)
    uvloop.run(run_until_stopped(run, settings))


async def _dispatch(stores: Stores, stop: asyncio.Event, faults: Collection[Fault]) -> None:
    if "skip-intent" in faults:
        bus = AttemptSkippingBus(
            stores.events,
            stores.clock,
            HANDLERS,
            forecasts=stores.forecasts,
            command_sla_s=stores.settings.command_sla_s,
        )
        stores = dataclasses.replace(stores, bus=bus)
    await run_dispatch(
        stores,
        stop,
        wrap=_wrapper(faults, stores.clock),
    )


def _wrapper(faults: Collection[Fault], clock: Clock) -> Callable[[BuildingControl], BuildingControl]:
    def wrap(control: BuildingControl) -> BuildingControl:
        if "resend" in faults:
            control = ResendingControl(control)
        if "skip-restore" in faults:
            control = RestoreSkippingControl(control, clock)
        return control

    return wrap


if __name__ == "__main__":
    planted_worker()
