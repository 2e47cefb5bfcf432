"""`gridproof settlement export`: writes all that a settlement follows from, so that anybody can compute it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import msgspec
import numpy as np

from interfaces.cli.console.atomic_files import UnfinishedFile, converted_os_errors, publish
from interfaces.cli.console.printing import print_answer, progress_of
from interfaces.cli.settlement.running import opened_system
from interfaces.cli.telemetry.readings_writer import readings_file

if TYPE_CHECKING:
    from application.measurement.regression_source import RegressionSource
    from application.settlement.shapes import SettlementDocument
    from domain.time_series.interval_block import IntervalBlock
    from domain.time_series.windows import FloatArray, TimeWindow
    from interfaces.cli.settlement.running import RunningSystem
    from projections.dr_event.projection import DREventRow

EXAMPLE = """
\b
Examples:
  gridproof settlement export UTIL-2026-0042 --out settlement/
  gridproof settlement compute --readings settlement/readings.csv --program settlement/program.json
    --event settlement/event.json --json

Writes program.json, event.json, readings.csv (what the baselines looked at, as it is stored now), settlement.json (the
revision in force) and settlement-N.json of each revision, as they are stored: their SHA-256 are those of the log. A
file that is there already is not overwritten. Exit status: 0 written, 1 not.
"""
FACILITIES_AT_ONCE = 50


class WantedReadings(NamedTuple):
    """The readings that the baseline of one facility looked at."""

    window: TimeWindow
    facility_id: str


@click.command("export", epilog=EXAMPLE)
@click.argument("reference", metavar="ID")
@click.option(
    "--out",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The folder to write to; made where it is not there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def export(*, reference: str, folder: Path, as_json: bool) -> None:
    """Write program, DR event, readings and all revisions to files for `settlement compute`."""
    from application.ports.operations.unavailable import OperationsUnavailable
    from application.ports.telemetry.store import TelemetryStoreUnavailable

    try:
        with opened_system() as system:
            files = _exported(system, system.dr_event(reference), folder)
    except (TelemetryStoreUnavailable, OperationsUnavailable) as error:
        raise click.ClickException(f"{error}; export again when the store is back") from error
    names = [str(file) for file in files]
    print_answer({"files": names}, lambda: click.echo("\n".join(names)), as_json=as_json)


def _exported(system: RunningSystem, row: DREventRow, folder: Path) -> list[Path]:
    from application.settlement.document import read_document
    from interfaces.settlement.documents import revision_in_force, stored_document

    settlement = revision_in_force(row)
    written = stored_document(system.documents, row, settlement)
    document = read_document(written)
    with converted_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as open_files, readings_file(folder / "readings.csv") as write:
        files = []
        for name, content in _contents(system, row, document, written):
            file = open_files.enter_context(UnfinishedFile(folder / name))
            with converted_os_errors(file.path):
                file.file.write(content)
            files.append(file)
        _write_readings(system, document, write)
        publish(files)
    return [folder / "readings.csv", *(file.path for file in files)]


def _contents(
    system: RunningSystem, row: DREventRow, document: SettlementDocument, written: bytes
) -> Iterator[tuple[str, bytes]]:
    """File name and content, of the revisions one at a time: one of 10,000 facilities has 20 MB."""
    from interfaces.settlement.documents import stored_document

    yield "program.json", _formatted(document.inputs.program)
    yield "event.json", _formatted(document.inputs.dr_event)
    yield "settlement.json", written
    for one in row.settlements:
        if one.digest is not None:
            yield f"settlement-{one.revision}.json", stored_document(system.documents, row, one)


def _formatted(document: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _write_readings(system: RunningSystem, document: SettlementDocument, write: Callable[..., None]) -> None:
    telemetry = system.telemetry()
    wanted = sorted(
        _wanted(document), key=lambda one: (one.window.starts_at, one.window.ends_at, one.facility_id)
    )
    source = system.temperatures() if document.inputs.program.baseline.method == "regression" else None
    done = 0
    with progress_of(len(wanted), "facilities") as show:
        for window, same in groupby(wanted, key=lambda one: one.window):
            names = [one.facility_id for one in same]
            for start in range(0, len(names), FACILITIES_AT_ONCE):
                part = names[start : start + FACILITIES_AT_ONCE]
                block = telemetry.interval_series_of(part, window)
                for name in part:
                    load_kw = block.series(name)
                    write(name, load_kw, _temperatures(system, source, block, name, len(load_kw.values)))
                done += len(part)
                show(done)


def _temperatures(
    system: RunningSystem, source: RegressionSource | None, block: IntervalBlock, name: str, steps: int
) -> FloatArray:
    """The temperatures that a baseline by regression looked at; others look at none."""
    from domain.facility import Facility
    from domain.identifiers import facility_stream_id

    if source is None:
        return np.full(steps, np.nan)
    facility = system.events.load(Facility, facility_stream_id(name)).state
    return source.inputs_of(block, facility).temperatures.values


def _wanted(document: SettlementDocument) -> Iterator[WantedReadings]:
    """The time that the baseline of each facility that was measured may look at."""
    from application.measurement.basis import look_back_days
    from application.measurement.measure import readings_window
    from domain.program.settlement_rule import Results
    from domain.settlement.inputs import event_window, facility_window
    from domain.time_series.windows import TimeWindow

    inputs = document.inputs
    days = look_back_days(inputs.program.baseline.method, inputs.program.baseline.parameters)
    opted_out = (inputs.program.settlement.of_kind(document.kind).results or Results()).opted_out
    whole = event_window(inputs.dr_event, document.step_s)
    measured = {one.facility_id for one in document.facilities if one.baseline is not None}
    for facility in inputs.dr_event.facilities:
        window = facility_window(whole, facility, opted_out)
        if window.count and facility.facility_id in measured:
            looked_at = readings_window(TimeWindow(window.starts_at, window.ends_at), days)
            yield WantedReadings(looked_at, facility.facility_id)
