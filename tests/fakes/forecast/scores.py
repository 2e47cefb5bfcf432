"""Forecast scores in memory; they pass the contract suite of PostgreSQL's."""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from msgspec.structs import asdict

from application.ports.forecast.scores import ErrorCorrelation, ForecastScore
from application.ports.operations.unavailable import OperationsUnavailable


class FakeForecastScores:
    """`available = False` makes every call raise OperationsUnavailable."""

    def __init__(self) -> None:
        self.available = True
        self.through: datetime | None = None
        self.kept: list[tuple[date, ForecastScore]] = []
        self.pairs: list[tuple[date, ErrorCorrelation]] = []

    def scored_through(self) -> datetime | None:
        self._check()
        return self.through

    def record(
        self,
        hour: datetime,
        scores: Sequence[ForecastScore],
        correlations: Sequence[ErrorCorrelation],
        *,
        after: datetime | None,
    ) -> bool:
        self._check()
        if self.through != after:
            return False
        self.through = hour + timedelta(hours=1)
        self.kept += [(hour.date(), score) for score in scores]
        self.pairs += [(hour.date(), one) for one in correlations]
        return True

    def totals(
        self, first: date, last: date, facility_ids: Collection[str] | None = None
    ) -> list[ForecastScore]:
        self._check()
        sums: dict[tuple[str, int, str], dict[str, float]] = {}
        for day, score in self.kept:
            if first <= day <= last and (facility_ids is None or score.facility_id in facility_ids):
                _add(sums, (score.facility_id, score.lead_h, score.data_quality), asdict(score))
        return [
            ForecastScore(facility_id=one, lead_h=lead_h, data_quality=quality, **added)  # type: ignore[arg-type]
            for (one, lead_h, quality), added in sorted(sums.items())
        ]

    def correlations(self, first: date, last: date) -> list[ErrorCorrelation]:
        self._check()
        sums: dict[tuple[int], dict[str, float]] = {}
        for day, one in self.pairs:
            if first <= day <= last:
                _add(sums, (one.lead_h,), asdict(one))
        return [ErrorCorrelation(lead_h=lead_h, **added) for (lead_h,), added in sorted(sums.items())]  # type: ignore[arg-type]

    def delete_before(self, day: date) -> int:
        self._check()
        gone = sum(kept < day for kept, _ in self.kept)
        self.kept = [(kept, score) for kept, score in self.kept if kept >= day]
        self.pairs = [(kept, one) for kept, one in self.pairs if kept >= day]
        return gone

    def _check(self) -> None:
        if not self.available:
            raise OperationsUnavailable("made unavailable by the test")


def _add(sums: dict[Any, dict[str, float]], key: Any, fields: dict[str, Any]) -> None:
    kept = sums.setdefault(key, {})
    for name, value in fields.items():
        if name not in {"facility_id", "lead_h", "data_quality"}:
            kept[name] = kept.get(name, 0) + value
