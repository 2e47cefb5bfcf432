"""Baselines: the load a facility would have had without the DR event, with an explanation of every number.

The entry point is `compute_baseline(rule_named("caiso-10-in-10"), metered, window, tz=...)`.
"""

from domain.baseline.computation import compute_baseline
from domain.baseline.result import (
    Adjustment,
    Baseline,
    BaselineDay,
    BaselineImpossible,
    BaselineInterval,
    SkippedDay,
    TooFewBaselineDays,
)
from domain.baseline.rules import (
    METHODS,
    BaselineParameters,
    BaselineRule,
    InvalidBaselineRule,
    UnknownBaselineMethod,
    is_weekdays_only,
    rule_named,
)

__all__ = [
    "METHODS",
    "Adjustment",
    "Baseline",
    "BaselineDay",
    "BaselineImpossible",
    "BaselineInterval",
    "BaselineParameters",
    "BaselineRule",
    "InvalidBaselineRule",
    "SkippedDay",
    "TooFewBaselineDays",
    "UnknownBaselineMethod",
    "compute_baseline",
    "is_weekdays_only",
    "rule_named",
]
