"""Compares a capacity run with what `gridproof capacity` predicts, and computes the measured figures from the run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from application.operations.process_kinds import ProcessorUse
from application.operations.sizing import measured
from application.operations.sizing.estimate import SERVERS, Estimate
from application.operations.sizing.load import SystemLoad
from application.operations.sizing.measured import PROCESSOR
from interfaces.bootstrap.offline import estimator
from interfaces.settings.settings import Settings
from tests.bench.figures import Figure, figure

if TYPE_CHECKING:
    from tests.bench.capacity.run import Phase, Run

FORECAST_OF_POSTGRES = 0.53
"""PostgreSQL's share of a cycle, of the worker's: 4.0 s beside 7.6 s for 10,000 facilities (docs/forecasting.md)."""
OF_READINGS = frozenset({"ingest", "aggregate", "nats", "postgres"})
"""They carry readings."""


def compared(run: Run) -> Iterator[Figure]:
    """Each figure is the measured one, and its floor the predicted one: their ratio should be near 1."""
    load = SystemLoad(facilities=run.facilities, meters=run.meters, users=run.users)
    predicted = estimator(Settings())(load)
    yield from _processors(run)
    yield from _others(run, predicted)


def _processors(run: Run) -> Iterator[Figure]:
    total, expected = 0.0, 0.0
    for name, use in PROCESSOR.items():
        ours = sum(phase.cpu_s(name) for phase in run.phases.values())
        floor = sum(_predicted_cpu_s(name, use, phase) for phase in run.phases.values())
        total, expected = total + ours, expected + floor
        yield _figure(f"processor of {name}", "s", ours, floor)
    yield _figure("processor of all", "s", total, expected)


def _predicted_cpu_s(name: str, use: ProcessorUse, phase: Phase) -> float:
    return (
        phase.processes.get(name, 1) * use.idle_ms_per_s * phase.seconds / 1e3
        + use.pack_ms * phase.packs / 1e3
        + use.reading_us * phase.readings / 1e6
        + use.request_ms * phase.requests / 1e3
        + use.dispatch_ms * phase.dispatches / 1e3
        + use.forecast_ms * phase.forecasts / 1e3
    )


def _others(run: Run, predicted: Estimate) -> Iterator[Figure]:
    counts = {name: need.count for name, need in predicted.processes.items()} | dict.fromkeys(SERVERS, 1)
    for name, use in PROCESSOR.items():
        yield _figure(f"memory of {name}", "MiB", run.held_mib(name), counts[name] * use.held_mib)
    yield _figure(
        "connections", "connections", float(run.peaks.total_sessions), float(predicted.connections.budget)
    )
    rate = run.total("readings") / max(1.0, sum(p.seconds for p in run.phases.values() if p.readings))
    yield _figure("readings", "readings/s", rate, predicted.readings_per_s)
    if not run.is_whole:
        return
    for group, ours, floor in _disk(run):
        yield _figure(f"disk, {group}", "bytes", ours, floor)


def _disk(run: Run) -> Iterator[tuple[str, float, float]]:
    """(what, measured, predicted) of the whole run."""
    readings, dispatches, forecasts = run.total("readings"), run.total("dispatches"), run.total("forecasts")
    yield "domain events", run.grown("log"), dispatches * measured.LOG_BYTES.value
    if forecasts:
        yield "forecasts", run.grown("forecasts"), forecasts * measured.FORECAST_BYTES.value
    yield "readings", run.grown("readings"), readings * measured.READING_BYTES.value
    yield "rollups", run.grown("rollups"), readings * measured.ROLLUP_BYTES.value
    wal = readings * measured.WAL_BYTES.value + dispatches * measured.WAL_DISPATCH_BYTES.value
    yield "PostgreSQL's log as archived", run.archived_wal_bytes, wal
    if run.archived is not None:
        yield (
            "raw archive",
            run.archived.stored_bytes,
            run.archived.readings * measured.ARCHIVE_BYTES.value,
        )
    yield "full backup", run.backup_bytes, run.database_bytes * measured.BACKUP_SHARE.value


def _figure(name: str, unit: str, ours: float, floor: float) -> Figure:
    least = 1e-9  # nothing measured, or nothing predicted
    return figure(f"capacity-run, {name}", unit=unit, ours=max(ours, least), floor=max(floor, least))


def processor_use(run: Run, name: str) -> ProcessorUse:
    """What one kind of process takes, from the phases: each adds one cause to those before it."""
    idle, meters, users = (run.phases[one] for one in ("nothing", "meters", "users"))
    rest = list(run.phases.values())[3:]
    count = idle.processes.get(name, 1)
    idle_s = idle.cpu_s(name) / idle.seconds
    spent = meters.cpu_s(name) - idle_s * meters.seconds
    reading_s = PROCESSOR[name].reading_us / 1e6  # of the benchmark `ingest`: here packs are most of it
    pack_s = _share(spent - reading_s * meters.readings, meters.packs) if name in OF_READINGS else 0.0
    request_s = _share(
        users.cpu_s(name) - idle_s * users.seconds - reading_s * users.readings - pack_s * users.packs,
        users.requests,
    )
    left = sum(
        phase.cpu_s(name)
        - idle_s * phase.seconds
        - pack_s * phase.packs
        - reading_s * phase.readings
        - request_s * phase.requests
        for phase in rest
    )
    forecasts, dispatches = (sum(getattr(p, field) for p in rest) for field in ("forecasts", "dispatches"))
    forecast_s = 0.0
    if name in OF_READINGS - {"postgres"}:
        left = request_s = 0.0  # rollups, and what is sent again
    if name in {"compute", "postgres"}:  # what is left of them is measurement
        share = FORECAST_OF_POSTGRES if name == "postgres" else 1.0
        forecast_s = share * PROCESSOR["compute"].forecast_ms / 1e3  # of the benchmark `forecast-cycle-1000`
        left -= forecast_s * forecasts
    return ProcessorUse(
        idle_ms_per_s=1e3 * idle_s / count,
        pack_ms=1e3 * pack_s,
        reading_us=1e6 * reading_s,
        request_ms=1e3 * request_s,
        dispatch_ms=1e3 * _share(left, dispatches),
        forecast_ms=1e3 * forecast_s,
        held_mib=run.held_mib(name) / count,
    )


def _share(spent_s: float, count: float) -> float:
    """Of one, at least 0: what is within the noise of idling costs nothing."""
    return max(0.0, spent_s) / count if count else 0.0


def measured_rows(run: Run) -> Iterator[str]:
    """Rows for docs/benchmarks.md."""
    yield "| process | " + " | ".join(ProcessorUse._fields) + " |"
    for name in PROCESSOR:
        use = processor_use(run, name)
        yield f"| `{name}` | " + " | ".join(f"{value:.3g}" for value in use) + " |"
    yield from (f"| {name} | {value:.4g} |" for name, value in measured_sizes(run).items())


def measured_sizes(run: Run) -> dict[str, float]:
    """Row of docs/benchmarks.md -> bytes, or a share. PostgreSQL's log is that of each phase's cause."""
    readings, dispatches, forecasts = run.total("readings"), run.total("dispatches"), run.total("forecasts")
    found = {
        measured.LOG_BYTES.row: _share(run.grown("log"), dispatches),
        measured.FORECAST_BYTES.row: _share(run.grown("forecasts"), forecasts),
        measured.READING_BYTES.row: _share(run.grown("readings"), readings),
        measured.ROLLUP_BYTES.row: _share(run.grown("rollups"), readings),
        measured.BACKUP_SHARE.row: _share(run.backup_bytes, run.database_bytes),
    }
    if run.archived is not None:
        found[measured.ARCHIVE_BYTES.row] = _share(run.archived.stored_bytes, run.archived.readings)
    meters, rest = run.phases["meters"], list(run.phases.values())[3:]
    reading = _share(meters.archived_wal_bytes, meters.readings)
    left = sum(phase.archived_wal_bytes - reading * phase.readings for phase in rest)
    found[measured.WAL_BYTES.row] = reading
    found[measured.WAL_DISPATCH_BYTES.row] = _share(left, dispatches)
    return found
