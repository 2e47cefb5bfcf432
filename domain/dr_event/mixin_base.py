"""What the parts of `DREvent` share: they are mixed into it, and use its state and `record`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.dr_event.state import DREventState, DREventStatus
from domain.errors import NotAllowedNow

if TYPE_CHECKING:
    from domain.event_sourcing.aggregate import Aggregate

    _OfADREvent = Aggregate[DREventState]
else:
    _OfADREvent = object  # the library takes every subclass of its aggregate for one of its own


class Part(_OfADREvent):
    def _require(self, allowed: frozenset[DREventStatus] | set[DREventStatus], doing: str) -> None:
        if self.state.status not in allowed:
            raise NotAllowedNow(
                f"DR event {self.id} is {self.state.status} and cannot {doing}; "
                f"allowed when {', '.join(sorted(allowed))}"
            )
