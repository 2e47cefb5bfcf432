"""Figures of a settlement, for tests of what is recorded."""

from datetime import timedelta
from typing import Any

from domain.dr_event import SettlementFigures
from tests.sample_values import ENDS_AT

FINAL_AT = ENDS_AT + timedelta(days=60)


def settlement_figures(**changed: Any) -> SettlementFigures:
    values: dict[str, Any] = {
        "status": "settled",
        "program_id": "summer-peak",
        "program_version": 1,
        "rule_digest": "aa" * 32,
        "currency": "USD",
        "total": "193.00",
        "inputs_digest": "bb" * 32,
        "digest": "cc" * 32,
        "final_at": FINAL_AT,
    }
    return SettlementFigures(**(values | changed))
