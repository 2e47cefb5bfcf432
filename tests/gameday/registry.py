"""The game-day cases that exist, by the name that the register of alerts gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from tests.gameday.drill import Drill

Action = Callable[["Drill"], None]


class Case(msgspec.Struct, frozen=True):
    name: str
    """A key of GAME_DAY_CASES."""
    alerts: tuple[str, ...]
    """Those that it shows: raised, then ended."""
    round: int
    """Cases of one round run side by side; a round begins when the one before is over."""
    act: Action


CASES: dict[str, Case] = {}
SECOND = 0
"""The round of those that run one after another on the second system, beside the rounds of the demo."""


def case(name: str, *alerts: str, round: int = 1) -> Callable[[Action], Action]:  # noqa: A002 - its usual name
    """Register a function as the case `name`."""

    def register(act: Action) -> Action:
        assert name not in CASES, name
        CASES[name] = Case(name, alerts, round, act)
        return act

    return register
