"""The limit that a growing system reaches first, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf

import msgspec

from application.operations.process_kinds import NAMES
from application.operations.sizing import measured
from application.operations.sizing.estimate import BUSY_SHARE, Estimate, cores_of, is_scaled
from application.operations.sizing.load import CYCLES_A_DAY, MOST_FACILITIES, SystemLoad
from application.operations.sizing.measured import PROCESSOR
from domain.telemetry.meter_reading import PARTITIONS

MOST_CONNECTIONS = 500
"""What the benchmarks' PostgreSQL allows. Each session is a process of the server."""
CYCLE_S = 86_400 / CYCLES_A_DAY
MACHINE_CORES = 32
VOLUME_BYTES = 16_000_000_000_000
"""The largest single volume of the usual clouds."""
COMMIT_WITHIN_S = 120.0
"""For the commands of one DR event to all its buildings."""
TRAINING_SHARE_OF_DAY = 0.5
_SEARCH_STEPS = 40


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit, and how much of it the load takes."""

    name: str
    used: float
    most: float
    unit: str
    share: float
    """1.0: reached."""
    facilities: int | None
    """From this many facilities on it is reached, with as many meters each; None: not by MOST_FACILITIES."""
    action: str
    """What to do before that."""


def limits_of(load: SystemLoad, size: Callable[[SystemLoad], Estimate]) -> list[Limit]:
    """All of them; the one that is reached with the fewest facilities stands first. `size` estimates a load."""
    found = [
        msgspec.structs.replace(limit, facilities=_reached_at(limit.name, load, size))
        for limit in _limits(size(load))
    ]
    return sorted(found, key=lambda limit: (limit.facilities or inf, -limit.share, limit.name))


def _reached_at(name: str, load: SystemLoad, size: Callable[[SystemLoad], Estimate]) -> int | None:
    """The fewest facilities with which the limit is reached, if they have as many meters each."""

    def is_reached(facilities: int) -> bool:
        meters = load.meters * facilities // load.facilities
        grown = msgspec.structs.replace(load, facilities=facilities, meters=meters)
        return next(limit.share >= 1.0 for limit in _limits(size(grown)) if limit.name == name)

    below, reached = 0, MOST_FACILITIES
    if not is_reached(reached):
        return None
    for _ in range(_SEARCH_STEPS):
        if reached - below <= 1:
            break
        middle = (below + reached) // 2
        below, reached = (below, middle) if is_reached(middle) else (middle, reached)
    return reached


def _limits(estimate: Estimate) -> Iterator[Limit]:
    yield from _processing(estimate)
    yield from _single_processes(estimate)
    yield from _storage(estimate)


def _processing(estimate: Estimate) -> Iterator[Limit]:
    load = estimate.load
    yield _limit(
        "connections",
        (estimate.connections.max_connections, MOST_CONNECTIONS, "connections"),
        "raise max_connections and the memory of the server; PgBouncer for the read pools of web; then several systems",
    )
    yield _limit(
        "messages of meters",
        (load.readings_per_s, measured.MESSAGES_PER_S, "messages/s"),
        "gateways of ten meters; then a broker of its own, and GRIDPROOF_MQTT_SESSIONS for as many ingest processes",
    )
    yield _limit(
        "partitions",
        (cores_of("aggregate", load) / BUSY_SHARE, PARTITIONS, "partitions"),
        "gateways of ten meters; then a release with more partitions; then ClickHouse for the readings",
    )
    yield _limit(
        "processors of PostgreSQL",
        (estimate.servers["postgres"].cores, MACHINE_CORES * BUSY_SHARE, "cores"),
        "telemetry in a PostgreSQL of its own, and reads of people from a replica; then several systems",
    )
    yield _limit(
        "forecast cycle",
        (load.facilities * PROCESSOR["compute"].forecast_ms / 1e3, CYCLE_S * BUSY_SHARE, "s"),
        "several systems: one process makes the forecasts of each",
    )
    yield _limit(
        "training of forecasts",
        (load.facilities * measured.TRAINING_S.value, 86_400 * TRAINING_SHARE_OF_DAY, "s a day"),
        "several systems: one process trains the models of each",
    )
    committed_s = load.facilities * measured.COMMIT_PHASE_S.value / measured.COMMITTED_FACILITIES
    yield _limit(
        "commands of a DR event",
        (committed_s if load.dr_events_per_year else 0.0, COMMIT_WITHIN_S, "s"),
        "raise GRIDPROOF_BMS_MAX_CONCURRENT (100 calls at once), and run more dispatch processes",
    )


def _single_processes(estimate: Estimate) -> Iterator[Limit]:
    for name in (name for name in NAMES if not is_scaled(name)):
        yield _limit(
            f"one process of {name}",
            (cores_of(name, estimate.load), BUSY_SHARE, "cores"),
            "fewer facilities in one DR event; then several systems",
        )


def _storage(estimate: Estimate) -> Iterator[Limit]:
    held, days = estimate.disk.held, estimate.retention
    yield _limit(
        "disk of PostgreSQL after a year",
        (held["PostgreSQL"], VOLUME_BYTES, "bytes"),
        f"lower GRIDPROOF_TELEMETRY_RAW_DAYS ({days.readings}), since the raw archive keeps every reading; then "
        "telemetry in a PostgreSQL of its own; then ClickHouse",
    )
    yield _limit(
        "disk of the telemetry log",
        (held["NATS"], VOLUME_BYTES, "bytes"),
        f"lower GRIDPROOF_TELEMETRY_LOG_DAYS ({days.telemetry_log}); gateways of ten meters",
    )


def _limit(name: str, use: tuple[float, float, str], action: str) -> Limit:
    used, most, unit = use
    return Limit(
        name=name, used=used, most=most, unit=unit, share=used / most, facilities=None, action=action
    )
