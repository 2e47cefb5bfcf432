"""`gridproof simulate meters`: simulates the meters of a portfolio, or any number of meters as load."""

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interfaces.cli.console.printing import print_answer, print_fields
from interfaces.cli.console.session import opened_stores, running_settings

if TYPE_CHECKING:
    from interfaces.simulators.meters.load import LoadReport
    from interfaces.simulators.meters.load_plan import LoadAudit, LoadPlan

EXAMPLE = """
\b
Examples:
  gridproof simulate meters --portfolio portfolio.yaml --cadence-s 15
  gridproof simulate meters --load 1000 --run trial --write-portfolio trial.json
  gridproof facilities import trial.json
  gridproof simulate meters --load 1000 --run trial --rate 67 --seconds 60 --audit

\b
The first are the meters of a portfolio's buildings, until Ctrl-C (they answer no BMS call; `simulate world` has
both in one). The others send load at a rate, and say exactly what was sent. Readings of meters that the portfolio
does not list become dead letters: import the file that --write-portfolio makes first. --audit then counts what
PostgreSQL of the running system holds of it: lost, duplicated (stored twice, or counted twice in rollups) and foreign
readings, and exit status 3 unless all three are 0. Duplicates are removed when their quarter-hour is finalized.
"""
ASK_AGAIN_S = 0.5
LATE_UNTIL_S = 1.0


@click.command("meters", epilog=EXAMPLE)
@click.option(
    "--portfolio",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The portfolio file (YAML or JSON) whose buildings' meters these are.",
)
@click.option(
    "--cadence-s", type=click.FloatRange(min=0.1), default=15.0, show_default=True, help="Between readings."
)
@click.option("--mqtt-url", metavar="URL", help="The broker. [default: the running system's]")
@click.option("--load", type=click.IntRange(min=1), metavar="N", help="So many made-up meters instead.")
@click.option(
    "--run", "name", metavar="NAME", help="The prefix of the made-up facilities. [default: a new one]"
)
@click.option(
    "--write-portfolio",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Send nothing; write the portfolio file that lists the made-up meters.",
)
@click.option("--rate", type=click.FloatRange(min=0.1), help="Readings a second of all. [default: N / 15]")
@click.option(
    "--gateway", type=click.IntRange(1, 500), default=1, show_default=True, help="Readings in a message."
)
@click.option(
    "--seconds", type=click.FloatRange(min=0.1), default=60.0, show_default=True, help="How long to publish."
)
@click.option(
    "--connections",
    type=click.IntRange(1, 1_000),
    default=4,
    show_default=True,
    help="Connections to the broker, over which the meters are shared out.",
)
@click.option("--audit", is_flag=True, help="Compare what was sent with what the store then holds.")
@click.option(
    "--audit-within-s",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="Wait so long for it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def meters(
    *,
    portfolio: Path | None,
    cadence_s: float,
    mqtt_url: str | None,
    load: int | None,
    name: str | None,
    write_portfolio: Path | None,
    rate: float | None,
    gateway: int,
    seconds: float,
    connections: int,
    audit: bool,
    audit_within_s: float,
    as_json: bool,
) -> None:
    """Meters that publish: the loads of a portfolio's buildings, or N of them for load."""
    if (portfolio is None) == (load is None):
        raise click.UsageError("give --portfolio for its buildings' meters, or --load N")
    if write_portfolio is not None:
        if load is None:
            raise click.UsageError("--write-portfolio writes made-up meters: give --load N")
        _write_portfolio(_plan(load, rate, gateway, name), write_portfolio)
        return
    if audit and running_settings().telemetry_store == "influx":
        raise click.UsageError(
            "--audit counts in PostgreSQL, and GRIDPROOF_TELEMETRY_STORE is influx: leave it out"
        )
    broker = mqtt_url or running_settings().mqtt_url
    if broker is None:
        raise click.UsageError("no broker is known: give --mqtt-url, or set GRIDPROOF_MQTT_URL")
    if portfolio is not None:
        _run_portfolio(portfolio, broker, cadence_s)
        return
    assert load is not None  # noqa: S101 - one of the two is given
    report = _send(_plan(load, rate, gateway, name), broker, seconds, connections, quiet=as_json)
    found = _audit(report, audit_within_s) if audit else None
    print_answer({"sent": report, "audit": found}, lambda: _print(report, found), as_json=as_json)
    if report.unacknowledged_messages:
        raise click.ClickException("the broker did not acknowledge everything in time; is it overloaded?")
    if found is not None and not found.is_exact:
        sys.exit(3)


def _plan(load: int, rate: float | None, gateway: int, name: str | None) -> "LoadPlan":
    from interfaces.bootstrap import clock_of
    from interfaces.cli.console.session import current_settings
    from interfaces.simulators.meters.load_plan import LoadPlan, new_run

    now = clock_of(current_settings()).now()
    return LoadPlan(
        run=name or new_run(now), meters=load, rate_per_s=rate or load / 15.0, gateway=gateway, started_at=now
    )


def _write_portfolio(plan: "LoadPlan", file: Path) -> None:
    listed = plan.listed_meters()
    facilities = [
        {
            "facility_id": facility_id,
            "meters": [{"meter_id": meter_id} for meter_id in meters],
            "zones": [],
            "bms": {"address": "http://127.0.0.1:9/none"},
            "programs": [],
        }
        for facility_id, meters in listed.items()
    ]
    file.write_text(json.dumps({"facilities": facilities}, indent=1), encoding="utf-8")
    click.echo(f"{len(listed)} facilities of run {plan.run} in {file}")


def _send(plan: "LoadPlan", broker: str, seconds: float, connections: int, *, quiet: bool) -> "LoadReport":
    from interfaces.simulators.meters.load import MeterLoad

    next_line_at = time.monotonic() + 5.0

    def on_progress(sent: int) -> None:
        nonlocal next_line_at
        if not quiet and time.monotonic() >= next_line_at:
            click.echo(f"sent {plan.readings_in(sent)} readings", err=True)
            next_line_at += 5.0

    async def run() -> "LoadReport":
        return await MeterLoad(plan, broker, connections=connections).run(seconds, on_progress=on_progress)

    return asyncio.run(run())


def _audit(report: "LoadReport", within_s: float) -> "LoadAudit":
    """Audit until no reading is missing or the time is over. Duplicates arrive soon after the originals."""
    from interfaces.simulators.meters.load_plan import audit, missing

    with opened_stores() as stores:
        deadline = time.monotonic() + within_s
        while missing(report.plan, report.messages, stores.stored_readings()):
            if time.monotonic() >= deadline:
                break
            time.sleep(ASK_AGAIN_S)
        time.sleep(LATE_UNTIL_S)
        return audit(report.plan, report.messages, stores.stored_readings())


def _print(report: "LoadReport", found: "LoadAudit | None") -> None:
    print_fields(
        (
            ("run", report.plan.run),
            ("readings sent", f"{report.readings} in {report.messages} messages"),
            ("not acknowledged", f"{report.unacknowledged_messages} messages"),
            ("sent again", f"{report.resent_messages} messages"),
            ("readings a second", report.readings_per_s),
            ("longest behind", f"{report.longest_behind_s:.2f} s"),
        )
    )
    if found is not None:
        print_fields(
            (
                ("stored", found.stored),
                ("lost", found.lost),
                ("stored twice", found.stored_twice),
                ("counted twice", found.counted_twice),
                ("foreign", found.foreign),
            )
        )


def _run_portfolio(portfolio: Path, broker: str, cadence_s: float) -> None:
    from interfaces.bootstrap import clock_of
    from interfaces.cli.console.session import current_settings
    from interfaces.simulators.portfolio_meters import run_meters

    clock = clock_of(current_settings())

    async def run() -> None:
        stopping = asyncio.Event()
        for wanted in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(wanted, stopping.set)
        click.echo("ready; stop it with Ctrl-C")
        await run_meters(portfolio, broker, stopping, clock=clock, cadence_s=cadence_s)

    asyncio.run(run())
