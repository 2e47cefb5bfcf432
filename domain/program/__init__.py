"""Programs: the versioned terms of a utility's contract."""

from domain.program.aggregate import Program, ProgramState
from domain.program.settlement_rule import SettlementRule
from domain.program.terms import BaselineTerms, ForecastGuardrail, ShortfallPolicy, Terms
from domain.program.window import Hours, Season, WindowTerms

__all__ = [
    "BaselineTerms",
    "ForecastGuardrail",
    "Hours",
    "Program",
    "ProgramState",
    "Season",
    "SettlementRule",
    "ShortfallPolicy",
    "Terms",
    "WindowTerms",
]
