"""The shape of an entry of the catalogue."""

import msgspec

from application.ports.operations.alerts import Severity


class AlertDefinition(msgspec.Struct, frozen=True):
    """When an alert is open. It also ends when every observer that stated it has been silent for three minutes."""

    severity: Severity
    condition: str
    """What raises it."""
    ends: str
    """When it ends by itself, or by which decision."""
    case: str
    """The game-day case that causes it, a key of GAME_DAY_CASES."""
