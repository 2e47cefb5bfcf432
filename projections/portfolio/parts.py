"""The portfolio's sums in parts, each folded by a process of its own, and their total.

Sums are in whole watts, so the order in which they are added up changes nothing. What depends on the order of all
domain events, the list of readiness and what was measured last, is one part by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import asdict, replace

from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent
from projections.portfolio.row import PortfolioRow, sum_kw

MEASUREMENTS: tuple[type[DomainEvent], ...] = (DREvent.Measured, DREvent.Remeasured)
_BESIDE_SUMS = ("readiness", "last_measured_dr_event", "last_delivered_kw", "changed_at")


def share_key(number: int) -> str:
    """The key of the row of sums of part `number`, while a rebuild folds."""
    return f"share:{number}"


def total(shares: Sequence[tuple[PortfolioRow, int]]) -> tuple[PortfolioRow, int] | None:
    """The row of all, with the position of its last change, from (row, position) of each part that has any."""
    if not shares:
        return None
    rows = [row for row, _ in shares]
    last, position = max(shares, key=lambda share: share[1])
    listed = next((row for row in rows if row.readiness), last)
    measured = next((row for row in rows if row.last_measured_dr_event is not None), last)
    whole = replace(
        PortfolioRow(),
        **_sums(rows),
        readiness=listed.readiness,
        last_measured_dr_event=measured.last_measured_dr_event,
        last_delivered_kw=measured.last_delivered_kw,
        changed_at=last.changed_at,
    )
    return whole, position


def _sums(rows: Sequence[PortfolioRow]) -> Mapping[str, Any]:
    sums: dict[str, Any] = {}
    for row in rows:
        for name, value in asdict(row).items():
            if name in _BESIDE_SUMS:
                continue
            before = sums.get(name)
            if before is None:
                sums[name] = value
            else:
                sums[name] = sum_kw(before, value) if isinstance(value, float) else before + value
    return sums
