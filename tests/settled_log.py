"""The log of a DR event that was measured and settled, and readings that another baseline is computed from."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np

from application.ports.event_store.event_log import LogEntry
from application.ports.telemetry.store import ImportedIntervals
from domain.program.settlement_rule import Energy, Penalty, SettlementRule
from tests.in_process_system import InProcessSystem
from tests.sample_values import ENDS_AT, STARTS_AT
from tests.settled_system import SETTLE, measured

LOADS_KW = {"fac-001": 440.0, "fac-002": 460.0}
"""In the window, where the baseline is 500 kW: they shed 60 and 40 kW of 50 each, for two hours."""
RULE = SettlementRule(currency="USD", energy=Energy(rate="1.50"), penalty=Penalty(rate="0.50"))
QUARTER = timedelta(minutes=15)
DAYS = 40


def settled_system(rule: SettlementRule | None = RULE) -> InProcessSystem:
    """Settled for 290.00: 180.00, and 120.00 less 10.00 for 20 kWh too few."""
    there = measured(rule)
    there.scenario.after(SETTLE)
    return there


def entries_of(there: InProcessSystem) -> list[LogEntry]:
    return list(there.scenario.store.read_after(0, 10_000))


def readings(*, recent_kw: float = 520.0, until: datetime = ENDS_AT) -> ImportedIntervals:
    """Of each facility 500 kW in every quarter-hour of 40 days, of the last eight `recent_kw` in the afternoon, and in
    the window what was recorded."""
    begin = STARTS_AT - timedelta(days=DAYS)
    starts = np.arange(int(begin.timestamp()), int(until.timestamp()), 900)
    moments = [datetime.fromtimestamp(int(at), STARTS_AT.tzinfo) for at in starts]
    loads = [list(_loads(moments, kw, recent_kw)) for kw in LOADS_KW.values()]
    return ImportedIntervals(
        facility_ids=tuple(LOADS_KW),
        facility_index=np.repeat(np.arange(len(LOADS_KW)), len(starts)),
        starts_at_s=np.tile(starts, len(LOADS_KW)),
        step_s=np.full(len(starts) * len(LOADS_KW), 900),
        mean_kw=np.concatenate(loads),
        temp_c=np.full(len(starts) * len(LOADS_KW), np.nan),
    )


def _loads(moments: list[datetime], window_kw: float, recent_kw: float) -> Iterator[float]:
    for at in moments:
        if STARTS_AT <= at < ENDS_AT:
            yield window_kw
        elif at.hour in {21, 22} and at > STARTS_AT - timedelta(days=8):
            yield recent_kw
        else:
            yield 500.0
