"""Setup of the demo: the portfolio, its load history and the API keys."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid5

import msgspec
import numpy as np

from application.access.api_keys import ID_BYTES, SECRET_BYTES, issue
from application.command_bus.decision_context import CommandContext
from application.commands.facility import StartMaintenance
from application.facility.portfolio_entries import Portfolio, ProgramEntry
from application.history_import.importer import HistoryReport, ImportedFacility
from application.operations.portfolio_import import PortfolioTarget, import_portfolio
from application.ports.access.api_keys import Role
from application.ports.telemetry.store import ImportedIntervals, ImportOutcome
from domain.event_sourcing.aggregate import Provenance
from domain.identifiers import NAMESPACE
from domain.program.settlement_rule import Capacity, Energy, Penalty, Performance, SettlementRule, Tier
from interfaces.bootstrap import Stores, seal_imported_history
from interfaces.demo.options import EPOCH, HISTORY, STEP_S
from interfaces.simulators.meters.load_model import LoadSource
from interfaces.simulators.meters.recorded_load import read_recordings
from interfaces.simulators.sample_portfolio import (
    PROGRAM_ID,
    UTILITY_ID,
    SampleFacility,
    make_portfolio,
    modelled_facilities,
    recorded_facilities,
)
from interfaces.system.private_files import write_private

PROGRAM = ProgramEntry(
    program_id=PROGRAM_ID,
    utility_id=UTILITY_ID,
    notification_lead_s=600,
    prepare_lead_s=600,
    minimum_duration_s=900,
    acceptable_share=0.6,
    rate_per_kw=4.0,
    rate_per_kwh=0.35,
    settlement=SettlementRule(
        currency="USD",
        interval_s=900,
        performance=Performance(places=2, max="1"),
        capacity=Capacity(
            rate="4.00",
            unit="kw-event",
            tiers=(Tier(from_="0.5", a="0", b="1"), Tier(from_="0.9", a="1", b="0")),
        ),
        energy=Energy(rate="0.35"),
        penalty=Penalty(rate="0.50", threshold="0.8"),
    ),
)
"""Capacity in proportion to the performance from half of what was committed on, in full from 90 % on; energy; and a
penalty for what is short of 80 %."""
COVERED = EPOCH + HISTORY / 14
"""Recorded load must reach beyond the end of the demo."""


def facilities_for(count: int, readings: Path | None, zones: Mapping[str, str]) -> list[SampleFacility]:
    """Generated facilities, or the first `count` facilities of a readings file that have enough load."""
    if readings is None:
        return modelled_facilities(count)
    recordings = read_recordings(readings, None)
    usable = {}
    for facility_id, recording in recordings.items():
        recording.move_to_cover(COVERED)
        loads = recording.mean_load_kw(EPOCH - HISTORY, STEP_S, int(HISTORY.total_seconds()) // STEP_S)
        if np.isfinite(loads).mean() > 0.95 and np.nanmean(loads) > 0:
            usable[facility_id] = float(np.nanmean(loads[-96 * 7 :]))
    return recorded_facilities(dict(list(usable.items())[:count]), zones)


def portfolio_of(
    samples: list[SampleFacility],
    *,
    bms_url: str,
    without_dedup: str,
    single_phase: tuple[str, ...],
    secret_ref: str,
) -> Portfolio:
    return make_portfolio(
        samples,
        bms_url=bms_url,
        without_dedup=[without_dedup],
        single_phase=single_phase,
        callback_secret_ref=secret_ref,
        program=PROGRAM,
    )


def register(stores: Stores, portfolio: Portfolio, *, in_maintenance: str | None = None) -> None:
    """Import the portfolio, and start maintenance at `in_maintenance`."""
    trace_id = secrets.token_hex(16)
    import_portfolio(
        portfolio,
        PortfolioTarget(
            stores.bus,
            stores.utilities(),
            stores.facility_coordinates(),
            stores.act_log(),
            stores.decision_clock,
            stores.events,
        ),
        file_sha256=None,
        actor="operator:demo",
        trace_id=trace_id,
    )
    if in_maintenance is None:
        return
    correlation_id = uuid5(NAMESPACE, f"demo-maintenance:{trace_id}")
    stores.bus.handle(
        StartMaintenance(facility_id=in_maintenance, reason="chiller overhaul"),
        CommandContext(
            correlation_id=correlation_id,
            causation_id=correlation_id,
            actor="operator:demo",
            tenant=None,
            trace_id=trace_id,
        ),
    )


def issue_key(stores: Stores, *, role: Role, utility_id: str | None) -> str:
    """Issue an API key; the token to send."""
    return issue(
        stores.api_keys(),
        role=role,
        utility_id=utility_id,
        at=stores.clock.now(),
        entropy=secrets.token_bytes(SECRET_BYTES + ID_BYTES),
    ).token


def import_history(
    stores: Stores, portfolio: Portfolio, sources: Mapping[str, LoadSource], *, until: datetime = EPOCH
) -> int:
    """Import the load history of every facility up to `until`, and seal it as `gridproof telemetry import` does;
    returns the number of intervals."""
    steps = int(HISTORY.total_seconds()) // STEP_S
    # Aligned to the quarter-hour. The meters deliver the last, unfinished one.
    ends_s = int(until.timestamp()) // STEP_S * STEP_S
    starts_s = np.arange(ends_s - steps * STEP_S, ends_s, STEP_S, dtype=np.int64)
    first = datetime.fromtimestamp(int(starts_s[0]), tz=until.tzinfo)
    ids = tuple(sources)
    intervals = ImportedIntervals(
        facility_ids=ids,
        facility_index=np.repeat(np.arange(len(ids), dtype=np.int64), steps),
        starts_at_s=np.tile(starts_s, len(ids)),
        step_s=np.full(len(ids) * steps, STEP_S, dtype=np.int64),
        mean_kw=np.concatenate([sources[i].mean_load_kw(first, STEP_S, steps) for i in ids]),
        temp_c=np.concatenate([sources[i].temperatures_c(first, STEP_S, steps) for i in ids]),
    )
    outcome = stores.telemetry().import_intervals(intervals)
    zones = {entry.facility_id: entry.tz for entry in portfolio.facilities}  # no read model has them yet
    seal_imported_history(stores, _report(ids, first, steps, outcome), _provenance(stores), zones=zones)
    return outcome.added


def _report(ids: Sequence[str], first: datetime, steps: int, outcome: ImportOutcome) -> HistoryReport:
    facilities = tuple(
        ImportedFacility(
            facility_id=one,
            step_s=STEP_S,
            rows=steps,
            missing=0,
            gaps=0,
            starts_at=first,
            ends_at=first + timedelta(seconds=STEP_S * steps),
        )
        for one in ids
    )
    return HistoryReport(
        rows=steps * len(ids),
        added=outcome.added,
        changed=outcome.changed,
        unchanged=outcome.unchanged,
        facilities=facilities,
    )


def _provenance(stores: Stores) -> Provenance:
    correlation_id = uuid5(NAMESPACE, f"demo-history:{secrets.token_hex(16)}")
    return Provenance(
        correlation_id=correlation_id,
        causation_id=correlation_id,
        actor="operator:demo",
        tenant=None,
        trace_id=correlation_id.hex,
        recorded_at=stores.decision_clock.now(),
    )


def written(path: Path, document: Any) -> Path:
    """The document as JSON in a private file: the spec of the world has the meters' password."""
    write_private(path, msgspec.json.encode(document))
    return path
