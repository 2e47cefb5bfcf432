"""Programs: the versioned terms of a utility's contract."""

from domain.program.aggregate import Program, ProgramState
from domain.program.measurability import (
    ViolationCode,
    lacks_service_level,
    violations,
    with_own_level,
)
from domain.program.settlement_rule import SettlementRule
from domain.program.terms import BaselineTerms, ShortfallPolicy, Terms
from domain.program.window import Hours, Season, WindowTerms

__all__ = [
    "BaselineTerms",
    "Hours",
    "Program",
    "ProgramState",
    "Season",
    "SettlementRule",
    "ShortfallPolicy",
    "Terms",
    "ViolationCode",
    "WindowTerms",
    "lacks_service_level",
    "violations",
    "with_own_level",
]
