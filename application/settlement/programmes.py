"""The real programmes that this package carries, as data."""

from functools import lru_cache
from importlib.resources import files

from application.settlement.offline_files import read_rules
from domain.program import SettlementRule


@lru_cache(maxsize=1)
def shipped_programmes() -> dict[str, SettlementRule]:
    """Name -> rule."""
    return read_rules((files("domain.settlement") / "data" / "settlement_rules.json").read_bytes())
