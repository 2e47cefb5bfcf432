"""The base of the mixins of `DREvent`: they use its state and `record`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.dr_event.state import DREventState, DREventStatus
from domain.errors import NotAllowedNow

if TYPE_CHECKING:
    from domain.event_sourcing.aggregate import Aggregate

    _DREventBase = Aggregate[DREventState]
else:
    _DREventBase = object  # The library treats every subclass of its aggregate class as an aggregate.


class DREventMixin(_DREventBase):
    """The base of the mixins of `DREvent`."""

    def _require(self, allowed: frozenset[DREventStatus] | set[DREventStatus], doing: str) -> None:
        if self.state.status not in allowed:
            raise NotAllowedNow(
                f"DR event {self.id} is {self.state.status} and cannot {doing}; "
                f"allowed when {', '.join(sorted(allowed))}"
            )
