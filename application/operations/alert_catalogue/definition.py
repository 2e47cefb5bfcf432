"""The shape of an entry of the catalogue."""

import msgspec

from application.ports.operations.alerts import Severity

GONE_S = 600.0
"""`quiet_s` of an alert that its process raises again each minute at least: the process is gone."""
UNSEEN_S = 10_800.0
"""`quiet_s` of an alert that is raised again each hour: nobody uses what it is about any more."""
UNTRIED_S = 3_600.0
"""`quiet_s` of an alert that is raised again at each try, a quarter of an hour apart."""


class AlertDefinition(msgspec.Struct, frozen=True):
    """An alert has a rule that raises it and one that ends it."""

    severity: Severity
    condition: str
    """What raises it."""
    ends: str
    """When it ends by itself, or by which decision."""
    case: str
    """The game-day case that causes it, a key of GAME_DAY_CASES."""
    quiet_s: float | None = None
    """It also ends when nothing has raised it again for so long, wall seconds; None: only by its own rule."""
